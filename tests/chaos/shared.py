"""Two servers of two workers each that share a pool in Redis, and are treated as one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .record import Limits
from .servers import Product


class Twins:
    """What a `Product` can do. What ends, is one of the two; what is to be read, both read."""

    def __init__(
        self, folder: Path, code: Path, *, poe_port: int, limits: Limits, redis_url: str
    ) -> None:
        self._both: list[Product] = []
        for name in ("one", "other"):
            (folder / name).mkdir(exist_ok=True)
            self._both.append(
                Product(folder / name, code, poe_port=poe_port, limits=limits, redis_url=redis_url)
            )
        self.urls: Sequence[str] = [one.url for one in self._both]
        self._kills = self._ends = 0

    @property
    def accounts(self) -> tuple[str, ...]:
        """The accounts in their `.env`."""
        return self._both[0].accounts

    def configure(self, accounts: Sequence[str], **more: str) -> None:
        """Write `.env` with these accounts."""
        for one in self._both:
            one.configure(accounts, **more)

    def start(self, grace: int) -> None:
        """Start what does not run, and return when it serves."""
        for one in self._both:
            if not one.is_running:
                one.start(grace)

    def kill(self) -> None:
        """Kill a worker, the next time a whole server, each time one of the other's."""
        number, self._kills = self._kills, self._kills + 1
        victim = self._both[number // 2 % 2]
        if number % 2:
            victim.kill()
        else:
            victim.kill_worker(number // 2)

    def terminate(self) -> None:
        """End one with SIGTERM, and return when it has ended; the next time the other one."""
        self._ends += 1
        self._both[self._ends % 2].terminate()

    def end(self) -> None:
        """End both."""
        for one in self._both:
            one.terminate()

    def reload(self) -> None:
        """SIGHUP: they read their `.env` again."""
        for one in self._both:
            one.reload()

    def stop(self) -> None:
        """End them however they are."""
        for one in self._both:
            one.stop()

    def output(self) -> str:
        """Return what they have printed, in all their lives."""
        return "".join(one.output() for one in self._both)
