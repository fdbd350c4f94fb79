"""The order of the line: values only."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

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
