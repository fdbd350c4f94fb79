"""The small answers beside the chats."""

from __future__ import annotations

import orjson
from openai.types import Model

from poe_proxy.apis.listings import model_list


def test_the_list_of_models_is_openais() -> None:
    """Each entry passes OpenAI's own type."""
    entry = {"id": "gpt-4", "object": "model", "created": 0, "owned_by": "poe"}
    body = orjson.loads(model_list([entry]))

    assert ("list", [entry]) == (body["object"], body["data"])
    Model.model_validate(body["data"][0], strict=True)
    assert {"object": "list", "data": []} == orjson.loads(model_list([]))
