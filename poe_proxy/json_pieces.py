"""Of how many pieces a JSON text is, told without parsing it.

A parser holds up everybody else until it is done, and what it makes of many small pieces takes
many times the memory of the text.
"""

from __future__ import annotations

from random import randrange
from typing import Final

#: All bytes but those of which there is one for each value or name.
_NO_MARKS: Final = bytes(set(range(256)) - set(b",:[{"))
#: A sample has so many bytes of each so many; a shorter text than this is looked at as a whole.
_SAMPLE: Final = 256
_OF: Final = 16_384
_SHORT: Final = 10 * _OF
#: Bytes of which it is told what stands in strings: in the worst case in a tenth of a second.
MOST_TOLD_APART: Final = 10_000_000


def has_more(text: str | bytes | bytearray, *, values: int, names: int) -> bool:
    """Return whether a JSON text has more than so many *values*, or *names* in its objects, about.

    What stands in its strings does not count, unless it takes too long to tell it apart. Of an
    ordinary text only a sample is looked at, of places that nobody can foresee: to parse it takes
    less time than to count. Whether it is JSON at all is not looked at.
    """
    fewest = min(values, names)
    if len(text) <= fewest or not _may_have_more(text, fewest):
        return False
    given = text.encode(errors="replace") if isinstance(text, str) else text
    if not _has_more(given, values, names):
        return False
    if len(given) > MOST_TOLD_APART:
        return True
    bare = given.replace(b"\\\\", b"").replace(b'\\"', b"")
    # As many strings as that are pieces enough; to split them would cost what parsing does.
    if bare.count(b'"') > 2 * (values + names):
        return True
    return _has_more(b"".join(bare.split(b'"')[::2]), values, names)


def _may_have_more(text: str | bytes | bytearray, marks: int) -> bool:
    if len(text) < _SHORT:
        return True
    places = range(randrange(_OF - _SAMPLE), len(text), _OF)
    if isinstance(text, str):
        sample = "".join(text[at : at + _SAMPLE] for at in places).encode(errors="replace")
    else:
        sample = b"".join(text[at : at + _SAMPLE] for at in places)
    return len(sample.translate(None, _NO_MARKS)) * (_OF // _SAMPLE) > marks // 2


def _has_more(text: bytes | bytearray, values: int, names: int) -> bool:
    return sum(map(text.count, (b",", b"[", b"{"))) > values or text.count(b":") > names
