"""A server under load, on three accounts of a Poe that changes."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from ..servers import Proxy, Sim
from ..shared.load import Asked, Asking, Load

ACCOUNTS = ("cookie-1", "cookie-2", "cookie-3")
MODEL = "gpt-4"
MANIFEST = "_buildManifest.js"
#: What the log says when a look begins by itself, and once one is over.
BEGINS = "looking for what is new on Poe's site"
OVER = re.compile(
    r"INFO +- Poe's page and \d+ of its scripts have |WARNING +- (?:Poe's site has changed: "
    r"|\d+ values of Poe's page differ|Nothing of Poe's page differs|Poe's page could not be read "
    r"|No account by cookie can be used |A fault of poe-proxy)"
)
#: What is in a site file, so that no test waits for what Poe takes its time for.
QUICK = "[limits]\nshows = 0.5\nretry = 0.1\n"


@contextmanager
def poe(*tokens: str, api_keys: Sequence[str] = ()) -> Iterator[Sim]:
    """The stand-in, whose scripts are at another host than its pages."""
    with Sim(tokens, api_keys) as sim:
        sim.control(script_host=f"http://localhost:{sim.port}")
        yield sim


class Scene:
    """The stand-in and the proxy."""

    def __init__(self, sim: Sim, proxy: Proxy, file: Path) -> None:
        self.sim, self.proxy = sim, proxy
        #: The site file on top.
        self.file = file

    @classmethod
    @contextmanager
    def played(cls, folder: Path, **settings: str) -> Iterator[Self]:
        """Three accounts; in *folder* are the state file, and the site file beside it."""
        (folder / "site.toml").write_text(QUICK)
        with poe("a", "b", "c") as sim, cls.served(sim, folder, **settings) as scene:
            yield scene

    @classmethod
    @contextmanager
    def served(cls, sim: Sim, folder: Path, **settings: str) -> Iterator[Self]:
        """The proxy on a stand-in that may be there for longer."""
        given = {"STATE_FILE": str(folder / "state"), "TOKEN_CONCURRENCY": "2", **settings}
        with Proxy(sim, **given) as proxy:
            yield cls(sim, proxy, Path(given.get("POE_SITE", folder / "site.toml")))

    # ---- the proxy

    def begun(self) -> int:
        """How many looks have begun by themselves."""
        return self.proxy.output().count(BEGINS)

    def outcomes(self) -> list[str]:
        """What the log says of looks that are over."""
        return [line for line in self.proxy.log_lines() if OVER.search(line)]

    def workers(self) -> str:
        """The ids of the processes that serve."""
        pid = self.proxy.process.pid
        return Path(f"/proc/{pid}/task/{pid}/children").read_text()

    def entries(self) -> dict[str, Any]:
        """What the site file has, by "table.key"."""
        tables = tomllib.loads(self.file.read_text())
        return {f"{table}.{key}": value for table in tables for key, value in tables[table].items()}

    # ---- those who ask

    def ask(self, words: str = "", *, streams: bool = True) -> Asking:
        """Begin to ask for one answer."""
        return Asking([self.proxy], 0, MODEL, words, streams=streams).start()

    def asked(self, words: str = "", *, streams: bool = False) -> Asked:
        """Ask for one answer, and return what came of it."""
        return self.ask(words, streams=streams).result()

    def load(self, clients: int = 6, model: str = MODEL) -> Load:
        """Clients that ask and ask, each prompt only once."""
        return Load([self.proxy], clients=clients, models=[model], words="!chunks=3")

    def under_way(self) -> list[Asking]:
        """Return a reply for each account that has begun, and takes two seconds more."""
        begun = [self.ask("!chunks=30 !delay=0.07") for _ in ACCOUNTS]
        return [one.wait_for_words() for one in begun]

    # ---- what the stand-in saw

    def last(self) -> int:
        """The number of the newest entry of the journal."""
        number: int = self.sim.journal()[-1]["n"]
        return number

    def after(self, number: int, **wanted: Any) -> list[dict[str, Any]]:
        """The entries of the journal behind that *number* that have all of *wanted*."""
        return [one for one in self.sim.journal(**wanted) if one["n"] > number]

    def scripts(self, number: int = 0) -> list[dict[str, Any]]:
        """The requests for scripts."""
        return [one for one in self.after(number) if one.get("path", "").startswith("/_next/")]

    def answering(self, number: int) -> set[str]:
        """The accounts that have taken a message since the entry of that *number*."""
        sends = self.after(number, queryName="sendMessageMutation", verdict="ok")
        return {one["account"] for one in sends}

    def replies(self, event: str, asked: list[Asking]) -> dict[str, dict[str, Any]]:
        """By mark, the entries of that *event* of what was asked."""
        marks = {one.asked.mark for one in asked}
        found = self.sim.journal(event=event)
        return {one["mark"]: one for one in found if one.get("mark") in marks}

    def taken_twice(self) -> list[str]:
        """The prompts that Poe has taken more than once."""
        taken = Counter(one.get("mark", "") for one in self.sim.journal(event="reply-start"))
        return [mark for mark, times in taken.items() if mark and times > 1]

    def most_websockets(self) -> int:
        """The most websockets that an account ever had at a time."""
        now: Counter[str] = Counter()
        most = 0
        for one in self.sim.journal():
            match one.get("event"):
                case "socket-open":
                    now[one["account"]] += 1
                    most = max(most, now[one["account"]])
                case "socket-close":
                    now[one["account"]] -= 1
        return most

    def websockets(self) -> list[int]:
        """How many websockets each account has now."""
        return [one["sockets"] for one in self.sim.control()["accounts"]]


def failed(asked: list[Asked]) -> list[tuple[str, int, str, str]]:
    """What became of those that were not answered whole."""
    return [
        (one.outcome, one.status, one.code, one.message) for one in asked if one.outcome != "whole"
    ]
