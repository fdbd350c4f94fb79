"""OpenAI's words for a picture, and the bot's own."""

from __future__ import annotations

from typing import Any

import pytest

from poe_proxy.apis.images.parameters import parameters
from poe_proxy.errors import InvalidRequest


def words(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}


GPT_IMAGE = {
    "aspect": words("1:1", "3:2", "2:3", "auto"),
    "quality": words("low", "medium", "high"),
    "use_high_fidelity": {"type": "boolean"},
}
NANO_BANANA = {
    "aspect_ratio": words("1:1", "16:9", "9:16", "4:3", "3:4"),
    "image_only": {"type": "boolean"},
    "image_size": words("1K", "2K", "4K"),
}


@pytest.mark.parametrize(
    ("size", "declared", "expected"),
    [
        ("1024x1024", GPT_IMAGE, {"aspect": "1:1"}),
        ("1536x1024", GPT_IMAGE, {"aspect": "3:2"}),
        ("1024x1792", GPT_IMAGE, {"aspect": "2:3"}),
        ("auto", GPT_IMAGE, {}),
        ("", GPT_IMAGE, {}),
        ("1792x1024", {"aspect": words("1:1", "7:4", "4:7")}, {"aspect": "7:4"}),
        ("1536x1024", {"aspect_ratio": {"type": "string"}}, {"aspect_ratio": "3:2"}),
        ("16:9", {"aspect_ratio": {"type": "string"}}, {"aspect_ratio": "16:9"}),
        ("1024x1024", {"aspect": words("square", "wide")}, {}),
        ("720x1280", {"size": words("720x1280", "1280x720")}, {"size": "720x1280"}),
        ("1024x1536", {"size": words("720x1280", "1280x720")}, {"size": "720x1280"}),
        ("1024x1536", {"size": {"type": "string"}}, {"size": "1024x1536"}),
        ("1792x1024", NANO_BANANA,
         {"aspect_ratio": "16:9", "image_size": "1K", "image_only": True}),
        ("4096x4096", NANO_BANANA,
         {"aspect_ratio": "1:1", "image_size": "4K", "image_only": True}),
        ("1024x1024", {}, {}),
    ],
    ids=str,
)  # fmt: skip
def test_a_size_is_said_in_the_bot_s_words(
    size: str, declared: dict[str, Any], expected: dict[str, Any]
) -> None:
    """The nearest shape that it has; nothing, if it has none."""
    assert expected == parameters({"size": size}, declared)


@pytest.mark.parametrize("size", ["large", "0x5", "1024", "1024x", 7])
def test_a_size_that_is_none_is_refused(size: Any) -> None:
    """Whatever the bot declares."""
    with pytest.raises(InvalidRequest) as refusal:
        parameters({"size": size}, {})

    assert "size" == refusal.value.param


@pytest.mark.parametrize(
    ("fields", "declared", "expected"),
    [
        ({"quality": "high"}, GPT_IMAGE, {"quality": "high"}),
        ({"quality": "hd"}, GPT_IMAGE, {"quality": "high"}),
        ({"quality": "standard"}, GPT_IMAGE, {"quality": "medium"}),
        ({"quality": "auto"}, GPT_IMAGE, {}),
        ({"quality": "high"}, {"quality": words("standard", "hd")}, {"quality": "hd"}),
        ({"quality": "fine"}, {"quality": {"type": "string"}}, {"quality": "fine"}),
        ({"quality": "hd", "style": "vivid"}, {}, {}),
        ({"style": "vivid"}, {"style": words("vivid", "natural")}, {"style": "vivid"}),
        ({"style": "odd"}, {"style": words("vivid", "natural")}, {}),
        ({"background": "transparent"}, {"background": {}}, {"background": "transparent"}),
        ({"input_fidelity": "high"}, GPT_IMAGE, {"use_high_fidelity": True}),
        ({"input_fidelity": "low"}, GPT_IMAGE, {}),
        ({"aspect": "2:3", "size": "1536x1024"}, GPT_IMAGE, {"aspect": "2:3"}),
        ({"image_only": False}, NANO_BANANA, {"image_only": False}),
    ],
    ids=str,
)
def test_other_fields_are_said_where_the_bot_declares_them(
    fields: dict[str, Any], declared: dict[str, Any], expected: dict[str, Any]
) -> None:
    """With values that it takes; the bot's own names count before OpenAI's."""
    assert expected == parameters(fields, declared)


def test_a_field_of_openai_s_is_not_the_bot_s_parameter() -> None:
    """Even where the bot declares one of that name: to its client the field means another thing."""
    names = ("model", "prompt", "n", "image", "user", "response_format", "seed")
    fields, declared = dict.fromkeys(names, 7), {name: {} for name in names}

    assert {"seed": 7} == parameters(fields, declared)
