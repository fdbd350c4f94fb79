"""What it costs to write down a reply: in proportion to what is said."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from poe_proxy.chat import Reasoning, Replaced, Said, Text, ToolCallPart

from ..fakes import ask
from ..steps import Counted, grows_linearly

COUNTED = Counted(
    "poe_proxy.shaping.prefix", "poe_proxy.shaping.tokenizer", "poe_proxy.apis.transcript"
)

REPLIES: dict[str, Callable[[int], Iterable[Said]]] = {
    "text": lambda n: [Text("a")] * n,
    "reasoning": lambda n: [Reasoning("a")] * n,
    "arguments": lambda n: [ToolCallPart(0, "c", "f"), *[ToolCallPart(0, arguments="a")] * n],
    "names": lambda n: [ToolCallPart(0, "c", "f")] * n,
    "calls": lambda n: [ToolCallPart(place, "c", "f") for place in range(n)],
    "a long text, rewritten": lambda n: [Text("a" * n), Replaced("a" * n + "b")],
    "marks, rewritten": lambda n: [Text("." * n), Replaced("." * (n // 2))],
    "a long text, and then short ones": lambda n: [Text("a" * n), *[Replaced("b")] * n],
}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_a_reply_costs_what_it_is_long(reply: Callable[[int], Iterable[Said]]) -> None:
    """In whatever events it comes, with its usage at the end."""

    def write(events: Iterable[Said]) -> None:
        transcript = COUNTED["transcript"].Transcript()
        for event in events:
            transcript.add(event)
        assert transcript.usage(ask()).completion_tokens

    assert grows_linearly(lambda n: COUNTED.of(lambda: write(reply(n))), 100) is None


def test_texts_that_are_rewritten_cost_what_all_of_them_are_long() -> None:
    """A bot that draws a cursor rewrites its answer with each word."""

    def write(number: int) -> None:
        transcript = COUNTED["transcript"].Transcript()
        for length in range(number):
            transcript.add(Replaced("a" * length + "▌"))

    assert grows_linearly(lambda n: COUNTED.of(lambda: write(n)) // n, 40) is None
