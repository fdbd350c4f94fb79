"""What the tests of taught tools share: tools, a bot that says what it is given, its calls."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterable
from typing import Any

from poe_proxy.chat import (
    ChatRequest,
    Done,
    Message,
    ReplyEvent,
    Role,
    TextPart,
    Tool,
    ToolCall,
    ToolCallPart,
    ToolChoice,
)
from poe_proxy.shaping.tools import taught_reply

from ..fakes import FakeUpstream, ask
from .support import pieces


def tool(
    name: str, properties: dict[str, Any] | None = None, path: str = "tools", **schema: Any
) -> Tool:
    """A tool with a description and a schema."""
    parameters = {"type": "object", "properties": properties or {}, **schema}
    return Tool(name=name, description=f"Does {name}.", schema=parameters, path=path)


LOOK = tool("look", {"at": {"type": "string"}, "days": {"type": "integer"}}, required=["at"])
WRITE = tool("write", {"path": {"type": "string"}, "text": {"type": "string"}})
PING = Tool(name="ping")
TOOLS = (LOOK, WRITE, PING)

REQUIRED = ToolChoice(mode="required")
BY_NAME = ToolChoice(mode="required", name="look")


def chat(*messages: Message, tools: Any = TOOLS, **fields: Any) -> ChatRequest:
    """A request with tools, of one user message if none is given."""
    if messages:
        fields["messages"] = messages
    return ask("Look at Paris.", tools=tools, **fields)


def message(role: Role, text: str = "", **fields: Any) -> Message:
    return Message(role=role, content=(TextPart(text),) if text else (), **fields)


def block(name: str, **arguments: Any) -> str:
    """A call as a bot should write it."""
    body = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{body}\n</tool_call>"


PARIS = block("look", at="Paris")


def saying(*texts: str, size: int = 1_000_000) -> FakeUpstream:
    """A bot that gives these answers, one after the other, each in pieces of *size*."""
    return FakeUpstream(*[[*pieces(text, size), Done()] for text in texts])


def replying(bot: FakeUpstream, request: ChatRequest) -> Generator[ReplyEvent, None, None]:
    return taught_reply(lambda one: bot.reply(one, "bot"), request)


def reply(bot: FakeUpstream, request: ChatRequest) -> list[ReplyEvent]:
    return list(replying(bot, request))


def calls(events: Iterable[ReplyEvent]) -> list[tuple[str | None, Any]]:
    """Name and arguments of each call, its shape checked."""
    parts = [event for event in events if isinstance(event, ToolCallPart)]
    assert list(range(len(parts))) == [part.index for part in parts]
    assert len(parts) == len({part.id for part in parts})
    assert all(re.fullmatch("call_[0-9a-f]{24}", part.id or "") for part in parts)
    return [(part.name, json.loads(part.arguments)) for part in parts]


def prompts(bot: FakeUpstream, place: int = -1) -> list[tuple[str, str]]:
    """Role and text of each message that the bot was sent."""
    return [(one.role, one.text) for one in bot.asked[place][0].messages]


HISTORY = (
    message("user", "Look at Paris and Rome."),
    message(
        "assistant",
        "I will look.",
        tool_calls=(
            ToolCall("call_1", "look", '{"at":"Paris"}'),
            ToolCall("call_2", "look", '{\n  "at": "Rome"\n}'),
        ),
    ),
    message("tool", "rain", tool_call_id="call_2"),
    message("tool", "sun", tool_call_id="call_1"),
    message("user", "So?"),
)

CODE = 'def f(s: str) -> str:\n\treturn "\\n".join([s, \'"\', "\\\\"])  # {"a": [1}'

SEVERAL = [
    f"{PARIS}\n{block('ping')}\n{PARIS}",
    f"{PARIS}{block('ping')}{PARIS}",
    f"{PARIS}\nThen:\n```json\n{block('ping')}\n```\nAnd\n{PARIS}\nThat is all.",
    '<tool_call>\n{"name": "look", "arguments": {"at": "Paris"}}\n{"name": "ping"}\n'
    '{"name": "look", "arguments": {"at": "Paris"}}\n</tool_call>',
    '<tool_calls>[{"name": "look", "arguments": {"at": "Paris"}}, {"name": "ping", '
    '"arguments": null}, {"name": "look", "arguments": {"at": "Paris"}}]</tool_calls>',
]
