"""How the items of a streamed answer grow."""

from __future__ import annotations

from typing import Any

import pytest

from poe_proxy.apis.responses.events import Events
from poe_proxy.apis.responses.forms import CallForms
from poe_proxy.apis.responses.namespaces import Names
from poe_proxy.apis.responses.output import Output
from poe_proxy.chat import Reasoning, Refusal, Text, ToolCallPart

from ...fakes import ask


class Looked(Output):
    """Counts how often it is looked whether an item is whole: a long call is parsed for that."""

    def __init__(self) -> None:
        super().__init__(Events(), CallForms(ask(), Names(())))
        self.looks = 0

    def _is_over(self) -> bool:
        self.looks += 1
        return super()._is_over()


@pytest.mark.parametrize("kind", [Text, Refusal, Reasoning])
def test_pieces_without_text_cost_nothing_behind_a_whole_call(kind: Any) -> None:
    """They begin nothing, so it need not be known whether the call has ended."""
    output = Looked()
    assert output.add(ToolCallPart(0, "c", "f", '{"a": 1}'))
    output.looks = 0

    for _ in range(9):
        assert b"" == output.add(kind(""))
    assert 0 == output.looks
    assert output.add(kind("a"))
    assert 1 == output.looks
