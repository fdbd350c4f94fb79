"""Where the references of a schema lead, if only nearly.

A reference that names no place in the schema may still say what is meant: definitions stand
elsewhere than it looks, or it is a mere name. Then it leads to the one part that has its last name.
Nothing is ever fetched: an address leads somewhere only if a part of the schema says that it is its
own.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any, Final
from urllib.parse import quote, unquote

#: Keywords under which stand schemas that others refer to by name.
_NAMED: Final = ("$defs", "definitions", "schemas")
#: Keywords that are a name themselves.
_NAMES: Final = ("$id", "id", "$anchor", "$dynamicAnchor")
_PLACE: Final = re.compile("[0-9]{1,7}")
#: The most characters of an address that is written anew, about.
MAX_ADDRESS: Final = 1_000

#: The way to a part of a schema: the way to what holds it, and its name or place there; empty for
#: the whole.
_Path = tuple[Any, ...]


class References:
    """Knows the parts of one schema, to which others refer."""

    def __init__(self, root: Any) -> None:
        self._root = root
        #: The ways to all that has a name; None for a name that two have.
        self._named: dict[str, _Path | None] = {}
        pending: list[tuple[Any, _Path]] = [(root, ())] if isinstance(root, dict) else []
        while pending:
            at, path = pending.pop()
            for key, below in at.items() if isinstance(at, dict) else enumerate(at):
                if isinstance(below, dict | list):
                    pending.append((below, (path, key)))
                if key in _NAMES and isinstance(below, str):
                    for name in {below, _last_name(below)}:
                        self._add(name, path)
                elif key in _NAMED and isinstance(below, dict):
                    for name, one in below.items():
                        if isinstance(one, dict | bool):
                            self._add(name, ((path, key), name))

    def _add(self, name: str, path: _Path) -> None:
        self._named[name] = None if name in self._named else path

    def address(self, reference: str) -> str | None:
        """Return the address of what *reference* means, in draft 2020-12 and without bases; None
        if that is nothing, or cannot be told."""
        if reference in ("", "#"):
            return "#"
        steps = self._pointed_at(reference) if reference.startswith("#/") else None
        if steps is None:
            name = reference if "://" in reference else _last_name(reference)
            path = self._named.get(name)
            if path is None:
                return None
            steps = _steps(path)
        return _written(steps)

    def _pointed_at(self, reference: str) -> list[Any] | None:
        at = self._root
        steps: list[Any] = []
        for step in reference[2:].split("/"):
            name = _unescaped(step)
            if isinstance(at, dict) and (name in at or step in at):
                steps.append(name if name in at else step)
            elif isinstance(at, list) and _PLACE.fullmatch(step) and int(step) < len(at):
                steps.append(int(step))
            else:
                return None
            at = at[steps[-1]]
        return steps if isinstance(at, dict | bool) else None


def _steps(path: _Path) -> list[Any]:
    steps: list[Any] = []
    while path:
        path, step = path
        steps.append(step)
    steps.reverse()
    return steps


def _written(steps: list[Any]) -> str | None:
    written: list[str] = []
    size = 0
    for step, below in pairwise((*steps, None)):
        name = "prefixItems" if step == "items" and isinstance(below, int) else str(step)
        size += len(name)
        if size > MAX_ADDRESS:
            return None
        written.append("/" + quote(name.replace("~", "~0").replace("/", "~1"), safe="~$"))
    return "#" + "".join(written)


def _last_name(address: str) -> str:
    end = address.rstrip("/#")
    return _unescaped(end[max(end.rfind("/"), end.rfind("#")) + 1 :])


def _unescaped(step: str) -> str:
    return unquote(step).replace("~1", "/").replace("~0", "~")
