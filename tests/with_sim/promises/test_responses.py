"""`POST /v1/responses`: what its clients rely on, over each way to Poe."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from openai import APIError
from openai.types.responses import InputTokenCountResponse
from pydantic import BaseModel

from .asking import BOT, PIXEL, THOUGHT, WORDS, Way, error_of
from .asking_responses import ask, post

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
WEATHER = {"type": "function", "name": "get_weather", "strict": None, "parameters": SCHEMA}
GRAMMAR = "start: begin_patch hunk+ end_patch"
PATCH = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Edits files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": GRAMMAR},
}
AGENTS = {
    "type": "namespace",
    "name": "multi_agent_v1",
    "description": "Other agents.",
    "tools": [{**WEATHER, "name": "close_agent"}],
}
EDIT = '*** Begin Patch\n+print("ä 🌍\\n")\n*** End Patch'


def calls(way: Way, name: str, arguments: Any) -> Any:
    """The line in which the bot calls this tool."""
    call = {"name": name, "arguments": arguments}
    return f"<tool_call>\n{json.dumps(call)}\n</tool_call>" if way.by_cookie else {"calls": [call]}


def told(answer: Any) -> str:
    """All that the bot was told, however the way tells it."""
    return json.dumps(answer.told, ensure_ascii=False)


# ---- answers


def test_an_answer_is_the_bot_s_words(way: Way, stream: bool) -> None:
    """To the letter, in deltas and in the response at the end, by the name that was asked for."""
    answer = ask(way, "Say it.", stream, says=[WORDS], instructions="be-brief", bot=BOT)
    response = answer.response

    assert (WORDS, "completed", BOT) == (answer.text, response["status"], response["model"])
    assert "be-brief" in told(answer)
    assert "be-brief" == response["instructions"]
    assert min(response["usage"]["input_tokens"], response["usage"]["output_tokens"]) > 0
    assert answer.headers["x-request-id"].startswith("req_")


def test_a_stream_is_not_collected(way: Way) -> None:
    """It comes in pieces, with headers that keep it flowing, and ends with its last event."""
    answer = ask(way, "!title=middle !chunks=5 Go.", True, says=["one two three four five"])

    assert "no-cache" == answer.headers["Cache-Control"]
    assert 1 < answer.kinds.count("response.output_text.delta")
    assert "response.completed" == answer.kinds[-1]


def test_the_route_is_there_without_v1(way: Way) -> None:
    """As all routes are."""
    answer = requests.post(
        f"{way.proxy.url}//responses/",
        json={"model": BOT, "input": "!echo Hi"},
        headers=way.proxy.headers,
        timeout=60,
    )

    assert (200, "response") == (answer.status_code, answer.json()["object"])


def test_thoughts_are_an_item_of_their_own(way: Way, stream: bool) -> None:
    """In front of the text, and not within it; sent back, they are not told."""
    answer = ask(way, f"{THOUGHT} Tell me a poem.", stream)
    again = ask(way, [*answer.items, {"role": "user", "content": "Go on."}], stream, says=["Well."])

    assert ["reasoning", "message"] == [item["type"] for item in answer.items]
    assert answer.reasoning.strip()
    assert "A word sets out along the wire" in answer.text
    assert "A word sets out along the wire" in told(again)
    assert answer.reasoning.strip() not in told(again)


def test_an_answer_that_was_cut_is_incomplete(way: Way, stream: bool) -> None:
    """At `max_output_tokens`."""
    words = "one two three four five six seven eight nine ten"
    answer = ask(way, "Go.", stream, says=[words], max_output_tokens=3)
    response = answer.response

    assert ("incomplete", {"reason": "max_output_tokens"}) == (
        response["status"],
        response["incomplete_details"],
    )
    assert words.startswith(answer.text)
    assert words != answer.text


def test_json_by_a_schema(way: Way, stream: bool) -> None:
    """In this API's flat form; without fence and chatter."""
    form = {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}
    said = 'Here:\n```json\n{"city": "Rome"}\n```'
    answer = ask(way, "Go.", stream, says=[said], text={"format": form})

    assert {"city": "Rome"} == json.loads(answer.text)
    assert form == answer.response["text"]["format"]


def test_a_rewritten_text_is_the_last_version_at_the_end(way: Way, stream: bool) -> None:
    """What was streamed cannot be taken back, but the response has it right. By key texts only
    grow."""
    said = "the last version of the whole of it"
    answer = ask(way, f"!rewrite !chunks=8 !echo {said}", stream)

    assert said == answer.text


# ---- tools


def test_functions_are_called(way: Way, stream: bool) -> None:
    """By name, with arguments as a JSON text; results refer to the ids of the calls."""
    line = way.call("Oslo", "Rome")
    answer = ask(way, "Weather?", stream, says=[line], tools=[WEATHER, {"type": "web_search"}])
    results = [
        {"type": "function_call_output", "call_id": item["call_id"], "output": f"sunny-{place}"}
        for place, item in enumerate(answer.of_type("function_call"))
    ]
    given = [{"role": "user", "content": "Weather?"}, *answer.items, *results]
    after = ask(way, given, stream, says=["It is fine."], tools=[WEATHER])

    assert ["get_weather", "get_weather"] == [name for name, _ in answer.calls]
    assert [{"city": "Oslo"}, {"city": "Rome"}] == [json.loads(one) for _, one in answer.calls]
    assert "It is fine." == after.text
    for words in ("Oslo", "Rome", "sunny-0", "sunny-1"):
        assert words in told(after)


def test_a_custom_tool_is_called_by_a_text(way: Way, stream: bool) -> None:
    """The bot reads a function and the grammar; its client gets a text, and sends one back."""
    line = calls(way, "apply_patch", {"input": EDIT})
    answer = ask(way, "Edit.", stream, says=[line], tools=[WEATHER, PATCH])
    (call,) = answer.items
    given = [
        {"role": "user", "content": "Edit."},
        call,
        {"type": "custom_tool_call_output", "call_id": call["call_id"], "output": "Exit code: 0"},
    ]
    after = ask(way, given, stream, says=["Done."], tools=[WEATHER, PATCH])

    assert [("apply_patch", EDIT)] == answer.custom_calls
    assert GRAMMAR in told(answer) or not way.by_cookie  # by key it stands beside the messages
    assert "*** Begin Patch" in told(after)
    assert "Exit code: 0" in told(after)


@pytest.mark.parametrize("among", [False, True], ids=["tools", "among the items"])
def test_a_tool_in_a_namespace_is_called_by_both_names(way: Way, stream: bool, among: bool) -> None:
    """Codex carries out no other call. The bot knows one name for both, in past calls, too."""
    more = [{"type": "additional_tools", "role": "developer", "tools": [AGENTS]}] if among else []
    fields = {} if among else {"tools": [AGENTS]}
    line = calls(way, "multi_agent_v1__close_agent", {"city": "x"})
    hello = {"role": "user", "content": "Close it."}
    answer = ask(way, [*more, hello], stream, says=[line], **fields)
    (call,) = answer.items
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "closed-it"}
    after = ask(way, [*more, hello, call, result], stream, says=["Done."], **fields)

    assert ("function_call", "close_agent", "multi_agent_v1") == (
        call["type"],
        call["name"],
        call["namespace"],
    )
    assert "multi_agent_v1__close_agent" in told(after)
    assert "closed-it" in told(after)


def test_the_namespace_of_plain_tools_is_left_away(way: Way, stream: bool) -> None:
    """As Codex has it for the newest models, with a custom tool in it."""
    plain = {"type": "namespace", "name": "functions", "tools": [{**PATCH, "name": "exec"}]}
    given = [
        {"type": "additional_tools", "role": "developer", "tools": [plain]},
        {"role": "user", "content": "Go."},
    ]
    answer = ask(way, given, stream, says=[calls(way, "exec", {"input": "ls()"})])

    assert [("exec", "ls()")] == answer.custom_calls
    assert "namespace" not in answer.items[0]


def test_what_a_bot_signs_its_calls_with_comes_back_to_it(way: Way, stream: bool) -> None:
    """Gemini refuses a call without its signature; the client has sent back no more than the
    items that it was given, as Codex does."""
    bot = "Gemini-3.1-Pro"
    hello = {"role": "user", "content": "Weather?"}
    answer = ask(way, [hello], stream, says=[way.call("Oslo")], bot=bot, tools=[WEATHER])
    (call,) = answer.of_type("function_call")
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}
    given = [hello, *answer.items, result]
    after = ask(way, given, stream, says=["It is fine."], bot=bot, tools=[WEATHER])

    assert way.by_cookie or answer.of_type("reasoning")[-1]["encrypted_content"]
    assert "It is fine." == after.text


def test_a_choice_in_this_api_s_form(way: Way, stream: bool) -> None:
    """A call that must come, of the tool that is named."""
    line = calls(way, "apply_patch", {"input": EDIT})
    answer = ask(
        way,
        "Go.",
        stream,
        says=[line],
        tools=[WEATHER, PATCH],
        tool_choice={"type": "custom", "name": "apply_patch"},
    )

    assert [("apply_patch", EDIT)] == answer.custom_calls


def test_a_result_may_be_a_picture(way: Way, stream: bool) -> None:
    """`view_image` of Codex gives one; it is shown behind the results."""
    given = [
        {"role": "user", "content": "Look."},
        {"type": "function_call", "call_id": "c", "name": "view_image", "arguments": "{}"},
        {
            "type": "function_call_output",
            "call_id": "c",
            "output": [{"type": "input_image", "image_url": PIXEL, "detail": "high"}],
        },
    ]
    answer = ask(way, given, stream, says=["I see."])

    assert "I see." == answer.text
    assert "attachment, see below" in told(answer)


def test_a_result_without_its_call_is_not_lost(way: Way) -> None:
    """By cookie it is told in the user's turn. By key Poe refuses it, and says why."""
    given = [
        {"role": "user", "content": "Go on."},
        {"type": "function_call_output", "call_id": "lost", "output": "orphaned-result"},
    ]
    answer = ask(way, given, False, says=["Well."])

    if way.by_cookie:
        assert "Well." == answer.text
        assert "orphaned-result" in told(answer)
    else:
        assert 400 == answer.status


# ---- refusals


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        (
            {"previous_response_id": "resp_1"},
            "previous_response_id",
            "previous_response_not_found",
        ),
        ({"background": True}, "background", "invalid_value"),
        ({"tools": [{"type": "mcp"}]}, "tools[0]", "unsupported_tool"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]", "invalid_value"),
    ],
    ids=str,
)
def test_what_would_be_a_lie_is_refused_by_name(
    way: Way, stream: bool, fields: dict[str, Any], param: str, code: str
) -> None:
    """All such fields are in tests/apis/responses/test_parsing.py."""
    answer = ask(way, "", stream, **{"input": "Hi", **fields})

    assert (400, param, code) == (
        answer.status,
        (answer.error or {})["param"],
        (answer.error or {})["code"],
    )


def test_a_websocket_is_turned_to_post(way: Way) -> None:
    """By 426, at which Codex with its built-in provider goes over to POST at once."""
    answer = requests.get(
        f"{way.proxy.url}/v1/responses",
        headers={
            **way.proxy.headers,
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        },
        timeout=60,
    )

    assert 426 == answer.status_code
    assert "POST" in error_of(answer)["message"]


def test_tokens_are_counted_without_a_bot(way: Way) -> None:
    """As the package asks for it."""
    asked = len(way.journal("reply-start"))
    with way.proxy.openai() as client:
        count = client.responses.input_tokens.count(
            model=BOT, input="one two three", instructions="Be brief."
        )

    assert isinstance(count, InputTokenCountResponse)
    assert count.input_tokens > 5
    assert asked == len(way.journal("reply-start"))


# ---- failures


def test_what_fails_before_the_first_word_has_a_status(way: Way, stream: bool) -> None:
    """If it may be asked again, or is the client's fault."""
    how = "!status=bot_unavailable" if way.by_cookie else "!http=503"
    busy = ask(way, f"{how} hi", stream)
    short = "Sim-Short-Text-Only" if way.by_cookie else "Sim-Short-Memory"
    long = ask(way, "word " * 2000, stream, bot=short)

    assert (503, "upstream_overloaded") == (busy.status, (busy.error or {})["code"])
    assert (400, "context_length_exceeded") == (long.status, (long.error or {})["code"])


def test_what_must_not_be_asked_again_ends_a_stream(way: Way) -> None:
    """Codex would take the status for a reason to ask thirty times; a whole answer has it, and
    says no to the packages."""
    form = {"type": "json_schema", "name": "n", "schema": SCHEMA}
    nonsense = ["This is", "no JSON."]
    whole = ask(way, "Go.", False, says=nonsense, text={"format": form})
    streamed = ask(way, "Go.", True, says=nonsense, text={"format": form})

    assert (502, "invalid_json_answer", "false") == (
        whole.status,
        (whole.error or {})["code"],
        whole.headers["x-should-retry"],
    )
    assert 200 == streamed.status
    assert ["response.created", "response.in_progress", "error", "response.failed"] == (
        streamed.kinds
    )
    assert "invalid_json_answer" == streamed.events[-2]["error"]["code"]
    assert "invalid_prompt" == streamed.response["error"]["code"]


def broken(way: Way) -> str:
    """The prompt of a reply that fails after some words."""
    how = "!state=error_of_some_kind" if way.by_cookie else "!error-after=4"
    return f"{how} !echo some words before the end comes to them all"


def test_a_failure_in_the_middle_ends_the_stream(way: Way) -> None:
    """By an event that says what it was, and by one whose code ends the repeats of Codex."""
    answer = ask(way, broken(way), True)
    error, failed = answer.events[-2:]

    assert ("error", "bot_failed") == (error["type"], error["error"]["code"])
    assert ("response.failed", "invalid_prompt", error["message"]) == (
        failed["type"],
        failed["response"]["error"]["code"],
        failed["response"]["error"]["message"],
    )
    deltas = "".join(event.get("delta", "") for event in answer.events)
    assert "some words" in deltas
    assert error["message"] not in deltas


@pytest.mark.parametrize("how", ["!first=600", ""], ids=["before a word", "among the words"])
def test_a_client_that_hangs_up_stops_the_bot(way: Way, how: str) -> None:
    """Here as on the other routes."""
    asked = {"model": BOT, "input": f"{how} !long=20000 !delay=0.05", "stream": True}
    way.hang_up("/v1/responses", asked, among_words=not how)


# ---- the openai package


class Place(BaseModel):
    city: str


def test_the_openai_package_reads_a_stream_with_its_helper(way: Way) -> None:
    """Its accumulating reader, which checks each step, arrives at the answer and the call."""
    way.control(lines={BOT: [WORDS, way.call("Rome"), '{"city": "Rome"}']})
    with way.proxy.openai() as client:
        with client.responses.stream(model=BOT, input="Go.") as events:
            text = events.get_final_response()
        with client.responses.stream(model=BOT, input="Go.", tools=[WEATHER]) as events:
            (call,) = events.get_final_response().output
        parsed = client.responses.parse(model=BOT, input="Go.", text_format=Place)

    assert WORDS == text.output_text
    assert ("function_call", "get_weather") == (call.type, call.name)
    assert Place(city="Rome") == parsed.output_parsed


def test_the_openai_package_raises_what_failed_in_the_middle(way: Way) -> None:
    """With our words, and asks no more."""
    with way.proxy.openai(max_retries=3) as client:
        events = client.responses.create(model=BOT, input=broken(way), stream=True)
        with pytest.raises(APIError) as raised:
            list(events)

    assert "bot_failed" == raised.value.code
    assert raised.value.message


def test_codex_s_own_ids_are_no_ids_of_a_request(way: Way) -> None:
    """It sends the same ones for a whole session, so that the log would tell nothing apart."""
    same = dict.fromkeys(("session-id", "thread-id", "x-client-request-id"), "one-for-all")
    ids = {
        requests.post(
            f"{way.proxy.url}/v1/responses",
            json={"model": BOT, "input": "!echo Hi"},
            headers={**way.proxy.headers, **same},
            timeout=60,
        ).headers["x-request-id"]
        for _ in range(2)
    }

    assert 2 == len(ids - {"one-for-all"})


def test_a_request_as_codex_sends_it(way: Way) -> None:
    """With all that it has in it; nothing of it costs a refused request at Poe."""
    body = {
        "model": BOT, "stream": True, "store": False, "tool_choice": "auto",
        "parallel_tool_calls": True, "reasoning": {"summary": "auto"},
        "include": ["reasoning.encrypted_content"], "prompt_cache_key": "k",
        "client_metadata": {"x": "y"},
        "input": [
            {"type": "message", "id": "msg_1", "role": "developer",
             "content": [{"type": "input_text", "text": "You are a coding agent."},
                         {"type": "input_text", "text": "<permissions>"}]},
            {"type": "message", "id": "msg_2", "role": "user",
             "content": [{"type": "input_text", "text": "Fix area.py."}]},
            {"type": "reasoning", "id": "rs_1", "content": None, "encrypted_content": None,
             "summary": [{"type": "summary_text", "text": "past-thought"}]},
            {"type": "function_call", "status": "completed", "id": "fc_1", "call_id": "c1",
             "name": "exec_command", "arguments": '{"cmd":"cat area.py"}'},
            {"type": "function_call_output", "id": "fco_1", "call_id": "c1", "output": "print(1)"},
            {"type": "message", "status": "completed", "id": "msg_3", "role": "assistant",
             "content": [{"type": "output_text", "text": "Now the edit.", "annotations": []}]},
            {"type": "custom_tool_call", "id": "ctc_1", "status": "completed", "call_id": "c2",
             "name": "apply_patch", "input": EDIT},
            {"type": "custom_tool_call_output", "id": "ctco_1", "call_id": "c2", "output": "ok"},
        ],
        "tools": [
            {**WEATHER, "name": "exec_command", "strict": False}, PATCH, AGENTS,
            {"type": "tool_search", "execution": "client", "description": "d", "parameters": {}},
            {"type": "web_search", "external_web_access": True},
        ],
    }  # fmt: skip
    way.control(lines={BOT: ["It is fixed."]})
    answer = post(way, body)

    assert b"It is fixed." in answer.content
    assert b"event: response.completed\n" in answer.content
    assert 1 == len(way.control()["lines"][BOT]["told"])
