"""A message that is nothing but a role and a text, which is read the short way."""

from __future__ import annotations

from typing import Any

import pytest

from poe_proxy.apis.chat_message import add_message
from poe_proxy.apis.conversation import Conversation
from poe_proxy.apis.reading import Reading
from poe_proxy.budget import Budget
from poe_proxy.chat import Message
from poe_proxy.errors import InvalidRequest

ROLES = ("system", "developer", "user", "assistant", "tool", "function", " User", "human", "", 7)
CONTENTS = ("Hello", "", None, ["Hello"], [{"type": "text", "text": "Hello"}], [], 7)


def read(**given: Any) -> tuple[Message, ...] | tuple[str, str | None]:
    """What is understood of a message behind a call, or its refusal."""
    said = Conversation()
    reading = Reading(Budget())
    call = {"id": "c", "function": {"name": "f", "arguments": "{}"}}
    add_message({"role": "assistant", "tool_calls": [call]}, "m[0]", said, reading)
    try:
        add_message(given, "m[1]", said, reading)
    except InvalidRequest as refusal:
        return refusal.message, refusal.param
    return said.messages(reading.budget)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("content", CONTENTS)
def test_it_is_what_it_would_be_by_the_long_way(role: Any, content: Any) -> None:
    """As with a third field that says nothing."""
    assert read(role=role, content=content, name=None) == read(role=role, content=content)
