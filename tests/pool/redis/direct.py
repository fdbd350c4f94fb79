"""The shortest way to the script, on a clock that is moved by hand."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from typing import Any
from unittest import mock

import fakeredis
import redis

from poe_proxy.shared import script

from ...shared.direct import CLOCK

_pools = count(1)


class Direct:
    """Calls the script for one worker, at the moment that *clock* shows.

    Where Redis is real, the script has a first line of the test's; where it is not, the script is
    that of the product, and Redis has the clock.
    """

    def __init__(
        self, client: redis.Redis, clock: Callable[[], float], worker: str = "", pool: str = ""
    ) -> None:
        """Without a *pool*, it is a new one."""
        self.pool = pool or f"test-{next(_pools)}"
        self.prefix = f"poe:{{{self.pool}}}:2:"
        self.client = client
        self.worker = worker
        self._clock = clock
        self._is_fake = isinstance(client, fakeredis.FakeRedis)
        self._sha = client.script_load(script.text() if self._is_fake else script.text(CLOCK))
        self._lock = threading.Lock()

    def other(self, worker: str) -> Direct:
        """The same pool as another worker sees it."""
        return Direct(self.client, self._clock, worker, self.pool)

    def call(self, *act: Any) -> Any:
        """Return what the script answers to one act."""
        (answer,) = self.run(act)
        return answer

    def run(self, *acts: Any) -> list[Any]:
        """Return what the script answers to acts that come together."""
        told = [json.dumps(act) for act in acts]
        with self._lock, self.moment():
            if not self._is_fake:
                self.client.set(f"{self.prefix}clock", f"{self._clock():.17g}")
            answers: Any = self.client.evalsha(self._sha, 1, self.prefix, self.worker, "", *told)
        if isinstance(answers, bytes):
            # It is introduced, and does not die.
            self.client.hset(f"{self.prefix}epoch", mapping={"id": "e1", "began": "0"})
            self.client.zadd(f"{self.prefix}workers", {self.worker: 1e18})
            return self.run(*acts)
        return [json.loads(answer) for answer in answers]

    def keys(self) -> set[str]:
        """Return the keys of the pool, without what all of them begin with."""
        with self.moment():
            keys: Any = self.client.keys("poe:*")
        names = {key.decode() for key in keys if key.decode().startswith(self.prefix)}
        return {name.removeprefix(self.prefix) for name in names} - {"clock"}

    def day_uses(self) -> dict[str, int]:
        """Return what was used on the days that are counted, by account."""
        found: dict[str, int] = {}
        for key in self.keys():
            if key.startswith("day:"):
                with self.moment():
                    days: Any = self.client.hgetall(self.prefix + key)
                found.update({name.decode(): int(uses) for name, uses in days.items()})
        return found

    def moment(self) -> AbstractContextManager[object]:
        """A while in which Redis has the clock of the test, and forgets by it."""
        return mock.patch("time.time", self._clock) if self._is_fake else nullcontext()


def fake(clock: Callable[[], float], worker: str = "") -> Direct:
    """The script on a Redis in this process."""
    return Direct(fakeredis.FakeRedis(), clock, worker)
