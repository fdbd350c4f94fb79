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

#: What cannot be left out without the answer becoming another one than was asked for. What the
#: house does by itself can be: tools are taught instead, JSON is checked, stop words are cut.
_ESSENTIAL: Final = frozenset(
    {"model", "messages", "stream", "tools", "tool_choice", "max_completion_tokens"}
)

#: More bots than a user ever names, and more fields than a client of theirs sends; beyond that
#: somebody invents them.
_BOTS_AT_MOST: Final = 1000
_FIELDS_AT_MOST: Final = 100


class Learned:
    """Which fields each bot does not take, as it said itself. All keys share one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fields: dict[str, frozenset[str]] = {}

    def of(self, bot: str) -> frozenset[str]:
        """Return the fields that *bot* refused so far."""
        return self._fields.get(bot.lower(), frozenset())

    def add(self, bot: str, fields: Collection[str]) -> None:
        """Note that *bot* takes none of *fields*."""
        with self._lock:
            known = self.of(bot) | set(fields)
            if len(known) > _FIELDS_AT_MOST:
                return
            if len(self._fields) >= _BOTS_AT_MOST:
                self._fields.clear()
            self._fields[bot.lower()] = known


def droppable(
    sent: Collection[str],
    refusal: ParameterRefused,
    *,
    extra: Collection[str] = (),
    declared: Collection[str] | None = None,
) -> frozenset[str]:
    """Return the fields of *sent* without which the bot may be asked again; empty if none.

    *extra* are those that nobody but the client knows, *declared* those that the catalogue has
    for the bot, None if it does not have the bot. A bot that refuses one field which it does not
    declare gets none of them any more: to be told of each would cost a request each.

    It is empty if a *value* was refused, as it always is with a declared field: whoever sent it
    believes in it, and should hear of it.
    """
    if refusal.code != ParameterRefused.code:
        return frozenset()
    field = _named(sent, refusal)
    if field is None or field in _ESSENTIAL or field in (declared or ()):
        return frozenset()
    if declared is not None and field in extra:
        return frozenset(name for name in extra if name in sent and name not in declared)
    return frozenset({field})


def _named(sent: Collection[str], refusal: ParameterRefused) -> str | None:
    if refusal.param is not None:
        # Perhaps a path, such as `response_format.json_schema`.
        field = re.split(r"[.\[]", refusal.param, maxsplit=1)[0]
        if field in sent:
            return field
    quoted = set(re.findall(r"['\"`](\w+)", refusal.message))
    bare = set(re.findall(r"\w+", refusal.message))
    for words in (quoted, bare):
        for field in sent:
            if field in words and field not in _ESSENTIAL:
                return field
    return None
