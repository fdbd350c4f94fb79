"""Pictures that a bot's answer has only links to, for clients that show none (`MEDIA`).

`inline` makes a bare link a Markdown image. `embed` puts the picture itself in its place, as a
data URI. What is no picture, or not on Poe's hosts, stays as it is, and so does a link behind the
image that shows the same picture, as some bots write it (official API sheet §3.5).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from typing import Final

from poe_proxy.budget import OutOfBudget
from poe_proxy.chat import (
    ChatRequest,
    Done,
    File,
    Idle,
    Reasoning,
    Refusal,
    Replaced,
    ReplyEvent,
    Text,
    ToolCallPart,
    Usage,
)
from poe_proxy.errors import UpstreamProtocolError
from poe_proxy.shaping.files import CLOSING, ENDS, MAX_LINK, Files, fetch, in_base64
from poe_proxy.shaping.pipeline import Row, joined, let_end, run
from poe_proxy.shaping.tokenizer import count_prompt, count_texts
from poe_proxy.shaping.whole_text import WholeText

#: Bytes of a picture that is embedded; a larger one stays a link.
MAX_PICTURE: Final = 4_000_000
#: Pictures that are embedded in one answer; those beyond stay links.
MAX_PICTURES: Final = 8
#: Characters of all of them together, each time that the bot writes its answer anew included.
MAX_EMBEDDED: Final = 20_000_000
#: Seconds that the pictures of one answer may take together, for which its account is held; those
#: that have not come by then stay links.
MAX_SECONDS: Final = 60.0
#: Characters of one event with a picture in it.
_PIECE: Final = 65_536

_BEGINNINGS: Final = ("https://", "http://")
_LINK_BEGINS: Final = re.compile(r"https?://", re.ASCII)
_LINK_ENDS: Final = re.compile(rf"[{ENDS}]", re.ASCII)


def shown(
    events: Generator[ReplyEvent, None, None], chat: ChatRequest, media: str, files: Files
) -> Generator[ReplyEvent, None, None]:
    """Return the reply to *chat* with its pictures as *media* has them; as it is, for `links`, for
    JSON, in which a link is a value, and where a file is wanted, which is found by its link."""
    if media == "links" or chat.json is not None or chat.file is not None:
        return events
    if media == "inline":
        return run(events, Pictures(files), budget=chat.budget, listener=chat.listener)
    return _embedded(events, chat, files)


class Pictures:
    """A stage that makes links to pictures Markdown images.

    If it *embeds*, a `File` comes in place of the address of each picture in such an image.
    """

    field = None

    def __init__(self, files: Files, *, embeds: bool = False) -> None:
        self._files = files
        self._embeds = embeds
        self._has_given_up = False
        self._begin()

    def _begin(self) -> None:
        #: What may be the beginning of a link, and the pieces of one whose end has not come.
        self._held = ""
        self._link: list[str] = []
        self._length = 0
        #: What stands before that: its last two characters, and whether an image begins in its
        #: last line.
        self._before = ""
        self._has_image = False
        self._shown: set[str] = set()
        self._made: list[str | File] = []

    def feed(self, event: ReplyEvent) -> Iterable[ReplyEvent]:
        """See `Stage`."""
        if self._has_given_up:
            return (event,)
        match event:
            case Text(text):
                self._read(text)
                return self._take()
            case Replaced(text):
                self._begin()
                self._read(text)
                return joined([Replaced(""), *self._take()])
            case Done():
                return *self._let_go(), event
        return (event,)

    def give_up(self) -> Iterable[ReplyEvent]:
        """See `Stage`."""
        self._has_given_up = True
        return self._let_go()

    def _let_go(self) -> Sequence[ReplyEvent]:
        if self._link:
            self._end_link()
        held, self._held = self._held, ""
        self._say(held)
        return self._take()

    def _take(self) -> Sequence[ReplyEvent]:
        made, self._made = self._made, []
        return joined([one if isinstance(one, File) else Text(one) for one in made])

    def _read(self, text: str) -> None:
        text, self._held = self._held + text, ""
        at = 0
        while at < len(text):
            if self._link:
                found = _LINK_ENDS.search(text, at, at + MAX_LINK)
                end = found.start() if found else min(len(text), at + MAX_LINK)
                self._link.append(text[at:end])
                self._length += end - at
                at = end
                if self._length > MAX_LINK:  # no link of a picture is as long as that
                    self._drop_link()
                elif found:
                    self._end_link()
                continue
            found = _LINK_BEGINS.search(text, at)
            end = found.start() if found else len(text) - _beginning_at_end(text, at)
            self._say(text[at:end])
            if found is None:
                self._held = text[end:]
                return
            self._link, self._length = [found[0]], len(found[0])
            at = found.end()

    def _drop_link(self) -> None:
        link, self._link = "".join(self._link), []
        self._say(link)

    def _end_link(self) -> None:
        link, self._link = "".join(self._link), []
        url = link.rstrip(CLOSING)
        if "/image/" not in url or not self._files.owns(url):
            self._say(link)
            return
        if self._before == "](":
            self._show(url, "", "") if self._has_image else self._say(url)
        elif url not in self._shown and (not self._before or self._before[-1] in " \t\n\r*_:"):
            self._show(url, "![picture](", ")")
        else:
            self._say(url)
        self._say(link[len(url) :])

    def _show(self, url: str, before: str, behind: str) -> None:
        self._shown.add(url)
        self._say(before)
        if self._embeds:
            self._made.append(File(url))
            self._before = "x"
        else:
            self._say(url)
        self._say(behind)

    def _say(self, text: str) -> None:
        if not text:
            return
        self._made.append(text)
        line = self._before + text
        if start := text.rfind("\n") + 1:
            self._has_image, line = False, text[start - 1 :]
        self._has_image = self._has_image or "![" in line
        self._before = (self._before + text)[-2:]


def _beginning_at_end(text: str, start: int) -> int:
    """Return how many characters at the end of *text*, from *start* on, may begin a link."""
    for length in range(min(len(_BEGINNINGS[0]) - 1, len(text) - start), 0, -1):
        if any(one.startswith(text[-length:]) for one in _BEGINNINGS):
            return length
    return 0


# ---- pictures in place of their links


def _embedded(
    events: Generator[ReplyEvent, None, None], chat: ChatRequest, files: Files
) -> Generator[ReplyEvent, None, None]:
    """Yield *events* with pictures as data URIs. While one is fetched, `Idle` comes.

    If Poe gives no usage, it comes from here, for what the bot has said.
    """
    row, album = Row([Pictures(files, embeds=True)], chat.budget), _Album(chat, files)
    said, besides = WholeText(), list[str]()
    is_counted = False
    with closing(events):
        for event in events:
            said.add(event)
            match event:
                case Reasoning(text) | Refusal(text):
                    besides.append(text)
                case ToolCallPart(name=name, arguments=arguments):
                    besides += (name or "", arguments)
                case Usage():
                    is_counted = True
                case Done():
                    let_end(events)
            resolved: list[ReplyEvent] = []
            for one in row.feed(event) or (Idle(),):
                resolved.append((yield from album.open(one)) if isinstance(one, File) else one)
            for one in joined(resolved):
                if isinstance(one, Done) and album.has_pictures and not is_counted:
                    texts = (said.text, "".join(besides))
                    yield Usage(count_prompt(chat), count_texts(texts, chat.budget))
                yield from _in_pieces(one)


def _in_pieces(event: ReplyEvent) -> Iterable[ReplyEvent]:
    if not isinstance(event, Text) or len(event.text) <= 2 * _PIECE:
        return (event,)
    return [Text(event.text[at : at + _PIECE]) for at in range(0, len(event.text), _PIECE)]


class _Album:
    """The pictures of one answer."""

    def __init__(
        self, chat: ChatRequest, files: Files, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._chat = chat
        self._files = files
        self._clock = clock
        #: Until when they may come; None while there is none.
        self._until: float | None = None
        #: What stands in place of each link: a data URI, or the link itself.
        self._known: dict[str, str] = {}
        self._left = MAX_EMBEDDED
        self.has_pictures = False

    def open(self, file: File) -> Generator[ReplyEvent, None, Text]:
        """Return what stands in place of *file*: its data URI, or its link."""
        url = file.url
        if url not in self._known and len(self._known) < MAX_PICTURES:
            self._known[url] = yield from self._fetch(url)
        found = self._known.get(url, url)
        self._left -= len(found)
        if found == url or self._left < 0:
            return Text(url)
        self.has_pictures = True
        return Text(found)

    def _may_go_on(self) -> bool:
        now = self._clock()
        if self._until is None:
            self._until = now + MAX_SECONDS
        return now < self._until

    def _fetch(self, url: str) -> Generator[ReplyEvent, None, str]:
        try:
            got = yield from fetch(url, self._files, self._may_go_on)
            if not got.content_type.startswith("image/") or not 0 < len(got.data) <= MAX_PICTURE:
                return url
            pieces = in_base64(got.data, self._chat.budget)
        except (UpstreamProtocolError, OutOfBudget):  # the link is as good as without all this
            return url
        return f"data:{got.content_type};base64,{b''.join(pieces).decode()}"
