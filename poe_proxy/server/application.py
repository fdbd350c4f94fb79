"""The WSGI application: routes, pages, and what happens around each request."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from flask import Flask, Request, Response
from flask.sessions import NullSession, SessionInterface
from werkzeug.routing import MapAdapter

from poe_proxy.server import hooks, pages, routes, usage
from poe_proxy.server.admin import routes as admin
from poe_proxy.server.admission import giving_back
from poe_proxy.server.asked import Asked, asked
from poe_proxy.server.middleware import real_callers, tidy_paths
from poe_proxy.server.services import Services

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class _NoSessions(SessionInterface):
    """No client has a session."""

    _NONE: Final = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:
        return self._NONE


class Application(Flask):
    """A Flask app that answers with *services*; only its *proxies* may name the real caller.

    Of what Flask does for each request, it leaves out what no view here uses: sessions, coroutines,
    URLs built from the request. That is a third of what Flask costs.
    """

    request_class = Asked
    session_interface = _NoSessions()

    def __init__(self, services: Services, *, proxies: Iterable[str] = ()) -> None:
        super().__init__("poe_proxy")
        self.serve(services)
        routes.register(self)
        self.register_blueprint(usage.bp)
        self.register_blueprint(pages.bp)
        self.register_blueprint(admin.bp)
        hooks.register(self)
        beneath = real_callers(tidy_paths(super().wsgi_app), proxies)
        self._served: WSGIApplication = giving_back(beneath)

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request; what each needs before and after Flask is around it."""
        return self._served(environ, start_response)

    def serve(self, services: Services) -> None:
        """Answer with *services* from the next request on."""
        self.extensions["poe_proxy"] = services

    # ---- what Flask calls

    def preprocess_request(self) -> Response | None:
        """Begin the request at hand; return what answers it already."""
        return hooks.begin(asked())

    def process_response(self, response: Response) -> Response:
        """Finish the *response* to the request at hand."""
        return hooks.finish(asked(), response)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return *func*: all of ours are plain functions."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return what finds the route of *request*, and knows no more of it than that takes."""
        if request is None:
            return None
        if "HTTP_UPGRADE" in request.environ:
            return super().create_url_adapter(request)
        return MapAdapter(
            self.url_map,
            server_name="",
            script_name=request.root_path,
            subdomain="",
            url_scheme=request.scheme,
            path_info=request.path,
            default_method=request.method,
        )
