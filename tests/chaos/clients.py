"""The clients: patient ones, those that hang up, slow readers, bursts; whole and streamed, in each
of the APIs.

What a client does is drawn from its own generator: one seed, one sequence of requests.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from .dialects import DIALECTS, UNREADABLE, Told
from .faults import TROUBLES, Trouble
from .record import Attempt, Record
from .servers import AUTH_KEYS

#: Seconds without a byte after which an answer counts as lost.
PATIENCE: Final = 75.0
#: How often a patient client comes back after a 429. Others ask for something else.
RETURNS: Final = 4

Sort = Literal["patient", "hanging up", "slow", "burst"]
SORTS: Final[tuple[Sort, ...]] = (
    "patient",
    "hanging up",
    "slow",
    "hanging up",
    "burst",
    "hanging up",
    "patient",
    "hanging up",
)
_MODELS: Final = ("by-cookie", "by-cookie", "by-key", "GPT-4o")
#: Characters of a long answer: in tokens fewer than any bot of the stand-in's may write, since one
#: API always says how many there may be.
_LONG: Final = 15_000
#: A reply that goes on for minutes, if it is not stopped.
_ENDLESS: Final = ("!hang", "!delay=0.4 !chunks=400")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a client asks for, and how it behaves meanwhile."""

    #: A name of `DIALECTS`.
    api: str
    model: str
    streams: bool
    words: str
    length: int
    trouble: Trouble | None = None
    #: Seconds after which it hangs up; None: it does not.
    hangs_up: float | None = None
    #: Characters of a stream after which it hangs up.
    leaves_after: int | None = None
    #: It sends only a part of its request before it hangs up.
    is_cut_short: bool = False
    #: Bytes that it reads at a time, with a pause.
    sip: int = 0


class Clients:
    """So many threads, each a client that asks and asks until it is stopped."""

    def __init__(self, record: Record, urls: Sequence[str], seed: int, count: int) -> None:
        self._record = record
        self._urls = urls
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._run,
                args=(number, SORTS[number % len(SORTS)], random.Random(f"{seed}/{number}")),
                name=f"client {number}",
                daemon=True,
            )
            for number in range(count)
        ]

    def start(self) -> None:
        """Begin to ask."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Begin nothing new, and return when all that was begun has ended."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int, sort: Sort, rng: random.Random) -> None:
        key = AUTH_KEYS[number % len(AUTH_KEYS)]
        name = f"c{number}"
        self._stopping.wait(rng.uniform(0, 1))
        while not self._stopping.is_set():
            if sort == "burst":
                wishes = [draw(rng, "patient") for _ in range(rng.randint(4, 9))]
                together = [
                    threading.Thread(target=self._ask, args=(f"{name}-{n}", key, wish))
                    for n, wish in enumerate(wishes)
                ]
                for thread in together:
                    thread.start()
                for thread in together:
                    thread.join()
                self._stopping.wait(rng.uniform(2, 6))
            else:
                self._ask(name, key, draw(rng, sort), returns=RETURNS * (sort == "patient"))
                self._stopping.wait(rng.uniform(0, 1.5))

    def _ask(self, name: str, key: str, wish: Wish, *, returns: int = 0) -> None:
        """Ask; *returns* is how often a client comes back when `Retry-After` has passed."""
        for number in range(1 + returns):
            attempt = self._record.begin(name, wish.api, wish.model, streams=wish.streams)
            attempt.returns = number > 0
            Asking(attempt, wish, self._urls[number % len(self._urls)], key).run()
            if attempt.outcome == "down":
                self._stopping.wait(2.0)
            if attempt.outcome != "refused" or attempt.retry_after is None:
                return
            if number < returns and self._stopping.wait(attempt.retry_after):
                return


def draw(rng: random.Random, sort: Sort) -> Wish:
    """Return the next wish of a client of this sort."""
    api = rng.choice(list(DIALECTS))
    model = rng.choice(_MODELS)
    streams = rng.random() < 0.6
    length = rng.choice((40, 300, 300, 2_000, 8_000))
    words = f"!chunks={rng.randint(1, 20)} !delay={rng.choice((0, 0.01, 0.05, 0.1))}"
    trouble = None
    if rng.random() < 0.5:
        faces = ("by-cookie", "by-key") if model == "GPT-4o" else (model,)
        # In a pool of both kinds a prompt's trouble is that of the face that it meets.
        trouble = rng.choice(TROUBLES[rng.choice(faces)])
    if sort == "hanging up":
        if rng.random() < 0.6:
            words, trouble = rng.choice(_ENDLESS), None
        times = (0.0, rng.uniform(0, 0.3), rng.uniform(0.3, 2), rng.uniform(2, 5), None, None, None)
        seconds = rng.choice(times)
        return Wish(
            api=api,
            model="by-cookie" if rng.random() < 0.5 else model,
            # Without a time it leaves when the bot has begun, which only a stream shows.
            streams=streams or seconds is None,
            words=words,
            length=2_000,
            trouble=trouble,
            hangs_up=seconds,
            leaves_after=rng.randint(1, 60) if seconds is None else None,
            is_cut_short=rng.random() < 0.1,
        )
    if sort == "slow":
        return Wish(
            api=api,
            model=model,
            streams=True,
            words=words,
            length=_LONG,
            trouble=trouble,
            sip=rng.choice((200, 1_000, 4_000)),
        )
    return Wish(api=api, model=model, streams=streams, words=words, length=length, trouble=trouble)


def said(mark: str, length: int) -> str:
    """Return *length* characters that no other mark has: cut, doubled or mixed, they show it."""
    head, tail = f"[{mark} of {length}]", f"[end of {mark}]"
    pieces, size, number = [head], len(head) + len(tail), 0
    while size < length:
        number += 1
        piece = f" {mark}:{number}"
        pieces.append(piece)
        size += len(piece)
    return "".join(pieces) + tail


class Asking:
    """One attempt on the wire."""

    def __init__(self, attempt: Attempt, wish: Wish, url: str, key: str) -> None:
        self._attempt = attempt
        self._wish = wish
        self._key = key
        self._dialect = DIALECTS[wish.api]
        self._told = Told()
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._has_hung_up = False
        self._has_ended = threading.Event()
        self._socket: socket.socket | None = None

    def run(self) -> None:
        """Ask, read the answer to its end, and note what came."""
        attempt, wish = self._attempt, self._wish
        attempt.expected = said(attempt.mark, wish.length)
        if wish.trouble is not None:
            attempt.trouble, attempt.explains = wish.trouble.words, wish.trouble.explains
            attempt.shortens = wish.trouble.shortens
        with contextlib.ExitStack() as stack:
            try:
                self._ask(stack)
            except (OSError, http.client.HTTPException) as broken:
                self._note_broken(broken)
            finally:
                self._has_ended.set()
                attempt.ended = time.monotonic()

    def _note_broken(self, broken: Exception) -> None:
        attempt = self._attempt
        attempt.message = f"{type(broken).__name__}: {broken}"
        if self._has_hung_up:
            attempt.outcome = "hung up"
        elif isinstance(broken, ConnectionRefusedError):
            attempt.outcome = "down"
        elif isinstance(broken, TimeoutError):
            attempt.outcome = "lost"
        else:
            attempt.outcome = "cut"

    def _ask(self, stack: contextlib.ExitStack) -> None:
        wish = self._wish
        dialect = self._dialect
        body = self._body()
        connection = http.client.HTTPConnection(self._host, self._port, timeout=PATIENCE)
        connection.connect()
        # The connection gives its socket away once the answer has begun.
        self._socket = stack.enter_context(connection.sock)
        if wish.sip:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.putrequest("POST", dialect.path)
        name, scheme = dialect.key
        connection.putheader(name, scheme + self._key)
        for name, value in dialect.headers.items():
            connection.putheader(name, value)
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(len(body)))
        connection.putheader("Connection", "close")
        connection.endheaders()
        if wish.is_cut_short:
            connection.send(body[: len(body) // 2])
            self._has_hung_up = True
            raise ConnectionAbortedError("the client sends no more")
        if wish.hangs_up is not None:
            threading.Thread(target=self._hang_up, args=(wish.hangs_up,), daemon=True).start()
        connection.send(body)
        response = stack.enter_context(connection.getresponse())
        self._attempt.status = response.status
        self._attempt.request_id = response.getheader("x-request-id") or ""
        if response.status != 200:
            self._read_refusal(response)
        elif self._wish.streams:
            self._read_stream(response)
        else:
            self._read_whole(response)

    def _body(self) -> bytes:
        attempt, wish = self._attempt, self._wish
        words = [f"!echo !mark={attempt.mark}", wish.words, attempt.trouble, attempt.expected]
        asked = self._dialect.body(" ".join(filter(None, words)))
        return json.dumps({"model": wish.model, "stream": wish.streams, **asked}).encode()

    def _hang_up(self, seconds: float) -> None:
        if not self._has_ended.wait(seconds):
            self._leave()

    def _leave_after(self, size: int) -> None:
        most = self._wish.leaves_after
        if most is not None and size >= most:
            self._leave()
            raise ConnectionAbortedError("the client has read enough")

    def _leave(self) -> None:
        """Hang up, without waiting for anything that is still on its way."""
        self._has_hung_up = True
        assert self._socket is not None
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _read_refusal(self, response: http.client.HTTPResponse) -> None:
        attempt = self._attempt
        given = response.getheader("Retry-After")
        attempt.retry_after = float(given) if given else None
        attempt.may_retry = response.getheader("x-should-retry") or ""
        body = response.read()
        try:
            self._dialect.refusal(json.loads(body), self._told)
        except UNREADABLE:
            attempt.malformed = f"a {response.status} that is no error object: {body[:200]!r}"
        self._note_end()
        # Of all failures with this status, in each API, only one has another code.
        if response.status == 429 and attempt.code in ("", "rate_limit_exceeded"):
            attempt.outcome = "refused"

    def _read_whole(self, response: http.client.HTTPResponse) -> None:
        body = response.read()
        try:
            self._dialect.whole(json.loads(body), self._told)
        except UNREADABLE:
            self._attempt.malformed = f"a 200 that is no answer: {body[:200]!r}"
        self._note_end()

    def _read_stream(self, response: http.client.HTTPResponse) -> None:
        told = self._told
        read = self._dialect.stream(told)
        try:
            for data in self._frames(response):
                read(data)
                if told.ending:
                    self._note_end()
                    return
                self._leave_after(sum(map(len, told.texts)))
        except UNREADABLE as bad:
            self._attempt.malformed = f"a frame that cannot be read: {bad!r}"
        finally:
            self._attempt.text = told.text
        raise ConnectionResetError("the stream ended without an end")

    def _note_end(self) -> None:
        attempt, told = self._attempt, self._told
        attempt.text, attempt.code, attempt.message = told.text, told.code, told.message
        attempt.outcome = told.ending or "error"
        if told.ending == "answered" and told.reason != self._dialect.complete:
            attempt.malformed = f"the answer ended with {told.reason!r}"

    def _frames(self, response: http.client.HTTPResponse) -> Iterator[str]:
        for line in self._lines(response):
            if line.startswith("data: "):
                yield line[len("data: ") :]

    def _lines(self, response: http.client.HTTPResponse) -> Iterator[str]:
        read: Callable[[int], bytes] = response.read1
        buffered = b""
        while data := read(self._wish.sip or 65536):
            *lines, buffered = (buffered + data).split(b"\n")
            for line in lines:
                yield line.decode("utf-8")
            if self._wish.sip:
                time.sleep(0.02)
