"""`reasoning_effort` in the words of each bot. Free of I/O.

OpenAI has one name for how much a model thinks; Poe has one for each maker's bots (official API
sheet §3.4), and the catalogue says which one a bot declares. Clients of OpenRouter and of Anthropic
have objects for it, `reasoning` and `thinking`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

#: OpenAI's values and those that other makers have besides, from least to most.
_SCALE: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
#: Those that are none of OpenAI's: no client of its means them for a bot of its.
_OF_OTHERS: Final = ("max",)
#: Names whose values are words of that scale.
_BY_WORD: Final = ("output_effort", "thinking_level")
_OWN: Final = (*_BY_WORD, "thinking_budget", "enable_thinking")
#: The largest budget that clients know of; words stand for shares of it.
_LARGEST: Final = 32_000
#: The words for budgets below so many tokens.
_BUDGETS: Final = ((1, "none"), (4_000, "low"), (16_000, "medium"))
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
    own = [name for name in _OWN if name in declared]
    if effort in _OF_OTHERS and "reasoning_effort" in declared:
        effort = _nearest(effort, declared["reasoning_effort"]) or effort
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
    word = _nearest(effort, schema)
    return {name: word} if word else {"reasoning_effort": effort}


def _nearest(effort: str, schema: Mapping[str, Any]) -> str | None:
    """Return the word of *schema* that is nearest to *effort*; None if none is known here."""
    words = [word for word in _SCALE if word in (schema.get("enum") or _SCALE)]
    place = _SCALE.index(effort)
    # Of two that are equally near, the one that thinks more.
    return min(reversed(words), key=lambda word: abs(_SCALE.index(word) - place), default=None)


def of_others(
    given: Mapping[str, Any], declared: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the fields that say what *given* says in the forms of OpenRouter and of Anthropic:
    `{"reasoning": {"effort": "high"}}`, `{"thinking": {"type": "enabled", "budget_tokens": 1024}}`.

    Nothing for a bot that declares no way to say it, or that is told in its own words, or takes the
    very form.
    """
    own = [name for name in ("reasoning_effort", *_OWN) if name in declared]
    if not own or not given.keys().isdisjoint(own):
        return {}
    for name in ("reasoning", "thinking"):
        wanted = given.get(name)
        if name in declared or not isinstance(wanted, Mapping):
            continue
        budget = wanted.get("max_tokens" if name == "reasoning" else "budget_tokens")
        if isinstance(budget, int) and not isinstance(budget, bool) and budget > 0:
            if own[0] == "thinking_budget":
                return {"thinking_budget": _within(budget, declared["thinking_budget"])}
            near = min(_SHARES[1:], key=lambda share: abs(share * _LARGEST - budget))
            return parameters(_SCALE[_SHARES.index(near)], declared, given)
        if (effort := _word(wanted)) is not None:
            return parameters(effort, declared, given)
    return {}


def of_budget(
    tokens: int, declared: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the fields that let a bot think for so many *tokens*, 0 for not at all, as far as it
    declares a way to say it. *given* as for `parameters`."""
    own = [name for name in ("reasoning_effort", *_OWN) if name in declared]
    if not own or not given.keys().isdisjoint(own):
        return {}
    if "thinking_budget" in own:
        return {"thinking_budget": _within(tokens, declared["thinking_budget"])}
    word = next((word for below, word in _BUDGETS if tokens < below), "high")
    return parameters(word, declared, given)


def _word(wanted: Mapping[str, Any]) -> str | None:
    """Return how much a client wants thought, in OpenAI's words; None if it does not say."""
    effort = wanted.get("effort")
    if isinstance(effort, str) and effort in _SCALE:
        return effort
    if wanted.get("enabled") is False or wanted.get("type") == "disabled":
        return "none"
    is_on = wanted.get("enabled") is True or wanted.get("type") in ("enabled", "adaptive")
    return "medium" if is_on else None


def _within(budget: int, schema: Mapping[str, Any]) -> int:
    low, high = schema.get("minimum"), schema.get("maximum")
    if isinstance(high, int):
        budget = min(budget, high)
    return max(budget, low) if isinstance(low, int) else budget
