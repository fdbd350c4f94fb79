"""JSON among other text."""

from __future__ import annotations

import pytest

from poe_proxy.shaping.json_search import MAX_DEPTH, find_values


def found(text: str) -> list[str]:
    return find_values(text, lambda: None)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", []),
        ("no value", []),
        ("[1]: {}", ["[1]", "{}"]),
        ('a {"b": [1, {"c": 2}]} d', ['{"b": [1, {"c": 2}]}']),
        ('{"a": 1.5e-3, "b": [true, false, null, -0]}', None),
        ('["a\\"]", "\\u00e9", "}"]', None),
        # What loose_json puts up with.
        ('{"a": "it\\\'s", "b": [1, ], }', None),
        ('{"a": "b\n\tc"}', None),
        # What is complete within what is not.
        ('{the answer: {"a": 1}}', ['{"a": 1}']),
        ('[{"a": 1} and {"b": 2}', ['{"a": 1}', '{"b": 2}']),
        ('{"a": {"b": 1}', ['{"b": 1}']),
        ('[1}{"a": 1}', ['{"a": 1}']),
        ("[NaN, [1]]", ["[1]"]),
        ("[01, [1]]", ["[1]"]),
        ("[1 2]", []),
        ("{1: 2}", []),
        ('{"a", [1]}', ["[1]"]),
        ('{"a" [1]}', ["[1]"]),
        # A quotation mark too many, or one that is missing.
        ('a 5" [pipe] {"a": 1}', ['{"a": 1}']),
        ('{5" pipes} {"a": 1}', ['{"a": 1}']),
        ('["a, b] {"a": 1}', ['{"a": 1}']),
        ('["never closed {"a": 1}', ['{"a": 1}']),
        ('{"a": "\\d {}"} [1]', ["{}", "[1]"]),
        ('{"a": "b"c"} so: {"b": [2]}', ['{"b": [2]}']),
    ],
)
def test_the_outermost_values_are_found(text: str, values: list[str] | None) -> None:
    """In their order, whatever is around them; None stands for all of the text."""
    assert ([text] if values is None else values) == found(text)


@pytest.mark.parametrize("opening", ["[", '{"a": '])
def test_what_is_nested_too_deeply_is_one_value_all_the_same(opening: str) -> None:
    """What is inside is no answer of its own; the reader of JSON says that it is too deep."""
    depth = 3 * MAX_DEPTH
    text = opening * depth + "1" + {"[": "]"}.get(opening, "}") * depth

    assert [text, "[1]"] == found(f"So: {text}, as in [1]")


def test_others_get_their_turn() -> None:
    """Now and then while a long text is read."""
    turns: list[None] = []

    find_values("[1, " * 10_000, lambda: turns.append(None))

    assert 30 == len(turns)
