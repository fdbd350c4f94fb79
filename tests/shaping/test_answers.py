"""The answer that a client was given, as it will send it back."""

from __future__ import annotations

import pytest

from poe_proxy.chat import (
    Done,
    FinishReason,
    Idle,
    Message,
    Reasoning,
    Refusal,
    Replaced,
    ReplyEvent,
    Text,
    TextPart,
    ToolCall,
    ToolCallPart,
)
from poe_proxy.shaping.answers import telling

from ..fakes import FakeUpstream


def told(*events: ReplyEvent) -> list[Message]:
    found: list[Message] = []
    assert list(events) == list(telling(FakeUpstream(events).play(), found.append))
    return found


def test_the_answer_is_told_whole() -> None:
    """Text as it is in the end, without thoughts, and calls from all their parts."""
    assert [
        Message(
            role="assistant",
            content=(TextPart("Hello there"),),
            tool_calls=(ToolCall("a", "look", '{"at": 1}'), ToolCall("b", "ping", "{}")),
        )
    ] == told(
        Idle(),
        Reasoning("Hm."),
        Text("Hallo"),
        Replaced("Hello"),
        Text(" there"),
        ToolCallPart(0, "a", "look", '{"at"'),
        ToolCallPart(0, arguments=": 1}"),
        ToolCallPart(1, "b", "ping", "{}"),
        Done("tool_calls"),
    )


def test_it_is_told_before_the_end_is_passed_on() -> None:
    """Whoever reads the end may never ask again."""
    found: list[Message] = []
    events = telling(FakeUpstream((Text("Hi"), Done())).play(), found.append)
    assert [Text("Hi"), Done()] == [next(events), next(events)]
    events.close()

    assert ["Hi"] == [one.text for one in found]


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_an_answer_that_was_cut_is_not_told(reason: FinishReason) -> None:
    """Nor one that is empty, or a refusal, or never ends."""
    assert [] == told(Text("Hi"), Done(reason))
    assert [] == told(Text(""), Done())
    assert [] == told(Text("Hi"), Refusal("No."), Done())
    assert [] == told(Text("Hi"))


def test_hanging_up_passes() -> None:
    """The bot is stopped, and nothing is told."""
    upstream, found = FakeUpstream((Text("Hi"), Done())), list[Message]()
    events = telling(upstream.play(), found.append)
    next(events)
    events.close()

    assert (1, []) == (upstream.hung_up, found)
