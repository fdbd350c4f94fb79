"""The file that a bot makes, in place of the link to it in its answer. Free of I/O but for what is
given: whoever can fetch a file.

Official API sheet §3.5: the last link of the answer is the file; a picture's prompt, which may hold
links as well, stands before it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Final, Protocol

from poe_proxy.budget import Budget
from poe_proxy.chat import ChatRequest, Done, File, FileWanted, Idle, ReplyEvent
from poe_proxy.errors import UpstreamProtocolError
from poe_proxy.shaping.pipeline import let_end
from poe_proxy.shaping.whole_text import WholeText

#: The longest silence, in seconds, while a file is fetched.
_TICK: Final = 0.5
#: The most links of an answer that are looked at, the last ones.
MAX_LINKS: Final = 100

#: The most characters of a link.
MAX_LINK: Final = 2000
#: What ends a link in a text, in Markdown, or between quotes.
ENDS: Final = r"\s<>\"'`()\[\]{}|\\^"
_LINK: Final = re.compile(rf"https?://[^{ENDS}]{{1,{MAX_LINK}}}", re.ASCII)
#: What a sentence puts behind a link.
CLOSING: Final = ".,;:!?*_"
#: What the path of a file says of it.
_KINDS: Final = ("image", "audio", "video")
#: Bytes that are encoded before others get their turn; a multiple of three, so that the pieces of
#: base64 can be joined.
_SLICE: Final = 3 * 262_144
#: Types that say nothing.
_UNSPECIFIC: Final = ("application/octet-stream", "binary/octet-stream")


class Fetched(Protocol):
    """A file that was fetched."""

    @property
    def data(self) -> bytes: ...
    @property
    def content_type(self) -> str: ...


class Fetching(Protocol):
    """A file on its way."""

    def wait(self, seconds: float) -> bool:
        """Wait for its end, *seconds* at most; return whether it has come."""

    def result(self) -> Fetched:
        """Return it; raises `UpstreamProtocolError`."""

    def close(self) -> None:
        """End it, if it is not over."""


class Files(Protocol):
    """Whoever can fetch the files of bots."""

    def owns(self, url: str) -> bool:
        """Whether *url* leads to such a file."""

    def begin(self, url: str) -> Fetching:
        """Begin to fetch it."""


def reply(
    events: Generator[ReplyEvent, None, None], chat: ChatRequest, files: Files
) -> Generator[ReplyEvent, None, None]:
    """Return the reply to *chat* with the file that it wants; as it is, if it wants none."""
    return events if chat.file is None else _with_file(events, chat.file, files)


def _with_file(
    events: Generator[ReplyEvent, None, None], wanted: FileWanted, files: Files
) -> Generator[ReplyEvent, None, None]:
    """Yield *events*, and before `Done` the `File` that is wanted, if the answer has a link to it.

    While the file is fetched, `Idle` comes: the bot is done by then, and its account free. Raises
    `UpstreamProtocolError` for a file that is not to be had, or is of another kind; it tells the
    link.
    """
    said = WholeText()
    with closing(events):
        for event in events:
            said.add(event)
            if isinstance(event, Done):
                let_end(events)
                url = last_link(said.text, wanted.kind, files)
                if url is not None and wanted.is_fetched:
                    try:
                        file = yield from _file(url, wanted.kind, files)
                    except UpstreamProtocolError as failure:
                        # The bot has been paid for it, and nobody else knows where it is.
                        told = f"{failure.message} It is at {url}"
                        raise UpstreamProtocolError(told, code=failure.code) from None
                    yield file
                elif url is not None:
                    yield File(url)
            yield event


def last_link(text: str, kind: str, files: Files) -> str | None:
    """Return the last link in *text* to a file of a bot that may be of this *kind*; None if there
    is none."""
    others = [f"/{one}/" for one in _KINDS if one != kind]
    end = len(text)
    for _ in range(MAX_LINKS):
        at = text.rfind("http", 0, end)
        if at < 0:
            break
        end = at
        if found := _LINK.match(text, at):
            url = found[0].rstrip(CLOSING)
            if files.owns(url) and not any(one in url for one in others):
                return url
    return None


def _file(url: str, kind: str, files: Files) -> Generator[ReplyEvent, None, File]:
    fetched = yield from fetch(url, files)
    came = fetched.content_type
    if not fetched.data:
        raise UpstreamProtocolError("The bot has made an empty file.", code="media_unreachable")
    if not came.startswith(f"{kind}/") and came not in _UNSPECIFIC:
        raise UpstreamProtocolError(
            f"The bot has made a file, but of the type {came}.", code="media_unreachable"
        )
    return File(url, came, fetched.data)


def in_base64(data: bytes, budget: Budget) -> list[bytes]:
    """Return *data* in base64, in pieces that can be joined; raises `OutOfBudget`."""
    whole = memoryview(data)
    pieces: list[bytes] = []
    with budget.work("encoding a file", size=len(data)):
        for at in range(0, len(data), _SLICE):
            pieces.append(base64.b64encode(whole[at : at + _SLICE]))
            budget.breathe()
    return pieces


def fetch(
    url: str, files: Files, may_go_on: Callable[[], bool] = lambda: True
) -> Generator[ReplyEvent, None, Fetched]:
    """Return the file at *url*; `Idle` comes while it is on its way, and it *may go on*.

    Raises `UpstreamProtocolError`.
    """
    fetching = files.begin(url)
    with closing(fetching):
        while not fetching.wait(_TICK):
            if not may_go_on():
                raise UpstreamProtocolError("The file takes too long.", code="media_unreachable")
            yield Idle()
        return fetching.result()
