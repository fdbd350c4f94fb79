"""What whoever runs the server sees of trouble, on the page and by alerts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import orjson
import pytest
import requests

from .servers import Proxy, Sim, ask, until

OWNER = "sk-owner-of-all"
COOKIES = ("status-secret-a", "status-secret-b", "status-secret-c")


class Sink(ThreadingHTTPServer):
    """Takes alerts."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/alert-secret"
        self.messages: list[dict[str, Any]] = []

    def events(self) -> list[dict[str, Any]]:
        return [one for told in self.messages for one in told.get("events", [told])]


class _Handler(BaseHTTPRequestHandler):
    server: Sink

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.messages.append(orjson.loads(body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as made:
        Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
        yield made
        made.shutdown()


def owner(proxy: Proxy, path: str, method: str = "GET") -> Any:
    """What whoever runs it is answered."""
    headers = {"Authorization": f"Bearer {OWNER}"}
    answer = requests.request(method, proxy.url + path, headers=headers, timeout=60)
    assert answer.ok, answer.text
    return answer.json()


def states(proxy: Proxy) -> dict[str, str]:
    return {one["label"]: one["state"] for one in owner(proxy, "/status.json")["accounts"]}


def test_accounts_that_are_lost_are_seen_and_told_once(sink: Sink, tmp_path: Path) -> None:
    """One runs dry, one is rejected, one is shown a challenge page: the page says so, why, and
    until when; an alert says it once, and again that it is over. None of it has a secret."""
    settings = {
        "ADMIN_KEY": OWNER,
        "ALERT_URL": sink.url,
        "STATE_FILE": str(tmp_path / "state"),
    }
    with Sim(COOKIES) as sim, Proxy(sim, **settings) as proxy:
        assert proxy.post(ask("!echo hello")).ok
        sim.control(
            points={"cookie-1": 0},
            log_out=["cookie-2"],
            fail={"account": "cookie-3", "times": 1000, "with": {"challenge": ""}},
        )
        lost = {"cookie-1": "out_of_points", "cookie-2": "suspended", "cookie-3": "suspended"}

        def is_lost() -> bool:
            proxy.post(ask("Hello"))
            return states(proxy) == lost

        until(is_lost)
        until(lambda: 4 <= len(sink.events()))
        assert not proxy.post(ask("Hello")).ok
        told = owner(proxy, "/status.json")

        events = {(one["event"], one["account"]): one for one in sink.events()}
        assert {
            ("out_of_points", "cookie-1"),
            ("suspended", "cookie-2"),
            ("suspended", "cookie-3"),
            ("unusable", ""),
        } == events.keys()
        assert len(events) == len(sink.events())
        assert "No account can be used." == told["sentence"]
        dry, rejected, challenged = told["accounts"]
        assert (None, "The account has no points left.") == (dry["until"], dry["reason"])
        assert ("upstream_auth", "upstream_blocked") == (rejected["code"], challenged["code"])
        for account in (rejected, challenged):
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", account["until"])
            assert account["reason"] in events["suspended", account["label"]]["reason"]
        assert "cookie" in rejected["reason"]
        assert {"upstream_auth", "insufficient_quota"} & {one["code"] for one in told["failures"]}

        sim.control(reset=True)
        for label in lost:
            answer = owner(proxy, f"/admin/accounts/{label}/check", "POST")
            assert "accepted" == answer["outcome"], answer
        assert proxy.post(ask("!echo hello")).ok
        until(lambda: 4 <= sum(one["event"] == "back" for one in sink.events()))
        backs = [("back", account) for account in ("", *lost)]
        assert sorted([*events, *backs]) == sorted(
            (one["event"], one["account"]) for one in sink.events()
        )

        shown = [
            proxy.output(),
            orjson.dumps(sink.messages).decode(),
            *(
                requests.get(
                    proxy.url + path, headers={"Authorization": f"Bearer {OWNER}"}, timeout=60
                ).text
                for path in ("/status.json", "/status.json?page=en", "/admin/clients", "/ready")
            ),
            page(proxy),
        ]
    for secret in (*COOKIES, OWNER, "alert-secret", proxy.headers["Authorization"].split()[1]):
        assert not [one for one in shown if secret in one], secret


def page(proxy: Proxy) -> str:
    """The status page, for a browser that has logged in."""
    with requests.Session() as browser:
        answer = browser.post(f"{proxy.url}/status/login", data={"key": OWNER}, timeout=60)
        assert answer.url == f"{proxy.url}/status"
        assert "cookie-1" in answer.text
        return answer.text


def test_what_the_operator_says_and_the_login_outlive_a_restart(sim: Sim, tmp_path: Path) -> None:
    """An account that was set aside stays so until it is brought back."""
    settings = {"ADMIN_KEY": OWNER, "STATE_FILE": str(tmp_path / "state")}
    with requests.Session() as browser:
        # A connection kept alive would keep the server from ending for five seconds.
        browser.headers["Connection"] = "close"
        with Proxy(sim, **settings) as proxy:
            browser.post(f"{proxy.url}/status/login", data={"key": OWNER}, timeout=60)
            owner(proxy, "/admin/accounts/cookie-1/rest", "POST")
            assert "paused" == states(proxy)["cookie-1"]
        with Proxy(sim, **settings) as proxy:
            assert "paused" == states(proxy)["cookie-1"]
            assert "cookie-1" in browser.get(f"{proxy.url}/status", timeout=60).text
            owner(proxy, "/admin/accounts/cookie-1/revive", "POST")
            assert "free" == states(proxy)["cookie-1"]
