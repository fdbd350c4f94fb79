"""What it costs to fit a conversation into a message: in proportion to its length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf
from typing import Any

import pytest

from poe_proxy.budget import Budget, OutOfBudget
from poe_proxy.chat import ChatRequest, Message, TextPart, ToolCall
from poe_proxy.upstreams.poe_web.bots import Bot

from ...steps import Counted, grows_linearly

COUNTED = Counted(
    "poe_proxy.shaping.tool_prompt",
    *(f"poe_proxy.upstreams.poe_web.{name}" for name in ("prompts", "long_prompts", "open_chats")),
)


def said(role: Any, *parts: TextPart, calls: Sequence[str] = ()) -> Message:
    tool_calls = tuple(ToolCall(f"call_{number}", "f", one) for number, one in enumerate(calls))
    return Message(role=role, content=parts, tool_calls=tool_calls)


ASKED, TOLD = said("user", TextPart("a")), said("assistant", TextPart("b"))
CALL = '<tool_call>\n{"name": "f", "arguments": {"a": "x", "b": false}}\n</tool_call>\n'
RESULT = TextPart("<tool_result>\n" + "c" * 900 + "\n</tool_result>", "result")

CONVERSATIONS: dict[str, Callable[[int], tuple[Message, ...]]] = {
    "turns": lambda n: (ASKED, TOLD) * n,
    "answers": lambda n: (TOLD,) * n,
    "instructions": lambda n: (said("system", TextPart("d", "instruction"), TextPart("e")),) * n,
    "results": lambda n: (*(said("user", RESULT), TOLD) * n, ASKED),
    "calls": lambda n: (said("assistant", TextPart(CALL * n)),) * 9,
    "long calls": lambda n: (said("assistant", TextPart(CALL.replace("x", "x" * 100 * n))),) * 9,
    "results of one message": lambda n: (said("user", *(RESULT,) * n), TOLD, ASKED),
}


@pytest.mark.parametrize("policy", ["attach", "shorten"])
@pytest.mark.parametrize("conversation", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_a_conversation_is_made_to_fit_in_a_few_looks(
    conversation: Callable[[int], tuple[Message, ...]], policy: str
) -> None:
    """Whatever it is made of, and whether it fits in the end."""
    bot = Bot("Bot", 60.0, takes_files=policy == "attach")
    prompts, module = COUNTED["prompts"], COUNTED["long_prompts"]

    def steps(number: int) -> int:
        messages = conversation(number)
        size = sum(len(one.text) for one in messages)
        fitting = module.Fitting(module.LongPrompts(policy), size // 2)

        def fit() -> None:
            chat = ChatRequest(model="m", messages=messages)
            drafts = module.Drafts(chat, prompts.Prompt(), fitting)
            with suppress(module.PromptTooLong):
                drafts.fit(bot, inf)

        return COUNTED.of(fit)

    assert grows_linearly(steps, 40) is None


@pytest.mark.parametrize("conversation", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_a_conversation_is_read_once_to_know_its_chat(
    conversation: Callable[[int], tuple[Message, ...]],
) -> None:
    """However often the bot has answered."""

    def steps(number: int) -> int:
        chat = ChatRequest(model="m", messages=conversation(number))
        return COUNTED.of(lambda: list(COUNTED["open_chats"].marks("bot", chat)))

    assert grows_linearly(steps, 40) is None


class Pausing(Budget):
    """A budget that counts the pauses for the others."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses = 0

    def pause(self) -> None:
        self.pauses += 1


@pytest.mark.parametrize("conversation", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_the_others_have_their_turn_at_each_message(
    conversation: Callable[[int], tuple[Message, ...]],
) -> None:
    """Whoever has written it."""
    budget, messages = Pausing(), conversation(40)
    list(
        COUNTED["open_chats"].marks("bot", ChatRequest(model="m", messages=messages, budget=budget))
    )

    assert len(messages) <= budget.pauses


def test_the_others_have_their_turn_at_each_result_that_is_shortened() -> None:
    """One message may have all of them."""
    budget, module = Pausing(), COUNTED["long_prompts"]
    messages = CONVERSATIONS["results of one message"](40)
    fitting = module.Fitting(module.LongPrompts.SHORTEN, 20_000)
    chat = ChatRequest(model="m", messages=messages, budget=budget)
    drafts = module.Drafts(chat, COUNTED["prompts"].Prompt(), fitting)
    form = drafts.fit(Bot("Bot", 60.0, takes_files=False), inf)

    assert "shortened by" in form.prompt
    assert 40 <= budget.pauses


class Spent(Budget):
    """A budget of which nothing is left."""

    def breathe(self, shared: float = 0.0) -> None:
        raise OutOfBudget


@pytest.mark.parametrize("policy", ["attach", "shorten"])
@pytest.mark.parametrize("conversation", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_a_request_that_has_cost_enough_is_sent_all_the_same(
    conversation: Callable[[int], tuple[Message, ...]], policy: str
) -> None:
    """As another one would be, in one message or made to fit: the bot was not asked yet."""
    prompts, module, chats = COUNTED["prompts"], COUNTED["long_prompts"], COUNTED["open_chats"]
    messages = conversation(40)
    room = sum(len(one.text) for one in messages) // 2

    def sent(budget: Budget) -> Any:
        chat = ChatRequest(model="m", messages=messages, budget=budget)
        prompt = prompts.Prompt(prompts.RoleMode.ON)
        drafts = module.Drafts(chat, prompt, module.Fitting(module.LongPrompts(policy), room))
        with suppress(module.PromptTooLong):
            return drafts.fit(Bot("Bot", 60.0, takes_files=policy == "attach"), inf)

    def known(budget: Budget) -> Any:
        chat = ChatRequest(model="m", messages=messages, budget=budget)
        answer = chats.answered("", said("assistant", calls=["{}"]), budget.pause)
        return list(chats.marks("bot", chat)), answer

    assert sent(Budget()) == sent(Spent())
    assert known(Budget()) == known(Spent())


ANSWERS: dict[str, Callable[[int], Message]] = {
    "a large call": lambda n: said("assistant", calls=[f'{{"text": "{"<tool_" * 5000 * n}"}}']),
    "many calls": lambda n: said("assistant", calls=["{}"] * 40 * n),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_read_once_and_in_parts(answer: Callable[[int], Message]) -> None:
    """A call may be as large as an answer, and an answer may have many."""
    pauses: list[int] = []

    def steps(number: int) -> int:
        budget = Pausing()
        found = COUNTED.of(lambda: COUNTED["open_chats"].answered("", answer(number), budget.pause))
        pauses.append(budget.pauses)
        return found

    assert grows_linearly(steps, 10) is None
    assert 2 * pauses[0] < pauses[1]
