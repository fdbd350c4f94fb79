"""Around each request: its id, the client's key, CORS, its line in the log, failures."""

from __future__ import annotations

import os
import re
import time
from functools import partial
from typing import Final

from flask import Flask, Response
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException

from poe_proxy import flight, logs
from poe_proxy.errors import InvalidKey, PoeProxyError
from poe_proxy.record import CLIENT_CLOSED, Record, begun
from poe_proxy.server import failures, rate_limits
from poe_proxy.server.access import check_key
from poe_proxy.server.admission import held
from poe_proxy.server.asked import Asked, asked
from poe_proxy.server.audit import refused_keys
from poe_proxy.server.bodies import leave_unread
from poe_proxy.server.client_socket import ClientGone
from poe_proxy.server.guesses import is_admin
from poe_proxy.server.services import Services, services

#: What the endpoints begin with that are for whoever runs the server, on pages of our own.
OWN: Final = "admin."
#: What the endpoints begin with that need no client's key.
OPEN: Final = ("pages.", OWN)
#: And those that the key of whoever runs the server opens, too.
FOR_BOTH: Final = "usage."

_EXPOSED: Final = ", ".join(
    [
        "x-request-id", "retry-after", "x-should-retry", "x-unchecked", *rate_limits.NAMES,
    ]
)  # fmt: skip
_EXPOSED_TO_ANTHROPIC: Final = ", ".join((_EXPOSED, "request-id", *rate_limits.ANTHROPIC_NAMES))
#: What a client may call a request: an id, and nothing that could be more than that.
_THEIR_ID: Final = re.compile(r"[\w.:/+=@-]{1,100}", re.ASCII)
#: See https://www.w3.org/TR/trace-context/#traceparent-header.
_TRACE: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.{0,100})?")
_HEADER_NAMES: Final = re.compile(r"[\w\-, ]{1,2000}", re.ASCII)


def register(app: Flask) -> None:
    """Let *app* answer failures as its clients expect it."""
    app.register_error_handler(ClientGone, _client_closed)
    app.register_error_handler(HTTPException, failures.http_error_response)
    app.register_error_handler(InvalidKey, _key_refused)
    app.register_error_handler(PoeProxyError, failures.error_response)
    app.register_error_handler(Exception, failures.bug_response)


def begin(request: Asked) -> Response | None:
    """Begin a request: it gets an id, and its key is checked. Return what answers it already.

    Raises `InvalidKey`, and `ServerBusy` if too many with a key are under way.
    """
    record = request.record = begun(f"req_{os.urandom(12).hex()}")
    logs.request_id.set(record.id)
    house = services()
    held(request.environ).callback(partial(_end, record, house))
    house.admission.under_way.add(record)
    record.peer = request.remote_addr or "-"
    record.method = request.method
    record.path = request.path
    rule = request.url_rule
    if rule is not None:
        record.route = rule.rule
    _note_ids(request, record)
    route = record.route or "an unknown path"
    flight.current.set(flight.Flight(record.id, f"{request.method} {route}"))
    if request.method == "OPTIONS":
        nothing = Response(status=204)
        del nothing.headers["Content-Type"]  # Flask would call it HTML
        return nothing
    if rule is not None and not rule.endpoint.startswith(OPEN):
        try:
            asker = check_key(request, house.registry)
        except InvalidKey:
            # Only what is no client's key is a guess at the other one.
            if rule.endpoint.startswith(FOR_BOTH) and is_admin(request, house.admin_key):
                request.is_admin = True
                request.client.has_key()
                return None
            raise
        record.client = asker.name
        house.registry.check(asker)
        request.asker = asker
        request.client.has_key()
    return None


def _note_ids(request: Asked, record: Record) -> None:
    """Note what others call the request, if it looks like an id."""
    theirs = request.environ.get("HTTP_X_REQUEST_ID")
    if theirs and _THEIR_ID.fullmatch(theirs):
        record.their_id = theirs
    trace = request.environ.get("HTTP_TRACEPARENT")
    if trace and (found := _TRACE.fullmatch(trace)):
        record.trace_id = found[1]


def _key_refused(failure: InvalidKey) -> Response:
    refused_keys.tell(asked())
    return failures.error_response(failure)


def _client_closed(gone: ClientGone) -> Response:
    asked().record.code = CLIENT_CLOSED
    return Response(status=499)


def finish(request: Asked, response: Response) -> Response:
    """Finish the *response* to a request: it gets the headers that all have."""
    headers = response.headers
    headers.add("x-request-id", request.record.id)
    if not (request.endpoint or "").startswith(OWN):
        _allow_all_origins(request, headers)
    if leave_unread(request):
        headers["Connection"] = "close"  # gunicorn says it by itself, and drops ours
    request.record.status = response.status_code
    return response


def _allow_all_origins(request: Asked, headers: Headers) -> None:
    headers.add("Access-Control-Allow-Origin", "*")
    speaks_anthropic = failures.speaks_anthropic(request)
    if request.asker.limits:
        left = services().registry.left(request.asker, request.record.id)
        rate_limits.add(headers, left, anthropic=speaks_anthropic)
    if speaks_anthropic:
        headers.add("request-id", request.record.id)  # the name that its clients know
        headers.add("Access-Control-Expose-Headers", _EXPOSED_TO_ANTHROPIC)
    else:
        headers.add("Access-Control-Expose-Headers", _EXPOSED)
    if request.method == "OPTIONS":
        wanted = request.headers.get("Access-Control-Request-Headers", "")
        if not _HEADER_NAMES.fullmatch(wanted):
            wanted = "Authorization, Content-Type"
        headers.add("Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS")
        headers.add("Access-Control-Allow-Headers", wanted)
        headers.add("Access-Control-Max-Age", "86400")


def _end(record: Record, house: Services) -> None:
    """Finish the *record* of a request whose answer is closed; hand it to all who tell of it."""
    record.ended = time.monotonic()
    house.admission.under_way.discard(record)
    house.told(record)
