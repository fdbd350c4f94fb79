"""Answers in the shapes that makers give them, through the whole server, streamed and whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from openai import APIError, OpenAI

from .official import CLOCK, WEATHER, ApiSim
from .servers import Proxy, Sim

BOT = "GPT-5.1"
EITHER = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture(scope="module")
def sim() -> Iterator[ApiSim]:
    with ApiSim((), ("key-a",), pace=0) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(sim: ApiSim) -> Iterator[Proxy]:
    with Proxy(sim) as running:
        yield running


@pytest.fixture
def client(sim: ApiSim, proxy: Proxy) -> Iterator[OpenAI]:
    sim.control_api(reset=True)
    requests.delete(f"{sim.url}/__journal", timeout=60)
    with proxy.openai() as one:
        yield one


def saying(*deltas: Any, end: str = "stop") -> dict[str, Any]:
    """A line of chunks with these deltas."""
    return {
        "stream": [
            *({"choices": [{"index": 0, "delta": one, "finish_reason": None}]} for one in deltas),
            {"choices": [{"index": 0, "delta": {}, "finish_reason": end}]},
        ]
    }


def hear(client: OpenAI, *, stream: bool, **fields: Any) -> tuple[dict[str, str], list[Any], str]:
    """The texts of the answer by their fields, its calls, and how it ends."""
    fields = {"model": BOT, "messages": [{"role": "user", "content": "Hello"}], **fields}
    texts: dict[str, str] = {}
    calls: dict[int, list[str]] = {}
    end = ""
    if not stream:
        (choice,) = client.chat.completions.create(**fields).choices
        said = [(choice.message, choice.finish_reason)]
    else:
        chunks = client.chat.completions.create(stream=True, **fields)
        said = [(one.choices[0].delta, one.choices[0].finish_reason) for one in chunks]
    for message, reason in said:
        for name in ("content", "reasoning_content", "refusal"):
            if text := getattr(message, name, None):
                texts[name] = texts.get(name, "") + text
        for place, call in enumerate(message.tool_calls or ()):
            known = calls.setdefault(getattr(call, "index", place), ["", ""])
            known[0] += call.function.name or ""
            known[1] += call.function.arguments or ""
        end = reason or end
    return texts, [tuple(calls[index]) for index in sorted(calls)], end


def call(name: str, arguments: Any, **more: Any) -> dict[str, Any]:
    one = {"index": 0, "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"tool_calls": [{**one, **more}]}


SHAPES: dict[str, tuple[Any, dict[str, str], list[Any], str]] = {
    "a list of parts": (
        saying({"content": [{"type": "thinking", "thinking": "hm"}]},
               {"content": [{"type": "text", "text": "hi"}]}),
        {"reasoning_content": "hm", "content": "hi"}, [], "stop",
    ),
    "a refusal": (
        saying({"content": None, "refusal": "I can"}, {"refusal": "not."}),
        {"refusal": "I cannot."}, [], "stop",
    ),
    "a call without arguments": (
        saying(call("get_time", "", id="c1"), end="tool_calls"),
        {}, [("get_time", "{}")], "tool_calls",
    ),
    "two calls with one number": (
        saying(*(call("get_weather", one, id="") for one in ('{"city":"A"}', '{"city":"B"}')),
               end="tool_calls"),
        {}, [("get_weather", '{"city":"A"}'), ("get_weather", '{"city":"B"}')], "tool_calls",
    ),
    "the old form of a call": (
        saying({"function_call": {"name": "get_time", "arguments": ""}}, end="function_call"),
        {}, [("get_time", "{}")], "tool_calls",
    ),
    "a maker's word for the end": (
        saying({"content": "half"}, end="MAX_TOKENS"), {"content": "half"}, [], "length",
    ),
    "half an emoji": (
        saying({"content": "Hi \ud83d"}, {"content": "\ude00!"}),
        {"content": "Hi \U0001f600!"}, [], "stop",
    ),
    "tags": (
        saying({"content": "<think>"}, {"content": "\nhm\n</t"}, {"content": "hink>\nanswer"}),
        {"reasoning_content": "hm", "content": "answer"}, [], "stop",
    ),
}  # fmt: skip


@EITHER
@pytest.mark.parametrize("shape", SHAPES)
def test_an_answer_is_understood(sim: ApiSim, client: OpenAI, shape: str, stream: bool) -> None:
    """Whichever maker's shape it has; and the bot is asked once."""
    line, *expected = SHAPES[shape]
    sim.control_api(lines={BOT: [line]})

    assert expected == list(hear(client, stream=stream, tools=[WEATHER, CLOCK]))
    assert 1 == len(sim.journal(face="api", path="/v1/chat/completions"))


@EITHER
@pytest.mark.parametrize(
    "wish",
    [
        {"tools": [WEATHER], "tool_choice": "required"},
        {"response_format": {"type": "json_object"}},
    ],
    ids=["a call", "JSON"],
)
def test_a_refusal_is_not_asked_twice(sim: ApiSim, client: OpenAI, wish: Any, stream: bool) -> None:
    """Whatever the client demands."""
    sim.control_api(lines={BOT: [saying({"refusal": "No."})]})

    assert ({"refusal": "No."}, [], "stop") == hear(client, stream=stream, **wish)
    assert 1 == len(sim.journal(face="api", path="/v1/chat/completions"))


@EITHER
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"stream": [{"choices": [], "usage": {}}]}, "no choice"),
        ({"body": {"choices": []}}, "no choice"),
        ({"body": {"choices": None, "detail": [{"msg": "It broke."}]}}, "It broke"),
        (saying(end="error"), "ended with"),
    ],
)
def test_an_answer_without_an_answer_is_an_error(
    sim: ApiSim, client: OpenAI, line: Any, words: str, stream: bool
) -> None:
    """Never an empty success; and it may have been paid for, so the bot is asked once."""
    sim.control_api(lines={BOT: [line]})

    with pytest.raises(APIError, match=words) as failed:
        hear(client, stream=stream)

    assert "bot_failed" == failed.value.code
    assert 1 == len(sim.journal(face="api", path="/v1/chat/completions"))


@EITHER
@pytest.mark.parametrize(
    "extra",
    [
        {"top_k": 40, "min_p": 0.1},
        {"reasoning": {"effort": "medium"}},
        {"usage": {"include": True}},
    ],
)
def test_a_field_that_the_bot_does_not_declare_is_left_out(
    sim: ApiSim, client: OpenAI, extra: Any, stream: bool
) -> None:
    """Although the refusal has the words of one for a value."""
    sim.control_api(strict=True, refused_as_value=True)

    texts, _, end = hear(client, stream=stream, extra_body=extra)

    assert texts["content"]
    assert "stop" == end


def test_tool_names_go_there_and_back(sim: ApiSim, client: OpenAI) -> None:
    """Poe gets those that all makers take, the client has its own."""
    tool = {"type": "function", "function": {"name": "mcp.weather/get", "parameters": {}}}
    sim.control_api(lines={BOT: [{"calls": [{"name": "mcp_weather_get", "arguments": {}}]}]})

    _, calls, end = hear(
        client, stream=True, tools=[tool],
        tool_choice={"type": "function", "function": {"name": "mcp.weather/get"}},
    )  # fmt: skip

    assert ([("mcp.weather/get", "{}")], "tool_calls") == (calls, end)


@EITHER
def test_tags_are_thoughts_by_cookie_too(stream: bool) -> None:
    """In a text that grows."""
    with Sim(tokens=("cookie-a",)) as site, Proxy(site) as proxy:
        lines = {"GPT-4o": ["<think>\nThe user greets me.\n</think>\n\nHello!"]}
        requests.post(f"{site.url}/__control", json={"lines": lines}, timeout=60)
        with proxy.openai() as client:
            texts, _, end = hear(client, stream=stream, model="GPT-4o")

    assert {"reasoning_content": "The user greets me.", "content": "Hello!"} == texts
    assert "stop" == end
