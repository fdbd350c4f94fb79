"""All settings, each declared once: its name in the environment, default, check and meaning.

Here are those of what clients get, of what is asked, and of the way to Poe; `serving` has those of
the server, and `operating` those of whoever runs it for others.

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
    EXAMPLE_KEY,
    NOT_NEGATIVE,
    PROXY_SCHEMES,
    has_role,
    is_file,
    is_url,
)
from poe_proxy.configuration import BadSettings, read
from poe_proxy.environment import (
    as_api_url,
    as_base_url,
    as_pairs,
    parsed,
    path,
    setting,
    switch,
    text,
    whole_number,
)
from poe_proxy.operating import Operating

__all__ = ["EXAMPLE_KEY", "PROXY_SCHEMES", "BadSettings", "Settings"]

#: What has to be set, each with what is said where nothing of it is.
NEEDED: Final[Mapping[tuple[str, ...], str]] = {
    ("AuthKey", "CLIENTS"): "Set the key that your clients will send, for example "
    "AuthKey=sk-something-long; several are separated by commas. Or set CLIENTS to a file of "
    "clients.",
    ("TOKENS", "POE_API_KEYS", "TOKENS_CONFIG"): "Set TOKENS to the p-b cookie of at least one Poe "
    "account, or POE_API_KEYS to at least one key from poe.com/api/keys, or TOKENS_CONFIG to a "
    "file of accounts.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Operating):
    """Every setting, in the order of the documents: those of the server come first."""

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
    native_messages: bool = setting(
        "NATIVE_MESSAGES",
        switch,
        default=False,
        meaning="How `POST /v1/messages` asks Claude with an API key: 1 passes requests on to "
        "Poe's own route for them, where prompts are cached and thoughts kept between turns. "
        "`docs/agents.md` says when that pays.",
        values={"0": "translated, like all others", "1": "passed on"},
    )
    long_prompts: str = setting(
        "LONG_PROMPTS",
        text,
        check=validate.OneOf(("attach", "shorten", "refuse")),
        default="attach",
        meaning="What becomes of a conversation by cookie that is too long for one message.",
        values={
            "attach": "its earlier part goes along as a text file; a bot without files refuses it",
            "shorten": "the same, but for a bot without files old tool results are shortened",
            "refuse": "the client gets a 400",
        },
    )
    max_prompt_chars: int = setting(
        "MAX_PROMPT_CHARS",
        whole_number,
        check=NOT_NEGATIVE,
        default=0,
        meaning="The most characters of one message by cookie; a conversation that has more is too "
        "long. 0: as many as Poe takes, which it says by refusing what is longer.",
    )
    reuse_chats: bool = setting(
        "REUSE_CHATS",
        switch,
        default=False,
        meaning="In which chat of the Poe account the next turn of a conversation is asked.",
        values={"0": "in a new one", "1": "in that of the last turn, with no more than is new"},
    )
    delete_chats: bool = setting(
        "DELETE_CHATS",
        switch,
        default=False,
        meaning="What becomes of a chat in the Poe account once it is answered, or cannot go on.",
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
        meaning="A TOML file with what is known of poe.com's protocol, on top of the built-in one: "
        "for the day when Poe changes its site. It need not have more than what differs, and may "
        "be empty; what discovery finds is written there. By default that is `site.toml` beside "
        "`STATE_FILE`; without that one, it is kept in memory.",
    )
    discover: bool = setting(
        "DISCOVER",
        switch,
        default=True,
        meaning="Whether the proxy looks by itself for what is new once Poe has changed its site: "
        "in the page of one of your accounts and its scripts, at most once an hour.",
        values={"0": "only when told to, by `poe-proxy discover` or at `/status`", "1": "it does"},
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
        parsed(as_api_url),
        check=is_url("http", "https"),
        default="https://api.poe.com",
        meaning="The address of the official API, with or without `/v1` at the end.",
    )

    @property
    def site_at(self) -> Path | None:
        """The file on top of the built-in site file, whether it is there or not; None: there can be
        none."""
        if self.poe_site is None and self.state_file is not None:
            return self.state_file.with_name("site.toml")
        return self.poe_site

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
