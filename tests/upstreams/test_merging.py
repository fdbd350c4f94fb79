"""Events that have come together: fewer and larger, and nothing else changes."""

from __future__ import annotations

import pytest

from poe_proxy.chat import Done, Reasoning, ReplyEvent, Text, ToolCallPart
from poe_proxy.upstreams.merging import Together

CALL = ToolCallPart(0, "c", "f")

CASES: list[tuple[list[ReplyEvent], list[ReplyEvent]]] = [
    ([], []),
    ([Text("a")], [Text("a")]),
    ([Text("a"), Text("b"), Text("c")], [Text("abc")]),
    ([Reasoning("a"), Reasoning("b")], [Reasoning("ab")]),
    (
        [Reasoning("a"), Text("b"), Text("c"), Reasoning("d"), Text("e")],
        [Reasoning("a"), Text("bc"), Reasoning("d"), Text("e")],
    ),
    (
        [Text("a"), Text("b"), CALL, Text("c"), Text("d"), Done("stop")],
        [Text("ab"), CALL, Text("cd"), Done("stop")],
    ),
]


@pytest.mark.parametrize(("events", "expected"), CASES)
def test_texts_in_a_row_are_one(events: list[ReplyEvent], expected: list[ReplyEvent]) -> None:
    """And thoughts; whatever stands between them stays where it is."""
    together = Together()
    together.add(events)

    assert expected == together.taken()


@pytest.mark.parametrize(("events", "expected"), CASES)
def test_it_does_not_matter_how_they_are_added(
    events: list[ReplyEvent], expected: list[ReplyEvent]
) -> None:
    """As events, or as what a text or a thought is made of."""
    together = Together()
    for event in events:
        match event:
            case Text(text):
                together.text(text)
            case Reasoning(thought):
                together.thought(thought)
            case _:
                together.add([event])

    assert expected == together.taken()


def test_what_was_taken_does_not_come_again() -> None:
    """Nor does it stand in the way of what comes then."""
    together = Together()
    together.text("a")
    assert [Text("a")] == together.taken()
    assert [] == together.taken()
    together.thought("b")
    together.text("c")

    assert [Reasoning("b"), Text("c")] == together.taken()
