"""What bots add to their calls, there and back."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from poe_proxy.apis.responses.signatures import found_in, restored, sealed
from poe_proxy.budget import Budget
from poe_proxy.chat import Message, ToolCall

SIGNED = {"extra_content": {"google": {"thought_signature": "x"}}}


def test_a_signature_comes_back_to_its_call() -> None:
    """And to no other one."""
    items = [
        "x",
        {"type": "reasoning", "summary": [], "encrypted_content": sealed("a", SIGNED)},
        {"type": "reasoning", "summary": [], "encrypted_content": sealed("c", {"d": 1})},
    ]
    calls = ToolCall("a", "f", "{}"), ToolCall("b", "g", "{}")
    said = Message(role="assistant", tool_calls=calls), Message(role="user")

    signed, other = restored(said, found_in(items, Budget()))
    assert (ToolCall("a", "f", "{}", SIGNED), calls[1]) == signed.tool_calls
    assert said[1] == other


@pytest.mark.parametrize(
    "content",
    [
        None,
        3,
        "",
        "gAAAAABn",
        "poe-proxy:",
        "poe-proxy:x",
        "poe-proxy:é",
        f"poe-proxy:{b64encode(b'[1]').decode()}",
        f"poe-proxy:{b64encode(b'{').decode()}",
        f'poe-proxy:{b64encode(b"""{"a": 3}""").decode()}',
        f'poe-proxy:{b64encode(b"""{"a":""" * 500 + b"1" + b"}" * 500).decode()}',
    ],
    ids=lambda one: str(one)[:30],
)
def test_what_is_none_of_ours_is_passed_over(content: Any) -> None:
    """Thoughts that another server has encrypted, or what somebody has changed."""
    item = {"type": "reasoning", "summary": [], "encrypted_content": content}

    assert {} == found_in([item], Budget())
    assert {} == found_in("text", Budget())
