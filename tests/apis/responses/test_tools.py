"""The tools of a request, and the choice among them."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from poe_proxy.apis.responses.tools import chosen, tools
from poe_proxy.apis.tools import MAX_TOOLS
from poe_proxy.budget import Budget
from poe_proxy.chat import ToolChoice
from poe_proxy.errors import InvalidRequest

F = {"type": "function", "name": "f", "strict": None, "parameters": {"type": "object"}}
G = {"type": "custom", "name": "g", "description": "d"}
AGENTS = {"type": "namespace", "name": "agents", "tools": [F, {**F, "name": "h"}]}
PLAIN = {"type": "namespace", "name": "functions", "tools": [{**G, "name": "exec"}]}


def read(*given: Any, more: list[Any] | None = None) -> Any:
    return tools([("tools", [*given]), ("input[0].tools", more or [])], Budget())


def test_functions_custom_tools_and_namespaces() -> None:
    """Each is a function to bots; the schema of each has the client's own path."""
    known, names = read(F, G, AGENTS, PLAIN)

    assert ["f", "g", "agents__f", "agents__h", "exec"] == [one.name for one in known]
    assert [False, True, False, False, True] == [one.is_custom for one in known]
    assert "tools[2].tools[1].parameters" == known[3].path
    assert {} == known[0].extra
    assert ("h", "agents") == names.given("agents__h")
    assert ("exec", None) == names.given("exec")


def test_fields_that_steer_openai_s_servers_are_left_away() -> None:
    """Bots are not told of them."""
    ((tool,), _) = read(
        {**F, "strict": True, "defer_loading": True, "output_schema": {}, "allowed_callers": [],
         "async": True}
    )  # fmt: skip

    assert {"strict": True} == tool.extra
    assert {} == tool.beside


def test_of_two_with_the_same_name_the_later_one_counts() -> None:
    """A search gives the same tools again; bots refuse a name that is there twice."""
    known, _ = read(F, AGENTS, more=[{**F, "description": "later"}, AGENTS])

    assert [("f", "later"), ("agents__f", None), ("agents__h", None)] == [
        (one.name, one.description) for one in known
    ]


@pytest.mark.parametrize(
    "kind",
    ["web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11",
     "tool_search"],
)  # fmt: skip
def test_what_codex_sends_unasked_is_left_out(kind: str) -> None:
    """Its answers are as good."""
    known, _ = read({"type": kind, "execution": "client"}, F)

    assert ["f"] == [one.name for one in known]


@pytest.mark.parametrize(
    "kind",
    ["file_search", "code_interpreter", "image_generation", "mcp", "computer", "computer_use",
     "computer_use_preview", "local_shell", "shell", "apply_patch", "programmatic_tool_calling",
     "something_new"],
)  # fmt: skip
def test_what_nobody_here_can_carry_out_is_refused(kind: str) -> None:
    """By its place, with a code of its own."""
    with pytest.raises(InvalidRequest) as refusal:
        read(F, {"type": kind})

    assert ("tools[1]", "unsupported_tool") == (refusal.value.param, refusal.value.code)


@pytest.mark.parametrize(
    ("given", "param"),
    [
        (3, "tools[0]"),
        ({"type": "function"}, "tools[0]"),
        ({"type": "function", "name": ""}, "tools[0].name"),
        ({**F, "parameters": [1]}, "tools[0].parameters"),
        ({"type": "namespace"}, "tools[0].name"),
        ({"type": "namespace", "name": ""}, "tools[0].name"),
        ({"type": "namespace", "name": "x" * 301}, "tools[0].name"),
        ({"type": "namespace", "name": "a", "tools": 3}, "tools[0].tools"),
        ({"type": "namespace", "name": "a", "tools": [3]}, "tools[0].tools[0]"),
        ({"type": "namespace", "name": "a", "tools": [AGENTS]}, "tools[0].tools[0]"),
        ({**AGENTS, "tools": [F] * (MAX_TOOLS + 1)}, "tools[0].tools"),
    ],
    ids=lambda one: str(one)[:60],
)
def test_a_mistake_is_named_by_its_place(given: Any, param: str) -> None:
    """Within a namespace, too; no namespace stands in another one."""
    with pytest.raises(InvalidRequest) as refusal:
        read(given)

    assert param == refusal.value.param


def test_all_tools_together_are_bounded() -> None:
    """However they are spread over lists and namespaces."""
    many = [{**F, "name": f"f{place}"} for place in range(MAX_TOOLS)]

    assert MAX_TOOLS == len(read(*many)[0])
    for one in (G, AGENTS):
        with pytest.raises(InvalidRequest) as refusal:
            read(*many, more=[one])
        assert ("tools", "array_above_max_length") == (refusal.value.param, refusal.value.code)


def test_those_that_are_left_out_count_and_are_no_news(caplog: pytest.LogCaptureFixture) -> None:
    """Codex sends some with each request; nobody has to read of them."""
    caplog.set_level(logging.DEBUG)
    many = [{"type": "web_search"}] * (MAX_TOOLS // 2)
    within = {"type": "namespace", "name": "a", "tools": many}

    assert () == read(*many, within)[0]
    assert [logging.DEBUG] == [record.levelno for record in caplog.records]
    with pytest.raises(InvalidRequest) as refusal:
        read(*many, within, F)
    assert ("tools", "array_above_max_length") == (refusal.value.param, refusal.value.code)


@pytest.mark.parametrize(
    ("given", "choice"),
    [
        (None, None),
        ("auto", ToolChoice(mode="auto")),
        ("none", ToolChoice(mode="none")),
        ("required", ToolChoice(mode="required")),
        ({"type": "function", "name": "f"}, ToolChoice(mode="required", name="f")),
        ({"type": "custom", "name": "g"}, ToolChoice(mode="required", name="g")),
        (
            {"type": "function", "name": "h", "namespace": "agents"},
            ToolChoice(mode="required", name="agents__h"),
        ),
    ],
    ids=str,
)
def test_a_choice(given: Any, choice: ToolChoice | None) -> None:
    """By the client's names."""
    known, names = read(F, G, AGENTS)

    assert (known, choice) == chosen(given, known, names)


def test_only_some_may_be_called() -> None:
    """The others are not offered."""
    known, names = read(F, G, AGENTS)
    allowed = [{"type": "custom", "name": "g"}, {"type": "function", "name": "h",
                                                 "namespace": "agents"}]  # fmt: skip
    left, choice = chosen(
        {"type": "allowed_tools", "mode": "required", "tools": allowed}, known, names
    )

    assert ["g", "agents__h"] == [one.name for one in left]
    assert ToolChoice(mode="required") == choice


@pytest.mark.parametrize(
    "given",
    [
        {"type": "function", "name": "nobody"},
        {"type": "function", "name": "f", "namespace": "nowhere"},
        {"type": "web_search_preview"},
        {"type": "file_search"},
        {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]},
        {"type": "allowed_tools", "mode": "auto", "tools": [3]},
        "sometimes",
    ],
    ids=str,
)
def test_a_choice_that_cannot_be_kept_is_refused(given: Any) -> None:
    """A tool that was left out is one."""
    known, names = read(F, {"type": "web_search"})

    with pytest.raises(InvalidRequest) as refusal:
        chosen(given, known, names)
    assert "tool_choice" == refusal.value.param
