"""Halves of surrogate pairs: an emoji that was cut in two where texts are of 16-bit units.

In JSON such a half can be written (RFC 8259, section 8.2), but it is no character, has no UTF-8,
and cannot be sent on. Halves that come one behind the other are put together; a lone one becomes
U+FFFD.
"""

from __future__ import annotations

import re
from typing import Final

_HALF: Final = re.compile(r"[\ud800-\udfff]")
_UNITS: Final = "utf-16-le"


def joined(text: str) -> str:
    """Return *text* with its halves put together, and U+FFFD for lone ones."""
    if text.isascii() or _HALF.search(text) is None:
        return text
    return text.encode(_UNITS, "surrogatepass").decode(_UNITS, "replace")


class Halves:
    """Joins the halves in a text that comes in pieces: a first half waits for the next piece."""

    def __init__(self) -> None:
        self._held = ""

    @property
    def holds(self) -> bool:
        """Whether a first half waits."""
        return bool(self._held)

    def feed(self, text: str) -> str:
        """Return what is whole by now."""
        if not self._held and text.isascii():
            return text
        text = self._held + text
        self._held = text[-1] if "\ud800" <= text[-1:] <= "\udbff" else ""
        return joined(text[: len(text) - len(self._held)])

    def flush(self) -> str:
        """Return what has waited in vain."""
        held, self._held = self._held, ""
        return joined(held)
