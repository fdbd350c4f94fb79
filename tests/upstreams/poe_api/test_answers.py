"""Answers of Poe's, streamed and whole."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any

import orjson
import pytest

from poe_proxy.budget import Budget, Processor
from poe_proxy.chat import Done, Reasoning, Refusal, ReplyEvent, Text, ToolCallPart, Usage
from poe_proxy.errors import (
    BotFailed,
    TokenLimited,
    UpstreamInterrupted,
    UpstreamProtocolError,
)
from poe_proxy.upstreams.poe_api import answers
from poe_proxy.upstreams.poe_api.answers import Stream
from poe_proxy.upstreams.poe_api.calls import MAX_CALLS

# ---- streamed answers


def chunk(delta: Mapping[str, Any] | None = None, reason: str | None = None, **more: Any) -> bytes:
    """The data of one event."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": reason}]
    return orjson.dumps({"id": "chatcmpl-1", "choices": choices, **more})


def streamed(*data: bytes) -> list[ReplyEvent]:
    """The events that these data and the end of the stream make."""
    stream = Stream(Budget())
    return [event for one in data for event in stream.feed(one)] + stream.close()


def whole_answer(content: bytes) -> list[ReplyEvent]:
    return answers.whole_answer(content, Budget())


def whole(message: Any, reason: Any = "stop", **more: Any) -> bytes:
    return orjson.dumps(
        {"choices": [{"index": 0, "message": message, "finish_reason": reason}], **more}
    )


def head(index: int | None, id: str | None, name: str | None, arguments: Any = "") -> Any:
    given = {"index": index, "id": id, "type": "function"}
    return {
        **{key: value for key, value in given.items() if value is not None},
        "function": {"name": name, "arguments": arguments},
    }


def more(index: int | None, arguments: str) -> Any:
    return {"function": {"arguments": arguments}} | ({} if index is None else {"index": index})


def called(*deltas: Mapping[str, Any] | list[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """Index, id, name and arguments of the parts that deltas of tool calls make."""
    chunks = [chunk({"tool_calls": d if isinstance(d, list) else [d]}) for d in deltas]
    events = streamed(*chunks, chunk({}, "tool_calls"))
    assert Done("tool_calls") == events.pop()
    return [
        (part.index, part.id, part.name, part.arguments)
        for part in events
        if isinstance(part, ToolCallPart)
    ]


def test_a_stream() -> None:
    """A role and an empty content say nothing; usage comes behind the end."""
    assert [
        Reasoning("Hm"),
        Text("Hel"),
        Text("lo"),
        Usage(3, 2, total_tokens=5),
        Done("stop"),
    ] == streamed(
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "Hm", "reasoning": "Hm", "content": None}),
        chunk({"content": "Hel"}),
        chunk({"content": "lo", "unknown": {"a": 1}}, None, extra=[1]),
        chunk({}, "stop"),
        chunk(usage={"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}),
        b"[DONE]",
    )


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_has_two_names(field: str) -> None:
    """Either will do."""
    assert [Reasoning("Hm"), Done("stop")] == streamed(chunk({field: "Hm"}, "stop"))


def test_reasoning_in_the_text_is_told_apart() -> None:
    """A heading and a quotation are no content, and what was held back comes at the end."""
    pieces = ("Thin", "king...\n\n> a", "\n\nAnswer")

    assert [Reasoning("a"), Text("Answer"), Done("stop")] == streamed(
        *(chunk({"content": piece}) for piece in pieces), chunk({}, "stop")
    )
    assert [Text("Thin"), Done("stop")] == streamed(chunk({"content": "Thin"}, "stop"))


def test_text_before_a_call_comes_before_it() -> None:
    """Even text that might have become a heading."""
    call = {"index": 0, "id": "1", "function": {"name": "f", "arguments": "{}"}}

    assert [Text("T"), ToolCallPart(0, "1", "f", "{}"), Done("tool_calls")] == streamed(
        chunk({"content": "T"}), chunk({"tool_calls": [call]}, "tool_calls")
    )


@pytest.mark.parametrize(
    ("poes", "ours"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("tool_calls", "stop"),
        ("surprise", "stop"),
        ("end_turn", "stop"),
        ("STOP", "stop"),
        ("max_tokens", "length"),
        ("MAX_TOKENS", "length"),
        ("FINISH_REASON_MAX_TOKENS", "length"),
        ("model_length", "length"),
        ("SAFETY", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("refusal", "content_filter"),
    ],
)
def test_finish_reasons(poes: str, ours: Any) -> None:
    """The makers' own words are translated. Unknown ones are an ordinary end; `tool_calls` without
    a call would lead astray."""
    assert [Done(ours)] == streamed(chunk({}, poes), b"[DONE]")
    assert [Done(ours)] == whole_answer(whole({"content": ""}, poes))


def test_an_empty_reason_is_no_end() -> None:
    """Some bots have one in each chunk."""
    stream = Stream(Budget())
    stream.feed(chunk({"content": "a"}, ""))

    with pytest.raises(UpstreamInterrupted):
        stream.close()


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"finish_reason": "error"}, "ended with .error."),
        ({"finish_reason": "ERROR", "error": {"message": "It broke."}}, r"^It broke\.$"),
        ({"finish_reason": None, "error": "It broke."}, r"^It broke\.$"),
        ({"finish_reason": "insufficient_system_resource"}, "ended with"),
    ],
)
def test_a_choice_that_failed_is_a_failure(choice: Any, words: str) -> None:
    """With the bot's words, if it has some, streamed and whole."""
    with pytest.raises(BotFailed, match=words):
        streamed(orjson.dumps({"choices": [{"delta": {"content": "a"}, **choice}]}), b"[DONE]")
    with pytest.raises(BotFailed, match=words):
        whole_answer(orjson.dumps({"choices": [{"message": {"content": "a"}, **choice}]}))


def test_a_stream_without_a_choice_is_a_failure() -> None:
    """Its usage alone is no empty answer."""
    with pytest.raises(BotFailed, match="no choice"):
        streamed(chunk(usage={"prompt_tokens": 1, "completion_tokens": 0}), b"[DONE]")


def test_a_message_in_a_stream_is_heard_if_nothing_came_in_deltas() -> None:
    """Some send the whole message in one chunk, others once more at the end."""
    message = {"content": "Yes.", "tool_calls": [head(None, "a", "f", "{}")] * 2}
    at_once = orjson.dumps({"choices": [{"message": message, "finish_reason": "stop"}]})

    events = streamed(at_once, b"[DONE]")

    assert [Text("Yes."), ToolCallPart(0, "a", "f", "{}")] == events[:2]
    assert 2 == sum(isinstance(event, ToolCallPart) for event in events)
    assert [Text("Yes."), Done()] == streamed(chunk({"content": "Yes."}), at_once)


@pytest.mark.parametrize("reason", ["stop", "function_call", None])
def test_an_answer_with_calls_ends_with_calls(reason: str | None) -> None:
    """Whatever the bot calls the end."""
    call = {"index": 0, "id": "1", "function": {"name": "f", "arguments": "{}"}}

    assert Done("tool_calls") == streamed(chunk({"tool_calls": [call]}, reason), b"[DONE]")[-1]


def test_either_end_is_an_end() -> None:
    """A finish reason without [DONE], and [DONE] without a reason."""
    assert [Text("a"), Done("length")] == streamed(chunk({"content": "a"}, "length"))
    assert [Text("a"), Done("stop")] == streamed(chunk({"content": "a"}), b"[DONE]")


def test_a_silent_end_is_a_failure() -> None:
    """Neither a finish reason nor [DONE]: nobody knows what is missing."""
    stream = Stream(Budget())
    stream.feed(chunk({"content": "a"}))

    with pytest.raises(UpstreamInterrupted):
        stream.close()


def test_nothing_comes_after_the_end() -> None:
    """Done is the last event, whatever Poe still has to say."""
    stream = Stream(Budget())

    stream.feed(chunk({}))
    assert [Done("stop")] == stream.feed(b"[DONE]")
    assert stream.is_over
    assert [] == stream.feed(chunk({"content": "more"}))
    assert [] == stream.close()


def test_an_error_within_the_stream_is_raised() -> None:
    """With the class that its words deserve."""
    stream = Stream(Budget())
    assert [Text("a")] == stream.feed(chunk({"content": "a"}))
    with pytest.raises(BotFailed, match=r"^It broke\.$"):
        stream.feed(b'{"error":{"message":"It broke.","type":"provider_error"}}')
    with pytest.raises(TokenLimited, match=r"^Slowly\.$"):
        stream.feed(b'{"error":{"message":"Slowly.","code":429}}')


@pytest.mark.parametrize("data", [b'{"choices": [', b"\xff", b"[1]", b"null", b'"x"', b"{}}"])
def test_a_broken_chunk_is_a_failure(data: bytes) -> None:
    """What it would have said is lost, so the rest is not the answer."""
    with pytest.raises(UpstreamProtocolError):
        Stream(Budget()).feed(data)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"choices": None},
        {"choices": {}},
        {"choices": ["x"]},
        {"choices": [{}]},
        {"choices": [{"delta": None}]},
        {"choices": [{"delta": "x", "finish_reason": 5}]},
        {"choices": [{"delta": {"content": [5], "reasoning": 1, "tool_calls": ["x", None]}}]},
        {"error": None, "usage": []},
    ],
)
def test_what_is_unknown_is_passed_over(fields: Any) -> None:
    """A chunk of another shape is no reason to give up, and never an exception of Python's."""
    assert [] == Stream(Budget()).feed(orjson.dumps(fields))


# ---- usage


@pytest.mark.parametrize(
    ("given", "usage"),
    [
        (
            {"prompt_tokens": 1, "completion_tokens": 0, "total_tokens": 1},
            Usage(1, 0, total_tokens=1),
        ),
        ({"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": None}, Usage(1, 2)),
        ({"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": "3"}, Usage(1, 2)),
        (
            {
                "prompt_tokens": 1,
                "completion_tokens": 26,
                "prompt_tokens_details": {"audio_tokens": None, "cached_tokens": 4},
                "completion_tokens_details": None,
            },
            Usage(1, 26, {"prompt_tokens_details": {"cached_tokens": 4}}),
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 26,
                "total_tokens": 217,
                "prompt_tokens_details": {"audio_tokens": None},
                "completion_tokens_details": {"reasoning_tokens": 181},
            },
            Usage(
                10, 26, {"completion_tokens_details": {"reasoning_tokens": 181}}, total_tokens=217
            ),
        ),
    ],
)
def test_usage_in_each_variant(given: Any, usage: Usage) -> None:
    """The short one, the long one, and the one with nulls; the total is Poe's, not our sum."""
    assert [usage] == Stream(Budget()).feed(chunk(usage=given))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None},
        {"prompt_tokens": 1},
        {"prompt_tokens": "1", "completion_tokens": 2},
        {"prompt_tokens": 1, "completion_tokens": 2.5},
        {"total_tokens": 3},
    ],
)
def test_half_a_count_is_none(given: Any) -> None:
    """Where Poe does not say how much was read and written, we do not say that it was nothing."""
    assert [] == Stream(Budget()).feed(chunk(usage=given))
    assert [Done("stop")] == whole_answer(whole({"content": ""}, usage=given))


# ---- tool calls


TWO_CALLS = [(0, "a", "f", ""), (0, None, None, "{}"), (1, "b", "g", ""), (1, None, None, "[]")]


def test_calls_are_numbered_by_their_index() -> None:
    """As they should be."""
    assert TWO_CALLS == called(head(0, "a", "f"), more(0, "{}"), head(1, "b", "g"), more(1, "[]"))


def test_calls_without_index_are_numbered_by_id_and_place() -> None:
    """The first delta of a call has an id, the others belong to the last call."""
    assert TWO_CALLS == called(
        head(None, "a", "f"), more(None, "{}"), head(None, "b", "g"), more(None, "[]")
    )


def test_calls_without_index_in_one_delta() -> None:
    """Google's way: whole calls, side by side."""
    deltas = [head(None, "a", "f", "{}"), head(None, "b", "g", "[]")]

    assert [(0, "a", "f", "{}"), (1, "b", "g", "[]")] == called(deltas)


def test_calls_that_repeat_their_id_instead_of_an_index() -> None:
    """The id says which one goes on, also crosswise."""
    assert [
        (0, "a", "f", "1"),
        (1, "b", "g", "2"),
        (0, None, None, "3"),
        (1, None, None, "4"),
    ] == called(
        head(None, "a", "f", "1"),
        head(None, "b", "g", "2"),
        head(None, "a", None, "3"),
        head(None, "b", None, "4"),
    )


def test_calls_with_neither_index_nor_id() -> None:
    """A name begins a call, and each gets an id by which its result can come back."""
    parts = called([head(None, None, "f", "1"), head(None, None, "g", "2")], more(None, "3"))

    assert [(0, "f", "1"), (1, "g", "2"), (1, None, "3")] == [
        (index, name, arguments) for index, _, name, arguments in parts
    ]
    ids = [identity for _, identity, *_ in parts]
    assert ids[2] is None
    assert ids[0]
    assert ids[1]
    assert ids[0] != ids[1]


def test_calls_that_are_all_numbered_zero() -> None:
    """Another id with another name is another call."""
    assert [(0, "a", "f", "1"), (1, "b", "g", "2"), (1, None, None, "3")] == called(
        head(0, "a", "f", "1"), head(0, "b", "g", "2"), head(0, "b", None, "3")
    )


@pytest.mark.parametrize("index", [0, None])
def test_calls_that_all_have_one_id(index: int | None) -> None:
    """Another name is another call, and gets an id of its own: clients answer by id."""
    first, second, third = called(
        head(index, "call_0", "f", "1"),
        head(index, "call_0", "g", "2"),
        head(index, "call_0", None, "3"),
    )

    assert (0, "call_0", "f", "1") == first
    assert (1, "g", "2") == (second[0], *second[2:])
    assert second[1] not in (None, "", "call_0")
    assert (1, None, None, "3") == third


@pytest.mark.parametrize("index", [0, None])
def test_a_call_that_repeats_its_head_goes_on(index: int | None) -> None:
    """The same id with the same name is the same call, of which clients hear the name once."""
    assert [(0, "a", "f", "1"), (0, None, None, "2")] == called(
        head(index, "a", "f", "1"), head(index, "a", "f", "2")
    )


@pytest.mark.parametrize("index", [0, None])
def test_a_name_that_comes_late_is_waited_for(index: int | None) -> None:
    """A call begins with its id and its name; what came before the name comes with it."""
    assert [(0, "a", "f", "12"), (0, None, None, "3")] == called(
        head(index, "a", None, "1"), head(index, None, "f", "2"), more(index, "3")
    )


def test_an_id_that_comes_late_is_the_calls() -> None:
    """As long as no other was made up for it."""
    assert [(0, "a", "f", "12")] == called(head(0, None, None, "1"), head(0, "a", "f", "2"))
    first, second = called(head(0, None, "f", "1"), head(0, "a", "f", "2"))
    assert (0, 0, None) == (first[0], second[0], second[1])


def test_a_call_without_a_name_is_told_at_the_end() -> None:
    """Nothing that the bot said is kept from the client."""
    assert [(0, "a", "", "12")] == called(head(0, "a", None, "1"), more(0, "2"))


def test_numbers_begin_at_zero_and_have_no_gaps() -> None:
    """Clients count."""
    assert [(0, "a", "f", ""), (1, "b", "g", "y"), (0, None, None, "x")] == called(
        head(1, "a", "f"), head(7, "b", "g", "y"), more(1, "x")
    )


def test_what_stands_beside_a_call_is_kept() -> None:
    """Gemini wants its signature back."""
    extra = {"extra_content": {"google": {"thought_signature": "abc"}}}
    call = {**head(0, "a", "f", "{}"), **extra, "x": None}

    assert [ToolCallPart(0, "a", "f", "{}", extra), Done("tool_calls")] == streamed(
        chunk({"tool_calls": [call]}, "stop")
    )


@pytest.mark.parametrize(
    ("arguments", "text"), [({"a": 1}, '{"a":1}'), ({}, "{}"), ("{", "{"), ("[1]", "[1]")]
)
def test_arguments_are_a_text(arguments: Any, text: str) -> None:
    """Even where a bot gives an object."""
    assert [(0, "a", "f", text)] == called(head(0, "a", "f", arguments))


@pytest.mark.parametrize("arguments", ["", None, " ", 5])
@pytest.mark.parametrize("index", [0, None])
def test_a_call_without_arguments_has_empty_ones_at_the_end(
    index: int | None, arguments: Any
) -> None:
    """Clients parse them as JSON; in whole answers, too."""
    blank = arguments if arguments == " " else ""
    call = head(index, "a", "now", arguments)

    assert [(0, "a", "now", blank), (0, None, None, "{}")] == called(call)
    events = whole_answer(whole({"tool_calls": [call]}, "tool_calls"))
    assert blank + "{}" == "".join(
        event.arguments for event in events if isinstance(event, ToolCallPart)
    )


def test_arguments_that_come_late_are_the_arguments() -> None:
    """Nothing is put in their place before the end."""
    assert [(0, "a", "f", ""), (1, "b", "g", "{}"), (0, None, None, '{"x":1}')] == called(
        head(0, "a", "f", ""), head(1, "b", "g", "{}"), more(0, '{"x":1}')
    )


@pytest.mark.parametrize("reason", ["length", "SAFETY"])
def test_a_call_that_was_cut_off_is_not_completed(reason: str) -> None:
    """Nobody knows what its arguments would have been."""
    events = streamed(chunk({"tool_calls": [head(0, "a", "f", "")]}, reason), b"[DONE]")

    assert ToolCallPart(0, "a", "f", "") == events[0]
    assert isinstance(events[1], Done)


CITIES = ('{"city":"A"}', '{"city":"B"}')


def heard(*deltas: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and whole arguments of each call; no two have one id."""
    names, arguments, ids = {}, {}, set()
    for index, identity, name, piece in called(*deltas):
        if name is not None:
            names[index] = name
            ids.add(identity)
        arguments[index] = arguments.get(index, "") + piece
    assert len(names) == len(ids)
    return [(names[index], arguments[index]) for index in sorted(names)]


@pytest.mark.parametrize("identity", ["", None, "call_0"])
def test_parallel_calls_with_one_number_stay_apart(identity: str | None) -> None:
    """A name behind complete arguments begins another call, though number and id are the same."""
    both = [("f", one) for one in CITIES]

    assert both == heard(*(head(0, identity, "f", one) for one in CITIES))
    assert both == heard(
        head(0, identity, "f", ""), more(0, CITIES[0][:5]), more(0, CITIES[0][5:]),
        head(0, identity, "f", ""), more(0, CITIES[1]),
    )  # fmt: skip
    assert [("f", "{}"), ("g", "{}")] == heard(
        head(0, identity, "f", ""), head(0, identity, "g", "")
    )


@pytest.mark.parametrize("identity", ["", "call_0"])
def test_a_bot_that_repeats_the_name_in_each_delta_makes_one_call(identity: str) -> None:
    """As long as its arguments are not complete; and nothing comes behind them."""
    text = '{"a": ["}", {"b": "\\\\"}]}'
    pieces = [*text, ""]

    assert [("f", text)] == heard(*(head(0, identity, "f", piece) for piece in pieces))


def test_a_whole_call_that_comes_twice_is_one() -> None:
    """By its id; without one there may be two of a kind."""
    assert [("f", "{}")] == heard(*[head(0, "a", "f", "{}")] * 3)
    assert [("f", "{}")] * 3 == heard(*[head(0, None, "f", "{}")] * 3)


@pytest.mark.parametrize("more_calls", [{}, {"tool_calls": [head(0, "a", "f", CITIES[0])]}])
def test_the_old_form_of_a_call(more_calls: Any) -> None:
    """`function_call` is a call, unless it is told in the form of today as well."""
    deltas = ({"name": "f", "arguments": ""}, {"arguments": CITIES[0][:4]}, None, {"arguments": ""})
    rest = {"function_call": {"arguments": CITIES[0][4:]}} if not more_calls else {}
    chunks = [
        chunk({**more_calls, "function_call": one}) for one in deltas[: 4 if not more_calls else 1]
    ]

    *parts, done = streamed(*chunks, chunk(rest, "function_call"), b"[DONE]")
    *whole_parts, whole_done = whole_answer(
        whole(
            {"function_call": {"name": "f", "arguments": CITIES[0]}, **more_calls}, "function_call"
        )
    )

    assert Done("tool_calls") == done == whole_done
    for said in (parts, whole_parts):
        calls = [part for part in said if isinstance(part, ToolCallPart)]
        assert {0} == {part.index for part in calls}
        assert ["f"] == [part.name for part in calls if part.name]
        assert CITIES[0] == "".join(part.arguments for part in calls)


# ---- contents


@pytest.mark.parametrize(
    ("message", "events"),
    [
        ({"content": [{"type": "text", "text": "hi"}]}, [Text("hi")]),
        ({"content": [{"type": "output_text", "text": "h"}, "i", 5, None]}, [Text("h"), Text("i")]),
        ({"content": {"type": "text", "text": "hi"}}, [Text("hi")]),
        (
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "h"}, "m"]},
                    {"type": "text", "text": "hi"},
                ]
            },
            [Reasoning("hm"), Text("hi")],
        ),
        (
            {"content": [{"type": "thinking", "thinking": "hm", "signature": "x"}]},
            [Reasoning("hm")],
        ),
        ({"content": [[[[{"text": "deep"}]]], {"type": "new", "x": 1}]}, [Text("deep")]),
        ({"content": [[[[["too deep"]]]]]}, []),
        (
            {
                "content": [
                    "A picture:",
                    {"type": "image_url", "image_url": {"url": "https://a/(b c)"}},
                ]
            },
            [Text("A picture:"), Text("\n\n"), Text("![image](https://a/%28bc%29)")],
        ),
        ({"content": [{"type": "image_url", "image_url": {"url": "javascript:1"}}]}, []),
        ({"thinking": "hm", "content": "hi"}, [Reasoning("hm"), Text("hi")]),
        (
            {"reasoning_details": [{"type": "reasoning.text", "text": "hm"}, {"type": "x"}]},
            [Reasoning("hm")],
        ),
        (
            {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
            [Reasoning("hm")],
        ),
        ({"thinking_blocks": [{"type": "thinking", "thinking": "hm"}]}, [Reasoning("hm")]),
        ({"content": None, "refusal": "I cannot."}, [Refusal("I cannot.")]),
        ({"content": "T", "refusal": "No."}, [Text("T"), Refusal("No.")]),
        ({"content": [{"type": "refusal", "refusal": "No."}]}, [Refusal("No.")]),
    ],
)
def test_what_a_message_says(message: Any, events: list[ReplyEvent]) -> None:
    """In each of the shapes that makers have, in a delta as in a whole message."""
    assert [*events, Done()] == whole_answer(whole(message))
    assert [*events, Done()] == streamed(chunk(message), chunk({}, "stop"))


def test_thoughts_between_tags_are_told_apart() -> None:
    """Wherever the chunks are cut."""
    pieces = ("<think>", "\nhm\n</t", "hink>\na", "nswer")

    assert [Reasoning("hm"), Text("a"), Text("nswer"), Done()] == streamed(
        *(chunk({"content": piece}) for piece in pieces), chunk({}, "stop")
    )


@pytest.mark.parametrize("field", ["content", "reasoning_content", "refusal"])
def test_an_emoji_that_was_cut_in_two_is_whole(field: str) -> None:
    """Also if something else comes in between; a lone half is one bad character, and no failure."""
    data = [
        b'{"choices":[{"delta":{"%b":"a%b"}}]}' % (field.encode(), text)
        for text in (rb"\ud83d", rb"\ude00b", rb"\ude00c", rb"\ud83d")
    ]

    events = streamed(data[0], chunk({"role": "assistant"}), *data[1:], chunk({}, "stop"))

    said = "".join(event.text for event in events if not isinstance(event, Done))
    assert "a\ufffda\ufffdba\ufffdca\ufffd" == said
    joined = [one.replace(b':"a\\', b':"\\') for one in data[:2]]
    events = streamed(joined[0], chunk({"role": "assistant"}), joined[1], chunk({}, "stop"))
    assert ["\U0001f600b"] == [event.text for event in events if not isinstance(event, Done)]


def test_an_emoji_that_was_cut_in_two_is_whole_in_arguments() -> None:
    """Those of each call by themselves."""
    call = b'{"choices":[{"delta":{"tool_calls":[{"index":%d,"id":"%d","function":%b}]}}]}'
    named = [rb'{"name":"f","arguments":"{\"a\":\"\ud83d"}', rb'{"arguments":"\ude00\"}"}']

    events = streamed(
        *(call % (n, n, one) for one in named for n in range(2)), chunk({}, "tool_calls")
    )

    for n in range(2):
        assert '{"a":"\U0001f600"}' == "".join(
            part.arguments for part in events if isinstance(part, ToolCallPart) and part.index == n
        )


def test_half_an_emoji_spoils_nothing_that_is_passed_on() -> None:
    """Whatever field it is in, what comes of it can be sent on."""
    body = rb'{"choices":[{"message":{"content":"\ud83d","tool_calls":[{"id":"\ud83d","x":"\ud83d",'
    body += rb'"function":{"name":"\ud83d","arguments":{"a":"\ud83d"}}}]}}],'
    body += (
        rb'"usage":{"prompt_tokens":1,"completion_tokens":1,"prompt_tokens_details":{"\ud83d":1}}}'
    )

    assert [
        Text("\ufffd"),
        ToolCallPart(0, "\ufffd", "\ufffd", '{"a": "\ufffd"}'),
        Usage(1, 1),
        Done("tool_calls"),
    ] == whole_answer(body)
    with pytest.raises(BotFailed, match=r"^�$"):
        whole_answer(rb'{"error":{"message":"\ud83d"}}')


# ---- whole answers


def test_a_whole_answer() -> None:
    """The same events as in a stream, in the same order."""
    message = {
        "role": "assistant",
        "content": "Hello",
        "reasoning": "Hm",
        "reasoning_content": "Hm",
    }
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}

    assert [
        Reasoning("Hm"),
        Text("Hello"),
        Usage(1, 2, total_tokens=3),
        Done("length"),
    ] == whole_answer(whole(message, "length", usage=usage))


@pytest.mark.parametrize("content", ["", None])
def test_whole_calls(content: Any) -> None:
    """Content is empty or null; calls have no index and need none."""
    calls = [head(None, "a", "f", "{}"), head(None, "b", "f", "[]")]

    assert [
        ToolCallPart(0, "a", "f", "{}"),
        ToolCallPart(1, "b", "f", "[]"),
        Done("tool_calls"),
    ] == whole_answer(whole({"content": content, "tool_calls": calls}, "tool_calls"))


@pytest.mark.parametrize("index", [0, None])
@pytest.mark.parametrize("name", ["f", "g"])
def test_each_item_of_a_whole_answer_is_a_call(index: int | None, name: str) -> None:
    """Even if all have one id and one number; each gets an id by which it can be answered."""
    calls = [head(index, "call_0", "f", {"a": 1}), head(index, "call_0", name, {"b": 2})]

    first, second, _ = whole_answer(whole({"tool_calls": calls}, "tool_calls"))

    assert ToolCallPart(0, "call_0", "f", '{"a":1}') == first
    assert isinstance(second, ToolCallPart)
    assert (1, name, '{"b":2}') == (second.index, second.name, second.arguments)
    assert second.id not in (None, "", "call_0")


@pytest.mark.parametrize("calls", [5, "f", {"a": 1}, [None, "f"]])
def test_what_are_no_calls_is_passed_over(calls: Any) -> None:
    """In a whole answer as in a stream."""
    assert [Text("a"), Done("stop")] == whole_answer(whole({"content": "a", "tool_calls": calls}))
    assert [] == Stream(Budget()).feed(chunk({"tool_calls": calls}))


def test_reasoning_in_a_whole_text_is_told_apart() -> None:
    """As in a stream."""
    assert [Reasoning("a"), Text("b"), Done("stop")] == whole_answer(
        whole({"content": "*Thinking...*\n\n> a\n\nb"})
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b"[]", b"{}", b"null", b'{"choices":[{"message":"x"}]}'],
)
def test_what_is_no_answer_is_a_failure(content: bytes) -> None:
    """Never an answer that is merely empty."""
    with pytest.raises(UpstreamProtocolError):
        whole_answer(content)


@pytest.mark.parametrize("choices", [[], None, {}, ["x"]])
def test_a_whole_answer_without_a_choice_is_a_failure_of_the_bot(choices: Any) -> None:
    """Nothing was said, but it may have been paid for."""
    with pytest.raises(BotFailed, match="no choice"):
        whole_answer(orjson.dumps({"id": "x", "choices": choices, "usage": {}}))


@pytest.mark.parametrize(
    "answer",
    [
        {"error": {"message": "It broke."}},
        {"error": "It broke."},
        {"error": {"message": {"error": {"message": "It broke."}}}},
        [{"error": {"message": "It broke."}}],
        {"message": "It broke.", "code": 500},
        {"detail": "It broke."},
        {"detail": [{"msg": "It broke."}], "choices": []},
    ],
)
def test_an_error_in_a_200_is_a_failure(answer: Any) -> None:
    """Poe's words are kept, wherever they are."""
    with pytest.raises(BotFailed, match=r"^It broke\.$"):
        whole_answer(orjson.dumps(answer))


def test_events_do_not_show_what_was_said() -> None:
    """One that is logged by mistake brings no conversation into the log."""
    events: Iterable[ReplyEvent] = streamed(
        chunk({"content": "secret", "reasoning": "secret"}),
        chunk({"tool_calls": [head(0, "a", "f", "secret")]}, "stop"),
    )

    assert "secret" not in repr(list(events))


# ---- what an answer may hold


def test_an_answer_ends_with_the_last_call_that_it_may_have() -> None:
    """The one behind it is not begun, and nothing that comes then is heard."""
    stream = Stream(Budget())
    events = [
        event
        for n in range(MAX_CALLS + 5)
        for event in stream.feed(chunk({"tool_calls": [head(n, f"c{n}", "f", "{}")]}))
    ]

    assert MAX_CALLS == sum(isinstance(event, ToolCallPart) for event in events)
    assert [Done("tool_calls")] == events[MAX_CALLS:]
    assert stream.is_over


def test_what_is_nested_too_deeply_to_be_sent_on_is_left_out() -> None:
    """It is read, but cannot be written."""
    deep: Any = {}
    for _ in range(200):
        deep = {"a": [deep]}
    call = {"id": "c", "extra": "HERE", "function": {"name": "f", "arguments": "HERE"}}
    data = chunk({"tool_calls": [call]}).replace(b'"HERE"', json.dumps(deep).encode())

    assert [ToolCallPart(0, "c", "f")] == Stream(Budget()).feed(data)


@pytest.mark.parametrize("seconds", [0.0, 0.005, 1.0])
def test_thoughts_that_cost_too_much_to_find_are_text(seconds: float) -> None:
    """Wherever the budget ends, nothing is lost but marks, and nothing comes twice."""
    ticks = count()
    budget = Budget(
        seconds, processor=Processor(clock=lambda: next(ticks) / 1000, sleep=lambda _: None)
    )
    lines = "".join(f"> line {n}\n" for n in range(20_000))
    text = f"Thinking...\n\n{lines}\nAnswer"

    events = Stream(budget).feed(chunk({"content": text}))

    said = "".join(event.text for event in events if isinstance(event, Reasoning | Text))
    assert [f"line {n}" for n in range(20_000)] == re.findall(r"line \d+", said)
    assert said.endswith("Answer")
    assert (seconds == 1.0) == ("Answer" == events[-1].text)


@pytest.mark.parametrize("read", [lambda data: Stream(Budget()).feed(data), whole_answer])
def test_an_answer_of_too_many_pieces_is_not_read(read: Callable[[bytes], object]) -> None:
    """Half a second of parsing would hold up everybody, and no bot says anything in so many."""
    pieces = b"[" + b"{}," * 300_000 + b"{}]"
    with pytest.raises(UpstreamProtocolError):
        read(b'{"choices":[{"delta":{},"message":{"content":"x"}}],"more":%b}' % pieces)
