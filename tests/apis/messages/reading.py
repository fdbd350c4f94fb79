"""Reads answers of Anthropic's API with the types of its own package, strictly: whatever a test
asks, the shape of the answer is checked, and the order of a stream's events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import orjson
from anthropic.types import Message, MessageTokensCount, RawMessageStreamEvent
from anthropic.types.shared import ErrorResponse
from pydantic import TypeAdapter

_EVENT: Final = TypeAdapter[Any](RawMessageStreamEvent)
#: A type that the package does not know, although the API has it.
_UNKNOWN: Final = ("request_too_large",)
USAGE: Final = {
    "input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens",
}  # fmt: skip


def message(body: bytes) -> Message:
    """A whole answer."""
    assert USAGE == orjson.loads(body)["usage"].keys()
    found = Message.model_validate_json(body, strict=True)
    assert found.content
    assert found.stop_reason is not None
    return found


def tokens(body: bytes) -> int:
    """The answer to `count_tokens`."""
    return MessageTokensCount.model_validate_json(body, strict=True).input_tokens


def error(body: bytes) -> tuple[str, str]:
    """Type and message of an error object that is one and nothing else."""
    given = orjson.loads(body)
    assert ("error", {"type", "error", "request_id"}) == (given["type"], set(given))
    # Those that programs know by a code have details besides.
    assert {"type", "message"} == given["error"].keys() - {"details"}
    assert given["error"]["message"]
    if given["error"]["type"] not in _UNKNOWN:
        read = ErrorResponse.model_validate_json(body, strict=True)
        assert given["error"]["type"] == read.error.type
    return given["error"]["type"], given["error"]["message"]


class Stream:
    """A stream, put together from its frames."""

    def __init__(self, frames: bytes) -> None:
        #: All events as they came, pings too.
        self.events: list[dict[str, Any]] = []
        #: The blocks that are whole, in the form of a whole answer, and the one that is not.
        self.content: list[dict[str, Any]] = []
        self.unfinished: dict[str, Any] | None = None
        #: The last figures of each kind.
        self.usage: dict[str, int] = {}
        self.first: dict[str, Any] = {}
        self.end: dict[str, Any] | None = None
        self.error: tuple[str, str] | None = None
        self.is_over = False
        *given, rest = frames.decode().split("\n\n")
        assert "" == rest
        for frame in given:
            self._take(frame)

    @property
    def types(self) -> list[str]:
        """The types of all events, the same one after the other once."""
        found: list[str] = []
        for one in self.events:
            if found[-1:] != [one["type"]]:
                found.append(one["type"])
        return found

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(one["text"] for one in self.content if one["type"] == "text")

    def pieces(self, field: str) -> list[str]:
        """What each delta with this field brought."""
        deltas = [one["delta"] for one in self.events if one["type"] == "content_block_delta"]
        return [delta[field] for delta in deltas if field in delta]

    def _take(self, frame: str) -> None:
        name, data = frame.split("\n")
        event = orjson.loads(data.removeprefix("data: "))
        assert f"event: {event['type']}" == name
        assert not self.is_over
        assert self.error is None
        self.events.append(event)
        if event["type"] == "ping":
            assert {"type": "ping"} == event
            return
        if event["type"] == "error":
            self.error = error(data.removeprefix("data: ").encode())
            return
        _EVENT.validate_json(data.removeprefix("data: "), strict=True)
        match event:
            case {"type": "message_start", "message": given}:
                assert not self.first
                assert (USAGE, [], None) == (
                    given["usage"].keys(),
                    given["content"],
                    given["stop_reason"],
                )
                Message.model_validate(given, strict=True)
                self.first, self.usage = given, given["usage"]
            case {"type": "content_block_start", "index": index, "content_block": block}:
                assert self.first
                assert self.end is self.unfinished is None
                assert len(self.content) == index
                self.unfinished = dict(block)
                if block["type"] == "tool_use":
                    assert {} == block["input"]
                    self.unfinished["input"] = ""
            case {"type": "content_block_delta", "index": index, "delta": delta}:
                assert len(self.content) == index
                assert self.unfinished is not None
                kind = self.unfinished["type"]
                field = "input" if kind == "tool_use" else kind
                given = "partial_json" if kind == "tool_use" else kind
                told = "input_json_delta" if kind == "tool_use" else f"{kind}_delta"
                assert ({"type", given}, told) == (set(delta), delta["type"])
                assert delta[given]
                self.unfinished[field] += delta[given]
            case {"type": "content_block_stop", "index": index}:
                assert len(self.content) == index
                assert self.unfinished is not None
                if self.unfinished["type"] == "tool_use":
                    self.unfinished["input"] = orjson.loads(self.unfinished["input"] or "{}")
                self.content.append(self.unfinished)
                self.unfinished = None
            case {"type": "message_delta", "delta": delta, "usage": usage}:
                assert self.end is self.unfinished is None
                assert self.content
                assert USAGE == usage.keys()
                self.end, self.usage = delta, usage
            case {"type": "message_stop"}:
                assert self.end is not None
                self.is_over = True


def stream(frames: Iterable[bytes]) -> Stream:
    """The stream of these frames."""
    return Stream(b"".join(frames))
