"""The list of models as clients of Anthropic's API read it. What OpenAI's clients read stays in it.

Form: https://docs.anthropic.com/en/api/models-list, as of November 2026.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from poe_proxy.apis.fields import integer


def model_list(entries: Iterable[Mapping[str, Any]]) -> bytes:
    """Return the body of `GET /v1/models`: all models are one page."""
    data = [entry(one) for one in entries]
    page = {
        "has_more": False,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }
    return orjson.dumps({"object": "list", "data": data, **page})


def entry(listed: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry of OpenAI's list with the fields of Anthropic's."""
    about = listed.get("metadata")
    shown = about.get("display_name") if isinstance(about, Mapping) else None
    window = listed.get("context_window")
    window = window if isinstance(window, Mapping) else {}
    return {
        **listed,
        "type": "model",
        "display_name": shown if isinstance(shown, str) and shown else listed["id"],
        "created_at": datetime.fromtimestamp(listed["created"], UTC).isoformat(),
        "max_input_tokens": integer(window.get("context_length")),
        "max_tokens": integer(window.get("max_output_tokens")),
        "lifecycle": "active",
    }
