"""The official API of Poe on localhost, written from the official API sheet §14."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from ..journal import Journal
from . import chat, errors, media, messages, responses, usage
from .face import ApiFace
from .visit import CORS, Visit, handler

__all__ = ["add_routes"]


def add_routes(
    app: web.Application, *, journal: Journal, api_keys: Sequence[str], pace: float, seed: int
) -> None:
    """Add the face to *app*.

    The first of *api_keys* is called ``key-1`` everywhere but in the header that carries it.
    *pace* is the seconds between two chunks of an answer; 0 means as fast as possible.
    """
    face = ApiFace(journal=journal, api_keys=api_keys, pace=pace, seed=seed)
    router = app.router
    router.add_get("/v1/models", handler(face, usage.models))
    router.add_post("/v1/chat/completions", handler(face, chat.serve))
    router.add_post("/v1/responses", handler(face, responses.serve))
    router.add_post("/v1/messages", handler(face, messages.serve, envelope="anthropic"))
    router.add_get("/base/{kind}/{name:[0-9a-f]{64}}", handler(face, media.serve))
    router.add_get("/usage/current_balance", handler(face, usage.balance))
    router.add_get("/usage/points_history", handler(face, usage.history))
    router.add_route("*", "/__control_api", _control(face))
    for root in ("/v1", "/usage"):
        router.add_options(root + "/{path:.*}", _preflight)
        router.add_route("*", root + "/{path:.*}", handler(face, _nowhere))


def _control(face: ApiFace) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def control(request: web.Request) -> web.Response:
        try:
            # Unlike orjson it takes half of a surrogate pair, which a line may have.
            changes = json.loads(await request.read() or b"{}")
            if not isinstance(changes, dict):
                raise ValueError("the body must be a JSON object")
            state = face.control(changes)
        except ValueError as exc:
            return web.json_response({"error": str(exc)}, status=400)
        return web.json_response(state)

    return control


async def _preflight(_request: web.Request) -> web.Response:
    return web.Response(status=204, headers=CORS)


async def _nowhere(visit: Visit) -> web.StreamResponse:
    raise errors.no_such_path(visit.request.path)
