"""Reply events in the shape of OpenAI's chat completions: as SSE frames, or as one body."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

import orjson

from poe_proxy import sse
from poe_proxy.chat import (
    ChatRequest,
    Done,
    FinishReason,
    Idle,
    Reasoning,
    Replaced,
    ReplyEvent,
    Text,
    ToolCallPart,
    Usage,
    Waiting,
)
from poe_proxy.errors import PoeProxyError, UpstreamInterrupted
from poe_proxy.shaping.tokenizer import count_prompt, count_text

#: Seconds of silence after which a stream gets a comment line, so that nobody between
#: takes it for dead.
KEEP_ALIVE: Final = 15.0


class Answer:
    """What has been said so far, kept while the events go by."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._reasoning: list[str] = []
        self.calls: dict[int, dict[str, Any]] = {}
        self.usage: Usage | None = None

    @property
    def text(self) -> str:
        """The whole answer so far."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    @property
    def reasoning(self) -> str:
        """All that was thought before it."""
        return "".join(self._reasoning)

    def append(self, text: str) -> None:
        self._pieces.append(text)

    def replace(self, text: str) -> str:
        """Take *text* for the whole answer; return what a stream has to say about it.

        What was streamed cannot be taken back. So a stream goes on behind the part that
        both have in common, on a line of its own where the old text went another way. Marks
        at its end are no other way: some bots draw a cursor there, anew with each word.
        """
        old = self.text
        self._pieces = [text]
        if text.startswith(old):
            return text[len(old) :]
        same = _common(old, text)
        went_another_way = any(letter.isalnum() for letter in old[same:])
        return f"\n\n{text[same:]}" if text[same:] and went_another_way else text[same:]

    def think(self, text: str) -> None:
        self._reasoning.append(text)

    def call(self, part: ToolCallPart) -> None:
        call = self.calls.setdefault(
            part.index,
            {"id": part.id, "type": "function", "function": {"name": "", "arguments": ""}},
        )
        call["id"] = call["id"] or part.id
        call["function"]["name"] += part.name or ""
        call["function"]["arguments"] += part.arguments
        call.update(part.extra)

    def count(self, chat: ChatRequest) -> dict[str, Any]:
        """The usage object: as Poe counts it, else by our own estimate."""
        if self.usage is not None:
            prompt, completion = self.usage.prompt_tokens, self.usage.completion_tokens
            total, details = self.usage.total_tokens, self.usage.details
        else:
            prompt = count_prompt(chat)
            completion = (
                count_text(self.text)
                + count_text(self.reasoning)
                + sum(
                    count_text(call["function"]["name"] + call["function"]["arguments"])
                    for call in self.calls.values()
                )
            )
            total, details = None, {}
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion if total is None else total,
            **details,
        }


def _common(one: str, other: str) -> int:
    """The length of what both begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def completion(chat: ChatRequest, events: Iterable[ReplyEvent]) -> bytes:
    """Return the `chat.completion` body that all of *events* make."""
    answer = Answer()
    reason: FinishReason | None = None
    for event in events:
        match event:
            case Text(text):
                answer.append(text)
            case Replaced(text):
                answer.replace(text)
            case Reasoning(text):
                answer.think(text)
            case ToolCallPart():
                answer.call(event)
            case Usage():
                answer.usage = event
            case Done(reason):
                pass
            case Waiting() | Idle():
                pass
    if reason is None:
        raise UpstreamInterrupted("The reply broke off before its end.")
    message: dict[str, Any] = {"role": "assistant", "content": answer.text}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.calls:
        message["content"] = answer.text or None
        calls = [call for _, call in sorted(answer.calls.items())]
        if chat.legacy_functions:
            message["function_call"] = calls[0]["function"]
        else:
            message["tool_calls"] = calls
    return orjson.dumps(
        {
            "id": _completion_id(),
            "object": "chat.completion",
            "created": int(time.time()),
            "model": chat.model,
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "logprobs": None,
                    "finish_reason": _reason(chat, reason),
                }
            ],
            "usage": answer.count(chat),
        }
    )


def frames(
    chat: ChatRequest, events: Iterable[ReplyEvent], *, errors_as_text: bool = False
) -> Iterator[bytes]:
    """Yield *events* as the SSE frames of a `chat.completion.chunk` stream.

    Silence gives a comment every `KEEP_ALIVE` seconds. A failure becomes a last frame with
    an error object. It is never answer text, unless *errors_as_text* wants it told there too.
    """
    head = orjson.dumps(
        {
            "id": _completion_id(),
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": chat.model,
        }
    )[:-1]
    # Asked for usage, OpenAI has the field in every chunk, null in all but the last.
    tail = b',"usage":null}\n\n' if chat.include_usage else b"}\n\n"
    opening = b"data: " + head + b',"choices":[{"index":0,"delta":'
    closing = b',"finish_reason":null}]' + tail

    def chunk(delta: dict[str, Any]) -> bytes:
        return opening + orjson.dumps(delta) + closing

    answer = Answer()
    last_sent = time.monotonic()
    try:
        yield chunk({"role": "assistant", "content": ""})
        for event in events:
            match event:
                case Text(text):
                    answer.append(text)
                    yield chunk({"content": text})
                case Replaced(text):
                    if rest := answer.replace(text):
                        yield chunk({"content": rest})
                case Reasoning(text):
                    answer.think(text)
                    yield chunk({"reasoning_content": text})
                case ToolCallPart():
                    answer.call(event)
                    yield chunk(_call_delta(chat, event))
                case Usage():
                    answer.usage = event
                case Done(reason):
                    end = b'{},"finish_reason":"' + _reason(chat, reason).encode() + b'"}]'
                    yield opening + end + tail
                    if chat.include_usage:
                        usage = orjson.dumps(answer.count(chat))
                        yield b"data: " + head + b',"choices":[],"usage":' + usage + b"}\n\n"
                    yield sse.DONE
                    return
                case Waiting() | Idle():
                    if time.monotonic() - last_sent < KEEP_ALIVE:
                        continue
                    yield sse.comment("keep-alive")
            last_sent = time.monotonic()
        raise UpstreamInterrupted("The reply broke off before its end.")
    except PoeProxyError as failure:
        if errors_as_text:
            lead = "\n\n" if answer.text else ""
            yield chunk({"content": f"{lead}Error: {failure.message}"})
        yield sse.data(error_body(failure))


def _call_delta(chat: ChatRequest, part: ToolCallPart) -> dict[str, Any]:
    function: dict[str, Any] = {"arguments": part.arguments}
    if part.name is not None:
        function["name"] = part.name
    if chat.legacy_functions:
        return {"function_call": function}
    call: dict[str, Any] = {"index": part.index}
    if part.id is not None:
        call.update(id=part.id, type="function")
    return {"tool_calls": [{**call, **part.extra, "function": function}]}


def _reason(chat: ChatRequest, reason: FinishReason) -> str:
    return "function_call" if chat.legacy_functions and reason == "tool_calls" else reason


def error_body(failure: PoeProxyError) -> bytes:
    """Return *failure* as the OpenAI error object."""
    return orjson.dumps(
        {
            "error": {
                "message": failure.message,
                "type": failure.type,
                "param": failure.param,
                "code": failure.code,
            }
        }
    )


def model_list(entries: Iterable[dict[str, Any]]) -> bytes:
    """Return the body of `GET /v1/models`."""
    return orjson.dumps({"object": "list", "data": list(entries)})


#: The body of `GET /dashboard/billing/usage`, in US cents.
NO_USAGE: Final = b'{"object":"list","total_usage":0}'


def subscription(dollars: float) -> bytes:
    """Return the body of `GET /dashboard/billing/subscription`, for so many US dollars."""
    limits = dict.fromkeys(("soft_limit_usd", "hard_limit_usd", "system_hard_limit_usd"), dollars)
    return orjson.dumps({"object": "billing_subscription", "has_payment_method": True, **limits})


def _completion_id() -> str:
    return f"chatcmpl-{secrets.token_hex(12)}"
