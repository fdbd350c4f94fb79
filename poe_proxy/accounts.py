"""The accounts at Poe as the settings have them: from `TOKENS`, `POE_API_KEYS`, `TOKENS_CONFIG`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One credential at Poe, and how much it may be used."""

    kind: Literal["cookie", "key"]
    #: A line of `TOKENS`, or an API key.
    credential: str = field(repr=False)
    #: The `p-b` of it, decoded, or the key: what names the account.
    secret: str = field(repr=False)
    #: Its name in logs and on pages; unique.
    label: str
    proxy: str | None = field(default=None, repr=False)
    #: Uses within any *rate_window* seconds; 0 means no limit, here and in the next four.
    rate_limit: int = 0
    rate_window: float = 60.0
    cool_down: float = 0.0
    per_hour: int = 0
    per_day: int = 0
    #: Seconds, up to which are added to each *cool_down*, another number for each use.
    jitter: float = 0.0
    concurrency: int = 1
    #: Handles of the bots that it may serve; empty: all.
    bots: Sequence[str] = ()
    #: Lower ranks are used first.
    rank: int = 0

    @property
    def id(self) -> str:
        """Return its name in the ledger: the same on all hosts, and no way back to the secret."""
        return hashlib.sha256(f"{self.kind}\0{self.secret}".encode()).hexdigest()[:16]


def secret_of_cookie(p_b: str) -> str:
    """Return the one spelling that stands for all of a `p-b`, percent-encoded or not."""
    return unquote(p_b)
