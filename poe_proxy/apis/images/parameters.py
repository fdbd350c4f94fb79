"""What a picture shall be like, in the words of each bot.

OpenAI has `size` and `quality`; Poe's bots declare parameters of their own (official API sheet
§3.4): `aspect` or `aspect_ratio`, at times `quality`, `image_size` and more, each with a schema.
What a bot declares no parameter for is its own choice: clients send all of these fields with every
request, whatever the bot.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import gcd, log
from typing import Any, Final

from poe_proxy.apis.fields import field, refusal

_SIZE: Final = re.compile(r"([1-9]\d{0,4})[xX×:]([1-9]\d{0,4})", re.ASCII)
_ASPECTS: Final = ("aspect", "aspect_ratio")
#: Sides of a square of as many pixels as these words of `image_size` stand for.
_SIDES: Final = {"1K": 1024, "2K": 2048, "4K": 4096}
#: Words for how good a picture shall be, with others that mean the same.
_QUALITIES: Final = (
    ("low", "draft"),
    ("medium", "standard"),
    ("high", "hd"),
    ("xhigh", "max"),
)
#: Fields that go to a bot that declares a parameter of the same name, and takes the value.
_SAME: Final = ("style", "background", "moderation", "output_format", "output_compression")

#: All fields of OpenAI's images: none of them is the bot's parameter of the same name, unless it is
#: put into the bot's words here.
FIELDS: Final = frozenset(
    {
        "size", "quality", "input_fidelity", *_SAME, "model", "prompt", "n", "response_format",
        "stream", "partial_images", "image", "image[]", "images", "images[]", "mask", "user",
        "safety_identifier",
    }
)  # fmt: skip


def parameters(
    data: Mapping[str, Any], declared: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the bot's *declared* parameters as *data* asks for them: by their own names, or in
    OpenAI's words. Refuses a size that is none."""
    found = _by_size(_size(data), declared)
    if (quality := field(data, "quality", str)) and "quality" in declared:
        found |= _quality(quality, _words(declared["quality"]))
    for name in _SAME:
        value = data.get(name)
        words = _words(declared.get(name, {}))
        if name in declared and value is not None and (not words or value in words):
            found[name] = value
    if data.get("input_fidelity") == "high" and "use_high_fidelity" in declared:
        found["use_high_fidelity"] = True
    if "image_only" in declared:
        found["image_only"] = True
    own = {name: data[name] for name in declared if data.get(name) is not None}
    return found | {name: value for name, value in own.items() if name not in FIELDS}


def _size(data: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return width and height; None if the bot may choose."""
    given = field(data, "size", str)
    if not given or given == "auto":
        return None
    if size := _SIZE.fullmatch(given.strip()):
        return int(size[1]), int(size[2])
    raise refusal("size", 'size must be "auto", or width and height such as "1024x1024".')


def _by_size(
    size: tuple[int, int] | None, declared: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    if size is None:
        return {}
    width, height = size
    found: dict[str, Any] = {}
    if "size" in declared:
        words = _words(declared["size"])
        same, near = f"{width}x{height}", _nearest(size, words)
        if not words or same in words:
            found["size"] = same
        elif near is not None:
            found["size"] = near
    for name in _ASPECTS:
        if name not in declared:
            continue
        words = _words(declared[name])
        common = gcd(width, height)
        aspect = _nearest(size, words) if words else f"{width // common}:{height // common}"
        if aspect is not None:
            found[name] = aspect
    sides = [one for one in _words(declared.get("image_size", {})) if one in _SIDES]
    if sides:
        pixels = log(width * height)
        found["image_size"] = min(sides, key=lambda one: abs(2 * log(_SIDES[one]) - pixels))
    return found


def _nearest(size: tuple[int, int], words: Iterable[str]) -> str | None:
    """Return the one of *words* that has the most similar shape; None if none has a shape."""
    shapes = {one: log(int(found[1]) / int(found[2])) for one in words if (found := _read(one))}
    shape = log(size[0] / size[1])
    return min(shapes, key=lambda one: abs(shapes[one] - shape), default=None)


def _read(word: str) -> re.Match[str] | None:
    return _SIZE.fullmatch(word)


def _quality(wanted: str, words: list[str]) -> dict[str, Any]:
    if not words or wanted in words:
        return {"quality": wanted}
    same = next((group for group in _QUALITIES if wanted.lower() in group), ())
    found = next((word for word in words if word.lower() in same), None)
    return {} if found is None else {"quality": found}


def _words(schema: Mapping[str, Any]) -> list[str]:
    """Return the values that a parameter may have, if they are words."""
    allowed = schema.get("enum")
    return [one for one in allowed if isinstance(one, str)] if isinstance(allowed, list) else []
