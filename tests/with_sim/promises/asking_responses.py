"""Asks the real proxy by the Responses API, and reads what it answers with OpenAI's own types,
strictly: no member may be missing, of another type, or unknown to them. Of a stream the numbers,
ids and places of all events must agree, too."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from .asking import BOT, Way, error_of

_EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
#: What the types have not, but the API: the state of a custom call, in the items of Codex, and the
#: name of the function, in those of OpenAI's documentation.
_BEYOND = {
    # OpenAI answers with it all the same.
    ("Response", "store"),
    ("ResponseCustomToolCall", "status"),
    ("ResponseFunctionCallArgumentsDoneEvent", "name"),
    # Without it the packages do not raise the error.
    ("ResponseErrorEvent", "error"),
}
#: Codes that clients look for, which the types do not have.
_CODES = ("context_length_exceeded", "insufficient_quota")
LAST = ("response.completed", "response.incomplete", "response.failed")


@dataclass
class Answered:
    """What the proxy answered."""

    status: int
    headers: requests.structures.CaseInsensitiveDict[str]
    #: The response at its end; empty for an error.
    response: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] | None = None
    #: The events of a stream, as they came.
    events: list[dict[str, Any]] = field(default_factory=list)
    #: What a bot with lines was told, at each of its turns.
    told: list[Any] = field(default_factory=list)

    @property
    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events]

    @property
    def items(self) -> list[dict[str, Any]]:
        assert self.error is None, self.error
        return list(self.response["output"])

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [item for item in self.items if item["type"] == kind]

    @property
    def text(self) -> str:
        return "".join(
            part["text"]
            for item in self.of_type("message")
            for part in item["content"]
            if part["type"] == "output_text"
        )

    @property
    def reasoning(self) -> str:
        return "".join(part["text"] for one in self.of_type("reasoning") for part in one["summary"])

    @property
    def calls(self) -> list[tuple[str, str]]:
        return [(one["name"], one["arguments"]) for one in self.of_type("function_call")]

    @property
    def custom_calls(self) -> list[tuple[str, str]]:
        return [(one["name"], one["input"]) for one in self.of_type("custom_tool_call")]


def ask(
    way: Way,
    given: Any,
    stream: bool,
    *,
    says: Sequence[Any] = (),
    bot: str = BOT,
    **fields: Any,
) -> Answered:
    """Ask by the Responses API; *says* are the lines of the bot, if it has any."""
    if says:
        way.control(lines={bot: list(says)})
    response = post(way, {"model": bot, "input": given, "stream": stream, **fields})
    answered = Answered(response.status_code, response.headers)
    if response.status_code != 200:
        answered.error = error_of(response)
    elif stream:
        answered.events = read_events(response)
        answered.response = answered.events[-1]["response"]
    else:
        assert "application/json" == response.headers["content-type"]
        answered.response = response.json()
        check(Response.model_validate(answered.response, strict=True))
    if says:
        answered.told = way.control()["lines"][bot]["told"]
        way.control(lines={bot: []})
    return answered


def post(way: Way, body: dict[str, Any]) -> requests.Response:
    url = f"{way.proxy.url}/v1/responses"
    return requests.post(url, json=body, headers=way.proxy.headers, timeout=60)


def check(value: Any, path: str = "") -> None:
    """Fail for a member that OpenAI's types do not know, at whatever depth."""
    if isinstance(value, BaseModel):
        kind = type(value).__name__
        unknown = {name for name in value.model_extra or {} if (kind, name) not in _BEYOND}
        assert not unknown, f"{path}: {kind} has no {unknown}"
        for name in type(value).model_fields:
            check(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list):
        for place, one in enumerate(value):
            check(one, f"{path}[{place}]")


def read_events(response: requests.Response) -> list[dict[str, Any]]:
    """The events of a stream: sound by themselves, and together."""
    assert "text/event-stream; charset=utf-8" == response.headers["content-type"]
    events = list(_parsed(response.content.decode()))
    for event in events:
        checked = event
        if event["type"] == "response.failed" and event["response"]["error"]["code"] in _CODES:
            error = {**event["response"]["error"], "code": "server_error"}
            checked = {**event, "response": {**event["response"], "error": error}}
        check(_EVENTS.validate_python(checked, strict=True), event["type"])
    assert list(range(len(events))) == [event["sequence_number"] for event in events]
    check_order(events)
    return events


def _parsed(body: str) -> Iterator[dict[str, Any]]:
    *frames, end = body.split("\n\n")
    assert "" == end
    for frame in frames:
        name, data = frame.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert f"event: {event['type']}" == name
        yield event


def check_order(events: list[dict[str, Any]]) -> None:
    """Fail for events that do not fit together: each item and each part is opened, filled and
    closed before the next, with the same id and place all the way, and the response at the end
    has what the stream has told."""
    assert ["response.created", "response.in_progress"] == [one["type"] for one in events[:2]]
    assert events[-1]["type"] in LAST
    (id,) = {event["response"]["id"] for event in events if "response" in event}
    assert id.startswith("resp_")
    done: list[dict[str, Any]] = []
    item: dict[str, Any] | None = None
    parts: list[str] = []
    said = ""
    for event in events[2:-1]:
        kind = event["type"]
        if kind in ("response.in_progress", "error"):
            continue
        assert len(done) == event["output_index"]
        if kind == "response.output_item.added":
            assert item is None
            item, parts, said = event["item"], [], ""
            continue
        assert item is not None
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
    ids = [one["id"] for one in done]
    assert len(ids) == len(set(ids))
    assert ids == [one["id"] for one in events[-1]["response"]["output"]]
