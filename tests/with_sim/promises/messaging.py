"""Asks the real proxy in the form of Anthropic's API, streamed or whole, and reads its answers with
the types of Anthropic's own package, strictly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import requests
from anthropic import Anthropic

from ...apis.messages import reading
from ...apis.messages.reading import Stream
from ..servers import KEY, Proxy
from .asking import BOT, Way

MESSAGES = "/v1/messages"
#: How Claude Code names the bot that both ways lead to.
CLAUDE = BOT.lower().replace(".", "-")
WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
HEADERS = {
    "x-api-key": KEY,
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "claude-code-20250219,context-management-2025-06-27",
}


@dataclass
class Reply:
    """What the proxy answered, the same for whole answers and streams."""

    status: int
    headers: requests.structures.CaseInsensitiveDict[str]
    model: str = ""
    content: list[dict[str, Any]] = field(default_factory=list)
    reason: str | None = None
    stop_sequence: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    #: Type and message.
    error: tuple[str, str] | None = None
    stream: Stream | None = None
    #: What a bot with lines was told, at each of its turns.
    told: list[Any] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(one["text"] for one in self.content if one["type"] == "text")

    @property
    def thoughts(self) -> str:
        return "".join(one["thinking"] for one in self.content if one["type"] == "thinking")

    @property
    def calls(self) -> list[tuple[str, dict[str, Any]]]:
        """Name and input of each call."""
        return [(one["name"], one["input"]) for one in self.content if one["type"] == "tool_use"]


def ask(
    way: Way,
    prompt: str | list[dict[str, Any]],
    stream: bool,
    *,
    says: Sequence[Any] = (),
    bot: str = BOT,
    headers: dict[str, str] = HEADERS,
    path: str = f"{MESSAGES}?beta=true",
    **fields: Any,
) -> Reply:
    """Ask; a prompt is one message of the user, *says* the lines of the bot, if it has any."""
    if says:
        way.control(lines={bot: list(says)})
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    body = {"model": CLAUDE, "max_tokens": 1000, "messages": messages, "stream": stream, **fields}
    reply = send(way.proxy, body, path, headers)
    if says:
        reply.told = way.control()["lines"][bot]["told"]
        way.control(lines={bot: []})
    return reply


def send(proxy: Proxy, body: Any, path: str, headers: dict[str, str] = HEADERS) -> Reply:
    """Send a body, and read the answer."""
    answer = requests.post(proxy.url + path, json=body, headers=headers, timeout=120)
    assert answer.headers["request-id"] == answer.headers["x-request-id"]
    reply = Reply(answer.status_code, answer.headers)
    if answer.status_code != 200:
        assert "application/json" == answer.headers["content-type"]
        assert "*" == answer.headers["Access-Control-Allow-Origin"]
        reply.error = reading.error(answer.content)
    elif body.get("stream"):
        assert "text/event-stream; charset=utf-8" == answer.headers["content-type"]
        reply.stream = said = Stream(answer.content)
        assert said.is_over == (said.error is None)
        reply.content, reply.usage, reply.error = said.content, said.usage, said.error
        reply.model = said.first["model"]
        if said.unfinished is not None:
            reply.content = [*said.content, said.unfinished]
        if said.end is not None:
            reply.reason, reply.stop_sequence = said.end["stop_reason"], said.end["stop_sequence"]
    else:
        whole = reading.message(answer.content)
        reply.content = [one.model_dump() for one in whole.content]
        reply.usage, reply.model = whole.usage.model_dump(), whole.model
        reply.reason, reply.stop_sequence = whole.stop_reason, whole.stop_sequence
    return reply


def anthropic(proxy: Proxy, **options: Any) -> Anthropic:
    """Its own package as the client, without second tries; to be closed."""
    return Anthropic(base_url=proxy.url, **{"api_key": KEY, "max_retries": 0, **options})
