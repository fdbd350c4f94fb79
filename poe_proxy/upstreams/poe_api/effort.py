"""`reasoning_effort` in the words of each bot. Free of I/O.

OpenAI has one name for how much a model thinks; Poe has one for each maker's bots (official API
sheet §3.4), and the catalogue says which one a bot declares.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

#: OpenAI's values and those that other makers have besides, from least to most.
_SCALE: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
#: Names whose values are words of that scale.
_BY_WORD: Final = ("output_effort", "thinking_level")
#: The share of the largest thinking budget that each of the words is.
_SHARES: Final = (0.0, 0.1, 0.2, 0.5, 0.8, 0.95, 1.0)


def parameters(
    effort: str, declared: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the fields that say *effort* to a bot with these *declared* parameters, by schema.

    *given* are the fields that the client set: if one of them says it in the bot's own words,
    there is nothing to add. A value that a bot of OpenAI's does not take is not changed, so that
    the client sees the refusal; a value that is translated becomes the nearest one.
    """
    own = [name for name in (*_BY_WORD, "thinking_budget", "enable_thinking") if name in declared]
    if "reasoning_effort" in declared or not own or effort not in _SCALE:
        return {"reasoning_effort": effort}
    if not given.keys().isdisjoint(own):
        return {}
    name = own[0]
    schema = declared[name]
    place = _SCALE.index(effort)
    if name == "enable_thinking":
        return {name: effort != "none"}
    if name == "thinking_budget":
        low, high = schema.get("minimum"), schema.get("maximum")
        if not isinstance(high, int):
            return {"reasoning_effort": effort}
        return {name: max(low if isinstance(low, int) else 0, int(high * _SHARES[place]))}
    words = [word for word in _SCALE if word in (schema.get("enum") or _SCALE)]
    if not words:
        return {"reasoning_effort": effort}
    # Of two that are equally near, the one that thinks more.
    return {name: min(reversed(words), key=lambda word: abs(_SCALE.index(word) - place))}
