"""How a stream of this API ends that has failed, and for which failures one is opened.

Codex CLI (0.171) takes a status of 500 and more for a reason to ask again, up to thirty times in
half a minute, whatever `x-should-retry` says; and most codes of `response.failed` for a reason to
ask five times. Half an answer has been paid for, and so may be one that was lost.
"""

from __future__ import annotations

from typing import Any, Final

from poe_proxy.errors import InternalError, PoeProxyError

#: Codes that clients know what to do about. All others end as `invalid_prompt`, the one after which
#: Codex shows the message and asks no more.
_KNOWN: Final = frozenset({"context_length_exceeded", "insufficient_quota", "rate_limit_exceeded"})
_ENDS: Final = "invalid_prompt"


def must_end(failure: PoeProxyError) -> bool:
    """Whether a client that would ask again because of the status must be kept from it: what was
    asked may have been paid for, or will fail in the same way until somebody sees to it."""
    return failure.status >= 500 and (
        failure.client_may_retry is False or isinstance(failure, InternalError)
    )


def told(failure: PoeProxyError) -> dict[str, Any]:
    """Return the `error` of the response that has failed."""
    code = failure.code if failure.code in _KNOWN else _ENDS
    return {"code": code, "message": failure.message}


def event(failure: PoeProxyError) -> dict[str, Any]:
    """Return the members of the `error` event: those of the API, and the object by which the
    `openai` packages know that they are to raise it."""
    return {
        "code": failure.code,
        "message": failure.message,
        "param": failure.param,
        "error": {
            "message": failure.message,
            "type": failure.type,
            "code": failure.code,
            "param": failure.param,
        },
    }
