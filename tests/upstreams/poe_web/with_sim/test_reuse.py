"""The next turn of a conversation goes on in the chat of the last one (REUSE_CHATS=1)."""

from __future__ import annotations

from math import inf
from typing import Any

from poe_proxy import errors
from poe_proxy.chat import ChatRequest, Idle, Kept, Message, Role, Text, TextPart
from poe_proxy.upstreams.poe_web.account import PoeWeb
from poe_proxy.upstreams.poe_web.bots import Bot
from poe_proxy.upstreams.poe_web.lengths import Lengths
from poe_proxy.upstreams.poe_web.open_chats import HOLDS, OpenChat
from poe_proxy.upstreams.poe_web.prompts import Prompt, RoleMode
from poe_proxy.upstreams.poe_web.sending import SEND, Outgoing

from ....fakes import Clock, at_once, until
from .accounts import Account, Reply, ask

RULES = "r" * 500


def said(role: Role, text: str) -> Message:
    return Message(role=role, content=(TextPart(text),))


class Session:
    """A client that sends all of its conversation at each turn."""

    def __init__(self, *webs: PoeWeb) -> None:
        self.webs = webs
        self.messages = [said("system", RULES)]

    def ask(self, text: str, number: int = 0, bot: str = "Assistant") -> Reply:
        """Ask with the account of this *number*, and keep the answer."""
        web = self.webs[number]
        request = self.request(text)
        reply = ask(web, request, bot)
        if reply.failure is None:
            answer = said("assistant", reply.text)
            web.answered(request, answer)
            self.messages.append(answer)
        return reply

    def request(self, text: str) -> ChatRequest:
        self.messages.append(said("user", text))
        return ChatRequest(model="m", messages=tuple(self.messages), kept=Kept())


def web_of(account: Account, **options: Any) -> PoeWeb:
    return account.web(reuse_chats=True, to_prompt=Prompt(RoleMode.AUTO), **options)


def chats(account: Account) -> list[int]:
    """The chat of each send, the first as 0, the second as 1."""
    numbers = [entry["chatId"] for entry in account.sends()]
    return [list(dict.fromkeys(numbers)).index(number) for number in numbers]


def deleted(account: Account) -> list[Any]:
    return account.journal(event="chat-deleted")


def test_only_what_is_new_is_sent(account: Account) -> None:
    """In the same chat, turn for turn, and the answer is the new one only."""
    session = Session(web_of(account))
    replies = [session.ask(f"!echo Number {number}") for number in range(4)]

    assert [0, 0, 0, 0] == chats(account)
    assert [f"{RULES}\nNumber 0", "Number 1", "Number 2", "Number 3"] == [
        reply.text for reply in replies
    ]
    assert all(reply.is_whole for reply in replies)


def test_without_the_setting_each_turn_has_a_new_chat(account: Account) -> None:
    """And all of the conversation."""
    session = Session(account.web(to_prompt=Prompt(RoleMode.AUTO)))
    for number in range(2):
        session.ask(f"!echo Number {number}")

    assert [0, 1] == chats(account)
    assert RULES in session.messages[-1].text


def test_a_conversation_that_was_edited_begins_anew(account: Account) -> None:
    """Another word of the bot, or of anybody before: the chat does not have that."""
    session = Session(web_of(account))
    session.ask("!echo one")
    session.messages[-1] = said("assistant", "Something else.")
    reply = session.ask("!echo two")

    assert [0, 1] == chats(account)
    assert "Something else." in reply.text


def test_a_second_answer_to_the_same_words_begins_anew(account: Account) -> None:
    """The chat went on with the first answer."""
    session = Session(web_of(account))
    session.ask("!echo one")
    session.ask("!echo two")
    del session.messages[-2:]
    session.ask("!echo two")

    assert [0, 0, 1] == chats(account)


def test_a_chat_that_was_deleted_is_not_written_to(account: Account) -> None:
    """All of the conversation goes into a new one; nothing is sent twice."""
    session = Session(web := web_of(account))
    session.ask("!echo one")
    (send,) = account.sends()
    web._session.call("useDeleteChat_deleteChat_Mutation", {"chatId": send["chatId"]})
    reply = session.ask("!echo two")

    assert reply.text.startswith(f"||>Instructions-\n{RULES}\n||>User-\none\n||>Assistant-\n")
    assert [0, 1] == chats(account)


def test_a_chat_in_which_somebody_else_has_written_is_left_alone(account: Account) -> None:
    """A chat that its owner goes on with in the browser is not ours any more, and stays."""
    session = Session(web := web_of(account, delete_chats=True))
    session.ask("!echo one")
    (send,) = account.sends()
    by_hand = Outgoing(Bot("Assistant", 60.0), "!echo hi", "", chat=OpenChat(send["chatId"], 0))
    web._session.call("sendMessageMutation", by_hand.variables(), reading=False)
    until(lambda: len(account.journal(event="reply-end")) == 2)
    session.ask("!echo two")
    web.close()

    assert [0, 0, 1] == chats(account)
    assert [account.sends()[2]["chatId"]] == [entry["chatId"] for entry in deleted(account)]


def test_an_answer_that_was_cut_ends_the_chat(account: Account) -> None:
    """The bot was stopped: what the client has is not what the chat has."""
    web = web_of(account)
    request = ChatRequest(model="m", messages=(said("user", "!chunks=7 !delay=0.2 !echo a b c d"),))
    events = web.reply(request, "Assistant", at_once)
    first = next(event for event in events if isinstance(event, Text))
    events.close()
    again = (*request.messages, said("assistant", first.text), said("user", "!echo well?"))
    ask(web, ChatRequest(model="m", messages=again))

    assert [0, 1] == chats(account)


def test_accounts_take_turns_and_each_goes_on_where_it_was(account: Account) -> None:
    """A chat gets what came since its last turn, with the names of the speakers."""
    one, other = web_of(account), web_of(account)
    session = Session(one, other)
    session.ask("!echo one", 0)
    session.ask("!echo two", 1)
    reply = session.ask("!echo three", 0)

    assert [0, 1, 0] == chats(account)
    assert RULES not in reply.text.partition("||>User-\ntwo")[0]
    assert reply.text.startswith("||>User-\n")
    assert reply.text.endswith("||>User-\nthree\n||>Assistant-\n")


def test_a_turn_that_poe_refuses_leaves_the_chat_as_it_was(account: Account) -> None:
    """The client tries again, and the chat goes on."""
    session = Session(web_of(account))
    session.ask("!echo one")
    refused = session.ask("!status=rate_limit_exceeded !echo two")
    assert isinstance(refused.failure, errors.TokenLimited)
    session.messages.pop()
    session.ask("!echo two")

    assert [0, 0] == [n for n, e in zip(chats(account), account.sends(), strict=True)
                      if "sendStatus" not in e]  # fmt: skip


def test_a_chat_that_is_full_is_left_for_a_new_one(account: Account) -> None:
    """Poe may measure all of a chat: the whole conversation goes into a new one, and how long the
    new message was says nothing. The old chat ends."""
    lengths = Lengths()
    session = Session(web_of(account, lengths=lengths, delete_chats=True))
    session.ask("!echo one")
    reply = session.ask("!full-chat !echo two")
    session.ask("!echo three")

    assert reply.is_whole
    assert reply.text.startswith(f"||>Instructions-\n{RULES}\n||>User-\none\n||>Assistant-\n")
    assert [None, "too_many_tokens", None, None] == [
        entry.get("sendStatus") for entry in account.sends()
    ]
    assert [0, 0, 1, 1] == chats(account)
    assert inf == lengths.refused_by("Assistant")
    until(lambda: deleted(account))
    assert [account.sends()[0]["chatId"]] == [entry["chatId"] for entry in deleted(account)]


def test_a_bot_for_which_a_chat_is_too_long_teaches_no_length(account: Account) -> None:
    """Poe took the message, so nothing is sent again; the client's next try has a new chat."""
    lengths = Lengths()
    session = Session(web_of(account, lengths=lengths))
    session.ask("!echo one")
    refused = session.ask("!state=error_user_message_too_long !times=1 !echo two")
    session.messages.pop()
    session.ask("!echo two")

    assert isinstance(refused.failure, errors.PromptTooLong)
    assert [0, 0, 1] == chats(account)
    assert inf == lengths.refused_by("Assistant")


def test_what_is_too_long_in_a_new_chat_too_is_so_by_itself(account: Account) -> None:
    """It is begun anew once, and sent in another form there; that length is remembered."""
    lengths = Lengths()
    session = Session(web_of(account, lengths=lengths))
    session.ask("!echo one", bot="Sim-Short-Memory")
    reply = session.ask(f"!read {'x' * 3000}", bot="Sim-Short-Memory")

    assert reply.is_whole
    assert "conversation.txt" in reply.text
    assert [None, "too_many_tokens", "too_many_tokens", None] == [
        entry.get("sendStatus") for entry in account.sends()
    ]
    assert 3500 < lengths.refused_by("Sim-Short-Memory") < inf


def test_late_words_of_the_last_turn_are_not_the_answer(account: Account) -> None:
    """Poe repeats the end of a reply, perhaps when the next one has begun."""
    session = Session(web_of(account))
    session.ask("!echo one")
    for words in ("!late-frames", "!late-frames !no-human !early=0.3"):
        assert "two" == session.ask(f"{words} !echo two").text

    assert [0, 0, 0] == chats(account)


def test_a_message_in_doubt_is_found_in_its_chat(account: Account) -> None:
    """Poe took it and answered with an error: the reply is read, and nothing is sent twice."""
    session = Session(web_of(account))
    session.ask("!echo one")
    reply = session.ask("!reset-after-accept !no-human !echo two")

    assert "two" == reply.text
    assert 2 == len(account.sends())


def test_chats_that_go_on_are_deleted_at_the_end(account: Account) -> None:
    """With DELETE_CHATS a chat is deleted when it cannot go on any more, or at a stop."""
    web = web_of(account, delete_chats=True)
    session = Session(web)
    session.ask("!echo one")
    session.ask("!echo two")
    assert [] == deleted(account)

    web.close()
    assert 1 == len(deleted(account))


def test_an_idle_account_deletes_the_chats_that_are_too_old(account: Account) -> None:
    """With DELETE_CHATS, as long as its websocket is open: nobody has to ask it anything."""
    clock = Clock()
    session = Session(web_of(account, delete_chats=True, clock=clock))
    session.ask("!echo one")
    clock.go(HOLDS)
    until(lambda: deleted(account))

    assert [account.sends()[0]["chatId"]] == [entry["chatId"] for entry in deleted(account)]


def test_a_chat_whose_turn_was_hung_up_before_it_was_refused_is_deleted(account: Account) -> None:
    """Nobody can tell what becomes of the message when the client hangs up, so the chat ends then;
    with DELETE_CHATS it is deleted though Poe refuses the message later."""
    web = web_of(account, delete_chats=True)
    session = Session(web)
    session.ask("!echo one")
    account.sim.control(
        fail={"query_name": SEND, "account": account.label, "times": 1, "with": {"slow": 2}}
    )
    request = session.request("!status=rate_limit_exceeded !echo two")
    events = web.reply(request, "Assistant", at_once)
    until(lambda: next(events) == Idle() and len(account.sends()) == 2)
    events.close()
    until(lambda: deleted(account))

    assert "sendStatus" in account.sends()[1]


def test_a_turn_that_fails_ends_the_chat(account: Account) -> None:
    """With DELETE_CHATS it is deleted then; the client's next try has a new one."""
    web = web_of(account, delete_chats=True)
    session = Session(web)
    session.ask("!echo one")
    assert session.ask("!state=error_of_some_kind !echo two").failure is not None
    until(lambda: deleted(account))
    session.messages.pop()
    session.ask("!echo two")

    assert [0, 0, 1] == chats(account)
