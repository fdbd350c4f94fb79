"""What is fuzzed: parsers of what strangers write, each from the bytes to the end of its way."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, cast

import orjson
from requests.structures import CaseInsensitiveDict

from poe_proxy import sse
from poe_proxy.apis import images
from poe_proxy.apis.base import Api
from poe_proxy.apis.chat_completions import ChatCompletions
from poe_proxy.apis.completions import Completions
from poe_proxy.apis.messages import Messages, counting
from poe_proxy.apis.messages.parsing import counted_request
from poe_proxy.apis.openai_error import error_body
from poe_proxy.apis.responses import Responses
from poe_proxy.apis.speech import Speech
from poe_proxy.budget import Budget, OutOfBudget
from poe_proxy.chat import (
    ChatRequest,
    Done,
    Idle,
    Reasoning,
    Refusal,
    Replaced,
    ReplyEvent,
    Said,
    Text,
    ToolCallPart,
    Usage,
)
from poe_proxy.checker import repair
from poe_proxy.errors import PoeProxyError
from poe_proxy.net.pacing import Flood
from poe_proxy.server import forms
from poe_proxy.shaping import files, pictures, stages
from poe_proxy.shaping.coercion import coerced
from poe_proxy.shaping.pipeline import run
from poe_proxy.shaping.reasoning import ReasoningParser
from poe_proxy.upstreams.poe_api import answers, asking, failures
from poe_proxy.upstreams.poe_api.receiving import AT_ONCE
from poe_proxy.upstreams.poe_web import attachments, graphql, pages, turn
from poe_proxy.upstreams.poe_web.mailbox import Early, Mailbox
from poe_proxy.upstreams.poe_web.prompts import Prompt, RoleMode
from poe_proxy.upstreams.poe_web.site import Site

from . import corpus

#: What anything may raise: a failure with a status of its own, or that a request costs too much.
ALLOWED: Final = (PoeProxyError, OutOfBudget)

#: Small events that may come at once.
_AT_ONCE: Final = 2500
_SITE: Final = Site.load()
_API: Final = ChatCompletions(errors_as_text=True)
_RESPONSES: Final = Responses(errors_as_text=True)
_MESSAGES: Final = Messages(errors_as_text=True)


@dataclass(frozen=True, slots=True)
class Target:
    """Something that reads what a stranger wrote."""

    name: str
    seeds: Sequence[bytes]
    #: Reads a payload; what is left to chance (how it is cut into pieces) is drawn from the seed.
    read: Callable[[bytes, random.Random], object]
    #: What it may raise besides `ALLOWED`, by its docstring.
    raises: tuple[type[Exception], ...] = ()
    #: Whether a process of its own reads it, which the server can end: it holds up nobody.
    is_apart: bool = False

    @property
    def allowed(self) -> tuple[type[BaseException], ...]:
        """All that it may raise."""
        return (*ALLOWED, *self.raises)


def _wait() -> None:
    """Do what the product does where it waits for Poe: the others have their turn."""
    time.sleep(0)


def _cut(whole: bytes, rng: random.Random) -> Iterator[bytes]:
    """Yield *whole* in pieces: as large as they are taken at once, or many that are small."""
    size = rng.choice((AT_ONCE, 20_000, 1000, 100, 7, 1))
    # A piece costs some microseconds, whatever is in it; a bot that writes a million is slow.
    size = max(size, len(whole) // 20_000, 1)
    for at in range(0, len(whole), size):
        yield whole[at : at + size]


def _text(payload: bytes) -> str:
    return payload.decode("utf-8", "replace")


def _dressed(
    body: bytes,
    ask: Callable[[ChatRequest], Generator[ReplyEvent, None, None]],
    rng: random.Random,
    api: Api = _API,
) -> None:
    """Answer the request in *body* as the server does, by a bot that replies what *ask* says."""
    _wait()  # what made the body is not to be looked at
    call = api.call(body, Budget())
    able = rng.random() < 0.4
    events = files.reply(
        stages.reply(ask, call.chat, tools=able, length=able), call.chat, _Files(rng)
    )
    said = _listen(cast("Iterable[Said]", events))  # `Waiting` comes from the gateway only
    try:
        if call.streams:
            for _ in call.frames(said):
                pass
        else:
            call.body(said)
    except PoeProxyError as failure:
        call.failed(failure)
        raise
    finally:
        events.close()


class _Files:
    """Whoever has all files of Poe's, of any type."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.data = rng.randbytes(rng.randrange(100))
        self.content_type = rng.choice(("image/png", "audio/mpeg", "text/html"))

    def owns(self, url: str) -> bool:
        return "poecdn" in url

    def begin(self, url: str) -> _Files:
        return self

    def wait(self, seconds: float) -> bool:
        _wait()
        return self._rng.random() < 0.5

    def result(self) -> _Files:
        return self

    def close(self) -> None:
        """There is nothing to end."""


def _listen(events: Iterable[Said]) -> Iterator[Said]:
    """As `server.delivery` does."""
    flood = Flood()
    for event in events:
        yield event
        flood.came()


# ---- what clients send


def _request(payload: bytes, rng: random.Random, api: Api = _API) -> None:
    prompt = Prompt(mode=rng.choice(list(RoleMode)))
    native = rng.random() < 0.5

    def ask(chat: ChatRequest) -> Generator[ReplyEvent, None, None]:
        if native:
            orjson.dumps(asking.request(chat, "bot", stream=True))
        else:
            prompt(chat).encode("utf-8", "surrogatepass")
            for _ in attachments.Files().read(
                attachments.parts_of(chat), None, time.monotonic, chat.budget
            ):
                pass
        yield Text('{"name": "abc"}')
        yield Done()

    _dressed(payload, ask, rng, api)


def _response(payload: bytes, rng: random.Random) -> None:
    """A request of the Responses API."""
    _request(payload, rng, _RESPONSES)


def _messages(payload: bytes, rng: random.Random) -> None:
    """A request of Anthropic's API, counted and answered, by calls too."""
    with suppress(*ALLOWED):
        counting.counted(counted_request(payload, Budget()))
    seed = rng.randrange(1000)

    def ask(chat: ChatRequest) -> Generator[ReplyEvent, None, None]:
        orjson.dumps(asking.request(chat, "bot", stream=True))
        yield from _all_kinds(_text(payload), random.Random(seed))

    _dressed(payload, ask, rng, _MESSAGES)


def _all_kinds(text: str, rng: random.Random) -> Generator[ReplyEvent, None, None]:
    """Yield pieces of *text* as events of every kind, in any order."""
    for at in range(0, min(len(text), 5000), 50):
        piece, index = text[at : at + 50], rng.randrange(3)
        yield rng.choice(
            (
                Text(piece), Reasoning(piece), Replaced(piece), Refusal(piece), Idle(),
                ToolCallPart(index, f"id{index}", "f", piece), ToolCallPart(index, arguments=piece),
                Usage(at, 1, {"prompt_tokens_details": {"cached_tokens": index}}),
            )
        )  # fmt: skip
    yield Done(rng.choice(("stop", "length", "tool_calls", "content_filter")))


_DECLARED: Final[Any] = {
    "aspect": {"enum": ["1:1", "3:2", 7]}, "quality": {"enum": ["low", "high"]},
    "image_size": {"enum": "1K"}, "voice_1": {"enum": ["Adam", None]}, "style": {},
}  # fmt: skip
_NEIGHBOURS: Final[Sequence[Api]] = (
    Completions(errors_as_text=True),
    images.Generations(lambda model: _DECLARED),
    images.Edits(lambda model: _DECLARED),
    Speech(lambda model: _DECLARED),
)


def _neighbour(payload: bytes, rng: random.Random) -> None:
    """A request of one of the smaller APIs."""
    text = rng.choice(corpus.LINKS).decode()

    def ask(chat: ChatRequest) -> Generator[ReplyEvent, None, None]:
        orjson.dumps(asking.request(chat, "bot", stream=True))
        yield Text(text)
        yield Done()

    _dressed(payload, ask, rng, rng.choice(_NEIGHBOURS))


def _form(payload: bytes, rng: random.Random) -> None:
    """Pictures that come as a form."""
    images.Edits().call(forms.as_json(payload, "b", Budget()), Budget())


def _links(payload: bytes, rng: random.Random) -> None:
    """A bot's text with links in it, in pieces, of which some replace all that came before."""
    text = _text(payload)
    size = max(rng.choice((len(text), 1000, 20, 3, 1)), len(text) // 20_000, 1)
    media = rng.choice(("inline", "embed"))

    def events() -> Generator[ReplyEvent, None, None]:
        for number, at in enumerate(range(0, len(text), size)):
            if number % _AT_ONCE == 0:
                _wait()
            yield Text(text[at : at + size])
        yield Replaced(text[: rng.randrange(len(text) + 1)])
        yield Done()

    chat = _API.call(_body({}), Budget()).chat
    for _ in pictures.shown(events(), chat, media, _Files(rng)):
        pass
    for kind in ("image", "audio"):
        files.last_link(text, kind, _Files(rng))


def _file(payload: bytes, rng: random.Random) -> None:
    with suppress(PoeProxyError):
        attachments.read_ticket(payload)
    address = _text(payload)
    named = {"file_data": address, "filename": rng.choice((None, "a.txt", address[:5000]))}
    part = rng.choice(
        ({"type": "image_url", "image_url": {"url": address}}, {"type": "file", "file": named})
    )
    body = {"model": "bot", "messages": [{"role": "user", "content": [part]}]}
    chat = _API.call(json.dumps(body).encode(), Budget()).chat
    for _ in attachments.Files().read(
        attachments.parts_of(chat), None, time.monotonic, chat.budget
    ):
        pass


def _schema(payload: bytes, rng: random.Random) -> None:
    """A schema, and the answer to it on the next line."""
    schema, _, answer = payload.partition(b"\n")
    opening, closing = rng.choice(_SCHEMA_IN)
    body = _body({})[:-1] + b"," + opening + schema + closing + b"}"
    text = _text(answer)
    if b'"tools"' in opening:
        text = f'<tool_call>{{"name": "get_weather", "arguments": {text}}}</tool_call>'
    _dressed(body, lambda chat: _saying([Text(text), Done()]), rng)


def _repair(payload: bytes, rng: random.Random) -> None:
    """A schema as it comes, and what is made of it."""
    with suppress(orjson.JSONDecodeError):
        rule = orjson.loads(payload.partition(b"\n")[0])
        references = rng.random() < 0.8
        repair.is_odd(rule)
        if isinstance(rule, dict):
            repair.repaired(rule, lambda pattern: len(pattern) % 2 == 0, references=references)


def _coercion(payload: bytes, rng: random.Random) -> None:
    """What is meant by a value beside a schema."""
    schema, _, value = payload.partition(b"\n")
    try:
        rule, given = orjson.loads(schema), orjson.loads(value)
    except orjson.JSONDecodeError:
        return
    _wait()  # what has read them is not to be looked at
    budget = Budget()
    with budget.work("coercing"):
        coerced(given, rule, untyped=rng.random() < 0.5, breathe=budget.breathe)


#: What stands around a schema in a request.
_SCHEMA_IN: Final = (
    (b'"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":', b"}}"),
    (b'"tools":[{"type":"function","function":{"name":"get_weather","parameters":', b"}}]"),
)


# ---- what bots say

_FORMS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"stop": ["END", "aaaaaaab", "\n\n\n", "ab" * 40], "max_tokens": 100_000_000},
    {"max_tokens": 3},
    {"tools": json.loads(corpus.REQUESTS[2])["tools"]},
    {"tools": json.loads(corpus.REQUESTS[2])["tools"], "tool_choice": "required"},
    {"tools": json.loads(corpus.REQUESTS[2])["tools"], "parallel_tool_calls": False, "stop": ["x"]},
    {"functions": [json.loads(corpus.REQUESTS[2])["tools"][0]["function"]]},
    {"response_format": {"type": "json_object"}},
    json.loads(corpus.REQUESTS[6]) | {"messages": None},
    json.loads(corpus.REQUESTS[7]) | {"messages": None},
)


def _body(fields: dict[str, Any], *, stream: bool = False) -> bytes:
    messages = [{"role": "user", "content": "Hello"}]
    return json.dumps(
        {**fields, "model": "bot", "messages": messages, "stream": stream,
         "stream_options": {"include_usage": True}}
    ).encode()  # fmt: skip


def _saying(events: Iterable[ReplyEvent]) -> Generator[ReplyEvent, None, None]:
    yield from events


def _answer(payload: bytes, rng: random.Random) -> None:
    """A bot's text, in pieces; by cookie a few of them replace all that came before."""
    text, seed = _text(payload), rng.randrange(1000)
    size = max(rng.choice((len(text), len(text) // 3, 1000, 20, 3, 1)), len(text) // 20_000, 1)

    def events(rng: random.Random) -> Generator[ReplyEvent, None, None]:
        for number, at in enumerate(range(0, len(text), size)):
            if number % _AT_ONCE == 0:
                _wait()
            match rng.randrange(1000):
                case 0 | 1 | 2:
                    yield Replaced(text[: rng.randrange(len(text) + 1)])
                case 3 | 4 | 5:
                    yield Reasoning(text[at : at + size])
                case _:
                    yield Text(text[at : at + size])
        if rng.random() < 0.1:
            yield ToolCallPart(0, "id", "get_weather", text[:1000])
        yield Done(rng.choice(("stop", "stop", "length")))

    body = _body(rng.choice(_FORMS), stream=rng.random() < 0.5)
    _dressed(
        body,
        lambda chat: run(events(random.Random(seed)), ReasoningParser(), budget=chat.budget),
        rng,
    )


def _stream(payload: bytes, rng: random.Random) -> None:
    """An answer of api.poe.com, from its bytes to the client's."""
    _streamed(payload, _body(rng.choice(_FORMS), stream=rng.random() < 0.7), rng, _API)


def _items(payload: bytes, rng: random.Random) -> None:
    """The same, as items of a response."""
    asked = {**json.loads(corpus.RESPONSES[-1]), "stream": rng.random() < 0.8}
    _streamed(payload, json.dumps(asked).encode(), rng, _RESPONSES)


def _streamed(payload: bytes, body: bytes, rng: random.Random, api: Api) -> None:
    seed = rng.randrange(1000)

    def ask(chat: ChatRequest) -> Generator[ReplyEvent, None, None]:
        decoder, stream = sse.Decoder(), answers.Stream(chat.budget)
        for piece in _cut(payload, random.Random(seed)):
            _wait()
            try:
                found = decoder.feed(piece)
            except ValueError:  # an event that is too large
                return
            for data in found:
                yield from stream.feed(data)
                if stream.is_over:
                    return
        for data in decoder.flush():
            yield from stream.feed(data)
        yield from stream.close()

    _dressed(body, ask, rng, api)


def _whole(payload: bytes, rng: random.Random) -> None:
    """A whole answer of either way to Poe, or what it answers in place of one."""
    status = rng.choice((200, 400, 401, 403, 429, 500, 502))
    headers = CaseInsensitiveDict({"Retry-After": _text(payload[:100]), "Content-Type": "x"})
    error_body(failures.of_answer(status, headers, payload))
    with suppress(graphql.StaleSession, *ALLOWED):
        graphql.read_answer("sendMessageMutation", _SITE, status, headers, payload)
    error_body(graphql.refusal("odd", _text(payload)))
    error_body(graphql.failed_state("error_x", _text(payload)))
    _dressed(
        _body(rng.choice(_FORMS)),
        lambda chat: _saying(answers.whole_answer(payload, chat.budget)),
        rng,
    )


def _decoder(payload: bytes, rng: random.Random) -> None:
    decoder = sse.Decoder(at_most=rng.choice((10, 1000, sse.MAX_EVENT)))
    for piece in _cut(payload, rng):
        _wait()
        decoder.feed(piece)
    decoder.flush()


# ---- what Poe's site says


def _page(payload: bytes, rng: random.Random) -> None:
    html, _, app = payload.partition(corpus.APP_FOLLOWS)
    found = pages.Page.read(_text(html), "https://poe.com/", _SITE)
    pages.find_revision(found, _text(app), _SITE)
    pages.formkey_program(found, _text(app), _SITE)


def _frames(payload: bytes, rng: random.Random) -> None:
    """The frames of a websocket, by way of the mailbox to the client."""
    mailbox, early = Mailbox("nonce", "nonce"), Early()
    patience = rng.choice((1, 3, 1000))

    def ask(chat: ChatRequest) -> Generator[ReplyEvent, None, None]:
        one = turn.Turn("nonce", "nonce", chat_id=7)
        for number, frame in enumerate(payload.split(b"\n", 2000)):
            _wait()
            with suppress(turn.ChannelLost):
                for item in turn.read_frame(frame)[1]:
                    early.keep(item, item.chat_id or 0, number)
                    mailbox.put(item)
            if number % patience:
                continue
            for notice in mailbox.wait(0):
                _wait()
                if isinstance(notice, turn.Item):
                    yield from one.feed(notice.name, notice.content(), number)
            if one.is_over:
                return
        early.take(7)
        yield from one.due(1e9)
        yield Done()

    body = _body(rng.choice(_FORMS), stream=rng.random() < 0.7)
    _dressed(body, lambda chat: run(ask(chat), ReasoningParser(), budget=chat.budget), rng)


TARGETS: Final[dict[str, Target]] = {
    one.name: one
    for one in (
        Target("requests", corpus.REQUESTS, _request),
        Target("messages", corpus.MESSAGES, _messages),
        Target("neighbours", corpus.NEIGHBOURS, _neighbour),
        Target("forms", corpus.FORMS, _form),
        Target("links", corpus.LINKS, _links),
        Target("schemas", corpus.SCHEMAS, _schema),
        Target("repairs", corpus.SCHEMAS, _repair, is_apart=True),
        Target("coercions", corpus.SCHEMAS, _coercion),
        Target("files", corpus.FILES, _file),
        Target("answers", corpus.TEXTS, _answer),
        Target("streams", corpus.STREAMS, _stream),
        Target("responses", corpus.RESPONSES, _response),
        Target("items", corpus.STREAMS, _items),
        Target("wholes", corpus.WHOLES, _whole),
        Target("sse", corpus.STREAMS, _decoder, (ValueError,)),
        Target("pages", corpus.PAGES, _page),
        Target("frames", corpus.FRAMES, _frames),
    )
}
