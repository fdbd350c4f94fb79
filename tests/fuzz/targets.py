"""What is fuzzed: parsers of what strangers write, each from the bytes to the end of its way."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import orjson
from requests.structures import CaseInsensitiveDict

from poe_proxy import sse
from poe_proxy.apis import images
from poe_proxy.apis.messages import counting, parsing
from poe_proxy.apis.openai_error import error_body
from poe_proxy.apis.responses import counting as response_counting
from poe_proxy.budget import Budget, OutOfBudget
from poe_proxy.chat import (
    ChatRequest,
    Done,
    FinishReason,
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
from poe_proxy.errors import PoeProxyError, UpstreamInterrupted
from poe_proxy.net import http1, transfer, unpacking
from poe_proxy.server import forms
from poe_proxy.shaping import files, pictures
from poe_proxy.shaping.coercion import coerced
from poe_proxy.shaping.pipeline import run
from poe_proxy.shaping.reasoning import ReasoningParser
from poe_proxy.upstreams import bulk
from poe_proxy.upstreams.poe_api import answers, asking, failures, native
from poe_proxy.upstreams.poe_api.receiving import AT_ONCE
from poe_proxy.upstreams.poe_web import (
    addresses,
    attachments,
    frames,
    functions,
    graphql,
    items,
    pages,
    turn,
)
from poe_proxy.upstreams.poe_web.discovery import artefacts, scripts, tagging
from poe_proxy.upstreams.poe_web.mailbox import Early, Mailbox
from poe_proxy.upstreams.poe_web.prompts import Prompt, RoleMode
from poe_proxy.upstreams.poe_web.site import Site

from . import corpus
from .dressing import (
    APIS,
    FORMS,
    NEIGHBOURS,
    Files,
    answered,
    any_body,
    body,
    listened,
    saying,
    told,
    wait,
)

#: What anything may raise: a failure with a status of its own, or that a request costs too much.
ALLOWED: Final = (PoeProxyError, OutOfBudget)

#: Small events that may come at once.
_AT_ONCE: Final = 2500
#: Characters of texts that replace others, in one reply.
_REPLACED: Final = 30_000_000
_SITE: Final = Site.load()


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


def _cut(whole: bytes, rng: random.Random) -> Iterator[bytes]:
    """Yield *whole* in pieces: as large as they are taken at once, or many that are small."""
    size = rng.choice((AT_ONCE, 20_000, 1000, 100, 7, 1))
    # A piece costs some microseconds, whatever is in it; a bot that writes a million is slow.
    size = max(size, len(whole) // 20_000, 1)
    for at in range(0, len(whole), size):
        yield whole[at : at + size]


def _text(payload: bytes) -> str:
    return payload.decode("utf-8", "replace")


# ---- what clients send


def _request(payload: bytes, rng: random.Random, api: str = "chat") -> None:
    prompt = Prompt(mode=rng.choice(list(RoleMode)))
    by_key = rng.random() < 0.5

    def ask(chat: ChatRequest) -> Generator[ReplyEvent, None, None]:
        if chat.as_messages is not None:
            orjson.dumps(native.request(chat.as_messages, "bot", chat.budget))
        elif by_key:
            orjson.dumps(asking.request(chat, "bot", stream=True))
        else:
            prompt(chat).encode("utf-8", "surrogatepass")
            for _ in attachments.Files().read(
                attachments.parts_of(chat), None, time.monotonic, chat.budget
            ):
                pass
        yield Text('{"name": "abc"}')
        yield Done()

    answered(payload, ask, rng, api=api, passes=rng.random() < 0.5)


def _responses_request(payload: bytes, rng: random.Random) -> None:
    """A request of the Responses API, which is answered or counted."""
    if rng.random() < 0.2:
        response_counting.counted(response_counting.counted_request(payload, Budget()))
    else:
        _request(payload, rng, "responses")


def _messages_request(payload: bytes, rng: random.Random) -> None:
    """A request of Anthropic's API, which is answered or counted."""
    if rng.random() < 0.2:
        counting.counted(parsing.counted_request(payload, Budget()))
    else:
        _request(payload, rng, "messages")


def _neighbour(payload: bytes, rng: random.Random) -> None:
    """A request of one of the smaller APIs."""
    text = rng.choice(corpus.LINKS).decode()

    def ask(chat: ChatRequest) -> Generator[ReplyEvent, None, None]:
        orjson.dumps(asking.request(chat, "bot", stream=True))
        yield Text(text)
        yield Done()

    answered(payload, ask, rng, api=rng.choice(NEIGHBOURS))


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
                wait()
            yield Text(text[at : at + size])
        yield Replaced(text[: rng.randrange(len(text) + 1)])
        yield Done()

    chat = APIS["chat"].call(body({}), Budget()).chat
    for _ in pictures.shown(events(), chat, media, Files(rng)):
        pass
    for kind in ("image", "audio"):
        files.last_link(text, kind, Files(rng))


def _file(payload: bytes, rng: random.Random) -> None:
    with suppress(PoeProxyError):
        attachments.read_ticket(payload)
    address = _text(payload)
    named = {"file_data": address, "filename": rng.choice((None, "a.txt", address[:5000]))}
    part = rng.choice(
        ({"type": "image_url", "image_url": {"url": address}}, {"type": "file", "file": named})
    )
    asked = {"model": "bot", "messages": [{"role": "user", "content": [part]}]}
    chat = APIS["chat"].call(json.dumps(asked).encode(), Budget()).chat
    for _ in attachments.Files().read(
        attachments.parts_of(chat), None, time.monotonic, chat.budget
    ):
        pass


def _schema(payload: bytes, rng: random.Random) -> None:
    """A schema, and the answer to it on the next line."""
    schema, _, answer = payload.partition(b"\n")
    opening, closing = rng.choice(_SCHEMA_IN)
    asked = body({})[:-1] + b"," + opening + schema + closing + b"}"
    text = _text(answer)
    if b'"tools"' in opening:
        text = f'<tool_call>{{"name": "get_weather", "arguments": {text}}}</tool_call>'
    answered(asked, lambda chat: saying([Text(text), Done()]), rng)


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
    wait()  # what has read them is not to be looked at
    budget = Budget()
    with budget.work("coercing"):
        coerced(given, rule, untyped=rng.random() < 0.5, breathe=budget.breathe)


#: What stands around a schema in a request.
_SCHEMA_IN: Final = (
    (b'"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":', b"}}"),
    (b'"tools":[{"type":"function","function":{"name":"get_weather","parameters":', b"}}]"),
)


# ---- what bots say


def _answer(payload: bytes, rng: random.Random) -> None:
    """A bot's text, in pieces; by cookie a few of them replace all that came before."""
    text, seed = _text(payload), rng.randrange(1000)
    size = max(rng.choice((len(text), len(text) // 3, 1000, 20, 3, 1)), len(text) // 20_000, 1)

    def events(rng: random.Random) -> Generator[ReplyEvent, None, None]:
        for number, at in enumerate(range(0, len(text), size)):
            if number % _AT_ONCE == 0:
                wait()
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

    api, asked = any_body(rng, streams=0.5)
    answered(
        asked,
        lambda chat: run(events(random.Random(seed)), ReasoningParser(), budget=chat.budget),
        rng,
        api=api,
    )


def _stream(payload: bytes, rng: random.Random) -> None:
    """An answer of api.poe.com, from its bytes to the client's."""
    seed = rng.randrange(1000)

    def ask(chat: ChatRequest) -> Generator[ReplyEvent, None, None]:
        yield from _fed(payload, answers.Stream(chat.budget), random.Random(seed))

    api, asked = any_body(rng, streams=0.7)
    answered(asked, ask, rng, api=api)


def _fed(
    payload: bytes, stream: answers.Stream | native.Stream, rng: random.Random
) -> Iterator[ReplyEvent]:
    """Yield what *stream* makes of a body that comes in pieces."""
    decoder = sse.Decoder()
    for piece in _cut(payload, rng):
        wait()
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


def _whole(payload: bytes, rng: random.Random) -> None:
    """A whole answer of either way to Poe, or what it answers in place of one."""
    status = rng.choice((200, 400, 401, 403, 429, 500, 502))
    headers = CaseInsensitiveDict({"Retry-After": _text(payload[:100]), "Content-Type": "x"})
    error_body(failures.of_answer(status, headers, payload))
    with suppress(graphql.StaleSession, *ALLOWED):
        graphql.read_answer("sendMessageMutation", _SITE, status, headers, payload)
    error_body(graphql.refusal("odd", _text(payload)))
    error_body(graphql.failed_state("error_x", _text(payload)))
    api, asked = any_body(rng, streams=0.0)
    answered(asked, lambda chat: saying(answers.whole_answer(payload, chat.budget)), rng, api=api)


def _native(payload: bytes, rng: random.Random) -> None:
    """A streamed or a whole answer of Poe's own Messages API, passed on."""
    seed = rng.randrange(1000)

    def stream(chat: ChatRequest) -> Generator[ReplyEvent, None, None]:
        yield from _fed(payload, native.Stream(chat.budget), random.Random(seed))

    def whole(chat: ChatRequest) -> Generator[ReplyEvent, None, None]:
        yield from native.whole_answer(payload, chat.budget)

    streams = rng.random() < 0.7
    asked = body({}, api="messages", stream=streams)
    answered(asked, stream if streams else whole, rng, api="messages", passes=True)


def _rendering(payload: bytes, rng: random.Random) -> None:
    """Anything that may be said, in any order, as its client gets it, whole or broken off."""
    text = _text(payload)
    api = rng.choice(list(FORMS))
    asked = body(rng.choice(FORMS[api]), api=api, stream=rng.random() < 0.8)
    told(APIS[api].call(asked, Budget()), listened(_said(text, rng)), api)


def _said(text: str, rng: random.Random) -> Iterator[Said]:
    """Yield events that have all of *text*, and more."""
    size = max(rng.choice((len(text), 1000, 20, 3, 1)), len(text) // 2000, 1)
    kinds = rng.choices(_KINDS, k=rng.randint(1, 4))
    calls: list[int] = []
    replaced = 0
    for at in range(0, len(text), size):
        piece = text[at : at + size]
        match rng.choice(kinds):
            case "text":
                yield Text(piece)
            case "reasoning":
                yield Reasoning(piece)
            case "refusal":
                yield Refusal(piece)
            case "replaced":
                wait()  # each of them comes by itself, in a frame
                replaced += 1
                if replaced * len(text) < _REPLACED:
                    yield Replaced(text[: rng.randrange(len(text) + 1)])
            case "idle":
                yield Idle()
            case "usage":
                details = {
                    "prompt_tokens_details": {"cached_tokens": rng.choice((0, 5, None, "x"))}
                }
                yield Usage(rng.randrange(9), rng.randrange(9), details)
            case "call":
                number = rng.choice([*calls[-3:], len(calls)])
                if number in calls:
                    yield ToolCallPart(number, arguments=piece)
                else:
                    calls.append(number)
                    name = rng.choice(("get_weather", "patch", "far__patch", "unknown"))
                    begins = rng.choice(("", '{"input": "', '{"input": "a"}', '{"city": "', piece))
                    yield ToolCallPart(number, rng.choice((f"call_{number}", None)), name, begins)
    if rng.random() < 0.2:
        raise UpstreamInterrupted("The reply broke off before its end.")
    ends: Sequence[FinishReason] = ("stop", "length", "tool_calls", "content_filter")
    yield Done(rng.choice(ends), rng.choice((None, "END")))


_KINDS: Final = (
    "text",
    "text",
    "reasoning",
    "refusal",
    "replaced",
    "idle",
    "usage",
    "call",
    "call",
)


def _decoder(payload: bytes, rng: random.Random) -> None:
    decoder = sse.Decoder(at_most=rng.choice((10, 1000, sse.MAX_EVENT)))
    for piece in _cut(payload, rng):
        wait()
        decoder.feed(piece)
    decoder.flush()


def _wire(payload: bytes, rng: random.Random) -> None:
    """An answer as it is on the wire: in pieces it is the same as in one."""
    in_pieces, in_one = _answer_of(_cut(payload, rng)), _answer_of([payload])
    # How much of a larger one is read before it is refused depends on the pieces.
    if len(payload) <= http1.MAX_HEAD and in_pieces != in_one:
        raise AssertionError("it depends on the pieces")


def _answer_of(pieces: Iterable[bytes]) -> object:
    reader, body, is_broken = http1.AnswerReader(), b"", False
    try:
        for piece in pieces:
            wait()
            reader.feed(piece)
            body += reader.take()
        reader.end()
    except http1.ProtocolError:
        is_broken = True
        body += reader.take()
    head = reader.head
    if head is not None:
        with suppress(http1.ProtocolError):
            _unpack(transfer.unpacker_of(head), body)
    said = head and (head.status, [(name, head.headers.all(name)) for name in head.headers])
    return said, body, reader.is_complete, reader.keeps_alive, is_broken


def _unpack(unpacker: unpacking.Unpacker | None, body: bytes) -> None:
    if unpacker is None:
        return
    unpacker.feed(body)
    for _ in range(_UNPACKED):
        wait()
        if len(unpacker.take()) > unpacking.AT_ONCE:
            raise AssertionError("more than a piece")
    unpacker.end()


#: Pieces of a packed answer that are asked for.
_UNPACKED: Final = 100


# ---- what Poe's site says


def _page(payload: bytes, rng: random.Random) -> None:
    html, _, app = payload.partition(corpus.APP_FOLLOWS)
    found = pages.Page.read(_text(html), "https://poe.com/", _SITE)
    pages.find_revision(found, [_text(app)], _SITE)
    pages.formkey_program(found, [_text(app)], _SITE)


def _site_script(payload: bytes, rng: random.Random) -> None:
    """A script of the site; or what its code has returned, or an address that it names."""
    text, budget = _text(payload), Budget(2.0)
    base = scripts.base_of(text) or "https://poe.com/_next/"
    with budget.work("a script"):
        artefacts.find(text, ("sendMessageMutation",), budget)
        functions.extract_functions(text, budget)
        bulk.search(_SITE.patterns.tag_function, text, budget)
        for address in (
            *scripts.in_manifest(text, base, budget),
            *scripts.in_runtime(text, base, budget),
            text[:2000],
        ):
            addresses.is_allowed(address, "https://poe.com/")
            scripts.is_runtime(address, text)
            scripts.is_manifest(address)
    tagging.solve(text)


def _frames(payload: bytes, rng: random.Random) -> None:
    """The frames of a websocket, by way of the mailbox to the client."""
    mailbox, early = Mailbox("nonce", "nonce"), Early()
    patience = rng.choice((1, 3, 1000))

    def ask(chat: ChatRequest) -> Generator[ReplyEvent, None, None]:
        one = turn.Turn("nonce", "nonce", chat_id=7)
        for number, frame in enumerate(payload.split(b"\n", 2000)):
            wait()
            with suppress(items.ChannelLost):
                if found := frames.look(frame, {7: mailbox}.get):
                    mailbox.put(found[1])
                    continue
                for item in items.read_frame(frame)[1]:
                    early.keep(item, item.chat_id or 0, number)
                    mailbox.put(item)
                    mailbox.known = frames.Known.of(frame, item)
            if number % patience:
                continue
            for notice in mailbox.wait(0):
                wait()
                if isinstance(notice, items.Item | items.Draft):
                    yield from one.feed(notice.name, notice.content(), number)
            if one.is_over:
                return
        early.take(7)
        yield from one.due(1e9)
        yield Done()

    api, asked = any_body(rng, streams=0.7)
    answered(
        asked, lambda chat: run(ask(chat), ReasoningParser(), budget=chat.budget), rng, api=api
    )


TARGETS: Final[dict[str, Target]] = {
    one.name: one
    for one in (
        Target("requests", corpus.REQUESTS, _request),
        Target("responses", corpus.RESPONSES, _responses_request),
        Target("messages", corpus.MESSAGES, _messages_request),
        Target("neighbours", corpus.NEIGHBOURS, _neighbour),
        Target("forms", corpus.FORMS, _form),
        Target("links", corpus.LINKS, _links),
        Target("schemas", corpus.SCHEMAS, _schema),
        Target("repairs", corpus.SCHEMAS, _repair, is_apart=True),
        Target("coercions", corpus.SCHEMAS, _coercion),
        Target("files", corpus.FILES, _file),
        Target("answers", corpus.TEXTS, _answer),
        Target("streams", corpus.STREAMS, _stream),
        Target("wholes", corpus.WHOLES, _whole),
        Target("natives", corpus.NATIVES, _native),
        Target("renderings", corpus.TEXTS, _rendering),
        Target("wires", corpus.WIRES, _wire),
        Target("sse", corpus.STREAMS, _decoder, (ValueError,)),
        Target("pages", corpus.PAGES, _page),
        Target("scripts", corpus.SITE_SCRIPTS, _site_script),
        Target("frames", corpus.FRAMES, _frames),
    )
}
