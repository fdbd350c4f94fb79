"""The keys of clients."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from flask import Request

from poe_proxy.errors import InvalidKey


def check_key(request: Request, keys: Iterable[str]) -> str:
    """Return a name for the client: a digest of the key that *request* brings, never the key.

    Raises `InvalidKey` if it brings none of *keys*.
    """
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    given = (
        bearer.strip() if scheme.lower() == "bearer" else "",
        request.headers.get("x-api-key", ""),
        request.headers.get("api-key", ""),
    )
    # Every key is compared, so that the time reveals nothing about a near match.
    matches = [
        key
        for one in given
        for key in keys
        # WSGI hands headers over as Latin-1, whatever the client's bytes mean.
        if hmac.compare_digest(one.encode("latin-1", "replace"), key.encode())
    ]
    if not matches:
        raise InvalidKey(
            # Claude Code takes a sentence with the name of Anthropic's header for its own login's.
            "The API key is missing or wrong. Send one of the keys in AuthKey as "
            "'Authorization: Bearer <key>'."
        )
    return hashlib.sha256(matches[0].encode()).hexdigest()[:16]
