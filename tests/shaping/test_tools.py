"""Tools: taught to a bot that has none of its own, or does not heed the choice."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator
from typing import Any

import pytest

from poe_proxy.budget import Budget
from poe_proxy.chat import (
    ChatRequest,
    Done,
    Idle,
    Message,
    Reasoning,
    Refusal,
    Replaced,
    ReplyEvent,
    Text,
    Tool,
    ToolCall,
    ToolCallPart,
    ToolChoice,
    Usage,
    Waiting,
)
from poe_proxy.errors import (
    AnswerUnusable,
    InvalidRequest,
    RequestTooCostly,
    UpstreamTimeout,
)
from poe_proxy.shaping.loose_json import MAX_LENGTH
from poe_proxy.shaping.native_tools import native_reply
from poe_proxy.shaping.tool_calls import RawCall
from poe_proxy.shaping.tools import MAX_CALLS, _Rules, has_tools, taught_reply

from ..checker.jobs import DOUBLED, UNREADABLE
from ..fakes import FakeUpstream, Step
from .support import affording, content, pieces
from .tooling import (
    BY_NAME,
    CODE,
    HISTORY,
    LOOK,
    PARIS,
    PING,
    REQUIRED,
    SEVERAL,
    TOOLS,
    block,
    calls,
    chat,
    message,
    prompts,
    reply,
    replying,
    saying,
    tool,
)


@pytest.mark.parametrize("mode", [None, "none", "auto"])
def test_a_chat_without_tools_goes_to_the_bot_as_it_is(mode: Any) -> None:
    """With no tool to call and none called before, nothing is added and nothing is read."""
    bot = FakeUpstream([Text(PARIS), Text("<tool"), Done()])
    choice = None if mode is None else ToolChoice(mode=mode)
    request = chat(tools=() if mode != "none" else TOOLS, tool_choice=choice)

    events = reply(bot, request)

    assert [Text(PARIS), Text("<tool"), Done()] == events
    sent = bot.asked[0][0]
    assert request.messages == sent.messages
    assert () == sent.tools
    assert sent.tool_choice is None


def test_stop_words_are_not_for_the_bot_that_is_taught() -> None:
    """They would cut within its calls; without tools they go with the rest."""
    bot = saying("Hello!")

    reply(bot, chat(stop=("\n",)))
    reply(bot, chat(stop=("\n",), tools=()))

    assert [(), ("\n",)] == [one.stop for one, _ in bot.asked]


@pytest.mark.parametrize("answer", SEVERAL)
def test_without_parallel_calls_the_first_one_ends_the_reply(answer: str) -> None:
    """The bot is stopped, so that no second call is even written."""
    for size in range(1, len(answer) + 1):
        bot = saying(answer, size=size)

        events = reply(bot, chat(parallel_tool_calls=False))

        assert [("look", {"at": "Paris"})] == calls(events)
        assert Done("tool_calls") == events[-1]
        assert (0, 1) == (bot.open, bot.hung_up)


def test_a_made_up_result_ends_the_reply() -> None:
    """A bot that goes on to play the tool is stopped."""
    bot = FakeUpstream([Text(PARIS), Text("\n<tool_"), Text("result"), Text(" name"), Done()])

    events = reply(bot, chat())

    assert Done("tool_calls") == events[-1]
    assert (0, 1) == (bot.open, bot.hung_up)


def test_what_is_not_text_passes_at_once() -> None:
    """Thoughts and silence pass, also in the midst of a call; figures come at the end."""
    usage = Usage(1, 2)
    start, end = PARIS[:20], PARIS[20:]

    events = reply(
        FakeUpstream(
            [Waiting(), Reasoning("hm"), Text(start), Idle(), Reasoning("!"), Text(end), usage,
             Done()]
        ),
        chat(),
    )  # fmt: skip

    part = events.pop(5)
    assert [("look", {"at": "Paris"})] == calls([part])
    assert [
        Waiting(), Reasoning("hm"), Idle(), Idle(), Reasoning("!"), Idle(), usage,
        Done("tool_calls"),
    ] == events  # fmt: skip


def test_calls_that_the_upstream_makes_itself_pass() -> None:
    """A call that is none of ours is not touched, and satisfies the choice."""
    call = ToolCallPart(0, "call_x", "look", '{"at": "Paris"}')

    events = reply(FakeUpstream([call, Done("tool_calls")]), chat(tool_choice=REQUIRED))

    assert [call, Done("tool_calls")] == events


# ---- text that the bot rewrites


def test_rewritten_text_is_read_anew() -> None:
    """Content that was replaced is void, and calls are taken from what stands at the end."""
    for size in range(1, len(PARIS) + 1):
        script: list[Step] = [
            Text("Thinking..."),
            Replaced("Let me look.\n<tool_"),
            *pieces(PARIS[6:], size),
            Done(),
        ]

        events = reply(FakeUpstream(script), chat())

        assert [Text("Thinking..."), Replaced("Let me look.")] == events[:2]
        assert [("look", {"at": "Paris"})] == calls(events)
        assert "Let me look." == content(events)
        assert Done("tool_calls") == events[-1]


def test_a_draft_that_becomes_a_call_leaves_no_content() -> None:
    """The draft is taken back, and nothing but the call is left."""
    events = reply(FakeUpstream([Text("Thinking..."), Replaced(PARIS), Done()]), chat())

    assert "" == content(events)
    assert Replaced("") == events[1]
    assert [("look", {"at": "Paris"})] == calls(events)


def test_an_open_call_goes_with_the_text_that_is_replaced() -> None:
    """A call that was not complete when the bot rewrote itself was never made."""
    events = reply(FakeUpstream([Text(PARIS[:30]), Replaced("Never mind."), Done()]), chat())

    assert [] == calls(events)
    assert "Never mind." == content(events)
    assert Done("stop") == events[-1]


def test_a_call_that_is_told_again_is_not_made_again() -> None:
    """A call that was passed on is recognised in the rewritten text; a new one is made."""
    again = f"So.\n{PARIS}\n{PARIS}"

    events = reply(FakeUpstream([Text(PARIS), Replaced(again), Done()]), chat())

    assert [("look", {"at": "Paris"})] * 2 == calls(events)
    assert "So." == content(events)


def test_a_replacement_before_any_content_adds_none() -> None:
    """Nothing was said, so there is nothing to take back."""
    events = reply(FakeUpstream([Text("\n"), Replaced(PARIS), Done()]), chat())

    assert [] == [event for event in events if isinstance(event, Text | Replaced)]


# ---- the ends


def test_a_reply_that_breaks_off_has_no_end() -> None:
    """Without the upstream's Done there is none of ours, and nothing is asked again."""
    bot = FakeUpstream([Text(PARIS)])

    events = reply(bot, chat())

    assert not any(isinstance(event, Done) for event in events)
    assert 1 == len(bot.asked)


# ---- what is evidently meant


def test_small_deviations_are_no_second_try() -> None:
    """What was evidently meant is the call, and the bot is not asked again."""
    bot = saying(f"{block('look', At=7, days='3')}\n{block('write', path='a', text=None)}")

    assert [("look", {"at": "7", "days": 3}), ("write", {"path": "a"})] == calls(reply(bot, chat()))
    assert 1 == len(bot.asked)


def test_what_fits_is_not_changed() -> None:
    """Whatever it looks like."""
    bot = saying(block("write", path="5", text='{"a": "1"}', more="2"))

    assert [("write", {"path": "5", "text": '{"a": "1"}', "more": "2"})] == calls(
        reply(bot, chat())
    )


def test_the_second_try_is_about_what_the_bot_wrote() -> None:
    """Where not all of it can be guessed, it reads of its own words what is wrong."""
    bot = saying(block("look", at=[7], days="3"), PARIS)

    assert [("look", {"at": "Paris"})] == calls(reply(bot, chat()))
    assert '[7] is not of type "string"' in prompts(bot)[-1][1]


def test_a_call_that_is_all_texts_is_read_as_its_schema_says() -> None:
    """A text that is wanted stays a text."""
    raw = RawCall('{"name": "look", "arguments": {"at": "5", "days": "5"}}', is_untyped=True)

    found = _Rules.of(chat()).check(raw)

    assert ("look", {"at": "5", "days": 5}) == (found.name, json.loads(found.arguments))


# ---- the second try

WRONG = [
    pytest.param(block("see", at="Rome"), 'no tool "see"', id="unknown tool"),
    pytest.param(block("look", at=[7]), '[7] is not of type "string"', id="wrong type"),
    pytest.param(block("look"), '"at" is a required property', id="missing argument"),
    pytest.param('<tool_call>\n{"arguments": {"at": "Rome"}}\n</tool_call>', '"name"',
                 id="no name"),
    pytest.param('<tool_call>\n{"name": "look", "arguments": [1]}', "not an object", id="list"),
    pytest.param('<tool_call>\n{"name": "look", "arguments": "Rome"}', "could not be read",
                 id="a string that is no JSON"),
    pytest.param("<tool_call>\n{'name': 'look', 'arguments': {'at': 'R'ome'}}\n</tool_call>",
                 "could not be read", id="bare single quotes"),
    pytest.param('<tool_call>\n{"name": "look", "arguments": {"at": "Ro', "could not be read",
                 id="ends in a string"),
    pytest.param('<tool_call>\n{"name": "look", "arguments": {"at": "Rome", "days": NaN}}',
                 "could not be read", id="NaN"),
    pytest.param('<tool_call>\n{"name": "look", "arguments": {"at": "Rome", "x": 1e999}}',
                 "could not be read", id="infinity"),
    pytest.param('<tool_call>\n{"name": "write", "arguments": {"text": "say "Rome" "}}',
                 "could not be read", id="bare quotes"),
    pytest.param(r'<tool_call>{"name": "write", "arguments": {"text": "\d Rome"}}</tool_call>',
                 "could not be read", id="bare backslash"),
    pytest.param("<tool_call>\n<function=look>\n<parameter=at>Rome</parameter>\n<parameter=d",
                 "no JSON object", id="another model's form, cut off"),
    pytest.param("<tool_call>look\n<arg_key>at</arg_key>", "no JSON object",
                 id="yet another, cut off"),
    pytest.param('<tool_call name="look">\n{"at": "Rome"}\n</tool_call>', '"name" is missing',
                 id="name in the tag"),
    pytest.param("<tool_call>\n</tool_call>", "no JSON object", id="empty"),
    pytest.param("<tool_call>\n", "no JSON object", id="only a tag"),
    pytest.param('<tool_call>{"a":' + "[" * 50_000 + "]" * 50_000 + "}", "could not be read",
                 id="deep"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "problem"), WRONG)
def test_a_wrong_call_is_sent_back_once(answer: str, problem: str) -> None:
    """The bot sees its answer and what is wrong; the client sees only the call that is right."""
    for size in {1, 2, 3, 5, 8, 13, 1_000_000} if len(answer) < 1000 else {1_000_000}:
        bot = FakeUpstream(
            *[[*pieces(text, size), Done()] for text in (answer, f"Sorry.\n{PARIS}")]
        )

        events = reply(bot, chat())

        assert [("look", {"at": "Paris"})] == calls(events), size
        assert "Sorry." == content(events)
        assert Done("tool_calls") == events[-1]
        first, second = prompts(bot, 0), prompts(bot, 1)
        assert first == second[: len(first)]
        (said_by, said), (role, correction) = second[len(first) :]
        assert "assistant" == said_by
        assert answer.startswith(said)
        assert "user" == role
        assert problem in correction
        assert '<tool_call>\n{"name": ' in correction
        assert 2 == len(bot.asked)


@pytest.mark.parametrize(("answer", "_problem"), WRONG)
def test_what_is_unclear_twice_stays_text(answer: str, _problem: str) -> None:
    """It is the answer then, to the letter, and ends like any other."""
    for size in {1, 2, 3, 5, 8, 13, 1_000_000} if len(answer) < 1000 else {1_000_000}:
        second = f"So:\n{answer}\nThat is all."
        bot = FakeUpstream(*[[*pieces(text, size), Done()] for text in (answer, second)])

        events = reply(bot, chat())

        assert second == content(events), size
        assert [] == calls(events)
        assert Done("stop") == events[-1]
        assert 2 == len(bot.asked)
        assert 0 == bot.open


@pytest.mark.parametrize("choice", [REQUIRED, BY_NAME])
@pytest.mark.parametrize(("answer", "_problem"), WRONG)
def test_two_wrong_calls_are_an_error_where_a_call_must_come(
    answer: str, _problem: str, choice: Any
) -> None:
    """The client is told by code, and no text of the conversation is in the message."""
    bot = saying(answer, answer)
    events: list[ReplyEvent] = []

    with pytest.raises(AnswerUnusable) as failure:
        events.extend(replying(bot, chat(tool_choice=choice)))

    assert "tool_call_invalid" == failure.value.code
    assert "Rome" not in failure.value.message
    assert [] == [event for event in events if not isinstance(event, Idle)]
    assert 2 == len(bot.asked)
    assert 0 == bot.open


def test_the_error_says_which_rule_was_broken() -> None:
    """The client's own tool and schema are named."""
    with pytest.raises(AnswerUnusable, match=r"look.*properties/at/type"):
        reply(saying(block("look", at=[7])), chat(tool_choice=REQUIRED))


SEE = block("see", at="Rome")


@pytest.mark.parametrize("choice", [None, REQUIRED])
@pytest.mark.parametrize(
    "second",
    [f"{PARIS}\n{SEE}\nSo.\n{block('ping')}", f"{SEE}\n{PARIS}\n{block('ping')}",
     f"{PARIS}{block('ping')}{SEE}"],
)  # fmt: skip
def test_the_valid_calls_of_the_second_try_are_made(second: str, choice: Any) -> None:
    """Wherever they stand; a call that will not do is text beside them, and fails no choice."""
    for size in range(1, len(PARIS)):
        bot = saying(SEE, second, size=size)

        events = reply(bot, chat(tool_choice=choice))

        assert [("look", {"at": "Paris"}), ("ping", {})] == calls(events)
        assert SEE == content(events)
        assert Done("tool_calls") == events[-1]
        assert 2 == len(bot.asked)


def test_the_calls_of_the_first_try_are_kept_whatever_the_second_one_says() -> None:
    """Nothing that a client has seen is taken back, and the reply ends with `tool_calls`."""
    bot = saying(f"Let me look.\n{PARIS}\n{SEE}", f"Let me look.\n{PARIS}\n{block('look', at=[7])}")

    events = reply(bot, chat(tool_choice=REQUIRED))

    assert [("look", {"at": "Paris"})] == calls(events)
    assert f"Let me look.\n{block('look', at=[7])}" == content(events)
    assert Done("tool_calls") == events[-1]


def test_an_unclear_answer_after_content_stands_instead_of_the_first_one() -> None:
    """As a second answer without a call does: nothing is there twice."""
    second = f"Let me look.\n{SEE}\nLike that."

    events = reply(saying(f"Let me look.\n{SEE}", second, size=3), chat())

    assert second == content(events)
    assert [Replaced(second), Done("stop")] == events[-2:]


def test_an_example_with_a_result_ends_where_the_result_begins() -> None:
    """What the bot made up as a result is not passed on, whether the call was valid or not."""
    bot = saying(SEE, f"{SEE}\n<tool_result>\nsun\n</tool_result>\nSo.", size=7)

    events = reply(bot, chat())

    assert SEE == content(events)
    assert Done("stop") == events[-1]


def test_of_several_calls_one_is_made_after_an_unclear_one_too() -> None:
    """Where one call may be, the first valid one ends the reply."""
    bot = saying(SEE, f"{SEE}\n{PARIS}\n{block('ping')}")

    events = reply(bot, chat(parallel_tool_calls=False))

    assert [("look", {"at": "Paris"})] == calls(events)
    assert SEE == content(events)
    assert Done("tool_calls") == events[-1]


def test_an_unclear_answer_that_was_truncated_ends_as_the_upstream_says() -> None:
    """Its length is the reason, and its text is all there is."""
    second = f"{SEE}\n{PARIS[:30]}"
    bot = FakeUpstream([Text(SEE), Done()], [*pieces(second, 9), Done("length")])

    events = reply(bot, chat())

    assert second == content(events)
    assert Done("length") == events[-1]


def test_an_unclear_call_is_void_when_the_bot_rewrites_itself() -> None:
    """Only what stands at the end counts."""
    bot = FakeUpstream([Text(SEE), Done()], [Text(SEE), Replaced("Never mind."), Done()])

    events = reply(bot, chat())

    assert "Never mind." == content(events)
    assert Done("stop") == events[-1]


@pytest.mark.parametrize("fields", [{"tools": ()}, {"tool_choice": ToolChoice(mode="none")}])
def test_a_call_where_none_may_be_stays_text_at_last(fields: Any) -> None:
    """A habit that a bot cannot shake off is no failure of the request."""
    events = reply(saying(SEE), chat(*HISTORY, **fields))

    assert SEE == content(events)
    assert Done("stop") == events[-1]


def test_what_stays_text_is_counted_and_logged_without_its_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Both tries were paid for; the log has a line for each, and nothing of the conversation."""
    bot = FakeUpstream([Usage(10, 2), Text(SEE), Done()], [Text(SEE), Usage(20, 3), Done()])

    with caplog.at_level("INFO"):
        events = reply(bot, chat())

    assert [Text(SEE), Usage(30, 5, {}, 35), Done("stop")] == events[-3:]
    assert [
        "the bot's answer cannot be used (it called a tool that is not there); asking once more",
        "the bot's second answer cannot be used either (it called a tool that is not there); "
        "what is unclear stays text",
    ] == [record.message for record in caplog.records]
    assert not [one for one in caplog.messages if "Rome" in one or '"see"' in one]


def test_content_is_not_repeated_by_the_second_try() -> None:
    """What was said before the wrong call stays; what the bot says on the way to the right one
    is dropped."""
    for size in range(1, len(PARIS)):
        bot = saying(f"Let me look.\n{block('see')}", f"Let me look.\n{PARIS}", size=size)

        events = reply(bot, chat())

        assert "Let me look." == content(events)
        assert [] == [event for event in events if isinstance(event, Replaced)]
        assert [("look", {"at": "Paris"})] == calls(events)


@pytest.mark.parametrize(
    ("first", "left"),
    [
        ([Text("Thinking..."), Replaced(block("see"))], "Sorry."),
        ([Text("Thinking..."), Replaced(f"So.\n{block('see')}")], "So."),
        ([Replaced(f"So.\n{block('see')}")], "So."),
    ],
)
def test_content_that_was_taken_back_leaves_room(first: list[Step], left: str) -> None:
    """Whether the second try may speak depends on what is left of the first one."""
    bot = FakeUpstream([*first, Done()], [Text(f"Sorry.\n{PARIS}"), Done()])

    assert left == content(reply(bot, chat()))


@pytest.mark.parametrize("answer", [block("see"), "<tool_call>\n<func>"])
def test_a_wrong_call_stops_the_bot(answer: str) -> None:
    """What follows a call that will not do is not waited for."""
    bot = FakeUpstream([Text(answer), Text(" and more"), Done()], [Text(PARIS), Done()])

    reply(bot, chat())

    assert 1 == bot.hung_up
    assert answer == prompts(bot)[-2][1]


def test_a_call_is_not_repeated_by_the_second_try() -> None:
    """Calls that were passed on are not made again, and the bot is told so."""
    for size in range(1, len(PARIS)):
        bot = saying(f"{PARIS}\n{block('see')}", f"{PARIS}\n{block('ping')}", size=size)

        events = reply(bot, chat())

        assert [("look", {"at": "Paris"}), ("ping", {})] == calls(events)
        assert "do not repeat them" in prompts(bot)[-1][1]


def test_a_bot_may_give_up_its_call() -> None:
    """Where no call is required, a second answer without one is the answer."""
    bot = saying(block("see"), "Paris is fine.")

    events = reply(bot, chat())

    assert "Paris is fine." == content(events)
    assert Done("stop") == events[-1]


def test_a_given_up_call_after_content_replaces_the_answer() -> None:
    """The second answer is another one: it stands instead of the first, not behind it."""
    bot = saying(f"Let me look.\n{block('see')}", "Paris is fine.", size=3)

    events = reply(bot, chat())

    assert "Paris is fine." == content(events)
    assert Done("stop") == events[-1]


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        (REQUIRED, "A tool must be called now"),
        (BY_NAME, "A tool must be called now"),
    ],
)
def test_a_call_that_must_come_is_asked_for_again(choice: Any, told: str) -> None:
    """An answer without the call is sent back, and its text stays."""
    bot = saying("Paris is fine.", f"Sorry.\n{PARIS}")

    events = reply(bot, chat(tool_choice=choice))

    assert [("look", {"at": "Paris"})] == calls(events)
    assert "Paris is fine." == content(events)
    assert ("assistant", "Paris is fine.") == prompts(bot)[-2]
    assert told in prompts(bot)[-1][1]
    assert "plain text" not in prompts(bot)[-1][1]


def test_a_call_that_never_comes_is_an_error() -> None:
    """tool_choice is a promise: without the call there is no answer."""
    with pytest.raises(AnswerUnusable) as failure:
        reply(saying("Paris is fine."), chat(tool_choice=REQUIRED))

    assert "tool_call_invalid" == failure.value.code


def test_another_tool_than_the_chosen_one_does_not_do() -> None:
    """Only the tool that was named can be called."""
    bot = saying(block("ping"), PARIS)

    events = reply(bot, chat(tool_choice=BY_NAME))

    assert [("look", {"at": "Paris"})] == calls(events)
    assert "The tools are: look." in prompts(bot)[-1][1]


@pytest.mark.parametrize("fields", [{"tools": ()}, {"tool_choice": ToolChoice(mode="none")}])
def test_a_call_where_none_may_be_is_sent_back(fields: Any) -> None:
    """A bot that goes on calling out of habit is asked for plain text."""
    bot = saying(block("look", at="Rome"), "Sun and rain.")

    events = reply(bot, chat(*HISTORY, **fields))

    assert [] == calls(events)
    assert "Sun and rain." == content(events)
    assert "Answer in plain text." in prompts(bot)[-1][1]


def test_both_tries_are_counted() -> None:
    """Both were paid for. Of one try the last figures hold, and the details are the last ones."""
    counted: list[Step] = [Usage(1, 1), Usage(10, 2, {"a": 1}), Done()]
    bot = FakeUpstream(
        [Text("Sun."), *counted], [Text(PARIS), Usage(20, 3, {"a": 2}, 24), Done("tool_calls")]
    )

    *_, usage, done = events = reply(bot, chat(tool_choice=REQUIRED))

    assert (Usage(30, 5, {"a": 2}, 36), Done("tool_calls")) == (usage, done)
    assert 1 == sum(isinstance(event, Usage) for event in events)


def test_the_first_reply_is_over_before_the_second_begins() -> None:
    """The bot is stopped in its wrong answer, and an account with one place serves both tries."""
    bot = FakeUpstream([Text(block("see")), Text(" and more"), Done()], [Text(PARIS), Done()])
    open_then = []

    def listening(one: ChatRequest) -> Generator[ReplyEvent, None, None]:
        open_then.append((bot.open, bot.hung_up))
        return bot.reply(one, "bot")

    list(taught_reply(listening, chat()))

    assert [(0, 0), (0, 1)] == open_then


# ---- what a request says of tools


@pytest.mark.parametrize(
    ("fields", "is_said"),
    [
        ({}, True),
        ({"tools": ()}, False),
        ({"tools": (), "tool_choice": ToolChoice(mode="none")}, True),
        ({"tools": (), "parallel_tool_calls": False}, True),
        ({"tools": (), "messages": HISTORY}, True),
        ({"tools": (), "messages": HISTORY[:1]}, False),
    ],
)
def test_a_chat_may_say_something_of_tools_in_many_places(
    fields: dict[str, Any], is_said: bool
) -> None:
    """The tools, the choice, the number of calls, the calls of the past."""
    assert is_said == has_tools(chat(**fields))


PARAMETERS = "tools[0].function.parameters"


# ---- failures


def test_a_reply_that_is_done_is_not_hung_up_on() -> None:
    """The upstream's generators come to their own end, and the bot is not stopped."""
    bot = saying("No call.", PARIS)

    reply(bot, chat(tool_choice=REQUIRED))

    assert (0, 0) == (bot.open, bot.hung_up)


def test_a_failure_of_the_upstream_passes() -> None:
    """It is the upstream's own failure that the caller sees, and there is no second try."""
    bot = FakeUpstream([Text("<tool_call>"), UpstreamTimeout("too slow")])

    with pytest.raises(UpstreamTimeout):
        reply(bot, chat())

    assert 1 == len(bot.asked)


@pytest.mark.parametrize("tools", [TOOLS, ()])
@pytest.mark.parametrize("script", [["Hello", " you"], [PARIS, " you"], [PARIS[:20], "you"]])
def test_hanging_up_closes_the_upstream(tools: Any, script: list[str]) -> None:
    """Closing the generator closes the one inside, wherever it stands."""
    bot = FakeUpstream([*map(Text, script), Done()])
    events = replying(bot, chat(tools=tools))
    next(events)

    events.close()

    assert 0 == bot.open
    assert 1 == bot.hung_up


def test_hanging_up_closes_the_second_try() -> None:
    """The second reply is closed as the first one was."""
    bot = FakeUpstream([Text(block("see")), Done()], [Text("Hello"), Text(" you"), Done()])
    events = replying(bot, chat())
    assert Text("Hello") == next(events)

    events.close()

    assert (0, 2) == (bot.open, bot.hung_up)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tool_choice": ToolChoice(mode="required", name="see")}, "tool_choice"),
        ({"tool_choice": ToolChoice(mode="required", name="see", path="a.name")}, "a.name"),
    ],
)
def test_what_makes_no_sense_is_refused(fields: Any, param: str) -> None:
    """The field is named, and the bot is not asked."""
    bot = saying("Hello!")

    with pytest.raises(InvalidRequest) as failure:
        reply(bot, chat(**fields))

    assert param == failure.value.param
    assert [] == bot.asked


#: Schemas of tools that are not as they should be, and what is left of them to be checked.
ODD = [
    pytest.param({"properties": {"a": {"type": "objekt"}}}, {"a": [7]}, id="an unknown type"),
    pytest.param({"type": None}, {"a": 1}, id="null"),
    pytest.param({"type": "array", "items": {}}, {"a": 1}, id="a list"),
    pytest.param({"$ref": "#/$defs/q", "$defs": {"p": {}}}, {"a": 1}, id="leads nowhere"),
    pytest.param({"properties": {"a": {"items": [{}, {}]}}}, {"a": [1, 2]}, id="a tuple"),
]


@pytest.mark.parametrize(("schema", "arguments"), ODD)
def test_an_odd_schema_ends_no_turn(schema: Any, arguments: Any) -> None:
    """Its tool can be called, and so can all others, which are checked as ever."""
    odd = Tool(name="odd", schema=schema, path=PARAMETERS)
    bot = saying(f"{block('odd', **arguments)}{block('look', at=[])}", PARIS)

    made = calls(reply(bot, chat(tools=(LOOK, odd))))

    assert [("odd", arguments), ("look", {"at": "Paris"})] == made
    assert 2 == len(bot.asked)


def test_a_call_that_costs_too_much_to_check_is_passed_on() -> None:
    """Unchecked, and not asked for again."""
    tools = (tool("bad", path=PARAMETERS, **DOUBLED), LOOK)
    bot = saying(f"{block('bad', a=1)}\n{PARIS}")
    request = chat(tools=tools, budget=Budget(0.1))

    assert [("bad", {"a": 1}), ("look", {"at": "Paris"})] == calls(reply(bot, request))
    assert PARAMETERS == request.budget.unchecked[0]
    assert 1 == len(bot.asked)


def test_a_schema_that_costs_too_much_to_read_is_refused() -> None:
    """The client's own tool is named, and the bot is not asked."""
    bot = saying(PARIS)

    with pytest.raises(RequestTooCostly) as failure:
        reply(
            bot, chat(tools=(LOOK, tool("bad", path=PARAMETERS, **UNREADABLE)), budget=Budget(0.1))
        )

    assert PARAMETERS == failure.value.param
    assert [] == bot.asked


# ---- what it may cost

PROSE = "".join(f"line {place} <t\n" for place in range(1500))


def test_wherever_the_budget_ends_the_answer_is_passed_on() -> None:
    """Calls before that are made, text comes once and whole, and the client is not told to wait."""
    outcomes = []
    for milliseconds in range(0, 90, 3):
        bot = saying(f"{PROSE}{PARIS}\n{block('ping')}")
        request = chat(tools=(LOOK, PING), budget=affording(milliseconds / 1000))
        try:
            events = reply(bot, request)
        except RequestTooCostly:  # the tools could not even be told
            assert [] == bot.asked
            continue
        text = content(events)
        assert text.startswith(PROSE.rstrip("\n"))
        made = calls(events)
        told = re.findall(r'"name": "(\w+)"', text)
        assert ["look", "ping"] == [name for name, _ in made] + told
        assert Done("tool_calls" if made else "stop") == events[-1]
        assert 1 == len(bot.asked)
        outcomes.append((bool(told), request.budget.unchecked))

    assert (True, ["tools"]) == outcomes[0]
    assert (False, []) == outcomes[-1]


def test_a_call_that_is_too_long_to_be_read_is_told_as_text() -> None:
    """With those behind it: what one of them needs may be in it."""
    long = block("write", path="a", text="a" * MAX_LENGTH)
    request = chat(budget=Budget(100))

    events = reply(saying(f"{PARIS}\n{long}"), request)

    assert [("look", {"at": "Paris"})] == calls(events)
    assert f"{long}\n" == content(events)
    assert Done("tool_calls") == events[-1]
    assert ["tools"] == request.budget.unchecked


def test_a_second_try_that_costs_too_much_replaces_the_first_one() -> None:
    """Its content was held to be a repetition, but the rest of it is not read any more."""
    long = block("write", path="a", text="a" * MAX_LENGTH)
    bot = saying(f"So.\n{block('see')}", f"So:\n{long}")

    events = reply(bot, chat(budget=Budget(100)))

    assert f"So:{long}\n" == content(events)
    assert [] == calls(events)
    assert 2 == len(bot.asked)


def test_an_unclear_second_try_that_costs_too_much_is_passed_on_whole() -> None:
    """What was held back comes before what is not read any more, each once."""
    long = block("write", path="a", text="a" * MAX_LENGTH)
    second = f"{SEE}\n{long}\nSo."

    events = reply(saying(SEE, second), chat(budget=Budget(100)))

    assert second == content(events)
    assert [] == calls(events)
    assert Done("stop") == events[-1]


def test_a_reply_has_so_many_calls_and_no_more() -> None:
    """It ends with the last one, and the bot is stopped."""
    bot = saying(block("ping") * (MAX_CALLS + 1))

    events = reply(bot, chat(tools=(PING,), budget=Budget(100)))

    assert MAX_CALLS == len(calls(events))
    assert Done("tool_calls") == events[-1]


# ---- a coding agent


def agent(bot: Callable[[ChatRequest], str], turns: int, size: int) -> list[Message]:
    """Play a client that answers each call, for at most *turns* turns."""
    messages = [message("system", "You edit files."), message("user", "Write twenty files.")]
    for _ in range(turns):
        events = list(
            taught_reply(
                lambda one: (event for event in [*pieces(bot(one), size), Done()]),
                chat(*messages),
            )
        )
        made = [event for event in events if isinstance(event, ToolCallPart)]
        messages.append(
            message(
                "assistant",
                content(events),
                tool_calls=tuple(
                    ToolCall(part.id or "", part.name or "", part.arguments) for part in made
                ),
            )
        )
        if events[-1] == Done("stop"):
            return messages
        assert Done("tool_calls") == events[-1]
        messages += [
            message("tool", f"wrote {json.loads(part.arguments)['path']}", tool_call_id=part.id)
            for part in made
        ]
    raise AssertionError("the session has no end")


@pytest.mark.parametrize("size", [1, 7, 64, 100_000])
def test_a_session_of_twenty_calls_keeps_its_shape(size: int) -> None:
    """A bot that copies the form it sees in the history calls twenty times, and each file
    arrives as it was written."""

    def scribe(one: ChatRequest) -> str:
        # It has learnt the form from what it wrote before, not from the instruction.
        done = [told for told in one.messages if told.text.startswith("<tool_result")]
        mine = [told.text for told in one.messages if told.role == "assistant"]
        assert len(done) == len(mine)
        number = len(done)
        if number == 20:
            return "All twenty are written."
        last = mine[-1] if mine else f"Next.\n{block('write', path='file0.py', text='')}"
        head, _, rest = last.partition("<tool_call>\n")
        body = json.loads(rest.removesuffix("\n</tool_call>"))
        body["arguments"] = {
            "path": f"file{number}.py",
            "text": CODE * number + block("write", path="x"),
        }
        return f"{head}<tool_call>\n{json.dumps(body, ensure_ascii=False)}\n</tool_call>"

    messages = agent(scribe, 21, size)

    told = [one for one in messages if one.role == "assistant"]
    assert 21 == len(told)
    assert "All twenty are written." == told[-1].text
    assert ["Next."] * 20 == [one.text for one in told[:-1]]
    written = [json.loads(call.arguments) for one in told for call in one.tool_calls]
    assert [f"file{number}.py" for number in range(20)] == [one["path"] for one in written]
    assert [CODE * number + block("write", path="x") for number in range(20)] == [
        one["text"] for one in written
    ]


# ---- refusals


@pytest.mark.parametrize("answer", [taught_reply, native_reply])
def test_a_bot_that_refuses_is_not_asked_again(answer: Any) -> None:
    """Even if a call is demanded: what it says is its answer, and ends as the bot says."""
    said = [Text("<tool_call>{"), Refusal("I can"), Refusal("not."), Done("content_filter")]
    bot = FakeUpstream(said)
    request = chat(tool_choice=REQUIRED)

    events = list(answer(lambda one: bot.reply(one, "bot"), request))

    assert said == [event for event in events if not isinstance(event, Idle)]
    assert 1 == len(bot.asked)


def test_a_refusal_is_the_second_answer() -> None:
    """It stands in place of the first one."""
    first = [Text("Let me see.\n<tool_call>{}</tool_call>"), Done()]
    bot = FakeUpstream(first, [Text("No. "), Refusal("I cannot."), Done()])

    events = reply(bot, chat())

    assert [Replaced("No. "), Refusal("I cannot."), Done()] == events[-3:]
    assert 2 == len(bot.asked)
