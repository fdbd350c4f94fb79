"""A chat completion as its client wants it: one body, or the chunks of a stream."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import orjson

from poe_proxy import sse
from poe_proxy.apis.chat_completions.parsing import Form
from poe_proxy.apis.custom_input import InputReader, input_of
from poe_proxy.apis.openai_error import error_body
from poe_proxy.apis.openai_usage import usage_object
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
    ToolCall,
    ToolCallPart,
)
from poe_proxy.errors import PoeProxyError


class Completion:
    """One request of chat completions: a `Call`."""

    def __init__(self, chat: ChatRequest, form: Form, *, errors_as_text: bool = False) -> None:
        """With *errors_as_text* the failure of a stream is also the last text of the answer."""
        self.chat = chat
        self.streams = form.streams
        self.content_type = "application/json"
        self._form = form
        self._errors_as_text = errors_as_text
        self._transcript = Transcript()
        #: Tools whose calls carry a text, and what of such calls a stream has read, by their index.
        self._custom = {tool.name for tool in chat.tools if tool.is_custom}
        self._inputs: dict[int, InputReader] = {}
        self._id = f"chatcmpl-{secrets.token_hex(12)}"
        self._created = int(time.time())
        #: What surrounds the delta of a chunk, or a text in it; written once a stream opens.
        self._opening = self._closing = b""
        self._before_text = self._behind_text = b""

    def body(self, events: Iterable[Said]) -> bytes:
        """Return the `chat.completion` object."""
        said = self._transcript
        for event in events:
            said.add(event)
        message: dict[str, Any] = {"role": "assistant", "content": said.text}
        if said.reasoning:
            message["reasoning_content"] = said.reasoning
        if said.refusal:
            message.update(content=said.text or None, refusal=said.refusal)
        if said.has_calls:
            calls = [self._call(call) for call in said.calls]
            message["content"] = said.text or None
            if self._form.is_legacy:
                message["function_call"] = calls[0]["function"]
            else:
                message["tool_calls"] = calls
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": self._reason(said.finish_reason or "stop"),
        }
        return orjson.dumps(
            {
                **self._envelope("chat.completion"),
                "choices": [choice],
                "usage": self._usage(),
            }
        )

    def frame(self, event: Said) -> bytes:
        """Return the `chat.completion.chunk` frames that *event* makes, at the end `[DONE]` too.

        A keep-alive is a chunk as well, without any text: some clients end a stream at a comment.
        """
        if not self._opening:
            self._open()
            role = self._chunk({"role": "assistant", "content": ""})
            # If it was silence that opened the stream, it is broken by now.
            return role if type(event) is Idle else role + self.frame(event)
        # By far the most events are texts.
        if type(event) is Text:
            self._transcript.add(event)
            return self._before_text + orjson.dumps(event.text) + self._behind_text
        match self._transcript.add(event):
            case Reasoning(text):
                return self._chunk({"reasoning_content": text})
            case Text(text) if text:  # a rewritten text may add nothing
                return self._chunk({"content": text})
            case Refusal(text):
                return self._chunk({"refusal": text})
            case ToolCallPart() as part if delta := self._call_delta(part):
                return self._chunk(delta)
            case Done(reason):
                return self._end(reason)
            case Idle():
                return self._chunk({"content": ""})
        return b""

    def _open(self) -> None:
        """Write what is the same in all chunks: it is serialised once."""
        head = self._head()
        self._opening = head + b'{"index":0,"delta":'
        self._closing = b',"finish_reason":null}]' + self._tail()
        self._before_text = self._opening + b'{"content":'
        self._behind_text = b"}" + self._closing

    def _head(self) -> bytes:
        envelope = orjson.dumps(self._envelope("chat.completion.chunk"))
        return b"data: " + envelope[:-1] + b',"choices":['

    def _tail(self) -> bytes:
        # If usage is wanted, OpenAI has the field in every chunk, null in all but the last.
        return b',"usage":null}\n\n' if self._form.wants_usage else b"}\n\n"

    def _chunk(self, delta: dict[str, Any]) -> bytes:
        return self._opening + orjson.dumps(delta) + self._closing

    def _end(self, reason: FinishReason) -> bytes:
        frames = [
            self._chunk(_custom_delta(index, {"input": rest}))
            for index, reader in self._inputs.items()
            if (rest := reader.finish())
        ]
        finish = b'{},"finish_reason":"' + self._reason(reason).encode() + b'"}]'
        frames += self._opening, finish, self._tail()
        if self._form.wants_usage:
            frames += self._head(), b'],"usage":', orjson.dumps(self._usage()), b"}\n\n"
        return b"".join([*frames, sse.DONE])

    def failed(self, failure: PoeProxyError) -> bytes:
        """Return the error object as the last event; if wanted, the failure as text before it."""
        text = b""
        if self._errors_as_text:
            self._open()
            lead = "\n\n" if self._transcript.text else ""
            text = self._chunk({"content": f"{lead}Error: {failure.message}"})
        return text + sse.data(error_body(failure))

    def opens_for(self, failure: PoeProxyError) -> bool:
        """Return False: clients of this API heed a status."""
        return False

    def _envelope(self, kind: str) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self.chat.model,
        }

    def _call(self, call: ToolCall) -> dict[str, Any]:
        if call.name in self._custom:
            custom = {"name": call.name, "input": input_of(call.arguments)}
            return {"id": call.id, "type": "custom", "custom": custom, **call.extra}
        function = {"name": call.name, "arguments": call.arguments}
        return {"id": call.id, "type": "function", "function": function, **call.extra}

    def _call_delta(self, part: ToolCallPart) -> dict[str, Any]:
        """Return what a stream adds for *part*; empty if nothing of it can be told yet."""
        if part.name in self._custom:
            reader = self._inputs[part.index] = InputReader()
            custom = {"name": part.name, "input": reader.feed(part.arguments)}
            about = {"id": part.id, "type": "custom", **part.extra}
            return _custom_delta(part.index, custom, about)
        if part.index in self._inputs:
            added = self._inputs[part.index].feed(part.arguments)
            return _custom_delta(part.index, {"input": added}) if added else {}
        function: dict[str, Any] = {"arguments": part.arguments}
        if part.name is not None:
            function["name"] = part.name
        if self._form.is_legacy:
            return {"function_call": function}
        call: dict[str, Any] = {"index": part.index}
        if part.id is not None:
            call.update(id=part.id, type="function")
        return {"tool_calls": [{**call, **part.extra, "function": function}]}

    def _reason(self, reason: FinishReason) -> str:
        return "function_call" if self._form.is_legacy and reason == "tool_calls" else reason

    def _usage(self) -> dict[str, Any]:
        return usage_object(self._transcript.usage(self.chat))


def _custom_delta(
    index: int, custom: dict[str, Any], about: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, **about, "custom": custom}]}
