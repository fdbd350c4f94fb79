"""HTTP/1.1 as a client speaks it: the head of a request, and an answer that comes in pieces.
Free of I/O.

llhttp takes answers apart. It is strict: two framings, two lengths, a line that ends without CR and
one that is folded are refused, and with them whatever a machine on the way might read differently.
What is bounded in bytes, and when a connection may be used again, is decided here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

#: The most bytes of an answer's head: status line, headers, and any `100 Continue` before them.
#: The same holds for what may follow a body in chunks, and for what may stand between two chunks.
MAX_HEAD: Final = 65_536

_HAS_LENGTH: Final = frozenset({"POST", "PUT", "PATCH"})
#: Bytes of the lines of a head besides the words behind its status, and names and values.
_AROUND_STATUS: Final = len(b"HTTP/1.1 200 \r\n\r\n")
_AROUND_HEADER: Final = len(b": \r\n")
#: Statuses of answers that have no body, whatever their headers say.
_NO_BODY: Final = frozenset({204, 304})


class ProtocolError(Exception):
    """What came is no answer in HTTP/1.1, or more than one may have."""


def request_head(
    method: str, target: str, lines: str, headers: Mapping[str, str], length: int | None
) -> bytes:
    """Return the head of a request that has a body of *length* bytes, or none.

    *lines* are headers in full, each with its CR LF; they come first. Raises ValueError where
    something would be read as more than it is, and for HEAD, whose answers are not framed like
    others.
    """
    if method == "HEAD":
        raise ValueError("answers to HEAD are not read")
    given = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if length is not None or method in _HAS_LENGTH:
        lines += f"Content-Length: {length or 0}\r\n"
    if "accept-encoding:" not in given.lower():
        lines += "Accept-Encoding: identity\r\n"
    # One look at all of them takes a fifth of the time of a look at each.
    if given.count("\n") != len(headers) or given.count("\r") != len(headers) or "\0" in given:
        raise ValueError("a header of more than a line")
    if not target.isascii() or not target.isprintable() or " " in target:
        raise ValueError("no target of a request")
    return f"{method} {target} HTTP/1.1\r\n{lines}{given}\r\n".encode("latin-1")


class Headers(Mapping[str, str]):
    """The headers of an answer; the case of a name does not matter."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[bytes, list[bytes]]) -> None:
        """*values* are what came by each name, in small letters."""
        self._values = values

    def __getitem__(self, name: str) -> str:
        """Return the value of a header; one that came several times is joined by commas."""
        return b", ".join(self._values[_key(name)]).decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        # They may have a cookie, and come into a log with whatever holds them.
        return f"Headers({', '.join(self)})"

    def all(self, name: str) -> list[str]:
        """Return the values of a header that may come several times, such as Set-Cookie."""
        return [value.decode("latin-1") for value in self._values.get(_key(name), ())]


def _key(name: str) -> bytes:
    return name.lower().encode("latin-1", "replace")


@dataclass(frozen=True, slots=True)
class Head:
    """The answer has begun."""

    status: int
    headers: Headers


class AnswerReader:
    """One answer: its bytes in, its head and the pieces of its body out."""

    def __init__(self) -> None:
        self.head: Head | None = None
        #: Whether nothing of the answer is missing.
        self.is_complete = False
        #: Whether the connection may be used again, once the answer is complete.
        self.keeps_alive = False
        self._pieces: list[bytes] = []
        #: What llhttp calls; the rest of its calls are the methods of that name. In C.
        self.on_body = self._pieces.append
        self._headers: dict[bytes, list[bytes]] = {}
        #: Bytes of all lines, and bytes that brought nothing since something of the body came: the
        #: second is for lines that have not ended.
        self._in_lines = 0
        self._in_vain = 0
        self._ends_with_connection = False
        self._parser: HttpResponseParser | None = HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take what came. Where something is behind a complete answer, other than empty lines, the
        connection is not to be used again.

        Raises `ProtocolError`; head and body that came before that may still be taken.
        """
        parser = self._parser
        if parser is None:
            self.keeps_alive = self.keeps_alive and not data.strip(b"\r\n")
            return
        try:
            parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as failure:
            self._parser = None  # which knows us, and we know it
            self.keeps_alive = False
            # What follows a complete answer is nothing to us but the end of the connection.
            if not self.is_complete:
                raise ProtocolError(str(failure)) from None
            return
        if self.is_complete:
            self._parser = None
        elif self.head is None or not self._pieces:
            self._in_vain += len(data)
            if self._in_vain > MAX_HEAD:
                self._parser = None
                raise ProtocolError("a head without an end")
        else:
            self._in_vain = 0

    def end(self) -> bool:
        """Take the end of the connection; return whether the answer is complete by that."""
        self._parser = None
        self.keeps_alive = False
        self.is_complete = self.is_complete or self._ends_with_connection
        return self.is_complete

    def take(self) -> bytes:
        """Return what has come of the body since the last time, without the framing."""
        pieces = self._pieces
        if not pieces:
            return b""
        taken = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        return taken

    # ---- for llhttp

    def on_message_begin(self) -> None:
        """Begin; raises behind a complete answer."""
        if self.is_complete:
            raise ProtocolError("more than an answer")
        self._count(_AROUND_STATUS)

    def on_status(self, reason: bytes) -> None:
        """Note the words behind the status, or a part of them."""
        self._count(len(reason))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header, of the head or behind the body."""
        # Not by `_count`: most answers have twenty headers, and it would be a tenth of an exchange.
        self._in_lines += len(name) + len(value) + _AROUND_HEADER
        if self._in_lines > MAX_HEAD:
            raise ProtocolError("a head without an end")
        if self.head is None:
            self._headers.setdefault(name.lower(), []).append(value.rstrip(b" \t"))

    def _count(self, size: int) -> None:
        self._in_lines += size
        if self._in_lines > MAX_HEAD:
            raise ProtocolError("a head without an end")

    def on_headers_complete(self) -> None:
        """Note a head, and how its body is framed; raises if that is not clear."""
        assert self._parser is not None
        status = self._parser.get_status_code()
        headers, self._headers = self._headers, {}
        if 100 <= status < 200 and status != 101:
            return  # the answer follows
        if status < 200 or not self._parser.get_http_version().startswith("1."):
            raise ProtocolError("no answer to an ordinary request")
        coding = headers.get(b"transfer-encoding")
        if coding is not None and (len(coding) != 1 or coding[0].lower() != b"chunked"):
            raise ProtocolError("a framing that is not known")
        self._ends_with_connection = (
            coding is None and b"content-length" not in headers and status not in _NO_BODY
        )
        self.head = Head(status, Headers(headers))

    def on_message_complete(self) -> None:
        """Note the end of an answer, unless it is one that another follows."""
        if self.head is not None:
            assert self._parser is not None
            self.is_complete = True
            self.keeps_alive = self._parser.should_keep_alive()
