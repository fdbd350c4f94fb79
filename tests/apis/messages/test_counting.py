"""How many tokens a conversation has, by our own count."""

from __future__ import annotations

from poe_proxy.apis.messages.counting import counted
from poe_proxy.chat import Tool

from ...fakes import ask
from . import reading


def test_everything_that_a_bot_reads_counts() -> None:
    """The messages and the tools; an empty conversation has its framing."""
    tool = Tool(name="Bash", description="Runs a command.", schema={"type": "object"})

    short, long = reading.tokens(counted(ask("foo"))), reading.tokens(counted(ask("foo " * 99)))
    with_tool = reading.tokens(counted(ask("foo", tools=(tool,))))

    assert 0 < short < with_tool < long
