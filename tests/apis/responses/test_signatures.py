"""What bots add to their calls, there and back."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from poe_proxy.apis.fields import MAX_VALUES
from poe_proxy.apis.responses import signatures
from poe_proxy.apis.responses.signatures import MAX_SEALED, restored, sealed
from poe_proxy.budget import Budget
from poe_proxy.chat import Message, ToolCall

SIGNED = {"extra_content": {"google": {"thought_signature": "x"}}}


def reasoning(content: Any) -> dict[str, Any]:
    return {"type": "reasoning", "summary": [], "encrypted_content": content}


def signed(id: str, items: Any) -> Any:
    """What comes back to a call with this id."""
    said = Message(role="assistant", tool_calls=(ToolCall(id, "f", "{}"),))
    ((call,),) = (one.tool_calls for one in restored([said], items, Budget()))
    return call.extra


def test_a_signature_comes_back_to_its_call() -> None:
    """And to no other one."""
    items = [
        "x",
        reasoning(sealed("a", {"earlier": 1})),
        reasoning(sealed("a", SIGNED)),
        reasoning(sealed("c", {"d": 1})),
    ]
    calls = ToolCall("a", "f", "{}"), ToolCall("b", "g", "{}")
    said = Message(role="assistant", tool_calls=calls), Message(role="user")

    signed, other = restored(said, items, Budget())
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
    items = [reasoning(content)]

    assert {} == signed("a", items)
    assert {} == signed("a", "text")


def test_a_signature_that_is_too_long_is_passed_over() -> None:
    """Whatever a client makes of one has to be read."""
    room = MAX_SEALED - len(sealed("a", {"s": ""}))
    fits, long = ({"s": "x" * (room * 3 // 4 + more)} for more in (-3, 9))

    assert fits == signed("a", [reasoning(sealed("a", fits))])
    assert {} == signed("a", [reasoning(sealed("a", long))])


def test_all_signatures_together_hold_no_more_values_than_a_body() -> None:
    """Sealed values cost as much as others. The last ones count: they are of the last calls."""
    each, number = 10_000, 2 * MAX_VALUES // 10_000
    items = [reasoning(sealed(f"c{place}", {"v": [[]] * each})) for place in range(number)]
    calls = tuple(ToolCall(f"c{place}", "f", "{}") for place in range(len(items)))

    (message,) = restored([Message(role="assistant", tool_calls=calls)], items, Budget(60))
    kept = [call.id for call in message.tool_calls if call.extra]

    assert [call.id for call in calls[-len(kept) :]] == kept
    assert 0 < len(kept) * each <= MAX_VALUES


def test_nothing_is_opened_for_a_conversation_without_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There is nothing that it could belong to."""
    monkeypatch.delattr(signatures, "json_object")
    said = (Message(role="user"),)

    assert said == restored(said, [reasoning(sealed("a", SIGNED))], Budget())
