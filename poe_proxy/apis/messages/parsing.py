"""Turns what a client sends into a `ChatRequest`; an `InvalidRequest` names the field at fault.

Fields: https://docs.anthropic.com/en/api/messages, and the types of the `anthropic` package 2.14,
as of November 2026. There are new ones each month, and each that is refused costs a request: what
is not known here is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from poe_proxy.apis import basics
from poe_proxy.apis.chat_message import add_message
from poe_proxy.apis.contents import content
from poe_proxy.apis.conversation import Conversation
from poe_proxy.apis.fields import (
    field,
    flag,
    integer,
    json_object,
    limit_items,
    number,
    refusal,
    whole,
)
from poe_proxy.apis.formats import json_wanted
from poe_proxy.apis.messages.tooling import tooling
from poe_proxy.apis.reading import MAX_MESSAGES, Reading
from poe_proxy.budget import Budget
from poe_proxy.chat import ChatRequest, JsonWanted, Message, TextPart
from poe_proxy.errors import InvalidRequest

_PART_TYPES: Final = "text, image, document, tool_use and tool_result"
#: What a block of the instructions begins with that means nothing to a bot, and is another one with
#: each version of Claude Code.
_BILLING: Final = "x-anthropic-billing-header:"


def chat_request(
    body: bytes | bytearray, budget: Budget, *, native: bool = False
) -> tuple[ChatRequest, bool]:
    """Return what *body*, the JSON text of a request, asks for, and whether as a stream. If
    *native*, it goes along as it came, too.

    Raises `InvalidRequest`, with the path of the field as `param`.
    """
    data = json_object(body, budget)
    if data.get("mcp_servers"):
        raise refusal("mcp_servers", "mcp_servers: nobody here can call them.")
    if data.get("thread"):
        # Who is not refused what begins one sends no more than the new messages from then on.
        raise InvalidRequest(
            "thread: conversations are not kept here; send the whole conversation.",
            param="thread",
            code="thread_unsupported_request",
        )
    most = whole(data, "max_tokens")
    if most is None or most < 1:
        raise refusal(
            "max_tokens",
            "max_tokens: how long the answer may be, 1 at least.",
            missing=most is None,
        )
    stop = basics.stop(data, "stop_sequences")
    thinks = _thinking(data)
    streams = flag(data, "stream") or False
    chat = _request(
        data,
        budget,
        temperature=number(data, "temperature", 0, 1),
        top_p=number(data, "top_p", 0, 1),
        max_tokens=most,
        stop=stop,
        names_stop_word=bool(stop),
        json=_json(data),
        as_messages={**data, "stream": streams} if native else None,
        # Who wants no thoughts at all has still an effort for the rest of the answer.
        reasoning_effort=None if thinks == 0 else _effort(data),
        thinking_budget=thinks,
    )
    if not any(one.content or one.tool_calls for one in chat.messages):
        raise refusal("messages", "messages must hold something to say: every content is empty.")
    return chat, streams


def counted_request(body: bytes | bytearray, budget: Budget) -> ChatRequest:
    """Return the conversation in *body*, which may say nothing, to count its tokens.

    Raises `InvalidRequest`, as `chat_request` does.
    """
    return _request(json_object(body, budget), budget)


def _request(data: Mapping[str, Any], budget: Budget, **more: Any) -> ChatRequest:
    model = basics.model(data, "claude-sonnet-4-5")
    known = tooling(data, budget)
    return ChatRequest(
        model=model,
        messages=_messages(data, Reading(budget, _PART_TYPES)),
        tools=known.tools,
        tool_choice=known.choice,
        parallel_tool_calls=known.several,
        web_search=known.web_search,
        budget=budget,
        **more,
    )


def _messages(data: Mapping[str, Any], reading: Reading) -> tuple[Message, ...]:
    given = field(data, "messages", list)
    if not given:
        raise refusal(
            "messages",
            'messages: at least one message, such as {"role": "user", "content": "..."}.',
            missing=given is None,
        )
    limit_items(given, MAX_MESSAGES, "messages")
    said = Conversation()
    if (system := data.get("system")) is not None:
        said.say("system", _system(system, reading))
    for place, one in enumerate(given):
        add_message(one, f"messages[{place}]", said, reading)
    return said.messages(reading.budget)


def _system(given: Any, reading: Reading) -> list[TextPart]:
    """Return the instructions as one text, the blocks of them a blank line apart."""
    texts = [
        one.text
        for one in content(given, "system", reading).parts
        if isinstance(one, TextPart) and not one.text.startswith(_BILLING)
    ]
    return [TextPart("\n\n".join(texts))] if texts else []


def _thinking(data: Mapping[str, Any]) -> int | None:
    """Return how many tokens the bot may think, 0 for not at all; None leaves it to the bot."""
    thinking = field(data, "thinking", dict) or {}
    match thinking.get("type"):
        case "disabled":
            return 0
        case "enabled":
            tokens = integer(thinking.get("budget_tokens"))
            return tokens if tokens is not None and tokens > 0 else None
    return None


def _effort(data: Mapping[str, Any]) -> str | None:
    config = field(data, "output_config", dict) or {}
    return field(config, "effort", str, "output_config.") or None


def _json(data: Mapping[str, Any]) -> JsonWanted | None:
    config = field(data, "output_config", dict) or {}
    return json_wanted(config.get("format"), "output_config.format")
