"""Shapes of answers are told, and none of their texts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from poe_proxy.upstreams.poe_web.discovery.reporting import MORE, error_word, hosts, shape

PAGE = "https://poe.com/"


@pytest.mark.parametrize(
    ("answer", "drawn"),
    [
        (None, "null"),
        (True, "true or false"),
        (7, "number"),
        (0.5, "number"),
        ("", "empty text"),
        ("4812345678", "text of digits"),
        ("0123456789abcdef" * 4, "hash"),
        ("Hello", "text"),
        ([], []),
        ({}, {}),
    ],
)
def test_a_value_is_told_by_its_kind(answer: Any, drawn: Any) -> None:
    """Of texts also what they are made of, since that is what changes."""
    assert drawn == shape(answer)


def test_fields_keep_their_names() -> None:
    """They are those of a schema, which is what a reader compares."""
    answer = {
        "data": {
            "viewer": {"messagePointInfo": {"totalMessagePointBalance": 812}, "isV2": True},
            "chatAddedV2": None,
            "__typename": "Viewer",
        }
    }

    assert {
        "data": {
            "viewer": {
                "messagePointInfo": {"totalMessagePointBalance": "number"},
                "isV2": "true or false",
            },
            "chatAddedV2": "null",
            "__typename": "text",
        }
    } == shape(answer)


def test_the_items_of_a_list_are_told_as_one() -> None:
    """With all that the first of them have."""
    answer = [{"node": {"id": 1}}, {"node": None}, {"cursor": "abc"}, "odd", 3]

    assert [
        {
            "one of": [
                "number or text",
                {"node": {"one of": ["null", {"id": "number"}]}, "cursor": "text"},
            ]
        }
    ] == shape(answer)


@pytest.mark.parametrize(
    "name",
    [
        *("TWVzc2FnZToxMjM0NTY=", "Qm90OjEwNDA", "1040", "a b", "naïve", "x" * 41, ""),
        *("p-b", "0f3a9b", "anna@example.com"),
    ],
)
def test_a_name_that_is_none_of_a_schema_is_not_told(name: str) -> None:
    """It may be an id, or what somebody wrote."""
    assert {MORE: "number"} == shape({name: 1})


def test_a_name_that_is_a_text_of_the_answer_is_not_told() -> None:
    """A map of bots by their names has them as names of fields."""
    answer = {"bots": {"MyPrivateBot": {"handle": "MyPrivateBot"}}}

    assert {"bots": {MORE: {"handle": "text"}}} == shape(answer)


def test_a_shape_has_its_limits() -> None:
    """However deep, wide and long the answer is."""
    deep: Any = 1
    for _ in range(1000):
        deep = {"a": deep}
    wide = {f"{'x' * (1 + place % 40)}{place // 40}": {"a": [place]} for place in range(4000)}

    assert len(json.dumps(shape(deep))) < 500
    assert len(json.dumps(shape(wide))) < 20_000
    assert MORE in shape(wide)
    assert ["number"] == shape([1] * 100_000)
    assert len(json.dumps(shape([wide, *[[[wide]]] * 9] * 9))) < 200_000


#: Names of a schema, none of which is a part of another word that a shape may have.
FIELDS = ("data", "viewer", "edges", "node", "handle", "pageInfo", "messagesConnection", "idV2")
ITS_OWN = json.dumps([*FIELDS, "true or false", "empty text", "text of digits", "one of"])
texts = some.text(min_size=4)
answers = some.recursive(
    some.none() | some.booleans() | some.integers() | texts,
    lambda inner: (
        some.lists(inner, max_size=5)
        | some.dictionaries(some.sampled_from(FIELDS) | texts, inner, max_size=5)
    ),
    max_leaves=40,
)


def texts_of(answer: Any) -> set[str]:
    match answer:
        case str():
            return {answer}
        case list():
            return set().union(*map(texts_of, answer))
        case dict():
            return set().union(*map(texts_of, answer.values()))
        case _:
            return set()


@given(answers)
def test_no_text_of_an_answer_is_in_its_shape(answer: Any) -> None:
    """Whatever stands in it, and wherever; words of schemas are no texts of anybody."""
    drawn = json.dumps(shape(answer), ensure_ascii=False)

    for text in texts_of(answer):
        assert text in ITS_OWN or text not in drawn


@given(some.lists(some.text(alphabet="ABCxyz_019", min_size=4, max_size=30), min_size=1))
def test_no_name_of_a_field_is_told_that_is_a_text_too(names: list[str]) -> None:
    """As of a map whose entries have their own names."""
    drawn = json.dumps(shape({name: {"handle": name} for name in names}))

    assert [] == [name for name in names if f'"{name}"' in drawn]


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("Server Error", "Server Error"),
        ("PersistedQueryNotFound", "PersistedQueryNotFound"),
        ("Your bot My-Bot is gone", "other"),
        (["Server Error"], "other"),
        ("", ""),
        (None, ""),
    ],
)
def test_of_errors_only_two_are_told_in_their_words(message: Any, told: str) -> None:
    """Others may name a bot or a chat."""
    assert told == error_word(message)


def test_of_scripts_only_the_kinds_of_their_hosts_are_told() -> None:
    """Paths may name what a user looks at."""
    addresses = [
        "https://psc2.cf2.poecdn.net/_next/static/chunks/a.js",
        "https://poecdn.net/b.js",
        "https://notpoecdn.net/c.js",
        "https://poe.com/d.js",
        "https://[",
    ]

    assert {"poecdn.net": 2, "other": 2, "the page's own": 1} == hosts(addresses, PAGE)
