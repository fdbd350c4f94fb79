"""Small real files of every kind, for the links of media bots."""

from __future__ import annotations

import struct
import zlib

from aiohttp import web

from . import errors
from .visit import Visit

_TYPES = {"image": "image/png", "audio": "audio/mpeg", "video": "video/mp4"}
_SIDE_AT_MOST = 2048


async def serve(visit: Visit) -> web.StreamResponse:
    """Serve the file behind a media bot's link, if the control has such links lead here."""
    kind = visit.request.match_info["kind"]
    name = visit.request.match_info["name"]
    if not visit.face.switches.media_local or kind not in _TYPES:
        raise errors.no_such_path(visit.request.path)
    match kind:
        case "image":
            body = _png(_side(visit, "w"), _side(visit, "h"), bytes.fromhex(name[:6]))
        case "audio":
            body = _mp3()
        case _:
            body = _mp4()
    visit.entry.update(status=200, verdict="ok")
    return web.Response(body=body, content_type=_TYPES[kind], headers=visit.headers())


def _side(visit: Visit, name: str) -> int:
    given = visit.request.query.get(name, "64")
    return min(_SIDE_AT_MOST, max(1, int(given))) if given.isdigit() else 64


def _png(width: int, height: int, colour: bytes) -> bytes:
    """Return a picture of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    head = struct.pack(">IIBBBBB", width, height, 1, 3, 0, 0, 0)
    row = b"\0" * (1 + (width + 7) // 8)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"PLTE", colour)
        + chunk(b"IDAT", zlib.compress(row * height))
        + chunk(b"IEND", b"")
    )


def _mp3() -> bytes:
    """Return a second of silence: frames of 417 bytes, 128 kbit/s at 44.1 kHz."""
    return (b"\xff\xfb\x90\x00" + bytes(413)) * 38


def _mp4() -> bytes:
    """Return an empty video: the boxes of an MP4 file without a track."""

    def box(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", 8 + len(data)) + kind + data

    return box(b"ftyp", b"isom\0\0\2\0isomiso2mp41") + box(b"free", b"") + box(b"mdat", bytes(64))
