"""All settings, each declared once: its name in the environment, default, check and meaning.

`Settings.from_env` reads what is declared here, and `make docs` writes `.env.example` and the
table in `docs/settings.md` from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from environs import validate

from poe_proxy.checks import (
    AT_LEAST_ONE,
    NOT_NEGATIVE,
    POSITIVE,
    are_networks,
    has_role,
    is_file,
    is_no_folder,
    is_url,
)
from poe_proxy.configuration import BadSettings, read
from poe_proxy.environment import (
    as_base_url,
    as_list,
    as_pairs,
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

__all__ = ["EXAMPLE_KEY", "PROXY_SCHEMES", "BadSettings", "Settings"]

#: The key in every example of the Go program, and so the first that a stranger tries.
EXAMPLE_KEY: Final = "sk-123456"

#: What an address of a proxy may begin with.
PROXY_SCHEMES: Final = ("http", "https", "socks5", "socks5h")


#: What has to be set, each with what is said where nothing of it is.
NEEDED: Final[Mapping[tuple[str, ...], str]] = {
    ("AuthKey",): "Set the key that your clients will send, for example AuthKey=sk-something-long; "
    "several are separated by commas.",
    ("TOKENS", "POE_API_KEYS", "TOKENS_CONFIG"): "Set TOKENS to the p-b cookie of at least one Poe "
    "account, or POE_API_KEYS to at least one key from poe.com/api/keys, or TOKENS_CONFIG to a "
    "file of accounts.",
}


def _as_api_url(given: str) -> str:
    # Clients know it as https://api.poe.com/v1.
    return as_base_url(as_base_url(given).removesuffix("/v1"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting, in the order of the documents."""

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
        "and one server at a time can use it. `make run`, the systemd unit and Compose set one.",
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

    errors_as_text: bool = setting(
        "ERRORS_AS_TEXT",
        switch,
        default=False,
        heading="What clients get",
        meaning="How a failure within a stream is shown.",
        values={
            "0": "as an error object",
            "1": "also as the last text of the answer, for clients such as NextChat that do not "
            "show error objects",
        },
    )
    strict_parameters: bool = setting(
        "STRICT_PARAMETERS",
        switch,
        default=False,
        meaning="What becomes of what Poe passes over: `logprobs`, sound in `modalities`, tools "
        "such as `web_search` that only their maker's servers carry out.",
        values={"0": "it is passed over here, too", "1": "a 400 names the field"},
    )

    media: str = setting(
        "MEDIA",
        text,
        check=validate.OneOf(("links", "inline", "embed")),
        default="links",
        meaning="How pictures that a bot makes stand in the answers of chats.",
        values={
            "links": "as the bot writes them, mostly as links",
            "inline": "as Markdown images",
            "embed": "as Markdown images with the picture in them, as data URIs of up to 4 MB",
        },
    )

    simulate_roles: int = setting(
        "SIMULATE_ROLES",
        whole_number,
        check=validate.OneOf((0, 1, 2)),
        default=0,
        heading="What is asked",
        meaning="How the messages of a conversation become the one text that poe.com takes. With "
        "tools there are labels in any case.",
        values={
            "0": "the texts, joined by newlines",
            "1": "a label before each message, and an open one for the answer",
            "2": "as 1, but as 0 for one user message, one system message, or one of each",
        },
    )
    role_pattern: str = setting(
        "ROLE_PATTERN",
        text,
        check=has_role,
        default="||>{role}-",
        meaning="What a label looks like; `{role}` stands for the name of the role.",
    )
    role_labels: Mapping[str, str] = setting(
        "ROLE_LABELS",
        parsed(as_pairs),
        default={},
        meaning="Names for the labels in place of Instructions (system, developer), User (user) "
        "and Assistant (assistant); pairs, separated by commas.",
        example="user=Human,assistant=AI",
    )
    models: Path | None = setting(
        "MODELS",
        path,
        check=is_file,
        default=None,
        meaning="A TOML file with model names of your own; `docs/models.example.toml` shows all "
        "that it can hold.",
    )
    catalogue: bool = setting(
        "CATALOGUE",
        switch,
        default=True,
        meaning="Whether bots are looked up for `GET /v1/models`: Poe's public list at "
        "`POE_API_URL`, without a key or a cookie, and those that the site shows an account. With "
        "0 and no API key the list is the one of this version; a key's bots are always looked up.",
    )
    delete_chats: bool = setting(
        "DELETE_CHATS",
        switch,
        default=False,
        meaning="What becomes of a chat in the Poe account once it is answered.",
        values={"0": "it stays", "1": "it is removed"},
    )

    proxy: str | None = setting(
        "PROXY",
        text,
        check=is_url(*PROXY_SCHEMES),
        default=None,
        secret=True,
        heading="The way to Poe",
        meaning="A proxy for everything that goes to Poe, the websocket included: an address that "
        "begins with `http://`, `https://`, `socks5://` or `socks5h://` (which leaves looking up "
        "names to the proxy).",
        example="socks5h://127.0.0.1:1080",
    )
    poe_site: Path | None = setting(
        "POE_SITE",
        path,
        check=is_file,
        default=None,
        meaning="A TOML file that describes poe.com's protocol, in place of the built-in one: for "
        "the day when Poe changes its site.",
    )
    poe_web_url: str = setting(
        "POE_WEB_URL",
        parsed(as_base_url),
        check=is_url("http", "https"),
        default="https://poe.com",
        meaning="The address of Poe's site. Other addresses, here and in the two settings below, "
        "are for tests, such as those against the stand-in poe_sim.",
    )
    poe_ws_url: str | None = setting(
        "POE_WS_URL",
        parsed(as_base_url),
        check=is_url("ws", "wss"),
        default=None,
        meaning="An address (`ws://` or `wss://`) in place of the host that Poe names for its "
        "websocket.",
    )
    poe_api_url: str = setting(
        "POE_API_URL",
        parsed(_as_api_url),
        check=is_url("http", "https"),
        default="https://api.poe.com",
        meaning="The address of the official API, with or without `/v1` at the end.",
    )

    #: The files with secrets that all this was read from: `.env`, `TOKENS_FILE` and the like.
    files: tuple[Path, ...] = field(default=(), compare=False)
    #: What is set and not used, in sentences for the log.
    notes: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def from_env(
        cls,
        dotenv: Path = Path(".env"),
        *,
        checks: Mapping[str, Callable[[Any], object]] | None = None,
        together: Callable[[Self], Mapping[str, list[str]]] | None = None,
    ) -> Self:
        """Read the environment, and *dotenv* for what the environment does not set.

        *checks* are further checks by variable name: each takes the value that was read
        (of a list, each item) and raises ValueError with a sentence that says what is wrong.
        *together* returns what is wrong with settings that are right each by itself; of those
        that are not, it gets the defaults.

        Raises `BadSettings` naming every bad variable at once.
        """
        found = read(cls, dotenv, needed=NEEDED, checks=checks or {})
        # What is not set has the default of its field.
        settings = cls(**{"auth_keys": (), **found.values}, files=found.files, notes=found.notes)
        if together:
            found.add(together(settings))
        if found.problems:
            raise BadSettings(found.problems)
        return settings
