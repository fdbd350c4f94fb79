"""Which chat has how much of a conversation, known by digests."""

from __future__ import annotations

from typing import Any

import pytest

from poe_proxy.chat import ChatRequest, FilePart, ImagePart, Message, Role, TextPart, ToolCall
from poe_proxy.upstreams.poe_web.open_chats import (
    HOLDS,
    MAX_CHATS,
    Mark,
    OpenChat,
    OpenChats,
    answered,
    marks,
)

from ...fakes import Clock


def said(role: Role, text: str, **fields: Any) -> Message:
    return Message(role=role, content=(TextPart(text),), **fields)


HISTORY = (said("system", "Be brief."), said("user", "Hello"), said("assistant", "Hi"))


def marked(*messages: Message, bot: str = "Claude") -> list[Mark]:
    return list(marks(bot, ChatRequest(model="m", messages=messages)))


# ---- digests


def with_answer(before: str, answer: Message) -> str:
    return answered(before, answer, lambda: None)


def test_there_is_a_mark_behind_each_answer_and_one_at_the_end() -> None:
    """Up to there a later turn of the conversation has the same ones."""
    short = marked(*HISTORY, said("user", "How are you?"))
    long = marked(*HISTORY, said("user", "How are you?"), said("assistant", "Well."))

    assert [3, 4] == [one.place for one in short]
    assert [3, 5] == [one.place for one in long]
    assert short[0] == long[0]
    assert long[1].digest == with_answer(short[1].digest, said("assistant", "Well."))


def test_a_digest_has_nothing_of_the_messages() -> None:
    """Of whatever length they are."""
    assert {64} == {len(one.digest) for one in marked(*HISTORY, said("user", "x" * 100_000))}


@pytest.mark.parametrize(
    "other",
    [
        (said("system", "Be kind."), *HISTORY[1:]),
        (*HISTORY[:2], said("assistant", "Hey")),
        (HISTORY[1], HISTORY[2]),
        (HISTORY[1], HISTORY[0], HISTORY[2]),
        (HISTORY[0], said("user", "Hello", name="Ann"), HISTORY[2]),
        (said("system", "Be brief.\nHello"), HISTORY[2]),
        (HISTORY[0], Message(role="user", content=(ImagePart("https://a/b.png"),)), HISTORY[2]),
    ],
)
def test_any_difference_is_another_conversation(other: tuple[Message, ...]) -> None:
    """Words, order, speakers, pictures."""
    assert marked(*HISTORY)[0].digest != marked(*other)[0].digest


def test_another_file_is_another_conversation() -> None:
    """By its name or its content, though nothing else is said."""
    files = [
        FilePart("data:,a", "a.txt"),
        FilePart("data:,a", "b.txt"),
        FilePart("data:,b", "a.txt"),
    ]
    conversations = [(Message(role="user", content=(one,)), HISTORY[2]) for one in files]

    assert len(files) == len({marked(*each)[0].digest for each in conversations})


def test_another_bot_is_another_conversation() -> None:
    """Its name in another case is the same one."""
    assert marked(*HISTORY) == marked(*HISTORY, bot="claude")
    assert marked(*HISTORY) != marked(*HISTORY, bot="GPT-4o")


def calling(arguments: str) -> Message:
    return said("assistant", "I edit.", tool_calls=(ToolCall("c", "Edit", arguments),))


@pytest.mark.parametrize(
    ("given", "is_same"),
    [
        ('{"replace_all": false, "path": "a", "new": "b"}', True),
        ('{"new":"b","path":"a","limit":null}', True),
        ('{"path": "a", "new": "b", "replace_all": true}', False),
        ('{"path": "a", "new": "b", "limit": 0}', False),
        ('{"path": "a", "new": ""}', False),
        ('{"path": "a", "new": "c"}', False),
        ('["path", "new"]', False),
        ("{path: ", False),
    ],
)
def test_a_call_may_come_back_with_what_it_left_out(given: str, is_same: bool) -> None:
    """Claude Code puts a `false` into the edits that it sends back. What says more is another."""
    plain = calling('{"path": "a", "new": "b"}')

    assert is_same == (with_answer("", plain) == with_answer("", calling(given)))


def test_an_answer_may_come_back_in_another_shape() -> None:
    """In several messages or parts, and with other blanks around them; calls as a bot that is
    taught writes them, whatever their ids and the blanks in their arguments."""
    call = ToolCall("call_1", "look", '{"at": "Rome"}')
    given = said("assistant", "I will look.\n", tool_calls=(call,))
    block = '<tool_call>\n{"name": "look", "arguments": {"at": "Rome"}}\n</tool_call>'
    again = ToolCall("call_2", "look", '{"at":"Rome"}')
    before = marked(*HISTORY[:2])[-1].digest

    assert {with_answer(before, given)} == {
        marked(*HISTORY[:2], said("assistant", f"I will look.\n{block}"))[0].digest,
        marked(*HISTORY[:2], said("assistant", "I will look."), said("assistant", block))[
            -1
        ].digest,
        with_answer(before, said("assistant", " I will look.", tool_calls=(again,))),
    }


# ---- the memory


def chat(number: int) -> OpenChat:
    return OpenChat(number, 10 * number)


def test_a_chat_goes_on_once_from_where_it_is() -> None:
    """That with the most of the conversation is taken, by one reply at a time."""
    chats = OpenChats(lambda _: None, Clock())
    chats.keep("a", chat(1))
    chats.keep("b", chat(2))
    conversation = [Mark(1, "a"), Mark(3, "b"), Mark(5, "c")]

    assert (Mark(3, "b"), chat(2)) == chats.take(conversation)
    assert (Mark(1, "a"), chat(1)) == chats.take(conversation)
    assert chats.take(conversation) is None


def test_a_chat_is_known_by_what_the_client_has() -> None:
    """What the bot wrote may be shown to the client in another form."""
    chats = OpenChats(lambda _: None, Clock())
    one = chat(1)
    chats.keep("as written", one)
    chats.rename(one, "as given")
    chats.rename(chat(2), "not known")

    assert chats.take([Mark(1, "as written"), Mark(1, "not known")]) is None
    assert (Mark(1, "as given"), one) == chats.take([Mark(1, "as given")])


def test_a_chat_that_is_too_old_is_not_taken() -> None:
    """It is dropped then, if nothing has done so before."""
    clock, dropped = Clock(), list[OpenChat]()
    chats = OpenChats(dropped.append, clock)
    chats.keep("a", chat(1))
    clock.go(HOLDS)

    assert chats.take([Mark(1, "a")]) is None
    assert [chat(1)] == dropped


def test_what_is_too_old_or_too_much_is_dropped() -> None:
    """The oldest first; so is what another chat takes the place of, and all in the end."""
    clock, dropped = Clock(), list[int]()
    chats = OpenChats(lambda one: dropped.append(one.id), clock)
    for number in range(MAX_CHATS + 1):
        chats.keep(f"digest {number}", chat(number))
    assert [0] == dropped

    chats.keep("digest 1", chat(99))
    assert [0, 1] == dropped

    clock.go(HOLDS)
    chats.keep("new", chat(100))
    assert [0, *range(1, MAX_CHATS + 1), 99] == dropped

    clock.go(HOLDS - 1)
    chats.drop_old()
    assert 99 == dropped[-1]
    clock.go(1)
    chats.drop_old()
    assert 100 == dropped[-1]

    chats.keep("last", chat(101))
    chats.close()
    assert 101 == dropped[-1]
    chats.keep("late", chat(102))
    assert 102 == dropped[-1]
