"""Thoughts in the text of an answer."""

from __future__ import annotations

import pytest

from poe_proxy.chat import Done, Idle, Reasoning, Replaced, ReplyEvent, Text, ToolCallPart, Usage
from poe_proxy.shaping.reasoning import InlineReasoning, Piece, ReasoningParser

from .support import through


def sorted_out(pieces: list[Piece]) -> tuple[str, str]:
    """What was thought and what was said."""
    return (
        "".join(piece.text for piece in pieces if isinstance(piece, Reasoning)),
        "".join(piece.text for piece in pieces if isinstance(piece, Text)),
    )


def parse(*texts: str) -> list[Piece]:
    thinking = InlineReasoning()
    return [piece for text in texts for piece in thinking.feed(text)] + thinking.flush()


QUOTED = "> The user\n>greets *me*.\n>\n> I greet back.\n"
THOUGHT = "The user\ngreets *me*.\n\nI greet back."
ANSWER = "Hello!\n\n> a quote\n\nThinking...\n> is fun."

CASES = {
    "plain heading": (f"Thinking...\n\n{QUOTED}\n{ANSWER}", THOUGHT, ANSWER),
    "starred": (f"*Thinking...*\n\n{QUOTED}\n{ANSWER}", THOUGHT, ANSWER),
    "bold": (f"**Thinking...**\n{QUOTED}\n{ANSWER}", THOUGHT, ANSWER),
    "underscores": (f"_Thinking..._\n\n{QUOTED}\n{ANSWER}", THOUGHT, ANSWER),
    "an ellipsis": (f"Thinking…\n\n{QUOTED}\n{ANSWER}", THOUGHT, ANSWER),
    "white space first": (f"\n\n  Thinking...\n \n{QUOTED}\n\n\n{ANSWER}", THOUGHT, ANSWER),
    "seconds": (f"*Thinking... (12s elapsed)*\n\n{QUOTED}\n{ANSWER}", THOUGHT, ANSWER),
    "two headings": (f"Thinking...\nThinking... (2s elapsed)\n{QUOTED}\n{ANSWER}", THOUGHT, ANSWER),
    "carriage returns": ("Thinking...\r\n\r\n> a\r\n\r\nb", "a\r", "b"),
    "no empty line": (f"Thinking...\n\n{QUOTED}{ANSWER}", THOUGHT, ANSWER),
    "indented answer": ("Thinking...\n\n> a\n\n    code", "a", "    code"),
    "an answer that quotes": ("Thinking...\n\n> a\n\n> b\n\nc", "a", "> b\n\nc"),
    "no answer": (f"Thinking...\n\n{QUOTED}", THOUGHT, ""),
    "no answer, no end": ("Thinking...\n\n> a\n>", "a", ""),
    "a draft": (f"Thinking... (3s elapsed)\n\n{ANSWER}", "Thinking... (3s elapsed)", ANSWER),
    "marks before the seconds": (
        f"*Thinking...* (17s elapsed)\n\n{QUOTED}\n{ANSWER}",
        THOUGHT,
        ANSWER,
    ),
    "bold before the seconds": (f"**Thinking...** (3s)\n\n{QUOTED}\n{ANSWER}", THOUGHT, ANSWER),
    "marks around an ellipsis": (f"_Thinking… (12s elapsed)_\n{QUOTED}\n{ANSWER}", THOUGHT, ANSWER),
    "a quoted heading": (f"> _Thinking… (12s elapsed)_\n\n{QUOTED}\n{ANSWER}", THOUGHT, ANSWER),
    "seconds alone": (f"Thinking (17s)\n\n{QUOTED}\n{ANSWER}", THOUGHT, ANSWER),
    "minutes alone": ("*Thinking* (1.5 min)\n\nYes", "*Thinking* (1.5 min)", "Yes"),
    "tags": ("<think>\nhm\n</think>\nanswer", "hm", "answer"),
    "tags in one line": ("<think>hm</think>answer", "hm", "answer"),
    "white space around tags": ("\n <think> \n\n h\n\n m \n </think>\n\n  a\n", "h\n\n m", "a\n"),
    "another word": ("<thinking>hm <think></thinking>answer", "hm <think>", "answer"),
    "a thought": ("<thought>hm</think></thought>answer", "hm</think>", "answer"),
    "reasoning": ("<reasoning>\n> hm\n</reasoning>\n> answer", "> hm", "> answer"),
    "upper case": ("[THINK]h [/THIN m[/THINK]answer", "h [/THIN m", "answer"),
    "Seed's": ("<seed:think>hm</seed:think>answer", "hm", "answer"),
    "Kimi's": ("◁think▷hm◁/think▷answer", "hm", "answer"),
    "beginnings of the end": (
        "<think><</t</th</</thinky></think></think>",
        "<</t</th</</thinky>",
        "</think>",
    ),
    "nothing between tags": ("<think>\n\n</think>\n\nanswer", "", "answer"),
    "twice": ("<think>h</think>\n<think>m</think>\nanswer <think>", "h\nm", "answer <think>"),
    "a heading before tags": ("Thinking... (2s)\n<think>h</think>a", "Thinking... (2s)\nh", "a"),
    "a quotation behind tags": ("<think>h</think>Thinking...\n> m\n\na", "h\nm", "a"),
    "a beginning behind tags": ("<think>h</think>Think", "h", "Think"),
    "tags that nobody closes": ("<think>\nh\nm </thin ", "h\nm </thin", ""),
    "tags that are cut": ("<think>\nh\nm\n</thin", "h\nm\n</thin", ""),
    "two drafts": ("Thinking...\nThinking... (3s)\n\nYes", "Thinking...\nThinking... (3s)", "Yes"),
}


@pytest.mark.parametrize(("text", "thought", "answer"), CASES.values(), ids=CASES)
def test_a_leading_quotation_below_the_heading_is_thought(
    text: str, thought: str, answer: str
) -> None:
    """The heading goes, the quotation is reasoning without its marks, the rest is the answer."""
    assert (thought, answer) == sorted_out(parse(text))


@pytest.mark.parametrize(("text", "thought", "answer"), CASES.values(), ids=CASES)
def test_it_is_the_same_wherever_it_is_cut(text: str, thought: str, answer: str) -> None:
    """Once cut anywhere, and letter by letter."""
    for at in range(len(text) + 1):
        assert (thought, answer) == sorted_out(parse(text[:at], text[at:])), at
    assert (thought, answer) == sorted_out(parse(*text))


ORDINARY = [
    "",
    " ",
    "T",
    "Thinking",
    "Thinking...",
    "*Thinking...*",
    "Thinking about it.",
    "Thinking... about it",
    "Thinking....\n> not a thought",
    "Thinking.. \n> not a thought",
    "****Thinking...\n> not a thought",
    "> a quote\n\nand so on",
    "**Bold** start",
    "* a list\n* of things",
    "The cat.\nThinking...\n> no",
    "  indented\n",
    "\n\n\nlate",
    "Thinking... (",
    "Thinking (about it)\n> no",
    "Thinking 17s\n> no",
    "> Thinking about it\n> is fun",
    ">",
    "Use <think> and </think>.",
    "`<think>`a</think>",
    "<thin",
    "<think a='b'>c</think>",
    "</think>a",
    "<|think|>a",
    "<b>bold</b> <think>a</think>",
    "[thin king](url)",
    "Thinking... (this is what I would call a long remark in brackets)\n> no",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_other_text_is_not_touched(text: str) -> None:
    """Not a letter is changed or moved, whatever the pieces are."""
    for at in range(len(text) + 1):
        assert ("", text) == sorted_out(parse(text[:at], text[at:]))
    assert ("", text) == sorted_out(parse(*text))


@pytest.mark.parametrize(
    ("pieces", "out"),
    [
        (["Hello"], [["Hello"]]),
        (["T", "he cat"], [[], ["The cat"]]),
        (["Think", " twice"], [[], ["Think twice"]]),
        (["*", "*so"], [[], ["**so"]]),
        (["\n", "A", "B"], [[], ["\nA"], ["B"]]),
        (["Thinking...\n\n> ab", "c", "\n> d"], [["ab"], ["c"], ["\nd"]]),
        (["Thinking...\n> a\n\n", "b", "c"], [["a"], ["b"], ["c"]]),
        (["<thi", "nk>a", " b", "<", "/think>c", "d"], [[], ["a"], [" b"], [], ["c"], ["d"]]),
        (["<th", "e>"], [[], ["<the>"]]),
    ],
)
def test_nothing_is_held_back_longer_than_needed(pieces: list[str], out: list[list[str]]) -> None:
    """Text leaves with the piece that makes it clear, a thought with its own piece."""
    thinking = InlineReasoning()

    assert out == [[piece.text for piece in thinking.feed(text)] for text in pieces]


def test_after_a_flush_everything_is_answer() -> None:
    """What held text back may be asked for it early, when something else comes between."""
    thinking = InlineReasoning()

    assert [] == thinking.feed("Thinking...\n")
    assert [Text("Thinking...\n")] == thinking.flush()
    assert [Text("> no thought")] == thinking.feed("> no thought")
    assert [] == thinking.flush()


@pytest.mark.parametrize(
    ("lead", "more"),
    [("", "\n"), ("", " "), ("Thinking...", " "), ("Thinking...\n", " "), ("Thinking...\n", "\n"),
     ("Thinking...\n> Hm.\n", " "), ("Thinking...\n> Hm.\n", "\n")],
)  # fmt: skip
def test_of_a_long_gap_nothing_is_lost(lead: str, more: str) -> None:
    """White space is the same in one piece and letter by letter."""
    text = lead + more * 1000 + "So."

    assert sorted_out(parse(text)) == sorted_out(parse(*text))


# ---- events

CALL = ToolCallPart(0, "call_1", "look")


@pytest.mark.parametrize(
    ("events", "out"),
    [
        ([Text("Hello"), Text("!"), Done()], [Text("Hello"), Text("!"), Done()]),
        (
            [Text("Thinking...\n\n> a\n\n"), Text("Yes"), Done()],
            [Reasoning("a"), Text("Yes"), Done()],
        ),
        ([Text("Thinking..."), Done()], [Idle(), Text("Thinking..."), Done()]),
        ([Text("Think"), CALL, Done()], [Idle(), Text("Think"), CALL, Done()]),
        ([Usage(1, 2), Reasoning("r"), Done()], [Usage(1, 2), Reasoning("r"), Done()]),
    ],
)
def test_events_pass_with_the_thoughts_of_their_text_as_reasoning(
    events: list[ReplyEvent], out: list[ReplyEvent]
) -> None:
    """What is no text is not touched; what is held back leaves before anything else comes."""
    assert out == through(events, ReasoningParser())


def test_a_draft_that_is_replaced_was_a_thought() -> None:
    """Of the signs of life that replace each other the first one stays, and not in the answer."""
    ticks = [Text("Thinking..."), Text(" (1s elapsed)"), Replaced("Thinking... (2s elapsed)")]
    events = [*ticks, Replaced("The an"), Text("swer"), Done()]

    out = [event for event in through(events, ReasoningParser()) if not isinstance(event, Idle)]

    assert [
        Reasoning("Thinking... (1s elapsed)"), Text("The an"), Text("swer"), Done()
    ] == out  # fmt: skip


def test_drafts_that_count_the_seconds_are_one_thought() -> None:
    """Wherever the marks are, in a text that grows as in one that is replaced."""
    ticks = [Text("*Thinking...*"), Text(" (1s elapsed)"), Replaced("*Thinking...* (17s elapsed)")]
    events = [*ticks, Replaced("> _Thinking… (18s elapsed)_\n\nYes"), Done()]

    out = [event for event in through(events, ReasoningParser()) if not isinstance(event, Idle)]

    assert [Reasoning("*Thinking...* (1s elapsed)"), Text("Yes"), Done()] == out


def test_every_event_that_is_held_back_gives_a_sign_of_life() -> None:
    """Those who read the reply can look around at each of them."""
    events = [Text("Thinking..."), Replaced("*Thinking...*"), Replaced("Thinking... (3s)")]

    assert len(events) <= len(through(events, ReasoningParser()))


@pytest.mark.parametrize(
    ("events", "out"),
    [
        ([Text("One two"), Replaced("One three")], [Text("One two"), Replaced("One three")]),
        ([Text("One"), Replaced("One two")], [Text("One"), Text(" two")]),
        ([Text("One"), Replaced("")], [Text("One"), Replaced("")]),
        (
            [Text("Thinking...\n> a b\n\nYes"), Replaced("Thinking...\n> a c\n\nYes!")],
            [Reasoning("a b"), Text("Yes"), Reasoning("\nc"), Text("!")],
        ),
        (
            [Text("Thinking..."), Replaced("Thinking...\n> a"), Replaced("No")],
            [Idle(), Reasoning("Thinking...\na"), Text("No")],
        ),
        (
            [Text("<think>a"), Replaced("<think>a b</think>Yes"), Replaced("<think>a b</think>No")],
            [Reasoning("a"), Reasoning(" b"), Text("Yes"), Replaced("No")],
        ),
        ([Text("<think>a</th"), Done()], [Reasoning("a"), Reasoning("</th"), Done()]),
    ],
)
def test_of_a_replaced_text_only_what_is_new_is_passed_on(
    events: list[ReplyEvent], out: list[ReplyEvent]
) -> None:
    """An answer that only grew is not replaced, and no thought comes twice."""
    assert out == through(events, ReasoningParser())
