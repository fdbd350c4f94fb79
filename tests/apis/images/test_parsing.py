"""Requests for pictures: what is understood, and every mistake by its name."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from poe_proxy.apis.images import Edits, Generations
from poe_proxy.budget import Budget
from poe_proxy.chat import ChatRequest, FileWanted, ImagePart, TextPart
from poe_proxy.errors import InvalidRequest

PIXEL = "data:image/png;base64,AAAA"
DECLARED = {"aspect": {"enum": ["1:1", "3:2"]}}


def asked(api: type[Generations] | type[Edits] = Generations, **fields: Any) -> ChatRequest:
    """What a request asks for that is complete but for *fields*."""
    body = {"model": "Bot", "prompt": "A fox.", **fields}
    return api(lambda model: DECLARED).call(orjson.dumps(body), Budget(60)).chat


def test_the_prompt_is_the_only_message() -> None:
    """The picture that comes of it is wanted, by its link."""
    chat = asked(size="1536x1024", quality="hd", n=1, user="u", seed=7)
    (message,) = chat.messages

    assert ("user", "A fox.") == (message.role, message.text)
    assert FileWanted("image", is_fetched=False) == chat.file
    assert ({"aspect": "3:2"}, {"seed": 7}) == (chat.parameters, chat.extra)


@pytest.mark.parametrize(
    ("fields", "is_fetched"),
    [
        ({"response_format": "b64_json"}, True),
        ({"response_format": "url", "model": "gpt-image-1"}, False),
        ({"model": "gpt-image-1"}, True),
        ({"model": "openai/GPT-Image-1.5"}, True),
        ({"model": "dall-e-3"}, False),
    ],
    ids=str,
)
def test_the_form_of_the_picture(fields: dict[str, Any], is_fetched: bool) -> None:
    """As it is wanted; otherwise as OpenAI has it for models of that name."""
    assert FileWanted("image", is_fetched=is_fetched) == asked(**fields).file


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"image": PIXEL}, "image"),
        ({"image": [PIXEL]}, "image[0]"),
        ({"image[]": [PIXEL]}, "image[][0]"),
        ({"images": [{"image_url": PIXEL}]}, "images[0].image_url"),
        ({"image": {"image_url": {"url": PIXEL}}}, "image.image_url"),
    ],
    ids=str,
)
def test_a_picture_goes_along(given: dict[str, Any], path: str) -> None:
    """Behind the prompt, in whichever form it comes; errors can name it."""
    (message,) = asked(Edits, **given).messages

    assert (TextPart("A fox."), ImagePart(PIXEL)) == message.content
    part = message.content[1]
    assert isinstance(part, ImagePart)
    assert path == part.path


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"model": None}, "model", "missing_required_parameter"),
        ({"prompt": None}, "prompt", "missing_required_parameter"),
        ({"prompt": " "}, "prompt", "invalid_value"),
        ({"n": 2}, "n", "invalid_value"),
        ({"size": "huge"}, "size", "invalid_value"),
        ({"stream": True}, "stream", "invalid_value"),
        ({"partial_images": 2}, "partial_images", "invalid_value"),
        ({"response_format": "png"}, "response_format", "invalid_value"),
        ({"quality": 5}, "quality", "invalid_value"),
    ],
    ids=str,
)
@pytest.mark.parametrize("api", [Generations, Edits])
def test_a_mistake_is_named_by_its_field(
    api: type[Generations] | type[Edits], fields: dict[str, Any], param: str, code: str
) -> None:
    """Of either request."""
    with pytest.raises(InvalidRequest) as refusal:
        asked(api, **{"image": PIXEL, **fields})

    assert (param, code) == (refusal.value.param, refusal.value.code)


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({}, "image", "missing_required_parameter"),
        ({"image": []}, "image", "invalid_value"),
        ({"image": "x.png"}, "image", "invalid_value"),
        ({"image": "data:application/pdf;base64,AAAA"}, "image", "invalid_value"),
        ({"image": [PIXEL, 7]}, "image[1]", "invalid_value"),
        ({"images": [{"file_id": "file-1"}]}, "images[0]", "invalid_value"),
        ({"image": [PIXEL] * 17}, "image", "array_above_max_length"),
        ({"image": PIXEL, "mask": PIXEL}, "mask", "invalid_value"),
    ],
    ids=lambda one: str(one)[:60],
)
def test_a_mistake_in_the_pictures_is_named(fields: dict[str, Any], param: str, code: str) -> None:
    """Poe's bots take no mask, and nothing is kept here that an id could name."""
    with pytest.raises(InvalidRequest) as refusal:
        asked(Edits, **fields)

    assert (param, code) == (refusal.value.param, refusal.value.code)


def test_what_asks_for_nothing_is_no_mistake() -> None:
    """Forms send their defaults."""
    assert asked(stream=False, partial_images=0, size="auto", n="1", response_format=None).file
