"""Structured output: the bot is taught to answer in JSON, and its answer is checked.

The form is asked for in the system message. What the bot says is held until it is complete,
because a second try cannot unsay the first one: the JSON is taken out of fences and
chatter, checked, and only then passed on. An answer that does not fit is sent back to the
bot once, with what is wrong about it. Tool calls pass: only a final text has a form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final

from poe_proxy.budget import Budget
from poe_proxy.chat import (
    ChatRequest,
    Done,
    JsonWanted,
    Refusal,
    Replaced,
    ReplyEvent,
    Text,
    ToolCallPart,
)
from poe_proxy.errors import AnswerUnusable
from poe_proxy.shaping import schemas
from poe_proxy.shaping.coercion import coerced
from poe_proxy.shaping.json_search import find_values
from poe_proxy.shaping.loose_json import read, write
from poe_proxy.shaping.pipeline import Ask
from poe_proxy.shaping.reask import Objection, instructed, reask
from poe_proxy.shaping.schemas import Schema, Violation

#: The most values in an answer with chatter around them that are looked at, the last ones; and of
#: all candidates the most that are checked.
MAX_CANDIDATES: Final = 100
MAX_CHECKED: Final = 20


def json_reply(
    ask: Ask, chat: ChatRequest, wanted: JsonWanted
) -> Generator[ReplyEvent, None, None]:
    """Yield the reply to *chat*, its text the JSON that is *wanted*.

    Tool calls pass, and end the reply without a text. A reply that was ended by its length or
    by moderation is passed on as far as it goes, unchecked, as OpenAI does. Stop words are not
    sent to the bot: its own text has fences and chatter in which they mean nothing.

    Raises `InvalidRequest` for an invalid schema, and `AnswerUnusable` with the code
    `invalid_json_answer` for a bot that twice does not answer as it should.
    """
    form = _Form.of(wanted, chat.budget)
    instruction = form.instruction(with_tools=bool(chat.tools))
    asked = replace(chat, messages=instructed(chat.messages, instruction), stop=())

    def unusable(objection: Objection) -> AnswerUnusable:
        return AnswerUnusable(
            "The model did not answer with the JSON that was asked for, even on the second "
            f"try: {objection.reason}.",
            param=wanted.path,
            code="invalid_json_answer",
        )

    yield from reask(ask, asked, lambda: _Judge(form, wanted.path), unusable)


class _Judge:
    """Holds an answer's text back until it is complete, and takes the JSON out of it."""

    def __init__(self, form: _Form, field: str) -> None:
        self.objection: Objection | None = None
        self.field = field
        self._form = form
        self._pieces: list[str] = []
        self._has_called = False
        self._has_given_up = False

    def feed(self, event: ReplyEvent) -> Iterable[ReplyEvent]:
        """See `Stage`."""
        if self._has_given_up:
            # Beside a call, what is said is no answer.
            return () if self._has_called and isinstance(event, Text | Replaced) else (event,)
        match event:
            case Text(text):
                self._pieces.append(text)
                return ()
            case Replaced(text):
                self._pieces = [text]
                return ()
            case ToolCallPart():
                self._has_called = True
            case Refusal():
                return *self.give_up(), event
            case Done() if not self._has_called:
                return *self._answer(event), event
        return (event,)

    def give_up(self) -> Iterable[ReplyEvent]:
        """See `Stage`."""
        self._has_given_up = True
        text = "" if self._has_called else "".join(self._pieces)
        self._pieces = []
        return (Text(text),) if text else ()

    def _answer(self, done: Done) -> Iterator[Text]:
        text = "".join(self._pieces)
        if done.finish_reason in ("stop", "tool_calls"):
            answer = self._form.find(text)
        else:
            answer = _begun(text)
        if isinstance(answer, Violation):
            self.objection = Objection(answer.for_client, text, _correction(answer))
        elif answer:
            yield Text(answer)


def _correction(violation: Violation) -> str:
    return (
        f"That answer cannot be used: {violation.for_bot}\n"
        "Give the whole answer again, corrected, as JSON and nothing else: no code fence, "
        "no word before or after it."
    )


@dataclass(frozen=True, slots=True)
class _Form:
    """The form of the answer."""

    #: None: any object will do.
    schema: Schema | None
    description: str
    budget: Budget

    @classmethod
    def of(cls, wanted: JsonWanted, budget: Budget) -> _Form:
        """Read it. Raises `InvalidRequest`."""
        schema = None
        if wanted.schema is not None:
            given = [(wanted.schema, wanted.schema_path)]
            [schema] = schemas.read(given, budget, promised=True)
        return cls(schema, wanted.description or "", budget)

    def instruction(self, *, with_tools: bool) -> str:
        """What is added to the system message."""
        lines = ["# Form of the answer", ""]
        if with_tools:
            lines.append("This is about your final answer; tools are called as they always are.")
        if self.schema is None:
            lines.append("Answer with one JSON object and nothing else:")
        else:
            lines.append("Answer with one JSON value that fits the schema below, nothing else:")
        lines.append("no code fence, and no word before or after it.")
        if self.description:
            lines.append(f"What the answer is: {self.description}")
        if self.schema is not None:
            lines += ["", "The JSON schema of the answer:", self.schema.text]
        return "\n".join(lines)

    def find(self, text: str) -> str | Violation:
        """Return the first candidate in *text* that fits, or what is meant by the one that is the
        most likely to be the answer, or what is wrong with it.

        Raises `OutOfBudget`.
        """
        empty = ""
        nearest: tuple[int, Violation, Any] | None = None
        candidates = _candidates(text, self.budget.breathe)
        for value, found in islice(candidates, MAX_CHECKED):
            violation = self._violation(value, found)
            if violation is None:
                if value not in ({}, []):
                    return found
                # Prose has `{}` and `[]` too: they are the answer only if nothing else is.
                empty = empty or found
            elif nearest is None or len(found) > nearest[0]:
                nearest = len(found), violation, value
        if empty:
            return empty
        if nearest:
            return self._meant(nearest[2]) or nearest[1]
        return Violation("there is no complete JSON in it.", "not JSON")

    def _meant(self, value: Any) -> str | None:
        """Return what was evidently meant by a value that does not fit, if that fits."""
        if self.schema is None:
            return None
        meant = coerced(value, self.schema.given, breathe=self.budget.breathe)
        text = write(meant)
        if text == write(value) or self.schema.violation(text, self.budget) is not None:
            return None
        return text

    def _violation(self, value: Any, text: str) -> Violation | None:
        if self.schema is not None:
            return self.schema.violation(text, self.budget)
        if not isinstance(value, dict):
            return Violation("it is JSON, but not a JSON object.", "not a JSON object")
        return None


_BRACKET: Final = re.compile(r"[\[{]")


def _begun(text: str) -> str:
    """Return the JSON in a truncated *text*, without what comes before it."""
    start = _BRACKET.search(text)
    return text[start.start() :] if start else text.strip()


def _candidates(text: str, breathe: Callable[[], None]) -> Iterator[tuple[Any, str]]:
    """Yield the JSON values in *text*, each with its own text, and none of them twice.

    First comes all of it, then the content of a fence, then what stands in brackets. Of that the
    last comes first, because examples and thoughts may come before the answer.
    """
    whole = text.strip()
    alone = [whole]
    if fenced := re.fullmatch(r"```[\w-]*+\s*+(.*)```", whole, re.DOTALL):
        alone.append(fenced[1].strip())
    for one in alone:
        breathe()
        for value, found in _value(one):
            yield value, found
            if isinstance(value, dict | list):
                return
    for one in reversed(find_values(text, breathe)[-MAX_CANDIDATES:]):
        breathe()
        yield from _value(one)


def _value(text: str) -> Iterator[tuple[Any, str]]:
    """Yield the value of *text*, and the text itself as strict JSON; nothing if it is not JSON."""
    try:
        value, strict = read(text)
        found = text if strict else write(value)
    except ValueError:
        return
    yield value, found
