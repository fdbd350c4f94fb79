from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from .api_support import Api, events, fresh, serving

TOOL = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n12").decode()


@pytest.fixture(scope="module")
def server() -> Iterator[Api]:
    with serving() as one:
        yield one


@pytest.fixture
def api(server: Api) -> Api:
    return fresh(server)


def say(content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


def ask(api: Api, content: Any, **fields: Any) -> Any:
    answer = api.messages({**say(content), **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def error(api: Api, content: Any, status: int = 400, **fields: Any) -> Any:
    answer = api.messages({**say(content), **fields})
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["type"] == "error"
    assert body["request_id"] == answer.headers["request-id"]
    return body["error"]


def stream(api: Api, content: Any, **fields: Any) -> list[Any]:
    answer = api.messages({**say(content), "stream": True, **fields})
    found = [(name, json.loads(data)) for name, data in events(answer.content)]
    assert all(name == data["type"] for name, data in found)
    return [data for _, data in found]


def test_a_whole_message(api: Api) -> None:
    """A whole message has Poe's id, Anthropic's shape, and always the cache's usage."""
    message = ask(api, "!echo Hello", system="Be kind.")
    assert re.fullmatch(r"req_poe_[0-9a-f]{32}", message["id"])
    assert message["content"] == [{"type": "text", "text": "Hello"}]
    assert (message["stop_reason"], message["stop_sequence"]) == ("end_turn", None)
    assert message["model"] == "claude-sonnet-4.5"
    assert "cache_creation" in message["usage"]


def test_a_key_comes_in_either_header(api: Api) -> None:
    """`x-api-key` and a bearer are both accepted; `x-api-key` wins."""
    body = {"model": "claude-sonnet-4.5", "max_tokens": 9, **say("hi")}
    version = {"anthropic-version": "2023-06-01"}
    assert api.post("/v1/messages", body, headers=version).status_code == 200
    assert api.messages(say("hi"), Authorization="Bearer nobody").status_code == 200
    answer = api.messages(say("hi"), Authorization="Bearer k1", **{"x-api-key": "nobody"})
    assert answer.status_code == 401
    expected = {"type": "authentication_error", "message": "Invalid API key"}
    assert answer.json()["error"] == expected


@pytest.mark.parametrize(
    "name", ["claude-sonnet-4.5", "Claude-Sonnet-4.5", "claude-sonnet-4-5-20250929"]
)
def test_claude_goes_by_several_names(api: Api, name: str) -> None:
    """Claude is found by Poe's names and by Anthropic's."""
    assert ask(api, "hi", model=name)["model"] == name


def test_other_models_are_not_found(api: Api) -> None:
    """Other models are a 404 whose message has the model's name."""
    expected = {"type": "not_found_error", "message": "model: gpt-4o"}
    assert error(api, "hi", 404, model="gpt-4o") == expected
    assert error(api, "hi", 404, model="nobody")["message"] == "model: nobody"


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": None},
        {"messages": []},
        {"messages": [{"role": "system", "content": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "riddle"}]}]},
        {"temperature": 1.5},
        {"context_management": {}},
        {"thinking": {"type": "enabled", "budget_tokens": 5}},
        {"thinking": {"type": "enabled", "budget_tokens": 2000}},
        {"tools": [{"name": "x"}]},
        {"tool_choice": {"type": "any"}},
        {"stop_sequences": "x"},
    ],
)
def test_an_invalid_request_is_refused(api: Api, fields: Any) -> None:
    """An invalid request is a 400, and so is one with beta fields."""
    assert error(api, "hi", **fields)["type"] == "invalid_request_error"


def test_the_version_is_required(api: Api) -> None:
    """A request without the version header is a 400."""
    body = {"model": "claude-sonnet-4.5", "max_tokens": 9, **say("hi")}
    assert api.post("/v1/messages", body).status_code == 400


def test_a_prompt_may_be_too_long(api: Api) -> None:
    """The refusal of a long prompt has both numbers in its message."""
    message = error(api, "x" * 8000, model="Sim-Short-Memory")["message"]
    assert re.fullmatch(r"prompt is too long: \d+ tokens > 500 maximum", message)


def test_every_answer_has_the_rate_limit(api: Api) -> None:
    """Answers have Anthropic's headers of the rate limit."""
    headers = api.messages(say("hi")).headers
    assert headers["anthropic-ratelimit-requests-limit"] == "500"
    assert headers["anthropic-ratelimit-requests-remaining"] == "499"
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", headers["anthropic-ratelimit-requests-reset"]
    )


def test_an_answer_ends_early(api: Api) -> None:
    """An answer ends before a stop sequence, or after so many tokens."""
    message = ask(api, "!echo one two three", stop_sequences=["three"])
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "three")
    assert message["content"][0]["text"] == "one two "
    message = ask(api, "!echo one two three", max_tokens=2)
    assert (message["stop_reason"], message["content"][0]["text"]) == ("max_tokens", "one two")


def test_thinking_is_a_signed_block(api: Api) -> None:
    """Enabled thinking is a signed block before the text."""
    thinking = {"type": "enabled", "budget_tokens": 1024}
    blocks = ask(api, "hi", max_tokens=2000, thinking=thinking)["content"]
    assert [block["type"] for block in blocks] == ["thinking", "text"]
    assert blocks[0]["signature"]


def test_tools_are_called_and_their_results_used(api: Api) -> None:
    """A tool is called, and its result is used; a streamed input comes in pieces."""
    message = ask(api, "How is the weather in Rome?", tools=[TOOL])
    assert message["stop_reason"] == "tool_use"
    [call] = message["content"]
    assert call["id"].startswith("toolu_vrtx_")
    assert call["input"] == {"city": "Rome"}
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "21 degrees"}
    back = [
        {"role": "user", "content": "How is the weather in Rome?"},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    ]
    body = api.messages({"messages": back, "tools": [TOOL]}).json()
    assert "21 degrees" in body["content"][0]["text"]
    back[2]["content"] = [{**result, "tool_use_id": "never"}]
    assert api.messages({"messages": back}).status_code == 400
    found = stream(api, "How is the weather in Rome?", tools=[TOOL])
    deltas = [event["delta"] for event in found if event["type"] == "content_block_delta"]
    assert json.loads("".join(delta["partial_json"] for delta in deltas)) == {"city": "Rome"}


def test_tool_choice_is_honoured(api: Api) -> None:
    """The choices none, any, one by name and one at a time are honoured."""

    def stop(prompt: str, **fields: Any) -> str:
        return str(ask(api, prompt, tools=[TOOL], **fields)["stop_reason"])

    assert stop("weather?", tool_choice={"type": "none"}) == "end_turn"
    assert stop("hi", tool_choice={"type": "any"}) == "tool_use"
    assert stop("hi", tool_choice={"type": "tool", "name": "get_weather"}) == "tool_use"
    alone = {"type": "auto", "disable_parallel_tool_use": True}
    assert len(ask(api, "!calls=3", tools=[TOOL], tool_choice=alone)["content"]) == 1
    assert len(ask(api, "!calls=3", tools=[TOOL])["content"]) == 3


def test_pictures_are_seen(api: Api) -> None:
    """Pictures are seen by content or by link; broken ones are refused."""
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    text = ask(api, [{"type": "image", "source": source}])["content"][0]["text"]
    assert "I see 1 image:\n- image/png, 10 bytes" in text
    url = {"type": "url", "url": "https://example.com/cat.png"}
    text = ask(api, [{"type": "image", "source": url}])["content"][0]["text"]
    assert "https://example.com/cat.png" in text
    assert error(api, [{"type": "image", "source": {**source, "data": "***"}}])


def test_a_long_prompt_is_cached_when_it_is_marked(api: Api) -> None:
    """A marked long prompt is written first and read afterwards; a short one never."""
    block = {"type": "text", "text": "x" * 6000, "cache_control": {"type": "ephemeral"}}
    first, second = (ask(api, "hi", system=[block])["usage"] for _ in range(2))
    assert first["cache_creation_input_tokens"] > 1024
    assert first["cache_creation"]["ephemeral_5m_input_tokens"] > 1024
    assert second["cache_creation_input_tokens"] == 0
    assert second["cache_read_input_tokens"] == first["cache_creation_input_tokens"]
    assert (
        ask(api, "hi", system=[{**block, "text": "x"}])["usage"]["cache_creation_input_tokens"] == 0
    )


def test_the_events_of_a_stream(api: Api) -> None:
    """A stream has Anthropic's events in their order."""
    found = stream(api, "!echo one two")
    assert [event["type"] for event in found] == [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert found[0]["message"]["content"] == []
    assert found[-2]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert found[-2]["usage"]["output_tokens"] == 2


def test_an_error_in_the_middle_is_an_event(api: Api) -> None:
    """An error in the middle of a stream is its last event."""
    found = stream(api, "!echo one two three !error-after=1")
    assert found[-1]["type"] == "error"
    assert found[-1]["error"]["type"] == "overloaded_error"


@pytest.mark.parametrize(
    ("status", "kind", "prefix"),
    [
        (400, "invalid_request_error", "req_011"),
        (401, "authentication_error", "req_poe_"),
        (402, "insufficient_quota", "req_poe_"),
        (403, "moderation_error", "req_poe_"),
        (404, "not_found_error", "req_poe_"),
        (413, "request_too_large", "req_011"),
        (429, "rate_limit_error", "req_011"),
        (500, "provider_error", "req_011"),
        (529, "overloaded_error", "req_011"),
        (503, "api_error", "req_poe_"),
    ],
)
def test_any_status_can_be_had(api: Api, status: int, kind: str, prefix: str) -> None:
    """Any status comes in Anthropic's envelope, with Anthropic's id or Poe's."""
    answer = api.messages(say(f"!http={status}"))
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == kind
    assert answer.json()["request_id"].startswith(prefix)


def test_a_message_may_be_an_error_of_the_vendor_in_json(api: Api) -> None:
    """A message may hold the vendor's error as JSON."""
    message = error(api, "!http=400 !nested-error")["message"]
    assert json.loads(message)["error"]["message"]


def test_thinking_is_streamed_and_signed(api: Api) -> None:
    """The block of thinking comes first and ends with its signature."""
    thinking = {"type": "enabled", "budget_tokens": 1024}
    found = stream(api, "count to 3", max_tokens=2000, thinking=thinking)
    deltas = [event["delta"] for event in found if event["type"] == "content_block_delta"]
    kinds = [delta["type"] for delta in deltas]
    assert kinds[0] == "thinking_delta"
    assert kinds.index("signature_delta") < kinds.index("text_delta")
    assert "".join(delta.get("text", "") for delta in deltas) == "1, 2, 3."
