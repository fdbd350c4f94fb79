"""What must be true of the accounts: their pace, their rests, what Poe sees of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from .case import MARGIN, Case
from .evidence import Send, Wire
from .record import COMING, COOKIES, KEYS

#: Seconds by which two clocks that read the same time may differ in order.
BLUR: Final = 0.02
#: Seconds for which two websockets of an account may be open while one takes the other's place.
MENDING: Final = 15.0
#: Seconds in which Poe may note the end of a reply that the server has read.
SWITCHING: Final = 0.25
#: Seconds after a refusal in which a send may still be on its way that was let go before it.
UNDER_WAY: Final = 1.0
#: Seconds after a reload in which the server may not have read its settings yet.
RELOADING: Final = 15.0


def no_limit_is_exceeded(case: Case) -> Iterator[str]:
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


def an_account_rests_as_long_as_poe_says(case: Case) -> Iterator[str]:
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


def an_account_is_one_device(case: Case) -> Iterator[str]:
    """The id that Poe sees is the same for ever, restarts or not."""
    for account, sends in sorted(case.evidence.by_account.items()):
        devices = dict.fromkeys(one.device for one in sends if one.device)
        if len(devices) > 1:
            yield f"{account}: {len(devices)} device ids ({', '.join(devices)})"


def an_account_has_one_websocket(case: Case) -> Iterator[str]:
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


def a_withdrawn_account_is_left_alone(case: Case) -> Iterator[str]:
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


def an_account_answers_no_more_at_once_than_it_may(case: Case) -> Iterator[str]:
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
