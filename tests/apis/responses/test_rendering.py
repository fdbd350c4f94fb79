"""Reply events as responses, read back with OpenAI's own types."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from poe_proxy.apis.responses.namespaces import Names
from poe_proxy.apis.responses.parsing import Form
from poe_proxy.apis.responses.rendering import Answer
from poe_proxy.apis.responses.signatures import restored
from poe_proxy.budget import Budget
from poe_proxy.chat import (
    Done,
    FinishReason,
    Idle,
    Message,
    Reasoning,
    Refusal,
    Replaced,
    Said,
    Text,
    Tool,
    ToolCall,
    ToolCallPart,
    Usage,
)
from poe_proxy.errors import PromptTooLong, UpstreamTimeout

from ...fakes import ask
from ..streams import frames
from .reading import events_in, response_in

PATCH = Tool(name="patch", is_custom=True)


def call(
    *, names: Names | None = None, echo: Any = None, errors_as_text: bool = False, **fields: Any
) -> Answer:
    form = Form(streams=True, names=names or Names(()), echo=echo or {})
    return Answer(ask(**fields), form, errors_as_text=errors_as_text)


def whole(*events: Said, **fields: Any) -> dict[str, Any]:
    """The response that *events* make, accepted by OpenAI's own type."""
    return response_in(call(**fields).body(events))


def stream(*events: Said, **fields: Any) -> list[dict[str, Any]]:
    """The events of a stream, accepted by OpenAI's own types, and fitting together."""
    return events_in(b"".join(frames(call(**fields), events)))


def broken(*said: Said, **fields: Any) -> list[dict[str, Any]]:
    """The events of a stream that fails once *said* is out."""
    one = call(**fields)
    sent = [*frames(one, said)]
    return events_in(b"".join([*sent, one.failed(UpstreamTimeout("Silence."))]))


def kinds(events: Sequence[dict[str, Any]]) -> list[str]:
    """The types of the events between the opening and the end, as short as they can be."""
    return [event["type"].removeprefix("response.") for event in events[2:-1]]


def items(response: dict[str, Any]) -> list[tuple[str, str]]:
    """Kind and contents of each item."""
    found = []
    for item in response["output"]:
        match item["type"]:
            case "reasoning":
                text = "".join(part["text"] for part in item["summary"])
            case "message":
                text = "|".join(part.get("text", part.get("refusal")) for part in item["content"])
            case "function_call":
                text = f"{item['name']}{item['arguments']}"
            case "custom_tool_call":
                text = f"{item['name']}:{item['input']}"
        found.append((item["type"], text))
    return found


# ---- both forms

TWO_CALLS: list[Said] = [
    ToolCallPart(0, "c0", "f", '{"a"'),
    ToolCallPart(0, arguments=":1}"),
    ToolCallPart(1, "c1", "g", "{}"),
    Done("tool_calls"),
]
BOTH: dict[str, tuple[list[Said], list[tuple[str, str]]]] = {
    "nothing": ([Done()], []),
    "text": ([Text("Hel"), Text(""), Text("lo"), Done()], [("message", "Hello")]),
    "thoughts": (
        [Reasoning("Hm"), Reasoning("."), Text("Hi"), Done()],
        [("reasoning", "Hm."), ("message", "Hi")],
    ),
    "refusal": (
        [Text("Well, "), Refusal("no"), Refusal("."), Done()],
        [("message", "Well, |no.")],
    ),
    "calls": (
        [Reasoning("Hm."), Text("I look."), *TWO_CALLS],
        [
            ("reasoning", "Hm."),
            ("message", "I look."),
            ("function_call", 'f{"a":1}'),
            ("function_call", "g{}"),
        ],
    ),
    "a custom call": (
        [
            ToolCallPart(0, "c0", "patch", '{"in'),
            ToolCallPart(0, arguments='put": "+x\\'),
            ToolCallPart(0, arguments='n+y"}'),
            Done("tool_calls"),
        ],
        [("custom_tool_call", "patch:+x\n+y")],
    ),
    "a custom call of another form": (
        [ToolCallPart(0, "c0", "patch", "+x"), ToolCallPart(0, arguments="y"), Done("tool_calls")],
        [("custom_tool_call", "patch:+xy")],
    ),
    "a call that is cut": (
        [ToolCallPart(0, "c0", "f", '{"a'), Done("length")],
        [("function_call", 'f{"a')],
    ),
    "calls by turns": (
        [
            ToolCallPart(0, "c0", "f", '{"a"'),
            ToolCallPart(1, "c1", "patch", '{"input"'),
            ToolCallPart(0, arguments=":"),
            ToolCallPart(2, "c2", "h", "{"),
            ToolCallPart(1, arguments=':"x"}'),
            ToolCallPart(0, arguments="1}"),
            ToolCallPart(2, arguments="}"),
            Done("tool_calls"),
        ],
        [("function_call", 'f{"a":1}'), ("custom_tool_call", "patch:x"), ("function_call", "h{}")],
    ),
    "what is told after the end of a call": (
        [ToolCallPart(0, "c0", "f", "{}"), ToolCallPart(0), ToolCallPart(1, "c1", "g", "{}"),
         ToolCallPart(0), Done("tool_calls")],
        [("function_call", "f{}"), ("function_call", "g{}")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("events", "expected"), BOTH.values(), ids=BOTH)
def test_an_answer_has_its_items_whole_and_streamed(
    events: list[Said], expected: list[tuple[str, str]]
) -> None:
    """In the order: thoughts, text, calls. None begins before the one in front of it has ended."""
    *_, end = stream(*events, tools=(PATCH,))

    assert expected == items(whole(*events, tools=(PATCH,)))
    assert expected == items(end["response"])


@pytest.mark.parametrize(
    ("reason", "status", "why"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
    ],
)
def test_an_answer_that_is_not_whole_says_why(
    reason: FinishReason, status: str, why: dict[str, str] | None
) -> None:
    """So does its last item; a stream ends with the event of that name."""
    events = [Reasoning("Hm."), Text("Hel"), Done(reason)]
    response = whole(*events)
    *_, end = stream(*events)

    assert f"response.{status}" == end["type"]
    for one in (response, end["response"]):
        assert (status, why) == (one["status"], one["incomplete_details"])
        assert status == one["output"][-1]["status"]
        assert (status == "completed") == (one["completed_at"] is not None)


def test_only_the_last_item_is_incomplete() -> None:
    """A text before a call that is cut is whole."""
    events = [Text("I look."), ToolCallPart(0, "c", "f", "{}"), ToolCallPart(1, "d", "g", "{"),
              Done("length")]  # fmt: skip
    expected = ["completed", "completed", "incomplete"]

    assert expected == [item["status"] for item in whole(*events)["output"]]
    assert expected == [item["status"] for item in stream(*events)[-1]["response"]["output"]]


def test_the_end_repeats_what_was_asked() -> None:
    """In a stream only the last event does, so that 40 kB of tools are not sent three times."""
    echo = {
        "instructions": "Be brief.",
        "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": None}],
        "tool_choice": {"type": "function", "name": "f"},
        "metadata": {"a": "b"},
    }
    events = stream(Text("Hi"), Done(), echo=echo)

    assert echo == {name: whole(Done(), echo=echo)[name] for name in echo}
    assert echo == {name: events[-1]["response"][name] for name in echo}
    for event in events[:2]:
        assert (None, [], "auto") == tuple(
            event["response"][name] for name in ("instructions", "tools", "tool_choice")
        )
        assert ("in_progress", None) == (event["response"]["status"], event["response"]["usage"])


def test_each_answer_has_an_id_of_its_own() -> None:
    """Nothing of a conversation can be told by it."""
    assert whole(Done())["id"] != whole(Done())["id"]


def test_usage_is_poe_s_count_or_an_estimate() -> None:
    """At the end of both forms."""
    details = {"prompt_tokens_details": {"cached_tokens": 3}}
    poe_s = Text("Hi"), Usage(10, 20, details), Done()

    for response in (whole(*poe_s), stream(*poe_s)[-1]["response"]):
        assert (10, 20, 30) == tuple(
            response["usage"][name] for name in ("input_tokens", "output_tokens", "total_tokens")
        )
        assert 3 == response["usage"]["input_tokens_details"]["cached_tokens"]
    assert 1 == whole(Text("Hi"), Done())["usage"]["output_tokens"]
    assert 1 == stream(Text("Hi"), Done())[-1]["response"]["usage"]["output_tokens"]


def test_calls_carry_the_client_s_names() -> None:
    """Name and namespace, in each event that has the call."""
    names = Names([("close", "agents")])
    events = stream(ToolCallPart(0, "c", "agents__close", "{}"), Done("tool_calls"), names=names)
    (told,) = whole(ToolCallPart(0, "c", "agents__close", "{}"), Done("tool_calls"), names=names)[
        "output"
    ]

    for item in (told, *(event["item"] for event in events if "item" in event)):
        assert ("close", "agents", "c") == (item["name"], item["namespace"], item["call_id"])


SIGNED = {"extra_content": {"google": {"thought_signature": "x"}}}


@pytest.mark.parametrize("held", [False, True])
def test_what_a_bot_adds_to_a_call_comes_in_an_item_behind_it(held: bool) -> None:
    """That clients send back, as they do with thoughts; also for a call that had to wait."""
    events: list[Said] = [
        ToolCallPart(0, "a", "f", "{" if held else "{}"),
        ToolCallPart(1, "b", "g", "{}"),
        ToolCallPart(1, extra=SIGNED),
        ToolCallPart(0, arguments="}") if held else ToolCallPart(0),
        Done("tool_calls"),
    ]

    calls = ToolCall("a", "f", "{}"), ToolCall("b", "g", "{}")
    for response in (whole(*events), stream(*events)[-1]["response"]):
        first, second, third = response["output"]
        assert ["a", "b"] == [first["call_id"], second["call_id"]]
        assert ("reasoning", []) == (third["type"], third["summary"])
        said = [Message(role="assistant", tool_calls=calls)]
        ((_, signed),) = (one.tool_calls for one in restored(said, [third], Budget()))
        assert SIGNED == signed.extra


# ---- the stream


def test_a_stream_has_the_events_of_the_api() -> None:
    """Each item is opened, filled and closed."""
    events = stream(
        Reasoning("Hm."),
        Text("Hel"),
        Text("lo"),
        ToolCallPart(0, "c", "f", "{"),
        ToolCallPart(0, arguments="}"),
        ToolCallPart(1, "d", "patch", '{"input":"x"}'),
        Done("tool_calls"),
        tools=(PATCH,),
    )

    assert [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
    ] == kinds(events)
    assert "f" == next(one["name"] for one in events if "arguments.done" in one["type"])


def test_a_refusal_is_a_part_of_its_own() -> None:
    """Behind the text of the same message."""
    assert [
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "content_part.added",
        "refusal.delta",
        "refusal.done",
        "content_part.done",
        "output_item.done",
    ] == kinds(stream(Text("Well."), Refusal("No."), Done()))


def test_thoughts_behind_a_text_are_another_item() -> None:
    """And so is the text behind them; a whole answer has all thoughts in front."""
    events = [Reasoning("a"), Text("b"), Reasoning("c"), Text("d"), Done()]

    assert [("reasoning", "a"), ("message", "b"), ("reasoning", "c"), ("message", "d")] == items(
        stream(*events)[-1]["response"]
    )
    assert [("reasoning", "ac"), ("message", "bd")] == items(whole(*events))


def test_what_comes_while_a_call_is_not_whole_waits_for_it() -> None:
    """Text and thoughts too, each in one piece; behind a whole call they are told at once."""
    waits = stream(
        ToolCallPart(0, "c", "f", "{"),
        Text("a"),
        Reasoning("b"),
        Text("c"),
        Refusal("d"),
        Refusal("e"),
        ToolCallPart(0, arguments="}"),
        Done(),
    )
    told = b"".join(frames(call(), [ToolCallPart(0, "c", "f", "{}"), Text("a")]))

    assert [("function_call", "f{}"), ("message", "ac|de"), ("reasoning", "b")] == items(
        waits[-1]["response"]
    )
    assert ["output_text.delta", "refusal.delta"] == [
        kind for kind in kinds(waits) if kind in ("output_text.delta", "refusal.delta")
    ]
    assert b"output_text.delta" in told


@pytest.mark.parametrize(
    ("events", "streamed", "text"),
    [
        ([Text("Hel"), Replaced("Hello"), Done()], "Hello", "Hello"),
        ([Text("A draft"), Replaced("The end"), Done()], "A draft\n\nThe end", "The end"),
        ([Text("Hello..."), Replaced("Hello"), Done()], "Hello...", "Hello"),
        ([Replaced("Hello"), Done()], "Hello", "Hello"),
    ],
    ids=["longer", "another", "shorter", "first"],
)
def test_a_text_that_is_rewritten(events: list[Said], streamed: str, text: str) -> None:
    """A stream can only go on; the response at its end has the last version."""
    told = stream(*events)

    assert streamed == "".join(event.get("delta", "") for event in told)
    assert [("message", text)] == items(told[-1]["response"]) == items(whole(*events))


def test_a_keep_alive_is_an_event() -> None:
    """That all clients know; nothing of the answer changes by it."""
    events = stream(Idle(), Reasoning("Hm."), Idle(), Text("Hi"), Idle(), Idle(), Done())

    assert [("reasoning", "Hm."), ("message", "Hi")] == items(events[-1]["response"])
    assert 3 == kinds(events).count("in_progress")
    assert [("message", "Hi")] == items(whole(Idle(), Text("Hi"), Idle(), Done()))


@pytest.mark.parametrize("first", [Idle(), Usage(1, 2), Text("a")])
def test_a_stream_opens_with_the_first_event(first: Said) -> None:
    """Whatever that is: its client knows that it is heard."""
    created, in_progress, *_ = frames(call(), [first])

    assert created.startswith(b"event: response.created\n")
    assert in_progress.startswith(b"event: response.in_progress\n")


# ---- failures


@pytest.mark.parametrize(
    "said",
    [[], [Text("Hal")], [Reasoning("Hm."), ToolCallPart(0, "c", "f", "{"), Text("held")]],
    ids=["before the first event", "in a text", "in a call"],
)
def test_a_failure_is_two_events(said: list[Said]) -> None:
    """One that the packages raise, one that ends the repeats of Codex. What was not whole is never
    done: half a call must not be carried out."""
    *_, error, failed = events = broken(*said)

    assert ("error", "upstream_timeout", "Silence.") == (
        error["type"],
        error["error"]["code"],
        error["message"],
    )
    response = failed["response"]
    assert ("response.failed", "failed") == (failed["type"], response["status"])
    assert {"code": "invalid_prompt", "message": "Silence."} == response["error"]
    assert [item for item in response["output"] if item["type"] == "function_call"] == []
    assert "function_call_arguments.done" not in kinds(events)


def test_a_failure_behind_an_event_that_cannot_be_told_is_numbered_without_a_gap() -> None:
    """What was made of that event is lost: here the end of a call, whose signature is too deep."""
    deep = orjson.loads(b"[" * 900 + b"]" * 900)
    one = call()
    told = one.frame(ToolCallPart(0, "c", "f", "{}", {"extra_content": deep}))

    with pytest.raises(TypeError):
        one.frame(Done("tool_calls"))

    sent = told + one.failed(UpstreamTimeout("Silence."))
    numbers = [orjson.loads(data)["sequence_number"] for data in re.findall(rb"data: (.*)", sent)]
    assert [*range(len(numbers))] == numbers


def test_a_failure_before_any_event_is_a_stream_of_its_own() -> None:
    """It opens as any other one."""
    events = events_in(call().failed(PromptTooLong("Too long.")))

    assert ["response.created", "response.in_progress", "error", "response.failed"] == [
        event["type"] for event in events
    ]
    assert "context_length_exceeded" == events[-1]["response"]["error"]["code"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([], [("message", "Error: Silence.")]),
        ([Text("Hal")], [("message", "\n\nError: Silence.")]),
        ([ToolCallPart(0, "c", "f", "{")], [("message", "Error: Silence.")]),
    ],
    ids=["nothing", "text", "call"],
)
def test_a_failure_may_be_told_in_the_answer_too(
    said: list[Said], expected: list[tuple[str, str]]
) -> None:
    """For clients that do not show failures: as the last message."""
    events = broken(*said, errors_as_text=True)

    assert expected == items(events[-1]["response"])
