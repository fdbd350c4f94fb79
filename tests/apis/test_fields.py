"""Reading a client's JSON: how much a body may hold, and how that is known before it is parsed."""

from __future__ import annotations

import random

import orjson
import pytest

from poe_proxy.apis import fields
from poe_proxy.apis.fields import MAX_VALUES, json_object
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
