"""The hashes of persisted queries, in a script of Poe's. Free of I/O. Web protocol sheet §5.6.

Relay compiles an operation into `params:{id:"<64 hex>",metadata:{},name:"<name>",
operationKind:"query",text:null}`. What else stands in there, in which order, and how it is quoted
differs from site to site; the name stands in the same script several times more.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from typing import Final

from poe_proxy.budget import Budget
from poe_proxy.upstreams.bulk import matches
from poe_proxy.upstreams.poe_web.functions import Reader

#: The most characters before a name, and behind it, in which the rest of its object is looked for.
REACH: Final = 1500
#: The most places of one script at which one name is looked at.
MAX_LOOKS: Final = 100

_QUOTE: Final = "[\"'`]"
_NAME: Final = re.compile(
    rf"(?<![\w$])[\"']?name[\"']?\s{{0,8}}:\s{{0,8}}{_QUOTE}(\w{{1,200}}){_QUOTE}"
)
_KEY: Final = re.compile(r"\s{0,8}[\"']?([\w$]{1,100})[\"']?\s{0,8}:\s{0,8}")
_HASH: Final = re.compile(rf"{_QUOTE}([0-9a-f]{{64}}){_QUOTE}\s{{0,8}}")
_KIND: Final = re.compile(rf"{_QUOTE}(?:query|mutation|subscription){_QUOTE}\s{{0,8}}")
_PARAMS: Final = re.compile(r"\bparams[\"']?\s{0,8}:\s{0,8}\Z")

#: What counts on the way from a name back to the beginning of its object, in a text that is turned
#: round: brackets, and strings. A quote with a backslash before it is a part of a string.
_BACK: Final = re.compile(r"[()\[\]{}\"'`]")
_DOUBLE: Final = re.compile(r'"(?:[^"]|"(?=\\))*+"')
_SINGLE: Final = re.compile(r"'(?:[^']|'(?=\\))*+'")
_TEMPLATE: Final = re.compile(r"`(?:[^`]|`(?=\\))*+`")


def subscription_operation(name: str) -> str:
    """Return the name of the operation that the page sends to subscribe to *name*."""
    return f"subscriptions_{name}_Subscription"


def find(text: str, wanted: Collection[str], budget: Budget) -> dict[str, str]:
    """Return the hashes of those operations of *wanted* whose artefacts a script has: the first
    one of each. Raises `OutOfBudget`."""
    found: dict[str, str] = {}
    looks: Counter[str] = Counter()
    left = set(wanted)
    for anchor in matches(_NAME, text, budget):
        if not left:
            break
        name = anchor[1]
        if name not in left:
            continue
        looks[name] += 1
        if hash := _hash_of(text, anchor.start(), anchor.end(), name, budget):
            found[name] = hash
        if hash or looks[name] == MAX_LOOKS:
            left.remove(name)
    return found


def _hash_of(text: str, start: int, end: int, name: str, budget: Budget) -> str | None:
    """Return the hash in the object that says `name:"…"` from *start* to *end*, if it is an
    artefact."""
    begin = _beginning(text, start, budget)
    if begin is None:
        return None
    fields = _fields(text, begin, min(len(text), end + REACH), budget)
    hash = _HASH.fullmatch(fields.get("id", ""))
    is_named = fields.get("name", "").strip()[1:-1] == name
    is_artefact = (
        _KIND.fullmatch(fields.get("operationKind", "")) is not None
        or fields.get("text", "").strip() == "null"
        or _PARAMS.search(text[max(0, begin - 30) : begin]) is not None
    )
    return hash[1] if hash and is_named and is_artefact else None


def _beginning(text: str, at: int, budget: Budget) -> int | None:
    """Return where the object begins in which *at* is, but in no object within it."""
    back = text[max(0, at - REACH) : at][::-1]
    depth = place = 0
    while token := _BACK.search(back, place):
        budget.breathe()
        place = token.end()
        match token[0]:
            case ")" | "]" | "}":
                depth += 1
            case "(" | "[" | "{":
                if not depth:
                    return at - place if token[0] == "{" else None
                depth -= 1
            case quote:
                kind = {'"': _DOUBLE, "'": _SINGLE}.get(quote, _TEMPLATE)
                string = kind.match(back, token.start())
                if string is None:
                    return None
                place = string.end()
    return None


def _fields(text: str, begin: int, until: int, budget: Budget) -> dict[str, str]:
    """Return the fields of the object that begins at *begin*, as far as they stand before *until*:
    the code of each."""
    reader = Reader(text, until, budget)
    fields: dict[str, str] = {}
    at = begin + 1
    while key := _KEY.match(text, at, until):
        end = reader.end_of_expression(key.end())
        if not end:
            break
        fields.setdefault(key[1], text[key.end() : end])
        at = end + 1
        if end < len(text) and text[end] != ",":
            break
    return fields
