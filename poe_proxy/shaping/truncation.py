"""Stages that end a reply where the client wants it to end, for bots that do not.

`StopWords` and `Length` end it with a `Done` of their own when that place is reached; the driver
then closes the source, which stops the bot. `OneCall` drops all calls after the first.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from poe_proxy.chat import Done, Idle, Replaced, ReplyEvent, Text, ToolCallPart


class StopWords:
    """Ends the answer before the first of *words*, even if that arrives in several pieces.

    That is the one that is complete first; of several that end at the same place, the longest.
    Only what may be the beginning of such a word is held back.
    """

    field = "stop"

    def __init__(self, words: Sequence[str]) -> None:
        self._words = _Words(words)
        self._held = ""
        self._has_given_up = False

    def feed(self, event: ReplyEvent) -> Iterable[ReplyEvent]:
        """See `Stage`."""
        if self._has_given_up:
            return (event,)
        if type(event) is Text:
            if self._held or self._words.may_begin_in(event.text):
                return self._search(event.text, Text)
            return (event,)
        match event:
            case Replaced(text):
                self._held = ""
                self._words.forget()
                return self._search(text, Replaced)
            case Idle():
                return (event,)
        return *self._let_go(), event

    def give_up(self) -> Iterable[ReplyEvent]:
        """See `Stage`."""
        self._has_given_up = True
        return self._let_go()

    def _let_go(self) -> Iterable[ReplyEvent]:
        held, self._held = self._held, ""
        self._words.forget()
        return (Text(held),) if held else ()

    def _search(self, text: str, kind: type[Text] | type[Replaced]) -> list[ReplyEvent]:
        beginning = self._words.find(text)
        whole = self._held + text
        end = len(whole) - len(text) + beginning
        self._held = whole[end:]
        said: list[ReplyEvent] = []
        if end or kind is Replaced:
            said.append(kind(whole[:end]))
        if length := self._words.complete:
            said.append(Done("stop", self._held[:length]))
        return said


class _Words:
    """Searches a text that comes in pieces for several words at once, by Aho and Corasick: each
    character is looked at about twice, whatever the words are."""

    def __init__(self, words: Sequence[str]) -> None:
        #: For each state, which state comes after a letter. A state stands for a beginning of a
        #: word; 0 is the empty one.
        self._after: list[dict[str, int]] = [{}]
        #: For each state, how long the beginning is.
        self._length = [0]
        #: For each state, how long the longest word is that is complete in it.
        self._complete = [0]
        for word in words:
            self._add(word)
        #: For each state, that of the longest other beginning in which its own ends.
        self._shorter = [0] * len(self._after)
        self._join()
        self._first: Final = re.compile(f"[{re.escape(''.join(self._after[0]))}]")
        self.forget()

    def forget(self) -> None:
        """Begin another text."""
        self._state = 0
        #: The length of the word that was found, 0 until then.
        self.complete = 0

    def may_begin_in(self, text: str) -> bool:
        """Return whether *text* has a letter with which a word begins, or nothing at all."""
        return not text or self._first.search(text) is not None

    def find(self, text: str) -> int:
        """Go on with *text*, up to the end of the first word. Return the index in it where the word
        begins, or what may become one; it is less than 0 if that was in an earlier piece."""
        at = 0
        while at < len(text):
            if not self._state:
                first = self._first.search(text, at)
                if first is None:
                    return len(text)
                at = first.start()
            self._state = self._next(text[at])
            at += 1
            if length := self._complete[self._state]:
                self.complete = length
                return at - length
        return len(text) - self._length[self._state]

    def _next(self, letter: str) -> int:
        state = self._state
        while letter not in self._after[state]:
            if not state:
                return 0
            state = self._shorter[state]
        return self._after[state][letter]

    def _add(self, word: str) -> None:
        state = 0
        for letter in word:
            if letter not in self._after[state]:
                self._after[state][letter] = len(self._after)
                self._after.append({})
                self._length.append(self._length[state] + 1)
                self._complete.append(0)
            state = self._after[state][letter]
        self._complete[state] = len(word)

    def _join(self) -> None:
        states = deque(self._after[0].values())
        while states:
            state = states.popleft()
            for letter, longer in self._after[state].items():
                self._state = self._shorter[state]
                shorter = self._next(letter)
                self._shorter[longer] = shorter
                self._complete[longer] = self._complete[longer] or self._complete[shorter]
                states.append(longer)


class Length:
    """Ends the answer after *limit* tokens, as *count* counts them, with reason `length`.

    Tokens end where words do. So what lies behind the end of a word is counted once, and only the
    last words are counted again as the answer grows.
    """

    field = "max_tokens"

    #: Characters that are counted for good at once, if a word ends there; and if none does.
    _STEP: Final = 100
    _LONG_STEP: Final = 300
    _BREAK: Final = re.compile(r"(?<=[^\W\d_])(?=[ ,.;:!?()，。、；：！？（）\n])")

    def __init__(self, limit: int, count: Callable[[str], int]) -> None:
        self._limit = limit
        self._count = count
        self._has_given_up = False
        self._begin()

    def _begin(self) -> None:
        #: The tokens that are left for what is not counted for good: the end of the answer, in
        #: pieces, because joining them at each one would copy it over and over.
        self._left = self._limit
        self._pieces: list[str] = []
        # Pieces counted apart never have fewer tokens than together, so the expensive count of
        # all the text is needed only when this sum exceeds the limit.
        self._at_most = 0

    def feed(self, event: ReplyEvent) -> Iterable[ReplyEvent]:
        """See `Stage`."""
        if self._has_given_up or not isinstance(event, Text | Replaced):
            return (event,)
        text = event.text
        if isinstance(event, Replaced):
            self._begin()
        self._pieces.append(text)
        self._at_most += self._count(text)
        if self._at_most <= self._left:
            return (event,)
        too_long = self._too_long()
        if not too_long:
            return (event,)
        fits = text[: max(0, len(text) - too_long)]
        if isinstance(event, Replaced):
            return Replaced(fits), Done("length")
        return (Text(fits), Done("length")) if fits else (Done("length"),)

    def give_up(self) -> Iterable[ReplyEvent]:
        """See `Stage`."""
        self._has_given_up = True
        return ()

    def _too_long(self) -> int:
        """Count the end of the answer, all but the last words for good; return how many of its
        characters are beyond the limit."""
        text = "".join(self._pieces)
        at = 0
        while True:
            end = self._break(text, at)
            tokens = self._count(text[at:end])
            if tokens > self._left:
                return len(text) - at - _longest(text[at:end], self._left, self._count)
            if end == len(text):
                break
            self._left -= tokens
            at = end
        self._pieces, self._at_most = [text[at:]], tokens
        return 0

    def _break(self, text: str, at: int) -> int:
        """Return up to where *text* is counted next."""
        long = at + self._LONG_STEP
        if len(text) <= long:
            return len(text)
        found = self._BREAK.search(text, at + self._STEP, long)
        return found.start() if found else long


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

    field = None

    def feed(self, event: ReplyEvent) -> Iterable[ReplyEvent]:
        """See `Stage`."""
        return () if isinstance(event, ToolCallPart) and event.index > 0 else (event,)

    def give_up(self) -> Iterable[ReplyEvent]:
        """See `Stage`."""
        return ()
