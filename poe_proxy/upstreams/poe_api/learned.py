"""What bots have said that they do not take, so that it is sent to each of them only once.

Official API sheet §3.2: a field that a model does not declare *may* be refused, and which ones
are cannot be known before.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Collection
from typing import Final

from poe_proxy.errors import ParameterRefused

#: What cannot be left out without the answer becoming another one than was asked for. For tools
#: and JSON the house has ways of its own: tools are taught instead, JSON is checked.
_ESSENTIAL: Final = frozenset(
    {"model", "messages", "stream", "tools", "tool_choice", "stop", "max_completion_tokens"}
)

#: How a refusal begins that is about a field's value: the field itself is welcome.
_VALUE: Final = re.compile(r"(?:unsupported|invalid) (?:value|type)", re.IGNORECASE)

#: How one speaks of a field that should not be there at all.
_UNKNOWN: Final = re.compile(
    r"unknown|unrecogni[sz]ed|unsupported|unexpected|extra|not (?:supported|permitted|declared)",
    re.IGNORECASE,
)

#: More bots than a user ever names; beyond that somebody invents them.
_BOTS_AT_MOST: Final = 1000


class Learned:
    """Which fields each bot does not take, as it said itself. All keys share one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fields: dict[str, frozenset[str]] = {}

    def of(self, bot: str) -> frozenset[str]:
        """Return the fields that *bot* refused so far."""
        return self._fields.get(bot.lower(), frozenset())

    def add(self, bot: str, field: str) -> None:
        """Note that *bot* refused *field*."""
        with self._lock:
            if len(self._fields) >= _BOTS_AT_MOST:
                self._fields.clear()
            self._fields[bot.lower()] = self.of(bot) | {field}


def droppable(sent: Collection[str], refusal: ParameterRefused) -> str | None:
    """Return the field of *sent* that *refusal* is about, if the bot may be asked without it.

    None if a *value* was refused: whoever sent it believes in it, and should hear of it.
    """
    if _VALUE.match(refusal.message):
        return None
    candidates = [name for name in sent if name not in _ESSENTIAL]
    if refusal.param is not None:
        # Perhaps a path, such as `response_format.json_schema`.
        named = re.split(r"[.\[]", refusal.param, maxsplit=1)[0]
        if named in candidates:
            return named
    if not _UNKNOWN.search(refusal.message):
        return None
    quoted = set(re.findall(r"['\"`](\w+)", refusal.message))
    bare = set(re.findall(r"\w+", refusal.message))
    for words in (quoted, bare):
        if found := [name for name in candidates if name in words]:
            return found[0]
    return None
