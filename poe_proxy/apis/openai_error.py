"""How OpenAI's APIs report a failure: the error object, and the status."""

from __future__ import annotations

import orjson

from poe_proxy.errors import PoeProxyError


def error_body(failure: PoeProxyError) -> bytes:
    """Return *failure* as OpenAI's error object."""
    return orjson.dumps(
        {
            "error": {
                "message": failure.message,
                "type": failure.type,
                "param": failure.param,
                "code": failure.code,
            }
        }
    )


class OpenAiErrors:
    """The part of an `Api` that all of OpenAI's have in common."""

    def failure(self, failure: PoeProxyError) -> bytes:
        """Return the error object."""
        return error_body(failure)

    def status(self, failure: PoeProxyError) -> int:
        """Return the failure's own status."""
        return failure.status
