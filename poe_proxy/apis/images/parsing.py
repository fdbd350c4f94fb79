"""Turns a request for a picture into a `ChatRequest`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from poe_proxy.apis import basics
from poe_proxy.apis.addresses import address
from poe_proxy.apis.basics import Declared
from poe_proxy.apis.fields import field, flag, json_object, limit_items, refusal, whole
from poe_proxy.apis.images.parameters import FIELDS, parameters
from poe_proxy.budget import Budget
from poe_proxy.chat import ChatRequest, ContentPart, FileWanted, ImagePart, Message, TextPart

#: Pictures that one is made from; OpenAI takes as many.
MAX_IMAGES: Final = 16

#: What the names of OpenAI's newer models begin with: their clients know no other form than base64,
#: and do not say so.
_BASE64: Final = ("gpt-image", "chatgpt-image")


def generated(body: bytes | bytearray, budget: Budget, declared: Declared) -> ChatRequest:
    """Return what *body* asks for: a picture by its prompt. Raises `InvalidRequest`."""
    return _asked(json_object(body, budget), budget, declared)


def edited(body: bytes | bytearray, budget: Budget, declared: Declared) -> ChatRequest:
    """Return what *body* asks for: a picture by others. Raises `InvalidRequest`.

    They are texts, each a data URI or an https URL, or objects with one as `image_url`.
    """
    data = json_object(body, budget)
    if data.get("mask") is not None:
        raise refusal("mask", "Poe's bots take no mask; say in the prompt what is to change.")
    name = next(
        (one for one in ("image", "image[]", "images", "images[]") if data.get(one)), "image"
    )
    given = data.get(name)
    if not given:
        raise refusal("image", "image must be the picture to begin with.", missing=given is None)
    listed = given if isinstance(given, list) else [given]
    limit_items(listed, MAX_IMAGES, name)
    pictures = [
        _picture(one, f"{name}[{place}]" if listed is given else name, budget)
        for place, one in enumerate(listed)
    ]
    return _asked(data, budget, declared, *pictures)


def _picture(given: Any, path: str, budget: Budget) -> ImagePart:
    match given:
        case {"image_url": str(url)} | {"image_url": {"url": str(url)}}:
            path = f"{path}.image_url"
        case str(url):
            pass
        case {"file_id": str()}:
            raise refusal(path, f"{path} names a file, and none are kept here; send a data URI.")
        case _:
            raise refusal(path, f"{path} must be a data URI or an https URL.")
    url = address(url, path, budget)
    if url.startswith("data:") and url[5:11].lower() != "image/":
        raise refusal(path, f"{path} must be a picture: PNG, JPEG, GIF or WebP.")
    return ImagePart(url, path=path)


def _asked(
    data: Mapping[str, Any], budget: Budget, declared: Declared, *pictures: ContentPart
) -> ChatRequest:
    model = basics.model(data, example="GPT-Image-1.5")
    prompt = field(data, "prompt", str)
    if not prompt or not prompt.strip():
        raise refusal(
            "prompt", "prompt must say what the picture is to show.", missing=prompt is None
        )
    basics.one_answer(data, "n")
    # To pass over these would leave a client waiting for events.
    if flag(data, "stream"):
        raise refusal("stream", "Poe's bots give a picture whole; ask for it without stream.")
    if (whole(data, "partial_images") or 0) > 0:
        raise refusal("partial_images", "Poe's bots give no picture before it is finished.")
    known = declared(model)
    return ChatRequest(
        model=model,
        messages=(Message(role="user", content=(TextPart(prompt), *pictures)),),
        file=FileWanted("image", is_fetched=_wants_base64(data, model)),
        parameters=parameters(data, known),
        extra=basics.others(data, FIELDS | known.keys()),
        budget=budget,
    )


def _wants_base64(data: Mapping[str, Any], model: str) -> bool:
    match data.get("response_format"):
        case None:
            return model.lower().rpartition("/")[2].startswith(_BASE64)
        case "url":
            return False
        case "b64_json":
            return True
    raise refusal("response_format", 'response_format must be "url" or "b64_json".')
