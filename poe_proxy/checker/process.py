"""What does one job at a time: it is given jobs, and ends with whoever gives them."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

#: See there for what is said to it, and what it answers.
PROGRAM: Final = Path(__file__).with_name("program.py")
#: Seconds, not only of computing, after which a job is given up.
PATIENCE: Final = 10.0
#: Seconds between two looks whether a process that was killed has ended.
_NEXT_LOOK: Final = 0.005


class Unavailable(Exception):
    """There is no answer, and that is not for what was to be checked."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job."""

    #: As far as they came.
    answers: Sequence[Any] = field(repr=False)
    #: Whether that is all. If it is not, the job took more than it may.
    is_whole: bool
    #: Seconds that it computed, and how many of them after the last answer.
    seconds: float
    after_last: float
    #: Whether it had less than was asked for, because others were waiting or the machine is busy.
    is_cut: bool = False


class Process:
    """A program that checks. One thread at a time gives it a job."""

    def __init__(self, *, patience: float = PATIENCE) -> None:
        """Start it, without waiting for it. Raises `OSError` if that is impossible."""
        self._patience = patience
        ours, theirs = socket.socketpair()
        try:
            with closing(theirs):
                # Not `subprocess`, which forks where gevent has taken its place: a copy of all
                # that the server holds would be prepared, while everybody waits.
                pid = os.posix_spawn(
                    sys.executable,
                    [sys.executable, "-I", str(PROGRAM)],
                    {},
                    file_actions=[
                        (os.POSIX_SPAWN_DUP2, theirs.fileno(), 0),
                        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                        (os.POSIX_SPAWN_DUP2, 1, 2),
                    ],
                    setsid=True,
                )
        except BaseException:
            ours.close()
            raise
        #: The number of its first process, and of the group of all of them.
        self.pid = pid
        self._has_ended = False
        self._socket = ours

    @property
    def is_fit(self) -> bool:
        """Whether it can be given another job."""
        if not self._has_ended:
            try:
                ended, _ = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                ended = self.pid  # somebody else has looked after all that have ended
            self._has_ended = ended != 0
        return not self._has_ended

    def ask(self, job: bytes, seconds: float) -> Outcome:
        """Return what becomes of *job*, which may compute for so many *seconds*.

        Raises `Unavailable` if the program broke down, or did not get anywhere. It has ended then.
        """
        answers: list[Any] = []
        spent = 0.0
        try:
            # 0 would be no limit at all.
            head = b"%f %d\n" % (max(seconds, 0.001), len(job))
            for line in self._talk(head + job):
                if isinstance(line, dict):
                    if line["killed"]:
                        return Outcome(answers, False, seconds, max(0.0, seconds - spent))
                    return Outcome(answers, True, line["seconds"], line["seconds"] - spent)
                answer, spent = line
                answers.append(answer)
        except TimeoutError:
            self.close()
            if answers:
                return Outcome(answers, False, spent, 0.0, is_cut=True)
            raise Unavailable(f"no answer within {self._patience:g} s") from None
        except OSError:
            pass  # it ended before it had read the job
        except BaseException:
            self.close()
            raise
        self.close()
        raise Unavailable("it has ended")

    def _talk(self, message: bytes) -> Iterator[Any]:
        """Send *message* and yield the lines that come back, until the connection ends."""
        end = time.monotonic() + self._patience
        self._socket.settimeout(self._patience)
        self._socket.sendall(message)
        rest = b""
        while True:
            self._socket.settimeout(max(0.001, end - time.monotonic()))
            more = self._socket.recv(65_536)
            if not more:
                return
            *lines, rest = (rest + more).split(b"\n")
            yield from map(orjson.loads, lines)

    def close(self) -> None:
        """End it, whatever it is doing."""
        self._socket.close()
        if not self.is_fit:
            return
        os.killpg(self.pid, signal.SIGKILL)
        end = time.monotonic() + self._patience
        while self.is_fit and time.monotonic() < end:
            time.sleep(_NEXT_LOOK)
