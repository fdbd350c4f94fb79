"""How Poe refuses, official API sheet §9: the bodies and the envelopes around them.

* Refused     an answer with a status and an error body
* Dropped     the connection is closed without an answer
* HungUp      the client closed the connection during the answer
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from .catalogue import Json

Envelope = Literal["openai", "anthropic"]

_KEY_MESSAGE = "Incorrect API key provided. You can find your API key at https://poe.com/api/keys."
_POINTS_MESSAGE = "You've used up your points! Visit https://poe.com/api/keys to get more."


class Refused(Exception):
    """The request is answered with an error: a status, and the object inside ``error``."""

    def __init__(
        self,
        status: int,
        error: Mapping[str, Any],
        *,
        headers: Mapping[str, str] | None = None,
        html: str | None = None,
        verdict: str | None = None,
    ) -> None:
        super().__init__(status, error.get("message"))
        self.status = status
        self.error = dict(error)
        self.headers = dict(headers or {})
        self.html = html
        self.verdict = verdict or f"refused {status}"

    @property
    def message(self) -> str:
        """The error's message, empty if it has none."""
        return str(self.error.get("message", ""))


class Dropped(Exception):
    """The connection ends without an answer."""


class HungUp(Exception):
    """The client closed the connection."""


def invalid(
    message: str, *, param: str | None = None, code: str | None = None, status: int = 400
) -> Refused:
    """Return the refusal of an invalid request."""
    error: Json = {"message": message, "type": "invalid_request_error"}
    if code is not None:
        error["code"] = code
    if param is not None:
        error["param"] = param
    return Refused(status, error)


def missing(field: str) -> Refused:
    """Return the refusal of a request that lacks a field."""
    return invalid(f"Missing required parameter: '{field}'.", param=field, code="missing_parameter")


def wrong_type(field: str, expected: str) -> Refused:
    """Return the refusal of a field of another type than expected."""
    return invalid(
        f"Invalid type for '{field}': expected {expected}.", param=field, code="invalid_parameter"
    )


def unsupported_value(field: str, value: object, allowed: str) -> Refused:
    """Return the refusal of a value; it names the allowed ones."""
    shown = f"'{value}'" if isinstance(value, str) else str(value)
    return invalid(
        f"Unsupported value: {shown} is not supported for '{field}'. Supported: {allowed}.",
        param=field,
    )


def unknown_field(field: str, model: str) -> Refused:
    """Return the refusal of a field that the model does not declare, §3.2."""
    return invalid(
        f"Unknown parameter: '{field}' is not declared by the model '{model}'.",
        param=field,
        code="invalid_parameter",
    )


def no_parameter(field: str, declared: Iterable[str]) -> Refused:
    """Return the same refusal in words that clients have met, and that sound like a value's."""
    allowed = ", ".join(f"'{name}'" for name in declared) or "none"
    return invalid(
        f"Unsupported value: '{field}' is not a parameter of this model. Allowed: {allowed}.",
        code="unsupported_value",
    )


def no_tools(model: str, status: int) -> Refused:
    """Return the refusal of tools for a model that cannot call them."""
    if status == 404:
        return invalid(f"The model `{model}` does not support tool calling.", status=404)
    return invalid(
        f"The model '{model}' does not support tool calling.",
        param="model",
        code="unsupported_feature_for_model",
    )


def no_such_model(name: str) -> Refused:
    """Return the refusal of an unknown model."""
    return invalid(
        f"The model `{name}` does not exist or you do not have access to it.", status=404
    )


def no_such_path(path: str) -> Refused:
    """Return the refusal of a path without an endpoint."""
    return Refused(404, {"message": f"Unknown path: {path}", "type": "not_found_error"})


def no_responses() -> Refused:
    """Return the refusal of a model that has no Responses endpoint."""
    error = {
        "message": "Model does not support responses method.",
        "type": "invalid_request_error",
        "error_id": str(uuid.uuid4()),
    }
    return Refused(400, error)


def bad_key() -> Refused:
    """Return the refusal of a wrong or missing key."""
    error = {"message": _KEY_MESSAGE, "type": "authentication_error", "code": "invalid_api_key"}
    return Refused(401, error)


def no_points() -> Refused:
    """Return the refusal of a key whose owner has no points left."""
    error = {
        "message": _POINTS_MESSAGE,
        "type": "insufficient_quota",
        "param": None,
        "code": "insufficient_quota",
    }
    return Refused(402, error)


def too_large(message: str) -> Refused:
    """Return the refusal of a body or a prompt that is too large."""
    return _documented(413, "request_too_large", message)


def too_many_requests(retry_after: int) -> Refused:
    """Return the refusal of a key beyond its rate limit."""
    error = {
        "message": "You exceeded your current quota: 500 requests per minute are allowed.",
        "type": "rate_limit_error",
        "error_id": uuid.uuid4().hex,
    }
    return Refused(429, error, headers={"Retry-After": str(retry_after)})


def _documented(status: int, kind: str, message: str) -> Refused:
    """Return a refusal in the form of the compatibility guide (§9.2), with an integer as code."""
    error = {"code": status, "type": kind, "message": message, "metadata": {}}
    return Refused(status, error)


def by_status(status: int, model: str, owner: str) -> Refused:
    """Return the error for a status; each envelope of §9.2 occurs."""
    match status:
        case 400:
            return invalid("The request could not be understood.")
        case 401:
            return bad_key()
        case 402:
            return no_points()
        case 403:
            return _documented(403, "moderation_error", "The request was refused by policy.")
        case 404:
            return no_such_model(model)
        case 408:
            return _documented(408, "timeout_error", "The model did not start in time.")
        case 413:
            return too_large("The request is too large.")
        case 429:
            return too_many_requests(1)
        case 500:
            message = f"Error from {owner}: the model failed."
            error = {"message": message, "type": "provider_error", "error_id": str(uuid.uuid4())}
            return Refused(500, error)
        case 502:
            return _documented(502, "upstream_error", "The model cannot be reached.")
        case 503:
            return Refused(503, {"message": "Poe is down for a moment. Please try again."})
        case 529:
            return _documented(529, "overloaded_error", "The model is overloaded.")
        case _:
            kind = "invalid_request_error" if status < 500 else "internal_error"
            return _documented(status, kind, f"The stand-in was asked for a {status}.")


_ANTHROPIC_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def anthropic_body(refused: Refused, request_id: str, *, model: str) -> Json:
    """Return the body in Anthropic's envelope, §5."""
    message = refused.message
    if refused.status == 401:
        message = "Invalid API key"
    elif refused.status == 404 and refused.error["type"] == "invalid_request_error":
        message = f"model: {model}"
    kind = _ANTHROPIC_TYPES.get(refused.status, refused.error.get("type", "api_error"))
    return {
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": request_id,
    }


HTML_502 = (
    "<html>\n<head><title>502 Bad Gateway</title></head>\n<body>\n"
    "<center><h1>502 Bad Gateway</h1></center>\n<hr><center>cloudflare</center>\n"
    "</body>\n</html>\n"
)
