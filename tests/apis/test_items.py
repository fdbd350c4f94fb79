"""Requests in the form of the Responses API."""

from __future__ import annotations

from typing import Any

import pytest

from poe_proxy.apis.items import Asked, asked, is_asked, tools_among
from poe_proxy.apis.reading import MAX_MESSAGES, Reading
from poe_proxy.budget import Budget
from poe_proxy.chat import FilePart, ImagePart, JsonWanted, Message, Role, TextPart, ToolCall
from poe_proxy.errors import InvalidRequest

PNG = "data:image/png;base64,AAAA"
CALL = {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "a", "output": "42"}


def read(given: Any, **fields: Any) -> Asked:
    return asked({"input": given, **fields}, Reading(Budget()))


def text(role: Role, *texts: str) -> Message:
    return Message(role=role, content=tuple(map(TextPart, texts)))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"input": "x"}, True),
        ({"input": []}, True),
        ({"input": "x", "messages": []}, True),
        ({"input": "x", "messages": None}, True),
        ({"input": "x", "messages": [{"role": "user", "content": "y"}]}, False),
        ({"input": None}, False),
        ({}, False),
    ],
    ids=str,
)
def test_it_is_known_by_its_input(data: dict[str, Any], expected: bool) -> None:
    """Unless there are messages: then `input` is a parameter of the bot."""
    assert expected == is_asked(data)


@pytest.mark.parametrize(
    "given",
    [
        "x",
        [{"role": "user", "content": "x"}],
        [{"type": "message", "id": "msg_1", "status": "completed", "role": "user",
          "content": [{"type": "input_text", "text": "x"}]}],
    ],
    ids=["text", "short", "whole"],
)  # fmt: skip
def test_the_input_is_a_text_or_items(given: Any) -> None:
    """With instructions or without; a message need not say what it is."""
    assert (text("user", "x"),) == read(given).messages
    assert (text("system", "s"), text("user", "x")) == read(given, instructions="s").messages


def test_a_conversation_with_calls() -> None:
    """Calls join the message before them, outputs follow, and thoughts are passed over."""
    found = read(
        [
            {"role": "developer", "content": [{"type": "input_text", "text": "s"}]},
            {"role": "user", "content": "x"},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "e"},
            {"role": "assistant", "content": [{"type": "output_text", "text": "y"}]},
            CALL,
            {"type": "custom_tool_call", "call_id": "b", "name": "patch", "input": "+x"},
            {"type": "web_search_call", "id": "ws_1", "status": "completed"},
            OUTPUT,
            {"type": "custom_tool_call_output", "call_id": "b", "output": "done"},
            {"role": "user", "content": "z"},
        ]
    )

    calls = ToolCall("a", "f", "{}"), ToolCall("b", "patch", '{"input":"+x"}')
    assert (
        text("developer", "s"),
        text("user", "x"),
        Message(role="assistant", content=(TextPart("y"),), tool_calls=calls),
        Message(role="tool", content=(TextPart("42"),), tool_call_id="a"),
        Message(role="tool", content=(TextPart("done"),), tool_call_id="b"),
        text("user", "z"),
    ) == found.messages


def test_messages_of_chat_completions_may_stand_among_the_items() -> None:
    """Cursor sends its calls and results so."""
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    *_, called, answered = read(
        [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "a", "content": "42"},
        ]
    ).messages

    assert (ToolCall("a", "f", "{}"),) == called.tool_calls
    assert ("tool", "a", "42") == (answered.role, answered.tool_call_id, answered.text)


def test_calls_and_outputs_without_ids_find_each_other() -> None:
    """As they do in messages."""
    *_, called, answered = read(
        [
            {"type": "function_call", "name": "f", "arguments": {"q": 1}},
            {"type": "function_call_output", "output": {"n": 42}},
        ]
    ).messages

    assert (called.tool_calls[0].id, '{"q":1}') == (
        answered.tool_call_id,
        called.tool_calls[0].arguments,
    )
    assert '{"n":42}' == answered.text


def test_an_image_of_an_output_is_shown_behind_it() -> None:
    """Bots take text only in a result."""
    shown = [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": PNG}]
    *_, answered, image = read([CALL, {**OUTPUT, "output": shown}]).messages

    assert "see\n[attachment, see below]" == answered.text
    assert Message(role="user", content=(ImagePart(PNG),)) == image


def test_the_fields_with_other_names() -> None:
    """Length, format and effort."""
    schema = {"type": "object"}
    found = read(
        "x",
        max_output_tokens=7,
        text={"format": {"type": "json_schema", "name": "n", "schema": schema}, "verbosity": "low"},
        reasoning={"effort": "low", "summary": None},
    )

    assert (7, "low") == (found.max_tokens, found.reasoning_effort)
    assert JsonWanted(schema=schema, extra={"name": "n"}) == found.json
    assert found.json is not None
    assert "text.format.schema" == found.json.schema_path
    assert Asked(messages=found.messages) == read("x", text={}, reasoning={"effort": None})


def test_parts_and_roles_of_a_message() -> None:
    """In the four roles, whatever else the item says about itself."""
    given = [
        {"role": "developer", "content": [{"type": "input_text", "text": "a"}]},
        {"role": "system", "content": "b"},
        {"type": "message", "id": "m", "status": "completed", "role": "assistant",
         "phase": "commentary", "content": [{"type": "output_text", "text": "c", "annotations": []},
                                            {"type": "refusal", "refusal": "d"}]},
        {"role": "user", "content": [{"type": "input_image", "image_url": PNG, "detail": "high"},
                                     {"type": "input_file", "file_data": PNG, "filename": "n"},
                                     {"type": "input_file", "file_url": "https://a.example/b"},
                                     {"type": "input_audio",
                                      "input_audio": {"data": "AAAA", "format": "wav"}}]},
    ]  # fmt: skip

    assert (
        text("developer", "a"),
        text("system", "b"),
        text("assistant", "c", "d"),
        Message(
            role="user",
            content=(
                ImagePart(PNG, "high"),
                FilePart(PNG, "n"),
                FilePart("https://a.example/b"),
                FilePart("data:audio/wav;base64,AAAA", "audio.wav"),
            ),
        ),
    ) == read(given).messages


def test_tools_may_stand_among_the_items() -> None:
    """Codex sends them so for the newest models."""
    tools = [{"type": "function", "name": "f"}]
    given = {"type": "additional_tools", "role": "developer", "tools": tools}
    items = [given, {"role": "user", "content": "x"}]

    assert (("input[0].tools", tools),) == tools_among({"input": items}, Budget())
    assert (text("user", "x"),) == read(items).messages


def test_what_a_search_has_found_is_offered_too() -> None:
    """The search itself says nothing to a bot."""
    tools = [{"type": "function", "name": "f"}]
    items = [
        {"type": "tool_search_call", "call_id": "s", "execution": "client", "arguments": {}},
        {"type": "tool_search_output", "call_id": "s", "tools": tools},
        {"role": "user", "content": "x"},
    ]

    assert (("input[1].tools", tools),) == tools_among({"input": items}, Budget())
    assert (text("user", "x"),) == read(items).messages
    assert () == tools_among({"input": "x"}, Budget())


def test_a_past_call_may_have_another_name() -> None:
    """One that holds its namespace, too."""
    call = {**CALL, "namespace": "n"}
    custom = {"type": "custom_tool_call", "call_id": "b", "name": "g", "input": "x"}
    found = asked(
        {"input": [call, custom]},
        Reading(Budget()),
        lambda name, namespace: f"{namespace}/{name}",
    )

    assert ["n/f", "None/g"] == [one.name for one in found.messages[0].tool_calls]
    assert ["f", "g"] == [one.name for one in read([call, custom]).messages[0].tool_calls]


@pytest.mark.parametrize(
    "kind",
    ["reasoning", "tool_search_call", "web_search_call", "file_search_call",
     "code_interpreter_call", "image_generation_call", "mcp_list_tools", "configuration_update",
     "compaction", "compaction_trigger", "program", "program_output", "additional_tools"],
)  # fmt: skip
def test_what_says_nothing_to_a_bot_is_passed_over(kind: str) -> None:
    """Thoughts, and what servers of the maker have done."""
    assert (text("user", "x"),) == read([{"type": kind}, {"role": "user", "content": "x"}]).messages


@pytest.mark.parametrize(
    "kind",
    ["local_shell_call", "local_shell_call_output", "shell_call", "shell_call_output",
     "apply_patch_call", "apply_patch_call_output", "computer_call", "computer_call_output",
     "mcp_call", "mcp_approval_request", "mcp_approval_response", "item_reference", "of tomorrow"],
)  # fmt: skip
def test_what_cannot_be_told_is_refused_by_its_place(kind: str) -> None:
    """Such items come only from tools that are refused, or refer to what is not kept."""
    with pytest.raises(InvalidRequest) as refusal:
        read([{"role": "user", "content": "x"}, {"type": kind, "id": "i"}])

    assert "input[1]" == refusal.value.param
    assert kind in refusal.value.message


def test_a_result_without_its_call_is_kept() -> None:
    """As it is; what is made of it is for the ways to Poe."""
    (found,) = read([OUTPUT]).messages

    assert ("tool", "a", "42") == (found.role, found.tool_call_id, found.text)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_image", "file_id": "file_1"},
        {"type": "input_file", "file_id": "file_1"},
    ],
)
def test_a_file_that_would_have_to_be_kept_is_refused_by_its_path(part: dict[str, Any]) -> None:
    """Only what the request brings along can be shown."""
    with pytest.raises(InvalidRequest) as refusal:
        read([{"role": "user", "content": [part]}])

    assert "input[0].content[0].file_id" == refusal.value.param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": 3}, "input"),
        ({}, "input"),
        ({"input": [{**CALL, "namespace": 3}]}, "input[0].namespace"),
        ({"input": "x", "max_output_tokens": -2}, "max_output_tokens"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [{"role": "user", "content": ""}]}, "input"),
        ({"input": ["x"]}, "input[0]"),
        ({"input": [{"content": "x"}]}, "input[0]"),
        ({"input": [{"type": {}, "tools": []}]}, "input[0]"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
        ({"input": [{"type": "computer_call", "call_id": "c"}]}, "input[0]"),
        ({"input": [{"type": "function_call", "call_id": "c"}]}, "input[0]"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": [{"type": "nothing"}]}]}, "input[0].content[0]"),
        ({"input": [{**CALL, "call_id": 3}]}, "input[0].call_id"),
        ({"input": [{**CALL, "arguments": [1]}]}, "input[0].arguments"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
        ({"input": [{"role": "user", "content": "x"}] * (MAX_MESSAGES + 1)}, "input"),
        ({"input": "x", "instructions": 3}, "instructions"),
        ({"input": "x", "text": "x"}, "text"),
        ({"input": "x", "text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"input": "x", "reasoning": {"effort": 3}}, "reasoning.effort"),
        ({"input": "x", "max_output_tokens": "many"}, "max_output_tokens"),
        ({"input": "x", "previous_response_id": "resp_1"}, "previous_response_id"),
        ({"input": "x", "conversation": "conv_1"}, "conversation"),
        ({"input": "x", "background": True}, "background"),
    ],
    ids=lambda one: str(one)[:60],
)
def test_a_mistake_is_named_by_its_field(fields: dict[str, Any], param: str) -> None:
    """What cannot be read, and what would need something that is kept."""
    with pytest.raises(InvalidRequest) as refusal:
        asked({**fields, "tools": tools_among(fields, Budget())}, Reading(Budget()))

    assert param == refusal.value.param
    assert refusal.value.message.endswith(".")


def test_who_refers_to_an_item_reads_what_to_set() -> None:
    """The AI SDK refers to what was said before, unless it is told that nothing is stored."""
    with pytest.raises(InvalidRequest, match="store: false"):
        read([{"type": "item_reference", "id": "msg_1"}])
