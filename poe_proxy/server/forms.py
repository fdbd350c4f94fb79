"""Requests that come as forms (multipart/form-data, RFC 7578), as the JSON that says the same.

Clients of OpenAI's APIs send pictures so. A field becomes a string, a file a data URI, and what
comes more than once, or by a name that ends with `[]`, a list: so an `Api` reads one form of its
request alone. The body is in memory already, and is read there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import orjson
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from poe_proxy.apis.base import Api, Call
from poe_proxy.apis.fields import refusal
from poe_proxy.budget import Budget
from poe_proxy.shaping.files import in_base64

#: The most parts of a form.
MAX_PARTS: Final = 200
#: Bytes that are read before others get their turn, and the most that are held for a piece that is
#: not whole yet: the headers of a part, which are read in one go, are no longer than that.
_SLICE: Final = 32_768
_MAX_HELD: Final = 2 * _SLICE
#: The most characters of a boundary (RFC 2046, 5.1.1).
_MAX_BOUNDARY: Final = 70

_MEDIA_TYPE: Final = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)
#: The first bytes of pictures, for those whose type is not given (WHATWG, "MIME Sniffing", 6.1).
_BEGINNINGS: Final = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8"), "image/gif"),
    (re.compile(rb"RIFF.{4}WEBPVP", re.DOTALL), "image/webp"),
)


def by_form(api: Api, content_type: str | None) -> Api:
    """Return *api* for a body of this type: what takes a form, or *api* itself."""
    kind, options = parse_options_header(content_type)
    if kind != "multipart/form-data":
        return api
    return _ByForm(api, options.get("boundary", ""))


class _ByForm:
    """An `Api` whose body is a form."""

    def __init__(self, api: Api, boundary: str) -> None:
        self._api = api
        self._boundary = boundary
        self.failure = api.failure
        self.status = api.status

    def call(self, body: bytes | bytearray, budget: Budget) -> Call:
        """See `Api`."""
        return self._api.call(as_json(body, self._boundary, budget), budget)


def as_json(body: bytes | bytearray, boundary: str, budget: Budget) -> bytes:
    """Return the form in *body* as a JSON object; raises `InvalidRequest` for what is no form."""
    if not 0 < len(boundary) <= _MAX_BOUNDARY or not boundary.isascii():
        raise refusal("body", "The form has no boundary (Content-Type).")
    fields: dict[str, list[bytes]] = {}
    try:
        for part, data in _parts(body, boundary.encode(), budget):
            if not part.name:
                raise refusal("body", "A part of the form has no name.")
            value = _file(part, data, budget) if isinstance(part, File) else _text(data)
            fields.setdefault(part.name, []).append(value)
    except RequestEntityTooLarge:
        raise refusal(
            "body",
            f"A form may have {MAX_PARTS} parts at most, with short headers, and nothing around.",
        ) from None
    except ValueError:
        raise refusal("body", "The body is not the form that its Content-Type says.") from None
    members = [
        orjson.dumps(name)
        + b":"
        + (b"[" + b",".join(values) + b"]" if _is_list(name, values) else values[0])
        for name, values in fields.items()
    ]
    return b"{" + b",".join(members) + b"}"


def _is_list(name: str, values: list[bytes]) -> bool:
    return len(values) > 1 or name.endswith("[]")


def _parts(
    body: bytes | bytearray, boundary: bytes, budget: Budget
) -> Iterator[tuple[Field | File, bytes]]:
    """Yield the parts of a form, each with its data; raises ValueError if it is none."""
    decoder = MultipartDecoder(boundary, _MAX_HELD, max_parts=MAX_PARTS)
    part: Field | File | None = None
    pieces: list[bytes] = []
    for at in range(0, len(body) + _SLICE, _SLICE):
        decoder.receive_data(bytes(body[at : at + _SLICE]) or None)
        while not isinstance(event := decoder.next_event(), NeedData | Epilogue):
            match event:
                case Field() | File():
                    part, pieces = event, []
                case Data() if part is not None:
                    pieces.append(event.data)
                    if not event.more_data:
                        yield part, b"".join(pieces)
        budget.breathe()


def _text(data: bytes) -> bytes:
    return orjson.dumps(data.decode("utf-8", "replace"))


def _file(part: File, data: bytes, budget: Budget) -> bytes:
    kind, _ = parse_options_header(part.headers.get("content-type"))
    if not kind.startswith("image/") or not _MEDIA_TYPE.fullmatch(kind):
        found = (one for beginning, one in _BEGINNINGS if beginning.match(data))
        kind = next(found, "application/octet-stream")
    return b'"data:%s;base64,%s"' % (kind.encode(), b"".join(in_base64(data, budget)))
