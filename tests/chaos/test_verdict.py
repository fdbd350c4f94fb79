"""Each rule sees what breaks it, in records that are written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ..with_sim.servers import ROOT
from .case import Case, causes
from .evidence import Evidence, Reply, Send, Wire, read
from .faults import schedule
from .plants import PLANTS, planted
from .proxy import Passage
from .record import Attempt, Happening, Limits, Record
from .verdict import judge

LIMITS = Limits(cool_down=1.0, rate_limit=3, api_rate_limit=3)


def attempt(mark: str = "c1.1", begun: float = 9.0, ended: float = 12.0, **more: Any) -> Attempt:
    made = Attempt(
        mark=mark, client="c1", api="chat", model="by-cookie", streams=False, begun=begun
    )
    given = {"ended": ended, "outcome": "answered", "expected": "abc", "text": "abc", **more}
    return replace(made, **given)


def passage(mark: str = "c1.1", entered: float = 10.0, **more: Any) -> Passage:
    made = Passage(account="cookie-1", mark=mark, is_send=True, path="/", entered=entered)
    given = {"begun": entered, "forwarded": entered, "answered": entered + 0.1, "status": 200}
    return replace(made, **{**given, **more})


def send(mark: str = "c1.1", arrived: float = 10.0, **more: Any) -> Send:
    made = Send(
        account="cookie-1",
        arrived=arrived,
        mark=mark,
        status=200,
        verdict="ok",
        device="sdid-1",
        accepted=True,
    )
    return replace(made, **more)


def reply(mark: str = "c1.1", began: float = 10.0, ended: float = 11.0, **more: Any) -> Reply:
    made = Reply(account="cookie-1", mark=mark, began=began, ended=ended, end="finished")
    return replace(made, **more)


def wire(opened: float, closed: float) -> Wire:
    return Wire(account="cookie-1", channel="channel-1", opened=opened, closed=closed)


def happening(kind: str, at: float, **more: Any) -> Happening:
    return Happening(**{"kind": kind, "begun": at, "ended": at, **more})


def broken(
    *,
    attempts: Sequence[Attempt] = (),
    sends: Sequence[Send] = (),
    replies: Sequence[Reply] = (),
    wires: Sequence[Wire] = (),
    passages: Sequence[Passage] = (),
    happenings: Sequence[Happening] = (),
    log: str = "",
    is_shared: bool = False,
) -> set[str]:
    """The rules that a run with these records breaks."""
    record = Record(LIMITS, is_shared, begun=0.0, attempts=[*attempts], happenings=[*happenings])
    codes = read([], [], log).codes
    record.name_failures(codes)
    evidence = Evidence(sends=sends, replies=replies, wires=wires, passages=passages, codes=codes)
    case = Case(record, evidence, causes(record, [], evidence))
    return {one.rule for one in judge(case)}


def test_a_run_as_it_should_be_breaks_no_rule() -> None:
    """Asked, answered, finished."""
    assert set() == broken(
        attempts=[attempt(), attempt("c1.2", outcome="hung up", text="a", ended=13.0)],
        sends=[send(passage=passage()), send("c1.2", 11.5)],
        replies=[reply(), reply("c1.2", 11.5, 13.2, end="stopped")],
        wires=[wire(1.0, 5.0), wire(4.9, float("inf"))],
        passages=[passage()],
    )


def test_a_gap_below_the_cool_down_is_seen() -> None:
    """Even where the earlier send was held up on its way, within the margin."""
    late = send(arrived=13.0, passage=passage(entered=10.0))
    assert {"no limit is exceeded"} == broken(
        attempts=[attempt(), attempt("c1.2")],
        sends=[late, send("c1.2", 13.4)],
        replies=[reply(), reply("c1.2")],
    )


def test_more_sends_than_a_minute_allows_are_seen() -> None:
    """Four of them where three are allowed, however they are spread."""
    times = [10.0, 40.0, 65.0, 69.9]
    marks = [f"c1.{n}" for n in range(4)]
    records: dict[str, Any] = {
        "attempts": [attempt(mark, t, t + 5) for mark, t in zip(marks, times, strict=True)],
        "sends": [send(mark, t) for mark, t in zip(marks, times, strict=True)],
        "replies": [reply(mark, t, t + 1) for mark, t in zip(marks, times, strict=True)],
    }
    assert {"no limit is exceeded"} == broken(**records)
    records["sends"] = [send(mark, 2 * t) for mark, t in zip(marks, times, strict=True)]
    assert set() == broken(**records)


def test_what_was_held_up_for_longer_than_the_margin_counts_no_longer() -> None:
    """The net did that; the server could not know."""
    late = send(arrived=20.0, passage=passage(entered=10.0))
    assert set() == broken(
        attempts=[attempt(), attempt("c1.2")],
        sends=[late, send("c1.2", 20.3)],
        replies=[reply(), reply("c1.2")],
    )


@pytest.mark.parametrize(
    ("rule", "records"),
    [
        (
            "an account rests as long as poe says",
            {
                "sends": [
                    send(
                        accepted=False,
                        status=429,
                        passage=passage(status=429, retry_after=20.0),
                    ),
                    send("c1.2", 13.0),
                ],
            },
        ),
        ("an account is one device", {"sends": [send(), send("c1.2", 20.0, device="sdid-2")]}),
        ("an account has one websocket", {"wires": [wire(1.0, 50.0), wire(20.0, 60.0)]}),
        (
            "a withdrawn account is left alone",
            {
                "sends": [send(account="cookie-4", arrived=40.0)],
                "happenings": [happening("reload", 5.0, detail="cookie-1")],
            },
        ),
        ("no prompt is sent twice", {"sends": [send(), send(arrived=20.0)]}),
        (
            "no prompt is sent twice",
            {
                "sends": [send()],
                "passages": [
                    passage(answered=None, broken=10.5, account="key-1"),
                    passage(entered=15.0),
                ],
            },
        ),
        (
            "a request is not sent over and over",
            {"sends": [send(arrived=10.0 * n, accepted=False) for n in (1, 3, 5, 9)]},
        ),
        ("every bot is finished or stopped", {"replies": [reply(end="open", ended=9e9)]}),
        ("every bot is finished or stopped", {"replies": [reply(ended=50.0)]}),
        ("every bot is finished or stopped", {"replies": [reply(), reply("stranger")]}),
        ("an answer is whole and the client s own", {"attempts": [attempt(text="ab")]}),
        ("an answer is whole and the client s own", {"attempts": [attempt(text="abcabc")]}),
        (
            "an answer is whole and the client s own",
            {"attempts": [attempt(outcome="hung up", text="b")]},
        ),
        ("an answer was really given", {"replies": []}),
        ("no answer is lost", {"attempts": [attempt(outcome="lost", text="")]}),
        (
            "errors have causes",
            {"attempts": [attempt(outcome="error", code="upstream_uncertain", text="")]},
        ),
        (
            "errors have causes",
            {
                "attempts": [
                    attempt(
                        outcome="error",
                        code="upstream_auth",
                        text="",
                        explains=frozenset({"upstream_auth"}),
                    )
                ]
            },
        ),
        ("errors have causes", {"attempts": [attempt(outcome="cut", text="")]}),
        (
            "no client is refused while an account is free",
            {
                "attempts": [
                    attempt(
                        outcome="refused",
                        code="rate_limit_exceeded",
                        text="",
                        begun=30.0,
                        ended=36.0,
                    )
                ]
            },
        ),
    ],
)
def test_a_rule_sees_what_breaks_it(rule: str, records: dict[str, Any]) -> None:
    """And no other rule takes offence."""
    usual: dict[str, Any] = {
        "attempts": [attempt()],
        "sends": [send()],
        "replies": [reply()],
    }
    assert {rule} == broken(**{**usual, **records})


def test_more_replies_at_once_than_allowed_are_seen() -> None:
    """Those whose clients have left do not count."""
    marks = [f"c1.{n}" for n in range(LIMITS.concurrency + 1)]
    replies = [reply(mark, 10.0 + n, 30.0, end="stopped") for n, mark in enumerate(marks)]
    waiting = [attempt(mark, ended=30.0) for mark in marks]
    assert {"an account answers no more at once than it may"} == broken(
        attempts=waiting, replies=replies
    )
    left = replace(waiting[0], ended=12.0, outcome="hung up", text="")
    assert set() == broken(attempts=[left, *waiting[1:]], replies=replies)


def test_a_traceback_in_the_log_is_a_bug() -> None:
    """Its last line says which."""
    lines = ["Traceback (most recent call last):", '  File "x"', "KeyError: 1"]
    for before in ("", "    | "):
        log = "\n".join(["ERROR failed", *(before + line for line in lines), "INFO more\n"])
        assert ["KeyError: 1"] == read([], [], log).bugs


def test_it_is_seen_when_the_first_come_is_not_the_first_served() -> None:
    """By what came later and went before it, less what came before it and did not."""
    attempts = [
        attempt(f"c1.{n}", 9.0 + 2 * n, 60.0, model="by-key", outcome="hung up", text="")
        for n in range(5)
    ]

    def served(*times: float) -> set[str]:
        passages = [
            passage(one.mark, at, account="key-1") for one, at in zip(attempts, times, strict=True)
        ]
        return broken(attempts=attempts, passages=passages)

    assert set() == served(20.0, 22.0, 24.0, 26.0, 28.0)
    assert {"first come is first served"} == served(39.0, 22.0, 24.0, 26.0, 28.0)


def test_an_error_that_a_fault_explains_is_none() -> None:
    """By its own prompt's trouble, or by what happened while it ran."""
    failed = attempt(outcome="error", code="upstream_uncertain", text="")
    code = frozenset({"upstream_uncertain"})
    assert set() == broken(attempts=[replace(failed, explains=code)])
    assert set() == broken(attempts=[failed], happenings=[happening("outage", 10.0, explains=code)])
    assert {"errors have causes"} == broken(
        attempts=[failed], happenings=[happening("outage", 40.0, explains=code)]
    )


LINE = "2026-11-29 10:00:00,000 INFO    503 ({}) x: total 0.01 s  POST /v1/messages ::1 req_1"
BROKE_OFF = "2026-11-29 10:00:00,000 INFO    req_1 broke off: {}"


@pytest.mark.parametrize("line", [LINE, BROKE_OFF], ids=["status", "stream"])
def test_a_failure_without_a_code_has_that_of_the_log(line: str) -> None:
    """By the id of its request: so an API that tells no codes hides no error either."""
    told = frozenset({"upstream_overloaded"})
    failed = attempt(api="messages", outcome="error", text="", request_id="req_1", explains=told)

    assert set() == broken(attempts=[replace(failed)], log=line.format("upstream_overloaded"))
    assert {"errors have causes"} == broken(
        attempts=[replace(failed)], log=line.format("upstream_protocol")
    )
    assert {"errors have causes", "a failure is told as it is logged"} == broken(
        attempts=[replace(failed)], log=line.replace("req_1", "req_2").format("upstream_overloaded")
    )


def test_a_code_that_is_not_the_log_s_is_seen() -> None:
    """Where the API tells one."""
    code = "upstream_overloaded"
    failed = attempt(
        outcome="error", text="", request_id="req_1", code=code, explains=frozenset({code})
    )

    assert set() == broken(attempts=[failed], log=LINE.format(code))
    assert {"a failure is told as it is logged"} == broken(
        attempts=[failed], log=LINE.format("bot_failed")
    )
    # Only a server that was killed right after it may not have written it.
    for at, rules in (
        (failed.ended + 0.1, set()),
        (failed.ended + 1.0, {"a failure is told as it is logged"}),
    ):
        assert rules == broken(attempts=[failed], happenings=[happening("kill", at)])


def test_only_what_is_refused_for_a_while_counts_as_refused() -> None:
    """A 429 of another kind is an error, which must have a cause."""
    refused = attempt(
        api="messages", outcome="refused", status=429, text="", request_id="req_1", ended=13.0
    )

    assert {"no client is refused while an account is free"} == broken(
        attempts=[replace(refused)], log=LINE.format("rate_limit_exceeded")
    )
    assert {"errors have causes"} == broken(
        attempts=[replace(refused)], log=LINE.format("insufficient_quota")
    )


def test_a_failure_that_is_paid_for_must_say_so() -> None:
    """By a header, and where Codex does not look at it, within a stream."""
    code = frozenset({"upstream_uncertain"})
    failed = attempt(outcome="error", status=502, code="upstream_uncertain", text="", explains=code)
    rule = {"nobody is told to pay again"}

    def seen(*, accepted: bool = True, **more: Any) -> set[str]:
        sends = [send(accepted=accepted)]
        return broken(attempts=[replace(failed, **more)], sends=sends, replies=[reply()])

    assert rule == seen()
    assert set() == seen(accepted=False)
    assert set() == seen(may_retry="false")
    assert set() == seen(may_retry="false", api="responses")
    assert rule == seen(may_retry="false", api="responses", streams=True)
    assert set() == seen(status=200, api="responses", streams=True)


def test_a_bot_goes_on_after_a_crash() -> None:
    """Kill -9 leaves no time for a stop."""
    assert set() == broken(
        attempts=[attempt(outcome="cut", text="")],
        sends=[send()],
        replies=[reply(end="open", ended=float("inf"))],
        happenings=[happening("kill", 11.0)],
    )


def test_the_stand_in_s_journal_is_read() -> None:
    """Sends are joined with their replies and with what the proxy saw of them."""
    way = {"face": "web", "account": "cookie-1", "mark": "c1.1", "chatId": 7}
    refused = {**way, "t": 9.0, "queryName": "sendMessageMutation", "verdict": "bad formkey"}
    journal = [
        {name: value for name, value in refused.items() if name not in ("mark", "chatId")},
        {**way, "t": 10.0, "queryName": "sendMessageMutation", "verdict": "ok", "sdid": "sdid-1"},
        {**way, "t": 10.1, "event": "reply-start"},
        {**way, "t": 11.0, "event": "reply-cancelled"},
    ]
    seen = [passage(entered=8.9), passage(entered=9.9)]
    evidence = read(journal, seen)

    assert [False, True] == [one.accepted for one in evidence.sends]
    assert seen == [one.passage for one in evidence.sends]
    assert [("c1.1", 10.1, 11.0, "stopped")] == [
        (one.mark, one.began, one.ended, one.end) for one in evidence.replies
    ]


def test_in_a_shared_pool_what_is_free_elsewhere_may_be_refused_for_a_while() -> None:
    """A cookie that is at home at another worker, and what a worker has had that was killed."""
    rule = "no client is refused while an account is free"
    by_cookie = attempt(
        outcome="refused", code="rate_limit_exceeded", text="", begun=30.0, ended=36.0
    )
    by_key = replace(by_cookie, model="by-key")

    assert [{rule}, set()] == [
        broken(attempts=[replace(by_cookie)], is_shared=shared) for shared in (False, True)
    ]
    assert {rule} == broken(attempts=[replace(by_key)], is_shared=True)
    for at, rules in ((16.0, set()), (12.0, {rule})):
        killed = happening("kill", at)
        assert rules == broken(attempts=[replace(by_key)], happenings=[killed], is_shared=True)


def test_without_redis_the_pool_is_unavailable_and_at_no_other_time() -> None:
    failed = attempt(outcome="error", status=503, code="pool_unavailable", text="")
    away = happening("redis restarts", 11.0, explains=frozenset({"pool_unavailable"}))

    assert {"errors have causes"} == broken(attempts=[replace(failed)], is_shared=True)
    assert set() == broken(attempts=[replace(failed)], happenings=[away], is_shared=True)


def test_a_seed_is_a_schedule() -> None:
    """The same one, with everything in it that is on the list."""
    long = schedule(7, 600)

    assert long == schedule(7, 600)
    assert long != schedule(8, 600)
    assert {"kill", "terminate", "reload", "bad reload", "outage", "send 429"} <= {
        action.kind for action in long
    }


def test_redis_has_a_schedule_of_its_own() -> None:
    """With it, all else comes as it does without."""
    kinds = ("redis restarts", "redis stands still", "subscriptions lost")
    shared = schedule(7, 60, shared=True)

    assert set(kinds) == {one.kind for one in shared} - {one.kind for one in schedule(7, 60)}
    assert [*schedule(7, 60)] == [one for one in shared if one.kind not in kinds]


@pytest.mark.parametrize("name", sorted(PLANTS))
def test_a_plant_has_its_place(name: str, tmp_path: Path) -> None:
    """What it breaks is there, once; the product itself stays as it is."""
    file = PLANTS[name].file
    copy = planted(name, ROOT, tmp_path)

    assert PLANTS[name].new in (copy / file).read_text("utf-8")
    assert PLANTS[name].old in (ROOT / file).read_text("utf-8")
