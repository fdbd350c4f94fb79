"""What a bot has added to its calls, which must come back to it with them.

Gemini signs them so (official API sheet §3.5, `extra_content`). What clients of this API send back
as it came is `encrypted_content` of a reasoning item, so behind a call that is signed there is one
that holds nothing else.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Set
from dataclasses import replace
from typing import Any, Final

import orjson

from poe_proxy.apis.fields import MAX_VALUES, json_object, marks
from poe_proxy.budget import Budget
from poe_proxy.chat import Message, ToolCall
from poe_proxy.errors import InvalidRequest

#: What ours begins with: a conversation may have thoughts that another server has encrypted.
_OURS: Final = "poe-proxy:"
#: The most characters of one; signatures have some thousand.
MAX_SEALED: Final = 64_000


def sealed(call_id: str, extra: Mapping[str, Any]) -> str:
    """Return the *extra* of a call as the content of a reasoning item."""
    return _OURS + b64encode(orjson.dumps({call_id: extra})).decode()


def restored(messages: Iterable[Message], items: Any, budget: Budget) -> tuple[Message, ...]:
    """Return the *messages* with what was sealed in the *items* of a request at the calls that it
    belongs to. What is none of ours, or was changed, is passed over, as thoughts are."""
    said = tuple(messages)
    ids = {call.id for message in said for call in message.tool_calls}
    found = _found(items, ids, budget) if ids else {}
    if not found:
        return said
    return tuple(_signed(message, found, budget) for message in said)


def _signed(message: Message, found: Mapping[str, Mapping[str, Any]], budget: Budget) -> Message:
    budget.breathe()
    calls: list[ToolCall] = []
    for call in message.tool_calls:
        budget.breathe()
        calls.append(replace(call, extra=found[call.id]) if call.id in found else call)
    return replace(message, tool_calls=tuple(calls)) if calls else message


def _found(items: Any, ids: Set[str], budget: Budget) -> Mapping[str, Mapping[str, Any]]:
    """Return what was sealed for the calls with these *ids*; of two for one call the later.

    All together may have as many values as a body: they are none of those that were counted in it.
    """
    found: dict[str, Mapping[str, Any]] = {}
    left = MAX_VALUES
    # From the end, because makers insist on the signatures of the last calls.
    for item in reversed(items if isinstance(items, list) else []):
        budget.breathe()
        match item:
            case {"type": "reasoning", "encrypted_content": str(content)} if (
                content.startswith(_OURS) and len(content) <= MAX_SEALED
            ):
                text = _opened(content)
                left -= marks(text)
                if left < 0:
                    break
                for id, extra in _read(text, budget).items():
                    if id in ids and isinstance(extra, dict):
                        found.setdefault(id, extra)
    return found


def _opened(content: str) -> bytes:
    try:
        return b64decode(content[len(_OURS) :])
    except ValueError:
        return b""


def _read(text: bytes, budget: Budget) -> Mapping[str, Any]:
    try:
        return json_object(text, budget)
    except InvalidRequest:
        return {}
