"""Turns what a client sends into a `ChatRequest`; an `InvalidRequest` names the field at fault."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from poe_proxy.apis import basics, items
from poe_proxy.apis.chat_completions.functions import functions_and_choice
from poe_proxy.apis.chat_completions.messages import messages
from poe_proxy.apis.fields import field, flag, json_object, number, refusal, whole
from poe_proxy.apis.formats import json_wanted
from poe_proxy.apis.reading import Reading
from poe_proxy.apis.tools import allows_several, choice, tools
from poe_proxy.budget import Budget
from poe_proxy.chat import ChatRequest, Tool, ToolChoice

#: Fields that end up in a `ChatRequest`, or mean nothing once they are checked.
_NAMED: Final = frozenset(
    {
        "model", "messages", "stream", "stream_options", "n", "temperature", "top_p",
        "max_tokens", "max_completion_tokens", "stop", "tools", "tool_choice",
        "parallel_tool_calls", "response_format", "reasoning_effort", "logprobs", "top_logprobs",
        "modalities", "functions", "function_call", "system",
    }
)  # fmt: skip
#: Those about tools, and about what Poe cannot do: most requests have none of either.
_ABOUT_TOOLS: Final = frozenset(
    {"tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"}
)
_NOT_AT_POE: Final = frozenset({"n", "logprobs", "top_logprobs", "modalities"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How the client wants the answer dressed."""

    streams: bool = False
    #: Whether a stream ends with a chunk of usage.
    wants_usage: bool = False
    #: Whether the client uses the older form of tools: `functions`, of which an answer calls one,
    #: as `function_call`. In a `ChatRequest` they are tools like any others.
    is_legacy: bool = False


def chat_request(
    body: bytes | bytearray, budget: Budget | None = None, *, strict: bool = False
) -> tuple[ChatRequest, Form]:
    """Return what *body*, a chat completions JSON text, asks for, and in which form.

    The request goes on with *budget*, by default a new one. Fields that are unknown here are kept
    in `extra`: they may be parameters of the bot. What Poe passes over is passed over here too,
    unless *strict*: then it is refused.

    A body in the form of the Responses API, with `input` in place of messages, is understood as
    well: Cursor sends one to this API for models whose names look like OpenAI's newest.

    Raises `InvalidRequest`, with the path of the field as `param`.
    """
    budget = budget or Budget()
    data = json_object(body, budget)
    model = basics.model(data)
    reading = Reading(budget)
    by_items = items.is_asked(data)
    asked = items.asked(data, reading) if by_items else _asked(data, reading)
    if not _NOT_AT_POE.isdisjoint(data):
        _refuse_what_poe_cannot_do(data, strict=strict)
    options = field(data, "stream_options", dict) or {}
    tooling = _NO_TOOLS
    if by_items or not _ABOUT_TOOLS.isdisjoint(data):
        tooling = _tooling(data, budget, by_items=by_items, strict=strict)
    form = Form(
        streams=flag(data, "stream") or False,
        wants_usage=flag(options, "include_usage", "stream_options.") or False,
        is_legacy=tooling.is_legacy,
    )
    named = _NAMED | items.FIELDS if by_items else _NAMED
    chat = ChatRequest(
        model=model,
        messages=asked.messages,
        temperature=number(data, "temperature", 0, 2),
        top_p=number(data, "top_p", 0, 1),
        max_tokens=basics.max_tokens(data, "max_completion_tokens", "max_tokens")
        or asked.max_tokens,
        stop=basics.stop(data, "stop"),
        tools=tooling.tools,
        tool_choice=tooling.choice,
        parallel_tool_calls=tooling.several,
        json=asked.json,
        reasoning_effort=field(data, "reasoning_effort", str) or asked.reasoning_effort or None,
        extra=basics.others(data, named),
        budget=budget,
    )
    return chat, form


def _asked(data: Mapping[str, Any], reading: Reading) -> items.Asked:
    """Return what the fields say that the Responses API has in another form."""
    return items.Asked(
        messages=messages(data, reading),
        json=json_wanted(data.get("response_format"), "response_format"),
    )


@dataclass(frozen=True, slots=True)
class _Tooling:
    """What the bot may call."""

    tools: tuple[Tool, ...] = ()
    choice: ToolChoice | None = None
    several: bool | None = None
    is_legacy: bool = False


_NO_TOOLS: Final = _Tooling()


def _tooling(data: Mapping[str, Any], budget: Budget, *, by_items: bool, strict: bool) -> _Tooling:
    among = items.tools_among(data, budget) if by_items else ()
    lists = [("tools", field(data, "tools", list) or []), *among]
    functions, function_choice = functions_and_choice(data)
    wanted = data.get("tool_choice")
    if functions:
        flag(data, "parallel_tool_calls")  # it is checked, but such calls come one at a time
        return _Tooling(functions, function_choice, several=False, is_legacy=True)
    known, tool_choice = choice(wanted, tools(lists, budget, strict=strict))
    several = flag(data, "parallel_tool_calls")
    return _Tooling(known, tool_choice, allows_several(wanted, otherwise=several))


def _refuse_what_poe_cannot_do(data: Mapping[str, Any], *, strict: bool) -> None:
    basics.one_answer(data, "n")
    # These Poe ignores (official API sheet, 3.1), and programs that work there rely on it.
    wants_logprobs, wants_some = flag(data, "logprobs"), whole(data, "top_logprobs")
    makes = field(data, "modalities", list) or ()
    if not strict:
        return
    if wants_logprobs or wants_some:
        raise refusal(
            "logprobs" if wants_logprobs else "top_logprobs", "Poe gives no log probabilities."
        )
    if "audio" in makes:
        raise refusal(
            "modalities", "Poe gives no sound within an answer; voice bots answer with a link."
        )
