"""A chat request as the JSON that api.poe.com takes, and what may be left out of it. Free of I/O.

Official API sheet §3.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from poe_proxy.chat import (
    ChatRequest,
    ContentPart,
    FilePart,
    ImagePart,
    JsonWanted,
    Message,
    TextPart,
    Tool,
    ToolChoice,
)
from poe_proxy.errors import ParameterRefused, PartRefused
from poe_proxy.upstreams.poe_api import effort, unsent

#: What bots call the parameter that lets them look something up (§3.4).
_SEARCHES: Final = ("web_search", "enable_web_search")


def request(
    chat: ChatRequest,
    bot: str,
    *,
    stream: bool,
    declared: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    most: int | None = None,
    without: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Return the JSON object that asks *bot* for an answer to *chat*.

    *declared* are the bot's own parameters with their schemas, *most* is how many tokens an answer
    of its has at most, and *without* are the fields that it has refused before.

    Raises `PartRefused` for a file that is given by a URL (§3.3).
    """
    # A bot of OpenAI's may know the limit only by its newer name. Poe takes both (§3.1).
    limit = "max_tokens" if "max_tokens" not in without else "max_completion_tokens"
    fields = {
        "model": bot,
        "messages": _messages(chat.messages),
        "stream": stream or None,
        "stream_options": {"include_usage": True} if stream else None,
        "temperature": chat.temperature,
        "top_p": chat.top_p,
        limit: _limit(chat.max_tokens, most),
        # No others work (§3.1); `shaping` looks for all of them.
        "stop": _stop(chat),
        "tools": [_tool(tool) for tool in chat.tools] or None,
        "tool_choice": _choice(chat.tool_choice) if chat.tools and chat.tool_choice else None,
        "parallel_tool_calls": chat.parallel_tool_calls if chat.tools else None,
        "response_format": _format(chat.json) if chat.json else None,
    }
    if chat.reasoning_effort is not None:
        fields |= effort.parameters(chat.reasoning_effort, declared, chat.extra)
    elif chat.thinking_budget is not None:
        fields |= effort.of_budget(chat.thinking_budget, declared, chat.extra)
    else:
        fields |= effort.of_others(chat.extra, declared)
    if chat.web_search:
        fields |= _search(declared)
    own = {
        name: value
        for name, value in chat.extra.items()
        if name not in fields and (name not in unsent.FIELDS or name in declared)
    }
    return {
        name: value
        for name, value in (fields | own | dict(chat.parameters)).items()
        if value is not None and name not in without
    }


def _limit(wanted: int | None, most: int | None) -> int | None:
    """Return how long an answer may be: agents ask for more than some bots take (§6)."""
    return wanted if wanted is None or most is None else min(wanted, most)


def _search(declared: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {name: True for name in _SEARCHES if name in declared}


def _stop(chat: ChatRequest) -> list[str] | None:
    if chat.names_stop_word:
        return None
    return [word for word in chat.stop if word.strip()][:4] or None


def _tool(tool: Tool) -> dict[str, Any]:
    return {"type": "function", "function": tool.definition, **tool.beside}


def _choice(choice: ToolChoice) -> str | Mapping[str, Any]:
    if choice.name is not None:
        return {"type": "function", "function": {"name": choice.name}}
    return choice.mode


def _format(wanted: JsonWanted) -> dict[str, Any]:
    if wanted.schema is None:
        return {"type": "json_object", **wanted.beside}
    about = {} if wanted.description is None else {"description": wanted.description}
    schema = {**wanted.extra, **about, "schema": wanted.schema}
    return {"type": "json_schema", "json_schema": schema, **wanted.beside}


def _messages(messages: Iterable[Message]) -> list[dict[str, Any]]:
    sent = []
    #: The newest call of each tool: results in the old form name the tool instead of the call.
    calls: dict[str, str] = {}
    for message in messages:
        calls |= {call.name: call.id for call in message.tool_calls}
        sent.append(_message(message, calls))
    return sent


def _message(message: Message, calls: Mapping[str, str]) -> dict[str, Any]:
    role: str = message.role
    call_id = message.tool_call_id
    if role == "developer":  # refused by Poe (§3.1)
        role = "system"
    elif role == "function":
        # A result without its call would be refused; this way its text is not lost.
        call_id = call_id or calls.get(message.name or "")
        role = "tool" if call_id else "user"
    # Beside calls nothing is null, as clients have it: an empty text is one that the bot has said.
    is_null = bool(message.tool_calls) and not message.content
    sent: dict[str, Any] = {"role": role, "content": None if is_null else _content(message)}
    if message.name is not None:
        sent["name"] = message.name
    if message.tool_calls:
        sent["tool_calls"] = [
            {
                **call.extra,
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if call_id is not None:
        sent["tool_call_id"] = call_id
    return sent


def _content(message: Message) -> str | list[dict[str, Any]]:
    if all(isinstance(part, TextPart) for part in message.content):
        return message.text
    return [_part(part) for part in message.content]


def _part(part: ContentPart) -> dict[str, Any]:
    match part:
        case TextPart(text):
            return {"type": "text", "text": text}
        case ImagePart(url, None):
            return {"type": "image_url", "image_url": {"url": url}}
        case ImagePart(url, detail):
            return {"type": "image_url", "image_url": {"url": url, "detail": detail}}
        case FilePart(data, name):
            if not data.startswith("data:"):
                raise PartRefused(
                    f"{part.path}: with an API key, Poe takes files as data URIs only.",
                    param=part.path,
                )
            return {"type": "file", "file": {"filename": name or "file", "file_data": data}}


# ---- what may be left out

#: Fields without which the answer would not be the one that was asked for. What `shaping` does
#: anyway is not among them: JSON is checked, stop words are looked for. Tools are taught instead,
#: but not by this module.
_ESSENTIAL: Final = frozenset(
    {"model", "messages", "stream", "tools", "tool_choice", "max_completion_tokens"}
)


def droppable(
    sent: Collection[str],
    refusal: ParameterRefused,
    *,
    extra: Collection[str] = (),
    declared: Collection[str] | None = None,
) -> frozenset[str]:
    """Return the fields of *sent* without which the bot may be asked again; empty if none.

    *extra* are fields that only the client knows, *declared* those that the catalogue has for the
    bot, None if it does not have the bot. A bot that refuses one field that it does not declare is
    sent none of them any more: learning about each would cost a request each.

    The catalogue decides, whatever the words: a field that is declared was refused for its value,
    and the client, which relies on it, should see that; any other goes. For a bot that is not in
    the catalogue, the words tell a value from a field.
    """
    if declared is None and refusal.code != ParameterRefused.code:
        return frozenset()
    field = _named(sent, refusal, declared or ())
    if field is None or field in _ESSENTIAL or field in (declared or ()):
        return frozenset()
    if refusal.code == _MISSING:
        return frozenset()
    if declared is not None and field in extra:
        return frozenset(name for name in extra if name in sent and name not in declared)
    return frozenset({field})


#: The code of a refusal that wants more, not less.
_MISSING: Final = "missing_required_parameter"


def is_lasting(refusal: ParameterRefused, fields: Collection[str], extra: Collection[str]) -> bool:
    """Whether a bot that has refused *fields* of a request will refuse them of others.

    Not if words say that it was the value of a field which all bots may have: the next one may have
    a better one.
    """
    return refusal.code == ParameterRefused.code or all(field in extra for field in fields)


#: Where the words go on to what would have been right.
_INSTEAD: Final = re.compile(
    r"\b(?:allowed|supported|valid|accepted|available)\b[\w ]{0,30}:", re.I
)
_QUOTED: Final = re.compile(r"['\"`](\w++)")
_BETWEEN_WORDS: Final = re.compile(r"\W")


def _named(
    sent: Collection[str], refusal: ParameterRefused, declared: Collection[str]
) -> str | None:
    """Return the field of *sent* that a refusal is about: the first that it names."""
    if refusal.param is not None:
        # Perhaps a path, such as `response_format.json_schema`.
        field = re.split(r"[.\[]", refusal.param, maxsplit=1)[0]
        if field in sent:
            return field
    message = refusal.message
    if instead := _INSTEAD.search(message):
        message = message[: instead.start()]
    for words in (_QUOTED.findall(message), _BETWEEN_WORDS.split(message)):
        for field in words:
            if field in sent and field not in _ESSENTIAL and field not in declared:
                return str(field)
    return None
