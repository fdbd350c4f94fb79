"""Images and files of a conversation, and the tickets that Poe gives for them.

Free of I/O except for the callable that fetches. Web protocol sheet §16.
"""

from __future__ import annotations

import mimetypes
import re
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

from poe_proxy.budget import Budget, OutOfBudget
from poe_proxy.chat import ChatRequest, FilePart, ImagePart
from poe_proxy.errors import InvalidRequest, UpstreamProtocolError
from poe_proxy.net import filenames
from poe_proxy.net.fetching import MAX_URL
from poe_proxy.upstreams.bulk import base64_decoded, digest, loads, percent_decoded

#: How many images and files a request may have. A conversation brings all of its own along in
#: every turn, so there is room for a long one; but a short request must not start long work.
MAX_FILES: Final = 20
#: Bytes of all of them: they stay in memory until the request is done.
MAX_BYTES: Final = 50_000_000
#: Seconds in which all URLs must be fetched: the account is lent in the meantime.
MAX_SECONDS: Final = 60.0
#: Bytes that are given to Poe for one request, by all accounts that are tried together.
MAX_GIVEN: Final = 150_000_000
#: The most characters of a data URI before its data.
_MAX_HEAD: Final = 1000

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
    #: The SHA-256 of its content, computed only once.
    sha256: bytes = field(default=b"", repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.sha256:
            object.__setattr__(self, "sha256", digest("sha256", self.data))

    @property
    def is_image(self) -> bool:
        return self.kind.startswith("image/")

    @property
    def digest(self) -> str:
        """A hash of its content, and of how it is shown to the bot."""
        about = f"{self.name}\0{self.kind}\0".encode()
        return digest("sha256", about, self.sha256).hex()


def parts_of(chat: ChatRequest) -> list[Part]:
    """Return the images and files of the whole conversation, in their order."""
    return [part for message in chat.messages for part in message.content if isinstance(part, Part)]


class Files:
    """The images and files of one request, read once for all accounts that are tried. The limits
    hold for all tries together. For one thread at a time."""

    def __init__(self) -> None:
        #: What was read, by the identity of the part, which is kept along with it.
        self._known: dict[int, tuple[Part, Attachment]] = {}
        self._size = 0
        self._seconds = MAX_SECONDS
        self._given = 0

    def read(
        self, parts: Sequence[Part], fetch: Fetch | None, clock: Callable[[], float], budget: Budget
    ) -> Iterator[Attachment]:
        """Yield the files that *parts* hold or name, each as soon as it is there.

        *budget* is that of the request. Raises `InvalidRequest` with the path of the part that is
        invalid or beyond the limits.
        """
        for part in parts[MAX_FILES:]:
            raise _about(part, f"A request may have {MAX_FILES} images and files at most.")

        def in_time(url: str) -> Fetched:
            assert fetch is not None
            return self._fetch(url, fetch, clock)

        for part in parts:
            if id(part) not in self._known:
                try:
                    file = read(part, None if fetch is None else in_time, budget)
                except InvalidRequest as refusal:
                    raise _about(part, refusal.message, refusal.code) from refusal
                self._size += len(file.data)
                if self._size > MAX_BYTES:
                    most = f"{MAX_BYTES / 1e6:g} MB"
                    raise _about(part, f"The images and files of a request may have {most} in all.")
                self._known[id(part)] = part, file
            yield self._known[id(part)][1]

    def _fetch(self, url: str, fetch: Fetch, clock: Callable[[], float]) -> Fetched:
        began = clock()
        try:
            if self._seconds > 0:
                return fetch(url, self._seconds)
        except InvalidRequest:
            # If the time is used up, that is the reason, and not how little the last URL had.
            if clock() - began < self._seconds:
                raise
        finally:
            self._seconds -= clock() - began
        raise _invalid(f"The URLs of a request may take {MAX_SECONDS:g} seconds in all.")

    def give(self, size: int) -> None:
        """Count *size* bytes of files that are about to be given to Poe.

        Raises `InvalidRequest` if Poe has had too many: what it refuses so often it does not take.
        """
        self._given += size
        if self._given > MAX_GIVEN:
            raise InvalidRequest(
                "The images and files of this request were given to Poe, and refused, too often.",
                param="messages",
                code="request_too_costly",
            )


def read(
    part: Part, fetch: Callable[[str], Fetched] | None, budget: Budget | None = None
) -> Attachment:
    """Return the file that *part* holds or names; raises `InvalidRequest`.

    *budget* is what may be computed on it.
    """
    address = part.url if isinstance(part, ImagePart) else part.data
    name = part.filename if isinstance(part, FilePart) else None
    if address[:5].lower() == "data:":
        kind, data = _of_data_uri(address, budget or Budget())
    elif fetch is None:
        raise _invalid("Images and files by URL are not served here; send a data URI.")
    elif len(address) > MAX_URL:
        raise _invalid(f"A URL may have {MAX_URL} characters.")
    else:
        fetched = fetch(address)
        name, data = name or fetched.filename, fetched.data
        kind = (fetched.content_type or "").partition(";")[0].strip().lower()
    if not data:
        raise _invalid("An image or file of the conversation is empty.")
    name = filenames.tidy(name)
    if kind in _UNSPECIFIC or not _KIND.fullmatch(kind):
        kind = _kind_by_content(data) or mimetypes.guess_type(name)[0] or _UNKNOWN
    if isinstance(part, ImagePart) and not kind.startswith("image/"):
        raise _invalid(f"An image_url of the conversation is not an image, but {kind[:60]}.")
    sha256 = digest("sha256", data)
    return Attachment(name or _name_for(kind, sha256), kind, data, sha256)


def _kind_by_content(data: bytes) -> str | None:
    return next((kind for beginning, kind in _BEGINNINGS if beginning.match(data)), None)


def _of_data_uri(uri: str, budget: Budget) -> tuple[str, bytes]:
    comma = uri.find(",", 5, 5 + _MAX_HEAD)
    if comma < 0:
        raise _invalid(
            "A data URI of the conversation has no comma"
            + (f" within {_MAX_HEAD} characters." if len(uri) > _MAX_HEAD else ".")
        )
    kind, *options = (one.strip().lower() for one in uri[5:comma].split(";"))
    is_base64 = "base64" in options
    try:
        with budget.work("reading a data URI"):
            # Some clients break base64 into lines, some escape what needs no escape.
            decode = base64_decoded if is_base64 else percent_decoded
            data = decode(uri, comma + 1, budget.breathe)
    except OutOfBudget:
        raise InvalidRequest(
            "The data URIs of the conversation cost too much to read.",
            param="messages",
            code="request_too_costly",
        ) from None
    except ValueError:
        raise _invalid("A data URI of the conversation is not valid base64.") from None
    return (kind if is_base64 else kind or "text/plain"), data


def _name_for(kind: str, sha256: bytes) -> str:
    # From the content, so that the same image has the same name in each turn of a conversation.
    word = "image" if kind.startswith("image/") else "file"
    ending = ".jpg" if kind == "image/jpeg" else mimetypes.guess_extension(kind) or ""
    return f"{word}-{sha256.hex()[:8]}{ending}"


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest(message, param="messages")


def _about(part: Part, message: str, code: str | None = None) -> InvalidRequest:
    return InvalidRequest(f"{part.path}: {message}", param=part.path, code=code)


# ---- tickets


#: The most bytes of the answer to an upload.
MAX_TICKET_ANSWER: Final = 100_000
#: The most characters of a ticket, which goes out with each message that names it.
_MAX_TICKET: Final = 8192
_TICKET: Final = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_TICKET_NAMES: Final = ("fileHashJwt", "file_hash_jwt", "jwt", "token")


def read_ticket(content: bytes) -> str:
    """Return the JWT in the answer to an upload, in any of the forms of §16.2.

    Raises `UpstreamProtocolError` if there is none, or more than `MAX_TICKET_ANSWER` bytes.
    """
    if len(content) > MAX_TICKET_ANSWER:
        raise UpstreamProtocolError("Poe took a file and gave no ticket for it.")
    try:
        answer: Any = loads(content)
    except ValueError:
        answer = content.decode("utf-8", "replace").strip().strip('"')
    by_name: dict[str, str] = {}
    first: str | None = None
    for name, text in _strings(answer):
        if len(text) <= _MAX_TICKET and _TICKET.fullmatch(text):
            by_name.setdefault(name, text)
            first = first or text
    found = next((by_name[name] for name in _TICKET_NAMES if name in by_name), first)
    if found is None:
        raise UpstreamProtocolError("Poe took a file and gave no ticket for it.")
    return found


def _strings(data: Any) -> Iterator[tuple[str, str]]:
    """Yield each string in *data*, outer before inner, with the key that it stands under."""
    waiting = deque([("", data)])
    while waiting:
        name, one = waiting.popleft()
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
