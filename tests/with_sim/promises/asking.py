"""Asks the real proxy over each way to Poe, streamed or whole, and reads what it answers with
OpenAI's own types, strictly: whatever a test asks, the shape of its answer is checked too."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import requests
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from ..servers import KEY, Proxy, Sim, until

#: The settings that leave a proxy one way to Poe.
ONLY = {"cookies": {"POE_API_KEYS": ""}, "keys": {"TOKENS": ""}}
#: A bot that both ways lead to, with tools of its own on the official API.
BOT = "Claude-Sonnet-4.5"
#: A bot that both ways lead to, and that has no tools: it is taught.
TAUGHT = "DeepSeek-R1"
#: Of its words there are several pieces, of its letters several bytes.
WORDS = "Grüße an die 世界, naïve façade 🌍👩‍👩‍👧 ende"
#: Two drafts, the title, and the answer in one piece. By cookie an item that was not read in time
#: gives way to the next one of its message; the title keeps the last draft from that.
THOUGHT = "!thinking=2 !title=middle !chunks=1"
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhg"
    "GAWjR9awAAAABJRU5ErkJggg=="
)
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
ENVELOPE = ("id", "created", "model", "object")


@dataclass
class Answer:
    """What the proxy answered, put together the same way for whole answers and streams."""

    status: int
    headers: requests.structures.CaseInsensitiveDict[str]
    text: str = ""
    reasoning: str = ""
    #: Name and arguments of each tool call, in their order.
    calls: list[tuple[str, str]] = field(default_factory=list)
    call_ids: list[str] = field(default_factory=list)
    #: Name and input of each call of a custom tool.
    custom_calls: list[tuple[str, str]] = field(default_factory=list)
    #: Name and arguments of the call in the older form.
    function_call: tuple[str, str] | None = None
    refusal: str = ""
    finish: str | None = None
    usage: dict[str, int] | None = None
    error: dict[str, Any] | None = None
    #: Of a stream: its chunks as they came, and whether `[DONE]` was its end.
    chunks: list[dict[str, Any]] = field(default_factory=list)
    is_done: bool = False
    #: What a bot with lines was told, at each of its turns: the prompt, or the messages by key.
    told: list[Any] = field(default_factory=list)

    def take_message(self, message: dict[str, Any]) -> None:
        """Take a message, or what a chunk adds to one."""
        self.text += message.get("content") or ""
        self.reasoning += message.get("reasoning_content") or ""
        self.refusal += message.get("refusal") or ""
        for call in message.get("tool_calls") or ():
            kind, given = ("function", "arguments") if "function" in call else ("custom", "input")
            calls = self.calls if kind == "function" else self.custom_calls
            if "id" in call:
                assert kind == call["type"]
                self.call_ids.append(call["id"])
                calls.append((call[kind]["name"], ""))
            name, arguments = calls.pop()
            calls.append((name, arguments + call[kind][given]))
        if function := message.get("function_call"):
            name, arguments = self.function_call or (function["name"], "")
            self.function_call = name, arguments + function["arguments"]


class Way:
    """One of the two ways to Poe, and the proxy that knows no other."""

    def __init__(self, name: str, sim: Sim, proxy: Proxy) -> None:
        self.name, self.sim, self.proxy = name, sim, proxy

    @property
    def by_cookie(self) -> bool:
        return self.name == "cookies"

    def call(self, *cities: str, text: str = "") -> Any:
        """The line in which the bot calls `get_weather` for each of *cities*."""
        calls = [{"name": "get_weather", "arguments": {"city": city}} for city in cities]
        if not self.by_cookie:
            return {"text": text, "calls": calls}
        return text + "\n".join(f"<tool_call>\n{json.dumps(call)}\n</tool_call>" for call in calls)

    def control(self, **changes: Any) -> Any:
        """Change this way's face of the stand-in; return its state."""
        path = "/__control" if self.by_cookie else "/__control_api"
        response = requests.post(f"{self.sim.url}{path}", json=changes, timeout=60)
        assert response.ok, response.text
        return response.json()

    def ask(
        self,
        prompt: str | list[dict[str, Any]],
        stream: bool,
        *,
        says: Sequence[Any] = (),
        bot: str = BOT,
        **fields: Any,
    ) -> Answer:
        """Ask; a prompt is one message of the user, *says* the lines of the bot, if it has any."""
        if says:
            self.control(lines={bot: list(says)})
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        body = {"model": bot, "messages": messages, "stream": stream, **fields}
        response = self.proxy.post(body, stream=stream)
        answer = Answer(response.status_code, response.headers)
        if response.status_code != 200:
            answer.error = error_of(response)
        elif stream:
            _read_stream(answer, response)
        else:
            _read_whole(answer, response)
        if says:
            answer.told = self.control()["lines"][bot]["told"]
            self.control(lines={bot: []})
        return answer

    def hang_up(self, path: str, body: Any, *, among_words: bool = False) -> None:
        """Ask at *path* and hang up once the bot is at work, or *among the words* of the answer;
        return once the bot was stopped at Poe."""
        event = "reply-cancelled" if self.by_cookie else "reply-aborted"
        begun, stopped = len(self.journal("reply-start")), len(self.journal(event))
        sent = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: test\r\nx-api-key: {KEY}\r\n"
        head += f"Content-Length: {len(sent)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", self.proxy.port), timeout=60) as client:
            client.sendall(head.encode() + sent)
            until(lambda: len(self.journal("reply-start")) > begun)
            if among_words:
                assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
        until(lambda: len(self.journal(event)) > stopped)

    def journal(self, event: str) -> list[dict[str, Any]]:
        """What the stand-in notes of this way."""
        return [one for one in self.sim.journal(event=event) if self.is_ours(one)]

    def is_ours(self, entry: dict[str, Any]) -> bool:
        return ("account" in entry) == self.by_cookie


def error_of(response: requests.Response) -> dict[str, Any]:
    """The error object of an answer that is one and nothing else, and that browsers can read."""
    assert "application/json" == response.headers["content-type"]
    assert "*" == response.headers["Access-Control-Allow-Origin"]
    (name, error), *others = response.json().items()
    assert ("error", []) == (name, others)
    assert {"message", "type", "param", "code"} == error.keys()
    assert isinstance(error["message"], str)
    assert error["message"]
    found: dict[str, Any] = error
    return found


def _read_whole(answer: Answer, response: requests.Response) -> None:
    assert "application/json" == response.headers["content-type"]
    body = response.json()
    ChatCompletion.model_validate(body, strict=True)
    (choice,) = body["choices"]
    answer.take_message(choice["message"])
    answer.finish, answer.usage = choice["finish_reason"], body["usage"]


def _without_custom_calls(chunk: dict[str, Any]) -> dict[str, Any]:
    """The chunk without what OpenAI's types have for whole answers only."""
    choices = [
        {**choice, "delta": {**choice["delta"], "tool_calls": None}}
        if any("custom" in call for call in choice["delta"].get("tool_calls") or ())
        else choice
        for choice in chunk["choices"]
    ]
    return {**chunk, "choices": choices}


def _read_stream(answer: Answer, response: requests.Response) -> None:
    assert "text/event-stream; charset=utf-8" == response.headers["content-type"]
    frames = response.content.decode().split("\n\n")
    assert "" == frames.pop()
    for frame in frames:
        assert not answer.is_done
        assert answer.error is None
        data = frame.removeprefix("data: ")
        assert data != frame
        if data == "[DONE]":
            answer.is_done = True
            continue
        chunk = json.loads(data)
        if "error" in chunk:
            assert ["error"] == list(chunk)
            assert {"message", "type", "param", "code"} == chunk["error"].keys()
            answer.error = chunk["error"]
            continue
        ChatCompletionChunk.model_validate(_without_custom_calls(chunk), strict=True)
        answer.chunks.append(chunk)
        for choice in chunk["choices"]:
            assert answer.finish is None
            answer.take_message(choice["delta"])
            answer.finish = choice["finish_reason"]
        answer.usage = chunk.get("usage") or answer.usage
    assert 1 == len({tuple(chunk[name] for name in ENVELOPE) for chunk in answer.chunks})
