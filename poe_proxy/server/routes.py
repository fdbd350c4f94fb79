"""The routes of the APIs, each with and without `/v1`: one thin view for each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import orjson
from flask import Blueprint, Flask, Response
from werkzeug.routing import PathConverter

from poe_proxy import sse
from poe_proxy.apis import listings
from poe_proxy.apis.messages import counting, models, parsing
from poe_proxy.apis.responses import counting as response_counting
from poe_proxy.errors import BotNotFound
from poe_proxy.prices import POINT
from poe_proxy.server.asked import asked
from poe_proxy.server.delivery import deliver, receive
from poe_proxy.server.failures import speaks_anthropic
from poe_proxy.server.forms import by_form
from poe_proxy.server.services import services

#: How many events are sent for a check, and in how many seconds.
EVENTS: Final = 5
STREAMED: Final = 1.0

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


@bp.post("/responses")
@bp.post("/v1/responses")
def responses() -> Response:
    """Answer a conversation in the form of the Responses API, whole or as the answer arrives."""
    return deliver(services().apis["responses"])


@bp.post("/responses/input_tokens")
@bp.post("/v1/responses/input_tokens")
def input_tokens() -> Response:
    """Count the tokens of such a conversation; nobody is asked."""
    chat = receive(response_counting.counted_request)
    asked().record.model = chat.model
    return _json(response_counting.counted(chat))


@bp.post("/messages")
@bp.post("/v1/messages")
def messages() -> Response:
    """Answer a conversation in the form of Anthropic's API."""
    return deliver(services().apis["messages"])


@bp.post("/messages/count_tokens")
@bp.post("/v1/messages/count_tokens")
def count_tokens() -> Response:
    """Count the tokens of a conversation; nobody is asked."""
    chat = receive(parsing.counted_request)
    asked().record.model = chat.model
    menu = services().gateway.menu
    target = menu.resolve(chat.model)
    menu.check(chat.model, target, asked().asker.permission)
    if target is None:
        raise _not_listed(chat.model)
    return _json(counting.counted(chat))


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
    return deliver(by_form(services().apis["image_edits"], asked().content_type))


@bp.post("/audio/speech")
@bp.post("/v1/audio/speech")
def speech() -> Response:
    """Answer with a sound: a text that is read aloud."""
    return deliver(services().apis["speech"])


@bp.get("/models")
@bp.get("/v1/models")
def list_models() -> Response:
    """List the models that clients may name."""
    entries = services().gateway.menu.entries(asked().asker.permission)
    return _json((models.model_list if speaks_anthropic(asked()) else listings.model_list)(entries))


@bp.get("/models/<name:name>")
@bp.get("/v1/models/<name:name>")
def show_model(name: str) -> Response:
    """Show one model of the list."""
    entry = services().gateway.menu.entry(name, asked().asker.permission)
    if entry is None:
        raise _not_listed(name)
    return _json(orjson.dumps(models.entry(entry) if speaks_anthropic(asked()) else entry))


@bp.get("/dashboard/billing/subscription")
@bp.get("/v1/dashboard/billing/subscription")
def show_subscription() -> Response:
    """Show what the accounts have left, in the form in which some clients show it; or the client's
    own budget, if it has one."""
    budget = services().registry.budget(asked().asker)
    points = services().balance.points() if budget is None else budget.most
    return _json(listings.subscription(points * float(POINT)))


@bp.get("/dashboard/billing/usage")
@bp.get("/v1/dashboard/billing/usage")
def show_usage() -> Response:
    """Show what the client has used of its budget. Where it has none, nothing is used: the
    subscription above is what is left."""
    budget = services().registry.budget(asked().asker)
    used = 0 if budget is None else budget.most - budget.left
    return _json(listings.usage(used * float(POINT)))


@bp.get("/stream-check")
@bp.get("/v1/stream-check")
def check_stream() -> Response:
    """Answer with a few events, one after the other, for whoever wants to know whether what lies
    between passes each on at once. No bot is asked."""
    response = Response(_numbers(), content_type="text/event-stream; charset=utf-8")
    response.headers.add("Cache-Control", "no-cache")
    response.headers.add("X-Accel-Buffering", "no")  # as for all streams
    return response


def _numbers() -> Iterator[bytes]:
    for number in range(EVENTS):
        if number:
            time.sleep(STREAMED / (EVENTS - 1))
        yield sse.data(b"%d" % number)


def _not_listed(name: str) -> BotNotFound:
    return BotNotFound(f"The model {name[:300]!r} is not in the list of models.", param="model")


def _json(body: bytes) -> Response:
    return Response(body, content_type="application/json")
