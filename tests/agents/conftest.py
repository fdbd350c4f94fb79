"""Coding agents that others wrote, led by a bot whose replies are written here.

The agents live in an environment of their own, `make independent` installs it; the servers and
these tests run in the project's.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from ..with_sim.servers import KEY, ROOT, Proxy, Sim

BIN = ROOT / ".venv-independent-agents" / "bin"
#: A bot that is known on both faces of Poe.
BOT = "GPT-4o"
#: The settings that leave a proxy one way to Poe, and the control of that face.
WAYS = {
    "cookies": ({"POE_API_KEYS": ""}, "/__control"),
    "keys": ({"TOKENS": ""}, "/__control_api"),
}


@dataclass(frozen=True)
class Way:
    """One of the ways to Poe: a proxy that knows no other, and the bot at its end."""

    name: str
    proxy: Proxy
    control: str

    @property
    def by_cookie(self) -> bool:
        return self.name == "cookies"

    def give_lines(self, lines: Sequence[Any]) -> None:
        """Let the bot say these, one after the other."""
        answer = requests.post(self.control, json={"lines": {BOT: lines}}, timeout=60)
        assert answer.ok, answer.text

    def told(self) -> list[Any]:
        """What the bot was told at each line; all lines have been said, and no more was asked."""
        state = requests.get(self.control, timeout=60).json()["lines"][BOT]
        assert 0 == state["left"]
        return list(state["told"])

    def run(self, program: str, *options: str, folder: Path) -> str:
        """Run a program of the agents' environment in *folder*; return what it printed."""
        home = folder.parent / "home"
        home.mkdir()
        environ = {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": f"{self.proxy.url}/v1",
            "OPENAI_API_BASE": f"{self.proxy.url}/v1",
            # Nothing but this machine can be reached: nobody listens there.
            "HTTP_PROXY": "http://127.0.0.1:9",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1",
        }
        done = subprocess.run(
            [BIN / program, *options],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert 0 == done.returncode, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def poe() -> Iterator[Sim]:
    """A stand-in with both faces."""
    with Sim(("cookie-a", "cookie-b"), ("key-a", "key-b"), pace=0.001) as running:
        yield running


@pytest.fixture(scope="session", params=WAYS)
def way(request: pytest.FixtureRequest, poe: Sim) -> Iterator[Way]:
    """Each of the ways to Poe."""
    settings, control = WAYS[request.param]
    with Proxy(poe, API_RATE_LIMIT="0", **settings) as proxy:
        yield Way(request.param, proxy, poe.url + control)


@pytest.fixture(params=[False, True], ids=["whole", "stream"])
def stream(request: pytest.FixtureRequest) -> bool:
    """Whether the agent streams."""
    streamed: bool = request.param
    return streamed
