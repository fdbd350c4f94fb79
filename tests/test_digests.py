"""What is remembered for a while."""

from __future__ import annotations

from poe_proxy.digests import Digests

from .fakes import Clock


def test_a_digest_is_remembered_for_a_while() -> None:
    """From the last time that it came."""
    clock = Clock()
    digests = Digests(600, 10, clock=clock)
    digests.add("a")
    digests.add("")
    clock.go(300)
    digests.add("")
    clock.go(299)
    before = list(digests)
    clock.go(1)

    assert ["a", ""] == before
    assert [""] == list(digests)
    assert "a" not in digests
    assert "c" not in digests


def test_of_too_many_the_oldest_are_forgotten() -> None:
    """One that comes again is none of the oldest."""
    digests = Digests(float("inf"), 2, clock=Clock())
    for one in ("a", "", "a", "c"):
        digests.add(one)

    assert ["a", "c"] == list(digests)
