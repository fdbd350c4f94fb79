"""Requests in forms of other APIs, as programs send them to this one: the same on both ways."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ..servers import Proxy, Sim
from .asking import BOT, ONLY, PIXEL, WEATHER, Way, error_of

SCHEMA = WEATHER["function"]["parameters"]
FLAT = {"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": False}
BY_ANTHROPIC = {"name": "get_weather", "description": "The weather.", "input_schema": SCHEMA}
CITY = '{"city": "Rome"}'


def told(answer: Any) -> str:
    """All that the bot was told, however the way tells it."""
    return json.dumps(answer.told, ensure_ascii=False)


# ---- a request of the Responses API


@pytest.mark.parametrize(
    "given",
    ["hello-there", [{"role": "user", "content": "hello-there"}]],
    ids=["text", "items"],
)
@pytest.mark.parametrize("instructions", [None, "be-brief"], ids=["without", "with"])
def test_input_is_taken_in_place_of_messages(
    way: Way, stream: bool, given: Any, instructions: str | None
) -> None:
    """As Cursor sends it for GPT-5: answered in the form of the route that was asked, with
    instructions or without."""
    answer = way.ask(
        "", stream, says=["Hello"], messages=None, input=given, instructions=instructions
    )

    assert (200, "Hello", "stop") == (answer.status, answer.text, answer.finish)
    assert "hello-there" in told(answer)
    assert (instructions is not None) == ("be-brief" in told(answer))


def test_a_turn_with_calls_by_items(way: Way, stream: bool) -> None:
    """Past calls and outputs are told, thoughts are not, and flat tools are called."""
    answer = way.ask(
        "",
        stream,
        says=[way.call("Paris")],
        messages=None,
        input=[
            {"role": "user", "content": [{"type": "input_text", "text": "user-words"}]},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "past-thought"}]},
            {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": CITY},
            {"type": "function_call_output", "call_id": "c1", "output": "sunny-words"},
            {"role": "assistant", "content": [{"type": "output_text", "text": "bot-words"}]},
            {"role": "user", "content": "And Paris?"},
        ],
        tools=[FLAT, {"type": "web_search"}],
        tool_choice={"type": "function", "name": "get_weather"},
        store=False,
        include=["reasoning.encrypted_content"],
    )
    (name, arguments), *more = answer.calls

    assert ("get_weather", {"city": "Paris"}, []) == (name, json.loads(arguments), more)
    assert "tool_calls" == answer.finish
    for words in ("user-words", "Rome", "sunny-words", "bot-words", "And Paris?"):
        assert words in told(answer)
    assert "past-thought" not in told(answer)


def test_length_and_json_by_the_names_of_the_other_api(way: Way, stream: bool) -> None:
    """`max_output_tokens`, and the schema in `text.format`."""
    words = "one two three four five six seven eight nine ten"
    cut = way.ask("", stream, says=[words], messages=None, input="Go.", max_output_tokens=3)
    form = {"type": "json_schema", "name": "n", "schema": {"type": "object"}}
    said = 'Here:\n```json\n{"age": 7}\n```'
    found = way.ask("", stream, says=[said], messages=None, input="Go.", text={"format": form})

    assert "length" == cut.finish
    assert {"age": 7} == json.loads(found.text)


def test_what_is_not_kept_cannot_be_referred_to(way: Way, stream: bool) -> None:
    """The item is named."""
    answer = way.ask("", stream, messages=None, input=[{"type": "item_reference", "id": "msg_1"}])

    assert (400, "input[0]") == (answer.status, (answer.error or {})["param"])


# ---- what Anthropic's API has


@pytest.mark.parametrize(
    ("tool", "choice"),
    [
        (BY_ANTHROPIC, {"type": "auto"}),
        (BY_ANTHROPIC, {"type": "any", "disable_parallel_tool_use": True}),
        ({"type": "custom", **BY_ANTHROPIC}, {"type": "tool", "name": "get_weather"}),
        (WEATHER, {"type": "auto"}),
        (WEATHER, "any"),
    ],
    ids=str,
)
def test_tools_and_choices_of_anthropic_s_form(
    way: Way, stream: bool, tool: Any, choice: Any
) -> None:
    """They are called as OpenAI's are; `any` is a call that must come."""
    answer = way.ask("Go.", stream, says=[way.call("Paris")], tools=[tool], tool_choice=choice)

    assert ["get_weather"] == [name for name, _ in answer.calls]
    assert "tool_calls" == answer.finish


def test_a_choice_of_no_call_in_anthropic_s_form(way: Way, stream: bool) -> None:
    """The bot is not told of tools that it must not call."""
    answer = way.ask(
        "Go.", stream, says=["Hello"], tools=[BY_ANTHROPIC], tool_choice={"type": "none"}
    )

    assert ("Hello", []) == (answer.text, answer.calls)


def test_blocks_of_calls_and_results(way: Way, stream: bool) -> None:
    """As Cursor sends them: each result is told as one, before the rest of its message; thoughts
    are passed over, and images of results are seen."""
    picture = {"type": "base64", "media_type": "image/png", "data": PIXEL.partition(",")[2]}
    messages = [
        {"role": "user", "content": "user-words"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "past-thought", "signature": "s"},
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {"city": "Rome"}},
                {"type": "tool_use", "id": "t2", "name": "get_weather", "input": {"city": "Oslo"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "sunny-words"},
                {
                    "type": "tool_result",
                    "tool_use_id": "t2",
                    "is_error": True,
                    "content": [
                        {"type": "text", "text": "rainy-words"},
                        {"type": "image", "source": picture},
                    ],
                },
                {"type": "text", "text": "and-now", "cache_control": {"type": "ephemeral"}},
            ],
        },
    ]
    answer = way.ask(messages, stream, says=["Hello"], tools=[WEATHER], system="system-words")

    assert (200, "Hello") == (answer.status, answer.text)
    places = [
        told(answer).index(words)
        for words in ("system-words", "user-words", "Rome", "Oslo", "sunny-words", "and-now")
    ]
    assert sorted(places) == places
    assert "Error: rainy-words" in told(answer)
    assert "past-thought" not in told(answer)


def test_a_message_with_nothing_but_a_thought_is_left_out(way: Way, stream: bool) -> None:
    """It is no mistake, and no bot can read it."""
    messages = [
        {"role": "user", "content": "hello-there"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "past-thought"}]},
        {"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "x"}]},
    ]
    answer = way.ask(messages, stream, says=["Hello"])

    assert (200, "Hello") == (answer.status, answer.text)
    assert "past-thought" not in told(answer)


# ---- tools that are no functions

PATCH = '*** Begin Patch\n+print("世界 \\\\ 🌍")\n*** End Patch'


def custom_call(way: Way, *, text: str = PATCH) -> Any:
    """The line in which the bot calls the custom tool, which it knows as a function."""
    call = {"name": "apply_patch", "arguments": {"input": text}}
    if not way.by_cookie:
        return {"text": "", "calls": [call]}
    return f"<tool_call>\n{json.dumps(call)}\n</tool_call>"


@pytest.mark.parametrize(
    ("tool", "choice"),
    [
        ({"type": "custom", "custom": {"name": "apply_patch", "description": "It patches."}}, None),
        ({"type": "custom", "name": "apply_patch"}, None),
        (
            {"type": "custom", "custom": {"name": "apply_patch"}},
            {"type": "custom", "custom": {"name": "apply_patch"}},
        ),
    ],
    ids=["nested", "flat", "demanded"],
)
def test_a_custom_tool_is_called_with_a_text(
    way: Way, stream: bool, tool: Any, choice: Any
) -> None:
    """The call comes back in the client's form, whatever the bot makes of it."""
    answer = way.ask(
        "Go.", stream, says=[custom_call(way)], tools=[tool, WEATHER], tool_choice=choice
    )

    assert ([("apply_patch", PATCH)], []) == (answer.custom_calls, answer.calls)
    assert (1, "tool_calls") == (len(set(answer.call_ids)), answer.finish)


def test_a_function_beside_a_custom_tool_is_a_function(way: Way, stream: bool) -> None:
    """Past calls of custom tools are told to the bot, with their results."""
    messages = [
        {"role": "user", "content": "Patch it."},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "custom", "custom": {"name": "apply_patch", "input": "+x-y"}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "patched-words"},
    ]
    tool = {"type": "custom", "custom": {"name": "apply_patch"}}
    answer = way.ask(messages, stream, says=[way.call("Paris")], tools=[tool, WEATHER])

    assert (["get_weather"], []) == ([name for name, _ in answer.calls], answer.custom_calls)
    assert "+x-y" in told(answer)
    assert "patched-words" in told(answer)


@pytest.mark.parametrize("kind", ["web_search", "mcp", "computer_use_preview"])
def test_tools_that_nobody_here_can_carry_out_are_left_out(
    way: Way, stream: bool, kind: str
) -> None:
    """Those beside them work; where there is no other, none can be demanded."""
    answer = way.ask("Go.", stream, says=[way.call("Paris")], tools=[{"type": kind}, WEATHER])
    alone = way.ask("!echo fine", stream, tools=[{"type": kind}])
    demanded = way.ask("Go.", stream, tools=[{"type": kind}], tool_choice="required")

    assert ["get_weather"] == [name for name, _ in answer.calls]
    assert (200, "fine") == (alone.status, alone.text)
    assert (400, "tool_choice") == (demanded.status, (demanded.error or {})["param"])


# ---- ids, images and fields


def test_results_without_ids_find_their_calls(way: Way, stream: bool) -> None:
    """Nor need the calls have any; their arguments may be an object."""
    calls = [{"function": {"name": "get_weather", "arguments": {"city": "Rome"}}}] * 2
    messages = [
        {"role": "user", "content": "user-words"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "content": "first-words"},
        {"role": "tool", "content": {"sky": "second-words"}},
    ]
    answer = way.ask(messages, stream, says=["Hello"], tools=[WEATHER])
    lost = way.ask([messages[0], messages[2]], stream)

    assert (200, "Hello") == (answer.status, answer.text)
    assert told(answer).index("first-words") < told(answer).index("second-words")
    assert (400, "messages[1].tool_call_id") == (lost.status, (lost.error or {})["param"])


URL_SAFE = PIXEL.replace("+", "-").replace("/", "_").replace("data:image_png", "data:image/png")


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": URL_SAFE.rstrip("=")}},
        {"type": "input_image", "image_url": PIXEL[:60] + "\r\n" + PIXEL[60:]},
        {"type": "input_audio", "input_audio": {"data": "data:;base64,SUQzBA", "format": "mp3"}},
        {"type": "input_audio", "input_audio": {"data": "data:audio/wav;base64,SUQzBA=="}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf",
                                        "data": "JVBERi0"}},
    ],
    ids=["safe for URLs", "in lines", "sound as a URI", "sound without format", "document"],
)  # fmt: skip
def test_any_base64_reaches_the_bot(way: Way, stream: bool, part: dict[str, Any]) -> None:
    """Without padding, in lines, as a data URI: the bot names one attachment."""
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, part]}]
    answer = way.ask(messages, stream)

    assert 200 == answer.status
    assert "You attached" in answer.text or "I see 1" in answer.text


def test_what_poe_passes_over_is_no_mistake(way: Way, stream: bool) -> None:
    """A program that works with Poe itself works here: there are no probabilities, and no sound."""
    answer = way.ask(
        "!echo fine", stream, logprobs=True, top_logprobs=3, modalities=["text", "audio"],
        audio={"voice": "alloy", "format": "wav"},
    )  # fmt: skip

    assert (200, "fine") == (answer.status, answer.text)


def test_numbers_and_switches_may_be_texts(way: Way, stream: bool) -> None:
    """As forms send them; 0 and -1 are no limit."""
    fields = {"temperature": "0.7", "max_tokens": "0" if stream else -1, "top_p": "1"}
    answer = way.ask("!echo fine", stream, **fields, stop=[], n="1")

    assert (200, "fine", "stop") == (answer.status, answer.text, answer.finish)


@pytest.fixture(scope="module", params=ONLY)
def strict(request: pytest.FixtureRequest, poe: Sim) -> Iterator[Proxy]:
    """A proxy that refuses what Poe passes over."""
    only = ONLY[request.param]
    with Proxy(poe, API_RATE_LIMIT="0", STRICT_PARAMETERS="1", **only) as running:
        yield running


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"logprobs": True}, "logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"tools": [WEATHER, {"type": "web_search"}]}, "tools[1]"),
    ],
    ids=["logprobs", "sound", "web search"],
)
def test_it_is_a_mistake_where_that_is_wanted(
    strict: Proxy, stream: bool, fields: dict[str, Any], param: str
) -> None:
    """With STRICT_PARAMETERS a 400 names the field."""
    answer = strict.post(
        {"model": BOT, "messages": [{"role": "user", "content": "hi"}], "stream": stream, **fields}
    )

    assert (400, param) == (answer.status_code, error_of(answer)["param"])
