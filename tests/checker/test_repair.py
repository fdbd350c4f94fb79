"""What is made of odd schemas, as those see it whose values are checked."""

from __future__ import annotations

from typing import Any

import pytest

from poe_proxy.checker.program import answers
from poe_proxy.checker.repair import is_odd, repaired, types

from ..steps import Counted, grows_linearly
from .jobs import check, read


def fits(schema: Any, value: Any) -> bool:
    """Whether *value* fits *schema*, which is read without complaint."""
    assert [None] == list(answers(read(schema)))
    verdict, *_ = answers(check(schema, value))
    assert isinstance(verdict, bool)
    return verdict


def of(rule: Any, **others: Any) -> dict[str, Any]:
    """An object with a property `a`, and one beside it whose rule is always the same."""
    return {
        "type": "object",
        "properties": {"a": rule, "kept": {"type": "integer"}},
        "required": ["kept"],
        **others,
    }


#: Rules that cannot be read as they are, what fits them, and what does not: nothing where they
#: have no evident meaning.
RULES: list[Any] = [
    pytest.param({"type": None}, [1, "x", None], [], id="a type that is null"),
    pytest.param({"type": "file"}, [1, "x"], [], id="an unknown type"),
    pytest.param({"type": {"anyOf": []}}, [1], [], id="a type that is an object"),
    pytest.param({"type": []}, [1], [], id="no type"),
    pytest.param({"type": ["string", 7]}, [1, "x"], [], id="a type that is a number"),
    pytest.param({"type": "any"}, [1, "x", None, []], [], id="any"),
    pytest.param({"type": "int"}, [1], ["1", 1.5], id="int"),
    pytest.param({"type": "str"}, ["1"], [1], id="str"),
    pytest.param({"type": "float"}, [1.5, 1], ["1"], id="float"),
    pytest.param({"type": "bool"}, [True], [1], id="bool"),
    pytest.param({"type": "dict"}, [{}], [[]], id="dict"),
    pytest.param({"type": "list", "items": {"type": "INTEGER"}}, [[1]], [{}, ["x"]], id="list"),
    pytest.param({"type": "STRING"}, ["1"], [1], id="upper case"),
    pytest.param({"type": ["STRING", None]}, ["1", None], [1], id="a list of types with null"),
    pytest.param({"type": "string | null"}, ["1", None], [1], id="types in one text"),
    pytest.param({"type": "string", "nullable": True}, ["1", None], [1], id="nullable"),
    pytest.param({"nullable": True, "enum": ["b"]}, ["b", None], ["c"], id="nullable and enum"),
    pytest.param({"nullable": True, "const": 1}, [1, None], [2], id="nullable and const"),
    pytest.param(
        {"nullable": True, "allOf": [{"$ref": "#/properties/kept"}]}, [1, None], ["x"],
        id="a nullable reference",
    ),
    pytest.param({"type": "string", "nullable": False}, ["1"], [None], id="not nullable"),
    pytest.param(
        {"type": "array", "items": [{"type": "string"}, {"type": "number"}]},
        [["x", 1], ["x"], ["x", 1, None]], [[1], ["x", "y"]], id="a tuple",
    ),
    pytest.param(
        {"items": [{"type": "string"}], "additionalItems": False}, [["x"]], [["x", 1]],
        id="a tuple and nothing else",
    ),
    pytest.param({"items": []}, [[1]], [], id="an empty tuple"),
    pytest.param({"items": "string", "type": "array"}, [[1]], [1], id="items that are a text"),
    pytest.param({"prefixItems": {}, "items": False}, [[1]], [], id="a tuple that is none"),
    pytest.param({"minimum": 3, "exclusiveMinimum": True}, [4], [3], id="exclusive in draft 4"),
    pytest.param({"maximum": 3, "exclusiveMaximum": False}, [3], [4], id="inclusive in draft 4"),
    pytest.param({"exclusiveMinimum": True}, [3], [], id="exclusive of nothing"),
    pytest.param({"minimum": "3", "type": "integer"}, [1], ["x"], id="a limit that is a text"),
    pytest.param({"minLength": -1, "maxLength": 2}, ["x"], ["xxx"], id="a negative length"),
    pytest.param({"maxLength": 1e300, "minLength": 1}, ["x"], [""], id="a length without end"),
    pytest.param({"multipleOf": 0, "type": "integer"}, [1], ["x"], id="multiples of nothing"),
    pytest.param({"uniqueItems": "yes", "type": "array"}, [[1, 1]], [1], id="a flag that is none"),
    pytest.param({"enum": [], "type": "string"}, ["x"], [1], id="no values"),
    pytest.param({"enum": None, "type": "string"}, ["x"], [1], id="values that are null"),
    pytest.param({"enum": "x"}, ["y"], [], id="values that are a text"),
    pytest.param({"const": None, "type": None}, [None], [1], id="null as a value"),
    pytest.param({"type": "string", "format": 7, "pattern": 7}, ["x"], [1], id="no pattern"),
    pytest.param({"type": "string", "pattern": "("}, ["x"], [1], id="an unknown pattern"),
    pytest.param({"type": "string", "format": "uuid4"}, ["x"], [1], id="an unknown format"),
    pytest.param({"id": "x", "type": "str"}, ["x"], [1], id="a name of draft 4"),
    pytest.param({"$id": 7, "$schema": [], "type": "string"}, ["x"], [1], id="names of no kind"),
    pytest.param(
        {"description": None, "title": None, "default": None, "items": None, "minItems": None,
         "properties": None, "additionalProperties": None, "required": None, "$ref": None,
         "type": "object"},
        [{"x": 1}], [1], id="keywords that are null",
    ),
    pytest.param(None, [1], [], id="null"),
    pytest.param("string", [1], [], id="a text"),
    pytest.param("", [1], [], id="an empty text"),
    pytest.param([], [1], [], id="a list"),
    pytest.param({"properties": []}, [{"x": 1}], [], id="properties that are a list"),
    pytest.param(
        {"properties": {"b": None, "c": {"type": "null"}}, "additionalProperties": False},
        [{"b": 1}, {"c": None}], [{"c": 1}, {"d": 1}], id="a property that is no schema",
    ),
    pytest.param(
        {"properties": "b", "additionalProperties": False, "type": "object"}, [{"b": 1}], [1],
        id="names that are not known",
    ),
    pytest.param(
        {"patternProperties": [], "additionalProperties": False}, [{"b": 1}], [],
        id="patterns that are a list",
    ),
    pytest.param({"additionalProperties": "no", "minProperties": 1}, [{"b": 1}], [{}], id="others"),
    pytest.param(
        {"properties": {"b": {"type": "string", "required": True}}}, [{"b": "x"}], [{}],
        id="required in draft 3",
    ),
    pytest.param({"required": "b", "type": "object"}, [{}], [1], id="required that is a text"),
    pytest.param(
        {"properties": {"b": {}}, "required": ["b", "b", 7]}, [{"b": 1}], [{}],
        id="required twice",
    ),
    pytest.param(
        {"type": "object", "properties": {"b": {}}, "required": ["b", "ghost"]},
        [{"b": 1}], [{}], id="required and not there",
    ),
    pytest.param(
        {"properties": {}, "required": ["ghost"], "additionalProperties": False}, [{}], [{"b": 1}],
        id="required and forbidden",
    ),
    pytest.param(
        {"dependencies": {"b": ["c"], "d": {"type": "object", "minProperties": 2}, "e": 7},
         "type": "OBJECT"},
        [{"b": 1, "c": 1}, {"e": 1}], [{"b": 1}, {"d": 1}], id="dependencies",
    ),
    pytest.param({"$ref": "#/$defs/nowhere"}, [1], [], id="a reference that leads nowhere"),
    pytest.param({"$ref": 7}, [1], [], id="a reference that is a number"),
    pytest.param({"$ref": "#/required/0"}, [1], [], id="a reference to what is no schema"),
    pytest.param({"$ref": "http://127.0.0.1:9/kept"}, [1, "x"], [], id="a reference to an address"),
    pytest.param({"$ref": "file:///kept.json", "minimum": 2}, [3, "x"], [1], id="to a file"),
    pytest.param({"allOf": [], "anyOf": {}, "type": "string"}, ["x"], [1], id="no alternatives"),
    pytest.param({"anyOf": [None, {"type": "string"}]}, ["x", 1], [], id="an alternative to all"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "good", "bad"), RULES)
def test_what_can_be_read_is_checked(rule: Any, good: list[Any], bad: list[Any]) -> None:
    """What fits by the evident meaning passes, and all the rest of the schema is heeded."""
    schema = of(rule)

    assert [True] * len(good) == [fits(schema, {"a": one, "kept": 1}) for one in good]
    assert [False] * len(bad) == [fits(schema, {"a": one, "kept": 1}) for one in bad]
    assert not fits(schema, {"kept": "x"})
    assert not fits(schema, {})


#: References that do not lead where they should, and what they mean in the schema that has a
#: definition of that name.
MEANT = [
    "#/$defs/Node",
    "#/definitions/Node",
    "#/components/schemas/Node",
    "#/properties/b/$defs/Node",
    "Node",
    "#Node",
    "#/$defs/other/Node",
]


@pytest.mark.parametrize("reference", MEANT)
@pytest.mark.parametrize("place", ["$defs", "definitions"])
def test_a_reference_leads_to_the_definition_of_its_name(reference: str, place: str) -> None:
    """Wherever that stands in the schema."""
    schema = of({"$ref": reference})
    schema["properties"]["b"] = {place: {"Node": {"type": "string"}}}

    assert fits(schema, {"a": "x", "kept": 1})
    assert not fits(schema, {"a": 1, "kept": 1})


def test_a_name_that_two_have_leads_nowhere() -> None:
    """It cannot be told which is meant."""
    schema = of({"$ref": "#/Node"})
    schema["properties"]["b"] = {"$defs": {"Node": {"type": "string"}}}
    schema["properties"]["c"] = {"$defs": {"Node": {"type": "null"}}}

    assert fits(schema, {"a": 1, "kept": 1})


@pytest.mark.parametrize(
    ("reference", "rule"),
    [
        ("#/properties/t/items/1", {"items": [{}, {"type": "string"}]}),
        ("http://a/b", {"$id": "http://a/b", "type": "string"}),
        ("b.json", {"$id": "http://a/b.json", "type": "string"}),
        ("#b", {"$anchor": "b", "type": "string"}),
        ("#/x%20y/A~1%5Bz%5D", {}),
    ],
)
def test_a_reference_leads_to_what_has_another_form_now(reference: str, rule: Any) -> None:
    """Its target is read as well as the rest."""
    schema = of({"$ref": reference}, **{"x y": {"A/[z]": {"type": "str"}}})
    schema["properties"]["t"] = rule
    schema["properties"]["odd"] = {"type": "str"}

    assert fits(schema, {"a": "x", "kept": 1})
    assert not fits(schema, {"a": 1, "kept": 1})
    assert not fits(schema, {"odd": 1, "kept": 1})


def test_a_reference_stands_alone_in_old_drafts() -> None:
    """In newer ones, and where none is named, what stands beside it counts."""
    rule = {"$ref": "#/definitions/b", "minimum": 5}
    schema = of(rule, definitions={"b": {"type": "int"}})
    old = {**schema, "$schema": "http://json-schema.org/draft-07/schema#"}

    assert fits(old, {"a": 1, "kept": 1})
    assert not fits(old, {"a": "x", "kept": 1})
    assert not fits(schema, {"a": 1, "kept": 1})


#: Rules that would forbid more than was meant without a part of them, and what they must take.
FORGIVEN = [
    pytest.param({"not": {"type": "objekt"}}, 1, id="not"),
    pytest.param({"not": {"properties": {"b": {"$ref": "#/nowhere"}}}}, 1, id="not, deep within"),
    pytest.param({"oneOf": [{"type": "objekt"}, {"type": "integer"}]}, 1, id="one of"),
    pytest.param(
        {"if": {"minLength": -1}, "then": {"type": "string"}, "else": {"type": "null"}}, 1, id="if"
    ),
    pytest.param(
        {"contains": {"minLength": -1}, "maxContains": 1, "minContains": 0}, [1, 2], id="contains"
    ),
    pytest.param(
        {"allOf": [{"$ref": "#/nowhere"}], "unevaluatedProperties": False}, {"b": 1}, id="names"
    ),
    pytest.param(
        {"allOf": [{"$ref": "#/nowhere"}], "unevaluatedItems": False}, [1], id="items"
    ),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "value"), FORGIVEN)
def test_nothing_is_forbidden_that_was_not(rule: Any, value: Any) -> None:
    """What stands on a part that cannot be read is left out with it."""
    assert fits(of(rule), {"a": value, "kept": 1})


def test_what_forbids_and_can_be_read_is_kept() -> None:
    """The oddness of one part does no harm to another."""
    schema = of(
        {"type": "objekt"},
        **{"not": {"required": ["bad"]}, "oneOf": [{"required": ["x"]}, {"required": ["y"]}]},
    )

    assert fits(schema, {"kept": 1, "x": 1})
    assert not fits(schema, {"kept": 1, "x": 1, "bad": 1})
    assert not fits(schema, {"kept": 1, "x": 1, "y": 1})


SOUND = [
    {"anyOf": [{"required": ["a"]}, {"required": ["b"]}], "properties": {"c": {}}},
    {"type": "object", "properties": {"a": {"type": ["string", "null"]}}, "required": ["a"]},
    {"enum": [[], None], "default": {"enum": 1}},
]


@pytest.mark.parametrize("schema", SOUND)
def test_a_sound_schema_is_not_odd(schema: Any) -> None:
    """It is read as it is."""
    assert not is_odd(schema)


def test_what_may_be_required_by_one_part_and_named_by_another_is_required() -> None:
    """Only where an object lists all that it has, a name that is not there is a slip."""
    schema = {
        "type": "object",
        "properties": {"a": {"type": "STRING"}},
        "allOf": [{"properties": {"b": {}}}],
        "required": ["b"],
    }

    assert fits(schema, {"b": 1})
    assert not fits(schema, {"a": "x"})


def test_of_nonsense_nothing_is_made() -> None:
    """Whoever was promised a check has to know."""
    for schema in ({"type": "objekt"}, {"$ref": "#/nowhere", "title": "x"}, {"enum": 7}, "object"):
        assert repaired(schema, lambda pattern: True) is None
    for schema in ({"type": "any"}, {"type": None}, {"type": "objekt", "minimum": 1}, True):
        assert repaired(schema, lambda pattern: True) is not None


def test_the_types_that_are_named() -> None:
    """In the order in which they stand, each once."""
    assert ("string", "null") == types(["Str", None, "STRING"])
    assert ("integer",) == types("int")
    assert types("objekt") is None
    assert types(["string", ["string"]]) is None
    assert types(7) is None
    assert "object" in (types("any") or ())


# ---- what it costs

COUNTED = Counted("poe_proxy.checker.references", "poe_proxy.checker.repair")
HOSTILE = [
    pytest.param(lambda n: {"allOf": [{"type": "X"}] * n}, id="many schemas"),
    pytest.param(lambda n: {"properties": {f"p{i}": {"required": True} for i in range(n)}},
                 id="names"),
    pytest.param(lambda n: {"type": ["string"] * n, "required": ["a"] * n}, id="lists"),
    pytest.param(lambda n: {"type": "string|" * n}, id="a long type"),
    pytest.param(lambda n: {"$ref": "#/" + "a/" * n}, id="a long reference"),
    pytest.param(lambda n: {"allOf": [{"$ref": "#/$defs/x"}] * n, "a": {"$defs": {"x": {}}}},
                 id="many references"),
    pytest.param(lambda n: {"$defs": {f"d{i}": {"$ref": f"d{i + 1}"} for i in range(n)}},
                 id="many definitions"),
    pytest.param(lambda n: {"a" * 600: {"$defs": {f"d{i}": {"$ref": f"d{i}"} for i in range(n)}}},
                 id="definitions far away"),
    pytest.param(lambda n: {"enum": [[]] * n, "x": [[{}]] * n}, id="data"),
    pytest.param(lambda n: {"dependencies": {f"p{i}": ["a"] for i in range(n)}}, id="dependencies"),
    pytest.param(lambda n: {"required": [f"p{i}" for i in range(n)], "type": "object",
                            "properties": {f"q{i}": {} for i in range(n)}}, id="ghosts"),
]  # fmt: skip


@pytest.mark.parametrize("schema", HOSTILE)
def test_a_schema_costs_what_it_is_large(schema: Any) -> None:
    """Whatever is odd about it."""
    repair = COUNTED["repair"]

    def steps(n: int) -> int:
        given = schema(n)
        return COUNTED.of(
            lambda: (repair.is_odd(given), repair.repaired(given, lambda pattern: True))
        )

    assert grows_linearly(steps, 150) is None
