"""The items of a streamed answer as they grow: one after another, none within another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, TypeAlias

import orjson

from poe_proxy.apis.custom_input import InputReader
from poe_proxy.apis.responses import forms
from poe_proxy.apis.responses.events import Events
from poe_proxy.apis.responses.forms import CallForms, Status
from poe_proxy.chat import Reasoning, Refusal, Text, ToolCallPart
from poe_proxy.json_pieces import has_more

#: What an item is made of.
Piece: TypeAlias = Text | Refusal | Reasoning | ToolCallPart
#: The item that a piece belongs to: the number of a call, or the kind of another item.
_Key: TypeAlias = int | str

#: The most pieces of arguments that are parsed to see whether they are whole.
_MAX_PIECES: Final = 10_000


class _Item(Protocol):
    """An item that is being said. Its methods return the events for what they do."""

    @property
    def form(self) -> dict[str, Any]:
        """The item as it is at its end."""

    def add(self, piece: Any) -> bytes:
        """Add a piece."""

    def end(self, status: Status) -> bytes:
        """End it."""

    def is_whole(self) -> bool:
        """Whether nothing more of it can come."""


class Output:
    """All items of a streamed answer.

    Pieces of two calls may come by turns, or a text before a call is whole. An item that has begun
    is ended first: what belongs to others is held back until then.
    """

    def __init__(self, events: Events, calls: CallForms) -> None:
        self._events = events
        self._calls = calls
        #: The items that have ended, as JSON objects.
        self.items: list[dict[str, Any]] = []
        self._begun = 0
        self._open: _Item | None = None
        self._key: _Key | None = None
        self._ended: set[_Key] = set()
        self._held: dict[_Key, list[Piece]] = {}
        #: What adds to the text that is being said, if one is.
        self._say: Callable[[str], bytes] | None = None

    def text(self, piece: Text) -> bytes:
        """Return the events for *piece*, as `add` does, and faster where it goes on with a text."""
        if self._say is not None and piece.text:
            return self._say(piece.text)
        return self.add(piece)

    def add(self, piece: Piece) -> bytes:
        """Return the events for *piece*; none if it is held back, or says nothing."""
        if not isinstance(piece, ToolCallPart) and not piece.text:
            return b""
        key = _key(piece)
        if key == self._key and self._open is not None:
            return self._added(self._open, piece)
        if key in self._ended:
            return b""  # its call was whole
        if self._held or not self._is_over():
            self._held.setdefault(key, []).append(piece)
            return b""
        return self._put(key, piece)

    def end(self, status: Status = "completed") -> bytes:
        """End all items; the last one has this *status*. Return the events."""
        held, self._held = self._held, {}
        put = [self._put(key, piece) for key, pieces in held.items() for piece in _merged(pieces)]
        return b"".join(put) + self._end(status)

    def abandon(self) -> None:
        """Leave what has not ended as it is: nobody may take it for whole."""
        self._open = self._key = self._say = None
        self._held = {}

    def _is_over(self) -> bool:
        return self._open is None or self._open.is_whole()

    def _put(self, key: _Key, piece: Piece) -> bytes:
        if key == self._key and self._open is not None:
            return self._added(self._open, piece)
        before = self._end("completed")
        self._key = key
        self._open, begun = self._begin(piece)
        return before + begun + self._added(self._open, piece)

    def _added(self, item: _Item, piece: Piece) -> bytes:
        added = item.add(piece)
        self._say = item.say if isinstance(item, _Message) and type(piece) is Text else None
        return added

    def _end(self, status: Status) -> bytes:
        if self._open is None or self._key is None:
            return b""
        ended, key = self._open, self._key
        self._open = self._key = self._say = None
        events = ended.end(status)
        self.items.append(ended.form)
        if isinstance(key, int):
            self._ended.add(key)
        if isinstance(ended, _Call) and ended.extra:
            events += self._signature(ended.form["call_id"], ended.extra)
        return events

    def _signature(self, call_id: str, extra: Mapping[str, Any]) -> bytes:
        item = forms.signature(forms.new_id("rs"), call_id, extra)
        place, self._begun = self._begun, self._begun + 1
        self.items.append(item)
        event = self._events.event
        return event("response.output_item.added", output_index=place, item=item) + event(
            "response.output_item.done", output_index=place, item=item
        )

    def _begin(self, piece: Piece) -> tuple[_Item, bytes]:
        place, self._begun = self._begun, self._begun + 1
        match piece:
            case Reasoning():
                thought = _Thought(self._events, place)
                return thought, thought.begin()
            case Text() | Refusal():
                message = _Message(self._events, place)
                return message, message.begin()
            case ToolCallPart():
                call = _Call(self._events, place, self._calls, piece)
                return call, call.begin()


def _key(piece: Piece) -> _Key:
    if isinstance(piece, ToolCallPart):
        return piece.index
    return "reasoning" if isinstance(piece, Reasoning) else "message"


def _merged(pieces: list[Piece]) -> list[Piece]:
    """Return the *pieces* of one item in as few as they can be."""
    first = pieces[0]
    if isinstance(first, ToolCallPart):
        parts = [piece for piece in pieces if isinstance(piece, ToolCallPart)]
        arguments = "".join(part.arguments for part in parts)
        extra = {name: one for part in parts for name, one in part.extra.items()}
        return [ToolCallPart(first.index, first.id, first.name, arguments, extra)]
    found: list[Piece] = []
    texts: list[str] = []
    kind = type(first)
    for piece in pieces:
        if isinstance(piece, ToolCallPart):
            continue
        if type(piece) is not kind:
            found.append(kind("".join(texts)))
            kind, texts = type(piece), []
        texts.append(piece.text)
    return [*found, kind("".join(texts))]


class _Thought:
    def __init__(self, events: Events, place: int) -> None:
        self._events = events
        self._id = forms.new_id("rs")
        self._item = {"item_id": self._id, "output_index": place}
        self._place = {**self._item, "summary_index": 0}
        self._texts: list[str] = []
        self._delta = events.deltas("response.reasoning_summary_text.delta", **self._place)

    @property
    def form(self) -> dict[str, Any]:
        return forms.reasoning(self._id, "".join(self._texts))

    def begin(self) -> bytes:
        added, part = "response.output_item.added", "response.reasoning_summary_part.added"
        index = self._item["output_index"]
        return self._events.event(
            added, output_index=index, item=forms.reasoning(self._id)
        ) + self._events.event(part, **self._place, part=forms.summary(""))

    def add(self, piece: Reasoning) -> bytes:
        self._texts.append(piece.text)
        return self._delta(piece.text)

    def end(self, status: Status) -> bytes:
        text = "".join(self._texts)
        event, place = self._events.event, self._place
        return (
            event("response.reasoning_summary_text.done", **place, text=text)
            + event("response.reasoning_summary_part.done", **place, part=forms.summary(text))
            + _item_done(self._events, self._item, self.form)
        )

    def is_whole(self) -> bool:
        return True


class _Message:
    def __init__(self, events: Events, place: int) -> None:
        self._events = events
        self._id = forms.new_id("msg")
        self._item = {"item_id": self._id, "output_index": place}
        self._parts: list[dict[str, Any]] = []
        self._status: Status = "completed"
        #: The part that is being said, and what of it was said.
        self._kind: type[Text | Refusal] | None = None
        self._texts: list[str] = []
        self._delta: Callable[[str], bytes] = str.encode

    @property
    def form(self) -> dict[str, Any]:
        return forms.message(self._id, self._status, *self._parts)

    def begin(self) -> bytes:
        return self._events.event(
            "response.output_item.added",
            output_index=self._item["output_index"],
            item=forms.message(self._id, "in_progress"),
        )

    def add(self, piece: Text | Refusal) -> bytes:
        begun = b""
        if type(piece) is not self._kind:
            begun = self._end_part() + self._begin_part(type(piece))
        return begun + self.say(piece.text)

    def say(self, text: str) -> bytes:
        self._texts.append(text)
        return self._delta(text)

    def _begin_part(self, kind: type[Text | Refusal]) -> bytes:
        self._kind, self._texts = kind, []
        place = {**self._item, "content_index": len(self._parts)}
        if kind is Text:
            self._delta = self._events.deltas("response.output_text.delta", **place, logprobs=[])
        else:
            self._delta = self._events.deltas("response.refusal.delta", **place)
        return self._events.event("response.content_part.added", **place, part=self._part(""))

    def _part(self, text: str) -> dict[str, Any]:
        return forms.output_text(text) if self._kind is Text else forms.refusal(text)

    def _end_part(self) -> bytes:
        if self._kind is None:
            return b""
        text = "".join(self._texts)
        place = {**self._item, "content_index": len(self._parts)}
        event, part = self._events.event, self._part(text)
        self._parts.append(part)
        if self._kind is Text:
            done = event("response.output_text.done", **place, text=text, logprobs=[])
        else:
            done = event("response.refusal.done", **place, refusal=text)
        return done + event("response.content_part.done", **place, part=part)

    def end(self, status: Status) -> bytes:
        ended = self._end_part()
        self._status = status
        return ended + _item_done(self._events, self._item, self.form)

    def is_whole(self) -> bool:
        return True


class _Call:
    def __init__(self, events: Events, place: int, calls: CallForms, first: ToolCallPart) -> None:
        self._events = events
        name = first.name or ""
        self._is_custom = calls.is_custom(name)
        self._form = calls.call(calls.new_id(name), "in_progress", first.id, name, "")
        self._item = {"item_id": self._form["id"], "output_index": place}
        kind = "custom_tool_call_input" if self._is_custom else "function_call_arguments"
        self._kind = f"response.{kind}"
        self._delta = events.deltas(f"{self._kind}.delta", **self._item)
        #: What else the bot has said of it.
        self.extra: dict[str, Any] = {}
        self._arguments: list[str] = []
        self._input: list[str] = []
        self._reader = InputReader()

    @property
    def form(self) -> dict[str, Any]:
        return self._form

    def begin(self) -> bytes:
        return self._events.event(
            "response.output_item.added",
            output_index=self._item["output_index"],
            item=self._form,
        )

    def add(self, piece: ToolCallPart) -> bytes:
        self.extra.update(piece.extra)
        if not piece.arguments:
            return b""
        self._arguments.append(piece.arguments)
        if self._is_custom:
            return self._given(self._reader.feed(piece.arguments))
        return self._delta(piece.arguments)

    def _given(self, text: str) -> bytes:
        if not text:
            return b""
        self._input.append(text)
        return self._delta(text)

    def end(self, status: Status) -> bytes:
        rest = b""
        if self._is_custom:
            rest = self._given(self._reader.finish())
            given = {"input": "".join(self._input)}
            done = given
        else:
            given = {"arguments": "".join(self._arguments)}
            done = {"name": self._form["name"], **given}
        self._form = {**self._form, **given, "status": status}
        told = self._events.event(f"{self._kind}.done", **self._item, **done)
        return rest + told + _item_done(self._events, self._item, self._form)

    def is_whole(self) -> bool:
        text = "".join(self._arguments)
        if has_more(text, values=_MAX_PIECES, names=_MAX_PIECES):
            return False
        try:
            orjson.loads(text)
        except orjson.JSONDecodeError:
            return False
        return True


def _item_done(events: Events, item: dict[str, Any], form: dict[str, Any]) -> bytes:
    return events.event("response.output_item.done", output_index=item["output_index"], item=form)
