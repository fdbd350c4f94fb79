"""What an answer looks like: bodies, streams, tool calls, thoughts, rewritten text, hang-ups."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from openai.lib.streaming.chat import ContentDoneEvent

from ..servers import Proxy, Sim, ask
from .asking import BOT, ENVELOPE, ONLY, THOUGHT, WEATHER, WORDS, Way

# ---- whole answers and streams


def test_an_answer_is_the_bot_s_words(way: Way, stream: bool) -> None:
    """To the letter, and under the name that was asked for; `asking` checks the shape, strictly."""
    answer = way.ask("Go.", stream, says=[WORDS], model=BOT.lower())

    assert (200, WORDS, "stop", "") == (
        answer.status,
        answer.text,
        answer.finish,
        answer.reasoning,
    )
    assert answer.headers["x-request-id"].startswith("req_")
    assert {BOT.lower()} == {chunk["model"] for chunk in answer.chunks} or not stream


def test_a_whole_answer_is_a_chat_completion(way: Way) -> None:
    """The literal, a whole number as its time, one choice, a reason, and always the usage."""
    body = way.proxy.post(ask("!echo Hello", BOT)).json()

    assert {*ENVELOPE, "choices", "usage"} == body.keys()
    assert "chat.completion" == body["object"]
    assert body["id"].startswith("chatcmpl-")
    assert int is type(body["created"])
    assert abs(time.time() - body["created"]) < 60
    assert BOT == body["model"]
    assert [(0, "stop", {"role": "assistant", "content": "Hello"})] == [
        (one["index"], one["finish_reason"], one["message"]) for one in body["choices"]
    ]
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert min(usage["prompt_tokens"], usage["completion_tokens"]) > 0


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, {"include_usage": True}])
def test_a_stream_is_role_words_reason_and_end(way: Way, options: dict[str, Any] | None) -> None:
    """Role first, the words, the reason last; figures only if asked for, and then `[DONE]`."""
    fields = {} if options is None else {"stream_options": options}
    # By cookie, what came at one time is one piece, unless something else came in between.
    prompt = "!title=middle !chunks=5 Go."
    answer = way.ask(prompt, True, says=["one two three four five"], **fields)
    wanted = bool((options or {}).get("include_usage"))
    chunks = list(answer.chunks)

    assert "no-cache" == answer.headers["Cache-Control"]
    assert "no" == answer.headers["X-Accel-Buffering"]
    assert answer.is_done
    assert {"role": "assistant", "content": ""} == chunks[0]["choices"][0]["delta"]
    if wanted:
        last = chunks.pop()
        assert [] == last["choices"]
        assert last["usage"]["total_tokens"] > 0
    assert all(chunk.get("usage") is None for chunk in chunks)
    assert all(("usage" in chunk) == wanted for chunk in chunks)
    *deltas, end = [chunk["choices"][0] for chunk in chunks[1:]]
    assert ({}, "stop") == (end["delta"], end["finish_reason"])
    # How many there are is for time to say: what has come together leaves together.
    assert "one two three four five" == "".join(one["delta"]["content"] for one in deltas)
    assert all(["content"] == list(one["delta"]) for one in deltas)
    assert all(one["finish_reason"] is None for one in deltas)
    assert {"chat.completion.chunk"} == {chunk["object"] for chunk in chunks}


def test_the_openai_package_reads_a_stream_with_its_helper(way: Way) -> None:
    """Its accumulating reader, which checks each step, arrives at the answer."""
    messages = [{"role": "user", "content": f"!echo {WORDS}"}]
    with (
        way.proxy.openai() as client,
        client.chat.completions.stream(model=BOT, messages=messages) as events,
    ):
        (done,) = [one for one in events if isinstance(one, ContentDoneEvent)]
        final = events.get_final_completion()

    assert WORDS == done.content == final.choices[0].message.content


@pytest.mark.parametrize("how", ["!size=1", "!chunks=3", "!split-utf8"])
def test_letters_of_several_bytes_stay_whole(way: Way, stream: bool, how: str) -> None:
    """However Poe cuts its frames, and each of our chunks is text by itself."""
    answer = way.ask(f"{how} Go.", stream, says=[WORDS * 3])

    assert WORDS * 3 == answer.text


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_an_answer_has_the_reason_why_the_bot_stopped(way: Way, stream: bool, reason: str) -> None:
    """The reasons that Poe gives by key are OpenAI's; by cookie only our own cut is known."""
    fields = {"max_tokens": 1} if reason == "length" else {}
    word = f"!finish={reason} " if not way.by_cookie and reason != "length" else ""
    answer = way.ask(f"{word}!echo one two three", stream, **fields)

    expected = "stop" if way.by_cookie and reason == "content_filter" else reason
    assert expected == answer.finish


# ---- tools


def deltas_of_calls(chunks: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The tool calls of each chunk that has any."""
    return [
        choice["delta"]["tool_calls"]
        for chunk in chunks
        for choice in chunk["choices"]
        if "tool_calls" in choice["delta"]
    ]


def test_calls_of_tools_come_one_to_a_chunk(way: Way, stream: bool) -> None:
    """Each call has an index and an id of its own and its arguments as text; the reason is
    `tool_calls`."""
    answer = way.ask("Go.", stream, says=[way.call("Paris", "Rom", "北京")], tools=[WEATHER])

    assert (200, "tool_calls", "") == (answer.status, answer.finish, answer.text)
    assert ["get_weather"] * 3 == [name for name, _ in answer.calls]
    assert ["Paris", "Rom", "北京"] == [json.loads(args)["city"] for _, args in answer.calls]
    assert 3 == len(set(answer.call_ids))
    calls = deltas_of_calls(answer.chunks)
    assert stream == bool(calls)
    begun: set[int] = set()
    for chunk in calls:
        (call,) = chunk
        assert isinstance(call["function"]["arguments"], str)
        if call["index"] not in begun:
            begun.add(call["index"])
            assert call["id"]
            assert ("function", "get_weather") == (call["type"], call["function"]["name"])
    assert begun == ({0, 1, 2} if stream else set())


def test_one_call_at_a_time_is_one_call(way: Way, stream: bool) -> None:
    """With `parallel_tool_calls: false` a second call of the bot is not passed on."""
    answer = way.ask(
        "Go.",
        stream,
        says=[way.call("Paris", "Rom")],
        tools=[WEATHER],
        parallel_tool_calls=False,
    )

    assert ([("get_weather", "Paris")], "tool_calls") == (
        [(name, json.loads(args)["city"]) for name, args in answer.calls],
        answer.finish,
    )


def test_words_before_a_call_are_content(way: Way, stream: bool) -> None:
    """What the bot says first is the text, and no mark of the call is in it."""
    answer = way.ask(
        "Go.", stream, says=[way.call("Paris", text="Let me look.\n")], tools=[WEATHER]
    )

    assert "tool_calls" == answer.finish
    assert 1 == len(answer.calls)
    assert answer.text.strip() in ("Let me look.", "")
    assert way.by_cookie <= ("Let me look." in answer.text)


def without_tools(way: Way) -> str:
    """A bot that is taught: by cookie each is."""
    return BOT if way.by_cookie else "GPT-4o-Search"


def test_a_call_that_stays_unclear_is_text(way: Way, stream: bool) -> None:
    """After one re-ask it is the answer, as the bot wrote it, unless a call must come."""
    wrong = 'So:\n<tool_call>\n{"name": "look", "arguments": {}}\n</tool_call>\nLike that.'
    bot = without_tools(way)
    way.control(lines={bot: [wrong] * 4})

    answer = way.ask("Go.", stream, model=bot, tools=[WEATHER])
    demanded = way.ask("Go.", False, model=bot, tools=[WEATHER], tool_choice="required")
    told = way.control()["lines"][bot]["told"]
    way.control(lines={bot: []})

    assert (200, wrong, "stop", []) == (answer.status, answer.text, answer.finish, answer.calls)
    assert (502, "tool_call_invalid") == (demanded.status, (demanded.error or {})["code"])
    assert 4 == len(told)


def test_a_bot_that_is_taught_reads_signatures_and_roles(way: Way, stream: bool) -> None:
    """Whatever SIMULATE_ROLES says: it is 0 here."""
    bot = without_tools(way)
    way.control(lines={bot: ["No need to."]})

    answer = way.ask("Go.", stream, model=bot, tools=[WEATHER])
    [told] = way.control()["lines"][bot]["told"]
    way.control(lines={bot: []})

    assert "No need to." == answer.text
    assert "get_weather(city: string)" in json.dumps(told)
    if way.by_cookie:
        assert told.startswith("||>Instructions-\n# Tools\n")
        assert told.endswith("\n||>User-\nGo.\n||>Assistant-\n")


@pytest.mark.parametrize("choice", ["none", "auto", "required", "named"])
def test_the_choice_of_tools_is_kept(way: Way, stream: bool, choice: str) -> None:
    """None, auto, required and by name; a bot that does not call where it must is asked again."""
    named = {"type": "function", "function": {"name": "get_weather"}}
    called = choice != "none"
    says = {
        "none": ["No need to."],
        "auto": [way.call("Paris")],
        "required": ["I had rather not.", way.call("Paris")],
        "named": ["I had rather not.", way.call("Paris")],
    }
    answer = way.ask(
        "weather in Paris",
        stream,
        # By key the choice is kept at Poe.
        says=says[choice] if way.by_cookie else [],
        tools=[WEATHER],
        tool_choice=named if choice == "named" else choice,
    )

    assert called == bool(answer.calls)
    assert ("tool_calls" if called else "stop") == answer.finish


def test_a_result_goes_back_and_is_answered(way: Way, stream: bool) -> None:
    """The turn after a call: its result reaches the bot, and the answer is text."""
    first = way.ask("Go.", stream, says=[way.call("Paris")], tools=[WEATHER])
    call = {
        "id": first.call_ids[0],
        "type": "function",
        "function": dict(zip(("name", "arguments"), first.calls[0], strict=True)),
    }
    messages = [
        {"role": "user", "content": "Go."},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "It snows in Paris."},
    ]
    second = way.ask(messages, stream, says=["Take a coat."], tools=[WEATHER])

    assert ("Take a coat.", "stop", []) == (second.text, second.finish, second.calls)
    assert "It snows in Paris." in json.dumps(second.told)


@pytest.mark.parametrize("choice", [{}, {"function_call": {"name": "get_weather"}}], ids=str)
def test_functions_are_the_older_form_of_tools(
    way: Way, stream: bool, choice: dict[str, Any]
) -> None:
    """One call comes as `function_call`; its result goes back in a message of role `function`."""
    functions = [WEATHER["function"]]
    first = way.ask("Go.", stream, says=[way.call("Paris", "Rom")], functions=functions, **choice)

    assert first.function_call is not None
    name, arguments = first.function_call
    assert ("function_call", []) == (first.finish, first.calls)
    assert ("get_weather", {"city": "Paris"}) == (name, json.loads(arguments))

    second = way.ask(
        [
            {"role": "user", "content": "Go."},
            {
                "role": "assistant",
                "content": None,
                "function_call": {"name": name, "arguments": arguments},
            },
            {"role": "function", "name": name, "content": "It snows in Paris."},
        ],
        stream,
        says=["Take a coat."],
        functions=functions,
    )

    assert ("Take a coat.", "stop", None) == (second.text, second.finish, second.function_call)
    assert "It snows in Paris." in json.dumps(second.told)
    assert "Paris" in json.dumps(second.told).replace("It snows in Paris.", "")


# ---- thoughts and rewritten text


@pytest.mark.parametrize("how", [THOUGHT, "!quoted-thinking"], ids=["drafts", "quoted"])
def test_thoughts_are_not_part_of_the_answer(way: Way, stream: bool, how: str) -> None:
    """Drafts of `Thinking...`, and quotations in front, are reasoning_content and nothing else."""
    answer = way.ask(f"{how} Tell me a poem.", stream)

    assert (200, "stop") == (answer.status, answer.finish)
    assert "Thinking" not in answer.text
    assert "elapsed" not in answer.text
    assert not answer.text.startswith((">", "\n", " "))
    assert "A word sets out along the wire" in answer.text
    assert answer.reasoning.strip()
    assert answer.text not in answer.reasoning


def test_the_thoughts_of_a_bot_that_always_thinks_are_kept_apart(way: Way, stream: bool) -> None:
    """Its thoughts come beside the answer without being asked for, and not within it."""
    answer = way.ask(f"{THOUGHT} Tell me a poem.", stream, model="DeepSeek-R1")

    assert answer.reasoning.strip()
    assert "Thinking" not in answer.text
    assert answer.text.startswith("A word sets out")


def test_rewritten_text_is_not_repeated(way: Way, stream: bool) -> None:
    """A bot by cookie that takes back its draft: the last version, once; in a stream behind the
    draft, which cannot be taken back. By key texts only grow."""
    said = "the last version of the whole of it"
    answer = way.ask(f"!rewrite !chunks=8 !echo {said}", stream)

    assert 1 == answer.text.count(said)
    assert stream or said == answer.text


# ---- time


def test_signs_of_life_leave_no_trace(way: Way, stream: bool) -> None:
    """A bot that takes its time, at first or in the middle, gives the same answer."""
    answer = way.ask("!first=0.7 !silence=0.7 !chunks=4 Go.", stream, says=[WORDS])

    assert (200, WORDS, "stop") == (answer.status, answer.text, answer.finish)


@pytest.fixture(scope="module", params=ONLY)
def lonely(request: pytest.FixtureRequest, poe: Sim) -> Iterator[Way]:
    """A proxy with one account that gives one reply at a time."""
    one = {"TOKENS": "cookie-a", "POE_API_KEYS": "key-a"}
    at_a_time = {"TOKEN_CONCURRENCY": "1", "API_CONCURRENCY": "1", "QUEUE_TIMEOUT": "60"}
    with Proxy(poe, **{**one, **ONLY[request.param], **at_a_time}) as proxy:
        yield Way(request.param, poe, proxy)


@pytest.mark.parametrize("how", ["!first=3600", "!delay=0.5 !chunks=400"], ids=["early", "late"])
def test_a_client_that_hangs_up_stops_the_bot(lonely: Way, stream: bool, how: str) -> None:
    """Before the first word or among them: the bot is stopped at Poe, and its account is free."""
    asked = ask(f"{how} !long=20000", BOT, stream=stream)
    lonely.hang_up("/v1/chat/completions", asked, among_words=stream and "first" not in how)
    after = lonely.ask("!echo still here", stream)

    assert (200, "still here") == (after.status, after.text)
