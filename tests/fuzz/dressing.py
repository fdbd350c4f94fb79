"""A request answered as the server does it, in each of the APIs, and what its clients get."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, cast

import orjson

from poe_proxy.apis import images
from poe_proxy.apis.base import Api, Call
from poe_proxy.apis.chat_completions import ChatCompletions
from poe_proxy.apis.completions import Completions
from poe_proxy.apis.messages import Messages
from poe_proxy.apis.responses import Responses
from poe_proxy.apis.speech import Speech
from poe_proxy.budget import Budget
from poe_proxy.chat import ChatRequest, ReplyEvent, Said
from poe_proxy.errors import PoeProxyError
from poe_proxy.net.pacing import Flood
from poe_proxy.shaping import files, stages

from . import corpus, order

_DECLARED: Final[Any] = {
    "aspect": {"enum": ["1:1", "3:2", 7]}, "quality": {"enum": ["low", "high"]},
    "image_size": {"enum": "1K"}, "voice_1": {"enum": ["Adam", None]}, "style": {},
}  # fmt: skip
#: By name.
APIS: Final[Mapping[str, Api]] = {
    "chat": ChatCompletions(errors_as_text=True),
    "responses": Responses(errors_as_text=True),
    "messages": Messages(errors_as_text=True, native=True),
    "completions": Completions(errors_as_text=True),
    "generations": images.Generations(lambda model: _DECLARED),
    "edits": images.Edits(lambda model: _DECLARED),
    "speech": Speech(lambda model: _DECLARED),
}
#: The smaller ones of them.
NEIGHBOURS: Final = ("completions", "generations", "edits", "speech")
#: What a client says, in each of them.
_HELLO: Final = [{"role": "user", "content": "Hello"}]
_ASKS: Final[Mapping[str, Mapping[str, Any]]] = {
    "chat": {"messages": _HELLO, "stream_options": {"include_usage": True}},
    "responses": {"input": _HELLO},
    "messages": {"messages": _HELLO, "max_tokens": 100_000_000},
}


def wait() -> None:
    """Do what the product does where it waits for Poe: the others have their turn."""
    time.sleep(0)


def body(fields: Mapping[str, Any], *, api: str = "chat", stream: bool = False) -> bytes:
    """Return a request with these *fields* in which a client says hello."""
    return json.dumps({**_ASKS[api], **fields, "model": "bot", "stream": stream}).encode()


def any_body(rng: random.Random, *, streams: float) -> tuple[str, bytes]:
    """Return an API, and a request of it; it *streams* with that chance."""
    api = rng.choice(list(FORMS))
    return api, body(rng.choice(FORMS[api]), api=api, stream=rng.random() < streams)


def saying(events: Iterable[ReplyEvent]) -> Generator[ReplyEvent, None, None]:
    """Yield what a bot says."""
    yield from events


def answered(
    asked: bytes,
    ask: Callable[[ChatRequest], Generator[ReplyEvent, None, None]],
    rng: random.Random,
    *,
    api: str = "chat",
    passes: bool = False,
) -> None:
    """Answer the request in *asked* as the server does, by a bot that replies what *ask* says.

    What its client gets must be in order. *passes*: it takes Anthropic's requests as they are.
    """
    wait()  # what made the body is not to be looked at
    call = APIS[api].call(asked, Budget())
    able = rng.random() < 0.4
    reply = stages.reply(ask, call.chat, tools=able, length=able, messages=passes)
    events = files.reply(reply, call.chat, Files(rng))
    is_passed_on = passes and call.chat.as_messages is not None
    try:
        # `Waiting` comes from the gateway only.
        told(call, listened(cast("Iterable[Said]", events)), "" if is_passed_on else api)
    finally:
        events.close()


def told(call: Call, said: Iterable[Said], api: str) -> None:
    """Let *call* tell its client what was *said*, whole or streamed; what it tells must be in
    order, as it is in the *api*; empty: as nobody can say.

    Raises the `PoeProxyError` that *said* raises, once the client was told of it too.
    """
    if not call.streams:
        whole = call.body(said)
        if call.content_type == "application/json":
            orjson.loads(whole)
        return
    looks: order.Look = order.LOOKS.get(api, order.Nothing)()
    has_begun = False
    try:
        for event in said:
            has_begun = True
            looks.at(call.frame(event))
        looks.at_end(failed=False)
    except PoeProxyError as failure:
        # What fails at once has a status, unless the stream is opened for it.
        if has_begun or call.opens_for(failure):
            looks.at(call.failed(failure))
            looks.at_end(failed=True)
        raise


class Files:
    """Whoever has all files of Poe's, of any type."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.data = rng.randbytes(rng.randrange(100))
        self.content_type = rng.choice(("image/png", "audio/mpeg", "text/html"))

    def owns(self, url: str) -> bool:
        """Whether it is Poe's."""
        return "poecdn" in url

    def begin(self, url: str) -> Files:
        """Begin to fetch it."""
        return self

    def wait(self, seconds: float) -> bool:
        """Whether it is there."""
        wait()
        return self._rng.random() < 0.5

    def result(self) -> Files:
        """Return it."""
        return self

    def close(self) -> None:
        """There is nothing to end."""


def listened(events: Iterable[Said]) -> Iterator[Said]:
    """Yield them as `server.delivery` does."""
    flood = Flood()
    for event in events:
        yield event
        flood.came()


# ---- what clients want

_WEATHER: Final = json.loads(corpus.REQUESTS[2])["tools"][0]
_FLAT: Final = {"type": "function", **_WEATHER["function"]}
_PATCH: Final = {"type": "custom", "name": "patch"}
_ANTHROPIC: Final = {"name": "get_weather", "input_schema": _WEATHER["function"]["parameters"]}
_STOP: Final = ["END", "aaaaaaab", "\n\n\n", "ab" * 40]
_SCHEMA: Final = json.loads(corpus.REQUESTS[6])["response_format"]["json_schema"]["schema"]
_BY_SCHEMA: Final = {"format": {"type": "json_schema", "name": "x", "schema": _SCHEMA}}

FORMS: Final[Mapping[str, Sequence[dict[str, Any]]]] = {
    "chat": (
        {},
        {"stop": _STOP, "max_tokens": 100_000_000},
        {"max_tokens": 3},
        {"tools": [_WEATHER]},
        {"tools": [_WEATHER], "tool_choice": "required"},
        {"tools": [_WEATHER], "parallel_tool_calls": False, "stop": ["x"]},
        {"functions": [_WEATHER["function"]]},
        {"response_format": {"type": "json_object"}},
        {"response_format": json.loads(corpus.REQUESTS[6])["response_format"]},
        {
            "tools": [_WEATHER],
            "response_format": json.loads(corpus.REQUESTS[7])["response_format"],
        },
    ),
    "responses": (
        {},
        {"max_output_tokens": 16},
        {"tools": [_FLAT, _PATCH]},
        {"tools": [{"type": "namespace", "name": "far", "tools": [_FLAT, _PATCH]}]},
        {"tools": [_FLAT], "tool_choice": "required", "parallel_tool_calls": False},
        {"text": {"format": {"type": "json_object"}}},
        {"tools": [_FLAT], "text": _BY_SCHEMA},
    ),
    "messages": (
        {},
        {"stop_sequences": _STOP},
        {"max_tokens": 3},
        {"tools": [_ANTHROPIC]},
        {"tools": [_ANTHROPIC], "tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
        {"output_config": _BY_SCHEMA},
    ),
}
