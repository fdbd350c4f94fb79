"""That this worker is there: its heartbeat in Redis, and what it is told from there."""

from __future__ import annotations

import logging
import os
import random
import secrets
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, Protocol

import orjson

from poe_proxy.rules import BEAT, LIFE
from poe_proxy.shared.calling import StoreAway
from poe_proxy.shared.courier import Courier

log = logging.getLogger(__name__)

#: Seconds of silence after which it is looked whether the server is still there.
SILENCE: Final = 5.0
#: The most seconds for which the end waits for each thread: as long as an answer may take.
_LAST: Final = 1.5
#: Seconds until it is tried again to listen, at first and at most.
FIRST_PAUSE: Final = 0.1
LAST_PAUSE: Final = 2.0


class Ear(Protocol):
    """What listens to Redis; `link.Listener` is one."""

    def subscribe(self, *channels: str) -> None:
        """Connect, and listen to *channels* from now on. Raises `StoreAway`."""

    def next(self) -> bytes | None:
        """Return the next message, or None after a while without. Raises `StoreAway`."""

    def close(self) -> None:
        """Let `next` fail, whoever waits in it."""


def name_of_worker() -> str:
    """Return a name that no other worker has, or will have."""
    return secrets.token_hex(8)


class Presence:
    """This worker among those that share a pool.

    It says that it lives, makes itself known where it is not, and hears what is published. Whoever
    keeps something of this worker's adds to the lists below, and sets the functions there, before
    `start`.
    """

    def __init__(
        self,
        courier: Courier,
        ear: Ear,
        worker: str,
        *,
        version: str,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], bool] | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """*worker* is its name, which *courier* has too; *version* that of the program.

        *clock* returns the time of day; *pause* takes seconds, and returns whether the presence
        was closed before they were over; *chance* returns a number from 0 to 1.
        """
        self.worker: Final = worker
        #: Each is called with each message that is not for the presence itself:
        #: `{"lent": {lease: name}}`, `{"moved": name}`, and what other workers publish.
        #: `{"look": True}` says that some may have been missed.
        self.on_message: list[Callable[[Mapping[str, Any]], object]] = []
        #: Each is called when Redis does not know this worker, also at first, or has forgotten all:
        #: whoever keeps something has to enlist, adopt and join anew. If one fails, nothing else is
        #: asked until all were called again. What is called or noted here goes before all else, and
        #: others wait: it must not wait for a lock that is held by whoever calls the courier.
        self.on_stranger: list[Callable[[], object]] = []
        #: Each is called with what is answered to each sign of life: among other things the
        #: `workers` that share the pool, the names of the accounts that have their `homes` here,
        #: and in how many seconds Redis lends again: `lends_in`.
        self.on_beat: list[Callable[[Mapping[str, Any]], object]] = []
        #: Returns the leases that are held or stand in line; None: that is not known.
        self.holds: Callable[[], Collection[str] | None] = lambda: None
        #: Returns what else is to be known of this worker: numbers and short texts, no secrets.
        self.tells: Callable[[], Mapping[str, Any]] = dict
        self._courier = courier
        self._ear = ear
        self._about: Final = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": version,
            "started": round(clock(), 3),
        }
        self._closed = threading.Event()
        self._pause = pause or self._closed.wait
        self._chance = chance
        self._workers: tuple[str, ...] = ()
        #: Set when the next sign of life is not to wait for its time.
        self._hurry = threading.Event()
        self._threads: list[threading.Thread] = []
        #: What Redis said with the last sign of life: it shows whether it still knows of it.
        self._pulse = ""
        courier.introduce = self.introduce
        courier.returned = self.returned
        courier.on_back.append(self._hurry.set)

    @property
    def workers(self) -> tuple[str, ...]:
        """Those that share the pool, as far as is known; this one among them."""
        return self._workers

    @property
    def host(self) -> str:
        """The host of this worker, as others are told."""
        return str(self._about["host"])

    @property
    def about(self) -> dict[str, Any]:
        """What others are told of this worker."""
        return {**self._about, **self.tells()}

    def start(self) -> None:
        """Begin to live and to listen, in threads of their own."""
        for work in (self._live, self._listen):
            thread = threading.Thread(target=work, name=f"redis {work.__name__[1:]}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def beat(self) -> None:
        """Give a sign of life. Raises `StoreAway`."""
        holds = self.holds()
        answer = self._courier.call(
            "beat",
            {
                "for": LIFE,
                "holds": None if holds is None else list(holds),
                "about": self.about,
            },
        )
        # What is empty may come as an object.
        answer["workers"], answer["homes"] = list(answer["workers"]), list(answer["homes"])
        self._workers = tuple(answer["workers"])
        self._pulse = answer["pulse"]
        _tell(self.on_beat, answer)

    def introduce(self) -> None:
        """Say hello, and let all that this worker keeps be known. Raises `StoreAway`.

        For the courier alone: others wait meanwhile.
        """
        said = self._courier.call(
            "hello",
            {
                "about": self.about,
                "knew_epoch": self._courier.epoch,
                "knows": self._workers,
            },
        )
        knew, self._courier.epoch = self._courier.epoch, said["epoch"]
        if knew and knew != said["epoch"]:
            log.warning(
                "Redis has forgotten the pool: nothing is lent until its workers have told what "
                "they hold and have used, cookies rest for a minute, the counts of the day begin "
                "anew, and accounts that were set aside are lent again. With appendonly yes Redis "
                "remembers over a restart."
            )
        for tell in self.on_stranger:
            tell()

    def returned(self) -> None:
        """Find out whether Redis, which was away, knows less than before: then it has forgotten
        the pool. Raises `StoreAway`.

        For the courier alone: others wait meanwhile.
        """
        self._courier.call("returned", {"pulse": self._pulse})

    def announce(self, message: Mapping[str, Any]) -> None:
        """Let all other workers, on all hosts, hear *message*; once Redis is back, if it is away.
        Does not wait."""
        self._courier.note("announce", dict(message))

    def close(self) -> None:
        """Give back all that this worker has, and end. Nothing is heard from then on."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._hurry.set()
        self._ear.close()
        for thread in self._threads:
            thread.join(_LAST)
        try:
            self._courier.call("quit", {})
        except StoreAway as away:
            log.info("the pool in Redis was not told that this worker ends: %s", away)
        # Nothing of it is to come to life again.
        self._courier.introduce = None

    def _live(self) -> None:
        while not self._closed.is_set():
            try:
                self.beat()
            except StoreAway:
                pass  # the courier says so, and when it is over
            except Exception:
                log.exception("a sign of life in Redis failed")
            self._hurry.wait(BEAT)
            self._hurry.clear()

    def _listen(self) -> None:
        pause = FIRST_PAUSE
        while not self._closed.is_set():
            try:
                self._ear.subscribe(f"c:{self.worker}", "all")
                pause = FIRST_PAUSE
                self._hear({"look": True})
                while True:
                    said = self._ear.next()
                    if said is not None:
                        self._hear(orjson.loads(said))
            except StoreAway as away:
                if self._closed.is_set():
                    return
                log.debug("nothing is heard from Redis: %s", away)
            except Exception:
                if self._closed.is_set():
                    return
                log.exception("a message from Redis could not be understood")
            self._pause(pause * (0.5 + self._chance() / 2))
            pause = min(2 * pause, LAST_PAUSE)

    def _hear(self, message: dict[str, Any]) -> None:
        epoch = message.get("epoch")
        if epoch is not None:
            if epoch != self._courier.epoch:
                # It is found out, and made good, by the next thing that is asked.
                self._hurry.set()
            return
        came = message.get("came")
        if came is not None:
            if came != self.worker:
                # Also if it was known: what is answered at this moment may be without it.
                self._hurry.set()
            return
        if message.get("look"):
            self._hurry.set()  # somebody may have come meanwhile
        if message.get("from") == self.worker:
            return
        _tell(self.on_message, message)


def _tell(all_of_them: Iterable[Callable[[Mapping[str, Any]], object]], said: Any) -> None:
    """Let all hear what Redis said, whoever of them fails."""
    for hear in all_of_them:
        try:
            hear(said)
        except Exception:
            log.exception("what Redis told could not be done")
