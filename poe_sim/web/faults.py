"""Faults that a prompt or the control plays instead of an answer."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from aiohttp import web

from . import pages

_REASONS: Mapping[int, str] = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Not Allowed",
    413: "Request Entity Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}

# The words that refuse a send before anything is accepted, and those that spoil only the answer
# to an accepted one, each with the word for the same fault among the first.
REFUSING: frozenset[str] = frozenset(
    {
        "http",
        "challenge",
        "empty-200",
        "html-200",
        "login-redirect",
        "reset",
        "server-error",
        "stale-hash",
        "formkey-rotated",
        "new-build",
        "logged-out",
        "status",
    }
)
AFTER_ACCEPT: Mapping[str, str] = {
    "http-after-accept": "http",
    "empty-after-accept": "empty-200",
    "html-after-accept": "html-200",
    "reset-after-accept": "reset",
    "server-error-after-accept": "server-error",
}


class Refused(Exception):
    """The request gets this response instead of an answer; *verdict* is for the journal."""

    def __init__(self, response: web.Response | None, verdict: str) -> None:
        super().__init__(verdict)
        # None: the connection is cut without an answer.
        self.response = response
        self.verdict = verdict


def json_response(body: object, status: int = 200) -> web.Response:
    """Return *body* as a JSON answer."""
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


def bad_request(verdict: str) -> Refused:
    """Return the refusal of a wrong key or tag, or of a malformed request: sheet §17.1."""
    return Refused(json_response({"success": False, "message": "Bad Request"}, 400), verdict)


def graphql_error(message: str, verdict: str) -> Refused:
    """Return a GraphQL error, which comes with HTTP 200: web protocol sheet §8."""
    body: dict[str, object] = {"data": None, "errors": [{"message": message}]}
    if message == "Server Error":
        body["extensions"] = {"is_final": True}
    return Refused(json_response(body), verdict)


def challenge() -> Refused:
    """Return the page of a guard that takes the client for a robot."""
    response = web.Response(
        text=pages.CHALLENGE,
        status=403,
        content_type="text/html",
        headers={"cf-mitigated": "challenge", "Server": "cloudflare"},
    )
    return Refused(response, "challenge")


def login_redirect(verdict: str) -> Refused:
    """Return the redirect to the login page, with the cookie of an anonymous visitor."""
    response = web.Response(status=307, headers={"Location": "/login?redirect_url=%2F"})
    response.set_cookie(
        "p-b", "anonymousanonymousanon%3D%3D", path="/", httponly=True, max_age=63_072_000
    )
    return Refused(response, verdict)


def http_error(status: int, retry_after: str | None = None) -> Refused:
    """Return an HTTP error with the body that usually comes with it."""
    reason = _REASONS.get(status, "Error")
    if status == 400:
        refused = bad_request("fault http=400")
    elif status in (401, 403):
        body = {"success": False, "message": "Unauthorized: formkey"}
        refused = Refused(json_response(body, status), f"fault http={status}")
    else:
        page = web.Response(
            text=pages.gateway_error(status, reason), status=status, content_type="text/html"
        )
        refused = Refused(page, f"fault http={status}")
    if retry_after is not None and refused.response is not None:
        refused.response.headers["Retry-After"] = retry_after
    return refused


def from_words(words: Mapping[str, str]) -> Refused | None:
    """Return the fault that the words ask for, or None."""
    if "http" in words:
        given = words["http"]
        status = int(given) if given.isdigit() and 400 <= int(given) <= 599 else 500
        return http_error(status, words.get("retry-after"))
    if "challenge" in words:
        return challenge()
    if "empty-200" in words:
        return Refused(web.Response(body=b"", content_type="application/json"), "fault empty-200")
    if "html-200" in words:
        return Refused(web.Response(text=pages.login(), content_type="text/html"), "fault html-200")
    if "login-redirect" in words:
        return login_redirect("fault login-redirect")
    if "reset" in words:
        return Refused(None, "fault reset")
    if "server-error" in words:
        return graphql_error("Server Error", "fault server-error")
    if "stale-hash" in words:
        return graphql_error("PersistedQueryNotFound", "fault stale-hash")
    return None


def after_accept(words: Mapping[str, str]) -> Refused | None:
    """Return the fault that spoils the answer to an accepted send, or None."""
    for name, plain in AFTER_ACCEPT.items():
        if name in words:
            fault = from_words({plain: words[name]})
            assert fault is not None
            fault.verdict += " after accept"
            return fault
    return None
