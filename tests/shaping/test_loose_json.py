"""JSON as bots write it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from poe_proxy.budget import OutOfBudget
from poe_proxy.shaping.loose_json import (
    MAX_LENGTH,
    MAX_NAMES,
    MAX_SLIPS,
    MAX_VALUES,
    Nesting,
    read,
    write,
)


@pytest.mark.parametrize(
    "text", ["{}", "[1, 2.5]", '"a"', "null", ' {"a": "\\ud83d"}\n', '{"a": [{"b": "}"}]}']
)
def test_strict_json_is_read_as_it_is(text: str) -> None:
    """It is known for strict, so that it can be passed on letter by letter."""
    assert (json.loads(text), True) == read(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1,}', {"a": 1}),
        ("[1, 2 ,\n]", [1, 2]),
        ('{"a": [1,],}', {"a": [1]}),
        ('{"a": "b\nc\td"}', {"a": "b\nc\td"}),
        ('{"a": "it\\\'s"}', {"a": "it's"}),
        ('{"a": ",}", "b": "\\",]",}', {"a": ",}", "b": '",]'}),
        ('{"a": "\\\\\'",}', {"a": "\\'"}),
    ],
)
def test_slips_whose_meaning_is_certain_are_put_up_with(text: str, value: Any) -> None:
    """A comma too many, bare newlines and tabs, a quotation mark that needs no backslash."""
    assert (value, False) == read(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'a': 'it\\'s', \"b\": \"it's\", 'c': 'say \"hi\"\\n'}",
         {"a": "it's", "b": "it's", "c": 'say "hi"\n'}),
        ("{a: True, b_1: None, $c: [False, null, 1e5]}",
         {"a": True, "b_1": None, "$c": [False, None, 1e5]}),
        ('{"a": 1 // one, two\n, /* x */ "b": "// no"}', {"a": 1, "b": "// no"}),
        ('{"True": "None, {a: 1}",}', {"True": "None, {a: 1}"}),
    ],
)  # fmt: skip
def test_what_other_languages_write_is_read_loosely(text: str, value: Any) -> None:
    """Where it is asked for, and never within strings."""
    assert (value, False) == read(text, loosely=True)


def test_what_other_languages_write_is_otherwise_no_json() -> None:
    for text in ("{'a': 1}", "{a: 1}", "[True]", "[1 /* one */]"):
        with pytest.raises(ValueError, match=r"."):
            read(text)


@pytest.mark.parametrize(
    "text",
    ["{'a': 'it's'}", "{'a': 1", '{"a": NaN}', '{"a": foo}', '{"a": Truely}', '{"a" 1}', "[, 1]",
     '{"a": "\\d"}', '{"a": 1ex}', "['a", "[1 /* x"],
)  # fmt: skip
def test_what_is_not_certain_is_not_read_loosely(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(text, loosely=True)


@pytest.mark.parametrize(
    "text",
    ["", "a", "{'a': 1}", '{"a": 1', '{"a": NaN}', "[Infinity]", '{"a": "\\d"}', "[, 1]", '{"a" 1}',
     "[" * 50_000 + "]" * 50_000],
)  # fmt: skip
def test_everything_else_is_not_json(text: str) -> None:
    """Nothing is guessed at, and depth is no fault of ours."""
    with pytest.raises(ValueError, match=r"."):
        read(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": "é 🏯"}, '{"a": "é 🏯"}'),
        ({"a": "é \ud83d"}, '{"a": "\\u00e9 \\ud83d"}'),
        (None, "null"),
    ],
)
def test_what_is_written_can_be_sent(value: Any, text: str) -> None:
    """In its own letters, unless UTF-8 has none for them."""
    assert text == write(value)
    write(value).encode()


def test_slips_are_mended_up_to_a_number() -> None:
    """A text with more of them is not JSON, and would take long to mend."""

    def slips(number: int) -> str:
        return "[" + "[1,]," * number + "1]"

    assert ([[1]] * MAX_SLIPS + [1], False) == read(slips(MAX_SLIPS))
    with pytest.raises(ValueError, match="too many slips"):
        read(slips(MAX_SLIPS + 1))


def test_a_text_that_is_too_long_is_not_read() -> None:
    """The parser holds up all others until it is done."""
    assert ("a" * (MAX_LENGTH - 2), True) == read('"' + "a" * (MAX_LENGTH - 2) + '"')
    with pytest.raises(OutOfBudget):
        read('"' + "a" * (MAX_LENGTH - 1) + '"')


def test_a_text_of_too_many_pieces_is_not_read() -> None:
    """However short it is: each piece costs as much as many characters. What stands in a string is
    none, such as a table in a file that a tool is to write."""
    table = "1,2,3;" * 100_000

    assert ([1] * MAX_VALUES, True) == read("[" + "1," * (MAX_VALUES - 1) + "1]")
    assert ({"text": table}, True) == read(json.dumps({"text": table}))
    for text in ("[" + "1," * MAX_VALUES + "1]", "[" + '{"":1},' * MAX_NAMES + '{"":1}]'):
        with pytest.raises(OutOfBudget):
            read(text)


def test_what_is_nested_too_deeply_cannot_be_written() -> None:
    """It is no fault of ours."""
    value: list[Any] = []
    for _ in range(10_000):
        value = [value]

    with pytest.raises(ValueError, match="nested too deeply"):
        write(value)


def test_infinity_cannot_be_written() -> None:
    """JSON does not have it."""
    with pytest.raises(ValueError, match=r"."):
        write(float("inf"))


ENDS = [
    ("{} more", 2),
    ('{"a": [1, {"b": 2}]} more', 20),
    ('[{"a": "]}"}]', 13),
    ('{"a": "\\"}"}}', 12),
    ('{"a": "\\\\"}}', 11),
    ('{"a": 1</tool_call>', 7),
    ('{"a": "</tool_call>"}', 21),
    ("{]", 2),
    ('{"a": "}', None),
    ('{"a": {', None),
    ("", None),
]


@pytest.mark.parametrize(("text", "end"), ENDS)
def test_the_end_of_a_value_is_found(text: str, end: int | None) -> None:
    """Behind the bracket that closes it, or before a tag, wherever the text is cut."""
    assert end == Nesting().end(text)
    for size in range(1, len(text)):
        nesting = Nesting()
        starts = range(0, len(text), size)
        ends = ((at, nesting.end(text[at : at + size])) for at in starts)
        assert end == next((at + one for at, one in ends if one is not None), None), size


def test_a_value_may_begin_further_on() -> None:
    """What stands before it is not looked at."""
    assert 5 == Nesting().end('"[ {} }', 3)


@pytest.mark.parametrize(
    ("text", "missing", "in_string"),
    [('{"a": [{', "}]}", False), ('{"a": [1]', "}", False), ('{"a": "b', "}", True)],
)
def test_what_is_missing_of_an_open_value_is_known(
    text: str, missing: str, in_string: bool
) -> None:
    """The brackets that would close it, and whether a string is open too."""
    nesting = Nesting()

    assert nesting.end(text) is None
    assert (missing, in_string) == (nesting.missing, nesting.in_string)
