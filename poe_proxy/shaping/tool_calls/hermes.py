"""The form that is taught, Hermes' and Qwen's: a JSON object in a tag.

    <tool_call>
    {"name": "get_weather", "arguments": {"city": "Paris"}}
    </tool_call>

Several objects, or a list of them, may stand in one tag, and a fence around them; bots also give
the tag attributes, such as the tool's name. The call ends where the object ends, so a forgotten
closing tag or fence does no harm. The tag counts anywhere but in backticks, for ordinary text
hardly ever has it before an object.

Source: the chat templates of NousResearch/Hermes-2-Pro and of Qwen2.5 and Qwen3; vLLM's
`hermes_tool_parser.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from poe_proxy.shaping.tool_calls.base import Dialect, Place, Reader
from poe_proxy.shaping.tool_calls.forms import FENCE, OBJECT_OR_LIST, Form, Maybe, Run
from poe_proxy.shaping.tool_calls.json_body import JsonBody

_ATTRIBUTES: Final = re.compile(r"[^<>\n]{0,100}+")

#: The tag alone, whatever follows; and with what it should hold.
TAG: Final = Form("<tool_call", Maybe("s"), Maybe(" ", Run(_ATTRIBUTES)), ">")
_CALL: Final = Form(
    "<tool_call", Maybe("s"), Maybe(" ", Run(_ATTRIBUTES)), ">", *FENCE, *OBJECT_OR_LIST
)


def _reader(groups: Mapping[str, str], place: Place) -> Reader:
    return JsonBody(closing="\n</tool_call>")


HERMES: Final = Dialect(_CALL, _reader, lambda place: True)
