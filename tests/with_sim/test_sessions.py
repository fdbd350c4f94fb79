"""A long session of an agent by cookie, in one chat at Poe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from ..apis.messages.reading import Stream
from ..apis.responses.reading import events_in
from .servers import Proxy, Sim
from .sessions import BOT, CALLS, RESULT, RULES, play, sent

SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}, "n": {"type": "number"}}}
PATCH = '*** Begin Patch\n+print("ä 🌍\\n")\n*** End Patch'


@pytest.fixture(scope="module")
def reusing() -> Iterator[tuple[Sim, Proxy]]:
    """A server with one account, whose chats go on."""
    with Sim(("cookie-a",), (), pace=0.0) as sim, Proxy(sim, REUSE_CHATS="1") as proxy:
        yield sim, proxy


def streamed(proxy: Proxy, path: str, **fields: Any) -> bytes:
    body = {"model": BOT, "stream": True, **fields}
    answer = requests.post(proxy.url + path, json=body, headers=proxy.headers, timeout=60)
    answer.raise_for_status()
    return answer.content


def give_calls(sim: Sim, *calls: tuple[str, dict[str, Any]]) -> None:
    """Let the bot make these calls, each with a thought and a word before it, and then end."""
    lines = [
        f"<think>Hm.</think>\nStep.\n<tool_call>\n"
        f"{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"
        for name, arguments in calls
    ]
    sim.control(lines={BOT: [*lines, "Done."]})
    requests.delete(f"{sim.url}/__journal", timeout=60)


def assert_one_chat(sim: Sim, turns: int) -> None:
    """All turns were in one chat, and each but the first brought its result alone."""
    first, *others = sent(sim)
    assert turns == 1 + len(others)
    assert first.message > len(RULES)
    assert {first.chat} == {one.chat for one in others}
    assert all(len(RESULT) < one.message < len(RESULT) + 200 for one in others)


def test_a_session_by_responses_stays_in_one_chat(reusing: tuple[Sim, Proxy]) -> None:
    """What a client of that API sends back is what it was given: thoughts, calls of functions, of
    custom tools, and of tools in namespaces."""
    sim, proxy = reusing
    function = {"type": "function", "name": "read", "strict": None, "parameters": SCHEMA}
    agents = {"type": "namespace", "name": "agents", "description": "", "tools": [function]}
    tools = [function, {"type": "custom", "name": "patch"}, agents]
    items: list[Any] = [{"role": "developer", "content": RULES}, {"role": "user", "content": "Go."}]
    give_calls(
        sim,
        ("read", {"path": "ä b", "n": 1.0}),
        ("patch", {"input": PATCH}),
        ("agents__read", {"path": "c"}),
    )
    for _ in range(4):
        *_, end = events_in(streamed(proxy, "/v1/responses", input=items, tools=tools))
        items += end["response"]["output"]
        kind, call_id = items[-1]["type"], items[-1].get("call_id")
        items.append({"type": f"{kind}_output", "call_id": call_id, "output": RESULT})

    assert "Done." == items[-2]["content"][0]["text"]
    assert_one_chat(sim, 4)


def test_a_session_by_messages_stays_in_one_chat(reusing: tuple[Sim, Proxy]) -> None:
    """The same in Anthropic's API, where the input of a call is an object; Claude Code adds a field
    to those that it sends back."""
    sim, proxy = reusing
    tools = [{"name": name, "input_schema": SCHEMA} for name in ("read", "edit")]
    said: list[dict[str, Any]] = [{"role": "user", "content": "Go."}]
    give_calls(sim, ("read", {"path": "ä b", "n": 1.0}), ("edit", {"path": PATCH}), ("read", {}))
    fields = {"max_tokens": 9000, "system": [{"type": "text", "text": RULES}], "tools": tools}
    for _ in range(4):
        content = Stream(streamed(proxy, "/v1/messages", messages=said, **fields)).content
        for one in content:
            if one["type"] == "tool_use":
                one["input"] = {"replace_all": False, **one["input"]}
        said.append({"role": "assistant", "content": content})
        result = {"type": "tool_result", "tool_use_id": content[-1].get("id"), "content": RESULT}
        said.append({"role": "user", "content": [result]})

    assert "Done." == said[-2]["content"][-1]["text"]
    assert_one_chat(sim, 4)


def test_a_session_stays_in_one_chat_until_the_server_stops() -> None:
    """With REUSE_CHATS instructions and tools are sent once, and then each result by itself, also
    where tools are taught; with DELETE_CHATS the chat is deleted at the end, and not before."""
    with Sim(("cookie-a",), (), pace=0.0) as sim:
        with Proxy(sim, REUSE_CHATS="1", DELETE_CHATS="1") as proxy:
            messages = play(sim, proxy)
            first, *others = sent(sim)
            assert [] == sim.journal(event="chat-deleted")
        deleted = sim.journal(event="chat-deleted")

    calls = [call for one in messages for call in one.get("tool_calls", ())]
    assert CALLS == len(calls) == len(others)
    assert "All is read." == messages[-1]["content"]
    assert first.message > len(RULES)
    assert {first.chat} == {one.chat for one in others}
    assert all(len(RESULT) < one.message < len(RESULT) + 200 for one in others)
    assert [first.chat] == [one["chatId"] for one in deleted]
