"""The messages of a chat completions request, as `Message` values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from poe_proxy.apis.chat_message import add_message
from poe_proxy.apis.contents import content
from poe_proxy.apis.conversation import Conversation
from poe_proxy.apis.fields import field, limit_items, refusal
from poe_proxy.apis.reading import MAX_MESSAGES, Reading
from poe_proxy.chat import Message


def messages(data: Mapping[str, Any], reading: Reading) -> tuple[Message, ...]:
    """Return the messages of the request *data*; raises `InvalidRequest`."""
    given = field(data, "messages", list)
    if not given:
        raise refusal(
            "messages",
            'messages must hold at least one message: [{"role": "user", "content": "..."}].',
            missing=given is None,
        )
    limit_items(given, MAX_MESSAGES, "messages")
    said = Conversation()
    # Who translates from Anthropic's API may leave it where it stands there.
    if (system := data.get("system")) is not None:
        said.say("system", content(system, "system", reading).parts)
    for place, one in enumerate(given):
        add_message(one, f"messages[{place}]", said, reading)
    found = said.messages(reading.budget)
    if not any(one.content or one.tool_calls for one in found):
        raise refusal("messages", "messages must hold something to say: every content is empty.")
    return found
