"""`POST /v1/responses`: what its clients rely on, over each way to Poe."""

from __future__ import annotations

import json
from typing import Any

from .asking import WORDS, Way
from .asking_responses import ask

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Tells the weather.",
    "strict": None,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
PATCH = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Edits files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
}


def test_an_answer_is_the_bot_s_words(way: Way, stream: bool) -> None:
    """Letters of several bytes stay whole, in deltas and in the response at the end."""
    answer = ask(way, "Say it.", stream, says=[WORDS])

    assert (WORDS, "completed") == (answer.text, answer.response["status"])
    assert answer.response["usage"]["output_tokens"] > 0


def call_line(way: Way, name: str, arguments: Any) -> Any:
    """The line in which the bot calls this tool."""
    call = {"name": name, "arguments": arguments}
    return f"<tool_call>\n{json.dumps(call)}\n</tool_call>" if way.by_cookie else {"calls": [call]}


def test_a_function_is_called(way: Way, stream: bool) -> None:
    """By its name, with its arguments as a JSON text, and an id that its result comes back with."""
    line = way.call("Oslo", "Rome")
    answer = ask(way, "Weather?", stream, says=[line], tools=[WEATHER])

    assert ["get_weather", "get_weather"] == [name for name, _ in answer.calls]
    assert [{"city": "Oslo"}, {"city": "Rome"}] == [json.loads(one) for _, one in answer.calls]
    assert 2 == len({item["call_id"] for item in answer.items})


def test_a_custom_tool_is_called_by_a_text(way: Way, stream: bool) -> None:
    """The bot knows a function; its client gets a text, and the call in its own form."""
    patch = '*** Begin Patch\n+print("ä 🌍")\n'
    line = call_line(way, "apply_patch", {"input": patch})
    answer = ask(way, "Edit.", stream, says=[line], tools=[WEATHER, PATCH])

    assert [("apply_patch", patch)] == answer.custom_calls
    assert [] == answer.calls
