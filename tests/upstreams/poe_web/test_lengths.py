"""What bots have refused as too long."""

from __future__ import annotations

from math import inf

from poe_proxy.upstreams.poe_web.lengths import HOLDS, MAX_BOTS, Lengths

from ...fakes import Clock


def test_the_shortest_refusal_counts_for_some_hours() -> None:
    """Whatever the case of the bot's name; a longer one says nothing new."""
    clock = Clock()
    lengths = Lengths(clock)
    assert inf == lengths.refused_by("GPT-4o")

    for length in (5000, 4000, 6000):
        lengths.add("GPT-4o", length)
    assert 4000 == lengths.refused_by("gpt-4O")
    assert inf == lengths.refused_by("Claude")

    clock.go(HOLDS)
    assert inf == lengths.refused_by("GPT-4o")


def test_of_too_many_bots_the_oldest_are_forgotten() -> None:
    """Names are as many as clients invent."""
    lengths = Lengths(Clock())
    for number in range(MAX_BOTS + 1):
        lengths.add(f"bot-{number}", 10)

    assert inf == lengths.refused_by("bot-0")
    assert 10 == lengths.refused_by("bot-1")
