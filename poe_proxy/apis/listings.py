"""The small answers beside the chats, in OpenAI's form: models, and what is left to spend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson


def model_list(entries: Iterable[Mapping[str, Any]]) -> bytes:
    """Return the body of `GET /v1/models`."""
    return orjson.dumps({"object": "list", "data": list(entries)})


def usage(dollars: float) -> bytes:
    """Return the body of `GET /dashboard/billing/usage`, for *dollars* that are used: it has
    cents."""
    return orjson.dumps({"object": "list", "total_usage": round(100 * dollars, 4) or 0})


def subscription(dollars: float) -> bytes:
    """Return the body of `GET /dashboard/billing/subscription`, for *dollars* that are left."""
    names = ("soft_limit_usd", "hard_limit_usd", "system_hard_limit_usd")
    limits = dict.fromkeys(names, round(dollars, 6))
    return orjson.dumps({"object": "billing_subscription", "has_payment_method": True, **limits})
