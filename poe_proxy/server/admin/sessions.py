"""Who may look and press: the key of whoever runs the server, or a cookie that it was given for.

A cookie holds no key: it says until when it is good, and is signed with what only this key leads
to. So it outlives a restart, and ends with the key.
"""

from __future__ import annotations

import base64
import hmac
import os
from typing import Final

from poe_proxy.errors import InvalidKey, PoeProxyError
from poe_proxy.server.asked import Asked
from poe_proxy.server.guesses import is_admin

#: The cookie, and the seconds for which it is good.
COOKIE: Final = "poe_proxy_admin"
LASTS: Final = 12 * 3600


class NotAllowed(PoeProxyError):
    """A button was not pressed on our own page."""

    status = 403
    type = "permission_error"
    code = "forbidden"
    client_may_retry = False


# ---- cookies


def issued(admin_key: str, now: float) -> str:
    """Return a new cookie, good for `LASTS` seconds from *now*, in seconds since 1970."""
    content = f"{int(now) + LASTS}.{os.urandom(12).hex()}"
    return f"{content}.{_signed(admin_key, 'cookie', content)}"


def session_of(cookie: str, admin_key: str, now: float) -> str | None:
    """Return what names the session of a *cookie*; None if it is not ours, or is over."""
    content, _, signature = cookie.rpartition(".")
    if not _are_equal(signature, _signed(admin_key, "cookie", content)):
        return None
    until, _, name = content.partition(".")
    return name if now < int(until) else None


def token_of(session: str, admin_key: str) -> str:
    """Return what the buttons of a page of that *session* send along, which no other site knows."""
    return _signed(admin_key, "button", session)


def _signed(admin_key: str, purpose: str, content: str) -> str:
    key = hmac.digest(admin_key.encode(), f"poe-proxy {purpose}".encode(), "sha256")
    digest = hmac.digest(key, content.encode("utf-8", "replace"), "sha256")
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _are_equal(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


# ---- requests


def check(request: Asked, admin_key: str, now: float) -> str | None:
    """Return the session of *request*, or None if it brings the key itself.

    Raises `InvalidKey` if it has neither, and `TooManyGuesses`.
    """
    if session := session_in(request, admin_key, now):
        return session
    if is_admin(request, admin_key):
        return None
    raise InvalidKey(
        "This is for whoever runs the server: send ADMIN_KEY as 'Authorization: Bearer <key>', or "
        "log in at /status."
    )


def session_in(request: Asked, admin_key: str, now: float) -> str | None:
    """Return the session of the cookie that *request* brings; None if it brings none that is
    good."""
    cookie = request.cookies.get(COOKIE, "")
    return session_of(cookie, admin_key, now) if cookie else None


def check_origin(request: Asked) -> None:
    """Raise `NotAllowed` if the browser says that *request* comes from another site."""
    environ = request.environ
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if site is not None:
        is_ours = site in ("same-origin", "none")
    else:
        origin = environ.get("HTTP_ORIGIN")
        is_ours = origin is None or origin.partition("://")[2] == request.host
    if not is_ours:
        raise NotAllowed(
            "This was not sent by the status page itself. If it was, and there is nginx in front, "
            "let it pass on the Host that the browser asked for."
        )


def check_button(request: Asked, session: str, token: str, admin_key: str) -> None:
    """Raise `NotAllowed` unless a page of *session* has sent *request*, with its *token*."""
    check_origin(request)
    if not _are_equal(token, token_of(session, admin_key)):
        raise NotAllowed("The page is too old for its buttons: load it anew.")
