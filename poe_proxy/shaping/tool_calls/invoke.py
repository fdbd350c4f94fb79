"""Claude's form, and those made after it: an invocation with named parameters.

    <function_calls>
    <invoke name="get_weather">
    <parameter name="city">Paris</parameter>
    </invoke>
    </function_calls>

Claude puts the prefix `antml:` before each of these names, MiniMax-M2 has `<minimax:tool_call>`
for the outer tag, DeepSeek-V3.2 has `｜DSML｜` as the prefix and says of each parameter whether it
is a text (`string="true"`) or JSON (`string="false"`). The outer tag may be missing. Nothing is
escaped in a value.

Source: Anthropic's guide to tool use in the prompt, of 2024; the chat template of
MiniMaxAI/MiniMax-M2 and its tool calling guide; the encoding module beside
deepseek-ai/DeepSeek-V3.2 (`｜｜DSML｜｜` and an outer `tool_calls` came later); vLLM's parsers
`minimax_m2` and `deepseek_v32`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from poe_proxy.shaping.tool_calls.base import Dialect, Place, Reader, stands_as_token
from poe_proxy.shaping.tool_calls.forms import (
    GAP,
    NAME,
    QUOTE,
    SPACE,
    Before,
    Form,
    Maybe,
    OneOf,
    Run,
)
from poe_proxy.shaping.tool_calls.parameters import Parameters, Tags

_KEY: Final = re.compile(r"[^<>\"'\n]{1,128}+")
_TRUTH: Final = re.compile(r"[a-z]{1,5}+")
_BARS: Final = re.compile(r"[|｜]{1,2}+")

_DSML: Final = (Run(_BARS, least=1), "DSML", Run(_BARS, least=1))
_PREFIX: Final = Maybe(OneOf("antml:", "minimax:", _DSML))
_OUTER: Final = ("<", _PREFIX, OneOf("function_calls", "tool_calls", "tool_call"), ">")

_PARAMETER: Final = Form(
    "<", _PREFIX, "parameter", SPACE, "name=", QUOTE, Run(_KEY, "key", least=1), QUOTE,
    Maybe(SPACE, "string=", QUOTE, Run(_TRUTH, "string"), QUOTE), GAP, ">",
)  # fmt: skip
_OVER: Final = ("</", _PREFIX, "invoke>")
_NEXT: Final = Form(
    OneOf(
        ("<", _PREFIX, "invoke", SPACE),
        ("</", _PREFIX, OneOf("function_calls>", "tool_calls>", "tool_call>")),
    )
)
_TAGS: Final = Tags(_PARAMETER, Form("</", _PREFIX, "parameter>"), Form(*_OVER), _NEXT)

_CALL: Final = Form(
    Maybe(*_OUTER, GAP), "<", _PREFIX, "invoke", SPACE, "name=", QUOTE, NAME, QUOTE, GAP, ">", GAP,
    Before(("<", _PREFIX, "parameter", SPACE), _OVER),
)  # fmt: skip


def _reader(groups: Mapping[str, str], place: Place) -> Reader | None:
    name = groups["name"]
    return Parameters(name, _TAGS) if place.allows(name, token=True) else None


INVOKE: Final = Dialect(_CALL, _reader, stands_as_token)
