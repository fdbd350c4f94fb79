"""Workers that share a pool in a Redis of the test's own, one step after the other.

There are no threads: what a worker notes is there at once, and messages arrive when the test says
so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Any, Final
from unittest import mock

import fakeredis
import redis

from poe_proxy.pool.line.alarm import Alarm
from poe_proxy.pool.redis.rotator import SharedRotator
from poe_proxy.pool.rotator import Token
from poe_proxy.shared import script
from poe_proxy.shared.calling import StoreAway
from poe_proxy.shared.presence import Presence

from ...fakes import Clock
from ...shared.direct import CLOCK

_pools = count(1)
#: The script where Redis is real, and the clock is the test's.
_ON_OUR_CLOCK: Final = script.text(CLOCK)


class Hand:
    """A courier that goes at once, itself."""

    def __init__(
        self, client: redis.Redis, prefix: str, clock: Callable[[], float], worker: str
    ) -> None:
        self.on_back: list[Callable[[], object]] = []
        self.introduce: Callable[[], object] | None = None
        self.returned: Callable[[], object] | None = None
        self.epoch = ""
        #: Why Redis is away; empty: it is there.
        self.trouble = ""
        #: How many of the next leases that ask are served although they never hear of it.
        self.loses = 0
        #: Whether one was lost since this was set.
        self.has_lost = False
        #: What was asked for, in order.
        self.verbs: list[str] = []
        self._client = client
        self._prefix = prefix
        self._clock = clock
        self._worker = worker
        self._is_fake = isinstance(client, fakeredis.FakeRedis)
        self._script = client.register_script(script.text() if self._is_fake else _ON_OUR_CLOCK)
        self._kept: list[str] = []
        self._introduces = False

    def call(self, *act: Any) -> Any:
        if self.trouble:
            raise StoreAway(self.trouble)
        answer = self._done(json.dumps(act))
        if self.loses and act[0] in ("join", "use") and not self._introduces:
            self.loses -= 1
            self.has_lost = True
            raise StoreAway("the answer was lost")
        return answer

    def note(self, *act: Any) -> None:
        self._kept.append(json.dumps(act))
        if not self.trouble and not self._introduces:
            self._bring()

    def back(self) -> None:
        """Redis is back."""
        self.trouble = ""
        if self.returned is not None:
            self.returned()
        self._bring()
        for tell in self.on_back:
            tell()

    def _bring(self) -> None:
        kept, self._kept = self._kept, []
        for act in kept:
            self._done(act)

    def _done(self, act: str) -> Any:
        self.verbs.append(json.loads(act)[0])
        answers = self._run(act)
        if isinstance(answers, bytes):
            assert not self._introduces, answers
            assert self.introduce is not None
            self._introduces = True
            try:
                self.introduce()
            finally:
                self._introduces = False
            self._bring()
            return self._done(act)
        assert not answers[0].startswith(b"!"), (act, answers[0])
        return json.loads(answers[0])

    def _run(self, act: str) -> Any:
        about = {"keys": [self._prefix], "args": [self._worker, self.epoch, act]}
        if self._is_fake:
            with mock.patch("time.time", self._clock):
                return self._script(**about)
        self._client.set(f"{self._prefix}clock", f"{self._clock():.17g}")
        return self._script(**about)


class Ear:
    """Hears nothing by itself."""

    def subscribe(self, channels: Iterable[str]) -> None: ...
    def next(self) -> bytes | None:
        return None

    def close(self) -> None: ...


class StillAlarm(Alarm):
    """Never rings: it is looked when the test says so."""

    def __init__(self) -> None:
        super().__init__(lambda: None, name="still")
        #: The seconds that it was set to.
        self.asked: list[float] = []

    def set(self, seconds: float) -> None:
        self.asked.append(seconds)


class Worker:
    """One worker."""

    def __init__(self, pool: Pool, name: str, tokens: Iterable[Token[Any]], **options: Any) -> None:
        self.name = name
        self.courier = Hand(pool.redis, pool.prefix, pool.clock, name)
        self.presence = Presence(self.courier, Ear(), name, version="1", clock=pool.clock)
        #: What has left the pool.
        self.left: list[Token[Any]] = []
        self.rotator: SharedRotator[Any] = SharedRotator(
            tokens,
            courier=self.courier,
            presence=self.presence,
            clock=pool.clock,
            when_left=self.left.append,
            **options,
        )
        self.rotator._line._alarm = self.line_alarm = StillAlarm()
        self.rotator._homes._alarm = self.homes_alarm = StillAlarm()
        self._messages = pool.redis.pubsub(ignore_subscribe_messages=True)
        self._messages.subscribe(f"{pool.prefix}c:{name}", f"{pool.prefix}all")
        for _ in range(2):
            self._messages.get_message(timeout=10)  # that it is subscribed
        self.presence.beat()

    def hear(self) -> None:
        """Heed all messages that have come."""
        self.presence._hurry.clear()
        for told in self._said():
            if "epoch" not in told:  # a test says itself when that is found out
                self.presence._hear(told)
            if self.presence._hurry.is_set():
                self.presence._hurry.clear()
                self.presence.beat()

    def miss(self) -> None:
        """Lose all messages that have come."""
        for _ in self._said():
            pass

    def close(self) -> None:
        """Leave nothing open, as if it were gone."""
        self._messages.close()

    def _said(self) -> Iterator[Any]:
        # Whatever was published by now comes before the answer to this.
        self._messages.ping()
        while (message := self._messages.get_message(timeout=10))["type"] != "pong":
            yield json.loads(message["data"])


class Pool:
    """A Redis, and the workers that share it."""

    def __init__(self, client: redis.Redis | None = None) -> None:
        """Without a *client*, Redis is in this process."""
        self.clock = Clock()
        self.redis = fakeredis.FakeRedis() if client is None else client
        #: What its keys begin with.
        self.prefix = f"poe:{{shared-{next(_pools)}}}:2:"
        self.workers: list[Worker] = []
        self._came = 0

    def worker(self, *tokens: Token[Any], **options: Any) -> Worker:
        """Another worker."""
        self._came += 1
        one = Worker(self, f"w{self._came}", tokens, **options)
        for other in self.workers:
            if not other.courier.trouble:
                other.hear()
        self.workers.append(one)
        if self._came == 1:
            self.clock.go(4.0)  # a pool that has just begun lends nothing
        return one

    def go(self, seconds: float, *, but: Worker | None = None) -> None:
        """Let time pass; all workers give signs of life, *but* one."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.now = min(end, self.clock.now + 4.0)
            for one in self.workers:
                if one is not but and not one.courier.trouble:
                    one.presence.beat()

    def forget(self) -> None:
        """Let Redis lose all that it knows."""
        if names := self.names():
            self.redis.delete(*names)

    def saved(self) -> dict[bytes, tuple[bytes, int]]:
        """What a Redis has written down that is stopped now."""
        return {
            name: (self.redis.dump(name), max(0, self.redis.pttl(name))) for name in self.names()
        }

    def restore(self, saved: dict[bytes, tuple[bytes, int]]) -> None:
        """Let Redis know what it has written down before, and no more."""
        self.forget()
        for name, (value, left) in saved.items():
            self.redis.restore(name, left, value)

    def names(self) -> list[bytes]:
        """What there is in Redis, by name."""
        return list(self.redis.scan_iter(f"{self.prefix}*", 1000))

    def hear(self) -> None:
        """Let all workers heed what they were told."""
        for one in self.workers:
            one.hear()
