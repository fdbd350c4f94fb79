"""An answer as its client wants it: one message, or the events of a stream.

Events: https://docs.anthropic.com/en/docs/build-with-claude/streaming, and the types of the
`anthropic` package 2.14, as of November 2026.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from poe_proxy import sse
from poe_proxy.apis.fields import integer
from poe_proxy.apis.messages import native
from poe_proxy.apis.messages.blocks import Blocks, call_block
from poe_proxy.apis.messages.errors import error_body
from poe_proxy.apis.transcript import Transcript
from poe_proxy.chat import (
    ChatRequest,
    Done,
    FinishReason,
    Idle,
    Reasoning,
    Refusal,
    Said,
    Text,
    ToolCallPart,
    Usage,
    Verbatim,
)
from poe_proxy.errors import PoeProxyError
from poe_proxy.shaping.tokenizer import estimate_prompt

_REASONS: Final[Mapping[FinishReason, str]] = {
    "stop": "end_turn",
    "tool_calls": "tool_use",
    "length": "max_tokens",
    "content_filter": "refusal",
}
_STOP: Final = sse.event(b"message_stop", b'{"type":"message_stop"}')


class Answer:
    """One request of this API: a `Call`."""

    def __init__(self, chat: ChatRequest, *, streams: bool, errors_as_text: bool = False) -> None:
        """With *errors_as_text* the failure of a stream is also the last text of the answer."""
        self.chat = chat
        self.streams = streams
        self.content_type = "application/json"
        self._errors_as_text = errors_as_text
        self._transcript = Transcript()
        self._blocks = Blocks(chat.budget)
        #: Whether the stream has begun with a `message_start` of our own.
        self._has_started = False
        #: Whether what Poe says is passed on: then we know nothing of its blocks.
        self._is_native = False
        self._id = f"msg_{secrets.token_hex(12)}"

    def body(self, events: Iterable[Said]) -> bytes:
        """Return the message."""
        said = self._transcript
        passed_on: Verbatim | None = None
        for event in events:
            said.add(event)
            if isinstance(event, Verbatim):
                passed_on = event
        if passed_on is not None:
            return native.body(passed_on.said, self.chat.model)
        content: list[dict[str, Any]] = []
        if said.reasoning:
            content.append({"type": "thinking", "thinking": said.reasoning, "signature": ""})
        calls = [call_block(call, self.chat.budget) for call in said.calls]
        # An answer without a block would be taken for none, and asked for again.
        if (text := said.text + said.refusal) or not calls:
            content.append({"type": "text", "text": text, "citations": None})
        return orjson.dumps(
            self._message([*content, *calls], self._usage(self._final_usage()), self._end())
        )

    def frame(self, event: Said) -> bytes:
        """Return the events that *event* makes, from `message_start` to `message_stop`.

        What the prompt has is an estimate at the beginning, which costs next to nothing, and
        corrected at the end.
        """
        # By far the most events are texts.
        if type(event) is Text and self._has_started and not self._is_native:
            self._transcript.add(event)
            return self._blocks.text(event.text)
        if self._is_native or type(event) is Verbatim:
            self._is_native = True
            return native.frame(event, self.chat.model, has_started=self._has_started)
        if not self._has_started:
            self._has_started = True
            start = self._start()
            # If it was silence that opened the stream, it is broken by now.
            return start if type(event) is Idle else start + self.frame(event)
        match self._transcript.add(event):
            case Text(text) | Refusal(text):
                return self._blocks.text(text)
            case Reasoning(text):
                return self._blocks.thinking(text)
            case ToolCallPart() as part:
                return self._blocks.call(part)
            case Idle():
                return native.PING
            case Done():
                return self._finish()
        return b""

    def _start(self) -> bytes:
        estimate = self._usage(Usage(estimate_prompt(self.chat), 0))
        message = self._message([], estimate, {"stop_reason": None, "stop_sequence": None})
        start = orjson.dumps({"type": "message_start", "message": message})
        return sse.event(b"message_start", start)

    def _finish(self) -> bytes:
        rest = self._blocks.finish(self._transcript.calls)
        end = {"type": "message_delta", "delta": self._end()}
        usage = self._usage(self._final_usage())
        delta = sse.event(b"message_delta", orjson.dumps({**end, "usage": usage}))
        return rest + delta + _STOP

    def failed(self, failure: PoeProxyError) -> bytes:
        """Return the error event, which is the last one; if wanted, the failure as text before."""
        told = b""
        if self._errors_as_text and not self._is_native:
            lead = "\n\n" if self._transcript.text else ""
            told = self._blocks.last_words(f"{lead}Error: {failure.message}")
        return told + sse.event(b"error", error_body(failure))

    def opens_for(self, failure: PoeProxyError) -> bool:
        """Return False: before the first event clients heed `x-should-retry`, and behind it they
        ask again whatever they are told."""
        return False

    def _message(
        self, content: list[dict[str, Any]], usage: Mapping[str, Any], end: Mapping[str, Any]
    ) -> dict[str, Any]:
        about = {"id": self._id, "type": "message", "role": "assistant", "model": self.chat.model}
        return {**about, "content": content, **end, "usage": usage}

    def _end(self) -> dict[str, Any]:
        """Return why the answer ended."""
        said = self._transcript
        reason = _REASONS[said.finish_reason or "stop"]
        if said.finish_reason in ("stop", "tool_calls"):
            # Clients carry out calls only if this is the reason.
            reason = "tool_use" if said.has_calls else "end_turn"
        if said.refusal:
            reason = "refusal"
        elif said.stop_word is not None:
            reason = "stop_sequence"
        return {"stop_reason": reason, "stop_sequence": said.stop_word}

    def _final_usage(self) -> Usage:
        return self._transcript.usage(self.chat)

    def _usage(self, usage: Usage) -> dict[str, Any]:
        """Return *usage* in Anthropic's form, where what was cached does not count as input."""
        details = usage.details.get("prompt_tokens_details")
        cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
        read = min(max(integer(cached) or 0, 0), usage.prompt_tokens)
        return {
            "input_tokens": usage.prompt_tokens - read,
            "output_tokens": usage.completion_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": read,
        }
