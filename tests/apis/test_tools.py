"""Tools in every form, and the choice among them."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from poe_proxy.apis.tools import MAX_GRAMMAR, MAX_TOOLS, allows_several, choice, tools
from poe_proxy.budget import Budget
from poe_proxy.chat import Tool, ToolChoice
from poe_proxy.errors import InvalidRequest

SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}}
NESTED = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}


def read(*given: Any, strict: bool = False) -> tuple[Tool, ...]:
    return tools([("tools", [*given])], Budget(), strict=strict)


def tool(given: Any) -> Tool:
    (found,) = read(given)
    return found


@pytest.mark.parametrize(
    ("given", "path"),
    [
        (NESTED, "tools[0].function.parameters"),
        ({"function": NESTED["function"]}, "tools[0].function.parameters"),
        ({"type": None, "function": NESTED["function"]}, "tools[0].function.parameters"),
        ({"type": "function", "name": "f", "parameters": SCHEMA}, "tools[0].parameters"),
        ({"name": "f", "parameters": SCHEMA}, "tools[0].parameters"),
        ({"name": "f", "input_schema": SCHEMA}, "tools[0].input_schema"),
        ({"type": "custom", "name": "f", "input_schema": SCHEMA}, "tools[0].input_schema"),
        ({"name": "f", "input_schema": SCHEMA, "defer_loading": True}, "tools[0].input_schema"),
    ],
    ids=str,
)
def test_a_function_is_a_function_in_any_form(given: Any, path: str) -> None:
    """It is the same to a bot; an error in its schema names the client's own path."""
    assert Tool(name="f", schema=SCHEMA) == tool(given)
    assert path == tool(given).path


def test_what_a_bot_may_know_is_kept() -> None:
    """`strict` of a flat form as of the nested one, and what is said of caches."""
    cached = {"cache_control": {"type": "ephemeral"}}

    for given in (
        {"type": "function", "name": "f", "strict": True, "output_schema": {}, **cached},
        {"name": "f", "input_schema": None, "strict": True, "allowed_callers": [], **cached},
        {"type": "function", "function": {"name": "f", "strict": True}, **cached},
    ):
        assert Tool(name="f", extra={"strict": True}, beside=cached) == tool(given)
    assert {} == tool({"type": "function", "name": "f", "strict": None}).extra


def test_those_that_are_left_out_cost_one_line_and_count(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """However many there are, and however they are spread over lists."""
    caplog.set_level(logging.DEBUG)
    one = {"type": "web_search"}
    half = [one] * (MAX_TOOLS // 2)

    assert () == tools([("tools", half), ("input[0].tools", half)], Budget())
    assert 1 == len(caplog.messages)
    with pytest.raises(InvalidRequest) as refusal:
        tools([("tools", half), ("input[0].tools", half), ("input[1].tools", [one])], Budget())
    assert ("tools", "array_above_max_length") == (refusal.value.param, refusal.value.code)


GRAMMAR = 'start: "x"+'


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({}, "The argument `input` is free text."),
        ({"format": {"type": "text"}}, "The argument `input` is free text."),
        (
            {"format": {"type": "grammar",
                        "grammar": {"syntax": "lark", "definition": GRAMMAR}}},
            f"fits this Lark grammar:\n\n{GRAMMAR}",
        ),
        (
            {"format": {"type": "grammar", "syntax": "lark", "definition": GRAMMAR}},
            f"fits this Lark grammar:\n\n{GRAMMAR}",
        ),
        (
            {"format": {"type": "grammar", "syntax": "regex", "definition": "x+"}},
            "fits this regular expression:\n\nx+",
        ),
        (
            {"format": {"type": "grammar", "syntax": "regex",
                        "definition": "x" * (MAX_GRAMMAR + 1)}},
            "too long to be shown.",
        ),
    ],
    ids=["none", "text", "nested", "flat", "regex", "long"],
)  # fmt: skip
def test_a_custom_tool_is_a_function_with_one_text(about: Any, words: str) -> None:
    """Bots know nothing else; its description says what form the text has."""
    for given in (
        {"type": "custom", "custom": {"name": "patch", "description": "It patches.", **about}},
        {"type": "custom", "name": "patch", "description": "It patches.", **about},
    ):
        found = tool(given)

        assert ("patch", True) == (found.name, found.is_custom)
        assert found.schema is not None
        assert {"input": {"type": "string"}} == found.schema["properties"]
        assert ["input"] == found.schema["required"]
        assert (found.description or "").startswith("It patches.\n\n")
        assert (found.description or "").endswith(words)


@pytest.mark.parametrize(
    "given",
    [
        {"type": "web_search"}, {"type": "web_search_20250305", "name": "web_search"},
        {"type": "mcp", "server_label": "x"}, {"type": "computer_use_preview"},
        {"type": "namespace", "name": "n", "tools": []}, {"type": "file_search"},
    ],
    ids=lambda one: one["type"],
)  # fmt: skip
def test_a_tool_that_nobody_here_can_carry_out_is_left_out(
    given: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The others still work, and the log says of which type it was; `strict` refuses it."""
    caplog.set_level(logging.INFO)

    assert (Tool(name="f", schema=SCHEMA),) == read(given, NESTED)
    (line,) = caplog.messages
    assert given["type"] in line
    with pytest.raises(InvalidRequest) as refusal:
        read(NESTED, given, strict=True)
    assert "tools[1]" == refusal.value.param


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ("f", "tools[0]"), (None, "tools[0]"), ({}, "tools[0]"), ({"type": ""}, "tools[0]"),
        ({"type": 3}, "tools[0]"), ({"type": "function"}, "tools[0]"),
        ({"type": "function", "function": "f"}, "tools[0]"),
        ({"type": "custom"}, "tools[0]"), ({"type": "custom", "custom": "f"}, "tools[0]"),
        ({"type": "custom", "custom": {}}, "tools[0].custom.name"),
        ({"type": "function", "name": 3}, "tools[0].name"),
        ({"name": "", "input_schema": {}}, "tools[0].name"),
        ({"name": "f", "input_schema": "x"}, "tools[0].input_schema"),
        ({"type": "function", "name": "f", "parameters": []}, None),
        ({"type": "function", "name": "f", "parameters": [1]}, "tools[0].parameters"),
        ({"name": "x" * 301, "input_schema": {}}, "tools[0].name"),
        ({"name": "f", "input_schema": {}, "description": ["x"]}, "tools[0].description"),
        ({"type": "custom", "name": "f", "description": 5}, "tools[0].description"),
    ],
    ids=lambda one: str(one)[:60],
)  # fmt: skip
def test_a_tool_that_is_incomplete_is_named(given: Any, param: str | None) -> None:
    """By its path, and by the field if only that is wrong; an empty schema is none."""
    if param is None:
        assert None is tool(given).schema
        return
    with pytest.raises(InvalidRequest) as refusal:
        tool(given)

    assert param == refusal.value.param


# ---- the choice

TWO = (Tool(name="f"), Tool(name="g"))
ONE = ToolChoice(mode="required", name="g")


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (None, None),
        ("none", ToolChoice(mode="none")),
        ("auto", ToolChoice(mode="auto")),
        ("required", ToolChoice(mode="required")),
        ("any", ToolChoice(mode="required")),
        ({"type": "none"}, ToolChoice(mode="none")),
        ({"type": "auto"}, ToolChoice(mode="auto")),
        ({"type": "any"}, ToolChoice(mode="required")),
        ({"type": "required"}, ToolChoice(mode="required")),
        ({"type": "function", "function": {"name": "g"}}, ONE),
        ({"type": "function", "name": "g"}, ONE),
        ({"type": "tool", "name": "g", "disable_parallel_tool_use": True}, ONE),
        ({"type": "custom", "custom": {"name": "g"}}, ONE),
        ({"type": "custom", "name": "g"}, ONE),
    ],
    ids=str,
)
def test_a_choice_is_understood(given: Any, found: ToolChoice | None) -> None:
    """In the words of OpenAI's two APIs, of Anthropic's and of Mistral's."""
    assert (TWO, found) == choice(given, TWO)


ALLOWED = [{"type": "function", "function": {"name": "g"}}]
FLAT = [{"type": "function", "name": "g"}]


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_only_the_allowed_tools_are_left(mode: Any) -> None:
    """The choice is then said in the form that all upstreams know."""
    for given in (
        {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": ALLOWED}},
        {"type": "allowed_tools", "mode": mode, "tools": FLAT},
    ):
        assert ((TWO[1],), ToolChoice(mode=mode)) == choice(given, TWO)


def test_allowed_tools_stay_in_their_order() -> None:
    """Of two with the same name the later one counts; none may be left."""
    again = Tool(name="f", description="again")
    allowed = [*ALLOWED, {"type": "function", "function": {"name": "f"}}]
    given = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": allowed}}
    none = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}

    assert ((again, TWO[1]), ToolChoice(mode="auto")) == choice(given, (*TWO, again))
    assert ((), ToolChoice(mode="auto")) == choice(none, TWO)


@pytest.mark.parametrize(
    "given",
    [
        "f", True, {}, {"type": "web_search"}, {"type": "function"}, {"type": "tool"},
        {"type": "tool", "name": "h"}, {"type": "function", "function": {"name": "h"}},
        {"type": "allowed_tools"}, {"type": "allowed_tools", "mode": "auto", "tools": ["g"]},
        {"type": "allowed_tools", "mode": "none", "tools": FLAT},
    ],
    ids=str,
)  # fmt: skip
def test_a_choice_that_cannot_be_kept_is_refused(given: Any) -> None:
    """Of what is no choice, and of a tool that is not there, or was left out."""
    with pytest.raises(InvalidRequest) as refusal:
        choice(given, TWO)

    assert "tool_choice" == refusal.value.param


@pytest.mark.parametrize("given", ["required", "any", {"type": "any"}])
def test_a_call_cannot_be_required_without_tools(given: Any) -> None:
    """If all tools were left out, nobody can be made to call one."""
    with pytest.raises(InvalidRequest, match="no tool to call"):
        choice(given, read({"type": "web_search"}))


@pytest.mark.parametrize(
    ("given", "otherwise", "expected"),
    [
        ({"type": "auto", "disable_parallel_tool_use": True}, None, False),
        ({"type": "auto", "disable_parallel_tool_use": True}, True, False),
        ({"type": "auto", "disable_parallel_tool_use": False}, None, None),
        ({"type": "auto"}, True, True),
        ("auto", False, False),
    ],
)
def test_a_choice_may_forbid_several_calls(given: Any, otherwise: Any, expected: Any) -> None:
    """As Anthropic's does; else what `parallel_tool_calls` says holds."""
    assert expected is allows_several(given, otherwise)
