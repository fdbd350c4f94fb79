"""Calls as the bots of each house write them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

Writer = Callable[[str, Mapping[str, Any]], str]

#: Claude's prefix.
ANTML = "antml:"


def dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def plain(value: Any) -> str:
    """A value as templates write it: a text as it is, everything else as JSON."""
    return value if isinstance(value, str) else dumps(value)


def call(name: str, arguments: Mapping[str, Any]) -> str:
    return dumps({"name": name, "arguments": arguments})


def invoke(name: str, arguments: Mapping[str, Any], prefix: str = "", typed: bool = False) -> str:
    lines = [f'<{prefix}invoke name="{name}">']
    for key, value in arguments.items():
        kind = f' string="{dumps(isinstance(value, str))}"' if typed else ""
        lines.append(f'<{prefix}parameter name="{key}"{kind}>{plain(value)}</{prefix}parameter>')
    return "\n".join([*lines, f"</{prefix}invoke>"])


def qwen(name: str, arguments: Mapping[str, Any]) -> str:
    lines = [f"<function={name}>"]
    for key, value in arguments.items():
        lines += [f"<parameter={key}>", plain(value), "</parameter>"]
    return "\n".join([*lines, "</function>"])


def glm(name: str, arguments: Mapping[str, Any], newline: str = "\n") -> str:
    pairs = [
        f"<arg_key>{key}</arg_key>{newline}<arg_value>{plain(value)}</arg_value>"
        for key, value in arguments.items()
    ]
    return newline.join([f"<tool_call>{name}", *pairs, "</tool_call>"])


def harmony(name: str, arguments: Mapping[str, Any]) -> str:
    return (
        f"<|start|>assistant<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>"
        f"{dumps(arguments)}<|call|>"
    )


BARS = "｜DSML｜"

#: Forms whose values are texts.
UNTYPED: dict[str, Writer] = {
    "claude": lambda name, given: f"<function_calls>\n{invoke(name, given)}\n</function_calls>",
    "claude, prefixed": lambda name, given: (
        f"<{ANTML}function_calls>\n{invoke(name, given, ANTML)}\n</{ANTML}function_calls>"
    ),
    "claude, no outer tag": invoke,
    "minimax": lambda name, given: (
        f"<minimax:tool_call>\n{invoke(name, given)}\n</minimax:tool_call>"
    ),
    "qwen coder": lambda name, given: f"<tool_call>\n{qwen(name, given)}\n</tool_call>",
    "qwen coder, no outer tag": qwen,
    "glm": glm,
    "glm 4.7": lambda name, given: glm(name, given, ""),
}
#: Forms whose values are JSON.
TYPED: dict[str, Writer] = {
    "hermes": lambda name, given: f"<tool_call>\n{call(name, given)}\n</tool_call>",
    "glm with json": lambda name, given: f"<tool_call>{name}\n{dumps(given)}\n</tool_call>",
    "deepseek v3.2": lambda name, given: (
        f"<{BARS}function_calls>\n{invoke(name, given, BARS, typed=True)}\n</{BARS}function_calls>"
    ),
    "deepseek v3": lambda name, given: (
        f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>{name}\n```json\n"
        f"{dumps(given)}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
    ),
    "deepseek v3.1": lambda name, given: (
        f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>{name}<｜tool▁sep｜>{dumps(given)}"
        "<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
    ),
    "kimi": lambda name, given: (
        f"<|tool_calls_section_begin|><|tool_call_begin|>functions.{name}:0"
        f"<|tool_call_argument_begin|>{dumps(given)}<|tool_call_end|><|tool_calls_section_end|>"
    ),
    "llama": lambda name, given: (
        f"<|python_tag|>{dumps({'name': name, 'parameters': given})}<|eom_id|>"
    ),
    "llama, function": lambda name, given: f"<function={name}>{dumps(given)}</function>",
    "mistral": lambda name, given: f"[TOOL_CALLS][{call(name, given)}]",
    "mistral, no list": lambda name, given: f"[TOOL_CALLS] {call(name, given)}",
    "mistral, named": lambda name, given: f"[TOOL_CALLS]{name}[ARGS]{dumps(given)}",
    "harmony": harmony,
    "json in another tag": lambda name, given: (
        f"<tool_use>\n{dumps({'name': name, 'input': given})}\n</tool_use>"
    ),
    "elements": lambda name, given: (
        f"<tool_use>\n<name>{name}</name>\n<arguments>{dumps(given)}</arguments>\n</tool_use>"
    ),
    "json alone": call,
    "json in a fence": lambda name, given: f"```json\n{call(name, given)}\n```",
    "a list alone": lambda name, given: f"[{call(name, given)}]",
}
DIALECTS = UNTYPED | TYPED
