"""What reading an answer of Poe's API costs: in proportion to what comes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from poe_proxy.budget import Budget, Processor

from ...steps import Counted, grows_linearly

COUNTED = Counted(
    *("poe_proxy.shaping.loose_json", "poe_proxy.shaping.thought_tags"),
    *("poe_proxy.shaping.reasoning", "poe_proxy.upstreams.halves"),
    *(f"poe_proxy.upstreams.poe_api.{name}" for name in ("contents", "calls", "answers")),
)

#: Deltas of tool calls that come again and again, by their place.
DELTAS: dict[str, Callable[[int], dict[str, Any]]] = {
    "calls with one id": lambda n: {"id": "x", "function": {"name": f"f{n}", "arguments": "{}"}},
    "calls with ids": lambda n: {"id": f"c{n}", "function": {"name": "f", "arguments": "{}"}},
    "calls with numbers": lambda n: {"index": n, "id": "x", "function": {"name": "f"}},
    "calls with neither": lambda n: {"function": {"name": f"f{n}"}},
    "calls without a name": lambda n: {"id": f"c{n}", "function": {"arguments": "{}"}},
    "arguments before the name": lambda n: {"index": 0, "function": {"arguments": "{} " * 5}},
    "arguments behind it": lambda n: {"id": "x", "function": {"name": "f", "arguments": "{} " * 5}},
    "calls with one number": lambda n: {"index": 0, "function": {"name": "f", "arguments": "{}"}},
    "a call that comes again": lambda n: {"id": "x", "function": {"name": "f", "arguments": "{}"}},
    "a call of many heads": lambda n: {"index": 0, "function": {"name": "f", "arguments": '{"a":'}},
    "blank arguments": lambda n: {"index": 0, "function": {"name": "f", "arguments": " "}},
    "halves": lambda n: {"index": 0, "function": {"name": "f", "arguments": "\ud83d"}},
    "other fields": lambda n: {"index": 0, "function": {}, f"field{n}": "x"},
}

#: Contents that come in one event.
CONTENTS: dict[str, Callable[[int], str]] = {
    "tags": lambda n: "<think>a</think>" * n,
    "halves": lambda n: "\ud83d" * n,
    "thoughts": lambda n: "Thinking...\n\n" + "> a\n" * n + "\nYes.",
    "headings": lambda n: "Thinking...\n" * n,
    "empty lines": lambda n: "Thinking...\n" + "\n" * n,
    "an answer": lambda n: "a\n" * n,
}


def read(deltas: Iterator[dict[str, Any]]) -> None:
    budget = Budget(float("inf"), processor=Processor(clock=lambda: 0.0))
    stream = COUNTED["answers"].Stream(budget)
    for delta in deltas:
        stream.feed(json.dumps({"choices": [{"delta": delta}]}).encode())
    stream.feed(b"[DONE]")


@pytest.mark.parametrize("delta", DELTAS.values(), ids=DELTAS)
def test_calls_cost_what_they_are_long(delta: Callable[[int], dict[str, Any]]) -> None:
    """However many there are, and in whatever order and pieces they come."""

    def steps(number: int) -> int:
        return COUNTED.of(lambda: read({"tool_calls": [delta(n)]} for n in range(number)))

    assert grows_linearly(steps, 40) is None


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_contents_cost_what_they_are_long(content: Callable[[int], str], pieces: bool) -> None:
    """In one event and in many."""

    def steps(number: int) -> int:
        text = content(number)
        return COUNTED.of(lambda: read({"content": one} for one in (text if pieces else [text])))

    assert grows_linearly(steps, 100) is None
