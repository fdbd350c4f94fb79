"""Asking, judging, correcting, asking once more: with a judge who wants one word to be said."""

from __future__ import annotations

from collections.abc import Generator, Iterable

import pytest

from poe_proxy.chat import (
    ChatRequest,
    Done,
    Idle,
    ImagePart,
    Message,
    Reasoning,
    ReplyEvent,
    Role,
    Text,
    TextPart,
    ToolCallPart,
    Usage,
)
from poe_proxy.errors import AnswerUnusable, UpstreamTimeout
from poe_proxy.shaping.reask import (
    Objection,
    UsageTotal,
    corrected,
    instructed,
    judged,
    reask,
)

from ..fakes import FakeUpstream, ask, log_lines
from .support import stream, through


class Judge:
    """Lets text pass, objects to the word "no" at once, and at the end if "yes" is missing."""

    def __init__(self) -> None:
        self.objection: Objection | None = None
        self._text = ""

    def feed(self, event: ReplyEvent) -> Iterable[ReplyEvent]:
        match event:
            case Text(text):
                self._text += text
                if "no" in self._text:
                    self.objection = Objection("it said no", self._text, "Do not say no.")
                    return Text("(no)"), Done()
            case Done():
                if "yes" not in self._text:
                    self.objection = Objection("there was no yes", self._text, "Say yes.")
        return (event,)


def unusable(objection: Objection) -> AnswerUnusable:
    return AnswerUnusable(f"Twice: {objection.reason}.", code="no_yes")


def replying(bot: FakeUpstream) -> Generator[ReplyEvent, None, None]:
    return reask(lambda one: bot.reply(one, "bot"), ask(), Judge, unusable)


def prompts(bot: FakeUpstream) -> list[list[tuple[str, str]]]:
    return [[(one.role, one.text) for one in chat.messages] for chat, _ in bot.asked]


def test_an_answer_without_an_objection_passes() -> None:
    """It is asked for once."""
    bot = FakeUpstream([Text("yes"), Done("length")])

    assert [Text("yes"), Done("length")] == list(replying(bot))
    assert [[("user", "Hello!")]] == prompts(bot)


def test_a_wrong_answer_is_corrected_and_asked_for_once_more() -> None:
    """The bot reads its answer and what is wrong; what the judge let pass stays, and does not wait
    for what comes of the second."""
    bot = FakeUpstream([Reasoning("Hm."), Text("well"), Done()], [Text("yes"), Done()])

    assert [Reasoning("Hm."), Text("well"), Idle(), Text("yes"), Done()] == list(replying(bot))
    assert [
        [("user", "Hello!")],
        [("user", "Hello!"), ("assistant", "well"), ("user", "Say yes.")],
    ] == prompts(bot)
    assert (0, 0) == (bot.open, bot.hung_up)


def test_a_bot_is_stopped_as_soon_as_its_answer_cannot_be_used() -> None:
    """What the judge let pass of the same event comes, the rest is not waited for."""
    bot = FakeUpstream([Text("no"), Text(" and more"), Done()], [Text("yes"), Done()])

    assert [Text("(no)"), Idle(), Text("yes"), Done()] == list(replying(bot))
    assert (0, 1) == (bot.open, bot.hung_up)


def test_the_first_reply_is_over_before_the_second_is_asked_for() -> None:
    """An account that answers one request at a time can serve both."""
    bot = FakeUpstream([Text("no"), Text(" and more"), Done()], [Text("yes"), Done()])
    open_then = []

    def listening(one: ChatRequest) -> Generator[ReplyEvent, None, None]:
        open_then.append((bot.open, bot.hung_up))
        return bot.reply(one, "bot")

    list(reask(listening, ask(), Judge, unusable))

    assert [(0, 0), (0, 1)] == open_then


def test_two_wrong_answers_are_an_error() -> None:
    """The reason of the second objection is named; a third answer is not asked for."""
    bot = FakeUpstream([Text("well"), Done()], [Text("no"), Done()])

    with pytest.raises(AnswerUnusable, match=r"^Twice: it said no\.$"):
        list(replying(bot))
    assert 2 == len(bot.asked)


def test_a_second_try_is_logged_with_its_reason() -> None:
    """One line; nothing of the conversation is in it."""
    with log_lines() as lines:
        list(replying(FakeUpstream([Text("well"), Done()], [Text("yes"), Done()])))

    assert "there was no yes" in lines.getvalue()
    assert "well" not in lines.getvalue()
    assert 1 == len(lines.getvalue().splitlines())


def test_both_tries_are_counted() -> None:
    """Both were paid for: one sum comes before the end, and in the place of the others `Idle`."""
    bot = FakeUpstream(
        [Text("well"), Usage(10, 2, {"a": 1}), Done()],
        [Text("yes"), Usage(20, 3, {"a": 2}, 24), Done()],
    )

    assert [
        Text("well"), Idle(), Text("yes"), Idle(), Usage(30, 5, {"a": 2}, 36), Done(),
    ] == list(replying(bot))  # fmt: skip


def test_a_reply_that_breaks_off_is_not_asked_for_again() -> None:
    """Without an end there is nothing to judge."""
    bot = FakeUpstream([Text("well")])

    assert [Text("well")] == list(replying(bot))
    assert 1 == len(bot.asked)


def test_a_failure_of_the_upstream_passes() -> None:
    """It is the upstream's own failure that the caller sees, and there is no second try."""
    bot = FakeUpstream([Text("well"), UpstreamTimeout("too slow")])

    with pytest.raises(UpstreamTimeout):
        list(replying(bot))
    assert 1 == len(bot.asked)


@pytest.mark.parametrize(("number", "hung_up"), [(1, 1), (2, 1), (4, 1)])
def test_hanging_up_closes_the_reply_that_is_open(number: int, hung_up: int) -> None:
    """The first one or the second."""
    bot = FakeUpstream(
        [Text("well"), Text("so"), Done()], [Text("yes"), Text("yes"), Text("yes"), Done()]
    )
    events = replying(bot)
    for _ in range(number):
        next(events)

    events.close()

    assert (0, hung_up) == (bot.open, bot.hung_up)


def test_a_verdict_needs_no_second_try() -> None:
    """What is done about the objection is for the caller to say."""
    objections = []

    def listening() -> Generator[ReplyEvent, None, None]:
        events = stream([Text("well"), Usage(1, 1), Done()])
        objections.append((yield from judged(events, Judge(), chat=ask())))

    assert [Text("well"), Usage(1, 1), Idle()] == list(listening())
    assert [Objection("there was no yes", "well", "Say yes.")] == objections


# ---- usage


@pytest.mark.parametrize(
    ("events", "total"),
    [
        ([Done()], [Done()]),
        ([Usage(1, 2), Usage(3, 4, {"a": 1}, 9), Done()], [Usage(3, 4, {"a": 1}, 9), Done()]),
        ([Usage(1, 2), Text("a"), Done()], [Text("a"), Usage(1, 2), Done()]),
    ],
)
def test_of_one_try_the_last_figures_hold(
    events: list[ReplyEvent], total: list[ReplyEvent]
) -> None:
    """They come before the end, and unchanged."""
    assert total == [one for one in through(events, UsageTotal()) if one != Idle()]


@pytest.mark.parametrize(
    ("first", "second", "total"),
    [
        ([Usage(1, 2)], [], Usage(1, 2)),
        ([], [Usage(1, 2)], Usage(1, 2)),
        ([Usage(1, 2)], [Usage(3, 4)], Usage(4, 6, {}, 10)),
        ([Usage(1, 2, {"a": 1}, 5)], [Usage(3, 4, {"a": 2})], Usage(4, 6, {"a": 2}, 12)),
    ],
)
def test_the_figures_of_several_tries_are_summed(
    first: list[ReplyEvent], second: list[ReplyEvent], total: Usage
) -> None:
    """The details are those of the last try; a total of Poe's own is taken at its word."""
    usage = UsageTotal()
    through([*first, Done()], usage)

    assert [total, Done()] == [one for one in through([*second, Done()], usage) if one != Idle()]


# ---- messages


@pytest.mark.parametrize("role", ["system", "developer"])
def test_an_instruction_goes_to_the_system_message_that_is_there(role: Role) -> None:
    """To its end, behind its other parts; what is not text stays."""
    picture = ImagePart("https://example.com/a.png")
    hello = Message(role="user", content=(TextPart("Hello!"),))
    system = Message(role=role, content=(TextPart("Be brief."), picture))

    first, second = instructed((system, hello), "Be kind.")

    assert (role, "Be brief.\n\nBe kind.") == (first.role, first.text)
    assert picture in first.content
    assert hello == second


def test_an_instruction_may_be_the_first_message() -> None:
    """Where there is no system message, it is one."""
    hello = Message(role="user", content=(TextPart("Hello!"),))

    first, second = instructed((hello,), "Be kind.")

    assert ("system", "Be kind.") == (first.role, first.text)
    assert hello == second


@pytest.mark.parametrize(("wrong", "number"), [("well", 2), (" \n", 1), ("", 1)])
def test_a_correction_follows_the_answer(wrong: str, number: int) -> None:
    """An answer of nothing is not repeated: Poe takes no empty message."""
    messages = corrected((), wrong, "Say yes.")

    assert number == len(messages)
    assert ("user", "Say yes.") == (messages[-1].role, messages[-1].text)


def test_calls_are_for_the_judge_to_read() -> None:
    """What is no text passes through the judge like the rest."""
    call = ToolCallPart(0, "call_1", "f", "{}")
    bot = FakeUpstream([call, Text("yes"), Done()])

    assert [call, Text("yes"), Done()] == list(replying(bot))
