"""Calls and results find each other, whatever ids there are."""

from __future__ import annotations

from typing import Any

import pytest

from poe_proxy.apis.conversation import Call, Conversation, Result
from poe_proxy.budget import Budget
from poe_proxy.chat import ImagePart, Message, TextPart
from poe_proxy.errors import InvalidRequest

IMAGE = ImagePart("https://example.com/a.png")
WORDS = (TextPart("x"),)


def told(*acts: Any, shows_elsewhere: bool = False) -> list[tuple[str, Any]]:
    """The role of each message, with the calls that it makes, or the one that it answers: a call
    is `id:name`, a list of calls is a message, and a pair is a result (id, name)."""
    said = Conversation()
    for act in acts:
        match act:
            case list(calls):
                said.say("assistant", WORDS, calls=[_call(call) for call in calls])
            case (id, name):
                said.answer(Result(id, WORDS, "path", name), shows_elsewhere=shows_elsewhere)
            case "user":
                said.say("user", WORDS)
    return [
        (one.role, one.tool_call_id or [f"{call.id}:{call.name}" for call in one.tool_calls])
        for one in said.messages(Budget())
        if one.role != "user"
    ]


def _call(written: str) -> Call:
    id, _, name = written.partition(":")
    return Call(id or None, name, "{}")


@pytest.mark.parametrize(
    ("acts", "found"),
    [
        ([["a:f"], ("a", None)], ["a:f", "a"]),
        ([["a:f"], (None, None)], ["a:f", "a"]),
        ([["a:f", "b:g"], (None, None), (None, None)], ["a:f b:g", "a", "b"]),
        ([["a:f", "b:g"], (None, "g"), (None, "f")], ["a:f b:g", "b", "a"]),
        ([["a:f", "b:f"], (None, "f"), (None, "f")], ["a:f b:f", "a", "b"]),
        ([["a:f", "b:g"], ("a", None), (None, None)], ["a:f b:g", "a", "b"]),
        ([["a:f"], (None, "another name")], ["a:f", "a"]),
        ([[":f"], (None, None)], ["call_0:f", "call_0"]),
        ([[":f", ":g"], (None, "g"), (None, None)], ["call_0:f call_1:g", "call_1", "call_0"]),
        ([[":f"], ("a", None)], ["a:f", "a"]),
        ([[":f", ":g"], ("a", None), ("b", None)], ["a:f b:g", "a", "b"]),
        ([["call_0:f"], [":g"], "user"], ["call_0:f", "call_1:g"]),
        ([[":g"], ["call_0:f"], "user"], ["call_1:g", "call_0:f"]),
        ([["a:f"], ["b:g"], (None, None), (None, None)], ["a:f", "b:g", "a", "b"]),
        ([["a:f"], "user", (None, None)], ["a:f", "a"]),
        ([["a:f", "b:g"], ("a", None), ["c:h"], (None, None)], ["a:f b:g", "a", "c:h", "c"]),
        ([["a:f"], ("a", None), ["a:f"], (None, None)], ["a:f", "a", "a:f", "a"]),
        ([("unknown", None)], ["unknown"]),
    ],
    ids=str,
)
def test_a_result_answers_a_call(acts: list[Any], found: list[str]) -> None:
    """By its id; without one by the tool's name, or else the first without a result, in the newest
    turn. A call without an id takes that of its result, or one that no other call has."""
    what = [" ".join(one) if isinstance(one, list) else one for _, one in told(*acts)]

    assert found == what


@pytest.mark.parametrize(
    "acts",
    [
        [(None, None)],
        ["user", (None, "f")],
        [["a:f"], ("a", None), (None, None)],
        [["a:f"], (None, None), (None, None)],
    ],
    ids=str,
)
def test_a_result_that_answers_no_call_is_refused(acts: list[Any]) -> None:
    """The field that would say which is named."""
    with pytest.raises(InvalidRequest) as refusal:
        told(*acts)

    assert "path" == refusal.value.param
    assert "path is missing" in refusal.value.message


def test_what_a_result_shows_stands_behind_the_results() -> None:
    """Bots take text only in a result; an image goes into the user's next message."""
    said = Conversation()
    said.say("assistant", (), calls=[Call("a", "f", "{}"), Call("b", "g", "{}")])
    for id in "ab":
        said.answer(Result(id, (TextPart("see"), IMAGE), "path"), shows_elsewhere=True)
    said.say("user", WORDS)
    _, first, second, asked = said.messages(Budget())

    assert "see\n[attachment, see below]" == first.text == second.text
    assert Message(role="user", content=(IMAGE, IMAGE, *WORDS)) == asked


@pytest.mark.parametrize("goes_on", [True, False])
def test_what_a_result_shows_is_told_though_the_user_says_nothing(goes_on: bool) -> None:
    """Before the bot's next message, or at the end."""
    said = Conversation()
    said.call(Call("a", "f", "{}"))
    said.answer(Result("a", (IMAGE,), "path"), shows_elsewhere=True)
    if goes_on:
        said.say("assistant", WORDS)

    assert Message(role="user", content=(IMAGE,)) == said.messages(Budget())[2]


def test_calls_that_stand_by_themselves_join_the_message_before_them() -> None:
    """Bots refuse a result that is not right behind the message with its call."""
    said = Conversation()
    said.call(Call("a", "f", "{}"))
    said.call(Call("b", "g", "{}"))
    said.answer(Result("a", WORDS, "path"))
    said.say("assistant", WORDS)
    said.call(Call("c", "h", "{}"))

    assert [["a", "b"], [], ["c"]] == [
        [c.id for c in one.tool_calls] for one in said.messages(Budget())
    ]


def test_what_says_nothing_is_left_out() -> None:
    """But for calls, results, and results in the older form."""
    said = Conversation()
    said.say("user", ())
    said.say("assistant", ())
    said.say("assistant", (), calls=[Call("a", "f", "{}")])
    said.answer(Result("a", (), "path"))
    said.say("function", (), name="f")

    assert ["assistant", "tool", "function"] == [one.role for one in said.messages(Budget())]
