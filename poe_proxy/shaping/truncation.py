"""Stages that end a reply where the client wants it to end, for bots that do not.

`StopWords` and `Length` end it with a `Done` of their own when that place is reached; the driver
then closes the source, which stops the bot. `OneCall` drops all calls after the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from poe_proxy.chat import Done, Idle, Replaced, ReplyEvent, Text, ToolCallPart


class StopWords:
    """Ends the answer before the first of *words*, even if that arrives in several pieces.

    Only what may be the beginning of such a word is held back.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        self._held = ""

    def feed(self, event: ReplyEvent) -> Iterable[ReplyEvent]:
        """See `Stage`."""
        match event:
            case Text(text):
                return self._search(self._held + text, Text)
            case Replaced(text):
                return self._search(text, Replaced)
            case Idle():
                return (event,)
        if self._held:
            held, self._held = self._held, ""
            return Text(held), event
        return (event,)

    def _search(self, text: str, kind: type[Text] | type[Replaced]) -> list[ReplyEvent]:
        end = _find(text, self._words)
        until = len(text) - _beginning_at_end(text, self._words) if end is None else end
        self._held = text[until:]
        said: list[ReplyEvent] = []
        if until or kind is Replaced:
            said.append(kind(text[:until]))
        if end is not None:
            said.append(Done("stop"))
        return said


def _find(text: str, words: Sequence[str]) -> int | None:
    """Return where the first of *words* begins: the one that is complete first in a growing text.

    Of several that end at the same place, the longest counts.
    """
    found = [(place + len(word), place) for word in words if (place := text.find(word)) >= 0]
    return min(found)[1] if found else None


def _beginning_at_end(text: str, words: Sequence[str]) -> int:
    """Return how many characters at the end of *text* are the beginning of one of *words*."""
    return max((_overlap(text, word) for word in words), default=0)


def _overlap(text: str, word: str) -> int:
    # Looking for the first letter skips nearly everything that cannot be the beginning.
    place = text.find(word[0], max(0, len(text) - len(word) + 1))
    while place >= 0 and not word.startswith(text[place:]):
        place = text.find(word[0], place + 1)
    return len(text) - place if place >= 0 else 0


class Length:
    """Ends the answer after *limit* tokens, as *count* counts them, with reason `length`."""

    def __init__(self, limit: int, count: Callable[[str], int]) -> None:
        self._limit = limit
        self._count = count
        #: The answer so far, in pieces: joining them at each one would copy it over and over.
        self._pieces: list[str] = []
        # Pieces counted apart never have fewer tokens than together, so the expensive count of
        # all the text is needed only when this sum exceeds the limit.
        self._at_most = 0

    def feed(self, event: ReplyEvent) -> Iterable[ReplyEvent]:
        """See `Stage`."""
        if not isinstance(event, Text | Replaced):
            return (event,)
        text = event.text
        if isinstance(event, Replaced):
            self._pieces, self._at_most = [], 0
        self._pieces.append(text)
        self._at_most += self._count(text)
        if self._at_most <= self._limit:
            return (event,)
        whole = "".join(self._pieces)
        self._pieces, self._at_most = [whole], self._count(whole)
        if self._at_most <= self._limit:
            return (event,)
        fits = whole[: _longest(whole, self._limit, self._count)]
        if isinstance(event, Replaced):
            return Replaced(fits), Done("length")
        more = fits[len(whole) - len(text) :]
        return (Text(more), Done("length")) if more else (Done("length"),)


def _longest(text: str, limit: int, count: Callable[[str], int]) -> int:
    """Return the length of the longest beginning of *text* that has at most *limit* tokens."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if count(text[:middle]) <= limit:
            low = middle
        else:
            high = middle - 1
    return low


class OneCall:
    """Leaves out all tool calls but the first: not every bot heeds `parallel_tool_calls`."""

    def feed(self, event: ReplyEvent) -> Iterable[ReplyEvent]:
        """See `Stage`."""
        return () if isinstance(event, ToolCallPart) and event.index > 0 else (event,)
