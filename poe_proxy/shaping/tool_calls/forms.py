"""Forms: what a call begins with, matched against a text that is still coming.

A form is a row of steps. Against a text that ends too early it is neither there nor not: it may
become one (`MORE`). Every step is of bounded length, so what may become a form can be held back
and looked at anew with each piece of the text.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias


class Verdict(enum.Enum):
    """What a form is that is not there."""

    #: The text is something else.
    NO = enum.auto()
    #: The text ends before that can be known.
    MORE = enum.auto()


NO: Final = Verdict.NO
MORE: Final = Verdict.MORE


class Step(Protocol):
    """A part of a form."""

    def match(self, text: str, at: int, groups: dict[str, str], is_all: bool) -> int | Verdict:
        """Return where this part ends in *text* if it begins *at* there.

        What is to be known of it goes into *groups*. *is_all*: no more text will come.
        """


#: Steps as they are written down: a text stands for itself, in any case.
Steps: TypeAlias = "str | Step"


@dataclass(frozen=True, slots=True)
class Found:
    """A form that is there."""

    end: int
    groups: Mapping[str, str]


class Form:
    """A row of steps."""

    def __init__(self, *steps: Steps) -> None:
        self._steps = _row(steps)

    def match(self, text: str, at: int, *, is_all: bool = False) -> Found | Verdict:
        """Look whether the form begins *at* in *text*. *is_all*: no more text will come."""
        groups: dict[str, str] = {}
        end = _match(self._steps, text, at, groups, is_all)
        return end if isinstance(end, Verdict) else Found(end, groups)


def _row(steps: tuple[Steps, ...]) -> tuple[Step, ...]:
    return tuple(_Text(one) if isinstance(one, str) else one for one in steps)


def _match(
    steps: tuple[Step, ...], text: str, at: int, groups: dict[str, str], is_all: bool
) -> int | Verdict:
    for step in steps:
        end = step.match(text, at, groups, is_all)
        if isinstance(end, Verdict):
            return end
        at = end
    return at


class _Text:
    def __init__(self, text: str) -> None:
        self._text = text.lower()

    def match(self, text: str, at: int, groups: dict[str, str], is_all: bool) -> int | Verdict:
        end = at + len(self._text)
        piece = text[at:end].lower()
        if piece == self._text:
            return end
        return MORE if not is_all and end > len(text) and self._text.startswith(piece) else NO


class Run:
    """What a *pattern* of bounded length takes, *least* characters of it or more."""

    def __init__(self, pattern: re.Pattern[str], group: str = "", *, least: int = 0) -> None:
        self._pattern = pattern
        self._group = group
        self._least = least

    def match(self, text: str, at: int, groups: dict[str, str], is_all: bool) -> int | Verdict:
        """See `Step`. What ends with the text might go on."""
        found = self._pattern.match(text, at)
        end = at if found is None else found.end()
        if end == len(text) and not is_all:
            return MORE
        if end - at < self._least:
            return NO
        if self._group:
            groups[self._group] = text[at:end]
        return end


class Maybe:
    """Steps that may be missing."""

    def __init__(self, *steps: Steps) -> None:
        self._steps = _row(steps)

    def match(self, text: str, at: int, groups: dict[str, str], is_all: bool) -> int | Verdict:
        """See `Step`."""
        end = _match(self._steps, text, at, groups, is_all)
        return at if end is NO else end


class OneOf:
    """The first of several forms that is there. Where one is, none before it may become one."""

    def __init__(self, *forms: Steps | tuple[Steps, ...]) -> None:
        self._forms = tuple(_row(one if isinstance(one, tuple) else (one,)) for one in forms)

    def match(self, text: str, at: int, groups: dict[str, str], is_all: bool) -> int | Verdict:
        """See `Step`."""
        for form in self._forms:
            end = _match(form, text, at, groups, is_all)
            if end is not NO:
                return end
        return NO


class Before:
    """A form that comes next and is left there."""

    def __init__(self, *forms: Steps | tuple[Steps, ...]) -> None:
        self._forms = OneOf(*forms)

    def match(self, text: str, at: int, groups: dict[str, str], is_all: bool) -> int | Verdict:
        """See `Step`."""
        end = self._forms.match(text, at, groups, is_all)
        return end if isinstance(end, Verdict) else at


_GAP_SPACE: Final = re.compile(r"\s{0,40}+")
_SPACES: Final = re.compile(r"[ \t]{1,10}+")
_WORD: Final = re.compile(r"[\w-]{0,40}+")
_TOOL_NAME: Final = re.compile(r"[\w.:/-]{1,128}+")
_QUOTE: Final = re.compile(r"[\"']?+")

#: White space that may stand between the parts of a form; a space that must.
GAP: Final = Run(_GAP_SPACE)
SPACE: Final = Run(_SPACES, least=1)
#: A name of a tool, with what houses put before and behind it.
NAME: Final = Run(_TOOL_NAME, "name", least=1)
#: A quotation mark, if there is one.
QUOTE: Final = Run(_QUOTE)
#: The opening line of a code block.
FENCE: Final = (GAP, Maybe("```", Run(_WORD), GAP))
#: What a JSON object begins with, maybe the first one of a list.
OBJECT: Final = (GAP, Before("{"))
OBJECT_OR_LIST: Final = (GAP, Maybe("[", GAP), Before("{"))
