"""Where an image, a file or a sound is: a URL, or a data URI in the one form that all bots read.

Clients write base64 in several ways: broken into lines (RFC 2045), in the alphabet that is safe in
URLs, without its padding (RFC 4648, 3.2 and 5). Not everything behind us reads all of them, so
each becomes the plain one (RFC 4648, 4). What is no base64 at all stays as it is.
"""

from __future__ import annotations

import re
from typing import Final

from poe_proxy.apis.fields import refusal
from poe_proxy.budget import Budget

_SCHEMES: Final = ("https://", "http://", "data:")
#: The most characters of a data URI in front of its data.
_MAX_HEAD: Final = 1000
#: Bytes that are looked at before others get their turn.
_SLICE: Final = 1_000_000
#: What plain base64 has not, but other forms of it have.
_MARKS: Final = ("-", "_", "\n", "\r", " ", "\t", "%")
_BLANKS: Final = b" \t\r\n\f\v"
_PLAIN: Final = bytes.maketrans(b"-_", b"+/")
#: What of base64 may be percent-encoded where a URI is written with care.
_ENCODED: Final = {
    b"%2B": b"+", b"%2b": b"+", b"%2F": b"/", b"%2f": b"/", b"%3D": b"=", b"%3d": b"=",
    b"%0A": b"", b"%0a": b"", b"%0D": b"", b"%0d": b"", b"%20": b"",
}  # fmt: skip

#: A kind of sound or file, such as `wav`, or `svg+xml`.
_FORMAT: Final = re.compile(r"[\w.+-]{1,40}", re.ASCII)
#: Kinds of sound by the names that their media types have.
_SOUNDS: Final = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav", "x-m4a": "m4a"}


def address(url: str, path: str, budget: Budget) -> str:
    """Return *url*, which must be a URL or a data URI, with its scheme in lower case and its
    base64 in the plain form; refuse any other text by its *path*."""
    if not url.startswith(_SCHEMES):  # it nearly always does, and may have many megabytes
        # Schemes are case-insensitive (RFC 3986, 3.1); not everything that reads them knows that.
        scheme, _, rest = url.strip().partition(":")
        url = f"{scheme.lower()}:{rest}"
        if not url.startswith(_SCHEMES):
            raise refusal(path, f"{path} must be an https URL or a data URI.")
    if not url.startswith("data:"):
        return url
    comma = url.find(",", 5, 5 + _MAX_HEAD)
    if comma < 0 or "base64" not in url[5:comma].lower():
        return url
    return _tidy(url, comma + 1, budget)


def data_uri(kind: str, data: str, path: str, budget: Budget) -> str:
    """Return the data URI of *data*, in base64, of this media type; it may be one already."""
    if data[:5].lower() == "data:":
        return address(data, path, budget)
    return address(f"data:{kind};base64,{data}", path, budget)


def sound(data: str, kind: str | None, path: str, budget: Budget) -> tuple[str, str]:
    """Return the address of a sound and a name for it.

    *data* is base64, or a data URI or URL, as DashScope takes it; *kind* is its format, such as
    `wav`, which a data URI may tell as well.
    """
    kind = kind and kind.strip().lower().removeprefix("audio/")
    if kind and not _FORMAT.fullmatch(kind):
        raise refusal(f"{path}.format", f'{path}.format must be a format such as "wav".')
    if data[:8].lower().startswith(("http://", "https://")):
        return address(data, f"{path}.data", budget), f"audio.{kind or 'wav'}"
    if data[:5].lower() == "data:":
        head, comma, _ = data[: _MAX_HEAD + 5].partition(",")
        told = head[5:].partition(";")[0].strip().lower()
        subtype = told.removeprefix("audio/")
        if told.startswith("audio/") and _FORMAT.fullmatch(subtype):
            name = f"audio.{kind or _SOUNDS.get(subtype, subtype)}"
            return address(data, f"{path}.data", budget), name
        if not comma or "base64" not in head.lower():
            raise refusal(f"{path}.data", f"{path}.data must be base64, or a data URI of it.")
        data = data[len(head) + 1 :]
    if not kind:
        raise refusal(f"{path}.format", f'{path}.format is missing; it is "wav" or "mp3", say.')
    return data_uri(f"audio/{kind}", data, f"{path}.data", budget), f"audio.{kind}"


def _tidy(uri: str, start: int, budget: Budget) -> str:
    """Return a data URI whose base64, from *start* on, is in the plain form."""
    length = len(uri) - start
    if length % 4 == 0 and all(uri.find(mark, start) < 0 for mark in _MARKS):
        return uri
    pieces: list[bytes] = []
    try:
        for at in range(start, len(uri), _SLICE):
            pieces.append(uri[at : at + _SLICE].encode("ascii").translate(_PLAIN, _BLANKS))
            budget.breathe()
    except UnicodeEncodeError:  # no base64, whatever it is
        return uri
    data = b"".join(pieces)
    if b"%" in data:
        for escape, instead in _ENCODED.items():
            data = data.replace(escape, instead)
            budget.breathe()
    data = data.rstrip(b"=")
    padding = "=" * (-len(data) % 4)
    if padding == "===":
        return uri
    return f"{uri[:start]}{data.decode()}{padding}"
