from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from .api_support import Api, events, fresh, serving

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


@pytest.fixture(scope="module")
def server() -> Iterator[Api]:
    with serving() as one:
        yield one


@pytest.fixture
def api(server: Api) -> Api:
    return fresh(server)


def ask(api: Api, prompt: str, handle: str = "GPT-5.1", **fields: Any) -> list[Any]:
    answer = api.bot(prompt, handle, **fields)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/event-stream"
    return [(name, json.loads(data)) for name, data in events(answer.content)]


def said(found: list[Any]) -> str:
    text = ""
    for name, data in found:
        if name == "text":
            text += data["text"]
        elif name == "replace_response":
            text = data["text"]
    return text


def test_text_comes_in_pieces_and_ends_with_done(api: Api) -> None:
    """Every event carries a JSON object."""
    found = ask(api, "!echo Hello, wörld 🌍")
    assert said(found) == "Hello, wörld 🌍"
    assert {name for name, _ in found[:-1]} == {"text"}
    assert found[-1] == ("done", {})
    assert all(isinstance(data, dict) for _, data in found)


def test_a_handle_is_found_in_any_case(api: Api) -> None:
    """Listed or not."""
    assert said(ask(api, "!echo hi", "gpt-5.1")) == "hi"
    assert said(ask(api, "!echo hi", "Sim-Community")) == "hi"


@pytest.mark.parametrize(
    ("handle", "text"),
    [
        ("Nobody", "Bot does not exist"),
        ("Sim-Private", "Cannot access private bots"),
        ("App-Creator", "Access denied"),
    ],
)
def test_a_bot_out_of_reach_is_an_error_event(api: Api, handle: str, text: str) -> None:
    """Another try would not help."""
    assert ask(api, "hi", handle)[0] == ("error", {"allow_retry": False, "text": text})


def test_thinking_is_shown_and_replaced(api: Api) -> None:
    """Ticks, then the answer; or a draft that is taken back."""
    found = ask(api, "!echo !thinking=2 one two")
    assert [name for name, _ in found] == ["replace_response"] * 3 + ["text", "done"]
    assert found[1][1]["text"] == "Thinking... (1s elapsed)"
    assert said(found) == "one two"
    found = ask(api, "!echo !rewrite one two")
    assert found[0][1]["text"] == "ONE"
    assert said(found) == "one two"


def test_reasoning_is_quoted_in_front(api: Api) -> None:
    """When a parameter asks for it, as there is no other place."""
    message = {"parameters": {"reasoning_effort": "high"}}
    text = said(ask(api, "count to 3", message=message))
    assert text.startswith("Thinking...\n\n> ")
    assert text.endswith("\n\n1, 2, 3.")


def test_parameters_are_checked(api: Api) -> None:
    """The declared ones; others are ignored."""
    [(name, data), _] = ask(api, "hi", message={"parameters": {"reasoning_effort": "most"}})
    assert (name, data["error_type"]) == ("error", "user_caused_error")
    assert ask(api, "hi", message={"parameters": {"unheard": 1}})[-1] == ("done", {})


def test_the_body_can_be_read_back(api: Api) -> None:
    """Parameters included."""
    given = {"message": {"parameters": {"a": 1}}, "temperature": 0.3}
    params = json.loads(said(ask(api, "!say-params", **given)))
    assert (params["parameters"], params["temperature"]) == ({"a": 1}, 0.3)
    messages = json.loads(said(ask(api, "!say-messages", **given)))
    assert messages[0]["parameters"] == {"a": 1}


def test_media_bots_send_a_file_with_the_text(api: Api) -> None:
    """Before the end; or only the file."""
    found = ask(api, "a fox", "Imagen-4")
    name, file = found[-2]
    assert name == "file"
    assert set(file) == {"url", "content_type", "name", "inline_ref"}
    assert (file["content_type"], file["url"] in said(found)) == ("image/png", True)
    found = ask(api, "!file-only a fox", "Imagen-4")
    assert [name for name, _ in found] == ["file", "done"]


def test_tools_come_as_openai_chunks(api: Api) -> None:
    """Who it is, pieces of arguments, the finish."""
    found = ask(api, "How is the weather in Rome?", tools=[TOOL])
    assert [name for name, _ in found[:-1]] == ["json"] * (len(found) - 1)
    deltas = [data["choices"][0]["delta"] for _, data in found[:-1]]
    first = deltas[0]["tool_calls"][0]
    assert (first["index"], first["function"]["name"]) == (0, "get_weather")
    pieces = [d["tool_calls"][0]["function"]["arguments"] for d in deltas[:-1]]
    assert json.loads("".join(pieces)) == {"city": "Rome"}
    assert found[-2][1]["choices"][0]["finish_reason"] == "tool_calls"
    call = {**first, "function": {"name": "get_weather", "arguments": "".join(pieces)}}
    result = {
        "role": "tool",
        "name": "get_weather",
        "tool_call_id": call["id"],
        "content": "21 degrees",
    }
    given = {"tools": [TOOL], "tool_calls": [call], "tool_results": [result]}
    assert "21 degrees" in said(ask(api, "How is the weather in Rome?", **given))


def test_a_bot_without_tools_refuses_them(api: Api) -> None:
    """With an error event."""
    [(name, data), _] = ask(api, "hi", "DeepSeek-R1", tools=[TOOL])
    assert (name, data["allow_retry"]) == ("error", False)


def test_errors_may_allow_another_try_or_not(api: Api) -> None:
    """At once or in the middle, with a type or without."""
    [(name, data), _] = ask(api, "!error hi")
    assert (name, data["allow_retry"]) == ("error", True)
    data = ask(api, "!error=noretry !error-type=user_message_too_long hi")[0][1]
    assert (data["allow_retry"], data["error_type"]) == (False, "user_message_too_long")
    found = ask(api, "!echo one two three !error-after=2")
    assert said(found) == "one two"
    assert found[-1][0] == "error"
    assert found[-1][1]["allow_retry"] is True
    found = ask(api, "!echo one two three !error-after=2 !error=noretry")
    assert found[-1][1]["allow_retry"] is False


def test_other_events_can_be_had(api: Api) -> None:
    """Meta first, suggestions last, pings with data, unknown ones, usage without choices."""
    found = ask(
        api, "!echo hi !meta !suggest=2 !pings !unknown-event !data-event !usage-empty-choices"
    )
    names = [name for name, _ in found]
    assert names[0] == "meta"
    assert found[0][1]["content_type"] == "text/markdown"
    assert ("ping", {}) in found
    assert names.count("suggested_reply") == 2
    assert {"surprise", "data", "json"} < set(names)
    assert names[-1] == "done"
    assert all(data["index"] == 1 for _, data in ask(api, "hi !index=1"))


def test_the_end_may_be_missing_or_broken(api: Api) -> None:
    """No `done`, or one whose data is no JSON."""
    assert ask(api, "!echo hi !no-done")[-1][0] == "text"
    body = api.bot("!echo hi !bad-data").text
    assert body.endswith("event: done\ndata: \n\n")


def test_a_connection_may_be_cut(api: Api) -> None:
    """In the middle of an answer."""
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        api.bot("!echo one two three !cut=1")


def test_http_failures_are_json(api: Api) -> None:
    """Clients of the protocol lose their status, but it is there."""
    answer = api.bot("!http=503 hi")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/json")


def test_a_wrong_key_is_json_or_an_event(api: Api) -> None:
    """Both were reported."""
    stranger = Api(api.url, key="nobody")
    assert stranger.bot("hi").status_code == 401
    api.control(bot_key_event=True)
    assert "Internal server error" in ask(stranger, "hi")[0][1]["text"]


@pytest.mark.parametrize("kind", ["report_error", "report_feedback", "report_reaction"])
def test_reports_are_taken(api: Api, kind: str) -> None:
    """With 200 and an empty object; they are in the journal."""
    answer = api.post("/bot/o3", {"version": "1.2", "type": kind, "message": "x", "metadata": {}})
    assert (answer.status_code, answer.json()) == (200, {})
    assert [entry["type"] for entry in api.journal() if "type" in entry] == [kind]


def test_an_unknown_type_is_501(api: Api) -> None:
    """Whatever else is in the body."""
    assert api.post("/bot/o3", {"type": "riddle"}).status_code == 501


def test_messages_must_make_sense(api: Api) -> None:
    """The role is `bot`, not `assistant`; a prompt may be too long."""
    assert ask(api, "hi", message={"role": "assistant"})[0][0] == "error"
    assert ask(api, "hi", query=[])[0][0] == "error"
    data = ask(api, "x" * 9000, "Sim-Short-Memory")[0][1]
    assert data["error_type"] == "user_message_too_long"
