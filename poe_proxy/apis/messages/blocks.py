"""The content blocks of an answer: those of a stream never overlap, and their indexes go up."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Final

import orjson

from poe_proxy import sse
from poe_proxy.budget import Budget, OutOfBudget
from poe_proxy.chat import ToolCall, ToolCallPart
from poe_proxy.json_pieces import has_more
from poe_proxy.upstreams.bulk import loads

#: Where arguments go that are no JSON object, as Anthropic's documentation of fine-grained tool
#: streaming has it.
_INVALID: Final = "INVALID_JSON"
#: The most values, and names, in arguments that are read in a few milliseconds.
_FEW: Final = 10_000

_TEXT: Final = {"type": "text", "text": ""}
_THINKING: Final = {"type": "thinking", "thinking": "", "signature": ""}


def input_of(arguments: str, budget: Budget) -> dict[str, Any]:
    """Return the arguments of a call as the object that they have to be. Those of many pieces count
    towards the *budget*, and are told as they came once nothing is left of it."""
    if not arguments.strip():
        return {}
    try:
        if has_more(arguments, values=_FEW, names=_FEW):
            with budget.work("reading the arguments of a call", size=len(arguments)):
                return _object(arguments, budget)
        return _object(arguments, budget)
    except (ValueError, TypeError, OutOfBudget):
        return {_INVALID: arguments}


def _object(text: str, budget: Budget) -> dict[str, Any]:
    """Return the JSON object in *text*, which can be written again."""
    budget.pause()  # a reply may have many calls
    found = loads(text)
    if not isinstance(found, dict):
        raise ValueError("it is no object")
    budget.pause()
    orjson.dumps(found)  # it reads deeper than it writes
    return found


def call_block(call: ToolCall, budget: Budget) -> dict[str, Any]:
    """Return the block of a whole call."""
    return {**_head(call.id, call.name), "input": input_of(call.arguments, budget)}


def _head(id: str | None, name: str | None) -> dict[str, Any]:
    id = id or f"toolu_{secrets.token_hex(12)}"
    return {"type": "tool_use", "id": id, "name": name or "", "input": {}}


class Blocks:
    """The blocks of one stream: each method returns the events that it adds, none as `b""`.

    The first call is passed on as it arrives. Its block ends with the answer, because clients carry
    out what is complete even if the stream breaks then; and what comes meanwhile is held back, for
    some bots write several calls at once.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._index = -1
        #: What kind of block is open, and what surrounds each delta of it, serialised once.
        self._open: str | None = None
        self._before = self._behind = b""
        #: The calls that have begun, the first one first.
        self._calls: dict[int, None] = {}
        #: Whether the first call is passed on as it arrives; None until its arguments begin.
        self._is_live: bool | None = None
        self._later: list[str] = []

    def text(self, text: str) -> bytes:
        """Add to the answer."""
        if self._open == "text" and text:
            return self._before + orjson.dumps(text) + self._behind
        if self._calls:
            self._later.append(text)
            return b""
        return self._added("text", _TEXT, text)

    def thinking(self, text: str) -> bytes:
        """Add to what the bot thinks; what it thinks behind a call is left out."""
        return b"" if self._calls else self._added("thinking", _THINKING, text)

    def call(self, part: ToolCallPart) -> bytes:
        """Add a piece of a call."""
        events = b""
        if not self._calls:
            events = self._begun("tool_use", _head(part.id, part.name))
        self._calls.setdefault(part.index)
        if part.index == next(iter(self._calls)):
            if self._is_live is None and (beginning := part.arguments.lstrip()):
                self._is_live = beginning.startswith("{")
            if self._is_live and part.arguments:
                events += self._delta(part.arguments)
        return events

    def finish(self, calls: Sequence[ToolCall]) -> bytes:
        """End the last block, and add what was held back of an answer with these *calls*."""
        events: list[bytes] = []
        rest = [calls[place] for place in self._places()]
        if rest and not self._is_live:
            events.append(self._delta(self._json_text(rest[0])))
        if later := "".join(self._later):
            events += self._begun("text", _TEXT), self._delta(later)
        for call in rest[1:]:
            events.append(self._begun("tool_use", _head(call.id, call.name)))
            events.append(self._delta(self._json_text(call)))
        if self._index < 0:
            # An answer without a block would be taken for none, and asked for again.
            events.append(self._begun("text", _TEXT))
        return b"".join([*events, self._ended()])

    def last_words(self, text: str) -> bytes:
        """Add *text* as the last block, unless a call is open, which must not become complete."""
        if self._open == "tool_use":
            return b""
        return self._added("text", _TEXT, text) + self._ended()

    def _added(self, kind: str, block: dict[str, Any], text: str) -> bytes:
        if not text:
            return b""
        if self._open == kind:
            return self._delta(text)
        return self._begun(kind, block) + self._delta(text)

    def _delta(self, text: str) -> bytes:
        return self._before + orjson.dumps(text) + self._behind

    def _begun(self, kind: str, block: dict[str, Any]) -> bytes:
        ended = self._ended()
        self._index += 1
        self._open = kind
        start = {"type": "content_block_start", "index": self._index, "content_block": block}
        delta, field = (
            ("input_json_delta", "partial_json") if kind == "tool_use" else (f"{kind}_delta", kind)
        )
        around = {"type": "content_block_delta", "index": self._index}
        frame = sse.event(
            b"content_block_delta",
            orjson.dumps({**around, "delta": {"type": delta, field: ""}}),
        )
        before, _, behind = frame.rpartition(b'""')
        self._before, self._behind = before, behind
        return ended + sse.event(b"content_block_start", orjson.dumps(start))

    def _ended(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        stop = {"type": "content_block_stop", "index": self._index}
        return sse.event(b"content_block_stop", orjson.dumps(stop))

    def _places(self) -> list[int]:
        """Return where the calls stand among all of them by number, the first to begin first."""
        places = {number: place for place, number in enumerate(sorted(self._calls))}
        return [places[number] for number in self._calls]

    def _json_text(self, call: ToolCall) -> str:
        return orjson.dumps(input_of(call.arguments, self._budget)).decode()
