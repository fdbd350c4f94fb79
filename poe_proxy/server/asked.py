"""The request at hand, with what is noted of it on its way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from flask import Request, request

from poe_proxy.apis.base import Api
from poe_proxy.clients import NOBODY, Client
from poe_proxy.record import Record
from poe_proxy.server.client_socket import ClientSocket

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from werkzeug.local import LocalProxy


class Asked(Request):
    """A request. What reads it gets it handed on, rather than ask Flask for it again and again:
    each name that is looked up in `flask.request` costs as much as a short function."""

    def __init__(self, environ: WSGIEnvironment, *how: Any) -> None:
        super().__init__(environ, *how)
        #: The client's end.
        self.client = ClientSocket(environ)
        #: What is noted of it for those who tell of it later.
        self.record = Record()
        #: Who asks.
        self.asker: Client = NOBODY
        #: The API that is spoken, once that is known.
        self.api: Api | None = None
        self.has_read_body = False
        #: Whether it brings the key of whoever runs the server, on a route for both.
        self.is_admin = False


def asked() -> Asked:
    """Return the request at hand."""
    # To Flask's types it is the request itself, and not what stands for it.
    return cast("LocalProxy[Asked]", request)._get_current_object()
