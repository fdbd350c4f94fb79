"""Which stages a request needs, for a bot with these abilities."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from functools import partial

from poe_proxy.chat import ChatRequest, Idle, ReplyEvent
from poe_proxy.errors import BotNotFound
from poe_proxy.shaping.json_answers import json_reply
from poe_proxy.shaping.native_tools import native_reply
from poe_proxy.shaping.pipeline import Ask, Stage, run
from poe_proxy.shaping.tokenizer import count_text
from poe_proxy.shaping.tools import has_tools, taught_reply
from poe_proxy.shaping.truncation import Length, OneCall, StopWords


def reply(
    ask: Ask, chat: ChatRequest, *, tools: bool, length: bool, messages: bool = False
) -> Generator[ReplyEvent, None, None]:
    """Return the reply to *chat* in its final shape, whatever the bot can do.

    *ask* asks the bot, and may be called twice. *tools*: the bot takes tools and makes calls.
    *length*: its answer ends at `max_tokens`. What the bot does not do is done here: tools and
    JSON are taught in the prompt, and the answer is truncated at stop words and lengths. Where
    there is nothing to do, the reply is what *ask* returns, with no generator in between.
    *messages*: it takes requests of Anthropic's Messages API as they are; nothing is left to do.

    Lengths apply to what the bot writes. Stop words apply to what the client reads, not to the
    form in which a bot was taught to write it.

    The generator raises `InvalidRequest` for invalid tools and schemas, and `AnswerUnusable` for
    a bot that twice does not answer in the form that was asked for.
    """
    if chat.as_messages is not None:
        plain = replace(chat, as_messages=None)
        otherwise = partial(reply, ask, plain, tools=tools, length=length)
        return _passed_on(ask, chat, otherwise) if messages else otherwise()

    def within_limits(asked: ChatRequest) -> Generator[ReplyEvent, None, None]:
        stages: list[Stage] = []
        if asked.parallel_tool_calls is False:
            stages.append(OneCall())
        if asked.max_tokens is not None and not length:
            stages.append(Length(asked.max_tokens, count_text))
        if not stages:
            return ask(asked)
        return run(ask(asked), *stages, budget=chat.budget, listener=chat.listener)

    answer: Ask = within_limits
    if has_tools(chat):
        answer = partial(native_reply if tools else taught_reply, answer)
    if chat.json is not None:
        answer = partial(json_reply, answer, wanted=chat.json)
    events = answer(chat)
    if not chat.stop:
        return events
    return run(events, StopWords(chat.stop), budget=chat.budget, listener=chat.listener)


def _passed_on(
    ask: Ask, chat: ChatRequest, otherwise: Callable[[], Generator[ReplyEvent, None, None]]
) -> Generator[ReplyEvent, None, None]:
    """Yield the answer to a request that is passed on as it is, or else what *otherwise* returns:
    Poe's route for such requests may not lead to a bot that the other one knows."""
    has_spoken = False
    try:
        with closing(ask(chat)) as events:
            for event in events:
                has_spoken = has_spoken or not isinstance(event, Idle)
                yield event
        return
    except BotNotFound:
        # An error within an answer may look like this; what was said cannot be said again.
        if has_spoken:
            raise
    yield from otherwise()
