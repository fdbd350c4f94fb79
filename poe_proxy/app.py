"""Builds the objects and joins them, nothing more."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from poe_proxy import logs
from poe_proxy.apis.chat_completions import ChatCompletions
from poe_proxy.gateway import Gateway
from poe_proxy.models import Models
from poe_proxy.net.background import Background
from poe_proxy.net.fetching import Fetcher
from poe_proxy.pool.balances import Balance, PointsWatch
from poe_proxy.pool.limits import Limit, PerMinute, Rest
from poe_proxy.pool.rotator import Token, TokenRotator
from poe_proxy.server.application import Application
from poe_proxy.server.services import Services
from poe_proxy.settings import EXAMPLE_KEY, Settings
from poe_proxy.shaping import tokenizer
from poe_proxy.upstreams.base import Upstream
from poe_proxy.upstreams.poe_api import Catalogue, PoeApi
from poe_proxy.upstreams.poe_web import Credentials, PoeWeb, Site
from poe_proxy.upstreams.poe_web.prompts import Prompt, RoleMode, check_labels
from poe_proxy.upstreams.refusals import Refusals

log = logging.getLogger(__name__)


def read_settings(dotenv: Path = Path(".env")) -> Settings:
    """Return the settings of this process; raises `BadSettings` naming every problem."""
    return Settings.from_env(
        dotenv,
        checks={
            "TOKENS": Credentials.parse,
            "ROLE_LABELS": check_labels,
            "MODELS": Models.load,
            "POE_SITE": Site.load,
        },
    )


def create_app(
    settings: Settings | None = None, *, upstreams: Sequence[Token[Upstream]] | None = None
) -> Application:
    """Return the WSGI application for *settings*, by default those of the environment: then the
    process is ours, and its log is set up too.

    *upstreams* are tokens to use instead of those in the settings.
    """
    if settings is None:
        settings = read_settings()
        logs.set_up(settings.log_level)
    if EXAMPLE_KEY in settings.auth_keys:
        log.warning(
            "AuthKey holds %s, the key of every example: anyone who can reach this server can "
            "use your Poe accounts. Set another one.",
            EXAMPLE_KEY,
        )
    catalogue: Catalogue | None = None
    if upstreams is None:
        keys, catalogue = _keys(settings)
        upstreams = [*keys, *_cookies(settings)]
    tokens = TokenRotator(upstreams, patience=settings.queue_timeout)
    watch = PointsWatch(tokens, every=settings.points_check)
    watch.start()
    balance = Balance(tokens)
    tokenizer.warm_up()

    def close() -> None:
        watch.stop()
        balance.stop()
        if catalogue is not None:
            catalogue.stop()
        # Side by side: each may wait until its bots are stopped.
        closings = [
            (token, Background(token.upstream.close, name=f"{token.label} closing"))
            for token in upstreams
        ]
        for token, closing in closings:
            try:
                closing.result()
            except Exception:  # the others still have to be closed
                log.exception("%s was not closed", token.label)

    services = Services(
        gateway=Gateway(
            tokens,
            Models.load(settings.models),
            catalogue=catalogue.entries if catalogue else tuple,
        ),
        balance=balance,
        auth_keys=settings.auth_keys,
        max_body=round(settings.max_body_mb * 1_000_000),
        apis={"chat_completions": ChatCompletions(errors_as_text=settings.errors_as_text)},
        close=close,
    )
    kinds = [token.kind for token in upstreams]
    log.info(
        "serving %d cookie token(s) and %d API key(s)", kinds.count("cookie"), kinds.count("key")
    )
    return Application(services, proxies=settings.forwarded_allow_ips)


def _keys(settings: Settings) -> tuple[list[Token[Upstream]], Catalogue | None]:
    """Return the tokens of the official API, and its catalogue; None if there is no key."""
    refusals = Refusals()
    # All upstreams look things up in the catalogue, and the first of them fetches it.
    catalogue = Catalogue(lambda: upstreams[0].fetch_models())
    upstreams = [
        PoeApi(
            key,
            catalogue=catalogue,
            refusals=refusals,
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
        )
        for place, upstream in enumerate(upstreams, 1)
    ], catalogue


def _cookies(settings: Settings) -> Iterable[Token[Upstream]]:
    """Yield the tokens of the web protocol."""
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
        )


def _limits(per_minute: int, rest: float) -> tuple[Limit, ...]:
    limits: list[Limit] = []
    if per_minute:
        limits.append(PerMinute(per_minute))
    if rest:
        limits.append(Rest(rest))
    return tuple(limits)
