"""The text of an answer, put together from events that add to it and those that replace it."""

from __future__ import annotations

from poe_proxy.chat import Replaced, ReplyEvent, Text


class WholeText:
    """Collects the text of one answer; what is no text is passed over."""

    def __init__(self) -> None:
        self._pieces: list[str] = []

    def add(self, event: ReplyEvent) -> None:
        """Take the next event."""
        if type(event) is Text:
            self._pieces.append(event.text)
        elif type(event) is Replaced:
            self._pieces = [event.text]

    @property
    def text(self) -> str:
        """All of it so far."""
        return "".join(self._pieces)
