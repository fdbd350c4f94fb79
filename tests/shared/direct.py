"""Acts of the script, called one by one on a clock of the test's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import redis

from poe_proxy.shared import script
from poe_proxy.shared.calling import StoreAway

#: How the script reads that clock.
CLOCK = 'local now = tonumber(redis.call("GET", KEYS[1] .. "clock"))'


class Direct:
    """A worker of a pool that has the test's own time."""

    def __init__(
        self,
        client: redis.Redis,
        clock: Callable[[], float],
        *,
        worker: str = "w1",
        pool: str = "test",
    ) -> None:
        self._client, self._clock = client, clock
        self._worker = worker
        self._prefix = f"poe:{{{pool}}}:2:"
        self._script = client.register_script(script.text(CLOCK))
        #: Why Redis is away; with words here nobody comes through.
        self.trouble = ""
        self._waiting: list[tuple[Any, ...]] = []

    def call(self, *act: Any) -> Any:
        if self.trouble:
            raise StoreAway(self.trouble)
        waiting, self._waiting = [*self._waiting, act], []
        return self._run(waiting)[-1]

    def note(self, *act: Any) -> None:
        self._waiting.append(act)
        if not self.trouble:
            waiting, self._waiting = self._waiting, []
            self._run(waiting)

    def _run(self, acts: list[tuple[Any, ...]]) -> list[Any]:
        self._client.set(f"{self._prefix}clock", repr(self._clock()))
        texts = [json.dumps(act) for act in acts]
        answers: Any = self._script(keys=[self._prefix], args=[self._worker, "", *texts])
        if isinstance(answers, bytes):
            # It is introduced, and does not die.
            self._client.hset(f"{self._prefix}epoch", mapping={"id": "e1", "began": "0"})
            self._client.zadd(f"{self._prefix}workers", {self._worker: 1e18})
            return self._run(acts)
        return [json.loads(one) for one in answers]
