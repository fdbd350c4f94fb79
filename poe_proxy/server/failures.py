"""Failures as HTTP answers, each in the form of the API that was spoken."""

from __future__ import annotations

import logging
import re
from math import ceil
from typing import Final

from flask import Response
from werkzeug.exceptions import HTTPException

from poe_proxy import logs
from poe_proxy.apis.base import Api
from poe_proxy.errors import (
    BotFailed,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    PoeProxyError,
    PromptRefused,
    RouteNotFound,
    UpstreamChanged,
    let_go,
)
from poe_proxy.record import Record
from poe_proxy.server.asked import Asked, asked
from poe_proxy.server.bodies import too_large
from poe_proxy.server.services import services

log = logging.getLogger(__name__)

#: The longest `Retry-After` in seconds that the openai packages wait for. At longer ones they
#: would try again at a time of their own, and be refused again.
MAX_RETRY_AFTER: Final = 60
#: The most characters of a failure's message that are noted for those who tell of it later.
MOST_NOTED: Final = 200

#: Headers that programs send which know Anthropic's API, and no others.
_ANTHROPIC: Final = "anthropic-version"
_MESSAGES: Final = re.compile(r"/(?:v1/)?messages(?:/|\Z)")

#: Paths that OpenAI has, and why they are not here (official API sheet §2).
_NOT_AT_POE: Final = {
    "embeddings": "Poe has no embeddings.",
    "files": "Poe keeps no files: they go along in a message, as data URIs.",
    "uploads": "Poe keeps no files: they go along in a message, as data URIs.",
    "audio/transcriptions": "Poe transcribes nothing: a bot that hears takes sounds in a message.",
    "audio/translations": "Poe transcribes nothing: a bot that hears takes sounds in a message.",
    "images/variations": "Poe has no variations: POST /v1/images/edits takes a picture.",
    "moderations": "Poe moderates nothing by itself.",
    "videos": "Films are made in a chat: the answer of a bot that makes them is the link.",
    "batches": "Poe has no batches.",
    "fine_tuning": "Poe trains no models.",
    "vector_stores": "Poe has no vector stores.",
    "assistants": "Poe has no assistants.",
    "threads": "Poe has no threads.",
    "realtime": "Poe has no realtime sessions.",
    "responses": "Responses are not kept: send the whole conversation to POST /v1/responses.",
}
_OPENAI: Final = re.compile(rf"/(?:v1/)?({'|'.join(_NOT_AT_POE)})(?:/|\Z)")
#: What the routes for whoever runs the server begin with.
_OWN: Final = ("/status", "/admin/")
#: What is here.
_USUAL: Final = (
    "Chat is POST /v1/chat/completions, /v1/responses or /v1/messages; models are GET /v1/models."
)


def spoken_api(request: Asked) -> Api:
    """Return the API of *request*: by its route, by its path where there is no such route, or by
    its headers; chat completions, where nothing tells."""
    apis = services().apis
    name = (request.endpoint or "").rpartition(".")[2]
    found = request.api or apis.get(name)
    if found is None and (_MESSAGES.match(request.path) or _ANTHROPIC in request.headers):
        found = apis.get("messages")
    return found or apis["chat_completions"]


def speaks_anthropic(request: Asked) -> bool:
    """Whether *request* is one of Anthropic's API."""
    return spoken_api(request) is services().apis.get("messages")


def error_response(failure: PoeProxyError) -> Response:
    """Return *failure* in the API's own form, with its status."""
    request = asked()
    note(request.record, failure)
    let_go(failure)
    api = spoken_api(request)
    response = Response(api.failure(failure), api.status(failure), content_type="application/json")
    may_retry = failure.client_may_retry
    if failure.retry_after is not None:
        # The client may come again once neither the accounts nor its own limits stand in the way.
        own = services().registry.wait(request.asker, request.record.id)
        seconds = max(1, ceil(failure.retry_after), ceil(own))
        if seconds > MAX_RETRY_AFTER:
            may_retry = False
        response.headers["Retry-After"] = str(seconds)
    if may_retry is not None:
        response.headers["x-should-retry"] = "true" if may_retry else "false"
    return response


def note(record: Record, failure: PoeProxyError) -> None:
    """Note in *record* what ended its request.

    What a bot or a moderator says may quote the conversation, and so may a link: of those there is
    only the code.
    """
    record.code = failure.code or ""
    record.site_changed = failure.site_changed or failure.code == UpstreamChanged.code
    if not isinstance(failure, BotFailed | PromptRefused):
        words = failure.message[: 2 * MOST_NOTED].split()
        plain = " ".join("(a link)" if "://" in word else word for word in words)
        record.message = plain[:MOST_NOTED]


def http_error_response(error: HTTPException) -> Response:
    """Return the answer to what Flask itself refuses, such as an unknown path or a wrong method."""
    let_go(error)  # the request knows it, and its frames the request
    request = asked()
    code = 404 if error.code == 405 and _is_hidden(request.path) else error.code
    match code:
        case 404:
            path = request.path
            failure: PoeProxyError = RouteNotFound(
                f"There is no {request.method} {_shown(path)} here. {_why_not(path)}{_USUAL}"
            )
        case 405 if _wants_websocket(request):
            failure = MethodNotAllowed("There is no websocket here; send a POST request.")
        case 405:
            failure = MethodNotAllowed(f"{request.method} is not allowed on this path.")
        case 413:
            failure = too_large(services().max_body)
        case _:
            failure = InvalidRequest(error.description or "The request is invalid.")
    response = error_response(failure)
    if code == 405 and _wants_websocket(request):
        # Codex CLI opens a websocket first. After this status it goes over to POST at once; any
        # other one it takes for a reason to try again, for seven seconds.
        response.status_code = 426
    if code == 405 and (allowed := getattr(error, "valid_methods", None)):
        response.headers["Allow"] = ", ".join(sorted(allowed))
    return response


def bug_response(bug: Exception) -> Response:
    """Return the answer to a request that met a fault of our own."""
    return error_response(internal_error(bug))


def internal_error(bug: Exception) -> InternalError:
    """Log *bug* with its traceback; return the failure that names the place in the log."""
    log.error("failed", exc_info=bug)
    where = logs.request_id.get()
    return InternalError(f"A fault of the proxy; its log has the details under {where}.")


def _is_hidden(path: str) -> bool:
    """Whether *path* is one of the routes for whoever runs the server, which are not there without
    its key."""
    house = services()
    if path == "/metrics":
        return house.metrics is None or not house.admin_key
    return not house.admin_key and path.startswith(_OWN)


def _wants_websocket(request: Asked) -> bool:
    return request.headers.get("Upgrade", "").lower() == "websocket"


def _why_not(path: str) -> str:
    """Return why there is no such path, in a sentence with a space behind it; empty if it is none
    of OpenAI's."""
    found = _OPENAI.match(path)
    return f"{_NOT_AT_POE[found[1]]} " if found else ""


def _shown(text: str) -> str:
    """Return *text* from outside, cut and escaped for a sentence of an answer."""
    return text[:100].encode("unicode_escape").decode("ascii")
