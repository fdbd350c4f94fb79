"""The flight recorder: which request the worker computes for, readable when the worker is dead.

Computing holds the worker: nobody else has a turn until it is over. Should that last for ever, the
watchdog kills the worker, and a dead worker cannot say which request it was. So it is written down
at each stretch of computing, into memory that gunicorn's master shares. Nothing of what a request
says is in there.
"""

from __future__ import annotations

import mmap
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

import orjson

from poe_proxy.values import value


@dataclass(slots=True)
class Flight:
    """A request, as it is noted."""

    request_id: str
    #: Method and path pattern, such as `POST /v1/chat/completions`.
    route: str
    #: A digest of its body; empty until that is read.
    digest: str = ""


#: The request that this thread (under gevent: this greenlet) serves.
current: Final[ContextVar[Flight | None]] = ContextVar("flight", default=None)


@value()
class Note:
    """What was being computed, and for which request; None for work that belongs to no request."""

    stage: str
    flight: Flight | None


#: The length of no note.
_NOTHING: Final = bytes(2)


class Recorder:
    """One note, in memory that is shared with every process that is forked from this one."""

    _SIZE: Final = 1024

    def __init__(self, memory: mmap.mmap | None = None) -> None:
        self._memory = mmap.mmap(-1, self._SIZE) if memory is None else memory

    def begin_anew(self) -> Recorder:
        """Write to fresh memory from now on, for the process that is forked next: those before it
        go on with theirs. Return what reads this one, whatever is begun later."""
        self._memory = mmap.mmap(-1, self._SIZE)
        return Recorder(self._memory)

    def write(self, note: Note | None) -> None:
        """Put *note* in place of the last one; None: nothing is being computed."""
        if note is None:
            self._memory[:2] = _NOTHING
            return
        about = note.flight
        if about is None:
            text = orjson.dumps((note.stage,))
        else:
            text = orjson.dumps((note.stage, about.request_id, about.route, about.digest))
        length = len(text)
        if length > self._SIZE - 2:  # no stage or route of ours is that long
            length, text = 0, b""
        self._memory[: 2 + length] = length.to_bytes(2, "big") + text

    def read(self) -> Note | None:
        """Return the last note; None if nothing was being computed, or if it was torn by a kill."""
        length = int.from_bytes(self._memory[:2], "big")
        if not length:
            return None
        try:
            stage, *about = orjson.loads(self._memory[2 : 2 + length])
            return Note(stage, Flight(*about) if about else None)
        except (TypeError, ValueError):
            return None


#: The recorder of this process; gunicorn's master begins it anew before it forks a worker.
recorder: Final = Recorder()
