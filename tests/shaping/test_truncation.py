"""Ending a reply at a word or a length."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from poe_proxy.chat import Done, Idle, Reasoning, Replaced, Text, ToolCallPart
from poe_proxy.shaping.tokenizer import count_text
from poe_proxy.shaping.truncation import Length, OneCall, StopWords

from .support import content, pieces, through


def words(text: str) -> int:
    return len(text.split())


ANSWER = "one two STOP three END four"


@pytest.mark.parametrize("size", range(1, len(ANSWER) + 1))
@pytest.mark.parametrize(
    ("stops", "left", "word"),
    [
        (["STOP"], "one two ", "STOP"),
        (["END", "STOP"], "one two ", "STOP"),
        (["END"], "one two STOP three ", "END"),
        (["never"], ANSWER, None),
        (["STOP three END five"], ANSWER, None),
        (["r"], "one two STOP th", "r"),
    ],
)
def test_a_stop_word_ends_the_answer_wherever_it_is_cut(
    size: int, stops: list[str], left: str, word: str | None
) -> None:
    """The stop word and what follows are not said, whatever the pieces are; the end names it."""
    events = through([*pieces(ANSWER, size), Done()], StopWords(stops))

    assert left == content(events)
    assert Done("stop", word) == events[-1]
    assert 1 == sum(isinstance(event, Done) for event in events)


@pytest.mark.parametrize(
    ("stops", "text", "left"),
    [
        (["Ab ", "b"], "xAb y", "xA"),
        (["b", "Ab "], "xAb y", "xA"),
        (["Ab", "b"], "xAb y", "x"),
        (["aab", "ab c"], "aaab c", "a"),
        (["aa"], "baaa", "b"),
    ],
)
def test_of_stop_words_that_overlap_the_first_to_be_complete_counts(
    stops: list[str], text: str, left: str
) -> None:
    """So it does not depend on the pieces; of two that end together the longer one counts."""
    for size in range(1, len(text) + 1):
        events = through([*pieces(text, size), Done()], StopWords(stops))

        assert left == content(events), size


def test_long_stop_words_cost_little() -> None:
    """Each word of an answer is looked at, so this must be cheap, whatever the stop words are."""
    stops = ["a" * 100] * 5 + [f"{n} " * 4 for n in range(50)]
    stage = StopWords(stops)
    calls = 0

    def count(_frame: Any, event: str, _function: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        events = [one for _ in range(1000) for one in stage.feed(Text("ab "))]
    finally:
        sys.setprofile(None)

    assert "ab " * 1000 == content(events)
    assert 10 > calls / 1000 / len(stops)


def test_nothing_is_held_back_that_cannot_become_a_stop_word() -> None:
    """Text goes out with the piece that it came in, but for the beginning of a stop word."""
    events = through([Text("abc"), Text("dS"), Text("e"), Done()], StopWords(["STOP"]))

    assert [Text("abc"), Text("d"), Text("Se"), Done()] == events


def test_a_word_is_found_in_rewritten_text_too() -> None:
    """A rewritten answer is searched as a whole."""
    events = through([Text("draft S"), Replaced("final STOP rest"), Done()], StopWords(["STOP"]))

    assert [Text("draft "), Replaced("final "), Done("stop", "STOP")] == events


def test_other_events_pass_and_silence_does_not_let_go() -> None:
    """Idle passes while text is held, and comes in its place; reasoning is not searched."""
    events = through([Reasoning("STOP"), Text("S"), Idle(), Text("TOP")], StopWords(["STOP"]))

    assert [Reasoning("STOP"), Idle(), Idle(), Done("stop", "STOP")] == events


@pytest.mark.parametrize(("limit", "left"), [(1, "one "), (2, "one two "), (3, "one two three")])
def test_an_answer_ends_at_its_length(limit: int, left: str) -> None:
    """The answer has exactly as many tokens as are allowed, and says that it was cut."""
    events = through([Text("one "), Text("two"), Text(" three"), Done()], Length(limit, words))

    assert left == content(events)
    assert Done("stop" if limit == 3 else "length") == events[-1]


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("unit", ["some words, and more. ", "a", " ", "\n", "漢字かな交じり文"])
def test_a_long_answer_has_no_more_tokens_than_are_allowed(unit: str, size: int) -> None:
    """And hardly less, though what lies further back is not counted again."""
    limit = 500
    text = unit * (20_000 // len(unit))

    events = through([*pieces(text, size), Done()], Length(limit, count_text))

    left = content(events)
    assert text.startswith(left)
    if count_text(text) > limit:
        assert Done("length") == events[-1]
        assert 0.9 * limit <= count_text(left) <= limit
    else:
        assert (text, Done()) == (left, events[-1])


def test_a_rewritten_answer_is_cut_as_a_whole() -> None:
    """The length counts what the answer is, not what it was."""
    events = through([Text("a b"), Replaced("c"), Text(" d e"), Done()], Length(2, words))

    assert [Text("a b"), Replaced("c"), Text(" d "), Done("length")] == events


def test_calls_beyond_the_first_are_left_out() -> None:
    """The first call is whole, and what else is said stays."""
    first = [ToolCallPart(0, "a", "f", "{"), ToolCallPart(0, arguments="}")]
    second = [ToolCallPart(1, "b", "f"), ToolCallPart(1, arguments="{}")]
    said = [Text("Hm."), *first, *second, Done("tool_calls")]

    left = [event for event in through(said, OneCall()) if event != Idle()]

    assert [Text("Hm."), *first, Done("tool_calls")] == left
