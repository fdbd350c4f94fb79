"""Images and files of a conversation, and the tickets that Poe gives for them.

Free of I/O except for the callable that fetches. Web protocol sheet §16.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import mimetypes
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias
from urllib.parse import unquote, unquote_to_bytes

import orjson

from poe_proxy.chat import ChatRequest, FilePart, ImagePart
from poe_proxy.errors import InvalidRequest, UpstreamProtocolError
from poe_proxy.net import filenames

#: How many images and files a request may have. A conversation brings all of its own along in
#: every turn, so there is room for a long one; but a short request must not start long work.
MAX_FILES: Final = 20
#: Bytes of all of them: they stay in memory until the request is done.
MAX_BYTES: Final = 50_000_000
#: Seconds in which all URLs must be fetched: the account is lent in the meantime.
MAX_SECONDS: Final = 60.0

#: How many tickets of one account are remembered, and for how many seconds they are trusted.
_TICKETS: Final = 500
_TICKET_HOLDS: Final = 3600.0

_KIND: Final = re.compile(r"[a-z0-9][\w.+-]*/[a-z0-9][\w.+-]*", re.ASCII)
_UNKNOWN: Final = "application/octet-stream"
#: Types that say nothing; the last is what some file stores send.
_UNSPECIFIC: Final = ("", _UNKNOWN, "binary/octet-stream")
#: The first bytes of files, for those whose type is not given (WHATWG, "MIME Sniffing", 6.1, 7.1).
_BEGINNINGS: Final = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBPVP", re.DOTALL), "image/webp"),
    (re.compile(rb"%PDF-"), "application/pdf"),
)


class Fetched(Protocol):
    """What came from an https URL."""

    @property
    def data(self) -> bytes: ...
    @property
    def content_type(self) -> str | None: ...
    @property
    def filename(self) -> str | None: ...


#: Takes a URL, and the most seconds that it may take.
Fetch: TypeAlias = Callable[[str, float], Fetched]
Part: TypeAlias = ImagePart | FilePart


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
        """A hash of its content, and of how it is shown to the bot."""
        about = f"{self.name}\0{self.kind}\0".encode()
        return hashlib.sha256(about + hashlib.sha256(self.data).digest()).hexdigest()


def parts_of(chat: ChatRequest) -> list[Part]:
    """Return the images and files of the whole conversation, in their order."""
    return [part for message in chat.messages for part in message.content if isinstance(part, Part)]


def read_all(
    parts: Sequence[Part], fetch: Fetch | None, clock: Callable[[], float]
) -> Iterator[Attachment]:
    """Yield the files that *parts* hold or name, each as soon as it is there.

    Raises `InvalidRequest` with the path of the part that is invalid or beyond the limits.
    """
    for part in parts[MAX_FILES:]:
        raise _about(part, f"A request may have {MAX_FILES} images and files at most.")
    in_time = None if fetch is None else _within(MAX_SECONDS, fetch, clock)
    size = 0
    for part in parts:
        try:
            file = read(part, in_time)
        except InvalidRequest as refusal:
            raise _about(part, refusal.message) from refusal
        size += len(file.data)
        if size > MAX_BYTES:
            most = f"{MAX_BYTES / 1e6:g} MB"
            raise _about(part, f"The images and files of a request may have {most} in all.")
        yield file


def _within(seconds: float, fetch: Fetch, clock: Callable[[], float]) -> Callable[[str], Fetched]:
    """Return *fetch* as a function of the URL alone, whose calls have *seconds* in all."""
    until = clock() + seconds

    def in_time(url: str) -> Fetched:
        left = until - clock()
        try:
            if left > 0:
                return fetch(url, left)
        except InvalidRequest:
            # If the time is used up, that is the reason, and not how little the last URL had.
            if clock() < until:
                raise
        raise _invalid(f"The URLs of a request may take {seconds:g} seconds in all.")

    return in_time


def read(part: Part, fetch: Callable[[str], Fetched] | None) -> Attachment:
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
    if kind in _UNSPECIFIC or not _KIND.fullmatch(kind):
        kind = _kind_by_content(data) or mimetypes.guess_type(name or "")[0] or _UNKNOWN
    if isinstance(part, ImagePart) and not kind.startswith("image/"):
        raise _invalid(f"An image_url of the conversation is not an image, but {kind[:60]}.")
    return Attachment(filenames.tidy(name) or _name_for(kind, data), kind, data)


def _kind_by_content(data: bytes) -> str | None:
    return next((kind for beginning, kind in _BEGINNINGS if beginning.match(data)), None)


def _of_data_uri(uri: str) -> tuple[str, bytes]:
    head, comma, body = uri[5:].partition(",")
    if not comma:
        raise _invalid("A data URI of the conversation has no comma.")
    kind, *options = (one.strip().lower() for one in head.split(";"))
    if "base64" not in options:
        return kind or "text/plain", unquote_to_bytes(body)
    try:
        # Some clients break the text into lines, some escape what needs no escape.
        data = base64.b64decode("".join(unquote(body).split()), validate=True)
    except (binascii.Error, ValueError):
        raise _invalid("A data URI of the conversation is not valid base64.") from None
    return kind, data


def _name_for(kind: str, data: bytes) -> str:
    # From the content, so that the same image has the same name in each turn of a conversation.
    word = "image" if kind.startswith("image/") else "file"
    ending = ".jpg" if kind == "image/jpeg" else mimetypes.guess_extension(kind) or ""
    return f"{word}-{hashlib.sha256(data).hexdigest()[:8]}{ending}"


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest(message, param="messages")


def _about(part: Part, message: str) -> InvalidRequest:
    return InvalidRequest(f"{part.path}: {message}", param=part.path)


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
        """Return the ticket of *file*, from *upload* unless it is known."""
        digest = file.digest
        with self._lock:
            at_work = self._at_work.setdefault(digest, threading.Lock())
        # Another reply with the same file waits for the one upload.
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
        """Forget all tickets."""
        with self._lock:
            self._tickets.clear()
