"""What is still to be done at Poe for replies that are over: bots to stop, chats to delete.

reply under way ─ hangs up ─▶ a task in a thread of its own ─▶ done, or given up and logged
        └────── the account closes ──────▲

A chat that Poe cannot be asked to delete, because its site has changed, is kept in mind, and
deleted once that works again.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, TypeVar

from poe_proxy.errors import (
    LoginFailed,
    UpstreamChanged,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUncertain,
    UpstreamUnreachable,
)
from poe_proxy.net import background
from poe_proxy.upstreams.poe_web.graphql import ServerError

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds for which an act is tried again.
PERSISTENCE: Final = 60.0
#: Seconds before the second try; they double from then on, up to `LONGEST_PAUSE`.
PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 15.0
#: The most tasks that may wait for another try at a time; any other has one try.
MOST: Final = 256
#: The most chats that are kept in mind; the oldest are forgotten.
MOST_CHATS: Final = 500
#: How often Poe may answer with a server error when it is asked to delete one of them, while it
#: deletes others.
_CHANCES: Final = 3
#: Seconds for which the end of an account waits for its tasks.
PATIENCE: Final = 5.0
#: The longest pause between two tries meanwhile, in seconds.
_LAST_PAUSE: Final = 0.5

#: Failures of the net or of Poe that may pass. Asking once more does no harm: a bot that is
#: stopped stays so. Any other failure is an answer.
_PASSING: Final = (
    LoginFailed,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamUncertain,
    UpstreamUnreachable,
)


class Tidying:
    """The register of one account: its replies under way, and the tasks that they left.

    May be used by several threads at once.
    """

    def __init__(
        self,
        *,
        label: str,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        """*wait* pauses between two tries, for the seconds that it is given."""
        self._label = label
        self._clock = clock
        self._wait = wait or self._rest
        self._changed = threading.Condition()
        self._replies: set[Callable[[], None]] = set()
        self._tasks = 0
        self._waiting = 0
        #: Chats that are to be deleted once that works again: id -> the chances that it has left.
        self._chats: OrderedDict[int, int] = OrderedDict()
        #: The account is closed: what is left has little time.
        self._closing = threading.Event()
        #: That time is over.
        self._is_over = False

    # ---- replies

    def enlist(self, hang_up: Callable[[], None]) -> None:
        """Note a reply under way; `close` calls *hang_up*, which must not wait.

        Raises `UpstreamUnreachable` if the account is closed.
        """
        with self._changed:
            if self._closing.is_set():
                raise UpstreamUnreachable("The account is not in use any more.")
            self._replies.add(hang_up)

    def withdraw(self, hang_up: Callable[[], None]) -> None:
        """Note that a reply is over."""
        with self._changed:
            self._replies.discard(hang_up)

    # ---- tasks

    def start(self, task: Callable[[], None]) -> None:
        """Do *task* in another thread, which `close` waits for."""
        with self._changed:
            self._tasks += 1
        background.start(lambda: self._run(task), f"{self._label} tidying up")

    def _run(self, task: Callable[[], None]) -> None:
        try:
            task()
        except Exception:
            log.exception("%s: tidying up failed", self._label)
        finally:
            with self._changed:
                self._tasks -= 1
                self._changed.notify_all()

    def persist(self, act: Callable[[], T], what: str) -> T | None:
        """Return what *act* returns; while the net or Poe fails, it is done again and again.

        After a minute, or after any other `UpstreamError`, a warning says *what* failed, and
        None is returned. Of an `UpstreamChanged` whoever raised it has said enough.
        """
        try:
            return self._insist(act, what)
        except UpstreamError:
            return None

    def delete(self, delete: Callable[[int], None], chat_id: int) -> None:
        """Delete a chat as `persist` does anything.

        If the site has changed, so that Poe cannot be asked for it, the chat is deleted along with
        the next one that is.
        """
        try:
            self._insist(lambda: delete(chat_id), "deleting a chat")
        except UpstreamChanged:
            self._keep(chat_id, _CHANCES)
        except UpstreamError:
            return
        else:
            self._delete_kept(delete)

    def _keep(self, chat_id: int, chances: int) -> None:
        with self._changed:
            self._chats[chat_id] = chances
            while len(self._chats) > MOST_CHATS:
                self._chats.popitem(last=False)

    def _delete_kept(self, delete: Callable[[int], None]) -> None:
        """Delete the chats that were kept, since it has just worked for another one."""
        for _ in range(len(self._chats)):
            with self._changed:
                if not self._chats or self._closing.is_set():
                    return
                chat_id, chances = self._chats.popitem(last=False)
            # They may be many, and Poe looks at how fast an account is.
            self._wait(PAUSE * random.uniform(1.0, 1.5))
            try:
                delete(chat_id)
            except ServerError:
                if chances > 1:
                    self._keep(chat_id, chances - 1)
            except (UpstreamRefused, UpstreamProtocolError) as failure:
                # It works: this chat is gone, or none of ours.
                log.debug("%s: a chat cannot be deleted: %s", self._label, failure)
            except UpstreamError:
                self._keep(chat_id, chances)
                return

    def _insist(self, act: Callable[[], T], what: str) -> T:
        since = self._clock()
        pause = PAUSE
        while True:
            try:
                return act()
            except UpstreamError as failure:
                seconds = self._until_next(failure, pause, since)
                if seconds is None:
                    # `close` logs how many were left at the very end.
                    is_said = self._is_over or isinstance(failure, UpstreamChanged)
                    level = logging.DEBUG if is_said else logging.WARNING
                    log.log(level, "%s: %s failed: %s", self._label, what, failure)
                    raise
                # Another server error will mean that the site has changed, which is said once.
                level = logging.DEBUG if isinstance(failure, ServerError) else logging.INFO
                log.log(level, "%s: %s failed: %s Trying again.", self._label, what, failure)
            try:
                self._wait(seconds)
            finally:
                with self._changed:
                    self._waiting -= 1
            pause = min(2 * pause, LONGEST_PAUSE)

    def _until_next(self, failure: UpstreamError, pause: float, since: float) -> float | None:
        """Return the seconds to wait before the next try, and count it; None: no more of them."""
        if not isinstance(failure, _PASSING) or self._is_over:
            return None
        with self._changed:
            if self._closing.is_set():
                seconds = min(pause, _LAST_PAUSE)
            else:
                seconds = pause * random.uniform(1.0, 1.5)
                if self._waiting >= MOST or self._clock() + seconds > since + PERSISTENCE:
                    return None
            self._waiting += 1
            return seconds

    def _rest(self, seconds: float) -> None:
        if self._closing.is_set():
            time.sleep(seconds)
        else:
            self._closing.wait(seconds)

    # ---- the end

    def close(self, patience: float = PATIENCE) -> None:
        """Hang up all replies, and wait up to *patience* seconds until all tasks are done.

        A task that waits for another try has it at once. What is left is given up, and logged.
        """
        with self._changed:
            self._closing.set()
            replies = list(self._replies)
        for hang_up in replies:
            hang_up()
        with self._changed:
            if not self._changed.wait_for(lambda: not self._tasks, patience):
                log.warning(
                    "%s: %d chat(s) were not tidied up before the end", self._label, self._tasks
                )
            if self._chats:
                log.warning(
                    "%s: %d chat(s) were not deleted: Poe could not be asked for it",
                    *(self._label, len(self._chats)),
                )
                self._chats.clear()
            self._is_over = True
