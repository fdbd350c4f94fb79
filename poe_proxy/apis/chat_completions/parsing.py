"""Turns what a client sends into a `ChatRequest`; an `InvalidRequest` names the field at fault."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from poe_proxy.apis.chat_completions.messages import messages
from poe_proxy.apis.chat_completions.tools import functions_and_choice, tools_and_choice
from poe_proxy.apis.fields import field, json_object, limit_length, number, refusal
from poe_proxy.budget import Budget
from poe_proxy.chat import ChatRequest, JsonWanted

#: Fields that end up in a `ChatRequest`, or mean nothing once they are checked.
_NAMED: Final = frozenset(
    {
        "model", "messages", "stream", "stream_options", "n", "temperature", "top_p",
        "max_tokens", "max_completion_tokens", "stop", "tools", "tool_choice",
        "parallel_tool_calls", "response_format", "reasoning_effort", "logprobs", "top_logprobs",
        "modalities", "functions", "function_call",
    }
)  # fmt: skip

#: The most characters of a model's name: each chunk of the answer has it.
MAX_NAME: Final = 300
#: The most stop words, and characters in all of them: each piece of the answer is searched for all.
_MAX_STOPS: Final = 64
_MAX_STOP_LENGTH: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How the client wants the answer dressed."""

    streams: bool = False
    #: Whether a stream ends with a chunk of usage.
    wants_usage: bool = False
    #: Whether the client uses the older form of tools: `functions`, of which an answer calls one,
    #: as `function_call`. In a `ChatRequest` they are tools like any others.
    is_legacy: bool = False


def chat_request(body: bytes | bytearray, budget: Budget | None = None) -> tuple[ChatRequest, Form]:
    """Return what *body*, a chat completions JSON text, asks for, and in which form.

    The request goes on with *budget*, by default a new one. Fields that are unknown here are kept
    in `extra`: they may be parameters of the bot.

    Raises `InvalidRequest`, with the path of the field as `param`.
    """
    budget = budget or Budget()
    data = json_object(body, budget)
    model = field(data, "model", str)
    if model is None or not model.strip():
        raise refusal(
            "model", 'Name the model to ask, for example "Claude-Sonnet-4.5".', missing=True
        )
    limit_length(model, MAX_NAME, "model")
    if "messages" not in data and "input" in data:
        raise refusal(
            "messages",
            "This looks like a request of the Responses API (it has 'input'). "
            'Chat completions take \'messages\': [{"role": "user", "content": "..."}].',
            missing=True,
        )
    said = messages(data)
    _refuse_what_poe_cannot_do(data)
    options = field(data, "stream_options", dict) or {}
    functions, function_choice = functions_and_choice(data)
    tools, tool_choice = (functions, function_choice) if functions else tools_and_choice(data)
    form = Form(
        streams=field(data, "stream", bool) or False,
        wants_usage=field(options, "include_usage", bool, "stream_options.") or False,
        is_legacy=bool(functions),
    )
    chat = ChatRequest(
        model=model.strip(),
        messages=said,
        temperature=number(data, "temperature", 0, 2),
        top_p=number(data, "top_p", 0, 1),
        max_tokens=_max_tokens(data),
        stop=_stop(data),
        tools=tools,
        tool_choice=tool_choice,
        parallel_tool_calls=False if functions else field(data, "parallel_tool_calls", bool),
        json=_response_format(data),
        reasoning_effort=field(data, "reasoning_effort", str),
        extra={
            name: value for name, value in data.items() if name not in _NAMED and value is not None
        },
        budget=budget,
    )
    return chat, form


def _max_tokens(data: Mapping[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        value = field(data, name, int)
        if value is not None:
            if value < 1:
                raise refusal(name, f"{name} must be at least 1.")
            return value
    return None


def _stop(data: Mapping[str, Any]) -> tuple[str, ...]:
    value = data.get("stop")
    words = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise refusal("stop", "stop must be a string or a list of strings.")
    if len(words) > _MAX_STOPS or sum(map(len, words)) > _MAX_STOP_LENGTH:
        raise refusal(
            "stop",
            f"stop must be {_MAX_STOPS} strings at most, "
            f"of {_MAX_STOP_LENGTH} characters together.",
        )
    return tuple(word for word in words if word)


def _refuse_what_poe_cannot_do(data: Mapping[str, Any]) -> None:
    # To ignore these fields would be to lie.
    n = field(data, "n", int)
    if n not in (None, 1):
        raise refusal("n", "n must be 1: Poe gives one answer to a request.")
    if field(data, "logprobs", bool) or data.get("top_logprobs"):
        name = "logprobs" if data.get("logprobs") else "top_logprobs"
        raise refusal(name, "Poe gives no log probabilities.")
    if "audio" in (field(data, "modalities", list) or ()):
        raise refusal(
            "modalities", "Poe gives no sound within an answer; voice bots answer with a link."
        )


def _response_format(data: Mapping[str, Any]) -> JsonWanted | None:
    match field(data, "response_format", dict):
        case None | {"type": "text"}:
            return None
        case {"type": "json_object", **beside}:
            return JsonWanted(
                path="response_format", beside={str(name): one for name, one in beside.items()}
            )
        case {"type": "json_schema", "json_schema": {"schema": dict(schema), **rest}, **beside}:
            description = rest.get("description")
            return JsonWanted(
                schema=schema,
                description=None if description is None else str(description),
                path="response_format",
                schema_path="response_format.json_schema.schema",
                extra={str(name): one for name, one in rest.items() if name != "description"},
                beside={str(name): one for name, one in beside.items()},
            )
        case {"type": "json_schema"}:
            raise refusal(
                "response_format.json_schema",
                "response_format.json_schema must be an object with a schema.",
            )
    raise refusal(
        "response_format.type",
        'response_format.type must be "text", "json_object" or "json_schema".',
    )
