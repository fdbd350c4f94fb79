"""WSGI beneath Flask: tidy paths, and the real caller behind a proxy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from ipaddress import ip_address, ip_network
from typing import Any, Final, TypeAlias

WsgiApp: TypeAlias = Callable[..., Any]

#: Where the path stands as it came, if it was another one.
UNTIDY: Final = "poe_proxy.untidy_path"
#: The most addresses of X-Forwarded-For that are looked at.
MAX_HOPS: Final = 32


def tidy_paths(app: WsgiApp) -> WsgiApp:
    """Treat `//v1//models/` as `/v1/models`, and `/v1/v1/messages` as `/v1/messages`: clients join
    their base URL in many ways, and those of Anthropic's API write the `/v1` themselves."""

    def tidied(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        path = environ.get("PATH_INFO", "")
        if "//" in path or (path.endswith("/") and path != "/"):
            environ[UNTIDY] = path
            path = re.sub("/{2,}", "/", path).rstrip("/") or "/"
        environ["PATH_INFO"] = path.removeprefix("/v1") if path.startswith("/v1/v1/") else path
        return app(environ, start_response)

    return tidied


def real_callers(app: WsgiApp, proxies: Iterable[str]) -> WsgiApp:
    """Take the caller's address from X-Forwarded-For, if one of our *proxies* wrote it.

    gunicorn looks at FORWARDED_ALLOW_IPS for the scheme only, and werkzeug's ProxyFix believes
    every caller.
    """
    networks = [
        ip_network(every)
        for one in proxies
        for every in (("0.0.0.0/0", "::/0") if one == "*" else (one,))
    ]

    def is_ours(address: str) -> bool:
        # A Unix socket has no address, and strangers cannot reach it.
        return not address or any(ip_address(address) in network for network in networks)

    def called(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        environ["REMOTE_ADDR"] = _unmapped(environ.get("REMOTE_ADDR", ""))
        forwarded = environ.get("HTTP_X_FORWARDED_FOR")
        # The last ones: each of ours adds one, and a stranger may send thousands.
        hops = forwarded.rsplit(",", MAX_HOPS)[-MAX_HOPS:] if forwarded else []
        # Hop by hop from the nearest, for as long as the last one may be believed.
        with suppress(ValueError):
            while hops and is_ours(environ["REMOTE_ADDR"]):
                environ["REMOTE_ADDR"] = _unmapped(str(ip_address(hops.pop().strip())))
        return app(environ, start_response)

    return called


def _unmapped(address: str) -> str:
    """Return 1.2.3.4 for ::ffff:1.2.3.4, which a socket that takes both kinds reports."""
    if ":" not in address:
        return address
    with suppress(ValueError):
        inner = getattr(ip_address(address), "ipv4_mapped", None)
        return str(inner) if inner else address
    return address
