"""What was used, and what it cost: a client sees its own, whoever runs the server all of it."""

from __future__ import annotations

import time

from flask import Blueprint, Response

from poe_proxy.errors import RouteNotFound
from poe_proxy.server.asked import asked
from poe_proxy.server.services import services
from poe_proxy.usage import forms, wanted

bp = Blueprint("usage", __name__)

_CSV = "text/csv"
_JSON = "application/json"


@bp.get("/usage")
@bp.get("/v1/usage")
def show() -> Response:
    """Show what was used, as JSON or as a table for spreadsheets."""
    request, house = asked(), services()
    if house.usage is None:
        raise RouteNotFound(
            "No usage is recorded here: whoever runs the server turns that on by STATE_FILE or "
            "USAGE_FILE."
        )
    asks = wanted.read(
        request.args,
        now=time.time(),
        days=house.days,
        client=None if request.is_admin else request.record.client,
    )
    report = house.usage(asks)
    if request.accept_mimetypes.best_match([_JSON, _CSV], _JSON) == _CSV:
        table = forms.as_csv(asks.by, report.rows)
        return Response(table, content_type=f"{_CSV}; charset=utf-8")
    return Response(forms.as_json(report), content_type=_JSON)
