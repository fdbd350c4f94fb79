"""Names of tools, there and back."""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Any

import pytest

from poe_proxy.chat import (
    ChatRequest,
    Message,
    Reasoning,
    ReplyEvent,
    TextPart,
    Tool,
    ToolCall,
    ToolCallPart,
    ToolChoice,
)
from poe_proxy.upstreams.poe_api.tool_names import ToolNames

#: What all makers take.
GOOD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


def asking(*names: str, **fields: Any) -> ChatRequest:
    """A request with tools of these names."""
    messages = fields.pop("messages", ())
    return ChatRequest(
        model="bot", messages=messages, tools=tuple(Tool(name=name) for name in names), **fields
    )


def told(*names: str) -> list[str]:
    """What these names are for Poe; each comes back as it was."""
    both = ToolNames(asking(*names))
    safe = [tool.name for tool in both.applied().tools]
    for name, one in zip(names, safe, strict=True):
        assert [ToolCallPart(0, "id", name, "{")] == restored(both, ToolCallPart(0, "id", one, "{"))
    return safe


def restored(names: ToolNames, *events: ReplyEvent) -> list[ReplyEvent]:
    return list(names.restored(event for event in events))


def test_names_that_all_take_stay() -> None:
    """The request is the very same."""
    request = asking("get_weather", "_x-1", "A" * 64, messages=(Message(role="user", name="Zoë"),))

    assert request is ToolNames(request).applied()


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("mcp.server/tool", "mcp_server_tool"),
        ("my tool", "my_tool"),
        ("1st", "_1st"),
        ("-x", "_-x"),
        ("é", "_"),
        ("a" * 65, "a" * 64),
        ("", "_"),
    ],
)
def test_other_names_become_such(name: str, safe: str) -> None:
    """As near to what they were as can be."""
    assert [safe, "other"] == told(name, "other")


def test_names_that_would_be_the_same_are_told_apart() -> None:
    """Each gets digits that depend on nothing but the name; those that are taken anyway do not."""
    names = ["a.b", "a/b", "a_b", "天气", "时间", "x" * 70, "x" * 71, "x" * 64]

    safe = told(*names)

    assert len(names) == len(set(safe))
    assert all(map(GOOD.fullmatch, safe))
    assert ("a_b", "x" * 64) == (safe[2], safe[7])
    assert safe[::-1] == told(*reversed(names))


def test_names_are_changed_wherever_they_are() -> None:
    """In tools, in the choice, in past calls and their results."""
    call = ToolCall("c", "a.b", "{}")
    request = asking(
        "a.b",
        messages=(
            Message(role="assistant", tool_calls=(call, ToolCall("d", "old.tool", "{}"))),
            Message(role="tool", name="a.b", tool_call_id="c", content=(TextPart("a.b"),)),
        ),
        tool_choice=ToolChoice(mode="required", name="a.b"),
    )

    safe = ToolNames(request).applied()

    assert ["a_b"] == [tool.name for tool in safe.tools]
    assert safe.tool_choice is not None
    assert "a_b" == safe.tool_choice.name
    assert ["a_b", "old_tool"] == [one.name for one in safe.messages[0].tool_calls]
    assert ("a_b", "a.b") == (safe.messages[1].name, safe.messages[1].text)


def test_what_else_is_said_passes() -> None:
    """A name that the bot has made up, a part without a name, another event."""
    names = ToolNames(asking("a.b"))

    for event in (ToolCallPart(0, "i", "c.d"), ToolCallPart(0, arguments="a_b"), Reasoning("a_b")):
        assert event is restored(names, event)[0]


def test_where_all_names_stay_nothing_comes_between() -> None:
    """The events are the very same, without a look at any."""
    events: Generator[ReplyEvent, None, None] = (event for event in ())

    assert events is ToolNames(asking("get_weather")).restored(events)


def test_hanging_up_reaches_the_bot() -> None:
    """Also where names are restored on the way."""
    ends: list[str] = []

    def bot() -> Generator[ReplyEvent, None, None]:
        try:
            yield Reasoning("a")
            yield Reasoning("b")
        finally:
            ends.append("hung up")

    events = ToolNames(asking("a.b")).restored(bot())
    next(events)
    events.close()

    assert ["hung up"] == ends


@pytest.mark.parametrize(
    ("name", "safe"),
    [("Zoë", "Zoë"), ("a b", "a_b"), ("<|x|>", "_x_"), ("n" * 99, "n" * 64), ("", None)],
)
def test_names_of_those_who_speak(name: str, safe: str | None) -> None:
    """OpenAI takes other alphabets there, but no blanks and brackets."""
    request = asking(messages=(Message(role="user", name=name, content=(TextPart("Hi"),)),))

    (message,) = ToolNames(request).applied().messages

    assert (safe, "Hi") == (message.name, message.text)
