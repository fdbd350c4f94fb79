"""What one new class is enough for: a limit, a failure, a ledger, a store. None of them is in the
product."""

from __future__ import annotations

import json
import pickle
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import pytest

from poe_proxy.errors import (
    NoTokenFree,
    TokenHeldBack,
    TokenLimited,
    TokenRejected,
    UpstreamError,
)
from poe_proxy.pool.ledger import Ledger, Outlook, Served, TokenState, Want
from poe_proxy.pool.limits import Limit, Rest, Within
from poe_proxy.pool.memory import MemoryLedger
from poe_proxy.pool.rotator import Token, TokenRotator
from poe_proxy.pool.store import Note, Remembered, Store

from ..fakes import Clock

DAY = 86_400.0


def use(tokens: TokenRotator[Any], failure: BaseException | None = None) -> str:
    """Lease a token, send something that Poe answers with *failure*; return the token's label."""
    label = ""
    with suppress(UpstreamError), tokens.lease() as lease:
        lent = lease.wait(0)
        assert lent is not None
        label = lent.label
        assert lease.may_send(0)
        lease.arrived()
        if failure is not None:
            raise failure
    return label


# ---- a limit


@dataclass(frozen=True, slots=True)
class PerDay:
    """At most *calls* uses within any 24 hours."""

    calls: int
    window: ClassVar[float] = DAY

    def wait(self, used_at: Sequence[float], now: float) -> float:
        if len(used_at) < self.calls:
            return 0.0
        return max(0.0, used_at[-self.calls] + self.window - now)


def test_a_limit_is_one_class() -> None:
    """The rotator heeds it beside the others: in line, in its census and in what clients hear."""
    clock = Clock()
    limits: tuple[Limit, ...] = (PerDay(3), Rest(10.0))
    tokens = TokenRotator([Token("a", None, limits=limits)], clock=clock)

    for _ in range(3):
        assert "a" == use(tokens)
        clock.go(3600.0)
    with pytest.raises(NoTokenFree) as refusal:
        use(tokens)

    assert DAY - 3 * 3600 == refusal.value.retry_after
    assert 1 == tokens.census()["resting"]
    clock.go(DAY - 3 * 3600)
    assert "a" == use(tokens)
    clock.go(10.0)
    with pytest.raises(NoTokenFree) as refusal:
        use(tokens)
    assert 3590 == refusal.value.retry_after


def test_a_limit_holds_within_a_lease_too() -> None:
    """What is sent twice counts twice, for each limit."""
    clock = Clock()
    tokens = TokenRotator([Token("a", None, limits=(PerDay(2),))], clock=clock)

    with tokens.lease() as lease:
        assert lease.wait(0)
        for _ in range(2):
            assert lease.may_send(0)
            lease.arrived()
        with pytest.raises(TokenHeldBack) as refusal:
            lease.may_send(0)

    assert DAY == refusal.value.retry_after


# ---- a failure


class TokenSleepy(UpstreamError):
    """The token is tired."""

    rest = 5.0


class TokenForged(UpstreamError):
    """The token was never a good one."""

    suspends = True


class TokenWeak(UpstreamError):
    """The token broke down: another one is asked first, the next time."""

    strikes = "account"


class TokenBroke(UpstreamError):
    """The account has nothing left."""

    is_out_of_points = True


@pytest.mark.parametrize(
    ("failure", "after_4_s", "after_5_s"),
    [
        pytest.param(TokenSleepy("Yawn."), "limited", "free", id="rest"),
        pytest.param(TokenSleepy("Yawn.", retry_after=2.0), "free", "free", id="rest, as Poe says"),
        pytest.param(TokenForged("Fake."), "suspended", "suspended", id="suspends"),
        pytest.param(TokenBroke("Broke."), "limited", "limited", id="is_out_of_points"),
        pytest.param(TokenWeak("Ouch."), "free", "free", id="strikes"),
        pytest.param(UpstreamError("Hm."), "free", "free", id="nothing"),
    ],
)
def test_a_failure_is_one_class(failure: UpstreamError, after_4_s: str, after_5_s: str) -> None:
    """What becomes of its token is read from the class: the rotator knows none by name."""
    clock = Clock()
    tokens = TokenRotator([Token("a", None)], clock=clock)
    use(tokens, failure)

    clock.go(4.0)
    assert 1 == tokens.census()[after_4_s]
    clock.go(1.0)
    assert 1 == tokens.census()[after_5_s]
    assert isinstance(failure, TokenBroke) == bool(tokens.doubted())
    assert [isinstance(failure, TokenWeak)] == [state.is_struck for _, state in tokens.states()]


# ---- a ledger


class Elsewhere(Ledger):
    """A ledger on the other side of a wire: nothing but bytes goes there, or comes back."""

    def __init__(self, clock: Clock) -> None:
        self._there = MemoryLedger(clock=clock)

    def _call(self, verb: str, *values: Any, **named: Any) -> Any:
        wanted, values, named = pickle.loads(pickle.dumps((verb, values, named)))
        return pickle.loads(pickle.dumps(getattr(self._there, wanted)(*values, **named)))

    def enlist(
        self, name: str, *, rank: int = 0, concurrency: int = 1, limits: Sequence[Limit] = ()
    ) -> None:
        self._call("enlist", name, rank=rank, concurrency=concurrency, limits=limits)

    def withdraw(self, name: str) -> None:
        self._call("withdraw", name)

    def serve(self, line: Iterable[Want]) -> Served:
        served: Served = self._call("serve", list(line))
        return served

    def use(self, lease: str) -> float:
        wait: float = self._call("use", lease)
        return wait

    def arrived(self, lease: str) -> None:
        self._call("arrived", lease)

    def give_back(self, lease: str) -> None:
        self._call("give_back", lease)

    def rest(
        self, name: str, seconds: float, reason: str = "", code: str = "", *, bot: str = ""
    ) -> None:
        self._call("rest", name, seconds, reason, code, bot=bot)

    def strike(self, name: str, reason: str = "", *, bot: str = "", costly: bool = False) -> None:
        self._call("strike", name, reason, bot=bot, costly=costly)

    def reconsider(self, name: str) -> None:
        self._call("reconsider", name)

    def clear(self, name: str, *, bot: str = "") -> bool:
        is_changed: bool = self._call("clear", name, bot=bot)
        return is_changed

    def exhaust(self, name: str, reason: str = "") -> None:
        self._call("exhaust", name, reason)

    def suspend(self, name: str, reason: str, code: str = "") -> None:
        self._call("suspend", name, reason, code)

    def revive(self, name: str) -> None:
        self._call("revive", name)

    def retire(self, name: str, reason: str) -> None:
        self._call("retire", name, reason)

    def state(self, names: Collection[str], *, bot: str = "") -> Mapping[str, TokenState]:
        states: Mapping[str, TokenState] = self._call("state", sorted(names), bot=bot)
        return states

    def outlook(self, names: Collection[str]) -> Mapping[str, Outlook]:
        outlooks: Mapping[str, Outlook] = self._call("outlook", sorted(names))
        return outlooks


class Upstream:
    """Something that can be sent nowhere."""

    def __reduce__(self) -> str:
        raise AssertionError("an upstream has no business in a ledger")


def worker(ledger: Ledger, clock: Clock, **options: Any) -> TokenRotator[Upstream]:
    """A rotator as each of several processes has one, over the same accounts."""
    limits = (Within(2, 60.0), Rest(10.0))
    return TokenRotator(
        [Token(label, Upstream(), limits=limits) for label in ("a", "b")],
        clock=clock,
        ledger=ledger,
        **options,
    )


def test_a_ledger_is_one_class() -> None:
    """Only plain values go in and out, so what is known of the tokens may live anywhere."""
    clock = Clock()
    tokens = worker(Elsewhere(clock), clock)

    with tokens.lease() as first, tokens.lease() as second, tokens.lease() as third:
        assert ["a", "b"] == [lent.label for lent in (first.wait(0), second.wait(0)) if lent]
        assert third.wait(0) is None
        assert first.may_send(0)
        first.arrived()
        assert not first.may_send(0)
    clock.go(10.0)
    assert "a" == use(tokens, TokenRejected("Logged out."))
    assert "b" == use(tokens, TokenLimited("Slow.", retry_after=20.0))

    census = {state: count for state, count in tokens.census().items() if count}
    assert {"suspended": 1, "limited": 1} == census
    for token, _ in tokens.states():
        tokens.revive(token)
    clock.go(50.0)
    assert 2 == tokens.census()["free"]


def test_two_that_share_a_ledger_share_the_tokens() -> None:
    """Neither lends what the other has, or exceeds what the other has used."""
    clock = Clock()
    ledger = Elsewhere(clock)
    one, other = worker(ledger, clock), worker(ledger, clock)

    with one.lease() as first, other.lease() as second, other.lease() as third:
        assert ["a", "b"] == [lent.label for lent in (first.wait(0), second.wait(0)) if lent]
        assert third.wait(0) is None
        assert 2 == one.census()["in_use"] == other.census()["in_use"]
        first.__exit__(None, None, None)
        assert third.wait(0) is None
        clock.go(10.0)
        # What happens in one process is seen in another when its own line is served next.
        second.__exit__(None, None, None)
        lent = third.wait(0)
        assert lent is not None
        assert "a" == lent.label


# ---- a store


class Sheet(Store):
    """A sheet of JSON: all that there is of a pool while no process runs."""

    def __init__(self, clock: Clock) -> None:
        self.text = "{}"
        self._clock = clock

    def _write(self, name: str, change: Mapping[str, Any]) -> None:
        sheet = json.loads(self.text)
        sheet[name] = {"uses": {}, "notes": [], "at": 0.0, **sheet.get(name, {}), **change}
        self.text = json.dumps(sheet)

    def recall(self, name: str, window: float) -> Remembered:
        known = json.loads(self.text).get(name)
        if known is None:
            return Remembered()
        now = self._clock()
        return Remembered(
            sorted((now - at for at in known["uses"].values() if now - at <= window), reverse=True),
            [
                Note(**{**note, "seconds": note["seconds"] - (now - known["at"])})
                for note in known["notes"]
            ],
        )

    def add_use(self, name: str, use: str) -> None:
        uses = json.loads(self.text).get(name, {}).get("uses", {})
        self._write(name, {"uses": {**uses, use: self._clock() + 5.0}})

    def settle_use(self, use: str, ago: float) -> None:
        for name, known in json.loads(self.text).items():
            if use in known["uses"]:
                self._write(name, {"uses": {**known["uses"], use: self._clock() - ago}})

    def keep_notes(self, name: str, notes: Sequence[Note]) -> None:
        self._write(name, {"notes": [asdict(note) for note in notes], "at": self._clock()})


def test_a_store_is_one_class() -> None:
    """What it keeps holds in the next process: limits, and what Poe said."""
    clock = Clock()
    sheet = Sheet(clock)
    first = worker(MemoryLedger(clock=clock, store=sheet), clock)
    assert "a" == use(first, TokenLimited("Slow.", retry_after=20.0))
    assert "b" == use(first)
    clock.go(4.0)
    second = worker(MemoryLedger(clock=clock, store=sheet), clock)

    assert ["Slow.", ""] == [state.reason for _, state in second.states()]
    assert [16.0, 6.0] == [state.rest for _, state in second.states()]
    clock.go(6.0)
    assert "b" == use(second)
