"""Images and files of a conversation, and the tickets that Poe gives for them.

Free of I/O but for the callable that fetches. Web protocol sheet §16.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import mimetypes
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias
from urllib.parse import unquote, unquote_to_bytes

import orjson

from poe_proxy.chat import ChatRequest, FilePart, ImagePart
from poe_proxy.errors import InvalidRequest, UpstreamProtocolError

#: Tickets that are remembered of one account, and the seconds for which they are trusted.
_TICKETS: Final = 500
_TICKET_HOLDS: Final = 3600.0

_KIND: Final = re.compile(r"[a-z0-9][\w.+-]*/[a-z0-9][\w.+-]*", re.ASCII)
_UNKNOWN: Final = "application/octet-stream"


class Fetched(Protocol):
    """What came from an https URL."""

    @property
    def data(self) -> bytes: ...
    @property
    def content_type(self) -> str | None: ...
    @property
    def filename(self) -> str | None: ...


Fetch: TypeAlias = Callable[[str], Fetched]


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file as it is uploaded."""

    name: str
    kind: str
    data: bytes = field(repr=False)

    @property
    def is_image(self) -> bool:
        return self.kind.startswith("image/")

    @property
    def digest(self) -> str:
        """What tells it from all others: its content, and how it is shown to the bot."""
        about = f"{self.name}\0{self.kind}\0".encode()
        return hashlib.sha256(about + hashlib.sha256(self.data).digest()).hexdigest()


def parts_of(chat: ChatRequest) -> list[ImagePart | FilePart]:
    """Return the parts of the whole conversation that are no text, in their order."""
    return [
        part
        for message in chat.messages
        for part in message.content
        if isinstance(part, ImagePart | FilePart)
    ]


def read(part: ImagePart | FilePart, fetch: Fetch | None) -> Attachment:
    """Return the file that *part* holds or names; raises `InvalidRequest`."""
    address = part.url if isinstance(part, ImagePart) else part.data
    name = part.filename if isinstance(part, FilePart) else None
    if address[:5].lower() == "data:":
        kind, data = _of_data_uri(address)
    elif fetch is None:
        raise _invalid("Images and files by URL are not served here; send a data URI.")
    else:
        fetched = fetch(address)
        name, data = name or fetched.filename, fetched.data
        kind = (fetched.content_type or "").partition(";")[0].strip().lower()
    if not data:
        raise _invalid("An image or file of the conversation is empty.")
    if kind in ("", _UNKNOWN) and name:
        kind = mimetypes.guess_type(name)[0] or kind
    if not _KIND.fullmatch(kind):
        kind = _UNKNOWN
    if isinstance(part, ImagePart) and not kind.startswith("image/"):
        raise _invalid(f"An image_url of the conversation is no image, but {kind[:60]}.")
    return Attachment(_tidy(name) or _name_for(kind, data), kind, data)


def _of_data_uri(uri: str) -> tuple[str, bytes]:
    head, comma, body = uri[5:].partition(",")
    if not comma:
        raise _invalid("A data URI of the conversation has no comma.")
    kind, *options = (one.strip().lower() for one in head.split(";"))
    if "base64" not in options:
        return kind or "text/plain", unquote_to_bytes(body)
    try:
        # Some clients break the lines, some escape what needs no escape.
        data = base64.b64decode("".join(unquote(body).split()), validate=True)
    except (binascii.Error, ValueError):
        raise _invalid("A data URI of the conversation is not valid base64.") from None
    return kind, data


def _tidy(name: str | None) -> str:
    """The last part of a path, and no longer than file systems like it."""
    last = re.split(r"[/\\]", name or "")[-1]
    return "".join(one for one in last if one.isprintable() and one != '"').strip(". ")[-150:]


def _name_for(kind: str, data: bytes) -> str:
    # Of the content, so that the same image has the same name in each turn of a conversation.
    word = "image" if kind.startswith("image/") else "file"
    ending = ".jpg" if kind == "image/jpeg" else mimetypes.guess_extension(kind) or ""
    return f"{word}-{hashlib.sha256(data).hexdigest()[:8]}{ending}"


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest(message, param="messages")


# ---- tickets


_TICKET: Final = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_TICKET_NAMES: Final = ("fileHashJwt", "file_hash_jwt", "jwt", "token")


def read_ticket(content: bytes) -> str:
    """Return the JWT in the answer to an upload, in any of the forms of §16.2.

    Raises `UpstreamProtocolError`.
    """
    try:
        answer: Any = orjson.loads(content)
    except orjson.JSONDecodeError:
        answer = content.decode("utf-8", "replace").strip().strip('"')
    by_name: dict[str, str] = {}
    others: list[str] = []
    for name, text in _strings(answer):
        if _TICKET.fullmatch(text):
            by_name.setdefault(name, text)
            others.append(text)
    for name in _TICKET_NAMES:
        if name in by_name:
            return by_name[name]
    if others:
        return others[0]
    raise UpstreamProtocolError("Poe took a file and gave no ticket for it.")


def _strings(data: Any, name: str = "") -> Iterator[tuple[str, str]]:
    waiting = [(name, data)]
    while waiting:
        name, one = waiting.pop(0)
        if isinstance(one, str):
            yield name, one
        elif isinstance(one, dict):
            waiting.extend(one.items())
        elif isinstance(one, list):
            waiting.extend((name, each) for each in one)


class Tickets:
    """The tickets of one account, by what they are for: each content is uploaded once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tickets: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._lock = threading.Lock()
        self._at_work: dict[str, threading.Lock] = {}

    def get(self, file: Attachment, upload: Callable[[Attachment], str]) -> str:
        """Return the ticket of *file*, by *upload* unless there is one."""
        digest = file.digest
        with self._lock:
            at_work = self._at_work.setdefault(digest, threading.Lock())
        # Who asks for the same file meanwhile waits for the one upload.
        with at_work:
            try:
                known = self._known(digest)
                if known is None:
                    known = upload(file)
                    self._remember(digest, known)
                return known
            finally:
                with self._lock:
                    self._at_work.pop(digest, None)

    def _known(self, digest: str) -> str | None:
        with self._lock:
            until, ticket = self._tickets.get(digest, (0.0, ""))
            if not ticket or self._clock() > until:
                return None
            self._tickets.move_to_end(digest)
            return ticket

    def _remember(self, digest: str, ticket: str) -> None:
        with self._lock:
            self._tickets[digest] = self._clock() + _TICKET_HOLDS, ticket
            while len(self._tickets) > _TICKETS:
                self._tickets.popitem(last=False)

    def forget(self) -> None:
        """Trust none of them any more."""
        with self._lock:
            self._tickets.clear()
