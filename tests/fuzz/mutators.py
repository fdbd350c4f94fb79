"""Ways to make an input worse: its fragments repeated, nested, cut, joined to others, made odd."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

#: What opens something, and what closes it.
_PAIRS: Final = (
    ("[", "]"), ("{", "}"), ('{"a":', "}"), ("(", ")"), ('"', '"'), ("<", ">"), ("```\n", "\n```"),
    ("<tool_call>", "</tool_call>"), ("<think>", "</think>"), ("*", "*"), ("<script>", "</script>"),
    ('{"allOf":[', "]}"), ('{"items":', "}"), ("> ", "\n"), ('{"not":', "}"), ('\\"', '\\"'),
)  # fmt: skip
#: What is odd to most who read text or JSON.
_ODD: Final = (
    "\0", "\u2028", "\u2029", "\ufeff", "\u202e", "\u0301", "\U0001f469\u200d\U0001f469", "İ", "ß",
    "\x85", "\x1b[31m", "\r", "\r\n", "\n\n", "\\ud800", "\\u0000", "\\", '\\"', '"', "'", "`",
    "```", "<arg_key>", "<parameter", "<invoke", "\\u003c", "  ", "\t",
    "1e400", "-1e400", "NaN", "Infinity", "9" * 400, "0.1e-999", "-0", "18446744073709551616",
    "%41", "%", "&amp;", "&#x110000;", "<", "</script", "<script a", "<tool_call", "</tool_call>",
    "Thinking...", "> ", "data:", "data: [DONE]\n\n", ": ", "null", "true", "{}", "[]", ",", ", ]",
    "<think>", "</think>",
    "$ref", "#/$defs/a", "^(a+)+$", "a{1,99999999999999}", "(?:", "(" * 50, "\\p{L}", "(?<=a*)b",
)  # fmt: skip
#: Values that a field of JSON may not be ready for.
_VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1, 2**63, 2**64, -(2**63), 1e308, 5e-324, 0.1, "", " ", "a", "\0",
    [], {}, [[]], {"": {}}, [None], {"a": None}, "a" * 1000, {"$ref": "#"}, {"$ref": "#/$defs/a"},
    {"type": "object"}, {"type": ["string", "null"]}, {"pattern": "^(a|aa)+$"}, {"enum": []},
    {"uniqueItems": True}, {"const": {}}, {"$schema": "x"}, {"$id": "x"}, {"multipleOf": 1e-300},
)  # fmt: skip

Mutate = Callable[[bytes, random.Random, int], bytes]


def mutated(seeds: Sequence[bytes], rng: random.Random, most: int) -> bytes:
    """Return one of *seeds*, changed in one way or in several, in *most* bytes or so."""
    payload = rng.choice(seeds)
    # What is no JSON any more is mostly refused at once: half of all inputs stay it.
    ways = (change_json,) if rng.random() < 0.5 else WAYS
    for _ in range(rng.choice((1, 1, 2, 2, 3, 5))):
        way = rng.choice(ways)
        if way is None:
            payload = _splice(payload, rng, rng.choice(seeds))
        else:
            payload = way(payload, rng, most)
    return payload[:most]


def _slice(payload: bytes, rng: random.Random, longest: int) -> tuple[int, int]:
    start = rng.randrange(len(payload) + 1)
    return start, min(len(payload), start + rng.randrange(1, longest))


def _times(rng: random.Random, length: int, most: int) -> int:
    times: int = 10 ** rng.randrange(1, 7) * rng.choice((1, 2, 5))
    return max(1, min(times, most // max(1, length)))


def _repeat(payload: bytes, rng: random.Random, most: int) -> bytes:
    start, end = _slice(payload, rng, rng.choice((3, 10, 60, 400)))
    bit = payload[start:end]
    return payload[:start] + bit * _times(rng, len(bit), most) + payload[end:]


def _repeat_odd(payload: bytes, rng: random.Random, most: int) -> bytes:
    start, _ = _slice(payload, rng, 2)
    bit = "".join(rng.choices(_ODD, k=rng.choice((1, 1, 2, 3)))).encode()
    return payload[:start] + bit * _times(rng, len(bit), most) + payload[start:]


def _nest(payload: bytes, rng: random.Random, most: int) -> bytes:
    start, end = _slice(payload, rng, 60)
    opening, closing = (one.encode() for one in rng.choice(_PAIRS))
    times = _times(rng, len(opening) + len(closing), most)
    closed = closing * (times if rng.random() < 0.7 else 0)
    return payload[:start] + opening * times + payload[start:end] + closed + payload[end:]


def _cut(payload: bytes, rng: random.Random, most: int) -> bytes:
    start, end = _slice(payload, rng, len(payload) + 2)
    return rng.choice((payload[:start], payload[start:], payload[:start] + payload[end:]))


def _flip(payload: bytes, rng: random.Random, most: int) -> bytes:
    changed = bytearray(payload)
    for _ in range(rng.choice((1, 1, 4, 20))):
        if changed:
            changed[rng.randrange(len(changed))] = rng.choice(
                (rng.randrange(256), *b'"\\{}[]<>,:\n `\0\xff\xc3\xed')
            )
    return bytes(changed)


def _insert(payload: bytes, rng: random.Random, most: int) -> bytes:
    at = rng.randrange(len(payload) + 1)
    return payload[:at] + rng.choice(_ODD).encode() + payload[at:]


def _splice(payload: bytes, rng: random.Random, other: bytes) -> bytes:
    start, _ = _slice(payload, rng, 2)
    begin, end = _slice(other, rng, 400)
    return payload[:start] + other[begin:end] + payload[start:]


def change_json(payload: bytes, rng: random.Random, most: int) -> bytes:
    """Change a value in the JSON of *payload*, of one of its lines, or of one of its strings.

    Where there is no JSON, any bytes are changed.
    """
    lines = payload.split(b"\n")
    whole, place = (payload, None) if len(lines) == 1 else (b"", rng.randrange(len(lines)))
    if place is not None and (rng.random() < 0.3 or b"{" not in lines[place]):
        whole, place = payload, None
    before, brace, rest = (whole if place is None else lines[place]).partition(b"{")
    try:
        tree = json.loads(brace + rest)
        changed = before + _written(_changed(tree, rng, most), rng)
    except (ValueError, RecursionError):
        return _insert(payload, rng, most)
    if place is None:
        return changed
    return b"\n".join((*lines[:place], changed, *lines[place + 1 :]))


def _changed(tree: Any, rng: random.Random, most: int) -> Any:
    """Change a value somewhere in *tree*, and return all of it."""
    inside, key = rng.choice(_places(tree) or [([tree], 0)])
    was = inside[key]
    if isinstance(was, str) and was[:1] in ("{", "[") and rng.random() < 0.7:
        with contextlib.suppress(ValueError, RecursionError):
            inside[key] = _written(_changed(json.loads(was), rng, most), rng).decode()
            return tree
    named = len(str(key)) + 5
    times = _times(rng, len(str(was)) + named, most)
    match rng.randrange(6):
        case 0 | 1:
            inside[key] = rng.choice(_VALUES)
        case 2:
            inside[key] = [was] * times
        case 3 if isinstance(inside, dict):
            inside |= {f"{key}{n}": was for n in range(times)}
        case 4 if isinstance(was, str):
            inside[key] = was + rng.choice(_ODD) * times
        case 4 | 3 if isinstance(inside, list):
            inside += [was] * times
        case _:
            for _ in range(min(rng.choice((5, 50, 150, 300)), most // named + 1)):
                inside[key] = rng.choice(([inside[key]], {str(key): inside[key]}))
    return tree


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Return the objects and lists in *tree*, each with one of its keys or places."""
    found: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting and len(found) < 10_000:
        one = waiting.pop()
        keys: Iterable[Any] = ()
        if isinstance(one, dict):
            keys = one.keys()
        elif isinstance(one, list):
            keys = range(len(one))
        for key in keys:
            found.append((one, key))
            waiting.append(one[key])
    return found


def _written(tree: Any, rng: random.Random) -> bytes:
    return json.dumps(tree, ensure_ascii=rng.random() < 0.5).encode("utf-8", "replace")


#: The ways; None is to splice in a piece of another seed.
WAYS: Final[tuple[Mutate | None, ...]] = (
    _repeat, _repeat, _repeat, _repeat_odd, _repeat_odd, _nest, _nest, _cut, _flip, _insert,
    _insert, change_json, change_json, None, None,
)  # fmt: skip


# ---- smaller again


def reduced(payload: bytes, still: Callable[[bytes], bool], goes_on: Callable[[], bool]) -> bytes:
    """Return a smaller payload for which *still* is true, looked for while that *goes on*.

    Halves are left out, then quarters, and so on.
    """
    part = len(payload) // 2
    while part and goes_on():
        at = 0
        while at < len(payload) and goes_on():
            without = payload[:at] + payload[at + part :]
            if still(without):
                payload = without
            else:
                at += part
        part //= 2
    return payload
