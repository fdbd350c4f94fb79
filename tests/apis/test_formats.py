"""Each form in which clients say that they want JSON."""

from __future__ import annotations

from typing import Any

import pytest

from poe_proxy.apis.formats import json_wanted
from poe_proxy.chat import JsonWanted
from poe_proxy.errors import InvalidRequest

OBJECT = {"type": "object"}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (None, None),
        ("text", None),
        ({"type": "text"}, None),
        ("json_object", JsonWanted()),
        ({"type": "json_object"}, JsonWanted()),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "schema": OBJECT}},
            JsonWanted(schema=OBJECT, extra={"name": "n"}),
        ),
        (
            {"type": "json_schema", "json_schema": {"schema": {}, "description": "A word."}},
            JsonWanted(schema={}, description="A word."),
        ),
        (
            {"type": "json_schema", "json_schema": {"schema": {}}, "strict": True},
            JsonWanted(schema={}, beside={"strict": True}),
        ),
        (
            {"type": "json_schema", "name": "n", "strict": True, "schema": OBJECT,
             "description": None},
            JsonWanted(schema=OBJECT, extra={"name": "n", "strict": True}),
        ),
        (
            {"type": "json_schema", "schema": OBJECT},
            JsonWanted(schema=OBJECT, extra={"name": "answer"}),
        ),
        (
            {"type": "json_schema", "json_schema": OBJECT},
            JsonWanted(schema=OBJECT, extra={"name": "answer"}),
        ),
        (
            {"type": "json_object", "schema": OBJECT},
            JsonWanted(schema=OBJECT, extra={"name": "answer"}),
        ),
        ({"type": "json_object", "schema": {}}, JsonWanted(beside={"schema": {}})),
    ],
    ids=str,
)  # fmt: skip
def test_a_format_is_understood(given: Any, kept: JsonWanted | None) -> None:
    """Plain text is no format at all; a schema may stand in any of three places."""
    assert kept == json_wanted(given, "response_format")


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"type": "json_schema", "json_schema": {"schema": {}}}, "f.json_schema.schema"),
        ({"type": "json_schema", "json_schema": OBJECT}, "f.json_schema"),
        ({"type": "json_schema", "schema": OBJECT}, "f.schema"),
        ({"type": "json_object", "schema": OBJECT}, "f.schema"),
    ],
    ids=str,
)
def test_errors_name_the_place_of_the_schema(given: Any, path: str) -> None:
    """It is the client's own path to it, whichever form it has."""
    found = json_wanted(given, "f")

    assert found is not None
    assert ("f", path) == (found.path, found.schema_path)


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ("xml", "f"), (3, "f"), ([], "f"), ({}, "f.type"), ({"type": "xml"}, "f.type"),
        ({"type": "json_schema"}, "f.json_schema"),
        ({"type": "json_schema", "json_schema": {"name": "n"}}, "f.json_schema"),
        ({"type": "json_schema", "json_schema": {"schema": 3}}, "f.json_schema"),
        ({"type": "json_schema", "schema": "x"}, "f.json_schema"),
    ],
    ids=str,
)  # fmt: skip
def test_a_format_that_says_nothing_is_refused(given: Any, param: str) -> None:
    """By the path of what is wrong with it."""
    with pytest.raises(InvalidRequest) as refusal:
        json_wanted(given, "f")

    assert param == refusal.value.param
