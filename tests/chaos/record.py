"""What is noted during a run: the clients' attempts, what happened when, how the pool was set.

All times are of the machine's monotonic clock, which the stand-in's journal has too.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

#: Cookies and keys by their names at the stand-in.
COOKIES: Final[Mapping[str, str]] = {f"cookie-{n}": f"chaos-cookie-number-{n}" for n in range(1, 5)}
KEYS: Final[Mapping[str, str]] = {f"key-{n}": f"sk-chaos-key-number-{n}" for n in range(1, 4)}
#: These have no fault of their own, ever, and are never withdrawn.
SOUND: Final = ("cookie-1", "key-1")
#: The faults are theirs.
FRAIL: Final = ("cookie-2", "cookie-3", "key-2")
#: These are added and withdrawn while the server runs.
COMING: Final = ("cookie-4", "key-3")

#: How an attempt ended. `cut`: the connection broke; `down`: there was no server; `lost`: nothing
#: more came.
Outcome = Literal["answered", "refused", "error", "broke off", "cut", "down", "hung up", "lost"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How the pool is set: seconds, and requests within 60 seconds."""

    cool_down: float = 1.0
    rate_limit: int = 12
    api_rate_limit: int = 60
    concurrency: int = 3
    api_concurrency: int = 8
    queue_timeout: float = 6.0
    timeout: float = 12.0

    def per_minute(self, account: str) -> int:
        """Return how many sends an account may have within a minute."""
        return self.rate_limit if account in COOKIES else self.api_rate_limit

    def rest(self, account: str) -> float:
        """Return the seconds between two sends of an account."""
        return self.cool_down if account in COOKIES else 0.0

    def at_once(self, account: str) -> int:
        """Return how many replies an account may give at a time."""
        return self.concurrency if account in COOKIES else self.api_concurrency


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One request of a client, from its first byte to its end; `mark` is in its prompt."""

    mark: str
    client: str
    #: The API that it speaks, by its name in `DIALECTS`.
    api: str
    model: str
    streams: bool
    begun: float
    #: Whether it comes back after a 429, when `Retry-After` has passed.
    returns: bool = False
    #: The trouble that its own prompt makes, and the codes of errors that this explains.
    trouble: str = ""
    explains: frozenset[str] = frozenset()
    #: Whether the trouble makes a good answer that is short.
    shortens: bool = False
    #: What the bot says, as the prompt demands it.
    expected: str = field(default="", repr=False)
    ended: float = 0.0
    outcome: Outcome = "lost"
    status: int = 0
    #: Where the API tells none, it is that of the server's log.
    code: str = ""
    message: str = ""
    retry_after: float | None = None
    #: What `x-should-retry` says of an error; empty if it is not there.
    may_retry: str = ""
    #: By which the server's log knows it; empty if no answer came.
    request_id: str = ""
    text: str = field(default="", repr=False)
    #: What is wrong with the form of the answer.
    malformed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """Something that was done to the server, the net or Poe, and when."""

    kind: str
    begun: float
    ended: float
    #: An account's name at the stand-in; empty: it concerns all.
    account: str = ""
    #: The codes of errors that this explains.
    explains: frozenset[str] = frozenset()
    detail: str = ""

    def touches(self, begun: float, ended: float, slack: float = 0.0) -> bool:
        """Return whether it overlaps a stretch of time."""
        return self.begun <= ended and begun <= self.ended + slack


@dataclass(slots=True)
class Record:
    """All that was noted by this side."""

    limits: Limits
    #: Whether several workers share the pool.
    is_shared: bool = False
    begun: float = field(default_factory=time.monotonic)
    attempts: list[Attempt] = field(default_factory=list)
    happenings: list[Happening] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _marks: Counter[str] = field(default_factory=Counter)

    def begin(self, client: str, api: str, model: str, *, streams: bool) -> Attempt:
        """Note an attempt, and return it for its client to complete."""
        with self._lock:
            self._marks[client] += 1
            attempt = Attempt(
                mark=f"{client}.{self._marks[client]}",
                client=client,
                api=api,
                model=model,
                streams=streams,
                begun=time.monotonic(),
            )
            self.attempts.append(attempt)
        return attempt

    def name_failures(self, codes: Mapping[str, str]) -> None:
        """Give the failures whose API tells no codes those of the log, by the requests' ids."""
        for one in self.attempts:
            if not one.code:
                one.code = codes.get(one.request_id, "")
            if one.outcome == "refused" and one.code != "rate_limit_exceeded":
                one.outcome = "error"

    def note(self, happening: Happening) -> None:
        """Note that something happened."""
        with self._lock:
            self.happenings.append(happening)

    def of_kind(self, *kinds: str) -> Sequence[Happening]:
        """Return what happened of these kinds, in order."""
        with self._lock:
            found = [one for one in self.happenings if one.kind in kinds]
        return sorted(found, key=lambda one: one.begun)
