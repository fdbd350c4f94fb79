"""What reaches the bots: `PoeApi` straight against the stand-in."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from poe_proxy.chat import FilePart, ImagePart, JsonWanted, Message, TextPart, ToolCall, ToolChoice
from poe_proxy.errors import ParameterRefused, ToolsRefused
from poe_proxy.upstreams.catalogue import Catalogue
from poe_proxy.upstreams.poe_api import PoeApi
from poe_proxy.upstreams.refusals import Refusals
from tests.with_sim.official import PIXEL, ApiSim

from .asking import BOT, CLOCK, WEATHER, Key, ask, user

# ---- what is passed on


def test_parameters_arrive(api: PoeApi) -> None:
    """The ones that mean something; the others are not sent, and harm nobody."""
    reply = ask(
        api,
        "!say-params !chunks=1",
        temperature=0.5,
        top_p=0.9,
        max_tokens=9000,
        reasoning_effort="low",
        json=JsonWanted(),
        extra={"verbosity": "low", "seed": 1, "user": "me", "logit_bias": {}, "n": 1},
    )

    assert {
        "model": BOT,
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 9000,
        "reasoning_effort": "low",
        "response_format": {"type": "json_object"},
        "verbosity": "low",
    } == orjson.loads(reply.text)


def test_stop_and_length(api: PoeApi) -> None:
    """Poe honours both."""
    assert "one two" == ask(api, "!echo one two STOP three", stop=("STOP",)).text.strip()
    reply = ask(api, "!long=4000", max_tokens=5)
    assert "length" == reply.end
    assert len(reply.text) < 100


def test_developers_become_systems(api: PoeApi) -> None:
    """Poe would refuse them."""
    messages = [Message(role="developer", content=(TextPart("Be brief."),)), user("!say-messages")]

    assert ["system", "user"] == [
        message["role"] for message in orjson.loads(ask(api, messages).text)
    ]


def test_function_results_are_understood(api: PoeApi) -> None:
    """The old form, with its call and without."""
    call = ToolCall("call_1", "f", "{}")
    result = Message(role="function", name="f", content=(TextPart("It is 7."),))
    answered = ask(api, [user("go"), Message(role="assistant", tool_calls=(call,)), result])
    alone = ask(api, [user("go"), result])

    assert "f says: It is 7." == answered.text
    assert ("stop", None) == (alone.end, alone.failure)


def test_pictures_and_files_arrive(api: PoeApi) -> None:
    """As URL and as data, each in its place."""
    reply = ask(
        api,
        [
            user(
                "What is this?",
                ImagePart(PIXEL, "low"),
                ImagePart("https://example.org/a.png"),
                FilePart("data:application/pdf;base64,JVBERi0=", "a.pdf"),
            )
        ],
    )

    assert "I see 2 images" in reply.text
    assert "I see 1 file" in reply.text
    assert "image/gif" in reply.text
    assert "https://example.org/a.png" in reply.text
    assert "a.pdf" in reply.text


# ---- tools


@pytest.mark.parametrize(
    "how", ["", "!no-index", "!whole-args", "!no-index !whole-args", "!null-content", "!text-too"]
)
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("bot", [BOT, "Gemini-3.1-Pro", "Claude-Sonnet-4.5"])
def test_calls(api: PoeApi, how: str, count: int, bot: str) -> None:
    """So many as were made, each whole, in whatever pieces they come."""
    reply = ask(api, f"!calls={count} {how} weather in Paris", bot, tools=(WEATHER, CLOCK))

    assert ["get_weather", "get_time", "get_weather"][:count] == [c.name for c in reply.calls]
    assert count == len({call.id for call in reply.calls})
    assert all(isinstance(orjson.loads(call.arguments), dict) for call in reply.calls)
    assert "Paris" == orjson.loads(reply.calls[0].arguments)["city"]
    assert "tool_calls" == reply.end
    assert ("Let me look that up." if "text-too" in how else "") == reply.text


@pytest.mark.parametrize("bot", [BOT, "Gemini-3.1-Pro", "Claude-Sonnet-4.5"])
def test_a_round_trip(api: PoeApi, bot: str) -> None:
    """Calls go back as they came, Gemini's signature with them, and results are answered."""
    conversation = [user("!calls=2 weather in Paris")]
    first = ask(api, conversation, bot, tools=(WEATHER, CLOCK))
    conversation.append(Message(role="assistant", tool_calls=tuple(first.calls)))
    conversation += [
        Message(role="tool", content=(TextPart(f"It is {n}."),), tool_call_id=call.id)
        for n, call in enumerate(first.calls)
    ]
    second = ask(api, conversation, bot, tools=(WEATHER, CLOCK))

    assert None is second.failure
    assert "get_weather says: It is 0." in second.text
    assert "get_time says: It is 1." in second.text
    assert ("Gemini" in bot) == any("extra_content" in call.extra for call in first.calls)


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        (ToolChoice(mode="none"), []),
        (ToolChoice(mode="required"), ["get_weather"]),
        (ToolChoice(mode="required", name="get_time"), ["get_time"]),
    ],
)
def test_tool_choice(api: PoeApi, choice: ToolChoice, names: list[str]) -> None:
    """As the client wants it."""
    reply = ask(api, "hello", tools=(WEATHER, CLOCK), tool_choice=choice)

    assert names == [call.name for call in reply.calls]


def test_one_call_at_a_time(api: PoeApi) -> None:
    """`parallel_tool_calls` arrives."""
    reply = ask(api, "!calls=3 weather", tools=(WEATHER, CLOCK), parallel_tool_calls=False)

    assert 1 == len(reply.calls)


def test_arguments_that_are_no_json_pass(api: PoeApi) -> None:
    """They are what the bot said; judging them is for others."""
    arguments = ask(api, "!call=get_weather !bad-args", tools=(WEATHER,)).calls[0].arguments

    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(arguments)


@pytest.mark.parametrize(
    "bot", ["DeepSeek-R1", "GPT-OSS-120B", "GPT-4o-Search", "ChatGPT-4o-Latest",
            "GPT-3.5-Turbo-Instruct"]
)  # fmt: skip
def test_bots_without_tools(api: PoeApi, bot: str) -> None:
    """A 400 or a 404 of Poe's: either way it is about tools."""
    reply = ask(api, "weather", bot, tools=(WEATHER,))

    assert ToolsRefused is type(reply.failure)
    assert not api.abilities(bot).tools
    assert (400, "tools") == (reply.failure.status, reply.failure.param)


# ---- fields that are refused


def test_undeclared_fields_are_dropped_once_and_for_all_keys(
    sim: ApiSim, key: Key, catalogue: Catalogue
) -> None:
    """In strict mode the bot's refusals cost a repeated request each, once for each bot: one tells
    of all fields that only the client knows."""
    sim.control_api(strict=True)
    refusals = Refusals()
    first, second = (
        key(name, api_url=sim.url, catalogue=catalogue, refusals=refusals) for name in ("k1", "k2")
    )
    fields: dict[str, Any] = {"reasoning_effort": "low", "extra": {"shape": 1, "colour": "red"}}
    reply = ask(first, "!say-params !chunks=1", "GPT-4o", temperature=0.5, **fields)

    body = orjson.loads(reply.text)
    assert 0.5 == body["temperature"]
    assert not {"reasoning_effort", "shape", "colour"} & body.keys()
    # Each of them waits for its turn, so that it counts as a use of the key.
    assert 3 == reply.sendings
    assert 3 == len(sim.journal(face="api", key="key-1", path="/v1/chat/completions"))
    assert "stop" == ask(second, "hello", "gpt-4O", **fields).end
    assert 1 == len(sim.journal(face="api", key="key-2", path="/v1/chat/completions"))
    # What one bot does not take another one may.
    assert (
        "low"
        == orjson.loads(ask(second, "!say-params !chunks=1", BOT, reasoning_effort="low").text)[
            "reasoning_effort"
        ]
    )


@pytest.mark.parametrize("strict", [True, False])
def test_a_value_that_is_refused_is_reported(sim: ApiSim, api: PoeApi, strict: bool) -> None:
    """Dropping it would give another answer than was asked for."""
    sim.control_api(strict=strict)
    failure = ask(api, "hello", reasoning_effort="enormous").failure

    assert ParameterRefused is type(failure)
    assert "reasoning_effort" == failure.param
    assert 1 == len(sim.journal(face="api", path="/v1/chat/completions"))


@pytest.mark.parametrize("strict", [True, False])
def test_what_openai_has_and_poe_ignores_does_no_harm(
    sim: ApiSim, api: PoeApi, strict: bool
) -> None:
    """In either mode, at the first try."""
    sim.control_api(strict=strict)
    extra = {
        "seed": 1, "user": "u", "store": True, "metadata": {"a": "b"}, "presence_penalty": 0.1,
        "frequency_penalty": 0.1, "logit_bias": {"1": 1}, "service_tier": "auto",
        "prediction": None, "modalities": ["text"], "audio": None, "safety_identifier": "x",
        "prompt_cache_key": "x",
    }  # fmt: skip
    assert "stop" == ask(api, "hello", extra=extra).end
    assert 1 == len(sim.journal(face="api", path="/v1/chat/completions"))
