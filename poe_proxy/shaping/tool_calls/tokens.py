"""Forms in which tokens of the model stand around a name and its arguments as JSON.

Kimi-K2, whose names say which call of the conversation it is:

    <|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>
    {"city": "Paris"}<|tool_call_end|><|tool_calls_section_end|>

DeepSeek-V3 and R1, then V3.1:

    <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather
    ```json
    {"city": "Paris"}
    ```<｜tool▁call▁end｜><｜tool▁calls▁end｜>

    <｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Paris"}<｜tool▁call▁end｜>

Llama, 3.1 and later, with `parameters` for the arguments, or as its own user-defined functions:

    <|python_tag|>{"name": "get_weather", "parameters": {"city": "Paris"}}
    <function=get_weather>{"city": "Paris"}</function>

Mistral, up to the tokenizer v7, and from v11 on:

    [TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Paris"}}]
    [TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}

The outer tokens may be missing, and a plain `|` and `_` stand for the wide ones of DeepSeek.

Source: the chat templates of moonshotai/Kimi-K2-Instruct, deepseek-ai/DeepSeek-V3, -R1 and -V3.1;
Meta's page on the prompt format of Llama 3.1; mistral-common, and the chat template of
mistralai/Mistral-Medium-3.5; the parsers of vLLM and SGLang of these names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from poe_proxy.shaping.tool_calls.base import Dialect, Place, Reader, stands, stands_as_token
from poe_proxy.shaping.tool_calls.forms import (
    FENCE,
    GAP,
    NAME,
    OBJECT,
    OBJECT_OR_LIST,
    Before,
    Form,
    Maybe,
    Run,
)
from poe_proxy.shaping.tool_calls.json_body import JsonBody

_BAR: Final = re.compile(r"[|｜]?+")
_LINE: Final = re.compile(r"[_▁]?+")
_ID: Final = re.compile(r"[\w-]{1,40}+")


def _token(*words: str) -> tuple[Run | str, ...]:
    """Return the steps of a token of DeepSeek's."""
    steps: list[Run | str] = ["<", Run(_BAR, least=1)]
    for place, word in enumerate(words):
        steps += [Run(_LINE, least=1), word] if place else [word]
    return (*steps, Run(_BAR, least=1), ">")


_KIMI: Final = Form(
    Maybe("<|tool_calls_section_begin|>", GAP), "<|tool_call_begin|>", GAP, NAME, GAP,
    "<|tool_call_argument_begin|>", *OBJECT,
)  # fmt: skip
_SEPARATOR: Final = _token("tool", "sep")
_DEEPSEEK: Final = Form(
    Maybe(*_token("tool", "calls", "begin"), GAP), *_token("tool", "call", "begin"), GAP,
    Maybe("function", *_SEPARATOR), NAME, Maybe(*_SEPARATOR), *FENCE, Before("{"),
)  # fmt: skip
_LLAMA: Final = Form("<|python_tag|>", *OBJECT_OR_LIST)
_LLAMA_FUNCTION: Final = Form("<function=", NAME, ">", *OBJECT)
_MISTRAL: Final = Form("[TOOL_CALLS]", *OBJECT_OR_LIST)
_MISTRAL_NAMED: Final = Form(
    "[TOOL_CALLS]", GAP, NAME, Maybe("[CALL_ID]", Run(_ID)), Maybe("[ARGS]"), *OBJECT
)


def _named(groups: Mapping[str, str], place: Place) -> Reader | None:
    name = groups["name"]
    return JsonBody(name) if place.allows(name, token=True) else None


def _in_tag(groups: Mapping[str, str], place: Place) -> Reader | None:
    name = groups["name"]
    return JsonBody(name) if place.allows(name) else None


def _whole(groups: Mapping[str, str], place: Place) -> Reader | None:
    return JsonBody() if place.allows(token=True) else None


TOKENS: Final = (
    Dialect(_KIMI, _named, stands_as_token),
    Dialect(_DEEPSEEK, _named, stands_as_token),
    Dialect(_LLAMA, _whole, stands_as_token),
    Dialect(_LLAMA_FUNCTION, _in_tag, stands),
)
MISTRAL: Final = (
    Dialect(_MISTRAL, _whole, stands_as_token),
    Dialect(_MISTRAL_NAMED, _named, stands_as_token),
)
