"""Calls of tools, in whatever form a bot writes them that was taught another one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .asking import TAUGHT, WEATHER, Way

EDIT = {
    "type": "function",
    "function": {
        "name": "edit",
        "parameters": {
            "type": "object",
            "properties": {
                "path": {"type": "string"},
                "line": {"type": "integer"},
                "text": {"type": "string"},
            },
            "required": ["path", "line"],
        },
    },
}
CALL = {"name": "get_weather", "arguments": {"city": "Paris"}}


def invoke(name: str, prefix: str = "", **values: str) -> str:
    """A call as Claude's house writes it."""
    parameters = "".join(
        f'<{prefix}parameter name="{key}">{value}</{prefix}parameter>\n'
        for key, value in values.items()
    )
    return f'<{prefix}invoke name="{name}">\n{parameters}</{prefix}invoke>'


def tagged(text: str) -> str:
    return f"<tool_call>\n{text}\n</tool_call>"


def deepseek(text: str) -> str:
    return (
        f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>{text}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
    )


KIMI = (
    "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0"
    '<|tool_call_argument_begin|>{"city": "Paris"}<|tool_call_end|><|tool_calls_section_end|>'
)
HARMONY = (
    "<|channel|>analysis<|message|>The user wants the weather.<|end|><|start|>assistant"
    '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city": "Paris"}'
    "<|call|>"
)
#: A call of `get_weather` for Paris, and nothing else.
DIALECTS = {
    "hermes": tagged(json.dumps(CALL)),
    "qwen-coder": tagged(
        "<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n</function>"
    ),
    "glm": tagged("get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>"),
    "claude": f"<function_calls>\n{invoke('get_weather', city='Paris')}\n</function_calls>",
    "claude-with-prefix": "<function_calls>\n"
    f"{invoke('get_weather', 'antml:', city='Paris')}\n</function_calls>",
    "minimax": f"<minimax:tool_call>\n{invoke('get_weather', city='Paris')}\n</minimax:tool_call>",
    "kimi": KIMI,
    "deepseek": deepseek('function<｜tool▁sep｜>get_weather\n```json\n{"city": "Paris"}\n```'),
    "deepseek-newer": deepseek('get_weather<｜tool▁sep｜>{"city": "Paris"}'),
    "llama": '<|python_tag|>{"name": "get_weather", "parameters": {"city": "Paris"}}',
    "llama-function": '<function=get_weather>{"city": "Paris"}</function>',
    "mistral": f"[TOOL_CALLS] [{json.dumps(CALL)}]",
    "mistral-newer": '[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}',
    "harmony": HARMONY,
    "bare": json.dumps(CALL),
    "fenced": f"```json\n{json.dumps(CALL, indent=2)}\n```",
    "python": tagged(str(CALL)),
    "commas": tagged('{"name": "get_weather", "arguments": {"city": "Paris",},}'),
    "other-keys": tagged('{"tool": "functions.get_weather", "parameters": {"city": "Paris"}}'),
    "flat": tagged('{"tool_name": "get_weather", "city": "Paris"}'),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_call_is_read_in_every_dialect(way: Way, stream: bool, dialect: str) -> None:
    """A bot that is taught one form and answers in that of its house has called all the same: at
    the first time of asking, and no mark of its form is in the text."""
    answer = way.ask("Go.", stream, says=[DIALECTS[dialect]], bot=TAUGHT, tools=[WEATHER, EDIT])

    assert (200, "tool_calls", "") == (answer.status, answer.finish, answer.text.strip())
    assert [("get_weather", {"city": "Paris"})] == calls(answer)
    assert 1 == len(answer.told)


@pytest.mark.parametrize("dialect", ["claude", "glm", "qwen-coder"])
def test_values_that_are_written_as_text_get_their_types(
    way: Way, stream: bool, dialect: str
) -> None:
    """In a form without types a number is what the schema calls one; code stays as it is."""
    code = 'def f(a):\n    return "<b>" if a < 1 else a  # & more'
    line = {
        "claude": invoke("edit", path="1.py", line="12", text=code),
        "glm": tagged(
            "edit\n"
            + "\n".join(
                f"<arg_key>{key}</arg_key>\n<arg_value>{value}</arg_value>"
                for key, value in {"path": "1.py", "line": "12", "text": code}.items()
            )
        ),
        "qwen-coder": tagged(
            "<function=edit>\n"
            + "".join(
                f"<parameter={key}>\n{value}\n</parameter>\n"
                for key, value in {"path": "1.py", "line": "12", "text": code}.items()
            )
            + "</function>"
        ),
    }[dialect]
    answer = way.ask("Go.", stream, says=[line], bot=TAUGHT, tools=[WEATHER, EDIT])

    assert [("edit", {"path": "1.py", "line": 12, "text": code})] == calls(answer)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"path": "a.py", "line": "12"}, {"path": "a.py", "line": 12}),
        ({"path": "a.py", "line": 12, "text": None}, {"path": "a.py", "line": 12}),
        ({"path": 1, "line": 12.0}, {"path": "1", "line": 12}),
    ],
)
def test_a_small_deviation_is_mended_without_a_question(
    way: Way, stream: bool, given: dict[str, Any], meant: dict[str, Any]
) -> None:
    """A number as a string, an optional value that is null: it is clear what was meant."""
    line = tagged(json.dumps({"name": "edit", "arguments": given}))
    answer = way.ask("Go.", stream, says=[line], bot=TAUGHT, tools=[WEATHER, EDIT])

    assert [("edit", meant)] == calls(answer)
    assert 1 == len(answer.told)


@pytest.mark.parametrize(
    "text",
    [
        'Claude\'s bots write `<function_calls>` and then `<invoke name="get_weather">`.',
        "Mistral's bots write [TOOL_CALLS] first, then a list.",
        'A call such as {"name": "get_weather", "arguments": {}} is JSON.',
        '```json\n{"name": "Ada", "arguments": ["for", "against"]}\n```\nThat is Ada.',
        "Between <|channel|> and <|message|> stands the name of a channel.",
        "The element <invoke> and the tag <function> are explained below.",
    ],
)
def test_text_that_mentions_a_form_stays_text(way: Way, stream: bool, text: str) -> None:
    """An explanation of calls is no call, and is passed on to the letter."""
    answer = way.ask("Go.", stream, says=[text], bot=TAUGHT, tools=[WEATHER])

    assert (200, "stop", text, []) == (answer.status, answer.finish, answer.text, answer.calls)


def test_what_stays_unclear_is_passed_on_as_text(way: Way, stream: bool) -> None:
    """A bot that is asked once more and calls nothing that is there has said what it has said."""
    unclear = tagged('{"name": "launch", "arguments": {}}')
    answer = way.ask("Go.", stream, says=[unclear, unclear], bot=TAUGHT, tools=[WEATHER])

    assert (200, "stop", []) == (answer.status, answer.finish, answer.calls)
    assert unclear in answer.text
    assert 2 == len(answer.told)


def test_a_call_that_is_required_and_stays_unclear_is_a_failure(way: Way, stream: bool) -> None:
    """Where the client demands a call, text is no answer."""
    answer = way.ask(
        "Go.", stream, says=["No."] * 2, bot=TAUGHT, tools=[WEATHER], tool_choice="required"
    )

    assert answer.error is not None
    assert "tool_call_invalid" == answer.error["code"]


def calls(answer: Any) -> list[tuple[str, Any]]:
    return [(name, json.loads(arguments)) for name, arguments in answer.calls]
