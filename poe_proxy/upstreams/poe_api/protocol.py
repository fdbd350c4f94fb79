"""Chat completions as api.poe.com has them: requests out of ours, reply events out of its answers.

Official API sheet §3. Free of I/O. What Poe's refusals mean is in `failures`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import orjson

from poe_proxy.chat import (
    ChatRequest,
    ContentPart,
    Done,
    FilePart,
    FinishReason,
    ImagePart,
    Message,
    Reasoning,
    ReplyEvent,
    TextPart,
    ToolCallPart,
    Usage,
)
from poe_proxy.errors import UpstreamInterrupted, UpstreamProtocolError
from poe_proxy.thinking import Thinking
from poe_proxy.upstreams.poe_api import effort, failures

# ---- the request

#: What OpenAI has and Poe ignores (§3.1). It is not sent, unless the bot declares a parameter
#: of that name, as Veo does with `seed`.
_IGNORED: Final = frozenset(
    {
        "audio", "frequency_penalty", "logit_bias", "logprobs", "metadata", "modalities",
        "moderation", "n", "prediction", "presence_penalty", "prompt_cache_key",
        "prompt_cache_options", "prompt_cache_retention", "safety_identifier", "seed",
        "service_tier", "store", "top_logprobs", "user", "web_search_options",
    }
)  # fmt: skip


def request(
    chat: ChatRequest,
    bot: str,
    *,
    stream: bool,
    declared: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    without: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Return the JSON object that asks *bot* for an answer to *chat*.

    *declared* are the bot's own parameters with their schemas, *without* the fields that it has
    refused before.
    """
    # A bot of OpenAI's may know the limit by its newer name only. Poe takes both (§3.1).
    limit = "max_tokens" if "max_tokens" not in without else "max_completion_tokens"
    fields = {
        "model": bot,
        "messages": _messages(chat.messages),
        "stream": stream or None,
        "stream_options": {"include_usage": True} if stream else None,
        "temperature": chat.temperature,
        "top_p": chat.top_p,
        limit: chat.max_tokens,
        # No others work (§3.1); the gateway looks for all of them.
        "stop": [word for word in chat.stop if word.strip()][:4] or None,
        "tools": chat.tools or None,
        "tool_choice": chat.tool_choice if chat.tools else None,
        "parallel_tool_calls": chat.parallel_tool_calls if chat.tools else None,
        "response_format": chat.response_format,
    }
    if chat.reasoning_effort is not None:
        fields |= effort.parameters(chat.reasoning_effort, declared, chat.extra)
    own = {
        name: value
        for name, value in chat.extra.items()
        if name not in fields and (name not in _IGNORED or name in declared)
    }
    return {
        name: value
        for name, value in (fields | own).items()
        if value is not None and name not in without
    }


def _messages(messages: Iterable[Message]) -> list[dict[str, Any]]:
    sent = []
    #: The newest call of each tool: results in the old form name the tool instead of the call.
    calls: dict[str, str] = {}
    for message in messages:
        calls |= {call.name: call.id for call in message.tool_calls}
        sent.append(_message(message, calls))
    return sent


def _message(message: Message, calls: Mapping[str, str]) -> dict[str, Any]:
    role: str = message.role
    call_id = message.tool_call_id
    if role == "developer":  # refused by Poe (§3.1)
        role = "system"
    elif role == "function":
        # A result of which nobody knows the call would be refused; its words are not lost.
        call_id = call_id or calls.get(message.name or "")
        role = "tool" if call_id else "user"
    sent: dict[str, Any] = {"role": role, "content": _content(message)}
    if message.name is not None:
        sent["name"] = message.name
    if message.tool_calls:
        sent["tool_calls"] = [
            {
                **call.extra,
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if call_id is not None:
        sent["tool_call_id"] = call_id
    return sent


def _content(message: Message) -> str | list[dict[str, Any]]:
    if all(isinstance(part, TextPart) for part in message.content):
        return message.text
    return [_part(part) for part in message.content]


def _part(part: ContentPart) -> dict[str, Any]:
    match part:
        case TextPart(text):
            return {"type": "text", "text": text}
        case ImagePart(url, None):
            return {"type": "image_url", "image_url": {"url": url}}
        case ImagePart(url, detail):
            return {"type": "image_url", "image_url": {"url": url, "detail": detail}}
        case FilePart(data, name):
            return {"type": "file", "file": {"filename": name or "file", "file_data": data}}


# ---- the answer

_REASONS: Final[Mapping[str, FinishReason]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


class Stream:
    """A streamed answer: the data of one SSE event after the other in, reply events out."""

    def __init__(self) -> None:
        #: Whether `Done` has been said.
        self.is_over = False
        self._reason: FinishReason | None = None
        self._says = _Voice()

    def feed(self, data: bytes) -> list[ReplyEvent]:
        """Take the data of one event.

        Raises the `UpstreamError` that it tells of.
        """
        if self.is_over:
            return []
        if data.startswith(b"[DONE]"):
            return self._end()
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            # Some of the answer is lost with it, so the rest is no answer.
            raise UpstreamProtocolError("Poe sent a chunk that is not JSON.") from None
        if not isinstance(chunk, dict):
            raise UpstreamProtocolError("Poe sent a chunk that is no object.")
        if chunk.get("error"):
            raise failures.of_event(chunk["error"])
        events: list[ReplyEvent] = []
        if choice := _first(chunk.get("choices")):
            if isinstance(delta := choice.get("delta"), dict):
                events = self._says.more(delta)
            if isinstance(reason := choice.get("finish_reason"), str):
                self._reason = _REASONS.get(reason, "stop")
        if usage := _usage(chunk.get("usage")):
            events.append(usage)
        return events

    def close(self) -> list[ReplyEvent]:
        """Say that no more will come.

        Raises `UpstreamInterrupted` if the bot had not finished: a silent end is no end (§3.6).
        """
        if self.is_over:
            return []
        if self._reason is None:
            raise UpstreamInterrupted("Poe's reply stopped without an end; it may not be whole.")
        return self._end()

    def _end(self) -> list[ReplyEvent]:
        self.is_over = True
        return self._says.end(self._reason)


def whole_answer(content: bytes) -> list[ReplyEvent]:
    """Return what the body of an unstreamed answer says (§3.5).

    Raises the `UpstreamError` that it tells of.
    """
    try:
        answer = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise UpstreamProtocolError("Poe's answer is not JSON.") from None
    if isinstance(answer, dict) and answer.get("error"):
        raise failures.of_event(answer["error"])
    choice = _first(answer.get("choices")) if isinstance(answer, dict) else None
    message = choice.get("message") if choice else None
    if choice is None or not isinstance(message, dict):
        raise UpstreamProtocolError("Poe's answer is no chat completion.")
    says = _Voice()
    events = says.more(message)
    if usage := _usage(answer.get("usage")):
        events.append(usage)
    reason = choice.get("finish_reason")
    return events + says.end(_REASONS.get(reason) if isinstance(reason, str) else None)


class _Voice:
    """What a message says, whether it comes whole or in deltas: both have the same fields."""

    def __init__(self) -> None:
        self._thinking = Thinking()
        self._calls = _Calls()

    def more(self, said: Mapping[str, Any]) -> list[ReplyEvent]:
        events: list[ReplyEvent] = []
        # Where both fields are there they hold the same text (§3.5).
        thought = said.get("reasoning_content") or said.get("reasoning")
        if thought and isinstance(thought, str):
            events.append(Reasoning(thought))
        content = said.get("content")
        if content and isinstance(content, str):
            events += self._thinking.feed(content)
        if calls := said.get("tool_calls"):
            events += self._thinking.flush()
            events += [self._calls.part(call) for call in calls if isinstance(call, dict)]
        return events

    def end(self, reason: FinishReason | None) -> list[ReplyEvent]:
        if self._calls and reason in (None, "stop"):
            reason = "tool_calls"
        elif not self._calls and reason == "tool_calls":
            reason = "stop"
        return [*self._thinking.flush(), Done(reason or "stop")]


class _Calls:
    """The tool calls of one answer, numbered in the order in which they begin.

    `index` has been seen missing with Google's models (§3.6); then the id tells which call
    goes on, and where there is no id either, a name tells that another one begins.
    """

    def __init__(self) -> None:
        self._ids: list[str | None] = []
        self._numbers: dict[int, int] = {}

    def __bool__(self) -> bool:
        return bool(self._ids)

    def part(self, delta: Mapping[str, Any]) -> ToolCallPart:
        """Return what *delta* adds, to whichever call it belongs."""
        function = delta.get("function")
        function = function if isinstance(function, dict) else {}
        identity, name = _text(delta.get("id")) or None, _text(function.get("name")) or None
        arguments = function.get("arguments")
        if isinstance(arguments, dict | list):
            arguments = orjson.dumps(arguments).decode()
        extra = {
            key: value
            for key, value in delta.items()
            if key not in ("index", "id", "type", "function") and value is not None
        }
        number = self._number(delta.get("index"), identity, name)
        if number is not None:
            return ToolCallPart(number, arguments=_text(arguments), extra=extra)
        number = len(self._ids)
        self._ids.append(identity)
        if isinstance(index := delta.get("index"), int):
            self._numbers[index] = number
        return ToolCallPart(
            number,
            # Without an id its result could not be sent back.
            id=identity or f"call_{secrets.token_hex(12)}",
            name=name or "",
            arguments=_text(arguments),
            extra=extra,
        )

    def _number(self, index: Any, identity: str | None, name: str | None) -> int | None:
        """Return the number of the call that goes on, None if another one begins."""
        if isinstance(index, int):
            number = self._numbers.get(index)
            if number is not None and identity and name and identity != self._ids[number]:
                return None  # all calls are numbered 0
            return number
        if identity is not None:
            return self._ids.index(identity) if identity in self._ids else None
        return None if name or not self._ids else len(self._ids) - 1


def _first(choices: Any) -> Mapping[str, Any] | None:
    """Return the one choice that there is (§3.5); a chunk of usage has none."""
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0]
    return None


def _text(given: Any) -> str:
    return given if isinstance(given, str) else ""


def _usage(given: Any) -> Usage | None:
    """Return what was counted; details and their members may be null (§3.5)."""
    if not isinstance(given, dict):
        return None
    counts = [given.get(name) for name in ("prompt_tokens", "completion_tokens")]
    prompt, completion = (count if isinstance(count, int) else 0 for count in counts)
    details = {
        name: {key: count for key, count in given[name].items() if isinstance(count, int)}
        for name in ("prompt_tokens_details", "completion_tokens_details")
        if isinstance(given.get(name), dict)
    }
    return Usage(prompt, completion, {name: counts for name, counts in details.items() if counts})
