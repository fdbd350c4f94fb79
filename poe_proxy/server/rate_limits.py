"""The headers that say what of its own limits a client has left."""

from __future__ import annotations

import time
from math import ceil
from typing import Final

from werkzeug.datastructures import Headers

from poe_proxy.clients.budgets import Share, Standing
from poe_proxy.clients.windows import stamp

#: As OpenAI's clients know them, and as Anthropic's do (official API sheet §7).
NAMES: Final = tuple(
    f"x-ratelimit-{what}-{of}"
    for what in ("limit", "remaining", "reset")
    for of in ("requests", "tokens")
)
ANTHROPIC_NAMES: Final = tuple(
    f"anthropic-ratelimit-{of}-{what}"
    for of in ("requests", "tokens")
    for what in ("limit", "remaining", "reset")
)


def add(headers: Headers, standing: Standing, *, anthropic: bool) -> None:
    """Add to *headers* what *standing* says of the limits that there are."""
    for of, share in (("requests", standing.of_requests), ("tokens", standing.of_tokens)):
        if share is not None:
            _add(headers, of, share, anthropic=anthropic)


def _add(headers: Headers, of: str, share: Share, *, anthropic: bool) -> None:
    if anthropic:
        name = f"anthropic-ratelimit-{of}-{{}}"
        reset = stamp(ceil(time.time() + share.seconds))
    else:
        name = f"x-ratelimit-{{}}-{of}"
        reset = duration(share.seconds)
    headers[name.format("limit")] = str(share.most)
    headers[name.format("remaining")] = str(share.left)
    headers[name.format("reset")] = reset


def duration(seconds: float) -> str:
    """Return a time as OpenAI writes it: `1s`, `6m0s`, `1h0m5s`."""
    whole = max(0, ceil(seconds))
    minutes, left = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{left}s"
    return f"{minutes}m{left}s" if minutes else f"{left}s"
