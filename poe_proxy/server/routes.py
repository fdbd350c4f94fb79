"""The routes of the APIs, each with and without `/v1`: one thin view for each."""

from __future__ import annotations

import orjson
from flask import Blueprint, Flask, Response, request
from werkzeug.routing import PathConverter

from poe_proxy.apis import listings
from poe_proxy.errors import BotNotFound
from poe_proxy.pool.balances import DOLLARS
from poe_proxy.server.delivery import deliver
from poe_proxy.server.forms import by_form
from poe_proxy.server.services import services

bp = Blueprint("apis", __name__)


class _Name(PathConverter):
    """A model's name: anything, slashes and line breaks too."""

    regex = r"(?s:[^/].*?)"


def register(app: Flask) -> None:
    """Put the routes on *app*."""
    app.url_map.converters["name"] = _Name
    app.register_blueprint(bp)


@bp.post("/chat/completions")
@bp.post("/v1/chat/completions")
def chat_completions() -> Response:
    """Answer a conversation, whole or as the answer arrives."""
    return deliver(services().apis["chat_completions"])


@bp.post("/completions")
@bp.post("/v1/completions")
def completions() -> Response:
    """Answer a text that is to be continued, whole or as the answer arrives."""
    return deliver(services().apis["completions"])


@bp.post("/images/generations")
@bp.post("/v1/images/generations")
def image_generations() -> Response:
    """Answer with a picture by its description."""
    return deliver(services().apis["image_generations"])


@bp.post("/images/edits")
@bp.post("/v1/images/edits")
def image_edits() -> Response:
    """Answer with a picture that is made from others."""
    return deliver(by_form(services().apis["image_edits"], request.content_type))


@bp.post("/audio/speech")
@bp.post("/v1/audio/speech")
def speech() -> Response:
    """Answer with a sound: a text that is read aloud."""
    return deliver(services().apis["speech"])


@bp.get("/models")
@bp.get("/v1/models")
def list_models() -> Response:
    """List the models that clients may name."""
    return _json(listings.model_list(services().gateway.menu.entries()))


@bp.get("/models/<name:name>")
@bp.get("/v1/models/<name:name>")
def show_model(name: str) -> Response:
    """Show one model of the list."""
    entry = services().gateway.menu.entry(name)
    if entry is None:
        raise BotNotFound(f"The model {name!r} is not in the list of models.", param="model")
    return _json(orjson.dumps(entry))


@bp.get("/dashboard/billing/subscription")
@bp.get("/v1/dashboard/billing/subscription")
def show_subscription() -> Response:
    """Show what the accounts have left, in the form in which some clients show it."""
    return _json(listings.subscription(services().balance.points() * DOLLARS))


@bp.get("/dashboard/billing/usage")
@bp.get("/v1/dashboard/billing/usage")
def show_usage() -> Response:
    """Show that nothing is used: the subscription above is what is left."""
    return _json(listings.NO_USAGE)


def _json(body: bytes) -> Response:
    return Response(body, content_type="application/json")
