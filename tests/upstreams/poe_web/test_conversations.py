"""A turn of a conversation, and where the next one goes on."""

from __future__ import annotations

from collections.abc import Generator

from poe_proxy.chat import ChatRequest, Done, Message, Replaced, ReplyEvent, Role, Text, TextPart
from poe_proxy.upstreams.poe_web.conversations import Conversation
from poe_proxy.upstreams.poe_web.open_chats import OpenChat, OpenChats

from ...fakes import Clock

CHAT = OpenChat(1, 10)


def said(role: Role, text: str) -> Message:
    return Message(role=role, content=(TextPart(text),))


QUESTION = said("user", "Hello")


def asking(*messages: Message) -> ChatRequest:
    return ChatRequest(model="m", messages=messages)


def memory() -> OpenChats:
    return OpenChats(lambda _: None, Clock())


def reply(*events: ReplyEvent) -> Generator[ReplyEvent, None, None]:
    yield from events


def play(chat: ChatRequest, chats: OpenChats, *events: ReplyEvent) -> None:
    """Let *events* be what the bot answers to *chat*, in `CHAT`."""
    conversation = Conversation("Claude", chat, chats)
    assert list(events) == list(conversation.told(reply(*events), lambda: CHAT))
    conversation.put_back()


def test_the_next_turn_has_only_what_is_new() -> None:
    """Behind what the bot wrote, in the end."""
    chats = memory()
    play(asking(QUESTION), chats, Text("Draft"), Replaced("Hi"), Text("!"), Done())
    next_turn = asking(QUESTION, said("assistant", "Hi!"), said("user", "And?"))
    conversation = Conversation("Claude", next_turn, chats)

    assert CHAT is conversation.chat
    assert asking(said("user", "And?")) == conversation.rest(next_turn)


def test_what_the_client_was_given_is_what_counts() -> None:
    """Not what the bot wrote, if the client reads something else."""
    chats, first = memory(), asking(QUESTION)
    play(first, chats, Text("Hi!"), Done())
    Conversation.end(first, said("assistant", "Hi"), chats)

    def next_turn(answer: str) -> Conversation:
        turn = asking(QUESTION, said("assistant", answer), said("user", "And?"))
        return Conversation("Claude", turn, chats)

    assert next_turn("Hi!").chat is None
    assert CHAT is next_turn("Hi").chat


def test_a_correction_goes_on_in_the_chat_of_the_wrong_answer() -> None:
    """And the client's next turn behind the right one."""
    chats, first = memory(), asking(QUESTION)
    play(first, chats, Text("Wrong"), Done())
    wrong = (QUESTION, said("assistant", "Wrong"), said("user", "Correct it."))
    again = ChatRequest(model="m", messages=wrong, kept=first.kept)
    corrected = Conversation("Claude", again, chats)
    assert CHAT is corrected.chat

    corrected.forget()
    list(corrected.told(reply(Text("Right"), Done()), lambda: CHAT))
    Conversation.end(first, said("assistant", "Right"), chats)
    next_turn = asking(QUESTION, said("assistant", "Right"), said("user", "And?"))
    assert CHAT is Conversation("Claude", next_turn, chats).chat


def test_a_chat_is_put_back_unless_poe_may_have_a_message() -> None:
    """Then it is there for the next try."""
    chats = memory()
    play(asking(QUESTION), chats, Text("Hi"), Done())
    next_turn = asking(QUESTION, said("assistant", "Hi"), said("user", "And?"))

    Conversation("Claude", next_turn, chats).put_back()
    conversation = Conversation("Claude", next_turn, chats)
    assert CHAT is conversation.chat
    conversation.forget()
    conversation.put_back()
    assert Conversation("Claude", next_turn, chats).chat is None


def test_an_answer_that_is_not_whole_leaves_nothing() -> None:
    """Nor does one whose chat may not go on, nor an answer that came of an earlier try."""
    chats, first = memory(), asking(QUESTION)
    conversation = Conversation("Claude", first, chats)
    list(conversation.told(reply(Text("Hi")), lambda: CHAT))
    list(conversation.told(reply(Text("Hi"), Done()), lambda: None))
    Conversation.end(first, said("assistant", "Hi"), chats)
    assert chats.take([]) is None

    play(first, chats, Text("Wrong"), Done())
    Conversation("Claude", first, chats)
    Conversation.end(first, said("assistant", "Right"), chats)
    next_turn = asking(QUESTION, said("assistant", "Right"), said("user", "And?"))
    assert Conversation("Claude", next_turn, chats).chat is None


def test_what_others_answered_meanwhile_is_told_with_labels() -> None:
    """The chat has not heard it; without labels nobody would know who said it."""
    chats = memory()
    play(asking(QUESTION), chats, Text("Hi"), Done())
    new = (said("user", "And?"), said("assistant", "Well."), said("user", "So?"))
    turn = asking(QUESTION, said("assistant", "Hi"), *new)
    conversation = Conversation("Claude", turn, chats)
    rest = conversation.rest(turn)

    assert (new, True) == (rest.messages, rest.is_taught)
