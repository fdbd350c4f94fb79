"""What a setting's value must be.

A check says so in a sentence that does not repeat the value, which may be a secret. It begins with
"Must" or the like, so that whoever shows the value can put it in front.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

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
