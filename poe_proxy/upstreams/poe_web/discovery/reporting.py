"""What may be told to others of Poe's page and its answers: what of it is known and found, and the
shapes of answers; no text of theirs, and nothing of an account.

Free of I/O.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final
from urllib.parse import urlsplit

from poe_proxy.budget import Budget, OutOfBudget
from poe_proxy.upstreams.bulk import search
from poe_proxy.upstreams.poe_web.discovery.findings import Findings
from poe_proxy.upstreams.poe_web.discovery.looking import Look
from poe_proxy.upstreams.poe_web.discovery.trying import Probe
from poe_proxy.upstreams.poe_web.pages import SECONDS
from poe_proxy.upstreams.poe_web.site import Site

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
_NAME: Final = re.compile(r"[A-Za-z_]{1,60}[0-9]{0,3}")
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_DIGITS: Final = re.compile(r"[0-9]+")

#: The messages of errors that are told as they are: they are Poe's own, and the same for all.
_ERRORS: Final = ("Server Error", "PersistedQueryNotFound")

#: Where Poe's scripts usually come from.
_CDN: Final = "poecdn.net"

#: What of a sentence of ours may stand in brackets: names of entries, a status, a size. All else
#: may be what code of the page says.
_OURS: Final = re.compile(r"[a-z_]+\.[a-z_]+(?:, [a-z_]+\.[a-z_]+)*|[0-9]{3}|[0-9.]+ MB")
_FAILS: Final = "fails: "
#: What stands before a bracket with the words of a script that failed, whatever they look like.
_FAILED: Final = "scripts failed "
#: What makes a word an address.
_OF_ADDRESSES: Final = ("://", "@")
#: The shortest text that is looked for as a secret: a shorter one is part of many words.
_SECRET: Final = 4
#: The most characters of an object that is shown on one line.
_LINE: Final = 200


# ---- the shape of an answer


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
            if len(one) < 64:
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


def answer(probe: Probe) -> Mapping[str, Any]:
    """Return what may be told of the answer to an operation."""
    told: dict[str, Any] = {"status": probe.status}
    if error := error_word(probe.error):
        told["error"] = error
    if probe.data is not None:
        told["shape"] = shape(probe.data)
    return told


def error_word(message: str) -> str:
    """Return what may be told of the message of an error; an empty text if there is none."""
    return message if message in ("", *_ERRORS) else "other"


# ---- what is known, and what was found


def hashes(site: Site, look: Look | None) -> Mapping[str, Any]:
    """Return each operation and subscription of *site*: its hash and since when it is known, and
    the one that was found, and where."""
    found = {} if look is None else look.findings.found
    where = {} if look is None else look.where

    def told(entry: str, hash: str) -> Mapping[str, Any]:
        evidence = site.evidence.get(entry)
        return {
            "known": hash,
            **({"seen": evidence.seen, "source": evidence.source} if evidence else {}),
            "own": evidence is not None and evidence.is_own,
            "found": "the same" if found.get(entry) == hash else found.get(entry),
            "where": where.get(entry),
        }

    return {
        table: {name: told(f"{table}.{name}", hash) for name, hash in entries.items()}
        for table, entries in (
            ("operations", site.operations),
            ("subscriptions", site.subscriptions),
        )
    }


def others(findings: Findings, site: Site) -> Mapping[str, Any]:
    """Return what else differs from what *site* has: of the tag, and of the page."""
    return {
        one.name: {"known": one.before, "found": one.after}
        for one in findings.differences(site)
        if one.name.startswith(("tag.", "pages."))
    }


def page(look: Look, site: Site, url: str) -> Mapping[str, Any]:
    """Return what the page at *url* has, and which steps to the form key and the tag went well."""
    home, found = look.home.page, look.findings.found
    budget = Budget(SECONDS)

    def has(pattern: re.Pattern[str], texts: Iterable[str]) -> bool | str:
        try:
            with budget.work("looking for what the page has"):
                return any(search(pattern, text, budget) is not None for text in texts)
        except OutOfBudget:
            return "not known: it takes too long"

    patterns = site.patterns
    behind = [text.partition(patterns.secret_after)[2] for text in look.app]
    return {
        "__NEXT_DATA__": "__NEXT_DATA__" in home.html,
        "build_id": bool(home.build_id),
        "channel_data": home.channel is not None,
        "revision": any(has(one, (*look.app, home.html)) is True for one in patterns.revision),
        "revision_elsewhere": "pages.revision_seen" in found,
        "blocks_of_code": len(home.inline),
        "scripts": hosts(home.scripts, url),
        "scripts_read": look.scripts,
        "bytes_read": look.size,
        "form_key": {
            "its_scripts": len(look.app),
            "secret_there": has(patterns.secret, behind),
            "secret_anywhere_there": has(patterns.secret_anywhere, look.app),
            "getter_named_there": has(patterns.getter_named, look.app),
            "getter_in_the_page": has(patterns.getter, home.inline),
        },
        "tag": {
            "found": "tag.salt" in found,
            "salt_is_known": found.get("tag.salt") == site.tag.salt,
            "order_is_known": found.get("tag.order") == site.tag.order,
            "form": found.get("tag.form"),
        },
        "notes": [sentence(note) for note in look.findings.notes],
    }


def sentence(text: str) -> str:
    """Return a sentence of ours without what code of the page, or an address, has to do with it."""
    head, fails, _ = text.partition(_FAILS)
    words = (f"{head}{fails}{MORE}" if fails else text).split()
    text = " ".join(MORE if any(mark in word for mark in _OF_ADDRESSES) else word for word in words)
    at = text.find("(")
    while at >= 0:
        end = text.find(")", at)
        is_ours = end > 0 and not text.endswith(_FAILED, 0, at)
        if not is_ours or not _OURS.fullmatch(text, at + 1, end):
            # What it says may have brackets of its own.
            return f"{text[:at]}({MORE}){text[text.rfind(')') + 1 :] if end > 0 else ''}"
        at = text.find("(", end)
    return text


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


# ---- the whole


def without(told: Any, secrets: Collection[str]) -> Any:
    """Return *told* with none of the *secrets* in any text of it. Nothing puts them there; this
    holds whatever happens."""
    hidden = [one for one in secrets if len(one) >= _SECRET]
    match told:
        case str():
            return MORE if any(one in told for one in hidden) else told
        case Mapping():
            return {without(name, hidden): without(one, hidden) for name, one in told.items()}
        case list():
            return [without(one, hidden) for one in told]
        case _:
            return told


def drawn(told: Any) -> str:
    """Return *told* as JSON for people: an object without others in it is one line."""
    return "".join(_drawn(told, "")) + "\n"


def _drawn(told: Any, indent: str) -> Iterator[str]:
    flat = json.dumps(told, ensure_ascii=False)
    inner = told.values() if isinstance(told, Mapping) else ()
    if not any(isinstance(one, Mapping | list) for one in inner) and len(flat) <= _LINE:
        yield flat
    elif isinstance(told, Mapping):
        yield "{"
        for place, (name, one) in enumerate(told.items()):
            yield f"{',' if place else ''}\n{indent}  {json.dumps(name, ensure_ascii=False)}: "
            yield from _drawn(one, f"{indent}  ")
        yield f"\n{indent}}}"
    elif isinstance(told, list) and told:
        yield "["
        for place, one in enumerate(told):
            yield f"{',' if place else ''}\n{indent}  "
            yield from _drawn(one, f"{indent}  ")
        yield f"\n{indent}]"
    else:
        yield flat
