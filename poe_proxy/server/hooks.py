"""Around each request: its id, the client's key, CORS, its line in the log, failures."""

from __future__ import annotations

import logging
import os
import re
import time
from typing import Final

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from poe_proxy import flight, logs
from poe_proxy.errors import PoeProxyError
from poe_proxy.server import failures
from poe_proxy.server.access import check_key
from poe_proxy.server.asked import Asked
from poe_proxy.server.bodies import leave_unread
from poe_proxy.server.client_socket import ClientGone
from poe_proxy.server.services import services

log = logging.getLogger(__name__)

#: What the endpoints begin with that need no key: those of one blueprint.
OPEN: Final = "pages."

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
_EXPOSED_TO_ANTHROPIC: Final = f"{_EXPOSED}, request-id"
_HEADER_NAMES: Final = re.compile(r"[\w\-, ]{1,2000}", re.ASCII)


def register(app: Flask) -> None:
    """Let *app* answer failures as its clients expect it."""
    app.register_error_handler(ClientGone, lambda gone: Response(status=499))
    app.register_error_handler(HTTPException, failures.http_error_response)
    app.register_error_handler(PoeProxyError, failures.error_response)
    app.register_error_handler(Exception, failures.bug_response)


def begin(asked: Asked) -> Response | None:
    """Begin a request: it gets an id, and its key is checked. Return what answers it already.

    Raises `InvalidKey`, and `ServerBusy` if too many with a key are under way.
    """
    asked.began = time.monotonic()
    asked.id = f"req_{os.urandom(12).hex()}"
    logs.request_id.set(asked.id)
    rule = asked.url_rule
    route = "an unknown path" if rule is None else rule.rule
    flight.current.set(flight.Flight(asked.id, f"{asked.method} {route}"))
    if asked.method == "OPTIONS":
        nothing = Response(status=204)
        del nothing.headers["Content-Type"]  # Flask would call it HTML
        return nothing
    if rule is not None and not rule.endpoint.startswith(OPEN):
        asked.client_name = check_key(asked, services().auth_keys)
        asked.client.has_key()
    return None


def finish(asked: Asked, response: Response) -> Response:
    """Finish the *response* to a request: it gets the headers that all have, and the log its
    line."""
    headers = response.headers
    headers.add("x-request-id", asked.id)
    headers.add("Access-Control-Allow-Origin", "*")
    if failures.speaks_anthropic(asked):
        headers.add("request-id", asked.id)  # the name that its clients know
        headers.add("Access-Control-Expose-Headers", _EXPOSED_TO_ANTHROPIC)
    else:
        headers.add("Access-Control-Expose-Headers", _EXPOSED)
    if asked.method == "OPTIONS":
        wanted = asked.headers.get("Access-Control-Request-Headers", "")
        if not _HEADER_NAMES.fullmatch(wanted):
            wanted = "Authorization, Content-Type"
        headers.add("Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS")
        headers.add("Access-Control-Allow-Headers", wanted)
        headers.add("Access-Control-Max-Age", "86400")
    if leave_unread(asked):
        headers["Connection"] = "close"  # gunicorn says it by itself, and drops ours
    log.info(
        # Cut here too, so that what comes behind a long path or name is still in the line.
        "%.50s %.20s %.100s %d %.0f ms%s%s",
        asked.remote_addr or "-",
        asked.method,
        asked.path,
        response.status_code,
        1000 * (time.monotonic() - asked.began),
        f" model={asked.model[:100]}" if asked.model else "",
        f" code={asked.failure_code}" if asked.failure_code else "",
    )
    return response
