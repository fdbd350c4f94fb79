"""The APIs that clients speak: what is sent, and how the text, the end and the failure are read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

#: How an answer ended; empty: it goes on.
Ending: TypeAlias = Literal["", "answered", "error", "broke off"]

#: What an answer cannot be read for: it has another form than its API has.
UNREADABLE: Final = (ValueError, KeyError, TypeError, IndexError, AttributeError)


@dataclass(slots=True)
class Told:
    """What was read of an answer so far."""

    texts: list[str] = field(default_factory=list)
    ending: Ending = ""
    #: Why the bot stopped, in the words of the API; only of what was answered.
    reason: object = None
    #: The code of the failure; empty in an API that has none.
    code: str = ""
    message: str = ""

    @property
    def text(self) -> str:
        """All that was said."""
        return "".join(self.texts)

    def failed(self, ending: Ending, error: Mapping[str, Any], code: str = "code") -> None:
        """Note the failure in an error object, and how it has ended the answer."""
        self.code = str(error[code]) if code else ""
        self.message = str(error["message"])
        self.ending = ending


#: Reads the data of one event after another into a `Told`; raises one of `UNREADABLE`.
Reader: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One API that clients speak."""

    path: str
    #: The header with the client's key, before the key, and those that each request has besides.
    key: tuple[str, str]
    #: The members that a request has besides its model and whether it streams, for these words.
    body: Callable[[str], Mapping[str, Any]]
    #: What the reason is if the bot has said all.
    complete: str
    #: Reads a whole answer; raises one of `UNREADABLE`.
    whole: Callable[[Mapping[str, Any], Told], None]
    #: Begins to read a stream.
    stream: Callable[[Told], Reader]
    #: Reads the body of an error; raises one of `UNREADABLE`.
    refusal: Callable[[Mapping[str, Any], Told], None]
    headers: Mapping[str, str] = field(default_factory=dict)


def _openai_refusal(body: Mapping[str, Any], told: Told) -> None:
    told.failed("error", body["error"])


# ---- chat completions


def _chat_body(words: str) -> Mapping[str, Any]:
    return {"messages": [{"role": "user", "content": words}]}


def _chat_whole(body: Mapping[str, Any], told: Told) -> None:
    (choice,) = body["choices"]
    told.texts.append(choice["message"]["content"])
    told.reason, told.ending = choice["finish_reason"], "answered"


def _chat_stream(told: Told) -> Reader:
    return _chunks(told, lambda choice: choice["delta"].get("content") or "")


def _chunks(told: Told, text: Callable[[Mapping[str, Any]], str]) -> Reader:
    def read(data: str) -> None:
        if data == "[DONE]":
            told.ending = "answered"
            return
        frame = json.loads(data)
        if "error" in frame:
            told.failed("broke off", frame["error"])
            return
        for choice in frame["choices"]:
            told.texts.append(text(choice))
            told.reason = choice["finish_reason"] or told.reason

    return read


# ---- completions


def _completions_body(words: str) -> Mapping[str, Any]:
    return {"prompt": words}


def _completions_whole(body: Mapping[str, Any], told: Told) -> None:
    (choice,) = body["choices"]
    told.texts.append(choice["text"])
    told.reason, told.ending = choice["finish_reason"], "answered"


def _completions_stream(told: Told) -> Reader:
    return _chunks(told, lambda choice: str(choice["text"]))


# ---- Responses


def _responses_body(words: str) -> Mapping[str, Any]:
    return {"input": words, "store": False}


def _responses_whole(body: Mapping[str, Any], told: Told) -> None:
    told.texts += [
        part["text"] for item in body["output"] if item["type"] == "message"
        for part in item["content"]
    ]  # fmt: skip
    told.reason, told.ending = body["status"], "answered"


class _ResponsesStream:
    """The events, which are numbered; items and their parts come one after the other."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._number = 0
        self._items = 0
        self._open = ""
        self._has_error = False

    def __call__(self, data: str) -> None:
        told, event = self._told, json.loads(data)
        kind = event["type"]
        _must(event["sequence_number"] == self._number, f"{kind} has not the next number")
        _must((kind == "response.created") == (self._number == 0), f"{kind} is out of place")
        self._number += 1
        if self._has_error:
            _must(kind == "response.failed", f"{kind} comes behind an error")
        match kind:
            case "response.output_item.added":
                _must(event["output_index"] == self._items, "an item is out of place")
                self._items += 1
                self._open = event["item"]["id"]
            case "response.output_text.delta":
                _must(event["item_id"] == self._open, "a text belongs to no open item")
                told.texts.append(event["delta"])
            case "response.output_item.done":
                _must(event["item"]["id"] == self._open, "an item ends that is not open")
                self._open = ""
            case "response.completed" | "response.incomplete":
                _must(not self._open, "the response ends within an item")
                last = Told()
                _responses_whole(event["response"], last)
                _must(last.text == told.text, "the last event has another text")
                told.reason, told.ending = last.reason, "answered"
            case "error":
                self._has_error = True
                told.failed("", event)
            case "response.failed":
                _must(self._has_error, "a response has failed without an error")
                _must(bool(event["response"]["error"]["code"]), "a failure has no code")
                # Without an item the stream was opened only to say so: the bot has said nothing,
                # and in any other API the answer had been a status.
                told.ending = "broke off" if self._items else "error"


# ---- Messages


def _messages_body(words: str) -> Mapping[str, Any]:
    return {"messages": [{"role": "user", "content": words}], "max_tokens": 60_000}


def _messages_whole(body: Mapping[str, Any], told: Told) -> None:
    told.texts += [block["text"] for block in body["content"] if block["type"] == "text"]
    told.reason, told.ending = body["stop_reason"], "answered"


class _MessagesStream:
    """The events; blocks come one after the other, and are numbered."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._has_begun = False
        self._blocks = 0
        self._is_open = False

    def __call__(self, data: str) -> None:
        told, event = self._told, json.loads(data)
        kind = event["type"]
        if kind == "error":
            _read_anthropic(event, told, "broke off")
            return
        _must((kind == "message_start") != self._has_begun, f"{kind} is out of place")
        self._has_begun = True
        match kind:
            case "content_block_start":
                _must(not self._is_open, "a block begins within another")
                _must(event["index"] == self._blocks, "a block is out of place")
                self._is_open = True
            case "content_block_delta":
                _must(self._is_open and event["index"] == self._blocks, "a piece has no block")
                told.texts.append(event["delta"].get("text", ""))
            case "content_block_stop":
                _must(self._is_open and event["index"] == self._blocks, "no block ends here")
                self._blocks += 1
                self._is_open = False
            case "message_delta":
                _must(not self._is_open, "the message ends within a block")
                told.reason = event["delta"]["stop_reason"]
            case "message_stop":
                _must(told.reason is not None, "the message ends without a reason")
                told.ending = "answered"


def _messages_refusal(body: Mapping[str, Any], told: Told) -> None:
    _read_anthropic(body, told, "error")


def _read_anthropic(body: Mapping[str, Any], told: Told, ending: Ending) -> None:
    _must(body["type"] == "error" and bool(body["error"]["type"]), "an error has no type")
    _must(bool(body["request_id"]), "an error does not say where it is in the log")
    told.failed(ending, body["error"], code="")


def _must(is_so: bool, what: str) -> None:
    if not is_so:
        raise ValueError(what)


#: By name, as a run's record has them.
DIALECTS: Final[Mapping[str, Dialect]] = {
    "chat": Dialect(
        path="/v1/chat/completions",
        key=("Authorization", "Bearer "),
        body=_chat_body,
        complete="stop",
        whole=_chat_whole,
        stream=_chat_stream,
        refusal=_openai_refusal,
    ),
    "completions": Dialect(
        path="/v1/completions",
        key=("Authorization", "Bearer "),
        body=_completions_body,
        complete="stop",
        whole=_completions_whole,
        stream=_completions_stream,
        refusal=_openai_refusal,
    ),
    "responses": Dialect(
        path="/v1/responses",
        key=("Authorization", "Bearer "),
        body=_responses_body,
        complete="completed",
        whole=_responses_whole,
        stream=_ResponsesStream,
        refusal=_openai_refusal,
    ),
    "messages": Dialect(
        path="/v1/messages",
        key=("x-api-key", ""),
        body=_messages_body,
        complete="end_turn",
        whole=_messages_whole,
        stream=_MessagesStream,
        refusal=_messages_refusal,
        headers={"anthropic-version": "2023-06-01"},
    ),
}
