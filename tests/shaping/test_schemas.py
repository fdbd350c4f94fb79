"""Clients' JSON schemas: which are valid, what fits them, and what they may cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import orjson
import pytest

from poe_proxy.budget import Budget
from poe_proxy.checker.pool import Pool
from poe_proxy.checker.process import Outcome, Process
from poe_proxy.errors import InvalidRequest, RequestTooCostly
from poe_proxy.shaping import schemas
from poe_proxy.shaping.schemas import Checker, Schema, Violation, of_arguments, read

from ..checker.jobs import DOUBLED, UNREADABLE, patient
from ..fakes import Clock

PATH = "tools[0].function.parameters"
#: More than any of these tests costs.
PLENTY = 60.0


def violation(schema: Any, text: str, budget: Budget | None = None) -> Violation | None:
    """What is wrong with the JSON *text* by this schema."""
    budget = budget or Budget(PLENTY)
    (one,) = read([(schema, PATH)], budget)
    return one.violation(text, budget)


#: What is no JSON schema at all.
NO_SCHEMAS: list[Any] = ["object", 7, [], {1: {}}, {"enum": [object()]}]
#: What is one in form only.
NONSENSE: list[Any] = [
    {"type": "objekt"},
    {"required": "city"},
    {"minLength": -1},
    {"$ref": "#/$defs/nowhere"},
    {"$ref": "http://127.0.0.1:9/schema.json"},
    {"$ref": "file:///schema.json"},
    {"$ref": "#nowhere"},
    {"$dynamicRef": "#nowhere"},
    {"$ref": "other.json"},
    {"$ref": "#/title", "title": "a"},
]


@pytest.mark.parametrize("promised", [True, False])
@pytest.mark.parametrize("schema", NO_SCHEMAS)
def test_what_is_no_schema_is_refused(schema: Any, promised: bool) -> None:
    """The field in which the client sent it is named."""
    with pytest.raises(InvalidRequest) as failure:
        read([({}, "tools[0]"), (schema, PATH)], Budget(PLENTY), promised=promised)

    assert (PATH, "invalid_value") == (failure.value.param, failure.value.code)
    assert failure.value.message.startswith(f"{PATH} is not a ")


@pytest.mark.parametrize("schema", NONSENSE)
def test_a_promise_that_cannot_be_kept_is_refused(schema: Any) -> None:
    """Nothing of the schema that the answer should fit can be read."""
    with pytest.raises(InvalidRequest) as failure:
        read([(schema, PATH)], Budget(PLENTY), promised=True)

    assert (PATH, "invalid_value") == (failure.value.param, failure.value.code)


@pytest.mark.parametrize("schema", NONSENSE)
def test_a_tool_whose_schema_is_nonsense_is_not_checked(schema: Any) -> None:
    """The others are; and it is said each time."""
    for _ in range(2):
        budget = Budget(PLENTY)
        one, other = read([(schema, PATH), ({"type": "null"}, "tools[1]")], budget)

        assert [PATH] == budget.unchecked
        assert one.violation("1", budget) is None
        assert other.violation("1", budget) is not None


@pytest.mark.parametrize("promised", [True, False])
def test_an_odd_schema_is_checked_as_far_as_it_can_be_read(promised: bool) -> None:
    """Whatever it is for, and nothing is said of it."""
    schema = {
        "type": "OBJECT",
        "properties": {
            "city": {"type": "string", "nullable": True},
            "pair": {"items": [{"type": "integer"}]},
            "node": {"$ref": "#/definitions/nowhere"},
            "file": {"type": "file", "description": None},
        },
        "required": None,
    }
    budget = Budget(PLENTY)

    (one,) = read([(schema, PATH)], budget, promised=promised)

    assert one.violation('{"city": null, "pair": [1], "node": 1, "file": {}}', budget) is None
    assert one.violation('{"city": 1}', budget) is not None
    assert one.violation('{"pair": ["x"]}', budget) is not None
    assert [] == budget.unchecked


def test_arguments_are_an_object() -> None:
    """Whatever the schema of a tool says of itself; the rest of it is heeded."""
    rest = {"properties": {"a": {}}}

    assert {} == of_arguments(None)
    assert rest == of_arguments({"type": "array", **rest})
    for kind in ("object", "OBJECT", ["null", "object"], None, "any", 7):
        assert {"type": kind, **rest} == of_arguments({"type": kind, **rest})


def test_the_error_says_where_a_schema_is_wrong() -> None:
    """It names the place and the rule, or the reference."""
    for schema, why in (
        ({"minLength": -1}, r"'minimum'.* /minLength"),
        ("object", r"'type'.* its root"),
        ({"$ref": "#/$defs/q"}, "reference that leads nowhere"),
    ):
        with pytest.raises(InvalidRequest, match=why):
            read([(schema, PATH)], Budget(PLENTY), promised=True)


@pytest.mark.parametrize("schema", [{"$ref": "#"}, {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}])
def test_a_reference_in_circles_forbids_nothing(schema: Any) -> None:
    """It has an end all the same."""
    assert violation(schema, "{}") is None


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
        pytest.param({"multipleOf": 0.5}, "9" * 400, "1.3", id="a large number"),
        pytest.param({"type": "integer"}, "1.0", "1.5", id="a whole number"),
        pytest.param({"type": "string", "pattern": "^a+$"}, '"aa"', '"b"', id="pattern"),
        pytest.param(
            {"properties": {"pattern": {"type": "integer"}}},
            '{"pattern": 1}',
            '{"pattern": "("}',
            id="a property called pattern",
        ),
        pytest.param({"maxLength": 2}, r'"\ud83da"', r'"\ud83dab"', id="half of a pair"),
        pytest.param({"maxLength": 2}, '"\ud83da"', '"\ud83dab"', id="half of a pair as such"),
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
            'at /people: "many" is not of type "integer".',
            "it breaks the schema's rule properties/people/type",
        )
        == found
    )
    assert "many" not in repr(found)


def test_a_schema_is_told_as_it_came() -> None:
    """In its own letters, and in its own order."""
    (one,) = read([({"title": "Größe", "a": 1}, PATH)], Budget(PLENTY))

    assert '{"title": "Größe", "a": 1}' == one.text
    assert "Größe" not in repr(one)


# ---- what it may cost


def _nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"properties": {"a": schema}}
    return schema


#: What would hold up, bloat or kill the process that reads it.
TOO_COSTLY = [
    pytest.param(UNREADABLE, id="references that double"),
    pytest.param({"allOf": [{}] * 650_000}, id="many schemas"),
    pytest.param(
        {"$defs": {f"d{i}": {"$id": f"http://a/{i}", "$ref": f"{i + 1}"} for i in range(30_000)}},
        id="many addresses",
    ),
    pytest.param(_nested(5000), id="nested too deeply for anything"),
    pytest.param(_nested(200), id="nested too deeply"),
    pytest.param({"description": "x" * 19_000_000}, id="a long description"),
    pytest.param({"enum": list(range(1_000_000))}, id="many values"),
]


@pytest.mark.parametrize("schema", TOO_COSTLY)
def test_a_schema_that_costs_too_much_is_refused(schema: Any) -> None:
    """It is the client's mistake, and the next one is read as ever."""
    with pytest.raises(InvalidRequest) as failure:
        read([(schema, PATH)], Budget(0.1))

    assert PATH == failure.value.param
    assert violation({"type": "null"}, "1") is not None


def lists(depth: int, leaf: str = "") -> str:
    return "[" * depth + leaf + "]" * depth


ANY_OF = {
    "$ref": "#/$defs/a0",
    "$defs": {
        **{f"a{i}": {"anyOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(60)},
        "a60": {"type": "string"},
    },
}
NAMES = {f"x{i}": 1 for i in range(6000)}
UNCHECKED = [
    pytest.param(DOUBLED, "1", id="references that double"),
    pytest.param(ANY_OF, "1", id="alternatives that double"),
    pytest.param({"pattern": "^(?:(?=a)a|aa)+$"}, f'"{"a" * 60}!"', id="pattern"),
    pytest.param(
        {"patternProperties": {"^(?:(?=a)a|aa)+$": {}}}, f'{{"{"a" * 60}!": 1}}', id="names"
    ),
    pytest.param({"items": {"enum": [1]}}, f"[{'1,' * 1_000_000}1]", id="a large value"),
    pytest.param({"items": {"items": {"const": 1}}}, lists(100_000), id="a deep value"),
]


@pytest.mark.parametrize(("schema", "answer"), UNCHECKED)
def test_a_value_that_costs_too_much_is_passed_on_unchecked(schema: Any, answer: str) -> None:
    """The client gets what the bot said, and is told; the next one is checked as ever."""
    budget = Budget(0.1)

    assert violation(schema, answer, budget) is None
    assert [PATH] == budget.unchecked
    assert violation({"type": "null"}, "1") is not None


#: What could be costly to check, and is not; or to explain, and it is known all the same.
CHECKED = [
    pytest.param({"pattern": "^(a|aa)+$"}, f'"{"a" * 50_000}!"', False, id="pattern"),
    pytest.param({"pattern": "a{1,99999999999999}"}, '"b"', True, id="a pattern too large"),
    pytest.param(
        {"patternProperties": {"^(a+)+$": False}}, f'{{"{"a" * 50_000}!": 1}}', True, id="names"
    ),
    pytest.param(
        {"uniqueItems": True}, orjson.dumps([[i] for i in range(50_000)]).decode(), True,
        id="unique items",
    ),
    pytest.param({"enum": list(range(200_000))}, '"x"', False, id="many values"),
    pytest.param({"allOf": [{}] * 50_000}, "1", True, id="many schemas"),
    pytest.param(
        {"items": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}, lists(200), True, id="recursion"
    ),
    pytest.param(
        {"type": "array", "items": {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}},
        lists(200, "1"),
        False,
        id="alternatives in circles",
    ),
    pytest.param(
        {"propertyNames": {"enum": [str(i) for i in range(6000)]}},
        orjson.dumps(NAMES).decode(),
        False,
        id="many names",
    ),
    pytest.param(
        {"items": {"type": "null"}}, f"[{'1,' * 150_000}1]", False, id="many errors"
    ),
    pytest.param({"type": "string"}, lists(900), False, id="a deep value"),
    pytest.param(_nested(100), "{}", True, id="a deep schema"),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "answer", "fits"), CHECKED)
def test_a_value_that_can_be_checked_is(schema: Any, answer: str, fits: bool) -> None:
    """A verdict stands even where its reason would cost too much."""
    budget = Budget(0.5)

    found = violation(schema, answer, budget)

    assert fits == (found is None)
    assert [] == budget.unchecked


def test_a_verdict_without_a_reason_is_told_in_general() -> None:
    """The bot has the schema to look at."""
    schema = {"propertyNames": {"enum": [str(i) for i in range(6000)]}}

    found = violation(schema, orjson.dumps(NAMES).decode(), Budget(0.2))

    assert Violation("it does not fit the schema.", "it breaks the schema") == found


class Counting(Pool):
    """A pool that counts what it is asked."""

    def __init__(self) -> None:
        super().__init__(start=patient)
        self.jobs: list[list[Any]] = []

    def ask(self, job: Callable[[], bytes], seconds: float) -> Outcome:
        self.jobs.append(orjson.loads(job()))
        return super().ask(job, seconds)


@pytest.fixture
def pool() -> Iterator[Counting]:
    with closing(Counting()) as pool:
        yield pool


@pytest.fixture
def checker(pool: Pool) -> Checker:
    return Checker(pool, clock=Clock())


def test_all_schemas_of_a_request_are_one_job(checker: Checker, pool: Counting) -> None:
    """With one limit for all of them; a schema that comes twice is looked at once."""
    given = [{"title": "a"}, {"title": "b"}, {"title": "a"}]

    found = checker.read([(one, f"tools[{i}]") for i, one in enumerate(given)], Budget(PLENTY))

    assert [["read", given[:2]]] == pool.jobs
    assert ["tools[0]", "tools[1]", "tools[2]"] == [one.path for one in found]


def test_a_known_schema_costs_nothing(checker: Checker, pool: Counting) -> None:
    """Agents send the same tools with each request."""
    for title in ("a", "b", "a"):
        budget = Budget(PLENTY)
        checker.read([({"title": "a"}, PATH), ({"title": title}, PATH)], budget)

    assert [["read", [{"title": "a"}]], ["read", [{"title": "b"}]]] == pool.jobs


def test_not_all_that_was_valid_is_remembered(
    pool: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest are forgotten, and looked at again."""
    monkeypatch.setattr(schemas, "MAX_KNOWN", 2)
    checker = Checker(pool)
    for title in "abc":
        checker.read([({"title": title}, PATH)], Budget(PLENTY))

    checker.read([({"title": title}, PATH) for title in "cba"], Budget(PLENTY))

    assert ["read", [{"title": "a"}]] == pool.jobs[-1]


def test_no_schema_is_kept(checker: Checker) -> None:
    """However large it is: it is known by a digest of 32 letters."""
    (one,) = checker.read([({"description": "x" * 1_000_000}, PATH)], Budget(PLENTY))

    assert [one.digest] == list(checker._valid)
    assert 32 == len(one.digest)


def test_a_schema_that_was_too_costly_is_refused_at_once() -> None:
    """For ten minutes, whatever request it comes with; then it is looked at again."""
    clock = Clock()
    with closing(Counting()) as pool:
        checker = Checker(pool, clock=clock)
        for seconds in (0, 1, 598, 1):
            clock.go(seconds)
            with pytest.raises(RequestTooCostly) as failure:
                checker.read([({}, "tools[0]"), (UNREADABLE, PATH)], Budget(0.2))
            assert PATH == failure.value.param

    assert [[{}, UNREADABLE], [UNREADABLE]] == [job[1] for job in pool.jobs]


def test_only_a_schema_that_is_costly_by_itself_is_remembered(
    checker: Checker, pool: Counting
) -> None:
    """Another request has more left for it."""
    for seconds in (0.05, 0.05):
        with pytest.raises(RequestTooCostly):
            checker.read([(UNREADABLE, PATH)], Budget(seconds))

    assert 2 == len(pool.jobs)


def test_the_costs_are_those_of_the_request(checker: Checker, pool: Counting) -> None:
    """What reading has cost is not left for checking; with nothing left, nothing is asked."""
    budget = Budget(0.3)
    (fine,) = checker.read([({"allOf": [{}] * 10_000}, "tools[0]")], budget)
    assert 0 < budget.left < 0.3

    with pytest.raises(RequestTooCostly):
        checker.read([(UNREADABLE, PATH)], budget)
    assert 0 == budget.left

    with pytest.raises(RequestTooCostly) as failure:
        checker.read([({"title": "new"}, "tools[1]")], budget)
    assert "tools[1]" == failure.value.param
    assert checker.violation(fine, "1", budget) is None
    assert ["tools[0]"] == budget.unchecked
    assert 2 == len(pool.jobs)


def test_schemas_have_a_limit_together(checker: Checker, pool: Counting) -> None:
    """The first one that is too much is named, and nothing is looked at."""
    given = [({"description": f"{i}" * 900_000}, f"tools[{i}]") for i in range(4)]

    with pytest.raises(InvalidRequest, match="2,000,000 bytes together") as failure:
        checker.read(given, Budget(PLENTY))

    assert ("tools[2]", "string_above_max_length") == (failure.value.param, failure.value.code)
    assert [] == pool.jobs


def test_where_nobody_has_the_time_nothing_is_an_error() -> None:
    """Schemas and values pass unchecked, and that is said once for each."""

    def start() -> Process:
        raise OSError("no more processes")

    checker = Checker(Pool(start=start))
    budget = Budget(PLENTY)

    one, _ = checker.read([({"type": "null"}, PATH), ({"type": "nothing"}, "tools[1]")], budget)

    assert checker.violation(one, "1", budget) is None
    assert [PATH, "tools[1]"] == budget.unchecked


def test_a_header_has_room_for_all_that_is_named() -> None:
    """However many tools there are."""

    def start() -> Process:
        raise OSError("no more processes")

    budget = Budget(PLENTY)

    Checker(Pool(start=start)).read([({"title": f"{i}"}, f"tools[{i}]") for i in range(99)], budget)

    assert [f"tools[{i}]" for i in range(50)] == budget.unchecked


def test_a_schema_that_had_less_time_because_of_a_crowd_is_not_refused(pool: Counting) -> None:
    """It might have been read, had there been nobody else."""

    class Crowded(Pool):
        def ask(self, job: Callable[[], bytes], seconds: float) -> Outcome:
            return replace(pool.ask(job, 0.05), is_cut=True)

    checker = Checker(Crowded())
    budget = Budget(PLENTY)

    found = checker.read([({}, "tools[0]"), (UNREADABLE, PATH)], budget)

    assert ["tools[0]", PATH] == [one.path for one in found]
    assert [PATH] == budget.unchecked
    assert checker.violation(found[1], "1", budget) is None


def test_an_end_behind_the_last_answer_says_nothing_of_a_schema() -> None:
    """The time was over when everything had been read."""

    class Late(Pool):
        def ask(self, job: Callable[[], bytes], seconds: float) -> Outcome:
            return Outcome([None, None], False, seconds, seconds)

    budget = Budget(PLENTY)

    found = Checker(Late()).read([({}, "tools[0]"), (True, PATH)], budget)

    assert 2 == len(found)
    assert [] == budget.unchecked


def test_an_invalid_schema_that_was_not_read_says_nothing_of_a_value(checker: Checker) -> None:
    """It was taken when nobody had the time to read it."""
    budget = Budget(PLENTY)
    unread = Schema({"type": "nothing"}, PATH, b"")

    assert checker.violation(unread, "1", budget) is None
    assert [PATH] == budget.unchecked
