"""Shapes of answers are told, and none of their texts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from poe_proxy.budget import Budget
from poe_proxy.upstreams.poe_web import Site
from poe_proxy.upstreams.poe_web.discovery.findings import Findings
from poe_proxy.upstreams.poe_web.discovery.looking import Look
from poe_proxy.upstreams.poe_web.discovery.reporting import (
    MORE,
    answer,
    drawn,
    error_word,
    hashes,
    hosts,
    others,
    page,
    sentence,
    shape,
    without,
)
from poe_proxy.upstreams.poe_web.discovery.trying import Probe
from poe_proxy.upstreams.poe_web.front import Home
from poe_proxy.upstreams.poe_web.pages import Page

PAGE = "https://poe.com/"
SITE = Site.load()


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
        *("TWVzc2FnZToxMjM0NTY=", "Qm90OjEwNDA", "1040", "a b", "naïve", "x" * 61, ""),
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
    bushy: Any = 1
    for _ in range(3):
        bushy = {f"a{place}": bushy for place in range(50)}
    assert len(json.dumps(shape(bushy))) < 200_000


#: Names of a schema, none of which is a part of another word that a shape may have.
FIELDS = ("data", "viewer", "edges", "node", "handle", "pageInfo", "messagesConnection", "idV2")
WORDS = ("true or false", "number", "text", "empty text", "text of digits", "hash", "one of")
ITS_OWN = json.dumps([*FIELDS, *WORDS, *(f"null or {word}" for word in WORDS)])
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
        ("", ""),
    ],
)
def test_of_errors_only_two_are_told_in_their_words(message: str, told: str) -> None:
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


# ---- answers, and what is known and found


def test_an_answer_is_its_status_its_error_and_its_shape() -> None:
    """As far as it has them."""
    viewer = {"viewer": {"primaryEmail": "anna@example.com"}}

    assert {"status": 200, "shape": {"viewer": {"primaryEmail": "text"}}} == answer(
        Probe(200, "", viewer)
    )
    assert {"status": 200, "error": "other"} == answer(Probe(200, "No bot My-Bot", None))
    assert {"status": 400} == answer(Probe(400, "", None))


SEND, SETTINGS = "operations.sendMessageMutation", "operations.settingsPageQuery"
NEW = "0123456789abcdef" * 4
SECRET = 'let useFormkeyDecode=()=>{};window._tE9xK2mQa4="Vb7nW0cLp3";'
HTML = """<html><head>
<script>window.abc=function(){return window.def("00")};</script>
<script src="https://psc2.cf2.poecdn.net/_next/static/chunks/a.js"></script>
</head><body><script id="__NEXT_DATA__" type="application/json">{"buildId":"secret-build"}</script>
</body></html>"""


def look(html: str = HTML, *app: str, **found: Any) -> Look:
    budget = Budget(1.0)
    findings = Findings(
        {
            SEND: NEW,
            SETTINGS: SITE.operations["settingsPageQuery"],
            "tag.salt": "aNewSalt",
            **found,
        },
        notes=("The page's function for the tag fails: My-Bot is not defined.",),
    )
    home = Home(Page.read(html, PAGE, SITE, budget), budget, {})
    return Look(home, app, findings, 7, 1234, {SEND: "scripts", SETTINGS: "runtime"})


def test_each_hash_is_told_as_it_is_known_and_as_it_was_found() -> None:
    """With where, and since when it is known; nothing was found of what nobody has looked for."""
    told = hashes(SITE, look())
    operations, unknown = told["operations"], hashes(SITE, None)["operations"]

    assert SITE.operations.keys() == operations.keys()
    assert SITE.subscriptions.keys() == told["subscriptions"].keys()
    assert {
        "known": SITE.operations["sendMessageMutation"],
        "seen": "2026-03-12",
        "source": "client",
        "own": False,
        "found": NEW,
        "where": "scripts",
    } == operations["sendMessageMutation"]
    assert ("the same", "runtime") == (
        operations["settingsPageQuery"]["found"],
        operations["settingsPageQuery"]["where"],
    )
    assert operations["subscriptionsMutation"]["found"] is None
    assert {None} == {one["found"] for one in unknown.values()}


def test_what_else_differs_is_told_with_its_values() -> None:
    """They are the same for everybody, and what a correction consists of."""
    assert {"tag.salt": {"known": SITE.tag.salt, "found": "aNewSalt"}} == others(
        look().findings, SITE
    )


def test_the_steps_to_the_form_key_and_the_tag_are_told() -> None:
    """Which of them went well, and no value of them."""
    told = page(look(HTML, SECRET), SITE, PAGE)

    assert (True, True, False) == (
        told["__NEXT_DATA__"],
        told["build_id"],
        told["channel_data"],
    )
    assert {"poecdn.net": 1} == told["scripts"]
    assert {
        "its_scripts": 1,
        "secret_there": True,
        "secret_anywhere_there": True,
        "getter_named_there": False,
        "getter_in_the_page": True,
    } == told["form_key"]
    assert (True, False) == (told["tag"]["found"], told["tag"]["salt_is_known"])
    assert [f"The page's function for the tag fails: {MORE}"] == told["notes"]
    for text in ("Vb7nW0cLp3", "secret-build", "My-Bot", "psc2"):
        assert text not in drawn(told)


def test_a_page_of_another_kind_is_told_of_as_well() -> None:
    """Nothing of it is as it was."""
    told = page(look('<script src="/_next/static/chunks/a.js"></script>'), SITE, PAGE)

    assert not told["__NEXT_DATA__"]
    assert {"the page's own": 1} == told["scripts"]
    assert not any(told["form_key"].values())


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "The secret is not in the _app script (pages.secret). Most likely (p-b=...).",
            f"The secret is not in the _app script (pages.secret). Most likely ({MORE}).",
        ),
        (
            "The scripts failed (TypeError: f(x) of My-Bot (1) is not). Most likely.",
            f"The scripts failed ({MORE}). Most likely.",
        ),
        (
            "The scripts failed (404) for My-Bot (1.5 MB). Most likely.",
            f"The scripts failed ({MORE}). Most likely.",
        ),
        ("The scripts failed (TypeError: never closed", f"The scripts failed ({MORE})"),
        ("Poe refuses it (400), twice.", "Poe refuses it (400), twice."),
        ("Read were 9 scripts (1.5 MB).", "Read were 9 scripts (1.5 MB)."),
        ("The function fails: My-Bot (pages.secret).", f"The function fails: {MORE}"),
        ("http://user:pw@proxy:1 is away; ask anna@example.com.", f"{MORE} is away; ask {MORE}"),
    ],
)
def test_a_sentence_is_told_without_what_others_say_in_it(said: str, told: str) -> None:
    """Code of the page may say anything, and addresses may have anything in them."""
    assert told == sentence(said)


def test_a_secret_is_in_no_text_whatever_happens() -> None:
    """Nor a part of one, nor a name of a field; what is too short is part of too many words."""
    told = {"a": ["x SECRET y", 1, None], "SECRET": {"b": "status"}}

    assert {"a": [MORE, 1, None], MORE: {"b": "status"}} == without(told, ["SECRET", "st"])


def test_a_report_is_json_for_people() -> None:
    """What has nothing inside is one line, if it is not too long."""
    told = {"a": {"b": 1, "c": "ä"}, "d": [], "e": [{"f": {"g": ["x" * 150, "y" * 80]}}], "h": {}}

    assert told == json.loads(drawn(told))
    assert '{\n  "a": {"b": 1, "c": "ä"},\n  "d": [],\n' in drawn(told)
