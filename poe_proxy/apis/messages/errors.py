"""How Anthropic's API reports a failure: its type by the status, the place within the message.

Form and types: https://docs.anthropic.com/en/api/errors, and the types of the `anthropic` package
2.14, as of November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from poe_proxy import logs
from poe_proxy.errors import PoeProxyError, PromptTooLong

_TYPES: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_OTHER: Final = "api_error"
#: Failures that have another status here than in OpenAI's APIs, by their codes.
_STATUSES: Final[Mapping[str | None, int]] = {
    "insufficient_quota": 402,
    "content_policy_violation": 400,
    "upstream_overloaded": 529,
    "server_busy": 529,
    "pool_unavailable": 529,
}
#: Codes that programs look for, in the error's details.
_DETAILED: Final = frozenset({"thread_unsupported_request"})
#: Fields that have another name here than in a `ChatRequest`.
_FIELDS: Final[Mapping[str, str]] = {
    "stop": "stop_sequences",
    "max_completion_tokens": "max_tokens",
    "reasoning_effort": "output_config.effort",
    "thinking_budget": "thinking.budget_tokens",
    "response_format": "output_config.format",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
}
#: How Claude and Poe say it themselves.
_TOO_LONG: Final = re.compile(r"prompt is too long: \d", re.I)
_PLACE: Final = re.compile(r"\[(\d{1,9})\]")


def status(failure: PoeProxyError) -> int:
    """Return the HTTP status that *failure* has in this API."""
    return _STATUSES.get(failure.code, failure.status)


def error_body(failure: PoeProxyError) -> bytes:
    """Return *failure* as Anthropic's error object."""
    error: dict[str, Any] = {
        "type": _TYPES.get(status(failure), _OTHER),
        "message": _message(failure),
    }
    if failure.code in _DETAILED:
        error["details"] = {"error_code": failure.code}
    about = {"type": "error", "error": error, "request_id": logs.request_id.get()}
    return orjson.dumps(about)


def _message(failure: PoeProxyError) -> str:
    """Return what went wrong, behind its place where that is known: `messages.3.content.0: ...`."""
    message = failure.message
    if isinstance(failure, PromptTooLong):
        return _too_long(failure)
    if failure.param in (None, "body") or status(failure) != 400:
        return message
    dotted = _PLACE.sub(r".\1", failure.param)
    if dotted != failure.param:
        message = message.replace(failure.param, dotted)
    message = message.removeprefix(dotted).removeprefix(":").lstrip()
    return f"{_FIELDS.get(dotted, dotted)}: {message}"


def _too_long(failure: PromptTooLong) -> str:
    """Return it in the words by which programs know that they have to shorten a conversation."""
    if _TOO_LONG.match(failure.message):
        return failure.message
    tokens, most = failure.tokens, failure.maximum
    figures = ""
    if tokens is not None:
        # What our own count does not show is the limit of this way to Poe, or another tokenizer.
        is_known = most is not None and tokens > most
        figures = f": {tokens} tokens > {most} maximum" if is_known else f": {tokens} tokens"
    return f"prompt is too long{figures}. {failure.message}"


class AnthropicErrors:
    """The part of an `Api` that is the same for all requests of this one."""

    def failure(self, failure: PoeProxyError) -> bytes:
        """Return the error object."""
        return error_body(failure)

    def status(self, failure: PoeProxyError) -> int:
        """Return the status that goes with its type."""
        return status(failure)
