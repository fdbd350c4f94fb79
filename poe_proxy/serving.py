"""The settings of the server: its accounts, where it listens, how much each account is used, and
what outlives a restart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from environs import validate

from poe_proxy.checks import (
    AT_LEAST_ONE,
    NOT_NEGATIVE,
    POSITIVE,
    are_networks,
    is_file,
    is_no_folder,
)
from poe_proxy.environment import (
    as_list,
    each,
    number,
    parsed,
    path,
    setting,
    switch,
    text,
    whole_number,
)
from poe_proxy.lookalikes import is_api_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """The first part of all settings, in the order of the documents."""

    auth_keys: tuple[str, ...] = setting(
        "AuthKey",
        parsed(as_list),
        alias="AUTH_KEY",
        secret=True,
        heading="Needed",
        needed=True,
        meaning="The key that clients send as `Authorization: Bearer <key>`; several, say one for "
        "each client, are separated by commas. Choose a long one and keep it secret: anyone who "
        "has it can use your Poe accounts.",
        example="sk-choose-something-long",
    )
    tokens: tuple[str, ...] = setting(
        "TOKENS",
        parsed(as_list),
        default=(),
        secret=True,
        needed=True,
        meaning="Your Poe accounts by cookie, separated by commas: each is the value of the cookie "
        "`p-b` as your browser shows it, percent-encoded or not, or a list such as "
        "`p-b=...; p-lat=...; formkey=...`, in which `p-lat` and `formkey` are optional. "
        "Not needed if `POE_API_KEYS` or `TOKENS_CONFIG` is set.",
    )
    api_keys: tuple[str, ...] = setting(
        "POE_API_KEYS",
        parsed(as_list),
        check=each(is_api_key),
        default=(),
        secret=True,
        meaning="Keys of Poe's official API, from https://poe.com/api/keys, separated by commas. "
        "They can stand alone or beside `TOKENS`, and are used first.",
    )
    tokens_config: Path | None = setting(
        "TOKENS_CONFIG",
        path,
        check=is_file,
        default=None,
        meaning="A TOML file with accounts of either kind, and what holds for each of them alone: "
        "a proxy, limits, bots and more; `docs/accounts.example.toml` shows all that it can hold. "
        "It can stand alone or beside `TOKENS` and `POE_API_KEYS`.",
    )

    port: int = setting(
        "PORT",
        whole_number,
        check=validate.Range(min=1, max=65535),
        default=8080,
        needs_restart=True,
        heading="Server",
        meaning="The port to listen on.",
    )
    host: str = setting(
        "HOST",
        text,
        default="0.0.0.0",
        needs_restart=True,
        meaning="The address to listen on; `127.0.0.1` is for this machine alone.",
    )
    forwarded_allow_ips: tuple[str, ...] = setting(
        "FORWARDED_ALLOW_IPS",
        parsed(as_list),
        check=are_networks,
        default=("127.0.0.1", "::1"),
        needs_restart=True,
        meaning="Proxies in front (nginx, a load balancer) whose `X-Forwarded-For` and "
        "`X-Forwarded-Proto` are trusted: addresses or networks, separated by commas; `*` for any, "
        "where nothing else can connect.",
    )
    max_body_mb: float = setting(
        "MAX_BODY_MB",
        number,
        check=POSITIVE,
        default=20.0,
        meaning="The largest request body, in megabytes (1 MB is 1,000,000 bytes).",
    )
    max_bodies_mb: float = setting(
        "MAX_BODIES_MB",
        number,
        check=POSITIVE,
        default=200.0,
        meaning="The bodies of all requests under way together, in megabytes: as far as they have "
        "come, and until they are answered. Whatever goes beyond gets a 503. Bodies of more than "
        "1 MB have a quarter of it; there is always room for one body of `MAX_BODY_MB`.",
    )
    max_streams: int = setting(
        "MAX_STREAMS",
        whole_number,
        check=AT_LEAST_ONE,
        default=2000,
        meaning="Answers under way at a time, streamed or whole, those in line included; the next "
        "one gets a 429 at once.",
    )
    max_reply_mb: float = setting(
        "MAX_REPLY_MB",
        number,
        check=POSITIVE,
        default=10.0,
        meaning="The longest reply of a bot, in millions of characters; a longer one breaks off "
        "with an error.",
    )
    max_work: float = setting(
        "MAX_WORK",
        number,
        check=POSITIVE,
        default=0.5,
        meaning="Seconds of computing that one request may cost: reading it, and checking what "
        "the bot answered. A request that would cost more gets a 400; an answer that would is "
        "passed on unchecked, and says so in the header `x-unchecked`.",
    )
    log_level: str = setting(
        "LOG_LEVEL",
        parsed(str.upper),
        check=validate.OneOf(("DEBUG", "INFO", "WARNING", "ERROR")),
        default="INFO",
        meaning="How much is logged: `DEBUG`, `INFO`, `WARNING` or `ERROR`.",
    )

    rate_limit: int = setting(
        "RATE_LIMIT",
        whole_number,
        check=NOT_NEGATIVE,
        default=10,
        heading="Pace: how much each account is used",
        meaning="Requests within 60 seconds on one cookie; 0 means no limit.",
    )
    cool_down: float = setting(
        "COOL_DOWN",
        number,
        check=NOT_NEGATIVE,
        default=10.0,
        meaning="Seconds from the start of one request on a cookie to the next one; 0 means none.",
    )
    token_concurrency: int = setting(
        "TOKEN_CONCURRENCY",
        whole_number,
        check=AT_LEAST_ONE,
        default=1,
        meaning="Replies at a time on one cookie; at least 1.",
    )
    api_rate_limit: int = setting(
        "API_RATE_LIMIT",
        whole_number,
        check=NOT_NEGATIVE,
        default=500,
        meaning="Requests within 60 seconds on one API key; 0 means no limit.",
    )
    api_concurrency: int = setting(
        "API_CONCURRENCY",
        whole_number,
        check=AT_LEAST_ONE,
        default=50,
        meaning="Replies at a time on one API key; at least 1.",
    )
    queue_timeout: float = setting(
        "QUEUE_TIMEOUT",
        number,
        check=NOT_NEGATIVE,
        default=30.0,
        meaning="Seconds that a request waits in line when no account is free. It gets a 429 then, "
        "or at once if it could not be served by then.",
    )
    queue_size: int = setting(
        "QUEUE_SIZE",
        whole_number,
        check=NOT_NEGATIVE,
        default=200,
        meaning="Requests that wait in line at a time; the next one gets a 429 at once.",
    )
    attempts: int = setting(
        "ATTEMPTS",
        whole_number,
        check=AT_LEAST_ONE,
        default=4,
        meaning="Sends of one request that may fail, where it is safe to try again; then the "
        "client gets the failure. Accounts that Poe refuses, limits or challenges do not count.",
    )
    points_check: float = setting(
        "POINTS_CHECK",
        number,
        check=POSITIVE,
        default=300.0,
        meaning="Seconds between two checks of an account that ran out of points; also how long "
        "one is not used for a bot that it has too few points for.",
    )
    timeout: float = setting(
        "TIMEOUT",
        number,
        check=POSITIVE,
        default=60.0,
        meaning="Seconds of silence from Poe that end a reply. Every piece of the reply starts "
        "the count again.",
    )

    state_file: Path | None = setting(
        "STATE_FILE",
        path,
        check=is_no_folder,
        default=None,
        needs_restart=True,
        heading="What outlives a restart",
        meaning="A file in which the proxy remembers the uses of each account and what holds it "
        "back: without it, every restart begins all limits anew. It is created if it is missing, "
        "and one server at a time can use it. `make run`, the systemd unit and Compose set one. "
        "With `REDIS_URL` it has the cookies that Poe renews, and nothing else, and all servers of "
        "a host can use it.",
        example="/var/lib/poe-proxy/state.sqlite3",
    )
    state_cookies: bool = setting(
        "STATE_COOKIES",
        switch,
        default=True,
        needs_restart=True,
        meaning="Whether cookies that Poe renews are kept in `STATE_FILE`, which is then as secret "
        "as they are.",
        values={"0": "they are left out, and deleted if they are there", "1": "they are kept"},
    )
