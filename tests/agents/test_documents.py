"""What docs/agents.md has its readers type, typed on the demo: no account is needed for it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ..with_sim.servers import ROOT, Server, free_port, until
from .conftest import LIMIT, nowhere
from .npm import CLAUDE_CODE, CODEX

TEXT = (ROOT / "docs/agents.md").read_text("utf-8")
#: The two agents that the last section has edit a file, each after its own preparation.
EDITED = {"codex": "width * height", "claude": "width + height"}


@pytest.fixture(scope="module")
def demo() -> Iterator[tuple[str, str]]:
    """The demo's own address, and that of its stand-in for Poe."""
    port = free_port()
    with Server([sys.executable, "-m", "poe_proxy", "demo"], {"PORT": str(port)}) as running:
        until(lambda: "Ctrl-C" in running.output(), 60)
        (poe,) = re.findall(r"running at (http://\S+),", running.output())
        yield f"127.0.0.1:{port}", poe


def blocks(language: str, section: str) -> list[str]:
    """What stands in fences of this language, beneath a heading."""
    _, _, text = TEXT.partition(f"\n## {section}\n")
    return re.findall(rf"^```{language}\n(.*?)^```", text.partition("\n## ")[0], re.S | re.M)


def test_codex_and_claude_code_edit_a_file_on_the_demo(
    demo: tuple[str, str], tmp_path: Path
) -> None:
    """Line by line as it stands, but for the addresses, the folder and Codex's sandbox, which not
    every machine has. The one makes the file right, the other one wrong again."""
    address, poe = demo
    (config,) = blocks("toml", "Codex CLI")
    exports = [line for line in blocks("bash", "Claude Code")[0].splitlines() if "export" in line]
    begin, codex, claude = blocks("bash", "Try it without an account")
    folder = tmp_path / "demo"
    (tmp_path / ".codex").mkdir()
    (tmp_path / ".codex/config.toml").write_text(config.replace("localhost:8080", address))
    for name, typed in {"codex": f"{begin}\n{codex}", "claude": claude}.items():
        lines = [*exports, f"POE={poe}", f"cd {folder} 2>/dev/null", typed]
        script = "\n".join(lines).replace("localhost:8080", address)
        script = script.replace("http://127.0.0.1:9000", poe).replace("/tmp/demo", str(folder))
        script = script.replace(
            "--sandbox workspace-write", "--dangerously-bypass-approvals-and-sandbox"
        )
        said = run(script, home=tmp_path)
        assert EDITED[name] in (folder / "area.py").read_text(), said


def run(script: str, home: Path) -> str:
    """What its user sees of a script, once it has ended."""
    path = os.pathsep.join([str(CODEX.parent), str(CLAUDE_CODE.parent), os.environ["PATH"]])
    process = subprocess.Popen(
        ["bash", "-c", script],
        env={
            "PATH": path,
            "HOME": str(home),
            "POE_PROXY_KEY": "sk-demo",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            **nowhere(),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )
    try:
        return process.communicate(timeout=LIMIT)[0]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
