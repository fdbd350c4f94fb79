"""Metrics that are read at a scrape: of the pool, of requests under way, of what is tallied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from poe_proxy import tallies
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


class Collected(Collector):
    """What the registry asks at each scrape."""

    def __init__(self, looks: Looks) -> None:
        self._looks = looks

    def collect(self) -> Iterable[Metric]:
        """Yield each metric; between two of them others have their turn."""
        for metric in chain(self._of_requests(), self._of_accounts(), _tallied()):
            yield metric
            breathe()

    def _of_requests(self) -> Iterator[Metric]:
        under_way = tuple(self._looks.under_way())
        streams = Counter(record.streams for record in under_way)
        in_line = Counter(record.streams for record in under_way if record.in_line)
        opened = _gauge("requests_open", "Requests under way", "stream")
        length = _gauge("queue_length", "Requests in line now", "class")
        for is_stream, word, place in ((True, "true", "stream"), (False, "false", "whole")):
            opened.add_metric([word], streams[is_stream])
            length.add_metric([place], in_line[is_stream])
        yield opened
        yield length

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


def _tallied() -> Iterator[Metric]:
    for name, meaning, labels, tally in (
        ("logins", "Logins by cookie", ("account", "outcome"), tallies.LOGINS),
        (
            "websocket_reconnects",
            "Websockets opened again, by why the one before was given up",
            ("account", "reason"),
            tallies.RECONNECTS,
        ),
        ("reloads", "Readings of the settings while it ran", ("outcome",), tallies.RELOADS),
    ):
        counted = CounterMetricFamily(f"poe_proxy_{name}", meaning, labels=labels)
        for values, count in tally.counts().items():
            counted.add_metric(values, count)
        yield counted


def _gauge(name: str, meaning: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"poe_proxy_{name}", meaning, labels=labels)
