"""The SSE wire format."""

from typing import Final

DONE: Final = b"data: [DONE]\n\n"


def data(payload: bytes) -> bytes:
    return b"data: " + payload + b"\n\n"


def comment(text: str) -> bytes:
    return b": " + text.encode() + b"\n\n"
