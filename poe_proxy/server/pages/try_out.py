"""The page at `/`, where a key can be tried out: one file, which asks nobody but this server."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

from flask import Request, Response
from markupsafe import escape

from poe_proxy.server.policy import policy

#: What the file says in place of the base URL, which a browser without JavaScript shows.
ADDRESS: Final = "http://localhost:8080"


@dataclass(frozen=True, slots=True)
class _Page:
    html: str
    #: What the browser is told to allow: nothing but what the file itself brings, and requests to
    #: this server.
    policy: str


def page(request: Request) -> Response:
    """Return the page with the base URL as *request* has it, which may be the one that nginx
    passes on."""
    found = _page()
    base = str(escape(request.root_url.rstrip("/")))
    response = Response(found.html.replace(ADDRESS, base), mimetype="text/html")
    headers = response.headers
    headers["Content-Security-Policy"] = found.policy
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer"
    # The base URL in it is of this request: no cache on the way shall give it to others.
    headers["Cache-Control"] = "private, no-cache"
    response.add_etag()
    response.make_conditional(request)
    return response


@cache
def _page() -> _Page:
    html = resources.files(__package__).joinpath("templates", "try_out.html").read_text("utf-8")
    script, style = _inside(html, "script"), _inside(html, "style")
    return _Page(html, policy(script=script, style=style))


def _inside(html: str, element: str) -> str:
    """Return what is in the one *element* of that name."""
    return html.partition(f"<{element}>")[2].partition(f"</{element}>")[0]
