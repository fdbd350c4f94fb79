"""OpenAI's error object."""

from __future__ import annotations

import orjson

from poe_proxy.apis.openai_error import error_body
from poe_proxy.errors import InvalidRequest, PoeProxyError


def test_an_error_is_openais_error_object() -> None:
    """Message, type, param and code are always there, null where there is nothing to say."""
    assert {
        "error": {
            "message": 'No "x".',
            "type": "invalid_request_error",
            "param": "messages[0].role",
            "code": "invalid_value",
        }
    } == orjson.loads(error_body(InvalidRequest('No "x".', param="messages[0].role")))
    assert {"message", "type", "param", "code"} == orjson.loads(error_body(PoeProxyError("x")))[
        "error"
    ].keys()
