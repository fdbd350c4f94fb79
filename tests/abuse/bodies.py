"""Bodies that are large on the wire and small in memory: bits of text, and how often they come."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeAlias

#: Bytes that are sent at a time.
_PIECE: Final = 65_536

#: A bit of a body: a text, or a text and how often it comes.
Bit: TypeAlias = "str | bytes | tuple[str | bytes, int]"


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent as a body; it is never held as a whole."""

    bits: Sequence[tuple[bytes, int]]

    @classmethod
    def of(cls, *bits: Bit) -> Body:
        """Return the body that these bits make, in their order."""
        pairs = [bit if isinstance(bit, tuple) else (bit, 1) for bit in bits]
        return cls(
            [(text.encode() if isinstance(text, str) else text, times) for text, times in pairs]
        )

    def __len__(self) -> int:
        return sum(len(text) * times for text, times in self.bits)

    def pieces(self) -> Iterator[bytes]:
        """Yield it in pieces of a bounded length, or of one bit."""
        for text, times in self.bits:
            at_once = max(1, _PIECE // max(1, len(text)))
            block = text * min(at_once, times)
            for _ in range(times // at_once):
                yield block
            if left := times % at_once:
                yield text * left


def chat(
    prompt: str | Sequence[Mapping[str, Any]], *hostile: Bit, model: str = "by-key", **fields: Any
) -> Body:
    """Return a chat request. *prompt* is what the user says, or all messages; *hostile* is what
    stands behind its fields, such as `"stop":[...]`, as it is."""
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    plain = json.dumps({"model": model, "messages": messages, **fields})
    return Body.of(plain[:-1], *((",", *hostile) if hostile else ()), "}")


def spoken(words: str, *text: Bit, model: str = "by-key", **fields: Any) -> Body:
    """Return a chat request whose user says *words* and then *text*, bits of which are repeated."""
    plain = json.dumps({"model": model, **fields})
    bits = [
        (escaped(bit[0]), bit[1]) if isinstance(bit, tuple) else escaped(bit)
        for bit in (f"{words} ", *text)
    ]
    return Body.of(f'{plain[:-1]},"messages":[{{"role":"user","content":"', *bits, '"}]}')


def many(name: str, one: str, times: int) -> tuple[Bit, ...]:
    """Return a field of that *name*: a list that holds *one* so many *times*."""
    return (f'"{name}":[', (f"{one},", times - 1), one, "]")


@cache
def numbered(form: bytes, times: int) -> bytes:
    """Return *form* so many *times*, with a number each time.

    It is made once: the clients of a run share a process, and would begin all at once if one of
    them held up the others for seconds.
    """
    return b"".join(form % number for number in range(times))


def escaped(text: str | bytes) -> str:
    """Return *text* as it stands between the quotes of a JSON string."""
    return json.dumps(text if isinstance(text, str) else text.decode())[1:-1]
