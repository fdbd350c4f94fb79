"""Processes that are measured: started on cores of their own, with CPU and memory to read."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

ROOT: Final = Path(__file__).parents[1]
_TICKS: Final = os.sysconf("SC_CLK_TCK")
#: What would lead a server to other ports, accounts or proxies than those that it is told.
_NOT_PASSED_ON: Final = (
    *("HOST", "PORT", "AUTHKEY", "TOKENS", "TOKENS_FILE", "TOKENS_CONFIG", "POE_API_KEYS", "PROXY"),
    *("REDIS_URL", "REDIS_URL_FILE", "REDIS_POOL"),
    *("STATE_FILE", "LOG_LEVEL", "WEB_CONCURRENCY", "GUNICORN_CMD_ARGS", "PYTHONHASHSEED"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "OPENAI_API_KEY", "OPENAI_BASE_URL"),
    "PYTHONDONTWRITEBYTECODE",
)

_ALL: Final = sorted(os.sched_getaffinity(0))
ALL: Final = set(_ALL)
#: The core of the server that is measured, and those of the mock and the load. With one core only,
#: it is shared, and figures say little.
SERVER: Final = set(_ALL[:1])
OTHERS: Final = set(_ALL[1:2] or _ALL)


def free_port() -> int:
    """Return a port that is free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def accepts(port: int) -> bool:
    """Return whether somebody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


class Process:
    """A server, with all of its processes."""

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        cores: set[int],
        folder: Path | str = ROOT,
    ) -> None:
        """Start it on the *cores*."""
        self.began = time.monotonic()
        self._log = tempfile.TemporaryFile("w+")
        kept = {
            name: value for name, value in os.environ.items() if name.upper() not in _NOT_PASSED_ON
        }
        ours = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cores)  # a child has those of its parent
        try:
            self._process = subprocess.Popen(
                list(command),
                cwd=folder,
                env={**kept, "NO_PROXY": "127.0.0.1", "PYTHONUNBUFFERED": "1", **environ},
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        finally:
            os.sched_setaffinity(0, ours)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def log(self) -> str:
        """Return the end of what it has said."""
        self._log.seek(0)
        return self._log.read()[-600:]

    def pids(self) -> list[int]:
        """Return its processes, the first one first."""
        found = [self._process.pid]
        for pid in found:
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                try:
                    found += [int(child) for child in children.read_text().split()]
                except OSError:
                    continue  # that thread has ended
        return found

    def cpu(self) -> float:
        """Return the CPU seconds used so far, user and system."""
        ticks = 0
        for pid in self.pids():
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            ticks += int(fields[11]) + int(fields[12])
        return ticks / _TICKS

    def memory(self) -> float:
        """Return the MB that would be free without it (PSS)."""
        kilobytes = 0
        for pid in self.pids():
            try:
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            except OSError:
                continue
            kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return kilobytes / 1024

    def stop(self) -> None:
        """End it, and wait until it has ended."""
        for number, patience in ((signal.SIGTERM, 3), (signal.SIGKILL, 10)):
            if self.is_running:
                os.killpg(self._process.pid, number)
                try:
                    self._process.wait(patience)
                except subprocess.TimeoutExpired:
                    continue
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.stop()
