"""Ends a reply where the client wants it to end, for upstreams that cannot do it themselves.

`at_words` and `at_length` pass reply events on and end with a `Done` of their own when the place
is reached; who reads it then closes the upstream's generator, which stops the bot. `at_one_call`
passes on all but the calls behind the first.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence

from poe_proxy.chat import Done, Idle, Replaced, ReplyEvent, Text, ToolCallPart


def at_words(
    events: Iterable[ReplyEvent], words: Sequence[str]
) -> Generator[ReplyEvent, None, None]:
    """End the answer before the first of *words*, also where it comes in several pieces.

    Held back is only what may be the beginning of such a word.
    """
    held = ""
    for event in events:
        match event:
            case Text(text) | Replaced(text):
                again = isinstance(event, Replaced)
                text = text if again else held + text
                end = _find(text, words)
                keep = 0 if end is not None else _beginning_at_end(text, words)
                said = text[:end] if end is not None else text[: len(text) - keep]
                held = text[len(text) - keep :]
                if said or again:
                    yield Replaced(said) if again else Text(said)
                if end is not None:
                    yield Done("stop")
                    return
            case Idle():
                yield event
            case _:
                if held:
                    yield Text(held)
                    held = ""
                yield event


def _find(text: str, words: Sequence[str]) -> int | None:
    """Where the first of *words* begins: the one that is complete first, as in a text that grows.

    Of several that end at the same place, the longest.
    """
    found = [(place + len(word), place) for word in words if (place := text.find(word)) >= 0]
    return min(found)[1] if found else None


def _beginning_at_end(text: str, words: Sequence[str]) -> int:
    """How many characters at the end of *text* are the beginning of one of *words*."""
    return max((_overlap(text, word) for word in words), default=0)


def _overlap(text: str, word: str) -> int:
    # To look for the first letter passes over nearly all that cannot be the beginning.
    place = text.find(word[0], max(0, len(text) - len(word) + 1))
    while place >= 0 and not word.startswith(text[place:]):
        place = text.find(word[0], place + 1)
    return len(text) - place if place >= 0 else 0


def at_length(
    events: Iterable[ReplyEvent], limit: int, count: Callable[[str], int]
) -> Generator[ReplyEvent, None, None]:
    """End the answer after *limit* pieces, as *count* counts them, with reason `length`."""
    whole = ""
    # Pieces counted apart are never fewer than together, so the dear count of all the text
    # is needed only where this one reaches the limit.
    at_most = 0
    for event in events:
        match event:
            case Text(text) | Replaced(text):
                again = isinstance(event, Replaced)
                before, whole = ("", text) if again else (whole, whole + text)
                at_most = count(text) + (0 if again else at_most)
                if at_most > limit:
                    at_most = count(whole)
                if at_most > limit:
                    fits = whole[: _longest(whole, limit, count)]
                    if again:
                        yield Replaced(fits)
                    elif len(fits) > len(before):
                        yield Text(fits[len(before) :])
                    yield Done("length")
                    return
                yield event
            case _:
                yield event


def _longest(text: str, limit: int, count: Callable[[str], int]) -> int:
    """The length of the longest beginning of *text* that has at most *limit* pieces."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if count(text[:middle]) <= limit:
            low = middle
        else:
            high = middle - 1
    return low


def at_one_call(events: Iterable[ReplyEvent]) -> Generator[ReplyEvent, None, None]:
    """Leave out all tool calls but the first: not every bot heeds `parallel_tool_calls`."""
    for event in events:
        if isinstance(event, ToolCallPart) and event.index > 0:
            yield Idle()  # who holds back must still let others look around
        else:
            yield event
