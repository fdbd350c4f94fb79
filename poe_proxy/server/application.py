"""The WSGI application: routes, pages, and what happens around each request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask

from poe_proxy.server import hooks, pages, routes
from poe_proxy.server.admission import giving_back
from poe_proxy.server.middleware import real_callers, tidy_paths
from poe_proxy.server.services import Services

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Application(Flask):
    """A Flask app that answers with *services*; only its *proxies* may name the real caller."""

    def __init__(self, services: Services, *, proxies: Iterable[str] = ()) -> None:
        super().__init__("poe_proxy")
        self.serve(services)
        routes.register(self)
        self.register_blueprint(pages.bp)
        hooks.register(self)
        beneath = real_callers(tidy_paths(super().wsgi_app), proxies)
        self._served: WSGIApplication = giving_back(beneath)

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request; what each needs before and after Flask is around it."""
        return self._served(environ, start_response)

    def serve(self, services: Services) -> None:
        """Answer with *services* from the next request on."""
        self.extensions["poe_proxy"] = services
