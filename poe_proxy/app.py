"""Builds the objects and joins them, nothing more."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from flask import Flask

from poe_proxy import logs
from poe_proxy.gateway import Gateway
from poe_proxy.models import Models
from poe_proxy.net.fetching import Fetcher
from poe_proxy.pool.balances import Balance, PointsWatch
from poe_proxy.pool.limits import Limit, PerMinute, Rest
from poe_proxy.pool.rotator import Token, TokenRotator
from poe_proxy.server import routes
from poe_proxy.settings import EXAMPLE_KEY, Settings
from poe_proxy.shaping import tokenizer
from poe_proxy.upstreams.base import Upstream
from poe_proxy.upstreams.poe_api import Catalogue, Learned, PoeApi
from poe_proxy.upstreams.poe_web import Credentials, PoeWeb, Site
from poe_proxy.upstreams.poe_web.prompts import Prompt, RoleMode, check_labels

log = logging.getLogger(__name__)


def read_settings(dotenv: Path = Path(".env")) -> Settings:
    """Return the settings of this process; raises `BadSettings` naming all that is wrong."""
    return Settings.from_env(
        dotenv,
        checks={
            "TOKENS": Credentials.parse,
            "ROLE_LABELS": check_labels,
            "MODELS": Models.load,
            "POE_SITE": Site.load,
        },
    )


def create_app(settings: Settings | None = None) -> Flask:
    """Return the WSGI application for *settings*, by default those of the environment."""
    settings = settings or read_settings()
    logs.set_up(settings.log_level)
    if EXAMPLE_KEY in settings.auth_keys:
        log.warning(
            "AuthKey holds %s, the key of every example: whoever can reach this server can "
            "use your Poe accounts. Set another one.",
            EXAMPLE_KEY,
        )
    keys, catalogue = _keys(settings)
    cookies = list(_cookies(settings))
    tokens = TokenRotator([*keys, *cookies], patience=settings.queue_timeout)
    PointsWatch(tokens, every=settings.points_check).start()
    tokenizer.warm_up()
    app = Flask(__name__)
    app.extensions["poe_proxy"] = routes.Services(
        gateway=Gateway(
            tokens,
            Models.load(settings.models),
            catalogue=catalogue.entries if catalogue else tuple,
        ),
        balance=Balance(tokens),
        auth_keys=settings.auth_keys,
        max_body=round(settings.max_body_mb * 1_000_000),
        errors_as_text=settings.errors_as_text,
    )
    routes.register(app)
    app.wsgi_app = _real_callers(  # type: ignore[method-assign]  # Flask's own idiom
        _tidy_paths(app.wsgi_app), settings.forwarded_allow_ips
    )
    log.info("serving %d cookie token(s) and %d API key(s)", len(cookies), len(keys))
    return app


def _keys(settings: Settings) -> tuple[list[Token[Upstream]], Catalogue | None]:
    """The tokens of the official API, and what it offers; None if there is no key."""
    learned = Learned()
    # Each upstream looks things up in the list, and the first of them fetches it.
    catalogue = Catalogue(lambda: upstreams[0].fetch_models())
    upstreams = [
        PoeApi(
            key,
            catalogue=catalogue,
            learned=learned,
            api_url=settings.poe_api_url,
            proxy=settings.proxy,
            timeout=settings.timeout,
            concurrency=settings.api_concurrency,
            label=f"key-{place}",
        )
        for place, key in enumerate(settings.api_keys, 1)
    ]
    if not upstreams:
        return [], None
    catalogue.start()
    return [
        Token(
            f"key-{place}",
            upstream,
            kind="key",
            rank=0,
            limits=_limits(settings.api_rate_limit, 0),
            concurrency=settings.api_concurrency,
            is_watched=True,
        )
        for place, upstream in enumerate(upstreams, 1)
    ], catalogue


def _cookies(settings: Settings) -> Iterable[Token[Upstream]]:
    """The tokens of the web protocol."""
    site = Site.load(settings.poe_site)
    prompt = Prompt(RoleMode(settings.simulate_roles), settings.role_pattern, settings.role_labels)
    fetcher = Fetcher(settings.proxy)
    # The same account in two spellings would be paced as two.
    accounts = dict.fromkeys(Credentials.parse(text) for text in settings.tokens)
    for place, credentials in enumerate(accounts, 1):
        label = f"cookie-{place}"
        yield Token(
            label,
            PoeWeb(
                credentials,
                site=site,
                to_prompt=prompt,
                web_url=settings.poe_web_url,
                ws_url=settings.poe_ws_url,
                proxy=settings.proxy,
                timeout=settings.timeout,
                delete_chats=settings.delete_chats,
                fetch=fetcher.fetch,
                label=label,
            ),
            kind="cookie",
            rank=1,
            limits=_limits(settings.rate_limit, settings.cool_down),
            concurrency=settings.token_concurrency,
            is_watched=True,
        )


def _limits(per_minute: int, rest: float) -> tuple[Limit, ...]:
    limits: list[Limit] = []
    if per_minute:
        limits.append(PerMinute(per_minute))
    if rest:
        limits.append(Rest(rest))
    return tuple(limits)


def _tidy_paths(app: Callable[..., Any]) -> Callable[..., Any]:
    """Take `//v1//models/` for `/v1/models`: clients join their base URL in many ways."""

    def tidied(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        path = environ.get("PATH_INFO", "")
        if "//" in path or (path.endswith("/") and path != "/"):
            environ["PATH_INFO"] = re.sub("/{2,}", "/", path).rstrip("/") or "/"
        return app(environ, start_response)

    return tidied


def _real_callers(app: Callable[..., Any], proxies: Iterable[str]) -> Callable[..., Any]:
    """Take the caller's address from X-Forwarded-For, where one of our *proxies* wrote it.

    gunicorn looks at FORWARDED_ALLOW_IPS for the scheme only, and werkzeug's ProxyFix believes
    whoever connects.
    """
    networks = [
        ip_network(every)
        for one in proxies
        for every in (("0.0.0.0/0", "::/0") if one == "*" else (one,))
    ]

    def is_ours(address: str) -> bool:
        # A Unix socket has no address, and strangers do not reach it.
        return not address or any(ip_address(address) in network for network in networks)

    def told(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        environ["REMOTE_ADDR"] = _unmapped(environ.get("REMOTE_ADDR", ""))
        forwarded = environ.get("HTTP_X_FORWARDED_FOR")
        hops = forwarded.split(",") if forwarded else []
        # From the nearest one on, each as long as the one before it may be believed.
        with suppress(ValueError):
            while hops and is_ours(environ["REMOTE_ADDR"]):
                environ["REMOTE_ADDR"] = _unmapped(str(ip_address(hops.pop().strip())))
        return app(environ, start_response)

    return told


def _unmapped(address: str) -> str:
    """1.2.3.4 for ::ffff:1.2.3.4, as a socket that takes both kinds writes it."""
    with suppress(ValueError):
        inner = getattr(ip_address(address), "ipv4_mapped", None)
        return str(inner) if inner else address
    return address
