"""What is lent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from poe_proxy.pool.ledger import handle
from poe_proxy.pool.limits import Limit

U = TypeVar("U")


@dataclass(frozen=True, eq=False, slots=True)
class Token(Generic[U]):
    """One credential at Poe: what it speaks through, and how much it may be used."""

    #: Its name in logs; never the credential. No two tokens share one.
    label: str
    upstream: U
    kind: str = "cookie"
    #: Lower ranks are lent first.
    rank: int = 0
    limits: Sequence[Limit] = ()
    #: Replies at a time.
    concurrency: int = 1
    #: The setting that it comes from.
    source: str = ""
    #: The account behind it, the same after every restart; never the credential.
    id: str = ""
    #: The handles of the bots that it may serve, in any case; empty: all of them.
    bots: frozenset[str] = frozenset()
    #: Whether it is at home in one worker at a time, which alone speaks with Poe for it: so it is
    #: where an account has a session.
    has_home: bool = False
    #: Whether Poe takes it from one host alone, for as long as that has a worker.
    is_pinned: bool = False

    @property
    def name(self) -> str:
        """Its name in the ledger. No two tokens share one."""
        return self.id or self.label

    @property
    def whose(self) -> str:
        """Its name for clients, who have a key of their own and must not take this for theirs."""
        source = f" ({self.source})" if self.source else ""
        return f"the server's Poe {self.kind} {self.label}{source}"

    def serves(self, bot: str) -> bool:
        """Return whether it may be lent for *bot*; an empty one stands for any."""
        return not self.bots or not bot or handle(bot) in map(handle, self.bots)
