from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from .api_support import Api, events, fresh, serving

TOOL = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
PNG_URI = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n12").decode()


@pytest.fixture(scope="module")
def server() -> Iterator[Api]:
    with serving() as one:
        yield one


@pytest.fixture
def api(server: Api) -> Api:
    return fresh(server)


def ask(api: Api, given: Any, **fields: Any) -> Any:
    answer = api.post("/v1/responses", {"model": "GPT-5.4", "input": given, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def error(api: Api, given: Any, status: int = 400, **fields: Any) -> Any:
    answer = api.post("/v1/responses", {"model": "GPT-5.4", "input": given, **fields})
    assert answer.status_code == status, answer.text
    return answer.json()["error"]


def text(answer: Any) -> str:
    return "".join(
        part["text"]
        for item in answer["output"]
        if item["type"] == "message"
        for part in item["content"]
    )


def stream(api: Api, given: Any, **fields: Any) -> list[Any]:
    body = {"model": "GPT-5.4", "input": given, "stream": True, **fields}
    answer = api.post("/v1/responses", body)
    assert answer.headers["content-type"] == "text/event-stream"
    found = events(answer.content)
    for name, data in found:
        if data != "[DONE]":
            assert json.loads(data)["type"] == name
    return [data if data == "[DONE]" else json.loads(data) for _, data in found]


def test_a_whole_response(api: Api) -> None:
    """A response has items without `output_text`, the vendor's model name, and no storage."""
    answer = ask(api, "!echo Hello", store=True)
    assert answer["id"].startswith("resp_")
    assert answer["object"] == "response"
    assert answer["model"] == "gpt-5.4-2026-03-05"
    assert answer["status"] == "completed"
    assert answer["store"] is False
    assert "output_text" not in answer
    [message] = answer["output"]
    part = {"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}
    assert message["content"] == [part]
    usage = answer["usage"]
    assert usage["input_tokens"] + usage["output_tokens"] == usage["total_tokens"]
    assert usage["input_tokens_details"] == {"cached_tokens": 0}


def test_input_takes_many_forms(api: Api) -> None:
    """Input is a text, messages, or bare parts."""
    message = {"role": "user", "content": [{"type": "input_text", "text": "!echo a"}]}
    assert text(ask(api, [message])) == "a"
    assert text(ask(api, [{"type": "message", "role": "user", "content": "!echo b"}])) == "b"
    assert text(ask(api, [{"type": "input_text", "text": "!echo c"}])) == "c"
    picture = {"type": "input_image", "image_url": PNG_URI}
    seen = text(ask(api, [{"role": "user", "content": [picture]}]))
    assert "I see 1 image:\n- image/png, 10 bytes" in seen
    file = {"type": "input_file", "filename": "a.pdf", "file_data": "data:a/pdf;base64,JVBE"}
    seen = text(
        ask(api, [{"role": "user", "content": [{"type": "input_text", "text": "x"}, file]}])
    )
    assert "- a.pdf, a/pdf, 3 bytes" in seen
    assert error(api, [{"role": "user", "content": [{**picture, "image_url": "x"}]}])
    assert error(api, [{"type": "riddle"}])
    assert error(api, "")["param"] == "input"


def test_instructions_count_unless_they_are_ignored(api: Api) -> None:
    """Documentation and evidence differ, so a switch decides on instructions."""
    given = {"instructions": "x" * 4000}
    plain = ask(api, "hi")["usage"]["input_tokens"]
    assert ask(api, "hi", **given)["usage"]["input_tokens"] > plain + 900
    api.control(ignore_instructions=True)
    assert ask(api, "hi", **given)["usage"]["input_tokens"] == plain


def test_some_models_have_no_responses(api: Api) -> None:
    """The refusal of a model without responses has an error id, as recorded."""
    refused = error(api, "hi", model="Grok-4")
    assert refused["message"] == "Model does not support responses method."
    assert len(refused["error_id"]) == 36


def test_earlier_responses_are_not_remembered(api: Api) -> None:
    """For an earlier response Claude fails, and OpenAI's models refuse."""
    assert error(api, "hi", 500, model="Claude-Sonnet-4.5", previous_response_id="resp_x")
    assert error(api, "hi", previous_response_id="resp_x")["param"] == "previous_response_id"


def test_reasoning_is_an_item_of_its_own(api: Api) -> None:
    """An effort that the model takes brings an item of reasoning."""
    answer = ask(api, "hi", reasoning={"effort": "high"})
    assert [item["type"] for item in answer["output"]] == ["reasoning", "message"]
    assert answer["output"][0]["summary"][0]["text"]
    assert answer["usage"]["output_tokens_details"]["reasoning_tokens"] > 0
    assert "Supported" in error(api, "hi", reasoning={"effort": "most"})["message"]


def test_too_few_tokens_leave_it_incomplete(api: Api) -> None:
    """A truncated response is `incomplete`, with the reason."""
    answer = ask(api, "!echo one two three", max_output_tokens=2)
    assert text(answer) == "one two"
    assert answer["status"] == "incomplete"
    assert answer["incomplete_details"] == {"reason": "max_output_tokens"}
    last = stream(api, "!echo one two three", max_output_tokens=2)[-2]
    assert last["type"] == "response.incomplete"


def test_a_function_is_called_and_its_output_used(api: Api) -> None:
    """A call and its output belong together by their call id."""
    question = {"role": "user", "content": "How is the weather in Rome?"}
    [call] = ask(api, [question], tools=[TOOL])["output"]
    assert call["type"] == "function_call"
    assert json.loads(call["arguments"]) == {"city": "Rome"}
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "21 degrees"}
    assert "21 degrees" in text(ask(api, [question, call, output], tools=[TOOL]))
    assert error(api, [question, {**output, "call_id": "never"}])
    assert ask(api, [question], tools=[TOOL], tool_choice="none")["output"][0]["type"] == "message"
    named = {"type": "function", "name": "get_weather"}
    assert ask(api, "hi", tools=[TOOL], tool_choice=named)["output"][0]["name"] == "get_weather"
    assert error(api, "hi", tools=[{"type": "code_interpreter"}])
    assert ask(api, "hi", tools=[{"type": "web_search_preview"}])


def test_a_schema_is_obeyed(api: Api) -> None:
    """Every model with the endpoint answers with an instance of the schema."""
    schema = {"type": "object", "properties": {"n": {"const": 5}}, "required": ["n"]}
    wanted = {"format": {"type": "json_schema", "name": "a", "schema": schema}}
    assert json.loads(text(ask(api, "hi", text=wanted))) == {"n": 5}


def test_deep_research_needs_a_tool(api: Api) -> None:
    """Deep research is refused without one of its three tools."""
    model = "o3-Deep-Research"
    assert "web_search_preview" in error(api, "hi", model=model)["message"]
    assert ask(api, "hi", model=model, tools=[{"type": "web_search_preview"}])


def test_the_events_of_a_stream(api: Api) -> None:
    """A stream has OpenAI's events in their order, numbered without a gap, `[DONE]` last."""
    found = stream(api, "!echo one two", reasoning={"effort": "low"})
    assert found.pop() == "[DONE]"
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    kinds = [event["type"] for event in found]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-7:] == [
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert found[-1]["response"]["output"][0]["content"][0]["text"] == "one two"
    found = stream(api, "!echo one two !reason")
    kinds = [event["type"] for event in found[:-1]]
    assert "response.reasoning_summary_text.delta" in kinds
    assert kinds.count("response.output_item.added") == 2
    api.control(done_marker=False)
    assert stream(api, "hi")[-1]["type"] == "response.completed"


def test_an_empty_text_is_an_item_too(api: Api) -> None:
    """An empty text is announced and finished, without a delta."""
    kinds = [event["type"] for event in stream(api, "!empty")[:-1]]
    assert kinds.count("response.output_item.added") == 1
    assert "response.output_text.delta" not in kinds
    assert kinds[-1] == "response.completed"


def test_a_streamed_function_call(api: Api) -> None:
    """The arguments of a streamed call come in pieces."""
    found = stream(api, "How is the weather in Rome?", tools=[TOOL])
    kind = "response.function_call_arguments.delta"
    pieces = [event["delta"] for event in found[:-1] if event["type"] == kind]
    assert len(pieces) > 1
    assert json.loads("".join(pieces)) == {"city": "Rome"}


def test_a_text_may_be_missing(api: Api) -> None:
    """An `output_text` may lack its text, as in Gemini's answers with tools."""
    answer = ask(api, "weather? !no-text", tools=[TOOL], model="Gemini-3-Flash")
    message = next(item for item in answer["output"] if item["type"] == "message")
    assert "text" not in message["content"][0]


def test_an_error_in_the_middle_is_an_event(api: Api) -> None:
    """An error in the middle of a stream is its last event."""
    found = stream(api, "!echo one two three !error-after=2")
    assert found[-1]["type"] == "error"
    assert found[-1]["message"]
    assert stream(api, "!echo one two three !silent-end=2")[-1]["delta"] == " two"
