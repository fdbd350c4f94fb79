"""Chat completions as api.poe.com has them. Free of I/O.

Official API sheet §3 and §9.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

import orjson

from poe_proxy.chat import (
    ChatRequest,
    Done,
    FilePart,
    FinishReason,
    ImagePart,
    Message,
    Reasoning,
    ReplyEvent,
    Text,
    TextPart,
    ToolCallPart,
    Usage,
)
from poe_proxy.errors import (
    BotFailed,
    BotNotAllowed,
    BotNotFound,
    ParameterRefused,
    PromptRefused,
    PromptTooLong,
    TokenExhausted,
    TokenLimited,
    TokenRejected,
    UpstreamError,
    UpstreamInterrupted,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamTimeout,
)

# ---- the request

#: What OpenAI has and Poe ignores (§3.1): not sent, unless the model declares a parameter of
#: that name, as Veo does with `seed`.
_IGNORED: Final = frozenset(
    {
        "audio", "frequency_penalty", "logit_bias", "metadata", "modalities", "prediction",
        "presence_penalty", "prompt_cache_key", "prompt_cache_retention", "safety_identifier",
        "seed", "service_tier", "store", "user",
    }
)  # fmt: skip

#: What cannot be left out without the answer becoming another one.
_ESSENTIAL: Final = frozenset(
    {"model", "messages", "stream", "stream_options", "tools", "tool_choice"}
)


class Learned:
    """Which fields a bot does not take, as it said itself; shared by all keys."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fields: dict[str, frozenset[str]] = {}

    def of(self, bot: str) -> frozenset[str]:
        """Return the fields that *bot* refused so far."""
        return self._fields.get(bot.lower(), frozenset())

    def add(self, bot: str, name: str) -> None:
        """Note that *bot* refused the field *name*."""
        with self._lock:
            self._fields[bot.lower()] = self.of(bot) | {name}


def body(
    chat: ChatRequest,
    bot: str,
    *,
    stream: bool,
    declared: frozenset[str] = frozenset(),
    without: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Return the JSON to send.

    *declared* are the parameters of the bot's own, *without* the fields that it refused.
    """
    fields: dict[str, Any] = {
        "model": bot,
        "messages": [_message(message) for message in chat.messages],
        "stream": stream or None,
        "stream_options": {"include_usage": True} if stream else None,
        "temperature": chat.temperature,
        "top_p": chat.top_p,
        "max_tokens": chat.max_tokens,
        "stop": list(chat.stop) or None,
        "tools": list(chat.tools) or None,
        "tool_choice": chat.tool_choice,
        "parallel_tool_calls": chat.parallel_tool_calls if chat.tools else None,
        "response_format": chat.response_format,
        "reasoning_effort": chat.reasoning_effort,
        **{
            name: value
            for name, value in chat.extra.items()
            if name not in _IGNORED or name in declared
        },
    }
    return {
        name: value
        for name, value in fields.items()
        if value is not None and (name in _ESSENTIAL or name not in without)
    }


def _message(message: Message) -> dict[str, Any]:
    role: str = message.role
    if role == "developer":  # Poe refuses it (§3.1)
        role = "system"
    elif role == "function":
        role = "tool"
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
    if message.tool_call_id is not None:
        sent["tool_call_id"] = message.tool_call_id
    return sent


def _content(message: Message) -> str | list[dict[str, Any]]:
    if all(isinstance(part, TextPart) for part in message.content):
        return message.text
    parts: list[dict[str, Any]] = []
    for part in message.content:
        match part:
            case TextPart(text):
                parts.append({"type": "text", "text": text})
            case ImagePart(url, detail):
                image = {"url": url} if detail is None else {"url": url, "detail": detail}
                parts.append({"type": "image_url", "image_url": image})
            case FilePart(data, name):
                file = {"filename": name or "file", "file_data": data}
                parts.append({"type": "file", "file": file})
    return parts


def refused_field(sent: Mapping[str, Any], failure: ParameterRefused) -> str | None:
    """Return the field of *sent* that the bot does not take at all, and that may be left out.

    A field whose *value* is refused is not one: without it the answer would be another.
    """
    if failure.message.startswith("Unsupported value"):
        return None
    droppable = [name for name in sent if name not in _ESSENTIAL]
    if failure.param in droppable:
        return failure.param
    named = set(re.findall(r"\w+", failure.message))
    return next((name for name in droppable if name in named), None)


# ---- the answer

_REASONS: Final[Mapping[Any, FinishReason]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
}


class StreamReader:
    """Turns the data of a stream's events into reply events, one by one."""

    def __init__(self) -> None:
        self.is_over = False
        self._reason: FinishReason | None = None
        self._calls: list[str | None] = []

    def feed(self, data: bytes) -> Iterator[ReplyEvent]:
        """Take the data of one SSE event.

        Raises the `UpstreamError` that it tells of.
        """
        if data.strip() == b"[DONE]":
            yield self._end()
            return
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            raise UpstreamProtocolError("Poe sent a chunk that is not JSON.") from None
        if not isinstance(chunk, dict):
            return
        if chunk.get("error"):
            raise stream_failure(chunk["error"])
        for choice in chunk.get("choices") or ():
            yield from self._delta(choice.get("delta") or {})
            if choice.get("finish_reason"):
                self._reason = _REASONS.get(choice["finish_reason"], "stop")
        if isinstance(chunk.get("usage"), dict):
            yield _usage(chunk["usage"])

    def close(self) -> Iterator[ReplyEvent]:
        """Say that the stream has ended.

        Raises `UpstreamInterrupted` if it had not said so itself: a silent end is a failure
        (§3.6).
        """
        if self.is_over:
            return
        if self._reason is None:
            raise UpstreamInterrupted("Poe's reply ended without an end: it may not be whole.")
        yield self._end()

    def _end(self) -> Done:
        self.is_over = True
        if self._calls and self._reason in (None, "stop"):
            return Done("tool_calls")
        return Done(self._reason or "stop")

    def _delta(self, delta: Mapping[str, Any]) -> Iterator[ReplyEvent]:
        # Both fields hold the same text where both are there.
        if thought := delta.get("reasoning_content") or delta.get("reasoning"):
            yield Reasoning(str(thought))
        if isinstance(delta.get("content"), str) and delta["content"]:
            yield Text(delta["content"])
        for call in delta.get("tool_calls") or ():
            yield self._call(call)

    def _call(self, call: Mapping[str, Any]) -> ToolCallPart:
        """One delta of a tool call. Google's models leave out `index`: then its id tells
        which call it is, and without one it goes on with the last."""
        identity, index = call.get("id") or None, call.get("index")
        if not isinstance(index, int):
            if identity is None:
                index = max(0, len(self._calls) - 1)
            elif identity in self._calls:
                index = self._calls.index(identity)
            else:
                index = len(self._calls)
        is_new = index >= len(self._calls)
        while index >= len(self._calls):
            self._calls.append(None)
        self._calls[index] = self._calls[index] or identity
        return _call_part(index, call, is_new=is_new)


def _call_part(index: int, call: Mapping[str, Any], *, is_new: bool) -> ToolCallPart:
    function = call.get("function") or {}
    arguments = function.get("arguments")
    if isinstance(arguments, dict):
        arguments = orjson.dumps(arguments).decode()
    return ToolCallPart(
        index,
        id=(call.get("id") or f"call_{index}") if is_new else None,
        name=(function.get("name") or "") if is_new else None,
        arguments=arguments or "",
        extra={
            key: value
            for key, value in call.items()
            if key not in {"index", "id", "type", "function"} and value is not None
        },
    )


def whole_answer(content: bytes) -> Iterator[ReplyEvent]:
    """Yield what an unstreamed answer holds (§3.5)."""
    try:
        answer = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise UpstreamProtocolError("Poe's answer is not JSON.") from None
    if isinstance(answer, dict) and answer.get("error"):
        raise stream_failure(answer["error"])
    try:
        choice = answer["choices"][0]
        message = choice["message"]
    except (LookupError, TypeError):
        raise UpstreamProtocolError("Poe's answer is no chat completion.") from None
    if thought := message.get("reasoning_content") or message.get("reasoning"):
        yield Reasoning(str(thought))
    if isinstance(message.get("content"), str) and message["content"]:
        yield Text(message["content"])
    calls = message.get("tool_calls") or ()
    for index, call in enumerate(calls):
        yield _call_part(index, call, is_new=True)
    if isinstance(answer.get("usage"), dict):
        yield _usage(answer["usage"])
    reason = _REASONS.get(choice.get("finish_reason"), "stop")
    yield Done("tool_calls" if calls and reason == "stop" else reason)


def _usage(given: Mapping[str, Any]) -> Usage:
    details = {
        name: {key: count for key, count in given[name].items() if isinstance(count, int)}
        for name in ("prompt_tokens_details", "completion_tokens_details")
        if isinstance(given.get(name), dict)
    }
    return Usage(
        prompt_tokens=int(given.get("prompt_tokens") or 0),
        completion_tokens=int(given.get("completion_tokens") or 0),
        details=details,
    )


# ---- failures

_TOO_LONG: Final = re.compile(
    r"too (?:long|large)|context.?(?:length|window)|maximum context|token limit", re.IGNORECASE
)
_NOT_PERMITTED: Final = re.compile(
    r"private bot|not permitted|permission|access denied|not allowed|subscri", re.IGNORECASE
)
_NO_POINTS: Final = re.compile(r"used up your points|insufficient.?(?:points|quota|credits|fund)")
_NO_TOOLS: Final = re.compile(r"does not support tool", re.IGNORECASE)


def failure(status: int, headers: Mapping[str, str], content: bytes) -> UpstreamError:
    """Return the failure that an answer with an error status tells of (§9).

    Decided by the status first, then by the type, then by words.
    """
    try:
        data = orjson.loads(content)
    except orjson.JSONDecodeError:
        data = None
    error = data.get("error") if isinstance(data, dict) else None
    if isinstance(error, str):
        error = {"message": error}
    return _failure(status, error if isinstance(error, dict) else {}, headers)


def stream_failure(error: Any) -> UpstreamError:
    """Return the failure that an error object within a stream tells of."""
    found = error if isinstance(error, dict) else {"message": str(error)}
    code = found.get("code")
    status = code if isinstance(code, int) else _STATUS_OF_TYPE.get(str(found.get("type")), 500)
    return _failure(status, found, {})


_STATUS_OF_TYPE: Final[Mapping[str, int]] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "insufficient_credits": 402,
    "insufficient_quota": 402,
    "moderation_error": 403,
    "not_found_error": 404,
    "timeout_error": 408,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "provider_error": 500,
    "upstream_error": 502,
    "overloaded_error": 529,
}


def _failure(status: int, error: Mapping[str, Any], headers: Mapping[str, str]) -> UpstreamError:
    said = str(error.get("message") or "").strip()[:2000]
    message = said or f"Poe answered {status}."
    param = error.get("param") if isinstance(error.get("param"), str) else None
    if _NO_POINTS.search(said) or status == 402:
        return TokenExhausted(message)
    if status in (400, 404) and _NO_TOOLS.search(said):
        return ParameterRefused(message, param="tools")
    if status == 413 or (status == 400 and _TOO_LONG.search(said)):
        return PromptTooLong(message, param="messages")
    match status:
        case 400 | 422:
            return ParameterRefused(message, param=param)
        case 401:
            return TokenRejected(message)
        case 403:
            if error.get("type") != "moderation_error" and _NOT_PERMITTED.search(said):
                return BotNotAllowed(message, param="model")
            return PromptRefused(message)
        case 404:
            return BotNotFound(message, param="model")
        case 408 | 504:
            return UpstreamTimeout(message)
        case 429:
            return TokenLimited(message, retry_after=retry_after(headers))
        case 502 | 503 | 529:
            return UpstreamOverloaded(message, retry_after=retry_after(headers))
    return BotFailed(message) if status >= 500 else UpstreamRefused(message)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `Retry-After` asks for, in either of its forms."""
    given = headers.get("Retry-After", "")
    try:
        return max(0.0, float(given))
    except ValueError:
        pass
    try:
        at, now = parsedate_to_datetime(given), parsedate_to_datetime(headers.get("Date", ""))
    except ValueError:
        return None
    return max(0.0, (at - now).total_seconds())
