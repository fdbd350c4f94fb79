"""Tools that are taught in the prompt: to a bot that has none, or does not heed the choice.

To the upstream, taught tools are mere text: `tool_prompt` writes what the bot reads, `tool_calls`
parses what it writes. A call that names no tool or does not fit the tool's schema is sent back to
the bot once, with what is wrong about it, unless it is evident what was meant. What is unclear
then stays text, for it may never have been meant as a call: a bot may write of calls, too.
"""

from __future__ import annotations

import logging
import secrets
from collections import Counter, deque
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from poe_proxy.budget import Budget, OutOfBudget
from poe_proxy.chat import (
    ChatRequest,
    Done,
    Message,
    Refusal,
    Replaced,
    ReplyEvent,
    Text,
    Tool,
    ToolCallPart,
    ToolChoice,
)
from poe_proxy.errors import AnswerUnusable, InvalidRequest, RequestTooCostly
from poe_proxy.shaping import schemas, tool_prompt
from poe_proxy.shaping.coercion import coerced
from poe_proxy.shaping.loose_json import write
from poe_proxy.shaping.pipeline import SLICE, Ask
from poe_proxy.shaping.reask import Objection, instructed, reask
from poe_proxy.shaping.schemas import Schema, Violation
from poe_proxy.shaping.tool_calls import CallParser, RawCall, name_and_arguments

log = logging.getLogger(__name__)

#: The most calls of a bot that is taught; its reply ends with the last of them.
MAX_CALLS: Final = 1_000


def has_tools(chat: ChatRequest) -> bool:
    """Whether *chat* involves tools, if only in its past messages."""
    return (
        bool(chat.tools)
        or chat.tool_choice is not None
        or chat.parallel_tool_calls is not None
        or tool_prompt.has_calls(chat.messages)
    )


def taught_reply(ask: Ask, chat: ChatRequest) -> Generator[ReplyEvent, None, None]:
    """Yield the reply to *chat*, with one `ToolCallPart` for each call in the bot's text.

    A call is passed on as soon as it is complete and checked. Stop words are not sent to a bot
    that is taught: within a call they mean nothing.

    A call that will not do is asked for once more. In the second answer, the valid calls are
    passed on as calls, wherever they stand, and the others as text. If it has none but such as
    will not do, all of it is text, as the bot wrote it, and the reply ends with `stop`; or with
    `tool_calls` if the first answer had a valid one.

    Raises `InvalidRequest` for an invalid tool or choice, and for a conversation that cannot be
    told within the budget, and `AnswerUnusable` with the code `tool_call_invalid` for a bot that
    twice makes no valid call though the choice demands one.
    """
    rules = _Rules.of(chat)
    taught = replace(chat, tools=(), tool_choice=None, parallel_tool_calls=None)
    if not rules.tools and not tool_prompt.has_calls(chat.messages):
        yield from ask(taught)
        return
    messages = _instructed(chat, rules)
    passed = _Passed()
    yield from reask(
        ask,
        replace(taught, messages=messages, stop=(), is_taught=True),
        lambda: _CallJudge(rules, passed),
        _unusable,
    )


def _instructed(chat: ChatRequest, rules: _Rules) -> tuple[Message, ...]:
    breathe = chat.budget.breathe
    try:
        with chat.budget.work("telling tools and past calls"):
            instruction = tool_prompt.instruction(
                rules.tools, required=rules.is_call_required, single=rules.single, breathe=breathe
            )
            told = tuple(tool_prompt.as_text(chat.messages, breathe))
    except OutOfBudget:
        raise RequestTooCostly(
            "It takes too long to tell the bot of its tools and past calls.", param="messages"
        ) from None
    return instructed(told, instruction)


def _unusable(objection: Objection) -> AnswerUnusable:
    return AnswerUnusable(
        f"The model did not call a tool as it should, even on the second try: {objection.reason}.",
        code="tool_call_invalid",
    )


# ---- what the client wants


@dataclass(frozen=True, slots=True)
class _Call:
    """A valid call."""

    name: str
    arguments: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Rules:
    """The tools of a request, and how they may be called."""

    #: Those that may be called.
    tools: tuple[Tool, ...]
    schemas: Mapping[str, Schema]
    choice: ToolChoice
    #: Whether there may be no more than one call.
    single: bool
    budget: Budget = field(repr=False)

    @classmethod
    def of(cls, chat: ChatRequest) -> _Rules:
        """Read them from *chat*. Raises `InvalidRequest`."""
        given = [(schemas.of_arguments(tool.schema), tool.path) for tool in chat.tools]
        found = schemas.read(given, chat.budget)
        known = {tool.name: schema for tool, schema in zip(chat.tools, found, strict=True)}
        choice = chat.tool_choice or ToolChoice(mode="auto")
        names = _chosen(choice, list(known))
        return cls(
            tools=tuple(tool for tool in chat.tools if tool.name in names),
            schemas={name: known[name] for name in names},
            choice=choice,
            single=chat.parallel_tool_calls is False,
            budget=chat.budget,
        )

    @property
    def is_call_required(self) -> bool:
        """Whether there must be a call."""
        return self.choice.mode == "required"

    def check(self, raw: RawCall) -> _Call | Violation:
        """Read a call, or say what is wrong with it."""
        if not raw.text.strip():
            return Violation(
                "There was no JSON object between the tags of that call.",
                "a call that could not be read",
            )
        try:
            name, arguments = name_and_arguments(raw, self.schemas)
            if name not in self.schemas:
                known = ", ".join(self.schemas) or "none"
                return Violation(
                    f'There is no tool "{name[:100]}" to call now. The tools are: {known}.',
                    "it called a tool that is not there",
                )
            if raw.is_untyped:
                arguments = self._coerced(name, arguments, untyped=True)
            call = _Call(name, write(arguments))
        except ValueError as bad:
            return Violation(
                f"That call could not be read: {bad}. In JSON strings, quotes, backslashes and "
                "newlines are escaped.",
                "a call that could not be read",
            )
        violation = self.schemas[name].violation(call.arguments, self.budget)
        if violation is None:
            return call
        meant = _Call(name, write(self._coerced(name, arguments)))
        if meant != call and self.schemas[name].violation(meant.arguments, self.budget) is None:
            return meant
        return Violation(
            f'The arguments of that call to "{name}" do not fit its schema: {violation.for_bot}',
            f"in the arguments for {name}, {violation.for_client}",
        )

    def _coerced(self, name: str, arguments: Any, *, untyped: bool = False) -> Any:
        schema = self.schemas[name].given
        with suppress(OutOfBudget), self.budget.work("reading what a call means"):
            return coerced(arguments, schema, untyped=untyped, breathe=self.budget.breathe)
        return arguments


def _chosen(choice: ToolChoice, names: list[str]) -> Collection[str]:
    """Return which of *names* may be called. Raises `InvalidRequest`."""
    match choice:
        case ToolChoice(mode="none"):
            return []
        case ToolChoice(mode="auto") | ToolChoice(mode="required", name=None):
            return dict.fromkeys(names).keys()
        case ToolChoice(mode="required", name=str(name)) if name in names:
            return [name]
    raise InvalidRequest(
        f'{choice.path} must be "none", "auto", "required", or name a function that is in tools.',
        param=choice.path,
    )


# ---- what can be used of an answer


class _Passed:
    """What has been passed on, over both tries."""

    def __init__(self) -> None:
        #: Whether the bot has been corrected: this is its last try.
        self.is_corrected = False
        #: Each call, and how often it was made; and how many that are in all.
        self.calls: Counter[_Call] = Counter()
        self.number = 0
        self.has_content = False
        #: Whether the upstream gave a call as such, not within the text.
        self.has_native_call = False

    @property
    def has_called(self) -> bool:
        """Whether there was a call, of either kind."""
        return bool(self.calls) or self.has_native_call


class _CallJudge:
    """Passes on content and calls.

    After an earlier try, neither content nor a call that was passed on is repeated, and a call
    that will not do is no objection: it is held back until it is clear what becomes of it. Behind
    a valid call it is text at once, without the words around it, which nobody reads beside calls.
    If there is no valid call to the end, it was text all along, and those words as well.
    """

    def __init__(self, rules: _Rules, passed: _Passed) -> None:
        self.objection: Objection | None = None
        self.field = "tools"
        self._rules = rules
        self._passed = passed
        self._is_last_try = passed.is_corrected
        self._drops_content = passed.has_content
        self._has_given_up = self._has_logged = False
        self._begin()

    def _begin(self) -> None:
        self._parser = CallParser(self._rules.schemas)
        #: All that the bot wrote, and what of it is content.
        self._written: list[str] = []
        self._content: list[str] = []
        #: The calls in it that are still to be checked, and those that were valid.
        self._found: deque[RawCall] = deque()
        self._told: Counter[_Call] = Counter()
        #: The calls in it that will not do, and what is wrong with the first one.
        self._unclear: list[RawCall] = []
        self._violation: Violation | None = None

    def feed(self, event: ReplyEvent) -> Iterable[ReplyEvent]:
        """See `Stage`."""
        match event:
            case Done():
                return (self._ending(event),) if self._has_given_up else self._end(event)
            case ToolCallPart():
                self._passed.has_native_call = True
            case Refusal():
                # Not even a call that is demanded is asked for again.
                return *self.give_up(), event
            case _ if self._has_given_up:
                pass
            case Text(text):
                return self._read(text, Text)
            case Replaced(text):
                # What was passed on stays; an open call is dropped with its text.
                self._begin()
                return self._read(text, Replaced)
        return (event,)

    def give_up(self) -> Iterable[ReplyEvent]:
        """See `Stage`. Calls that could not be checked are told as text."""
        if self._unclear:
            told = self._as_written()
        else:
            found = "".join(raw.source + "\n" for raw in self._found)
            rest = found + self._parser.rest()
            # What was dropped as a repetition is the beginning of this answer.
            drops = self._drops_content and not self._has_given_up
            told = Replaced("".join((*self._content, rest))) if drops else Text(rest)
        self._begin()
        self._has_given_up = True
        return (told,) if told != Text("") else ()

    def _read(
        self, text: str, kind: type[Text] | type[Replaced]
    ) -> Generator[ReplyEvent, None, None]:
        self._written.append(text)
        if self._is_unreadable:
            return
        is_over = yield from self._pass_on(self._parser.feed(text), kind)
        if self._parser.is_over and not is_over and not self._is_unreadable:
            yield from self._end(Done("tool_calls"))

    def _end(self, done: Done) -> Generator[ReplyEvent, None, None]:
        is_whole = done.finish_reason in ("stop", "tool_calls")
        rest = () if self._is_unreadable else self._parser.finish(is_whole)
        if (yield from self._pass_on(rest, Text)):
            return
        if is_whole and self._rules.is_call_required and not self._passed.has_called:
            self._object(
                self._violation
                or Violation(
                    "A tool must be called now, and there was no call in that answer.",
                    f"there was no call, but {self._rules.choice.path} requires one",
                )
            )
        elif self._unclear and self._parser.is_over and not self._is_unreadable:
            yield from self._tell_unclear()
        elif self._unclear:
            self._log()
            yield self._as_written()
        elif self._drops_content and any(self._content) and not self._passed.calls:
            # There is no call after all: this is a new answer, not the same one.
            yield Replaced("".join(self._content))
        yield self._ending(done)

    def _ending(self, done: Done) -> Done:
        """Return how the reply ends. Truncated within a call, it ends as the upstream says."""
        if self._passed.has_called and not self._parser.is_open:
            return Done("tool_calls")
        return Done("stop") if done.finish_reason == "tool_calls" else done

    def _pass_on(
        self, found: Iterable[str | RawCall], kind: type[Text] | type[Replaced]
    ) -> Generator[ReplyEvent, None, bool]:
        """Pass on what was *found* in a text of this *kind*; return whether the reply is over."""
        # Content never follows a call, so the order of the two is known.
        things = list(found)
        self._found += (thing for thing in things if isinstance(thing, RawCall))
        more = "".join(thing for thing in things if isinstance(thing, str))
        self._content.append(more)
        if not self._drops_content and (more or (kind is Replaced and self._passed.has_content)):
            self._passed.has_content = bool(more)
            yield kind(more)
        while self._found:
            call = self._check(self._found[0])
            raw = self._found.popleft()
            if isinstance(call, Violation):
                if not self._is_last_try:
                    self._object(call)
                    yield Done()
                    return True
                self._unclear.append(raw)
                self._violation = self._violation or call
                if self._is_unreadable:
                    return False
                if self._passed.has_called:
                    yield from self._tell_unclear()
                continue
            self._told[call] += 1
            if self._told[call] <= self._passed.calls[call]:
                continue
            yield from self._tell_unclear()
            self._passed.calls[call] += 1
            self._passed.number += 1
            yield _part(call, self._passed.number - 1)
            if self._rules.single or self._passed.number == MAX_CALLS:
                yield Done("tool_calls")
                return True
        return False

    @property
    def _is_unreadable(self) -> bool:
        """Whether the parser came to a tag without a call: it cannot read on."""
        return bool(self._unclear) and not self._unclear[-1].text.strip()

    def _tell_unclear(self) -> Iterator[ReplyEvent]:
        """Yield the calls that will not do as text, beside calls that will."""
        if not self._unclear:
            return
        self._log()
        told = "\n".join(raw.source for raw in self._unclear)
        yield Text(f"\n{told}" if self._passed.has_content else told)
        self._passed.has_content = True
        self._unclear = []

    def _as_written(self) -> Text | Replaced:
        """Return what makes the text of this answer all that the bot wrote."""
        written, content = "".join(self._written), "".join(self._content)
        if self._drops_content or not written.startswith(content):
            return Replaced(written)
        return Text(written[len(content) :])

    def _log(self) -> None:
        if self._violation is not None and not self._has_logged:
            self._has_logged = True
            log.info(
                "the bot's second answer cannot be used either (%s); what is unclear stays text",
                self._violation.for_client,
            )

    def _check(self, raw: RawCall) -> _Call | Violation:
        if len(raw.text) <= SLICE:
            # It is soon read, so it is a call whatever the ones before it have cost.
            return self._rules.check(raw)
        with self._rules.budget.work("checking a call"):
            self._rules.budget.breathe()
            return self._rules.check(raw)

    def _object(self, violation: Violation) -> None:
        self._passed.is_corrected = True
        self.objection = Objection(
            violation.for_client,
            "".join(self._written),
            tool_prompt.correction(
                violation.for_bot,
                self._rules.tools,
                required=self._rules.is_call_required,
                has_accepted=bool(self._passed.calls),
            ),
        )


def _part(call: _Call, index: int) -> ToolCallPart:
    return ToolCallPart(
        index=index,
        id=f"call_{secrets.token_hex(12)}",
        name=call.name,
        arguments=call.arguments,
    )
