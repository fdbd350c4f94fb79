"""What becomes of a token: how a lease ends, points that ran out, and each sending."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from math import inf
from types import SimpleNamespace

import pytest

from poe_proxy.errors import (
    BotFailed,
    NoPointsLeft,
    NoTokenFree,
    NoTokenLeft,
    PoeProxyError,
    TokenExhausted,
    TokenHeldBack,
    TokenLimited,
    TokenRejected,
    UpstreamBlocked,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from poe_proxy.pool import leases
from poe_proxy.pool.ledger import Served, Want
from poe_proxy.pool.limits import Rest, Within
from poe_proxy.pool.memory import MemoryLedger
from poe_proxy.pool.rotator import TokenRotator

from ..fakes import Clock
from .fixtures import labels, lend, only, out_of_points, pool, sends, state, token, use

# ---- how a lease ends


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(None, id="success"),
        pytest.param(BotFailed("It broke."), id="failure at Poe"),
        pytest.param(UpstreamTimeout("Silence."), id="silence"),
        pytest.param(ZeroDivisionError(), id="fault of our own"),
        pytest.param(GeneratorExit(), id="hang-up"),
        pytest.param(KeyboardInterrupt(), id="ctrl-c"),
        pytest.param(SystemExit(), id="end of the process"),
    ],
)
def test_a_lease_is_always_given_back(failure: BaseException | None) -> None:
    """However a reply ends, its token is free again, and has lost nothing."""
    tokens = pool("a")

    use(tokens, failure)

    assert {"free": 1} == state(tokens)


def test_a_lease_lets_failures_pass() -> None:
    """The block's failure goes on to those above."""
    with pytest.raises(BotFailed), pool("a").lease():
        raise BotFailed("It broke.")


def test_a_lease_is_given_back_once() -> None:
    """Leaving a lease twice does not free a token that another lease has by now."""
    tokens = pool("a")
    lease = tokens.lease()
    lend(lease.__enter__())
    lease.__exit__(None, None, None)

    with tokens.lease() as other:
        assert "a" == lend(other).label
        lease.__exit__(None, None, None)
        assert {"in_use": 1} == state(tokens)


def test_a_rejected_token_does_not_come_back_by_time_alone() -> None:
    """A rejection by Poe sets a token aside until Poe is seen to take it; the others take all
    turns."""
    clock = Clock()
    tokens = pool("a", "b", clock=clock)

    assert "a" == use(tokens, TokenRejected("Logged out."))

    assert ["b", "b", "b"] == labels(tokens, 3)
    clock.go(1e9)
    assert ["b", "b"] == labels(tokens, 2)
    assert {"free": 1, "suspended": 1} == state(tokens)


def test_replies_in_flight_do_not_bring_a_rejected_token_back() -> None:
    """A reply that ends well on a token rejected meanwhile changes nothing."""
    tokens = pool("a", concurrency=2)
    with tokens.lease() as lease:
        lend(lease)
        use(tokens, TokenRejected("Logged out."))

    assert {"suspended": 1} == state(tokens)


def test_without_any_token_left_there_is_no_line() -> None:
    """Once the last token is rejected, requests are refused at once, in line or not."""
    tokens = pool("a")
    holder = tokens.lease()
    lend(holder.__enter__())

    with tokens.lease() as waiting:
        assert waiting.wait(0) is None
        holder.__exit__(TokenRejected, TokenRejected("Logged out."), None)
        with pytest.raises(NoTokenLeft):
            waiting.wait(0)
    with pytest.raises(NoTokenLeft):
        use(tokens)
    assert {"suspended": 1} == state(tokens)


@pytest.mark.parametrize(
    ("failure", "rest"),
    [
        pytest.param(TokenLimited("Slow."), 30.0, id="limited"),
        pytest.param(TokenLimited("Slow.", retry_after=7.0), 7.0, id="limited, with a time"),
        pytest.param(TokenLimited("Slow.", retry_after=0.001), 1.0, id="limited, hardly"),
        pytest.param(TokenLimited("Slow.", retry_after=0.0), 1.0, id="limited, no longer"),
        pytest.param(UpstreamOverloaded("Busy.", retry_after=9.0), 9.0, id="busy, with a time"),
    ],
)
def test_a_tired_token_rests(failure: BaseException, rest: float) -> None:
    """A token that had its share rests as long as Poe says, else as long as the class says."""
    clock = Clock()
    tokens = pool("a", clock=clock)

    use(tokens, failure)

    clock.go(rest - 0.01)
    assert {"limited": 1} == state(tokens)
    clock.go(0.02)
    assert {"free": 1} == state(tokens)


def test_what_poe_says_behind_a_client_that_hung_up_counts() -> None:
    """The next request is not sent into the same refusal; what waits for the token is refused."""
    tokens = pool("a", patience=10.0)
    with suppress(GeneratorExit), tokens.lease() as lease:
        assert sends(lease)
        raise GeneratorExit
    with tokens.lease() as other, tokens.lease() as waiting:
        assert lend(other)
        lease.refused(TokenLimited("Slow down.", retry_after=20))
        with pytest.raises(NoTokenFree, match=r"Slow down\."):
            waiting.wait(0)
        with pytest.raises(TokenHeldBack, match=r"Slow down\."):
            other.may_send(0)

    assert {"limited": 1} == state(tokens)


def test_a_long_rest_is_not_cut_short_by_a_second_failure() -> None:
    """Of two rests the longer one holds."""
    clock = Clock()
    tokens = pool("a", clock=clock, concurrency=2)
    with tokens.lease() as lease:
        lend(lease)
        use(tokens, TokenLimited("Slow.", retry_after=100))
        lease.__exit__(TokenLimited, TokenLimited("Slow.", retry_after=5), None)

    clock.go(99.0)
    assert {"limited": 1} == state(tokens)


@pytest.mark.parametrize(
    ("failure", "last_word"),
    [
        pytest.param(TokenRejected("Logged out."), NoTokenLeft, id="rejected"),
        pytest.param(UpstreamBlocked("Robot?"), UpstreamBlocked, id="challenged"),
    ],
)
def test_one_refusal_sets_a_token_aside_and_not_for_good(
    failure: UpstreamError, last_word: type[PoeProxyError]
) -> None:
    """One odd answer says little: the token is to be looked at after a minute, and may be lent
    again as soon as Poe is seen to take it. Until then clients hear when that will be."""
    clock = Clock()
    tokens = pool("a", clock=clock)
    use(tokens, failure)

    clock.go(15.0)
    with pytest.raises(last_word) as refusal:
        use(tokens)
    assert 45 == refusal.value.retry_after
    assert failure.message in refusal.value.message
    clock.go(45.0)
    assert {"suspended": 1} == state(tokens)

    tokens.revive(only(tokens))

    assert "a" == use(tokens)


def test_a_token_is_retired_after_several_refusals_a_look_apart() -> None:
    """Refusals that come together count as one; after six it is for the operator to renew it."""
    clock = Clock()
    tokens = pool("a", clock=clock)

    for pause in (0.0, 60.0, 1.0, 300.0, 900.0, 3600.0):
        clock.go(pause)
        tokens.suspend(only(tokens), TokenRejected("Logged out."))
    assert {"suspended": 1} == state(tokens)
    clock.go(3600.0)
    tokens.suspend(only(tokens), TokenRejected("Logged out."))

    assert {"retired": 1} == state(tokens)
    with pytest.raises(NoTokenLeft) as refusal:
        use(tokens)
    assert refusal.value.retry_after is None


# ---- what failed a moment ago


def test_a_token_that_failed_is_passed_over() -> None:
    """The next requests go to others; it is tried again after a while, and by one at a time."""
    clock = Clock()
    tokens = pool("a", "b", clock=clock, concurrency=3)

    assert "a" == use(tokens, UpstreamUnreachable("No way."))

    assert ["b", "b", "b"] == labels(tokens, 3)
    clock.go(5.0)
    with tokens.lease() as probe, tokens.lease() as other:
        assert ["a", "b"] == [lend(probe).label, lend(other).label]
    assert "b" == use(tokens, probes=False)


def test_a_bot_that_failed_is_not_the_fault_of_the_token() -> None:
    """Other bots are asked with it as before."""
    tokens = pool("a", "b")

    assert "a" == use(tokens, UpstreamOverloaded("Busy."), bot="Sora")

    assert ["b", "b"] == [use(tokens, bot="sora") for _ in range(2)]
    assert "a" == use(tokens, bot="GPT-4o")


def test_a_token_that_failed_is_lent_if_there_is_no_other() -> None:
    """What failed a moment ago may work now: nothing is refused for it."""
    tokens = pool("a", "b")
    for _ in range(2):
        use(tokens, UpstreamUnreachable("No way."))

    assert ["a", "b", "a"] == labels(tokens, 3)


def test_what_failed_is_forgotten_once_the_bot_says_something() -> None:
    """The first word is enough, the reply may go on for minutes."""
    clock = Clock()
    tokens = pool("a", "b", clock=clock, concurrency=2)
    assert "a" == use(tokens, UpstreamOverloaded("Busy."), bot="Sora")
    assert "b" == use(tokens, bot="Sora")
    clock.go(5.0)

    with tokens.lease(bot="Sora") as lease:
        assert "a" == lend(lease).label
        assert ["b", "b"] == [use(tokens, bot="Sora") for _ in range(2)]
        lease.worked()
        assert ["a", "b"] == [use(tokens, bot="Sora") for _ in range(2)]


def test_what_works_again_is_for_those_who_waited_for_better() -> None:
    """They need not wait for another token once this one has answered."""
    clock = Clock()
    tokens = pool("a", "b", clock=clock, concurrency=2)
    assert "a" == use(tokens, UpstreamUnreachable("No way."))
    clock.go(5.0)

    with tokens.lease(), tokens.lease() as probe, tokens.lease() as third:
        assert ["a", "b"] == [lend(probe).label, lend(third).label]
        with tokens.lease() as waiting:
            assert waiting.token is None
            probe.worked()
            assert waiting.token is not None
            assert "a" == waiting.token.label


def test_what_failed_is_lent_once_there_is_nothing_better() -> None:
    """A request that waits for a better token gets the other one when that is taken."""
    clock = Clock()
    good, failing = token("a", limits=(Rest(60.0),)), token("b")
    tokens = TokenRotator([good, failing], clock=clock, points_check=65.0)
    assert "a" == use(tokens, TokenExhausted("Too dear."), bot="Sora")
    clock.go(60.0)
    assert "b" == use(tokens, UpstreamUnreachable("No way."), avoid={good})

    with tokens.lease(bot="Sora") as waiting:
        assert waiting.token is None
        with tokens.lease(bot="GPT-4o") as other:
            assert other.token is good
            assert waiting.token is failing


# ---- points


def test_a_bot_that_is_too_dear_rests_alone() -> None:
    """A 402 may be about one bot: the account answers for all others, until its balance says that
    there is nothing left."""
    clock = Clock()
    tokens = pool("a", clock=clock)

    use(tokens, TokenExhausted("Too dear."), bot="Veo-3")

    with pytest.raises(NoPointsLeft) as refusal:
        use(tokens, bot="veo-3")
    assert "Too dear." in refusal.value.message
    assert 300 == refusal.value.retry_after
    assert "a" == use(tokens, bot="GPT-4o")
    assert {"free": 1} == state(tokens)
    clock.go(300.0)
    assert "a" == use(tokens, bot="Veo-3")


def test_one_request_for_a_dear_bot_does_not_lay_the_pool_to_rest() -> None:
    """It goes to each account, is refused by each, and costs the other bots nothing."""
    tokens = pool("a", "b", "c")

    tried = [use(tokens, TokenExhausted("Too dear."), bot="Veo-3") for _ in range(3)]

    assert ["a", "b", "c"] == tried
    assert ["a", "b", "c"] == [use(tokens, bot="GPT-4o") for _ in range(3)]


def test_a_balance_is_in_doubt_until_it_is_known() -> None:
    """Whether the account has any points is asked once, however many bots were too dear."""
    tokens = pool("a", "b")
    use(tokens, TokenExhausted("Too dear."), bot="Veo-3")

    assert ["a"] == [one.label for one in tokens.doubted()]
    assert tokens.look.is_set()
    tokens.trust(tokens.doubted()[0])
    assert [] == tokens.doubted()


def empty(tokens: TokenRotator[None], *labels: str) -> None:
    """Let those accounts have no points."""
    for one, _ in tokens.states():
        if one.label in labels:
            tokens.exhaust(one, "The account is empty.")


def test_if_all_are_out_of_points_the_answer_says_that() -> None:
    """Accounts without points are another answer than accounts that rest."""
    tokens = pool("a", "b", patience=5.0)
    empty(tokens, "a")
    use(tokens, TokenExhausted("Empty."), bot="Sora")

    with pytest.raises(NoPointsLeft) as refusal:
        use(tokens, bot="Sora")
    assert 300 == refusal.value.retry_after
    empty(tokens, "b")
    with pytest.raises(NoPointsLeft) as refusal:
        use(tokens)
    assert refusal.value.retry_after is None


def test_if_one_only_rests_points_are_not_the_matter() -> None:
    """One account that merely rests makes it worth a later try."""
    tokens = pool("a", "b", patience=5.0)
    empty(tokens, "a")
    use(tokens, TokenLimited("Slow.", retry_after=50))

    with pytest.raises(NoTokenFree) as refusal:
        use(tokens)

    assert not isinstance(refusal.value, NoPointsLeft)
    assert 50 == refusal.value.retry_after
    assert "Slow." in refusal.value.message


def test_if_some_are_set_aside_the_others_decide_what_is_said() -> None:
    """Without points, or set aside: what may change sooner is the answer."""
    tokens = pool("a", "b", "c", patience=5.0)
    use(tokens, TokenRejected("Logged out."))
    empty(tokens, "b", "c")

    with pytest.raises(NoPointsLeft):
        use(tokens)


def test_a_token_without_points_rests_until_it_is_revived() -> None:
    """It does not come back by time alone, whatever Poe says about time."""
    clock = Clock()
    ledger = MemoryLedger(clock=clock)
    tokens = pool("a", clock=clock, ledger=ledger)
    empty(tokens, "a")
    clock.go(1e9)

    with pytest.raises(NoPointsLeft) as refusal:
        use(tokens)
    assert refusal.value.retry_after is None
    (exhausted,) = out_of_points(tokens)
    assert inf == ledger.state(["a"])["a"].rest

    tokens.revive(exhausted)

    assert [] == out_of_points(tokens)
    assert "a" == use(tokens)


def test_reviving_serves_the_line() -> None:
    """The first in line gets the revived token without asking again."""
    tokens = pool("a", "b")
    empty(tokens, "a")

    with tokens.lease() as holder, tokens.lease() as waiting:
        assert "b" == lend(holder).label
        assert waiting.token is None
        tokens.revive(out_of_points(tokens)[0])
        assert waiting.token is not None
        assert "a" == waiting.token.label


def test_a_revived_token_serves_as_many_as_it_can() -> None:
    """As many of the line are served at once as the token serves at a time."""
    tokens = TokenRotator([token("a", concurrency=2), token("b")], clock=Clock())
    empty(tokens, "a")

    with tokens.lease(), tokens.lease() as one, tokens.lease() as two, tokens.lease() as three:
        tokens.revive(out_of_points(tokens)[0])
        assert [True, True, False] == [lease.token is not None for lease in (one, two, three)]


def test_every_token_without_points_is_known() -> None:
    """Whatever its kind: its balance decides when it comes back."""
    tokens = TokenRotator([token("cookie"), token("key", kind="key"), token("fit")], clock=Clock())

    empty(tokens, "cookie", "key")

    assert ["cookie", "key"] == [one.label for one in out_of_points(tokens)]
    assert {"free": 1, "out_of_points": 2} == state(tokens)


def test_a_token_that_is_revived_is_no_longer_out_of_points() -> None:
    """Once it has points again it counts as a token like any other."""
    tokens = pool("a", patience=1.0)
    empty(tokens, "a")
    tokens.revive(out_of_points(tokens)[0])
    use(tokens, TokenLimited("Slow.", retry_after=10))

    with pytest.raises(NoTokenFree) as refusal:
        use(tokens)

    assert NoTokenFree is type(refusal.value)


# ---- sending


def test_a_use_counts_from_when_it_is_sent() -> None:
    """A login may take its time between the two: the token rests behind what Poe has seen."""
    clock = Clock()
    tokens = pool("a", clock=clock, limits=(Rest(10),))

    with tokens.lease() as lease:
        lend(lease)
        clock.go(7)
        assert sends(lease)
    clock.go(9)
    assert 1 == tokens.census()["resting"]
    clock.go(1)
    assert 1 == tokens.census()["free"]


def test_what_is_lent_holds_its_place_until_it_is_sent() -> None:
    """A use that was never sent counts from when the token was lent."""
    clock = Clock()
    tokens = pool("a", clock=clock, limits=(Rest(10),))

    with tokens.lease() as lease:
        lend(lease)
        clock.go(7)
    clock.go(2)
    assert 1 == tokens.census()["resting"]
    clock.go(1)
    assert 1 == tokens.census()["free"]


def test_what_is_sent_twice_counts_twice() -> None:
    """Within a lease a token rests like between two, and the second use is one for the limits."""
    clock = Clock()
    tokens = pool("a", clock=clock, limits=(Within(2, 60.0), Rest(10)), patience=100.0)

    with tokens.lease() as lease:
        lend(lease)
        assert sends(lease)
        assert not sends(lease)
        clock.go(9)
        assert not sends(lease)
        clock.go(1)
        assert sends(lease)
        clock.go(10)
        assert not sends(lease)
        clock.go(40)
        assert sends(lease)


def test_of_two_that_were_lent_one_after_the_other_neither_is_sent_too_soon() -> None:
    """Where logins take longer than the rest, one waits for the other all the same."""
    clock = Clock()
    tokens = pool("a", clock=clock, limits=(Rest(10),), concurrency=2)

    with tokens.lease() as first, tokens.lease() as second:
        lend(first)
        clock.go(10)
        lend(second)
        clock.go(2)
        assert not sends(first)
        assert sends(second)
        clock.go(9)
        assert not sends(first)
        clock.go(1)
        assert sends(first)


def test_a_use_that_is_older_than_every_limit_does_no_harm() -> None:
    """What was noted at the lending may be forgotten by the time it is sent."""
    clock = Clock()
    tokens = pool("a", clock=clock, limits=(Rest(10),), concurrency=2)

    with tokens.lease() as slow:
        lend(slow)
        clock.go(100)
        use(tokens)
        assert not sends(slow)
        clock.go(10)
        assert sends(slow)


def test_a_lease_that_waits_to_send_comes_before_the_line() -> None:
    """A request that has its token is not overtaken, time and again, by those without one."""
    clock = Clock()
    tokens = pool("a", clock=clock, limits=(Rest(10),), concurrency=2)

    with tokens.lease() as first:
        lend(first)
        assert sends(first)
        assert not sends(first)
        with tokens.lease() as other:
            clock.go(10)
            assert other.wait(0) is None
            assert sends(first)
            clock.go(10)
            assert other.wait(0)


def test_a_lease_that_gives_up_waiting_to_send_lets_the_line_on() -> None:
    """The token of one that hung up meanwhile is lent as soon as it is rested."""
    clock = Clock()
    tokens = pool("a", clock=clock, limits=(Rest(10),), concurrency=2)

    with tokens.lease() as first:
        lend(first)
        assert sends(first)
        assert not sends(first)
    with tokens.lease() as other:
        clock.go(10)
        assert other.wait(0)


def test_sending_waits_no_longer_than_a_place_in_line() -> None:
    """If the rest is longer than that, another token may do: nothing was sent."""
    tokens = pool("a", limits=(Rest(10),), patience=5.0)

    with tokens.lease() as lease:
        lend(lease)
        assert lease.may_send(0)
        with pytest.raises(TokenHeldBack) as refusal:
            lease.may_send(0)

    assert 10 == refusal.value.retry_after


def test_sending_waits_for_the_token_and_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait for time to pass ends with that time, or with the seconds that were asked for."""
    clock = Clock()
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        clock.go(seconds)

    monkeypatch.setattr(leases, "time", SimpleNamespace(sleep=sleep))
    tokens = pool("a", clock=clock, limits=(Rest(10.0),))

    with tokens.lease() as lease:
        lend(lease)
        assert lease.may_send(3600.0)
        lease.arrived()
        assert not lease.may_send(4.0)
        assert not lease.may_send(3600.0)
        assert lease.may_send(3600.0)

    assert [4.0, 6.0] == waited


@pytest.mark.parametrize(
    ("happens", "reason", "retry_after"),
    [
        pytest.param(TokenLimited("Slow.", retry_after=20), "Slow.", 20, id="limited"),
        pytest.param(TokenRejected("Logged out."), "Logged out.", None, id="rejected"),
        pytest.param(UpstreamBlocked("Robot?"), "Robot?", None, id="challenged"),
        pytest.param(TokenExhausted("Too dear."), "Too dear.", 300, id="no points for the bot"),
    ],
)
def test_what_poe_holds_back_is_not_sent(
    happens: UpstreamError, reason: str, retry_after: int | None
) -> None:
    """Also if it was lent before Poe said so: another account is asked instead."""
    clock = Clock()
    tokens = pool("a", clock=clock, concurrency=3)

    with tokens.lease(bot="Sora") as lent, tokens.lease(bot="Sora") as again:
        lend(lent)
        assert sends(again)
        use(tokens, happens, bot="Sora")
        for lease in (lent, again):
            with pytest.raises(TokenHeldBack) as refusal:
                lease.may_send(0)
            assert reason in refusal.value.message
            assert retry_after == refusal.value.retry_after


def test_what_holds_back_another_bot_is_sent() -> None:
    """A bot that is too dear does not stop the others."""
    tokens = pool("a", concurrency=2)

    with tokens.lease(bot="GPT-4o") as lent:
        lend(lent)
        use(tokens, TokenExhausted("Too dear."), bot="Veo-3")
        assert sends(lent)


def test_an_account_without_points_sends_nothing() -> None:
    """Whatever was lent before its balance was known."""
    tokens = pool("a")

    with tokens.lease() as lease:
        lend(lease)
        empty(tokens, "a")
        with pytest.raises(TokenHeldBack, match="The account is empty"):
            lease.may_send(0)


def test_what_was_hung_up_on_is_not_sent() -> None:
    """A thread may come with its request after the client has gone: then it is too late."""
    tokens = pool("a")
    with tokens.lease() as lease:
        lend(lease)

    with pytest.raises(TokenHeldBack):
        lease.may_send(0)
    lease.arrived()
    lease.worked()
    assert {"free": 1} == state(tokens)


def test_until_it_has_arrived_a_use_counts_from_now() -> None:
    """What is on its way may arrive at any moment, but not later than 5 s after its sending."""
    clock = Clock()
    tokens = pool("a", clock=clock, limits=(Rest(10),))

    with tokens.lease() as lease:
        lend(lease)
        assert lease.may_send(0)
        clock.go(2.0)
        lease.arrived()
        lease.arrived()
    clock.go(9.0)
    assert {"resting": 1} == state(tokens)
    clock.go(1.0)
    assert {"free": 1} == state(tokens)

    with tokens.lease() as lease:
        lend(lease)
        assert lease.may_send(0)
    clock.go(14.0)
    assert {"resting": 1} == state(tokens)
    clock.go(1.0)
    assert {"free": 1} == state(tokens)


def test_what_has_arrived_lets_the_line_go_on_sooner() -> None:
    """The first in line is served when the token is rested from then on."""
    clock = Clock()
    tokens = pool("a", clock=clock, limits=(Rest(10),), concurrency=2)

    with tokens.lease() as lease, tokens.lease() as waiting:
        lend(lease)
        assert lease.may_send(0)
        clock.go(1.0)
        lease.arrived()
        assert 10.0 == tokens.serve_due()
        clock.go(10.0)
        tokens.serve_due()
        assert waiting.token is not None


def test_a_second_use_lets_the_line_go_on() -> None:
    """While a lease waits for its next use the line has to wait; no longer."""
    clock = Clock()
    tokens = pool("a", clock=clock, limits=(Within(2, 60.0),), concurrency=2, patience=100.0)

    with tokens.lease() as lease:
        lend(lease)
        assert [True, True, False] == [sends(lease) for _ in range(3)]
        with tokens.lease() as waiting:
            clock.go(60.0)
            assert waiting.wait(0) is None
            assert lease.may_send(0)
            assert waiting.token is not None


def test_what_changes_nothing_is_no_reason_to_look_through_the_line() -> None:
    """Each request sends, arrives and is answered; where no limit counts that, and nothing was held
    against the token, nobody in line can be served for it."""

    class Counting(MemoryLedger):
        looks = 0

        def serve(self, line: Iterable[Want]) -> Served:
            self.looks += 1
            return super().serve(line)

    clock = Clock()
    ledger = Counting(clock=clock)
    tokens = pool("a", clock=clock, ledger=ledger)
    with tokens.lease() as lease, tokens.lease() as waiting:
        lend(lease)
        before = ledger.looks
        assert sends(lease)
        lease.worked()
        assert before == ledger.looks
        assert waiting.token is None
        lease.__exit__(None, None, None)
        assert waiting.token is not None
