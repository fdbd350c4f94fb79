from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from .api_support import Api, fresh, said, serving

PNG = b"\x89PNG\r\n\x1a\n" + b"dots"
PNG_URI = "data:image/png;base64," + base64.b64encode(PNG).decode()


@pytest.fixture(scope="module")
def server() -> Iterator[Api]:
    with serving() as one:
        yield one


@pytest.fixture
def api(server: Api) -> Api:
    return fresh(server)


def image(url: Any) -> list[Any]:
    content = [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": url}}]
    return [{"role": "user", "content": content}]


def test_a_whole_answer_has_poes_order_of_keys(api: Api) -> None:
    """A whole answer has the keys of official API sheet §3.5, in their order."""
    answer = api.whole("!echo Hello")
    assert list(answer) == ["id", "object", "created", "model", "choices", "usage"]
    assert re.fullmatch(r"chatcmpl-[0-9a-f]{24}", answer["id"])
    assert answer["object"] == "chat.completion"
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello"},
            "finish_reason": "stop",
        }
    ]


def test_the_headers_are_poes(api: Api) -> None:
    """Answers have the headers of official API sheet §14."""
    headers = api.chat("hi").headers
    assert headers["content-type"] == "application/json"
    assert headers["openai-version"] == "2020-10-01"
    assert int(headers["openai-processing-ms"]) >= 1
    assert headers["access-control-allow-origin"] == "*"
    assert headers["access-control-allow-headers"] == "Authorization, Content-Type"
    assert headers["x-request-id"]
    assert "x-ratelimit-limit-requests" not in headers


def test_preflight_allows_two_headers(api: Api) -> None:
    """A preflight allows two headers: browsers that send more fail, as at Poe."""
    answer = api.request("OPTIONS", "/v1/chat/completions")
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-headers"] == "Authorization, Content-Type"


def test_usage_comes_in_two_variants(api: Api) -> None:
    """Model, word and switch decide on the variant; details may be null."""
    short = {"prompt_tokens", "completion_tokens", "total_tokens"}
    long = short | {"completion_tokens_details", "prompt_tokens_details"}
    assert set(api.whole("hi", model="Claude-Sonnet-4.5")["usage"]) == short
    assert set(api.whole("hi", model="GPT-5.1")["usage"]) == long
    assert set(api.whole("hi !usage=A", model="GPT-5.1")["usage"]) == short
    assert api.whole("hi !usage=B-null")["usage"]["completion_tokens_details"] is None
    assert "usage" not in api.whole("hi !no-usage")
    api.control(usage_variant="B")
    assert set(api.whole("hi", model="Claude-Sonnet-4.5")["usage"]) == long


def test_grok_counts_more_reasoning_than_completion(api: Api) -> None:
    """Grok counts 181 tokens of reasoning whatever the completion, as recorded."""
    usage = api.whole("!echo hi", model="Grok-4")["usage"]
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 181
    assert usage["completion_tokens"] == 1


def test_reasoning_comes_twice_when_it_is_asked_for(api: Api) -> None:
    """A parameter of the model or a word brings reasoning, under two names."""
    for answer in (api.whole("hi", reasoning_effort="high"), api.whole("!echo !reason hi")):
        message = answer["choices"][0]["message"]
        assert message["reasoning_content"] == message["reasoning"] != ""
    assert "reasoning" not in api.whole("hi")["choices"][0]["message"]
    assert "reasoning" not in api.whole("hi", reasoning_effort="none")["choices"][0]["message"]


def test_thinking_can_stand_in_the_content(api: Api) -> None:
    """Thinking can be a line and a quotation before the answer; DeepSeek-R1 always has it."""
    assert api.text("!thinking count to 3").startswith("Thinking...\n\n> ")
    assert api.text("!thinking=star count to 3").startswith("*Thinking...*\n\n> ")
    text = api.text("count to 3", model="DeepSeek-R1")
    assert text.startswith("Thinking...\n\n> ")
    assert text.endswith("\n\n1, 2, 3.")


def test_the_same_question_gets_the_same_answer(api: Api) -> None:
    """The same question gets the same text, whole or streamed."""
    assert api.text("Tell me a poem") == api.text("Tell me a poem")
    assert api.text("Tell me a poem") == said(api.chunks("Tell me a poem"))


def test_only_the_last_user_message_gives_directions(api: Api) -> None:
    """Words in other messages have no effect."""
    messages = [
        {"role": "user", "content": "!http=500 first"},
        {"role": "assistant", "content": "!http=500 I failed"},
        {"role": "user", "content": "!echo second"},
        {"role": "system", "content": "!http=500"},
    ]
    assert api.text(messages) == "second"


def test_the_body_can_be_read_back(api: Api) -> None:
    """`!say-params` has all fields but the messages, `!say-messages` the messages alone."""
    params = json.loads(api.text("!say-params", temperature=0.5, user="u", nonsense={"a": [1]}))
    expected = {"model": "GPT-5.1", "temperature": 0.5, "user": "u", "nonsense": {"a": [1]}}
    assert params == expected
    messages = [
        {"role": "system", "content": "Be kind.", "name": "x"},
        {"role": "user", "content": [{"type": "text", "text": "!say-messages"}]},
    ]
    assert json.loads(api.text(messages)) == messages


def test_a_text_of_any_length(api: Api) -> None:
    """A text has exactly the length that the prompt wants, whole and streamed."""
    assert len(api.text("!long=12345")) == 12345
    assert said(api.chunks("!long=12345 !chunks=7")) == api.text("!long=12345")
    assert api.text("!empty") == ""


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_answer_ends_at_max_tokens(api: Api, name: str) -> None:
    """A truncated answer has the finish reason `length`."""
    answer = api.whole("!echo one two three four", **{name: 2})
    assert answer["choices"][0]["message"]["content"] == "one two"
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 2
    chunks = api.chunks("!echo one two three four", **{name: 2})
    assert said(chunks) == "one two"
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        ("three", "one two "),
        (["four", "two"], "one "),
        ([" \n", "\t"], "one two three four"),
        (" ", "one two three four"),
        ([], "one two three four"),
        (None, "one two three four"),
    ],
)
def test_the_answer_ends_before_a_stop_string(api: Api, stop: Any, expected: str) -> None:
    """An answer ends before a stop string, unless that is white space."""
    answer = api.whole("!echo one two three four", stop=stop)
    assert answer["choices"][0]["message"]["content"] == expected
    assert answer["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    "fields",
    [
        {"store": True},
        {"metadata": {"a": "b"}},
        {"prediction": {}},
        {"presence_penalty": 9},
        {"frequency_penalty": -9},
        {"seed": 7},
        {"service_tier": "x"},
        {"audio": {}},
        {"logit_bias": {"1": 2}},
        {"user": "me"},
        {"modalities": ["audio"]},
        {"logprobs": True, "top_logprobs": 3},
        {"response_format": {"type": "json_object"}},
        {"n": 1},
        {"temperature": None, "top_p": None, "max_tokens": None, "tools": None},
        {"tools": [], "tool_choice": "auto"},
    ],
)
def test_ignored_fields_are_accepted_even_in_strict_mode(api: Api, fields: Any) -> None:
    """The ignored fields of official API sheet §3.1 are no error."""
    api.control(strict=True)
    assert api.text("!echo hi", **fields) == "hi"


def test_a_strict_refusal_may_have_the_words_of_one_for_a_value(api: Api) -> None:
    """As clients have met it: only the words name the field."""
    api.control(strict=True, refused_as_value=True)

    error = api.error("hi", top_k=40)

    assert error["message"].startswith("Unsupported value: 'top_k' is not a parameter")
    assert ("unsupported_value", None) == (error["code"], error.get("param"))


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stop": 3}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"parallel_tool_calls": 1}, "parallel_tool_calls"),
        ({"reasoning_effort": "xhigh"}, "reasoning_effort"),
        ({"reasoning_effort": 3}, "reasoning_effort"),
        ({"web_search": "yes"}, "web_search"),
        ({"model": "Claude-Sonnet-4.5", "thinking_budget": 32000}, "thinking_budget"),
        ({"model": "Claude-Sonnet-4.5", "thinking_budget": True}, "thinking_budget"),
        ({"model": "GPT-5.1-Instant", "reasoning_effort": "low"}, "reasoning_effort"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": "sometimes"}, "tool_choice"),
    ],
)
def test_a_bad_value_is_refused_by_name(api: Api, fields: Any, param: str) -> None:
    """A 400 for a bad value names its field."""
    error = api.error("hi", **fields)
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param


def test_an_unsupported_value_lists_the_allowed_ones(api: Api) -> None:
    """The message begins as in official API sheet §9.3 and lists the allowed values."""
    message = api.error("hi", reasoning_effort="xhigh")["message"]
    assert message.startswith("Unsupported value:")
    assert "'none', 'low', 'medium', 'high'" in message


def test_the_role_developer_is_refused(api: Api) -> None:
    """The refusal of a role names the accepted ones."""
    error = api.error([{"role": "developer", "content": "x"}, {"role": "user", "content": "y"}])
    assert (error["code"], error.get("param")) == ("invalid_parameter", "role")
    assert all(role in error["message"] for role in ("system", "user", "assistant", "tool"))


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user"}],
        [{"role": "user", "content": None}],
        [{"role": "user", "content": 3}],
        [{"role": "user", "content": [{"type": "riddle"}]}],
        [{"role": "tool", "content": "x"}],
        [{"role": "tool", "content": "x", "tool_call_id": "never"}],
        [{"role": "assistant", "content": None}],
        [{"role": "assistant", "content": "", "tool_calls": [{"id": "x"}]}],
        ["hello"],
    ],
)
def test_an_invalid_message_is_refused(api: Api, messages: Any) -> None:
    """An invalid message is a 400, and no bot is asked."""
    assert api.error(messages)["type"] == "invalid_request_error"
    assert api.events("reply-start") == []


def test_what_is_missing_is_named(api: Api) -> None:
    """A 400 names a missing model or missing messages."""
    assert api.post("/v1/chat/completions", {"model": "o3"}).json()["error"]["param"] == "messages"
    assert api.post("/v1/chat/completions", {}).json()["error"]["code"] == "missing_parameter"
    assert api.error([])["param"] == "messages"


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff"])
def test_a_body_must_be_a_json_object(api: Api, body: bytes) -> None:
    """Any other body is a 400 in JSON."""
    answer = api.request("POST", "/v1/chat/completions", data=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_body_that_is_too_large_is_413(api: Api) -> None:
    """A body beyond the limit is a 413, and so is a prompt beyond the model's window."""
    assert api.error("x" * 10_000, 413, model="Sim-Short-Memory")["type"] == "request_too_large"
    api.control(max_body_mb=0.01)
    assert api.error("x" * 20_000, 413)["code"] == 413


def test_undeclared_fields_are_dropped_or_refused(api: Api) -> None:
    """A switch decides about undeclared fields, as the evidence is split (§3.2)."""
    assert api.text("!echo hi", reasoning_effort="x", model="GPT-4o") == "hi"
    api.control(strict=True)
    error = api.error("hi", reasoning_effort="x", model="GPT-4o")
    assert error["param"] == "reasoning_effort"
    assert "reasoning_effort" in error["message"]
    assert api.text("!echo hi", reasoning_effort="low") == "hi"


def test_the_feature_header_chooses_the_mode(api: Api) -> None:
    """The header decides for one request; after the rollout it cannot opt out."""
    api.control(feature_echo=True)
    answer = api.chat("hi", a=1, headers={"poe-feature": "x-y, chat-completions-strict"})
    assert answer.status_code == 400
    assert answer.headers["x-poe-feature-active"] == "chat-completions-strict"
    legacy = {"poe-feature": "chat-completions-legacy"}
    api.control(strict=True)
    answer = api.chat("hi", a=1, headers=legacy)
    assert answer.status_code == 200
    assert answer.headers["x-poe-feature-active"] == "chat-completions-legacy"
    api.control(legacy_ended=True)
    assert api.chat("hi", a=1, headers=legacy).status_code == 400
    api.control(reset=True)
    assert "x-poe-feature-active" not in api.chat("hi", headers=legacy).headers


def test_pictures_are_seen(api: Api) -> None:
    """The answer proves that a picture's bytes arrived."""
    digest = hashlib.sha256(PNG).hexdigest()[:16]
    text = api.text(image(PNG_URI))
    assert f"I see 1 image:\n- image/png, {len(PNG)} bytes, sha256 {digest}" in text
    assert "- https://example.com/cat.png" in api.text(image("https://example.com/cat.png"))


def test_files_are_seen(api: Api) -> None:
    """The answer has a file's name, type and size; audio input is dropped."""
    file = {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}
    content = [
        {"type": "file", "file": file},
        {"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}},
        {"type": "text", "text": "Read this"},
    ]
    text = api.text([{"role": "user", "content": content}])
    assert "I see 1 file:\n- a.pdf, application/pdf, 4 bytes" in text


@pytest.mark.parametrize(
    "url",
    [
        "",
        None,
        "cat.png",
        "ftp://example.com/cat.png",
        "http://example.com/cat.png",
        "https://",
        "https://[::1",
        "https://\u2100/",
        "data:image/png;base64,***",
        "data:image/png;base64,",
        "data:text/plain;base64,YQ==",
        "data:image/jpeg;base64,iVBORw0KGgo=",
        "data:;base64,iVBORw0KGgo=",
        f"data:image/png{';a=b' * 1000};base64,iVBORw0KGgo=",
    ],
)
def test_an_invalid_picture_is_refused(api: Api, url: Any) -> None:
    """Broken data URIs, other schemes and bytes of another type are refused."""
    assert "image_url.url" in api.error(image(url))["param"]


def test_response_format_is_obeyed_by_some_and_ignored_by_others(api: Api) -> None:
    """Grok-4 answers with an instance of the schema, GPT-5.1 in prose."""
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 3}, "s": {"enum": ["x"]}},
        "required": ["n", "s"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    text = api.text("hi", model="Grok-4", response_format=wanted)
    assert json.loads(text) == {"n": 3, "s": "x"}
    assert api.text("hi", response_format=wanted) == api.text("hi")
    as_json = api.text("hi", model="Grok-4", response_format={"type": "json_object"})
    assert set(json.loads(as_json)) == {"answer"}


def test_an_image_bot_answers_with_markdown_and_the_bare_link(api: Api) -> None:
    """A blank line is between them, two for Imagen; the prompt is the alt text."""
    link = r"https://pfst\.cf2\.poecdn\.net/base/image/[0-9a-f]{64}\?w=1024&h=1024"
    text = api.text("a [red] fox", model="GPT-Image-1.5")
    assert re.fullmatch(rf"!\[a \[red\] fox\.png\]\(({link})\)\n\n\1", text)
    text = api.text("a fox", model="Imagen-4")
    assert re.fullmatch(rf"!\[a fox_image_1\]\(({link})\)\n\n\n\1", text)
    assert said(api.chunks("a fox", model="Imagen-4")) == text


@pytest.mark.parametrize(
    ("model", "kind"), [("ElevenLabs-v3", "audio"), ("Veo-3.1", "video"), ("Sora-2", "video")]
)
def test_sound_and_video_are_only_a_link(api: Api, model: str, kind: str) -> None:
    """Bots of sound and video answer with a link alone, and count no completion tokens."""
    answer = api.whole("a fox", model=model)
    link = rf"https://pfst\.cf2\.poecdn\.net/base/{kind}/[0-9a-f]{{64}}"
    assert re.fullmatch(link, answer["choices"][0]["message"]["content"])
    assert answer["usage"]["completion_tokens"] == 0


def test_nano_banana_answers_with_text_and_a_picture(api: Api) -> None:
    """Nano-Banana answers with both, unless only the picture is wanted."""
    assert api.text("a fox", model="Nano-Banana-Pro").startswith("Here is your picture.\n\n![")
    assert api.text("a fox", model="Nano-Banana-Pro", image_only=True).startswith("![a fox")


def test_answers_can_be_unusual(api: Api) -> None:
    """Words add the keys of pass-through answers, or leave others out."""
    assert api.whole("hi !snapshot")["model"] == "gpt-5.1-2025-11-13"
    answer = api.whole("hi !extras")
    assert answer["system_fingerprint"]
    assert answer["choices"][0]["message"]["function_call"] is None
    assert api.text("hi !null-content") is None
    finish = api.whole("hi !finish=content_filter")["choices"][0]["finish_reason"]
    assert finish == "content_filter"


def test_a_mark_is_noted_with_the_request_and_its_reply(api: Api) -> None:
    """A prompt that is known by its mark changes nothing in what is said."""
    assert "Hello" == api.text("!mark=m-1 !echo Hello")
    marked = [entry for entry in api.journal() if entry.get("mark") == "m-1"]
    assert ["/v1/chat/completions", "reply-start", "reply-end"] == [
        entry.get("path") or entry["event"] for entry in marked
    ]
