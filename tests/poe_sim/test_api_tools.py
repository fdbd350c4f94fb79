from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .api_support import Api, fresh, serving

WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        "days": {"type": "array", "items": {"type": "integer"}, "minItems": 2},
    },
    "required": ["city", "unit", "days"],
    "additionalProperties": False,
}


def tool(name: str, schema: Any = None) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "strict": True, "parameters": schema}}


TOOLS = [tool("get_weather", WEATHER), tool("lookup_stock"), tool("sendMail")]


@pytest.fixture(scope="module")
def server() -> Iterator[Api]:
    with serving() as one:
        yield one


@pytest.fixture
def api(server: Api) -> Api:
    return fresh(server)


def calls(api: Api, prompt: Any, **fields: Any) -> list[Any]:
    answer = api.whole(prompt, **{"tools": TOOLS, **fields})
    return list(answer["choices"][0]["message"].get("tool_calls", []))


def names(api: Api, prompt: Any, **fields: Any) -> list[str]:
    return [call["function"]["name"] for call in calls(api, prompt, **fields)]


def test_a_call_has_arguments_that_fit_the_schema(api: Api) -> None:
    """Arguments fit the schema, a place comes from the prompt, and content is empty."""
    answer = api.whole("What is the weather in New York today?", tools=TOOLS)
    choice = answer["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == ""
    call = choice["message"]["tool_calls"][0]
    assert list(call) == ["id", "type", "function"]
    assert call["type"] == "function"
    expected = {"city": "New York", "unit": "celsius", "days": [1, 1]}
    assert json.loads(call["function"]["arguments"]) == expected


def test_the_prompt_decides_which_tool_is_called(api: Api) -> None:
    """A word of a tool's name or a directive makes the bot call it."""
    assert names(api, "How is the weather?") == ["get_weather"]
    assert names(api, "Please mail this") == ["sendMail"]
    assert names(api, "北京的天气怎么样？") == ["get_weather"]
    assert names(api, "Tell me a poem") == []
    assert names(api, "!call=lookup_stock hi") == ["lookup_stock"]
    assert names(api, "!call hi") == ["get_weather"]
    assert names(api, "!call=unheard_of hi") == ["unheard_of"]


def test_several_calls_at_once(api: Api) -> None:
    """Several calls go through the list of tools; only one if they may not be parallel."""
    assert names(api, "!calls=4 hi") == ["get_weather", "lookup_stock", "sendMail", "get_weather"]
    assert len({call["id"] for call in calls(api, "!calls=4 hi")}) == 4
    assert names(api, "!calls=4 hi", parallel_tool_calls=False) == ["get_weather"]
    assert names(api, "!call=sendMail !calls=2 hi") == ["sendMail", "sendMail"]


def test_tool_choice_is_honoured(api: Api) -> None:
    """The choices none, auto, required and one by name are honoured."""
    assert names(api, "weather?", tool_choice="none") == []
    assert names(api, "!call weather?", tool_choice="none") == []
    assert names(api, "weather?", tool_choice="auto") == ["get_weather"]
    assert names(api, "hi", tool_choice="required") == ["get_weather"]
    assert names(api, "please mail", tool_choice="required") == ["sendMail"]
    one = {"type": "function", "function": {"name": "lookup_stock"}}
    assert names(api, "weather?", tool_choice=one) == ["lookup_stock"]
    one = {"type": "function", "function": {"name": "missing"}}
    assert api.error("hi", tools=TOOLS, tool_choice=one)["param"] == "tool_choice"


def test_allowed_tools_work_on_few_models(api: Api) -> None:
    """`allowed_tools` work on o3-mini and are refused by others."""
    some = [{"type": "function", "function": {"name": "sendMail"}}]
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": some}}
    assert names(api, "weather?", model="o3-mini", tool_choice=choice) == ["sendMail"]
    assert api.error("hi", tools=TOOLS, tool_choice=choice)["param"] == "tool_choice"


def test_arguments_can_be_given_or_spoilt(api: Api) -> None:
    """Words of the prompt give the arguments, or break them."""
    call = calls(api, '!call=get_weather !args={"city":"Rome"}')[0]
    assert call["function"]["arguments"] == '{"city":"Rome"}'
    assert calls(api, "!call !bad-args")[0]["function"]["arguments"] == '{"broken": '


def test_an_impossible_schema_is_refused(api: Api) -> None:
    """An impossible schema is a 400, not an answer that breaks off."""
    endless = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}
    assert "schema" in api.error("!call", tools=[tool("x", endless)])["message"]
    assert api.error("hi", tools=[tool("x", "no schema")])["type"] == "invalid_request_error"
    assert api.error("hi", tools="x")["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("model", "prefix"),
    [
        ("GPT-5.1", "call_"),
        ("Claude-Sonnet-4.5", "toolu_vrtx_"),
        ("Gemini-3-Flash", "tool_get_weather_"),
        ("Kimi-K2.5", "get_weather:0"),
    ],
)
def test_ids_have_no_fixed_format(api: Api, model: str, prefix: str) -> None:
    """Each vendor has its own form of id."""
    assert calls(api, "weather?", model=model)[0]["id"].startswith(prefix)


def _streamed(api: Api, prompt: str, **fields: Any) -> list[Any]:
    chunks = api.chunks(prompt, tools=TOOLS, **fields)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-1] if chunk["choices"]]
    return [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]


def test_a_streamed_call_comes_in_pieces(api: Api) -> None:
    """Id and name come first, then the arguments; each piece has its call's index."""
    deltas = _streamed(api, "weather? !calls=2")
    first = [delta for delta in deltas if delta["index"] == 0]
    assert first[0]["function"] == {"name": "get_weather", "arguments": ""}
    assert first[0]["id"]
    assert first[0]["type"] == "function"
    assert all(set(delta) == {"index", "function"} for delta in first[1:])
    assert len(first) > 3
    arguments = json.loads("".join(delta["function"]["arguments"] for delta in first))
    assert arguments == {"city": "some city", "unit": "celsius", "days": [1, 1]}
    assert [d["function"]["name"] for d in deltas if "id" in d] == ["get_weather", "lookup_stock"]
    assert [delta["index"] for delta in deltas] == sorted(delta["index"] for delta in deltas)


def test_a_streamed_call_ends_with_its_finish_reason(api: Api) -> None:
    """The finish reason `tool_calls` and `[DONE]` end the stream."""
    chunks = api.chunks("weather?", tools=TOOLS)
    assert chunks[-2]["choices"][0]["finish_reason"] == "tool_calls"
    assert chunks[-1] == "[DONE]"


def test_deltas_may_lack_their_index_or_come_at_once(api: Api) -> None:
    """Deltas may lack their index, or be a single one, as with Google's models."""
    assert all("index" not in delta for delta in _streamed(api, "weather? !no-index"))
    deltas = _streamed(api, "weather? !whole-args")
    assert len(deltas) == 1
    assert json.loads(deltas[0]["function"]["arguments"])["unit"] == "celsius"


def _conversation(call: Any, **changes: Any) -> list[Any]:
    return [
        {"role": "user", "content": "How is the weather? !rounds=1"},
        {"role": "assistant", "content": "", "tool_calls": [{**call, **changes}]},
        {"role": "tool", "tool_call_id": call["id"], "content": "21 degrees"},
    ]


def test_the_answer_uses_the_result(api: Api) -> None:
    """With the result the bot answers, and does not call once more."""
    answer = api.whole(_conversation(calls(api, "weather?")[0]), tools=TOOLS)
    choice = answer["choices"][0]
    assert choice["message"]["content"] == "get_weather says: 21 degrees"
    assert choice["finish_reason"] == "stop"


def test_a_bot_may_call_several_times_in_a_row(api: Api) -> None:
    """A bot calls in as many rounds as the prompt says, then it answers."""
    messages = _conversation(calls(api, "weather?")[0])
    messages[0]["content"] = "How is the weather? !rounds=2"
    assert names(api, messages) == ["get_weather"]


def test_a_new_question_may_call_again(api: Api) -> None:
    """Results of an old question do not keep a new one from a call."""
    messages = _conversation(calls(api, "weather?")[0])
    messages.append({"role": "user", "content": "And the weather tomorrow?"})
    assert names(api, messages) == ["get_weather"]


def test_gemini_wants_its_thought_signature_back(api: Api) -> None:
    """A changed or missing signature is a 400 in its turn, and does not matter later."""
    model = "Gemini-3.1-Pro"
    call = calls(api, "weather?", model=model)[0]
    signature = call["extra_content"]["google"]["thought_signature"]
    assert "21 degrees" in api.text(_conversation(call), tools=TOOLS, model=model)
    changed = {"google": {"thought_signature": signature[:-4] + "AAA="}}
    without = _conversation(call, extra_content=None)
    for messages in (without, _conversation(call, extra_content=changed)):
        error = api.error(messages, tools=TOOLS, model=model)
        assert "thought_signature" in error["message"]
    later = [*without, {"role": "assistant", "content": "x"}, {"role": "user", "content": "hi"}]
    assert api.text(later, tools=TOOLS, model=model)
    api.control(thought_signatures=False)
    assert "21 degrees" in api.text(without, tools=TOOLS, model=model)


def test_a_streamed_call_of_gemini_is_signed_too(api: Api) -> None:
    """The first delta of a call has the signature."""
    deltas = _streamed(api, "weather?", model="Gemini-3-Flash")
    assert deltas[0]["extra_content"]["google"]["thought_signature"]
    assert all("extra_content" not in delta for delta in deltas[1:])


def test_tools_for_a_model_without_are_refused(api: Api) -> None:
    """Tools are refused by models without them; a 404 comes from some that advertise them."""
    error = api.error("hi", tools=TOOLS, model="DeepSeek-R1")
    assert (error["code"], error["param"]) == ("unsupported_feature_for_model", "model")
    assert "tool calling" in error["message"]
    assert api.error("hi", 404, tools=TOOLS, model="GPT-4o-Search")
    assert api.error("hi", 400, tools=TOOLS, model="GPT-3.5-Turbo-Instruct")
