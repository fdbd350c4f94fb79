"""Which scripts Poe's site has. Free of I/O. Web protocol sheet §5.6.

The page names some, its manifest those of other pages, and webpack's runtime all the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final
from urllib.parse import quote

from poe_proxy.budget import Budget
from poe_proxy.upstreams.bulk import matches

#: The most scripts that a manifest or a runtime may name; what is behind them is left out.
MAX_SCRIPTS: Final = 1000
#: The most characters of an object in the runtime that maps a chunk's number.
_MAX_MAP: Final = 200_000

# ---- addresses

#: The beginnings of the path of a script, the more telling one first.
_FOLDERS: Final = (("/_next/static/", "/_next/"), ("/static/chunks/", "/"))
_MANIFEST: Final = "/_buildManifest.js"
_RUNTIME: Final = re.compile(r"/webpack(?:-[\w-]{1,100})?\.js\Z")


def base_of(address: str) -> str | None:
    """Return what the paths of a manifest and a runtime count from, by the *address* of any script
    of theirs: all before `static/`. None if it is no such address."""
    address = _without_query(address)
    for folder, kept in _FOLDERS:
        at = address.find(folder)
        if at >= 0:
            return address[:at] + kept
    return None


def _without_query(address: str) -> str:
    return address.partition("?")[0].partition("#")[0]


def is_manifest(address: str) -> bool:
    """Whether the script of this *address* is the manifest."""
    return _without_query(address).endswith(_MANIFEST)


def is_runtime(address: str, text: str | None = None) -> bool:
    """Whether the script of this *address* is webpack's runtime; by its *text* if the name says
    nothing."""
    if _RUNTIME.search(_without_query(address)):
        return True
    return text is not None and ".u=" in text and "static/chunks/" in text


# ---- what a manifest and a runtime name

#: A path in a string; its slashes may be escaped.
_PATH: Final = re.compile(
    r"[\"'`](static(?:[\w/.~!@$&()*+,;=:%\[\]-]|\\/|\\u002[fF]){1,400}+)[\"'`]"
)
_ESCAPED_SLASH: Final = re.compile(r"\\/|\\u002[fF]")


def in_manifest(text: str, base: str, budget: Budget) -> list[str]:
    """Return the addresses of the scripts that a manifest names, in its order, each once.

    It is an object, or a function that is called with what several pages need: the paths are
    strings in both. They count from *base*. Raises `OutOfBudget`.
    """
    return _each_once(_addresses(_paths(text, budget), base))


def _paths(text: str, budget: Budget) -> Iterator[str]:
    for found in matches(_PATH, text, budget):
        path = _ESCAPED_SLASH.sub("/", found[1])
        if path.startswith("static/") and path.endswith(".js"):
            yield path


def _addresses(paths: Iterable[str], base: str) -> Iterator[str]:
    for path in paths:
        if ".." not in path.split("/"):
            yield base + quote(path, safe="/%~!@$&()*+,;=:")


def _each_once(addresses: Iterable[str]) -> list[str]:
    kept: dict[str, None] = {}
    for one in addresses:
        kept[one] = None
        if len(kept) == MAX_SCRIPTS:
            break
    return list(kept)


_QUOTE: Final = "[\"'`]"
#: The beginning of a chunk's path whose rest is put together.
_BEGINNING: Final = re.compile(rf"{_QUOTE}(static/chunks/(?:[\w.-]{{1,50}}/)?){_QUOTE}\s{{0,8}}\+")
#: What stands between the objects: `((`, `)[e]||e)+"."+(`; or in place of the first one, if it has
#: few entries: `(12===e?"alias":e)+"."+(`.
_BETWEEN: Final = re.compile(r"[^{};]{0,900}")
_ALIAS: Final = re.compile(
    rf"(?:{_QUOTE}?\b(\d\w{{0,20}}|(?<={_QUOTE})\w{{1,100}}){_QUOTE}?===?\w{{1,20}}"
    rf"|===?{_QUOTE}?(\w{{1,100}}){_QUOTE}?)\?{_QUOTE}([\w.-]{{1,200}}){_QUOTE}"
)
_SEPARATOR: Final = re.compile(rf"\+\s{{0,8}}{_QUOTE}([._-]{{1,3}}){_QUOTE}\s{{0,8}}\+")
_END: Final = re.compile(rf"[^{{}};]{{0,40}}?\+\s{{0,8}}{_QUOTE}([\w.-]{{0,20}}\.js){_QUOTE}")
_ENTRY: Final = re.compile(
    rf"\s{{0,8}}{_QUOTE}?([\w.-]{{1,100}}){_QUOTE}?\s{{0,8}}:\s{{0,8}}"
    rf"{_QUOTE}([\w.~-]{{1,200}}){_QUOTE}\s{{0,8}},?"
)


def in_runtime(text: str, base: str, budget: Budget) -> list[str]:
    """Return the addresses of the scripts that webpack's runtime names, each once.

    Some of them it names in full, others by number and hash:
    `"static/chunks/"+(({12:"alias"})[e]||e)+"."+({12:"<hash>"})[e]+".js"`, the first object of
    which may be missing. They count from *base*. Raises `OutOfBudget`.
    """
    return _each_once(_addresses(_chunks(text, budget), base))


def _chunks(text: str, budget: Budget) -> Iterator[str]:
    yield from _paths(text, budget)
    # There is one such expression; a few more are looked at.
    for beginning in islice(matches(_BEGINNING, text, budget), 5):
        yield from _mapped(text, beginning.end(), beginning[1], budget)


def _mapped(text: str, at: int, folder: str, budget: Budget) -> Iterator[str]:
    """Yield the paths of the chunks that the expression at *at* makes."""
    aliases: dict[str, str] = {}
    hashes: dict[str, str] = {}
    separator = ""
    until = min(len(text), at + _MAX_MAP)
    while not (end := _END.match(text, at, until)):
        between = _BETWEEN.match(text, at, until)
        if between is None or not text.startswith("{", between.end()):
            return
        if said := _SEPARATOR.search(between[0]):
            separator = said[1]
        aliases |= hashes
        for one in matches(_ALIAS, between[0], budget):
            aliases[_number(one[1] or one[2])] = one[3]
        hashes, at = _map(text, between.end() + 1, until, budget)
    for number, hash in hashes.items():
        # Without anything in between, no hash is added: each chunk has its whole name here.
        name = aliases.get(number, number) + separator if separator else ""
        yield f"{folder}{name}{hash}{end[1]}"


def _map(text: str, at: int, until: int, budget: Budget) -> tuple[dict[str, str], int]:
    """Return the object whose first entry is at *at*, and its end."""
    entries: dict[str, str] = {}
    while entry := _ENTRY.match(text, at, until):
        budget.breathe()
        entries.setdefault(_number(entry[1]), entry[2])
        at = entry.end()
    return entries, at + text.startswith("}", at)


def _number(key: str) -> str:
    """Return the name of a property: `1e3` is that of `1000`."""
    mantissa, e, exponent = key.partition("e")
    if e and mantissa.isdecimal() and exponent.isdecimal() and len(exponent) == 1:
        return mantissa + "0" * int(exponent)
    return key
