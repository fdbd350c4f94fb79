"""The order of the line: values only."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poe_proxy.pool.line.order import USUAL, Line

ANY = frozenset({"a", "b"})


@dataclass(frozen=True)
class Request:
    """A request that waits since *joined*."""

    id: str
    client: str = ""
    streams: bool = False
    joined: float = 0.0
    names: frozenset[str] = ANY
    priority: int = USUAL


def line(*requests: Request) -> Line[Request]:
    """A line in which these have come one after the other."""
    line: Line[Request] = Line()
    for request in requests:
        line.add(request)
    return line


def order(line: Line[Request]) -> str:
    return "".join(request.id for request in line.in_order())


def mine(
    id: str, *, streams: bool = False, joined: float = 0.0, names: frozenset[str] = ANY
) -> Request:
    return Request(id, "me", streams, joined, names)


def test_first_come_first_served() -> None:
    """Without a client's key, or of different clients, whatever they stream."""
    requests = [
        Request("1"),
        Request("2", streams=True),
        Request("3", "me"),
        Request("4", "you", streams=True),
    ]

    assert "1234" == order(line(*requests))


def test_streams_go_before_whole_answers_of_their_client() -> None:
    """In the places that this client has; among each other both keep their order."""
    requests = [
        mine("1"),
        Request("2", "you"),
        mine("3"),
        mine("4", streams=True),
        Request("5", "you", streams=True),
        mine("6", streams=True),
    ]

    assert ["4", "6", "1", "3"] == [one for one in order(line(*requests)) if one in "1346"]
    assert "456123" == order(line(*requests))


def test_other_clients_keep_their_places() -> None:
    """However many streams come, those of others are where they were."""
    ahead = line(mine("1"), Request("2", "you"), mine("3", streams=True), Request("4", "you"))

    assert "3214" == order(ahead)


def test_what_wants_other_tokens_is_not_overtaken() -> None:
    """It would lose its place for nothing: the stream does not want what it waits for."""
    requests = [mine("1", names=frozenset("a")), mine("2", streams=True, names=frozenset("b"))]

    assert "12" == order(line(*requests))


@pytest.mark.parametrize(
    ("comes", "expected"), [(0.0, "st"), (4.9, "st"), (5.0, "ts"), (60.0, "ts")]
)
def test_a_whole_answer_that_has_waited_is_not_overtaken(comes: float, expected: str) -> None:
    """Five seconds after it came, no stream goes before it any more, however many there are."""
    assert expected == order(line(mine("t"), mine("s", streams=True, joined=comes)))


def test_a_stream_that_was_there_before_stays_before() -> None:
    """A whole answer never gains a place."""
    assert "st" == order(line(mine("s", streams=True), mine("t", joined=900.0)))


def test_among_themselves_streams_and_whole_answers_keep_their_order() -> None:
    """Each overtakes, or is overtaken, by itself."""
    requests = [
        mine("t"),
        mine("u", joined=4.0),
        mine("w", streams=True, joined=4.5),
        mine("x", streams=True, joined=8.0),
    ]

    assert "wtxu" == order(line(*requests))


def test_whoever_is_served_early_takes_the_place_of_the_other() -> None:
    """The two have the places of two: the one that was overtaken is not served before those that
    were between them."""
    requests = [mine("1"), Request("2", "you"), mine("3", streams=True)]
    ahead = line(*requests)

    assert ahead.remove(requests[2])

    assert "21" == order(ahead)


def test_whoever_leaves_takes_a_place_with_it() -> None:
    """The one that it was to be served in, so that no other client is served later for it."""
    requests = [mine("1"), Request("2", "you"), mine("3", streams=True)]
    ahead = line(*requests)

    assert ahead.remove(requests[0])

    assert "32" == order(ahead)


def test_a_request_leaves_once() -> None:
    """Once it is served, or has left, it is not there."""
    request = mine("1")
    ahead = line(request)

    assert [True, False] == [ahead.remove(request), ahead.remove(request)]
    assert 0 == len(ahead)


def test_only_a_stream_may_overtake() -> None:
    """And only if its client has a whole answer in line."""
    ahead = line(mine("1"))

    assert ahead.would_overtake(mine("2", streams=True))
    assert not ahead.would_overtake(mine("2"))
    assert not ahead.would_overtake(Request("2", "you", streams=True))
    ahead.remove(next(iter(ahead)))
    assert not ahead.would_overtake(mine("2", streams=True))


# ---- priority


@pytest.mark.parametrize(
    ("comes", "priority", "expected"),
    [
        pytest.param(0.0, 6, "hw", id="at once"),
        pytest.param(9.9, 6, "hw", id="within ten seconds for a step"),
        pytest.param(10.0, 6, "wh", id="ten seconds make up for a step"),
        pytest.param(39.9, 9, "hw", id="four steps"),
        pytest.param(40.0, 9, "wh", id="and forty seconds"),
        pytest.param(0.0, 5, "wh", id="the same"),
        pytest.param(0.0, 0, "wh", id="a lower one never goes before"),
    ],
)
def test_a_higher_priority_goes_first(comes: float, priority: int, expected: str) -> None:
    """But what has waited for ten seconds for each step between the two stays before it."""
    high = Request("h", "you", joined=comes, priority=priority)

    assert expected == order(line(mine("w"), high))


def test_priority_counts_between_equal_fits() -> None:
    """What waits for other tokens keeps its place, and so do those between the two."""
    other = frozenset("x")
    requests = [
        Request("1", "a"),
        Request("2", "b", names=other),
        Request("3", "c"),
        Request("4", "d", names=other, priority=9),
        Request("5", "e", priority=9),
    ]

    assert "54123" == order(line(*requests))


def test_a_chat_goes_before_the_title_of_its_client_at_any_priority() -> None:
    """In the places that this client has."""
    requests = [
        Request("f", "you"),
        Request("t", "me", priority=7),
        Request("s", "me", streams=True, priority=7),
    ]

    assert "stf" == order(line(*requests))


def test_the_order_of_a_client_stays_when_its_priority_is_raised() -> None:
    """Those that came before the reload have the lower one."""
    assert "12" == order(line(mine("1"), replace(mine("2"), priority=9)))


def test_at_one_priority_nobody_looks_through_the_line() -> None:
    """As long as all have the same, nothing is as it was without."""
    ahead = line(*(Request(str(number), "x", priority=5) for number in range(9)))

    assert not ahead.would_overtake(Request("n", "y", priority=5))
    assert ahead.would_overtake(Request("n", "y", priority=6))
    assert not ahead.would_overtake(Request("n", "y", priority=4))


requests = st.lists(
    st.tuples(
        st.sampled_from(["", "a", "b", "c"]),
        st.booleans(),
        st.integers(0, 9),
        st.sampled_from([ANY, frozenset("x")]),
        st.integers(0, 25),
        st.integers(0, 3),
    ),
    max_size=12,
)


@given(requests)
def test_whoever_is_overtaken_is_so_by_right(
    crowd: list[tuple[str, bool, int, frozenset[str], int, int]],
) -> None:
    """Whatever comes and is served: one goes before another that came earlier only for its
    priority, or as a stream of the same client; what waits for other tokens keeps its order; and
    whoever is served changes nothing for the others. A client has one priority."""
    ahead: Line[Request] = Line()
    priorities = {client: priority for client, _, priority, *_ in crowd if client}
    now = 0.0
    for number, (client, streams, priority, names, pause, served) in enumerate(crowd):
        now += pause
        new = Request(str(number), client, streams, now, names, priorities.get(client, priority))
        before = list(ahead.in_order())
        ahead.add(new)
        after = list(ahead.in_order())
        same = [one for one in after if one.names == names]
        behind = same[same.index(new) + 1 :]
        for one in behind:
            is_own_title = one.client == client != "" and streams and not one.streams
            since, theirs = (it.joined - 10 * it.priority for it in (new, one))
            assert is_own_title or since < theirs
        others = [one for one in after if one is not new and one.names != names]
        assert others == [one for one in before if one.names != names]
        if not streams:
            assert [one for one in same if one is not new] == [
                one for one in before if one.names == names
            ]
        for one in after[:served]:
            rest = [it for it in ahead.in_order() if it is not one]
            ahead.remove(one)
            assert rest == list(ahead.in_order())
