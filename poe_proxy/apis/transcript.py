"""What has been said so far in a reply: text, reasoning, calls, usage."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from poe_proxy.chat import (
    ChatRequest,
    Done,
    FinishReason,
    Reasoning,
    Refusal,
    Replaced,
    Said,
    Text,
    ToolCall,
    ToolCallPart,
    Usage,
)
from poe_proxy.shaping.prefix import common_length
from poe_proxy.shaping.tokenizer import count_prompt, count_texts

_ALNUM: Final = re.compile(r"[^\W_]")
#: The most characters of what a bot draws where it writes.
_CURSOR: Final = 100


@dataclass(slots=True)
class _CallSoFar:
    id: str | None = None
    name: list[str] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)


class Transcript:
    """Collects the events of a reply, so that an API can end its answer with them."""

    def __init__(self) -> None:
        #: How the reply ended; None while it goes on.
        self.finish_reason: FinishReason | None = None
        #: The stop word that ended it, where that is known.
        self.stop_word: str | None = None
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, _CallSoFar] = {}
        self._usage: Usage | None = None

    @property
    def text(self) -> str:
        """The whole answer so far."""
        if len(self._text) > 1:
            self._text = ["".join(self._text)]
        return self._text[0] if self._text else ""

    @property
    def reasoning(self) -> str:
        """All reasoning that came before the answer."""
        return "".join(self._reasoning)

    @property
    def refusal(self) -> str:
        """The words with which the bot has refused to answer."""
        return "".join(self._refusal)

    @property
    def calls(self) -> list[ToolCall]:
        """The tool calls so far, in their order."""
        return [
            ToolCall(call.id or "", "".join(call.name), "".join(call.arguments), call.extra)
            for _, call in sorted(self._calls.items())
        ]

    @property
    def has_calls(self) -> bool:
        """Whether the bot has called a tool."""
        return bool(self._calls)

    def add(self, event: Said) -> Said:
        """Add *event*, and return what a stream sends for it.

        That is the event itself, except that a rewritten text becomes the `Text` that a stream
        adds. It may be empty, because what was streamed cannot be taken back.
        """
        # By far the most events are texts; a pattern each would cost as much as the rest.
        if type(event) is Text:
            self._text.append(event.text)
            return event
        match event:
            case Reasoning():
                self._reasoning.append(event.text)
            case Replaced(text):
                return Text(self._replace(text))
            case Refusal():
                self._refusal.append(event.text)
            case ToolCallPart():
                self._add_call(event)
            case Usage():
                self._usage = event
            case Done(reason, stop_word):
                self.finish_reason, self.stop_word = reason, stop_word
        return event

    def _add_call(self, part: ToolCallPart) -> None:
        call = self._calls.setdefault(part.index, _CallSoFar())
        call.id = call.id or part.id
        if part.name:
            call.name.append(part.name)
        call.arguments.append(part.arguments)
        call.extra.update(part.extra)

    def _replace(self, text: str) -> str:
        """Make *text* the whole answer; return what a stream adds.

        A stream goes on after the part that both texts have in common, on a new line if the old
        text went on differently. Marks at its end do not count as a difference: some bots draw
        a cursor there, anew with each word.
        """
        old = self.text
        self._text = [text]
        if text.startswith(old):
            return text[len(old) :]
        same = common_length(old, text)
        differed = len(old) - same > _CURSOR or _ALNUM.search(old, same) is not None
        return f"\n\n{text[same:]}" if text[same:] and differed else text[same:]

    def usage(self, chat: ChatRequest) -> Usage:
        """Return the usage as Poe counts it, otherwise our own estimate."""
        if self._usage is not None:
            return self._usage
        calls = (call.name + call.arguments for call in self.calls)
        said = count_texts((self.text, self.reasoning, self.refusal, *calls), chat.budget)
        return Usage(count_prompt(chat), said)
