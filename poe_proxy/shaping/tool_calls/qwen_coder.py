"""Qwen3-Coder's form: a function with its name in the tag, and parameters on lines of their own.

    <tool_call>
    <function=get_weather>
    <parameter=city>
    Paris
    </parameter>
    </function>
    </tool_call>

The outer tag is often missing. The newline before and the one behind a value belong to the form;
nothing is escaped in it.

Source: the chat template of Qwen/Qwen3-Coder-480B-A35B-Instruct; the `qwen3_coder` parsers of
vLLM and SGLang.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from poe_proxy.shaping.tool_calls.base import Dialect, Place, Reader, stands
from poe_proxy.shaping.tool_calls.forms import GAP, NAME, Before, Form, Maybe, OneOf, Run
from poe_proxy.shaping.tool_calls.parameters import Parameters, Tags

_KEY: Final = re.compile(r"[^<>\n]{1,128}+")

_TAGS: Final = Tags(
    Form("<parameter=", Run(_KEY, "key", least=1), ">"),
    Form("</parameter>"),
    Form("</function>"),
    Form(OneOf("</tool_call", "<tool_call", "<function=")),
    has_lines=True,
)
_CALL: Final = Form(
    Maybe("<tool_call", Maybe("s"), ">", GAP), "<function=", NAME, ">", GAP,
    Before("<parameter=", "</function>"),
)  # fmt: skip


def _reader(groups: Mapping[str, str], place: Place) -> Reader | None:
    name = groups["name"]
    return Parameters(name, _TAGS) if place.allows(name) else None


QWEN_CODER: Final = Dialect(_CALL, _reader, stands)
