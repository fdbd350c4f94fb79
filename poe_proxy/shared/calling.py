"""How Redis is called by all who share something there: the verbs, and how they fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

#: Seconds after which a client may come again that was turned away because Redis is away.
AGAIN: Final = 5


class StoreAway(Exception):
    """Redis does not do what it is asked to, for a reason that may pass; its words say why, and
    hold no secret.

    What was asked for may have been done all the same, if only the answer was lost.
    """


class Caller(Protocol):
    """Takes acts of the script to Redis, in the order in which they are given.

    An act is a verb of the script, and what it is about: plain values.
    """

    def call(self, *act: Any) -> Any:
        """Return what *act* answers. Raises `StoreAway`: it may have been done, or may be done
        yet."""

    def note(self, *act: Any) -> None:
        """Have *act* done, now or as soon as Redis is there, without waiting for it."""

    @property
    def trouble(self) -> str:
        """Why Redis is away; empty while it answers."""


def pairs(hash: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """Return a hash as Redis says it: fields and values by turns. An empty one may be an object."""
    return dict(zip(hash[::2], hash[1::2], strict=True)) if isinstance(hash, list) else {}
