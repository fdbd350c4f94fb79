"""What a page tells the browser to allow: what the page itself brings, and requests to this
server."""

from __future__ import annotations

import base64
import hashlib


def policy(*, script: str, style: str, forms: str = "'none'") -> str:
    """Return the Content-Security-Policy of a page with this one script and this one style.

    *forms* says where its forms may lead.
    """
    rules = {
        "default-src": "'none'",
        "script-src": _hash(script),
        "style-src": _hash(style),
        "connect-src": "'self'",
        "img-src": "data:",  # its own icon; pictures of bots are links
        "form-action": forms,
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        # Its script cannot even by mistake make markup from a text.
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _hash(content: str) -> str:
    """Return the source expression that allows *content*."""
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
