"""What the content of a message says, in any form in which clients write it.

Programs mix the dialects: what they have learnt for one API they send to another. So a list may
hold parts of OpenAI's chat completions and of its Responses API, blocks of Anthropic's, and those
of servers that go beyond them (`video_url` of vLLM and DashScope).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from poe_proxy.apis.addresses import address, sound
from poe_proxy.apis.blocks import blocks
from poe_proxy.apis.conversation import Call, Result
from poe_proxy.apis.fields import refusal
from poe_proxy.apis.reading import Reading
from poe_proxy.chat import ContentPart, FilePart, ImagePart, TextPart
from poe_proxy.errors import InvalidRequest

#: The types of parts that are a text.
_TEXTS: Final = ("text", "input_text", "output_text")


@dataclass(frozen=True, slots=True)
class Content:
    """What one content holds: nothing in it is empty."""

    parts: list[ContentPart] = field(default_factory=list)
    #: Calls and results that stand among the parts, as Anthropic's blocks do.
    calls: list[Call] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)


def content(given: Any, path: str, reading: Reading) -> Content:
    """Return what the content at *path* says; refuse what cannot be understood by its path."""
    found = Content()
    match given:
        case None | "":
            return found
        case str():
            found.parts.append(TextPart(given))
            return found
        case list():
            reading.count_parts(given, path)
            for place, one in enumerate(given):
                reading.budget.breathe()
                _add(one, f"{path}[{place}]", found, reading)
            return found
        case {"type": str()}:
            _add(given, path, found, reading)
            return found
    raise refusal(path, f"{path} must be a string or a list of parts.")


def result(given: Any, path: str, reading: Reading) -> tuple[ContentPart, ...]:
    """Return what a tool gave back; what is no content is data, and told as JSON."""
    if isinstance(given, list):
        is_content = all(
            isinstance(one, str) or (isinstance(one, dict) and isinstance(one.get("type"), str))
            for one in given
        )
    else:
        is_content = given is None or isinstance(given, str)
    if is_content:
        return tuple(content(given, path, reading).parts)
    return (TextPart(orjson.dumps(given).decode()),)


def _add(given: Any, path: str, found: Content, reading: Reading) -> None:
    # Most parts are texts; to go through all forms would cost 3 µs more.
    if (
        isinstance(given, dict)
        and given.get("type") in _TEXTS
        and isinstance(text := given.get("text"), str)
    ):
        if text:
            found.parts.append(TextPart(text))
        return
    block = blocks(given, path, reading)
    for one in [_part(given, path, reading)] if block is None else block:
        match one:
            case Call():
                found.calls.append(one)
            case Result():
                found.results.append(one)
            case TextPart(""):
                pass
            case _:
                found.parts.append(one)


def _part(given: Any, path: str, reading: Reading) -> ContentPart:
    match given:
        case str():
            return TextPart(given)
        case {"type": "refusal", "refusal": str(text)}:
            return TextPart(text)
        case {"type": "image_url" | "input_image", "image_url": image, **rest} if image is not None:
            return _image(image, rest.get("detail"), path, reading)
        case {"type": "file", "file": dict(file)}:
            return _file(file, path, f"{path}.file", reading)
        case {"type": "input_file"}:
            return _file(given, path, path, reading)
        case {"type": "input_image", "file_id": str()}:
            raise _no_files(f"{path}.file_id", "image_url")
        case {"type": "input_audio" | "audio" as kind} if isinstance(given.get(kind), dict):
            return _audio(given[kind], path, f"{path}.{kind}", reading)
        case {"type": "video_url" | "audio_url" | "file_url" as kind}:
            return _by_url(given.get(kind), path, f"{path}.{kind}", reading)
        case {"type": str(kind)}:
            raise _unknown(path, kind, reading)
    raise refusal(path, f'{path} must be a part such as {{"type": "text", "text": "..."}}.')


def _unknown(path: str, kind: str, reading: Reading) -> InvalidRequest:
    return refusal(
        path,
        f"{path} is of a type that is not served, or is incomplete: {kind[:40]!r}. "
        f"Parts are {reading.part_types}.",
    )


def _no_files(path: str, instead: str) -> InvalidRequest:
    return refusal(path, f"This server keeps no files; send {instead}.")


def _image(image: Any, detail: Any, path: str, reading: Reading) -> ImagePart:
    match image:
        case str(url):
            place = f"{path}.image_url"
        case {"url": str(url), **rest}:
            place, detail = f"{path}.image_url.url", rest.get("detail")
        case _:
            raise _unknown(path, "image_url", reading)
    shown = detail if isinstance(detail, str) else None
    return ImagePart(address(url, place, reading.budget), shown, path)


def _file(file: dict[str, Any], path: str, inner: str, reading: Reading) -> FilePart:
    name = file.get("filename")
    for field_name in ("file_data", "file_url"):
        if isinstance(given := file.get(field_name), str):
            return FilePart(
                address(given, f"{inner}.{field_name}", reading.budget),
                name if isinstance(name, str) else None,
                path,
            )
    if "file_id" in file:
        instead = "file_data" if inner == path else "file.file_data"
        raise _no_files(f"{inner}.file_id", instead)
    raise _unknown(path, "file", reading)


def _audio(audio: dict[str, Any], path: str, inner: str, reading: Reading) -> FilePart:
    data, kind = audio.get("data"), audio.get("format")
    if not isinstance(data, str) or not isinstance(kind or "", str):
        raise _unknown(path, "input_audio", reading)
    found, name = sound(data, kind or None, inner, reading.budget)
    return FilePart(found, name, path)


def _by_url(given: Any, path: str, inner: str, reading: Reading) -> FilePart:
    match given:
        case str(url):
            return FilePart(address(url, inner, reading.budget), path=path)
        case {"url": str(url)}:
            return FilePart(address(url, f"{inner}.url", reading.budget), path=path)
    raise _unknown(path, inner.rpartition(".")[2], reading)
