"""What a bot costs, as Poe's list tells it, and how many points that makes.

Official API sheet §1 and §6.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Self

from poe_proxy.values import value

#: What a point is worth in US dollars, roughly (official API sheet §1).
POINT: Final = Decimal("0.00003")
#: The unit in which prices are kept is a millionth of a millionth of a dollar, so that all sums are
#: whole numbers.
_DOLLAR: Final = Decimal(1_000_000_000_000)
_POINT: Final = int(POINT * _DOLLAR)
#: The most dollars that a token or a request can cost; a price above it is none.
_TOO_MUCH: Final = 10_000


@value(kw_only=True)
class Price:
    """What one bot takes, for a request and for each token; 0 for what costs nothing."""

    request: int = 0
    prompt: int = 0
    completion: int = 0
    #: What a token costs that the bot had read before.
    cached: int = 0

    @classmethod
    def read(cls, given: Any) -> Self | None:
        """Return the price in the `pricing` of an entry of Poe's list, which is in dollars; None
        if it has none for a request or for tokens."""
        if not isinstance(given, Mapping):
            return None
        request, prompt, completion, cached = (
            _read(given.get(name))
            for name in ("request", "prompt", "completion", "input_cache_read")
        )
        if request is None and prompt is None and completion is None:
            return None
        prompt = prompt or 0
        return cls(
            request=request or 0,
            prompt=prompt,
            completion=completion or 0,
            cached=prompt if cached is None else cached,
        )

    def points(self, prompt: int, completion: int, cached: int = 0) -> int:
        """Return the points for so many tokens, rounded up; *cached* of those of the *prompt* had
        been read before."""
        cached = min(cached, prompt)
        cost = (
            self.request
            + self.prompt * (prompt - cached)
            + self.cached * cached
            + self.completion * completion
        )
        return -(-cost // _POINT)


def _read(dollars: Any) -> int | None:
    """Return a decimal string; None if it is no price."""
    if not isinstance(dollars, str) or len(dollars) > 40:
        return None
    try:
        found = Decimal(dollars)
    except InvalidOperation:
        return None
    if not found.is_finite() or not 0 <= found <= _TOO_MUCH:
        return None
    return round(found * _DOLLAR)
