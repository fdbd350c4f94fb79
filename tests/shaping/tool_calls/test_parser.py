"""The tool call parser: calls read from a bot's text while it comes."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from poe_proxy.chat import (
    Done,
    Idle,
    ReplyEvent,
    Text,
    ToolCallPart,
)

from ...fakes import FakeUpstream
from ..support import content, pieces
from ..tooling import (
    CODE,
    PARIS,
    REQUIRED,
    SEVERAL,
    block,
    calls,
    chat,
    reply,
    replying,
    saying,
    tool,
)

FORMS = [
    pytest.param(PARIS, "", id="as told"),
    pytest.param(f"\n\n{PARIS}\n\n", "", id="blank lines around"),
    pytest.param(f"Let me look.\n\n{PARIS}", "Let me look.", id="text before"),
    pytest.param(f"Let me look. {PARIS}", "Let me look.", id="text on the same line"),
    pytest.param(f"{PARIS}\nI wait for the result.", "", id="text after"),
    pytest.param(f"```json\n{PARIS}\n```", "", id="fence around"),
    pytest.param(f"So:\n```\n{PARIS}\n```\nDone.", "So:", id="fence and text around"),
    pytest.param(
        '<tool_call>\n```json\n{"name": "look", "arguments": {"at": "Paris"}}\n```\n</tool_call>',
        "",
        id="fence within",
    ),
    pytest.param(
        '```tool_call\n{"name": "look", "arguments": {"at": "Paris"}}\n```', "", id="fence for tag"
    ),
    pytest.param(PARIS.replace("\n", ""), "", id="on one line"),
    pytest.param(PARIS.replace("tool_call", "TOOL_CALL"), "", id="upper case"),
    pytest.param(PARIS.replace("tool_call", "tool_calls"), "", id="plural"),
    pytest.param(PARIS.removesuffix("</tool_call>"), "", id="no closing tag"),
    pytest.param(PARIS.removesuffix("}\n</tool_call>"), "", id="no last bracket, no tag"),
    pytest.param(PARIS.replace("}\n</", "\n</"), "", id="no last bracket"),
    pytest.param(PARIS.replace("}\n</", "}}\n</"), "", id="a bracket too many"),
    pytest.param(PARIS.replace("}}", ",},}"), "", id="trailing commas"),
    pytest.param(
        '<tool_call>\n[{"name": "look", "arguments": {"at": "Paris"}}]\n</tool_call>',
        "",
        id="in a list",
    ),
    pytest.param(
        '<tool_call>{"name": "look", "arguments": "{\\"at\\": \\"Paris\\"}"}</tool_call>',
        "",
        id="arguments as a string",
    ),
    pytest.param(
        '<tool_call>{"id": "7", "name": "look", "parameters": {"at": "Paris"}}</tool_call>',
        "",
        id="parameters",
    ),
    pytest.param(
        '<tool_call>{"type": "function", "function": '
        '{"name": "look", "arguments": "{\\"at\\": \\"Paris\\"}"}}</tool_call>',
        "",
        id="the shape of the API",
    ),
    pytest.param(
        f"{PARIS}\n<tool_result>\nsun\n</tool_result>\n{block('ping')}", "", id="made-up result"
    ),
    pytest.param(
        'Use `x`\n<tool_call>{"name": "look", "arguments": {"at": "Paris"}}'
        f"<tool_result>sun</tool_result>{block('ping')}",
        "Use `x`",
        id="made-up result without a gap",
    ),
    pytest.param(f"{PARIS}\n<tool_call>\n</tool_call>", "", id="an empty block after it"),
    pytest.param(f'{PARIS}\nSo {{x}}\n{{"a": 1}}', "", id="brackets after it"),
    pytest.param(f"Is 1 < 2?\n{PARIS}", "Is 1 < 2?", id="less than"),
    pytest.param(f"`a` ``b``\n```py\nx\n```\n{PARIS}", "`a` ``b``\n```py\nx\n```", id="other code"),
    pytest.param(f"```\nx\n```\n```\n{PARIS}\n```", "```\nx\n```", id="code, then a fence"),
    pytest.param(f"```\nx\n```\n```json\n{PARIS}\n```", "```\nx\n```", id="a named fence"),
    pytest.param(f"```py\nx\n```\n\n{PARIS}", "```py\nx\n```", id="code, then a blank line"),
    pytest.param(f"A `<tool_call>` tag:\n{PARIS}", "A `<tool_call>` tag:", id="quoted tag before"),
    pytest.param(f"<tool_\n{PARIS}", "<tool_", id="half a tag before"),
    pytest.param(f"I use `look`{PARIS}", "I use `look`", id="directly behind inline code"),
    pytest.param(f"``` `a\nI use `look`{PARIS}", "``` `a\nI use `look`", id="marks further up"),
    pytest.param(f"A ``<tool_call>``.\n{PARIS}", "A ``<tool_call>``.", id="quoted twice before"),
    pytest.param(
        '<tool_call name="look">\n{"name": "look", "arguments": {"at": "Paris"}}\n</tool_call>',
        "",
        id="attributes",
    ),
]


@pytest.mark.parametrize(("answer", "before"), FORMS)
def test_a_call_is_read_in_every_form(answer: str, before: str) -> None:
    """What bots make of the form is a call, wherever it is cut, and no text of it leaks."""
    for size in range(1, len(answer) + 1):
        bot = saying(answer, size=size)

        events = reply(bot, chat())

        assert [("look", {"at": "Paris"})] == calls(events), size
        assert before == content(events), size
        assert Done("tool_calls") == events[-1]
        assert 1 == sum(isinstance(event, Done) for event in events)
        assert 1 == len(bot.asked)


TEXTS = [
    "Hello!",
    "",
    "\n \n",
    "a <b> c < d << e",
    "ends with <",
    "ends with <tool_",
    "ends with `<tool_call>",
    "mentions the <tool_call> tag",
    "mentions the <tool_call> tag at the end: <tool_call>",
    "quotes `<tool_call>` and ``<tool_calls>``",
    'quotes `<tool_call>{"name": "look", "arguments": {"at": "Paris"}}</tool_call>`',
    'I `use` `<tool_call>{"name": "look", "arguments": {"at": "Paris"}}</tool_call>`',
    "mentions the <tool_call name> tag",
    "<tool_call name",
    f"<tool_call {'x' * 200}>" + '{"a": 1}',
    "</tool_call>",
    "<tool_caller>\n<tool_callsx>",
    "```python\nprint(1)\n```",
    "```",
    "``",
    "a\n\n```\n\n",
    "<tool_result>",
    "ünïcödé 🏯 \t\n<",
]


@pytest.mark.parametrize("answer", TEXTS)
def test_text_that_is_no_call_comes_through_unchanged(answer: str) -> None:
    """Nothing is lost, added or asked again, wherever the text is cut."""
    for size in range(1, len(answer) + 2):
        bot = saying(answer, size=size)

        events = reply(bot, chat())

        assert answer == content(events), size
        assert [] == calls(events)
        assert Done("stop") == events[-1]
        assert 1 == len(bot.asked)


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        (["abc", "def"], ["abc", "def"]),
        (["abc", " "], ["abc", None]),
        (["abc\n", "def"], ["abc", "\ndef"]),
        (["abc <", "b"], ["abc", " <b"]),
        (["a <tool_call", "er"], ["a", " <tool_caller"]),
        (["a <tool_call> ", "b"], ["a", " <tool_call> b"]),
        (["a ```", "py\n", "x"], ["a", None, " ```py\nx"]),
        (["`", "a"], [None, "`a"]),
        (["`<tool_", "call"], ["`<tool_", "call"]),
    ],
)
def test_only_what_may_become_a_call_is_held_back(
    pieces: list[str], said: list[str | None]
) -> None:
    """Each piece goes out at once but for its end; where nothing goes out, others get a turn."""
    events = replying(FakeUpstream([*map(Text, pieces), Done()]), chat())

    assert [Idle() if one is None else Text(one) for one in said] == [next(events) for _ in said]


def test_a_call_is_passed_on_as_soon_as_it_is_complete() -> None:
    """The bracket that closes the object is enough; the rest of the answer may take its time."""
    events = replying(FakeUpstream([*pieces(PARIS, 7), Text("more"), Done()]), chat())
    seen: list[ReplyEvent] = []

    while not isinstance(event := next(events), ToolCallPart):
        seen.append(event)

    assert [Idle()] * len(seen) == seen
    assert PARIS.index("}}") // 7 == len(seen)


PIECES = [
    "<tool_call>", "</tool_call>", "<tool_calls>", "<TOOL_CALL>", "<tool_", "<tool_result", "<",
    '<tool_call name="x">', "<tool_call ",
    "```", "```json", "```tool_call\n", "``", "`", "\n", " ", "a", "x y", '"', "\\", "{", "}", "[",
    "]", ",", '{"name": "look", "arguments": {"at": "Paris"}}', '{"name": "ping"}',
]  # fmt: skip


@pytest.mark.parametrize("seed", range(300))
def test_where_the_text_is_cut_makes_no_difference(seed: int) -> None:
    """Any jumble of marks is read the same in one piece and in many."""
    chance = random.Random(seed)
    answer = "".join(chance.choice(PIECES) for _ in range(chance.randint(1, 14)))

    def outcome(size: int) -> tuple[Any, ...]:
        bot = saying(answer, "Well.", size=size)
        events = reply(bot, chat())
        return content(events), calls(events), events[-1], len(bot.asked)

    whole = outcome(1_000_000)
    assert [whole] * 5 == [outcome(size) for size in (1, 2, 3, 5, 7)], answer


@pytest.mark.parametrize("answer", SEVERAL)
def test_several_calls_are_read(answer: str) -> None:
    """Each is one part with an index and an id of its own; text between them is not content."""
    for size in range(1, len(answer) + 1):
        events = reply(saying(f"So.\n{answer}", size=size), chat())

        look = ("look", {"at": "Paris"})
        assert [look, ("ping", {}), look] == calls(events), size
        assert "So." == content(events)
        assert Done("tool_calls") == events[-1]


@pytest.mark.parametrize(
    "text",
    [
        CODE,
        "</tool_call>",
        block("look", at="Rome"),
        "<tool_call>\n<tool_result>\n```",
        '"}}</tool_call>\\',
        "".join(map(chr, range(32))) + "\u2028\u2029\ufeff\x7f",
        "北京 🏯 é e\u0301",
        "{{[[<<",
        "",
    ],
)
@pytest.mark.parametrize("escaped", [True, False])
def test_arguments_may_hold_anything(text: str, escaped: bool) -> None:
    """Code, quotes, newlines, the tags themselves: what the bot wrote is what the client gets."""
    arguments = {"path": "a.py", "text": text}
    body = json.dumps({"name": "write", "arguments": arguments}, ensure_ascii=escaped)
    answer = f"Writing.\n<tool_call>\n{body}\n</tool_call>"

    for size in range(1, len(answer) + 1):
        events = reply(saying(answer, size=size), chat())

        assert [("write", arguments)] == calls(events), size
        assert "Writing." == content(events)


def test_newlines_in_a_string_are_put_up_with() -> None:
    """A bot that forgets to escape them means them."""
    answer = '<tool_call>\n{"name": "write", "arguments": {"text": "a\n\tit\\\'s"}}\n</tool_call>'

    events = reply(saying(answer), chat())

    assert [("write", {"text": "a\n\tit's"})] == calls(events)


def test_half_a_surrogate_pair_can_be_sent() -> None:
    """Arguments are always a text that UTF-8 can carry."""
    events = reply(saying(block("write", text="\\").replace("\\\\", "\\ud83d")), chat())

    (part,) = [event for event in events if isinstance(event, ToolCallPart)]
    part.arguments.encode()
    assert '{"text": "\\ud83d"}' == part.arguments


# ---- texts that are cut off


@pytest.mark.parametrize("reason", ["length", "content_filter"])
@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    ("answer", "text", "number", "end"),
    [
        ("Hello <", "Hello <", 0, None),
        ("Hello there\n\n<", "Hello there", 0, None),
        ("Hello there\n\n<t", "Hello there", 0, None),
        ("Hello there <tool", "Hello there", 0, None),
        ("Hello there\n```\n<tool_calls", "Hello there", 0, None),
        ("Hello there <tool_call>", "Hello there", 0, None),
        ('Hello there\n<tool_call name="', "Hello there", 0, None),
        ("```\nHello\n```\n<tool", "```\nHello\n```", 0, None),
        ("Hello there `<tool", "Hello there `<tool", 0, None),
        ("Hello there\n\n", "Hello there\n\n", 0, None),
        (f"So.\n{PARIS[:-20]}", "So.", 0, None),
        ("So.\n<tool_call>\n", "So.", 0, None),
        (PARIS, "", 1, "tool_calls"),
        (f"{PARIS}\n{PARIS[:-20]}", "", 1, None),
    ],
)
def test_a_call_that_was_cut_off_is_not_made(
    reason: Any, size: int, answer: str, text: str, number: int, end: str | None
) -> None:
    """What is complete is passed on; cut off in a call, the reply ends with the reason."""
    bot = FakeUpstream([*pieces(answer, size), Done(reason)])

    events = reply(bot, chat(tool_choice=REQUIRED))

    assert text == content(events)
    assert number == len(calls(events))
    assert Done(end or reason) == events[-1]
    assert 1 == len(bot.asked)


@pytest.mark.parametrize("size", [1, 1000])
def test_a_call_that_ends_too_early_is_not_made_up(size: int) -> None:
    """Poe says "stop" of a reply that was cut off as well: what is missing of a call is asked for,
    unless it is the call's own last brace and nothing else."""
    arguments = {"path": "a", "text": {"deep": [1, {"b": 2}, 3]}}
    tools = (tool("write", {"path": {}, "text": {}}),)
    answer = block("write", **arguments).removesuffix("\n</tool_call>")
    beginning = answer.index("{")
    outcomes = {}

    for end in range(beginning + 1, len(answer)):
        bot = saying(answer[:end], "Never mind.", size=size)
        outcomes[end] = calls(reply(bot, chat(tools=tools)))

    assert {len(answer) - 1: [("write", arguments)]} == {
        end: made for end, made in outcomes.items() if made
    }
