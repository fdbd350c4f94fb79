"""The keys of clients."""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache

from flask import Request

from poe_proxy.errors import InvalidKey


def check_key(request: Request, keys: tuple[str, ...]) -> str:
    """Return a name for the client: a digest of the key that *request* brings, never the key.

    Raises `InvalidKey` if it brings none of *keys*.
    """
    environ = request.environ
    scheme, _, bearer = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    given = (
        bearer.strip() if scheme.lower() == "bearer" else "",
        environ.get("HTTP_X_API_KEY", ""),
        environ.get("HTTP_API_KEY", ""),
    )
    names = _names(keys)
    found = ""
    for one in given:
        if not one:
            continue
        # WSGI hands headers over as Latin-1, whatever the client's bytes mean.
        sent = one.encode("latin-1", "replace")
        # Every key is compared, so that the time reveals nothing about a near match.
        for key, name in names:
            if hmac.compare_digest(sent, key) and not found:
                found = name
    if not found:
        raise InvalidKey(
            # Claude Code takes a sentence with the name of Anthropic's header for its own login's.
            "The API key is missing or wrong. Send one of the keys in AuthKey as "
            "'Authorization: Bearer <key>'."
        )
    return found


def is_admin(request: Request, admin_key: str | None) -> bool:
    """Whether *request* brings the key of whoever runs the server, as a client would bring its own;
    never if there is none."""
    if not admin_key:
        return False
    scheme, _, bearer = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    given = (
        bearer.strip() if scheme.lower() == "bearer" else "",
        request.environ.get("HTTP_X_API_KEY", ""),
    )
    # Digests have one length, so that the time reveals nothing of the key's.
    wanted = hashlib.sha256(admin_key.encode()).digest()
    return any(
        hmac.compare_digest(hashlib.sha256(one.encode("latin-1", "replace")).digest(), wanted)
        for one in given
    )


@lru_cache(maxsize=2)
def _names(keys: tuple[str, ...]) -> list[tuple[bytes, str]]:
    """Return *keys* as bytes, each with the name of who brings it; made once for each set."""
    encoded = [key.encode() for key in keys]
    return [(key, hashlib.sha256(key).hexdigest()[:16]) for key in encoded]
