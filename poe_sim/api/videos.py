"""POST /v1/videos and what belongs to it, official API sheet §7."""

from __future__ import annotations

import re
import time

from aiohttp import BodyPartReader, web

from ..directives import number, parse
from . import errors, fields, media
from .catalogue import Json, Model
from .face import Account
from .store import Job
from .visit import Visit

_SIZE = re.compile(r"[1-9]\d{1,4}x[1-9]\d{1,4}")
_LONGEST = 120


async def create(visit: Visit) -> web.StreamResponse:
    """Take an order for a video."""
    account = visit.admit()
    body = await _body(visit)
    model = visit.find_model()
    if not model.serves("videos"):
        raise errors.invalid(f"The model '{visit.spelling}' does not make videos.", param="model")
    usual = 4 if model.owner == "OpenAI" else 8
    seconds = fields.whole_number(body, "seconds") or usual
    return await _order(visit, account, model, body, seconds=seconds)


async def _body(visit: Visit) -> Json:
    """Return the fields of a JSON body or of a form."""
    if not visit.request.content_type.startswith("multipart/"):
        body = await visit.json()
    else:
        body = {}
        async for part in await visit.request.multipart():
            assert isinstance(part, BodyPartReader)
            if part.name == "input_reference":
                body["input_image"] = await part.read(decode=True)
            elif part.name:
                body[part.name] = await part.text()
        visit.body = body
        visit.entry["fields"] = list(body)
    # Clients send the seconds as a number or, as OpenAI's, as a string.
    seconds = body.get("seconds")
    if isinstance(seconds, str) and seconds.isdigit():
        body["seconds"] = int(seconds)
    return body


async def _order(
    visit: Visit,
    account: Account,
    model: Model,
    body: Json,
    *,
    seconds: int,
    size: str = "720x1280",
    remixed_from: str | None = None,
) -> web.StreamResponse:
    prompt = body.get("prompt")
    if not isinstance(prompt, str) or not prompt:
        raise errors.missing("prompt")
    size = body.get("size") or size
    if not isinstance(size, str) or not _SIZE.fullmatch(size):
        raise errors.unsupported_value("size", size, "WIDTHxHEIGHT, as 720x1280")
    script, _ = visit.face.script_for(account, prompt)
    await visit.play_fault(script)
    visit.may_spend()
    words, _ = parse(prompt)
    job = Job(
        id=f"video_{visit.face.ids.hex(32)}",
        owner=account.label,
        model=model,
        spelling=visit.spelling,
        prompt=prompt,
        seconds=seconds,
        size=size,
        created=int(time.time()),
        polls=max(1, int(number(words, "polls", 2))),
        fails="fail" in words,
        remixed_from=remixed_from,
    )
    job.cost = visit.face.charge(account, model, 0, 0)
    visit.face.videos[job.id] = job
    return visit.answer(job.as_json())


def _find(visit: Visit, account: Account, video_id: object) -> Job:
    job = visit.face.videos.get(video_id) if isinstance(video_id, str) else None
    if job is None or job.owner != account.label:
        message = f"No video with the id '{video_id}'."
        raise errors.Refused(404, {"message": message, "type": "not_found_error"})
    return job


async def poll(visit: Visit) -> web.StreamResponse:
    """Tell how far a video is."""
    return visit.answer(_find(visit, visit.admit(), visit.request.match_info["id"]).look())


async def content(visit: Visit) -> web.StreamResponse:
    """Hand over a finished video, or a picture of it."""
    job = _find(visit, visit.admit(), visit.request.match_info["id"])
    variant = visit.request.query.get("variant", "video")
    files = {
        "video": (media.mp4, "video/mp4"),
        "thumbnail": (media.webp, "image/webp"),
        "spritesheet": (media.jpeg, "image/jpeg"),
    }
    if variant not in files:
        raise errors.unsupported_value("variant", variant, ", ".join(files))
    if job.status != "completed":
        raise errors.invalid(f"The video is not ready: it is {job.status}.")
    make, mime = files[variant]
    visit.entry.update(status=200, verdict="ok")
    return web.Response(body=make(), content_type=mime, headers=visit.headers())


def _sora_only(job: Job) -> None:
    if job.model.owner != "OpenAI":
        raise errors.invalid("Only videos of Sora can be extended or remixed.", param="model")


async def extend(visit: Visit) -> web.StreamResponse:
    """Make a video longer."""
    account = visit.admit()
    body = await visit.json()
    video = body.get("video")
    job = _find(visit, account, video.get("id") if isinstance(video, dict) else None)
    _sora_only(job)
    more = fields.whole_number(body, "seconds") or 4
    if job.seconds + more > _LONGEST:
        raise errors.unsupported_value("seconds", more, f"{_LONGEST} in all")
    visit.spelling = job.spelling
    return await _order(visit, account, job.model, body, seconds=job.seconds + more, size=job.size)


async def remix(visit: Visit) -> web.StreamResponse:
    """Make a video anew with other words."""
    account = visit.admit()
    body = await visit.json()
    job = _find(visit, account, visit.request.match_info["id"])
    _sora_only(job)
    visit.spelling = job.spelling
    return await _order(
        visit,
        account,
        job.model,
        body,
        seconds=job.seconds,
        size=job.size,
        remixed_from=job.id,
    )
