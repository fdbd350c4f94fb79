"""The judge of these tests finds what it is to find: two servers on the same accounts that know
nothing of each other break every promise of a shared pool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ..servers import until
from .judge import Case, Pace, Stretch, judge
from .load import Asked
from .stage import Stage

PACES = {
    "key": Pace(calls=8, window=2.0, at_once=2),
    "cookie": Pace(calls=3, window=2.0, at_once=1, rest=0.3),
}


def asked(mark: str, **fields: Any) -> Asked:
    """What a client got from the first second to the second one: all, if nothing else is said."""
    return Asked(
        **{
            "mark": mark,
            "host": 0,
            "model": "by-key",
            "streams": True,
            "expected": "all of it",
            "begun": 1.0,
            "ended": 2.0,
            "outcome": "whole",
            "status": 200,
            **fields,
        }
    )


def sent(mark: str, at: float) -> list[dict[str, Any]]:
    """What Poe notes of a prompt by key."""
    number = round(at * 1000)
    reply = {"face": "api", "key": "key-1", "mark": mark, "request": number}
    return [
        {"face": "api", "n": number, "t": at, "path": "/v1/chat/completions", "key": "key-1",
         "mark": mark, "status": 200, "verdict": "ok"},
        {**reply, "t": at + 0.01, "event": "reply-start"},
        {**reply, "t": at + 0.5, "event": "reply-end"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("found", "one"),
    [
        ("", asked("a")),
        ("prompts: a was asked 2 times", asked("a", expected="twice")),
        ("answers: a of 0.00s: 500 internal_error (oh)",
         asked("a", outcome="error", status=500, code="internal_error", message="oh")),
        ("", asked("a", outcome="error", status=503, code="pool_unavailable", retry_after=5.0)),
        ("answers: a of 0.00s: 503 without a Retry-After",
         asked("a", outcome="error", status=503, code="pool_unavailable")),
        ("answers: a of 0.00s: cut at 1.00s (reset)", asked("a", outcome="cut", message="reset")),
        ("", asked("a", outcome="cut", begun=8.0, ended=9.5)),
        ("answers: a of 0.00s: lost at 1.00s (time)", asked("a", outcome="lost", message="time")),
        ("answers: a of 0.00s: no bot gave it", asked("a", expected="nothing")),
    ],
)  # fmt: skip
def test_each_answer_is_whole_or_an_honest_error(found: str, one: Asked) -> None:
    """A server was brought down from the ninth second to the tenth."""
    times = {"twice": (1.0, 1.5), "nothing": ()}.get(one.expected, (1.0,))
    journal = [{"face": "api", "t": 1.0}, *(e for at in times for e in sent("a", at))]
    case = Case(journal, [one], {"key": PACES["key"]})

    wrong = judge(case, codes={"pool_unavailable"}, cuts=[Stretch(9.0, 10.0)])
    assert ([found] if found else []) == wrong


def test_one_server_by_itself_does_nothing_wrong(tmp_path: Path) -> None:
    """What the judge finds in the other test is not of the load's own making."""
    with _without_redis(tmp_path, hosts=1) as alone:
        with alone.load(clients=10, models=("by-key", "by-cookie")) as load:
            until(lambda: load.answered() >= 40)

        assert [] == alone.wrong(codes={"rate_limit_exceeded"})


def test_two_servers_that_share_nothing_are_caught(tmp_path: Path) -> None:
    """Limits, replies at a time and sessions: each is broken sooner or later, and found."""
    with _without_redis(tmp_path, hosts=2) as apart:

        def kinds() -> set[str]:
            found = apart.wrong(codes={"rate_limit_exceeded"})
            return {one.partition(":")[0] for one in found}

        with apart.load(clients=20, models=("by-key", "by-cookie")):
            until(lambda: {"limits", "concurrency", "sessions"} <= kinds())


def _without_redis(folder: Path, hosts: int) -> Stage:
    """Servers that have the accounts each for itself."""
    return Stage(folder, keys=2, cookies=2, paces=PACES, hosts=hosts, workers=1, redis=False)
