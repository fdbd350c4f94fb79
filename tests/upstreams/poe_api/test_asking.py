"""Chat requests in Poe's form, and what may be left out of them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

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
from poe_proxy.errors import ParameterRefused, PartRefused
from poe_proxy.upstreams.poe_api.asking import droppable, is_lasting, request

USER = Message(role="user", content=(TextPart("Hi"),))
WEATHER = Tool(name="get_weather", schema={})


def asked(*messages: Message, stream: bool = True, **fields: Any) -> dict[str, Any]:
    """The body for a request of these messages and fields."""
    chat = ChatRequest(model="bot", messages=messages or (USER,), **fields)
    body: dict[str, Any] = orjson.loads(orjson.dumps(request(chat, "Bot", stream=stream)))
    return body


def test_the_smallest_request() -> None:
    """A stream is asked for with usage; what the client did not say is not sent."""
    assert {
        "model": "Bot",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    } == asked()
    assert {"model", "messages"} == asked(stream=False).keys()


def test_what_poe_takes_is_passed_on() -> None:
    """Every field of ours arrives under OpenAI's name, the bot's own parameters beside them."""
    body = asked(
        temperature=0.0,
        top_p=0.5,
        max_tokens=7,
        stop=("a", "b"),
        tools=(WEATHER,),
        tool_choice=ToolChoice(mode="required"),
        parallel_tool_calls=False,
        json=JsonWanted(),
        reasoning_effort="low",
        extra={"thinking_budget": 0, "web_search": False, "aspect": "16:9"},
    )

    assert {
        "temperature": 0.0,
        "top_p": 0.5,
        "max_tokens": 7,
        "stop": ["a", "b"],
        "tools": [{"type": "function", "function": {"name": "get_weather", "parameters": {}}}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "response_format": {"type": "json_object"},
        "reasoning_effort": "low",
        "thinking_budget": 0,
        "web_search": False,
        "aspect": "16:9",
    }.items() <= body.items()


@pytest.mark.parametrize(
    ("tool", "definition"),
    [
        (Tool(name="f"), {"name": "f"}),
        (
            Tool(name="f", description="Does it.", schema={"type": "object"}, path="tools[0].x"),
            {"name": "f", "description": "Does it.", "parameters": {"type": "object"}},
        ),
        (Tool(name="f", schema={}, extra={"strict": True}),
         {"name": "f", "parameters": {}, "strict": True}),
    ],
)  # fmt: skip
def test_tools(tool: Tool, definition: dict[str, Any]) -> None:
    """In OpenAI's form; what the client did not say is not sent, what has no name here is."""
    assert [{"type": "function", "function": definition}] == asked(tools=(tool,))["tools"]


def test_what_stands_beside_a_tool_is_sent() -> None:
    """It stands beside the definition again."""
    cached = {"cache_control": {"type": "ephemeral"}}
    (sent,) = asked(tools=(Tool(name="f", beside=cached),))["tools"]
    assert {"type": "function", "function": {"name": "f"}, **cached} == sent


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (ToolChoice(mode="auto"), "auto"),
        (ToolChoice(mode="none"), "none"),
        (ToolChoice(mode="required"), "required"),
        (ToolChoice(mode="required", name="get_weather", path="function_call"),
         {"type": "function", "function": {"name": "get_weather"}}),
    ],
)  # fmt: skip
def test_the_choice_of_a_tool(choice: ToolChoice, sent: Any) -> None:
    """In OpenAI's words, whichever form it came in."""
    assert sent == asked(tools=(WEATHER,), tool_choice=choice)["tool_choice"]


@pytest.mark.parametrize(
    ("wanted", "sent"),
    [
        (JsonWanted(), {"type": "json_object"}),
        (JsonWanted(beside={"schema": {}}), {"type": "json_object", "schema": {}}),
        (JsonWanted(schema={}), {"type": "json_schema", "json_schema": {"schema": {}}}),
        (
            JsonWanted(schema={}, beside={"strict": True}),
            {"type": "json_schema", "json_schema": {"schema": {}}, "strict": True},
        ),
        (
            JsonWanted(
                schema={"type": "object"},
                description="A city.",
                schema_path="text.format.schema",
                extra={"name": "city", "strict": True},
            ),
            {
                "type": "json_schema",
                "json_schema": {
                    "name": "city",
                    "description": "A city.",
                    "schema": {"type": "object"},
                    "strict": True,
                },
            },
        ),
    ],
)
def test_wanted_json(wanted: JsonWanted, sent: dict[str, Any]) -> None:
    """An object or a schema, with all that came along with either."""
    assert sent == asked(json=wanted)["response_format"]


def test_stop_words_that_the_client_wants_named_are_not_sent() -> None:
    """Poe would end the answer without telling which one it was."""
    assert "stop" not in asked(stop=("END",), names_stop_word=True)


def test_only_stop_words_that_work_are_sent() -> None:
    """Four at most, and none of white space alone."""
    assert ["a", "b", "c", "d"] == asked(stop=("\n", "a", "b", " ", "c", "d", "e"))["stop"]
    assert "stop" not in asked(stop=("\n\n",))


def test_an_answer_is_no_longer_than_the_bot_s_can_be() -> None:
    """Agents ask for more than some bots take; what a bot can do, or the client wants, is kept."""
    chat = ChatRequest(model="bot", messages=(USER,), max_tokens=64_000)

    lengths = [
        request(chat, "Bot", stream=True, most=most)["max_tokens"] for most in (8192, 64_001, None)
    ]

    assert [8192, 64_000, 64_000] == lengths
    assert "max_tokens" not in request(
        ChatRequest(model="bot", messages=(USER,)), "Bot", stream=True, most=8192
    )
    newer = request(chat, "Bot", stream=True, most=8192, without=frozenset({"max_tokens"}))
    assert 8192 == newer["max_completion_tokens"]


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"web_search": {}}, {"web_search": True}),
        ({"enable_web_search": {}}, {"enable_web_search": True}),
        ({"thinking_budget": {}}, {}),
    ],
)
def test_a_search_is_asked_for_where_the_bot_can(
    declared: dict[str, Any], said: dict[str, Any]
) -> None:
    """By the name that it declares; others answer without."""
    chat = ChatRequest(model="bot", messages=(USER,), web_search=True)

    body = request(chat, "Bot", stream=False, declared=declared)

    assert {"model", "messages", *said} == body.keys()
    assert said.items() <= body.items()


def test_a_budget_of_thoughts_is_said_in_the_bot_s_words() -> None:
    """Where there is no effort besides, which is the newer word for it."""
    declared = {"thinking_budget": {"type": "integer", "maximum": 1000}}
    chat = ChatRequest(model="bot", messages=(USER,), thinking_budget=10)

    assert 10 == request(chat, "Bot", stream=True, declared=declared)["thinking_budget"]


def test_effort_is_said_in_the_bot_s_words() -> None:
    """A bot that declares a budget of thought gets one; what it refused is left out."""
    chat = ChatRequest(model="bot", messages=(USER,), reasoning_effort="medium")
    declared = {"thinking_budget": {"type": "integer", "maximum": 1000}}

    body = request(chat, "Bot", stream=True, declared=declared)

    assert 500 == body["thinking_budget"]
    assert "reasoning_effort" not in body
    refused = frozenset({"reasoning_effort"})
    assert "reasoning_effort" not in request(chat, "Bot", stream=True, without=refused)


def test_what_poe_ignores_is_not_sent() -> None:
    """It can only do harm, unless the bot has a parameter of that name."""
    extra = {"seed": 1, "user": "u", "store": False, "n": 1, "logit_bias": {}, "metadata": {}}
    chat = ChatRequest(model="bot", messages=(USER,), extra=extra)

    assert not extra.keys() & request(chat, "Bot", stream=True).keys()
    assert 1 == request(chat, "Veo-3.1", stream=False, declared={"seed": {}})["seed"]


def test_what_an_api_has_put_in_the_bot_s_words_is_sent() -> None:
    """As it is, before what a client has for the same."""
    chat = ChatRequest(
        model="bot", messages=(USER,), extra={"aspect": "1:1"}, parameters={"aspect": "3:2"}
    )

    assert "3:2" == request(chat, "Bot", stream=False)["aspect"]


def test_what_is_only_the_client_s_is_not_sent() -> None:
    """Unless the bot has a parameter of that name; what nobody knows may be one of the bot's."""
    extra = {
        "reasoning": {"effort": "high"}, "thinking": {"type": "enabled"}, "usage": {},
        "client_metadata": {}, "include_reasoning": True, "provider": {}, "transforms": [],
        "chat_id": "c", "session_id": "s", "id": "i", "background_tasks": {}, "features": {},
        "variables": {}, "model_item": {}, "extra_body": {}, "cache_control": {},
        "enable_search": True, "custom_fields": {}, "prompt_cache_key": "k",
    }  # fmt: skip
    chat = ChatRequest(model="bot", messages=(USER,), extra={**extra, "top_k": 40})

    body = request(chat, "Bot", stream=True)

    assert not extra.keys() & body.keys()
    assert 40 == body["top_k"]
    declared: dict[str, Any] = {"thinking": {}, "reasoning_effort": {}}
    body = request(chat, "Bot", stream=True, declared=declared)
    assert ({"type": "enabled"}, "high") == (body["thinking"], body["reasoning_effort"])


def test_beside_calls_no_content_is_null() -> None:
    """An empty text stays one."""
    call = ToolCall("c", "f", "{}")
    contents: list[tuple[TextPart, ...]] = [(), (TextPart(""),), (TextPart("a"),)]
    messages = [Message(role="assistant", content=one, tool_calls=(call,)) for one in contents]

    sent = asked(*messages, Message(role="assistant"))["messages"]

    assert [None, "", "a", ""] == [one["content"] for one in sent]


def test_no_parameter_of_the_bot_can_change_what_is_ours() -> None:
    """A field that has a name of its own comes from there, not from the rest."""
    body = asked(extra={"stream": False, "messages": [], "model": "Other", "tools": []})

    assert asked() == body


def test_choices_about_tools_need_tools() -> None:
    """OpenAI's models refuse them without."""
    assert asked() == asked(tool_choice=ToolChoice(mode="auto"), parallel_tool_calls=True)


def test_what_the_bot_refused_is_left_out() -> None:
    """`max_tokens` has a newer name to try first."""
    chat = ChatRequest(model="bot", messages=(USER,), temperature=1.0, top_p=1.0, max_tokens=5)
    body = request(chat, "Bot", stream=True, without=frozenset({"temperature", "max_tokens"}))

    assert "temperature" not in body
    assert "max_tokens" not in body
    assert (1.0, 5) == (body["top_p"], body["max_completion_tokens"])


@pytest.mark.parametrize(
    ("ours", "poes"),
    [
        ("developer", "system"),
        ("system", "system"),
        ("user", "user"),
        ("assistant", "assistant"),
        ("tool", "tool"),
    ],
)
def test_roles(ours: Any, poes: str) -> None:
    """Poe has no developers."""
    assert poes == asked(Message(role=ours, content=(TextPart("x"),)))["messages"][0]["role"]


def test_a_tool_round_trip_goes_back_as_it_came() -> None:
    """Calls keep their ids, their arguments to the letter and what stood beside them."""
    signature = {"extra_content": {"google": {"thought_signature": "abc"}}}
    call = ToolCall("call_1", "get_weather", '{"city" : "Paris"}', signature)
    body = asked(
        USER,
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content=(TextPart("Rain"),), tool_call_id="call_1", name="n"),
    )

    assert [
        {"role": "user", "content": "Hi"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"city" : "Paris"}'},
                    **signature,
                }
            ],
        },
        {"role": "tool", "content": "Rain", "tool_call_id": "call_1", "name": "n"},
    ] == body["messages"]


def test_a_function_result_answers_the_newest_call_of_its_function() -> None:
    """The old form names the function; Poe wants the call."""
    calls = (ToolCall("call_1", "f", "{}"), ToolCall("call_2", "g", "{}"), ToolCall("3", "f", "{}"))
    result = Message(role="function", name="f", content=(TextPart("1"),))

    assert (
        "3"
        == asked(Message(role="assistant", tool_calls=calls), result)["messages"][1]["tool_call_id"]
    )


def test_a_function_result_without_a_call_is_said_by_the_user() -> None:
    """As a tool's it would be refused, and Poe knows no role `function`."""
    result = Message(role="function", name="f", content=(TextPart("1"),))

    assert [{"role": "user", "name": "f", "content": "1"}] == asked(result)["messages"]


def test_content_parts() -> None:
    """Text alone is a string; with pictures and files every part keeps its place."""
    parts = (
        TextPart("Look:"),
        ImagePart("https://example.org/a.png"),
        ImagePart("data:image/png;base64,AA==", "low"),
        FilePart("data:application/pdf;base64,AA==", "a.pdf"),
        FilePart("data:text/plain;base64,AA=="),
    )

    assert [
        {"type": "text", "text": "Look:"},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
        {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="},
        },
        {
            "type": "file",
            "file": {"filename": "file", "file_data": "data:text/plain;base64,AA=="},
        },
    ] == asked(Message(role="user", content=parts))["messages"][0]["content"]
    assert (
        "a\nb"
        == asked(Message(role="user", content=(TextPart("a"), TextPart("b"))))["messages"][0][
            "content"
        ]
    )


def test_a_file_by_url_is_refused_by_its_path() -> None:
    """Poe takes files as data only."""
    part = FilePart("https://example.org/a.pdf", "a.pdf", "messages[2].content[1]")
    with pytest.raises(PartRefused) as refused:
        asked(Message(role="user", content=(TextPart("Look:"), part)))

    assert "messages[2].content[1]" == refused.value.param


# ---- what may be left out

SENT = (
    "model", "messages", "stream", "stream_options", "temperature", "top_p", "max_tokens", "stop",
    "tools", "tool_choice", "response_format", "reasoning_effort", "size", "extra_thing",
)  # fmt: skip


@pytest.mark.parametrize(
    ("message", "param", "field"),
    [
        ("Unknown parameter: 'size' is not declared by the model 'x'.", "size", "size"),
        ("No.", "temperature", "temperature"),
        ("No.", "response_format.json_schema", "response_format"),
        ("No.", "stream_options[0]", "stream_options"),
        ("Unsupported parameter: 'top_p' is not supported with this model.", None, "top_p"),
        ("Unrecognized request argument supplied: reasoning_effort", None, "reasoning_effort"),
        ("max_tokens is not supported, use max_completion_tokens", None, "max_tokens"),
        ("Extra inputs are not permitted: `extra_thing`", "body", "extra_thing"),
        ("Unknown field 'top_p' (the size of the request is fine)", None, "top_p"),
        # Stop words are looked for here.
        ("Unknown parameter: 'stop'.", "stop", "stop"),
        # What cannot be left out.
        ("Unknown parameter: 'tools'.", "tools", None),
        ("The model does not support tool calling.", "tools", None),
        ("No.", "messages[0].content", None),
        # Of nothing that was sent.
        ("Unknown parameter: 'seed'.", "seed", None),
    ],
)
def test_which_field_may_be_dropped(message: str, param: str | None, field: str | None) -> None:
    """The one that was refused."""
    refusal = ParameterRefused(message, param=param)

    assert ({field} if field else set()) == droppable(SENT, refusal)


def test_a_value_is_not_dropped() -> None:
    """The client that sent it should hear of it."""
    refusal = ParameterRefused("Must be less than 1.", param="temperature", code="invalid_value")

    assert set() == droppable(SENT, refusal)


@pytest.mark.parametrize("code", ["unsupported_parameter", "invalid_value"])
@pytest.mark.parametrize(
    ("message", "param"),
    [
        ("No.", "size"),
        ("Unsupported value: 'size' is not a parameter of this model. Allowed: 'stop'.", None),
        ("What is size? Allowed values: 'temperature', 'top_p'.", None),
        ("must be between 1 and 2", "size"),
    ],
)
def test_the_catalogue_decides_whatever_the_words(
    message: str, param: str | None, code: str
) -> None:
    """A declared field was refused for its value; one that is not declared is left out."""
    refusal = ParameterRefused(message, param=param, code=code)

    assert {"size"} == droppable(SENT, refusal, extra=("size",), declared={})
    assert set() == droppable(SENT, refusal, extra=("size",), declared={"size": {}})


def test_what_is_missing_is_not_dropped() -> None:
    """A refusal that wants more is not met by less."""
    refusal = ParameterRefused("Missing: 'size'.", param="size", code="missing_required_parameter")

    assert set() == droppable(SENT, refusal, declared={})


def test_which_refusals_last() -> None:
    """Of a field that the bot does not have; not of a value that the next request may have."""
    field = ParameterRefused("No.", param="size")
    value = ParameterRefused("No.", param="size", code="invalid_value")

    assert is_lasting(field, {"temperature"}, ())
    assert is_lasting(value, {"size"}, ("size",))
    assert not is_lasting(value, {"temperature"}, ("size",))


def test_a_strict_bot_gets_nothing_any_more_that_it_does_not_declare() -> None:
    """One refusal stands for all: to hear of each would cost a request each."""
    refusal = ParameterRefused("Unknown parameter: 'extra_thing'.", param="extra_thing")
    extra = {"size": "big", "extra_thing": 1}

    assert {"extra_thing"} == droppable(SENT, refusal, extra=extra, declared={"size": {}})
    assert {"extra_thing", "size"} == droppable(SENT, refusal, extra=extra, declared={})
    # Of a bot that is not in the list nothing is known.
    assert {"extra_thing"} == droppable(SENT, refusal, extra=extra)
