"""What a bot has added to its calls, which must come back to it with them.

Gemini signs them so (official API sheet §3.5, `extra_content`). What clients of this API send back
as it came is `encrypted_content` of a reasoning item, so behind a call that is signed there is one
that holds nothing else.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

import orjson

from poe_proxy.apis.fields import json_object
from poe_proxy.budget import Budget
from poe_proxy.chat import Message
from poe_proxy.errors import InvalidRequest

#: What ours begins with: a conversation may have thoughts that another server has encrypted.
_OURS: Final = "poe-proxy:"


def sealed(call_id: str, extra: Mapping[str, Any]) -> str:
    """Return the *extra* of a call as the content of a reasoning item."""
    return _OURS + b64encode(orjson.dumps({call_id: extra})).decode()


def found_in(items: Any, budget: Budget) -> Mapping[str, Mapping[str, Any]]:
    """Return what was sealed in the *items* of a request, by the ids of the calls. What is none of
    ours, or was changed, is passed over, as thoughts are."""
    found: dict[str, Mapping[str, Any]] = {}
    for item in items if isinstance(items, list) else ():
        match item:
            case {"type": "reasoning", "encrypted_content": str(content)} if content.startswith(
                _OURS
            ):
                for id, extra in _opened(content, budget).items():
                    if isinstance(extra, dict):
                        found[id] = extra
    return found


def _opened(content: str, budget: Budget) -> Mapping[str, Any]:
    budget.breathe()
    try:
        return json_object(b64decode(content[len(_OURS) :]), budget)
    except (ValueError, InvalidRequest):
        return {}


def restored(
    messages: Iterable[Message], found: Mapping[str, Mapping[str, Any]]
) -> tuple[Message, ...]:
    """Return the *messages* with what was *found* at the calls that it belongs to."""
    if not found:
        return tuple(messages)
    return tuple(
        replace(
            message,
            tool_calls=tuple(
                replace(call, extra=found.get(call.id, call.extra)) for call in message.tool_calls
            ),
        )
        if message.tool_calls
        else message
        for message in messages
    )
