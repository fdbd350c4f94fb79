"""Reads responses and their events with OpenAI's own types, strictly: no member may be missing, of
another type, or unknown to them. Of a stream the numbers, ids and places of all events must agree,
too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

_EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
#: What the types do not have, but the API.
_BEYOND = {
    ("Response", "store"),
    # In the items that Codex sends, and in OpenAI's documentation.
    ("ResponseCustomToolCall", "status"),
    ("ResponseFunctionCallArgumentsDoneEvent", "name"),
    # Without it the packages do not raise the error.
    ("ResponseErrorEvent", "error"),
}
#: Codes that clients look for, which the types do not have.
_CODES = ("context_length_exceeded", "insufficient_quota")
LAST = ("response.completed", "response.incomplete", "response.failed")


def response_in(body: bytes) -> dict[str, Any]:
    """The response that is a whole answer."""
    found: dict[str, Any] = json.loads(body)
    _check(Response.model_validate(found, strict=True))
    return found


def events_in(body: bytes) -> list[dict[str, Any]]:
    """The events of a stream: sound by themselves, and together."""
    events = list(_parsed(body.decode()))
    for event in events:
        checked = event
        if event["type"] == "response.failed" and event["response"]["error"]["code"] in _CODES:
            error = {**event["response"]["error"], "code": "server_error"}
            checked = {**event, "response": {**event["response"], "error": error}}
        _check(_EVENTS.validate_python(checked, strict=True), event["type"])
    assert list(range(len(events))) == [event["sequence_number"] for event in events]
    _check_order(events)
    return events


def _check(value: Any, path: str = "") -> None:
    """Fail for a member that OpenAI's types do not know, at whatever depth."""
    if isinstance(value, BaseModel):
        kind = type(value).__name__
        unknown = {name for name in value.model_extra or {} if (kind, name) not in _BEYOND}
        assert not unknown, f"{path}: {kind} has no {unknown}"
        for name in type(value).model_fields:
            _check(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list):
        for place, one in enumerate(value):
            _check(one, f"{path}[{place}]")


def _parsed(body: str) -> Iterator[dict[str, Any]]:
    *frames, end = body.split("\n\n")
    assert "" == end
    for frame in frames:
        name, data = frame.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert f"event: {event['type']}" == name
        yield event


def _check_order(events: list[dict[str, Any]]) -> None:
    """Fail for events that do not fit together: each item and each part is opened, filled and
    closed before the next, with the same id and place all the way, and the response at the end
    has what the stream has told."""
    assert ["response.created", "response.in_progress"] == [one["type"] for one in events[:2]]
    assert events[-1]["type"] in LAST
    (id,) = {event["response"]["id"] for event in events if "response" in event}
    assert id.startswith("resp_")
    begun, done = 0, list[dict[str, Any]]()
    item: dict[str, Any] | None = None
    parts: list[str] = []
    said = ""
    for event in events[2:-1]:
        kind = event["type"]
        if kind in ("response.in_progress", "error"):
            continue
        if kind == "response.output_item.added":
            # What a failure has broken off is never done.
            assert item is None or events[-1]["type"] == "response.failed"
            assert begun == event["output_index"]
            begun += 1
            item, parts, said = event["item"], [], ""
            continue
        assert item is not None
        assert begun - 1 == event["output_index"]
        if kind == "response.output_item.done":
            assert item["id"] == event["item"]["id"]
            assert item["type"] == event["item"]["type"]
            done.append(event["item"])
            item = None
            continue
        assert item["id"] == event["item_id"]
        match kind.rpartition(".")[2]:
            case "added":
                assert len(parts) == event.get("content_index", event.get("summary_index"))
                said = ""
            case "delta":
                said += event["delta"]
            case "done" if "part" not in event:
                (whole,) = (
                    event[name]
                    for name in ("text", "refusal", "arguments", "input")
                    if name in event
                )
                assert said == whole
            case "done":
                parts.append(kind)
                assert said in event["part"].values()
    assert item is None or events[-1]["type"] == "response.failed"
    assert len(done) == len({one["id"] for one in done})
    # A text that was rewritten may be another one at the end.
    assert [(one["id"], one["type"], one.get("status")) for one in done] == [
        (one["id"], one["type"], one.get("status")) for one in events[-1]["response"]["output"]
    ]
