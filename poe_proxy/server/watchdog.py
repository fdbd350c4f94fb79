"""Who held the worker up: its request is ended, named in the log, and refused for a while.

gunicorn's watchdog sends SIGABRT to a worker that has not moved for `timeout` seconds, and SIGKILL
a second later. Python code can be ended at the first signal: then its request alone fails, and all
others go on. Code in C cannot; then the worker dies, and gunicorn's master reads the flight
recorder. Clients repeat by themselves what got no answer: so the same body is refused from then on.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from types import FrameType
from typing import Final, NoReturn, Protocol

from poe_proxy import flight
from poe_proxy.errors import RequestTooCostly

log = logging.getLogger(__name__)

#: Seconds for which a request that held the worker up is refused.
REFUSED_FOR: Final = 600.0
#: The most of them that are remembered.
_MOST: Final = 1_000
_PACKAGE: Final = "poe_proxy."


class Log(Protocol):
    """gunicorn's log."""

    def error(self, message: str, /, *args: object) -> None: ...


class Worker(Protocol):
    """gunicorn's worker."""

    alive: bool

    @property
    def log(self) -> Log: ...

    def notify(self) -> None:
        """Tell the watchdog that it moves."""


class Offenders:
    """The digests of requests that held the worker up."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: OrderedDict[str, float] = OrderedDict()

    def add(self, digest: str) -> None:
        """Refuse the request with this *digest* for the next ten minutes."""
        self._until[digest] = self._clock() + REFUSED_FOR
        self._until.move_to_end(digest)
        while len(self._until) > _MOST:
            self._until.popitem(last=False)

    def check(self, digest: str) -> None:
        """Raise `RequestTooCostly` for a request that held the worker up."""
        if self._clock() < self._until.get(digest, 0.0):
            raise RequestTooCostly(
                "A request with the same body held up the proxy a moment ago, and is refused for "
                "ten minutes. The log says where it was stuck.",
                param="body",
            )


#: Those of this process; a worker begins with those of the master.
offenders: Final = Offenders()


def digest(body: bytes | bytearray) -> str:
    """Return what a request is known by."""
    return blake2b(body, digest_size=16).hexdigest()


def note_body(body: bytes | bytearray) -> None:
    """Note the body of the request at hand. Raises `RequestTooCostly` if it held the worker up
    lately."""
    noted = flight.current.get()
    known = digest(body)
    if noted is not None:
        flight.current.set(flight.Flight(noted.request_id, noted.route, known))
    offenders.check(known)


def end_stuck_request(worker: Worker, frame: FrameType | None) -> None:
    """End the request at work, within the handler of the signal that came at *frame*.

    Raises `RequestTooCostly` there, and the worker goes on. Returns if no request is at work.
    """
    stuck = flight.current.get()
    if stuck is None:
        return
    _refuse(flight.Note(_place(frame), stuck), worker.log, "It was ended; all others go on.")
    worker.alive = True
    worker.notify()
    _end()


def blame(log: Log) -> None:
    """Note, in the master, what a worker that has died was computing."""
    note = flight.recorder.read()
    flight.recorder.write(None)
    if note is not None:
        _refuse(note, log, "The worker died of it.")


def _refuse(note: flight.Note, log: Log, end: str) -> None:
    who = note.flight
    if who is None:
        log.error("Stuck outside of any request (%s). %s", note.stage, end)
        return
    log.error("Stuck in %s %s (%s). %s", who.request_id, who.route, note.stage, end)
    if who.digest:
        offenders.add(who.digest)


def _end() -> NoReturn:
    raise RequestTooCostly("The request held up the proxy, and was ended.", param="body")


def _place(frame: FrameType | None) -> str:
    """Return the innermost function of ours beneath *frame*."""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith(_PACKAGE):
            return f"{module.removeprefix(_PACKAGE)}.{frame.f_code.co_qualname}"
        frame = frame.f_back
    return "outside of poe_proxy"
