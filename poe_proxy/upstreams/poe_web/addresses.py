"""Where the scripts of Poe's pages may be fetched from. Free of I/O."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

#: The most characters of an address.
MAX_ADDRESS: Final = 2000
#: The last part of a host's name: not that of an address of numbers, however it is written.
_TOP: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
#: Names that lead into the net of whoever asks.
_OWN: Final = frozenset(
    {
        "arpa",
        "corp",
        "home",
        "internal",
        "intranet",
        "lan",
        "local",
        "localdomain",
        "localhost",
        "private",
    }
)
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


def is_allowed(address: str, page_url: str) -> bool:
    """Whether a script of the page at *page_url* may be fetched from *address*.

    By https, or as the page; from the page's own host, or any that is named as hosts of the public
    are; from the page's port or that of https; and without anything that is told to the host.
    """
    if len(address) > MAX_ADDRESS or not address.isascii() or not address.isprintable():
        return False
    if " " in address or "\\" in address:
        return False  # read in different ways
    try:
        script, page = urlsplit(address), urlsplit(page_url)
        port, page_port = _port(script), _port(page)
    except ValueError:
        return False
    host, page_host = script.hostname or "", page.hostname or ""
    return (
        (script.scheme == "https" or script.scheme == page.scheme == "http")
        and script.username is None
        and script.password is None
        and port in (page_port, 443)
        and (host == page_host or {host, page_host} <= _LOOPBACK or _is_public_name(host))
    )


def _port(address: SplitResult) -> int:
    given = address.port
    return given if given is not None else 80 if address.scheme == "http" else 443


def _is_public_name(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        first, _, top = host.removesuffix(".").rpartition(".")
        return bool(first) and _TOP.fullmatch(top) is not None and top not in _OWN
    return False
