"""No object of ours shows a secret: the whole house is built and used, and all is looked at."""

from __future__ import annotations

import functools
import gc
import hashlib
import io
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import requests
from flask.testing import FlaskClient

from poe_proxy import alerts, logs
from poe_proxy.app import create_app
from poe_proxy.server.services import Services
from poe_proxy.startup import read_settings
from poe_proxy.upstreams.poe_web.cookies import Cookies
from poe_proxy.upstreams.poe_web.session import Keys

from .servers import Server, Sim, ask, free_port, until

#: What the operator wrote, by what it is.
SECRETS = {
    "a cookie": "secret-cookie-a",
    "a cookie beside it": "secret-lat",
    "a cookie of the file": "secret-cookie-b",
    "a cookie behind a dead proxy": "secret-cookie-c",
    "an API key": "secret-api-key-1",
    "an API key of the file": "secret-api-key-2",
    "a client's key": "secret-client-key",
    "a client's key of the file": "secret-key-of-alice",
    "the owner's key": "secret-owner-key",
    "a wrong key": "secret-wrong-key",
    "the password of a proxy": "secret-password",
    "the address of alerts": "secret-address",
}
#: Models, each for another account or two, and what they are asked.
ASKED = [
    *((model, "") for model in ("Claude-Sonnet-4.5", "Web-Search", "GPT-5.1", "gpt-4")),
    *(("Claude-Sonnet-4.5", words) for words in ("!close-socket", "!logged-out")),
    *(("gpt-4", words) for words in ("!status=no_access", "!challenge")),
    *(("GPT-5.1", words) for words in ("!http=500", "!reset", "!error-after=2", "!http=429")),
]


def is_ours(value: object) -> bool:
    # A class may have anything as its `__module__`.
    return str(type(value).__module__).partition(".")[0] == "poe_proxy"


class Watch:
    """Looks at each object of ours, and at each exception that comes through our code."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        #: Poe's own are added as they come: form keys, renewed cookies.
        self.secrets = {**secrets}
        #: What shows what.
        self.found: set[str] = set()
        #: The classes of what was looked at.
        self.seen: set[type] = set()

    def look(self, value: object) -> None:
        self.seen.add(type(value))
        if isinstance(value, Keys) and value.formkey:
            self.secrets[f"a form key, {value.formkey[:4]}"] = value.formkey
        elif isinstance(value, Cookies):
            for name, renewed in value.renewed.items():
                self.secrets[f"a renewed {name}, {renewed[:4]}"] = renewed
        shown = f"{value!r} {value}"
        for name, secret in self.secrets.items():
            if secret in shown:
                self.found.add(f"{type(value).__module__}.{type(value).__qualname__} shows {name}")

        if isinstance(value, BaseException):
            # What a traceback would show, too.
            for other in {value.__cause__, value.__context__} - {None}:
                self.look(other)

    def trace(self, frame: FrameType, event: str, arg: Any) -> Any:
        """For `sys.settrace`: what is there for a moment only is seen as its function ends."""
        if event == "call":
            if not frame.f_globals.get("__name__", "").startswith("poe_proxy"):
                return None
            frame.f_trace_lines = False
        elif event == "exception":
            self.look(arg[1])
        elif event == "return":
            for value in (arg, *frame.f_locals.values()):
                # Without the fields that `__init__` is yet to set there is no repr.
                if is_ours(value) and frame.f_code.co_name not in ("__init__", "__post_init__"):
                    self.look(value)
        return self.trace

    def look_at_all_there_is(self) -> None:
        gc.collect()
        for value in gc.get_objects():
            # A proxy object of Flask pretends to be of another class than its type.
            kind = type(value)
            if is_ours(value) or issubclass(kind, BaseException | functools.partial):
                self.look(value)

    def __enter__(self) -> Watch:
        self._before: Any = threading.gettrace()
        sys.settrace(self.trace)
        threading.settrace(self.trace)
        return self

    def __exit__(self, *failure: object) -> None:
        threading.settrace(self._before)
        sys.settrace(None)


@pytest.fixture
def sim() -> Iterator[Sim]:
    cookies = [SECRETS[name] for name in SECRETS if name.startswith("a cookie")]
    keys = [SECRETS[name] for name in SECRETS if name.startswith("an API key")]
    with Sim(cookies, keys, pace=0) as running:
        yield running


@pytest.fixture
def way_out() -> Iterator[int]:
    """A proxy that wants the password; its port."""
    login = f"user:{SECRETS['the password of a proxy']}"
    port = free_port()
    command = [sys.executable, "-m", "tests.with_sim.proxies", "http", "--login", login]
    with Server([*command, "--port", str(port)]) as proxy:
        until(lambda: "listening" in proxy.output())
        yield port


class Alerted(threading.Event):
    """Set once an alert has come; none is answered."""

    def __init__(self, listener: socket.socket) -> None:
        super().__init__()
        self.url = (
            f"http://127.0.0.1:{listener.getsockname()[1]}/{SECRETS['the address of alerts']}"
        )
        self._listener = listener

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                self._listener.accept()[0].close()
                self.set()


@pytest.fixture
def alerted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Alerted]:
    monkeypatch.setattr(alerts, "GATHERED", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        alerted = Alerted(listener)
        thread = threading.Thread(target=alerted.serve, daemon=True)
        thread.start()
        yield alerted
        # To close it alone would not wake the thread.
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(60)


@pytest.fixture
def dotenv(
    sim: Sim, way_out: int, alerted: Alerted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A `.env` with secrets of every kind, and files of accounts and clients."""
    names = {"TOKENS", "POE_API_KEYS", "TOKENS_CONFIG", "AuthKey", "PROXY", "CLIENTS", "ALERT_URL"}
    for name in names & {*os.environ}:
        monkeypatch.delenv(name)
    password = SECRETS["the password of a proxy"]
    accounts = tmp_path / "accounts.toml"
    accounts.write_text(
        f"""
        [[account]]
        cookie = "{SECRETS["a cookie of the file"]}"
        proxy = "http://user:{password}@127.0.0.1:{way_out}"
        bots = ["Claude-Sonnet-4.5"]
        rank = -1
        [[account]]
        cookie = "{SECRETS["a cookie behind a dead proxy"]}"
        proxy = "socks5h://user:{password}@127.0.0.1:9"
        bots = ["Web-Search"]
        rank = -1
        [[account]]
        key_file = "key"
        bots = ["GPT-5.1"]
        """
    )
    (tmp_path / "key").write_text(SECRETS["an API key of the file"])
    clients = tmp_path / "clients.toml"
    key = SECRETS["a client's key of the file"]
    clients.write_text(f'[clients.alice]\nkey = "{key}"\n')
    path = tmp_path / ".env"
    path.write_text(
        f"""
        AuthKey={SECRETS["a client's key"]}
        ADMIN_KEY={SECRETS["the owner's key"]}
        CLIENTS={clients}
        ALERT_URL={alerted.url}
        METRICS=1
        USAGE_FILE={tmp_path / "usage"}
        TOKENS=p-b={SECRETS["a cookie"]}; p-lat={SECRETS["a cookie beside it"]}
        POE_API_KEYS={SECRETS["an API key"]}
        TOKENS_CONFIG={accounts}
        PROXY=http://user:{password}@127.0.0.1:{way_out}
        STATE_FILE={tmp_path / "state"}
        POE_WEB_URL={sim.url}
        POE_WS_URL={sim.url.replace("http", "ws", 1)}
        POE_API_URL={sim.url}
        COOL_DOWN=0
        RATE_LIMIT=0
        QUEUE_TIMEOUT=0
        """
    )
    for file in (path, accounts, clients, tmp_path / "key"):
        file.chmod(0o600)
    return path


def use(client: FlaskClient) -> list[int]:
    """Ask in many ways, of which some fail; return the statuses."""
    statuses = []
    for key in ("a wrong key", "a client's key"):
        for model, words in ASKED:
            answer = client.post(
                "/v1/chat/completions",
                json=ask(f"{words} hello", model, stream=not words),
                headers={"Authorization": f"Bearer {SECRETS[key]}"},
            )
            answer.get_data()
            answer.close()
            statuses.append(answer.status_code)
        client.get("/v1/models", headers={"x-api-key": SECRETS[key]})
        client.get("/ready")
    alice = {"x-api-key": SECRETS["a client's key of the file"]}
    for path in ("/v1/models", "/v1/usage", "/v1/dashboard/billing/usage"):
        statuses.append(client.get(path, headers=alice).status_code)
    return statuses


def shown(client: FlaskClient) -> str:
    """All that whoever runs the server is shown."""
    key = SECRETS["the owner's key"]
    # The page takes no key, but the cookie that its form gives.
    assert 303 == client.post("/status/login", data={"key": key}).status_code
    page = client.get("/status").get_data(as_text=True)
    assert 'id="pool"' in page
    told = [page]
    for path in ("/metrics", "/ready", "/v1/usage", "/status.json", "/admin/clients"):
        answer = client.get(path, headers={"Authorization": f"Bearer {key}"})
        assert 200 == answer.status_code, path
        told.append(answer.get_data(as_text=True))
    return "".join(told)


@pytest.fixture
def objects() -> Iterator[io.StringIO]:
    """The log for programs."""
    package, lines = logging.getLogger("poe_proxy"), io.StringIO()
    handler = logs.handler(lines, "json")
    package.addHandler(handler)
    yield lines
    package.removeHandler(handler)


def test_no_repr_has_a_secret(
    sim: Sim,
    dotenv: Path,
    alerted: Alerted,
    caplog: pytest.LogCaptureFixture,
    objects: io.StringIO,
) -> None:
    """Whatever lives or passes by, exceptions of others too: a debugger, a traceback with locals or
    a careless `%r` would write it down. The log has none either, in both its forms, nor what the
    owner is shown; and no digest of a key is there by which it could be tried."""
    requests.post(f"{sim.url}/__control", json={"set_cookie": "new"}, timeout=60).raise_for_status()
    caplog.set_level("DEBUG", "poe_proxy")
    with Watch(SECRETS) as watch:
        app = create_app(read_settings(dotenv), read=lambda: read_settings(dotenv))
        services: Services = app.extensions["poe_proxy"]
        statuses = use(app.test_client())
        seen = shown(app.test_client())
        watch.look_at_all_there_is()
        services.reload()
        dotenv.write_text(dotenv.read_text().replace("TOKENS=", "TOKENS=formkey="))
        services.reload()
        assert alerted.wait(60)
        services.close()

    assert {200, 401, 502} <= {*statuses}
    assert set() == watch.found
    written = f"{caplog.text}{objects.getvalue()}{seen}"
    assert '"first_text_ms":' in written
    assert "poe_proxy_requests_total{" in written
    assert "an alert was not delivered" in written
    assert "alice" in seen
    assert [] == [name for name, secret in watch.secrets.items() if secret in written]
    digests = {name: hashlib.sha256(one.encode()).hexdigest() for name, one in SECRETS.items()}
    assert [] == [name for name, digest in digests.items() if digest[:8] in written]
    # Poe has issued some of its own.
    assert {"form", "renewed"} <= {name.split()[1] for name in watch.secrets}
    # What is known to hold a secret was there to be looked at.
    names = {kind.__name__ for kind in watch.seen}
    assert {
        "Settings", "BadSettings", "Account", "Credentials", "PoeWeb", "PoeApi", "Session",
        "Services", "InvalidKey", "TokenRejected", "Host", "Transfer", "Headers",
    } <= names, sorted(names)  # fmt: skip
