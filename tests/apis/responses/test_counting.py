"""Counting the tokens of a request."""

from __future__ import annotations

import orjson
from openai.types.responses import InputTokenCountResponse

from poe_proxy.apis.responses.counting import counted, counted_request
from poe_proxy.budget import Budget


def test_instructions_and_tools_count_too() -> None:
    """By the package's own type."""

    def count(**fields: object) -> int:
        body = orjson.dumps({"model": "Bot", "input": "one two three", **fields})
        answer = counted(counted_request(body, Budget()))
        return InputTokenCountResponse.model_validate_json(answer, strict=True).input_tokens

    tools = [{"type": "function", "name": "f", "parameters": {"type": "object"}}]

    assert (
        3
        <= count()
        < count(instructions="Be brief.")
        < count(instructions="Be brief.", tools=tools)
    )
