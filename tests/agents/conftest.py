"""Coding agents that others wrote, led by a bot whose replies are written here.

The agents live in environments of their own, `make independent` installs them; the servers and
these tests run in the project's.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from uuid import uuid4

import pytest
import requests

from ..with_sim.servers import KEY, ROOT, Proxy, Sim, until
from . import npm

collect_ignore = npm.TESTS if npm.LEFT_OUT.exists() else []

#: A bot that is known on both faces of Poe.
BOT = "GPT-4o"
#: The settings that leave a proxy one way to Poe, and the control of that face.
WAYS = {
    "cookies": ({"POE_API_KEYS": ""}, "/__control"),
    "keys": ({"TOKENS": ""}, "/__control_api"),
}
#: Names by which a client knows what a bot can do; another bot stands behind them here.
MODELS = f"""\
[names]
"gpt-5.5" = "{BOT}"
"gpt-5.6-sol" = "{BOT}"
"""
#: Seconds that an agent may take, here where several of them share two cores.
LIMIT = 240
#: Names of fields that belong to the wire; no bot should read them.
WIRE = ("cache_control", "signature", "encrypted_content", "input_schema")

BEFORE = """\
# In square metres.
def area(width, height):
    return width + height
"""
AFTER = BEFORE.replace("+", "*")
TASK = "Fix area.py."
ANSWER = "It multiplies now."
#: A bot for those that run beside others.
QUIET = "Claude-Haiku-4.5"
#: What makes an answer break off, and a bot that reads little and takes no files,
#: by each way.
BREAKS_OFF = {"cookies": "!state=error_unknown", "keys": "!error-after=2"}
SHORT = {"cookies": "Sim-Short-Text-Only", "keys": "Sim-Short-Memory"}
#: Seconds of silence before the first word: more than two keep-alives take.
SILENCE = 40


def environment(name: str) -> Path:
    """The programs of one of the agents' environments in Python."""
    return ROOT / f".venv-independent-{name}" / "bin"


@dataclass(frozen=True)
class Ran:
    """What became of a program."""

    status: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """All that its user saw."""
        return self.out + self.err


@dataclass(frozen=True)
class Way:
    """One of the ways to Poe: a proxy that knows no other, and the bot at its end."""

    name: str
    proxy: Proxy
    control: str

    @property
    def by_cookie(self) -> bool:
        return self.name == "cookies"

    def give_lines(self, lines: Sequence[Any], bot: str = BOT) -> None:
        """Let the bot say these, one after the other."""
        answer = requests.post(self.control, json={"lines": {bot: lines}}, timeout=60)
        assert answer.ok, answer.text

    def told(self, bot: str = BOT) -> list[Any]:
        """What the bot was told at each line; all lines have been said."""
        state = requests.get(self.control, timeout=60).json()["lines"][bot]
        assert 0 == state["left"]
        return list(state["told"])

    def statuses(self, path: str, model: str) -> list[int]:
        """What the proxy answered to each POST to *path* for *model*, in turn."""
        pattern = rf"^\S+ \S+ INFO +(\d+) (?:\(\w+\) )?{re.escape(model)}[ :].*  POST {path} "
        return [int(found) for found in re.findall(pattern, self.log(), re.MULTILINE)]

    def log(self) -> str:
        """What the proxy has logged, with the line of each answer that has ended by now."""
        # A line is written once its answer has ended: that of one more comes behind all of them.
        last = f"/no-such-path-{uuid4().hex}"
        assert 404 == requests.get(self.proxy.url + last, timeout=60).status_code
        until(lambda: last in self.proxy.output())
        return self.proxy.output()

    def line(self, name: str, arguments: Mapping[str, Any], text: str = "") -> Any:
        """A reply that calls a tool: with Poe's tools on keys, taught to write on cookies."""
        return self.turn(text, [{"name": name, "arguments": arguments}])

    def turn(self, text: str, calls: Sequence[Mapping[str, Any]]) -> Any:
        """A reply of a text and calls."""
        if not self.by_cookie:
            return {"text": text, "calls": calls}
        blocks = [f"<tool_call>\n{json.dumps(call)}\n</tool_call>" for call in calls]
        return "\n".join([text, *blocks] if text else blocks)

    def run(self, program: Path, *options: str, folder: Path, **environ: str) -> str:
        """Run a program in *folder*; return what it printed, once it has ended well."""
        ran = self.start(program, *options, folder=folder, **environ)
        assert 0 == ran.status, ran.said
        return ran.out

    def start(self, program: Path, *options: str, folder: Path, **environ: str) -> Ran:
        """Run a program in *folder* to its end, with a home of its own beside that."""
        home = folder.parent / "home"
        home.mkdir(exist_ok=True)
        with TemporaryFile("w+") as out, TemporaryFile("w+") as err:
            process = subprocess.Popen(
                [program, *options],
                cwd=folder,
                env={
                    "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
                    "HOME": str(home),
                    "OPENAI_API_KEY": KEY,
                    "OPENAI_BASE_URL": f"{self.proxy.url}/v1",
                    "OPENAI_API_BASE": f"{self.proxy.url}/v1",
                    **nowhere(),
                    **environ,
                },
                stdin=subprocess.DEVNULL,
                # Files, since what it leaves behind would keep a pipe open.
                stdout=out,
                stderr=err,
                # It may leave servers behind; a group of its own can be ended as a whole.
                process_group=0,
            )
            try:
                process.wait(LIMIT)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                said = [file.seek(0) or file.read() for file in (out, err)]
        return Ran(process.returncode, *said)


def nowhere() -> dict[str, str]:
    """The environment in which nothing but this machine can be reached: nobody listens there."""
    there = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    there["no_proxy"] = "127.0.0.1"
    return there | {name.upper(): value for name, value in there.items()}


def text_of(told: Any) -> str:
    """What the bot was told at a line, the conversation in one text."""
    if isinstance(told, str):
        return told
    return "\n".join(_texts(message["content"]) for message in told)


def _texts(content: Any) -> str:
    if isinstance(content, str | None):
        return content or ""
    return "\n".join(part.get("text", f"[{part['type']}]") for part in content)


def assert_told(way: Way, told: Sequence[Any], *, first: Sequence[str], last: Sequence[str]) -> str:
    """The bot was told each of *first* once from the beginning, each of *last* once in the end,
    and nothing of the wire. Returns all that it was told at the last line."""
    texts = [text_of(one) for one in told]
    assert dict.fromkeys(first, 1) == {each: texts[0].count(each) for each in first}
    wanted = (*first, *last)
    assert dict.fromkeys(wanted, 1) == {each: texts[-1].count(each) for each in wanted}
    if way.by_cookie:
        assert [] == [name for name in WIRE for text in texts if f'"{name}"' in text]
    return texts[-1]


def assert_edited(
    way: Way, folder: Path, said: str, *, first: Sequence[str], last: Sequence[str], bot: str = BOT
) -> None:
    """The file is edited by two calls and the agent has *said* so, nothing was asked twice, and the
    bot was told of both as `assert_told` has it."""
    assert AFTER == (folder / "area.py").read_text(), said
    assert ANSWER in said
    told = way.told(bot)
    assert 3 == len(told)
    assert_told(way, told, first=first, last=last)


#: An agent, left alone with a task for a model: the way, its folder, the task, the model.
Agent = Callable[[Way, Path, str, str], Ran]


@contextmanager
def in_silence(
    agent: Agent, ways: Mapping[str, Way], folders: pytest.TempPathFactory
) -> Iterator[Mapping[str, Future[Ran]]]:
    """Let *agent* run beside all other tests within the block, by each way at a bot that is silent
    before its first word. Returns the runs by the names of the ways."""
    task = f"{TASK} !first={SILENCE}"
    with ThreadPoolExecutor(len(WAYS)) as pool:
        running = {}
        for name in WAYS:
            ways[name].give_lines([ANSWER], QUIET)
            folder = project(folders.mktemp("silent"))
            running[name] = pool.submit(agent, ways[name], folder, task, QUIET)
        yield running


def assert_waited(way: Way, ran: Ran) -> None:
    """It had the answer in the end, and asked once."""
    assert ANSWER in ran.out
    assert 1 == len(way.told(QUIET))


def assert_comes_back(agent: Agent, way: Way, folder: Path, path: str) -> None:
    """*agent* meets a 429 at *path*, and has the answer to its second request, which is the only
    one that the bot hears of."""
    way.give_lines([ANSWER])

    ran = agent(way, folder, f"{TASK} !http=429 !retry-after=2 !times=1", BOT)

    assert ANSWER in ran.out
    assert 1 == len(way.told())
    assert [429, 200] == way.statuses(path, BOT)


def project(folder: Path) -> Path:
    """A project with one file, in which something is wrong."""
    made = folder / "project"
    made.mkdir()
    (made / "area.py").write_text(BEFORE)
    return made


class Ways(dict[str, Way]):
    """The ways to Poe, each of which begins when it is first asked for."""

    def __init__(self, poe: Sim, running: ExitStack, models: Path) -> None:
        super().__init__()
        self._poe, self._running, self._models = poe, running, models

    def __missing__(self, name: str) -> Way:
        settings, control = WAYS[name]
        proxy = Proxy(self._poe, API_RATE_LIMIT="0", MODELS=str(self._models), **settings)
        self[name] = Way(name, self._running.enter_context(proxy), self._poe.url + control)
        return self[name]


@pytest.fixture(scope="session")
def poe() -> Iterator[Sim]:
    """A stand-in with both faces."""
    with Sim(("cookie-a", "cookie-b"), ("key-a", "key-b"), pace=0.001) as running:
        yield running


@pytest.fixture(scope="session")
def ways(poe: Sim, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    """The ways to Poe by their names."""
    models = tmp_path_factory.mktemp("settings") / "models.toml"
    models.write_text(MODELS)
    with ExitStack() as running:
        yield Ways(poe, running, models)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, ways: Ways) -> Way:
    """Each of the ways to Poe."""
    return ways[request.param]


@pytest.fixture
def by_key(ways: Ways) -> Way:
    return ways["keys"]


@pytest.fixture
def by_cookie(ways: Ways) -> Way:
    return ways["cookies"]


@pytest.fixture(scope="module", params=WAYS)
def hasty(request: pytest.FixtureRequest, poe: Sim) -> Iterator[Way]:
    """Each of the ways to Poe by one account, where nobody waits in line."""
    settings, control = WAYS[request.param]
    one = {"POE_API_KEYS": "key-a", "TOKENS": "cookie-a", "QUEUE_TIMEOUT": "0"} | settings
    with Proxy(poe, **one) as proxy:
        yield Way(request.param, proxy, poe.url + control)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with one file, in which something is wrong."""
    return project(tmp_path)
