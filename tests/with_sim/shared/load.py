"""Clients by plain HTTP: each asks a host, and notes what it got."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Self, TypedDict, Unpack
from urllib.parse import urlsplit

from ...chaos.clients import said
from ...chaos.dialects import DIALECTS, UNREADABLE, Told
from ..servers import KEY, Proxy, until

#: Seconds without a byte after which an answer counts as lost.
PATIENCE: Final = 90.0
CHAT: Final = DIALECTS["chat"]

#: How an attempt ended. `cut`: the connection broke; `down`: nobody took it; `lost`: nothing more
#: came; empty: it has not.
Outcome = Literal["", "whole", "error", "broke off", "hung up", "cut", "down", "lost", "unreadable"]

_marks = itertools.count(1)


@dataclass(slots=True, kw_only=True)
class Asked:
    """One request of a client, and what came of it."""

    mark: str
    host: int
    model: str
    streams: bool
    expected: str = field(repr=False)
    begun: float = 0.0
    ended: float = float("inf")
    outcome: Outcome = ""
    status: int = 0
    code: str = ""
    message: str = ""
    retry_after: float | None = None
    text: str = field(default="", repr=False)


class AskingOptions(TypedDict, total=False):
    """What may be said of a request besides where it goes and what it asks for."""

    streams: bool
    length: int
    key: str


class LoadOptions(TypedDict, total=False):
    """What may be said of a load."""

    clients: int
    models: Sequence[str]
    words: str
    pause: float
    key: str
    leaves: bool


class Asking:
    """A request under way; its thread reads the answer to its end."""

    def __init__(
        self,
        sites: Sequence[Proxy],
        host: int,
        model: str,
        words: str = "",
        *,
        streams: bool = True,
        length: int = 300,
        key: str = KEY,
    ) -> None:
        mark = f"m{next(_marks)}"
        self.asked = Asked(
            mark=mark, host=host, model=model, streams=streams, expected=said(mark, length)
        )
        self._url = urlsplit(sites[host].url)
        self._words = words
        self._key = key
        self._told = Told()
        self._has_begun = threading.Event()
        self._thread = threading.Thread(target=self._run, name=mark, daemon=True)
        self.client_port = 0
        self._socket: socket.socket | None = None
        self._hangs_up = False

    def start(self) -> Self:
        """Ask, and go on."""
        self._thread.start()
        return self

    def wait_for_words(self, seconds: float = 60.0) -> Self:
        """Return when the bot has said something."""
        assert self._has_begun.wait(seconds), f"no word of an answer: {self.asked}"
        assert self._told.text, f"no word of an answer: {self.asked}"
        return self

    def result(self, seconds: float = PATIENCE + 30) -> Asked:
        """Return what came of it, once it has ended."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"no end: {self.asked}"
        return self.asked

    def hang_up(self) -> None:
        """Leave, whatever is still to come."""
        self._hangs_up = True
        if self._socket is not None:
            # It may have ended by itself.
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    # ---- in its thread

    def _run(self) -> None:
        asked = self.asked
        asked.begun = time.monotonic()
        connection = http.client.HTTPConnection(
            self._url.hostname or "", self._url.port, timeout=PATIENCE
        )
        try:
            self._ask(connection)
        except TimeoutError as broken:
            asked.outcome, asked.message = "lost", repr(broken)
        except ConnectionRefusedError as broken:
            asked.outcome, asked.message = "down", repr(broken)
        except (OSError, http.client.HTTPException) as broken:
            asked.outcome = "hung up" if self._hangs_up else "cut"
            asked.message = repr(broken)
        except UNREADABLE as broken:
            asked.outcome, asked.message = "unreadable", repr(broken)
        finally:
            asked.text = self._told.text
            asked.ended = time.monotonic()
            connection.close()
            self._has_begun.set()

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        asked = self.asked
        words = " ".join(filter(None, [f"!echo !mark={asked.mark}", self._words, asked.expected]))
        body = {"model": asked.model, "stream": asked.streams, **CHAT.body(words)}
        connection.connect()
        self._socket = connection.sock
        self.client_port = connection.sock.getsockname()[1]
        headers = {
            "Authorization": f"Bearer {self._key}",
            "Content-Type": "application/json",
            "Connection": "close",
        }
        connection.request("POST", CHAT.path, json.dumps(body), headers)
        with connection.getresponse() as response:
            asked.status = response.status
            after = response.getheader("Retry-After")
            asked.retry_after = float(after) if after else None
            if response.status != 200:
                CHAT.refusal(json.loads(response.read()), self._told)
            elif asked.streams:
                self._read_stream(response)
            else:
                CHAT.whole(json.loads(response.read()), self._told)
        told = self._told
        asked.code, asked.message = told.code, told.message
        if told.ending == "":
            raise ConnectionResetError("the stream ended without an end")
        if told.ending == "answered":
            is_all = told.reason == CHAT.complete and told.text == asked.expected
            asked.outcome = "whole" if is_all else "unreadable"
            asked.message = "" if is_all else f"{told.reason}: {told.text!r}"
        else:
            asked.outcome = told.ending

    def _read_stream(self, response: http.client.HTTPResponse) -> None:
        read = CHAT.stream(self._told)
        for line in response:
            if line.startswith(b"data: "):
                read(line[len(b"data: ") :].strip().decode())
                if self._told.text:
                    self._has_begun.set()


def ask(
    sites: Sequence[Proxy], host: int, model: str, words: str = "", **more: Unpack[AskingOptions]
) -> Asked:
    """Ask, and return what came of it."""
    return Asking(sites, host, model, words, **more).start().result()


class Load:
    """Clients that ask and ask; half of them at each host, streamed and whole."""

    def __init__(
        self,
        sites: Sequence[Proxy],
        *,
        clients: int = 12,
        models: Sequence[str] = ("by-key",),
        words: str = "!chunks=5 !delay=0.05",
        pause: float = 0.05,
        key: str = KEY,
        leaves: bool = False,
    ) -> None:
        """In the end they wait for their answers, unless they *leave*."""
        self.asked: list[Asked] = []
        self._leaves = leaves
        self._current: dict[int, Asking] = {}
        self._sites, self._models = sites, models
        self._words, self._pause, self._key = words, pause, key
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"client {number}", daemon=True)
            for number in range(clients)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        """Begin nothing new, and return when all that was begun has ended."""
        self._stopping.set()
        if self._leaves:
            for asking in list(self._current.values()):
                asking.hang_up()
        for thread in self._threads:
            thread.join()

    def answered(self) -> int:
        """How many have had a whole answer so far."""
        return sum(one.outcome == "whole" for one in list(self.asked))

    def wait_for(self, more: int) -> None:
        """Return when so many *more* have had a whole answer."""
        answered = self.answered()
        until(lambda: self.answered() >= answered + more)

    def _run(self, number: int) -> None:
        turns = itertools.count(number)
        while not self._stopping.is_set():
            turn = next(turns)
            asking = Asking(
                self._sites,
                number % len(self._sites),
                self._models[turn // 2 % len(self._models)],
                self._words,
                streams=turn % 3 != 0,
                key=self._key,
            )
            self.asked.append(asking.asked)
            self._current[number] = asking
            after = asking.start().result().retry_after
            self._stopping.wait(min(after or self._pause, 1.0))
