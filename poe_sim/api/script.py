"""How one answer is played, by the words in its prompt; ``README.md`` lists them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ..directives import number
from ..talk import cut_by_count, cut_by_size, pieces

#: Stands in a text for the time at which it is sent.
STAMP: Final = "{stamp} "

_FAITHFUL: Final = ("echo", "repeat", "long", "stamp", "say-params", "say-messages")


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """The directives of one request, and the defaults without any."""

    words: Mapping[str, str]
    pace: float

    def has(self, name: str) -> bool:
        """Return whether the prompt has the word."""
        return name in self.words

    def get(self, name: str) -> str | None:
        """Return the value of a word; None if it is empty or missing."""
        return self.words.get(name) or None

    def count(self, name: str, default: int) -> int:
        """Return the whole number of a word, *default* where it has none."""
        return int(number(self.words, name, default))

    def seconds(self, name: str, default: float) -> float:
        """Return the seconds of a word, *default* where it has none."""
        return max(0.0, number(self.words, name, default))

    @property
    def first(self) -> float:
        """Seconds before the first byte, status line included."""
        return self.seconds("first", 5 * self.pace)

    @property
    def delay(self) -> float:
        """Seconds between two chunks."""
        return self.seconds("delay", self.pace)

    def cut(self, text: str) -> Sequence[str]:
        """Cut *text* into the chunks in which it is streamed."""
        if "stamp" in self.words:
            return [STAMP] * text.count(STAMP)
        if "size" in self.words:
            return cut_by_size(text, max(1, self.count("size", 20)))
        if "chunks" in self.words:
            return cut_by_count(text, max(1, self.count("chunks", 1)))
        return pieces(text)

    @property
    def is_faithful(self) -> bool:
        """Whether the prompt prescribes the text to the letter, so that nothing may be added."""
        return any(word in self.words for word in _FAITHFUL)
