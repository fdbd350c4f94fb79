"""Asks the real proxy by the Responses API, and reads what it answers with OpenAI's own types,
strictly: whatever a test asks, the shape of its answer is checked too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import requests

from ...apis.responses.reading import events_in, response_in
from .asking import BOT, Way, error_of


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
        assert "text/event-stream; charset=utf-8" == response.headers["content-type"]
        answered.events = events_in(response.content)
        answered.response = answered.events[-1]["response"]
    else:
        assert "application/json" == response.headers["content-type"]
        answered.response = response_in(response.content)
    if says:
        answered.told = way.control()["lines"][bot]["told"]
        way.control(lines={bot: []})
    return answered


def post(way: Way, body: dict[str, Any]) -> requests.Response:
    url = f"{way.proxy.url}/v1/responses"
    return requests.post(url, json=body, headers=way.proxy.headers, timeout=60)
