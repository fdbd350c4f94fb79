"""The headers that say what of its own limits a client has left."""

from __future__ import annotations

import time
from math import ceil
from typing import Final

from werkzeug.datastructures import Headers

from poe_proxy.clients.budgets import Left
from poe_proxy.moments import stamp

_WHAT: Final = ("limit", "remaining", "reset")
_OPENAI: Final = {
    of: [f"x-ratelimit-{what}-{of}" for what in _WHAT] for of in ("requests", "tokens")
}
_ANTHROPIC: Final = {of: [f"anthropic-ratelimit-{of}-{what}" for what in _WHAT] for of in _OPENAI}
#: As OpenAI's clients know them, and as Anthropic's do (official API sheet §7).
NAMES: Final = tuple(name for pair in zip(*_OPENAI.values(), strict=True) for name in pair)
ANTHROPIC_NAMES: Final = tuple(name for names in _ANTHROPIC.values() for name in names)


def add(headers: Headers, left: Left, *, anthropic: bool) -> None:
    """Add to *headers* what is *left* of the limits that there are."""
    for of, share in (("requests", left.of_requests), ("tokens", left.of_tokens)):
        if share is not None:
            reset = stamp(ceil(time.time() + share.seconds)) if anthropic else None
            values = (str(share.most), str(share.left), reset or duration(share.seconds))
            names = (_ANTHROPIC if anthropic else _OPENAI)[of]
            for name, value in zip(names, values, strict=True):
                headers.add(name, value)


def duration(seconds: float) -> str:
    """Return a time as OpenAI writes it: `1s`, `6m0s`, `1h0m5s`."""
    whole = max(0, ceil(seconds))
    minutes, left = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{left}s"
    return f"{minutes}m{left}s" if minutes else f"{left}s"
