"""The keys of clients."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Request

from poe_proxy.clients import Client, Registry
from poe_proxy.errors import InvalidKey


def check_key(request: Request, clients: Registry) -> Client:
    """Return the client whose key *request* brings.

    Raises `InvalidKey` if it brings nobody's, or one that does not hold now.
    """
    for one in keys_in(request):
        if found := clients.find(one):
            return found
    raise InvalidKey(
        # Claude Code takes a sentence with the name of Anthropic's header for its own login's.
        f"The API key is missing or wrong. Send one of the keys in {clients.known.settings} as "
        "'Authorization: Bearer <key>'."
    )


def keys_in(request: Request) -> Iterator[bytes]:
    """Yield the keys that *request* brings, in the order in which they count."""
    environ = request.environ
    scheme, _, bearer = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    for one in (
        bearer.strip() if scheme.lower() == "bearer" else "",
        environ.get("HTTP_X_API_KEY", ""),
        environ.get("HTTP_API_KEY", ""),
    ):
        if one:
            # WSGI hands headers over as Latin-1, whatever the client's bytes mean.
            yield one.encode("latin-1", "replace")
