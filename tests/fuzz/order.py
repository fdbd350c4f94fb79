"""Looks at the frames of a stream: valid events, in the order that the clients of an API rely on.

Raises `Disorder` for what is not. What a text says is looked at elsewhere.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import orjson


class Disorder(Exception):
    """A client would not know what to make of this."""


class Look(Protocol):
    """Looks at a stream, frame by frame."""

    def at(self, frame: bytes) -> None:
        """Look at what comes next: some frames, or none."""

    def at_end(self, *, failed: bool) -> None:
        """Look whether it has ended as it must; *failed*: with a failure."""


class Nothing:
    """A stream whose order is not ours."""

    def at(self, frame: bytes) -> None:
        """All is well."""

    def at_end(self, *, failed: bool) -> None:
        """All is well."""


class _Events(ABC):
    """A stream of events that have names."""

    def __init__(self) -> None:
        #: The kind of the last one.
        self.last = ""

    def at(self, frame: bytes) -> None:
        """Look at each event of it."""
        time.sleep(0)  # what looks is not to be looked at
        *events, end = frame.split(b"\n\n")
        _must(end == b"", "a frame does not end with an event")
        for event in events:
            name, _, data = event.partition(b"\ndata: ")
            found = orjson.loads(data)
            _must(name == b"event: " + found["type"].encode(), "an event has another name")
            self._take(found["type"], found)
            self.last = found["type"]
        time.sleep(0)

    @abstractmethod
    def _take(self, kind: str, event: Mapping[str, Any]) -> None:
        """Look at one event."""


class Responses(_Events):
    """Each item and each part is opened, filled and closed before the next one."""

    def __init__(self) -> None:
        super().__init__()
        self._number = 0
        self._items = 0
        self._done: list[str] = []
        self._item: str | None = None
        self._is_broken = False
        #: What was told of the text that is open.
        self._said: list[str] = []

    def _take(self, kind: str, event: Mapping[str, Any]) -> None:
        _must(event["sequence_number"] == self._number, f"{kind} has not the next number")
        _must((kind == "response.created") == (self._number == 0), f"{kind} is out of place")
        _must(self.last not in _OVER, f"{kind} comes behind the end")
        _must(self.last != "error" or kind == "response.failed", f"{kind} comes behind an error")
        self._number += 1
        match kind.split("."):
            case ["error"] | ["response", "created" | "in_progress"]:
                pass
            case ["response", "completed" | "incomplete" | "failed" as how]:
                response = event["response"]
                _must(response["status"] == how, "the response has another status")
                _must(self._done == [one["id"] for one in response["output"]], "items are missing")
                _must(self._item is None or how == "failed", "an item is left open")
            case ["response", "output_item", "added"]:
                # What a failure breaks off is never done, but the words about it are an item.
                self._is_broken = self._is_broken or self._item is not None
                _must(event["output_index"] == self._items, "an item is out of place")
                self._item = event["item"]["id"]
                self._items += 1
                self._said.clear()
            case ["response", "output_item", "done"]:
                _must(event["item"]["id"] == self._item, "an item ends that is not open")
                self._done.append(event["item"]["id"])
                self._item = None
            case ["response", *_, what]:
                _must(event["item_id"] == self._item, f"{kind} belongs to no open item")
                _must(event["output_index"] == self._items - 1, f"{kind} has another index")
                self._fill(what, event)

    def _fill(self, what: str, event: Mapping[str, Any]) -> None:
        """Take an event within an item: *what* becomes of a part, or of its text."""
        match what:
            case "added":
                self._said.clear()
            case "delta":
                self._said.append(event["delta"])
            case "done" if "part" not in event:
                (whole,) = (event[name] for name in _TEXTS if name in event)
                _must("".join(self._said) == whole, "a text is not what was told of it")

    def at_end(self, *, failed: bool) -> None:
        """A failure, or a response."""
        _must((self.last == "response.failed") == failed, f"{self.last} is the end")
        _must(self.last in _OVER, f"{self.last} is the end")
        _must(failed or not self._is_broken, "an item begins within another one")


class Messages(_Events):
    """Blocks are opened, filled and closed one after the other, and the reason comes last."""

    def __init__(self) -> None:
        super().__init__()
        self._blocks = 0
        self._open: str | None = None

    def _take(self, kind: str, event: Mapping[str, Any]) -> None:
        _must((kind == "message_start") == (self.last == "") or kind == "error", "no beginning")
        _must(self.last not in ("message_stop", "error"), f"{kind} comes behind the end")
        match kind:
            case "content_block_start":
                _must(self._open is None, "a block begins within another one")
                _must(event["index"] == self._blocks, "a block is out of place")
                self._open = event["content_block"]["type"]
            case "content_block_delta" | "content_block_stop":
                _must(self._open is not None, f"{kind} belongs to no open block")
                _must(event["index"] == self._blocks, f"{kind} has another index")
                if kind == "content_block_stop":
                    self._blocks += 1
                    self._open = None
                else:
                    _must(event["delta"]["type"] == _DELTAS[str(self._open)], "another delta")
            case "message_delta":
                _must(self.last != kind, "the message ends twice")
                _must(self._open is None, "the message ends within a block")
                _must(bool(event["delta"]["stop_reason"]), "the message ends without a reason")
                _must(self._blocks > 0, "the message has no block")
            case "message_stop":
                _must(self.last == "message_delta", "the message ends without a reason")

    def at_end(self, *, failed: bool) -> None:
        """A failure, or the end of the message."""
        _must(self.last == ("error" if failed else "message_stop"), f"{self.last} is the end")


_OVER: Final = ("response.completed", "response.incomplete", "response.failed")
_TEXTS: Final = ("text", "refusal", "arguments", "input")
_DELTAS: Final = {
    "text": "text_delta",
    "thinking": "thinking_delta",
    "tool_use": "input_json_delta",
}

#: How to look at a stream, by the name of its API.
LOOKS: Final[Mapping[str, Callable[[], Look]]] = {"responses": Responses, "messages": Messages}


def _must(is_so: bool, what: str) -> None:
    if not is_so:
        raise Disorder(what)
