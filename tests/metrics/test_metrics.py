"""What metrics tell of finished requests, of the pool and of what is under way."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from poe_proxy import tallies
from poe_proxy.chat import Charges, Usage
from poe_proxy.errors import TokenRejected, UpstreamUnreachable
from poe_proxy.metrics import Looks, Metrics
from poe_proxy.metrics.children import MOST, MOST_MODELS
from poe_proxy.metrics.collected import STATES
from poe_proxy.pool.facts import Facts
from poe_proxy.pool.known import Funds
from poe_proxy.pool.rotator import CONDITIONS, Token, TokenRotator
from poe_proxy.prices import Price
from poe_proxy.record import CLIENT_CLOSED, Record

from ..fakes import until

ROUTE = "/v1/chat/completions"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"

#: All series, by name, with their types and labels: dashboards and rules of others depend on them.
NAMES = {
    "requests_total": ("counter", {"route", "status", "code", "client"}),
    "request_seconds": ("histogram", {"route", "stream"}),
    "first_text_seconds": ("histogram", {"kind", "model"}),
    "queue_seconds": ("histogram", {"class"}),
    "overhead_seconds": ("histogram", set()),
    "requests_open": ("gauge", {"stream"}),
    "queue_length": ("gauge", {"class"}),
    "accounts": ("gauge", {"kind", "state"}),
    "account_uses_total": ("counter", {"account", "outcome"}),
    "account_rest_seconds": ("gauge", {"account"}),
    "account_points": ("gauge", {"account"}),
    "account_day_uses": ("gauge", {"account"}),
    "moves_total": ("counter", {"code"}),
    "tokens_total": ("counter", {"client", "model", "direction"}),
    "points_total": ("counter", {"client", "model"}),
    "websocket_reconnects_total": ("counter", {"account", "reason"}),
    "logins_total": ("counter", {"account", "outcome"}),
    "store_seconds": ("histogram", {"act"}),
    "store_up": ("gauge", set()),
    "reloads_total": ("counter", {"outcome"}),
    "build_info": ("gauge", {"version", "python"}),
    "workers": ("gauge", set()),
    "hosts": ("gauge", set()),
}
SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, inf)
OVERHEAD = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, inf)


class Watched:
    """Metrics of a pool of two."""

    def __init__(self, store: str = "ok") -> None:
        self.tokens = [Token("key-1", object(), kind="key"), Token("cookie-1", object())]
        self.rotator: TokenRotator[object] = TokenRotator(self.tokens)
        self.under_way: set[Record] = set()
        self.facts = Facts(self.rotator, store=lambda: store)
        self.metrics = Metrics(
            Looks(
                self.facts.newest,
                self.rotator.points,
                self.rotator.day_uses,
                lambda: self.under_way,
                hosts=lambda: ["a", "a", "b"],
            ),
            lambda bot: "GPT-4o" if bot.lower() == "gpt-4o" else None,
        )

    def tell(self, **fields: Any) -> None:
        """Tell of a request; *fields* are others than usual."""
        record = Record(now=100.0)
        usual = {
            "route": ROUTE, "status": 200, "client": "alice", "model": "x", "bot": "gpt-4o",
            "account": "key-1", "kind": "key", "streams": True, "joined": 100.001, "queued": 0.2,
            "first_text": 100.7, "done": 103.0, "ended": 103.002, "usage": Usage(10, 20),
        }  # fmt: skip
        for name, one in {**usual, **fields}.items():
            setattr(record, name, one)
        self.metrics.told(record)

    def samples(self) -> Iterator[tuple[str, dict[str, str], float]]:
        """All that a scrape finds."""
        for family in text_string_to_metric_families(self.metrics.text()[0].decode()):
            for sample in family.samples:
                yield sample.name.removeprefix("poe_proxy_"), sample.labels, sample.value

    def of(self, name: str, **labels: str) -> float | None:
        """The value of one series; None: there is none."""
        found = [value for one, has, value in self.samples() if (one, has) == (name, labels)]
        assert len(found) <= 1
        return found[0] if found else None


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.fixture
def everything(monkeypatch: pytest.MonkeyPatch) -> Watched:
    """Metrics with something of each."""
    # Those of the process would keep it.
    for name in ("LOGINS", "RECONNECTS", "RELOADS"):
        monkeypatch.setattr(tallies, name, tallies.Tally())
    watched = Watched()
    watched.tell(
        moves=("upstream_auth",), moved_from=("cookie-1",), price=Price(request=30_000_000)
    )
    watched.metrics.store_took("write", 0.0001)
    watched.rotator.points.note("key-1", Funds(5))
    tallies.LOGINS.add("cookie-1", "ok")
    tallies.RECONNECTS.add("cookie-1", "silent")
    tallies.RELOADS.add("ok")
    return watched


def test_all_series_have_their_names_types_and_labels(everything: Watched) -> None:
    """Which others' dashboards are built on; there are no more than these, and the process's."""
    text = everything.metrics.text()[0].decode()
    found = {}
    for family in text_string_to_metric_families(text):
        labels = {name for sample in family.samples for name in sample.labels} - {"le"}
        name = family.name + ("_total" if family.type == "counter" else "")
        found[name] = (family.type, labels)

    ours = {name: one for name, one in found.items() if name.startswith("poe_proxy_")}
    assert {f"poe_proxy_{name}": one for name, one in NAMES.items()} == ours
    assert {name.partition("_")[0] for name in found} == {"poe", "process"}
    assert {"process_resident_memory_bytes", "process_open_fds"} <= found.keys()


def test_the_page_for_those_who_run_it_has_each_of_them() -> None:
    """And no other."""
    page = (Path(__file__).parents[2] / "docs" / "operate.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (counter|gauge|histogram) \|(.*?)\|", page, re.MULTILINE)

    assert NAMES == {
        name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows
    }


@pytest.mark.parametrize(
    ("name", "buckets"),
    [("request_seconds", SECONDS), ("queue_seconds", SECONDS), ("first_text_seconds", SECONDS),
     ("overhead_seconds", OVERHEAD)],
)  # fmt: skip
def test_histograms_have_their_buckets(
    everything: Watched, name: str, buckets: tuple[float, ...]
) -> None:
    """They cannot be changed later without breaking what is stored."""
    found = [
        float(labels["le"]) for one, labels, _ in everything.samples() if one == f"{name}_bucket"
    ]

    assert sorted(buckets) == sorted(set(found))


@pytest.mark.parametrize("version", ["abc", "1.x", "", "-1", "99.9", "1.0.0;escaping=x"])
def test_whoever_asks_for_a_version_that_is_none_gets_metrics_too(
    everything: Watched, version: str
) -> None:
    """In a form that there is, and no fault of ours."""
    text, content_type = everything.metrics.text(f"application/openmetrics-text;version={version}")

    assert b"poe_proxy_requests_total" in text
    assert "version=" in content_type


def test_both_forms_of_text_are_what_parsers_read(everything: Watched) -> None:
    """The strict parser of OpenMetrics checks order, types, suffixes and counts."""
    metrics = everything.metrics
    text, content_type = metrics.text(OPENMETRICS)

    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    families = list(openmetrics.text_string_to_metric_families(text.decode()))
    assert {f"poe_proxy_{name.removesuffix('_total')}" for name in NAMES} <= {
        family.name for family in families
    }
    plain, content_type = metrics.text("text/plain")
    assert content_type.startswith("text/plain; version=")
    assert b"# TYPE poe_proxy_requests_total counter\n" in plain


# ---- finished requests


def test_a_request_is_counted_in_all_places(watched: Watched) -> None:
    watched.tell()
    of = watched.of

    assert 1 == of("requests_total", route=ROUTE, status="200", code="", client="alice")
    assert 3.002 == pytest.approx(of("request_seconds_sum", route=ROUTE, stream="true"))
    assert 0.7 == pytest.approx(of("first_text_seconds_sum", kind="key", model="GPT-4o"))
    assert 0.2 == pytest.approx(of("queue_seconds_sum", **{"class": "stream"}))
    assert 0.003 == pytest.approx(of("overhead_seconds_sum"))
    assert 1 == of("account_uses_total", account="key-1", outcome="ok")
    assert 10 == of("tokens_total", client="alice", model="GPT-4o", direction="input")
    assert 20 == of("tokens_total", client="alice", model="GPT-4o", direction="output")
    assert None is of("points_total", client="alice", model="GPT-4o")


def test_points_are_poes_own_or_estimated(watched: Watched) -> None:
    """As far as they are known."""
    watched.tell(price=Price(prompt=30_000_000))
    assert 10 == watched.of("points_total", client="alice", model="GPT-4o")
    charges = Charges()
    charges.note(1, 7)
    watched.tell(price=Price(prompt=30_000_000), charges=charges)
    assert 17 == watched.of("points_total", client="alice", model="GPT-4o")


def test_what_asked_no_bot_is_counted_and_no_more(watched: Watched) -> None:
    """A list of models, a wrong key, a path that nobody knows."""
    nobody = {"joined": 0.0, "account": "", "first_text": 0.0, "streams": False, "usage": None}
    watched.tell(route="", status=404, code="not_found", client="", **nobody)

    assert 1 == watched.of(
        "requests_total", route="none", status="404", code="not_found", client=""
    )
    assert [] == [
        name for name, _, _ in watched.samples()
        if name.startswith(("queue_seconds", "account_uses", "tokens"))
    ]  # fmt: skip
    assert 0 == watched.of("overhead_seconds_count")


def test_each_account_that_a_request_met_has_its_outcome(watched: Watched) -> None:
    """Those it moved on from, and the one that answered, or failed last."""
    watched.tell(moves=("upstream_rate_limited",), moved_from=("cookie-1",))
    assert 1 == watched.of(
        "account_uses_total", account="cookie-1", outcome="upstream_rate_limited"
    )
    assert 1 == watched.of("moves_total", code="upstream_rate_limited")
    assert 1 == watched.of("account_uses_total", account="key-1", outcome="ok")

    watched.tell(code=CLIENT_CLOSED)
    assert 1 == watched.of("account_uses_total", account="key-1", outcome=CLIENT_CLOSED)
    # Another one was looked for, and there was none: the failure is the pool's.
    watched.tell(
        moves=("upstream_auth",), moved_from=("key-1",), code="no_token_left", first_text=0.0
    )
    assert 1 == watched.of("account_uses_total", account="key-1", outcome="upstream_auth")
    assert None is watched.of("account_uses_total", account="key-1", outcome="no_token_left")


def test_an_account_that_fails_last_is_counted_as_well(watched: Watched) -> None:
    """Not only the one before it."""
    watched.tell(
        moves=("upstream_auth",), moved_from=("cookie-1",), code="upstream_timeout", first_text=0.0
    )

    assert 1 == watched.of("account_uses_total", account="cookie-1", outcome="upstream_auth")
    assert 1 == watched.of("account_uses_total", account="key-1", outcome="upstream_timeout")


def test_however_an_account_is_it_has_a_state(watched: Watched) -> None:
    """Also one that the operator has set aside."""
    assert {*CONDITIONS} == {one for names in STATES.values() for one in names}
    (token,) = (one for one, _ in watched.rotator.states() if one.label == "key-1")
    watched.rotator.pause(token, 60.0)
    watched.facts.refresh()

    assert 1 == watched.of("accounts", kind="key", state="paused")


# ---- bounds


def test_ten_thousand_names_of_models_make_few_series(watched: Watched) -> None:
    """A stranger with a key chooses them. Only bots that answered have a name of their own."""
    for number in range(10_000):
        watched.tell(bot=f"bot-{number}", code="model_not_found", first_text=0.0)
    assert set() == models(watched)
    for number in range(10_000):
        watched.tell(bot=f"Bot-{number}")
        watched.tell(bot=f"bOT-{number}")
    found = models(watched)

    assert MOST_MODELS + 1 == len(found)
    assert {"other", "Bot-0"} < found
    assert MOST_MODELS == 200


def models(watched: Watched) -> set[str]:
    return {labels["model"] for _, labels, _ in watched.samples() if "model" in labels}


def test_a_model_of_poes_list_has_the_name_that_it_has_there(watched: Watched) -> None:
    """However clients write it."""
    for bot in ("gpt-4o", "GPT-4O", "Gpt-4o"):
        watched.tell(bot=bot)

    assert {"GPT-4o"} == models(watched)


def test_no_metric_grows_without_end(watched: Watched) -> None:
    """Whatever a label is, there is a most of their combinations; the rest is one series."""
    for number in range(MOST + 50):
        watched.tell(code=f"code-{number}")

    assert MOST + 1 == sum(name == "requests_total" for name, _, _ in watched.samples())
    assert 50 == watched.of(
        "requests_total", route="other", status="other", code="other", client="other"
    )


# ---- at a scrape


def states(watched: Watched) -> dict[tuple[str, str], float]:
    """The accounts that there are, by kind and state."""
    watched.facts.refresh()
    return {
        (labels["kind"], labels["state"]): value
        for name, labels, value in watched.samples()
        if name == "accounts" and value
    }


def test_the_pool_is_read_at_the_scrape(watched: Watched) -> None:
    """Each account is in one state."""
    key, cookie = watched.tokens
    assert {("key", "free"): 1, ("cookie", "free"): 1} == states(watched)
    watched.rotator.exhaust(key, "No points.")
    watched.rotator.suspend(cookie, TokenRejected("No such cookie."))

    assert {("key", "exhausted"): 1, ("cookie", "suspended"): 1} == states(watched)
    assert inf == watched.of("account_rest_seconds", account="key-1")
    watched.rotator.revive(key)
    with watched.rotator.lease(kinds={"key"}) as lease:
        assert lease.wait(0)
        assert lease.may_send(0)
        assert {("key", "in_use"): 1, ("cookie", "suspended"): 1} == states(watched)
    assert 1 == watched.of("account_day_uses", account="key-1")
    assert 0 == watched.of("account_rest_seconds", account="key-1")


def test_unknown_points_are_no_points_at_all(watched: Watched) -> None:
    """0 would be an alarm."""
    assert None is watched.of("account_points", account="key-1")
    watched.rotator.points.note("key-1", Funds(0))
    assert 0 == watched.of("account_points", account="key-1")


@pytest.mark.parametrize(("store", "up"), [("ok", 1), ("disk is full", 0), ("off", None)])
def test_whether_the_store_answers(store: str, up: float | None) -> None:
    """Where there is none, there is nothing to say."""
    assert up == Watched(store).of("store_up")


def test_what_is_under_way_is_counted(watched: Watched) -> None:
    """And what of it is in line: by whether the answer is streamed, as the line puts it."""
    for streams, in_line in ((True, 0.0), (True, 5.0), (False, 5.0)):
        record = Record()
        record.streams, record.in_line = streams, in_line
        watched.under_way.add(record)

    assert (2, 1) == (
        watched.of("requests_open", stream="true"), watched.of("requests_open", stream="false")
    )  # fmt: skip
    assert (1, 1) == (
        watched.of("queue_length", **{"class": "stream"}),
        watched.of("queue_length", **{"class": "whole"}),
    )


def test_a_tally_is_bounded() -> None:
    tally = tallies.Tally()
    for number in range(tallies.MOST + 5):
        tally.add(str(number))
    tally.add("0")

    assert tallies.MOST == len(tally.counts())
    assert 2 == tally.counts()[("0",)]


# ---- the fact about the pool


def test_without_a_thread_whoever_asks_looks_once_a_second() -> None:
    """No more often: a look takes the lock of the line."""
    now = [0.0]
    rotator = TokenRotator([token := Token("key-1", object())])
    facts = Facts(rotator, clock=lambda: now[0])
    rotator.suspend(token, UpstreamUnreachable("Poe is away."))

    assert 1 == facts.newest().counts["free"]
    now[0] = 1.0
    assert 1 == facts.newest().counts["suspended"]


def test_a_look_that_fails_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nobody who asks waits for one, once the thread looks."""
    monkeypatch.setattr("poe_proxy.pool.facts.EVERY", 0.001)
    stores: Iterator[Callable[[], str]] = iter([lambda: "ok", lambda: fail(), lambda: "broken"])

    def store() -> str:
        return next(stores, lambda: "broken")()

    facts = Facts(TokenRotator([Token("key-1", object())]), store=store)
    facts.start()
    try:
        until(lambda: facts.newest().store == "broken")
    finally:
        facts.stop()


def fail() -> str:
    raise ZeroDivisionError


def test_no_series_says_who_asked_from_where(watched: Watched) -> None:
    """No ids, no addresses."""
    watched.tell(id="req_secret", peer="192.0.2.7", their_id="theirs")
    text = watched.metrics.text()[0].decode()

    assert not re.search(r"req_|192\.0\.2|theirs", text)
