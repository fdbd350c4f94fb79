"""What a request in the form of OpenAI's Responses API asks for: `input` in place of messages.

Form of the items: https://platform.openai.com/docs/api-reference/responses, as of November 2026.
Nothing is kept here, so nothing can be referred to: the whole conversation stands in the request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from poe_proxy.apis import basics
from poe_proxy.apis.chat_message import add_message
from poe_proxy.apis.contents import content, result
from poe_proxy.apis.conversation import Call, Conversation, Result, arguments_of
from poe_proxy.apis.custom_input import arguments_for
from poe_proxy.apis.fields import field, limit_items, refusal
from poe_proxy.apis.formats import json_wanted
from poe_proxy.apis.reading import MAX_MESSAGES, Reading
from poe_proxy.budget import Budget
from poe_proxy.chat import JsonWanted, Message, TextPart
from poe_proxy.errors import InvalidRequest

#: Fields of this API that are read here, or that change nothing about an answer that is not kept.
FIELDS: Final = frozenset(
    {
        "input", "instructions", "max_output_tokens", "text", "reasoning", "include", "store",
        "truncation", "max_tool_calls", "background", "previous_response_id", "conversation",
        "prompt", "client_metadata", "context_management",
    }
)  # fmt: skip
#: Items that say nothing to a bot: thoughts, and what servers of the maker have done.
_PASSED_OVER: Final = frozenset(
    {
        "reasoning", "web_search_call", "file_search_call", "code_interpreter_call",
        "image_generation_call", "mcp_list_tools", "tool_search_call",
        "configuration_update", "compaction", "compaction_trigger", "program", "program_output",
    }
)  # fmt: skip


#: Items that hold tools, which may be called like those beside the input.
_OF_TOOLS: Final = ("additional_tools", "tool_search_output")
#: What an item with a role is of, if it is a message.
_OF_MESSAGES: Final = (None, "message")
#: What a tool is called by the bot: by its own name, and its namespace if it has one.
NameOf: TypeAlias = Callable[[str, str | None], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the fields say that this API has under names of its own."""

    messages: tuple[Message, ...]
    max_tokens: int | None = None
    json: JsonWanted | None = None
    reasoning_effort: str | None = None


def is_asked(data: Mapping[str, Any]) -> bool:
    """Whether the request *data* is in this form."""
    return not data.get("messages") and data.get("input") is not None


def tools_among(data: Mapping[str, Any], budget: Budget) -> tuple[tuple[str, list[Any]], ...]:
    """Return the tools that stand among the items of *data*, as they came, each with its path."""
    found: list[tuple[str, list[Any]]] = []
    items = data.get("input")
    for place, item in enumerate(items if isinstance(items, list) else ()):
        budget.breathe()
        if isinstance(item, dict) and item.get("type") in _OF_TOOLS:
            path = f"input[{place}]."
            found.append((f"{path}tools", field(item, "tools", list, path) or []))
    return tuple(found)


def asked(data: Mapping[str, Any], reading: Reading, name_of: NameOf | None = None) -> Asked:
    """Return what the request *data* asks for; raises `InvalidRequest`, by the field's path.

    With *name_of* past calls have the names that it gives, and not those that they came with.
    """
    _refuse_what_is_kept(data)
    text = field(data, "text", dict) or {}
    reasoning = field(data, "reasoning", dict) or {}
    return Asked(
        messages=_messages(data, reading, name_of or _own_name),
        max_tokens=basics.max_tokens(data, "max_output_tokens"),
        json=json_wanted(text.get("format"), "text.format"),
        reasoning_effort=field(reasoning, "effort", str, "reasoning."),
    )


def _refuse_what_is_kept(data: Mapping[str, Any]) -> None:
    if data.get("previous_response_id"):
        raise InvalidRequest(
            "previous_response_id: responses are not kept here; send the whole conversation.",
            param="previous_response_id",
            code="previous_response_not_found",
        )
    for name in ("conversation", "prompt", "background"):
        if data.get(name):
            raise refusal(name, f"{name}: nothing is kept here; send the whole conversation.")


def _own_name(name: str, namespace: str | None) -> str:
    return name


def _messages(data: Mapping[str, Any], reading: Reading, name_of: NameOf) -> tuple[Message, ...]:
    said = Conversation()
    if (instructions := data.get("instructions")) is not None:
        said.say("system", content(instructions, "instructions", reading).parts)
    match data.get("input"):
        case None if instructions:
            pass
        case None:
            raise refusal("input", "input must hold something to say.", missing=True)
        case str(text):
            said.say("user", [TextPart(text)] if text else [])
        case list(items):
            limit_items(items, MAX_MESSAGES, "input")
            for place, item in enumerate(items):
                reading.budget.breathe()
                _add(item, f"input[{place}]", said, reading, name_of)
        case _:
            raise refusal("input", "input must be a string or a list of items.")
    found = said.messages(reading.budget)
    if not found:
        raise refusal("input", "input must hold something to say: every content is empty.")
    return found


def _add(item: Any, path: str, said: Conversation, reading: Reading, name_of: NameOf) -> None:
    if isinstance(item, dict) and "role" in item and item.get("type") in _OF_MESSAGES:
        add_message(item, path, said, reading)
        return
    match item:
        case {"type": "function_call", "name": str(name)} if name:
            called = name_of(name, _namespace(item, path))
            said.call(Call(_call_id(item, path), called, arguments_of(item, path)))
        case {"type": "custom_tool_call", "name": str(name), "input": str(text)} if name:
            called = name_of(name, _namespace(item, path))
            said.call(Call(_call_id(item, path), called, arguments_for(text)))
        case {"type": "function_call_output" | "custom_tool_call_output"}:
            output = result(item.get("output"), f"{path}.output", reading)
            answer = Result(_call_id(item, path), output, f"{path}.call_id")
            said.answer(answer, shows_elsewhere=True)
        case {"type": str(kind)} if kind in _PASSED_OVER or kind in _OF_TOOLS:
            pass
        case {"type": "item_reference"}:
            # The AI SDK sends them for what it was answered before, unless `store` is off.
            what = "nothing is kept here; send the item, as clients do with store: false."
            raise refusal(path, f"{path} is an item_reference: {what}")
        case {"type": str(kind)}:
            raise refusal(
                path, f"{path} is of a type that is not served, or is incomplete: {kind[:40]!r}."
            )
        case _:
            raise refusal(
                path, f'{path} must be an item such as {{"role": "user", "content": ""}}.'
            )


def _namespace(item: Mapping[str, Any], path: str) -> str | None:
    return field(item, "namespace", str, f"{path}.") or None


def _call_id(item: Mapping[str, Any], path: str) -> str | None:
    return field(item, "call_id", str, f"{path}.") or None
