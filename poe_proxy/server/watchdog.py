"""Who held the worker up: its request is ended, named in the log, and refused for a while.

gunicorn's watchdog sends SIGABRT to a worker that has not moved for `timeout` seconds, and SIGKILL
a second later. Python code can be ended at the first signal: then its request alone fails, and all
others go on. Code in C cannot; then the worker dies, and gunicorn's master reads the flight
recorder. Clients repeat by themselves what got no answer: so the same body is refused from then on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from hashlib import blake2b
from types import FrameType
from typing import Final, NoReturn, Protocol

from poe_proxy import flight
from poe_proxy.digests import SharedDigests
from poe_proxy.errors import RequestTooCostly

log = logging.getLogger(__name__)

#: Seconds for which a request that held the worker up is refused.
REFUSED_FOR: Final = 600.0
#: The most of them that are remembered.
MOST: Final = 1_000
_PACKAGE: Final = "poe_proxy."
#: Bytes of a body that are looked at at a time: a millisecond or two.
AT_ONCE: Final = 1_000_000


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


#: The digests of the requests that did so. All workers of a master share them: else a client that
#: tries again would kill one after the other.
offenders: Final = SharedDigests(REFUSED_FOR, MOST)


def digest(body: bytes | bytearray, breathe: Callable[[], None] = lambda: None) -> str:
    """Return what a request is known by; *breathe* is called in between."""
    if len(body) <= AT_ONCE:
        return blake2b(body, digest_size=16).hexdigest()
    hashing = blake2b(digest_size=16)
    whole = memoryview(body)
    for start in range(0, len(whole), AT_ONCE):
        hashing.update(whole[start : start + AT_ONCE])
        breathe()
    return hashing.hexdigest()


def note_body(body: bytes | bytearray, breathe: Callable[[], None] = lambda: None) -> None:
    """Note the body of the request at hand; *breathe* is called in between. Raises
    `RequestTooCostly` if it held the worker up lately."""
    noted = flight.current.get()
    known = digest(body, breathe)
    if noted is not None:
        noted.digest = known
    if known in offenders:
        raise RequestTooCostly(
            "A request with the same body held up the proxy a moment ago, and is refused for ten "
            "minutes. The log says where it was stuck.",
            param="body",
        )


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


def blame(log: Log, recorder: flight.Recorder) -> None:
    """Note, in the master, what a worker that has died was computing, as its *recorder* says."""
    note = recorder.read()
    recorder.write(None)
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
