"""Teaches a bot that knows no `response_format` to answer in JSON.

The form is asked for in the system message. What the bot says is held until it is complete,
because a second try cannot unsay the first one: the JSON is taken out of fences and
chatter, checked, and only then passed on. An answer that does not fit is sent back to the
bot once, with what is wrong about it.

What a bot writes and what a client's schema says about it is known here alone: `toolspeak`
reads the arguments of calls with the same `read` and `Schema`. For a chat with both, the
JSON is the outer one, so that calls pass and a final text is checked:
`jsonspeak.reply(lambda chat: toolspeak.reply(ask, chat), chat)`.
"""

from __future__ import annotations

import json
import logging
import re
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final, NoReturn, TypeAlias

import referencing
import referencing.exceptions
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for

from poe_proxy.chat import (
    ChatRequest,
    Done,
    FinishReason,
    Idle,
    Message,
    Reasoning,
    Replaced,
    ReplyEvent,
    Text,
    TextPart,
    ToolCallPart,
    Usage,
    Waiting,
)
from poe_proxy.errors import AnswerUnusable, InvalidRequest

log = logging.getLogger(__name__)

#: Asks a bot, and yields what it replies.
Ask: TypeAlias = Callable[[ChatRequest], Generator[ReplyEvent, None, None]]

#: Characters that are read in looking for JSON in an answer with chatter around it. Behind
#: each bracket it may begin anew and reach to the end; a text made of brackets must not hold
#: up everybody else.
MAX_READ: Final = 1_000_000

#: Seconds of computing that a check against a client's schema may take. A few lines of schema
#: can have more to check than anybody can wait for, and a regular expression can search for ever.
MAX_CHECK: Final = 1.0


def reply(ask: Ask, chat: ChatRequest) -> Generator[ReplyEvent, None, None]:
    """Yield the reply to *chat*, its text the JSON that `response_format` wants.

    Tool calls pass, and end the reply without a text. A reply that was cut off by length or
    by moderation is passed on as far as it goes, unchecked, as OpenAI does. Stop words are left
    to who reads the reply: the bot's own text has fences and chatter in which they mean nothing.

    Raises `InvalidRequest` for a schema that is none, and `AnswerUnusable` with the code
    `invalid_json_answer` for a bot that twice does not answer as it should.
    """
    wanted = _Wanted.of(chat)
    if wanted is None:
        yield from ask(chat)
        return
    asked = replace(
        chat,
        messages=instructed(chat.messages, wanted.instruction(bool(chat.tools))),
        response_format=None,
        stop=(),
    )
    bill = Bill()
    first = yield from _listen(ask(asked), wanted, bill)
    if first is None:
        return
    log.info("the answer is not the JSON that was asked for; asking once more")
    again = replace(asked, messages=corrected(asked.messages, first.text, first.correction()))
    second = yield from _listen(ask(again), wanted, bill)
    if second is not None:
        raise AnswerUnusable(
            f"The model did not answer with the JSON that was asked for, also at the second "
            f"try: {second.misfit.place}.",
            param="response_format",
            code="invalid_json_answer",
        )


def _listen(
    events: Generator[ReplyEvent, None, None], wanted: _Wanted, bill: Bill
) -> Generator[ReplyEvent, None, _Wrong | None]:
    """Pass on what is not text, and the text once it is right; return what is wrong."""
    text = ""
    usage: Usage | None = None
    called = False
    with closing(events):
        for event in events:
            match event:
                case Text(more):
                    text += more
                    yield Idle()  # who holds back must still let others look around
                case Replaced(whole):
                    text = whole
                    yield Idle()
                case ToolCallPart():
                    called = True
                    yield event
                case Usage():
                    usage = event
                    yield Idle()
                case Reasoning() | Idle() | Waiting():
                    yield event
                case Done(reason):
                    let_end(events)
                    bill.add(usage)
                    if not called:
                        answer = wanted.find(text) if _is_whole(reason) else _begun(text)
                        if isinstance(answer, Misfit):
                            return _Wrong(text, answer)
                        if answer:
                            yield Text(answer)
                    yield from bill.ending(event)
                    return None
    return None


def _is_whole(reason: FinishReason) -> bool:
    return reason in ("stop", "tool_calls")


def _begun(text: str) -> str:
    """The JSON in a *text* that was cut off, without what stands before it."""
    start = _BRACKET.search(text)
    return text[start.start() :] if start else text.strip()


@dataclass(frozen=True, slots=True)
class _Wrong:
    """An answer that does not do."""

    text: str = field(repr=False)
    misfit: Misfit

    def correction(self) -> str:
        return (
            f"That answer cannot be used: {self.misfit.told}\n"
            "Give the whole answer again, corrected, as JSON and nothing else: no code fence, "
            "no word before or after it."
        )


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What `response_format` asks for."""

    #: None for `json_object`.
    schema: Schema | None
    description: str = ""

    @classmethod
    def of(cls, chat: ChatRequest) -> _Wanted | None:
        match chat.response_format:
            case {"type": "json_schema", "json_schema": {"schema": schema, **rest}}:
                path = "response_format.json_schema.schema"
                return cls(Schema.of(schema, path), str(rest.get("description") or ""))
            case {"type": "json_object"}:
                return cls(None)
        return None

    def instruction(self, with_tools: bool) -> str:
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

    def find(self, text: str) -> str | Misfit:
        """The JSON in *text* that fits, the first of the candidates, or what is wrong."""
        empty = ""
        nearest: tuple[int, Misfit] | None = None
        for found in _candidates(text):
            try:
                value, strict = read(found)
                found = found if strict else write(value)
            except ValueError:
                continue
            misfit = self._misfit(value)
            if misfit is None:
                if value not in ({}, []):
                    return found
                # Prose has `{}` and `[]` too: they are the answer if nothing else is.
                empty = empty or found
            elif nearest is None or len(found) > nearest[0]:
                nearest = len(found), misfit
        if empty:
            return empty
        return nearest[1] if nearest else Misfit("there is no complete JSON in it.", "not JSON")

    def _misfit(self, value: Any) -> Misfit | None:
        if self.schema is not None:
            return self.schema.misfit(value)
        if not isinstance(value, dict):
            return Misfit("it is JSON, but not a JSON object.", "not a JSON object")
        return None


_BRACKET: Final = re.compile(r"[\[{]")


def _candidates(text: str) -> Iterator[str]:
    """The parts of *text* that may be JSON: all of it, what a fence holds, each bracket's.

    Of the latter the last one comes first: before the answer there may be examples and thoughts.
    """
    whole = text.strip()
    yield whole
    if fenced := re.fullmatch(r"```[\w-]*+\s*+(.*)```", whole, re.DOTALL):
        yield fenced[1].strip()
    values: list[str] = []
    at = read_so_far = 0
    while read_so_far < MAX_READ and (start := _BRACKET.search(text, at)):
        at = start.end()
        end = Nesting().end(text, start.start())
        read_so_far += (end or len(text)) - start.start()
        if end is not None:
            found = text[start.start() : end]
            values.append(found)
            # What lies within a value is no answer of its own.
            if _is_json(found):
                at = end
    yield from reversed(values)


def _is_json(text: str) -> bool:
    try:
        read(text)
    except ValueError:
        return False
    return True


# ---- what both teachers say


def instructed(messages: tuple[Message, ...], instruction: str) -> tuple[Message, ...]:
    """Return *messages* with *instruction* at the end of the system message, or as one."""
    for place, one in enumerate(messages):
        if one.role in ("system", "developer"):
            grown = replace(one, content=(*one.content, TextPart(f"\n{instruction}")))
            return (*messages[:place], grown, *messages[place + 1 :])
    return (Message(role="system", content=(TextPart(instruction),)), *messages)


def corrected(messages: tuple[Message, ...], wrong: str, correction: str) -> tuple[Message, ...]:
    """Return *messages* with the bot's *wrong* answer and what it is to do about it."""
    said = (Message(role="assistant", content=(TextPart(wrong),)),) if wrong.strip() else ()
    return (*messages, *said, Message(role="user", content=(TextPart(correction),)))


class Bill:
    """What a reply cost that took more than one try."""

    def __init__(self) -> None:
        self._sum: Usage | None = None

    def add(self, usage: Usage | None) -> None:
        """Add the figures of one try, if it has any; the details are kept of the last one."""
        if usage is None or self._sum is None:
            self._sum = usage or self._sum
            return
        both = (self._sum, usage)
        self._sum = Usage(
            sum(one.prompt_tokens for one in both),
            sum(one.completion_tokens for one in both),
            usage.details,
            sum(
                one.prompt_tokens + one.completion_tokens
                if one.total_tokens is None
                else one.total_tokens
                for one in both
            ),
        )

    def ending(self, done: Done) -> Iterator[ReplyEvent]:
        """Yield the sum, if anything was counted, and *done* behind it."""
        if self._sum is not None:
            yield self._sum
        yield done


def let_end(events: Iterator[ReplyEvent]) -> None:
    """Let a reply that is done end by itself: to close it would be to hang up on the bot."""
    for _ in events:
        pass


# ---- JSON as bots write it


class Nesting:
    """Finds where a JSON object or list ends in a text that grows.

    Brackets within strings do not count. `<` outside of a string ends it too, because there
    it is never JSON: it is the closing tag of a call that lacks a bracket.
    """

    _OUTSIDE: Final = re.compile(r'["{}\[\]<]')
    _INSIDE: Final = re.compile(r'["\\]')

    def __init__(self) -> None:
        self.in_string = False
        self._closers: list[str] = []
        self._read = 0

    @property
    def missing(self) -> str:
        """The brackets that would close what is open."""
        return "".join(reversed(self._closers))

    def end(self, text: str, start: int = 0) -> int | None:
        """Return the place behind the value that begins at *start*, None while it is open.

        To go on, call it again with a *text* that has grown at its end.
        """
        at = max(self._read, start)
        while mark := (self._INSIDE if self.in_string else self._OUTSIDE).search(text, at):
            at = mark.end()
            match mark[0]:
                case "\\":
                    if at == len(text):  # what it escapes is yet to come
                        at -= 1
                        break
                    at += 1
                case '"':
                    self.in_string = not self.in_string
                case "{":
                    self._closers.append("}")
                case "[":
                    self._closers.append("]")
                case "<":
                    return at - 1
                case _:
                    if self._closers:
                        self._closers.pop()
                    if not self._closers:
                        return at
        else:
            at = len(text)
        self._read = at
        return None


def read(text: str) -> tuple[Any, bool]:
    """Return the value of a JSON *text*, and whether it is strict JSON.

    Newlines within strings, commas before a closing bracket and `\\'` are put up with: what
    they mean is certain.

    Raises `ValueError` for everything else.
    """
    try:
        try:
            return json.loads(text, parse_constant=_refuse_constant), True
        except ValueError:
            mended = _LOOSE.sub(_mend, text)
            return json.loads(mended, strict=False, parse_constant=_refuse_constant), False
    except RecursionError:
        raise ValueError("nested too deeply") from None


_LOOSE: Final = re.compile(r'"(?:[^"\\]|\\.)*+"|,(?=\s*+[}\]])', re.DOTALL)


def _mend(found: re.Match[str]) -> str:
    if found[0] == ",":
        return ""
    return re.sub(r"\\(.)", lambda one: "'" if one[1] == "'" else one[0], found[0], flags=re.DOTALL)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def write(value: Any) -> str:
    """Return *value* as a JSON text that can be sent as UTF-8.

    Raises `ValueError` for numbers that JSON does not have.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which a bot wrote as an escape
        return json.dumps(value)
    return text


# ---- the client's schema


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why a value does not do."""

    #: For the bot, with the words that are wrong.
    told: str = field(repr=False)
    #: For the client: nothing in it comes from the conversation.
    place: str


@dataclass(frozen=True, slots=True)
class Schema:
    """A client's JSON schema, in the draft that it names."""

    text: str = field(repr=False)
    #: The field of the request in which it came.
    param: str

    @classmethod
    def of(cls, schema: Any, param: str) -> Schema:
        """Return *schema*, checked. Raises `InvalidRequest` that names *param*."""
        try:
            text = json.dumps(schema, ensure_ascii=False)
            with _in_time():
                _validator(text)
        except SchemaError as bad:
            where = "".join(f"/{step}" for step in bad.absolute_path)
            raise InvalidRequest(
                f"{param} is not a valid JSON schema: {_keyword(bad)} at {where or 'its root'}.",
                param=param,
            ) from None
        except _TooSlow:
            raise InvalidRequest(f"{param} takes too long to read.", param=param) from None
        except (AttributeError, RecursionError, TypeError, ValueError):
            raise InvalidRequest(f"{param} is not a JSON schema.", param=param) from None
        return cls(text, param)

    def misfit(self, value: Any) -> Misfit | None:
        """Return why *value* does not fit, None if it does.

        Raises `InvalidRequest` for a schema with references that lead nowhere, and for one that
        cannot be checked in time.
        """
        try:
            with _in_time():
                error = best_match(_validator(self.text).iter_errors(value))
        except _TooSlow:
            raise InvalidRequest(
                f"{self.param} takes too long to check.", param=self.param
            ) from None
        except OverflowError:
            return Misfit("a number in it is too large.", "a number is too large to be checked")
        # The last three: the reference is no address, or leads to something that is no schema.
        except (
            referencing.exceptions.Unresolvable, RecursionError, AttributeError, TypeError,
            ValueError,
        ):  # fmt: skip
            raise InvalidRequest(
                f"{self.param} has a reference that leads nowhere, or in circles.",
                param=self.param,
            ) from None
        if error is None:
            return None
        where = "".join(f"/{step}" for step in error.absolute_path)
        told = f"at {where}: {error.message}" if where else error.message
        rule = "/".join(str(step) for step in error.absolute_schema_path)
        return Misfit(f"{told[:1000]}.", f"it breaks the schema's rule {rule}")


class _TooSlow(Exception):
    """A check took longer than `MAX_CHECK`."""


def _give_up(*signalled: object) -> NoReturn:
    raise _TooSlow


@contextmanager
def _in_time() -> Iterator[None]:
    """Raise `_TooSlow` within the block once it has computed for `MAX_CHECK` seconds.

    By a signal, because nothing else reaches into a regular expression. Signals come in the
    main thread, in which gunicorn's gevent worker does everything; in another one the block may
    take its time.
    """
    try:
        signal.signal(signal.SIGVTALRM, _give_up)
    except ValueError:  # another thread
        yield
        return
    signal.setitimer(signal.ITIMER_VIRTUAL, MAX_CHECK)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _keyword(error: ValidationError | SchemaError) -> str:
    return f"the rule {error.validator!r} of the meta-schema is broken"


@lru_cache(maxsize=512)
def _validator(text: str) -> Validator:
    """The validator for a schema. Checking a schema is dear, and agents send the same ones
    with each request."""
    schema = json.loads(text)
    kind = validator_for(schema, default=Draft202012Validator)
    # No formats, not even in the check of the schema: it would refuse a regular expression
    # that JavaScript knows and Python does not.
    meta = validator_for(kind.META_SCHEMA, default=kind)
    if broken := best_match(meta(kind.META_SCHEMA).iter_errors(schema)):
        raise SchemaError.create_from(broken)
    # An empty registry: the library's own one would fetch whatever address a reference has.
    return kind(_readable(schema), registry=referencing.Registry())


def _readable(schema: Any) -> Any:
    """Return *schema* without the regular expressions that Python cannot read."""
    if isinstance(schema, list):
        return [_readable(below) for below in schema]
    if not isinstance(schema, dict):
        return schema
    readable = {}
    for name, below in schema.items():
        match name, below:
            case "pattern", str() if not _compiles(below):
                pass
            case "patternProperties", dict():
                # An empty pattern takes every name, so that none is refused as additional.
                known = {one: rule for one, rule in below.items() if _compiles(one)}
                readable[name] = _readable(known | ({} if len(known) == len(below) else {"": {}}))
            case _:
                readable[name] = _readable(below)
    return readable


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True
