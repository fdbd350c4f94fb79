"""GLM's form, from 4.5 on: the name in the tag, and keys and values in turn.

    <tool_call>get_weather
    <arg_key>city</arg_key>
    <arg_value>Paris</arg_value>
    </tool_call>

From 4.7 on there are no newlines; Hunyuan has `<tool_sep>` behind the name. Texts stand as they
are, everything else as JSON, and nothing says which it is. Smaller GLM put a JSON object behind the
name instead.

Source: the chat templates of zai-org/GLM-4.5 and GLM-4.7; the `glm4_moe` parsers of vLLM and
SGLang.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from poe_proxy.shaping.tool_calls.base import Dialect, Place, Reader, stands
from poe_proxy.shaping.tool_calls.forms import GAP, NAME, Before, Form, Maybe, OneOf, Run
from poe_proxy.shaping.tool_calls.json_body import JsonBody
from poe_proxy.shaping.tool_calls.parameters import Parameters, Tags

_KEY: Final = re.compile(r"[^<>\n]{1,128}+")

_TAGS: Final = Tags(
    Form("<arg_key>", GAP, Run(_KEY, "key", least=1), "</arg_key>", GAP, "<arg_value>"),
    Form("</arg_value>"),
    Form("</tool_call>"),
    Form(OneOf("<tool_call>", "</tool_calls>")),
)
_START: Final = ("<tool_call", Maybe("s"), ">", GAP, NAME, GAP, Maybe("<tool_sep>", GAP))
_CALL: Final = Form(*_START, Before("<arg_key>", "</tool_call>"))
_WITH_JSON: Final = Form(*_START, Before("{"))


def _reader(groups: Mapping[str, str], place: Place) -> Reader | None:
    name = groups["name"]
    return Parameters(name, _TAGS) if place.allows(name) else None


def _json_reader(groups: Mapping[str, str], place: Place) -> Reader | None:
    name = groups["name"]
    return JsonBody(name) if place.allows(name) else None


GLM: Final = (Dialect(_CALL, _reader, stands), Dialect(_WITH_JSON, _json_reader, stands))
