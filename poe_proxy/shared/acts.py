"""What is asked of the script in Redis, and what it answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any, Final

import orjson

from poe_proxy.shared.calling import StoreAway

#: Failures of single acts that are Redis's, by the first word of what it says. It reports others of
#: its own before it runs the script.
_AWAY: Final = frozenset(
    {b"OOM", b"READONLY", b"MISCONF", b"NOPERM", b"NOREPLICAS", b"MASTERDOWN", b"LOADING"}
)


class ActFailed(RuntimeError):
    """The script has no answer to an act: a fault of our own."""


class Act:
    """One act on its way."""

    __slots__ = ("answer", "failure", "gate", "is_given_up", "is_note", "leads", "text")

    def __init__(self, text: bytes, *, is_note: bool = False) -> None:
        self.text = text
        self.is_note = is_note
        self.answer: bytes | None = None
        self.failure: Exception | None = None
        #: Held as long as its caller has to wait; None if nobody waits.
        self.gate: threading.Lock | None = None
        #: Whether its caller is to bring what has gathered.
        self.leads = False
        #: Whether its caller waits for it no longer.
        self.is_given_up = False

    @property
    def is_done(self) -> bool:
        return self.answer is not None or self.failure is not None


def text(act: Sequence[Any]) -> bytes:
    """Return *act* as JSON."""
    try:
        return orjson.dumps(act)
    except TypeError:  # a client may name a bot with half an emoji, which is no text
        return json.dumps(act, ensure_ascii=False).encode("utf-8", "replace")


def failure_of(answer: bytes) -> Exception | None:
    """Return what *answer* says went wrong; None if it is an answer."""
    if not answer.startswith(b"!"):
        return None
    is_away = answer[1:].split(b" ", 1)[0] in _AWAY
    return (StoreAway if is_away else ActFailed)(answer[1:].decode("utf-8", "replace"))
