"""Where the pool is: in this process, or in Redis, where the workers of several hosts share it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from poe_proxy import __version__
from poe_proxy.clients.budgets import Budgets
from poe_proxy.clients.memory import MemoryBudgets
from poe_proxy.history import History
from poe_proxy.pool.base import Rotator
from poe_proxy.pool.memory import MemoryLedger
from poe_proxy.pool.rotator import TokenRotator
from poe_proxy.pool.store import Forgetful, Renewals
from poe_proxy.pool.tokens import Token
from poe_proxy.settings import Settings
from poe_proxy.shared.calling import Caller
from poe_proxy.upstreams.base import Upstream

if TYPE_CHECKING:
    from poe_proxy.pool.redis.rotator import SharedRotator
    from poe_proxy.pool.store.journal import Journal
    from poe_proxy.pool.store.renewals import SharedRenewals

#: What is called with a token that has left the pool.
WhenLeft = Callable[[Token[Upstream]], object]


class Pool(ABC):
    """What is different with where the pool is: who lends accounts, what is remembered, and who
    else there is."""

    #: Whether other workers share it, so that no account is lent while the store does not answer.
    is_shared = False
    #: Which pool it is, for people; empty if there is no other.
    where = ""

    #: The way to Redis; None if the pool is not there.
    caller: Caller | None = None
    #: Remembers what Poe has renewed.
    renewals: Renewals
    #: What the clients have used.
    budgets: Budgets
    #: What the requests of late were like.
    history: History

    @abstractmethod
    def lend(
        self, tokens: Iterable[Token[Upstream]], settings: Settings, when_left: WhenLeft
    ) -> Rotator[Upstream]:
        """Return what lends *tokens* from now on; to be called once, before all that follows."""

    @abstractmethod
    def store(self) -> str:
        """Return whether the store answers, as `Fact.store` has it."""

    def workers(self) -> Sequence[Mapping[str, Any]]:
        """Return what is known of all workers that share the pool; none if they cannot."""
        return ()

    def seen(self) -> Mapping[str, tuple[float, Mapping[str, int]]] | None:
        """Return what all workers remember of clients, as `Registry` takes it."""
        return None

    def speaks(self) -> bool:
        """Return whether it is this worker that says what is to be said once for its host."""
        return True

    def announce(self, message: Mapping[str, Any]) -> None:
        """Let all other workers hear *message*. Does not wait."""
        del message  # there are no others

    def hear(self, heard: Callable[[Mapping[str, Any]], object]) -> None:
        """Call *heard* from now on with what other workers announce, and whatever else this one is
        told."""
        del heard

    @abstractmethod
    def timed(self, took: Callable[[str, float], None]) -> None:
        """Call *took* from now on with what the store has done, in a word, and the seconds that it
        took."""

    def start(self, tells: Callable[[], Mapping[str, Any]]) -> None:
        """Begin what goes on beside the requests; *tells* returns what other workers may know of
        this one."""
        del tells

    @abstractmethod
    def close(self, steps: ExitStack) -> None:
        """Have it ended by *steps*, of which the last one comes first."""


def made(settings: Settings) -> Pool:
    """Return the pool that *settings* ask for."""
    return InProcess(settings) if settings.redis_url is None else InRedis(settings)


class InProcess(Pool):
    """In this process; what has to outlive it is in `STATE_FILE`, if there is one."""

    def __init__(self, settings: Settings) -> None:
        self._journal = _journal(settings)
        self._store = self._journal or Forgetful()
        self.renewals = self._store
        self.budgets = MemoryBudgets(store=self._journal)
        self.history = History()

    def lend(
        self, tokens: Iterable[Token[Upstream]], settings: Settings, when_left: WhenLeft
    ) -> Rotator[Upstream]:
        rotator = TokenRotator(
            tokens,
            patience=settings.queue_timeout,
            places=settings.queue_size,
            points_check=settings.points_check,
            ledger=MemoryLedger(store=self._store),
            when_left=when_left,
        )
        if self._journal is not None:
            rotator.day_uses.begin(self._journal.day_uses())
        return rotator

    def store(self) -> str:
        return "off" if self._journal is None else self._journal.trouble or "ok"

    def timed(self, took: Callable[[str, float], None]) -> None:
        if self._journal is not None:
            self._journal.timed = took

    def close(self, steps: ExitStack) -> None:
        if self._journal is not None:
            steps.callback(self._journal.close)


class InRedis(Pool):
    """In Redis. `STATE_FILE` has what must not leave the host: what Poe has renewed."""

    is_shared = True

    def __init__(self, settings: Settings) -> None:
        from poe_proxy.clients.redis import RedisBudgets
        from poe_proxy.shared.courier import Courier
        from poe_proxy.shared.link import Link
        from poe_proxy.shared.presence import SILENCE, Presence, name_of_worker
        from poe_proxy.shared.teller import Teller
        from poe_proxy.shared_history import SharedHistory

        assert settings.redis_url is not None
        self._renewals = _renewals(settings)
        self.renewals = self._renewals or Forgetful()
        worker = name_of_worker()
        self._link = link = Link(settings.redis_url, settings.redis_pool)
        self.where = f"pool {settings.redis_pool} in Redis at {link.where}"
        self.caller = self._courier = Courier(link, worker=worker)
        self._presence = Presence(
            self._courier, link.listener(SILENCE), worker, version=__version__
        )
        self._teller = Teller(self._courier)
        self.budgets = self._budgets = RedisBudgets(self._courier, self._teller)
        self.history = self._history = SharedHistory(self._courier, self._teller, names=self._names)
        self._rotator: SharedRotator[Upstream] | None = None

    def lend(
        self, tokens: Iterable[Token[Upstream]], settings: Settings, when_left: WhenLeft
    ) -> SharedRotator[Upstream]:
        from poe_proxy.pool.redis.rotator import SharedRotator

        self._rotator = SharedRotator(
            tokens,
            courier=self._courier,
            presence=self._presence,
            patience=settings.queue_timeout,
            places=settings.queue_size,
            points_check=settings.points_check,
            when_left=when_left,
        )
        return self._rotator

    def _names(self) -> Mapping[str, str]:
        tokens = [] if self._rotator is None else self._rotator.states()
        return {token.label: token.name for token, _ in tokens}

    def store(self) -> str:
        if not self._courier.epoch and not self._courier.trouble:
            return "it has not answered yet"
        return self._courier.trouble or "ok"

    def workers(self) -> Sequence[Mapping[str, Any]]:
        return () if self._rotator is None else self._rotator.workers()

    def seen(self) -> Mapping[str, tuple[float, Mapping[str, int]]] | None:
        return self._history.clients()

    def speaks(self) -> bool:
        here = [one for one in self.workers() if one.get("host") == self._presence.host]
        return not here or min(one["id"] for one in here) == self._presence.worker

    def announce(self, message: Mapping[str, Any]) -> None:
        self._presence.announce(message)

    def hear(self, heard: Callable[[Mapping[str, Any]], object]) -> None:
        self._presence.on_message.append(heard)

    def timed(self, took: Callable[[str, float], None]) -> None:
        self._link.timed = partial(took, "script")

    def start(self, tells: Callable[[], Mapping[str, Any]]) -> None:
        self._presence.tells = tells
        self._presence.on_beat.append(lambda _: self._budgets.beat())
        self._presence.on_stranger.append(self._budgets.adopt)
        self._presence.start()
        self._teller.start()

    def close(self, steps: ExitStack) -> None:
        if self._renewals is not None:
            steps.callback(self._renewals.close)
        steps.callback(self._courier.close)
        steps.callback(self._presence.close)
        steps.callback(self._teller.close)


def _journal(settings: Settings) -> Journal | None:
    if settings.state_file is None:
        return None
    from poe_proxy.pool.store.journal import Journal

    return Journal(settings.state_file, keeps_renewals=settings.state_cookies)


def _renewals(settings: Settings) -> SharedRenewals | None:
    if settings.state_file is None:
        return None
    from poe_proxy.pool.store.renewals import SharedRenewals

    return SharedRenewals(settings.state_file, keeps_renewals=settings.state_cookies)
