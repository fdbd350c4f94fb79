"""OpenAI's older completions: `POST /v1/completions`, a text that is to be continued.

Poe has nothing but chats. So the text is one message of the user, and a bot answers it rather than
goes on with it; what comes is dressed as its continuation.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from poe_proxy import sse
from poe_proxy.apis import basics
from poe_proxy.apis.fields import field, flag, json_object, number, refusal
from poe_proxy.apis.openai_error import OpenAiErrors, error_body
from poe_proxy.apis.openai_usage import usage_object
from poe_proxy.apis.transcript import Transcript
from poe_proxy.budget import Budget
from poe_proxy.chat import (
    ChatRequest,
    Done,
    FinishReason,
    Idle,
    Message,
    Refusal,
    Said,
    Text,
    TextPart,
)
from poe_proxy.errors import PoeProxyError

#: Fields that end up in a `ChatRequest`, or mean nothing once they are checked.
_NAMED: Final = frozenset(
    {
        "model", "prompt", "suffix", "echo", "stream", "stream_options", "max_tokens",
        "temperature", "top_p", "stop", "n", "best_of", "logprobs",
    }
)  # fmt: skip

#: How a bot is asked for what stands in the middle of a text.
_FILL_IN: Final = (
    "Write the text that belongs between the beginning and the end below. Answer with that text "
    "alone: repeat neither of them, and add no explanation and no code fence.\n\n"
    "<beginning>\n{}\n</beginning>\n\n<end>\n{}\n</end>"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """How the client wants the answer dressed."""

    streams: bool
    #: Whether a stream ends with a chunk of usage.
    wants_usage: bool
    #: What stands in front of the answer.
    echo: str


class Completions(OpenAiErrors):
    """This API: an `Api`."""

    def __init__(self, *, errors_as_text: bool = False) -> None:
        """With *errors_as_text* the failure of a stream is also the last text of the answer."""
        self._errors_as_text = errors_as_text

    def call(self, body: bytes | bytearray, budget: Budget) -> TextCompletion:
        """Read a request; raises `InvalidRequest`."""
        data = json_object(body, budget)
        model = basics.model(data)
        prompt = _prompt(data.get("prompt"))
        suffix = field(data, "suffix", str)
        _refuse_what_poe_cannot_do(data)
        options = field(data, "stream_options", dict) or {}
        form = _Form(
            streams=flag(data, "stream") or False,
            wants_usage=flag(options, "include_usage", "stream_options.") or False,
            echo=prompt if flag(data, "echo") else "",
        )
        text = _FILL_IN.format(prompt, suffix) if suffix else prompt
        chat = ChatRequest(
            model=model,
            messages=(Message(role="user", content=(TextPart(text),)),),
            temperature=number(data, "temperature", 0, 2),
            top_p=number(data, "top_p", 0, 1),
            max_tokens=basics.max_tokens(data, "max_tokens"),
            stop=basics.stop(data, "stop"),
            extra=basics.others(data, _NAMED),
            budget=budget,
        )
        return TextCompletion(chat, form, errors_as_text=self._errors_as_text)


def _prompt(given: Any) -> str:
    match given:
        case str(text) | [str(text)] if text:
            return text
        case [str(), str(), *_]:
            raise refusal("prompt", "prompt must be one text: Poe gives one answer to a request.")
        case [int() | [int(), *_], *_]:
            raise refusal("prompt", "prompt must be a text: Poe's bots do not read tokens.")
    raise refusal("prompt", "prompt must be a text that is not empty.", missing=given is None)


def _refuse_what_poe_cannot_do(data: Mapping[str, Any]) -> None:
    basics.one_answer(data, "n", "best_of")
    # Its value is a number; 0 and false stand in forms for "none".
    if data.get("logprobs"):
        raise refusal("logprobs", "Poe gives no log probabilities.")


class TextCompletion:
    """One request of completions: a `Call`."""

    def __init__(self, chat: ChatRequest, form: _Form, *, errors_as_text: bool = False) -> None:
        """See `Completions`."""
        self.chat = chat
        self.streams = form.streams
        self.content_type = "application/json"
        self._form = form
        self._errors_as_text = errors_as_text
        self._transcript = Transcript()
        self._id = f"cmpl-{secrets.token_hex(12)}"
        self._created = int(time.time())
        #: What surrounds the text of a chunk; written once a stream opens.
        self._before_text = self._behind_text = b""

    def body(self, events: Iterable[Said]) -> bytes:
        """Return the `text_completion` object."""
        said = self._transcript
        for event in events:
            said.add(event)
        text = self._form.echo + said.text + said.refusal
        choice = _choice(text, said.finish_reason or "stop")
        return orjson.dumps(self._object([choice], usage=self._usage()))

    def frame(self, event: Said) -> bytes:
        """Return the `text_completion` frames that *event* makes, at the end `[DONE]` too. A
        keep-alive is one without any text."""
        if not self._before_text:
            self._open()
            echo = self._chunk(self._form.echo) if self._form.echo else b""
            return echo + self.frame(event)
        # By far the most events are texts.
        if type(event) is Text:
            self._transcript.add(event)
            return self._chunk(event.text)
        match self._transcript.add(event):
            case Text(text):  # a rewritten text may add nothing
                return self._chunk(text) if text else b""
            case Refusal(text):
                return self._chunk(text)
            case Idle():
                return self._chunk("")
            case Done(reason):
                return self._finish(reason)
        return b""

    def _open(self) -> None:
        """Write what is the same in all chunks: it is serialised once."""
        self._before_text, self._behind_text = self._around(None)

    def _chunk(self, text: str) -> bytes:
        return self._before_text + orjson.dumps(text) + self._behind_text

    def _around(self, reason: FinishReason | None) -> tuple[bytes, bytes]:
        """Return what surrounds the text of a chunk."""
        # If usage is wanted, OpenAI has the field in every chunk, null in all but the last.
        usage = {"usage": None} if self._form.wants_usage else {}
        chunk = sse.data(orjson.dumps(self._object([_choice("", reason)], **usage)))
        before, _, behind = chunk.partition(b'"text":""')
        return before + b'"text":', behind

    def _finish(self, reason: FinishReason) -> bytes:
        before, behind = self._around(reason)
        finish = before + b'""' + behind
        if self._form.wants_usage:
            finish += sse.data(orjson.dumps(self._object([], usage=self._usage())))
        return finish + sse.DONE

    def failed(self, failure: PoeProxyError) -> bytes:
        """Return the error object as the last event; if wanted, the failure as text before it."""
        text = b""
        if self._errors_as_text:
            self._open()
            lead = "\n\n" if self._transcript.text else ""
            text = self._chunk(f"{lead}Error: {failure.message}")
        return text + sse.data(error_body(failure))

    def opens_for(self, failure: PoeProxyError) -> bool:
        """Return False: clients of this API heed a status."""
        return False

    def _object(self, choices: list[dict[str, Any]], **usage: Any) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "text_completion",
            "created": self._created,
            "model": self.chat.model,
            "choices": choices,
            **usage,
        }

    def _usage(self) -> dict[str, Any]:
        return usage_object(self._transcript.usage(self.chat))


def _choice(text: str, reason: FinishReason | None) -> dict[str, Any]:
    # There are no tools here, so a call, which no bot should make, is no reason either.
    reason = "stop" if reason == "tool_calls" else reason
    return {"text": text, "index": 0, "logprobs": None, "finish_reason": reason}
