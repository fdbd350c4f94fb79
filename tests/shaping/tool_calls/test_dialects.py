"""Calls in the form of every house: read wherever they are cut, and told from their mention."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from poe_proxy.shaping.tool_calls import CallParser, RawCall, name_and_arguments

from .examples import ANTML, DIALECTS, TYPED, UNTYPED, dumps, invoke, plain

NAMES = ("get_weather", "write", "ping")
PARIS = {"city": "Paris"}
WEATHER = ("get_weather", PARIS)
#: The page that says which forms are read.
PAGE = Path(__file__).parents[3] / "docs" / "tools.md"


def found(
    text: str, size: int = 1_000_000, *, names: Iterable[str] = NAMES, whole: bool = True
) -> tuple[str, list[RawCall]]:
    """The content and the calls in a text that comes in pieces of *size*."""
    parser = CallParser(tuple(names))
    things: list[str | RawCall] = []
    for at in range(0, len(text), size):
        things += parser.feed(text[at : at + size])
    things += parser.finish(whole)
    content = "".join(thing for thing in things if isinstance(thing, str))
    return content, [thing for thing in things if isinstance(thing, RawCall)]


def calls(raw: Iterable[RawCall]) -> list[tuple[str, dict[str, Any]]]:
    return [name_and_arguments(one, NAMES) for one in raw]


def sizes(text: str) -> Iterable[int]:
    return (*range(1, 20), len(text) // 3 + 1, len(text))


each = pytest.mark.parametrize("dialect", DIALECTS)


@each
def test_a_call_is_read(dialect: str) -> None:
    """In the form of each house, wherever it is cut; no mark of it is content."""
    text = DIALECTS[dialect]("get_weather", PARIS)

    for size in range(1, len(text) + 1):
        content, raw = found(text, size)

        assert [WEATHER] == calls(raw), size
        assert "" == content
        assert text.startswith(raw[0].source)


@each
def test_two_calls_are_read(dialect: str) -> None:
    """One behind the other, and a call without arguments too."""
    write = DIALECTS[dialect]
    text = f"{write('get_weather', PARIS)}\n{write('ping', {})}\n{write('get_weather', PARIS)}"

    for size in sizes(text):
        assert [WEATHER, ("ping", {}), WEATHER] == calls(found(text, size)[1]), size


@each
@pytest.mark.parametrize("before", ["Let me look.\n\n", "Look:\n", '`a` ```b``` "c"\n', "1 < 2\n"])
def test_text_before_a_call_is_content(dialect: str, before: str) -> None:
    """It stays as it is, but for the white space between the two."""
    text = before + DIALECTS[dialect]("get_weather", PARIS)

    for size in sizes(text):
        content, raw = found(text, size)

        assert before.rstrip() == content, size
        assert [WEATHER] == calls(raw)


VALUES = [
    'def f(s):\n\treturn "\\n".join([s, \'"\', "\\\\"])  # {"a": [1}\n',
    "<div class=\"a\">\n  <b>&lt;&amp;</b>\n</div>",
    "if (a < b && c > d) { x[0] = `y`; }",
    "```py\nx\n```",
    "it's",
    "北京 🏯 \u2028",
    "a </parameter> b </arg_value> c </function>",
    invoke("ping", {"a": "b"}) + "\nand more",
    "</param", "<", "\n\n\n", " ", "",
]  # fmt: skip


@each
@pytest.mark.parametrize("value", VALUES)
def test_a_value_may_hold_anything(dialect: str, value: str) -> None:
    """Code, quotation marks, newlines and tags are what the bot wrote, letter by letter."""
    given = {"path": "a.py", "text": value, "more": "x"}
    text = DIALECTS[dialect]("write", given)
    if value == "\n\n\n" and dialect in UNTYPED and "qwen" not in dialect:
        given["text"] = "\n"  # a newline on either side is taken for layout

    for size in sizes(text):
        assert [("write", given)] == calls(found(text, size)[1]), size


@pytest.mark.parametrize("dialect", UNTYPED)
def test_values_between_tags_are_texts(dialect: str) -> None:
    """What type they have only the tool's schema knows, and the call says so."""
    given = {"days": 3, "list": [1, {"a": None}], "on": True}
    (raw,) = found(UNTYPED[dialect]("get_weather", given))[1]

    assert raw.is_untyped
    assert [("get_weather", {key: plain(value) for key, value in given.items()})] == calls([raw])


@pytest.mark.parametrize("dialect", TYPED)
def test_values_in_json_have_their_types(dialect: str) -> None:
    """And so have those of which the form says that they are JSON."""
    given = {"days": 3, "list": [1, {"a": None}], "on": True, "city": "5"}
    (raw,) = found(TYPED[dialect]("get_weather", given))[1]

    assert not raw.is_untyped
    assert [("get_weather", given)] == calls([raw])


@each
def test_a_call_that_is_cut_off_is_not_made(dialect: str) -> None:
    """Neither in a truncated reply nor in a whole one: in the latter it can be asked for, unless
    the text ends before it is known for a call."""
    text = "So.\n" + DIALECTS[dialect]("get_weather", {"a": "b", **PARIS})
    cut = text.index("Paris") + 3

    for size in sizes(text[:cut]):
        content, raw = found(text[:cut], size, whole=False)
        assert [] == raw
        assert content == "So." or content == text[:cut]
        content, raw = found(text[:cut], size)
        assert content in ("So.", text[:cut])
        for one in raw:
            assert text[4:cut] == one.source
            with pytest.raises(ValueError, match=r"."):
                name_and_arguments(one, NAMES)


@pytest.mark.parametrize("dialect", UNTYPED)
def test_the_last_tags_may_be_missing(dialect: str) -> None:
    """At the end of a whole answer, when every parameter is complete."""
    text = UNTYPED[dialect]("get_weather", PARIS)
    closing = [one.end() for one in re.finditer(r"</[^<>]*(?:parameter|arg_value)>", text)][-1]

    for size in sizes(text):
        assert [WEATHER] == calls(found(text[:closing], size)[1])
        assert [] == found(text[:closing], size, whole=False)[1]


def test_the_closing_tag_of_the_last_parameter_may_be_missing() -> None:
    """Where the call ends all the same, and with it the answer."""
    text = invoke("get_weather", PARIS).replace("</parameter>", "")

    assert [WEATHER] == calls(found(text)[1])
    for open_text in (f"{text}\n{invoke('ping', {})}", f"{text} and more"):
        with pytest.raises(ValueError, match=r"."):
            calls(found(open_text)[1])


RESULTS = [
    "<tool_result>\nsun\n</tool_result>", "<function_results>sun</function_results>",
    "<tool_response>sun</tool_response>", "Observation: sun",
]  # fmt: skip


@each
@pytest.mark.parametrize("result", RESULTS)
def test_nothing_counts_behind_an_invented_result(dialect: str, result: str) -> None:
    """A bot that goes on to play the tool, and then calls another one, made one call."""
    write = DIALECTS[dialect]
    text = f"{write('get_weather', PARIS)}\n\n{result}\n\n{write('ping', {})}"

    for size in sizes(text):
        assert [WEATHER] == calls(found(text, size)[1]), size


# ---- what is no call

CALL = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
INVOKE = invoke("get_weather", PARIS).replace("\n", "")
MENTIONS = [
    'Claude writes <function_calls> and <invoke name="get_weather"> around it.',
    "<function_calls> is the tag that Claude uses.",
    f"The tag {INVOKE} calls it.",
    f"Use `{INVOKE}` there, or ` {INVOKE}`.",
    f"```python\nx = 1\n{INVOKE}\n{CALL}\n```",
    f"```xml\n{INVOKE.replace('get_weather', 'get_stock')}\n```",
    'It is <invoke name="see">text</invoke> then.',
    '<invoke name="get_weather">text</invoke>',
    "Qwen: <function=get_weather> is a tag.",
    "<function=get_weather> is Llama's, too.",
    "Use ` <function=get_weather>{}</function>` there.",
    "GLM has the tag <tool_call>get_weather <arg_key>city</arg_key> for it.",
    "Kimi: the token <|tool_call_begin|>functions.ping:0<|tool_call_argument_begin|>{} is one",
    "DeepSeek has <｜tool▁calls▁begin｜> and <｜tool▁sep｜>.",
    "<|python_tag|> marks code.",
    f"In Mistral [TOOL_CALLS] [{CALL}] is what you see.",
    "[TOOL_CALLS] is what Mistral writes.",
    "[TOOL_CALLS]",
    "gpt-oss has <|channel|>analysis<|message|> for thoughts, and <|end|>.",
    f"Send {CALL} to it.",
    f"{CALL} is what you send.",
    f"- {CALL}",
    '```json\n{"name": "Anna", "arguments": {}}\n```',
    '{"name": "Anna", "arguments": {}}',
    '{"name": "get_weather", "description": "Looks", "parameters": {"type": "object"}}',
    '{"name": "get_weather"}',
    '{"name": "get_',
    '{"arguments": {"a": [1',
    '{\n  "a": {"b": 1}\n}\n[1, 2]\n[{"a": 1}]\n- [ ] to do [link](http://a.b/c)',
    '<tool_use>{"name": "Anna"}</tool_use>',
    "<table><tr><td>1</td></tr></table>\n<img src=a>\n<i>x</i> <form>",
    "int f() {\n  return a[0] < b;\n}\n{\n[\n<\n",
    "Observation: it rains.\n",
]


@pytest.mark.parametrize("text", MENTIONS)
def test_the_mention_of_a_form_stays_text(text: str) -> None:
    """In a sentence, in code, in an example, wherever it is cut."""
    for size in range(1, len(text) + 1):
        assert (text, []) == found(text, size), size


@pytest.mark.parametrize("dialect", [one for one in DIALECTS if one != "hermes"])
def test_without_tools_only_the_taught_form_is_read(dialect: str) -> None:
    """There is nothing that a bot could mean to call."""
    text = f"So: {DIALECTS[dialect]('get_weather', PARIS)}"

    for size in sizes(text):
        assert (text, []) == found(text, size, names=()), size


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        (["a\n{", '"b": 1'], ["a", '\n{"b": 1']),
        (['{"name": "g', 'o"'], ["", '{"name": "go"']),
        (["see [", "1]"], ["see [", "1]"]),
        (["a <f", "orm>"], ["a <f", "orm>"]),
        (["\n<f", "orm>"], ["", "\n<form>"]),
        (["a <input", ">"], ["a <input", ">"]),
        (["x {", "y"], ["x {", "y"]),
        (["\n<function_calls> ", "is"], ["", "\n<function_calls> is"]),
        (["if x:\n    y = {", "}"], ["if x:\n    y = {", "}"]),
    ],
)
def test_only_what_may_become_a_call_is_held_back(pieces: list[str], said: list[str]) -> None:
    """And only as long as it may."""
    parser = CallParser(NAMES)

    assert said == ["".join(map(str, parser.feed(piece))) for piece in pieces]


MARKS = [
    "<function_calls>", '<invoke name="get_weather">', '<invoke name="x">', "</invoke>",
    '<parameter name="city">', "</parameter>", "Paris", "<tool_call>", "</tool_call>",
    "<function=get_weather>", "<function=x>", "</function>", "<parameter=city>", "get_weather",
    "<arg_key>", "city", "</arg_key>", "<arg_value>", "</arg_value>", f"<{ANTML}invoke",
    "<|tool_call_begin|>", "functions.ping:0", "<|tool_call_argument_begin|>", "<|python_tag|>",
    "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "[TOOL_CALLS]", "[ARGS]", "<|channel|>", "analysis",
    "final", "commentary to=functions.ping", "<|message|>", "<|end|>", "<|start|>assistant", "{}",
    '{"name": ', '"get_weather"', ', "arguments": {', "}", "}}", "[", "]", "{", ",", '"', "'", "`",
    "```", "```json\n", "\n", " ", ".", "a", "Observation:", CALL, *RESULTS[:2], "<tool_use>",
    '{"ping": {}}', '{"tool": "ping"}', "<",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(500))
def test_where_the_text_is_cut_makes_no_difference(seed: int) -> None:
    """Any jumble of marks and whole calls is read the same in one piece and in many."""
    chance = random.Random(seed)
    things = [*MARKS, *(write("ping", {"a": "b"}) for write in DIALECTS.values())]
    text = "".join(chance.choice(things) for _ in range(chance.randint(1, 12)))

    for whole in (True, False):
        expected = found(text, whole=whole)
        assert [expected] * 6 == [found(text, size, whole=whole) for size in (1, 2, 3, 5, 7, 11)], (
            text
        )


# ---- channels


def test_of_channels_only_what_is_said_is_content() -> None:
    """Thoughts and marks are not."""
    text = (
        "<|channel|>analysis<|message|>The <user> greets.<|end|><|start|>assistant<|channel|>final"
        "<|message|>Hello <b>you</b>!<|return|>"
    )

    for size in range(1, len(text) + 1):
        assert ("Hello <b>you</b>!", []) == found(text, size), size


def test_a_call_in_a_channel_may_follow_words_and_thoughts() -> None:
    text = (
        "<|channel|>analysis<|message|>Weather!<|end|><|start|>assistant<|channel|>commentary"
        "<|message|>I look.<|end|><|start|>assistant to=functions.get_weather<|channel|>commentary "
        f"<|constrain|>json<|message|>{dumps(PARIS)}<|call|>"
    )

    for size in range(1, len(text) + 1):
        content, raw = found(text, size)
        assert ("I look.", [WEATHER]) == (content, calls(raw)), size


# ---- the page


def test_each_example_of_the_page_is_read() -> None:
    """docs/tools.md shows one of each form."""
    cells = re.findall(r"^\| [^|]+ \| `+ ?(.+?) ?`+ \| `", PAGE.read_text("utf-8"), re.MULTILINE)

    assert len(cells) >= 12
    for cell in cells:
        text = cell.replace("\\|", "|").replace("⏎", "\n")
        assert [WEATHER] == calls(found(text)[1]), cell


def test_each_form_of_the_page_has_its_test() -> None:
    """The tests that it names are here, and every form of the examples is named."""
    named = re.findall(r"test_dialects\.py::(\w+)\[([^\]]+)\]", PAGE.read_text("utf-8"))

    assert {one for _, one in named} == DIALECTS.keys()
    assert all(name in globals() for name, _ in named)
