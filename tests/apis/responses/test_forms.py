"""Items and usage as JSON objects."""

from __future__ import annotations

from typing import Any

import pytest

from poe_proxy.apis.responses.forms import CallForms, usage
from poe_proxy.apis.responses.namespaces import Names
from poe_proxy.chat import Tool, Usage

from ...fakes import ask


def test_calls_have_the_client_s_names() -> None:
    """A namespace if the client has one for it, a text if the tool takes one, and always an id to
    which its result can refer."""
    names = Names([("h", "agents"), ("patch", None)])
    forms = CallForms(ask(tools=(Tool(name="patch", is_custom=True),)), names)
    function = forms.whole("completed", "call_1", "agents__h", '{"a":1}')
    custom = forms.whole("incomplete", "", "patch", '{"input":"x"}')

    assert function.pop("id").startswith("fc_")
    assert {
        "type": "function_call", "status": "completed", "call_id": "call_1", "name": "h",
        "namespace": "agents", "arguments": '{"a":1}',
    } == function  # fmt: skip
    assert custom.pop("id").startswith("ctc_")
    assert custom.pop("call_id").startswith("call_")
    assert {
        "type": "custom_tool_call", "status": "incomplete", "name": "patch", "input": "x"
    } == custom  # fmt: skip


@pytest.mark.parametrize(
    ("details", "cached", "written", "thought"),
    [
        ({}, 0, 0, 0),
        (
            {
                "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 5, "others": 6},
            },
            *(3, 4, 5),
        ),
        (
            {"prompt_tokens_details": {"cached_tokens": True}, "completion_tokens_details": 3},
            0,
            0,
            0,
        ),
    ],
    ids=["none", "all", "odd"],
)
def test_usage_has_all_its_details(details: Any, cached: int, written: int, thought: int) -> None:
    """The types have no figure that may be missing; Poe's total holds, where it has one."""
    told = usage(Usage(10, 20, details))

    assert {"cached_tokens": cached, "cache_write_tokens": written} == told["input_tokens_details"]
    assert {"reasoning_tokens": thought} == told["output_tokens_details"]
    assert (10, 20, 30) == (told["input_tokens"], told["output_tokens"], told["total_tokens"])
    assert 99 == usage(Usage(10, 20, total_tokens=99))["total_tokens"]
