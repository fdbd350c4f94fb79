"""What a response repeats of its request, however deeply that is nested."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from poe_proxy.apis.responses import Responses
from poe_proxy.budget import Budget
from poe_proxy.chat import Done, Text
from poe_proxy.errors import InvalidRequest, UpstreamTimeout

#: A request with a member that is nested so deeply.
REPEATED: dict[str, Callable[[Any], dict[str, Any]]] = {
    "text": lambda deep: {"text": {"more": deep}},
    "tools": lambda deep: {"tools": [{"type": "function", "name": "f", "parameters": deep}]},
    "tool_choice": lambda deep: {
        "tools": [{"type": "function", "name": "f"}],
        "tool_choice": {"type": "function", "name": "f", "more": deep},
    },
}


def body(fields: dict[str, Any], depth: int) -> bytes:
    text = orjson.dumps({"model": "m", "input": "x", "stream": True, **fields})
    return text.replace(b"null", b'{"a":' * depth + b"1" + b"}" * depth)


def is_accepted(given: bytes) -> bool:
    try:
        Responses().call(given, Budget())
    except InvalidRequest:
        return False
    return True


@pytest.mark.parametrize("repeats", REPEATED.values(), ids=REPEATED)
def test_whatever_is_accepted_can_be_repeated(repeats: Callable[[Any], dict[str, Any]]) -> None:
    """Within the events of a stream it is nested more deeply than it came."""
    deepest = next(
        given
        for given in (body(repeats(None), depth) for depth in range(255, 200, -1))
        if is_accepted(given)
    )

    call = Responses().call(deepest, Budget())
    assert b"response.completed" in call.frame(Text("a")) + call.frame(Done())
    again = Responses().call(deepest, Budget())
    assert orjson.dumps(repeats(None))[1:14] in again.body([Text("a"), Done()])
    assert b"response.failed" in again.failed(UpstreamTimeout("Silence."))
