"""What clients send: every field that is understood, and every mistake by its name."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from poe_proxy.apis.chat_completions.parsing import Form, chat_request
from poe_proxy.apis.reading import MAX_CALLS, MAX_MESSAGES, MAX_PARTS
from poe_proxy.apis.tools import MAX_TOOLS
from poe_proxy.chat import (
    ChatRequest,
    FilePart,
    ImagePart,
    JsonWanted,
    Message,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
)
from poe_proxy.errors import InvalidRequest

USER = {"role": "user", "content": "Hello!"}
FUNCTION = {"name": "look_up", "parameters": {"type": "object"}}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}


LOOK_UP = Tool(name="look_up", schema={"type": "object"})


def parse(**fields: Any) -> ChatRequest:
    """Parse a request that is complete but for *fields*; null in them is as good as absent."""
    return chat_request(orjson.dumps({"model": "gpt-4", "messages": [USER], **fields}))[0]


def form(**fields: Any) -> Form:
    """How the answer to the same request is to be dressed."""
    return chat_request(orjson.dumps({"model": "gpt-4", "messages": [USER], **fields}))[1]


def parts(*given: Any) -> tuple[Any, ...]:
    """Parse the parts of one message."""
    return parse(messages=[{"role": "user", "content": list(given)}]).messages[0].content


# ---- what is understood


def test_the_least_that_makes_a_request() -> None:
    """Model and messages are enough; everything else has its default."""
    chat = ChatRequest(
        model="gpt-4", messages=(Message(role="user", content=(TextPart("Hello!"),)),)
    )
    assert (chat, Form()) == chat_request(
        b'{"model":"gpt-4","messages":[{"role":"user","content":"Hello!"}]}'
    )


def test_everything_that_has_a_name() -> None:
    """Each field of the API that we know ends up in its place."""
    fields: dict[str, Any] = {
        "model": "  Claude-Sonnet-4.5 ",
        "stream": True,
        "stream_options": {"include_usage": True, "include_obfuscation": False},
        "temperature": 0.5,
        "top_p": 1,
        "max_tokens": 7,
        "stop": ["a", "b"],
        "n": 1,
        "tools": [TOOL],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "response_format": {"type": "json_object"},
        "reasoning_effort": "low",
        "logprobs": False,
        "top_logprobs": 0,
        "user": "u",
    }

    assert ChatRequest(
        model="Claude-Sonnet-4.5",
        messages=(Message(role="user", content=(TextPart("Hello!"),)),),
        temperature=0.5,
        top_p=1,
        max_tokens=7,
        stop=("a", "b"),
        tools=(LOOK_UP,),
        tool_choice=ToolChoice(mode="auto"),
        parallel_tool_calls=False,
        json=JsonWanted(),
        reasoning_effort="low",
        extra={"user": "u"},
    ) == parse(**fields)
    assert Form(streams=True, wants_usage=True) == form(**fields)


def test_null_is_the_same_as_absent() -> None:
    """Clients that send every field, most of them null, ask for nothing special."""
    names = (
        "stream", "stream_options", "temperature", "top_p", "max_tokens", "max_completion_tokens",
        "stop", "n", "tools", "tool_choice", "parallel_tool_calls", "response_format",
        "reasoning_effort", "logprobs", "top_logprobs", "functions", "function_call", "seed",
    )  # fmt: skip

    assert parse() == parse(**dict.fromkeys(names))


def test_unknown_fields_are_kept() -> None:
    """A field without a name here is accepted: it may be a parameter of the bot."""
    chat = parse(thinking_budget=1024, usage={"include": True}, nothing=None)

    assert {"thinking_budget": 1024, "usage": {"include": True}} == chat.extra


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_tokens": "5"}, 5),
        ({"max_tokens": 5.0}, 5),
        ({"max_tokens": 0}, None),
        ({"max_tokens": -1}, None),
        ({"max_tokens": 5, "max_completion_tokens": -1}, 5),
        ({"max_completion_tokens": 6}, 6),
        ({"max_tokens": 5, "max_completion_tokens": 6}, 6),
        ({"max_tokens": 5, "max_completion_tokens": None}, 5),
    ],
)
def test_the_length_has_two_names(fields: dict[str, Any], limit: int) -> None:
    """max_completion_tokens is the newer name, and wins; 0 and -1 say that there is no limit."""
    assert limit == parse(**fields).max_tokens


@pytest.mark.parametrize(
    ("given", "stop"),
    [("END", ("END",)), (["a", "", "b"], ("a", "b")), ([], ()), ("", ())],
    ids=["one", "several", "none", "empty"],
)
def test_stop_words_come_alone_or_in_a_list(given: Any, stop: tuple[str, ...]) -> None:
    """Stop is a string or a list; what is empty stops nothing."""
    assert stop == parse(stop=given).stop


@pytest.mark.parametrize(
    ("given", "role"),
    [
        ("system", "system"), ("developer", "developer"), ("user", "user"),
        ("assistant", "assistant"), ("function", "function"), ("User", "user"),
        ("human", "user"), ("ai", "assistant"), ("bot", "assistant"), ("model", "assistant"),
    ],
)  # fmt: skip
def test_every_role_is_known(given: str, role: str) -> None:
    """All roles of the API are accepted, and what other programs call the same."""
    (message,) = parse(messages=[{"role": given, "content": "x", "name": "n"}]).messages

    assert (role, "x", "n") == (message.role, message.text, message.name)


NOTHING: list[dict[str, Any]] = [
    {}, {"content": None}, {"content": ""}, {"content": []},
    {"content": [{"type": "text", "text": ""}]},
    {"content": [{"type": "thinking", "thinking": "Hm.", "signature": "s"}]},
    {"content": None, "reasoning_content": "Hm.", "refusal": None},
]  # fmt: skip


@pytest.mark.parametrize("content", NOTHING)
def test_a_message_that_says_nothing_is_left_out(content: dict[str, Any]) -> None:
    """Content may be absent, null, empty, or a thought of an earlier answer."""
    chat = parse(messages=[{"role": "assistant", **content}, USER])

    assert parse().messages == chat.messages


@pytest.mark.parametrize("content", NOTHING)
def test_a_call_and_a_result_need_no_words(content: dict[str, Any]) -> None:
    """A message that called tools has no content; what a tool gave back may be empty."""
    call = {"id": "call_1", "function": {"name": "f", "arguments": "{}"}}
    asked, answered = parse(
        messages=[
            {"role": "assistant", "tool_calls": [call], **content},
            {"role": "tool", "tool_call_id": "call_1", **content},
        ]
    ).messages

    assert ((), "call_1") == (asked.content, asked.tool_calls[0].id)
    assert ((), "call_1") == (answered.content, answered.tool_call_id)


def test_parts_of_text() -> None:
    """Text comes as a string, or as parts under several names."""
    assert tuple(TextPart(text) for text in "abcde") == parts(
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
        {"type": "input_text", "text": "b"},
        {"type": "output_text", "text": "c"},
        {"type": "refusal", "refusal": "d"},
        "e",
    )


def test_parts_of_other_kinds() -> None:
    """Images and files come as addresses or as data."""
    assert (
        ImagePart("https://example.com/a.png"),
        ImagePart("data:image/png;base64,AA==", "low"),
        ImagePart("http://example.com/b.png"),
        FilePart("data:application/pdf;base64,AA==", "a.pdf"),
        FilePart("https://example.com/b.pdf"),
        FilePart("data:audio/wav;base64,AA==", "audio.wav"),
    ) == parts(
        {"type": "image_url", "image_url": "https://example.com/a.png"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "http://example.com/b.png", "detail": 3}},
        {
            "type": "file",
            "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"},
        },
        {"type": "file", "file": {"file_data": "https://example.com/b.pdf", "filename": 3}},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
    )


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("HTTPS://Example.com/A.png", "https://Example.com/A.png"),
        ("Http://example.com/a.png", "http://example.com/a.png"),
        ("DATA:image/png;base64,AB==", "data:image/png;base64,AB=="),
    ],
)
def test_a_scheme_may_be_in_capitals(sent: str, read: str) -> None:
    """It is read in small letters; the rest of an address stays as it is."""
    assert (ImagePart(read), FilePart(read)) == parts(
        {"type": "image_url", "image_url": sent},
        {"type": "file", "file": {"file_data": sent}},
    )


def test_a_part_says_where_it_stood() -> None:
    """What turns out to be wrong with it later is told by its path, whatever was put before it."""
    image = {"type": "image_url", "image_url": "https://example.com/a.png"}
    file = {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA=="}}
    (_, asked) = parse(messages=[USER, {"role": "user", "content": ["x", image, file]}]).messages

    assert ["messages[1].content[1]", "messages[1].content[2]"] == [
        part.path for part in asked.content if not isinstance(part, TextPart)
    ]


def test_calls_and_their_results() -> None:
    """A tool call keeps what stands beside it; its result says which call it answers."""
    asked, answered, _ = parse(
        messages=[
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "look_up", "arguments": '{"q":"x"}'},
                        "extra_content": {"google": {"thought_signature": "s"}},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "name": "look_up", "content": "42"},
            USER,
        ]
    ).messages

    extra = {"extra_content": {"google": {"thought_signature": "s"}}}
    assert (ToolCall("call_1", "look_up", '{"q":"x"}', extra),) == asked.tool_calls
    assert extra == asked.tool_calls[0].extra
    assert ("call_1", "look_up", "42") == (answered.tool_call_id, answered.name, answered.text)


@pytest.mark.parametrize(
    ("function_call", "tool_choice"),
    [
        (None, None),
        ("none", ToolChoice(mode="none")),
        ("auto", ToolChoice(mode="auto")),
        ({"name": "look_up"}, ToolChoice(mode="required", name="look_up")),
    ],
)
def test_functions_are_the_older_form_of_tools(function_call: Any, tool_choice: Any) -> None:
    """They are tools, one call at a time; and what the client hears is to be in that form too."""
    fields = {
        "functions": [FUNCTION], "function_call": function_call, "tools": [],
        "tool_choice": "required",
    }  # fmt: skip
    chat = parse(**fields)

    assert (LOOK_UP,) == chat.tools
    assert "functions[0].parameters" == chat.tools[0].path
    assert (tool_choice, False) == (chat.tool_choice, chat.parallel_tool_calls)
    assert form(**fields).is_legacy
    assert {} == chat.extra


def test_a_call_in_the_older_form_is_a_call() -> None:
    """It has no id there; each gets one, by which its result can be told from others."""
    call = {"name": "look_up", "arguments": '{"q":"x"}'}
    old = {"role": "assistant", "content": None, "function_call": call}
    first, _, second = parse(messages=[old, USER, old]).messages

    assert [("look_up", '{"q":"x"}')] == [(one.name, one.arguments) for one in first.tool_calls]
    assert first.tool_calls[0].id != second.tool_calls[0].id


def test_nothing_of_a_tool_is_lost() -> None:
    """What has no name here goes on to Poe as it came, beside what has one."""
    function = {"name": "f", "description": "Does it.", "strict": True}
    (tool,) = parse(tools=[{"function": function, "cache_control": {"type": "x"}}]).tools

    assert ("f", "Does it.", None) == (tool.name, tool.description, tool.schema)
    assert (function, {"cache_control": {"type": "x"}}) == (tool.definition, tool.beside)
    assert "tools[0].function.parameters" == tool.path


def _allowed(mode: str, *names: str) -> dict[str, Any]:
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


def test_many_stop_words_are_welcome() -> None:
    """More than OpenAI takes, for all that is bounded is what looking for them costs."""
    words = [f"{number:03}" for number in range(64)]

    assert tuple(words) == parse(stop=words).stop
    assert ("x" * 1000,) == parse(stop="x" * 1000).stop


def test_a_call_needs_neither_id_nor_arguments() -> None:
    """Arguments may be an object; results without an id find their calls in order."""
    functions = [
        {"name": "f", "arguments": {"q": 1}},
        {"name": "g"},
        {"name": "h", "arguments": ""},
    ]
    asked, *answered = parse(
        messages=[
            {"role": "assistant", "tool_calls": [{"function": one} for one in functions]},
            {"role": "tool", "content": {"n": 42}},
            {"role": "tool", "name": "h", "content": [1]},
            {"role": "tool", "tool_call_id": "", "content": "x"},
        ]
    ).messages

    first, second, third = asked.tool_calls
    assert ['{"q":1}', "{}", "{}"] == [call.arguments for call in asked.tool_calls]
    assert [(first.id, '{"n":42}'), (third.id, "[1]"), (second.id, "x")] == [
        (one.tool_call_id, one.text) for one in answered
    ]


def test_a_past_call_of_a_custom_tool() -> None:
    """It is told to the bot as the call of a function that it was."""
    call = {"id": "c", "type": "custom", "custom": {"name": "patch", "input": "+x"}}
    asked, answered = parse(
        messages=[
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "done"},
        ]
    ).messages

    assert (ToolCall("c", "patch", '{"input":"+x"}'),) == asked.tool_calls
    assert ("c", "done") == (answered.tool_call_id, answered.text)


def test_results_within_a_message_go_before_the_rest_of_it() -> None:
    """Anthropic's form; a call that comes as a block and as OpenAI has it is one call."""
    block = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    results = [{"type": "tool_result", "tool_use_id": "a", "content": "42"}, "And now?"]
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    expected = (
        Message(role="assistant", tool_calls=(ToolCall("a", "f", "{}"),)),
        Message(role="tool", content=(TextPart("42"),), tool_call_id="a"),
        Message(role="user", content=(TextPart("And now?"),)),
    )

    for role in ("user", "tool"):
        for calls in ([], [call]):
            assert (
                expected
                == parse(
                    messages=[
                        {"role": "assistant", "content": [block], "tool_calls": calls},
                        {"role": role, "content": results},
                    ]
                ).messages
            )


@pytest.mark.parametrize("system", ["s", [{"type": "text", "text": "s", "cache_control": {}}]])
def test_the_system_s_words_may_stand_beside_the_messages(system: Any) -> None:
    """As in Anthropic's API; they are the first message."""
    chat = parse(system=system)

    assert (Message(role="system", content=(TextPart("s"),)), *parse().messages) == chat.messages
    assert {} == chat.extra


def test_a_refusal_of_an_earlier_answer_was_its_words() -> None:
    """It stands beside the content, which is null."""
    said, _ = parse(
        messages=[{"role": "assistant", "content": None, "refusal": "No."}, USER]
    ).messages

    assert "No." == said.text


def test_a_request_of_the_responses_api_is_one_of_ours() -> None:
    """`input` in place of messages: every field has its place, and none is a bot's parameter."""
    body = {
        "model": "gpt-5",
        "input": [USER, {"type": "additional_tools", "tools": [{"name": "g", "parameters": {}}]}],
        "instructions": "Be brief.",
        "max_output_tokens": 7,
        "text": {"format": {"type": "json_object"}, "verbosity": "low"},
        "reasoning": {"effort": "low", "summary": "auto"},
        "tools": [{"type": "function", "name": "f"}, {"type": "web_search"}],
        "tool_choice": {"type": "function", "name": "f"},
        "stream": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "previous_response_id": None,
        "truncation": "auto",
        "client_metadata": {"a": "b"},
        "user": "u",
        "top_k": 3,
    }

    assert (
        ChatRequest(
            model="gpt-5",
            messages=(
                Message(role="system", content=(TextPart("Be brief."),)),
                Message(role="user", content=(TextPart("Hello!"),)),
            ),
            max_tokens=7,
            json=JsonWanted(),
            reasoning_effort="low",
            tools=(Tool(name="f"), Tool(name="g", schema={})),
            tool_choice=ToolChoice(mode="required", name="f"),
            extra={"user": "u", "top_k": 3},
        ),
        Form(streams=True),
    ) == chat_request(orjson.dumps(body))


def test_messages_go_before_input() -> None:
    """Beside them it is a parameter of the bot, like all that has no name here."""
    fields = {"input": "x", "text": {"a": 1}, "reasoning": {"effort": "low"}}
    chat = parse(**fields)

    assert (parse().messages, fields, None) == (chat.messages, chat.extra, chat.reasoning_effort)


@pytest.mark.parametrize(
    ("fields", "several"),
    [
        ({"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}, False),
        ({"tool_choice": {"type": "auto"}, "parallel_tool_calls": "false"}, False),
        ({"tool_choice": {"type": "auto"}}, None),
    ],
)
def test_several_calls_may_be_forbidden_by_the_choice(fields: Any, several: bool | None) -> None:
    """As Anthropic's form can say, or in a field of its own."""
    assert several is parse(tools=[TOOL], **fields).parallel_tool_calls


PASSED_OVER: list[tuple[str, dict[str, Any]]] = [
    ("logprobs", {"logprobs": True}),
    ("logprobs", {"logprobs": True, "top_logprobs": 3}),
    ("top_logprobs", {"top_logprobs": 3}),
    ("modalities", {"modalities": ["text", "audio"], "audio": {"voice": "alloy"}}),
    ("tools[1]", {"tools": [TOOL, {"type": "web_search"}]}),
]


@pytest.mark.parametrize(("param", "fields"), PASSED_OVER, ids=str)
def test_what_poe_passes_over_is_refused_only_on_demand(param: str, fields: dict[str, Any]) -> None:
    """A program that works with Poe itself works here; others want to know."""
    body = orjson.dumps({"model": "gpt-4", "messages": [USER], **fields})
    chat, _ = chat_request(body)

    assert {} == {name: one for name, one in chat.extra.items() if name != "audio"}
    with pytest.raises(InvalidRequest) as refusal:
        chat_request(body, strict=True)
    assert param == refusal.value.param


def test_text_in_any_script_is_kept() -> None:
    """What was written is what is sent, up to the last character."""
    text = "Grüße, 世界 🌍 \u0000 \u202e ‮\r\n"

    assert text == parse(messages=[{"role": "user", "content": text}]).messages[0].text


# ---- what is refused


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"model=gpt-4", id="form"),
        pytest.param(b'{"model": "gpt-4"', id="cut off"),
        pytest.param(b"{'model': 'gpt-4'}", id="single quotes"),
        pytest.param(b'{"model": "\xff"}', id="not UTF-8"),
        pytest.param(b'{"model": "\\ud800"}', id="half a character"),
        pytest.param(b'{"temperature": NaN}', id="NaN"),
        pytest.param(b"[" * 100_000, id="too deep"),
        pytest.param(b'{"x":' * 300 + b"1" + b"}" * 300, id="too deep to be sent on"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="list"),
        pytest.param(b'"gpt-4"', id="string"),
        pytest.param(b"\xff\xfe", id="no letters"),
    ],
)
def test_a_body_that_is_no_json_object(body: bytes) -> None:
    """Whatever is not a JSON object is refused as such."""
    with pytest.raises(InvalidRequest) as refusal:
        chat_request(body)

    assert ("body", 400) == (refusal.value.param, refusal.value.status)
    assert len(refusal.value.message) < 100


def messages(*given: Any) -> dict[str, Any]:
    return {"messages": list(given)}


def content(*given: Any) -> dict[str, Any]:
    return messages({"role": "user", "content": list(given)})


def calls(*given: Any) -> dict[str, Any]:
    return messages({"role": "assistant", "tool_calls": list(given)})


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("model", {"model": 3}),
    ("messages", {"messages": "Hello!"}),
    ("messages", {"messages": {}}),
    ("messages", {"messages": {"role": "user"}}),
    ("messages", {"messages": []}),
    ("messages", messages({"role": "user", "content": ""})),
    ("messages", messages({"role": "user"}, {"role": "user", "content": []})),
    ("messages[0]", messages("Hello!")),
    ("messages[1]", messages(USER, None)),
    ("messages[0].role", messages({"content": "x"})),
    ("messages[0].role", messages({"role": "robot", "content": "x"})),
    ("messages[0].role", messages({"role": 3, "content": "x"})),
    ("messages[1].content", messages(USER, {"role": "user", "content": 3})),
    ("messages[0].content", messages({"role": "user", "content": {"text": "x"}})),
    ("messages[0].content", messages({"role": "user", "content": False})),
    ("messages[0].name", messages({**USER, "name": 3})),
    ("messages[0].tool_call_id", messages({**USER, "role": "tool", "tool_call_id": 3})),
    ("messages[0].content[0]", content(3)),
    ("messages[0].content[0]", content(None)),
    ("messages[0].content[0]", content({"text": "x"})),
    ("messages[0].content[1]", content("x", {"type": "text"})),
    ("messages[0].content[0]", content({"type": "text", "text": 3})),
    ("messages[0].content[0]", content({"type": "image_url", "image_url": {}})),
    ("messages[0].content[0]", content({"type": "input_audio", "input_audio": "AA=="})),
    ("messages[0].content[0].image_url", content({"type": "image_url", "image_url": "a.png"})),
    ("messages[0].content[0].image_url", content({"type": "image_url", "image_url": "https"})),
    (
        "messages[0].content[0].image_url.url",
        content({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}),
    ),
    (
        "messages[0].content[0].file.file_data",
        content({"type": "file", "file": {"file_data": "AA=="}}),
    ),
    (
        "messages[0].content[0].file.file_id",
        content({"type": "file", "file": {"file_id": "file-1"}}),
    ),
    ("messages[0].tool_calls", messages({"role": "assistant", "tool_calls": {}})),
    ("messages[0].tool_calls[0]", calls(None)),
    ("messages[0].tool_calls[0].id", calls({"id": 3, "function": {"name": "f"}})),
    (
        "messages[0].tool_calls[0].function.arguments",
        calls({"id": "1", "function": {"name": "f", "arguments": ["x"]}}),
    ),
    ("messages[0].tool_calls[0]", calls({"type": "custom", "custom": {"name": "f"}})),
    (
        "messages[0].function_call.arguments",
        messages({"role": "assistant", "function_call": {"name": "f", "arguments": 3}}),
    ),
    ("messages[0].tool_call_id", messages({"role": "tool", "content": "42"})),
    ("messages[1].tool_call_id", messages(USER, {"role": "tool", "content": "42"}, USER)),
    (
        "messages[0].content[0].tool_use_id",
        content({"type": "tool_result", "content": "42"}),
    ),
    ("system[1]", {"system": ["x", 3]}),
    ("stream", {"stream": "yes"}),
    ("stream", {"stream": 2}),
    ("max_tokens", {"max_tokens": -2}),
    ("max_tokens", {"max_tokens": "many"}),
    ("max_tokens", {"max_tokens": "1_000"}),
    ("temperature", {"temperature": "nan"}),
    ("temperature", {"temperature": "2.1"}),
    ("stream_options", {"stream_options": True}),
    ("stream_options.include_usage", {"stream_options": {"include_usage": "yes"}}),
    ("temperature", {"temperature": "hot"}),
    ("temperature", {"temperature": True}),
    ("temperature", {"temperature": 2.1}),
    ("temperature", {"temperature": -0.1}),
    ("top_p", {"top_p": 1.1}),
    ("top_p", {"top_p": [1]}),
    ("max_tokens", {"max_tokens": 7.5}),
    ("max_tokens", {"max_tokens": True}),
    ("stop", {"stop": 3}),
    ("stop", {"stop": ["a", 3]}),
    ("stop", {"stop": {"a": 1}}),
    ("stop", {"stop": ["a"] * 65}),
    ("stop", {"stop": ["x" * 500, "y" * 501]}),
    ("tool_choice", {"tool_choice": "required"}),
    ("tool_choice", {"tools": [], "tool_choice": "required"}),
    ("tool_choice", {"tools": [TOOL], "tool_choice": _allowed("required")}),
    ("tool_choice", {"tools": [TOOL], "tool_choice": _allowed("auto", "other")}),
    (
        "tool_choice",
        {
            "tools": [TOOL],
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": ["look_up"]},
            },
        },
    ),
    ("n", {"n": 2}),
    ("n", {"n": 0}),
    ("n", {"n": True}),
    ("logprobs", {"logprobs": 3}),
    ("modalities", {"modalities": "audio"}),
    ("functions", {"functions": {}}),
    ("functions", {"functions": [FUNCTION], "tools": [TOOL]}),
    ("functions[0]", {"functions": ["look_up"]}),
    ("functions[1].name", {"functions": [FUNCTION, {"name": ""}]}),
    ("functions[0].parameters", {"functions": [{"name": "f", "parameters": "x"}]}),
    ("function_call", {"functions": [FUNCTION], "function_call": "required"}),
    ("function_call", {"functions": [FUNCTION], "function_call": {"name": "other"}}),
    ("function_call", {"function_call": {"name": "look_up"}}),
    ("messages[0].function_call", messages({"role": "assistant", "function_call": "f"})),
    ("tools", {"tools": {}}),
    ("tools[0]", {"tools": ["look_up"]}),
    ("tools[0]", {"tools": [{**TOOL, "type": "custom"}]}),
    ("tools[0].function.name", {"tools": [{"function": {"name": ""}}]}),
    ("tools[0].function.name", {"tools": [{"function": {}}]}),
    ("tools[0].function.parameters", {"tools": [{"function": {"name": "f", "parameters": "x"}}]}),
    ("tool_choice", {"tool_choice": "look_up"}),
    ("tool_choice", {"tool_choice": True}),
    ("tool_choice", {"tools": [TOOL], "tool_choice": {"type": "function"}}),
    (
        "tool_choice",
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "other"}}},
    ),
    ("tool_choice", {"tool_choice": {"type": "function", "function": {"name": "look_up"}}}),
    ("parallel_tool_calls", {"parallel_tool_calls": "no"}),
    ("response_format.type", {"response_format": {}}),
    ("response_format.type", {"response_format": {"type": "xml"}}),
    ("response_format.json_schema", {"response_format": {"type": "json_schema"}}),
    (
        "response_format.json_schema",
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}},
    ),
    ("reasoning_effort", {"reasoning_effort": 3}),
    ("tools", {"tools": "none"}),
    ("messages[0].content[1]", content("x", {"type": "input_audio", "input_audio": {"id": "x"}})),
    ("messages[0].content[0].image_url", content({"type": "image_url", "image_url": "ftp://x/y"})),
    ("stream_options", {"stream_options": []}),
    ("top_p", {"top_p": True}),
    ("max_completion_tokens", {"max_completion_tokens": 1.5}),
    ("tools[0].function.parameters", {"tools": [{"function": {"name": "f", "parameters": [1]}}]}),
    ("functions[0].name", {"functions": [{}]}),
    ("function_call", {"functions": [FUNCTION], "function_call": {"type": "function"}}),
]


@pytest.mark.parametrize(
    ("param", "fields"),
    [pytest.param(*row, id=f"{place}-{row[0]}") for place, row in enumerate(WRONG)],
)
def test_a_mistake_is_named_by_its_field(param: str, fields: dict[str, Any]) -> None:
    """What is wrong with a request is said in a sentence, and `param` is the path of it."""
    with pytest.raises(InvalidRequest) as refusal:
        parse(**fields)

    assert (param, "invalid_value") == (refusal.value.param, refusal.value.code)
    assert refusal.value.message.endswith(".")


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        pytest.param("model", {"messages": [USER]}, id="no model"),
        pytest.param("model", {"model": None, "messages": [USER]}, id="null model"),
        pytest.param("model", {"model": "", "messages": [USER]}, id="empty model"),
        pytest.param("model", {"model": " \n", "messages": [USER]}, id="blank model"),
        pytest.param("messages", {"model": "gpt-4"}, id="no messages"),
        pytest.param("messages", {"model": "gpt-4", "messages": None}, id="null messages"),
        pytest.param("model", {"messages": []}, id="neither"),
    ],
)
def test_what_is_missing_is_named(param: str, fields: dict[str, Any]) -> None:
    """Without a model, or without messages, the answer says which, in OpenAI's own code."""
    with pytest.raises(InvalidRequest) as refusal:
        chat_request(orjson.dumps(fields))

    assert (param, "missing_required_parameter") == (refusal.value.param, refusal.value.code)


CALL = {"id": "c", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("param", "code", "fields"),
    [
        ("messages", "array", {"messages": [USER] * (MAX_MESSAGES + 1)}),
        (
            "messages[1].content",
            "array",
            messages(USER, {"role": "user", "content": ["x"] * (MAX_PARTS + 1)}),
        ),
        (
            "messages[2].content",
            "array",
            messages(
                *[{"role": "user", "content": ["x"] * (MAX_PARTS // 2)}] * 2,
                {**USER, "content": ["x"]},
            ),
        ),
        (
            "messages[1].tool_calls",
            "array",
            messages(USER, {"role": "assistant", "tool_calls": [CALL] * (MAX_CALLS + 1)}),
        ),
        ("tools", "array", {"tools": [TOOL] * (MAX_TOOLS + 1)}),
        ("functions", "array", {"functions": [FUNCTION] * (MAX_TOOLS + 1)}),
        pytest.param(
            "tools",
            "array",
            {
                "messages": None,
                "input": [{"type": "additional_tools", "tools": [TOOL] * MAX_TOOLS}, USER],
                "tools": [TOOL],
            },
            id="tools among items",
        ),
        ("model", "string", {"model": "x" * 301}),
        ("tools[0].function.name", "string", {"tools": [{"function": {"name": "x" * 301}}]}),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_there_may_be_so_many_of_each(param: str, code: str, fields: dict[str, Any]) -> None:
    """What a request may have of each thing is bounded, over all its messages together."""
    with pytest.raises(InvalidRequest) as refusal:
        parse(**fields)

    assert (param, f"{code}_above_max_length") == (refusal.value.param, refusal.value.code)


def test_a_long_conversation_is_no_abuse() -> None:
    """As many messages, parts and calls as may be are read."""
    calls = {"role": "assistant", "tool_calls": [CALL] * (MAX_CALLS // 100)}
    said = [USER] * (MAX_MESSAGES - 200) + [calls] * 100
    said += [{"role": "user", "content": ["x"] * (MAX_PARTS // 100)}] * 100

    assert MAX_MESSAGES == len(parse(messages=said).messages)


def test_a_refusal_does_not_repeat_what_was_sent() -> None:
    """Neither a long value nor the text of a conversation comes back in a message."""
    for fields in (
        {"response_format": {"type": "x" * 10_000}},
        {"reasoning_effort": ["secret" * 100]},
        content({"type": "x" * 10_000}),
        content({"type": "image_url", "image_url": "secret" * 100}),
        messages({"role": "secret" * 100, "content": "x"}),
    ):
        with pytest.raises(InvalidRequest) as refusal:
            parse(**fields)
        assert len(refusal.value.message) < 300
        assert "secret" not in refusal.value.message


def test_a_request_does_not_show_its_texts() -> None:
    """What a request looks like in a log or a traceback is not what its user wrote."""
    chat = parse(
        messages=[
            {"role": "user", "content": "secret"},
            {"role": "user", "content": [{"type": "image_url", "image_url": "data:secret"}]},
            {
                "role": "assistant",
                "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "secret"}}],
            },
        ],
        tools=[{"function": {"name": "f", "description": "secret"}}],
        metadata="secret",
    )

    assert "secret" not in repr(chat)
    assert "secret" not in repr(chat.messages)
