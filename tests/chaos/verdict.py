"""What must be true of a run, whatever happened in it; each rule finds its violations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final

from .evidence import Evidence, Reply, Send, Wire
from .proxy import Passage, Snag
from .record import COMING, COOKIES, KEYS, SOUND, Attempt, Happening, Record

#: Seconds for which a use that is on its way counts as now, at most.
MARGIN: Final = 5.0
#: Seconds by which two clocks that read the same time may differ in order.
BLUR: Final = 0.02
#: Seconds after a client's end in which its bot is stopped; no figure of speed, but far more than
#: a busy machine needs.
STOP_TIME: Final = 20.0
#: A stop that cannot be delivered is tried again for so long.
STOP_TRIES: Final = 60.0
#: Seconds for which two websockets of an account may be open while one takes the other's place.
MENDING: Final = 15.0
#: Seconds in which Poe may note the end of a reply that the server has read.
SWITCHING: Final = 0.25
#: Seconds after a refusal in which a send may still be on its way that was let go before it.
UNDER_WAY: Final = 1.0
#: Seconds after a reload in which the server may not have read its settings yet.
RELOADING: Final = 15.0
#: Seconds for which an account was free while a client was refused, at least.
IDLE: Final = 3.0

#: Seconds between two requests or two leases whose order is beyond doubt.
APART: Final = 1.0
#: So many may go ahead of their turn: a client's own requests change places among themselves.
AHEAD: Final = 2

#: Codes that say that no account can serve: never true while one account is sound.
_NO_ACCOUNT: Final = frozenset({"upstream_auth", "upstream_blocked", "insufficient_quota"})
#: What Poe notes of a send that it gave no answer.
_DROPPED: Final = frozenset({"dropped", "fault reset", "fault reset after accept"})
#: What breaks the websockets of an account, or of all; and how often in a short time is often.
_BREAKS: Final = frozenset(
    {"websockets cut", "socket closed", "socket silent", "outage", "mischief", "frames missed",
     "channels lost", "channels forgotten"}
)  # fmt: skip
_OFTEN: Final = 3
_NOT_FOR: Final = {"by-cookie": "key", "by-key": "cookie"}
_CUT: Final = frozenset(
    {"upstream_unreachable", "upstream_login", "upstream_uncertain", "upstream_interrupted"}
)
_CUTS: Final = {
    "cut request": _CUT,
    "cut unanswered": _CUT,
    # In the middle of its head an answer looks complete, and makes no sense.
    "cut answer": _CUT | {"upstream_protocol"},
}
_MENDED: Final = frozenset({"upstream_interrupted", "upstream_timeout", "upstream_uncertain"})


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that was broken, and what shows it."""

    rule: str
    evidence: str


@dataclass(frozen=True)
class Case:
    """Both records of a run, side by side."""

    record: Record
    evidence: Evidence
    #: What made trouble: what the stage did, and the snags that requests ran into.
    causes: Sequence[Happening]

    def when(self, moment: float) -> str:
        """Return a time as seconds since the beginning."""
        return f"{moment - self.record.begun:.2f}s"

    @cached_property
    def shaken(self) -> Sequence[Attempt]:
        """The attempts during which the way to Poe, or the server, was interrupted."""
        return [one for one in self.record.attempts if self.outages(one.begun, one.ended)]

    def outages(self, begun: float, ended: float) -> list[Happening]:
        """Return what interrupted the way to Poe, or the server, in a stretch of time."""
        kinds = ("kill", "terminate", "outage")
        return [one for one in self.record.of_kind(*kinds) if one.touches(begun, ended)]


def causes(
    record: Record, met: Sequence[tuple[float, Snag]], evidence: Evidence
) -> list[Happening]:
    """Return all that may be behind an error."""
    snags = [
        Happening(
            kind=snag.where,
            begun=at,
            ended=at,
            account=snag.account,
            explains=_CUTS.get(snag.where, frozenset()),
            detail="send" if snag.sends else "",
        )
        for at, snag in met
    ]
    mischief = [
        Happening(kind="mischief", begun=at, ended=at, account=account, explains=_MENDED)
        for at, account in evidence.mischief
    ]
    return sorted([*record.happenings, *snags, *mischief], key=lambda one: one.begun)


def judge(case: Case) -> list[Violation]:
    """Return all violations, by rule."""
    return [
        Violation(rule.__name__.replace("_", " ").strip(), shown)
        for rule in RULES
        for shown in rule(case)
    ]


# ---- the accounts' pace


def _no_limit_is_exceeded(case: Case) -> Iterator[str]:
    """In no minute more sends than allowed, and none too soon after another."""
    for account, sends in sorted(case.evidence.by_account.items()):
        if not account or account in ("bad", "missing"):
            continue
        limits = case.record.limits
        for what, times in _both_views(sends):
            most = limits.per_minute(account)
            worst = _most_in_a_minute(times)
            if worst[0] > most:
                yield (
                    f"{account}: {worst[0]} sends within 60 s by {what}, from "
                    f"{case.when(worst[1])} on; allowed are {most}"
                )
            rest = limits.rest(account)
            gaps = [
                (later[1] - earlier[0], earlier, later)
                for earlier, later in pairwise(times)
                if later[1] - earlier[0] < rest - BLUR
            ]
            if rest and gaps:
                least = min(gaps)
                yield (
                    f"{account}: {len(gaps)} of {len(times) - 1} gaps below {rest:g} s by {what}; "
                    f"the least is {least[0]:.3f} s at {case.when(least[2][1])}"
                )


def _both_views(sends: Sequence[Send]) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """Yield the times of sends as Poe saw them, and as they left.

    Each is a pair: when it counts for what comes later, and for what came before. One that was
    on its way for longer than the margin counts from then.
    """
    arrived = sorted((min(one.arrived, one.sent + MARGIN), one.arrived) for one in sends)
    yield "arrival at Poe", arrived
    yield "departure", sorted((one.sent, one.sent) for one in sends)


def _most_in_a_minute(times: Sequence[tuple[float, float]]) -> tuple[int, float]:
    most, begun, first = 0, 0.0, 0
    for place, (_, latest) in enumerate(times):
        while first < place and times[first][0] <= latest - 60.0 + BLUR:
            first += 1
        if place - first + 1 > most:
            most, begun = place - first + 1, times[first][0]
    return most, begun


def _an_account_rests_as_long_as_poe_says(case: Case) -> Iterator[str]:
    """After a 429 with `Retry-After` nothing is sent until it has passed."""
    for account, sends in sorted(case.evidence.by_account.items()):
        for refused in sends:
            told = refused.passage
            if told is None or told.status != 429 or told.answered is None or not told.retry_after:
                continue
            rests = told.answered + UNDER_WAY, told.answered + told.retry_after - BLUR
            early = [one for one in sends if rests[0] < one.sent < rests[1]]
            if early and told.broken is None:
                shown = ", ".join(f"+{one.sent - told.answered:.1f}" for one in early)
                yield (
                    f"{account}: Poe said Retry-After {told.retry_after:g} at "
                    f"{case.when(told.answered)}, and sends came at {shown} s"
                )


def _an_account_is_one_device(case: Case) -> Iterator[str]:
    """The id that Poe sees is the same for ever, restarts or not."""
    for account, sends in sorted(case.evidence.by_account.items()):
        devices = dict.fromkeys(one.device for one in sends if one.device)
        if len(devices) > 1:
            yield f"{account}: {len(devices)} device ids ({', '.join(devices)})"


def _an_account_has_one_websocket(case: Case) -> Iterator[str]:
    """Two at a time only for the moments in which one takes the place of the other."""
    for account in COOKIES:
        wires = sorted(
            (one for one in case.evidence.wires if one.account == account),
            key=lambda one: one.opened,
        )
        for place, wire in enumerate(wires):
            for later in wires[place + 1 :]:
                both = _overlap(wire, later)
                if both > MENDING:
                    yield (
                        f"{account}: {wire.channel} and {later.channel} were open together "
                        f"for {both:.1f} s from {case.when(later.opened)} on"
                    )


def _overlap(one: Wire, other: Wire) -> float:
    return min(one.closed, other.closed) - max(one.opened, other.opened)


def _a_withdrawn_account_is_left_alone(case: Case) -> Iterator[str]:
    """After a reload or a restart without it nothing is begun on an account."""
    reloads = case.record.of_kind("reload")
    ends = [*(one.begun for one in reloads), float("inf")][1:]
    for reload, end in zip(reloads, ends, strict=True):
        for account in COMING:
            if account in reload.detail.split():
                continue
            restarts = [one.ended for one in case.record.of_kind("kill", "terminate")]
            since = min(
                [reload.begun + RELOADING, *(t for t in restarts if t > reload.begun)],
            )
            for send in case.evidence.by_account.get(account, ()):
                if since < send.sent < end:
                    yield (
                        f"{account}: withdrawn at {case.when(reload.begun)}, and a send at "
                        f"{case.when(send.sent)}"
                    )


def _an_account_answers_no_more_at_once_than_it_may(case: Case) -> Iterator[str]:
    """Of the replies that clients still wait for."""
    ends = {one.mark: one.ended for one in case.record.attempts}
    for account in (*COOKIES, *KEYS):
        # From its beginning to its end, or to its client's.
        replies = [
            (one.began, min(one.ended, ends.get(one.mark, 0.0)))
            for one in case.evidence.replies
            if one.account == account
        ]
        most = case.record.limits.at_once(account)
        for began, _ in replies:
            count = sum(other <= began < ended - SWITCHING for other, ended in replies)
            if count > most:
                yield f"{account}: {count} replies at {case.when(began)}; allowed are {most}"
                break


# ---- the prompts


def _no_prompt_is_sent_twice(case: Case) -> Iterator[str]:
    """Once a bot has it, or may have it, a prompt is not sent again."""
    for mark, sends in case.evidence.by_mark.items():
        for earlier, later in pairwise(sends):
            # By key a 500 before the first byte may be followed by one more send.
            is_safe = earlier.account.startswith("key") and earlier.status == 500
            may_have_arrived = earlier.accepted or earlier.verdict in _DROPPED
            if may_have_arrived and not is_safe:
                yield (
                    f"{mark}: arrived at {earlier.account} at {case.when(earlier.arrived)} "
                    f"({earlier.verdict}), sent again to {later.account} at "
                    f"{case.when(later.arrived)}"
                )
    for lost, again in _sent_after_a_lost_answer(case):
        yield (
            f"{lost.mark}: went to {lost.account} at {case.when(lost.entered)} and its answer "
            f"was lost ({lost.snag or 'cut'}); sent again to {again.account} at "
            f"{case.when(again.entered)}"
        )


def _sent_after_a_lost_answer(case: Case) -> Iterator[tuple[Passage, Passage]]:
    for passages in case.evidence.passages_by_mark.values():
        for earlier, later in pairwise(passages):
            was_lost = earlier.forwarded is not None and earlier.answered is None
            if was_lost and earlier.broken is not None:
                yield earlier, later


def _a_request_is_not_sent_over_and_over(case: Case) -> Iterator[str]:
    """Each account once, and once more where its keys were renewed."""
    for mark, sends in case.evidence.by_mark.items():
        counts = Counter(one.account for one in sends)
        for account, count in counts.items():
            if count > 3:
                yield f"{mark}: sent {count} times to {account} ({len(sends)} sends in all)"


def _every_bot_is_finished_or_stopped(case: Case) -> Iterator[str]:
    """No bot goes on at Poe when its client or the server has ended."""
    attempts = {one.mark: one for one in case.record.attempts}
    for reply in case.evidence.replies:
        attempt = attempts.get(reply.mark)
        if attempt is None:
            yield f"{reply.account}: a bot answered {reply.mark!r}, which no client asked"
            continue
        allowed = STOP_TIME
        if case.outages(attempt.ended - 1, attempt.ended + STOP_TIME):
            allowed += STOP_TRIES
        if _was_killed(case, reply, attempt):
            continue
        if reply.end == "open" or (reply.ended > attempt.ended + allowed):
            yield (
                f"{reply.account}: the bot of {reply.mark} ({attempt.outcome} "
                f"{attempt.code or ''} at {case.when(attempt.ended)}) "
                + _how_it_went_on(case, reply)
            )


def _was_killed(case: Case, reply: Reply, attempt: Attempt) -> bool:
    """Return whether a crash may have come before the stop was out."""
    is_net_down = case.outages(attempt.ended - 1, attempt.ended + MARGIN)
    until = attempt.ended + (STOP_TRIES if is_net_down else MARGIN)
    return any(one.touches(reply.began - MARGIN, until) for one in case.record.of_kind("kill"))


def _how_it_went_on(case: Case, reply: Reply) -> str:
    if reply.end == "open":
        return f"began at {case.when(reply.began)} and was never stopped"
    return f"went on until {case.when(reply.ended)}, and was {reply.end}"


# ---- the answers


def _an_answer_is_whole_and_the_client_s_own(case: Case) -> Iterator[str]:
    """Nothing is lost, doubled, crossed or shortened, in a part of an answer neither."""
    for one in case.record.attempts:
        is_part = one.outcome != "answered" or one.shortens
        fits = one.expected.startswith(one.text) if is_part else one.expected == one.text
        if not fits:
            yield f"{one.mark} ({one.outcome}, {one.trouble or 'no trouble'}): {_difference(one)}"
        if one.malformed and not (is_part and one.outcome == "hung up"):
            yield f"{one.mark}: {one.malformed}"


def _difference(one: Attempt) -> str:
    at = next(
        (
            place
            for place, (left, right) in enumerate(zip(one.expected, one.text, strict=False))
            if left != right
        ),
        min(len(one.expected), len(one.text)),
    )
    return (
        f"{len(one.text)} characters of {len(one.expected)}; at {at} "
        f"{one.text[at : at + 40]!r} in place of {one.expected[at : at + 40]!r}"
    )


def _an_answer_was_really_given(case: Case) -> Iterator[str]:
    """What a client got was said by a bot that was asked for it."""
    for one in case.record.attempts:
        if one.outcome == "answered" and one.mark not in case.evidence.replies_by_mark:
            yield f"{one.mark}: answered, and no bot was asked"


def _no_answer_is_lost(case: Case) -> Iterator[str]:
    """Every request has an end."""
    for one in case.record.attempts:
        if one.outcome == "lost":
            yield f"{one.mark}: nothing came from {case.when(one.begun)} on"


# ---- the errors


def _errors_have_causes(case: Case) -> Iterator[str]:
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
    if one.code in _MENDED and _is_worn(case, one):
        return True
    if one.code == "rate_limit_exceeded":
        # Its account has to rest before it may send once more; in a stream that has no status.
        return one.outcome == "broke off"
    return any(
        one.code in each.explains
        and each.touches(one.begun, one.ended, 1.0)
        # What happened to an account that was not asked, or never would be, is no excuse.
        and (not each.account or not asked or each.account in asked)
        and not each.account.startswith(_NOT_FOR.get(one.model, "none"))
        for each in case.causes
    )


def _is_worn(case: Case, one: Attempt) -> bool:
    """Return whether websockets broke so often that the server need not mend them once more."""
    breaks = [each for each in case.causes if each.kind in _BREAKS]
    return _OFTEN <= sum(each.touches(one.begun - MENDING, one.ended) for each in breaks)


def _error(case: Case, one: Attempt) -> str:
    return f"{one.status} {one.code} at {case.when(one.ended)} ({one.message})"


def _the_server_has_no_bugs(case: Case) -> Iterator[str]:
    """Its log has no traceback."""
    for line, count in Counter(case.evidence.bugs).items():
        yield f"{count} times {line}"


def _nobody_is_refused_while_an_account_is_free(case: Case) -> Iterator[str]:
    """A 429 means that no account could serve within the time in line."""
    for one in case.record.attempts:
        if one.outcome != "refused" or case.outages(one.begun - MARGIN, one.ended):
            continue
        for account in SOUND:
            kind = "cookie" if account in COOKIES else "key"
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


def _first_come_is_first_served(case: Case) -> Iterator[str]:
    """Of requests for the same tokens, no more are sent before one than were in line before it.

    By key a request is sent as soon as it is lent one. By cookie a login may come between, so
    only those are looked at that waited until they were refused. A streamed request may take the
    place of a whole one of the same client: that one comes later then, and makes up for it.
    """
    for model in ("by-key", "by-cookie"):
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


RULES: Final[Sequence[Callable[[Case], Iterator[str]]]] = (
    _no_limit_is_exceeded,
    _an_account_rests_as_long_as_poe_says,
    _an_account_is_one_device,
    _an_account_has_one_websocket,
    _an_account_answers_no_more_at_once_than_it_may,
    _a_withdrawn_account_is_left_alone,
    _no_prompt_is_sent_twice,
    _a_request_is_not_sent_over_and_over,
    _every_bot_is_finished_or_stopped,
    _an_answer_is_whole_and_the_client_s_own,
    _an_answer_was_really_given,
    _no_answer_is_lost,
    _errors_have_causes,
    _the_server_has_no_bugs,
    _nobody_is_refused_while_an_account_is_free,
    _first_come_is_first_served,
)
