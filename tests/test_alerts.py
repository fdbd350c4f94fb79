"""What whoever runs the server is told, when, and how often."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import fakeredis
import orjson
import pytest

from poe_proxy.alerts import GATHERED, STORE_AWAY, Alerts, Event, message
from poe_proxy.errors import TokenRejected, UpstreamBlocked
from poe_proxy.moments import stamp
from poe_proxy.pool.known import Funds, Grant
from poe_proxy.pool.rotator import TokenRotator
from poe_proxy.record import Record
from poe_proxy.settings import Settings

from .fakes import Clock, log_lines, site_told
from .pool.fixtures import token
from .shared.direct import Direct

SECRET = "https://hooks.test/T0/secret"


class Watched:
    """A pool of two cookies and a key, and the messages about it."""

    def __init__(
        self, caller: Direct | None = None, clock: Clock | None = None, **settings: Any
    ) -> None:
        self.clock = clock or Clock()
        self.caller, self.speaks = caller, True
        self.cookie, self.other = token("cookie-1"), token("cookie-2")
        self.key = token("key-1", kind="key")
        self.pool: TokenRotator[Any] = TokenRotator(
            [self.cookie, self.other, self.key], clock=self.clock
        )
        self.store = "ok"
        self.site: dict[str, Any] | None = None
        self.answers: list[str] = []
        self.sent: list[tuple[str, bytes, Mapping[str, str]]] = []
        self.settings = replace(Settings(auth_keys=("sk",), alert_url=SECRET), **settings)
        self.alerts = Alerts(
            self.pool,
            store=lambda: self.store,
            caller=caller,
            speaks=lambda: self.speaks,
            site=lambda: self.site,
            send=self._send,
            pauses=(0.0, 0.0),
            clock=self.clock,
            wall=self.wall,
        )
        self.alerts.use(self.settings)
        self.alerts.begin()

    def wall(self) -> float:
        return self.clock() + 1_800_000_000.0

    def mend(self) -> None:
        """Let what was looked for be found, now."""
        self.site = site_told(
            outcome="mended",
            at=stamp(self.wall()),
            said="2 values were found anew, and are in use.",
            notes=["They are kept in memory only."],
            not_before=stamp(self.wall() + 3600.0),
        )

    def _send(self, url: str, body: bytes, headers: Mapping[str, str], seconds: float) -> str:
        self.sent.append((url, body, headers))
        return self.answers.pop(0) if self.answers else ""

    def told(self, seconds: float = 10.0) -> list[dict[str, Any]]:
        """The messages that come within so many seconds."""
        before = len(self.sent)
        for _ in range(round(seconds)):
            self.alerts.look()
            self.clock.go(1.0)
        return [orjson.loads(body) for _, body, _ in self.sent[before:]]

    def events(self, seconds: float = 10.0) -> list[tuple[str, str]]:
        """What they tell."""
        return [
            (one["event"], one["account"])
            for told in self.told(seconds)
            for one in told.get("events", [told])
        ]


@pytest.fixture
def watched() -> Watched:
    return Watched()


Change = Callable[[Watched], object]


@pytest.mark.parametrize(
    ("change", "event", "words"),
    [
        (
            lambda it: it.pool.suspend(it.cookie, UpstreamBlocked("Are you human?")),
            "suspended",
            "cookie-1 is suspended: it is shown a challenge page. Are you human?",
        ),
        (
            lambda it: it.pool.suspend(it.cookie, TokenRejected("Log in.")),
            "suspended",
            "cookie-1 is suspended: it is refused. Log in.",
        ),
        (
            lambda it: it.pool.exhaust(it.cookie, "You have no points."),
            "out_of_points",
            "cookie-1 is out of points. You have no points.",
        ),
    ],
    ids=["challenged", "rejected", "run dry"],
)
def test_an_account_that_is_lost_is_told_once_and_so_is_that_it_is_back(
    watched: Watched, change: Change, event: str, words: str
) -> None:
    """With why, when it is looked at again, from where; however often it fails meanwhile."""
    change(watched)
    (told,) = watched.told()

    assert (event, "cookie-1", words) == (told["event"], told["account"], told["reason"])
    assert {"event", "account", "reason", "until", "at", "host", "version"} == told.keys()
    assert ("2027-01-15T08:17:40Z" if event == "suspended" else None) == told["until"]
    change(watched)
    assert [] == watched.events(7200)
    watched.pool.revive(watched.cookie)
    assert [("back", "cookie-1")] == watched.events()
    change(watched)
    assert [(event, "cookie-1")] == watched.events()


def test_the_same_again_is_told_once_in_an_hour(watched: Watched) -> None:
    """An account that comes and goes fills no telephone; what is still so after that is told."""
    for _ in range(20):
        watched.pool.exhaust(watched.cookie, "Empty.")
        events = watched.events(20)
        watched.pool.revive(watched.cookie)
        watched.events(20)
    assert [] == events
    watched.pool.exhaust(watched.cookie, "Empty.")

    assert [] == watched.events(2700)
    assert [("out_of_points", "cookie-1")] == watched.events(200)


def test_it_is_told_each_time_if_the_operator_wants_that() -> None:
    """ALERT_EVERY=0."""
    watched = Watched(alert_every=0.0)
    for _ in range(3):
        watched.pool.exhaust(watched.cookie, "Empty.")
        assert [("out_of_points", "cookie-1")] == watched.events()
        watched.pool.revive(watched.cookie)
        assert [("back", "cookie-1")] == watched.events()


def test_what_comes_together_is_one_message(watched: Watched) -> None:
    """A summary, which has each of them, and that no cookie is left."""
    watched.pool.suspend(watched.cookie, UpstreamBlocked("Are you human?"))
    watched.alerts.look()
    watched.clock.go(GATHERED - 1.0)
    watched.pool.suspend(watched.other, UpstreamBlocked("Are you human?"))
    (told,) = watched.told()

    assert ("summary", "") == (told["event"], told["account"])
    assert [("suspended", "cookie-1"), ("suspended", "cookie-2"), ("unusable", "")] == [
        (one["event"], one["account"]) for one in told["events"]
    ]
    assert told["reason"].endswith("No cookie account can be used.")
    watched.pool.revive(watched.other)
    assert [("back", "cookie-2"), ("back", "")] == watched.events()


def test_what_was_so_at_the_start_is_known() -> None:
    """A restart tells nothing anew."""
    watched = Watched()
    watched.pool.exhaust(watched.cookie, "Empty.")
    watched.alerts.begin()

    assert [] == watched.events()


def test_a_rest_is_no_event(watched: Watched) -> None:
    """Poe's pace and the operator's own word are no trouble."""
    watched.pool.pause(watched.key, 600.0)

    assert [] == watched.events()


def test_poe_has_changed_its_site(watched: Watched) -> None:
    """Told once, be it that a key answered in place of the cookie."""
    for changed, moves in ((True, ()), (False, ("upstream_changed",)), (False, ())):
        record = Record()
        record.site_changed, record.moves = changed, moves
        watched.alerts.tell(record)

    assert [("upstream_changed", "")] == watched.events()
    watched.alerts.tell(record)
    assert [] == watched.events()


AT = "2027-01-15T08:16:40Z"
CHANGED = "Poe has changed its site: requests by cookie fail (upstream_changed)."


@pytest.mark.parametrize(
    ("site", "words"),
    [
        (None, ""),
        (site_told(running=True), " poe-proxy is looking for what is new."),
        (
            site_told(outcome="same", at=AT),
            f" poe-proxy has looked for what is new at {AT}, and found nothing.",
        ),
        (
            site_told(outcome="unusable", at=AT),
            f" As Poe's page has it at {AT}, it is refused, too.",
        ),
        (
            site_told(outcome="failed", at=AT),
            f" poe-proxy has looked for what is new at {AT}, but could not read Poe's page or its "
            "scripts.",
        ),
        (
            site_told(not_before="2027-01-15T09:00:00Z"),
            " By itself poe-proxy looks for what is new at 2027-01-15T09:00:00Z at the earliest.",
        ),
        (
            site_told(automatic=False),
            " The button at /status, or `poe-proxy discover`, looks for what is new.",
        ),
    ],
    ids=["unknown", "looking", "same", "unusable", "failed", "later", "off"],
)
def test_what_is_done_about_a_change_is_told_with_it(
    watched: Watched, site: dict[str, Any] | None, words: str
) -> None:
    """As far as it is known."""
    watched.site = site
    watched.alerts.tell(_changed())
    (told,) = watched.told()

    assert CHANGED + words == told["reason"]


def test_a_change_that_is_mended_is_told_once(watched: Watched) -> None:
    """By whatever search; one that was over before is known."""
    watched.mend()
    watched.alerts.begin()
    assert [] == watched.events()
    watched.alerts.tell(_changed())
    assert [("upstream_changed", "")] == watched.events()

    watched.mend()
    (told,) = watched.told()
    assert ("upstream_mended", "") == (told["event"], told["account"])
    assert (
        "2 values were found anew, and are in use. They are kept in memory only." == told["reason"]
    )
    assert [] == watched.events(60.0)


def test_what_is_mended_at_once_is_told_as_both(watched: Watched) -> None:
    """In one message, which does not say that anything is still to be done."""
    watched.alerts.tell(_changed())
    watched.mend()
    (told,) = watched.told()

    assert ["upstream_changed", "upstream_mended"] == [one["event"] for one in told["events"]]
    assert CHANGED == told["events"][0]["reason"]


def test_the_last_that_is_told_of_the_site_is_how_it_is() -> None:
    """That it is mended again waits until it may be told; that it still is, is no news."""
    watched = Watched(alert_every=100.0)

    def change() -> None:
        watched.alerts.tell(_changed())

    change()
    assert ["upstream_changed"] == [event for event, _ in watched.events(40.0)]
    watched.mend()
    assert ["upstream_mended"] == [event for event, _ in watched.events(40.0)]
    watched.mend()
    assert [] == watched.events(25.0)
    change()
    assert ["upstream_changed"] == [event for event, _ in watched.events(10.0)]
    watched.mend()
    assert [] == watched.events(20.0)
    assert ["upstream_mended"] == [event for event, _ in watched.events(20.0)]
    watched.mend()
    assert [] == watched.events(200.0)


def test_a_store_that_is_away_for_a_minute_is_told(watched: Watched) -> None:
    """One that fails for a moment is not; and it is told when it is back."""
    watched.store = "No space left on device"
    assert [] == watched.events(STORE_AWAY - 1)
    watched.store = "ok"
    assert [] == watched.events()
    watched.store = "No space left on device"
    assert [("store_away", "")] == watched.events(STORE_AWAY + 10)
    watched.store = "ok"
    assert [("back", "")] == watched.events()


def test_an_account_without_points_is_told_with_its_next_grant(watched: Watched) -> None:
    """If Poe tells of one that is to come."""
    at = watched.clock() + 1_800_000_000.0 + 3600.0
    watched.pool.points.note(watched.key.name, Funds(0, Grant(at, 300)))
    watched.pool.exhaust(watched.key, "Empty.")
    (told,) = watched.told()
    told = next(one for one in told["events"] if one["event"] == "out_of_points")

    assert told["until"]
    assert f"key-1 is out of points until {told['until']}. Empty." == told["reason"]


def test_few_points_are_told_once_until_there_are_more() -> None:
    """By what Poe said last; nothing is asked for it."""
    watched = Watched(alert_points=100, alert_every=0.0)
    for points, events in (
        (100, []),
        (99, [("low_points", "key-1")]),
        (50, []),
        (500, []),
        (20, [("low_points", "key-1")]),
    ):
        watched.pool.points.note("key-1", Funds(points))
        assert events == watched.events()


def test_a_message_that_is_not_taken_is_sent_three_times(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    """Then it is logged, without the address, which may be a secret."""
    watched.answers = ["no answer within 5 s", "its answer was 500"]
    watched.pool.exhaust(watched.cookie, "Empty.")
    with log_lines() as lines:
        watched.told()
        assert 3 == len(watched.sent)
        watched.answers = ["its answer was 404"] * 3
        watched.pool.revive(watched.cookie)
        watched.told()

    assert 6 == len(watched.sent)
    assert (
        "an alert was not delivered (its answer was 404): back cookie-1"
        in lines.getvalue().splitlines()[-1]
    )
    assert "secret" not in lines.getvalue()


def test_what_was_found_is_told_at_the_end(watched: Watched) -> None:
    """The next process would take it as known. There is one try, and no wait after it."""
    watched.answers = ["its answer was 500"]
    watched.pool.suspend(watched.cookie, TokenRejected("It is refused."))
    assert not watched.told(1)
    watched.alerts.close()
    watched.alerts.tell_rest()
    watched.alerts.tell_rest()

    assert ["suspended"] == [orjson.loads(body)["event"] for _, body, _ in watched.sent]


def test_an_account_that_leaves_the_pool_is_forgotten(watched: Watched) -> None:
    """It is not back, nor is anything kept of it."""
    watched.pool.exhaust(watched.cookie, "Empty.")
    watched.told()
    watched.pool.replace([watched.other, watched.key])

    assert [] == watched.events()


def event(reason: str) -> Event:
    return Event("suspended", "cookie-1", reason, None, 1_800_000_000.0)


def test_a_text_is_a_sentence() -> None:
    """As ntfy takes it; of several, each is a line."""
    assert (b"One.\nTwo.", "text/plain; charset=utf-8") == message(
        [event("One."), event("Two.")], "text"
    )


def test_slack_takes_no_order_from_poe() -> None:
    """What Poe says calls nobody, and is no link."""
    body, kind = message([event("Poe said: <!channel> & <http://evil|here>")], "slack")

    assert "application/json" == kind
    assert {"text": "Poe said: &lt;!channel&gt; &amp; &lt;http://evil|here&gt;"} == orjson.loads(
        body
    )


def test_a_message_is_no_longer_than_it_may_be() -> None:
    """Twenty events, and how many more there were."""
    body, _ = message([event(f"No. {number}.") for number in range(500)], "json")

    told = orjson.loads(body)
    assert 20 == len(told["events"])
    assert told["reason"].endswith("480 more events.")


# ---- several workers


class Workers:
    """Some that share a pool: each has found out the same a moment after the one before."""

    def __init__(self, number: int = 3, **settings: Any) -> None:
        self.clock = Clock()
        self.redis = fakeredis.FakeRedis()
        self.settings = settings
        self.all = [self.begun(f"w{place}") for place in range(number)]

    def begun(self, name: str) -> Watched:
        return Watched(Direct(self.redis, self.clock, worker=name), self.clock, **self.settings)

    def events(self, seconds: float = 10.0) -> list[tuple[str, str]]:
        """What all of them tell within so many seconds."""
        before = [len(one.sent) for one in self.all]
        for _ in range(round(seconds)):
            for one in self.all:
                one.alerts.look()
            self.clock.go(1.0)
        told = [
            orjson.loads(body)
            for one, number in zip(self.all, before, strict=True)
            for _, body, _ in one.sent[number:]
        ]
        return [
            (one["event"], one["account"])
            for message in told
            for one in message.get("events", [message])
        ]

    def over(self, event: str) -> None:
        """Let what was told of the first account no longer be known: `ALERT_EVERY` is over."""
        self.redis.delete(self._claim(event))

    def told_elsewhere(self, event: str) -> None:
        """Let a worker have told it of the first account that says no more than when it did."""
        self.redis.set(self._claim(event), repr(self.clock()))

    def _claim(self, event: str) -> str:
        return f"poe:{{test}}:2:claim:alert:{self.all[0].cookie.name}:{event}"

    def change(self, change: Change) -> None:
        for one in self.all:
            change(one)


def _suspend(watched: Watched) -> None:
    watched.pool.suspend(watched.cookie, TokenRejected("Log in."))


def test_of_several_workers_one_tells() -> None:
    """What is worse, and what is well again."""
    workers = Workers()
    workers.change(_suspend)
    assert [("suspended", "cookie-1")] == workers.events()
    workers.change(lambda it: it.pool.revive(it.cookie))
    assert [("back", "cookie-1")] == workers.events()
    workers.change(lambda it: it.alerts.tell(_changed()))
    assert [("upstream_changed", "")] == workers.events()
    assert [] == workers.events(60.0)
    # Each has looked by itself, one a while after the other.
    for one in workers.all:
        one.mend()
        before = workers.events(30.0)
        assert ([("upstream_mended", "")] if one is workers.all[0] else []) == before
    assert [] == workers.events(4000.0)


def _changed() -> Record:
    record = Record()
    record.site_changed = True
    return record


def test_what_was_left_out_is_told_once_too() -> None:
    """After `ALERT_EVERY`, by one of them, if it is still so; a worker that has begun meanwhile
    makes no difference."""
    workers = Workers(alert_every=100.0)
    workers.change(_suspend)
    assert [("suspended", "cookie-1")] == workers.events()
    workers.change(lambda it: it.pool.revive(it.cookie))
    assert [("back", "cookie-1")] == workers.events()
    workers.all.append(workers.begun("late"))
    workers.change(_suspend)

    assert [] == workers.events(70.0)
    workers.over("suspended")
    assert [("suspended", "cookie-1")] == workers.events(20.0)
    assert [] == workers.events(60.0)


CHANGES: Mapping[str, Change] = {
    "suspended": _suspend,
    "upstream_changed": lambda it: it.alerts.tell(_changed()),
    "upstream_mended": lambda it: it.mend(),
}


@pytest.mark.parametrize("event", CHANGES)
def test_what_is_this_workers_to_tell_is_told_although_the_answer_was_lost(event: str) -> None:
    """The others take it as told by now. It is told once, and not again within `ALERT_EVERY`."""
    workers = Workers()
    first = workers.all[0]
    assert first.caller is not None
    first.caller.unheard = {"claim"}
    workers.change(CHANGES[event])

    assert [event] == [name for name, _ in workers.events()]
    workers.change(lambda it: it.pool.revive(it.cookie))
    workers.events()
    workers.change(CHANGES[event])
    assert [] == workers.events(60.0)


def test_what_a_worker_of_an_older_version_has_told_is_told() -> None:
    """During an upgrade two versions run side by side: it claims without an id."""
    workers = Workers()
    workers.told_elsewhere("suspended")
    workers.change(_suspend)

    assert [] == workers.events()
    workers.change(CHANGES["upstream_changed"])
    assert ["upstream_changed"] == [name for name, _ in workers.events()]


def test_a_question_that_is_brought_twice_has_one_answer() -> None:
    """As when whoever has brought it was ended on the way."""
    workers = Workers()
    for one in workers.all:
        assert one.caller is not None
        one.caller.twice = frozenset({"claim"})
    workers.change(_suspend)

    assert [("suspended", "cookie-1")] == workers.events()


def test_while_redis_is_away_one_of_a_host_says_so() -> None:
    """They cannot agree; all else is told later. That it is back is told once."""
    workers = Workers()
    for one in workers.all:
        one.store = "it froze"
        assert one.caller is not None
        one.caller.trouble = "it froze"
        one.speaks = one is workers.all[1]
    workers.change(_suspend)
    assert [("store_away", "")] == workers.events(STORE_AWAY + 10.0)
    assert (
        "Redis has been away for a minute: it froze."
        == orjson.loads(workers.all[1].sent[0][1])["reason"]
    )

    for one in workers.all:
        one.store = "ok"
        assert one.caller is not None
        one.caller.trouble = ""
    assert {("suspended", "cookie-1"), ("back", "")} == {*(events := workers.events())}
    assert 2 == len(events)
