"""The Redis of both hosts: a real server, which each reaches over a line of its own."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator, Sequence

from ...shared.redis_server import RedisServer
from .hosts import Host


class Store(RedisServer):
    """redis-server with a password; without *aof* its memory ends with it."""

    def __init__(self, hosts: Sequence[Host], *, aof: bool = False) -> None:
        self.password = secrets.token_hex(8)
        super().__init__(
            *("--bind", "127.0.0.1", *(host.back.outside for host in hosts)),
            *("--requirepass", self.password),
            *("--appendonly", "yes" if aof else "no"),
        )

    def url_for(self, host: Host) -> str:
        """What `REDIS_URL` is on *host*."""
        return f"redis://:{self.password}@{host.back.outside}:{self.port}"

    def restart(self) -> None:
        """Kill it, and start it with what it has written."""
        self.kill()
        self.start()

    def stand_still(self, seconds: float) -> None:
        """Freeze it for so long."""
        self.freeze()
        try:
            time.sleep(seconds)
        finally:
            self.thaw()

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Have no room for anything meanwhile."""
        self.client.config_set("maxmemory", "1")
        try:
            yield
        finally:
            self.client.config_set("maxmemory", "0")

    def everything(self) -> Iterator[str]:
        """Each key, and all that is in it."""
        ask = self.client
        for key in ask.scan_iter(count=1000):
            match ask.type(key):
                case b"hash":
                    found = ask.hgetall(key)
                case b"zset":
                    found = ask.zrange(key, 0, -1)
                case b"set":
                    found = ask.smembers(key)
                case b"list":
                    found = ask.lrange(key, 0, -1)
                case _:
                    found = ask.get(key)
            yield f"{key!r}: {found!r}\n"
