"""What models are called in metrics: a stranger with a key must not be able to make series."""

from __future__ import annotations

from collections.abc import Callable

from poe_proxy.metrics.children import MOST_MODELS, OTHER


class ModelNames:
    """The names of the bots that are told apart, `MOST_MODELS` at most: those of Poe's list, as it
    spells them, and those that have answered. All others are `OTHER`."""

    def __init__(self, listed: Callable[[str], str | None]) -> None:
        """*listed* returns how Poe's list spells a bot, in any case; None if it does not have
        it."""
        self._listed = listed
        #: By the name in lower case.
        self._names: dict[str, str] = {}

    def of(self, bot: str, *, has_answered: bool) -> str:
        """Return what *bot* is called; *has_answered*: it has just done so."""
        key = bot.lower()
        name = self._names.get(key)
        if name is not None:
            return name
        name = self._listed(bot) or (bot if has_answered else None)
        if not name or len(self._names) >= MOST_MODELS:
            return OTHER
        self._names[key] = name
        return name
