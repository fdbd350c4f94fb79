"""Events that have come together, as few and large as they can be."""

from __future__ import annotations

from collections.abc import Iterable

from poe_proxy.chat import Reasoning, ReplyEvent, Text


class Together:
    """Collects reply events: texts in a row are one, and so are thoughts in a row."""

    __slots__ = ("_events", "_kind", "_pieces")

    def __init__(self) -> None:
        self._events: list[ReplyEvent] = []
        #: What the newest text, or thought, is made of.
        self._pieces: list[str] = []
        self._kind: type[Text | Reasoning] = Text

    def text(self, text: str) -> None:
        """Add the event `Text(text)`."""
        if self._kind is not Text:
            self._turn_to(Text)
        self._pieces.append(text)

    def thought(self, thought: str) -> None:
        """Add the event `Reasoning(thought)`."""
        if self._kind is not Reasoning:
            self._turn_to(Reasoning)
        self._pieces.append(thought)

    def add(self, events: Iterable[ReplyEvent]) -> None:
        """Add *events*."""
        for event in events:
            if isinstance(event, Text):
                self.text(event.text)
            elif isinstance(event, Reasoning):
                self.thought(event.text)
            else:
                self._join()
                self._events.append(event)

    def taken(self) -> list[ReplyEvent]:
        """Return what has been added, and forget it."""
        self._join()
        events, self._events = self._events, []
        return events

    def _turn_to(self, kind: type[Text | Reasoning]) -> None:
        self._join()
        self._kind = kind

    def _join(self) -> None:
        if self._pieces:
            self._events.append(self._kind("".join(self._pieces)))
            self._pieces.clear()
