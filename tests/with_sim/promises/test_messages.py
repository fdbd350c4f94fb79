"""Anthropic's API through the real server and over both ways to Poe: what its clients rely on."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from anthropic import APIStatusError

from ...apis.messages import reading
from ..servers import KEY
from .asking import BOT, PIXEL, TAUGHT, THOUGHT, WORDS, Way
from .messaging import CLAUDE, HEADERS, MESSAGES, WEATHER, anthropic, ask, send

# ---- answers


def test_an_answer_is_the_bot_s_words(way: Way, stream: bool) -> None:
    """To the letter, under the name that was asked for, which is one of Anthropic's."""
    answer = ask(way, "Go.", stream, says=[WORDS])

    assert (200, WORDS, CLAUDE, "end_turn", None) == (
        answer.status,
        answer.text,
        answer.model,
        answer.reason,
        answer.stop_sequence,
    )
    assert min(answer.usage["input_tokens"], answer.usage["output_tokens"]) > 0


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": KEY, "anthropic-version": "2026-10-21"},
        {"Authorization": f"Bearer {KEY}", "anthropic-version": "2023-06-01"},
        {"Authorization": f"Bearer {KEY}"},
    ],
    ids=["newer", "bearer", "no version"],
)
def test_versions_and_keys(way: Way, stream: bool, headers: dict[str, str]) -> None:
    """Any version, and none; what the newer one refuses is taken in it, too."""
    answer = ask(way, "!echo Hi", stream, headers=headers, path="/messages", temperature=0.5)

    assert (200, "Hi") == (answer.status, answer.text)


def test_its_package_reads_answers_and_streams(way: Way) -> None:
    """Whole, with its helper for streams, and the count of tokens."""
    asked: Any = {"max_tokens": 100, "messages": [{"role": "user", "content": f"!echo {WORDS}"}]}
    with anthropic(way.proxy) as client:
        whole = client.messages.create(model=BOT, **asked)
        with client.messages.stream(model=BOT, **asked) as events:
            streamed = events.get_final_message()
        counted = client.messages.count_tokens(model=BOT, messages=asked["messages"])
        models = client.models.list(limit=1000)
        (listed,) = [one for one in models if one.id == BOT]
        found = client.models.retrieve(CLAUDE)

    for message in (whole, streamed):
        assert [WORDS] == [one.text for one in message.content if one.type == "text"]
        assert "end_turn" == message.stop_reason
        assert message.usage.input_tokens > 0
    assert counted.input_tokens > 0
    assert listed == found


def test_what_claude_code_sends(way: Way, stream: bool) -> None:
    """Its fields, its instructions in blocks, a message of role system among the others, thoughts
    of earlier turns, a tool that stands for those not sent yet."""
    schema = {"type": "object", "properties": {}}
    deferred = {"name": "DeferredToolPlaceholder", "input_schema": schema, "defer_loading": True}
    cached = {"cache_control": {"type": "ephemeral"}}
    answer = ask(
        way,
        [
            {"role": "user", "content": [{"type": "text", "text": "<system-reminder>"},
                                         {"type": "text", "text": "Fix it.", **cached}]},
            {"role": "system", "content": "# Environment"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "SECRET THOUGHT", "signature": "SIG1"},
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "toolu_1", "name": "get_weather",
                 "input": {"city": "Paris"}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "It snows.", **cached},
                {"type": "text", "text": "Tool loaded."}]},
        ],
        stream,
        says=["Take a coat."],
        max_tokens=32_000,
        thinking={"type": "enabled", "budget_tokens": 31_999, "display": "omitted"},
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        metadata={"user_id": "{}"},
        system=[{"type": "text", "text": "x-anthropic-billing-header: cc_version=2"},
                {"type": "text", "text": "You are an agent.", **cached}],
        tools=[WEATHER, deferred],
    )  # fmt: skip
    told = json.dumps(answer.told)

    assert (200, "Take a coat.", "end_turn") == (answer.status, answer.text, answer.reason)
    for word in ("You are an agent.", "# Environment", "Fix it.", "It snows.", "Tool loaded."):
        assert word in told
    for word in ("billing", "SECRET THOUGHT", "DeferredToolPlaceholder", "$schema"):
        assert word not in told


def test_thoughts_are_blocks_before_the_answer(way: Way, stream: bool) -> None:
    """Of a bot that thinks, by either way."""
    answer = ask(way, f"{THOUGHT} Say hello.", stream, model=TAUGHT)

    assert answer.thoughts
    assert answer.text
    assert "thinking" == answer.content[0]["type"]


# ---- tools


def test_calls_and_their_results(way: Way, stream: bool) -> None:
    """Each call is a block with its input as an object; its result goes back by its id."""
    first = ask(way, "Go.", stream, says=[way.call("Paris", "北京", text="I look.\n")],
                tools=[WEATHER])  # fmt: skip
    results = [
        {"type": "tool_result", "tool_use_id": one["id"], "content": "It snows."}
        for one in first.content
        if one["type"] == "tool_use"
    ]
    second = ask(
        way,
        [
            {"role": "user", "content": "Go."},
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": results},
        ],
        stream,
        says=["Take a coat."],
        tools=[WEATHER],
    )

    assert [("get_weather", {"city": "Paris"}), ("get_weather", {"city": "北京"})] == first.calls
    assert "tool_use" == first.reason
    assert 2 == len({one["tool_use_id"] for one in results})
    assert ("Take a coat.", "end_turn") == (second.text, second.reason)


def test_one_call_at_a_time(way: Way, stream: bool) -> None:
    """Where the choice of tools says so; the choice is kept."""
    answer = ask(
        way,
        "weather in Paris",
        stream,
        says=[way.call("Paris", "Rom")],
        tools=[WEATHER],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
    )

    assert [("get_weather", {"city": "Paris"})] == answer.calls


def test_a_search_is_answered_without_the_tool(way: Way, stream: bool) -> None:
    """By key the bot is asked to search where it declares that it can."""
    answer = ask(
        way,
        "!echo found" if way.by_cookie else "!say-params",
        stream,
        tools=[{"type": "web_search_20250305", "name": "web_search", "max_uses": 8}],
        tool_choice={"type": "tool", "name": "web_search"},
    )

    assert (200, "end_turn") == (answer.status, answer.reason)
    assert way.by_cookie or json.loads(answer.text)["web_search"] is True


def test_pictures_in_messages_and_results_reach_the_bot(way: Way, stream: bool) -> None:
    """One of the message and one of a result: the bot sees both."""
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL.partition(",")[2]}
    picture = {"type": "image", "source": source}
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
    answer = ask(
        way,
        [
            {"role": "user", "content": "Look at a picture."},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "t1", "name": "Read", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": [picture]},
                {"type": "document", "source": pdf, "title": "a.pdf"},
                {"type": "text", "text": "What is it?"}]},
        ],
        stream,
    )  # fmt: skip

    assert 200 == answer.status
    assert "You attached" in answer.text or "I see" in answer.text


# ---- where it ends


def test_an_answer_ends_before_a_stop_sequence(way: Way, stream: bool) -> None:
    """And says which one it was; the bot is stopped there, as Poe does not tell."""
    answer = ask(
        way, "!size=1 Go.", stream, says=["One two END of it."], stop_sequences=["never", "END of"]
    )

    assert ("One two ", "stop_sequence", "END of") == (
        answer.text,
        answer.reason,
        answer.stop_sequence,
    )


def test_an_answer_is_cut_at_its_length(way: Way, stream: bool) -> None:
    """Of a single token, too, as programs ask to see whether they may."""
    answer = ask(way, "Go.", stream, says=["one two three four five six"], max_tokens=1)

    assert (200, "max_tokens") == (answer.status, answer.reason)
    assert "one two three four five six".startswith(answer.text)


def test_the_beginning_of_an_answer_may_be_given(way: Way, stream: bool) -> None:
    """The bot is told it as its own words."""
    answer = ask(
        way,
        [{"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "It is ("}],
        stream,
        says=["2)"],
    )

    assert "2)" == answer.text
    assert "It is (" in json.dumps(answer.told)


def test_json_by_a_schema(way: Way, stream: bool) -> None:
    """Without fence and chatter, as in the other API."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    answer = ask(
        way,
        "Go.",
        stream,
        says=['Here:\n```json\n{"a": 1}\n```'] if way.by_cookie else ['{"a": 1}'],
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )

    assert {"a": 1} == json.loads(answer.text)


@pytest.mark.parametrize("way", ["keys"], indirect=True)
def test_what_is_thought_and_said_is_asked_for_in_the_bot_s_words(way: Way) -> None:
    """By key: a budget of thoughts, and a length that the bot can have; nothing of Anthropic's."""
    answer = ask(
        way,
        "!say-params",
        False,
        max_tokens=64_000,
        thinking={"type": "enabled", "budget_tokens": 99_999},
        top_k=5,
        context_management={},
        mcp_servers=[],
    )
    sent = json.loads(answer.text)

    assert (31_999, 32_768) == (sent["thinking_budget"], sent["max_tokens"])
    assert {"model", "stream", "stream_options", "thinking_budget", "max_tokens"} >= sent.keys()


# ---- failures


@pytest.mark.parametrize(
    ("by_cookie", "by_key", "status", "type", "should_retry"),
    [
        ("!status=bot_unavailable", "!http=503", 529, "overloaded_error", None),
        ("!status=too_many_tokens", "!http=413", 400, "invalid_request_error", None),
    ],
    ids=["overloaded", "too long"],
)
def test_what_fails_before_the_first_word_has_a_status(
    way: Way,
    stream: bool,
    by_cookie: str,
    by_key: str,
    status: int,
    type: str,
    should_retry: str | None,
) -> None:
    """Anthropic's, streamed or not; the table of all is in tests/apis/messages/test_errors.py."""
    answer = ask(way, f"{by_cookie if way.by_cookie else by_key} hi", stream)

    assert (status, type, should_retry) == (
        answer.status,
        (answer.error or ("",))[0],
        answer.headers.get("x-should-retry"),
    )


def test_a_conversation_that_is_too_long_has_its_words(way: Way, stream: bool) -> None:
    """By which Claude Code shortens it."""
    model = "Sim-Short-Text-Only" if way.by_cookie else "Sim-Short-Memory"
    answer = ask(way, "word " * 2000, stream, model=model)

    assert 400 == answer.status
    assert (answer.error or ("", ""))[1].startswith("prompt is too long: ")


def test_an_unknown_bot_a_wrong_key_and_a_mistake(way: Way, stream: bool) -> None:
    """404, 401 and 400 in Anthropic's form, each before anything is asked."""
    unknown = ask(way, "hi", stream, model="No-Such-Bot-At-All")
    wrong = ask(way, "hi", stream, headers={"x-api-key": "wrong"})
    mistake = ask(way, [{"role": "user", "content": [{"type": "hologram"}]}], stream)

    assert (404, "not_found_error") == (unknown.status, (unknown.error or ("",))[0])
    assert (401, "authentication_error") == (wrong.status, (wrong.error or ("",))[0])
    assert 400 == mistake.status
    assert (mistake.error or ("", ""))[1].startswith("messages.0.content.0: ")


def test_a_failure_in_the_middle_is_an_error_event(way: Way) -> None:
    """Behind the words, and nothing behind it; the package raises it. A whole answer is a 502 that
    is not to be asked for again."""
    how = "!state=error_of_some_kind" if way.by_cookie else "!error-after=4"
    prompt = f"{how} !echo some words before the end comes to them all"

    streamed, whole = ask(way, prompt, True), ask(way, prompt, False)
    asked: Any = {"max_tokens": 100, "messages": [{"role": "user", "content": prompt}]}
    with (
        anthropic(way.proxy) as client,
        client.messages.stream(model=BOT, **asked) as events,
        pytest.raises(APIStatusError) as raised,
    ):
        events.get_final_message()

    assert (200, "api_error") == (streamed.status, (streamed.error or ("",))[0])
    assert "some words" in streamed.text
    assert (502, "api_error") == (whole.status, (whole.error or ("",))[0])
    assert "false" == whole.headers["x-should-retry"]
    assert isinstance(raised.value.body, dict)
    assert "error" == raised.value.body["type"]


# ---- time


def test_silence_is_filled_with_pings(way: Way) -> None:
    """A bot that says nothing for more than fifteen seconds; then the answer goes on."""
    answer = ask(way, "!chunks=2 !silence=16 !echo at last", True)
    assert answer.stream is not None

    assert ["content_block_delta", "ping", "content_block_delta"] == answer.stream.types[2:5]
    assert "at last" == answer.text


@pytest.mark.parametrize("how", ["!first=3600", "!delay=0.5 !chunks=400"], ids=["early", "late"])
def test_a_client_that_hangs_up_stops_the_bot(way: Way, how: str) -> None:
    """Before the first word or among them."""
    message = {"role": "user", "content": f"{how} !long=20000"}
    asked = {"model": CLAUDE, "max_tokens": 32_000, "messages": [message], "stream": True}
    way.hang_up("/v1/messages", asked, among_words="first" not in how)


# ---- counting


def test_tokens_are_counted_for_nothing(way: Way) -> None:
    """34 at once, as Claude Code asks them: nothing goes to Poe."""
    before = len(way.journal("reply-start"))
    body = {"model": CLAUDE, "messages": [{"role": "user", "content": "foo"}], "tools": [WEATHER]}

    def count(_: int) -> int:
        answer = requests.post(
            f"{way.proxy.url}{MESSAGES}/count_tokens?beta=true",
            json=body,
            headers=HEADERS,
            timeout=60,
        )
        assert 200 == answer.status_code
        return reading.tokens(answer.content)

    with ThreadPoolExecutor(34) as threads:
        counted = set(threads.map(count, range(34)))
    nowhere = send(way.proxy, {**body, "model": "no such"}, f"{MESSAGES}/count_tokens")

    assert 1 == len(counted)
    assert min(counted) > 10
    assert (404, "not_found_error") == (nowhere.status, (nowhere.error or ("",))[0])
    assert before == len(way.journal("reply-start"))
