"""A response as its client wants it: one object, or the events of a stream."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from poe_proxy.apis.responses import failures, forms
from poe_proxy.apis.responses.events import Events
from poe_proxy.apis.responses.forms import CallForms
from poe_proxy.apis.responses.output import Output
from poe_proxy.apis.responses.parsing import Form
from poe_proxy.apis.transcript import Transcript
from poe_proxy.chat import (
    ChatRequest,
    Done,
    FinishReason,
    Idle,
    Reasoning,
    Refusal,
    Replaced,
    Said,
    Text,
    ToolCallPart,
)
from poe_proxy.errors import PoeProxyError

#: Why an answer is not complete, by how the bot ended it.
_INCOMPLETE: Mapping[FinishReason, str] = {
    "length": "max_output_tokens",
    "content_filter": "content_filter",
}


class Answer:
    """One request of this API: a `Call`."""

    def __init__(self, chat: ChatRequest, form: Form, *, errors_as_text: bool = False) -> None:
        """With *errors_as_text* the failure of a stream is also the last text of the answer."""
        self.chat = chat
        self.streams = form.streams
        self.content_type = "application/json"
        self._form = form
        self._errors_as_text = errors_as_text
        self._transcript = Transcript()
        self._calls = CallForms(chat, form.names)
        self._id = forms.new_id("resp")
        self._created = int(time.time())
        self._events = Events()
        self._output = Output(self._events, self._calls)
        self._is_replaced = False
        #: The response as long as it is not at its end, which a stream has several times.
        self._begun = b""

    # ---- the whole answer

    def body(self, events: Iterable[Said]) -> bytes:
        """Return the `response` object."""
        for event in events:
            self._transcript.add(event)
        return orjson.dumps(self._ended(self._items()))

    def _items(self) -> list[dict[str, Any]]:
        said = self._transcript
        status = self._last_status()
        items: list[dict[str, Any]] = []
        if said.reasoning:
            items.append(forms.reasoning(forms.new_id("rs"), said.reasoning))
        parts = [forms.output_text(said.text)] if said.text else []
        if said.refusal:
            parts.append(forms.refusal(said.refusal))
        calls = said.calls
        if parts:
            items.append(
                forms.message(forms.new_id("msg"), "completed" if calls else status, *parts)
            )
        for place, call in enumerate(calls, 1):
            its_status = status if place == len(calls) else "completed"
            item = self._calls.whole(its_status, call.id, call.name, call.arguments)
            items.append(item)
            if call.extra:
                items.append(forms.signature(forms.new_id("rs"), item["call_id"], call.extra))
        return items

    # ---- the stream

    def frame(self, event: Said) -> bytes:
        """Return the events that *event* makes: the first ones are `response.created` and
        `.in_progress`, the last one `response.completed` or `.incomplete`.

        A keep-alive is `response.in_progress` again: Codex gives up if only comments come, and all
        clients know that event.
        """
        if not self._begun:
            opening = self._opening()
            # If it was silence that opened the stream, it is broken by now.
            return opening if type(event) is Idle else opening + self.frame(event)
        # By far the most events are texts.
        if type(event) is Text:
            self._transcript.add(event)
            return self._output.text(event)
        told = self._events.number
        try:
            return self._events_of(event)
        except BaseException:
            self._events.number = told  # what was made of the event so far is lost
            raise

    def _events_of(self, event: Said) -> bytes:
        match self._transcript.add(event):
            case Text() | Reasoning() | Refusal() | ToolCallPart() as piece:
                self._is_replaced |= type(event) is Replaced
                return self._output.add(piece)
            case Done():
                return self._output.end(self._last_status()) + self._closing()
            case Idle():
                return self._alive()
        return b""

    def failed(self, failure: PoeProxyError) -> bytes:
        """Return two events: `error` for the `openai` packages, and `response.failed`, whose code
        keeps Codex from asking again; if wanted, the failure as text before them."""
        frames = [] if self._begun else [self._opening()]
        self._output.abandon()
        if self._errors_as_text:
            lead = "\n\n" if self._transcript.text else ""
            frames.append(self._output.add(Text(f"{lead}Error: {failure.message}")))
            frames.append(self._output.end())
        frames.append(self._events.event("error", **failures.event(failure)))
        response = self._response("failed", output=self._output.items)
        response["error"] = failures.told(failure)
        frames.append(self._events.event("response.failed", response=response))
        return b"".join(frames)

    def opens_for(self, failure: PoeProxyError) -> bool:
        """Return whether Codex, which takes a status for a reason to ask up to thirty times, would
        pay for that, or in vain."""
        return failures.must_end(failure)

    def _opening(self) -> bytes:
        self._begun = orjson.dumps({"response": self._response("in_progress")})[1:-1]
        return self._events.written("response.created", self._begun) + self._alive()

    def _alive(self) -> bytes:
        return self._events.written("response.in_progress", self._begun)

    def _closing(self) -> bytes:
        response = self._ended(self._output.items)
        self._rewrite(response["output"])
        return self._events.event(f"response.{response['status']}", response=response)

    def _rewrite(self, items: list[dict[str, Any]]) -> None:
        """Tell the last version of a text that was rewritten; a stream could only go on."""
        if not self._is_replaced:
            return
        texts = [
            part
            for item in items
            if item["type"] == "message"
            for part in item["content"]
            if part["type"] == "output_text"
        ]
        if len(texts) == 1:
            texts[0]["text"] = self._transcript.text

    # ---- the response

    def _last_status(self) -> forms.Status:
        reason = self._transcript.finish_reason
        return "incomplete" if reason in _INCOMPLETE else "completed"

    def _ended(self, output: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the response at its end: only this one repeats what was asked."""
        why = _INCOMPLETE.get(self._transcript.finish_reason or "stop")
        response = self._response("completed" if why is None else "incomplete", output=output)
        response.update(self._form.echo)
        if why is None:
            response["completed_at"] = int(time.time())
        else:
            response["incomplete_details"] = {"reason": why}
        response["usage"] = forms.usage(self._transcript.usage(self.chat))
        return response

    def _response(self, status: str, *, output: Iterable[dict[str, Any]] = ()) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "completed_at": None,
            "model": self.chat.model,
            "output": [*output],
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": self._form.echo.get("metadata", {}),
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "temperature": self.chat.temperature,
            "top_p": self.chat.top_p,
            "max_output_tokens": self.chat.max_tokens,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "text": {"format": {"type": "text"}},
            "truncation": "disabled",
            "store": False,
            "background": False,
            "user": None,
            "usage": None,
        }
