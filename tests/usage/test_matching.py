"""Which charges are for which requests."""

from __future__ import annotations

from poe_proxy.usage.matching import MOST_TIED, Sent, Taken, matched, names, plain

SECOND = 1_000_000


def sent(
    id: int, at: float, took: float = 2.0, *, client: str = "alice", bot: str = "claude",
    sends: int = 1,
) -> Sent:  # fmt: skip
    """A request that was sent then."""
    return Sent(id, client, bot, round(at * SECOND), round((at + took) * SECOND), sends)


def taken(at: float, points: int = 10, *, bot: str = "claude") -> Taken:
    """A charge."""
    return Taken(f"q{at}", bot, round(at * SECOND), points)


def found(requests: list[Sent], charges: list[Taken]) -> dict[int, int]:
    """The points of those requests of which they are certain."""
    return {one.id: sum(it.points for it in its) for one, its in matched(requests, charges)}


def test_a_charge_while_its_bot_was_asked_is_for_the_request() -> None:
    """At its beginning or at its end: Poe does not say which."""
    assert {1: 10} == found([sent(1, 100)], [taken(100.2)])
    assert {1: 10} == found([sent(1, 100)], [taken(102.1)])
    assert {1: 10} == found([sent(1, 100, took=600)], [taken(300)])


def test_clocks_may_differ_a_little() -> None:
    """And by no more."""
    assert {1: 10} == found([sent(1, 100)], [taken(97.5)])
    assert {} == found([sent(1, 100)], [taken(96.5)])
    assert {} == found([sent(1, 100)], [taken(105.5)])


def test_another_bot_is_another_charge() -> None:
    """Two bots at the same time are told apart."""
    requests = [sent(1, 100), sent(2, 100, bot="gpt")]

    assert {1: 10, 2: 20} == found(requests, [taken(100), taken(100.1, 20, bot="gpt")])
    assert {} == found([sent(1, 100)], [taken(100, bot="gpt")])


def test_a_charge_that_is_not_ours_leaves_an_estimate() -> None:
    """Somebody else uses the key at the same time: nobody knows whose is whose."""
    assert {} == found([sent(1, 100)], [taken(100), taken(101)])
    assert {1: 10} == found([sent(1, 100)], [taken(50), taken(100), taken(150)])


def test_a_request_without_a_charge_leaves_an_estimate() -> None:
    """One charge may be of either."""
    assert {} == found([sent(1, 100), sent(2, 101)], [taken(101)])


def test_requests_of_one_client_at_the_same_time_are_told_apart_by_their_order() -> None:
    """Whichever it is: what the client is charged with is the sum."""
    assert {1: 10, 2: 30} == found([sent(2, 101), sent(1, 100)], [taken(101.5, 30), taken(100)])


def test_requests_of_two_clients_at_the_same_time_remain_estimates() -> None:
    """Nobody is charged with what another one has used."""
    requests = [sent(1, 100, took=60), sent(2, 110, client="bob")]

    assert {} == found(requests, [taken(110), taken(111)])


def test_requests_of_two_clients_that_only_come_close_are_told_apart() -> None:
    """Each charge fits one of them."""
    requests = [sent(1, 100, took=10), sent(2, 112, took=10, client="bob")]

    assert {1: 10, 2: 20} == found(requests, [taken(101), taken(118, 20)])
    assert {} == found(requests, [taken(101), taken(112, 20)])


def test_a_bot_that_was_asked_twice_is_charged_twice() -> None:
    """For a second try at its answer."""
    assert {1: 30} == found([sent(1, 100, sends=2)], [taken(100), taken(101, 20)])
    assert {} == found([sent(1, 100, sends=2)], [taken(100)])


def test_a_day_of_requests_one_after_the_other_is_matched() -> None:
    """As an agent asks."""
    requests = [sent(number, 10 * number, 9) for number in range(500)]
    charges = [taken(10 * number + 0.1, number) for number in range(500)]

    assert {number: number for number in range(500)} == found(requests, charges)


def test_what_would_be_by_chance_is_left_alone() -> None:
    """A knot of too many."""
    many = MOST_TIED + 1
    requests = [sent(number, number) for number in range(many)]

    assert {} == found(requests, [taken(number + 0.1) for number in range(many)])


def test_a_bot_has_many_names() -> None:
    """Its id, its handle and what Poe shows; blanks, signs and case do not matter."""
    known = names([("Claude-Sonnet-4.5", "", "Claude Sonnet 4.5"), ("gpt-5", "GPT5-Chat", "GPT 5")])

    assert "claudesonnet45" == plain("Claude Sonnet-4.5") == known["claudesonnet45"]
    assert "gpt5" == known[plain("GPT5-chat")]
