"""What calls have in common whose answers come whole, and never as a stream."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Final

from poe_proxy.apis.openai_error import error_body
from poe_proxy.apis.transcript import Transcript
from poe_proxy.chat import ChatRequest, File, Said
from poe_proxy.errors import PoeProxyError

#: The most characters of a bot's words that an error shows.
MAX_WORDS: Final = 2000


class WholeCall(ABC):
    """One request whose answer comes whole: the greater part of a `Call`."""

    def __init__(self, chat: ChatRequest) -> None:
        self.chat = chat
        self.streams = False
        self.content_type = "application/json"

    @abstractmethod
    def body(self, events: Iterable[Said]) -> bytes:
        """Return the body of the answer. *events* end with `Done`, or raise."""

    def frame(self, event: Said) -> bytes:
        """Return nothing: there is no stream."""
        return b""

    def failed(self, failure: PoeProxyError) -> bytes:
        """Return the error object."""
        return error_body(failure)

    def opens_for(self, failure: PoeProxyError) -> bool:
        """Return False: there is no stream to be opened."""
        return False


def file_or_words(events: Iterable[Said]) -> File | str:
    """Return the file of a reply, or what the bot says in its place."""
    said = Transcript()
    file: File | None = None
    for event in events:
        said.add(event)
        if isinstance(event, File):
            file = event
    return file or (said.text + said.refusal).strip()[:MAX_WORDS]
