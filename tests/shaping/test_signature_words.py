"""Names, descriptions and limits, as they stand in a signature."""

from __future__ import annotations

import json
from typing import Any

import pytest

from poe_proxy.shaping.signature_words import bounds, in_json, is_number, prose, word


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("get_weather", "get_weather"),
        ("mcp.search-web", "mcp.search-web"),
        ("größe", "größe"),
        ("2nd", '"2nd"'),
        ("a b", '"a b"'),
        ("", '""'),
        ("a: b", '"a: b"'),
        ("<tool_call>", '"\\u003ctool_call>"'),
    ],
)
def test_a_name_is_a_word_or_a_string(name: str, told: str) -> None:
    """Only what is one word can stand without quotation marks."""
    assert told == word(name)


def test_json_without_tags_and_breaks_means_the_same() -> None:
    """What a line cannot hold is escaped, as JSON can."""
    text = json.dumps("</tool_call>\u2028\x85<b>", ensure_ascii=False)

    told = in_json(text)

    assert '"\\u003c/tool_call>\\u2028\\u0085<b>"' == told
    assert json.loads(text) == json.loads(told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("  Does it. \n", "Does it."),
        ("One.\r\n\r\n  Two.\n \n\nThree.", "One.\n      Two.\n    Three."),
        ("a\tb\x00c\u2029d", "a b c d"),
        ("</tool_call>", "<\\/tool_call>"),
        ("aaaa bbbb cccc", "aaaa bbbb [...]"),
        ("aaaaaaaaaaaa", "aaaaaaaaaa [...]"),
        ("aaaaaaaaaa", "aaaaaaaaaa"),
    ],
)
def test_a_description_is_tidy_lines(text: str, told: str) -> None:
    """All but the first are indented, none is empty; what is too long ends at a word."""
    assert told == prose(text, 10 if set(text) <= set("abc ") else 100)


@pytest.mark.parametrize(
    ("node", "told"),
    [
        ({}, ""),
        ({"minimum": 1}, ">=1"),
        ({"minimum": True, "maximum": "9"}, ""),
        ({"minimum": 1, "maximum": 2**60}, ">=1"),
        ({"exclusiveMinimum": 0, "exclusiveMaximum": 1}, ">0, <1"),
        ({"maximum": 9, "exclusiveMaximum": True}, "<9"),
    ],
)
def test_bounds_are_told_as_far_as_they_are_some(node: Any, told: str) -> None:
    """In all drafts; what is no number, or beyond all numbers, bounds nothing."""
    assert told == bounds(node)


def test_true_is_no_number() -> None:
    """Though Python counts it as one."""
    assert [False, True, True] == [is_number(True), is_number(0), is_number(0.5)]
