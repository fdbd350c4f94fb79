"""The list of models for both packages."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from anthropic.types import ModelInfo
from openai.types import Model

from poe_proxy.apis.messages import models

LISTED: dict[str, Any] = {
    "id": "Claude-Sonnet-4.5", "object": "model", "created": 1758844800, "owned_by": "Anthropic",
}  # fmt: skip


def info(listed: dict[str, Any]) -> ModelInfo:
    """An entry, which is still one of OpenAI's."""
    body = orjson.dumps(models.entry(listed))
    Model.model_validate_json(body, strict=True)
    return ModelInfo.model_validate_json(body, strict=True)


def test_an_entry_is_one_of_both_apis() -> None:
    """With the figures that Poe tells."""
    found = info(
        {
            **LISTED,
            "metadata": {"display_name": "Claude Sonnet 4.5"},
            "context_window": {"context_length": 983040, "max_output_tokens": 32768},
        }
    )

    assert ("Claude-Sonnet-4.5", "model", "Claude Sonnet 4.5", 983040, 32768) == (
        found.id,
        found.type,
        found.display_name,
        found.max_input_tokens,
        found.max_tokens,
    )
    assert "2025-09-26T00:00:00+00:00" == found.created_at.isoformat()


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"metadata": None, "context_window": None},
        {"metadata": {"display_name": ""}, "context_window": {"context_length": None}},
        {"metadata": "x", "context_window": {"max_output_tokens": True}},
    ],
)
def test_what_poe_does_not_tell_is_not_made_up(more: dict[str, Any]) -> None:
    """The id is a name to show; a day that is not known is the first one."""
    found = info({**LISTED, "created": 0, **more})

    assert ("Claude-Sonnet-4.5", None, None, 1970) == (
        found.display_name,
        found.max_input_tokens,
        found.max_tokens,
        found.created_at.year,
    )


def test_the_list_is_one_page() -> None:
    """From the first id to the last; an empty one has neither."""
    page = orjson.loads(models.model_list([LISTED, {**LISTED, "id": "x"}]))

    assert ["Claude-Sonnet-4.5", "x"] == [one["id"] for one in page.pop("data")]
    assert {
        "object": "list", "has_more": False, "first_id": "Claude-Sonnet-4.5", "last_id": "x",
    } == page  # fmt: skip
    assert {"first_id": None, "last_id": None}.items() <= orjson.loads(
        models.model_list([])
    ).items()
