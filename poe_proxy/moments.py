"""Moments, as programs read them."""

from __future__ import annotations

from datetime import UTC, datetime


def stamp(at: float) -> str:
    """Return a time in seconds since 1970 as RFC 3339 has it: to the second, in UTC.

    Raises ValueError, OverflowError or OSError for one that no calendar has.
    """
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
