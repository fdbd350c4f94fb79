"""The text of an answer, put together."""

from __future__ import annotations

from poe_proxy.chat import Done, Idle, Reasoning, Refusal, Replaced, Text
from poe_proxy.shaping.whole_text import WholeText


def test_what_is_replaced_is_gone_and_what_is_no_text_is_none() -> None:
    """As a client has it in the end."""
    said = WholeText()
    assert "" == said.text

    for event in (Text("dra"), Text("ft"), Replaced("Hel"), Reasoning("Hm."), Idle(), Text("lo")):
        said.add(event)
    said.add(Refusal("No."))
    said.add(Done())

    assert "Hello" == said.text
