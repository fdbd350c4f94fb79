"""The points of the accounts: how many are left, and which accounts can be used again."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from math import inf
from typing import Final, Generic, Protocol, TypeVar

from poe_proxy.errors import UpstreamChanged, UpstreamError, UpstreamTimeout
from poe_proxy.pool import refusals
from poe_proxy.pool.known import Funds
from poe_proxy.pool.ledger import Standing
from poe_proxy.pool.rotator import Rotator, Token

log = logging.getLogger(__name__)


class HasBalance(Protocol):
    """An account that can say how many points it has."""

    def balance(self) -> Funds:
        """Ask Poe for the points that are left; raises `UpstreamError`."""


A = TypeVar("A", bound=HasBalance)

#: Seconds after which an account that did not answer is asked again.
AGAIN: Final = 60.0
#: The most seconds between two looks at what there is to look at.
MOST_SLEEP: Final = 3600.0

#: How many accounts have their first look at a time, and the seconds from one to the next.
AT_A_TIME: Final = 3
PAUSE: Final = 0.5
#: Seconds until it is asked again who may look, while nobody can say so.
UNKNOWN: Final = 1.0

#: The part of a pause for which nobody else asks.
_NEARLY: Final = 0.9

#: Seconds between two looks at an account that is well, where few points are to be told.
EVERY: Final = 3600.0
#: How an account stands that is well.
_WELL: Final = frozenset({Standing.FIT, Standing.RESTING, Standing.LIMITED})


class PointsWatch(Generic[A]):
    """Looks at accounts that are not used: whether they have points, and whether Poe accepts them.

    It does so sparingly, and never with a client's request, which would have to wait for it.

    An account that may be out of points is looked at at once; then, if it is, once in
    `Rotator.points_check` seconds; one that is suspended, when its ledger says; and one that
    is well once in `every` seconds, if anybody wants to know when its points become few.
    """

    def __init__(self, tokens: Rotator[A]) -> None:
        self._tokens = tokens
        #: Seconds between two looks at an account that is well; `inf`: there are none.
        self.every = inf
        #: The first of them is that of `FirstLooks`.
        self._began = tokens.now()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="points", daemon=True)

    def start(self) -> None:
        """Begin to look, in a thread of its own; to be called once."""
        self._thread.start()

    def stop(self) -> None:
        """Look at no further account; one that is being asked may still answer."""
        self._stopped.set()
        self._tokens.look.set()

    def wait(self, seconds: float) -> bool:
        """Wait up to *seconds* for the thread to end; return whether it has."""
        return _have_ended([self._thread], seconds)

    def look(self) -> float:
        """Look at each account whose time has come; return the seconds until the next one's."""
        for token, due, pause in self._due():
            if due <= 0.0 and not self._stopped.is_set():
                self._look_at(token, pause)
        return min((due for _, due, _ in self._due()), default=inf)

    def _run(self) -> None:
        while True:
            self._tokens.look.clear()
            if self._stopped.is_set():
                return
            self._tokens.look.wait(min(self.look(), MOST_SLEEP))

    def _due(self) -> list[tuple[Token[A], float, float]]:
        """Return the tokens to look at, each with the seconds until then, and those from one look
        to the next."""
        now = self._tokens.now()
        doubted = set(self._tokens.doubted())
        due = []
        for token, state in self._tokens.states():
            pause = self._tokens.points_check
            if state.standing is not Standing.OUT_OF_POINTS:
                # It did not answer, or is in doubt again: another look soon is worth its cost.
                pause = min(pause, AGAIN)
            seconds, last = 0.0 if token in doubted else state.next_look, -inf
            if seconds == inf and self.every < inf and state.standing in _WELL:
                seconds, last, pause = 0.0, self._began, self.every
            if seconds < inf:
                again = self._tokens.looked_at.get(token.name, last) + pause - now
                due.append((token, max(0.0, seconds, again), pause))
        return due

    def _look_at(self, token: Token[A], pause: float) -> None:
        self._tokens.looked_at[token.name] = self._tokens.now()
        # Whoever asks now is not held up by that when it is time again.
        if not (may := self._tokens.may_ask(token, _NEARLY * pause)):
            if may is None:
                self._tokens.looked_at[token.name] -= max(0.0, pause - AGAIN)
            return
        points = _ask(self._tokens, token)
        if points is not None:
            settle(self._tokens, token, points)


class Balance(Generic[A]):
    """What all accounts have left together: asked for on demand, and then kept for a while."""

    def __init__(
        self,
        tokens: Rotator[A],
        *,
        holds: float = 60.0,
        patience: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Poe is asked again after *holds* seconds, and given *patience* seconds to answer."""
        self._tokens = tokens
        self._holds = holds
        self._patience = patience
        self._clock = clock
        self._asking = threading.Lock()
        self._asked_at: float | None = None
        self._points: dict[Token[A], int] = {}
        self._stopped = threading.Event()
        #: One for each account that has yet to answer.
        self._threads: list[threading.Thread] = []

    def points(self) -> int:
        """Return the points of all accounts that Poe accepts. An account that does not answer in
        time counts with its last known points, and so does one that others have just asked.

        Raises `NoTokenLeft` or `UpstreamBlocked` if Poe accepts none, `UpstreamTimeout` if none of
        them ever answered.
        """
        with self._asking:
            is_due = self._asked_at is None or self._clock() - self._asked_at >= self._holds
            if is_due and not self._stopped.is_set():
                self._ask_all()
                self._asked_at = self._clock()
        accounts = self._tokens.accepted()
        if not accounts:
            raise refusals.no_token_left(self._tokens.states())
        known = [self._points[token] for token in accounts if token in self._points]
        if not known:
            raise UpstreamTimeout("No Poe account has reported its balance.")
        return sum(known)

    def stop(self) -> None:
        """Ask no further account; what is known is still returned."""
        self._stopped.set()

    def wait(self, seconds: float) -> bool:
        """Wait up to *seconds* until no account is being asked; return whether that is so."""
        return _have_ended(self._threads, seconds)

    def _ask_all(self) -> None:
        threads = [
            threading.Thread(target=self._note, args=(token,), name="balance", daemon=True)
            for token in self._tokens.accepted()
        ]
        self._threads = [one for one in self._threads if one.is_alive()] + threads
        for thread in threads:
            thread.start()
        _have_ended(threads, self._patience)

    def _note(self, token: Token[A]) -> None:
        if self._tokens.may_ask(token, _NEARLY * self._holds):
            points = _ask(self._tokens, token)
        else:
            known = self._tokens.points.of(token.name)
            points = None if known is None else known.number
        if points is not None:
            self._points[token] = points


class FirstLooks(Generic[A]):
    """One look at each account once the server has started, for a line in the log: is it logged in,
    and with how many points?

    A few accounts at a time are asked, in the background. A look is no use of a bot. It holds back
    what Poe refuses, and what has no points; one that fails in another way holds back nothing.
    """

    def __init__(self, tokens: Rotator[A], *, pause: float = PAUSE) -> None:
        """There are *pause* seconds between the end of one look and the next one in its thread."""
        self._tokens = tokens
        self._pause = pause
        self._lock = threading.Lock()
        self._has_begun = False
        #: What was looked at, or will be, by name: one that has another upstream logs in anew.
        self._known: dict[str, object] = {}
        self._waiting: deque[Token[A]] = deque()
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def begin(self) -> None:
        """Begin to look at all accounts, and at new ones whenever `go_on` is called."""
        self._has_begun = True
        self.go_on()

    def go_on(self) -> None:
        """Look at accounts that are new, or log in in another way than before."""
        if not self._has_begun or self._stopped.is_set():
            return
        with self._lock:
            states = self._tokens.states()
            new = [
                token for token, _ in states if self._known.get(token.name) is not token.upstream
            ]
            self._known = {token.name: token.upstream for token, _ in states}
            self._waiting.extend(new)
            self._threads = [one for one in self._threads if one.is_alive()]
            for _ in range(min(len(new), AT_A_TIME - len(self._threads))):
                thread = threading.Thread(target=self._run, name="first look", daemon=True)
                self._threads.append(thread)
                thread.start()

    def stop(self) -> None:
        """Look at no further account; one that is being asked may still answer."""
        self._stopped.set()

    def wait(self, seconds: float) -> bool:
        """Wait up to *seconds* until no account is being asked; return whether that is so."""
        return _have_ended(self._threads, seconds)

    def _run(self) -> None:
        while not self._stopped.is_set():
            with self._lock:
                if not self._waiting:
                    # Whoever adds more begins another thread.
                    self._threads = [
                        one for one in self._threads if one is not threading.current_thread()
                    ]
                    return
                token = self._waiting.popleft()
            if self._look_at(token):
                self._stopped.wait(self._pause)
                continue
            with self._lock:
                self._waiting.appendleft(token)
            self._stopped.wait(UNKNOWN)

    def _look_at(self, token: Token[A]) -> bool:
        """Look at it, unless somebody else does; return whether that is settled."""
        state = next((state for one, state in self._tokens.states() if one is token), None)
        if state is None:
            return True  # it has left the pool
        if state.standing in refusals.SET_ASIDE or state.standing is Standing.OUT_OF_POINTS:
            # `PointsWatch` looks at it when its time has come.
            log.warning("%s: %s already: %s", token.label, state.standing, state.reason)
            return True
        if not (may := self._tokens.may_ask(token, AGAIN)):
            if may is not None:
                log.debug("%s: another worker looks at it", token.label)
            return may is not None
        self._ask(token)
        return True

    def _ask(self, token: Token[A]) -> None:
        try:
            funds = token.upstream.balance()
        except UpstreamError as failure:
            if self._stopped.is_set():
                return  # it was cut off
            if failure.suspends:
                log.warning("%s: not logged in, Poe refuses it (%s)", token.label, failure.code)
                self._tokens.suspend(token, failure)
            else:
                log.warning(
                    "%s: not known whether it is logged in (%s): %s",
                    *(token.label, failure.code, failure),
                )
        except Exception:
            if not self._stopped.is_set():
                log.exception("%s: the first look at it failed", token.label)
        else:
            self._tokens.points.note(token.name, funds)
            log.info("%s: logged in, %s points", token.label, f"{funds.points:,}")
            if funds.points <= 0:
                settle(self._tokens, token, funds.points)


def settle(tokens: Rotator[A], token: Token[A], points: int) -> None:
    """Let *token* be lent or not, now that Poe accepts it and says that it has *points*."""
    standing = next((state.standing for one, state in tokens.states() if one is token), None)
    if standing is None:
        return  # it has left the pool
    tokens.looked_at[token.name] = tokens.now()
    if standing is Standing.SUSPENDED or (points > 0 and standing is Standing.OUT_OF_POINTS):
        tokens.revive(token)
    if points > 0:
        tokens.trust(token)
    elif standing is not Standing.OUT_OF_POINTS:
        tokens.exhaust(token, "The account has no points left.")


def _ask(tokens: Rotator[A], token: Token[A]) -> int | None:
    """Return the points that *token* has left; None if Poe does not say.

    A token that Poe refuses is suspended.
    """
    try:
        funds = token.upstream.balance()
        tokens.points.note(token.name, funds)
        return funds.points
    except UpstreamError as failure:
        if failure.suspends:
            tokens.suspend(token, failure)
        else:
            # That the site has changed is said once, by whoever found it out.
            level = logging.DEBUG if isinstance(failure, UpstreamChanged) else logging.INFO
            log.log(level, "%s: its balance is not known: %s", token.label, failure)
    except Exception:
        # The thread has to go on, or no account would ever come back.
        log.exception("%s: asking for its balance failed", token.label)
    return None


def _have_ended(threads: Iterable[threading.Thread], seconds: float) -> bool:
    """Wait up to *seconds* for all *threads* to end; return whether they have."""
    until = time.monotonic() + seconds
    for thread in threads:
        if thread.ident is not None:
            thread.join(max(0.0, until - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)
