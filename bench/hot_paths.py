"""What runs for each request, each frame or each piece of text, with what it is given.

Each function here prepares one of them, and returns what is then called again and again; its
docstring's first line is the name under which `instructions.json` has it. To add one, write such a
function and run `python -m bench.instructions --record`.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator, Mapping
from itertools import cycle, repeat
from typing import Any, Final

import orjson

Call = Callable[[], object]
Prepare = Callable[[], Call]

#: By name.
PATHS: Final[dict[str, Prepare]] = {}

_TEXT: Final = "the quick brown fox "


def hot_path(prepare: Prepare) -> Prepare:
    """Count the instructions of what *prepare* returns."""
    PATHS[(prepare.__doc__ or "").partition("\n")[0].rstrip(".")] = prepare
    return prepare


def stop_time() -> None:
    """Let nothing compute for long: valgrind makes everything fifty times as slow, and a budget
    would let others have their turn all the time."""
    from poe_proxy.budget import processor

    processor.clock = processor.wall = repeat(0.0).__next__


@hot_path
def reference() -> Call:
    """The interpreter by itself.

    It is of no module of ours: where it takes another number, Python was built in another way, and
    the other numbers mean nothing.
    """
    import json

    said = json.dumps({"a": [1, 2.5, None], "b": {"c": "d" * 50}})

    def compute() -> int:
        found = json.loads(said)
        total = sum(number * number % 7 for number in range(50))
        return total + len(" ".join(sorted(found)).encode()) + len(f"{total:x}")

    return compute


# ---- the APIs

_ASKED: Final = {
    "model": "Claude-Sonnet-4.5",
    "messages": [
        {"role": "system", "content": "You are brief."},
        {"role": "user", "content": _TEXT * 10},
        {"role": "assistant", "content": _TEXT * 10},
        {"role": "user", "content": [{"type": "text", "text": _TEXT * 10}]},
    ],
    "stream": True,
    "temperature": 0.5,
    "max_tokens": 1000,
}


@hot_path
def parse_chat() -> Call:
    """A chat request is parsed."""
    from poe_proxy.apis.chat_completions import ChatCompletions
    from poe_proxy.budget import Budget

    api, body = ChatCompletions(), orjson.dumps(_ASKED)
    return lambda: api.call(body, Budget())


def _dresses(call: Any) -> Call:
    """Return what dresses one text as the frames of a stream that is open."""
    from poe_proxy.chat import Text

    call.frame(Text(_TEXT))
    return lambda: call.frame(Text(_TEXT))


@hot_path
def chat_frame() -> Call:
    """A text becomes a chunk of chat completions."""
    from poe_proxy.apis.chat_completions import ChatCompletions
    from poe_proxy.budget import Budget

    return _dresses(ChatCompletions().call(orjson.dumps(_ASKED), Budget()))


@hot_path
def responses_frame() -> Call:
    """A text becomes an event of Responses."""
    from poe_proxy.apis.responses import Responses
    from poe_proxy.budget import Budget

    body = orjson.dumps({"model": "mock", "input": "Hello", "stream": True})
    return _dresses(Responses().call(body, Budget()))


@hot_path
def messages_frame() -> Call:
    """A text becomes an event of Messages."""
    from poe_proxy.apis.messages import Messages
    from poe_proxy.budget import Budget

    asked = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 100}
    return _dresses(
        Messages().call(orjson.dumps({"model": "mock", "stream": True, **asked}), Budget())
    )


@hot_path
def whole_body() -> Call:
    """A whole answer is dressed."""
    from poe_proxy.apis.chat_completions import ChatCompletions
    from poe_proxy.budget import Budget
    from poe_proxy.chat import Done, Said, Text, Usage

    asked = orjson.dumps({**_ASKED, "stream": False})
    said: list[Said] = [Text(_TEXT * 10), Usage(10, 20), Done()]
    api = ChatCompletions()
    calls = cycle([api.call(asked, Budget()) for _ in range(500)])  # each is used once
    return lambda: next(calls).body(said)


# ---- api.poe.com

_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nDate: Sat, 29 Nov 2025 20:00:00 GMT\r\n"
    b"Content-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n"
    b"Connection: keep-alive\r\nCache-Control: no-cache\r\nX-Request-Id: req_0123456789\r\n"
    b"Server: uvicorn\r\nStrict-Transport-Security: max-age=31536000\r\n\r\n"
)


@hot_path
def read_head() -> Call:
    """The head of a response is read."""
    from poe_proxy.net.http1 import AnswerReader

    def read() -> object:
        reader = AnswerReader()
        reader.feed(_HEAD)
        return reader.head

    return read


def _delta(text: str) -> bytes:
    said = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "mock",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}],
    }
    return b"data: " + orjson.dumps(said) + b"\n\n"


def _reads(deltas: int) -> Call:
    """Return what turns one read of an open stream into events."""
    from poe_proxy.budget import Budget
    from poe_proxy.net.http1 import AnswerReader as Http
    from poe_proxy.upstreams.poe_api.receiving import CHAT, AnswerReader

    http = Http()
    http.feed(_HEAD)
    reader = AnswerReader(CHAT, Budget())
    assert http.head is not None
    reader.take(http.head)
    chunks = [_delta(f"{_TEXT}{number} ") for number in range(deltas)]
    data = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)

    def read() -> object:
        http.feed(data)
        reader.take(http.take())
        return reader.said()

    return read


@hot_path
def read_one() -> Call:
    """A read of one delta becomes an event."""
    return _reads(1)


@hot_path
def read_many() -> Call:
    """A read of 32 deltas becomes events."""
    return _reads(32)


# ---- poe.com


def _frame(seq: int, text: str, state: str) -> bytes:
    message: Mapping[str, Any] = {
        "messageId": 1002,
        "author": "mock",
        "state": state,
        "text": text,
        "contentType": "text_markdown",
    }
    payload = {
        "unique_id": "messageAdded:1000",
        "subscription_name": "messageAdded",
        "data": {"messageAdded": message},
    }
    item = {"message_type": "subscriptionUpdate", "payload": payload}
    return orjson.dumps({"messages": [orjson.dumps(item).decode()], "min_seq": seq})


def _frames() -> tuple[Iterator[bytes], Any]:
    """Return the frames of a message that grows, and the mailbox of who waits for it, which knows
    how they begin."""
    from poe_proxy.upstreams.poe_web.frames import Known
    from poe_proxy.upstreams.poe_web.items import read_frame
    from poe_proxy.upstreams.poe_web.mailbox import Mailbox

    texts = (_TEXT * 50)[:1000]
    frames = [_frame(number, texts[: 200 + number], "incomplete") for number in range(800)]
    box = Mailbox("nonce", "nonce")
    item = read_frame(frames[0])[1][0]
    box.put(item)
    box.known = Known.of(frames[0], item)
    return iter(frames[1:]), box


@hot_path
def frame() -> Call:
    """A frame of the websocket becomes an event."""
    from poe_proxy.upstreams.poe_web.frames import look
    from poe_proxy.upstreams.poe_web.turn import Turn

    frames, box = _frames()
    waiting, turn = {1000: box}.get, Turn("nonce", "nonce", chat_id=1000)

    def take() -> object:
        found = look(next(frames), waiting)
        assert found is not None
        box.put(found[1])
        return [list(turn.feed(one.name, one.content(), 0.0)) for one in box.wait(0)]

    return take


@hot_path
def overtaken_frame() -> Call:
    """A frame that a newer one overtakes is put aside."""
    from poe_proxy.upstreams.poe_web.frames import look

    frames, box = _frames()
    waiting = {1000: box}.get

    def take() -> None:
        found = look(next(frames), waiting)
        assert found is not None
        box.put(found[1])

    return take


@hot_path
def unknown_frame() -> Call:
    """A frame of another kind is parsed."""
    from poe_proxy.upstreams.poe_web.items import read_frame

    complete = _frame(1, _TEXT * 5, "complete")
    return lambda: [item.content() for item in read_frame(complete)[1]]


# ---- around them


@hot_path
def lease() -> Call:
    """A token is lent, used and given back."""
    from poe_proxy.pool.rotator import TokenRotator
    from poe_proxy.pool.tokens import Token

    rotator = TokenRotator([Token(f"key-{number}", None, concurrency=100) for number in range(4)])

    def use() -> None:
        with rotator.lease(bot="mock", client="client", streams=True) as lent:
            lent.wait(1.0)
            lent.may_send(1.0)
            lent.arrived()
            lent.worked()

    return use


@hot_path
def access() -> Call:
    """The key of a client is checked."""
    from flask import Request

    from poe_proxy.clients import Known, Registry
    from poe_proxy.server.access import check_key

    clients = Registry(Known.of(("sk-one", "sk-two")))
    request = Request({"HTTP_AUTHORIZATION": "Bearer sk-two", "wsgi.input": io.BytesIO()})
    return lambda: check_key(request, clients)


@hot_path
def log_line() -> Call:
    """A line is logged."""
    from poe_proxy import logs

    log = logging.getLogger("poe_proxy.bench")
    log.setLevel("INFO")
    log.propagate = False
    sink = io.StringIO()
    log.addHandler(logs.handler(sink))

    def write() -> None:
        log.info("%s %s %d %.0f ms", "127.0.0.1", "POST /v1/chat/completions", 200, 12.5)
        sink.seek(0)

    return write


@hot_path
def end_of_a_request() -> Call:
    """The end of a request: its line as JSON, and metrics."""
    from poe_proxy import logs
    from poe_proxy.metrics import Looks, Metrics
    from poe_proxy.pool.facts import Facts
    from poe_proxy.pool.rotator import Token, TokenRotator
    from poe_proxy.record import Record
    from poe_proxy.server import access_log

    rotator = TokenRotator([Token("key-1", object())])
    facts = Facts(rotator)
    looks = Looks(facts.newest, rotator.points, rotator.day_uses, lambda: ())
    metrics = Metrics(looks, lambda bot: bot)
    record = Record("req_1", now=100.0, at=1_785_542_400.0)
    record.route = record.path = "/v1/chat/completions"
    record.method, record.peer, record.client = "POST", "127.0.0.1", "alice"
    record.model, record.bot, record.account, record.kind = "gpt-4", "GPT-4", "key-1", "key"
    record.status, record.joined, record.first_text = 200, 100.1, 101.0
    record.done, record.ended = 103.0, 103.1
    log = logging.getLogger("poe_proxy.server.access_log")
    log.setLevel("INFO")
    log.propagate = False
    sink = io.StringIO()
    log.addHandler(logs.handler(sink, "json"))

    def tell() -> None:
        access_log.tell(record)
        metrics.told(record)
        sink.seek(0)

    return tell


@hot_path
def work() -> Call:
    """A block counts what it computes."""
    from poe_proxy.budget import Budget

    budget = Budget()

    def compute() -> None:
        with budget.work("reading"):
            pass

    return compute
