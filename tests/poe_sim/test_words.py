from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

from poe_sim import directives, percent, talk
from poe_sim.control import Control
from poe_sim.journal import Journal
from poe_sim.web import Switches, World, faults, script
from poe_sim.web.bots import catalogue


@pytest.mark.parametrize(
    ("prompt", "words", "text"),
    [
        ("Hello!", {}, "Hello!"),
        ("!echo Hello", {"echo": ""}, "Hello"),
        ("Hello !echo", {"echo": ""}, "Hello"),
        ("Hello !echo world", {"echo": ""}, "Hello world"),
        ("Hello !echo !chunks=3", {"echo": "", "chunks": "3"}, "Hello"),
        ("one\n!echo\ntwo", {"echo": ""}, "one\ntwo"),
        ("!size=1 and !size=2 last", {"size": "2"}, "and last"),
        ("!empty-200 x", {"empty-200": ""}, "x"),
        ("!state-text=a=b x", {"state-text": "a=b"}, "x"),
        ("wow! a!b != !! !Echo !=3", {}, "wow! a!b != !! !Echo !=3"),
        ("", {}, ""),
        ("  spaces   stay !echo  here ", {"echo": ""}, "  spaces   stay  here "),
    ],
)
def test_parse(prompt: str, words: dict[str, str], text: str) -> None:
    """Words are removed from a prompt; the rest stays as it is, and later words win."""
    assert (words, text) == directives.parse(prompt)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "%41%0A%c3%84",
        "100%",
        "%%41",
        "%4",
        "%zz=41",
        "a=41=\n",
        "Ä%20\r\n \t%",
        "=3D%3d",
    ],
)
def test_percent_encoding_is_read_as_urllib_reads_it(text: str) -> None:
    """Only faster: nine megabytes of it take as long as a few letters."""
    assert unquote_to_bytes(text) == percent.decoded(text)


def test_number_falls_back() -> None:
    """An invalid or missing number is the default."""
    words = {"a": "2.5", "b": "two", "c": ""}

    assert [2.5, 7.0, 7.0, 7.0] == [directives.number(words, name, 7.0) for name in "abcd"]


@pytest.mark.parametrize(
    ("prompt", "part"),
    [
        ("Hello there", "stand-in"),
        ("Write me a poem", "\n"),
        ("Show some Python code", "```python"),
        ("Give me a list of tips", "1. "),
        ("Please count to 7", "1, 2, 3, 4, 5, 6, 7."),
        ("Who are you?", "GPT-4o"),
        ("Thank you", "welcome"),
        ("What is the capital of France?", "capital of France"),
        ("你好", "你好"),
        ("写一首诗", "灯火"),
        ("今天天气如何？", "今天天气如何"),
        ("", "nothing"),
        ("User: one\n\nAssistant: two\n\nUser: count to 3", "1, 2, 3."),
    ],
)
def test_answer(prompt: str, part: str) -> None:
    """The answer fits the last message, and is the same each time."""
    answer = talk.answer(prompt, "GPT-4o")

    assert part in answer
    assert answer == talk.answer(prompt, "GPT-4o")


@pytest.mark.parametrize(
    "text",
    ["", " ", "Hello, world!\n\n  Indented", "你好，世界", "👩‍👩‍👧 family", "a" * 50, "\r\n\t"],
)
def test_pieces_join_back(text: str) -> None:
    """Pieces join back to exactly the text they were cut from."""
    pieces = talk.pieces(text)

    assert text == "".join(pieces)
    assert all(pieces)


def test_journal_is_bounded_and_numbered() -> None:
    """The journal keeps the newest entries; clearing it does not reset its numbers."""
    clock = iter(range(100))
    journal = Journal(capacity=3, clock=lambda: next(clock))
    for name in "abcd":
        journal.add(name=name)

    assert ["b", "c", "d"] == [entry["name"] for entry in journal.entries]
    assert [4] == [entry["n"] for entry in journal.after(3)]
    journal.clear()
    assert [] == journal.entries
    assert {"n": 5, "t": 4, "name": "e"} == journal.add(name="e")


def test_readme_names_every_word() -> None:
    """The README has each word of a prompt and each field of the control."""
    folder = Path(talk.__file__).parent
    readme = (folder / "README.md").read_text()
    sources = "".join((folder / "web" / f"{name}.py").read_text() for name in ("script", "sending"))
    words = {
        *faults.REFUSING,
        *faults.AFTER_ACCEPT,
        *script.MISCHIEFS,
        *re.findall(r'"([a-z-]+)" (?:not )?in words', sources),
        *re.findall(r'number\(words, "([a-z-]+)"', sources),
    }
    switches = {field.name for field in fields(Switches)}
    actions = Control(World(tokens=[], journal=Journal())).actions

    assert len(words) > 45
    assert [] == [word for word in sorted(words) if not re.search(f"`!{word}[`=]", readme)]
    assert [] == [name for name in sorted(switches | actions) if f"`{name}`" not in readme]


def test_readme_names_every_trouble_of_pages() -> None:
    """The README has each word of `fail` that pages and scripts know."""
    folder = Path(talk.__file__).parent
    readme = (folder / "README.md").read_text()
    sources = "".join(
        (folder / "web" / f"{name}.py").read_text() for name in ("pages", "routes", "world")
    )
    words = {
        *re.findall(r'"([a-z-]+)" in (?:words|trouble)', sources),
        *re.findall(r'number\(words, "([a-z-]+)"', sources),
    }

    assert {"hoards", "huge-script", "tag-loops", "unclosed-scripts"} <= words
    assert [] == [word for word in sorted(words) if f"`{word}`" not in readme]


def test_a_stamp_is_the_time_of_sending() -> None:
    """`!stamp=N` is N pieces, each of which gets the time at which it is pushed."""
    words, text = directives.parse("!stamp=3")
    bot = catalogue().find("Assistant")
    assert bot is not None
    steps = script.write(words, text, bot, pace=0.0, is_lenient=False).messages[0]
    assert 3 == sum(isinstance(step, script.Stamp) for step in steps)
