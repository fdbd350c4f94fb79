"""How long a failure is remembered."""

from __future__ import annotations

import pytest

from poe_proxy.pool.ledger import MARGIN, Standing
from poe_proxy.pool.memory.health import Health, backoff, next_look
from poe_proxy.pool.store import Note


def test_a_backoff_doubles_up_to_five_minutes() -> None:
    """However many failures there are."""
    assert [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0] == [
        backoff(strikes) for strikes in range(1, 9)
    ]
    assert 300.0 == backoff(1_000_000)


def test_looks_become_rarer_and_end() -> None:
    """After a minute, five, fifteen, an hour, an hour; the sixth refusal is the last."""
    assert [60.0, 300.0, 900.0, 3600.0, 3600.0, None] == [
        next_look(refusals) for refusals in range(1, 7)
    ]


def test_a_send_arrives_within_five_seconds() -> None:
    """What a proxy or a network holds up for longer than that does not reach Poe."""
    assert 5.0 == MARGIN


NOTES = [
    Note("rest", "", 20.0, "Slow down."),
    Note("rest", "veo-3", 300.0, "No more videos.", "insufficient_quota"),
    Note("strike", "", 10.0, "Unreachable.", count=2),
    Note("strike", "gpt-5", -100.0, "Overloaded.", count=3),
    Note("points", reason="No points."),
    Note("paused", seconds=600.0),
    Note("paused"),
    Note("suspended", "", -10.0, "Who are you?", "upstream_auth", 4),
    Note("retired", reason="Logged out.", code="upstream_auth"),
]


@pytest.mark.parametrize(
    "note", NOTES, ids=[f"{note.cause} {note.bot} {note.seconds}" for note in NOTES]
)
def test_each_note_is_taken_as_it_was_written(note: Note) -> None:
    """What is over is written too, if more of the same would be counted on."""
    health = Health()
    health.take(note, 1000.0)

    assert [note] == list(health.notes(1000.0))


def test_what_makes_no_difference_any_more_is_not_written() -> None:
    """A rest that is over, and a failure that is forgotten."""
    health = Health()
    health.set_to_rest(10.0, "Slow down.", "", "", 1000.0)
    health.strike("Overloaded.", "gpt-5", 1000.0)

    assert ["rest", "strike"] == [note.cause for note in health.notes(1009.5)]
    assert ["strike"] == [note.cause for note in health.notes(1010.0)]
    assert [] == [note.cause for note in health.notes(4605.0)]


def test_refusals_are_counted_on_after_a_restart() -> None:
    """A look that became due meanwhile is the next one."""
    health = Health()
    health.take(Note("suspended", "", -1.0, "Who are you?", "", 5), 1000.0)
    assert 0.0 == health.next_look(1000.0)
    health.suspend("Who are you?", "upstream_auth", 1000.0)

    verdict = health.verdict(1000.0, "")
    assert verdict
    assert (Standing.RETIRED, "upstream_auth") == (verdict.standing, verdict.code)


def test_failures_are_counted_on_after_a_restart() -> None:
    """The backoff goes on to double."""
    health = Health()
    health.take(Note("strike", "gpt-5", -5.0, "Overloaded.", count=3), 1000.0)
    health.strike("Overloaded.", "gpt-5", 1000.0)

    assert [40.0] == [note.seconds for note in health.notes(1000.0)]
