"""The answers of api.poe.com, streamed or whole, as reply events. Free of I/O.

Official API sheet §3. What Poe's refusals mean is in `failures`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from poe_proxy.budget import Budget, OutOfBudget
from poe_proxy.chat import Done, FinishReason, Reasoning, ReplyEvent, ToolCallPart, Usage
from poe_proxy.errors import UpstreamInterrupted, UpstreamProtocolError
from poe_proxy.shaping.reasoning import InlineReasoning, Piece
from poe_proxy.upstreams.bulk import loads
from poe_proxy.upstreams.poe_api import failures

#: The most calls of one answer; it ends where another one begins.
MAX_CALLS: Final = 1_000
#: The most characters in which thoughts are searched for at once.
_SLICE: Final = 16_384

_REASONS: Final[Mapping[str, FinishReason]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


class Stream:
    """A streamed answer: the data of one SSE event after another in, reply events out."""

    def __init__(self, budget: Budget) -> None:
        """What it computes counts towards the *budget*."""
        #: Whether `Done` has been returned.
        self.is_over = False
        self._reason: FinishReason | None = None
        self._reader = _MessageReader(budget)

    def feed(self, data: bytes) -> list[ReplyEvent]:
        """Take the data of one event; return what it means.

        Raises the `UpstreamError` that it reports.
        """
        if self.is_over:
            return []
        if data.startswith(b"[DONE]"):
            return self._end()
        try:
            chunk = loads(data)
        except ValueError:
            # Some of the answer is lost with it, so the rest is not an answer.
            raise UpstreamProtocolError("Poe sent a chunk that is not JSON.") from None
        if not isinstance(chunk, dict):
            raise UpstreamProtocolError("Poe sent a chunk that is not an object.")
        if chunk.get("error"):
            raise failures.of_event(chunk["error"])
        events: list[ReplyEvent] = []
        if choice := _first(chunk.get("choices")):
            if isinstance(delta := choice.get("delta"), dict):
                events = self._reader.feed(delta)
                if self._reader.is_full:
                    return events + self._end()
            if isinstance(reason := choice.get("finish_reason"), str):
                self._reason = _REASONS.get(reason, "stop")
        if usage := _usage(chunk.get("usage")):
            events.append(usage)
        return events

    def close(self) -> list[ReplyEvent]:
        """Note that no more will come; return the last events.

        Raises `UpstreamInterrupted` if the bot had not finished: a silent end is no end (§3.6).
        """
        if self.is_over:
            return []
        if self._reason is None:
            raise UpstreamInterrupted("Poe's reply stopped without an end; it may be incomplete.")
        return self._end()

    def _end(self) -> list[ReplyEvent]:
        self.is_over = True
        return self._reader.end(self._reason)


def whole_answer(content: bytes | bytearray, budget: Budget) -> list[ReplyEvent]:
    """Return the events in the body of an unstreamed answer (§3.5), computed within *budget*.

    Raises the `UpstreamError` that it reports.
    """
    try:
        answer = loads(content)
    except ValueError:
        raise UpstreamProtocolError("Poe's answer is not JSON.") from None
    if isinstance(answer, dict) and answer.get("error"):
        raise failures.of_event(answer["error"])
    choice = _first(answer.get("choices")) if isinstance(answer, dict) else None
    message = choice.get("message") if choice else None
    if choice is None or not isinstance(message, dict):
        raise UpstreamProtocolError("Poe's answer is not a chat completion.")
    if isinstance(calls := message.get("tool_calls"), list):
        # Each is a call of its own, whatever index or id it has.
        whole = (call for call in calls if isinstance(call, dict))
        message["tool_calls"] = [{**call, "index": place} for place, call in enumerate(whole)]
    reader = _MessageReader(budget)
    events = reader.feed(message)
    if usage := _usage(answer.get("usage")):
        events.append(usage)
    reason = choice.get("finish_reason")
    return events + reader.end(_REASONS.get(reason) if isinstance(reason, str) else None)


class _MessageReader:
    """Reads a message, whether it comes whole or in deltas: both have the same fields."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._reasoning = InlineReasoning()
        self._calls = _Calls()

    @property
    def is_full(self) -> bool:
        """Whether there are as many calls as an answer may have."""
        return self._calls.is_full

    def feed(self, said: Mapping[str, Any]) -> list[ReplyEvent]:
        events: list[ReplyEvent] = []
        # If both fields are there, they hold the same text (§3.5).
        thought = said.get("reasoning_content") or said.get("reasoning")
        if thought and isinstance(thought, str):
            events.append(Reasoning(thought))
        content = said.get("content")
        if content and isinstance(content, str):
            events += self._sort_out(content)
        calls = said.get("tool_calls")
        if calls and isinstance(calls, list):
            events += self._reasoning.flush()
            for call in calls:
                if isinstance(call, dict) and not self.is_full:
                    events += self._calls.feed(call)
        return events

    def _sort_out(self, content: str) -> list[Piece]:
        """Return the thoughts and the answer in *content*; in a long one, others get their turn."""
        if len(content) <= _SLICE or self._reasoning.is_over:
            return self._reasoning.feed(content)
        pieces: list[Piece] = []
        at = 0
        try:
            with self._budget.work("reading thoughts"):
                while at < len(content) and not self._reasoning.is_over:
                    pieces += self._reasoning.feed(content[at : at + _SLICE])
                    at += _SLICE
                    self._budget.breathe()
        except OutOfBudget:
            pieces += self._reasoning.flush()
        return pieces + self._reasoning.feed(content[at:])

    def end(self, reason: FinishReason | None) -> list[ReplyEvent]:
        if self._calls and reason in (None, "stop"):
            reason = "tool_calls"
        elif not self._calls and reason == "tool_calls":
            reason = "stop"
        return [*self._reasoning.flush(), *self._calls.flush(), Done(reason or "stop")]


@dataclass(slots=True)
class _Call:
    """A call, and what came of it before its name: clients want the name at its beginning."""

    #: As Poe has it, perhaps for several calls.
    id: str | None = None
    name: str | None = None
    #: In pieces.
    arguments: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    def is_another(self, identity: str | None, name: str | None) -> bool:
        """Whether these begin another call, although its number or id is that of this call."""
        if not identity or not name:
            return False
        return self.id not in (None, identity) or self.name not in (None, name)


class _Calls:
    """The tool calls of one answer, numbered in the order in which they begin.

    Google's models sometimes leave out `index` (§3.6); then the id says which call goes on, and
    without an id, too, a name says that another one begins.
    """

    def __init__(self) -> None:
        #: Whether the last call that an answer may have has begun another one.
        self.is_full = False
        self._calls: list[_Call] = []
        self._numbers: dict[int, int] = {}
        #: The first call that had an id, and the last one.
        self._owners: dict[str, int] = {}
        self._last: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._calls)

    def feed(self, delta: Mapping[str, Any]) -> list[ToolCallPart]:
        """Return what *delta* adds to the call that it belongs to; nothing before its name."""
        function = delta.get("function")
        function = function if isinstance(function, dict) else {}
        index = delta.get("index")
        identity, name = _text(delta.get("id")) or None, _text(function.get("name")) or None
        arguments = function.get("arguments")
        if isinstance(arguments, dict | list):
            arguments = _written(arguments)
        extra = {
            key: value
            for key, value in delta.items()
            if key not in ("index", "id", "type", "function")
            and _written(value) not in ("", "null")
        }
        number = self._number(index, identity, name)
        if number is None:
            if len(self._calls) == MAX_CALLS:
                self.is_full = True
                return []
            number = len(self._calls)
            self._calls.append(_Call())
        if isinstance(index, int):
            self._numbers[index] = number
        call = self._calls[number]
        if identity is not None and call.id is None:
            call.id = identity
            self._owners.setdefault(identity, number)
            self._last[identity] = max(number, self._last.get(identity, 0))
        if call.name is not None:
            return [ToolCallPart(number, arguments=_text(arguments), extra=extra)]
        call.name = name
        call.arguments.append(_text(arguments))
        call.extra |= extra
        return [self._beginning(number)] if name else []

    def flush(self) -> list[ToolCallPart]:
        """Return the calls that never had a name, at the end of the answer."""
        return [
            self._beginning(number) for number, call in enumerate(self._calls) if call.name is None
        ]

    def _beginning(self, number: int) -> ToolCallPart:
        call = self._calls[number]
        # Clients send results back by the id: each call needs one of its own.
        is_free = call.id is not None and self._owners[call.id] == number
        return ToolCallPart(
            number,
            id=call.id if is_free else f"call_{secrets.token_hex(12)}",
            name=call.name or "",
            arguments="".join(call.arguments),
            extra=call.extra,
        )

    def _number(self, index: Any, identity: str | None, name: str | None) -> int | None:
        """Return the number of the call that goes on, None if another one begins."""
        if isinstance(index, int):
            number = self._numbers.get(index)
        elif identity is not None:
            number = self._last.get(identity)
        else:
            number = len(self._calls) - 1 if self._calls else None
            if number is not None and name and self._calls[number].name is not None:
                return None
        if number is None or self._calls[number].is_another(identity, name):
            return None
        return number


def _first(choices: Any) -> Mapping[str, Any] | None:
    """Return the only choice (§3.5); None for a chunk of usage, which has no choice."""
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0]
    return None


def _written(given: Any) -> str:
    """Return *given* as JSON; an empty text if it is nested so deeply that it cannot be sent on."""
    try:
        return orjson.dumps(given).decode()
    except orjson.JSONEncodeError:
        return ""


def _text(given: Any) -> str:
    return given if isinstance(given, str) else ""


def _usage(given: Any) -> Usage | None:
    """Return the usage if both counts are there; everything else may be null (§3.5)."""
    if not isinstance(given, dict):
        return None
    prompt, completion, total = (
        given.get(name) for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    )
    if not isinstance(prompt, int) or not isinstance(completion, int):
        return None
    details = {
        name: {key: count for key, count in given[name].items() if isinstance(count, int)}
        for name in ("prompt_tokens_details", "completion_tokens_details")
        if isinstance(given.get(name), dict)
    }
    return Usage(
        prompt,
        completion,
        {name: counts for name, counts in details.items() if counts},
        total_tokens=total if isinstance(total, int) else None,
    )
