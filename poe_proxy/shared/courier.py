"""Who brings the acts of a process to Redis: one after the other, many at a time."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from math import inf
from typing import Any, Final, Protocol

import orjson

from poe_proxy.shared.acts import Act, failure_of, text
from poe_proxy.shared.calling import StoreAway

log = logging.getLogger(__name__)

#: The most acts that are run at once: Redis does nothing else meanwhile.
MOST_AT_ONCE: Final = 64
#: The most notes that are kept until Redis has had them.
MOST_NOTES: Final = 10_000
#: Seconds until it is tried again whether Redis is back, at first and at most.
FIRST_PAUSE: Final = 0.1
LAST_PAUSE: Final = 2.0
#: Seconds after which it counts as another time that Redis is away.
LASTING: Final = 10.0
#: Seconds after which whoever waits for others to bring its act gives up. They need two at most
#: unless something is wrong.
LONGEST_WAIT: Final = 5.0
_STOPPED: Final = "this server is being stopped"


class Way(Protocol):
    """What a courier goes by; `link.Link` is one."""

    def run(self, worker: bytes, epoch: bytes, acts: Sequence[bytes]) -> list[bytes] | bytes:
        """Run the script once with *acts*. Raises `StoreAway`."""

    def probe(self) -> None:
        """Find out whether Redis does what it is asked to. Raises `StoreAway`."""

    def close(self) -> None:
        """Part from the server."""


class Courier:
    """Brings acts to Redis in the order in which they were given, over one connection.

    Whoever calls while nobody is on the way goes, and takes along all that has gathered; the
    others wait. So a lone call costs no change of threads, and a crowd few ways.

    An act whose answer is lost may be brought again: it is one that can be repeated.
    """

    def __init__(
        self,
        way: Way,
        *,
        worker: str = "",
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """*worker* is for whom acts are done; empty: for nobody in particular.

        *clock* returns seconds; *wait* takes some, and returns whether the courier was closed
        before they were over; *chance* returns a number from 0 to 1.
        """
        self._way = way
        self._worker = worker.encode()
        self._epoch = b""
        #: Called by whoever is on the way when Redis does not know the worker, or has forgotten
        #: all; what it calls and notes goes before all else. Others wait meanwhile: it must not
        #: wait for what they hold.
        self.introduce: Callable[[], object] | None = None
        #: Called by whoever is the first on the way after Redis was away, as `introduce` is.
        self.returned: Callable[[], object] | None = None
        #: Called one after the other, in a thread of the courier's own, when Redis is back.
        self.on_back: list[Callable[[], object]] = []
        self._clock = clock
        self._closed = threading.Event()
        self._wait = wait or self._closed.wait
        self._chance = chance
        self._mutex = threading.Lock()
        self._queue: deque[Act] = deque()
        self._notes = 0
        self._lost_notes = 0
        self._is_under_way = False
        self._trouble = ""
        #: When it was last seen that Redis is back, and for how long it was waited before.
        self._back_at = -inf
        self._pause = FIRST_PAUSE
        #: Whether the worker has yet to be introduced to the end.
        self._is_strange = False
        #: Whether Redis was away, and has yet to be asked what it still knows.
        self._is_doubted = False
        #: The thread that introduces the worker.
        self._introducer: int | None = None
        #: Wakes the thread that brings notes when nobody calls, and finds out when Redis is back.
        self._bell = threading.Event()
        self._helper: threading.Thread | None = None

    @property
    def trouble(self) -> str:
        """Why Redis does not answer; empty if it does."""
        return self._trouble

    @property
    def epoch(self) -> str:
        """Since when Redis remembers, as far as this worker knows; empty: not at all."""
        return self._epoch.decode()

    @epoch.setter
    def epoch(self, epoch: str) -> None:
        self._epoch = epoch.encode()

    def call(self, *act: Any) -> Any:
        """Return the answer to *act*: its verb, and what it is about.

        Raises `StoreAway`, at once if Redis is known to be away.
        """
        one = Act(text(act))
        if self._introducer is not None and self._introducer == threading.get_ident():
            return self._answer(self._at_once(one))
        with self._mutex:
            if self._trouble:
                raise StoreAway(self._trouble)
            self._queue.append(one)
            if self._is_under_way:
                one.gate = threading.Lock()
                one.gate.acquire()
            else:
                self._is_under_way = one.leads = True
        if not one.leads:
            self._wait_for(one)
        if not one.is_done:
            self._go(one)
        return self._answer(one)

    def note(self, *act: Any) -> None:
        """Bring *act* some time, and tell nobody what is answered.

        It is kept until Redis has had it, also while Redis is away. Of too many the oldest is lost.
        """
        one = Act(text(act), is_note=True)
        if self._introducer is not None and self._introducer == threading.get_ident():
            self._at_once(one)
            return
        with self._mutex:
            if self._closed.is_set():
                return
            self._queue.append(one)
            self._notes += 1
            if self._notes > MOST_NOTES:
                self._forget_the_oldest()
            if self._is_under_way or self._trouble:
                return
        self._ring()

    def close(self) -> None:
        """Bring what is noted, unless Redis is away, and nothing more from then on."""
        with self._mutex:
            if self._closed.is_set():
                return
            self._closed.set()
        self._bell.set()
        while self._queue and not self._trouble and self._claim():
            self._go(None)
        with self._mutex:
            self._trouble = self._trouble or _STOPPED
            goes, self._is_under_way = not self._is_under_way, True
        if goes:
            self._way.close()

    def _answer(self, one: Act) -> Any:
        """Return what was answered to *one*, or raise why nothing was."""
        if one.failure is not None:
            # An exception of its own for each: this one is kept by nobody else.
            raise one.failure
        assert one.answer is not None
        return orjson.loads(one.answer)

    def _wait_for(self, one: Act) -> None:
        """Wait until *one* is done, or its caller is the one to go."""
        assert one.gate is not None
        try:
            in_time = one.gate.acquire(timeout=LONGEST_WAIT)
        except BaseException:
            self._give_up(one)
            raise
        if not in_time and not self._give_up(one):
            one.failure = StoreAway("nobody brought it in time")

    def _give_up(self, one: Act) -> bool:
        """Let nobody bring *one* any more. Return whether it was done in the last moment."""
        with self._mutex:
            if one in self._queue:
                self._queue.remove(one)
            leads, one.leads, one.is_given_up = one.leads, False, True
        if leads:
            self._pass_on()
        return one.is_done

    def _go(self, caller: Act | None) -> None:
        """Bring what has gathered, until *caller* is done; None: once.

        Whoever calls this is the one who is on the way, and is so no longer when it returns.
        """
        try:
            while batch := self._take():
                self._bring(batch, caller)
                if caller is None or caller.is_done:
                    break
        finally:
            self._pass_on()

    def _take(self) -> list[Act]:
        with self._mutex:
            if self._trouble:
                return []
            batch = list(islice(self._queue, MOST_AT_ONCE))
            for one in batch:
                self._queue.popleft()
                self._notes -= one.is_note
            return batch

    def _bring(self, batch: list[Act], caller: Act | None) -> None:
        try:
            answers = self._run([one.text for one in batch])
        except StoreAway as away:
            self._is_away(str(away), batch)
            return
        except BaseException:
            # Whoever was on the way is gone; what it took along is not.
            self._put_back([one for one in batch if one is not caller])
            raise
        self._hand_out(batch, answers)

    def _run(self, acts: Sequence[bytes]) -> list[bytes]:
        """Return the answers to *acts*. Raises `StoreAway`."""
        if self._is_doubted and self.returned is not None:
            self._before_all(self.returned)
        self._is_doubted = False
        if self._is_strange:
            self._make_known()
        answers = self._way.run(self._worker, self._epoch, acts)
        if isinstance(answers, bytes) and self.introduce is not None:
            self._make_known()
            answers = self._way.run(self._worker, self._epoch, acts)
        if isinstance(answers, bytes):
            raise StoreAway(f"Redis says {answers.decode()} and does nothing")
        return answers

    def _make_known(self) -> None:
        self._is_strange = True
        assert self.introduce is not None
        self._before_all(self.introduce)
        self._is_strange = False

    def _before_all(self, tell: Callable[[], object]) -> None:
        """Let *tell* call and note before all else. Raises `StoreAway`."""
        self._introducer = threading.get_ident()
        try:
            tell()
        except StoreAway:
            raise
        except Exception:
            log.exception("this worker could not make itself known in Redis")
            raise StoreAway("this worker could not make itself known") from None
        finally:
            self._introducer = None

    def _at_once(self, one: Act) -> Act:
        """Bring *one*, which belongs to the introduction."""
        answers = self._way.run(self._worker, self._epoch, [one.text])
        if isinstance(answers, bytes):
            raise StoreAway(f"Redis says {answers.decode()} once more")
        failure = failure_of(answers[0])
        if isinstance(failure, StoreAway):
            raise failure
        one.answer, one.failure = answers[0], failure
        if failure and one.is_note:
            log.error("the pool in Redis: %s", failure)
        return one

    def _hand_out(self, batch: list[Act], answers: list[bytes]) -> None:
        refused: list[Act] = []
        reason = ""
        for one, answer in zip(batch, answers, strict=True):
            failure = failure_of(answer)
            if isinstance(failure, StoreAway):
                refused.append(one)
                reason = str(failure)
                continue
            if failure and one.is_note:
                log.error("the pool in Redis: %s", failure)
            one.answer, one.failure = answer, failure
            if one.gate is not None:
                one.gate.release()
        if refused:
            self._is_away(reason, refused)

    def _is_away(self, reason: str, batch: list[Act]) -> None:
        """Redis is away: who waits for an answer gets none, and notes are kept."""
        with self._mutex:
            is_new, self._trouble = not self._trouble, self._trouble or reason
            self._is_doubted = True
            left = [*batch, *self._queue]
            self._queue = deque(one for one in left if one.is_note)
            self._notes = len(self._queue)
            while self._notes > MOST_NOTES:
                self._forget_the_oldest()
        for one in left:
            if not one.is_note:
                one.failure = StoreAway(reason)
                if one.gate is not None:
                    one.gate.release()
        if is_new:
            self._ring()
            log.warning("the pool in Redis is away: %s", reason)

    def _put_back(self, batch: list[Act]) -> None:
        with self._mutex:
            # Whoever has given up will not go when its turn comes.
            batch = [one for one in batch if not one.is_given_up]
            self._queue.extendleft(reversed(batch))
            self._notes += sum(one.is_note for one in batch)

    def _forget_the_oldest(self) -> None:
        oldest = next(one for one in self._queue if one.is_note)
        self._queue.remove(oldest)
        self._notes -= 1
        self._lost_notes += 1

    def _pass_on(self) -> None:
        """Let the first who waits go next; if there is only what is noted, the thread for it."""
        left: list[Act] = []
        with self._mutex:
            if self._trouble:  # the courier was closed meanwhile, if anybody is left
                left = [one for one in self._queue if not one.is_note]
                self._queue = deque(one for one in self._queue if one.is_note)
            for one in self._queue:
                if one.gate is not None:
                    one.leads = True
                    one.gate.release()
                    return
            self._is_under_way = False
            is_left = bool(self._queue) and not self._trouble
        for one in left:
            one.failure = StoreAway(self._trouble)
            if one.gate is not None and not one.leads:
                one.gate.release()
        if is_left:
            self._bell.set()

    def _ring(self) -> None:
        """Wake the thread that helps; begin it, if there is none yet."""
        self._bell.set()
        with self._mutex:
            if self._helper is not None or self._closed.is_set():
                return
            self._helper = helper = threading.Thread(target=self._help, name="redis", daemon=True)
        helper.start()

    def _help(self) -> None:
        while not self._closed.is_set():
            self._bell.wait()
            self._bell.clear()
            try:
                if self._trouble:
                    self._return()
                elif self._claim():
                    self._go(None)
            except Exception:
                log.exception("what was noted for Redis could not be brought")
                self._bell.set()
                self._wait(LAST_PAUSE)

    def _claim(self) -> bool:
        """Return whether the calling thread may go: nobody else is on the way."""
        with self._mutex:
            goes, self._is_under_way = not self._is_under_way, True
            return goes

    def _return(self) -> None:
        """Return once Redis is back, or the courier closed."""
        if self._clock() - self._back_at > LASTING:
            self._pause = FIRST_PAUSE
        while not self._wait(self._pause * (0.5 + self._chance() / 2)):
            if self._closed.is_set():
                return
            if not self._claim():  # whoever found out that it is away is about to return
                continue
            self._pause = min(2 * self._pause, LAST_PAUSE)
            if self._is_back():
                break
        else:
            return
        log.info("the pool in Redis is back")
        for tell in list(self.on_back):
            try:
                tell()
            except StoreAway:  # they will be told again
                return
            except Exception:
                log.exception("not all could go on when Redis was back")

    def _is_back(self) -> bool:
        """Look whether Redis is back, and end being on the way."""
        try:
            self._way.probe()
        except StoreAway as away:
            with self._mutex:
                self._trouble = str(away)
            return False
        else:
            self._back_at = self._clock()
            with self._mutex:
                if self._closed.is_set():
                    return False
                self._trouble = ""
                lost, self._lost_notes = self._lost_notes, 0
            if lost:
                log.warning("%d notes for Redis were too many to be kept", lost)
            return True
        finally:
            self._pass_on()
