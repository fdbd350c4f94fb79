"""The servers that are measured, each a process with CPU and memory that can be read."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import requests

ROOT = Path(__file__).parents[1]
_TICKS = os.sysconf("SC_CLK_TCK")


def cores() -> tuple[set[int], set[int]]:
    """Return the cores for the proxy, and those for the stand-in and the load."""
    all_of_them = sorted(os.sched_getaffinity(0))
    if len(all_of_them) == 1:
        return set(all_of_them), set(all_of_them)
    return set(all_of_them[:1]), set(all_of_them[1:])


class Process:
    """A server: started, waited for, measured, ended."""

    def __init__(
        self, command: Sequence[str], environ: Mapping[str, str], on: set[int], url: str
    ) -> None:
        self.url = url
        self.log = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, **environ},
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        os.sched_setaffinity(self._process.pid, on)

    def wait_for(self, path: str) -> Self:
        """Wait until it answers."""
        end = time.monotonic() + 30
        while time.monotonic() < end and self._process.poll() is None:
            try:
                requests.get(self.url + path, timeout=2)
            except (requests.ConnectionError, requests.Timeout):
                time.sleep(0.05)
            else:
                return self
        self.log.seek(0)
        raise RuntimeError(f"{self.url} does not answer:\n{self.log.read()}")

    def _pids(self) -> list[int]:
        found = [self._process.pid]
        for pid in found:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            found += [int(child) for child in children]
        return found

    def cpu(self) -> float:
        """Return the CPU seconds used so far, user and system, by it and its workers."""
        ticks = 0
        for pid in self._pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / _TICKS

    def memory(self) -> float:
        """Return the MB of its own: heaps and stacks, counted once where its processes share them.

        Mapped files are left out: their share falls when any other program maps the same library.
        """
        kilobytes = 0
        for pid in self._pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss_Anon:"):
                    kilobytes += int(line.split()[1])
        return kilobytes / 1024

    def stop(self) -> None:
        """End it, and wait until it has ended."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.stop()


def free_port() -> int:
    """Return a port that is free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def stand_in(tokens: Sequence[str], keys: Sequence[str]) -> Process:
    """Start `poe_sim`, as fast as it goes, with room for every reply at once."""
    port = free_port()
    process = Process(
        [
            *("-m", "poe_sim", "--port", str(port), "--quiet", "--pace", "0"),
            *("--tokens", ",".join(tokens), "--api-keys", ",".join(keys)),
            *("--max-concurrent", "100000", "--points", "1000000000"),
        ],
        {},
        cores()[1],
        f"http://127.0.0.1:{port}",
    ).wait_for("/api/ping")
    requests.post(f"{process.url}/__control_api", json={"rate_limit": 0}, timeout=10)
    return process


def proxy(poe: str, key: str, credentials: Mapping[str, str]) -> Process:
    """Start gunicorn with the real configuration, and limits that are never reached."""
    port = free_port()
    environ = {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "AuthKey": key,
        "POE_WEB_URL": poe,
        "POE_WS_URL": poe.replace("http", "ws", 1),
        "POE_API_URL": poe,
        "COOL_DOWN": "0",
        "RATE_LIMIT": "0",
        "API_RATE_LIMIT": "0",
        "TOKEN_CONCURRENCY": "1000",
        "API_CONCURRENCY": "1000",
        "LOG_LEVEL": "WARNING",
        **credentials,
    }
    return Process(
        ["-m", "gunicorn", "wsgi:app"], environ, cores()[0], f"http://127.0.0.1:{port}"
    ).wait_for("/health")
