"""Everything the proxy can be told, read once and frozen.

Each setting stands here, in `.env.example` and in the README; a test compares the three.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final, Self, cast
from urllib.parse import urlsplit

from dotenv.parser import parse_stream
from environs import EnvValidationError, FileAwareEnv, ValidationError, validate

#: The key that stands in every example of the Go program, and so in every guess of a stranger.
EXAMPLE_KEY: Final = "sk-123456"

_PROXY_SCHEMES: Final = ("http", "https", "socks5", "socks5h")
_NOT_NEGATIVE: Final = validate.Range(min=0)
_POSITIVE: Final = validate.Range(min=0, min_inclusive=False)
_AT_LEAST_ONE: Final = validate.Range(min=1)


class BadSettings(Exception):
    """The configuration cannot be used; the message names every bad variable and says why.

    Values are never repeated in it: they may be secrets.
    """

    def __init__(self, problems: Mapping[str, list[str]]) -> None:
        self.problems = problems
        lines = [f"  {name}: {' '.join(why)}" for name, why in problems.items()]
        super().__init__(
            "poe-proxy cannot start with these settings "
            "(.env.example and the README describe each):\n" + "\n".join(lines)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the environment and `.env` say; durations in seconds."""

    #: Where to listen.
    host: str = "0.0.0.0"
    port: int = 8080
    #: The proxies in front whose word counts for who is calling: addresses, networks, or `*`.
    forwarded_allow_ips: tuple[str, ...] = ("127.0.0.1", "::1")
    #: The keys that clients may use; at least one.
    auth_keys: tuple[str, ...] = field(repr=False)
    #: Cookies of poe.com, each one account.
    tokens: tuple[str, ...] = field(default=(), repr=False)
    #: Keys of api.poe.com.
    api_keys: tuple[str, ...] = field(default=(), repr=False)

    simulate_roles: int = 0
    role_pattern: str = "||>{role}-"
    role_labels: Mapping[str, str] = field(default_factory=dict)

    #: Uses of one cookie in a minute, and the pause between two; 0 is no limit.
    rate_limit: int = 10
    cool_down: float = 10.0
    #: Replies at a time of one cookie.
    token_concurrency: int = 1
    #: The same for API keys, which need no pause.
    api_rate_limit: int = 500
    api_concurrency: int = 50
    #: How often the balance of accounts that ran out of points is asked for.
    points_check: float = 300.0
    #: How long a request stands in line for a token.
    queue_timeout: float = 30.0

    #: Silence from Poe that ends a reply.
    timeout: float = 60.0
    max_body_mb: float = 20.0
    #: Whether a failure within a stream is told in the answer too.
    errors_as_text: bool = False
    delete_chats: bool = False
    #: The user's model names, a TOML file.
    models: Path | None = None
    #: What is known of poe.com's protocol, a TOML file in place of ours.
    poe_site: Path | None = None

    proxy: str | None = field(default=None, repr=False)
    poe_web_url: str = "https://poe.com"
    poe_ws_url: str | None = None
    poe_api_url: str = "https://api.poe.com"
    log_level: str = "INFO"

    @classmethod
    def from_env(
        cls,
        dotenv: Path = Path(".env"),
        *,
        checks: Mapping[str, Callable[[Any], object]] | None = None,
    ) -> Self:
        """Read the environment, and *dotenv* for what the environment leaves open.

        *checks* are further tests by variable name: each gets the value that was read
        (of a list, each item) and raises ValueError with a sentence that says what is wrong.

        Raises `BadSettings` naming every bad variable at once.
        """
        env = _Env(eager=False, strip_whitespace=True)
        try:
            env.read_env(dotenv, recurse=False)
        except (OSError, UnicodeDecodeError):
            # Without it, everything that it sets would be named as missing.
            raise BadSettings({str(dotenv): ["is not a readable file of UTF-8 text."]}) from None
        settings = cls(
            host=env.str("HOST", "0.0.0.0"),
            port=env.int("PORT", 8080, validate=validate.Range(min=1, max=65535)),
            forwarded_allow_ips=env.networks("FORWARDED_ALLOW_IPS", "127.0.0.1,::1"),
            auth_keys=env.secrets("AuthKey", alias="AUTH_KEY"),
            tokens=env.secrets("TOKENS"),
            api_keys=env.secrets("POE_API_KEYS", validate=_are_api_keys),
            simulate_roles=env.int("SIMULATE_ROLES", 0, validate=validate.OneOf((0, 1, 2))),
            role_pattern=env.str("ROLE_PATTERN", "||>{role}-", validate=_has_role),
            role_labels=env.pairs("ROLE_LABELS"),
            rate_limit=env.int("RATE_LIMIT", 10, validate=_NOT_NEGATIVE),
            cool_down=env.float("COOL_DOWN", 10.0, validate=_NOT_NEGATIVE),
            token_concurrency=env.int("TOKEN_CONCURRENCY", 1, validate=_AT_LEAST_ONE),
            api_rate_limit=env.int("API_RATE_LIMIT", 500, validate=_NOT_NEGATIVE),
            api_concurrency=env.int("API_CONCURRENCY", 50, validate=_AT_LEAST_ONE),
            points_check=env.float("POINTS_CHECK", 300.0, validate=_POSITIVE),
            queue_timeout=env.float("QUEUE_TIMEOUT", 30.0, validate=_NOT_NEGATIVE),
            timeout=env.float("TIMEOUT", 60.0, validate=_POSITIVE),
            max_body_mb=env.float("MAX_BODY_MB", 20.0, validate=_POSITIVE),
            errors_as_text=env.bool("ERRORS_AS_TEXT", False),
            delete_chats=env.bool("DELETE_CHATS", False),
            models=env.path("MODELS", None, validate=_is_file),
            poe_site=env.path("POE_SITE", None, validate=_is_file),
            proxy=env.str("PROXY", None, validate=_url(*_PROXY_SCHEMES)),
            poe_web_url=env.base_url("POE_WEB_URL", "https://poe.com", "http", "https"),
            poe_ws_url=env.base_url("POE_WS_URL", None, "ws", "wss"),
            # Clients know it as https://api.poe.com/v1.
            poe_api_url=env.base_url(
                "POE_API_URL", "https://api.poe.com", "http", "https", without="/v1"
            ),
            log_level=env.upper("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")),
        )
        problems = env.problems()
        if "AuthKey" not in problems and not settings.auth_keys:
            problems["AuthKey"] = [
                "Set the key that your clients will send, for example AuthKey=sk-something-long;",
                "several are separated by commas.",
            ]
        if not {"TOKENS", "POE_API_KEYS"} & problems.keys() and not (
            settings.tokens or settings.api_keys
        ):
            problems["TOKENS"] = [
                "Set TOKENS to the p-b cookie of at least one Poe account,",
                "or POE_API_KEYS to at least one key from poe.com/api/keys.",
            ]
        for name, check in (checks or {}).items():
            if name not in problems and (why := env.refused_by(name, check)):
                problems[name] = why
        if problems:
            raise BadSettings(problems)
        return settings


class _Env(FileAwareEnv):
    """environs, with three habits that users of a `.env` expect: a blank variable is an
    unset one, every problem is kept for one message, and no message repeats a value."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._unreadable: dict[str, list[str]] = {}
        self._read: dict[str, Any] = {}

    def _load_dotenv(self, path: str | Path, *, override: bool = False) -> None:
        """Take each value as it stands, `$` too, and a line that cannot be read as a mistake."""
        with Path(path).open(encoding="utf-8-sig") as lines:
            for binding in parse_stream(lines):
                text, number = binding.original
                if binding.key is not None and binding.value is not None:
                    self._environ[binding.key] = binding.value
                elif binding.error or binding.key is not None:
                    number += len(text) - len(text.lstrip("\n"))
                    self._unreadable.setdefault(str(path), []).append(
                        f"Line {number} is not NAME=value; a list is one value: TOKENS=abc,def."
                    )

    def _get_value(self, env_key: str, default: Any) -> Any:
        try:
            value = super()._get_value(env_key, default)
        except (ValueError, OSError) as bad:
            # environs hides it behind a sentence of its own.
            reason = getattr(bad.__cause__ or bad, "strerror", None) or "it is not text"
            self._unreadable[env_key] = [f"{env_key}_FILE cannot be read ({reason})."]
            return default
        if isinstance(value, str):
            # Windows' Notepad begins a file with a byte-order mark, which nobody sees.
            value = value.removeprefix("\ufeff")
            return value if value.strip() else default
        return value

    def secrets(self, name: str, *, alias: str | None = None, **options: Any) -> tuple[str, ...]:
        """A list separated by commas or lines, without blanks and repetitions."""
        given = self.str(name, None, **options)
        if given is None and alias:
            name, given = alias, self.str(alias, None)
        items = tuple(dict.fromkeys(_items(given or "")))
        self._read[name] = items
        return items

    def pairs(self, name: str) -> dict[str, str]:
        """Pairs such as `user=Human`, separated by commas."""
        given = self.str(name, None, validate=_are_pairs)
        pairs = (item.partition("=") for item in (given or "").split(",") if item.strip())
        self._read[name] = {key.strip(): value.strip() for key, _, value in pairs}
        return cast("dict[str, str]", self._read[name])

    def upper(self, name: str, default: str, among: Collection[str]) -> str:
        """A word, in any case; returned in capitals."""
        word = self.str(name, default, validate=lambda word: validate.OneOf(among)(word.upper()))
        return word.upper() if word else word  # None: not among them

    def networks(self, name: str, default: str) -> tuple[str, ...]:
        """Addresses and networks, separated by commas, or `*` for any."""
        return _items(self.str(name, default, validate=_are_networks))

    def base_url(self, name: str, default: str | None, *schemes: str, without: str = "") -> Any:
        """A URL without slashes, or the path *without*, at its end."""
        value = self.str(name, default, validate=_url(*schemes))
        return value.rstrip("/").removesuffix(without).rstrip("/") if value else value

    def problems(self) -> dict[str, list[str]]:
        """What is wrong so far, by variable."""
        found = dict(self._unreadable)
        try:
            self.seal()
        except EnvValidationError as bad:
            messages_by_name = cast("Mapping[str, list[str]]", bad.error_messages)
            for name, messages in messages_by_name.items():
                found.setdefault(name, []).extend(str(message) for message in messages)
        return found

    def refused_by(self, name: str, check: Callable[[Any], object]) -> list[str]:
        """What *check* says against the value of *name*, or against items of it."""
        value = self._read.get(name, self._values.get(name))
        if value is None:
            return []
        many = isinstance(value, tuple)
        why = []
        for place, item in enumerate(value if many else (value,), 1):
            try:
                check(item)
            except ValueError as bad:
                why.append(f"item {place}: {bad}" if many else str(bad))
        return why


def _has_role(pattern: str) -> None:
    if "{role}" not in pattern:
        raise ValidationError("Must contain {role}, the place of the label.")


def _are_pairs(text: str) -> None:
    if not all("=" in item for item in text.split(",") if item.strip()):
        raise ValidationError("Must be pairs such as user=Human, separated by commas.")


def _items(given: str) -> tuple[str, ...]:
    return tuple(item for item in (item.strip() for item in re.split(r"[,\r\n]", given)) if item)


def _are_api_keys(given: str | None) -> None:
    # Whatever else it is, a key has to fit into a header.
    if not all(re.fullmatch("[!-~]+", item) for item in _items(given or "")):
        raise ValidationError("Must be keys of printable ASCII, separated by commas.")


def _are_networks(given: str) -> None:
    try:
        for item in _items(given):
            if item != "*":
                ip_network(item)
    except ValueError:
        raise ValidationError(
            "Must be IP addresses or networks (10.0.0.0/8), separated by commas, or *."
        ) from None


def _is_file(path: Path) -> None:
    try:
        is_file = path.is_file()
    except OSError as bad:
        raise ValidationError(f"Cannot be read ({bad.strerror}).") from None
    if not is_file:
        raise ValidationError("There is no such file.")


def _url(*schemes: str) -> Callable[[str | None], None]:
    def check(value: str | None) -> None:
        try:
            parts = urlsplit(value or "")
            fits = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:
            fits = False
        if not fits:
            raise ValidationError(f"Must be a URL that begins with {'://, '.join(schemes)}://.")

    return check
