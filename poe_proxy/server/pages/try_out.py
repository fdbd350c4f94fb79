"""The page at `/`, where a key can be tried out: one file, which asks nobody but this server."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

from flask import Request, Response
from markupsafe import escape

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
    rules = {
        "default-src": "'none'",
        "script-src": _hash(html, "script"),
        "style-src": _hash(html, "style"),
        "connect-src": "'self'",
        "img-src": "data:",  # its own icon; pictures of bots are links
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        # Its script cannot even by mistake make markup from a text.
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return _Page(html, "; ".join(f"{name} {value}" for name, value in rules.items()))


def _hash(html: str, element: str) -> str:
    """Return the source expression that allows what is in the one *element* of that name."""
    content = html.partition(f"<{element}>")[2].partition(f"</{element}>")[0]
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
