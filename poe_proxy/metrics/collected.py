"""Metrics that are read at a scrape: of the pool, of requests under way, of what is tallied."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from poe_proxy import __version__, tallies
from poe_proxy.net.pacing import breathe
from poe_proxy.pool.facts import Fact
from poe_proxy.pool.known import DayUses, KnownPoints
from poe_proxy.pool.rotator import condition
from poe_proxy.record import Record
from poe_proxy.values import value

#: The states of accounts, and what the pool calls each.
STATES: Final = {
    "free": ("free",),
    "in_use": ("in_use",),
    "resting": ("resting", "limited"),
    "exhausted": ("out_of_points",),
    "suspended": ("suspended", "retired"),
    "paused": ("paused",),
}
_STATE_OF: Final = {one: state for state, names in STATES.items() for one in names}


@value()
class Looks:
    """Where to look at a scrape. None of it waits."""

    #: How the pool is.
    fact: Callable[[], Fact]
    points: KnownPoints
    day_uses: DayUses
    #: The requests that are not over.
    under_way: Callable[[], Iterable[Record]]
    #: By the workers that share the pool, the host of each; None if there is no such pool.
    hosts: Callable[[], Sequence[str]] | None = None


class Collected(Collector):
    """What the registry asks at each scrape, and is the same whichever worker is asked."""

    def __init__(self, looks: Looks) -> None:
        self._looks = looks

    def collect(self) -> Iterable[Metric]:
        """Yield each metric; between two of them others have their turn."""
        for metric in chain(self._of_accounts(), self._of_workers()):
            yield metric
            breathe()

    def _of_workers(self) -> Iterator[Metric]:
        build = _gauge("build_info", "What runs", "version", "python")
        build.add_metric([__version__, platform.python_version()], 1)
        yield build
        if self._looks.hosts is not None:
            hosts = self._looks.hosts()
            workers = _gauge("workers", "Workers that share the pool, on all hosts")
            workers.add_metric([], len(hosts))
            yield workers
            of_hosts = _gauge("hosts", "Hosts whose workers share the pool")
            of_hosts.add_metric([], len({*hosts}))
            yield of_hosts

    def _of_accounts(self) -> Iterator[Metric]:
        fact = self._looks.fact()
        counts = Counter(
            (token.kind, _STATE_OF[condition(token, state)]) for token, state in fact.accounts
        )
        accounts = _gauge("accounts", "Accounts of a kind in a state", "kind", "state")
        for kind in sorted({token.kind for token, _ in fact.accounts}):
            for one in STATES:
                accounts.add_metric([kind, one], counts[kind, one])
        rest = _gauge(
            "account_rest_seconds", "Until an account may be used; +Inf: unknown", "account"
        )
        points = _gauge("account_points", "Points left, as Poe said last", "account")
        uses = _gauge("account_day_uses", "Uses of an account today (UTC)", "account")
        for token, state in fact.accounts:
            rest.add_metric([token.label], state.rest)
            uses.add_metric([token.label], self._looks.day_uses.of(token.name))
            if known := self._looks.points.of(token.name):
                points.add_metric([token.label], known.number)
        yield from (accounts, rest, points, uses)
        if fact.store != "off":
            up = _gauge("store_up", "Whether the store of the pool answers")
            up.add_metric([], fact.store == "ok")
            yield up


class OfThisWorker(Collector):
    """The same, of what only this worker knows."""

    def __init__(self, looks: Looks) -> None:
        self._looks = looks

    def collect(self) -> Iterable[Metric]:
        """Yield each metric."""
        opened, length = (_gauge(*told) for told in OF_REQUESTS)
        now = under_way(self._looks)
        for family, numbers in ((opened, now.open), (length, now.in_line)):
            for label, number in numbers.items():
                family.add_metric([label], number)
            yield family
        for name, meaning, labels, tally in tallied():
            counted = CounterMetricFamily(f"poe_proxy_{name}", meaning, labels=labels)
            for values, count in tally.counts().items():
                counted.add_metric(values, count)
            yield counted


#: Names, meanings and labels of what is under way.
OF_REQUESTS: Final = (
    ("requests_open", "Requests under way", "stream"),
    ("queue_length", "Requests in line now", "class"),
)


@value()
class UnderWay:
    """How many requests are under way, and in line, by their labels."""

    open: Mapping[str, int]
    in_line: Mapping[str, int]


def under_way(looks: Looks) -> UnderWay:
    """Count the requests of this worker."""
    records = tuple(looks.under_way())
    streams = Counter(record.streams for record in records)
    in_line = Counter(record.streams for record in records if record.in_line)
    return UnderWay(
        {"true": streams[True], "false": streams[False]},
        {"stream": in_line[True], "whole": in_line[False]},
    )


def tallied() -> Iterator[tuple[str, str, tuple[str, ...], tallies.Tally]]:
    """Yield the name, meaning and labels of what is tallied elsewhere, with where."""
    yield "logins", "Logins by cookie", ("account", "outcome"), tallies.LOGINS
    yield (
        "websocket_reconnects",
        "Websockets opened again, by why the one before was given up",
        ("account", "reason"),
        tallies.RECONNECTS,
    )
    yield "reloads", "Readings of the settings while it ran", ("outcome",), tallies.RELOADS


def _gauge(name: str, meaning: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"poe_proxy_{name}", meaning, labels=labels)
