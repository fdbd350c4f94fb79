"""Everything that a test of two hosts needs, started and ended together."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Self, Unpack

import requests

from ..official import ApiSim
from ..servers import KEY, until
from .hosts import Host
from .judge import Case, Pace, Stretch, judge
from .load import Asked, Asking, AskingOptions, Load, LoadOptions
from .servers import Site
from .store import Store

#: A bot that both kinds of accounts have, by names that stand for one kind.
NAMES: Final = """
[names]
"by-key" = { bot = "GPT-4o", tokens = "keys" }
"by-cookie" = { bot = "GPT-4o", tokens = "cookies" }
"""
#: What all keys of the pool in Redis begin with.
PREFIX: Final = "poe:{default}:2:"
#: What accounts may do where a test does not say otherwise: limits that a load meets at once.
PACES: Final[Mapping[str, Pace]] = {
    "key": Pace(calls=12, window=4.0, at_once=3),
    "cookie": Pace(calls=4, window=4.0, at_once=1, rest=0.5),
}


def accounts(kind: str, count: int) -> Sequence[str]:
    """The secrets of accounts, in the order of their names at Poe."""
    return [f"sk-shared-secret-{kind}-{number}" for number in range(1, count + 1)]


class Stage:
    """`poe_sim`, a Redis, two hosts and a gunicorn on each."""

    def __init__(
        self,
        folder: Path,
        *,
        keys: int = 0,
        cookies: int = 0,
        paces: Mapping[str, Pace] = PACES,
        hosts: int = 2,
        workers: int = 2,
        aof: bool = False,
        redis: bool = True,
        clients: str = "",
        grace: int = 60,
        **settings: str,
    ) -> None:
        self.paces = paces
        self.secrets = [*accounts("key", keys), *accounts("cookie", cookies)]
        self._open = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            self.hosts = [stack.enter_context(Host()) for _ in range(hosts)]
            self.sim = stack.enter_context(
                ApiSim(
                    accounts("cookie", cookies),
                    accounts("key", keys),
                    *("--host", "0.0.0.0", "--max-concurrent", "1000", "--quiet"),
                )
            )
            self.sim.control_api(rate_limit=0)
            self.store = stack.enter_context(Store(self.hosts, aof=aof)) if redis else None
            self._folder, self._workers, self._grace = folder, workers, grace
            self._settings = {
                **self._write(folder, clients),
                "QUEUE_TIMEOUT": "30",
                **settings,
            }
            self.asked: list[Asked] = []
            self._cuts: list[Stretch] = []
            self._frozen: list[Stretch] = []
            with ThreadPoolExecutor(2) as both:
                self.sites = list(both.map(self._site, range(hosts)))
            for site in self.sites:
                stack.enter_context(site)
            self._open = stack.pop_all()

    def _write(self, folder: Path, clients: str) -> Mapping[str, str]:
        """Write the files that settings name."""
        texts = {"TOKENS_CONFIG": self._accounts(), "MODELS": NAMES}
        if clients:
            texts["CLIENTS"] = clients
        files = {name: folder / f"{name.lower()}.toml" for name in texts}
        for name, file in files.items():
            file.write_text(texts[name])
            file.chmod(0o600)
        return {name: str(file) for name, file in files.items()}

    def _accounts(self) -> str:
        tables = []
        for secret in self.secrets:
            kind = "cookie" if "-cookie-" in secret else "key"
            pace = self.paces[kind]
            tables.append(
                f'[[account]]\n{kind} = "{secret}"\nrate_limit = {pace.calls}\n'
                f"rate_window = {pace.window:g}\nconcurrency = {pace.at_once}\n"
                f"cool_down = {pace.rest:g}\n"
            )
        return "\n".join(tables)

    def _site(self, number: int) -> Site:
        host = self.hosts[number]
        more = {} if self.store is None else {"REDIS_URL": self.store.url_for(host)}
        return Site(
            self.sim,
            host,
            self._folder / f"host-{number + 1}-{time.monotonic_ns()}",
            workers=self._workers,
            grace=self._grace,
            **self._settings,
            **more,
        )

    # ---- for tests

    def start(
        self, host: int, model: str = "by-key", words: str = "", **more: Unpack[AskingOptions]
    ) -> Asking:
        """Ask a host, and go on."""
        asking = Asking(self.sites, host, model, words, **more)
        self.asked.append(asking.asked)
        return asking.start()

    def ask(
        self, host: int, model: str = "by-key", words: str = "", **more: Unpack[AskingOptions]
    ) -> Asked:
        """Ask a host; return what came of it."""
        return self.start(host, model, words, **more).result()

    @contextlib.contextmanager
    def load(self, **how: Unpack[LoadOptions]) -> Iterator[Load]:
        """Have clients ask and ask meanwhile."""
        load = Load(self.sites, **how)
        try:
            with load:
                yield load
        finally:
            self.asked += load.asked

    def worker_of(self, asking: Asking) -> int:
        """The process that serves a request."""
        return self.sites[asking.asked.host].of(asking.client_port)

    def lent(self) -> Collection[str]:
        """What Redis knows of leases and of those in line: theirs who have them."""
        assert self.store is not None
        owners = self.store.client.scan_iter(f"{PREFIX}w:*", count=1000)
        return [one.decode() for owner in owners for one in self.store.client.smembers(owner)]

    def wait_until_nothing_is_lent(self) -> None:
        """Return when Redis knows of no lease, and nobody is in line."""
        until(lambda: not self.lent())

    def waiting(self) -> Counter[str]:
        """How many are in line, by their client's digest, which is all that Redis knows of it."""
        assert self.store is not None
        wants = self.store.client.hvals(f"{PREFIX}want")
        return Counter(json.loads(one)["client"] for one in wants)

    def is_waiting(self, client: str) -> bool:
        """Whether somebody of a client is in line."""
        return hashlib.sha256(client.encode()).hexdigest()[:16] in self.waiting()

    def epoch(self) -> str:
        """What Redis knows its memory by; empty if it has none."""
        assert self.store is not None
        return (self.store.client.hget(f"{PREFIX}epoch", "id") or b"").decode()

    def living(self) -> int:
        """How many workers Redis takes for living."""
        assert self.store is not None
        return int(self.store.client.zcard(f"{PREFIX}workers"))

    def ready(self, host: int) -> int:
        """The status of `/ready` on a host."""
        return requests.get(f"{self.sites[host].url}/ready", timeout=60).status_code

    def health(self, host: int) -> int:
        """The status of `/health` on a host."""
        return requests.get(f"{self.sites[host].url}/health", timeout=60).status_code

    # ---- what Poe saw

    def sends(
        self, begun: float, ended: float, *, account: str = "", host: int | None = None
    ) -> list[str]:
        """What was asked of Poe in a time: of one account, or by one host alone."""
        peer = None if host is None else self.hosts[host].front.inside
        return [
            f"{one.account} at {one.arrived - begun:.2f}"
            for one in self.case().evidence.sends
            if begun < one.arrived < ended
            and account in ("", one.account)
            and peer in (None, self.peer(one.mark))
        ]

    def peer(self, mark: str) -> str:
        """The address from which a prompt came."""
        return str(next(one["peer"] for one in self.sim.journal(mark=mark) if "peer" in one))

    def host_of(self, mark: str) -> int:
        """The host that asked Poe a prompt."""
        return [host.front.inside for host in self.hosts].index(self.peer(mark))

    def wires(self, account: str) -> list[str]:
        """The addresses from which websockets of an account are open."""
        opened = self.sim.journal(event="socket-open", account=account)
        closed = [one["channel"] for one in self.sim.journal(event="socket-close", account=account)]
        return [one["peer"] for one in opened if one["channel"] not in closed]

    def began(self, asking: Asking) -> float:
        """When a bot began to answer a request."""
        mark = asking.asked.mark
        return next(one["t"] for one in self.sim.journal(event="reply-start", mark=mark))

    def wrong(
        self,
        *,
        codes: Collection[str] = (),
        cuts: Sequence[Stretch] = (),
        frozen: Sequence[Stretch] = (),
    ) -> list[str]:
        """What the judge finds in all that has happened; what was excused once, stays so."""
        self._cuts += cuts
        self._frozen += frozen
        found = judge(self.case(), codes=codes, cuts=self._cuts, frozen=self._frozen)
        texts = [("the log", self._logs())]
        if self.store is not None:
            texts.append(("Redis", "".join(self.store.everything())))
        for where, text in texts:
            found += [
                f"secrets: {where} has {secret}"
                for secret in self.known_secrets()
                if secret in text
            ]
        return found

    def case(self) -> Case:
        """All that has happened."""
        return Case(self.sim.journal(), self.asked, self.paces, self._logs())

    def _logs(self) -> str:
        return "".join(site.output() for site in self.sites)

    def known_secrets(self) -> Sequence[str]:
        """All that may be in no log and not in Redis."""
        return [*self.secrets, KEY, *([self.store.password] if self.store else [])]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._open.close()
        # What a test that fails shows of it.
        for number, site in enumerate(self.sites, 1):
            told = [one for one in site.output().splitlines() if " is lent" not in one]
            print(f"---- host {number}", *told[-100:], sep="\n")
