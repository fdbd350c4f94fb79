"""Tools of the bot's own, and what becomes of a bot that does not use them as it should."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from poe_proxy.chat import (
    ChatRequest,
    Done,
    Idle,
    Reasoning,
    Replaced,
    ReplyEvent,
    Text,
    ToolCallPart,
    ToolChoice,
    Usage,
)
from poe_proxy.errors import ParameterRefused, ToolsRefused
from poe_proxy.shaping.native_tools import native_reply

from ..fakes import FakeUpstream, Step
from .support import content
from .tooling import BY_NAME, PARIS, REQUIRED, TOOLS, calls, chat


def natively(bot: FakeUpstream, request: ChatRequest) -> Generator[ReplyEvent, None, None]:
    return native_reply(lambda one: bot.reply(one, "bot"), request)


THEIRS = ToolCallPart(0, "call_x", "look", '{"at": ')
THE_REST = ToolCallPart(0, arguments='"Paris"}')


@pytest.mark.parametrize(
    ("choice", "script", "heeds"),
    [
        (ToolChoice(mode="auto"), [Text("Hm."), Text("Sun."), Usage(1, 1), Done()], True),
        (REQUIRED, [Text("Hm."), Usage(1, 1), THEIRS, THE_REST, Done("tool_calls")], True),
        (BY_NAME, [Reasoning("Hm."), THEIRS, THE_REST, Usage(1, 1), Done("tool_calls")], True),
        (REQUIRED, [Text("So lo"), Done("length")], True),
        (REQUIRED, [Text("So lo")], True),
        (REQUIRED, [Text("Sun."), Usage(1, 1), Done()], False),
        (BY_NAME, [Text("Sun."), Replaced("Rain."), Done("tool_calls")], False),
        (BY_NAME, [Text("Hm."), ToolCallPart(0, "c", "ping", "{}"), Done("tool_calls")], False),
    ],
)
def test_a_native_bot_is_heard_if_it_heeds_the_choice(
    choice: Any, script: list[ReplyEvent], heeds: bool
) -> None:
    """Its events pass in their order; of a bot that does not, nothing is heard: it is taught."""
    bot = FakeUpstream(script, [Text(PARIS), Done()])

    passed = [event for event in natively(bot, chat(tool_choice=choice)) if event != Idle()]

    if heeds:
        assert passed == (script if Done in map(type, script) else [])
    else:
        assert [("look", {"at": "Paris"})] == calls(passed)
        assert Done("tool_calls") == passed[-1]
        assert 2 == len(passed)
    assert [TOOLS, ()][: 1 if heeds else 2] == [one.tools for one, _ in bot.asked]
    assert 0 == bot.open


def test_a_native_bot_that_calls_another_tool_is_stopped() -> None:
    """Before it is taught; what it has said by then is dropped."""
    open_then = []
    wrong: list[Step] = [Text("Hm."), ToolCallPart(0, "c", "ping", "{}"), Text("more"), Done()]
    bot = FakeUpstream(wrong, [Text(PARIS), Done()])

    def listening(one: ChatRequest) -> Generator[ReplyEvent, None, None]:
        open_then.append((bot.open, bot.hung_up))
        return bot.reply(one, "bot")

    events = list(native_reply(listening, chat(tool_choice=BY_NAME)))

    assert "" == content(events)
    assert [(0, 0), (0, 1)] == open_then


def test_a_bot_that_refuses_tools_is_taught() -> None:
    """The upstream knows that it is about tools; any other refusal is the answer."""
    bot = FakeUpstream([ToolsRefused("No.")], [Text(PARIS), Done()])
    strict = FakeUpstream([ParameterRefused("No.", param="temperature")])

    events = list(natively(bot, chat()))

    assert [("look", {"at": "Paris"})] == calls(events)
    assert [TOOLS, ()] == [one.tools for one, _ in bot.asked]
    with pytest.raises(ParameterRefused):
        list(natively(strict, chat()))
    assert 1 == len(strict.asked)


def test_hanging_up_closes_a_native_reply() -> None:
    """Whether its text is held back for a call or not."""
    for choice in (None, REQUIRED):
        bot = FakeUpstream([Text("Hm."), Text("So."), Done()])
        events = natively(bot, chat(tool_choice=choice))
        next(events)

        events.close()

        assert (0, 1) == (bot.open, bot.hung_up)
