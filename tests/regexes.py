"""Finds regular expressions that may take time with the square of their text, or worse.

A pattern becomes an automaton without its captures: each place that takes a character is a
position. Python tries one way after another, so what a text may cost is in how many ways the
automaton can read it:

- exponential: from a position back to it in two ways by the same text, as in `(a+)+b`
- overlap: two positions that can both stay where they are by the same text, and the text may be
  divided between them, as in `a*a*b` or `.*x.*y`
- restarts: the same, where the first of the two is the search itself, which begins anew behind
  each start, as in a search for `a*b` or `"(?:[^"]|\\")*"`

What cannot fail behind such a position costs nothing, since no second way is tried; and a turn of a
loop after which nothing can fail is kept, whatever becomes of the next one.

It says too much rather than too little, with three exceptions: a possessive repeat is taken to go
on wherever the first character of its body fits; a bounded repeat counts as a constant; and what a
loop in Python repeats, with `match` at one position after another, has to be said by whoever calls
(`again=True`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from re import _constants as kinds  # what `re.compile` itself reads a pattern with
from re import _parser as parser
from typing import Any, Final

#: A repeat with a bound counts as one without from here on.
BOUND: Final = 1000

#: The characters that sets are compared by: Latin-1, letters with odd cases, others of many kinds.
ALPHABET: Final = "".join(map(chr, range(256))) + "ıſK\u2028世🙂"
ALL: Final = (1 << len(ALPHABET)) - 1

#: A set of characters, a bit for each of the alphabet.
Chars = int

SINGLE: Final = (kinds.LITERAL, kinds.NOT_LITERAL, kinds.ANY, kinds.IN)
REPEATS: Final = (kinds.MAX_REPEAT, kinds.MIN_REPEAT, kinds.POSSESSIVE_REPEAT)


def findings(pattern: re.Pattern[Any], *, again: bool, whole: bool = False) -> set[str]:
    """Return what is risky about *pattern*: of `exponential`, `overlap`, `restarts`.

    *again*: it is tried at one position after another, as `search` does. *whole*: it has to match
    up to the end, as with `fullmatch`.
    """
    return set(_Automaton(pattern, again=again, whole=whole).findings())


# ---- sets of characters


@cache
def _matched_by(text: str, flags: int) -> Chars:
    one = re.compile(text, flags | re.DOTALL)
    return sum(1 << place for place, char in enumerate(ALPHABET) if one.fullmatch(char))


def _literal(code: int, flags: int) -> Chars:
    # A character that the alphabet lacks is in no set but those of others like it.
    return _matched_by(re.escape(chr(code)), flags & re.IGNORECASE)


def _range(low: int, high: int, flags: int) -> Chars:
    return _matched_by(f"[{re.escape(chr(low))}-{re.escape(chr(high))}]", flags & re.IGNORECASE)


_CATEGORIES: Final = {
    kinds.CATEGORY_DIGIT: r"\d",
    kinds.CATEGORY_NOT_DIGIT: r"\D",
    kinds.CATEGORY_SPACE: r"\s",
    kinds.CATEGORY_NOT_SPACE: r"\S",
    kinds.CATEGORY_WORD: r"\w",
    kinds.CATEGORY_NOT_WORD: r"\W",
}


def _chars(kind: Any, value: Any, flags: int) -> Chars:
    """Return what a node that takes one character takes."""
    if kind is kinds.LITERAL:
        return _literal(value, flags)
    if kind is kinds.NOT_LITERAL:
        return ALL & ~_literal(value, flags)
    if kind is kinds.ANY:
        return ALL if flags & re.DOTALL else ALL & ~_literal(ord("\n"), 0)
    found = 0
    negated = False
    for one, what in value:
        if one is kinds.NEGATE:
            negated = True
        elif one is kinds.LITERAL:
            found |= _literal(what, flags)
        elif one is kinds.RANGE:
            found |= _range(*what, flags)
        else:
            found |= _matched_by(_CATEGORIES[what], flags & re.ASCII)
    return ALL & ~found if negated else found


# ---- the automaton


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """A way from one state to another without a character."""

    to: int
    #: What the next character cannot be: a possessive repeat would have taken it.
    denied: Chars = 0
    #: Whether it may be barred, by an anchor, a lookaround or the end.
    barred: bool = False


@dataclass(slots=True)
class _State:
    steps: list[_Step] = field(default_factory=list)
    #: The state behind the one character that is taken here, and which ones it may be.
    to: int | None = None
    chars: Chars = 0


class _Automaton:
    def __init__(self, pattern: re.Pattern[Any], *, again: bool, whole: bool) -> None:
        text, flags = pattern.pattern, pattern.flags
        if isinstance(text, bytes):
            text, flags = text.decode("latin-1"), flags | re.ASCII
        tree = parser.parse(text, flags)
        self._states: list[_State] = []
        #: Where nothing is left that could fail.
        self._accepting = self._new()
        end = self._new()
        self._step(end, self._accepting, barred=whole)
        start = self._new()
        self._built(tree, flags, start, end)
        self._search: int | None = None
        if again and not _is_anchored(tree, flags):
            self._search = self._new()
            self._states[self._search].chars = ALL
            behind = self._new()
            self._states[self._search].to = behind
            self._step(behind, self._search)
            self._step(behind, start)
        #: The states that take a character, and what of it leads where by how many ways.
        self._follows = {
            place: self._follow(state.to)
            for place, state in enumerate(self._states)
            if state.to is not None
        }
        self._reach = {place: self._reachable(place, self._follows) for place in self._follows}
        #: The states behind which something can fail, each with those that it can lead to and come
        #: back from by way of such states; without those that do not come back at all.
        self._loops: dict[int, set[int]] = {}
        costly = {place for place in self._follows if not self._cannot_fail(place)}
        led_to = {place: self._reachable(place, costly) for place in costly}
        for place in costly:
            if any(place in led_to[one] for one in self._next(place) if one in costly):
                self._loops[place] = {one for one in led_to[place] if place in led_to[one]}

    # -- building

    def _new(self) -> int:
        self._states.append(_State())
        return len(self._states) - 1

    def _step(self, start: int, end: int, *, denied: Chars = 0, barred: bool = False) -> None:
        self._states[start].steps.append(_Step(end, denied, barred))

    def _built(self, nodes: Iterable[Any], flags: int, start: int, end: int) -> None:
        """Build a sequence of nodes between two states."""
        for kind, value in nodes:
            behind = self._new()
            self._build(kind, value, flags, start, behind)
            start = behind
        self._step(start, end)

    def _build(self, kind: Any, value: Any, flags: int, start: int, end: int) -> None:
        if kind in SINGLE:
            self._take(_chars(kind, value, flags), start, end)
        elif kind in REPEATS:
            self._build_repeat(kind, value, flags, start, end)
        elif kind is kinds.SUBPATTERN:
            _, added, removed, nodes = value
            self._built(nodes, (flags | added) & ~removed, start, end)
        elif kind is kinds.ATOMIC_GROUP:
            self._built(_possessive_at_the_end(value), flags, start, end)
        elif kind is kinds.BRANCH:
            for nodes in value[1]:
                self._built(nodes, flags, start, end)
        elif kind is kinds.AT:
            self._step(start, end, barred=True)
        elif kind in (kinds.ASSERT, kinds.ASSERT_NOT):
            # What is looked at costs what it costs; then all goes on from here.
            inside = self._new()
            self._step(start, inside)
            self._built(value[1], flags, inside, self._accepting)
            self._step(start, end, barred=True)
        elif kind is kinds.GROUPREF_EXISTS:
            # Which of the two it is, is not known.
            for nodes in value[1:]:
                self._built(nodes or (), flags, start, end)
        elif kind is not kinds.FAILURE:  # from which no way leads on
            assert kind is kinds.GROUPREF, kind
            # What it repeats is not known.
            self._take(ALL, start, start)
            self._step(start, end, barred=True)

    def _take(self, chars: Chars, start: int, end: int) -> None:
        one = self._new()
        self._step(start, one)
        self._states[one].chars = chars
        self._states[one].to = end

    def _build_repeat(self, kind: Any, value: Any, flags: int, start: int, end: int) -> None:
        low, high, nodes = value
        denied = self._first(nodes, flags) if kind is kinds.POSSESSIVE_REPEAT else 0
        # Two stand for any number of them.
        for _ in range(min(low, 2)):
            behind = self._new()
            self._built(nodes, flags, start, behind)
            start = behind
        if high > BOUND:
            # Each turn comes back to the hub, and only the hub is left.
            hub, inside = self._new(), self._new()
            self._step(start, hub)
            self._step(hub, inside)
            self._built(nodes, flags, inside, hub)
            self._step(hub, end, denied=denied)
            return
        for _ in range(min(high - low, 2)):
            self._step(start, end, denied=denied)
            behind = self._new()
            self._built(nodes, flags, start, behind)
            start = behind
        self._step(start, end, denied=denied)

    def _first(self, nodes: Iterable[Any], flags: int) -> Chars:
        """Return what a sequence may begin with, by itself."""
        start, end = self._new(), self._new()
        self._built(nodes, flags, start, end)
        return sum_of(chars for _, chars, _ in self._follow(start))

    # -- what leads where

    def _follow(self, start: int) -> list[tuple[int, Chars, bool]]:
        """Return which states that take a character come next, by which characters, and whether
        there are several ways to it."""
        found: dict[int, tuple[Chars, int]] = {}

        def walk(place: int, denied: Chars, gone: frozenset[_Step]) -> None:
            state = self._states[place]
            if state.to is not None and (chars := state.chars & ~denied):
                known, ways = found.get(place, (0, 0))
                found[place] = (known | chars, ways + 1)
            for step in state.steps:
                if step not in gone:
                    walk(step.to, denied | step.denied, gone | {step})

        walk(start, 0, frozenset())
        return [(place, chars, ways > 1) for place, (chars, ways) in found.items()]

    def _next(self, place: int) -> Iterator[int]:
        return (one for one, _, _ in self._follows[place])

    def _reachable(self, start: int, among: Collection[int]) -> set[int]:
        return reachable(start, lambda place: (one for one in self._next(place) if one in among))

    def _cannot_fail(self, place: int) -> bool:
        """Whether all is well as soon as this state's character is taken."""
        if place == self._search:
            return False
        state = self._states[place]
        assert state.to is not None
        return self._accepting in reachable(
            state.to,
            lambda one: (step.to for step in self._states[one].steps if not step.barred),
        )

    # -- judging

    def findings(self) -> Iterator[str]:
        """Yield the kinds of risk, each once or several times."""
        for one in self._loops:
            if one != self._search and self._is_exponential(one):
                yield "exponential"
            for other in self._loops:
                if one != other and other in self._reach[one] and self._overlap(one, other):
                    yield "restarts" if one == self._search else "overlap"

    def _is_exponential(self, start: int) -> bool:
        """Whether one text leads from *start* to itself in two ways."""
        loop = self._loops[start]

        def pairs(both: tuple[int, int, bool]) -> Iterator[tuple[int, int, bool]]:
            one, other, differed = both
            for left, left_chars, left_many in self._follows[one]:
                for right, right_chars, _ in self._follows[other]:
                    if left_chars & right_chars and left in loop and right in loop:
                        twice = left_many and (one, left) == (other, right)
                        yield left, right, differed or left != right or twice

        return (start, start, True) in reachable((start, start, False), pairs)

    def _overlap(self, first: int, second: int) -> bool:
        """Whether one text leads from each of the two to itself, and from *first* to *second*."""
        early, late = self._loops[first], self._loops[second]

        def triples(three: tuple[int, int, int]) -> Iterator[tuple[int, int, int]]:
            for one, one_chars, _ in self._follows[three[0]]:
                if one not in early:
                    continue
                for other, other_chars, _ in self._follows[three[2]]:
                    chars = one_chars & other_chars
                    if other not in late or not chars:
                        continue
                    for between, between_chars, _ in self._follows[three[1]]:
                        if chars & between_chars:
                            yield one, between, other

        return (first, second, second) in reachable((first, first, second), triples)


def _is_anchored(nodes: Sequence[Any], flags: int) -> bool:
    """Whether it can match at the very beginning of a text only."""
    if not nodes:
        return False
    kind, value = nodes[0]
    if kind is kinds.SUBPATTERN:
        return _is_anchored(value[3], flags)
    return kind is kinds.AT and (
        value is kinds.AT_BEGINNING_STRING
        or (value is kinds.AT_BEGINNING and not flags & re.MULTILINE)
    )


def _possessive_at_the_end(nodes: Sequence[Any]) -> list[Any]:
    """Return the nodes of an atomic group as such: what it ends with keeps what it has taken."""
    *before, (kind, value) = nodes
    if kind in (kinds.MAX_REPEAT, kinds.MIN_REPEAT):
        kind = kinds.POSSESSIVE_REPEAT
    return [*before, (kind, value)]


def sum_of(sets: Iterable[Chars]) -> Chars:
    """Return the union."""
    found = 0
    for one in sets:
        found |= one
    return found


def reachable(start: Any, neighbours: Any) -> set[Any]:
    """Return all that can be reached from *start*, and *start* itself."""
    found, waiting = {start}, [start]
    while waiting:
        for one in neighbours(waiting.pop()):
            if one not in found:
                found.add(one)
                waiting.append(one)
    return found
