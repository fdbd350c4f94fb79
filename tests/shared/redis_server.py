"""A real redis-server for tests: started on a port of its own, stopped at the end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import redis

#: Seconds in which it has started, or never will.
_STARTS_IN: Final = 30.0


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind((host, 0))
        return int(listener.getsockname()[1])


class RedisServer:
    """One redis-server. Its data survive `stop` and `start` where *options* say so."""

    def __init__(
        self, *options: str, host: str = "127.0.0.1", prefix: tuple[str, ...] = ()
    ) -> None:
        """*options* are as on its command line, such as `--appendonly yes`, each word by itself;
        *prefix* are the words before the command, such as those of `ip netns exec`."""
        self.host = host
        self.port = free_port()
        self._options = options
        self._prefix = prefix
        self._folder = Path(tempfile.mkdtemp(prefix="redis-"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Where it is, as `REDIS_URL` has it; without a password."""
        return f"redis://{self.host}:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._process is not None, "it does not run"
        return self._process.pid

    @cached_property
    def client(self) -> redis.Redis:
        """A client of the test's own, on a socket of which no act of the product knows: also
        where the server has a password."""
        return redis.Redis(unix_socket_path=str(self._folder / "socket"), **self._password)

    @property
    def _password(self) -> dict[str, str]:
        words = self._options
        return (
            {"password": words[words.index("--requirepass") + 1]}
            if "--requirepass" in words
            else {}
        )

    @property
    def log(self) -> str:
        """What it has said so far."""
        return (self._folder / "log").read_text("utf-8", "replace")

    def start(self) -> None:
        """Start it, and return once it answers."""
        assert self._process is None, "it runs"
        command = (
            *self._prefix,
            *("redis-server", "--bind", self.host, "--port", str(self.port)),
            *("--unixsocket", str(self._folder / "socket"), "--dir", str(self._folder)),
            *("--save", "", "--protected-mode", "no", *self._options),
        )
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder)
        end = time.monotonic() + _STARTS_IN
        while True:
            try:
                self.client.ping()
                return
            except redis.RedisError:
                assert self._process.poll() is None, f"it did not start:\n{self.log}"
                assert time.monotonic() < end, f"not in time:\n{self.log}"
                time.sleep(0.02)

    def stop(self) -> None:
        """Stop it in good order: what it is to keep is on the disk."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Stop it at once, whatever it does."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Let it do nothing until `thaw`."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """End it and delete what it has kept."""
        if self._process is not None:
            self.kill()
        if "client" in self.__dict__:
            self.client.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end(self, how: signal.Signals) -> None:
        assert self._process is not None, "it does not run"
        self._process.send_signal(signal.SIGCONT)
        self._process.send_signal(how)
        self._process.wait(_STARTS_IN)
        self._process = None
