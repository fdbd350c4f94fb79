"""Requests that are passed on to Poe's own Messages API, and what comes back."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from typing import Any

import orjson
import pytest

from poe_proxy.budget import Budget, OutOfBudget, Processor
from poe_proxy.chat import Done, ReplyEvent, Usage, Verbatim
from poe_proxy.errors import (
    BotFailed,
    ParameterRefused,
    TokenLimited,
    UpstreamError,
    UpstreamInterrupted,
    UpstreamOverloaded,
    UpstreamProtocolError,
)
from poe_proxy.upstreams.poe_api import native

USER = {"role": "user", "content": "Hi"}


def asked(**given: Any) -> dict[str, Any]:
    """The body for a request of these fields."""
    whole = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [USER], **given}
    return native.request(whole, "Claude-Sonnet-4.5", Budget())


def sent(content: Any, role: str = "user") -> Any:
    """What is sent of the content of a message; None if the message is left out."""
    (*messages,) = asked(messages=[{"role": role, "content": content}])["messages"]
    return messages[0]["content"] if messages else None


# ---- what is asked


def test_the_bot_is_asked_for_what_the_client_said() -> None:
    """Fields that the API has without a beta go along as they are, the name is Poe's."""
    given = {
        "stream": True,
        "temperature": 0.5,
        "stop_sequences": ["END"],
        "metadata": {"user_id": "x"},
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "output_config": {"effort": "high"},
        "tool_choice": {"type": "auto"},
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
    }

    assert {
        "model": "Claude-Sonnet-4.5", "max_tokens": 9, "messages": [USER], **given
    } == asked(**given)  # fmt: skip


def test_what_poe_does_not_take_is_left_out() -> None:
    """Fields of betas, and what Claude Code writes into those that are none."""
    tool = {"name": "f", "description": "d", "input_schema": {}}
    body = asked(
        context_management={"edits": []},
        betas=["x"],
        thinking={"type": "adaptive", "display": "omitted"},
        tools=[
            {**tool, "defer_loading": True, "input_examples": [], "allowed_callers": ["direct"]},
            {"name": "DeferredToolPlaceholder", "description": "", "input_schema": {}},
            {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 8},
        ],
        system=[
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=1"},
            {
                "type": "text",
                "text": "Help.",
                "cache_control": {"type": "ephemeral", "ttl": "1h", "scope": "global"},
            },
        ],
    )

    assert {"model", "max_tokens", "messages", "thinking", "tools", "system"} == body.keys()
    assert {"type": "adaptive"} == body["thinking"]
    web_search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
    assert [tool, web_search] == body["tools"]
    cached = {"type": "ephemeral", "ttl": "1h"}
    assert [{"type": "text", "text": "Help.", "cache_control": cached}] == body["system"]


def test_a_choice_of_a_tool_that_was_left_out_is_left_out() -> None:
    """The bot decides then; any other choice is kept."""
    tools = [{"name": "f", "input_schema": {}}, {"type": "mcp_toolset", "name": "far"}]

    assert "tool_choice" not in asked(tools=tools, tool_choice={"type": "tool", "name": "far"})
    for kept in ({"type": "tool", "name": "f"}, {"type": "any"}):
        assert kept == asked(tools=tools, tool_choice=kept)["tool_choice"]
    assert "tool_choice" not in asked(tool_choice={"type": "any"})


@pytest.mark.parametrize(
    ("content", "left"),
    [
        ("Hi", "Hi"),
        ("", None),
        ([{"type": "text", "text": ""}], None),
        ([{"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "x": 1}}],
         [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]),
        ([{"type": "thinking", "thinking": "t", "signature": "s"}],
         [{"type": "thinking", "thinking": "t", "signature": "s"}]),
        ([{"type": "thinking", "thinking": "t", "signature": ""}], None),
        ([{"type": "thinking", "thinking": "t"}], None),
        ([{"type": "redacted_thinking", "data": "d"}],
         [{"type": "redacted_thinking", "data": "d"}]),
        ([{"type": "tool_result", "tool_use_id": "i",
           "content": [{"type": "tool_reference", "tool_name": "f"}]}],
         [{"type": "tool_result", "tool_use_id": "i",
           "content": [{"type": "text", "text": "The tool f can be called now."}]}]),
    ],
)  # fmt: skip
def test_contents(content: Any, left: Any) -> None:
    """Thoughts go along with the signature of the one who had them, and not without one: another
    bot may have had them. Empty texts would be refused."""
    assert left == sent(content)


def test_a_word_of_the_system_between_messages_is_the_user_s() -> None:
    """Poe's route knows two roles."""
    messages = [USER, {"role": "system", "content": "Today is Sunday."}]

    assert ["user", "user"] == [one["role"] for one in asked(messages=messages)["messages"]]


@pytest.mark.parametrize(
    ("message", "code", "field"),
    [
        ("service_tier: Extra inputs are not permitted", None, "service_tier"),
        ("max_tokens: Extra inputs are not permitted", None, None),
        ("nobody: Extra inputs are not permitted", None, None),
        ("temperature: must be at most 1", "invalid_value", None),
        ("messages.0.content.0.x: Extra inputs are not permitted", None, None),
    ],
)
def test_what_may_be_left_out_if_it_is_refused(
    message: str, code: str | None, field: str | None
) -> None:
    """A field that is not essential, and was not refused for its value."""
    body = asked(service_tier="auto", temperature=2)

    assert field == native.droppable(body, ParameterRefused(message, code=code))


# ---- what comes back


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **fields}


def fed(*events: dict[str, Any]) -> list[ReplyEvent]:
    """What a stream of these events says."""
    stream = native.Stream(Budget())
    said = [one for given in events for one in stream.feed(orjson.dumps(given))]
    return said + stream.close()


def test_a_stream_is_passed_on_event_by_event() -> None:
    """All but its signs of life; the end is an end for us, too, and its usage is known."""
    start = event("message_start", message={"usage": {"input_tokens": 5, "output_tokens": 1}})
    delta = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hi"})
    last = event(
        "message_delta",
        delta={"stop_reason": "max_tokens"},
        usage={"output_tokens": 7, "cache_read_input_tokens": 3},
    )
    stop = event("message_stop")

    said = fed(start, event("ping"), delta, last, stop)

    assert [start, delta, last, stop] == [one.said for one in said if isinstance(one, Verbatim)]
    assert Verbatim(start, len(orjson.dumps(start))) == said[0]
    assert Usage(8, 7, {"prompt_tokens_details": {"cached_tokens": 3}}) in said
    assert Done("length") == said[-1]


@pytest.mark.parametrize(
    ("reason", "end"),
    [
        ("end_turn", Done("stop")), ("tool_use", Done("tool_calls")),
        ("refusal", Done("content_filter")), ("stop_sequence", Done("stop")),
        ("new_reason", Done("stop")),
    ],
)  # fmt: skip
def test_how_an_answer_ends(reason: str, end: Done) -> None:
    """In our own words, streamed and whole."""
    delta = event("message_delta", delta={"stop_reason": reason})
    whole = orjson.dumps({"type": "message", "content": [], "stop_reason": reason})

    assert end == fed(delta, event("message_stop"))[-1]
    assert [Verbatim(orjson.loads(whole), len(whole)), end] == native.whole_answer(whole, Budget())


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        ({"type": "overloaded_error", "message": "m"}, UpstreamOverloaded),
        ({"type": "rate_limit_error", "message": "m"}, TokenLimited),
        ({"type": "api_error", "message": "m"}, BotFailed),
    ],
)
def test_an_error_is_one(error: Any, failure: type[UpstreamError]) -> None:
    """Within a stream, and where a whole answer should be."""
    with pytest.raises(failure):
        fed(event("message_start", message={}), event("error", error=error))
    with pytest.raises(failure):
        native.whole_answer(orjson.dumps(event("error", error=error)), Budget())


def test_what_is_no_answer() -> None:
    """Neither what is no object, nor one without content, nor a stream without an end."""
    for content in (b"[]", b"{", b'{"type": "message"}'):
        with pytest.raises(UpstreamProtocolError):
            native.whole_answer(content, Budget())
    with pytest.raises(UpstreamProtocolError):
        native.Stream(Budget()).feed(b"nothing")
    with pytest.raises(UpstreamInterrupted):
        fed(event("message_start", message={}))


def test_a_request_that_has_cost_enough_is_passed_on_all_the_same() -> None:
    """What it has cost was reading it; nobody is told of a fault of ours."""
    spent = Budget(0.0, processor=Processor(clock=count(step=1.0).__next__))
    with suppress(OutOfBudget), spent.work("reading"):
        spent.breathe()
    given = {"max_tokens": 9, "messages": [USER] * 3}

    assert [USER] * 3 == native.request(given, "Bot", spent)["messages"]
