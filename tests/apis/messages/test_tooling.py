"""What of the tools of Anthropic's API a bot is given, and the choice among them."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from poe_proxy.apis.messages.tooling import Tooling, tooling
from poe_proxy.apis.tools import MAX_TOOLS
from poe_proxy.budget import Budget
from poe_proxy.chat import Tool, ToolChoice
from poe_proxy.errors import InvalidRequest

SCHEMA = {"type": "object", "properties": {"command": {"type": "string"}}}
BASH = {"name": "Bash", "description": "Runs a command.", "input_schema": SCHEMA}
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}


def read(*tools: Any, choice: Any = None) -> Tooling:
    return tooling({"tools": list(tools), "tool_choice": choice}, Budget())


def names(*tools: Any, choice: Any = None) -> list[str]:
    return [tool.name for tool in read(*tools, choice=choice).tools]


def refused(*tools: Any, choice: Any = None) -> str | None:
    with pytest.raises(InvalidRequest) as refusal:
        read(*tools, choice=choice)
    return refusal.value.param


@pytest.mark.parametrize("kind", [{}, {"type": None}, {"type": "custom"}])
def test_a_tool_is_a_function(kind: dict[str, Any]) -> None:
    """Name, description and schema; what steers Anthropic's servers is not passed on."""
    more = {
        "strict": True, "defer_loading": True, "eager_input_streaming": True,
        "input_examples": [{}], "allowed_callers": ["direct"],
        "cache_control": {"type": "ephemeral"},
    }  # fmt: skip

    (tool,) = read({**BASH, **kind, **more}).tools

    assert (
        Tool(name="Bash", description="Runs a command.", schema=SCHEMA, extra={"strict": True})
        == tool
    )
    assert "tools[0].input_schema" == tool.path


def test_the_draft_of_a_schema_is_not_told() -> None:
    """Not all bots take it; a property of that name is one like others."""
    inner = {"$schema": {"type": "string"}}
    draft = "https://json-schema.org/draft/2020-12/schema"

    (tool,) = read({"name": "f", "input_schema": {"$schema": draft, "properties": inner}}).tools

    assert {"properties": inner} == tool.schema


def test_a_tool_without_a_schema_and_one_of_another_api() -> None:
    """Programs know both APIs, and mix them."""
    openai = {"type": "function", "function": {"name": "g", "parameters": SCHEMA}}

    plain, other, flat = read(
        {"type": "custom", "name": "f"}, openai, {"name": "h", "parameters": SCHEMA}
    ).tools

    assert (None, SCHEMA, SCHEMA) == (plain.schema, other.schema, flat.schema)


def test_what_stands_for_tools_that_are_not_sent_yet_is_left_out() -> None:
    """Tools that are fetched on demand are offered like others."""
    placeholder = {**BASH, "name": "DeferredToolPlaceholder", "defer_loading": True}

    assert ["Bash"] == names({**BASH, "defer_loading": True}, placeholder)


@pytest.mark.parametrize(
    "kind",
    ["bash_20250124", "text_editor_20250728", "memory_20250818", "code_execution_20250825",
     "computer_20251124", "computer_use", "browser_20260101", "mcp_toolset"],
)  # fmt: skip
def test_a_tool_that_nobody_here_can_carry_out_is_refused(kind: str) -> None:
    """Or one whose schema only Claude knows, by its place."""
    assert "tools[1]" == refused(BASH, {"type": kind, "name": "x"})


@pytest.mark.parametrize(
    "kind",
    ["web_search_20250305", "web_fetch_20250910", "tool_search_tool_regex_20251119",
     "tool_search_tool_bm25_20251119", "new_20270101"],
)  # fmt: skip
def test_a_tool_that_the_answer_can_do_without_is_left_out(kind: str) -> None:
    """And so is a type that is unknown: a refusal would cost a request for each new one."""
    assert ["Bash"] == names(BASH, {"type": kind, "name": "x"})


@pytest.mark.parametrize(
    ("tools", "looks_up"),
    [
        ([SEARCH], True),
        ([SEARCH, {"type": "web_fetch_20250910", "name": "web_fetch"}], True),
        ([SEARCH, BASH], False),
        ([BASH], False),
        ([], False),
        ([{"type": "tool_search_tool_regex_20251119", "name": "x"}], False),
    ],
)
def test_a_search_alone_is_one_by_the_bot(tools: list[Any], looks_up: bool) -> None:
    """Claude Code's WebSearch is a request of its own, which an answer of text satisfies."""
    choice = {"type": "tool", "name": "web_search"} if SEARCH in tools else None

    assert looks_up == read(*tools, choice=choice).web_search


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        ({"type": "auto"}, ToolChoice(mode="auto")),
        ({"type": "any"}, ToolChoice(mode="required")),
        ({"type": "none"}, ToolChoice(mode="none")),
        ({"type": "tool", "name": "Bash"}, ToolChoice(mode="required", name="Bash")),
        # What was left out cannot be chosen.
        ({"type": "tool", "name": "web_search"}, ToolChoice(mode="auto")),
    ],
)
def test_the_choice(given: Any, expected: ToolChoice | None) -> None:
    """In all its forms."""
    found = read(BASH, SEARCH, choice=given)

    assert (expected, None) == (found.choice, found.several)


def test_a_call_where_nothing_is_left_to_call() -> None:
    """If tools were left out it is up to the bot; if there never were any it is a mistake."""
    assert ToolChoice(mode="auto") == read(SEARCH, choice={"type": "any"}).choice
    assert "tool_choice" == refused(choice={"type": "any"})
    assert "tool_choice" == refused(BASH, choice={"type": "tool", "name": "Read"})
    assert "tool_choice" == refused(BASH, choice={"type": "sometimes"})


@pytest.mark.parametrize("kind", ["auto", "any"])
def test_one_call_at_a_time(kind: str) -> None:
    """Where the choice says so."""
    assert read(BASH, choice={"type": kind, "disable_parallel_tool_use": True}).several is False
    assert read(BASH, choice={"type": kind, "disable_parallel_tool_use": False}).several is None


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        (7, "tools[0]"),
        ({}, "tools[0]"),
        ({"type": "custom"}, "tools[0]"),
        ({"name": 7, "input_schema": {}}, "tools[0]"),
        ({"name": "", "input_schema": {}}, "tools[0].name"),
        ({"name": "f", "input_schema": 7}, "tools[0].input_schema"),
        ({"name": "f", "description": 7, "input_schema": {}}, "tools[0].description"),
    ],
)
def test_a_tool_that_is_incomplete_is_named(tool: Any, param: str) -> None:
    """By the place of what is wrong."""
    assert param == refused(tool)


def test_there_may_be_too_many() -> None:
    """As in the other APIs."""
    assert MAX_TOOLS == len(names(*[BASH] * MAX_TOOLS))
    assert "tools" == refused(*[BASH] * (MAX_TOOLS + 1))


def test_tools_of_unknown_types_cost_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """However many there are; of those that are known there is none."""
    caplog.set_level(logging.DEBUG)
    unknown = [{"type": f"new_{place}", "name": "n"} for place in range(MAX_TOOLS - 1)]

    assert () == read(*unknown, SEARCH).tools
    (line,) = caplog.messages
    assert "new_0" in line
    assert len(line) < 1000
