"""openapi.json says what the routes of Anthropic's API do."""

from __future__ import annotations

import ast
from typing import Any

import orjson
import pytest

from poe_proxy.apis.messages import Messages
from poe_proxy.apis.messages.parsing import chat_request, counted_request
from poe_proxy.budget import Budget
from poe_proxy.chat import Done, Reasoning, Text, ToolCallPart
from poe_proxy.errors import PoeProxyError, TokenLimited

from ..apis.messages.reading import Stream
from ..apis.messages.test_parsing import MISTAKES
from ..fakes import Step
from .site import Site
from .test_messages import COUNT, HELLO, MESSAGES, VERSION, ask
from .test_openapi import (
    COMPONENTS,
    DOINGS,
    PACKAGE,
    _names,
    at,
    check,
    failures,
    operations,
    resolved,
)

BASH = {"name": "Bash", "description": "x", "input_schema": {"type": "object"}}
PIXEL = {"type": "base64", "media_type": "image/png", "data": "AAAA"}


def test_the_fields_that_the_parser_knows_are_described() -> None:
    """Each field that the room looks at is in the schema, and the schema has no other."""
    room = PACKAGE / "apis/messages"
    looked_at = {
        name for file in room.glob("*.py") for name in _names(ast.parse(file.read_text("utf-8")))
    }

    named = COMPONENTS["schemas"]["MessagesRequest"]["properties"].keys()
    assert named == looked_at | {"model", "stop_sequences"}  # read as in all APIs
    assert COMPONENTS["schemas"]["CountRequest"]["properties"].keys() <= named


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"anything": {"else": [1, None]}},
        dict.fromkeys(
            ("system", "stream", "stop_sequences", "temperature", "top_p", "tools", "tool_choice",
             "thinking", "output_config", "mcp_servers")
        ),
        {"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]},
        {"stream": True, "stop_sequences": ["x"], "temperature": 1, "top_p": 0.5},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
        {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        {"tools": [BASH, {"type": "custom", **BASH}], "tool_choice": {"type": "any"}},
        {"tools": [BASH], "tool_choice": {"type": "tool", "name": "Bash"}},
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"tools": [], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        {"messages": [{"role": "user", "content": "x"}, {"role": "system", "content": "x"},
                      {"role": "assistant", "content": "x"}]},
        {"messages": [{"role": "user", "content": [
            {"type": "text", "text": "x"},
            {"type": "image", "source": PIXEL},
            {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
            {"type": "document", "source": {"type": "text", "data": "x"}, "title": "x"},
            {"type": "search_result", "title": "x", "source": "x", "content": []}]}]},
        {"messages": [
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "x", "signature": ""},
                {"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t", "is_error": True, "content": [
                    {"type": "image", "source": PIXEL},
                    {"type": "tool_reference", "tool_name": "f"}]}]}]},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_taken_is_described(fields: dict[str, Any]) -> None:
    """A request that the parser takes fits the schema; without a length, one that is counted."""
    request = {**HELLO, **fields}
    chat_request(orjson.dumps(request), Budget(60))
    counted_request(orjson.dumps(request), Budget(60))

    at("/components/schemas/MessagesRequest").validate(request)
    del request["max_tokens"]
    at("/components/schemas/CountRequest").validate(request)


def test_what_is_refused_is_not_described() -> None:
    """But for what no schema can say."""
    schema = at("/components/schemas/MessagesRequest")
    fitting = [place for fields, place in MISTAKES if schema.is_valid({**HELLO, **fields})]

    assert ["messages"] == fitting  # every content is empty


@pytest.mark.parametrize("steps", DOINGS.values(), ids=DOINGS)
def test_answers_are_as_described(steps: tuple[Step, ...]) -> None:
    """A whole answer, and an error in its place; a count is a figure whatever the bot does."""
    check(ask(Site(*steps)), "POST", MESSAGES)
    check(ask(Site(*steps), COUNT), "POST", COUNT)
    check(ask(Site(*steps), COUNT, messages=[]), "POST", COUNT)


def test_events_are_as_described() -> None:
    """The data of each event of a stream, of one that fails, too."""
    said = Reasoning("Hm."), Text("Hi"), ToolCallPart(0, "c", "f", "{}")
    whole = Stream(ask(Site(*said, Done("tool_calls")), stream=True).data)
    broken = Stream(ask(Site(*said, TokenLimited("Too fast.")), stream=True).data)

    for event in whole.events:
        at("/components/schemas/AnthropicStreamed").validate(event)
    at("/components/schemas/AnthropicError").validate(broken.events[-1])


def test_models_are_as_described() -> None:
    """The list and an entry, for those who know Anthropic's API."""
    check(Site().get("/v1/models", headers=VERSION), "GET", "/v1/models")
    check(Site().get("/v1/models/GPT-5.1", headers=VERSION), "GET", "/v1/models/{name}")


@pytest.mark.parametrize(
    "failure",
    [one for one in failures(PoeProxyError) if one.__name__ != "UpstreamError"],
    ids=lambda one: one.__name__,
)
def test_every_failure_has_a_status_that_is_described(failure: type[PoeProxyError]) -> None:
    """With the type that goes with it; unknown routes and methods are of no described operation."""
    body, status = Messages().failure(failure("It failed.")), Messages().status(failure("No."))
    (described,) = (
        one for method, path, one in operations() if (method, path) == ("POST", MESSAGES)
    )
    if status == 405:
        at("/components/schemas/AnthropicError").validate(orjson.loads(body))
        return
    name = described["responses"][str(status)]["$ref"].rpartition("/")[2]

    assert resolved({"$ref": f"#/components/responses/{name}"})["description"]
    at(f"/components/responses/{name}/content/application~1json/schema").validate(
        orjson.loads(body)
    )
