from __future__ import annotations

import re
from typing import Any

import pytest

from poe_sim.api.schemas import BadSchemaError, instance


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string"}, "some value"),
        ({"type": "string", "enum": ["b", "a"]}, "b"),
        ({"const": 3}, 3),
        ({"type": ["null", "integer"]}, 1),
        ({"type": "integer", "minimum": 7}, 7),
        ({"type": "integer", "maximum": -7}, -7),
        ({"type": "integer", "exclusiveMinimum": 4, "exclusiveMaximum": 6}, 5),
        ({"type": "integer", "multipleOf": 5}, 5),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5}, 0.25),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": "string", "format": "date"}, "2026-01-31"),
        ({"type": "string", "maxLength": 3}, "som"),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 3}, [True] * 3),
        ({"type": "array", "items": {"enum": [1, 2]}, "minItems": 2, "uniqueItems": True}, [1, 2]),
        ({"type": "array", "prefixItems": [{"const": 1}, {"const": "x"}]}, [1, "x"]),
        ({"type": "array", "items": {"const": 1}, "maxItems": 0}, []),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, None),
        ({"oneOf": [{"const": 2}]}, 2),
        ({"type": "object", "required": ["anything"]}, {"anything": "some anything"}),
        ({}, "some value"),
        (True, "some value"),
    ],
)
def test_an_instance_is_allowed_by_its_schema(schema: Any, expected: object) -> None:
    """Each keyword is obeyed, and the same schema gives the same value."""
    assert expected == instance(schema)
    assert expected == instance(schema)


def test_nested_objects_are_filled_in() -> None:
    """Nested members are there, required or not."""
    schema = {
        "type": "object",
        "properties": {
            "where": {
                "type": "object",
                "properties": {"lat": {"type": "number", "maximum": -10}, "note": {}},
                "required": ["lat"],
            },
            "many": {"type": "array", "items": {"type": "object", "properties": {"n": {}}}},
        },
        "required": ["where", "many"],
    }
    expected = {"where": {"lat": -10, "note": "some note"}, "many": [{"n": "some n"}]}
    assert expected == instance(schema)


def test_references_are_followed_and_parts_merged() -> None:
    """`$ref` leads into the schema itself; all parts of `allOf` hold."""
    schema = {
        "$defs": {"unit": {"enum": ["C"]}},
        "allOf": [
            {"type": "object", "properties": {"a": {"$ref": "#/$defs/unit"}}},
            {"properties": {"b": {"type": "integer"}}, "required": ["b"]},
        ],
    }
    assert {"a": "C", "b": 1} == instance(schema)


def test_a_schema_that_contains_itself_ends() -> None:
    """Optional members are left out deep down."""
    tree = {"type": "object", "properties": {"v": {"const": 1}, "next": {"$ref": "#"}}}
    tree["required"] = ["v"]
    made = instance(tree)
    assert made["v"] == 1
    assert made["next"]["v"] == 1


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\d{4}-\d{2}$",
        r"^[A-Z]{3}$",
        r"^(cat|dog)s?$",
        r"^\w+@\w+\.(com|org)$",
        r"^[^a-c]x+$",
        r"^[^\w-]{2}[^\d\s]$",
        r"^[[a]b$",
        r"^\S+ \D\W$",
        r"^#?[0-9a-f]{6}$",
        r"^.{5,10}$",
    ],
)
def test_a_string_matches_its_pattern(pattern: str) -> None:
    """Common patterns are satisfied."""
    assert re.search(pattern, instance({"type": "string", "pattern": pattern}))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "minLength": 10**12},
        {"type": "array", "items": {}, "minItems": 10**12},
        {"type": "integer", "minimum": 10**30},
        {"type": "string", "enum": 5},
        {"type": "object", "properties": 5},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
    ],
)
def test_what_cannot_be_satisfied_is_a_bad_schema(schema: Any) -> None:
    """Absurd sizes, endless nesting and values of the wrong type are a bad schema."""
    with pytest.raises(BadSchemaError):
        instance(schema)


def test_hints_fill_strings_by_name() -> None:
    """A string takes its value from the hint, an enum does not."""
    schema = {"type": "object", "properties": {"city": {}, "unit": {"enum": ["C"]}}}
    assert {"city": "Rome", "unit": "C"} == instance(schema, {"city": "Rome", "unit": "F"})
