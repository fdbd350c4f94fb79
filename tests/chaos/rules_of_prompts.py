"""What must be true of the prompts: sent once, answered whole, and stopped in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from .case import MARGIN, Case
from .evidence import Reply
from .proxy import Passage
from .record import Attempt

#: Seconds after a client's end in which its bot is stopped; no figure of speed, but far more than
#: a busy machine needs.
STOP_TIME: Final = 20.0
#: A stop that cannot be delivered is tried again for so long.
STOP_TRIES: Final = 60.0

#: What Poe notes of a send that it gave no answer.
_DROPPED: Final = frozenset({"dropped", "fault reset", "fault reset after accept"})


def no_prompt_is_sent_twice(case: Case) -> Iterator[str]:
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


def a_request_is_not_sent_over_and_over(case: Case) -> Iterator[str]:
    """Each account once, and once more where its keys were renewed."""
    for mark, sends in case.evidence.by_mark.items():
        counts = Counter(one.account for one in sends)
        for account, count in counts.items():
            if count > 3:
                yield f"{mark}: sent {count} times to {account} ({len(sends)} sends in all)"


def every_bot_is_finished_or_stopped(case: Case) -> Iterator[str]:
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


def an_answer_is_whole_and_the_client_s_own(case: Case) -> Iterator[str]:
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


def an_answer_was_really_given(case: Case) -> Iterator[str]:
    """What a client got was said by a bot that was asked for it."""
    for one in case.record.attempts:
        if one.outcome == "answered" and one.mark not in case.evidence.replies_by_mark:
            yield f"{one.mark}: answered, and no bot was asked"


def no_answer_is_lost(case: Case) -> Iterator[str]:
    """Every request has an end."""
    for one in case.record.attempts:
        if one.outcome == "lost":
            yield f"{one.mark}: nothing came from {case.when(one.begun)} on"
