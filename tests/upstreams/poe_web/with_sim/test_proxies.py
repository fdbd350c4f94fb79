"""The way to Poe through a proxy."""

from __future__ import annotations

import re
import sys
from dataclasses import replace

import pytest
import requests

from poe_proxy import errors
from poe_proxy.net import dialing
from poe_proxy.upstreams.poe_web.account import PoeWeb
from poe_proxy.upstreams.poe_web.current import CurrentSite
from tests.net.raw import CERTIFICATE

from ....with_sim.servers import Server, until
from .accounts import WORDS, Account, ask, failure_of, site


class ProxyServer(Server):
    """One of `proxies.py`, in a process of its own."""

    def __init__(self, kind: str, *options: str) -> None:
        super().__init__([sys.executable, "-m", "tests.with_sim.proxies", kind, *options])
        until(lambda: "listening on" in self.output())
        self.port = int(re.search(r"listening on (\d+)", self.output())[1])


LOGIN = "us@r:p ss/w:rd"
QUOTED = "us%40r:p%20ss%2Fw%3Ard@"


@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h"])
@pytest.mark.parametrize("login", [None, LOGIN])
def test_a_proxy_serves_http_and_websocket_alike(
    account: Account, scheme: str, login: str | None
) -> None:
    """Everything goes by the proxy, and the name goes unresolved where that is asked for."""
    options = ("--login", login) if login else ()
    host = account.sim.url.replace("127.0.0.1", "localhost")
    with ProxyServer("http" if scheme == "http" else "socks5", *options) as proxy:
        web = account.web(
            web_url=host,
            ws_url=host.replace("http", "ws", 1),
            proxy=f"{scheme}://{QUOTED if login else ''}127.0.0.1:{proxy.port}",
        )
        reply = ask(web, f"!echo {WORDS}")
        web.close()
        seen = proxy.output().splitlines()[1:]

    assert WORDS == reply.text
    port = account.sim.port
    if scheme == "http":
        assert f"CONNECT localhost:{port}" in seen
        assert f"POST localhost:{port}" in seen
    else:
        kind = "name localhost" if scheme == "socks5h" else "address 127.0.0.1"
        assert {f"SOCKS5 {kind}:{port}"} == set(seen)
        assert 2 <= len(seen)


@pytest.mark.parametrize("scheme", ["http", "https", "socks5", "socks5h"])
@pytest.mark.parametrize("login", [None, LOGIN])
def test_tls_goes_through_each_kind_of_proxy(
    account: Account,
    web: PoeWeb,
    scheme: str,
    login: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As it is with Poe: HTTPS and a secure websocket, also where the proxy itself speaks TLS."""
    # The stand-in names its scripts without TLS, where nothing is fetched from: what is in them
    # is given.
    ask(web, "!echo hi")
    keys = web._session._keys
    token = f"p-b={account.token}; formkey={keys.formkey}"
    # The certificate of a test is trusted by no authority.
    for module in (dialing, requests.adapters):
        monkeypatch.setattr(module, "DEFAULT_CA_BUNDLE_PATH", str(CERTIFICATE))
    tls = ["--certificate", str(CERTIFICATE)]
    options = ["--login", login] if login else []
    kind = "socks5" if scheme.startswith("socks") else "http"
    with (
        ProxyServer("front", "--to", str(account.sim.port), *tls) as front,
        ProxyServer(kind, *options, *(tls if scheme == "https" else [])) as proxy,
    ):
        secure = account.web(
            token,
            site=CurrentSite(replace(site(account.folder).now, revision=keys.revision)),
            web_url=f"https://localhost:{front.port}",
            ws_url=f"wss://localhost:{front.port}",
            proxy=f"{scheme}://{QUOTED if login else ''}localhost:{proxy.port}",
        )
        reply = ask(secure, f"!echo {WORDS}")
        secure.close()
        seen = proxy.output().splitlines()[1:]

    assert (WORDS, None) == (reply.text, reply.failure)
    name = "127.0.0.1" if scheme == "socks5" else "localhost"
    assert 2 <= len(seen)
    assert all(one.endswith(f"{name}:{front.port}") for one in seen)


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_a_proxy_that_refuses_is_an_error(account: Account, scheme: str) -> None:
    """A proxy that wants another login means that Poe cannot be reached; the error does not have
    the login."""
    with ProxyServer(scheme, "--login", "good:login") as proxy:
        raised = failure_of(
            account.web(proxy=f"{scheme}://bad:secret@127.0.0.1:{proxy.port}"), "hello"
        )

    assert isinstance(raised, errors.UpstreamError)
    assert raised.another_token
    assert "secret" not in raised.message
    assert [] == account.journal()


def test_proxies_of_the_environment_are_not_used(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only PROXY counts, neither http_proxy nor no_proxy."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9")

    assert "hi" == ask(account.web(), "!echo hi").text


def test_no_proxy_of_the_environment_does_not_go_past_the_proxy(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With PROXY set, everything goes there, whatever no_proxy says."""
    monkeypatch.setenv("no_proxy", "*")
    with ProxyServer("http") as proxy:
        web = account.web(proxy=f"http://127.0.0.1:{proxy.port}")
        reply = ask(web, "!echo hi")
        web.close()
        seen = proxy.output()

    assert "hi" == reply.text
    assert "CONNECT" in seen
