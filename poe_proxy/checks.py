"""What a setting's value must be.

A check says so in a sentence that does not repeat the value, which may be a secret. It begins with
"Must" or the like, so that whoever shows the value can put it in front.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from environs import ValidationError, validate

from poe_proxy.lookalikes import no_key

#: Raises `environs.ValidationError` about a value that is not allowed.
Check: TypeAlias = Callable[[Any], object]

NOT_NEGATIVE: Final = validate.Range(min=0)
POSITIVE: Final = validate.Range(min=0, min_inclusive=False)
AT_LEAST_ONE: Final = validate.Range(min=1)

#: The key in every example of the Go program, and so the first that a stranger tries.
EXAMPLE_KEY: Final = "sk-123456"
#: The fewest characters of a key with which all is seen.
MIN_KEY: Final = 12
#: What an address of a proxy may begin with.
PROXY_SCHEMES: Final = ("http", "https", "socks5", "socks5h")
#: What the address of Redis may begin with.
REDIS_SCHEMES: Final = ("redis", "rediss", "unix")
#: What may follow the `?` in it: which database, and how each side proves who it is. How long it
#: may take, and how often it is asked, is the program's affair.
REDIS_OPTIONS: Final = (
    "db",
    *("ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile"),
)
#: Those of them that name a file, and what one of them may be.
_REDIS_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_CERT_REQS: Final = ("none", "optional", "required")


def has_role(pattern: str) -> None:
    if "{role}" not in pattern:
        raise ValidationError("Must contain {role}, which stands for the name of the role.")


def is_key(value: str) -> None:
    """Check for a key of this server that nobody guesses, and that a header takes; it is none of
    another service, nor an example."""
    if why := no_key(value):
        raise ValidationError(why)
    if len(value) < MIN_KEY:
        raise ValidationError(f"Must have at least {MIN_KEY} characters.")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValidationError("Must be printable ASCII, without blanks.")


def are_networks(items: tuple[str, ...]) -> None:
    """Check for IP addresses, networks, or `*`."""
    try:
        for item in items:
            if item != "*":
                ip_network(item)
    except ValueError:
        raise ValidationError(
            "Must be IP addresses or networks (10.0.0.0/8), separated by commas, or *."
        ) from None


def is_file(value: Path) -> None:
    try:
        there = value.is_file()
    except OSError as bad:
        raise ValidationError(f"Cannot be read ({bad.strerror}).") from None
    if not there:
        raise ValidationError("There is no such file.")


def is_no_folder(value: Path) -> None:
    try:
        there = value.is_dir()
    except OSError as bad:
        raise ValidationError(f"Cannot be used ({bad.strerror}).") from None
    if there:
        raise ValidationError("Must be a file, and is a folder.")


def is_url(*schemes: str) -> Check:
    """Return a check for a URL with a host and one of these *schemes*."""

    def check(value: str) -> None:
        try:
            parts = urlsplit(value)
            fits = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:
            fits = False
        if not fits:
            raise ValidationError(f"Must be a URL that begins with {'://, '.join(schemes)}://.")

    return check


def is_redis_url(value: str) -> None:
    """Check for the address of a Redis: its host or the path of its socket, and which of its
    databases."""
    try:
        parts = urlsplit(value)
        is_socket = parts.scheme == "unix"
        has_place = len(parts.path) > 1 if is_socket else bool(parts.hostname)
        # In small letters, as its library wants it.
        fits = value.startswith(f"{parts.scheme}://") and parts.scheme in REDIS_SCHEMES
        fits = fits and has_place and parts.port != 0
    except ValueError:
        fits = False
    if not fits or parts.fragment:
        raise ValidationError(
            "Must be redis://host:6379/0, rediss://... for TLS, or unix:///path/of/the/socket; "
            "in a password, all but letters and digits is written as %23 and the like."
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := options.keys() - {*REDIS_OPTIONS}:
        # What stands there in their place may be the end of a password.
        raise ValidationError(
            f"Must have no other options than {', '.join(REDIS_OPTIONS)}; {len(unknown)} are none."
        )
    database = options.get("db", "0" if is_socket else parts.path.strip("/") or "0")
    if not (database.isascii() and database.isdigit()):
        raise ValidationError("Must name a database by its number, as in redis://host:6379/0.")
    if parts.scheme != "rediss" and options.keys() - {"db"}:
        raise ValidationError("Must be rediss://... for its options about TLS.")
    if options.get("ssl_cert_reqs", "none") not in _CERT_REQS:
        raise ValidationError(f"ssl_cert_reqs in it must be one of {', '.join(_CERT_REQS)}.")
    for name in _REDIS_FILES:
        if name in options and not Path(options[name]).is_file():
            raise ValidationError(f"{name} in it must be the path of a file.")


def is_pool(value: str) -> None:
    """Check for the name of a pool, which is a part of the names of keys."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", value):
        raise ValidationError("Must be up to 64 letters, digits, -, _ and dots.")
