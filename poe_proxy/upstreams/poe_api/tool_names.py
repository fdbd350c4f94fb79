"""Names of tools as all of Poe's makers take them, there and back. Free of I/O.

OpenAI and Anthropic take letters, digits, `_` and `-`, 64 of them at most; Google's names do not
begin with a digit or `-` either. Clients have more: `mcp.server/tool`, blanks, other alphabets.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from itertools import count
from typing import Any, Final

from poe_proxy.chat import ChatRequest, Message, ReplyEvent, ToolCallPart, ToolChoice

_MOST: Final = 64
_GOOD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_BAD: Final = re.compile(r"[^A-Za-z0-9_-]")
#: Digits that tell apart names which would be the same.
_DIGITS: Final = 8
#: What OpenAI does not take in the name of one who speaks.
_NO_NAME: Final = re.compile(r"[\s<|\\/>]+")


class ToolNames:
    """The names in one request, and what they are for Poe.

    What a name becomes depends on nothing but the names in the request, so it stays the same while
    a conversation goes on with the same tools.
    """

    def __init__(self, chat: ChatRequest) -> None:
        self._chat = chat
        names = dict.fromkeys(_names(chat))
        self._safe = _safe_names(names) if any(map(_is_bad, names)) else {}
        self._given = {safe: given for given, safe in self._safe.items()}

    def applied(self) -> ChatRequest:
        """Return the request with names that Poe takes; the same object if it takes all of them."""
        chat = self._chat
        messages = tuple(map(self._message, chat.messages))
        if not self._safe:
            is_same = all(one is two for one, two in zip(messages, chat.messages, strict=True))
            return chat if is_same else replace(chat, messages=messages)
        return replace(
            chat,
            messages=messages,
            tools=tuple(replace(tool, name=self._of(tool.name)) for tool in chat.tools),
            tool_choice=chat.tool_choice and self._choice(chat.tool_choice),
        )

    def restored(
        self, events: Generator[ReplyEvent, None, None]
    ) -> Generator[ReplyEvent, None, None]:
        """Return the *events* of the answer with the client's own names; themselves if Poe takes
        all of those."""
        return self._restored(events) if self._given else events

    def _restored(
        self, events: Generator[ReplyEvent, None, None]
    ) -> Generator[ReplyEvent, None, None]:
        with closing(events):
            for event in events:
                if isinstance(event, ToolCallPart) and event.name in self._given:
                    event = replace(event, name=self._given[event.name])
                yield event

    def _of(self, name: str) -> str:
        return self._safe.get(name, name)

    def _message(self, message: Message) -> Message:
        name = message.name
        if name is not None:
            is_tool = message.role in ("tool", "function")
            name = self._of(name) if is_tool else _NO_NAME.sub("_", name)[:_MOST] or None
        calls = message.tool_calls
        if self._safe and calls:
            calls = tuple(replace(call, name=self._of(call.name)) for call in calls)
        if name == message.name and calls is message.tool_calls:
            return message
        return replace(message, name=name, tool_calls=calls)

    def _choice(self, choice: ToolChoice) -> ToolChoice:
        return choice if choice.name is None else replace(choice, name=self._of(choice.name))


def _names(chat: ChatRequest) -> Iterator[str]:
    """Yield the names of tools in *chat*."""
    for tool in chat.tools:
        yield tool.name
    for message in chat.messages:
        for call in message.tool_calls:
            yield call.name
        if message.role in ("tool", "function") and message.name is not None:
            yield message.name


def _is_bad(name: str) -> bool:
    return _GOOD.fullmatch(name) is None


def _safe_names(names: Mapping[str, Any]) -> dict[str, str]:
    """Return what each of *names* that Poe does not take becomes."""
    bad = [name for name in names if _is_bad(name)]
    cleaned = {name: _cleaned(name) for name in bad}
    wanted = Counter(cleaned.values())
    taken = names.keys() - set(bad)
    safe = {}
    for name in sorted(bad):
        found = cleaned[name]
        if wanted[found] > 1 or found in taken:
            found = next(one for one in _told_apart(name, found) if one not in taken)
        taken.add(found)
        safe[name] = found
    return safe


def _cleaned(name: str) -> str:
    clean = _BAD.sub("_", name)
    return (clean if clean[:1].isalpha() or clean[:1] == "_" else f"_{clean}")[:_MOST]


def _told_apart(name: str, clean: str) -> Iterator[str]:
    for salt in count():
        digest = hashlib.sha256(f"{salt}{name}".encode(errors="surrogatepass")).hexdigest()
        yield f"{clean[: _MOST - _DIGITS - 1]}_{digest[:_DIGITS]}"
