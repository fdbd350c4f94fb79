"""Around each request: its id, the client's key, CORS, its line in the log, failures."""

from __future__ import annotations

import logging
import re
import secrets
import time
from typing import Final

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from poe_proxy import flight, logs
from poe_proxy.errors import PoeProxyError
from poe_proxy.server import failures
from poe_proxy.server.access import check_key
from poe_proxy.server.bodies import leave_unread
from poe_proxy.server.client_socket import ClientGone, ClientSocket
from poe_proxy.server.services import services

log = logging.getLogger(__name__)

#: The blueprint whose views need no key.
OPEN: Final = "pages"

_EXPOSED: Final = ", ".join(
    [
        "x-request-id", "retry-after", "x-should-retry", "x-unchecked",
        *(
            f"x-ratelimit-{what}-{of}"
            for what in ("limit", "remaining", "reset")
            for of in ("requests", "tokens")
        ),
    ]
)  # fmt: skip
_HEADER_NAMES: Final = re.compile(r"[\w\-, ]{1,2000}", re.ASCII)


def register(app: Flask) -> None:
    """Put the hooks on *app*."""
    app.before_request(_begin)
    app.after_request(_finish)
    app.register_error_handler(ClientGone, lambda gone: Response(status=499))
    app.register_error_handler(HTTPException, failures.http_error_response)
    app.register_error_handler(PoeProxyError, failures.error_response)
    app.register_error_handler(Exception, failures.bug_response)


def _begin() -> Response | None:
    request_id = f"req_{secrets.token_hex(12)}"
    logs.request_id.set(request_id)
    route = request.url_rule.rule if request.url_rule else "an unknown path"
    flight.current.set(flight.Flight(request_id, f"{request.method} {route}"))
    g.began = time.monotonic()
    if request.method == "OPTIONS":
        nothing = Response(status=204)
        del nothing.headers["Content-Type"]  # Flask would call it HTML
        return nothing
    if request.endpoint is not None and request.blueprint != OPEN:
        g.client = check_key(request, services().auth_keys)
        ClientSocket(request.environ).has_key()
    return None


def _finish(response: Response) -> Response:
    response.headers["x-request-id"] = logs.request_id.get()
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Access-Control-Expose-Headers"] = _EXPOSED
    if failures.speaks_anthropic():
        response.headers["request-id"] = logs.request_id.get()  # the name that its clients know
        response.headers["Access-Control-Expose-Headers"] = f"{_EXPOSED}, request-id"
    if request.method == "OPTIONS":
        wanted = request.headers.get("Access-Control-Request-Headers", "")
        if not _HEADER_NAMES.fullmatch(wanted):
            wanted = "Authorization, Content-Type"
        response.headers["Access-Control-Allow-Methods"] = "GET, HEAD, POST, OPTIONS"
        response.headers["Access-Control-Allow-Headers"] = wanted
        response.headers["Access-Control-Max-Age"] = "86400"
    if leave_unread():
        response.headers["Connection"] = "close"  # gunicorn says it by itself, and drops ours
    model = getattr(g, "model", None)
    code = getattr(g, "failure_code", None)
    log.info(
        # Cut here too, so that what comes behind a long path or name is still in the line.
        "%.50s %.20s %.100s %d %.0f ms%s%s",
        request.remote_addr or "-",
        request.method,
        request.path,
        response.status_code,
        1000 * (time.monotonic() - g.began),
        f" model={model[:100]}" if model else "",
        f" code={code}" if code else "",
    )
    return response
