"""The input of a custom tool, out of the arguments of a function, however they are cut."""

from __future__ import annotations

import json
import random

import pytest

from poe_proxy.apis.custom_input import InputReader, arguments_for, input_of

PATCH = (
    '*** Begin Patch\n*** Update File: a"b.py\n@@\n-\told\\n\n+\tnew 世界 🌍\u0000\n*** End Patch'
)

TEXTS = {
    "a patch": (json.dumps({"input": PATCH}), PATCH),
    "not escaped": (json.dumps({"input": PATCH}, ensure_ascii=False), PATCH),
    "spaces": (' {\n "input" :\t"x" }\n', "x"),
    "empty": ('{"input": ""}', ""),
    "line breaks as they are": ('{"input": "a\nb\tc"}', "a\nb\tc"),
    "escapes that are none": (r'{"input": "\d+ \q \u12x \\"}', "\\d+ \\q \\u12x \\"),
    "half a letter": (r'{"input": "a\ud83d b\udf0d\ud83d"}', "a\ufffd b\ufffd\ufffd"),
    "two halves": (r'{"input": "\ud83c\udf0d!"}', "🌍!"),
    "more behind it": ('{"input": "x", "other": 1}', "x"),
    "cut off": ('{"input": "x', "x"),
    "other arguments first": ('{"why": "so", "input": "x"}', "x"),
    "other arguments": ('{"patch": "x"}', '{"patch": "x"}'),
    "no text": ('{"input": {"a": 1}}', '{"input": {"a": 1}}'),
    "raw text": ("*** Begin Patch\n", "*** Begin Patch\n"),
    "a list": ("[1]", "[1]"),
    "nothing": ("", ""),
}


@pytest.mark.parametrize(("arguments", "text"), TEXTS.values(), ids=TEXTS)
def test_the_input_is_the_text(arguments: str, text: str) -> None:
    """Of any other form of arguments, all of them are: the client knows best what to do."""
    assert text == input_of(arguments)


@pytest.mark.parametrize(("arguments", "text"), TEXTS.values(), ids=TEXTS)
def test_it_is_the_same_in_pieces(arguments: str, text: str) -> None:
    """A piece may end anywhere, within an escape and within a letter too."""
    draw = random.Random(1)
    for size in [1, *[0] * 50]:
        reader, found, at = InputReader(), "", 0
        while at < len(arguments):
            end = at + (size or draw.randrange(1, 9))
            found += reader.feed(arguments[at:end])
            at = end

        assert text == found + reader.finish()


def test_it_is_passed_on_as_it_arrives() -> None:
    """Nobody waits for the end of a long one."""
    reader = InputReader()

    assert ["", "a", "b\n", "", ""] == [
        reader.feed(piece) for piece in ('{"input": ', '"a', "b\\n", '"', "}")
    ]
    assert "" == reader.finish()


def test_past_input_becomes_arguments() -> None:
    """A bot reads of its earlier calls what it wrote itself."""
    assert {"input": PATCH} == json.loads(arguments_for(PATCH))
    assert PATCH == input_of(arguments_for(PATCH))


def test_arguments_of_too_many_pieces_are_not_parsed() -> None:
    """They would hold up all others; they are the input as they stand."""
    many = "[" + "[]," * 100_000 + "[]]"

    assert many == input_of(many)
