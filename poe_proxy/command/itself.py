"""The server itself, made in this process for one question, without a port."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self

from werkzeug.test import EnvironBuilder, run_wsgi_app

from poe_proxy.app import create_app
from poe_proxy.command.asking import Answer
from poe_proxy.errors import PoeProxyError
from poe_proxy.pool.store.holding import StateInUse, hold
from poe_proxy.server.application import Application
from poe_proxy.server.services import Services
from poe_proxy.settings import Settings

#: What a server does besides answering, and this one does not.
_NOTHING_ELSE: Final[Mapping[str, Any]] = {
    "clients": None,
    "admin_key": None,
    "metrics": False,
    "metrics_port": 0,
    "alert_url": None,
    # Whoever asks here is none of the server's clients.
    "usage_days": 0,
}


class Itself:
    """The same app as the server's, with the accounts of the settings, and a key of its own.

    It keeps their limits in `STATE_FILE`, unless a server uses that; then their pace is not known
    here.
    """

    name = "these settings"

    def __init__(self, settings: Settings) -> None:
        self._key = secrets.token_hex(16)
        self._app: Application = create_app(
            replace(
                settings,
                auth_keys=(self._key,),
                state_file=_free(settings.state_file),
                **_NOTHING_ELSE,
            )
        )

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """See `Asked`."""
        if path == "/v1/models":
            self._log_in()
        builder = EnvironBuilder(
            path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers=[("Authorization", f"Bearer {self._key}")],
        )
        pieces, status, _ = run_wsgi_app(self._app, builder.get_environ())
        return Answer(int(status.partition(" ")[0]), pieces)

    def _log_in(self) -> None:
        """Log the accounts in: only then does the site show them bots of their own."""
        with suppress(PoeProxyError):  # what is wrong with one is for `check` to say
            services: Services = self._app.extensions["poe_proxy"]
            services.balance.points()

    def close(self) -> None:
        """See `Asked`: bots are stopped, and connections closed."""
        self._app.extensions["poe_proxy"].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()


def _free(path: Path | None) -> Path | None:
    """Return *path* if no server uses it: then this process holds it until its end."""
    if path is not None:
        try:
            hold(path, patience=0.0)
        except StateInUse:
            return None
    return path
