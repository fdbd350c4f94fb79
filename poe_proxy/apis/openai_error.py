"""The error object of OpenAI's APIs."""

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
