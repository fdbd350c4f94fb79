"""Server-sent events on the wire, both ways.

Read: fields and line ends as in the WHATWG HTML standard, "Server-sent events"; only `data`
matters to us. Written: one `data` line an event, as OpenAI's clients expect.
"""

from __future__ import annotations

from typing import Final

DONE: Final = b"data: [DONE]\n\n"

#: An event that is larger than this is no event but a flood.
_EVENT_AT_MOST: Final = 64_000_000


def data(payload: bytes) -> bytes:
    """Return the frame of an event; *payload* is one line."""
    return b"data: " + payload + b"\n\n"


def comment(text: str) -> bytes:
    """Return the frame of a comment, which clients pass over."""
    return b": " + text.encode() + b"\n\n"


class Decoder:
    """Bytes in, in whatever pieces they come; the data of whole events out."""

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[bytes] = []

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the data of the events that *piece* completes."""
        text = self._rest + piece
        # A carriage return at the very end may be half of a line end.
        held = b"\r" if text.endswith(b"\r") else b""
        if held:
            text = text[:-1]
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = text.split(b"\n")
        self._rest = rest + held
        if len(self._rest) > _EVENT_AT_MOST:
            raise ValueError("an event without an end")
        events = []
        for line in lines:
            if line.startswith(b"data:"):
                self._lines.append(line[6:] if line[5:6] == b" " else line[5:])
            elif not line and self._lines:
                events.append(b"\n".join(self._lines))
                self._lines = []
        return events
