"""What it costs to read a request and to write down a reply: in proportion to what is said."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable
from typing import Any

import orjson
import pytest

from poe_proxy.apis.reading import Reading
from poe_proxy.apis.responses.namespaces import Names
from poe_proxy.apis.responses.signatures import sealed
from poe_proxy.budget import Budget
from poe_proxy.chat import (
    Done,
    Message,
    Reasoning,
    Refusal,
    Replaced,
    Said,
    Text,
    Tool,
    ToolCall,
    ToolCallPart,
)

from ..fakes import ask
from ..steps import Counted, grows_linearly

READING = Counted(
    "poe_proxy.apis.addresses",
    "poe_proxy.apis.conversation",
    "poe_proxy.apis.custom_input",
    "poe_proxy.apis.blocks",
    "poe_proxy.apis.contents",
    "poe_proxy.apis.tools",
    "poe_proxy.apis.chat_message",
    "poe_proxy.apis.items",
    "poe_proxy.apis.chat_completions.messages",
    "poe_proxy.apis.responses.namespaces",
    "poe_proxy.apis.responses.signatures",
    "poe_proxy.apis.responses.tools",
    "poe_proxy.apis.messages.tooling",
    "poe_proxy.apis.messages.parsing",
)
COUNTED = Counted(
    "poe_proxy.shaping.prefix",
    "poe_proxy.shaping.tokenizer",
    "poe_proxy.apis.transcript",
    "poe_proxy.apis.custom_input",
    "poe_proxy.apis.responses.events",
    "poe_proxy.apis.responses.forms",
    "poe_proxy.apis.responses.output",
    "poe_proxy.apis.messages.blocks",
    "poe_proxy.apis.messages.rendering",
)

REPLIES: dict[str, Callable[[int], Iterable[Said]]] = {
    "text": lambda n: [Text("a")] * n,
    "reasoning": lambda n: [Reasoning("a")] * n,
    "arguments": lambda n: [ToolCallPart(0, "c", "f"), *[ToolCallPart(0, arguments="a")] * n],
    "names": lambda n: [ToolCallPart(0, "c", "f")] * n,
    "calls": lambda n: [ToolCallPart(place, "c", "f") for place in range(n)],
    "a long text, rewritten": lambda n: [Text("a" * n), Replaced("a" * n + "b")],
    "marks, rewritten": lambda n: [Text("." * n), Replaced("." * (n // 2))],
    "a long text, and then short ones": lambda n: [Text("a" * n), *[Replaced("b")] * n],
}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_a_reply_costs_what_it_is_long(reply: Callable[[int], Iterable[Said]]) -> None:
    """In whatever events it comes, with its usage at the end."""

    def write(events: Iterable[Said]) -> None:
        transcript = COUNTED["transcript"].Transcript()
        for event in events:
            transcript.add(event)
        assert transcript.usage(ask()).completion_tokens

    assert grows_linearly(lambda n: COUNTED.of(lambda: write(reply(n))), 100) is None


def test_texts_that_are_rewritten_cost_what_all_of_them_are_long() -> None:
    """A bot that draws a cursor rewrites its answer with each word."""

    def write(number: int) -> None:
        transcript = COUNTED["transcript"].Transcript()
        for length in range(number):
            transcript.add(Replaced("a" * length + "▌"))

    assert grows_linearly(lambda n: COUNTED.of(lambda: write(n)) // n, 40) is None


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_an_answer_of_anthropic_s_api_costs_what_it_is_long(
    reply: Callable[[int], Iterable[Said]],
) -> None:
    """As a stream, in which later calls are held back."""

    def write(events: Iterable[Said]) -> None:
        answer = COUNTED["messages.rendering"].Answer(ask(), streams=True)
        assert b"".join(answer.frame(event) for event in (*events, Done()))

    assert grows_linearly(lambda n: COUNTED.of(lambda: write(reply(n))), 100) is None


def _calls(number: int, id: str | None, name: str) -> dict[str, Any]:
    calls = [
        {"id": id and f"{id}{place}", "function": {"name": f"{name}{place % 7}", "arguments": "{}"}}
        for place in range(number)
    ]
    return {"role": "assistant", "tool_calls": calls}


def _results(number: int, **fields: Any) -> list[dict[str, Any]]:
    return [{"role": "tool", "content": "x", **fields}] * number


USER = {"role": "user", "content": "x"}
TALKS: dict[str, Callable[[int], list[dict[str, Any]]]] = {
    "messages": lambda n: [USER] * n,
    "results by order": lambda n: [_calls(n, None, "f"), *_results(n)],
    "results by name": lambda n: [_calls(n, "c", "f"), *_results(n // 7, name="f6")],
    "results of other names": lambda n: [_calls(n, "c", "f"), *_results(n, name="g")],
    "results with ids that are new": lambda n: [
        _calls(n, None, "f"),
        *({"role": "tool", "tool_call_id": f"x{place}", "content": "x"} for place in range(n)),
    ],
    "ids that are taken": lambda n: [_calls(n, "call_", "f"), _calls(n, None, "f")],
    "one turn after the other": lambda n: [_calls(1, None, "f"), *_results(1)] * n,
    "results that show": lambda n: [
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "t",
                    "content": [{"type": "image", "source": {"type": "url", "url": "https://x"}}],
                }
            ]
            * n,
        }
    ],
    "calls as blocks": lambda n: [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f"}] * n}
    ],
    "an argument": lambda n: [
        {"role": "assistant", "tool_calls": [{"custom": {"name": "f", "input": "\n" * n},
                                              "type": "custom"}]}
    ],
}  # fmt: skip


@pytest.mark.parametrize("talk", TALKS.values(), ids=TALKS)
def test_messages_cost_what_they_are_long(talk: Callable[[int], list[dict[str, Any]]]) -> None:
    """However calls and results have to find each other."""

    def read(given: list[dict[str, Any]]) -> None:
        assert READING["chat_completions.messages"].messages(
            {"messages": given}, Reading(Budget(600))
        )

    assert grows_linearly(lambda n: READING.of(lambda: read(talk(n))), 70) is None


def test_items_cost_what_they_are_long() -> None:
    """Each call joins the message before it."""
    call = {"type": "function_call", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "output": "x"}

    def read(number: int) -> None:
        items = [*[call] * number, *[output] * number, *[call, output] * number]
        assert READING["items"].asked({"input": items}, Reading(Budget(600))).messages

    assert grows_linearly(lambda n: READING.of(lambda: read(n)), 50) is None


SEALED: dict[str, Callable[[int], Iterable[str]]] = {
    "one of each call": lambda n: (sealed(f"c{place}", {"s": "x"}) for place in range(n)),
    "all of one call": lambda n: [sealed("c0", {"s": "x"})] * n,
    "of no call": lambda n: [sealed("x", {"s": "x"})] * n,
    "a long one": lambda n: [sealed("c0", {"s": "x" * n})],
    "all of all calls": lambda n: [
        sealed_together(f"c{place}" for place in range(n)) for _ in range(7)
    ],
    "none of ours": lambda n: ["poe-proxy:" + "x" * n],
}


def sealed_together(ids: Iterable[str]) -> str:
    given = orjson.dumps({id: {"s": "x"} for id in ids})
    return "poe-proxy:" + b64encode(given).decode()


@pytest.mark.parametrize("contents", SEALED.values(), ids=SEALED)
def test_signatures_cost_what_they_are_long(contents: Callable[[int], Iterable[str]]) -> None:
    """Whatever calls they belong to."""

    def read(number: int) -> None:
        calls = tuple(ToolCall(f"c{place}", "f", "{}") for place in range(number))
        items = [{"type": "reasoning", "encrypted_content": one} for one in contents(number)]
        said = [Message(role="assistant", tool_calls=calls)]
        assert READING["responses.signatures"].restored(said, items, Budget(600))

    assert grows_linearly(lambda n: READING.of(lambda: read(n)), 60) is None


def _tools(number: int, name: str = "f") -> list[dict[str, Any]]:
    return [{"type": "function", "name": f"{name}{place}"} for place in range(number)]


OFFERED: dict[str, Callable[[int], list[dict[str, Any]]]] = {
    "plain": _tools,
    "in one namespace": lambda n: [{"type": "namespace", "name": "a", "tools": _tools(n)}],
    "in a namespace each": lambda n: [
        {"type": "namespace", "name": f"a{place}", "tools": _tools(1)} for place in range(n)
    ],
    "cut to one name": lambda n: [{"type": "namespace", "name": "a", "tools": _tools(n, "x" * 70)}],
    "left out": lambda n: [{"type": "web_search"}] * n,
    "left out of a namespace": lambda n: [
        {"type": "namespace", "name": "a", "tools": [{"type": "web_search"}] * n}
    ],
    "again and again": lambda n: [{"type": "namespace", "name": "a", "tools": _tools(1)}] * n,
    "with names that are taken": lambda n: [
        *({"type": "function", "name": f"a__{'x' * 61}"[:62] + f"_{place}"} for place in range(n)),
        {"type": "namespace", "name": "a", "tools": _tools(n, "x" * 70)},
    ],
}


@pytest.mark.parametrize("offered", OFFERED.values(), ids=OFFERED)
def test_tools_cost_what_they_are_long(offered: Callable[[int], list[dict[str, Any]]]) -> None:
    """Whatever has to be done so that each has a name of its own."""

    def read(given: list[dict[str, Any]]) -> None:
        known, names = READING["responses.tools"].tools([("tools", given)], Budget(600))
        for tool in known:
            names.given(tool.name)

    assert grows_linearly(lambda n: READING.of(lambda: read(offered(n))), 60) is None


PIECES: dict[str, Callable[[int], Iterable[Any]]] = {
    "text": lambda n: [Text("a")] * n,
    "thoughts and text by turns": lambda n: [Reasoning("a"), Text("b")] * n,
    "text and refusals by turns": lambda n: [Refusal("a"), Text("b")] * n,
    "a call": lambda n: [ToolCallPart(0, "c", "f", "{"), *[ToolCallPart(0, arguments=" ")] * n],
    "calls": lambda n: [ToolCallPart(place, "c", "f", "{}") for place in range(n)],
    "calls that are never whole": lambda n: [
        ToolCallPart(place, "c", "f", "{") for place in range(n)
    ],
    "calls by turns": lambda n: [
        *(ToolCallPart(place, "c", "f", "{") for place in range(n)),
        *(ToolCallPart(place, arguments="}") for place in range(n)),
    ],
    "text while a call goes on": lambda n: [
        ToolCallPart(0, "c", "f", "{"), *[Text("a"), ToolCallPart(0, arguments=" ")] * n
    ],
    "nothing behind a long call": lambda n: [
        ToolCallPart(0, "c", "f", '{"a": "' + "x" * n + '"}'), *[Text("")] * n
    ],
    "a custom call": lambda n: [
        ToolCallPart(0, "c", "g", '{"input": "'), *[ToolCallPart(0, arguments="a")] * n, Text("b")
    ],
}  # fmt: skip


@pytest.mark.parametrize("pieces", PIECES.values(), ids=PIECES)
def test_items_of_an_answer_cost_what_they_are_long(pieces: Callable[[int], Iterable[Any]]) -> None:
    """Whatever has to wait for what."""

    def write(given: Iterable[Any]) -> None:
        calls = COUNTED["forms"].CallForms(ask(tools=(Tool(name="g", is_custom=True),)), Names(()))
        output = COUNTED["output"].Output(COUNTED["events"].Events(), calls)
        for piece in given:
            for frame in output.add(piece):
                assert frame
        assert list(output.end())

    assert grows_linearly(lambda n: COUNTED.of(lambda: write(pieces(n))), 60) is None


BLOCK = {"type": "text", "text": "x"}
REQUESTS: dict[str, Callable[[int], dict[str, Any]]] = {
    "blocks of the instructions": lambda n: {"system": [BLOCK] * n},
    "messages": lambda n: {"messages": [USER, {"role": "system", "content": [BLOCK]}] * n},
    "tools": lambda n: {"tools": [{"name": f"f{place}", "input_schema": {}} for place in range(n)]},
    "tools that are left out": lambda n: {
        "tools": [{"type": "web_search_1", "name": f"f{place}"} for place in range(n)],
        "tool_choice": {"type": "tool", "name": f"f{n - 1}"},
    },
    "a long schema": lambda n: {
        "tools": [{"name": "f", "input_schema": {f"p{place}": {} for place in range(n)}}]
    },
}


@pytest.mark.parametrize("fields", REQUESTS.values(), ids=REQUESTS)
def test_a_request_of_anthropic_s_api_costs_what_it_is_long(
    fields: Callable[[int], dict[str, Any]],
) -> None:
    """Its instructions, its messages and its tools."""

    def read(body: bytes) -> None:
        assert READING["messages.parsing"].counted_request(body, Budget(600))

    def cost(number: int) -> int:
        body = orjson.dumps({"model": "m", "messages": [USER], **fields(number)})
        return READING.of(lambda: read(body))

    assert grows_linearly(cost, 70) is None


DATA: dict[str, Callable[[int], str]] = {
    "plain": lambda n: "AAAA" * n,
    "safe for URLs": lambda n: "-_-_" * n,
    "lines": lambda n: "A\n" * n,
    "escapes": lambda n: "%2B" * n,
    "padding": lambda n: "=" * n,
    "signs": lambda n: "%" * n,
}


@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_a_data_uri_costs_what_it_is_long(data: Callable[[int], str]) -> None:
    """Whatever has to be done to it."""

    def read(uri: str) -> None:
        assert READING["addresses"].address(uri, "x", Budget(600))

    uri = "data:image/png;base64,"
    assert grows_linearly(lambda n: READING.of(lambda: read(uri + data(n))), 100) is None


INPUTS: dict[str, Callable[[int], Iterable[str]]] = {
    "letters": lambda n: ['{"input": "', *["a"] * n],
    "at once": lambda n: ['{"input": "' + "a" * n + '"}'],
    "escapes": lambda n: ['{"input": "' + "\\n" * n],
    "escapes, cut": lambda n: ['{"input": "', *["\\", "n"] * n],
    "slips": lambda n: ['{"input": "' + "\\x" * n],
    "halves": lambda n: ['{"input": "', *["\\ud83d"] * n],
    "halves, at once": lambda n: ['{"input": "' + "\\ud83d" * n],
    "half an escape": lambda n: ['{"input": "' + "\\u12" * n],
    "no input": lambda n: ["x"] * n,
    "spaces": lambda n: [" "] * n,
    "nothing": lambda n: ['{"input": "', *[""] * n],
}


@pytest.mark.parametrize("pieces", INPUTS.values(), ids=INPUTS)
def test_an_input_costs_what_it_is_long(pieces: Callable[[int], Iterable[str]]) -> None:
    """In whatever pieces its arguments come."""

    def read(given: Iterable[str]) -> None:
        reader = READING["custom_input"].InputReader()
        for piece in given:
            reader.feed(piece)
        reader.finish()

    assert grows_linearly(lambda n: READING.of(lambda: read(pieces(n))), 300) is None
