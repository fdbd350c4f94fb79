"""The keys of clients."""

from __future__ import annotations

import hashlib
import hmac

from flask import Request

from poe_proxy.clients import Client, Registry
from poe_proxy.errors import InvalidKey


def check_key(request: Request, clients: Registry) -> Client:
    """Return the client whose key *request* brings.

    Raises `InvalidKey` if it brings nobody's, or one that does not hold now.
    """
    environ = request.environ
    scheme, _, bearer = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    given = (
        bearer.strip() if scheme.lower() == "bearer" else "",
        environ.get("HTTP_X_API_KEY", ""),
        environ.get("HTTP_API_KEY", ""),
    )
    for one in given:
        # WSGI hands headers over as Latin-1, whatever the client's bytes mean.
        if one and (found := clients.find(one.encode("latin-1", "replace"))):
            return found
    raise InvalidKey(
        # Claude Code takes a sentence with the name of Anthropic's header for its own login's.
        f"The API key is missing or wrong. Send one of the keys in {clients.known.settings} as "
        "'Authorization: Bearer <key>'."
    )


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
