"""Turns what a client sends into a `ChatRequest`; an `InvalidRequest` names the field at fault."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from poe_proxy.apis import basics, items
from poe_proxy.apis.fields import field as field_of
from poe_proxy.apis.fields import flag, json_object, limit_length, number, refusal, whole
from poe_proxy.apis.reading import Reading
from poe_proxy.apis.responses import signatures
from poe_proxy.apis.responses.namespaces import Names
from poe_proxy.apis.responses.tools import chosen, tools
from poe_proxy.budget import Budget
from poe_proxy.chat import ChatRequest

_PART_TYPES: Final = "input_text, input_image, input_file and input_audio"
#: Fields that end up in a `ChatRequest`, or mean nothing once they are checked.
_NAMED: Final = items.FIELDS | {
    "model", "stream", "stream_options", "temperature", "top_p", "tools", "tool_choice",
    "parallel_tool_calls", "top_logprobs", "metadata", "user", "safety_identifier",
    "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "service_tier",
    "moderation", "access_programs", "background_options", "image",
}  # fmt: skip

_NO_NAMES: Final = Names(())
#: The most members of `metadata`, and characters of the name and the value of each: as many as
#: OpenAI takes (https://platform.openai.com/docs/api-reference/responses/create).
MAX_METADATA: Final = 16
MAX_METADATA_NAME: Final = 64
MAX_METADATA_VALUE: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How the client wants the answer dressed."""

    streams: bool = False
    #: The client's names of tools.
    names: Names = field(default=_NO_NAMES)
    #: What the answer repeats of the request.
    echo: Mapping[str, Any] = field(default_factory=dict, repr=False)


def request(body: bytes | bytearray, budget: Budget | None = None) -> tuple[ChatRequest, Form]:
    """Return what *body* asks for, and in which form.

    The request goes on with *budget*, by default a new one. Fields that are unknown here are kept
    in `extra`: they may be parameters of the bot.

    Raises `InvalidRequest`, with the path of the field as `param`.
    """
    budget = budget or Budget()
    data = json_object(body, budget)
    model = basics.model(data)
    given = field_of(data, "tools", list) or []
    lists = [*items.tools_among(data, budget)]
    if given:
        lists.insert(0, ("tools", given))
    known, names = tools(lists, budget) if lists else ((), _NO_NAMES)
    asked = items.asked(data, Reading(budget, _PART_TYPES), names.of)
    if whole(data, "top_logprobs"):
        raise refusal("top_logprobs", "Poe gives no log probabilities.")
    callable_tools, tool_choice = chosen(data.get("tool_choice"), known, names)
    extra = basics.others(data, _NAMED)
    text = field_of(data, "text", dict) or {}
    if (verbosity := field_of(text, "verbosity", str, "text.")) is not None:
        extra["verbosity"] = verbosity
    chat = ChatRequest(
        model=model,
        messages=signatures.restored(asked.messages, data.get("input"), budget),
        temperature=number(data, "temperature", 0, 2),
        top_p=number(data, "top_p", 0, 1),
        max_tokens=asked.max_tokens,
        tools=callable_tools,
        tool_choice=tool_choice,
        parallel_tool_calls=flag(data, "parallel_tool_calls"),
        json=asked.json,
        reasoning_effort=asked.reasoning_effort or None,
        extra=extra,
        budget=budget,
    )
    form = Form(
        streams=flag(data, "stream") or False,
        names=names,
        echo=_echo(data, chat, given),
    )
    return chat, form


def _echo(data: Mapping[str, Any], chat: ChatRequest, tools: list[Any]) -> Mapping[str, Any]:
    text, reasoning = data.get("text") or {}, data.get("reasoning") or {}
    choice = data.get("tool_choice")
    several = chat.parallel_tool_calls
    return {
        "instructions": data.get("instructions"),
        "metadata": _metadata(data),
        "parallel_tool_calls": True if several is None else several,
        "tool_choice": "auto" if choice is None else choice,
        "tools": tools,
        "temperature": chat.temperature,
        "top_p": chat.top_p,
        "max_output_tokens": chat.max_tokens,
        "reasoning": {"effort": chat.reasoning_effort, "summary": reasoning.get("summary")},
        "text": {**text, "format": text.get("format") or {"type": "text"}},
    }


def _metadata(data: Mapping[str, Any]) -> dict[str, str]:
    given = field_of(data, "metadata", dict) or {}
    if len(given) > MAX_METADATA:
        raise refusal("metadata", f"metadata may have {MAX_METADATA} members at most.")
    for name, value in given.items():
        if len(name) > MAX_METADATA_NAME:
            what = f"may have {MAX_METADATA_NAME} characters at most"
            raise refusal("metadata", f"metadata: the name of a member {what}.")
        if not isinstance(value, str):
            raise refusal(f"metadata.{name}", f"metadata.{name} must be a string.")
        limit_length(value, MAX_METADATA_VALUE, f"metadata.{name}")
    return given
