"""Requests that are over, and days of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from poe_proxy.chat import Charges, Usage
from poe_proxy.prices import Price
from poe_proxy.record import Record

#: A point for each token.
PRICE = Price(prompt=30_000_000, completion=30_000_000, cached=30_000_000)
NOON = "2026-11-28T12:00:00+00:00"


def seconds(when: str) -> float:
    """A time as seconds since 1970."""
    return datetime.fromisoformat(when).timestamp()


def micro(when: str) -> int:
    """A time as microseconds since 1970."""
    return round(seconds(when) * 1_000_000)


def record(
    at: str | float = NOON,
    *,
    client: str = "alice",
    tokens: tuple[int, int] | None = (10, 5),
    points: int | None = None,
    price: Price | None = PRICE,
    took: float = 2.0,
    **more: Any,
) -> Record:
    """A request that an account has answered."""
    made = Record("req_1", now=100.0, at=seconds(at) if isinstance(at, str) else at)
    made.client, made.model, made.bot = client, "claude", "Claude-Sonnet-4.5"
    made.route, made.status = "/v1/chat/completions", 200
    made.account, made.kind = "key 1", "key"
    made.joined = made.sent = 100.1
    made.sends = 1
    made.ended = 100.0 + took
    made.price = price
    made.usage = None if tokens is None else Usage(*tokens)
    if points is not None:
        made.charges = Charges()
        made.charges.note(1, points)
    for name, value in more.items():
        setattr(made, name, value)
    return made
