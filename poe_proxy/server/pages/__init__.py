"""What a browser or a monitor opens, without a key: `/`, `/health`, `/openapi.json`."""

from __future__ import annotations

from importlib import resources
from typing import Final

from flask import Blueprint, Response, render_template, request

bp = Blueprint("pages", __name__, template_folder="templates")

_DESCRIPTION: Final = resources.files(__name__).joinpath("openapi.json").read_bytes()


@bp.get("/")
def hello() -> str:
    """Say what this is, to people who open the address in a browser."""
    # Jinja drops the newline at the end of the file.
    return render_template("hello.html", base=request.host_url.rstrip("/")) + "\n"


@bp.get("/health")
def health() -> Response:
    """Show that the process answers."""
    return Response(b'{"status":"ok"}', content_type="application/json")


@bp.get("/openapi.json")
def describe() -> Response:
    """Describe the routes, in OpenAPI's form."""
    return Response(_DESCRIPTION, content_type="application/json")
