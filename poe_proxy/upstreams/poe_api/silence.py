"""How long Poe, and a bot, may say nothing. Free of I/O.

Official API sheet §13.
"""

from __future__ import annotations

import math
from typing import Final

from poe_proxy.errors import UpstreamTimeout

#: Seconds until a bot says its first word: those that think, draw or film are slow.
FIRST_WORD: Final = 600.0
#: Seconds without a word after which a bot is given up, whatever signs of life Poe gives.
NO_WORD: Final = 3600.0
#: Seconds that a refusal may take from its head on.
REFUSAL: Final = 15.0


class Silence:
    """The silence within one answer."""

    __slots__ = ("_heard", "_limit", "_refused_by", "_spoke", "_timeout", "_told")

    def __init__(self, now: float, *, first_word: float, timeout: float) -> None:
        """So many seconds of it are allowed before the first word and after it."""
        self._limit = first_word
        self._timeout = timeout
        #: When a refusal is taken as it is, although it is not complete.
        self._refused_by = math.inf
        #: When something came, when it was a word, and when the client was told anything.
        self._heard = self._spoke = self._told = now

    def ends(self, patience: float) -> float:
        """Return when the next wait has to end, for a client that is told that there is nothing to
        tell each *patience* seconds."""
        return min(
            self._told + patience,
            self._heard + self._limit,
            self._spoke + NO_WORD,
            self._refused_by,
        )

    def heard(self, now: float) -> None:
        """Note that something has come, which may say nothing."""
        self._heard = now

    def spoke(self, now: float) -> None:
        """Note a word, which the client was told."""
        self._spoke = self._told = now
        self._limit = self._timeout

    def told(self, now: float) -> None:
        """Note that the client was told that there is nothing to tell."""
        self._told = now

    def refused(self, now: float) -> bool:
        """Note that what comes is a refusal; return whether it has taken long enough."""
        if self._refused_by == math.inf:
            self._refused_by = now + REFUSAL
        return now >= self._refused_by

    def is_long(self, now: float, patience: float) -> bool:
        """Whether the client is to be told, also while only things come that say nothing, such as
        comments. Raises `UpstreamTimeout`."""
        if now - self._heard >= self._limit:
            raise UpstreamTimeout(f"Poe said nothing for {self._limit:g} s.")
        if now - self._spoke >= NO_WORD:
            raise UpstreamTimeout(f"The bot said no word for {NO_WORD:g} s.")
        return now - self._told >= patience
