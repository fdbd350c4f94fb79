"""What is evidently meant by a value that does not fit its schema."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from poe_proxy.budget import OutOfBudget
from poe_proxy.shaping.coercion import MAX_DEPTH, coerced

from ..steps import Counted, grows_linearly

STRINGS = {"type": "array", "items": {"type": "string"}}
SHAPES = {
    "oneOf": [
        {
            "type": "object",
            "properties": {"kind": {"const": kind}, "size": {"type": size}},
            "required": ["kind"],
        }
        for kind, size in (("circle", "number"), ("label", "string"))
    ]
}

#: The rule for a value, what was written, and what was meant.
MEANT: list[Any] = [
    pytest.param({"type": "integer"}, "5", 5, id="a whole number in a text"),
    pytest.param({"type": "integer"}, " -7 ", -7, id="with blanks"),
    pytest.param({"type": "integer"}, "5.0", 5, id="with a fraction of nothing"),
    pytest.param({"type": "integer"}, "1e3", 1000, id="with an exponent"),
    pytest.param({"type": "integer"}, 5.0, 5, id="a whole float"),
    pytest.param({"type": "INTEGER"}, "5", 5, id="a type in upper case"),
    pytest.param({"type": "number"}, "1.5", 1.5, id="a number in a text"),
    pytest.param({"type": "boolean"}, "true", True, id="true"),
    pytest.param({"type": "boolean"}, "False", False, id="false"),
    pytest.param({"type": "boolean"}, "yes", True, id="yes"),
    pytest.param({"type": ["integer", "null"]}, "null", None, id="null in a text"),
    pytest.param({"type": "integer", "nullable": True}, "None", None, id="none"),
    pytest.param({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "", None, id="nothing"),
    pytest.param({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "5", 5, id="a number or null"),
    pytest.param(STRINGS, "a", ["a"], id="one value for a list"),
    pytest.param(STRINGS, 5, ["5"], id="one number for a list of texts"),
    pytest.param(STRINGS, '["a", 5]', ["a", "5"], id="a list in a text"),
    pytest.param({"type": "array"}, {"a": 1}, [{"a": 1}], id="one object for a list"),
    pytest.param({"type": "object"}, '{"a": "5",}', {"a": "5"}, id="an object in a text"),
    pytest.param({"type": "string"}, 5, "5", id="a number for a text"),
    pytest.param({"type": "string"}, 1.5, "1.5", id="a float for a text"),
    pytest.param({"type": "string"}, True, "true", id="a boolean for a text"),
    pytest.param({"enum": ["celsius", "kelvin"]}, " Celsius", "celsius", id="another case"),
    pytest.param({"enum": [1, 5]}, "5", 5, id="a number of a few"),
    pytest.param({"enum": ["1", "5"]}, 5, "5", id="a text of a few"),
    pytest.param({"const": True}, "true", True, id="a constant"),
    pytest.param({"items": [{"type": "integer"}, {}]}, ["1", "2"], [1, "2"], id="a tuple"),
    pytest.param({"prefixItems": [{}], "items": {"type": "integer"}}, ["1", "2"], ["1", 2],
                 id="a tuple and more"),
    pytest.param(
        {"additionalProperties": {"type": "integer"}}, {"a": "1"}, {"a": 1}, id="any names"
    ),
    pytest.param({"$ref": "#/$defs/count"}, "5", 5, id="a reference"),
    pytest.param({"allOf": [{"$ref": "#/$defs/count"}, {"minimum": 1}]}, "5", 5, id="all of"),
    pytest.param(SHAPES, {"kind": "circle", "size": "5"}, {"kind": "circle", "size": 5},
                 id="the alternative that it says to be"),
    pytest.param(SHAPES, {"kind": "label", "size": 5}, {"kind": "label", "size": "5"},
                 id="another one"),
    pytest.param({"anyOf": [STRINGS, {"type": "string"}]}, 5, "5", id="no list if not needed"),
    pytest.param({"properties": {"$ref": {"type": "integer"}}}, {"$ref": "1"}, {"$ref": 1},
                 id="a property with the name of a keyword"),
]  # fmt: skip
#: What fits, or could mean more than one thing.
LEFT: list[Any] = [
    ({"type": "string"}, "5"),
    ({"type": "string"}, "null"),
    ({"type": ["string", "integer"]}, "5"),
    ({"type": ["string", "null"]}, ""),
    ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "5"),
    ({"type": "integer"}, "five"),
    ({"type": "integer"}, "1.5"),
    ({"type": "integer"}, "9" * 5000),
    ({"type": "number"}, "1e999"),
    ({"type": "number"}, "1,5"),
    ({"type": "integer"}, True),
    ({"type": "boolean"}, 1),
    ({"type": "boolean"}, "maybe"),
    ({"type": "string"}, {"a": 1}),
    ({"type": "string"}, ["a"]),
    ({"type": "string"}, None),
    (STRINGS, None),
    (STRINGS, "[a"),
    ({"type": "object"}, "[1]"),
    ({"type": "object"}, "{a"),
    ({"enum": ["a", "A"]}, " a"),
    ({"enum": ["a", 1]}, True),
    ({"anyOf": [{"enum": ["1"]}, {"type": "boolean"}]}, 1.5),
    ({"type": "objekt"}, "5"),
    ({"$ref": "#/nowhere"}, "5"),
    ({"$ref": "other.json"}, "5"),
    (False, "5"),
    (None, "5"),
]


def schema(rule: Any) -> dict[str, Any]:
    """An object that must have a property `a`."""
    definitions = {"count": {"type": "integer"}}
    return {"properties": {"a": rule}, "required": ["a"], "$defs": definitions}


@pytest.mark.parametrize(("rule", "given", "meant"), MEANT)
def test_what_is_evident_is_read_so(rule: Any, given: Any, meant: Any) -> None:
    """Wherever it stands; the value that was given stays as it was."""
    nested = {"properties": {"list": {"items": schema(rule)}}, "$defs": schema(rule)["$defs"]}
    whole = {"list": [{"a": given}]}
    before = copy.deepcopy(whole)

    found = coerced({"a": given}, schema(rule))
    deep = coerced(whole, nested)

    assert ({"a": meant}, type(meant)) == (found, type(found["a"]))
    assert {"list": [{"a": meant}]} == deep
    assert before == whole


@pytest.mark.parametrize(("rule", "given"), LEFT)
def test_what_fits_or_is_unclear_stays(rule: Any, given: Any) -> None:
    """The check says what is wrong, and the bot is asked."""
    found = coerced({"a": given}, schema({"title": "x", **rule} if rule else rule))

    assert ({"a": given}, type(given)) == (found, type(found["a"]))


OBJECT = {
    "type": "object",
    "properties": {
        "file_path": {"type": "string"},
        "limit": {"type": "integer"},
        "mode": {"type": "string", "default": "r"},
        "kind": {"const": "file"},
        "note": {"type": "string"},
    },
    "required": ["file_path", "mode", "kind"],
    "additionalProperties": False,
}
FULL = {"file_path": "a", "mode": "r", "kind": "file"}


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"file_path": "a"}, FULL),
        ({"filePath": "a"}, FULL),
        ({"File-Path": "a", "KIND": "file"}, FULL),
        ({"file_path": "a", "mode": None}, FULL),
        ({"file_path": "a", "limit": None, "note": None}, FULL),
        ({"file_path": "a", "limit": ""}, FULL),
        ({"file_path": "a", "note": ""}, {**FULL, "note": ""}),
        ({"file_path": "a", "other": None, "more": []}, FULL),
        ({"file_path": "a", "other": 1}, {**FULL, "other": 1}),
        ({"file_path": "a", "filePath": "b"}, {**FULL, "filePath": "b"}),
        ({"filePath": "a", "FilePath": "b"}, {"filePath": "a", "FilePath": "b", "mode": "r",
                                              "kind": "file"}),
        ({}, {"mode": "r", "kind": "file"}),
    ],
)  # fmt: skip
def test_properties_are_the_ones_that_are_meant(given: Any, meant: Any) -> None:
    """By another name, left out, or said to be nothing; never invented."""
    assert meant == coerced(given, OBJECT)


UNTYPED = [
    ({"type": "string"}, " 5\n", " 5\n"),
    ({"type": ["string", "null"]}, "null", "null"),
    ({"type": "integer"}, "5\n", 5),
    ({"type": "boolean"}, "true", True),
    ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "null", None),
    ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "5", "5"),
    ({"type": "object", "properties": {"x": {}}}, '{"x": "5"}', {"x": "5"}),
    (STRINGS, '["5", "a"]', ["5", "a"]),
    ({"type": "array"}, ["5", "x"], [5, "x"]),
    ({"$ref": "#/$defs/count"}, "5", 5),
    ({}, "5", 5),
    ({}, "-1.5e3", -1500.0),
    ({}, "true", True),
    ({}, " null ", None),
    ({}, '[1, "2"]', [1, "2"]),
    ({}, '{"b": "2"}', {"b": "2"}),
    ({}, "True", "True"),
    ({}, "007", "007"),
    ({}, "[a", "[a"),
    ({}, " some words ", " some words "),
    (True, "5", 5),
]


@pytest.mark.parametrize(("rule", "given", "meant"), UNTYPED)
def test_texts_are_read_as_the_schema_says(rule: Any, given: Any, meant: Any) -> None:
    """A text that is wanted stays, letter by letter; what is said of nothing is read as JSON."""
    found = coerced({"a": given}, schema(rule), untyped=True)

    assert ({"a": meant}, type(meant)) == (found, type(found["a"]))


def test_a_name_that_no_schema_has_is_read_plainly_too() -> None:
    """Only where nothing more may be there, it is left as it is."""
    assert {"b": 5} == coerced({"b": "5"}, {}, untyped=True)
    assert {"b": "5"} == coerced({"b": "5"}, {"additionalProperties": False}, untyped=True)


# ---- what it costs

COUNTED = Counted(
    "poe_proxy.shaping.loose_json", "poe_proxy.shaping.conversions", "poe_proxy.shaping.coercion"
)


def chain(n: int) -> Any:
    rule: Any = {"type": "integer"}
    for _ in range(n):
        rule = {"anyOf": [{"type": "object", "properties": {"a": rule}}, {"type": "null"}]}
    return rule


def nest(n: int, leaf: Any) -> Any:
    for _ in range(n):
        leaf = {"a": leaf}
    return leaf


HOSTILE: list[Any] = [
    pytest.param(lambda n: ({"items": {"type": "integer"}}, ["5"] * n), id="many values"),
    pytest.param(lambda n: ({"type": "integer"}, "5" * n), id="a long number"),
    pytest.param(lambda n: ({"type": "integer"}, " " * n), id="a long gap"),
    pytest.param(lambda n: ({"type": "array"}, "[" * n), id="a list without end"),
    pytest.param(lambda n: ({"allOf": [{"$ref": "#/x"}] * n, "x": {"type": "integer"}}, "5"),
                 id="many parts"),
    pytest.param(lambda n: ({"anyOf": [{"type": "boolean"}] * n}, "5"), id="many alternatives"),
    pytest.param(lambda n: ({"enum": ["a"] * n}, "b"), id="many that are allowed"),
    pytest.param(lambda n: ({"properties": {f"p_{i}": {} for i in range(n)}},
                            {f"p{i}": 1 for i in range(n)}), id="many names"),
    pytest.param(lambda n: ({"required": [f"p{i}" for i in range(n)]}, {}), id="much required"),
    pytest.param(lambda n: ({"$ref": "#" + "/a" * n, "a": {}}, "5"), id="a long reference"),
]  # fmt: skip


@pytest.mark.parametrize("untyped", [False, True])
@pytest.mark.parametrize("made", HOSTILE)
def test_it_costs_what_value_and_schema_are_large(made: Any, untyped: bool) -> None:
    """Four times as much of both is about four times the steps."""

    def steps(n: int) -> int:
        rule, given = made(n)
        return COUNTED.of(lambda: COUNTED["coercion"].coerced(given, rule, untyped=untyped))

    assert grows_linearly(steps, 150) is None


BOUNDED: list[Any] = [
    pytest.param({"items": {"allOf": [{}] * 1000}}, ["5"] * 1000, id="many parts for many values"),
    pytest.param({"items": {"enum": ["a"] * 1000}}, ["b"] * 1000, id="many that are allowed"),
    pytest.param({"items": {"anyOf": [{"type": "null"}] * 1000}}, ["b"] * 1000, id="alternatives"),
    pytest.param({"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}, "5", id="alternatives in circles"),
    pytest.param({"allOf": [{"$ref": "#"}, {"$ref": "#"}]}, "5", id="parts in circles"),
]


@pytest.mark.parametrize(("rule", "given"), BOUNDED)
def test_what_takes_too_much_stays_as_it_is(rule: Any, given: Any) -> None:
    """Schemas and values may multiply, but not the work."""
    done: list[Any] = []

    steps = COUNTED.of(lambda: done.append(COUNTED["coercion"].coerced(given, rule)))

    assert [given] == done
    assert steps < 100 * COUNTED["coercion"].MAX_LOOKS


def test_what_is_too_deep_stays_as_it_is() -> None:
    """However deep a value and its schema are."""
    assert nest(20, 5) == coerced(nest(20, "5"), chain(20))
    assert nest(3 * MAX_DEPTH, "5") == coerced(nest(3 * MAX_DEPTH, "5"), chain(3 * MAX_DEPTH))


def test_others_have_their_turn() -> None:
    """In between; and whoever has nothing left to spend stops there."""

    def breathe() -> None:
        raise OutOfBudget

    assert {"a": 5} == coerced({"a": "5"}, schema({"type": "integer"}), breathe=breathe)
    with pytest.raises(OutOfBudget):
        coerced(["5"] * 200, {"items": {"type": "integer"}}, breathe=breathe)
