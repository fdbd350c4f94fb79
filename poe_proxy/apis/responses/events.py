"""The events of a stream on the wire: each with its name, and numbered from 0 on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson


class Events:
    """Writes the events of one stream, each as a frame."""

    def __init__(self) -> None:
        #: How many have been written.
        self.number = 0

    def event(self, kind: str, **members: Any) -> bytes:
        """Return the next event, with these members."""
        return self.written(kind, orjson.dumps(members)[1:-1])

    def written(self, kind: str, members: bytes) -> bytes:
        """Return the next event, with members that are JSON already."""
        return self._frame(_opening(kind), b"," + members)

    def deltas(self, kind: str, **members: Any) -> Callable[[str], bytes]:
        """Return what makes the next event of a text that is added; all else of such events is the
        same, and serialised once."""
        opening = _opening(kind)
        around = b"," + orjson.dumps(members)[1:-1] + b',"delta":'

        def added(text: str) -> bytes:
            number, self.number = self.number, self.number + 1
            return b"%b%d%b%b}\n\n" % (opening, number, around, orjson.dumps(text))

        return added

    def _frame(self, opening: bytes, rest: bytes) -> bytes:
        number, self.number = self.number, self.number + 1
        return b"%b%d%b}\n\n" % (opening, number, rest)


def _opening(kind: str) -> bytes:
    name = kind.encode()
    return b'event: %b\ndata: {"type":"%b","sequence_number":' % (name, name)
