"""Reading a client's JSON: how much a body may hold, and how that is known before it is parsed."""

from __future__ import annotations

import random
from typing import Any

import orjson
import pytest

from poe_proxy.apis import fields
from poe_proxy.apis.fields import MAX_VALUES, flag, json_object, number, whole
from poe_proxy.budget import Budget
from poe_proxy.errors import InvalidRequest


def refusal(body: bytes) -> tuple[str | None, str | None]:
    """The code and the field of the refusal of *body*."""
    with pytest.raises(InvalidRequest) as refused:
        json_object(body, Budget())
    return refused.value.code, refused.value.param


@pytest.mark.parametrize("tiny", [b"{}", b"[]", b"0", b'""', b'{"a":0}', b"[[[]]]"])
def test_a_body_of_tiny_values_is_refused(tiny: bytes) -> None:
    """Each value costs memory, whatever it is; their number is bounded, and not only their size."""
    body = b'{"messages": [' + b",".join([tiny] * (MAX_VALUES + 1)) + b"]}"

    assert ("array_above_max_length", "body") == refusal(body)


def test_commas_and_brackets_within_a_text_are_no_values() -> None:
    """A table or a program of many megabytes is one value."""
    text = 'a,b,[c],{"d":\\},\\\\\n' * 200_000
    body = orjson.dumps({"content": text, "after": [1, 2]})

    assert {"content": text, "after": [1, 2]} == json_object(body, Budget(60))


def test_what_is_within_a_text_is_known_however_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies are looked at in slices; quotes and backslashes may stand at any end of one."""
    monkeypatch.setattr(fields, "_SLICE", 3)
    draw = random.Random(1)
    for _ in range(300):
        texts = ["".join(draw.choices('",[{\\ab', k=draw.randrange(12))) for _ in range(5)]
        monkeypatch.setattr(fields, "MAX_VALUES", 5 + 2)  # a list, its object and four commas
        body = orjson.dumps({"a": texts})
        assert {"a": texts} == json_object(body, Budget(60))
        monkeypatch.setattr(fields, "MAX_VALUES", 5)
        assert ("array_above_max_length", "body") == refusal(body)


def test_a_body_that_is_nested_too_deeply_is_refused() -> None:
    """It could be read, but not be written again for Poe."""
    assert ("invalid_value", "body") == refusal(b'{"a":' + b"[" * 500 + b"]" * 500 + b"}")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"a":1}x', b"\xff"])
def test_anything_but_an_object_is_refused(body: bytes) -> None:
    """A request is one JSON object."""
    assert ("invalid_value", "body") == refusal(body)


# ---- numbers and switches


@pytest.mark.parametrize(
    ("given", "value"),
    [
        (None, None), (True, True), (False, False), ("true", True), ("FALSE", False),
        (" TRUE ", True), (1, True), (0, False),
    ],
)  # fmt: skip
def test_a_switch_may_be_a_text_or_a_number(given: Any, value: bool | None) -> None:
    """Clients that are put together from forms send texts."""
    assert value is flag({"x": given}, "x")
    assert None is flag({}, "x")


@pytest.mark.parametrize("given", ["", "yes", "on", 2, -1, 1.5, [], {}, "1"])
def test_what_is_no_switch_is_refused(given: Any) -> None:
    """By its path."""
    with pytest.raises(InvalidRequest) as refused:
        flag({"x": given}, "x", "options.")

    assert "options.x" == refused.value.param


@pytest.mark.parametrize(
    ("given", "value"),
    [(None, None), (0.5, 0.5), (1, 1), ("0.25", 0.25), (" 1 ", 1), ("1e-1", 0.1), (".5", 0.5)],
)
def test_a_number_may_be_a_text(given: Any, value: float | None) -> None:
    """What it says is certain."""
    assert value == number({"x": given}, "x", 0, 2)


@pytest.mark.parametrize(
    "given",
    [True, "", "hot", "nan", "inf", "1_0", "0x1", "٣", "2.2", 2.1, -1, [], {}, "0" * 33, "1e", "-"],
)
def test_what_is_no_number_in_range_is_refused(given: Any) -> None:
    """Python reads more as a number than clients mean as one."""
    with pytest.raises(InvalidRequest) as refused:
        number({"x": given}, "x", 0, 2)

    assert "x" == refused.value.param


@pytest.mark.parametrize(
    ("given", "value"), [(None, None), (7, 7), (8.0, 8), ("9", 9), ("6.0", 6), (-1, -1), (0, 0)]
)
def test_a_whole_number_may_have_a_point(given: Any, value: int | None) -> None:
    """JSON has one kind of number; some languages write a point into all of them."""
    found = whole({"x": given}, "x")

    assert value == found
    assert not isinstance(found, float)


@pytest.mark.parametrize("given", [True, 7.5, "6.5", "seven", "", [], {}, 1e400, "1e400"])
def test_what_is_no_whole_number_is_refused(given: Any) -> None:
    """A part of a token cannot be had, nor infinitely many."""
    with pytest.raises(InvalidRequest) as refused:
        whole({"x": given}, "x")

    assert "x" == refused.value.param


@pytest.mark.parametrize("given", [2.0**64, 1e30, "1e25", -(2**63) - 1, -1e30, "9" * 32])
def test_a_whole_number_can_be_written_again(given: Any) -> None:
    """One of more than 64 bits could not: neither in an answer that repeats it, nor for Poe."""
    with pytest.raises(InvalidRequest) as refused:
        whole({"x": given}, "x")

    assert ("x", 400) == (refused.value.param, refused.value.status)
    assert 2**64 - 1 == whole({"x": 2**64 - 1}, "x")
    assert -(2**63) == whole({"x": -(2**63)}, "x")
