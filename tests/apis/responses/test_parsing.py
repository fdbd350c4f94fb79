"""What a request of the Responses API asks for. Items have their tests in `test_items.py`."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from poe_proxy.apis.responses.parsing import Form, request
from poe_proxy.chat import ChatRequest, JsonWanted, Message, TextPart, ToolCall, ToolChoice
from poe_proxy.errors import InvalidRequest

F = {"type": "function", "name": "f", "parameters": {"type": "object"}}
AGENTS = {"type": "namespace", "name": "agents", "tools": [{**F, "name": "h"}]}


def read(**fields: Any) -> tuple[ChatRequest, Form]:
    return request(orjson.dumps({"model": "Bot", "input": "Hi", **fields}))


def chat(**fields: Any) -> ChatRequest:
    return read(**fields)[0]


def test_the_least_request() -> None:
    """A model and a text."""
    found, form = read()

    assert "Bot" == found.model
    assert (Message(role="user", content=(TextPart("Hi"),)),) == found.messages
    assert ({}, (), None) == (found.extra, found.tools, found.tool_choice)
    assert not form.streams


def test_what_is_told_to_the_bot() -> None:
    """Each field that a bot can heed."""
    schema = {"type": "object"}
    found, form = read(
        instructions="Be brief.",
        stream=True,
        temperature=0.5,
        top_p=0.9,
        max_output_tokens=7,
        tools=[F],
        tool_choice={"type": "function", "name": "f"},
        parallel_tool_calls=False,
        reasoning={"effort": "high", "summary": "auto", "context": "all_turns"},
        text={"format": {"type": "json_schema", "name": "n", "schema": schema}, "verbosity": "low"},
        thinking_budget=5,
    )

    assert ("system", "Be brief.") == (found.messages[0].role, found.messages[0].text)
    assert form.streams
    assert (0.5, 0.9, 7) == (found.temperature, found.top_p, found.max_tokens)
    assert ToolChoice(mode="required", name="f") == found.tool_choice
    assert found.parallel_tool_calls is False
    assert "high" == found.reasoning_effort
    assert JsonWanted(schema=schema, extra={"name": "n"}) == found.json
    assert {"verbosity": "low", "thinking_budget": 5} == found.extra


def test_instructions_alone_are_enough() -> None:
    """There is something to say."""
    found = chat(input=None, instructions="Greet me.")

    assert [("system", "Greet me.")] == [(one.role, one.text) for one in found.messages]


@pytest.mark.parametrize("value", [None, {}, {"effort": None, "summary": None}])
def test_null_members_are_none(value: Any) -> None:
    """Packages send them."""
    found = chat(reasoning=value, text=value and {"format": None, "verbosity": None})

    assert (None, None, {}) == (found.reasoning_effort, found.json, found.extra)


#: What changes nothing about an answer that is not kept.
IGNORED: dict[str, Any] = {
    "store": True, "include": ["reasoning.encrypted_content", "no such thing"],
    "truncation": "auto", "stream_options": {"include_obfuscation": False}, "max_tool_calls": 3,
    "user": "u", "safety_identifier": "s", "prompt_cache_key": "k", "prompt_cache_options": {},
    "prompt_cache_retention": "24h", "service_tier": "auto", "context_management": [],
    "moderation": {}, "access_programs": {}, "background_options": {}, "image": {},
    "client_metadata": {"a": "b"}, "top_logprobs": 0, "background": False, "metadata": {"a": "b"},
    "previous_response_id": None, "conversation": None, "prompt": None,
}  # fmt: skip


@pytest.mark.parametrize("name", IGNORED)
def test_what_is_ignored_reaches_no_bot(name: str) -> None:
    """As a parameter of the bot it would cost a request that is refused."""
    assert chat() == chat(**{name: IGNORED[name]})


@pytest.mark.parametrize("most", [0, -1, None])
def test_no_limit(most: int | None) -> None:
    """Programs write it in three ways."""
    assert chat(max_output_tokens=most).max_tokens is None


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"model": None}, "model", "missing_required_parameter"),
        ({"model": "m" * 301}, "model", "string_above_max_length"),
        ({"input": None}, "input", "missing_required_parameter"),
        ({"input": None, "instructions": ""}, "input", "missing_required_parameter"),
        ({"input": ""}, "input", "invalid_value"),
        ({"stream": "perhaps"}, "stream", "invalid_value"),
        ({"temperature": 3}, "temperature", "invalid_value"),
        ({"top_p": 2}, "top_p", "invalid_value"),
        ({"max_output_tokens": -2}, "max_output_tokens", "invalid_value"),
        ({"parallel_tool_calls": 3}, "parallel_tool_calls", "invalid_value"),
        ({"tools": {}}, "tools", "invalid_value"),
        ({"tools": [F, {"type": "mcp"}]}, "tools[1]", "unsupported_tool"),
        ({"tools": [F], "tool_choice": "x"}, "tool_choice", "invalid_value"),
        ({"metadata": 3}, "metadata", "invalid_value"),
        ({"text": {"verbosity": 3}}, "text.verbosity", "invalid_value"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type", "invalid_value"),
        ({"reasoning": "high"}, "reasoning", "invalid_value"),
        ({"reasoning": {"effort": 3}}, "reasoning.effort", "invalid_value"),
        ({"top_logprobs": 2}, "top_logprobs", "invalid_value"),
        (
            {"previous_response_id": "resp_1"},
            "previous_response_id",
            "previous_response_not_found",
        ),
        ({"conversation": "conv_1"}, "conversation", "invalid_value"),
        ({"conversation": {"id": "conv_1"}}, "conversation", "invalid_value"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt", "invalid_value"),
        ({"background": True}, "background", "invalid_value"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]", "invalid_value"),
        (
            {"input": [{"type": "additional_tools", "tools": [{"type": "mcp"}]}]},
            "input[0].tools[0]",
            "unsupported_tool",
        ),
        ({"input": [{"type": "additional_tools", "tools": 3}]}, "input[0].tools", "invalid_value"),
    ],
    ids=lambda one: str(one)[:60],
)
def test_a_mistake_is_named_by_its_field(fields: dict[str, Any], param: str, code: str) -> None:
    """What cannot be read, what would be a lie, and what would need something that is kept."""
    with pytest.raises(InvalidRequest) as refusal:
        read(**fields)

    assert (param, code) == (refusal.value.param, refusal.value.code)


def test_tools_among_the_items_are_offered_too() -> None:
    """Codex sends them so for the newest models, and what a search has found."""
    found = chat(
        tools=[F],
        input=[
            {"type": "additional_tools", "role": "developer", "tools": [AGENTS]},
            {"role": "user", "content": "Hi"},
            {"type": "tool_search_call", "call_id": "s", "arguments": {}},
            {"type": "tool_search_output", "call_id": "s", "tools": [{**F, "name": "found"}]},
        ],
    )

    assert ["f", "agents__h", "found"] == [tool.name for tool in found.tools]
    assert ["Hi"] == [one.text for one in found.messages]


def test_past_calls_have_the_names_that_the_bot_knows() -> None:
    """A call of a tool in a namespace, of a custom one, and of one that is gone."""
    call = {"type": "function_call", "arguments": "{}"}
    custom = {"type": "custom_tool_call", "input": "x"}
    found = chat(
        tools=[AGENTS, {"type": "custom", "name": "patch"}],
        input=[
            {**call, "call_id": "a", "name": "h", "namespace": "agents"},
            {**custom, "call_id": "b", "name": "patch", "namespace": "functions"},
            {**call, "call_id": "c", "name": "gone", "namespace": "agents"},
        ],
    )

    assert (
        ToolCall("a", "agents__h", "{}"),
        ToolCall("b", "patch", '{"input":"x"}'),
        ToolCall("c", "agents__gone", "{}"),
    ) == found.messages[0].tool_calls


def test_what_an_answer_repeats() -> None:
    """The fields as they came, and the API's own values for those that did not."""
    fields: dict[str, Any] = {
        "instructions": "Be brief.", "metadata": {"a": "b"}, "parallel_tool_calls": False,
        "tool_choice": "required", "tools": [F, AGENTS, {"type": "web_search"}],
        "temperature": 0.5, "top_p": 1, "max_output_tokens": 7,
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"format": {"type": "json_object"}, "verbosity": "low"},
    }  # fmt: skip
    _, form = read(**fields)
    _, empty = read()

    assert fields == form.echo
    assert {
        "instructions": None, "metadata": {}, "parallel_tool_calls": True, "tool_choice": "auto",
        "tools": [], "temperature": None, "top_p": None, "max_output_tokens": None,
        "reasoning": {"effort": None, "summary": None}, "text": {"format": {"type": "text"}},
    } == empty.echo  # fmt: skip


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"a": 1}, "metadata.a"),
        ({"a": {"b": "c"}}, "metadata.a"),
        ({"a": None}, "metadata.a"),
        ({"a": "x" * 513}, "metadata.a"),
        ({"x" * 65: "a"}, "metadata"),
        ({str(place): "a" for place in range(17)}, "metadata"),
    ],
    ids=lambda one: str(one)[:40],
)
def test_metadata_is_as_small_as_openai_has_it(given: Any, param: str) -> None:
    """The answer repeats it, a stream several times."""
    with pytest.raises(InvalidRequest) as refusal:
        read(metadata=given)
    assert param == refusal.value.param

    most = {f"{'x' * 62}{place}": "é" * 512 for place in range(10, 26)}
    assert most == read(metadata=most)[1].echo["metadata"]


def test_a_part_that_is_not_served_is_told_those_of_this_api() -> None:
    """By the names that its clients know."""
    with pytest.raises(InvalidRequest, match=r"Parts are input_text, input_image, input_file and"):
        chat(input=[{"role": "user", "content": [{"type": "hologram"}]}])
