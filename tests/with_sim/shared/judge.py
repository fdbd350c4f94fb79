"""What must be true of Poe's own record, and of what clients got. Each rule yields what breaks it.

A use counts from its lending at the latest until a window after its arrival, so the times at which
Poe saw the sends keep the limits, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from ...chaos.evidence import Evidence, read
from .load import Asked

Entry = Mapping[str, Any]

#: Seconds by which two clocks that read the same time may differ in order.
BLUR: Final = 0.02
#: Seconds in which Poe may note the end of a reply that the server has read.
SWITCHING: Final = 0.25
#: Seconds in which the old home of an account, which is told that it is none, closes its websocket.
LETTING_GO: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What accounts of a kind may do."""

    calls: int
    window: float
    at_once: int
    rest: float = 0.0


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time in which something did not behave, and may not have."""

    begun: float
    ended: float


class Case:
    """Both records of a run."""

    def __init__(
        self,
        journal: Sequence[Entry],
        asked: Sequence[Asked],
        paces: Mapping[str, Pace],
        log: str = "",
    ) -> None:
        self.journal = journal
        self.asked = asked
        #: By the beginning of the accounts' names at Poe: `key`, `cookie`.
        self.paces = paces
        self.evidence: Evidence = read(journal, (), log)
        self.begun = min((one["t"] for one in journal), default=0.0)

    def pace(self, account: str) -> Pace:
        return self.paces[account.partition("-")[0]]

    def fullest(self, account: str) -> int:
        """The most sends of an account within its window."""
        times = sorted(one.arrived for one in self.evidence.by_account.get(account, ()))
        window = self.pace(account).window
        return max((sum(t <= each < t + window for each in times) for t in times), default=0)

    def when(self, moment: float) -> str:
        return f"{moment - self.begun:.2f}s"


def judge(
    case: Case,
    *,
    codes: Collection[str] = (),
    cuts: Sequence[Stretch] = (),
    frozen: Sequence[Stretch] = (),
) -> list[str]:
    """Return all that is wrong. Clients may see these *codes*, and connections that break while
    servers are brought down, in the *cuts*. What ran in a server that was *frozen* still runs when
    its account is lent again."""
    return [
        *limits(case),
        *concurrency(case, frozen),
        *prompts(case),
        *sessions(case, frozen),
        *answers(case, codes, cuts),
        *(f"bugs: {one}" for one in case.evidence.bugs),
    ]


def limits(case: Case) -> Iterator[str]:
    """In no window more sends than allowed, and none too soon after another."""
    for account, sends in sorted(case.evidence.by_account.items()):
        pace = case.pace(account)
        times = sorted(one.arrived for one in sends)
        for earlier, later in zip(times, times[pace.calls :], strict=False):
            if later - earlier < pace.window - BLUR:
                yield (
                    f"limits: {account}: more than {pace.calls} sends within {pace.window:g} s, "
                    f"from {case.when(earlier)} to {case.when(later)}"
                )
                break
        for earlier, later in pairwise(times):
            if later - earlier < pace.rest - BLUR:
                yield (
                    f"limits: {account}: {later - earlier:.3f} s between two sends at "
                    f"{case.when(later)}"
                )
                break


def concurrency(case: Case, frozen: Sequence[Stretch] = ()) -> Iterator[str]:
    """Of the replies that clients wait for, no more at once than allowed."""
    ends = {one.mark: one.ended for one in case.asked}
    running: dict[str, list[tuple[float, float]]] = {}
    for one in case.evidence.replies:
        ended = min(one.ended, ends.get(one.mark, float("inf")))
        if not any(one.began < each.begun < ended for each in frozen):
            running.setdefault(one.account, []).append((one.began, ended))
    for account, replies in sorted(running.items()):
        most = case.pace(account).at_once
        for began, _ in replies:
            count = sum(other <= began < ended - SWITCHING for other, ended in replies)
            if count > most:
                yield (
                    f"concurrency: {account}: {count} replies at {case.when(began)}; "
                    f"allowed are {most}"
                )
                break


def prompts(case: Case) -> Iterator[str]:
    """No prompt is asked twice; Poe makes no trouble here after which one may be."""
    for mark, count in Counter(one.mark for one in case.evidence.replies).items():
        if count > 1:
            yield f"prompts: {mark} was asked {count} times"
    known = {one.mark for one in case.asked}
    if strange := {one.mark for one in case.evidence.sends} - known:
        yield f"prompts: Poe was asked what no client asked: {sorted(strange)}"


def sessions(case: Case, frozen: Sequence[Stretch] = ()) -> Iterator[str]:
    """A cookie has one home at a time.

    Two of its websockets are open together only while the old home closes its own; and once a new
    address has asked, the old one does not ask again before it has logged in anew.
    """
    wires = sorted(case.evidence.wires, key=lambda one: one.opened)
    for place, wire in enumerate(wires):
        for later in wires[place + 1 :]:
            both = min(wire.closed, later.closed) - max(wire.opened, later.opened)
            is_excused = any(one.begun < later.opened < one.ended for one in frozen)
            if wire.account == later.account and both > LETTING_GO and not is_excused:
                yield (
                    f"sessions: {wire.account}: {wire.channel} and {later.channel} were open "
                    f"together for {both:.1f} s from {case.when(later.opened)} on"
                )
    homes: dict[str, str] = {}
    for entry in case.journal:
        account = entry.get("account")
        if entry["face"] != "web" or not account or "peer" not in entry or "event" in entry:
            continue
        if entry.get("path") == "/" and entry.get("verdict") == "ok":
            homes[account] = entry["peer"]
        elif entry.get("queryName") == "sendMessageMutation" and entry["peer"] != homes.get(
            account
        ):
            yield (
                f"sessions: {account}: {entry['peer']} asks at {case.when(entry['t'])}, and "
                f"{homes.get(account)} was the last to log in"
            )
            break


def answers(case: Case, codes: Collection[str], cuts: Sequence[Stretch]) -> Iterator[str]:
    """Each is whole, or an honest error: it has a code that may be, and says when to come back."""
    for one in case.asked:
        begun, ended = case.when(one.begun), case.when(one.ended)
        if one.outcome in ("error", "broke off"):
            if one.code not in codes:
                yield f"answers: {one.mark} of {begun}: {one.status} {one.code} ({one.message})"
            elif one.status in (429, 503) and one.retry_after is None:
                yield f"answers: {one.mark} of {begun}: {one.status} without a Retry-After"
        elif one.outcome in ("cut", "down"):
            if not any(each.begun <= one.ended and one.begun <= each.ended for each in cuts):
                yield f"answers: {one.mark} of {begun}: {one.outcome} at {ended} ({one.message})"
        elif one.outcome not in ("whole", "hung up"):
            yield f"answers: {one.mark} of {begun}: {one.outcome} at {ended} ({one.message})"
    given = {one.mark for one in case.evidence.replies}
    for one in case.asked:
        if one.outcome == "whole" and one.mark not in given:
            yield f"answers: {one.mark} of {case.when(one.begun)}: no bot gave it"
