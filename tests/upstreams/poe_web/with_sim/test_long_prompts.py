"""Conversations that are too long for one message of a bot, which reads 2,000 characters."""

from __future__ import annotations

from poe_proxy import errors
from poe_proxy.chat import ChatRequest, FilePart, Message, TextPart
from poe_proxy.upstreams.poe_web.account import PoeWeb
from poe_proxy.upstreams.poe_web.lengths import Lengths
from poe_proxy.upstreams.poe_web.long_prompts import Fitting, LongPrompts
from poe_proxy.upstreams.poe_web.prompts import Prompt, RoleMode

from .accounts import TEXT_URI, Account, ask, chat, failure_of


def session(new: str, old: str = "x" * 3000) -> ChatRequest:
    """A conversation whose first question is long."""
    messages = (("user", old), ("assistant", "I see."), ("user", new))
    return ChatRequest(
        model="m",
        messages=tuple(Message(role=role, content=(TextPart(text),)) for role, text in messages),
    )


def web_of(account: Account, policy: LongPrompts = LongPrompts.ATTACH, most: int = 0) -> PoeWeb:
    prompt = Prompt(RoleMode.ON)
    return account.web(to_prompt=prompt, fitting=Fitting(policy, most, prompt.transcript))


def fates(account: Account) -> list[str]:
    return [entry.get("sendStatus", "success") for entry in account.sends()]


def test_what_poe_refuses_as_too_long_goes_along_as_a_file(account: Account) -> None:
    """The refusal is certain, so it is sent once more, with a permit of its own: the earlier
    messages as a file, and the newest as it is. The next turn begins with that."""
    web = web_of(account)
    reply = ask(web, session("!echo well?"), "Sim-Short-Memory")
    read = ask(web, session("!read and now?"), "Sim-Short-Memory")

    assert reply.text.endswith("||>User-\nwell?\n||>Assistant-\n")
    assert "The attached file conversation.txt has the earlier messages" in reply.text
    assert f"||>User-\n{'x' * 3000}\n||>Assistant-\nI see." == read.text.rstrip()
    assert ["too_many_tokens", "success", "success"] == fates(account)
    assert max(entry["promptLength"] for entry in account.sends()[1:]) < 1000


def test_a_length_of_one_s_own_needs_no_refusal(account: Account) -> None:
    """With MAX_PROMPT_CHARS the file goes along at the first try."""
    reply = ask(web_of(account, most=2000), session("!read"))

    assert "x" * 3000 in reply.text
    assert ["success"] == fates(account)


def test_a_bot_without_files_refuses_what_is_too_long(account: Account) -> None:
    """With Poe's own words, and after one try."""
    raised = failure_of(web_of(account), session("hello"), "Sim-Short-Text-Only")

    assert isinstance(raised, errors.PromptTooLong)
    assert "Your message is too long for this bot." == raised.message
    assert ["too_many_tokens"] == fates(account)


def test_with_refuse_nothing_is_sent_in_another_form(account: Account) -> None:
    """LONG_PROMPTS=refuse is what was before."""
    web = web_of(account, LongPrompts.REFUSE)
    raised = failure_of(web, session("hello"), "Sim-Short-Memory")

    assert isinstance(raised, errors.PromptTooLong)
    assert ["too_many_tokens"] == fates(account)


def test_a_message_that_poe_took_is_not_sent_again(account: Account) -> None:
    """Its bot says that it is too long; but it is in its chat. All accounts know the length from
    then on, and the client that tries again is answered."""
    lengths, prompt = Lengths(), Prompt(RoleMode.ON)
    first, second = (account.web(to_prompt=prompt, lengths=lengths) for _ in range(2))
    long = session("!state=error_user_message_too_long !times=1 hello")
    raised = failure_of(first, long)
    assert isinstance(raised, errors.PromptTooLong)
    assert ["success"] == fates(account)

    reply = ask(second, session("!read", "x" * 3100))
    assert "x" * 3100 in reply.text


def test_a_file_that_is_refused_is_not_the_client_s_mistake(account: Account) -> None:
    """It had sent none: what it hears is that the conversation is too long."""
    web = web_of(account, most=2000)
    raised = failure_of(web, session("!status=unsupported_file_type hello"))

    assert isinstance(raised, errors.PromptTooLong)
    assert "MAX_PROMPT_CHARS" in raised.message
    assert ["unsupported_file_type"] == fates(account)


def test_files_of_the_client_s_own_say_nothing_of_a_length(account: Account) -> None:
    """Perhaps it was the file that was too long: the refusal is the client's, and nothing is
    learnt from it."""
    lengths = Lengths()
    request = chat("x" * 3000, FilePart(TEXT_URI, "notes.txt"))
    raised = failure_of(account.web(lengths=lengths), request, "Sim-Short-Memory")

    assert isinstance(raised, errors.PromptTooLong)
    assert lengths.refused_by("Sim-Short-Memory") > 3000
