"""The app as whoever runs it sees it: with a browser that keeps cookies, or with the key."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from poe_proxy.app import create_app
from poe_proxy.errors import UpstreamError
from poe_proxy.pool.known import Funds
from poe_proxy.pool.limits import Within
from poe_proxy.pool.rotator import Token, TokenRotator
from poe_proxy.server.services import Services
from poe_proxy.settings import BadSettings, Settings

from ...fakes import ANSWER, SENDING, FakeUpstream

KEY = "sk-test"
ADMIN_KEY = "sk-the-owner-of-it"
BEARER = {"Authorization": f"Bearer {ADMIN_KEY}"}
ACCOUNT = "/admin/accounts/cookie-1"


class Account(FakeUpstream):
    """An account whose balance a test sets."""

    def __init__(self) -> None:
        super().__init__((SENDING, *ANSWER))
        self.failure: UpstreamError | None = None
        self.asked_for_points = 0
        #: Called before it answers.
        self.before: Callable[[], object] = lambda: None

    def balance(self) -> Funds:
        self.asked_for_points += 1
        self.before()
        if self.failure is not None:
            raise self.failure
        return super().balance()


class Owner:
    """An app over a cookie and a key, and who runs it."""

    def __init__(self, **settings: Any) -> None:
        self.account = Account()
        self.settings = Settings(
            **{"auth_keys": (KEY,), "admin_key": ADMIN_KEY, "queue_timeout": 0.0, **settings}
        )
        self.problems: dict[str, list[str]] = {}
        self.token: Token[Any] = Token(
            "cookie-1", self.account, limits=(Within(20, 60.0), Within(100, 86400.0))
        )
        self.others: list[Token[Any]] = [Token("key-1", Account(), kind="key")]
        app = create_app(
            self.settings,
            upstreams=[self.token, *self.others],
            read=self._read,
        )
        services: Services = app.extensions["poe_proxy"]
        self.tokens: TokenRotator[Any] = services.gateway.tokens
        self.close = services.close
        self.client: FlaskClient = app.test_client()

    def _read(self) -> Settings:
        if self.problems:
            raise BadSettings(self.problems)
        return self.settings

    def open(self, path: str, **options: Any) -> TestResponse:
        """Open *path* as a browser does, with the cookies that it has."""
        return self.client.open(path, **options)

    def log_in(self, key: str = ADMIN_KEY, **options: Any) -> TestResponse:
        return self.open("/status/login", method="POST", data={"key": key}, **options)

    def page(self, **options: Any) -> str:
        """What the browser is shown."""
        return self.open("/status", **options).get_data(as_text=True)

    def csrf(self) -> str:
        """What the page's buttons send along."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.page())
        assert found
        return found[1]

    def press(self, path: str, *, headers: Any = None, **fields: str) -> TestResponse:
        """Press a button of the page."""
        form = {"csrf": self.csrf(), **fields}
        return self.open(path, method="POST", data=form, headers=headers or {})

    def ask(self, path: str, method: str = "GET", **options: Any) -> Any:
        """What a program with the key is answered."""
        answer = self.client.open(path, method=method, headers=BEARER, **options)
        assert 200 == answer.status_code, answer.data
        return orjson.loads(answer.data)

    def standing(self) -> str:
        return next(str(it.standing) for one, it in self.tokens.states() if one is self.token)
