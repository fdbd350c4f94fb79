"""All metrics: what a finished request adds to them, and how they are told."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder

from poe_proxy.metrics.children import Children
from poe_proxy.metrics.collected import (
    OF_REQUESTS,
    Collected,
    Looks,
    OfThisWorker,
    tallied,
    under_way,
)
from poe_proxy.metrics.models import ModelNames
from poe_proxy.metrics.processes import Processes
from poe_proxy.metrics.together import Merged, Together
from poe_proxy.record import Record

log = logging.getLogger(__name__)

_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_OVERHEAD: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
#: A row of the store is written in some microseconds, if the disk has nothing else to do.
_STORE: Final = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5)

#: What stands for no route at all.
NO_ROUTE: Final = "none"
#: Seconds between two times that a worker tells the others what is under way.
_BEAT: Final = 1.0


class Metrics:
    """The metrics of this server."""

    def __init__(
        self,
        looks: Looks,
        listed: Callable[[str], str | None],
        together: Together | None = None,
    ) -> None:
        """*looks* is what is read off at a scrape; *listed* is as `ModelNames` has it. Workers of
        one host count *together*, so that each can tell of all; None: this process is alone."""
        # When a series began, as a series of its own: half of all lines, and nobody asks.
        disable_created_metrics()
        self._told = CollectorRegistry()
        self._models = ModelNames(listed)
        self._looks = looks
        self._together = _joined(together)
        self._is_over = threading.Event()
        # What is counted together is read off its files, for all workers.
        registry = self._told if self._together is None else None

        def counter(name: str, meaning: str, *labels: str) -> Children[Counter]:
            return Children(Counter(f"poe_proxy_{name}", meaning, labels, registry=registry))

        def histogram(
            name: str, meaning: str, *labels: str, buckets: tuple[float, ...] = _SECONDS
        ) -> Children[Histogram]:
            full = f"poe_proxy_{name}"
            return Children(Histogram(full, meaning, labels, registry=registry, buckets=buckets))

        self._requests = counter(
            "requests_total", "Answers given", "route", "status", "code", "client"
        )
        self._seconds = histogram(
            "request_seconds", "From the head of a request to its last byte", "route", "stream"
        )
        self._first_text = histogram(
            "first_text_seconds",
            "From the head of a request to the first text that went out",
            *("kind", "model"),
        )
        self._queue = histogram("queue_seconds", "In line for an account, 0 too", "class")
        self._overhead = Histogram(
            "poe_proxy_overhead_seconds",
            "Time of a request that was neither the line nor Poe",
            registry=registry,
            buckets=_OVERHEAD,
        )
        self._uses = counter(
            "account_uses_total",
            "Requests that an account had: ok, or the code of the failure",
            *("account", "outcome"),
        )
        self._moves = counter(
            "moves_total", "Second tries on another account, by the code of the failure", "code"
        )
        self._tokens = counter(
            "tokens_total",
            "Tokens of answers, as Poe counts or estimated",
            *("client", "model", "direction"),
        )
        self._points = counter(
            "points_total",
            "Points, as Poe says with an answer, or estimated by its list of prices",
            *("client", "model"),
        )
        self._store = histogram(
            "store_seconds", "Work of the store of the pool, by act", "act", buckets=_STORE
        )
        self._told.register(Collected(looks))
        if self._together is None:
            self._told.register(OfThisWorker(looks))
            ProcessCollector(registry=self._told)
            return
        self._open, self._in_line = (
            Gauge(f"poe_proxy_{name}", meaning, [label], registry=None, multiprocess_mode="livesum")
            for name, meaning, label in OF_REQUESTS
        )
        for name, meaning, labels, tally in tallied():
            tally.tell(_adding(counter(name, meaning, *labels)))
        self._told.register(Merged(self._together))
        self._told.register(Processes(self._together.processes))

    def start(self) -> None:
        """Tell the other workers, from now on, what is under way here."""
        if self._together is not None:
            threading.Thread(target=self._beat, name="metrics-beat", daemon=True).start()

    def close(self) -> None:
        """Tell them no more; what was counted stays."""
        self._is_over.set()

    def _beat(self) -> None:
        while not self._is_over.wait(_BEAT):
            self._note_under_way()

    def _note_under_way(self) -> None:
        now = under_way(self._looks)
        for gauge, numbers in ((self._open, now.open), (self._in_line, now.in_line)):
            for label, number in numbers.items():
                gauge.labels(label).set(number)

    def told(self, record: Record) -> None:
        """Count a request whose answer is closed."""
        stream = "true" if record.streams else "false"
        route, code, client = record.route or NO_ROUTE, record.code, record.client
        self._requests.of(route, record.status, code, client).inc()
        self._seconds.of(route, stream).observe(record.total)
        if not record.joined:
            return
        self._queue.of("stream" if record.streams else "whole").observe(record.queued)
        for account, failed in zip(record.moved_from, record.moves, strict=False):
            self._uses.of(account, failed).inc()
            self._moves.of(failed).inc()
        has_answered = bool(record.first_text)
        if not record.was_asked:
            return
        if code and not has_answered and record.account in record.moved_from:
            return  # it is counted, and another one was looked for in vain
        self._overhead.observe(record.overhead)
        self._uses.of(record.account, code or "ok").inc()
        if not has_answered:
            return
        model = self._models.of(record.bot, has_answered=True)
        self._first_text.of(record.kind, model).observe(record.first_text - record.began)
        self._tokens.of(client, model, "input").inc(record.tokens_in)
        self._tokens.of(client, model, "output").inc(record.tokens_out)
        points = record.points if record.points is not None else record.estimated_points
        if points:
            self._points.of(client, model).inc(points)

    def store_took(self, act: str, seconds: float) -> None:
        """Count an *act* of the store."""
        self._store.of(act).observe(seconds)

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """Return all metrics in the form that *accept* asks for, and its content type."""
        if self._together is not None:
            self._note_under_way()
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # it asks for a version that is no number
            encode, content_type = choose_encoder("")
        return encode(self._told), content_type


def _joined(together: Together | None) -> Together | None:
    """Join it; without it, if there is no room for that, each worker tells of itself."""
    try:
        if together is not None:
            together.join()
    except OSError as failure:
        log.error("Metrics are of one worker each, not of all of this host: %s.", failure.strerror)
        return None
    return together


def _adding(children: Children[Counter]) -> Callable[[tuple[str, ...], int], object]:
    return lambda labels, number: children.of(*labels).inc(number)
