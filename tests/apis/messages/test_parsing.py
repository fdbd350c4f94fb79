"""What clients of Anthropic's API send: every field, and every mistake by its place."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from poe_proxy.apis.basics import MAX_NAME
from poe_proxy.apis.messages import Messages
from poe_proxy.apis.messages.parsing import chat_request, counted_request
from poe_proxy.budget import Budget
from poe_proxy.chat import ChatRequest, FilePart, ImagePart, JsonWanted, Message, TextPart, ToolCall
from poe_proxy.errors import InvalidRequest

from . import reading

USER = {"role": "user", "content": "Hello!"}
HELLO: dict[str, Any] = {"model": "claude-sonnet-4-5", "max_tokens": 100, "messages": [USER]}
PIXEL = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}


def parse(**fields: Any) -> ChatRequest:
    """Parse a request that is complete but for *fields*."""
    return chat_request(orjson.dumps({**HELLO, **fields}), Budget(60))[0]


def refused(**fields: Any) -> str:
    """What a client hears of a request with these *fields*."""
    with pytest.raises(InvalidRequest) as refusal:
        parse(**fields)
    kind, message = reading.error(Messages().failure(refusal.value))
    assert "invalid_request_error" == kind
    return message


def said(*messages: dict[str, Any]) -> tuple[Message, ...]:
    return parse(messages=list(messages)).messages


def parts(*blocks: Any) -> tuple[Any, ...]:
    """What the blocks of one message of the user become."""
    (one,) = said({"role": "user", "content": list(blocks)})
    return one.content


def message(role: Any, *texts: str, **fields: Any) -> Message:
    return Message(role=role, content=tuple(map(TextPart, texts)), **fields)


# ---- fields


def test_the_least_that_makes_a_request() -> None:
    """Model, messages and the length; everything else has its default."""
    chat, streams = chat_request(orjson.dumps(HELLO), Budget(60))

    assert (
        ChatRequest(
            model="claude-sonnet-4-5", messages=(message("user", "Hello!"),), max_tokens=100
        )
        == chat
    )
    assert not streams
    assert chat_request(orjson.dumps({**HELLO, "stream": True}), Budget(60))[1]
    assert 1 == parse(max_tokens=1).max_tokens


def test_what_steers_the_answer() -> None:
    """Temperature and top_p as in other APIs; top_k no bot of Poe's takes."""
    chat = parse(temperature=0.5, top_p=1, top_k=40)

    assert (0.5, 1, {}) == (chat.temperature, chat.top_p, chat.extra)


def test_stop_sequences() -> None:
    """Clients want to know which one it was."""
    chat = parse(stop_sequences=["END", "\n\n"])

    assert (("END", "\n\n"), True) == (chat.stop, chat.names_stop_word)
    assert ((), False) == ((found := parse(stop_sequences=[])).stop, found.names_stop_word)


@pytest.mark.parametrize(
    ("thinking", "budget"),
    [
        ({"type": "enabled", "budget_tokens": 31999, "display": "omitted"}, 31999),
        ({"type": "adaptive", "display": "omitted"}, None),
        ({"type": "between_tools"}, None),
        ({"type": "enabled", "budget_tokens": True}, None),
        ({"type": "enabled", "budget_tokens": 0}, None),
        ({"type": "enabled"}, None),
        ({"type": "disabled"}, 0),
        (None, None),
    ],
)
def test_thinking(thinking: Any, budget: int | None) -> None:
    """A budget, none at all, or as the bot likes."""
    assert budget == parse(thinking=thinking).thinking_budget


def test_an_effort_does_not_make_a_bot_think_that_must_not() -> None:
    """With Anthropic it is one of the whole answer; with Poe's bots it is one of thinking."""
    config = {"effort": "low"}

    assert parse(thinking={"type": "disabled"}, output_config=config).reasoning_effort is None
    assert "low" == parse(thinking={"type": "adaptive"}, output_config=config).reasoning_effort


def test_output_config() -> None:
    """How much is thought, and JSON by a schema."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    chat = parse(
        output_config={"effort": "max", "format": {"type": "json_schema", "schema": schema}}
    )

    assert "max" == chat.reasoning_effort
    assert JsonWanted(schema=schema, extra={"name": "answer"}) == chat.json
    assert ("output_config.format", "output_config.format.schema") == (
        (chat.json or JsonWanted()).path,
        (chat.json or JsonWanted()).schema_path,
    )


@pytest.mark.parametrize(
    "name",
    [
        "metadata", "service_tier", "inference_geo", "container", "diagnostics", "speed",
        "user_profile_id", "workspace_id", "cache_control", "context_management", "betas",
        "fallbacks", "fallback_credit_token", "billing_policy", "compaction", "top_k",
        "anything_new",
    ],
)  # fmt: skip
def test_all_else_is_passed_over(name: str) -> None:
    """There are new names each month, and a refusal would cost a request for each of them."""
    assert parse() == parse(**{name: {"edits": [{"type": "clear_thinking_20251015"}]}})


# ---- instructions


def test_the_instructions_are_one_message() -> None:
    """Blocks are a blank line apart; what is another one with each version is left out."""
    blocks = [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1"},
        {"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": ""},
        {"type": "text", "text": "Be brief."},
    ]

    assert message("system", "You are an agent.\n\nBe brief.") == parse(system=blocks).messages[0]
    assert message("system", "Be brief.") == parse(system="Be brief.").messages[0]
    assert parse() == parse(system=blocks[:1])


def test_instructions_may_stand_among_the_messages() -> None:
    """Claude Code puts a message of role system there if the model is not one of Anthropic's."""
    assert (
        message("user", "Hello!"),
        message("system", "# Environment"),
        message("assistant", "Hi."),
        message("user", "A", "B"),
        message("user", "C"),
    ) == said(
        USER,
        {"role": "system", "content": [{"type": "text", "text": "# Environment"}]},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]},
        {"role": "user", "content": "C"},
    )


def test_the_bot_goes_on_with_the_last_message() -> None:
    """Which is its own: a beginning that the client has chosen."""
    assert (
        message("assistant", "The answer is (")
        == said(USER, {"role": "assistant", "content": "The answer is ("})[-1]
    )


# ---- blocks


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ({"type": "text", "text": "x", "citations": None, "cache_control": {"type": "ephemeral"}},
         TextPart("x")),
        ({"type": "image", "source": PIXEL}, ImagePart("data:image/png;base64,AAAA")),
        ({"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
         ImagePart("https://example.com/a.png")),
        ({"type": "document", "source": PDF, "title": "a.pdf"},
         FilePart("data:application/pdf;base64,AAAA", "a.pdf")),
        ({"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
         FilePart("https://example.com/a.pdf")),
        ({"type": "document", "title": "T", "source": {"type": "text", "data": "x"}},
         TextPart("T\nx")),
        ({"type": "search_result", "title": "T", "source": "https://x",
          "content": [{"type": "text", "text": "x"}]}, TextPart("T\nhttps://x\nx")),
    ],
)  # fmt: skip
def test_each_block_becomes_a_part(block: dict[str, Any], part: Any) -> None:
    """Text, pictures and documents by data or address, what a search has found."""
    assert (part,) == parts(block)


def test_a_document_of_blocks_is_its_parts() -> None:
    """With the title in front."""
    inner = [{"type": "text", "text": "x"}, {"type": "image", "source": PIXEL}]
    document = {"type": "document", "title": "T", "source": {"type": "content", "content": inner}}

    assert (TextPart("T"), TextPart("x"), ImagePart("data:image/png;base64,AAAA")) == parts(
        document
    )


@pytest.mark.parametrize(
    "block",
    [
        {"type": "text", "text": ""},
        {"type": "thinking", "thinking": "Hm.", "signature": ""},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
        {"type": "web_fetch_tool_result", "tool_use_id": "s", "content": {}},
        {"type": "code_execution_tool_result", "tool_use_id": "s", "content": {}},
        {"type": "tool_search_tool_result", "tool_use_id": "s", "content": {}},
        {"type": "mcp_tool_use", "id": "m", "name": "x", "input": {}},
        {"type": "mcp_tool_result", "tool_use_id": "m", "content": []},
        {"type": "container_upload", "file_id": "f"},
        {"type": "compaction", "content": "x"},
        {"type": "fallback"},
    ],
    ids=lambda block: block["type"],
)
def test_what_says_nothing_to_a_bot_is_dropped(block: dict[str, Any]) -> None:
    """Thoughts, and what Anthropic's servers have done."""
    assert (TextPart("x"),) == parts({"type": "text", "text": "x"}, block)


# ---- calls and results


def tool_use(id: str, name: str = "Read", **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": name, "input": arguments}


def result(id: str | None, content: Any = None, **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id, "content": content, **fields}


def turn(*results: Any) -> tuple[Message, ...]:
    """What stands behind the calls `a` and `b` once these blocks answer them."""
    calls = {"role": "assistant", "content": [tool_use("a"), tool_use("b")]}
    return said(USER, calls, {"role": "user", "content": list(results)})[2:]


def test_calls_are_those_of_the_message() -> None:
    """With their ids, and the input as a JSON text; thoughts before them are dropped."""
    _, one = said(
        USER,
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "I look first.", "signature": "SIG1"},
                {"type": "text", "text": "Let me look."},
                tool_use("toolu_1", path="/p"),
            ],
        },
    )

    calls = (ToolCall("toolu_1", "Read", '{"path":"/p"}'),)
    assert message("assistant", "Let me look.", tool_calls=calls) == one


def test_results_come_first_and_then_the_rest() -> None:
    """Words beside them are a message of the user's, in their order."""
    assert (
        message("tool", "1", tool_call_id="a"),
        message("tool", "2", "3", tool_call_id="b"),
        message("user", "Tool loaded.", "Go on."),
    ) == turn(
        result("a", "1"),
        {"type": "text", "text": "Tool loaded."},
        result("b", [{"type": "text", "text": "2"}, {"type": "text", "text": "3"}]),
        {"type": "text", "text": "Go on."},
    )


def test_pictures_and_documents_of_results_are_shown_behind_them() -> None:
    """In the result stands a word for each: bots' own APIs take text only there."""
    first, second, shown = turn(
        result("a", [{"type": "text", "text": "x"}, {"type": "image", "source": PIXEL}]),
        result("b", [{"type": "document", "source": PDF}]),
    )

    assert message("tool", "x", "[attachment, see below]", tool_call_id="a") == first
    assert message("tool", "[attachment, see below]", tool_call_id="b") == second
    assert "user" == shown.role
    assert (
        ImagePart("data:image/png;base64,AAAA"),
        FilePart("data:application/pdf;base64,AAAA"),
    ) == shown.content


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("No such file.", ("Error: No such file.",)),
        ("Error: no such file.", ("Error: no such file.",)),
        (None, ("Error:",)),
        ([], ("Error:",)),
    ],
)
def test_a_result_that_is_an_error_says_so(given: Any, told: tuple[str, ...]) -> None:
    """Once."""
    assert message("tool", *told, tool_call_id="a") == turn(result("a", given, is_error=True))[0]


def test_tools_that_were_fetched_are_named() -> None:
    """Claude Code fetches them on demand; the next request has them among its tools."""
    reference = {"type": "tool_reference", "tool_name": "WebFetch"}

    assert (
        message("tool", "The tool WebFetch can be called now.", tool_call_id="a")
        == (turn(result("a", [reference]))[0])
    )


def test_results_without_an_id_or_with_one_twice() -> None:
    """The first call without a result is meant; a result that comes again is one more."""
    assert ["a", "b"] == [one.tool_call_id for one in turn(result(None, "1"), result(None, "2"))]
    assert ["a", "a"] == [one.tool_call_id for one in turn(result("a", "1"), result("a", "2"))]


# ---- mistakes


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"model": None}, "model"),
    ({"model": " "}, "model"),
    ({"model": 7}, "model"),
    ({"model": "x" * (MAX_NAME + 1)}, "model"),
    ({"max_tokens": None}, "max_tokens"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": "many"}, "max_tokens"),
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": "x"}, "messages"),
    ({"messages": [{"role": "user", "content": ""}]}, "messages"),
    ({"messages": [USER, {"role": "wizard", "content": "x"}]}, "messages.1.role"),
    ({"messages": [USER, {"role": "user", "content": 7}]}, "messages.1.content"),
    ({"messages": [USER, {"role": "user", "content": [{"type": "hologram"}]}]},
     "messages.1.content.0"),
    ({"messages": [{"role": "user", "content": [
        {"type": "image", "source": {"type": "file", "file_id": "f"}}]}]},
     "messages.0.content.0.source.file_id"),
    ({"messages": [{"role": "user", "content": [
        {"type": "image", "source": {"type": "base64", "media_type": 7, "data": "AAAA"}}]}]},
     "messages.0.content.0.source.media_type"),
    ({"messages": [{"role": "assistant", "content": [
        {"type": "tool_use", "id": "a", "name": "f", "input": "x"}]}]},
     "messages.0.content.0.input"),
    ({"messages": [{"role": "user", "content": [result(None, "x")]}]},
     "messages.0.content.0.tool_use_id"),
    ({"messages": [{"role": "user", "content": [result("a", [{"type": "hologram"}])]}]},
     "messages.0.content.0.content.0"),
    ({"system": 7}, "system"),
    ({"system": [{"type": "hologram"}]}, "system.0"),
    ({"temperature": 1.5}, "temperature"),
    ({"top_p": -1}, "top_p"),
    ({"top_p": 1.1}, "top_p"),
    ({"stop_sequences": ["x"] * 65}, "stop_sequences"),
    ({"stop_sequences": [7]}, "stop_sequences"),
    ({"stream": "perhaps"}, "stream"),
    ({"thinking": "much"}, "thinking"),
    ({"output_config": {"effort": 7}}, "output_config.effort"),
    ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
    ({"mcp_servers": [{"type": "url", "url": "https://x"}]}, "mcp_servers"),
    ({"thread": {"type": "create"}}, "thread"),
    ({"tools": {}}, "tools"),
    ({"tools": [7]}, "tools.0"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "place"), MISTAKES)
def test_a_mistake_is_named_by_its_place(fields: dict[str, Any], place: str) -> None:
    """In the message, as this API has no field for it; and in no other form there."""
    told = refused(**fields)

    assert told.startswith(f"{place}: ")
    assert "messages[" not in told


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"model": NaN}'])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    """As in the other APIs."""
    with pytest.raises(InvalidRequest):
        chat_request(body, Budget(60))


# ---- to be counted


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"tools": [], "messages": [{"role": "user", "content": ""}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]},
        {"tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "auto"},
         "thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}, "system": "x"},
    ],
)  # fmt: skip
def test_what_is_to_be_counted_has_no_length_and_may_say_nothing(fields: dict[str, Any]) -> None:
    """Claude Code counts parts of its prompt one by one."""
    request = {"model": "m", "messages": [USER], **fields}

    assert "m" == counted_request(orjson.dumps(request), Budget(60)).model


def test_a_block_that_is_not_served_is_told_those_of_this_api() -> None:
    """By the names that its clients know."""
    said = refused(messages=[{"role": "user", "content": [{"type": "hologram"}]}])

    assert "Parts are text, image, document, tool_use and tool_result." in said
