"""The usage object of OpenAI's chat completions and completions."""

from __future__ import annotations

from typing import Any

from poe_proxy.chat import Usage


def usage_object(counted: Usage) -> dict[str, Any]:
    """Return the tokens that were *counted*, with the details that Poe gives."""
    return {
        "prompt_tokens": counted.prompt_tokens,
        "completion_tokens": counted.completion_tokens,
        "total_tokens": counted.total,
        **counted.details,
    }
