"""What bots do not take."""

from __future__ import annotations

import threading

import pytest

from poe_proxy.upstreams.refusals import Refusals
from tests.fakes import Clock


def test_what_one_key_notes_all_keys_know() -> None:
    """Per bot, in any case of its name."""
    refusals = Refusals()
    refusals.add("Grok-4", {"top_p"})
    refusals.add("grok-4", {"size"})

    assert {"top_p", "size"} == refusals.of("GROK-4")
    assert frozenset() == refusals.of("Grok-3")


def test_many_threads_may_note_at_once() -> None:
    """Nothing is lost."""
    refusals = Refusals()
    threads = [
        threading.Thread(target=refusals.add, args=("bot", {f"field-{n}"})) for n in range(50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 50 == len(refusals.of("bot"))


def test_invented_bots_do_not_fill_the_memory() -> None:
    """A client that invents names makes others be forgotten, at worst."""
    refusals = Refusals()
    for number in range(2500):
        refusals.add(f"bot-{number}", {"x"})

    assert 1000 >= sum(bool(refusals.of(f"bot-{number}")) for number in range(2500))
    assert {"x"} == refusals.of("bot-2499")


def test_invented_fields_do_not_fill_the_memory() -> None:
    """What no client sends is not remembered."""
    refusals = Refusals()
    refusals.add("bot", {"x"})
    refusals.add("bot", {f"field-{number}" for number in range(500)})

    assert {"x"} == refusals.of("bot")


def test_the_bot_that_refused_longest_ago_is_forgotten_first() -> None:
    """To make room for another one."""
    refusals = Refusals()
    for number in range(1000):
        refusals.add(f"bot-{number}", {"x"})
    refusals.add("bot-0", {"y"})
    refusals.add("bot-new", {"x"})

    assert {"x", "y"} == refusals.of("bot-0")
    assert frozenset() == refusals.of("bot-1")
    assert {"x"} == refusals.of("bot-new")


def test_the_newest_fields_are_kept() -> None:
    """Fields that a client invents one by one do not keep others out."""
    refusals = Refusals()
    for number in range(150):
        refusals.add("bot", {f"field-{number}"})
    refusals.add("bot", {"tools"})

    assert 100 == len(refusals.of("bot"))
    assert {"tools", "field-149"} <= refusals.of("bot")


def test_a_refusal_is_forgotten_after_a_while() -> None:
    """One odd answer is not for ever; each field has a time of its own."""
    clock = Clock()
    refusals = Refusals(clock=clock)
    refusals.add("bot", {"tools"})
    clock.go(3 * 3600.0)
    refusals.add("bot", {"size"})
    assert {"tools", "size"} == refusals.of("bot")
    clock.go(3 * 3600.0)

    assert {"size"} == refusals.of("bot")
    clock.go(3 * 3600.0)
    assert frozenset() == refusals.of("bot")


def test_a_refusal_that_is_repeated_counts_anew() -> None:
    """From the last time on."""
    clock = Clock()
    refusals = Refusals(holds=100.0, clock=clock)
    for _ in range(3):
        refusals.add("bot", {"x"})
        clock.go(99.0)

    assert {"x"} == refusals.of("bot")
    clock.go(1.0)
    assert frozenset() == refusals.of("bot")


@pytest.mark.parametrize(("bot", "field"), [("b" * 201, "f"), ("b", "f" * 201)])
def test_a_long_name_is_not_remembered(bot: str, field: str) -> None:
    """A client may invent one of megabytes."""
    refusals = Refusals()
    refusals.add(bot, {field})
    refusals.add("b" * 200, {"f" * 200})

    assert frozenset() == refusals.of(bot)
    assert {"f" * 200} == refusals.of("b" * 200)
