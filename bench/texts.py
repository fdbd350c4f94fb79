"""What is asked of the mock, and the text that it answers: the load knows it, too.

A prompt such as `@n=10,d=20,s=20,m=p,x=7@` wants 10 pieces of 20 characters, 20 ms apart, of a text
that belongs to stream 7 alone. In front of each piece stands the time at which it was written, as
`[T` and nanoseconds and `]`: the load counts pieces and measures how late they are by it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import orjson

#: A time as it stands in front of each piece. It always has as many digits, so that whatever holds
#: it always has the same length.
STAMP: Final = re.compile(rb"\[T(\d{19})\]")
#: The beginning of one, which stands nowhere else.
MARK: Final = b"[T"

_WORDS: Final = b"the quick brown fox jumps over a lazy dog while it says nothing of note "
_ASKED: Final = re.compile(rb"@n=(\d+),d=(\d+),s=(\d+),m=(\w)(?:,x=(\w+))?@")

#: How pieces leave the mock: each by itself; all in one write; the first, and then silence for as
#: long as pieces are apart otherwise; each by itself, with stamps in the first and last alone; the
#: first, and each of the others by itself once `GET /release` was asked.
EACH: Final = "p"
TOGETHER: Final = "b"
SILENT: Final = "h"
PLAIN: Final = "c"
GATED: Final = "g"


@dataclass(frozen=True, slots=True)
class Wanted:
    """An answer to be given."""

    pieces: int = 10
    #: Milliseconds between pieces.
    gap: int = 0
    #: Characters of a piece.
    size: int = 20
    form: str = TOGETHER
    #: Whose text it is; empty: everybody's.
    own: str = ""

    def prompt(self) -> str:
        """Return the prompt that asks for it."""
        own = f",x={self.own}" if self.own else ""
        return f"@n={self.pieces},d={self.gap},s={self.size},m={self.form}{own}@"

    def text(self) -> bytes:
        """Return the whole answer, without stamps."""
        return b"".join(piece(self, number) for number in range(self.pieces))


def wanted(body: bytes) -> Wanted:
    """Return what the last prompt in the request *body* asks for."""
    at = body.rfind(b"@n=")
    return _read(body[at : body.find(b"@", at + 1) + 1]) if at >= 0 else Wanted()


@lru_cache(4096)
def _read(prompt: bytes) -> Wanted:
    if (found := _ASKED.match(prompt)) is None:
        return Wanted()
    pieces, gap, size = (int(number) for number in found.groups()[:3])
    return Wanted(pieces, gap, size, found[4].decode(), (found[5] or b"").decode())


def piece(wanted: Wanted, number: int) -> bytes:
    """Return a piece of the answer: it goes on in the words where the one before it ended."""
    size = wanted.size
    at = number * size % len(_WORDS)
    words = (_WORDS[at:] + _WORDS * (size // len(_WORDS) + 1))[:size]
    return (f"{wanted.own}.{number} ".encode() + words)[:size] if wanted.own else words


def content(body: bytes) -> bytes:
    """Return the text of an answer of chat completions, whole or streamed, without its stamps."""
    texts = []
    if body.startswith(b"{"):
        texts.append(orjson.loads(body)["choices"][0]["message"]["content"])
    for line in body.split(b"\n"):
        if line.startswith(b"data: {"):
            for choice in orjson.loads(line[6:]).get("choices") or ():
                texts.append((choice.get("delta") or {}).get("content") or "")
    return STAMP.sub(b"", "".join(texts).encode())


def dechunked(body: bytes) -> bytes:
    """Return what the chunks of *body* hold."""
    parts = []
    at = 0
    while (end := body.find(b"\r\n", at)) >= 0:
        try:
            size = int(body[at:end], 16)
        except ValueError:
            break
        parts.append(body[end + 2 : end + 2 + size])
        at = end + 4 + size
    return b"".join(parts)
