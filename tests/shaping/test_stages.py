"""Which stages a request needs: what goes down to the bot, and what of its reply comes up."""

from __future__ import annotations

from collections.abc import Generator
from itertools import repeat
from typing import Any

import pytest

from poe_proxy.chat import (
    ChatRequest,
    Done,
    Idle,
    JsonWanted,
    Reasoning,
    Replaced,
    ReplyEvent,
    Text,
    Tool,
    ToolCallPart,
    ToolChoice,
    Usage,
    Verbatim,
)
from poe_proxy.errors import BotNotFound, ParameterRefused, ToolsRefused
from poe_proxy.shaping import stages

from ..fakes import FakeUpstream, Step, ask, log_lines
from .tooling import HISTORY

TOOL = Tool(name="f")
CALL = '<tool_call>\n{"name": "f", "arguments": {"a": 1, "b": 2}}\n</tool_call>'
REQUIRED = ToolChoice(mode="required")

#: What a bot by cookie does by itself, and one by key.
COOKIE = {"tools": False, "length": False}
KEY = {"tools": True, "length": True}
BOTH = pytest.mark.parametrize("able", [COOKIE, KEY], ids=["cookie", "key"])


def replying(
    bot: FakeUpstream, able: dict[str, bool], **fields: Any
) -> Generator[ReplyEvent, None, None]:
    return stages.reply(lambda one: bot.reply(one, "bot"), ask(**fields), **able)


def reply(bot: FakeUpstream, able: dict[str, bool], **fields: Any) -> list[ReplyEvent]:
    """The reply without the signs of life."""
    return [event for event in replying(bot, able, **fields) if event != Idle()]


def calls(events: list[ReplyEvent]) -> list[tuple[str | None, str]]:
    return [(one.name, one.arguments) for one in events if isinstance(one, ToolCallPart)]


# ---- what needs no stage


@BOTH
@pytest.mark.parametrize("fields", [{}, {"temperature": 0.5, "reasoning_effort": "low"}])
def test_a_plain_chat_passes_no_stage(able: dict[str, bool], fields: dict[str, Any]) -> None:
    """Its reply is the upstream's own generator, and its request the client's own."""
    asked: list[ChatRequest] = []
    events = FakeUpstream().reply(ask(), "bot")

    def asking(one: ChatRequest) -> Generator[ReplyEvent, None, None]:
        asked.append(one)
        return events

    chat = ask(**fields)

    assert events is stages.reply(asking, chat, **able)
    assert [chat] == asked


def test_a_request_that_is_passed_on_passes_no_stage() -> None:
    """Where the upstream takes it as it is, there is nothing left to do; elsewhere it is asked in
    our own words, with all that has to be done."""
    given = {"messages": [], "tools": []}
    said = Verbatim({"type": "message_stop"})
    bot = FakeUpstream([said, Done()])
    fields = {"as_messages": given, "stop": ("two",), "tools": (TOOL,)}

    assert [said, Done()] == reply(bot, {**KEY, "messages": True}, **fields)
    assert given is bot.asked[0][0].as_messages

    bot = FakeUpstream([Text("one two three"), Done()])
    assert [Text("one "), Done("stop", "two")] == reply(bot, KEY, **fields)
    assert bot.asked[0][0].as_messages is None


def test_a_request_that_cannot_be_passed_on_after_all_is_asked_in_our_words() -> None:
    """Poe's route for it does not lead to the bot; what else is refused is refused."""
    able = {**KEY, "messages": True}
    bot = FakeUpstream([BotNotFound("No.")], [Text("one two"), Done()])

    assert [Text("one "), Done("stop", "two")] == reply(bot, able, as_messages={}, stop=("two",))
    assert [True, False] == [chat.as_messages is not None for chat, _ in bot.asked]

    with pytest.raises(ParameterRefused):
        reply(FakeUpstream([ParameterRefused("No.")]), able, as_messages={})
    begun = FakeUpstream([Verbatim({"type": "message_start"}), BotNotFound("No.")], [Done()])
    with pytest.raises(BotNotFound):
        reply(begun, able, as_messages={})
    assert 1 == len(begun.asked)


def test_a_length_needs_no_stage_where_the_bot_keeps_to_it() -> None:
    """It is passed on either way."""
    bot = FakeUpstream([Text("one two three"), Done()])

    assert [Text("one two three"), Done()] == list(replying(bot, KEY, max_tokens=1))
    assert 1 == bot.asked[0][0].max_tokens


@BOTH
def test_a_chat_without_a_form_goes_to_the_bot_as_it_is(able: dict[str, bool]) -> None:
    """Without wanted JSON nothing is added, and nothing is held back."""
    bot = FakeUpstream([Text("He"), Text("llo"), Done()])

    events = list(replying(bot, able))

    assert [Text("He"), Text("llo"), Done()] == events
    assert [(ask(), "bot")] == bot.asked


# ---- limits


@pytest.mark.parametrize(
    ("fields", "events"),
    [
        ({"stop": ("two",)}, [Text("one "), Done("stop", "two")]),
        ({"max_tokens": 1}, [Text("one"), Done("length")]),
        ({"stop": ("one two",), "max_tokens": 2}, [Done("stop", "one two")]),
        ({"stop": ("two",), "max_tokens": 1}, [Text("one"), Done("length")]),
    ],
)
def test_replies_are_cut_where_the_bot_does_not_do_it(
    fields: dict[str, Any], events: list[ReplyEvent]
) -> None:
    """The bot is stopped; lengths are about what it writes, so they come first."""
    bot = FakeUpstream([Text("one two three"), *repeat(Text(" more"), 100), Done()])

    assert events == reply(bot, COOKIE, **fields)
    assert (1, 0) == (bot.hung_up, bot.open)


@BOTH
def test_stop_words_are_searched_for_in_every_reply(able: dict[str, bool]) -> None:
    """They go down as well: a bot that heeds them writes no more than is read."""
    bot = FakeUpstream([Text("one two three"), Done()])

    assert [Text("one "), Done("stop", "two")] == reply(bot, able, stop=("two",))
    assert ("two",) == bot.asked[0][0].stop


@pytest.mark.parametrize("stop", ["\n", ', "b', "<tool", "more"])
def test_stop_words_do_not_cut_within_a_call(stop: str) -> None:
    """They are about what the client reads, not about the form in which a bot calls."""
    bot = FakeUpstream([Text(f"Let me see.{CALL}"), Text("more"), Done()])

    events = reply(bot, COOKIE, stop=(stop,), tools=(TOOL,))

    assert [("f", '{"a": 1, "b": 2}')] == calls(events)
    assert Done("tool_calls") == events[-1]
    assert [()] == [chat.stop for chat, _ in bot.asked]


def test_stop_words_before_a_call_end_the_reply() -> None:
    """What the client reads ends before the word, and the bot is stopped."""
    bot = FakeUpstream([Text("Let me see."), Text(f"\n{CALL}"), *repeat(Text("x"), 9), Done()])

    assert [Text("Let me "), Done("stop", "see")] == reply(
        bot, COOKIE, stop=("see",), tools=(TOOL,)
    )
    assert (1, 0) == (bot.hung_up, bot.open)


@BOTH
@pytest.mark.parametrize("stop", ["\n", "```", "json"])
def test_stop_words_do_not_cut_within_a_fence(able: dict[str, bool], stop: str) -> None:
    """The fence and the chatter around the JSON are no part of the answer."""
    bot = FakeUpstream([Text('Here:\n```json\n{"a": 1}\n```'), Done()])

    assert [Text('{"a": 1}'), Done()] == reply(bot, able, stop=(stop,), json=JsonWanted())
    assert [()] == [chat.stop for chat, _ in bot.asked]


def test_a_length_is_that_of_each_answer_of_a_bot_that_is_taught() -> None:
    """The form counts, for the bot writes it; a call that is cut off is not made."""
    bot = FakeUpstream([Text(f"Let me see.\n{CALL}"), Done()])

    events = reply(bot, COOKIE, max_tokens=8, tools=(TOOL,))

    assert [Text("Let me see."), Done("length")] == events


@BOTH
def test_one_call_is_one_call_whatever_the_bot_does(able: dict[str, bool]) -> None:
    """Calls of the bot's own beyond the first are left out, those that it is taught not made."""
    parts = [ToolCallPart(n, f"call_{n}", "f", "{}") for n in range(2)]
    script: list[Step] = [*parts, Done("tool_calls")] if able["tools"] else [Text(CALL * 2), Done()]

    def made(**fields: Any) -> int:
        return len(calls(reply(FakeUpstream(script), able, tools=(TOOL,), **fields)))

    assert 1 == made(parallel_tool_calls=False)
    assert 2 == made(parallel_tool_calls=True) == made()


# ---- tools and JSON


def test_tools_go_to_the_bot_that_has_them() -> None:
    """The request is the client's own, and the reply passes as it is."""
    script: list[Step] = [Text("Hm."), ToolCallPart(0, "c", "f", "{}"), Usage(1, 1), Done()]
    bot = FakeUpstream(script)
    fields = {"tools": (TOOL,), "tool_choice": ToolChoice(mode="auto"), "stop": ("x",)}

    assert script == reply(bot, KEY, **fields)
    assert [(ask(**fields), "bot")] == bot.asked


def test_tools_are_taught_to_the_bot_that_has_none() -> None:
    """None of their fields goes down."""
    bot = FakeUpstream([Text(CALL), Done()])

    events = reply(
        bot, COOKIE, tools=(TOOL,), tool_choice=REQUIRED, parallel_tool_calls=False, max_tokens=99
    )

    assert [("f", '{"a": 1, "b": 2}')] == calls(events)
    sent = bot.asked[0][0]
    assert ((), None, None, ()) == (
        sent.tools, sent.tool_choice, sent.parallel_tool_calls, sent.stop,
    )  # fmt: skip
    assert 99 == sent.max_tokens


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_choice": ToolChoice(mode="none")},
        {"tool_choice": ToolChoice(mode="auto")},
        {"parallel_tool_calls": False},
    ],
)
def test_fields_of_tools_without_a_tool_do_not_reach_a_bot_without_tools(
    fields: dict[str, Any],
) -> None:
    """It might refuse them, and there is nothing to teach."""
    bot = FakeUpstream([Text(CALL), Done()])

    assert [Text(CALL), Done()] == list(replying(bot, COOKIE, stop=("never",), **fields))
    assert [ask(stop=("never",))] == [chat for chat, _ in bot.asked]


def test_past_calls_go_to_the_bot_that_knows_them() -> None:
    """The other one reads them as text."""
    native, taught = FakeUpstream(), FakeUpstream()

    reply(native, KEY, messages=HISTORY)
    reply(taught, COOKIE, messages=HISTORY)

    assert HISTORY == native.asked[0][0].messages
    assert not any(one.tool_calls for one in taught.asked[0][0].messages)


@pytest.mark.parametrize("refusal", [ToolsRefused("No.", param="tools"), None])
def test_a_bot_that_does_not_do_it_after_all_is_taught(refusal: ToolsRefused | None) -> None:
    """It refuses, or does not call as it must; what it is taught is in what it is asked then."""
    first: list[Step] = [refusal] if refusal else [Text("No."), Usage(1, 1), Done()]
    bot = FakeUpstream(first, [Text(CALL), Done()])

    with log_lines() as lines:
        events = reply(bot, KEY, tools=(TOOL,), tool_choice=REQUIRED)

    assert [("f", '{"a": 1, "b": 2}')] == calls(events)
    assert 2 == len(events)
    assert [(TOOL,), ()] == [chat.tools for chat, _ in bot.asked]
    assert "teaching" in lines.getvalue()


def test_other_refusals_are_the_answer() -> None:
    """To teach tools would not help."""
    bot = FakeUpstream([ParameterRefused("No.", param="temperature")])

    with pytest.raises(ParameterRefused):
        reply(bot, KEY, tools=(TOOL,))
    assert 1 == len(bot.asked)


@BOTH
def test_wanted_json_is_taught_and_checked_and_passed_down(able: dict[str, bool]) -> None:
    """Some bots heed it; what the others say is checked all the same."""
    wanted = JsonWanted(schema={"type": "object"})
    bot = FakeUpstream([Text("[]"), Done()], [Text("So: {}"), Done()])

    assert [Text("{}"), Done()] == reply(bot, able, json=wanted)
    assert [wanted, wanted] == [chat.json for chat, _ in bot.asked]
    assert "JSON schema" in bot.asked[0][0].messages[0].text


@BOTH
def test_a_call_needs_no_json_beside_it(able: dict[str, bool]) -> None:
    """The form is about a final text."""
    part = ToolCallPart(0, "call_x", "f", '{"a": 1, "b": 2}')
    script: list[Step] = [Text("Hm."), part] if able["tools"] else [Text(f"Hm.\n{CALL}")]
    bot = FakeUpstream([*script, Done("tool_calls")])

    events = reply(bot, able, json=JsonWanted(), tools=(TOOL,))

    assert [("f", '{"a": 1, "b": 2}')] == calls(events)
    assert Done("tool_calls") == events[-1]
    assert 2 == len(events)


def test_everything_at_once_keeps_its_order() -> None:
    """Calls are put right beneath the JSON, the JSON beneath the stop words."""
    wrong = CALL.replace('"f"', '"g"')
    bot = FakeUpstream(
        [Reasoning("Hm."), Text(wrong), Done()],
        [Text("Paris."), Replaced("No call."), Usage(1, 1), Done()],
        [Text('{"a": "b c"}'), Usage(2, 2), Done()],
    )

    events = reply(bot, COOKIE, tools=(TOOL,), json=JsonWanted(), stop=(" c",), max_tokens=999)

    assert [Reasoning("Hm."), Text('{"a": "b'), Done("stop", " c")] == events
    assert 3 == len(bot.asked)
    assert (0, 1) == (bot.open, bot.hung_up)


# ---- the ends


@BOTH
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"stop": ("x",)},
        {"max_tokens": 99},
        {"json": JsonWanted()},
        {"tools": (TOOL,)},
        {"tools": (TOOL,), "tool_choice": REQUIRED, "parallel_tool_calls": False},
        {"tools": (TOOL,), "json": JsonWanted(), "stop": ("x",), "max_tokens": 99},
    ],
)
def test_hanging_up_stops_the_bot(able: dict[str, bool], fields: dict[str, Any]) -> None:
    """Closing the reply closes the upstream's, through whatever stands between."""
    bot = FakeUpstream([Text("{"), Text("}"), Done()])
    events = replying(bot, able, **fields)
    next(events)

    events.close()

    assert (0, 1) == (bot.open, bot.hung_up)


@BOTH
@pytest.mark.parametrize(
    "fields", [{"stop": ("x",)}, {"max_tokens": 99}, {"json": JsonWanted()}, {"tools": (TOOL,)}]
)
def test_a_reply_that_is_done_is_not_hung_up_on(
    able: dict[str, bool], fields: dict[str, Any]
) -> None:
    """The upstream's generator comes to its own end."""
    bot = FakeUpstream([Text("{}"), Done()])

    assert [Text("{}"), Done()] == reply(bot, able, **fields)
    assert (0, 0) == (bot.open, bot.hung_up)
