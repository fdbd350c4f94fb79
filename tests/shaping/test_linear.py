"""What a parser of a bot's text, or of a client's past calls, costs: in proportion to the text.

Each is given hostile texts of n, 2n and 4n characters, in one piece and letter by letter, and
counts its steps; `tests/steps.py` says what a step is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pytest

from poe_proxy.budget import Budget, Processor
from poe_proxy.chat import (
    ChatRequest,
    Done,
    JsonWanted,
    Message,
    Replaced,
    ReplyEvent,
    Text,
    TextPart,
    Tool,
    ToolCall,
    ToolCallPart,
    ToolChoice,
)
from poe_proxy.errors import AnswerUnusable

from ..fakes import ask
from ..steps import Counted, grows_linearly

COUNTED = Counted(
    *(
        f"poe_proxy.shaping.{name}"
        for name in (
            "prefix", "loose_json", "conversions", "coercion", "json_search", "pipeline", "reask",
            "json_answers", "signature_words", "signatures",
            *(
                f"tool_calls.{name}"
                for name in (
                    "names", "forms", "base", "json_body", "parameters", "reading", "hermes",
                    "invoke", "qwen_coder", "glm", "tokens", "bare", "harmony", "parser",
                )
            ),
            "tool_calls", "tool_prompt", "tools", "truncation", "reasoning", "thought_tags",
            "tokenizer", "whole_text", "answers", "files", "pictures",
        )
    )
)  # fmt: skip
#: More than what is looked at anew with each piece, be it a gap, a heading or the last words.
SIZE = 150
SIZE_OF_LENGTH = 600


def boundless() -> Budget:
    return Budget(float("inf"), processor=Processor(clock=lambda: 0.0))


def source(events: Iterable[ReplyEvent]) -> Iterator[ReplyEvent]:
    yield from events


def replying(events: Iterable[ReplyEvent], *stages: Any) -> None:
    run = COUNTED["pipeline"].run
    for _ in run(source((*events, Done())), *stages, budget=boundless()):
        pass


# ---- the parsers


class _Anything:
    """A schema that everything fits."""

    given: Mapping[str, Any] = {}

    def violation(self, value: str, budget: Budget) -> None:
        return None


def nesting(events: Sequence[ReplyEvent]) -> None:
    value = COUNTED["loose_json"].Nesting()
    for event in events:
        assert isinstance(event, Text | Replaced)
        if value.end(event.text) is not None:
            value = COUNTED["loose_json"].Nesting()


def lenient(events: Sequence[ReplyEvent]) -> None:
    for event in events:
        assert isinstance(event, Text | Replaced)
        for loosely in (False, True):
            with suppress(ValueError):
                COUNTED["loose_json"].read(event.text, loosely=loosely)


def json_answer(events: Sequence[ReplyEvent]) -> None:
    chat = ask(json=JsonWanted(), budget=boundless())
    replies = COUNTED["json_answers"].json_reply(
        lambda _: source((*events, Done())), chat, chat.json
    )
    with suppress(AnswerUnusable):
        list(replies)


def calls(events: Sequence[ReplyEvent]) -> None:
    tools = COUNTED["tools"]
    tool = Tool(name="f")
    rules = tools._Rules((tool,), {"f": _Anything()}, ToolChoice(mode="auto"), False, boundless())
    replying(events, tools._CallJudge(rules, tools._Passed()))


def thoughts(events: Sequence[ReplyEvent]) -> None:
    replying(events, COUNTED["reasoning"].ReasoningParser())


def stop_words(events: Sequence[ReplyEvent]) -> None:
    words = ["a" * 30 + "b", "ab" * 9 + "c", "<<<<x", "\n\n\n.", "```y", "{{{{]"]
    replying(events, COUNTED["truncation"].StopWords(words))


class _Everybody:
    """Whoever has all files, and gives none."""

    def owns(self, url: str) -> bool:
        return True


def pictures(events: Sequence[ReplyEvent]) -> None:
    for embeds in (False, True):
        replying(events, COUNTED["pictures"].Pictures(_Everybody(), embeds=embeds))


def file(events: Sequence[ReplyEvent]) -> None:
    text = "".join(event.text for event in events if isinstance(event, Text | Replaced))
    COUNTED["files"].last_link(text, "image", _Everybody())


def length(events: Sequence[ReplyEvent]) -> None:
    def tokens(text: str) -> int:
        return (len(text) + 6) // 7

    size = sum(len(event.text) for event in events if isinstance(event, Text))
    replying(events, COUNTED["truncation"].Length(size // 14, tokens))


def past_calls(events: Sequence[ReplyEvent]) -> None:
    texts = [event.text for event in events if isinstance(event, Text)]
    made = tuple(ToolCall(f"c{place}", "f", text) for place, text in enumerate(texts))
    messages = [Message(role="assistant", tool_calls=made)]
    for place, text in enumerate(texts):
        result = (TextPart(text),)
        messages += [
            Message(role="tool", content=result, tool_call_id=f"c{place}"),
            Message(role="user", content=result),
        ]
    list(COUNTED["tool_prompt"].as_text(messages, lambda: None))


def signatures(events: Sequence[ReplyEvent]) -> None:
    texts = [event.text for event in events if isinstance(event, Text)]
    properties = {
        f"{place}{text}": {"description": text, "default": text, "enum": [text], "format": text}
        for place, text in enumerate(texts)
    }
    schema = {"properties": properties, "description": texts[0], "required": texts}
    tool = Tool(name=texts[0], description=texts[0], schema=schema)
    COUNTED["signatures"].signature(tool, lambda: None)


def counting(events: Sequence[ReplyEvent]) -> None:
    texts = [event.text for event in events if isinstance(event, Text)]
    messages = tuple(Message(role="user", content=(TextPart(text),)) for text in texts)
    chat = ChatRequest(model="m", messages=messages, budget=boundless())
    COUNTED["tokenizer"].count_prompt(chat)


# ---- the texts


def times(unit: str, before: str = "", after: str = "") -> Callable[[int], str]:
    """A text of about so many characters: *unit* again and again, between the other two."""
    return lambda n: before + unit * max(1, n // len(unit)) + after


def nested(opening: str, closing: str, before: str = "") -> Callable[[int], str]:
    def text(n: int) -> str:
        depth = n // (len(opening) + len(closing))
        return before + opening * depth + closing * depth

    return text


def repeated(unit: str) -> Callable[[int], str]:
    """A text of one *unit* for thirty characters: where few of them would not show growth."""
    return lambda n: unit * (n // 30)


CALL = '<tool_call>{"name": "f"}</tool_call>'
WRITE = '<tool_call>\n{"name": "f", "arguments": {"a": "'
QUOTED = "Thinking...\n\n"

#: Those that every parser is given, and those that are for some.
TEXTS = {
    "letters": times("a"),
    "words": times("ab "),
    "lines": times("a\n"),
    "spaces": times(" "),
    "empty lines": times("\n"),
    "spaces, then a letter": times(" ", after="x"),
    "backticks": times("`"),
    "fences": times("\n```py\n"),
    "fences in lines": times("``` "),
    "less than": times("<"),
    "less than in lines": times("\n<"),
    "beginnings of a tag": times("\n<t"),
}
TAGS = {
    "quoted tags": times("`<tool_call>"),
    "tags": times("<tool_call>"),
    "tags in words": times("a <tool_call> "),
    "open tags": times("a <tool_call "),
    "a tag and spaces": times(" ", before="a <tool_call>"),
    "results": times("<tool_result>"),
    "ends of results": times("</tool_result>"),
}
JSON = {
    "backslashes": times("\\"),
    "quotation marks": times('"'),
    "a string of quotation marks": times('\\"', before='"'),
    "strings of escapes": times('"\\"'),
    "apostrophes in a string": times("\\'", before='{"a": "', after='"}'),
    "unfinished strings in lists": times('x["'),
    "unfinished keys": times('{"{'),
    "brackets": times("["),
    "braces": times("{"),
    "closing brackets": times("]"),
    "brackets closed": nested("[", "]"),
    "brackets closed among words": nested("[", "]", before="x"),
    "objects": nested('{"a":', "}", before='{"b": 1'),
    "unfinished objects": times('{"a":'),
    "unfinished lists": times("[1,"),
    "empty values": times("{}"),
    "small values": times("x [1] "),
    "broken values": times('{"a": {x'),
    "values in one that breaks": times('{"a": 1},', before="x [", after="x"),
    "strings of brackets": times('"[",', before="x [", after="x"),
    "strings of brackets, broken": times('"[" x', before="x ["),
    "keys of brackets": times('{"[[[["'),
    "commas": times(","),
    "commas too many": times(",]", before="["),
    "commas and spaces": times(",  ", before="[1"),
    "numbers": times("1", before="["),
    "single quotation marks": times("'"),
    "strings in single quotation marks": times("'a',", before="["),
    "quotation marks in single ones": times('"', before="['", after="']"),
    "unfinished single quotation marks": times("'a", before="["),
    "words": times("a b:", before="{"),
    "a long word": times("a", before="{"),
    "keys without quotation marks": times("a:1,", before="{"),
    "words and spaces": times(" ", before="{a", after="1"),
    "constants": times("True,", before="["),
    "slashes": times("/"),
    "comments": times("/**/", before="["),
    "unfinished comments": times("/*", before="["),
}
CALLS = {
    "text in a call": times("a", before=WRITE, after='"}}'),
    "lines in a call": times("\\n", before=WRITE, after='"}}'),
    "quotation marks in a call": times('\\"', before=WRITE),
    "apostrophes in a call": times("\\'", before=WRITE, after='"}}'),
    "brackets in a call": times("[", before=CALL[:21]),
    "calls": times(CALL),
    "calls in one tag": times('{"name": "f"},', before="<tool_call>"),
    "calls in fences": times(f"```\n{CALL}\n```\n"),
    "a gap after a call": times(" ", before=CALL, after="x"),
    "commas after a call": times(",", before=CALL),
    "text after a call": times("a <t", before=CALL),
}
HOUSES = {
    "invocations": repeated('<invoke name="f"></invoke>'),
    "beginnings of an invocation": times("\n<invoke name="),
    "a value": times("a", before='<invoke name="f"><parameter name="a">'),
    "less than in a value": times("<", before='<invoke name="f"><parameter name="a">'),
    "ends in a value": times("</parameter>", before='<invoke name="f"><parameter name="a">'),
    "half ends in a value": times("</param", before='<invoke name="f"><parameter name="a">'),
    "values": times('<parameter name="a">b</parameter>', before='<invoke name="f">'),
    "openings in a value": times('<parameter name="a">', before='<invoke name="f">'),
    "spaces behind a value": times(
        " ", before='<invoke name="f"><parameter name="a">b</parameter>'
    ),
    "functions": repeated("<function=f>{}</function>"),
    "functions with parameters": repeated(
        "<function=f>\n<parameter=a>\nb\n</parameter></function>"
    ),
    "keys and values": times("<arg_key>a</arg_key><arg_value>b</arg_value>", before="<tool_call>f"),
    "names in tags": times("\n<tool_call>f\n"),
    "bars": times("<|"),
    "tokens of one house": repeated("<|tool_call_begin|>f:0<|tool_call_argument_begin|>{}"),
    "tokens of another house": repeated("<｜tool▁call▁begin｜>f<｜tool▁sep｜>{}"),
    "tokens in brackets": repeated("[TOOL_CALLS]f[ARGS]{}"),
    "beginnings of brackets": times("\n[T"),
    "thoughts in channels": repeated("<|channel|>analysis<|message|>a<|end|>"),
    "a thought in a channel": times("a<|e", before="<|channel|>analysis<|message|>"),
    "messages in channels": repeated("<|channel|>final<|message|>a<|end|>"),
    "objects alone": repeated('{"name": "f", "arguments": {}}\n'),
    "objects that are no calls": times('{"arguments": {}}\n'),
    "an object and spaces": times(" ", before='{"arguments": {}}', after="x"),
    "lists alone": repeated('[{"name": "f", "arguments": {}}]\n'),
    "a list": times('{"name": "f", "arguments": {}},', before="[", after="{}]"),
    "objects in fences": repeated('```json\n{"tool": "f"}\n```\n'),
    "objects in tags": times("<tool_use>{}</tool_use>"),
    "inline code": times("`<invoke "),
    "observations": times("\nObserv", before=CALL),
}
THOUGHTS = {
    "headings": times("Thinking...\n"),
    "half headings": times("Thinking... ("),
    "a heading and spaces": times(" ", before="Thinking..."),
    "a heading and empty lines": times("\n", before="Thinking...\n"),
    "thoughts": times("> a\n", before=QUOTED),
    "tags": times("<think>a</think>"),
    "open tags": times("<think>"),
    "closed tags": times("</think>", before="<think></think>"),
    "half tags": times("</thin", before="<think>"),
    "spaces between tags": times(" ", before="<think>a", after="</think>"),
    "words between tags": times("a  ", before="<think>"),
    "empty thoughts": times(">\n", before=QUOTED),
    "one long thought": times("a", before=f"{QUOTED}> "),
    "marks": times(">", before=QUOTED),
    "spaces below thoughts": times(" ", before=f"{QUOTED}> a\n"),
    "empty lines below thoughts": times("\r\n", before=f"{QUOTED}> a\n"),
}

LINKS = {
    "links": repeated("https://x.test/image/a "),
    "links in images": repeated("![a](https://x.test/image/a) "),
    "links of others": repeated("https://x.test/audio/a "),
    "a long link": times("a", before="https://"),
    "beginnings of links": times("http"),
    "links without an end": times("https://"),
    "signs behind a link": times(".", before="https://x.test/image/a"),
    "images": times("!["),
}

READERS: dict[Callable[[Sequence[ReplyEvent]], None], dict[str, Callable[[int], str]]] = {
    nesting: TEXTS | JSON,
    lenient: TEXTS | JSON,
    json_answer: TEXTS | JSON,
    calls: TEXTS | TAGS | JSON | CALLS | HOUSES,
    thoughts: TEXTS | THOUGHTS,
    stop_words: TEXTS,
    length: TEXTS,
    pictures: TEXTS | LINKS,
    file: TEXTS | LINKS,
    past_calls: TEXTS | TAGS | JSON,
    signatures: TEXTS | TAGS,
    counting: TEXTS,
}


def whole(text: str) -> list[ReplyEvent]:
    return [Text(text)]


def letters(text: str) -> list[ReplyEvent]:
    return [Text(letter) for letter in text]


CASES = [
    pytest.param(read, text, pieces, id=f"{read.__name__}, {name}-{pieces.__name__}")
    for read, texts in READERS.items()
    for name, text in texts.items()
    for pieces in (whole, letters)
    # A schema does not come in pieces: its many parts are the same whatever letters they have.
    if (read, pieces) != (signatures, letters) or name == "letters"
]


@pytest.mark.parametrize(("read", "text", "pieces"), CASES)
def test_a_text_costs_what_it_is_long(
    read: Callable[[Sequence[ReplyEvent]], None],
    text: Callable[[int], str],
    pieces: Callable[[str], list[ReplyEvent]],
) -> None:
    """Four times the text is about four times the steps, wherever it is cut."""
    size = SIZE_OF_LENGTH if read is length else SIZE

    assert grows_linearly(lambda n: COUNTED.of(lambda: read(pieces(text(n)))), size) is None


@pytest.mark.parametrize("name", ["words", "headings", "thoughts", "calls"])
@pytest.mark.parametrize("read", [calls, thoughts, stop_words, json_answer])
def test_a_text_that_is_replaced_by_a_longer_one_costs_what_all_are_long(
    read: Callable[[Sequence[ReplyEvent]], None], name: str
) -> None:
    """Sixteen times for four times as many, for each is longer than the one before."""

    text = (TEXTS | CALLS | THOUGHTS)[name]

    def steps(number: int) -> int:
        events = [Replaced(text(size)) for size in range(10, 10 * number, 10)]
        return COUNTED.of(lambda: read(events)) // number

    assert grows_linearly(steps, 10) is None


@pytest.mark.parametrize("read", [calls, thoughts, stop_words, json_answer])
def test_texts_that_replace_a_long_one_cost_no_more_than_they_are_long(
    read: Callable[[Sequence[ReplyEvent]], None],
) -> None:
    """What was there before is not gone through each time."""

    def steps(number: int) -> int:
        long = Text(f"Thinking...\n> {'a' * 10 * number}\n\n" + CALL * number)
        return COUNTED.of(lambda: read([long, *[Replaced("Thinking...\n> a")] * number]))

    assert grows_linearly(steps, 20) is None


def test_an_answer_is_put_together_once_however_many_pieces_it_has() -> None:
    """Its text, and its calls."""

    def steps(number: int) -> int:
        said = [Text("a"), ToolCallPart(0, arguments="a"), ToolCallPart(1, arguments="b")] * number
        told = COUNTED["answers"].telling
        return COUNTED.of(lambda: list(told(source([*said, Done()]), lambda answer: None)))

    assert grows_linearly(steps, 150) is None


def test_results_are_found_without_going_through_all_calls() -> None:
    """A conversation may have many of both."""

    def steps(number: int) -> int:
        made = tuple(ToolCall(f"c{place}", "f", "{}") for place in range(number))
        messages = [Message(role="assistant", tool_calls=made)]
        for one in made:
            messages += [Message(role="tool", tool_call_id=one.id), Message(role="user")]
        as_text = COUNTED["tool_prompt"].as_text
        return COUNTED.of(lambda: list(as_text(messages, lambda: None)))

    assert grows_linearly(steps, 30) is None


def test_a_schema_is_read_once_however_often_it_refers_to_itself() -> None:
    """A few lines may stand for more parts than there is memory; only so many are read."""

    def steps(depth: int) -> int:
        doubled = {
            f"d{place}": {"properties": {
                side: {"$ref": f"#/$defs/d{place + 1}"} for side in ("left", "right")
            }}
            for place in range(depth)
        }  # fmt: skip
        schema = {"$ref": "#/$defs/d0", "$defs": {**doubled, f"d{depth}": {"type": "string"}}}
        tool = Tool(name="f", schema=schema)
        return COUNTED.of(lambda: COUNTED["signatures"].signature(tool, lambda: None))

    assert grows_linearly(steps, 12) is None
