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
        #: The verbs of all that was run.
        self.verbs: list[str] = []
        #: Verbs whose answer is lost at first, so that they are brought once more.
        self.twice: frozenset[str] = frozenset()
        #: Verbs that are done, while whoever calls hears that Redis is away; each once.
        self.unheard: set[str] = set()
        #: With which call from now on the answer is lost, although all was done; 0: with none.
        self.loses = 0

    def call(self, *act: Any) -> Any:
        if self.trouble:
            raise StoreAway(self.trouble)
        waiting, self._waiting = [*self._waiting, act], []
        answer = self._run(waiting)[-1]
        if act[0] in self.unheard:
            self.unheard.remove(act[0])
            raise StoreAway("the answer was lost")
        if self.loses:
            self.loses -= 1
            if not self.loses:
                raise StoreAway("the answer was lost")
        return answer

    def note(self, *act: Any) -> None:
        self._waiting.append(act)
        if not self.trouble:
            waiting, self._waiting = self._waiting, []
            self._run(waiting)

    def hello(self, lives: float = 1e10) -> None:
        """Become a worker that lives for so many seconds."""
        for act in (("hello", {}), ("beat", {"for": lives})):
            assert isinstance(self._done([act]), list)

    def _run(self, acts: list[tuple[Any, ...]]) -> list[Any]:
        if again := [act for act in acts if act[0] in self.twice]:
            self._run_once(again)
        return self._run_once(acts)

    def _run_once(self, acts: list[tuple[Any, ...]]) -> list[Any]:
        self.verbs += [act[0] for act in acts]
        answers = self._done(acts)
        if not isinstance(answers, list):
            self.hello()
            answers = self._done(acts)
        assert not [one for one in answers if one.startswith(b"!")], answers
        return [json.loads(one) for one in answers]

    def _done(self, acts: list[tuple[Any, ...]]) -> Any:
        self._client.set(f"{self._prefix}clock", repr(self._clock()))
        texts = [json.dumps(act) for act in acts]
        return self._script(keys=[self._prefix], args=[self._worker, "", *texts])
