"""What is said of schemas and values, whatever process it is that looks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from poe_proxy.checker.program import answers

from .jobs import check, read


def told(schema: Any, value: Any) -> Any:
    """The problem with *value*; None if it fits."""
    match list(answers(check(schema, value))):
        case [True]:
            return None
        case [False, [problem, _]]:
            return problem
        case other:
            return other


def test_each_schema_is_read_whatever_the_others_are() -> None:
    """Of one of which nothing can be read, it is said why."""
    broken = {"items": {"minLength": -1}, "type": "objekt"}
    nothing = {"title": "a", "minLength": -1}

    assert [None, None, None, {"rule": "minimum", "at": "/minLength"}, None] == list(
        answers(read({}, True, broken, nothing, {}))
    )


def test_what_is_no_object_is_no_schema() -> None:
    """But for the two that say all and nothing."""
    told = list(answers(read("object", 7, [], None, False, True)))

    assert [{"rule": "type", "at": ""}] * 4 + [None, None] == told


def test_a_schema_that_says_only_what_cannot_be_meant_takes_everything() -> None:
    """It is no mistake by the rules of its draft."""
    assert [None] == list(answers(read({"enum": []})))
    assert told({"enum": []}, 1) is None


def test_a_place_is_quoted_in_short() -> None:
    """However long the names are on the way to it."""
    (found,) = answers(read({"x" * 100_000: {"type": 1}, "$ref": f"#/{'x' * 100_000}"}))

    assert 1_005 == len(found["at"])
    assert found["at"].endswith("xxx/type")


REFERENCES = ["My Type", "Record<string,any>", "é", "A[B]", "{B}|C", "100%", "a%20b", 'a"b']


@pytest.mark.parametrize("name", REFERENCES)
def test_names_in_references_may_have_any_letter(name: str) -> None:
    """Generators of schemas write them as they are, though an address may not have them all."""
    schema = {"$ref": f"#/$defs/{name}", "$defs": {name.replace("%20", " "): {"type": "null"}}}

    assert told(schema, None) is None
    assert '1 is not of type "null"' == told(schema, 1)


DRAFTS = [
    "http://json-schema.org/draft-03/schema#",
    "http://json-schema.org/schema#",
    "https://spec.openapis.org/oas/3.1/dialect/base",
    "http://127.0.0.1:9/schema",
    "mine",
    "",
]


@pytest.mark.parametrize("draft", DRAFTS)
def test_an_unknown_draft_is_the_newest(draft: str) -> None:
    """It is not asked for anywhere."""
    schema = {"$schema": draft, "prefixItems": [{"type": "null"}]}

    assert told(schema, [None]) is None
    assert 'at /0: 1 is not of type "null"' == told(schema, [1])


UNREADABLE = ["a{1,99999999999999}", "((a{1,100}){1,100}){1,100}", "(", r"(?<y>a)\k<y>", "[^]"]


@pytest.mark.parametrize("pattern", UNREADABLE)
def test_a_pattern_that_cannot_be_read_takes_everything(pattern: str) -> None:
    """All the rest of the schema is heeded, and so are names and data that look like a pattern."""
    look_alike = {"pattern": pattern}
    schema = {
        "patternProperties": {pattern: {"type": "null"}, "^x": {"type": "integer"}},
        "additionalProperties": False,
        "properties": {
            "a": {"pattern": pattern, "type": "string"},
            "pattern": {"const": look_alike},
            "enum": {"enum": [look_alike]},
        },
    }

    assert told(schema, {"a": "b", "any": 1, "x": 1}) is None
    assert told(schema, {"pattern": look_alike, "enum": look_alike}) is None
    assert 'at /a: 1 is not of type "string"' == told(schema, {"a": 1})
    assert 'at /x: "b" is not of type "integer"' == told(schema, {"x": "b"})
    assert "was expected" in told(schema, {"pattern": {}})
    assert "is not one of" in told(schema, {"enum": {}})


@pytest.mark.parametrize(
    ("pattern", "fits", "fails"),
    [
        (r"^(?=.*\d)(?=.*[a-z]).{8,}$", "abcdefgh1", "abcdefgh"),
        (r"^(?!.*\.\.)[\w.]+$", "a.b", "a..b"),
        (r"^(a+)-\1$", "aa-aa", "aa-a"),
        (r"^\p{L}+$", "é", "1"),
        (r"^(a+)+$", "a" * 50_000, "a" * 50_000 + "!"),
    ],
    ids=["lookahead", "not ahead", "backreference", "letters", "nested repeats"],
)
def test_patterns_are_matched(pattern: str, fits: str, fails: str) -> None:
    """Those that look around or back as well."""
    assert told({"pattern": pattern}, fits) is None
    assert "does not match" in told({"pattern": pattern}, fails)


ALTERNATIVES = {
    "anyOf": [
        {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
        {"type": "array", "items": {"type": "string"}},
    ]
}
TELLING = [
    ({"n": "x"}, 'at /n: "x" is not of type "integer"'),
    ({}, '"n" is a required property'),
    (["a", 1], 'at /1: 1 is not of type "string"'),
    (7, "7 is not valid under any of the schemas listed in the 'anyOf' keyword"),
]


@pytest.mark.parametrize(("value", "problem"), TELLING)
def test_the_most_telling_problem_is_told(value: Any, problem: str) -> None:
    """That which keeps the value from the alternative for which it was meant."""
    assert problem == told(ALTERNATIVES, value)


def test_the_outermost_problem_is_told_first() -> None:
    """What is wrong within may not matter once it is put right."""
    schema = {"properties": {"a": {"items": {"type": "null"}}}, "required": ["b"]}

    assert '"b" is a required property' == told(schema, {"a": [1]})


def test_a_problem_is_quoted_in_short() -> None:
    """However long the value is, the bot reads what is wrong."""
    problem = told({"type": "null"}, "x" * 100_000)

    assert problem.startswith('"xxx')
    assert problem.endswith('xxx" is not of type "null"')
    assert 1_005 == len(problem)


def test_half_of_a_surrogate_pair_is_a_letter() -> None:
    """No text has it, and a bot may write it all the same."""
    schema = {"maxLength": 2, "type": "string"}

    assert told(schema, "\ud83da") is None
    assert "longer than 2" in told(schema, "\ud83dab")
    assert told(schema, "\U0001f600") is None


def test_of_a_value_that_is_nested_too_deeply_little_is_said() -> None:
    """Whether it fits, if that can be seen at its surface."""
    deep = json.loads("[" * 900 + "]" * 900)
    far_too_deep = b'["check",{},' + b"[" * 100_000 + b"]" * 100_000 + b"]"

    assert [False] == told({"type": "string"}, deep)
    assert [None] == list(answers(far_too_deep))


def test_a_pattern_that_cannot_be_matched_says_nothing_of_the_value() -> None:
    """There is a limit within the library: reaching it is not the value's fault."""
    schema = {"pattern": "^(?:(?=a)a|b)*$"}

    assert [False, None] == told(schema, "a" * 1_500_000)
