"""What may be told of Poe's answers and its page to others: their shapes, and none of their texts.

Free of I/O.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final
from urllib.parse import urlsplit

#: How deep an answer is told of, how many fields of an object and items of a list, and how many
#: values in all.
_DEPTH: Final = 16
_FIELDS: Final = 60
_ITEMS: Final = 10
_VALUES: Final = 5000

#: In place of what is not told.
MORE: Final = "…"

#: A name as schemas have them: letters, and at most the number of a version. Ids and digests, which
#: may be names in an object too, have digits elsewhere.
_NAME: Final = re.compile(r"[A-Za-z_]{1,40}[0-9]{0,3}")
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_DIGITS: Final = re.compile(r"[0-9]+")

#: The messages of errors that are told as they are: they are Poe's own, and the same for all.
_ERRORS: Final = ("Server Error", "PersistedQueryNotFound")

#: Where Poe's scripts usually come from.
_CDN: Final = "poecdn.net"


def shape(answer: Any) -> Any:
    """Return the shape of a JSON value, as another one: what kinds of values there are, under which
    names of fields; of a list what its first items have in common, or not.

    No text of the answer is in it, nor a name that is one of its texts, or is none of a schema. It
    takes time in proportion to the answer, and is itself of limited size.
    """
    return _Drawing(answer).drawn()


@dataclass(slots=True)
class _Shape:
    """What values in one place of an answer are like."""

    words: set[str] = field(default_factory=set)
    fields: dict[str, _Shape] | None = None
    items: _Shape | None = None

    def drawn(self) -> Any:
        forms: list[Any] = []
        if self.words:
            forms.append(" or ".join(sorted(self.words)))
        if self.fields is not None:
            forms.append({name: one.drawn() for name, one in self.fields.items()})
        if self.items is not None:
            inner = self.items.drawn()
            forms.append([] if inner is None else [inner])
        if len(forms) > 1:
            return {"one of": forms}
        return forms[0] if forms else None


class _Drawing:
    """The shape of an answer, as it is being drawn."""

    def __init__(self, answer: Any) -> None:
        self._texts = frozenset(_texts(answer))
        self._left = _VALUES
        self._shape = _Shape()
        self._add(answer, self._shape, _DEPTH)

    def drawn(self) -> Any:
        return self._shape.drawn()

    def _add(self, value: Any, to: _Shape, depth: int) -> None:
        self._left -= 1
        if not isinstance(value, dict | list):
            to.words.add(_word(value))
        elif depth == 0 or self._left <= 0:
            to.words.add(MORE)
        elif isinstance(value, dict):
            if to.fields is None:
                to.fields = {}
            for name, one in islice(value.items(), _FIELDS):
                self._add(one, to.fields.setdefault(self._name(name), _Shape()), depth - 1)
            if len(value) > _FIELDS:
                to.fields.setdefault(MORE, _Shape()).words.add(MORE)
        else:
            if to.items is None:
                to.items = _Shape()
            for one in value[:_ITEMS]:
                self._add(one, to.items, depth - 1)

    def _name(self, name: Any) -> str:
        # An object may be a map whose names are what a user wrote, such as those of his bots.
        is_known = isinstance(name, str) and _NAME.fullmatch(name) and name not in self._texts
        return name if is_known else MORE


def _texts(answer: Any) -> Iterator[str]:
    """Yield the texts in *answer* that could be names."""
    waiting = [answer]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            if len(one) < 50:
                yield one
        elif isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def _word(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "number"
        case "":
            return "empty text"
        case str() if _HASH.fullmatch(value):
            return "hash"
        case str() if _DIGITS.fullmatch(value):
            return "text of digits"
        case str():
            return "text"
        case _:
            return MORE


def error_word(message: Any) -> str:
    """Return what may be told of the message of an error; an empty text if there is none."""
    if not message:
        return ""
    return message if message in _ERRORS else "other"


def hosts(addresses: Iterable[str], page_url: str) -> Mapping[str, int]:
    """Return how many scripts come from which kind of host, in the order of the page."""
    own = urlsplit(page_url).hostname
    return Counter(_kind_of_host(address, own) for address in addresses)


def _kind_of_host(address: str, own: str | None) -> str:
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:
        return "other"
    if host == own:
        return "the page's own"
    return _CDN if host == _CDN or host.endswith(f".{_CDN}") else "other"
