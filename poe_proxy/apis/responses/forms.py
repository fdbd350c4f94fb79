"""The items of an answer, and its usage, as JSON objects."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from poe_proxy.apis.custom_input import input_of
from poe_proxy.apis.fields import integer
from poe_proxy.apis.responses.namespaces import Names
from poe_proxy.apis.responses.signatures import sealed
from poe_proxy.chat import ChatRequest, Usage

Status: TypeAlias = Literal["in_progress", "completed", "incomplete"]


def new_id(prefix: str) -> str:
    """Return an id that nothing else has."""
    return f"{prefix}_{secrets.token_hex(16)}"


def summary(text: str) -> dict[str, Any]:
    """Return what a reasoning item tells."""
    return {"type": "summary_text", "text": text}


def reasoning(id: str, *texts: str) -> dict[str, Any]:
    """Return the item of what the bot has thought."""
    return {"id": id, "type": "reasoning", "summary": [summary(text) for text in texts]}


def signature(id: str, call_id: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the item that brings back what the bot has added to a call."""
    return {**reasoning(id), "encrypted_content": sealed(call_id, extra)}


def output_text(text: str) -> dict[str, Any]:
    """Return a part of a message that is text."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def refusal(text: str) -> dict[str, Any]:
    """Return a part of a message with which the bot refuses."""
    return {"type": "refusal", "refusal": text}


def message(id: str, status: Status, *parts: dict[str, Any]) -> dict[str, Any]:
    """Return the item of what the bot has said."""
    return {
        "id": id,
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [*parts],
    }


class CallForms:
    """How calls are told to a client, by the tools of its request and its own names of them."""

    def __init__(self, chat: ChatRequest, names: Names) -> None:
        self._names = names
        self._custom = {tool.name for tool in chat.tools if tool.is_custom}

    def is_custom(self, name: str) -> bool:
        """Whether what the bot calls *name* takes a text."""
        return name in self._custom

    def call(
        self, id: str, status: Status, call_id: str | None, name: str, given: str
    ) -> dict[str, Any]:
        """Return the item of a call; *given* is its text, or its arguments."""
        own, namespace = self._names.given(name)
        custom = self.is_custom(name)
        item = {
            "id": id,
            "type": "custom_tool_call" if custom else "function_call",
            "status": status,
            "call_id": call_id or new_id("call"),
            "name": own,
            "input" if custom else "arguments": given,
        }
        return item if namespace is None else {**item, "namespace": namespace}

    def whole(self, status: Status, call_id: str, name: str, arguments: str) -> dict[str, Any]:
        """Return the item of a whole call."""
        custom = self.is_custom(name)
        given = input_of(arguments) if custom else arguments
        return self.call(self.new_id(name), status, call_id, name, given)

    def new_id(self, name: str) -> str:
        """Return the id of an item that is a call of this tool."""
        return new_id("ctc" if self.is_custom(name) else "fc")


def usage(counted: Usage) -> dict[str, Any]:
    """Return the tokens that were *counted*."""
    read = counted.details.get("prompt_tokens_details")
    written = counted.details.get("completion_tokens_details")
    return {
        "input_tokens": counted.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": _count(read, "cached_tokens"),
            "cache_write_tokens": _count(read, "cache_write_tokens"),
        },
        "output_tokens": counted.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": _count(written, "reasoning_tokens")},
        "total_tokens": counted.total,
    }


def _count(details: Any, name: str) -> int:
    found = details.get(name) if isinstance(details, Mapping) else None
    return integer(found) or 0
