from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from poe_sim.app import Running

from .api_support import Api, fresh, said, serving
from .browser import Browser

CAN_BE = "a line is a text, or an object with calls, or with a stream or a body"
TWO = ["One\n<two>", {"text": "Let me see.", "calls": [{"name": "look", "arguments": {"at": 1}}]}]


@pytest.fixture(scope="module")
def server() -> Iterator[Api]:
    with serving() as one:
        yield one


@pytest.fixture
def api(server: Api) -> Api:
    return fresh(server)


def control(sim: Running, **changes: Any) -> Any:
    return requests.post(f"{sim.url}/__control", json=changes, timeout=60).json()


# ---- the web face


def test_a_bot_says_its_lines_one_after_the_other(sim: Running, browser: Browser) -> None:
    """Each message gets the next line, whatever its prompt; then the bot answers by itself."""
    control(sim, lines={"gpt4_o": ["First, 世界\n", "<tool>\n{}"]})

    assert "First, 世界\n" == browser.ask("!echo hello", bot="GPT-4o")[-1]
    assert "<tool>\n{}" == browser.ask("count to 3", bot="GPT-4o")[-1]
    assert "1, 2, 3." == browser.ask("count to 3", bot="GPT-4o")[-1]


def test_words_steer_how_a_line_comes(sim: Running, browser: Browser) -> None:
    """The words of the prompt decide on the pieces, not on the text."""
    control(sim, lines={"GPT-4o": ["one two three"]})

    texts = browser.ask("!echo !chunks=3 hello", bot="GPT-4o")

    assert ["", "one", "one two", "one two three"] == texts[:4]


def test_another_answer_is_the_next_line(sim: Running, browser: Browser) -> None:
    """Asking again for an answer to the same message takes a line as well."""
    control(sim, lines={"GPT-4o": ["First", "Second"]})
    browser.say("hello", bot="GPT-4o")
    first = browser.replies()[-1]
    browser.data("regenerateMessageMutation", messageId=first["messageId"])

    assert ("First", "Second") == (first["text"], browser.replies()[-1]["text"])
    assert ["hello", "hello"] == control(sim)["lines"]["GPT-4o"]["told"]


def test_what_a_bot_was_told_is_kept(sim: Running, browser: Browser) -> None:
    """The prompts of a bot with lines are kept as they came, also when it has no more of them."""
    assert {} == control(sim)["lines"]
    control(sim, lines={"GPT-4o": ["Hi", "Ho"]})
    browser.ask("!size=1 one", bot="GPT-4o")
    browser.ask("unheard", bot="Claude-Sonnet-4.5")

    assert {"GPT-4o": {"left": 1, "told": ["!size=1 one"]}} == control(sim)["lines"]
    browser.ask("two", bot="GPT-4o")
    browser.ask("three", bot="GPT-4o")
    assert {"left": 0, "told": ["!size=1 one", "two", "three"]} == control(sim)["lines"]["GPT-4o"]


def test_a_refused_message_takes_no_line(sim: Running, browser: Browser) -> None:
    """A refused message reaches no bot."""
    control(sim, lines={"GPT-4o": ["Hi"]})
    variables = browser.send_variables("!status=reached_limit one", bot="GPT-4o")
    browser.query("sendMessageMutation", variables)

    assert {"GPT-4o": {"left": 1, "told": []}} == control(sim)["lines"]


def test_reset_takes_lines_away(sim: Running, browser: Browser) -> None:
    """After a reset the bot answers by itself, and nothing is kept."""
    control(sim, lines={"GPT-4o": ["Hi"]})

    assert {} == control(sim, reset=True)["lines"]
    assert "1, 2." == browser.ask("count to 2", bot="GPT-4o")[-1]


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([], "lines takes an object of bots and lists of replies"),
        ({"No-Such-Bot": ["Hi"]}, "unknown bot No-Such-Bot"),
        ({"GPT-4o": "Hi"}, "the lines of a bot are a list"),
        ({"GPT-4o": ["Hi", 1]}, "a line is a text"),
        ({"GPT-4o": [TWO[1]]}, "a line is a text"),
    ],
)
def test_lines_that_a_bot_cannot_say_are_refused(
    sim: Running, lines: object, complaint: str
) -> None:
    """A web bot has texts only; one bad line makes all of them invalid."""
    good = {"Claude-Sonnet-4.5": ["Hi"]}
    given = {**good, **lines} if isinstance(lines, dict) else lines

    assert {"error": complaint} == control(sim, lines=given)
    assert {} == control(sim)["lines"]


# ---- the official API


def test_a_model_says_texts_and_calls(api: Api) -> None:
    """A line is a text, or calls with the text before them, whatever the prompt."""
    api.control(lines={"gpt-5.1": TWO})

    first, second = (api.whole("!echo Hello")["choices"][0] for _ in range(2))

    assert ("One\n<two>", "stop") == (first["message"]["content"], first["finish_reason"])
    assert ("Let me see.", "tool_calls") == (
        second["message"]["content"],
        second["finish_reason"],
    )
    (call,) = second["message"]["tool_calls"]
    assert {"name": "look", "arguments": '{"at":1}'} == call["function"]
    assert "Hello" == api.text("!echo Hello")


def test_lines_are_streamed(api: Api) -> None:
    """A line comes in the pieces that the prompt's words want."""
    api.control(lines={"GPT-5.1": TWO})

    texts, calls = api.chunks("!chunks=2 a"), api.chunks("b")

    assert "One\n<two>" == said(texts)
    assert "Let me see." == said(calls)
    printed = [
        call["function"].get("arguments", "")
        for chunk in calls
        if chunk != "[DONE]" and chunk["choices"]
        for call in chunk["choices"][0]["delta"].get("tool_calls", [])
    ]
    assert {"at": 1} == json.loads("".join(printed))


def test_arguments_that_are_a_text_stay_as_they_are(api: Api) -> None:
    """Arguments as a text are sent as they are, valid JSON or not."""
    line = {"calls": [{"name": name, "arguments": '{"broken": '} for name in ("a", "b")]}
    api.control(lines={"GPT-5.1": [line]})

    calls = api.whole("Hi")["choices"][0]["message"]["tool_calls"]

    assert [{"name": name, "arguments": '{"broken": '} for name in ("a", "b")] == [
        call["function"] for call in calls
    ]
    assert 2 == len({call["id"] for call in calls})


def test_every_endpoint_takes_the_next_line(api: Api) -> None:
    """The lines belong to the model; what it was told is kept as each endpoint has it."""
    api.control(lines={"Claude-Sonnet-4.5": ["One", "Two", "Three"]})
    hello = [{"role": "user", "content": "Hello"}]

    chat = api.text("Hello", model="claude-sonnet-4.5")
    response = api.post("/v1/responses", {"model": "claude-sonnet-4.5", "input": "Hello"})
    message = api.messages({"model": "claude-sonnet-4-5", "messages": hello})

    assert "One" == chat
    assert "Two" == response.json()["output"][-1]["content"][0]["text"]
    assert "Three" == message.json()["content"][0]["text"]
    told = api.get("/__control_api")["lines"]["Claude-Sonnet-4.5"]["told"]
    assert [hello, "Hello", hello] == told


def test_a_line_is_limited_as_any_reply(api: Api) -> None:
    """A stop word ends a line."""
    api.control(lines={"GPT-5.1": ["one two three"]})

    assert "one " == api.text("Hi", stop="two")


def test_a_line_may_be_the_raw_chunks_of_an_answer(api: Api) -> None:
    """Objects are sent as chunks, and texts as they are, whatever they mean."""
    chunk = {"choices": [], "odd": "\ud83d"}
    api.control(lines={"GPT-5.1": [{"stream": [chunk, ": hm\n\ndata: {\n\n"]}] * 3})

    streamed, unended, asked_whole = (
        api.chat("Hi", stream=True),
        api.chat("Hi !no-done", stream=True),
        api.chat("Hi"),
    )

    raw = b'data: {"choices": [], "odd": "\\ud83d"}\n\n: hm\n\ndata: {\n\n'
    assert raw + b"data: [DONE]\n\n" == streamed.content == asked_whole.content
    assert raw == unended.content
    assert "text/event-stream" == streamed.headers["Content-Type"]


def test_a_line_may_be_the_raw_body_of_an_answer(api: Api) -> None:
    """It is sent unless a stream was asked for and is there as well."""
    api.control(lines={"GPT-5.1": [{"stream": [{}], "body": {"a": 1}}, {"body": "no JSON"}] * 2})

    whole, text = api.chat("Hi"), api.chat("Hi")
    streamed, only_body = api.chunks("Hi"), api.chat("Hi", stream=True)

    assert ({"a": 1}, "application/json") == (whole.json(), whole.headers["Content-Type"])
    assert b"no JSON" == text.content == only_body.content
    assert [{}, "[DONE]"] == streamed


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (None, "lines takes an object of bots and lists of replies"),
        ({"No-Such-Bot": ["Hi"]}, "unknown bot No-Such-Bot"),
        ({"GPT-5.1": [{"text": "Hi"}]}, CAN_BE),
        ({"GPT-5.1": [{"calls": [], "more": 1}]}, CAN_BE),
        ({"GPT-5.1": [{"calls": [], "text": 1}]}, CAN_BE),
        ({"GPT-5.1": [{}]}, CAN_BE),
        ({"GPT-5.1": [{"stream": [], "text": "Hi"}]}, CAN_BE),
        ({"GPT-5.1": [{"stream": "a"}]}, "a stream is a list, and a body is an object or a text"),
        ({"GPT-5.1": [{"body": 1}]}, "a stream is a list, and a body is an object or a text"),
        ({"GPT-5.1": [{"stream": [1]}]}, "a chunk of a stream is an object or a text"),
        (
            {"GPT-5.1": [{"calls": [{"name": "a"}]}]},
            "a call has a name, and arguments that are an object or a text",
        ),
    ],
)
def test_lines_that_a_model_cannot_say_are_refused(api: Api, lines: object, complaint: str) -> None:
    """An invalid line is a 400, and nothing else in its request takes effect."""
    answer = api.post("/__control_api", {"lines": lines, "strict": True})

    assert (400, {"error": complaint}) == (answer.status_code, answer.json())
    state = api.get("/__control_api")
    assert (False, {}) == (state["strict"], state["lines"])


def test_reset_takes_the_lines_of_models_away(api: Api) -> None:
    """A reset removes all lines but those that come with it."""
    api.control(lines={"GPT-5.1": ["Hi"], "GPT-4o": ["Hi"]})

    state = api.control(reset=True, lines={"GPT-4o": ["Ho"]})

    assert {"GPT-4o": {"left": 1, "told": []}} == state["lines"]
