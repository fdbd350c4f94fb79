"""How the others have their turn while one request is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from poe_proxy.apis.chat_message import add_message
from poe_proxy.apis.contents import content
from poe_proxy.apis.conversation import Call, Conversation
from poe_proxy.apis.items import asked, tools_among
from poe_proxy.apis.reading import Reading
from poe_proxy.apis.responses.signatures import restored, sealed
from poe_proxy.budget import Budget
from poe_proxy.chat import Message, TextPart, ToolCall

MANY = 50
TEXT = {"type": "text", "text": "x"}
CALL = {"function": {"name": "f", "arguments": "{}"}}


class Breathing(Budget):
    """Counts the turns that the others are given, if one is due."""

    def __init__(self) -> None:
        super().__init__(60)
        self.turns = 0

    def breathe(self, shared: float = 0) -> None:
        self.turns += 1


def parts(budget: Budget) -> None:
    content([TEXT] * MANY, "x", Reading(budget))


def parts_of_a_result(budget: Budget) -> None:
    content([{"type": "tool_result", "content": [TEXT] * MANY}], "x", Reading(budget))


def calls_of_a_message(budget: Budget) -> None:
    message = {"role": "assistant", "content": None, "tool_calls": [CALL] * MANY}
    add_message(message, "x", Conversation(), Reading(budget))


def plain_messages(budget: Budget) -> None:
    said, reading = Conversation(), Reading(budget)
    for _ in range(MANY):
        add_message({"role": "user", "content": "x"}, "x", said, reading)


def conversation(budget: Budget) -> None:
    said = Conversation()
    for _ in range(MANY):
        said.say("user", [TextPart("x")])
    said.messages(budget)


def calls_of_a_conversation(budget: Budget) -> None:
    said = Conversation()
    for _ in range(MANY):
        said.call(Call(None, "f", "{}"))
    said.messages(budget)


def items(budget: Budget) -> None:
    given = [*[{"type": "reasoning"}] * MANY, {"role": "user", "content": "x"}]
    asked({"input": given}, Reading(budget))


def tools_among_items(budget: Budget) -> None:
    tools_among({"input": [{"type": "reasoning"}] * MANY}, budget)


def signatures_of_others(budget: Budget) -> None:
    item = {"type": "reasoning", "encrypted_content": "x"}
    said = Message(role="assistant", tool_calls=(ToolCall("c", "f", "{}"),))
    restored([said], [item] * MANY, budget)


def signatures(budget: Budget) -> None:
    item = {"type": "reasoning", "encrypted_content": sealed("c", {"s": "x"})}
    said = Message(role="assistant", tool_calls=(ToolCall("c", "f", "{}"),) * MANY)
    restored([said], [item], budget)


def messages_beside_a_signature(budget: Budget) -> None:
    item = {"type": "reasoning", "encrypted_content": sealed("c", {"s": "x"})}
    said = Message(role="assistant", tool_calls=(ToolCall("c", "f", "{}"),))
    restored([said, *[Message(role="user")] * MANY], [item], budget)


READINGS: tuple[Callable[[Budget], Any], ...] = (
    parts,
    parts_of_a_result,
    calls_of_a_message,
    plain_messages,
    conversation,
    calls_of_a_conversation,
    items,
    tools_among_items,
    signatures_of_others,
    signatures,
    messages_beside_a_signature,
)


@pytest.mark.parametrize("read", READINGS, ids=lambda read: read.__name__)
def test_many_things_are_many_turns(read: Callable[[Budget], Any]) -> None:
    """Whatever a request has thousands of, nobody waits until all of them are read."""
    budget = Breathing()

    read(budget)

    assert budget.turns >= MANY
