"""Names of tools that stand in namespaces: bots know none, so to them a name holds both.

Codex carries out a call only by the name and the namespace that it has given itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

#: The most characters of a name that is made of two: no maker takes more.
MAX_NAME: Final = 64
#: What stands between the two.
_BETWEEN: Final = "__"
#: The namespace of tools that have none of their own.
_PLAIN: Final = "functions"


class Names:
    """The names of a request's tools, there and back.

    They depend on nothing but the tools, so they stay while a conversation goes on with the same
    ones.
    """

    def __init__(self, tools: Iterable[tuple[str, str | None]]) -> None:
        """*tools* are the name of each, and its namespace."""
        known = dict.fromkeys((own(namespace), name) for name, namespace in tools)
        plain = [name for namespace, name in known if namespace is None]
        self._flat: dict[tuple[str | None, str], str] = {(None, name): name for name in plain}
        self._taken: set[str] = set(plain)
        self._tries: dict[str, int] = {}
        for namespace, name in known:
            if namespace is not None:
                self._flat[namespace, name] = self._free(f"{namespace}{_BETWEEN}{name}")
        self._given = {flat: given for given, flat in self._flat.items()}

    def of(self, name: str, namespace: str | None) -> str:
        """Return what the bot calls the tool, which may be one that is not offered any more."""
        namespace = own(namespace)
        flat = self._flat.get((namespace, name))
        if flat is None:
            flat = name if namespace is None else f"{namespace}{_BETWEEN}{name}"[:MAX_NAME]
        return flat

    def given(self, flat: str) -> tuple[str, str | None]:
        """Return the name and the namespace that the client has for what the bot calls *flat*."""
        namespace, name = self._given.get(flat, (None, flat))
        return name, namespace

    def _free(self, wanted: str) -> str:
        """Return a name like *wanted* that no other tool has."""
        base = found = wanted[:MAX_NAME]
        while found in self._taken:
            self._tries[base] = self._tries.get(base, 0) + 1
            end = f"_{self._tries[base] + 1}"
            found = base[: MAX_NAME - len(end)] + end
        self._taken.add(found)
        return found


def own(namespace: str | None) -> str | None:
    """Return *namespace* if a name needs one: not in the one for tools without."""
    return None if not namespace or namespace == _PLAIN else namespace
