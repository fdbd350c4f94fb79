"""What must be true of what clients see: errors that have a cause, and a line that is fair."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from .case import MARGIN, MENDED, Case
from .record import COOKIES, SOUND, Attempt, Happening

#: Seconds for which an account was free while a client was refused, at least.
IDLE: Final = 3.0
#: Seconds after which a worker is taken for dead, and what it had is lent again.
BURIED: Final = 16.0
#: Seconds before a kill in which what was told may not be logged yet.
UNWRITTEN: Final = 0.5
#: Seconds between two requests or two sends whose order is beyond doubt.
APART: Final = 1.0
#: So many may go ahead of their turn: a client's own requests change places among themselves.
AHEAD: Final = 2

#: Codes that say that no account can serve: never true while one account is sound.
_NO_ACCOUNT: Final = frozenset({"upstream_auth", "upstream_blocked", "insufficient_quota"})
_NOT_FOR: Final = {"by-cookie": "key", "by-key": "cookie"}
#: What breaks the websockets of an account, or of all; how often is often, within how many seconds.
_BREAKS: Final = frozenset(
    {
        "websockets cut",
        "socket closed",
        "socket silent",
        "outage",
        "mischief",
        "frames missed",
        "channels lost",
        "channels forgotten",
    }
)
_OFTEN: Final = 3
_LATELY: Final = 15.0


def errors_have_causes(case: Case) -> Iterator[str]:
    """A client sees only errors that a fault of the schedule explains."""
    for one in case.record.attempts:
        if one.outcome in ("error", "broke off"):
            if one.code in _NO_ACCOUNT:
                yield f"{one.mark} for {one.model}: {_error(case, one)}, and {SOUND} were sound"
            elif not _is_explained(case, one):
                yield f"{one.mark} for {one.model}: {_error(case, one)}; {one.trouble}"
        elif one.outcome in ("cut", "down") and not _is_explained(case, one):
            yield f"{one.mark}: {one.outcome} at {case.when(one.ended)} ({one.message})"


def _is_explained(case: Case, one: Attempt) -> bool:
    if one.code and one.code in one.explains:
        return True
    if one.outcome in ("cut", "down"):
        kinds = ("kill", "terminate")
        return any(each.touches(one.begun, one.ended, 1.0) for each in case.record.of_kind(*kinds))
    asked = {
        *(each.account for each in case.evidence.by_mark.get(one.mark, ())),
        *(each.account for each in case.evidence.passages_by_mark.get(one.mark, ())),
    }

    def concerns(each: Happening) -> bool:
        """Whether it is about an account that was asked, or may have been."""
        if each.account.startswith(_NOT_FOR.get(one.model, "none")):
            return False
        return not each.account or not asked or each.account in asked

    if one.code == "rate_limit_exceeded":
        # Its account has to rest before it may send once more; in a stream that has no status.
        return one.outcome == "broke off"
    if one.code in MENDED and one.model != "by-key" and _is_worn(case, one, concerns):
        return True
    return any(
        one.code in each.explains and each.touches(one.begun, one.ended, 1.0) and concerns(each)
        for each in case.causes
    )


def _is_worn(case: Case, one: Attempt, concerns: Callable[[Happening], bool]) -> bool:
    """Return whether websockets broke so often that the server need not mend them once more."""
    breaks = [each for each in case.causes if each.kind in _BREAKS and concerns(each)]
    return _OFTEN <= sum(each.touches(one.begun - _LATELY, one.ended) for each in breaks)


def _error(case: Case, one: Attempt) -> str:
    return f"{one.status} {one.code} at {case.when(one.ended)} ({one.message})"


def a_failure_is_told_as_it_is_logged(case: Case) -> Iterator[str]:
    """Its code stands in the server's log, under the id that the answer has, but where the server
    was killed in the moment between the two."""
    for one in case.record.attempts:
        if one.request_id and one.outcome in ("error", "broke off", "refused"):
            logged = case.evidence.codes.get(one.request_id)
            if logged is None and any(
                one.ended <= each.begun < one.ended + UNWRITTEN
                for each in case.record.of_kind("kill")
            ):
                continue
            if logged is None or logged != one.code:
                yield f"{one.mark}: {_error(case, one)}; as {one.request_id} it is {logged!r}"


def nobody_is_told_to_pay_again(case: Case) -> Iterator[str]:
    """What a bot has begun to answer fails in a way after which no program asks again by itself.

    For most it is enough to say so beside the status. Codex, by a stream of Responses, asks again
    after each 500, whatever stands there.
    """
    for one in case.record.attempts:
        if one.outcome != "error" or one.status < 500:
            continue
        was_asked = any(each.accepted for each in case.evidence.by_mark.get(one.mark, ()))
        is_said = one.may_retry == "false"
        if was_asked and not is_said:
            yield f"{one.mark}: {_error(case, one)} without a word that it is paid for"
        elif (was_asked or is_said) and one.streams and one.api == "responses":
            yield f"{one.mark}: {_error(case, one)} as the status of a stream, which Codex repeats"


def the_server_has_no_bugs(case: Case) -> Iterator[str]:
    """Its log has no traceback."""
    for line, count in Counter(case.evidence.bugs).items():
        yield f"{count} times {line}"


def no_client_is_refused_while_an_account_is_free(case: Case) -> Iterator[str]:
    """A 429 means that no account could serve within the time in line.

    In a shared pool what a worker had that was killed is not free until that is known, and a
    cookie may be at home at another worker than the one that was asked.
    """
    is_shared = case.record.is_shared
    before = BURIED if is_shared else MARGIN
    for one in case.record.attempts:
        if one.outcome != "refused" or case.outages(one.begun - before, one.ended):
            continue
        for account in SOUND:
            kind = "cookie" if account in COOKIES else "key"
            if is_shared and kind == "cookie":
                continue
            if one.model in (f"by-{kind}", "GPT-4o") and _was_free(case, account, one.ended):
                yield (
                    f"{one.mark} for {one.model}: refused at {case.when(one.ended)}, and {account} "
                    f"had been free for {IDLE:g} s"
                )


def _was_free(case: Case, account: str, moment: float) -> bool:
    """Return whether nothing kept an account busy in the last seconds before *moment*."""
    limits = case.record.limits
    sends = case.evidence.by_account.get(account, ())
    since = moment - IDLE - limits.rest(account) - MARGIN
    minute = moment - 60.0 - IDLE
    # A use may be counted whose request was never sent, most of all while the net is down.
    lost = [one for one in case.shaken if one.begun < moment and minute < one.ended]
    recent = [one for one in sends if minute < one.sent <= moment]
    if len(recent) + len(lost) > limits.per_minute(account) * 2 // 3:
        return False
    passages = case.evidence.passages_by_account.get(account, ())
    if any(since < one.entered < moment for one in passages):
        return False
    running = [
        one
        for one in case.evidence.replies
        if one.account == account and one.began < moment and one.ended > since
    ]
    return len(running) < limits.at_once(account)


def first_come_is_first_served(case: Case) -> Iterator[str]:
    """Of requests for the same tokens, no more are sent before one than were in line before it.

    By key a request is sent as soon as it is lent one. By cookie a login may come between, so
    only those are looked at that waited until they were refused. A streamed request may take the
    place of a whole one of the same client: that one comes later then, and makes up for it.
    In a shared pool who asks the worker at which a cookie is at home goes before others.
    """
    for model in ("by-key",) if case.record.is_shared else ("by-key", "by-cookie"):
        attempts = [one for one in case.record.attempts if one.model == model]
        turns = {one.mark: _turn(case, one) for one in attempts}
        for one in attempts:
            turn = turns[one.mark]
            if turn is None or turn < one.begun + APART or one in case.shaken:
                continue
            # One that was refused later had an account for a while.
            was_in_line = turn - one.begun < case.record.limits.queue_timeout + 0.5
            if model == "by-key" or (one.outcome == "refused" and was_in_line):
                yield from _overtaken(case, one, turn, turns, attempts)


def _overtaken(
    case: Case,
    one: Attempt,
    turn: float,
    turns: Mapping[str, float | None],
    attempts: Sequence[Attempt],
) -> Iterator[str]:
    passed = [
        each
        for each in attempts
        if each.begun > one.begun + APART
        and each.mark in case.evidence.passages_by_mark
        and (turns[each.mark] or turn) < turn - APART
    ]
    made_up = [
        each
        for each in attempts
        if each is not one
        and each.begun <= one.begun < each.ended
        and (turns[each.mark] or turn) >= turn
    ]
    if len(passed) > len(made_up) + AHEAD:
        yield (
            f"{one.mark} for {one.model}: in line from {case.when(one.begun)} to "
            f"{case.when(turn)}, and {len(passed)} that came later went before it, such as "
            f"{passed[0].mark} of {case.when(passed[0].begun)}"
        )


def _turn(case: Case, one: Attempt) -> float | None:
    """Return when it was its turn, or when it was refused; None if it left the line."""
    if found := case.evidence.passages_by_mark.get(one.mark):
        return min(each.entered for each in found)
    return one.ended if one.outcome == "refused" else None
