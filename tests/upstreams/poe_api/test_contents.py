"""What a message says; that each shape is read, test_answers.py shows."""

from __future__ import annotations

from typing import Any

import pytest

from poe_proxy.chat import Reasoning, Text
from poe_proxy.upstreams.poe_api import contents

MANY = 1000


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"content": ["a"] * MANY}, [Text("a")] * MANY),
        ({"content": [{"type": "text", "text": "a"}] * MANY}, [Text("a")] * MANY),
        ({"content": [{"type": "thinking", "thinking": ["a"] * MANY}]}, [Reasoning("a" * MANY)]),
        ({"content": [0] * MANY}, []),
        ({"reasoning_details": [{"text": "a"}] * MANY}, [Reasoning("a" * MANY)]),
        ({"reasoning": [[]] * MANY, "content": "a"}, [Text("a")]),
    ],
    ids=["texts", "parts", "thoughts in a part", "of no known shape", "details", "empty"],
)
def test_a_list_of_many_parts_gives_others_their_turn(
    message: dict[str, Any], said: list[contents.Content]
) -> None:
    """A whole answer may have a hundred thousand, whether they say anything or not."""
    turns: list[None] = []

    assert said == list(contents.of(message, lambda: turns.append(None)))
    assert len(turns) >= MANY


def test_a_delta_takes_no_turn() -> None:
    """Of a stream there are many, and each is small."""
    turns: list[None] = []

    assert [Text("a")] == list(contents.of({"content": "a"}, lambda: turns.append(None)))
    assert [] == turns
