"""What a browser or a monitor opens, without a client's key: `/`, `/health`, `/ready`,
`/metrics`, `/openapi.json`."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Final

import orjson
from flask import Blueprint, Response, abort, current_app

from poe_proxy.errors import InvalidKey
from poe_proxy.server.asked import asked
from poe_proxy.server.guesses import is_admin
from poe_proxy.server.gunicorn import WORKER
from poe_proxy.server.pages import try_out
from poe_proxy.server.services import services

bp = Blueprint("pages", __name__, template_folder="templates")

#: The states in which an account cannot be used, and will not be in a moment.
_UNUSABLE: Final = ("paused", "out_of_points", "suspended", "retired")


@bp.get("/")
def front() -> Response:
    """Say what this is, to people who open the address in a browser, and let them try it."""
    if not services().root_page:
        abort(404)
    return try_out.page(asked())


@bp.get("/health")
def health() -> Response:
    """Show that the process answers."""
    return Response(b'{"status":"ok"}', content_type="application/json")


@bp.get("/ready")
def ready() -> Response:
    """Show whether requests are answered: 503 if no account can be used, Redis is away that holds
    the pool, or the server is ending.

    An account that rests, for Poe or for its own limits, can be used: the line is there for that.
    A file that fails is shown, and the server goes on without it. Without Redis no account is lent.
    """
    house = services()
    state = house.ready()
    accounts = state["accounts"]
    reason = None
    if _is_ending():
        reason = "The server is ending."
    elif house.needs_store and state["store"] != "ok":
        reason = f"Redis, where the pool is, is away: {state['store']}."
    elif not any(number for one, number in accounts.items() if one not in _UNUSABLE):
        counts = (f"{number} {one.replace('_', ' ')}" for one, number in accounts.items() if number)
        reason = f"No account can be used ({', '.join(counts) or 'there is none'})."
    body = {"status": "not ready" if reason else "ready", "reason": reason, **state}
    return Response(orjson.dumps(body), 503 if reason else 200, content_type="application/json")


def _is_ending() -> bool:
    worker = current_app.extensions.get(WORKER)
    return worker is not None and not worker.alive


@bp.get("/metrics")
def metrics() -> Response:
    """Show the metrics to whoever runs the server; without `ADMIN_KEY` there are none here."""
    house, request = services(), asked()
    if house.metrics is None or not house.admin_key:
        abort(404)
    if not is_admin(request, house.admin_key):
        raise InvalidKey("Send ADMIN_KEY as 'Authorization: Bearer <key>'.")
    body, content_type = house.metrics(request.headers.get("Accept", ""))
    return Response(body, content_type=content_type)


@bp.get("/openapi.json")
def describe() -> Response:
    """Describe the routes, in OpenAPI's form."""
    return Response(_description(), content_type="application/json")


@cache
def _description() -> bytes:
    return resources.files(__name__).joinpath("openapi.json").read_bytes()
