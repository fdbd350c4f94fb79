"""What is sent for a conversation that is too long for one message."""

from __future__ import annotations

from itertools import pairwise
from math import inf

import pytest

from poe_proxy.chat import ChatRequest, Message, Role, TextPart
from poe_proxy.errors import ParameterRefused, PromptTooLong
from poe_proxy.upstreams.poe_web.attachments import Attachment
from poe_proxy.upstreams.poe_web.bots import Bot
from poe_proxy.upstreams.poe_web.graphql import MessageTooLong
from poe_proxy.upstreams.poe_web.long_prompts import FORMS, Drafts, Fitting, Form, LongPrompts
from poe_proxy.upstreams.poe_web.prompts import Prompt, RoleMode

BOT = Bot("GPT-4o", 60.0)
TEXT_ONLY = Bot("Text-Only", 60.0, takes_files=False)


def said(role: Role, *parts: str | TextPart) -> Message:
    return Message(
        role=role,
        content=tuple(TextPart(part) if isinstance(part, str) else part for part in parts),
    )


def result(text: str) -> TextPart:
    return TextPart(f'<tool_result name="read">\n{text}\n</tool_result>', "result")


#: A session of an agent as a bot is taught it: 3,000 characters of the client's instructions, 500
#: of how to call tools, a question, and two rounds with results of 1,000.
SESSION = (
    said("system", "i" * 3000, TextPart("t" * 500, "instruction")),
    said("user", "What is in the files?"),
    said("assistant", "I read one."),
    said("user", result("a" * 1000)),
    said("assistant", "I read another."),
    said("user", result("b" * 1000)),
)


def drafts(
    messages: tuple[Message, ...] = SESSION,
    policy: LongPrompts = LongPrompts.ATTACH,
    most: int = 0,
) -> Drafts:
    prompt = Prompt(RoleMode.OFF)
    chat = ChatRequest(model="m", messages=messages, is_taught=True)
    return Drafts(chat, prompt, Fitting(policy, most, prompt.transcript))


def file_of(form: Form) -> str:
    assert form.file is not None
    assert ("conversation.txt", "text/plain") == (form.file.name, form.file.kind)
    return form.file.data.decode()


def test_what_is_not_too_long_is_sent_as_it_is() -> None:
    """Poe names no limit, and nothing was refused."""
    form = drafts().fit(BOT, inf)

    assert form.file is None
    assert len(form.prompt) > 5500


def test_the_earlier_messages_go_first() -> None:
    """The message keeps all instructions and what is new; nothing is said twice."""
    form = drafts(most=5000).fit(BOT, inf)

    assert form.prompt.startswith(
        f"||>Instructions-\n{'i' * 3000}\n{'t' * 500}\n||>Instructions-\n"
    )
    assert "conversation.txt has the earlier messages, each" in form.prompt
    assert form.prompt.endswith(f"||>User-\n{result('b' * 1000).text}\n||>Assistant-\n")
    assert (
        "||>User-\nWhat is in the files?\n||>Assistant-\nI read one.\n"
        f"||>User-\n{result('a' * 1000).text}\n||>Assistant-\nI read another.\n"
    ) == file_of(form)


def test_how_to_call_tools_stays_longest_of_the_instructions() -> None:
    """The client's own go into the file; the message says that they are there."""
    form = drafts(most=2500).fit(BOT, inf)

    assert form.prompt.startswith(f"||>Instructions-\n{'t' * 500}\n||>Instructions-\nThis conv")
    assert "has instructions that hold for you, and the earlier messages, each" in form.prompt
    assert form.prompt.endswith(f"{'b' * 1000}\n</tool_result>\n||>Assistant-\n")
    assert file_of(form).startswith(f"||>Instructions-\n{'i' * 3000}\n||>User-\nWhat is")


def test_then_only_what_is_new_stays() -> None:
    """All instructions are in the file, in their order."""
    form = drafts(most=1700).fit(BOT, inf)

    assert form.prompt.startswith("||>Instructions-\nThis conversation is too long")
    assert form.prompt.endswith(f"{'b' * 1000}\n</tool_result>\n||>Assistant-\n")
    assert f"{'i' * 3000}\n{'t' * 500}\n||>User-" in file_of(form)


def test_in_the_end_all_of_it_is_in_the_file() -> None:
    """What is new is too long for a message by itself."""
    form = drafts(most=1000).fit(BOT, inf)

    assert form.prompt.startswith("||>User-\nWhat belongs here is too long for one message")
    assert file_of(form).endswith(f"||>User-\n{result('b' * 1000).text}\n")


def test_a_first_message_that_is_too_long_is_the_file() -> None:
    """There is nothing else that could go there, and no label where there was none."""
    form = drafts((said("user", "x" * 3000),), most=1000).fit(BOT, inf)

    assert "is too long for one message: all of it is in the attached file" in form.prompt
    assert f"||>User-\n{'x' * 3000}\n" == file_of(form)


def test_instructions_that_nobody_follows_up_are_the_file() -> None:
    """No part of them is what the bot should answer."""
    form = drafts((said("system", "i" * 3000),), most=1000).fit(BOT, inf)

    assert form.prompt.startswith("||>User-\nWhat belongs here is too long for one message")
    assert f"||>Instructions-\n{'i' * 3000}\n" == file_of(form)


def test_what_was_refused_before_is_not_tried_again() -> None:
    """A message of that length goes out with a file at once, and what stays is well below; a
    shorter one is sent as it is."""
    one = drafts()
    length = len(one.fit(BOT, inf).prompt)

    assert one.fit(BOT, length).file is not None
    assert one.fit(BOT, length + 1).file is None
    assert len(one.fit(BOT, 5000).prompt) <= 3750
    assert one.fit(BOT, 20_000).file is None


def test_each_refusal_makes_the_next_form_shorter() -> None:
    """Four forms at most; the last refusal is what the client gets."""
    one, lengths = drafts(), []
    while True:
        form = one.fit(BOT, inf)
        lengths.append(len(form.prompt))
        if not one.go_on(form, MessageTooLong("Too long.")):
            break

    assert FORMS == len(lengths)
    assert all(after <= 0.75 * before for before, after in pairwise(lengths))


def test_when_there_is_no_other_form_poe_s_refusal_is_what_counts() -> None:
    """In its own words, to a client that may shorten what it sends."""
    one, refusal = drafts(), MessageTooLong("Too long for me.")
    assert one.go_on(one.fit(TEXT_ONLY, inf), refusal)
    with pytest.raises(MessageTooLong) as raised:
        one.fit(TEXT_ONLY, inf)

    assert refusal is raised.value


def test_a_message_that_poe_took_is_not_sent_in_another_form() -> None:
    """Only what certainly was not acted on is."""
    one = drafts()

    assert not one.go_on(one.fit(BOT, inf), MessageTooLong("Too long.", was_taken=True))


def test_a_length_is_known_from_what_was_answered_in_the_end() -> None:
    """If no form is answered, those with a file may have been refused for the file."""
    one = drafts()
    assert one.too_long(is_answered=True) is None
    whole = one.fit(BOT, inf)
    one.go_on(whole, MessageTooLong("Too long."))
    shorter = one.fit(BOT, inf)
    one.go_on(shorter, MessageTooLong("Too long."))

    assert len(shorter.prompt) == one.too_long(is_answered=True)
    assert len(whole.prompt) == one.too_long(is_answered=False)


def test_what_was_refused_without_a_file_was_too_long_wherever_it_came() -> None:
    """A bot may refuse the whole, then a message with a file, then that file, and in the end what
    was shortened: that was too long by itself, and of what had a file nobody knows."""
    one, file = drafts(policy=LongPrompts.SHORTEN), Attachment("a.txt", "text/plain", b"a")
    one.go_on(Form("w" * 5000), MessageTooLong("Too long."))
    one.go_on(Form("f" * 900, file), MessageTooLong("Too long."))
    one.go_on(Form("f" * 600, file), ParameterRefused("No files."))
    assert 5000 == one.too_long(is_answered=False)
    one.go_on(Form("s" * 2500), MessageTooLong("Too long."))

    assert 2500 == one.too_long(is_answered=False)
    assert 900 == one.too_long(is_answered=True)


def test_a_bot_that_takes_no_file_gets_none() -> None:
    """As the site says, for its size, or as Poe's refusal of ours has shown."""
    small = Bot("Small", 60.0, file_limit=100)
    for bot in (TEXT_ONLY, small):
        with pytest.raises(PromptTooLong, match=r"5\d+ characters, and a message may have 5000 "):
            drafts(most=5000).fit(bot, inf)
    one = drafts(most=5000)
    refusal = ParameterRefused("No files.")
    assert one.go_on(one.fit(BOT, inf), refusal)
    with pytest.raises(PromptTooLong):
        one.fit(BOT, inf)


def test_what_is_refused_for_no_file_of_ours_is_refused() -> None:
    """There was none."""
    one = drafts()

    assert not one.go_on(one.fit(BOT, inf), ParameterRefused("No."))


def test_without_another_form_poe_decides() -> None:
    """It was another conversation that was refused: this one may be in shorter words."""
    assert drafts().fit(TEXT_ONLY, 5000).file is None
    assert drafts(policy=LongPrompts.REFUSE).fit(BOT, 5000).file is None


def test_a_conversation_may_be_refused_at_once() -> None:
    """LONG_PROMPTS=refuse never makes a file."""
    with pytest.raises(PromptTooLong):
        drafts(policy=LongPrompts.REFUSE, most=5000).fit(BOT, inf)


def test_the_oldest_results_are_shortened() -> None:
    """LONG_PROMPTS=shorten, for a bot without files: with a word that says so, and no more of
    them than need be; where files are taken, there is a file."""
    messages = (*SESSION[:4], said("assistant", "A"), *SESSION[3:])
    one = drafts(messages, LongPrompts.SHORTEN, most=6500)
    form = one.fit(TEXT_ONLY, inf)

    assert form.file is None
    assert len(form.prompt) <= 6500
    assert 1 == form.prompt.count(
        f'<tool_result name="read">\n{"a" * 200}\n[shortened by 800 characters; call the tool '
        "again if they are needed]\n</tool_result>\n"
    )
    assert 1 == form.prompt.count("a" * 1000)
    assert one.fit(BOT, inf).file is not None


def test_what_is_new_is_never_shortened() -> None:
    """The bot would only ask for it again."""
    with pytest.raises(PromptTooLong):
        drafts(policy=LongPrompts.SHORTEN, most=4500).fit(TEXT_ONLY, inf)
