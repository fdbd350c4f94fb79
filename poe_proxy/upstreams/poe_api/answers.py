"""The answers of api.poe.com, streamed or whole, as reply events. Free of I/O.

Official API sheet §3. What Poe's refusals mean is in `failures`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from poe_proxy.budget import Budget, OutOfBudget
from poe_proxy.chat import (
    Done,
    FinishReason,
    Reasoning,
    Refusal,
    ReplyEvent,
    Text,
    Usage,
)
from poe_proxy.errors import BotFailed, UpstreamInterrupted, UpstreamProtocolError
from poe_proxy.net.pacing import breathe
from poe_proxy.shaping.reasoning import InlineReasoning, Piece
from poe_proxy.upstreams.bulk import loads
from poe_proxy.upstreams.halves import Halves
from poe_proxy.upstreams.merging import Together
from poe_proxy.upstreams.poe_api import contents, failures, plain
from poe_proxy.upstreams.poe_api.calls import Calls

#: The most characters in which thoughts are searched for at once.
_SLICE: Final = 16_384

#: In lower case: OpenAI's words, and those of makers that Poe may hand on: Anthropic's, Google's,
#: Mistral's, Cohere's. All others are an ordinary end.
_REASONS: Final[Mapping[str, FinishReason]] = {
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "max_length": "length",
    "model_length": "length",
    "length_limit": "length",
    "model_context_window_exceeded": "length",
    "tool_calls": "tool_calls",
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "refusal": "content_filter",
    "safety": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "spii": "content_filter",
    "image_safety": "content_filter",
    "sensitive": "content_filter",
    "error_toxic": "content_filter",
}
#: Ends that are none: the bot broke down.
_FAILED: Final = frozenset({"error", "failed", "insufficient_system_resource"})
#: The number of a call in the old form, of which an answer has one at most.
_OLD_FORM: Final = -1


class Stream:
    """A streamed answer: the data of one SSE event after another in, reply events out."""

    def __init__(self, budget: Budget) -> None:
        """What it computes counts towards the *budget*."""
        #: Whether `Done` has been returned.
        self.is_over = False
        self._reason: FinishReason | None = None
        #: Whether there has been any choice, and a message or a delta in one.
        self._has_choice = self._has_message = False
        self._reader = _MessageReader(budget)
        self._pieces = plain.Pieces()
        #: Whether a thought, or a text, that comes next is passed on as it is, and at once.
        self._passes_thoughts, self._passes_texts = True, False

    def read(self, found: Iterable[bytes], said: Together) -> None:
        """Take the data of events that have come together, up to the end of the answer, and add
        what they mean to *said*.

        Raises the `UpstreamError` that one reports.
        """
        for data in found:
            piece = self._pieces.read(data) if self._passes_thoughts else None
            if piece is not None and piece[0]:
                self._has_choice = self._has_message = True
                said.thought(piece[0])
            elif piece is not None and self._passes_texts:
                said.text(piece[1])
            else:
                said.add(self.feed(data))
                if self.is_over:
                    self._passes_thoughts = self._passes_texts = False
                    return
                self._passes_thoughts, self._passes_texts = self._reader.passes()

    def feed(self, data: bytes) -> list[ReplyEvent]:
        """Take the data of one event; return what it means.

        Raises the `UpstreamError` that it reports.
        """
        if self.is_over:
            return []
        if data.startswith(b"[DONE]"):
            return self._end()
        try:
            chunk = loads(data, keep_halves=True)
        except ValueError:
            # Some of the answer is lost with it, so the rest is not an answer.
            raise UpstreamProtocolError("Poe sent a chunk that is not JSON.") from None
        if not isinstance(chunk, dict):
            raise UpstreamProtocolError("Poe sent a chunk that is not an object.")
        if chunk.get("error") or "error" in (chunk.get("type"), chunk.get("object")):
            raise failures.of_event(chunk.get("error") or chunk)
        events: list[ReplyEvent] = []
        if choice := _first(chunk.get("choices")):
            self._has_choice = True
            if (said := self._said(choice)) is not None:
                events = self._reader.feed(said)
                if self._reader.is_full:
                    return events + self._end()
            failures.check_choice(choice, _FAILED)
            self._reason = _reason(choice) or self._reason
        if usage := _usage(chunk.get("usage")):
            events.append(usage)
        return events

    def _said(self, choice: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the delta of a choice; or its message, where nothing comes in deltas."""
        delta, message = choice.get("delta"), choice.get("message")
        if not isinstance(delta, dict) and isinstance(message, dict) and not self._has_message:
            delta = _numbered(message)
        if not isinstance(delta, dict):
            return None
        self._has_message = self._has_message or bool(delta)
        return delta

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
        if not self._has_choice:
            raise BotFailed(_NO_CHOICE)
        return self._reader.end(self._reason)


def whole_answer(content: bytes | bytearray, budget: Budget) -> list[ReplyEvent]:
    """Return the events in the body of an unstreamed answer (§3.5), computed within *budget*.

    Raises the `UpstreamError` that it reports.
    """
    try:
        answer = loads(content, keep_halves=True)
    except ValueError:
        raise UpstreamProtocolError("Poe's answer is not JSON.") from None
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]  # Google's way with errors
    if isinstance(answer, dict) and answer.get("error"):
        raise failures.of_event(answer["error"])
    if not isinstance(answer, dict):
        raise UpstreamProtocolError("Poe's answer is not a chat completion.")
    choice = _first(answer.get("choices"))
    if choice is None:
        raise failures.without_choice(answer) or (
            BotFailed(_NO_CHOICE)
            if "choices" in answer
            else UpstreamProtocolError("Poe's answer is not a chat completion.")
        )
    failures.check_choice(choice, _FAILED)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise UpstreamProtocolError("Poe's answer is not a chat completion.")
    reader = _MessageReader(budget)
    events = reader.feed(_numbered(message))
    if usage := _usage(answer.get("usage")):
        events.append(usage)
    return events + reader.end(_reason(choice))


_NO_CHOICE: Final = "The bot gave no answer: Poe's reply has no choice in it."


def _reason(choice: Mapping[str, Any]) -> FinishReason | None:
    """Return how the bot has ended, None if it has not."""
    reason = choice.get("finish_reason")
    if not reason or not isinstance(reason, str):
        return None
    return _REASONS.get(reason.lower().removeprefix("finish_reason_"), "stop")


def _numbered(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a whole message, in which each item is a call of its own, whatever index it has."""
    if not isinstance(calls := message.get("tool_calls"), list):
        return message
    whole = (call for call in calls if isinstance(call, dict))
    return {
        **message,
        "tool_calls": [{**call, "index": place} for place, call in enumerate(whole)],
    }


class _MessageReader:
    """Reads a message, whether it comes whole or in deltas: both have the same fields."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._reasoning = InlineReasoning()
        self._calls = Calls()
        #: Whether calls come in the form of today, which counts more than the old one.
        self._has_tool_calls = False
        self._thoughts, self._texts, self._refusals = Halves(), Halves(), Halves()

    def passes(self) -> tuple[bool, bool]:
        """Return whether thoughts, and whether texts, are passed on as they come."""
        holds_none = not (self._thoughts.holds or self._texts.holds)
        return holds_none, holds_none and self._reasoning.is_over

    @property
    def is_full(self) -> bool:
        """Whether there are as many calls as an answer may have."""
        return self._calls.is_full

    def feed(self, said: Mapping[str, Any]) -> list[ReplyEvent]:
        events: list[ReplyEvent] = []
        if not any(said[name] for name in said if name != "role"):
            return events  # as the first delta and the last one are
        for one in contents.of(said, breathe):
            match one:
                case Reasoning(text):
                    if text := self._thoughts.feed(text):
                        events.append(Reasoning(text))
                case Text(text):
                    events += self._sort_out(self._texts.feed(text))
                case Refusal(text):
                    events += self._reasoning.flush()
                    if text := self._refusals.feed(text):
                        events.append(Refusal(text))
        if calls := self._calls_in(said):
            events += self._sort_out(self._texts.flush())
            events += self._reasoning.flush()
            for call in calls:
                breathe()
                if isinstance(call, dict) and not self.is_full:
                    events += self._calls.feed(call)
        return events

    def _calls_in(self, said: Mapping[str, Any]) -> list[Any]:
        calls = said.get("tool_calls")
        if calls and isinstance(calls, list):
            self._has_tool_calls = True
            return calls
        call = said.get("function_call")
        if not isinstance(call, dict) or self._has_tool_calls:
            return []
        is_there = call.get("name") or call.get("arguments")
        return [{"index": _OLD_FORM, "function": call}] if is_there else []

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
        events: list[ReplyEvent] = []
        if thought := self._thoughts.flush():
            events.append(Reasoning(thought))
        events += self._sort_out(self._texts.flush())
        events += self._reasoning.flush()
        if refusal := self._refusals.flush():
            events.append(Refusal(refusal))
        if self._calls and reason in (None, "stop"):
            reason = "tool_calls"
        elif not self._calls and reason == "tool_calls":
            reason = "stop"
        reason = reason or "stop"
        is_cut = reason in ("length", "content_filter")
        return [*events, *self._calls.flush(is_cut=is_cut), Done(reason)]


def _first(choices: Any) -> Mapping[str, Any] | None:
    """Return the only choice (§3.5); None for a chunk of usage, which has no choice."""
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0]
    return None


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
        name: {
            key: count
            for key, count in given[name].items()
            if isinstance(count, int) and key.isascii()
        }
        for name in ("prompt_tokens_details", "completion_tokens_details")
        if isinstance(given.get(name), dict)
    }
    return Usage(
        prompt,
        completion,
        {name: counts for name, counts in details.items() if counts},
        total_tokens=total if isinstance(total, int) else None,
    )
