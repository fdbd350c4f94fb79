"""Ending a reply at a word or a length."""

from __future__ import annotations

import time
from collections.abc import Iterable

import pytest

from poe_proxy.chat import Done, Idle, Reasoning, Replaced, ReplyEvent, Text, ToolCallPart
from poe_proxy.shaping.truncation import at_length, at_one_call, at_words


def said(events: Iterable[ReplyEvent]) -> str:
    """The text that the events leave behind."""
    text = ""
    for event in events:
        match event:
            case Text(more):
                text += more
            case Replaced(whole):
                text = whole
    return text


def words(text: str) -> int:
    return len(text.split())


ANSWER = "one two STOP three END four"


@pytest.mark.parametrize("size", range(1, len(ANSWER) + 1))
@pytest.mark.parametrize(
    ("stops", "left"),
    [
        (["STOP"], "one two "),
        (["END", "STOP"], "one two "),
        (["END"], "one two STOP three "),
        (["never"], ANSWER),
        (["STOP three END five"], ANSWER),
        (["r"], "one two STOP th"),
    ],
)
def test_a_stop_word_ends_the_answer_wherever_it_is_cut(
    size: int, stops: list[str], left: str
) -> None:
    """The stop word and what follows are not said, whatever the pieces are."""
    pieces = [Text(ANSWER[at : at + size]) for at in range(0, len(ANSWER), size)]

    events = list(at_words([*pieces, Done()], stops))

    assert left == said(events)
    assert Done("stop") == events[-1]
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
        pieces = [Text(text[at : at + size]) for at in range(0, len(text), size)]

        assert left == said(at_words([*pieces, Done()], stops)), size


def test_long_stop_words_cost_little() -> None:
    """Each word of an answer is looked at, so this must be cheap, whatever the stop words are."""
    pieces = [Text("ab ")] * 10_000
    stops = ["a" * 100] * 5 + [f"{n} " * 4 for n in range(50)]
    before = time.process_time()

    assert "ab " * 10_000 == said(at_words([*pieces, Done()], stops))
    assert 3 > time.process_time() - before


def test_nothing_is_held_back_that_cannot_become_a_stop_word() -> None:
    """Text goes out with the piece that it came in, but for the beginning of a stop word."""
    events = at_words(iter([Text("abc"), Text("dS"), Text("e"), Done()]), ["STOP"])

    assert [Text("abc"), Text("d"), Text("Se"), Done()] == list(events)


def test_a_word_is_found_in_rewritten_text_too() -> None:
    """A rewritten answer is searched as a whole."""
    events = at_words([Text("draft S"), Replaced("final STOP rest"), Done()], ["STOP"])

    assert [Text("draft "), Replaced("final "), Done("stop")] == list(events)


def test_other_events_pass_and_silence_does_not_let_go() -> None:
    """Idle passes while text is held; reasoning is not searched."""
    events = at_words([Reasoning("STOP"), Text("S"), Idle(), Text("TOP")], ["STOP"])

    assert [Reasoning("STOP"), Idle(), Done("stop")] == list(events)


@pytest.mark.parametrize(("limit", "left"), [(1, "one "), (2, "one two "), (3, "one two three")])
def test_an_answer_ends_at_its_length(limit: int, left: str) -> None:
    """The answer has exactly as many pieces as are allowed, and says that it was cut."""
    pieces = [Text("one "), Text("two"), Text(" three"), Done()]

    events = list(at_length(pieces, limit, words))

    assert left == said(events)
    assert Done("stop" if limit == 3 else "length") == events[-1]


def test_a_rewritten_answer_is_cut_as_a_whole() -> None:
    """The length counts what the answer is, not what it was."""
    events = at_length([Text("a b"), Replaced("c"), Text(" d e"), Done()], 2, words)

    assert [Text("a b"), Replaced("c"), Text(" d "), Done("length")] == list(events)


def test_calls_beyond_the_first_are_left_out() -> None:
    """The first call is whole, and what else is said stays."""
    first = [ToolCallPart(0, "a", "f", "{"), ToolCallPart(0, arguments="}")]
    second = [ToolCallPart(1, "b", "f"), ToolCallPart(1, arguments="{}")]
    said = [Text("Hm."), *first, *second, Done("tool_calls")]

    left = [event for event in at_one_call(said) if event != Idle()]

    assert [Text("Hm."), *first, Done("tool_calls")] == left
