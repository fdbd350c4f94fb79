"""Workers that share a pool in a Redis of the test's own, one step after the other.

There are no threads: what a worker notes is there at once, and messages arrive when the test says
so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, Final
from unittest import mock

import fakeredis

from poe_proxy.pool.redis.rotator import SharedRotator
from poe_proxy.pool.rotator import Token
from poe_proxy.shared import script
from poe_proxy.shared.calling import StoreAway
from poe_proxy.shared.presence import Presence

from ...fakes import Clock

PREFIX: Final = "poe:{test}:2:"


class Hand:
    """A courier that goes at once, itself."""

    def __init__(self, redis: fakeredis.FakeRedis, clock: Callable[[], float], worker: str) -> None:
        self.on_back: list[Callable[[], object]] = []
        self.introduce: Callable[[], object] | None = None
        self.epoch = ""
        #: Why Redis is away; empty: it is there.
        self.trouble = ""
        #: How many of the next calls are done although their answers are lost.
        self.loses = 0
        #: What was asked for, in order.
        self.verbs: list[str] = []
        self._redis = redis
        self._clock = clock
        self._worker = worker
        self._sha = redis.script_load(script.text())
        self._kept: list[str] = []
        self._introduces = False

    def call(self, *act: Any) -> Any:
        if self.trouble:
            raise StoreAway(self.trouble)
        answer = self._done(json.dumps(act))
        if self.loses and not self._introduces:
            self.loses -= 1
            raise StoreAway("the answer was lost")
        return answer

    def note(self, *act: Any) -> None:
        self._kept.append(json.dumps(act))
        if not self.trouble and not self._introduces:
            self._bring()

    def back(self) -> None:
        """Redis is back."""
        self.trouble = ""
        self._bring()
        for tell in self.on_back:
            tell()

    def _bring(self) -> None:
        kept, self._kept = self._kept, []
        for act in kept:
            self._done(act)

    def _done(self, act: str) -> Any:
        self.verbs.append(json.loads(act)[0])
        with mock.patch("time.time", self._clock):
            answers: Any = self._redis.evalsha(self._sha, 1, PREFIX, self._worker, self.epoch, act)
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


class Ear:
    """Hears nothing by itself."""

    def subscribe(self, channels: Iterable[str]) -> None: ...
    def next(self) -> bytes | None:
        return None

    def close(self) -> None: ...


class Worker:
    """One worker."""

    def __init__(self, pool: Pool, name: str, tokens: Iterable[Token[Any]], **options: Any) -> None:
        self.name = name
        self.courier = Hand(pool.redis, pool.clock, name)
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
        # It is looked when the test says so.
        self.rotator._line._alarm.set = lambda seconds: None  # type: ignore[method-assign]
        self.rotator._homes._alarm.set = lambda seconds: None  # type: ignore[method-assign]
        self._messages = pool.redis.pubsub(ignore_subscribe_messages=True)
        self._messages.subscribe(f"{PREFIX}c:{name}", f"{PREFIX}all")
        for _ in range(2):
            self._messages.get_message()  # that it is subscribed
        self.presence.beat()

    def hear(self) -> None:
        """Heed all messages that have come."""
        while (message := self._messages.get_message()) is not None:
            told = json.loads(message["data"])
            if "epoch" not in told:
                self.presence.on_message(told)


class Pool:
    """A Redis, and the workers that share it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.redis = fakeredis.FakeRedis()
        self.workers: list[Worker] = []

    def worker(self, *tokens: Token[Any], **options: Any) -> Worker:
        """Another worker."""
        one = Worker(self, f"w{len(self.workers) + 1}", tokens, **options)
        self.workers.append(one)
        if len(self.workers) == 1:
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
        self.redis.flushall()

    def hear(self) -> None:
        """Let all workers heed what they were told."""
        for one in self.workers:
            one.hear()
