"""poe.com's face: page, GraphQL and websocket. Web protocol sheet §5, §7 to §10, §13."""

from __future__ import annotations

import hashlib
import re
import time
from base64 import b64encode
from itertools import count
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import orjson

from bench.mock.connection import GATE, Connection, Play, Request, reply
from bench.texts import EACH, GATED, PLAIN, SILENT, TOGETHER, Wanted, piece, wanted

_COOKIE: Final = re.compile(rb"p-b=([^;\r]+)")
_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_PING: Final = b'{"type":"ping"}'
_CLOSED: Final = b"\x88\x02\x03\xe8"


class Channel:
    """What an account's websocket hears."""

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.seq = 1
        #: The answers that are being given, by their chats.
        self.plays: dict[int, Play] = {}

    def push(self, front: bytes, text: bytes, back: bytes) -> Connection | None:
        """Send a frame: its number stands behind the rest. None: nobody is there."""
        connection = self.connection
        if connection is None or not connection.is_open:
            return None
        self.seq += 1
        number = b"%d}" % self.seq
        size = len(front) + len(text) + len(back) + len(number)
        connection.send(b"".join((_frame_head(size), front, text, back, number)))
        return connection


_channels: Final[dict[str, Channel]] = {}
#: Numbers of chats; each leaves room for its two messages.
_numbers: Final = count(1000, 10)


def _frame_head(size: int, opcode: int = 0x81) -> bytes:
    if size < 126:
        return bytes((opcode, size))
    if size < 65536:
        return bytes((opcode, 126)) + size.to_bytes(2, "big")
    return bytes((opcode, 127)) + size.to_bytes(8, "big")


# ---- HTTP


def answer(connection: Connection, request: Request) -> Play | None:
    """Answer a request."""
    if request.method == b"GET":
        if request.header(b"upgrade"):
            return _upgrade(connection, request)
        connection.send(_page(request))
        return None
    operation = orjson.loads(request.body)
    name, variables = operation["queryName"], operation["variables"]
    channel = _channels.get(request.header(b"poe-tchannel").decode())
    if name == "sendMessageMutation" and channel is not None:
        _begin(connection, channel, request)
        return None
    data: dict[str, Any] = {}
    if name == "HandleBotLandingPageQuery":
        bot = {"handle": "mock", "displayName": "mock", "botId": 1, "canUserAccessBot": True}
        data = {"bot": {**bot, "supportsFileUpload": True, "messageTimeoutSecs": 600}}
    elif name == "settingsPageQuery":
        data = {"viewer": {"messagePointInfo": {"messagePointBalance": 1_000_000}}}
    elif name == "subscriptionsMutation":
        data = {"autoSubscribe": {"viewer": {"id": "Vmlld2VyOjA="}}}
    elif name.startswith("cancel") and channel is not None:
        _cancel(channel, variables["chatId"])
        data = {"cancelViewerActiveJobs": {"id": "x"}}
    connection.send(reply(b"application/json", orjson.dumps({"data": data})))
    return None


def _page(request: Request) -> bytes:
    cookie = _COOKIE.search(request.head)
    name = "chan-" + hashlib.sha1(cookie[1] if cookie else b"").hexdigest()
    _channels.setdefault(name, Channel())
    found = {
        "tchannelData": {
            "minSeq": "1",
            "channel": name,
            "channelHash": "hash",
            "boxName": "box",
            "baseHost": "poe.com",
            "targetUrl": "",
        }
    }
    if request.path.startswith(b"/api/settings"):
        return reply(b"application/json", orjson.dumps(found))
    data = orjson.dumps({"buildId": "bench", "props": {"pageProps": found}})
    page = b'<!DOCTYPE html><html><head></head><body><div id="__next"></div>'
    page += b'<script id="__NEXT_DATA__" type="application/json">' + data + b"</script>"
    return reply(b"text/html; charset=utf-8", page + b"</body></html>")


def _begin(connection: Connection, channel: Channel, request: Request) -> None:
    chat = next(_numbers)
    node = {"chatId": chat, "id": "Q2hhdDox", "chatCode": f"code{chat}", "title": None}
    edge = {
        "status": "success",
        "statusMessage": "",
        "failedUrls": [],
        "message": {"node": {"messageId": chat + 1}},
        "chat": node,
        "job": {"id": "x", "jobId": chat},
    }
    connection.send(reply(b"application/json", orjson.dumps({"data": {"messageEdgeCreate": edge}})))
    if channel.connection is not None:
        play = _reply(channel, chat, wanted(request.body))
        channel.plays[chat] = play
        channel.connection.play(play)


def _cancel(channel: Channel, chat: int) -> None:
    play = channel.plays.pop(chat, None)
    if play is not None:
        play.close()
        cancelled = _item("messageCancelled", chat, {"messageId": chat + 2, "state": "cancelled"})
        channel.push(*_split(cancelled), b"")


# ---- what is pushed


def _item(name: str, chat: int, content: dict[str, Any]) -> bytes:
    """Return a frame with one item, up to its number."""
    payload = {
        "unique_id": f"{name}:{chat}",
        "subscription_name": name,
        "data": {name: content},
    }
    item = orjson.dumps({"message_type": "subscriptionUpdate", "payload": payload}).decode()
    return orjson.dumps({"messages": [item], "min_seq": 0}).removesuffix(b"0}")


def _split(frame: bytes) -> tuple[bytes, bytes]:
    """Return what stands before and behind the place of a text."""
    front, _, back = frame.partition(b"@TEXT@")
    return front, back


def _message(chat: int, state: str) -> tuple[bytes, bytes]:
    # Behind the text stands the state, so that who looks for it has the text to pass.
    return _split(
        _item(
            "messageAdded",
            chat,
            {
                "__typename": "Message",
                "id": "TWVzc2FnZTox",
                "messageId": chat + 2,
                "text": "@TEXT@",
                "linkifiedText": "",
                "state": state,
                "author": "mock",
                "creationTime": 1_700_000_000_000_000,
                "clientNonce": None,
                "contentType": "text_markdown",
                "attachments": [],
            },
        )
    )


def _reply(channel: Channel, chat: int, asked: Wanted) -> Play:
    """Push an answer: each frame has all of the text so far."""
    channel.push(_item("jobStarted", chat, {"jobId": chat, "state": "running"}), b"", b"")
    front, back = _message(chat, "incomplete")
    text = bytearray()
    last = asked.pieces - 1
    due = time.monotonic()
    for number in range(1 if asked.form == SILENT else asked.pieces):
        connection = channel.connection
        if number and asked.gap and asked.form in (EACH, GATED):
            if number == 1 and asked.form == GATED:
                yield GATE
                due = time.monotonic()
            due += asked.gap / 1000
            yield due
        elif not asked.gap and asked.form != TOGETHER and connection is not None:
            yield connection if connection.is_full else 0
        if asked.form != PLAIN or number in (0, last):
            text += b"[T%019d]" % time.time_ns()
        text += piece(asked, number)
        if asked.form == TOGETHER and number < last:
            continue
        if channel.push(front, bytes(text), back) is None:
            return
    if asked.form == SILENT:
        yield time.monotonic() + asked.gap / 1000
    front, back = _message(chat, "complete")
    channel.push(front, bytes(text), back)
    channel.push(_item("jobUpdated", chat, {"jobId": chat, "state": "completed"}), b"", b"")
    channel.plays.pop(chat, None)


# ---- the websocket


def _upgrade(connection: Connection, request: Request) -> Play | None:
    key = hashlib.sha1(request.header(b"sec-websocket-key") + _MAGIC).digest()
    connection.send(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + b64encode(key) + b"\r\n\r\n"
    )
    asked = parse_qs(urlsplit(request.path.decode()).query)
    if "prompt" in asked:
        return _flood(connection, wanted(asked["prompt"][0].encode()))
    channel = _channels.setdefault(asked["channel"][0], Channel())
    channel.connection = connection
    connection.read = lambda data: _frames(connection, data)
    return None


def _flood(connection: Connection, asked: Wanted) -> Play:
    """Push one reply to whoever connects, and close: the floor for those who receive it."""
    channel = Channel()
    channel.connection = connection
    yield from _reply(channel, next(_numbers), asked)
    connection.send(_CLOSED)


def _frames(connection: Connection, data: bytes) -> bytes:
    """Answer pings, and drop all else; return what is no whole frame yet."""
    at = 0
    while len(data) - at >= 6:
        size = data[at + 1] & 0x7F
        head = 2
        if size == 126:
            size, head = int.from_bytes(data[at + 2 : at + 4], "big"), 4
        if len(data) - at < head + 4 + size:
            break
        mask = data[at + head : at + head + 4]
        masked = data[at + head + 4 : at + head + 4 + size]
        said = bytes(byte ^ mask[place & 3] for place, byte in enumerate(masked))
        opcode = data[at] & 0x0F
        if opcode == 9:
            connection.send(_frame_head(size, 0x8A) + said)
        elif said == _PING:
            connection.send(_frame_head(15) + b'{"type":"pong"}')
        at += head + 4 + size
    return data[at:]
