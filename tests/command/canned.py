"""A server that answers as it is told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Self

from poe_proxy.command.asking import Answer


class Canned:
    """Answers each path with what is given for it, and keeps what it was asked."""

    name = "a server"

    def __init__(self, **answers: tuple[int, Any]) -> None:
        """*answers* are a status and a body, or its pieces, by the last part of the path."""
        self._answers = answers
        self.asked: list[tuple[str, str, Any]] = []
        self.closed = 0
        self.hung_up = False

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        # What is in it may be changed later.
        self.asked.append((method, path, json.loads(json.dumps(body))))
        status, said = self._answers[path.rpartition("/")[2].replace("-", "_")]
        pieces = said if isinstance(said, list) else [json.dumps(said).encode()]
        return Answer(status, self._said(pieces))

    def _said(self, pieces: list[Any]) -> Iterator[bytes]:
        try:
            for piece in pieces:
                if isinstance(piece, BaseException):
                    raise piece
                yield piece
        finally:
            self.hung_up = True

    def close(self) -> None:
        self.closed += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()


def chunk(**delta: str) -> bytes:
    """An event of a streamed chat."""
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"


#: Such a stream.
HELLO = [chunk(role="assistant", content=""), chunk(content="Hel"), chunk(content="lo")]
DONE = b"data: [DONE]\n\n"
