"""The notes of a token as the text that a file keeps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from math import inf
from typing import Any

from poe_proxy.pool.store.base import Note


def as_text(notes: Sequence[Note]) -> str:
    """Return *notes* as a JSON text."""
    # JSON has no infinity.
    return json.dumps(
        [
            {**asdict(note), "seconds": None if note.seconds == inf else note.seconds}
            for note in notes
        ]
    )


def from_text(text: str, age: float) -> list[Note]:
    """Return the notes that were written *age* seconds ago, but for rests that are over."""
    notes = [
        Note(**{**note, "seconds": inf if note["seconds"] is None else note["seconds"] - age})
        for note in parsed(text, [])
    ]
    return [note for note in notes if note.cause != "rest" or note.seconds > 0.0]


def parsed(text: str, otherwise: Any) -> Any:
    """Return what the JSON *text* says; *otherwise* if it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return otherwise  # changed by hand
