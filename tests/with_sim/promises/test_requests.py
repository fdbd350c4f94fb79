"""What may stand in a request, and what it means: unknown fields, lies, roles, contents, limits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ..servers import until
from .asking import PIXEL, WEATHER, Way

PDF = "data:application/pdf;base64,JVBERi0="
#: What clients send without wanting anything that is not there.
HARMLESS: dict[str, Any] = {
    "user": "somebody", "seed": 7, "store": False, "metadata": {"a": "b"},
    "presence_penalty": 0.5, "frequency_penalty": -0.5, "logit_bias": {"50256": -100},
    "service_tier": "auto", "prompt_cache_key": "k", "prompt_cache_retention": "24h",
    "safety_identifier": "s", "verbosity": "low", "modalities": ["text"],
    "n": 1, "logprobs": False, "top_logprobs": 0, "usage": {"include": True},
    "some_field_of_next_year": [1, {"x": None}], "temperature": 0, "top_p": 1,
}  # fmt: skip


# ---- fields


@pytest.mark.parametrize("value", ["all of them", None])
def test_all_fields_at_once_are_accepted(way: Way, stream: bool, value: str | None) -> None:
    """What Poe has no use for does no harm, all together, nor all of them null, as some clients
    send them; an unknown field is no mistake."""
    fields = HARMLESS if value else dict.fromkeys([*HARMLESS, "tools", "stop", "stream_options"])
    answer = way.ask("!echo fine", stream, **fields)

    assert (200, "fine") == (answer.status, answer.text)


def test_what_would_be_a_lie_is_refused_by_name(way: Way, stream: bool) -> None:
    """A 400 names the field that cannot be kept, streamed or not.

    Every such field is in tests/apis/chat_completions/test_parsing.py.
    """
    answer = way.ask("hi", stream, n=2)

    assert (400, "n") == (answer.status, (answer.error or {})["param"])


# ---- messages


def conversation(*last: Any) -> list[dict[str, Any]]:
    """A conversation with every role in it, and *last* as parts of the last message."""
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    return [
        {"role": "system", "content": "system-words"},
        {"role": "developer", "content": [{"type": "text", "text": "developer-words"}]},
        {"role": "user", "content": "user-words", "name": "someone"},
        {"role": "assistant", "content": "assistant-words"},
        {"role": "user", "content": None},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "tool-words", "tool_call_id": "call_1"},
        {"role": "assistant", "tool_calls": [{**call, "id": "call_2"}]},
        {"role": "function", "content": "function-words", "name": "f"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": list(last)},
    ]


def test_every_role_and_every_form_of_content_reaches_the_bot(way: Way, stream: bool) -> None:
    """Strings, null, absent contents and parts, in all six roles: no word is lost."""
    parts = [
        {"type": "text", "text": "part-one"},
        {"type": "text", "text": "part-two", "cache_control": {"type": "ephemeral"}},
    ]
    answer = way.ask(conversation(*parts), stream, says=["Hello"])

    assert (200, "Hello", "stop") == (answer.status, answer.text, answer.finish)
    told = json.dumps(answer.told)
    for role in ("system", "developer", "user", "assistant", "tool", "function"):
        assert f"{role}-words" in told
    assert "part-one" in told
    assert "part-two" in told


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": PIXEL},
        {"type": "image_url", "image_url": {"url": PIXEL}},
        {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}},
        {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}},
    ],
    ids=["image string", "image object", "image detail", "file", "audio"],
)  # fmt: skip
def test_pictures_and_files_reach_the_bot(way: Way, stream: bool, part: dict[str, Any]) -> None:
    """An image as a string or an object, a file, a sound: the bot names one attachment.

    Addresses by http are tested in the `with_sim` folders of `tests/upstreams`.
    """
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, part]}]
    answer = way.ask(messages, stream)

    assert 200 == answer.status
    assert "You attached" in answer.text or "I see 1" in answer.text


def test_a_part_that_cannot_be_served_is_refused_by_name(way: Way, stream: bool) -> None:
    """The 400 names the place of the part."""
    part = {"type": "file", "file": {"file_id": "file-1"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "hi"}, part]}]
    answer = way.ask(messages, stream)

    assert (400, "messages[0].content[1].file.file_id") == (
        answer.status,
        (answer.error or {})["param"],
    )


# ---- lengths and stop words


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_an_answer_is_cut_at_its_length(way: Way, stream: bool, name: str) -> None:
    """With either name of the limit: the beginning of the answer, and the reason `length`."""
    words = "one two three four five six seven eight nine ten"
    answer = way.ask("Go.", stream, says=[words], **{name: 3})

    assert (200, "length") == (answer.status, answer.finish)
    assert answer.text
    assert words.startswith(answer.text)
    assert len(answer.text) < len(words) / 2
    assert answer.usage is None or 3 >= answer.usage["completion_tokens"]


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_an_answer_that_fits_is_not_cut(way: Way, stream: bool, name: str) -> None:
    """A limit that is not reached changes nothing."""
    answer = way.ask("Go.", stream, says=["one two three"], **{name: 100})

    assert ("one two three", "stop") == (answer.text, answer.finish)


def test_an_answer_ends_before_a_stop_word(way: Way, stream: bool) -> None:
    """Of more words than Poe takes, too; however the word is cut, none of it is said."""
    stop = ["never", "€uro", "it.", "äöü", "\n\n", "END of"]
    answer = way.ask("!size=1 Go.", stream, says=["One two END of it."], stop=stop)

    assert ("One two ", "stop") == (answer.text, answer.finish)


def test_a_stop_word_does_not_cut_within_a_call(way: Way, stream: bool) -> None:
    """It is about what the client reads, whatever the form in which the bot calls."""
    says = [way.call("Paris", text="Let me see.")]
    answer = way.ask("Go.", stream, says=says, tools=[WEATHER], stop='": "P')
    (name, arguments), *more = answer.calls

    assert ("get_weather", {"city": "Paris"}, []) == (name, json.loads(arguments), more)
    assert "tool_calls" == answer.finish


def test_the_bot_is_not_left_writing_behind_a_cut(way: Way, stream: bool) -> None:
    """Once the stop word has come by cookie the bot is stopped; by key Poe does it itself."""
    before = way.journal("reply-cancelled")
    text = "STOP " + "more " * 2000
    answer = way.ask("!delay=0.1 !chunks=200 Go.", stream, says=[text], stop="STOP")

    assert ("", "stop") == (answer.text, answer.finish)
    if way.by_cookie:
        *_, last = until(lambda: way.journal("reply-cancelled")[len(before) :])
        assert last["length"] < len(text) / 2
    else:
        assert 1 == len(answer.told)


# ---- how much it thinks, and in what form it answers


@pytest.mark.parametrize("effort", ["minimal", "high"])
def test_a_reasoning_effort_never_ends_a_request(way: Way, stream: bool, effort: str) -> None:
    """By key in the words of the bot; by cookie the site has no place for it."""
    show = "!echo fine" if way.by_cookie else "!say-params"
    answer = way.ask(show, stream, reasoning_effort=effort)

    assert 200 == answer.status
    assert way.by_cookie or "thinking_budget" in json.loads(answer.text)
    assert not way.by_cookie or "fine" == answer.text


SCHEMA = {
    "type": "object",
    "properties": {"age": {"type": "integer"}},
    "required": ["age"],
    "additionalProperties": False,
}
BY_SCHEMA = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}}


@pytest.mark.parametrize("form", [{"type": "json_object"}, BY_SCHEMA], ids=["object", "schema"])
def test_json_comes_without_fence_and_chatter(way: Way, stream: bool, form: dict[str, Any]) -> None:
    """Of what the bot writes, the JSON that was asked for is the answer."""
    said = 'Here you are:\n```json\n{"age": 7}\n```\nAnything else?'
    answer = way.ask("Go.", stream, says=[said], response_format=form)

    assert (200, "stop") == (answer.status, answer.finish)
    assert {"age": 7} == json.loads(answer.text)


def test_a_stop_word_is_not_looked_for_around_the_json(way: Way, stream: bool) -> None:
    """Fence and chatter are no part of the answer, so no word of theirs ends it."""
    said = 'Here you are:\n```json\n{"age": 7}\n```\nAnything else?'
    answer = way.ask("Go.", stream, says=[said], response_format=BY_SCHEMA, stop="```")

    assert (200, '{"age": 7}', "stop") == (answer.status, answer.text, answer.finish)


def test_json_that_does_not_fit_its_schema_is_an_error(way: Way, stream: bool) -> None:
    """After a second try the answer is an error with its status, whether anything was counted or
    not, and a header that says not to try again."""
    answer = way.ask(
        "Go.", stream, says=['{"age": "seven"}', '{"age": "eight"}'], response_format=BY_SCHEMA
    )
    error = answer.error or {}

    assert ("invalid_json_answer", "response_format") == (error["code"], error["param"])
    assert "" == answer.text
    assert (502, "false") == (answer.status, answer.headers["x-should-retry"])


def test_an_invalid_schema_is_refused(way: Way, stream: bool) -> None:
    """Of the schema that the answer should fit, nothing can be read: the field is named before any
    bot is asked."""
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}}
    answer = way.ask("hi", stream, response_format=form)

    assert 400 == answer.status
    assert (answer.error or {})["param"].startswith("response_format")


#: Schemas of tools as generators and people write them, and what of arguments fits them.
ODD = [
    pytest.param({"type": None, "properties": {}}, {}, id="null"),
    pytest.param(
        {
            "type": "OBJECT",
            "properties": {
                "pair": {"type": "array", "items": [{"type": "string"}, {"type": "number"}]},
                "file": {"type": "file", "description": None},
            },
        },
        {"pair": ["x", 1], "file": "a"},
        id="a tuple, and names of types",
    ),
    pytest.param(
        {
            "type": "object",
            "properties": {
                "node": {
                    "type": "object",
                    "$defs": {"Node": {"type": "object"}},
                    "properties": {"next": {"$ref": "#/$defs/Node"}},
                }
            },
        },
        {"node": {"next": {}}},
        id="definitions where no reference looks",
    ),
]


@pytest.mark.parametrize(("schema", "arguments"), ODD)
def test_an_odd_schema_of_one_tool_ends_no_turn(
    way: Way, stream: bool, schema: Any, arguments: Any
) -> None:
    """Whether the bot calls that tool, another one or none."""
    odd = {"type": "function", "function": {"name": "odd", "parameters": schema}}
    call = {"name": "odd", "arguments": arguments}
    says = f"<tool_call>{json.dumps(call)}</tool_call>" if way.by_cookie else {"calls": [call]}
    words = way.ask("Go.", stream, says=["Hello."], tools=[WEATHER, odd])
    other = way.ask("Go.", stream, says=[way.call("Paris")], tools=[WEATHER, odd])
    itself = way.ask("Go.", stream, says=[says], tools=[WEATHER, odd])

    assert (200, "Hello.", "stop") == (words.status, words.text, words.finish)
    assert ["get_weather"] == [name for name, _ in other.calls]
    assert [("odd", arguments)] == [(name, json.loads(given)) for name, given in itself.calls]
    for answer in (words, other, itself):
        assert "x-unchecked" not in answer.headers


def test_a_small_deviation_of_a_call_is_no_second_try(way: Way, stream: bool) -> None:
    """A bot that is taught writes a number as a text, or says null of what it leaves out: what was
    meant is the call. What a bot calls by itself is passed on as it is."""
    properties = {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "unit": {"type": "string"},
    }
    parameters = {"type": "object", "properties": properties, "required": ["city"]}
    tool = {"type": "function", "function": {"name": "look", "parameters": parameters}}
    call = {"name": "look", "arguments": {"City": "Paris", "days": "3", "unit": None}}
    says = f"<tool_call>{json.dumps(call)}</tool_call>" if way.by_cookie else {"calls": [call]}
    answer = way.ask("Go.", stream, says=[says], tools=[tool])
    meant = {"city": "Paris", "days": 3} if way.by_cookie else call["arguments"]

    assert [("look", meant)] == [(name, json.loads(given)) for name, given in answer.calls]
    assert 1 == len(answer.told)


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_the_allowed_tools_are_the_only_ones(way: Way, stream: bool, mode: str) -> None:
    """No other tool is sent to the bot, which calls as it may or must."""
    other = {"type": "function", "function": {"name": "tell_the_time"}}
    allowed = [{"type": "function", "function": {"name": "get_weather"}}]
    answer = way.ask(
        "Go.",
        stream,
        says=[way.call("Paris")],
        tools=[other, WEATHER],
        tool_choice={"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": allowed}},
    )

    assert ["get_weather"] == [name for name, _ in answer.calls]
    assert "tell_the_time" not in json.dumps(answer.told)


def test_a_call_that_must_come_is_asked_for_again(way: Way, stream: bool) -> None:
    """A bot that answers in plain text instead is asked again, with tools of its own or without."""
    call = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'
    answer = way.ask(
        "Go.", stream, says=["No need.", call], tools=[WEATHER], tool_choice="required"
    )

    assert ["get_weather"] == [name for name, _ in answer.calls]
    assert "tool_calls" == answer.finish


@pytest.mark.parametrize("way", ["cookies"], indirect=True)
def test_a_call_that_was_cut_off_is_not_made(way: Way, stream: bool) -> None:
    """By cookie Poe says "stop" of it as well; what is missing is not made up."""
    line = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris", "days": [1, 2, 3]'
    answer = way.ask("Go.", stream, says=[line, "Never mind."], tools=[WEATHER])

    assert ([], "Never mind.", "stop") == (answer.calls, answer.text, answer.finish)
