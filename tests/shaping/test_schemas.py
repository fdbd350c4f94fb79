"""Clients' JSON schemas: which are valid, what fits them, and how long a check may take."""

from __future__ import annotations

import json
from typing import Any

import pytest

from poe_proxy.errors import InvalidRequest
from poe_proxy.shaping import schemas
from poe_proxy.shaping.schemas import Schema, Violation

PATH = "tools[0].function.parameters"


def violation(schema: Any, text: str) -> Violation | None:
    """What is wrong with the JSON *text* by this schema."""
    return Schema.of(schema, PATH).violation(json.loads(text))


REFUSED: list[Any] = [
    {"type": "objekt"},
    {"type": "object", "properties": []},
    {"required": "city"},
    {"minLength": -1},
    {"$schema": "http://json-schema.org/draft-04/schema#", "exclusiveMinimum": 3},
    "object",
    7,
    [],
    {"$schema": []},
    {"$schema": 5},
]


@pytest.mark.parametrize("schema", REFUSED)
def test_an_invalid_schema_is_refused(schema: Any) -> None:
    """The field in which the client sent it is named."""
    with pytest.raises(InvalidRequest) as failure:
        Schema.of(schema, PATH)

    assert PATH == failure.value.param
    assert failure.value.message.startswith(f"{PATH} is not a ")


def test_the_error_says_where_a_schema_is_wrong() -> None:
    """It names the place and the rule."""
    schema = {"properties": {"city": {"minLength": -1}}}

    with pytest.raises(InvalidRequest, match=r"'minimum'.* /properties/city/minLength"):
        Schema.of(schema, PATH)
    with pytest.raises(InvalidRequest, match=r"'type'.* its root"):
        Schema.of("object", PATH)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/nowhere"},
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$ref": "file:///schema.json"},
        {"$ref": "#"},
        {"$ref": "#/title", "title": "no schema"},
        {"$ref": "#/enum/0", "enum": [7]},
        {"$id": "a", "$ref": "#/$defs/q", "$defs": {"q": {"$id": "http://["}}},
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the library warns before it fetches
def test_references_are_not_followed_out_of_the_schema(
    schema: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reference that leads nowhere or in circles is the client's mistake; nothing is fetched."""
    fetched: list[Any] = []
    monkeypatch.setattr("urllib.request.urlopen", lambda *args, **_: fetched.append(args))

    with pytest.raises(InvalidRequest) as failure:
        violation(schema, "{}")

    assert PATH == failure.value.param
    assert [] == fetched


#: Each of these refers twice to the next one.
DOUBLED: dict[str, Any] = {
    f"a{place}": {"allOf": [{"$ref": f"#/$defs/a{place + 1}"}] * 2} for place in range(60)
}


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        ({"pattern": "^(a|aa)+$"}, "a" * 60 + "!"),
        ({"patternProperties": {"^(a|aa)+$": {}}}, {"a" * 60 + "!": 1}),
        ({"$ref": "#/$defs/a0", "$defs": {**DOUBLED, "a60": {}}}, 1),
    ],
    ids=["pattern", "patternProperties", "references"],
)
def test_a_check_that_would_take_for_ever_is_given_up(
    schema: Any, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A schema that cannot be checked in time is the client's mistake, and holds up no other."""
    monkeypatch.setattr(schemas, "MAX_CHECK", 0.05)

    with pytest.raises(InvalidRequest, match="too long") as failure:
        Schema.of(schema, PATH).violation(answer)

    assert PATH == failure.value.param


def _nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"properties": {"a": schema}}
    return schema


def test_a_schema_that_is_nested_too_deeply_is_refused() -> None:
    """It is the client's mistake, not a fault of ours."""
    with pytest.raises(InvalidRequest):
        Schema.of(_nested(5000), PATH)


@pytest.mark.parametrize(
    ("schema", "fits", "fails"),
    [
        pytest.param(
            {"$defs": {"n": {"type": "integer"}}, "items": {"$ref": "#/$defs/n"}, "type": "array"},
            "[1]",
            '["a"]',
            id="references within",
        ),
        pytest.param(
            {
                "$schema": "http://json-schema.org/draft-04/schema#",
                "minimum": 3,
                "exclusiveMinimum": True,
            },
            "4",
            "3",
            id="draft 4",
        ),
        pytest.param(
            {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "null"}]},
            "[null]",
            "[1]",
            id="draft 7",
        ),
        pytest.param(
            {"prefixItems": [{"type": "null"}]}, "[null]", "[1]", id="2020-12 without a name"
        ),
        pytest.param(
            {"type": "string", "format": "email"}, '"no email"', "1", id="formats are not checked"
        ),
        pytest.param({"multipleOf": 0.5}, "1.5", "9" * 400, id="too large to divide"),
        pytest.param({"type": "string", "pattern": "^a+$"}, '"aa"', '"b"', id="pattern"),
        pytest.param(
            {"type": "string", "pattern": r"^\p{L}+$"}, '"b"', "1", id="pattern of JavaScript"
        ),
        pytest.param(
            {
                "patternProperties": {r"^\p{L}": {}, "^x": {"type": "integer"}},
                "additionalProperties": False,
            },
            '{"é": 1}',
            '{"x": "a"}',
            id="names in a pattern of JavaScript",
        ),
        pytest.param(
            {"properties": {"pattern": {"type": "integer"}}},
            '{"pattern": 1}',
            '{"pattern": "("}',
            id="a property called pattern",
        ),
    ],
)
def test_schemas_are_read_in_their_own_draft(schema: Any, fits: str, fails: str) -> None:
    """What the client's library makes of a schema is what is checked here."""
    assert violation(schema, fits) is None
    assert isinstance(violation(schema, fails), Violation)


def test_a_violation_says_more_to_the_bot_than_to_the_client() -> None:
    """The bot reads what it wrote wrong; the client reads the rule that it broke."""
    schema = {"properties": {"people": {"type": "integer"}}}

    found = violation(schema, '{"people": "many"}')

    assert (
        Violation(
            "at /people: 'many' is not of type 'integer'.",
            "it breaks the schema's rule properties/people/type",
        )
        == found
    )
    assert "many" not in repr(found)
