"""One client, and what it may do."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from math import inf
from typing import Final

from poe_proxy.values import value

#: The priority of whoever has none of its own.
USUAL: Final = 5


@value(kw_only=True)
class Limits:
    """How much a client may have; 0: there is no such limit. Each is called as in `CLIENTS`."""

    #: Requests within any 60 seconds, under way at a time, and within a day.
    per_minute: int = 0
    at_a_time: int = 0
    per_day: int = 0
    #: Budgets: once they are used up, nothing more is asked.
    tokens_per_day: int = 0
    points_per_day: int = 0
    points_per_month: int = 0

    def __bool__(self) -> bool:
        """Whether there is any."""
        # Most have none, and are asked thrice in a request.
        return self is not NO_LIMITS and self != NO_LIMITS


NO_LIMITS: Final = Limits()


@value()
class Permission:
    """Which models may be used: names or globs, in lower case; no *models*: all.

    A name of a model has to be one of *models*, and no name that the same model has may be one of
    *not_models*: so no second name leads to what is not allowed.
    """

    models: tuple[str, ...] = ()
    not_models: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether it leaves anything out."""
        return bool(self.models or self.not_models)

    def allows(self, names: Iterable[str], others: Iterable[str] = ()) -> bool:
        """Return whether a model of these *names* may be used.

        *others* are what it was called by whoever asked: they can only stand against it, as
        anything may be written before a name.
        """
        called = [name.lower() for name in names]
        if self.models and not _any_matches(called, self.models):
            return False
        if not self.not_models:
            return True
        return not _any_matches([*called, *(name.lower() for name in others)], self.not_models)


EVERYTHING: Final = Permission()


def _any_matches(names: Iterable[str], patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


@value(kw_only=True)
class Client:
    """Who asks. Its key is not here, nor is a digest of it."""

    #: What it is called in the log, in metrics and on pages.
    name: str
    limits: Limits = NO_LIMITS
    permission: Permission = EVERYTHING
    #: The labels of the accounts at Poe that serve it; empty: all.
    accounts: frozenset[str] = frozenset()
    #: 0 to 9: of two that wait for the same accounts, the higher one goes first.
    priority: int = USUAL
    #: Until when its key holds, in seconds since 1970.
    until: float = inf
    enabled: bool = True


#: Whoever asks where no key is needed.
NOBODY: Final = Client(name="")
