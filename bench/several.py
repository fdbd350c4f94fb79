"""The rows of several workers that share a pool in Redis."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench import load
from bench.load import Failed, Target
from bench.measuring import Figures, Size
from bench.peers import Running
from bench.texts import EACH, MARK, SILENT, Wanted

#: A stream that is long enough for somebody else to come into line meanwhile.
_BEFORE: Final = Wanted(5, 20, form=EACH)
_AFTER: Final = Wanted(1, form=EACH)
#: Seconds from a worker's death in which its account has to be lent again.
_MISSED_IN: Final = 40.0


def alone(it: Running, size: Size) -> Figures:
    """Whole answers, one after the other: what the pool adds to the time of one."""
    window = load.closed(it.target, Wanted(), 1, size.seconds(2), streams=False)
    window.check()
    return {"p50": load.median(window.took) * 1000, "p99": load.high(window.took) * 1000}


def redis(it: Running, size: Size) -> Figures:
    """What Redis has to do for whole answers, 16 at a time."""
    assert it.redis is not None
    before = _told(it.redis)
    window = load.closed(it.target, Wanted(), 16, size.seconds(2), streams=False)
    after = _told(it.redis)
    window.check()
    did = {name: after[name] - before[name] for name in after}
    # What was answered before the window, while the load warmed up, is in Redis's figures, too.
    answers = window.done * (1 + 0.3 / window.seconds)
    return {
        "scripts": did["calls"] / answers,
        "cpu": did["cpu"] / answers * 1e6,
        "script": did["usec"] / max(1, did["calls"]),
        "cores": did["cpu"] / (window.seconds + 0.3),
    }


def _told(port: int) -> dict[str, float]:
    """What Redis says that it has done so far."""
    with socket.create_connection(("127.0.0.1", port), 10) as asked:
        asked.sendall(b"INFO commandstats\r\nINFO cpu\r\nQUIT\r\n")
        lines = b"".join(iter(lambda: asked.recv(65536), b"")).decode().splitlines()
    said = dict(line.split(":", 1) for line in lines if ":" in line)
    script = said.get("cmdstat_evalsha", "calls=0,usec=0")
    parts = dict(part.split("=", 1) for part in script.split(","))
    return {
        "calls": float(parts["calls"]),
        "usec": float(parts["usec"]),
        "cpu": float(said["used_cpu_user"]) + float(said["used_cpu_sys"]),
    }


def quarters(it: Running, size: Size) -> Figures:
    """Whole answers where each worker has a quarter of a core: how much more several of them do,
    though the machine has no core for each."""
    workers = len(it.process.pids()) - 1
    with limited(it.process.pids(), workers / 4):
        window = load.closed(
            it.target, Wanted(), 16, size.seconds(4), streams=False, used=it.process.cpu
        )
    window.check()
    return {
        "rate": window.done / window.seconds,
        "cores": window.cpu / window.seconds,
    }


@contextmanager
def limited(pids: Sequence[int], cores: float) -> Iterator[None]:
    """Let the processes have so many *cores* together. Raises `Failed` where it cannot be done."""
    groups = Path("/sys/fs/cgroup")
    # By the first version of control groups, or by the second.
    above = groups / "cpu" if (groups / "cpu").is_dir() else groups
    group = above / f"poe-proxy-bench-{os.getpid()}"
    # A short period, so that nobody is held up for long.
    period = 10_000
    try:
        group.mkdir()
        try:
            if above == groups:
                (group / "cpu.max").write_text(f"{round(cores * period)} {period}")
            else:
                (group / "cpu.cfs_period_us").write_text(str(period))
                (group / "cpu.cfs_quota_us").write_text(str(round(cores * period)))
            for pid in pids:
                (group / "cgroup.procs").write_text(str(pid))
            yield
        finally:
            for pid in pids:
                (above / "cgroup.procs").write_text(str(pid))
            group.rmdir()
    except OSError as failure:
        raise Failed(f"no control group for the CPU: {failure}") from None


def wakes(it: Running, size: Size) -> Figures:
    """From the end of an answer to the first text of the one that waited for its account, at the
    other server, and at the same one."""
    assert it.other is not None
    pairs = max(5, round(60 * min(1.0, size.scale)))
    one, two = it.target, it.other.target
    across = [_woken(*((one, two) if number % 2 else (two, one))) for number in range(pairs)]
    within = [_woken(one, one) for _ in range(pairs)]
    return {
        "p50": load.median(across) * 1000,
        "p99": load.high(across) * 1000,
        "same_p50": load.median(within) * 1000,
        "same_p99": load.high(within) * 1000,
    }


def _woken(first: Target, then: Target) -> float:
    """Return the seconds from the end of an answer of *first* to the first text of one of *then*,
    which was asked for while the other one was under way."""
    leads, follows = _Stream(first, _BEFORE), _Stream(then, _AFTER)
    leads.begin()
    leads.has_text.wait(20)
    follows.begin()
    leads.thread.join(20)
    follows.thread.join(20)
    for stream in (leads, follows):
        if stream.failure or not stream.ended:
            raise Failed(stream.failure or "a stream did not end")
    return follows.first - leads.ended


class _Stream:
    """A stream that is read in a thread of its own, with the times at which it came."""

    def __init__(self, target: Target, wanted: Wanted) -> None:
        self.target, self.wanted = target, wanted
        self.first = self.ended = 0.0
        self.failure = ""
        self.has_text = threading.Event()
        self.thread = threading.Thread(target=self._read, daemon=True)

    def begin(self) -> None:
        """Ask for it."""
        self.thread.start()

    def _read(self) -> None:
        said = b""
        try:
            with socket.create_connection(("127.0.0.1", self.target.port), 30) as connection:
                connection.sendall(self.target.request(self.wanted, streams=True))
                while not said.endswith(b"0\r\n\r\n"):
                    data = connection.recv(65536)
                    if not data:
                        raise Failed(f"it broke off: {said[-200:]!r}")
                    said += data
                    if not self.first and MARK in said:
                        self.first = time.monotonic()
                        self.has_text.set()
                    elif b"\r\n\r\n" in said and not said.startswith(b"HTTP/1.1 200"):
                        raise Failed(repr(said[:300]))
                self.ended = time.monotonic()
        except (OSError, Failed) as failure:
            self.failure = str(failure)
        finally:
            self.has_text.set()


def death(it: Running, _: Size) -> Figures:
    """From `kill -9` of a worker to the first text of who waits for its account elsewhere."""
    assert it.other is not None
    held = load.hold(it.target, [Wanted(1, 60_000, form=SILENT)], 20)
    try:
        if held.failures:
            raise Failed(held.failures[0])
        waits = _Stream(it.other.target, _AFTER)
        waits.begin()
        # It must be in line before the worker dies, and nothing outside says when it is.
        time.sleep(1)
        if waits.first:
            raise Failed("the account was lent twice")
        killed = time.monotonic()
        for pid in it.process.pids()[1:]:
            os.kill(pid, signal.SIGKILL)
        waits.thread.join(_MISSED_IN)
    finally:
        held.close()
    if not waits.first:
        raise Failed(waits.failure or "the account of a dead worker was not lent again")
    return {"seconds": waits.first - killed}
