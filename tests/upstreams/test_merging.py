"""Events that have come together: fewer and larger, and nothing else changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from poe_proxy.chat import Done, Reasoning, ReplyEvent, Text, ToolCallPart
from poe_proxy.errors import UpstreamProtocolError
from poe_proxy.upstreams.merging import merged

CALL = ToolCallPart(0, "c", "f")


@pytest.mark.parametrize(
    ("events", "expected"),
    [
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
    ],
)
def test_texts_in_a_row_are_one(events: list[ReplyEvent], expected: list[ReplyEvent]) -> None:
    """And thoughts; whatever stands between them stays where it is."""
    assert expected == list(merged(events))


def test_what_was_said_before_a_failure_is_not_lost() -> None:
    """It comes first, and then the failure."""

    def broken(events: Iterable[ReplyEvent]) -> Iterator[ReplyEvent]:
        yield from events
        raise UpstreamProtocolError("broken")

    found: list[ReplyEvent] = []
    with pytest.raises(UpstreamProtocolError):
        found += merged(broken([Text("a"), Text("b")]))
    # A list is extended only as far as its source goes.
    assert [Text("ab")] == found
