"""Structured output: answers in JSON from a bot that is taught to give them."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable
from typing import Any

import pytest

from poe_proxy.budget import Budget
from poe_proxy.chat import (
    ChatRequest,
    Done,
    Idle,
    ImagePart,
    JsonWanted,
    Message,
    Reasoning,
    Refusal,
    Replaced,
    ReplyEvent,
    Text,
    TextPart,
    Tool,
    ToolCallPart,
    Usage,
    Waiting,
)
from poe_proxy.errors import (
    AnswerUnusable,
    InvalidRequest,
    RequestTooCostly,
    UpstreamTimeout,
)
from poe_proxy.shaping.json_answers import MAX_CHECKED, json_reply
from poe_proxy.shaping.loose_json import MAX_LENGTH
from poe_proxy.shaping.tools import taught_reply

from ..checker.jobs import DOUBLED, UNREADABLE
from ..fakes import FakeUpstream, Step, ask
from .support import affording, pieces

CITY: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["city", "people"],
    "additionalProperties": False,
}
RIGHT = '{"city": "Paris", "people": 2100000}'
WRONG = '{"city": "Paris", "people": "many"}'


def wanting(schema: Any = None, description: str | None = None, **fields: Any) -> ChatRequest:
    """A request for a JSON object, or for JSON that fits *schema*."""
    wanted = JsonWanted(
        schema=schema,
        description=description,
        path="response_format",
        schema_path="response_format.json_schema.schema",
        extra={} if schema is None else {"name": "it"},
    )
    return ask("Tell me about Paris.", json=wanted, **fields)


def saying(*texts: str) -> FakeUpstream:
    """A bot that gives these answers, each one at a time."""
    return FakeUpstream(*[(Text(text), Done()) for text in texts])


def replying(bot: FakeUpstream, chat: ChatRequest) -> Generator[ReplyEvent, None, None]:
    assert chat.json is not None
    return json_reply(lambda one: bot.reply(one, "bot"), chat, chat.json)


def reply(bot: FakeUpstream, chat: ChatRequest) -> list[ReplyEvent]:
    return list(replying(bot, chat))


def text_of(events: Iterable[ReplyEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


def prompts(bot: FakeUpstream, place: int = -1) -> list[tuple[str, str]]:
    """Role and text of each message that the bot was sent."""
    return [(one.role, one.text) for one in bot.asked[place][0].messages]


# ---- what the bot is asked


def test_the_schema_is_told_in_the_system_message() -> None:
    """The form is asked for in a system message of its own; upstreams may pass the wish on too."""
    bot = saying(RIGHT)
    chat = wanting(CITY)

    reply(bot, chat)

    (role, text), *rest = prompts(bot)
    assert "system" == role
    assert json.dumps(CITY) in text
    assert [("user", "Tell me about Paris.")] == rest
    assert chat.json is bot.asked[0][0].json


def test_a_schema_is_told_in_its_own_letters() -> None:
    """Escapes would only make it longer and harder to read for the bot."""
    bot = saying("{}")

    reply(bot, wanting({"description": "Größe"}))

    assert "Größe" in prompts(bot)[0][1]


def test_stop_words_are_not_for_the_bot_that_is_taught() -> None:
    """They would cut within fences and chatter, which are no part of the answer."""
    bot = saying("{}")

    reply(bot, wanting(stop=("\n",)))

    assert () == bot.asked[0][0].stop


@pytest.mark.parametrize("role", ["system", "developer"])
def test_the_form_is_added_to_the_system_message_that_is_there(role: Any) -> None:
    """There is one system message, beginning with the client's words, its images kept."""
    picture = ImagePart("https://example.com/a.png")
    chat = wanting(
        messages=(
            Message(role=role, content=(TextPart("Be brief."), picture)),
            Message(role="user", content=(TextPart("Hello!"),)),
        )
    )
    bot = saying("{}")

    reply(bot, chat)

    first, second = bot.asked[0][0].messages
    assert role == first.role
    assert first.text.startswith("Be brief.\n")
    assert "JSON object" in first.text
    assert picture in first.content
    assert chat.messages[1] == second


def test_the_description_of_the_form_is_told() -> None:
    """What the client says about the answer reaches the bot."""
    bot = saying(RIGHT)

    reply(bot, wanting(CITY, "A town."))

    assert "A town." in prompts(bot)[0][1]


def test_with_tools_the_form_is_for_the_final_answer() -> None:
    """A bot with tools is told that the form does not concern its calls."""
    bot, toolless = saying("{}"), saying("{}")

    reply(bot, wanting(tools=(Tool(name="look"),)))
    reply(toolless, wanting())

    assert "final answer" in prompts(bot)[0][1]
    assert "final answer" not in prompts(toolless)[0][1]


# ---- what the client gets

ANSWERS = [
    pytest.param(RIGHT, RIGHT, id="alone"),
    pytest.param(f"\n {RIGHT} \n", RIGHT, id="white space"),
    pytest.param(f"```json\n{RIGHT}\n```", RIGHT, id="fence"),
    pytest.param(f"```\n{RIGHT}\n```\n", RIGHT, id="fence without a name"),
    pytest.param(f"Here you are:\n```json\n{RIGHT}\n```\nAnything else?", RIGHT, id="chatter"),
    pytest.param(f"Sure! {RIGHT} That is it.", RIGHT, id="chatter on the same line"),
    pytest.param(f"In {{braces}} [1]: {RIGHT}", RIGHT, id="brackets in the chatter"),
    pytest.param(f"As in {{}} or {WRONG}: {RIGHT}, not {{}}", RIGHT, id="other JSON around it"),
    pytest.param(f"```json\n{RIGHT}", RIGHT, id="fence left open"),
    pytest.param(f"{{the answer: {RIGHT}}}", RIGHT, id="within brackets that are no JSON"),
    pytest.param('{"city": "é", "people": 1,}', '{"city": "é", "people": 1}', id="unicode, mended"),
    pytest.param(
        '{"city": "Paris", "people": 1,}', '{"city": "Paris", "people": 1}', id="trailing comma"
    ),
    pytest.param(
        '{"city": "Pa\nris", "people": 1}', '{"city": "Pa\\nris", "people": 1}', id="bare newline"
    ),
    pytest.param(
        '{"city": "Pa\\\'ris,}", "people": 1}', '{"city": "Pa\'ris,}", "people": 1}', id="\\'"
    ),
    pytest.param(
        '{"city": "a ``` b }\\" {", "people": 1}',
        '{"city": "a ``` b }\\" {", "people": 1}',
        id="fence and brackets in a string",
    ),
    pytest.param(
        '{"city": "北京 🏯 \\ud83d", "people": 1}',
        '{"city": "北京 🏯 \\ud83d", "people": 1}',
        id="unicode",
    ),
    pytest.param(
        '{"city": "\\ud83d", "people": 1,}',
        '{"city": "\\ud83d", "people": 1}',
        id="half a pair, mended",
    ),
]


@pytest.mark.parametrize(("answer", "left"), ANSWERS)
def test_the_client_gets_the_json_and_nothing_else(answer: str, left: str) -> None:
    """Fences and chatter go, small slips are mended, wherever the answer is cut."""
    for size in range(1, len(answer) + 1):
        bot = FakeUpstream([*pieces(answer, size), Done()])

        events = reply(bot, wanting(CITY))

        assert [Idle()] * len(pieces(answer, size)) + [Text(left), Done()] == events
        assert 1 == len(bot.asked)
        left.encode()


@pytest.mark.parametrize(
    ("schema", "answer", "left"),
    [
        ({"type": "string"}, '"yes"', '"yes"'),
        ({"type": "string"}, '```json\n"yes"\n```', '"yes"'),
        ({"type": "integer"}, "7", "7"),
        ({"type": "array"}, "The list: [1, [2]] .", "[1, [2]]"),
        ({"enum": [None]}, "null", "null"),
        (True, "[]", "[]"),
        ({}, '{"a": 1}', '{"a": 1}'),
        ({}, '"as in [1]"', '"as in [1]"'),
        ({"type": "array"}, "[1]: [2, 3]", "[2, 3]"),
    ],
)
def test_any_value_can_be_asked_for(schema: Any, answer: str, left: str) -> None:
    """A schema need not be about an object."""
    assert left == text_of(reply(saying(answer), wanting(schema)))


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        ('{"a": {"b": [1, 2]}}', '{"a": {"b": [1, 2]}}'),
        ('So {}: ```json\n{"a": 1}\n```', '{"a": 1}'),
        ("{}", "{}"),
        ('Example: {"a": 1, "b": [2]}\nFinal: {"b": 2}', '{"b": 2}'),
        ('{"a": 1}\nAs in [1], of 7, with [{"x": [2]}].', '{"a": 1}'),
        ('{"a": 1}\nI left {} empty.', '{"a": 1}'),
    ],
)
def test_json_object_takes_any_object(answer: str, left: str) -> None:
    """Without a schema an object is all that is asked for; the last one with something in it
    is meant, for examples and thoughts come before the answer."""
    assert left == text_of(reply(saying(answer), wanting()))


def test_what_is_not_text_passes_at_once() -> None:
    """Thoughts and silence are not held back with the text; figures come at the end."""
    usage = Usage(1, 2)
    script: list[ReplyEvent] = [
        Waiting(), Idle(), Reasoning("hm"), Text("{"), Idle(), Text("}"), usage, Done(),
    ]  # fmt: skip

    events = reply(FakeUpstream(script), wanting())

    assert [*script[:3], *[Idle()] * 4, Text("{}"), usage, Done()] == events


def test_rewritten_text_counts_as_it_is_at_the_end() -> None:
    """A draft that the bot took back is not in the answer."""
    script = [Text("Thinking {"), Replaced('{"a"'), Text(": 1}"), Done()]

    events = reply(FakeUpstream(script), wanting())

    assert [Idle(), Idle(), Idle(), Text('{"a": 1}'), Done()] == events


@pytest.mark.parametrize("reason", ["length", "content_filter"])
@pytest.mark.parametrize(
    ("answer", "left"), [('```json\n{"a": "b', '{"a": "b'), ("No.", "No."), ("", "")]
)
def test_a_reply_that_was_cut_off_is_not_checked(reason: Any, answer: str, left: str) -> None:
    """What there is of the JSON is passed on with the reason, and nothing is asked again."""
    bot = FakeUpstream([Text(answer), Done(reason)])

    events = reply(bot, wanting(CITY))

    assert left == text_of(events)
    assert Done(reason) == events[-1]
    assert 1 == len(bot.asked)


def test_an_answer_that_costs_too_much_to_search_is_passed_on() -> None:
    """As it came, wherever the budget ends, and the client's field is named; never an error."""
    answer = "Here: " + "[1, {2: " * 2000 + RIGHT
    outcomes = []
    for milliseconds in range(0, 90, 5):
        bot = saying(answer, answer)
        chat = wanting(budget=affording(milliseconds / 1000))
        outcomes.append((text_of(reply(bot, chat)), chat.budget.unchecked, len(bot.asked)))

    assert (answer, ["response_format"], 1) == outcomes[0]
    assert (RIGHT, [], 1) == outcomes[-1]
    assert [] == [one for one in outcomes if one not in (outcomes[0], outcomes[-1])]


@pytest.mark.parametrize("before", ["", "So: "])
def test_an_answer_that_is_too_long_to_be_read_is_passed_on(before: str) -> None:
    """The parser would hold all others up until it is done."""
    answer = before + json.dumps({"a": "a" * MAX_LENGTH})
    chat = wanting(budget=Budget(100))

    assert answer == text_of(reply(saying(answer), chat))
    assert ["response_format"] == chat.budget.unchecked


def test_a_call_leaves_no_text_when_the_budget_is_spent() -> None:
    """What is said beside a call is no answer then either."""
    call = ToolCallPart(0, "call_1", "look")
    bot = FakeUpstream([Text("a"), call, Text("b" * 1000), Done("tool_calls")])

    events = reply(bot, wanting(budget=affording(0)))

    assert [call, Done("tool_calls")] == [one for one in events if one != Idle()]


# ---- the second try

WRONG_ANSWERS = [
    pytest.param(WRONG, '"many" is not of type "integer"', id="wrong type"),
    pytest.param('{"city": "Paris"}', '"people" is a required property', id="missing"),
    pytest.param("I cannot say.", "no complete JSON", id="no JSON"),
    pytest.param('{"city": "Par', "no complete JSON", id="cut off"),
    pytest.param("{'city': 'Paris', 'people': 1}", "no complete JSON", id="single quotes"),
    pytest.param('{"city": "Paris", "people": NaN}', "no complete JSON", id="NaN"),
    pytest.param(f"[{RIGHT}]", 'is not of type "object"', id="list"),
    pytest.param("[" * 100_000, "no complete JSON", id="brackets"),
    pytest.param('{"a":' * 10_000 + "1" + "}" * 10_000, "no complete JSON", id="deep"),
    pytest.param("", "no complete JSON", id="nothing"),
]


@pytest.mark.parametrize(("answer", "problem"), WRONG_ANSWERS)
def test_a_wrong_answer_is_sent_back_once(answer: str, problem: str) -> None:
    """The bot sees its answer and what is wrong, and the client sees only the second one."""
    bot = saying(answer, f"Sorry!\n{RIGHT}")

    events = reply(bot, wanting(CITY))

    assert [Idle(), Idle(), Text(RIGHT), Done()] == events
    first, second = prompts(bot, 0), prompts(bot, 1)
    assert first == second[: len(first)]
    *said, (role, correction) = second[len(first) :]
    assert ([("assistant", answer)] if answer else []) == said
    assert "user" == role
    assert problem in correction


@pytest.mark.parametrize(("answer", "problem"), WRONG_ANSWERS)
def test_two_wrong_answers_are_an_error(answer: str, problem: str) -> None:
    """The client is told by code, and no text of the conversation is in the message."""
    bot = saying(answer, answer)
    said: list[ReplyEvent] = []

    with pytest.raises(AnswerUnusable) as failure:
        said.extend(replying(bot, wanting(CITY)))

    assert "invalid_json_answer" == failure.value.code
    assert "response_format" == failure.value.param
    assert [Idle(), Idle()] == said
    assert "Paris" not in failure.value.message
    assert "many" not in failure.value.message
    assert 2 == len(bot.asked)
    assert 0 == bot.open


def test_a_list_is_no_json_object() -> None:
    """json_object means an object, and the bot is told so."""
    bot = saying("[{}]", "{}")

    assert "{}" == text_of(reply(bot, wanting()))
    assert "not a JSON object" in prompts(bot)[-1][1]


def test_both_tries_are_counted() -> None:
    """Both were paid for, so the figures are added up; the details are the last ones."""
    bot = FakeUpstream(
        [Text("no"), Usage(10, 2, {"a": 1}), Done()],
        [Text("{}"), Usage(20, 3, {"a": 2}, 24), Done()],
    )

    events = [event for event in reply(bot, wanting()) if event != Idle()]

    assert [Text("{}"), Usage(30, 5, {"a": 2}, 36), Done()] == events


def test_the_first_reply_is_over_before_the_second_begins() -> None:
    """An account that answers one request at a time can serve the second try."""
    open_then = []
    bot = saying("no", "{}")

    def listening(chat: ChatRequest) -> Any:
        open_then.append(bot.open)
        return bot.reply(chat, "bot")

    list(json_reply(listening, wanting(), JsonWanted()))

    assert [0, 0] == open_then


def test_a_reply_that_is_done_is_not_hung_up_on() -> None:
    """The upstream's generators come to their own end, and the bot is not stopped."""
    bot = saying("no", "{}")

    reply(bot, wanting())

    assert (0, 0) == (bot.open, bot.hung_up)


def test_a_failure_of_the_upstream_passes() -> None:
    """It is the upstream's own failure that the caller sees, and there is no second try."""
    bot = FakeUpstream([Text("{"), UpstreamTimeout("too slow")])

    with pytest.raises(UpstreamTimeout):
        reply(bot, wanting())

    assert 1 == len(bot.asked)


def test_hanging_up_closes_the_upstream() -> None:
    """Closing the generator closes the one inside."""
    bot = FakeUpstream([Text("{"), Text("}"), Done()])
    events = replying(bot, wanting())
    next(events)

    events.close()

    assert (0, 1) == (bot.open, bot.hung_up)


# ---- schemas


@pytest.mark.parametrize("schema", [{"type": "objekt"}, "object", {"minLength": -1}])
def test_an_invalid_schema_is_refused(schema: Any) -> None:
    """The client's field is named, and the bot is not asked."""
    bot = saying("{}")

    with pytest.raises(InvalidRequest) as failure:
        reply(bot, wanting(schema))

    assert "response_format.json_schema.schema" == failure.value.param
    assert [] == bot.asked


def test_a_small_deviation_is_no_second_try() -> None:
    """What was evidently meant is the answer; a value that fits comes letter by letter."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    meant, fits = saying('{"n": "7"}'), saying('{"n":  7}')

    assert Text('{"n": 7}') in reply(meant, wanting(schema))
    assert Text('{"n":  7}') in reply(fits, wanting(schema))
    assert (1, 1) == (len(meant.asked), len(fits.asked))


def test_a_reference_that_leads_nowhere_is_refused() -> None:
    """The client's field is named, and the bot is not asked."""
    bot = saying("{}")

    with pytest.raises(InvalidRequest) as failure:
        reply(bot, wanting({"$ref": "#/$defs/nowhere"}))

    assert "response_format.json_schema.schema" == failure.value.param
    assert [] == bot.asked


def test_an_answer_that_costs_too_much_to_check_is_passed_on() -> None:
    """Unchecked, and not asked for again."""
    bot = saying("7")
    chat = wanting(DOUBLED, budget=Budget(0.1))

    assert "7" == text_of(reply(bot, chat))
    assert ["response_format.json_schema.schema"] == chat.budget.unchecked
    assert 1 == len(bot.asked)


def test_a_schema_that_costs_too_much_to_read_is_refused() -> None:
    """The client's field is named, and the bot is not asked."""
    bot = saying("7")

    with pytest.raises(RequestTooCostly) as failure:
        reply(bot, wanting(UNREADABLE, budget=Budget(0.1)))

    assert "response_format.json_schema.schema" == failure.value.param
    assert [] == bot.asked


def test_of_many_candidates_only_the_last_ones_are_checked() -> None:
    """An answer is no list of examples."""
    found = [f'[{{"n": {place}}}]' for place in range(MAX_CHECKED + 1)]

    def answered(wanted: int) -> list[ReplyEvent]:
        schema = {"const": json.loads(found[wanted])}
        return reply(saying("\n".join(found)), wanting(schema))

    assert found[1] == text_of(answered(1))
    with pytest.raises(AnswerUnusable):
        answered(0)


def test_the_errors_name_the_fields_of_the_clients_own_api() -> None:
    """They come with what is wanted, whichever API was spoken."""
    wanted = JsonWanted(schema={"type": "objekt"}, path="format", schema_path="format.schema")
    bad = ask(json=wanted)
    hopeless = ask(json=JsonWanted(path="format"))

    with pytest.raises(InvalidRequest, match=r"^format\.schema is not") as refusal:
        reply(saying("{}"), bad)
    with pytest.raises(AnswerUnusable) as failure:
        reply(saying("no"), hopeless)

    assert ("format.schema", "format") == (refusal.value.param, failure.value.param)


# ---- together with tools

LOOK = Tool(name="look", schema={"type": "object", "properties": {"at": {"type": "string"}}})
CALL = '<tool_call>\n{"name": "look", "arguments": {"at": "Paris"}}\n</tool_call>'


def both(bot: FakeUpstream, chat: ChatRequest) -> list[ReplyEvent]:
    def with_tools(one: ChatRequest) -> Any:
        return taught_reply(lambda taught: bot.reply(taught, "bot"), one)

    assert chat.json is not None
    return list(json_reply(with_tools, chat, chat.json))


def test_a_call_needs_no_json_beside_it() -> None:
    """A bot that calls a tool is not asked for the JSON yet, and what it says is no answer."""
    for size in range(1, len(CALL) + 6):
        bot = FakeUpstream([*pieces(f"Let me look.\n{CALL}", size), Done()])

        events = [one for one in both(bot, wanting(CITY, tools=(LOOK,))) if one != Idle()]

        call, done = events
        assert isinstance(call, ToolCallPart)
        assert ("look", '{"at": "Paris"}') == (call.name, call.arguments)
        assert Done("tool_calls") == done
        assert 1 == len(bot.asked)


def test_both_are_told_in_one_system_message() -> None:
    """The bot gets the form and the tools in one message, and the tools are not sent besides."""
    bot = saying(RIGHT)
    chat = wanting(CITY, tools=(LOOK,))

    both(bot, chat)

    sent = bot.asked[0][0]
    assert ["system", "user"] == [one.role for one in sent.messages]
    assert json.dumps(CITY) in sent.messages[0].text
    assert "<tool_call>" in sent.messages[0].text
    assert (chat.json, ()) == (sent.json, sent.tools)


def test_a_final_answer_is_checked_and_asked_for_again() -> None:
    """A final text that is no JSON is sent back, with tools still at hand."""
    bot = saying("Paris is big.", RIGHT)

    events = both(bot, wanting(CITY, tools=(LOOK,)))

    assert RIGHT == text_of(events)
    assert Done("stop") == events[-1]
    assert "<tool_call>" in prompts(bot)[0][1]
    assert ("assistant", "Paris is big.") == prompts(bot)[-2]


def test_a_wrong_call_is_put_right_beneath_the_form() -> None:
    """The second try of a call and the check of the text do not disturb each other."""
    script: list[list[Step]] = [
        [Text(CALL.replace("look", "see")), Done()],
        [Text(CALL), Done()],
    ]
    bot = FakeUpstream(*script)

    events = both(bot, wanting(CITY, tools=(LOOK,)))

    assert ["look"] == [one.name for one in events if isinstance(one, ToolCallPart)]
    assert "" == text_of(events)
    assert 2 == len(bot.asked)


def test_a_refusal_is_no_json_and_is_not_sent_back() -> None:
    """The client reads the words; what was said before them is no JSON either."""
    said = [Text("Hm."), Refusal("I can"), Refusal("not."), Done()]
    bot = FakeUpstream(said)

    assert said == [event for event in reply(bot, wanting(CITY)) if not isinstance(event, Idle)]
    assert 1 == len(bot.asked)
