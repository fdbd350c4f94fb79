"""All connections: which one makes room for a new one."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from poe_proxy.errors import ServerBusy
from poe_proxy.server import connections
from poe_proxy.server.connections import Connections, affordable, raise_descriptors

from ..fakes import Clock, log_lines


class Connection:
    """A connection that is cut, or not."""

    def __init__(self) -> None:
        self.is_cut = False

    def cut(self) -> None:
        self.is_cut = True


@contextmanager
def crowd(number: int, of: Connections) -> Iterator[tuple[list[Connection], ExitStack]]:
    """So many connections, the oldest first; further ones may be put into the stack."""
    members = [Connection() for _ in range(number)]
    with ExitStack() as stack:
        for one in members:
            stack.enter_context(of.place(one))
        yield members, stack


def cut(members: list[Connection]) -> list[int]:
    """Which of them are cut."""
    return [place for place, one in enumerate(members) if one.is_cut]


def test_when_nearly_all_are_taken_the_oldest_makes_room() -> None:
    """A new one never waits for a place, as long as one without a key is there."""
    all_of_them = Connections(10)
    with crowd(9, all_of_them) as (members, stack):
        assert [] == cut(members)

        stack.enter_context(all_of_them.place(Connection()))
        assert [0] == cut(members)
        stack.enter_context(all_of_them.place(Connection()))
        assert [0, 1] == cut(members)


def test_those_that_leave_make_room() -> None:
    """Nobody is cut while there is room."""
    all_of_them = Connections(10)
    for _ in range(100):
        with crowd(9, all_of_them) as (members, _):
            pass
        assert [] == cut(members)
    assert 0 == len(all_of_them)


def test_a_request_with_a_key_is_not_cut() -> None:
    """Those that wait for an answer stay; once it is over, they are the youngest."""
    all_of_them = Connections(10)
    with crowd(9, all_of_them) as (members, stack):
        for one in members[:3]:
            all_of_them.has_key(one)
        all_of_them.is_idle(members[0])

        for _ in range(7):
            stack.enter_context(all_of_them.place(Connection()))

        assert [0, 3, 4, 5, 6, 7, 8] == cut(members)
    assert 0 == len(all_of_them)


def test_requests_with_a_key_do_not_take_all_connections() -> None:
    """What is left of them is for `/health`, and for hearing that there is no room."""
    all_of_them = Connections(10)
    with crowd(9, all_of_them) as (members, stack):
        for one in members[:8]:
            all_of_them.has_key(one)
        with pytest.raises(ServerBusy) as refusal:
            all_of_them.has_key(members[8])
        assert refusal.value.retry_after is not None

        all_of_them.is_idle(members[0])
        all_of_them.has_key(members[8])
        stack.enter_context(all_of_them.place(Connection()))

        assert [0] == cut(members)


def test_with_nobody_to_make_room_a_new_one_comes_in_all_the_same() -> None:
    """There is a reserve of connections for that."""
    all_of_them = Connections(1)
    with crowd(1, all_of_them) as (members, stack):
        all_of_them.has_key(members[0])

        stack.enter_context(all_of_them.place(Connection()))

        assert [] == cut(members)


def test_one_that_is_cut_is_not_known_any_more() -> None:
    """Its key changes nothing, nor its end."""
    all_of_them = Connections(1)
    with crowd(2, all_of_them) as (members, _):
        assert [0] == cut(members)

        all_of_them.has_key(members[0])
        all_of_them.is_idle(members[0])

        assert 1 == len(all_of_them)
    assert 0 == len(all_of_them)


def test_the_log_says_it_once_a_minute() -> None:
    """A flood of connections is no flood of lines."""
    clock = Clock()
    all_of_them = Connections(10, clock=clock)
    with log_lines() as log, crowd(100, all_of_them):
        assert 1 == log.getvalue().count("Nearly all of 10 connections are taken")
        clock.go(61)
        with crowd(2, all_of_them):
            assert 2 == log.getvalue().count("Nearly all")


# ---- descriptors


@pytest.mark.parametrize(
    ("descriptors", "number"),
    [
        (8192, 2500), (5200, 2500), (5198, 2499), (1024, 412), (300, 75), (20, 5),
        (resource.RLIM_INFINITY, 2500),
    ],
)  # fmt: skip
def test_there_are_descriptors_for_each_connection(descriptors: int, number: int) -> None:
    """Two for each, and some for all else."""
    assert number == affordable(2500, descriptors)


@pytest.mark.parametrize(
    ("limits", "allowed", "number"),
    [
        ((1024, 4096), True, 4096),
        ((1024, 4096), False, 1024),
        ((4096, 4096), False, 4096),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), False, resource.RLIM_INFINITY),
    ],
)
def test_as_many_descriptors_are_taken_as_are_allowed(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], allowed: bool, number: int
) -> None:
    """The soft limit is raised to the hard one; where that is forbidden, it stays as it is."""
    now = [limits]

    def change(which: int, wanted: tuple[int, int]) -> None:
        if not allowed:
            raise PermissionError
        now[0] = wanted

    monkeypatch.setattr(connections.resource, "getrlimit", lambda which: now[0])
    monkeypatch.setattr(connections.resource, "setrlimit", change)

    assert number == raise_descriptors()
    assert number == now[0][0]
