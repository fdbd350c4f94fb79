"""POST /poe_api/file_upload_3RD_PARTY_POST and the files it stores, official API sheet §12.5."""

from __future__ import annotations

import mimetypes
import time
from urllib.parse import parse_qsl, quote

from aiohttp import BodyPartReader, web

from . import errors
from .errors import Refused
from .store import Stored
from .visit import Visit


async def receive(visit: Visit) -> web.StreamResponse:
    """Store one file: sent along as a form's `file`, or named by `download_url`."""
    # The key stands alone in the header, without a scheme.
    visit.admit(counted=False, key=visit.request.headers.get("Authorization", ""))
    if visit.face.switches.upload_status:
        raise errors.by_status(visit.face.switches.upload_status, "", "Poe")
    stored = await _read_form(visit)
    name = visit.face.ids.hex(64)
    visit.face.uploads.add(name, stored)
    return visit.answer(
        {
            "attachment_url": f"http://{visit.request.host}/poe_api/files/{name}",
            "mime_type": stored.mime,
        }
    )


async def _read_form(visit: Visit) -> Stored:
    values: dict[str, str] = {}
    if visit.request.content_type.startswith("multipart/"):
        async for part in await visit.request.multipart():
            assert isinstance(part, BodyPartReader)
            if part.name == "file":
                data = await _read_part(visit, part)
                mime = part.headers.get("Content-Type", "")
                name = part.filename or "file"
                return Stored(name=name, mime=_mime(name, mime), data=data, stored_at=time.time())
            values[part.name or ""] = await part.text()
    else:
        values = dict(parse_qsl((await visit.read()).decode("utf-8", "replace")))
    url = values.get("download_url")
    if not url:
        raise errors.missing("file")
    name = values.get("download_filename") or url.partition("?")[0].rpartition("/")[2] or "file"
    known = visit.face.uploads.find(url)
    if known is not None:
        return Stored(name=name, mime=known.mime, data=known.data, stored_at=time.time())
    # It is not fetched: the stand-in speaks to nobody but its clients.
    return Stored(name=name, mime=_mime(name, ""), download_url=url, stored_at=time.time())


async def _read_part(visit: Visit, part: BodyPartReader) -> bytes:
    most = int(visit.face.switches.max_body_mb * 1024 * 1024)
    data = bytearray()
    while chunk := await part.read_chunk(65536):
        data += chunk
        if len(data) > most:
            raise errors.too_large(f"The file is larger than {most} bytes.")
    return bytes(data)


def _mime(name: str, given: str) -> str:
    given = given.partition(";")[0].strip()
    if given and given != "application/octet-stream":
        return given
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


async def serve(visit: Visit) -> web.StreamResponse:
    """Serve an uploaded file for as long as its URL lives."""
    stored = visit.face.uploads.find(visit.request.path)
    if stored is None:
        raise errors.no_such_path(visit.request.path)
    if time.time() - stored.stored_at > visit.face.switches.attachment_life:
        raise Refused(403, {"message": "This link has expired.", "type": "moderation_error"})
    visit.entry.update(status=200, verdict="ok")
    if stored.download_url is not None:
        return web.Response(
            status=302, headers={**visit.headers(), "Location": stored.download_url}
        )
    return web.Response(
        body=stored.data,
        content_type=stored.mime,
        headers={
            **visit.headers(),
            "Content-Disposition": f"inline; filename*=UTF-8''{quote(stored.name)}",
        },
    )
