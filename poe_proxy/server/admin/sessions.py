"""Who may look and press: the key of whoever runs the server, or a cookie that it was given for.

A cookie holds no key: it says until when it is good, and is signed with what only this key leads
to. So it outlives a restart, and ends with the key.
"""

from __future__ import annotations

import base64
import hmac
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from poe_proxy.errors import InvalidKey, PoeProxyError
from poe_proxy.server.access import is_admin
from poe_proxy.server.asked import Asked

#: The cookie, and the seconds for which it is good.
COOKIE: Final = "poe_proxy_admin"
LASTS: Final = 12 * 3600

#: Wrong keys in a minute from one address, and from all: after them none is looked at.
MOST_GUESSES: Final = 10
MOST_GUESSES_OF_ALL: Final = 200
_MINUTE: Final = 60.0
#: What stands for all addresses.
_ALL: Final = ""


class TooManyGuesses(PoeProxyError):
    """Too many wrong keys have come; even the right one is not looked at for a moment."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    client_may_retry = False


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


# ---- guesses


class Guesses:
    """How many wrong keys have come in this minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._since = clock()
        self._wrong: Counter[str] = Counter()

    def check(self, peer: str) -> None:
        """Raise `TooManyGuesses` if no further key of *peer* is looked at."""
        with self._lock:
            left = self._since + _MINUTE - self._clock()
            if left <= 0.0:
                self._since, left = self._clock(), _MINUTE
                self._wrong.clear()
            is_over = self._wrong[peer] >= MOST_GUESSES
            if is_over or self._wrong[_ALL] >= MOST_GUESSES_OF_ALL:
                raise TooManyGuesses(
                    "Too many wrong keys have come; try again in a minute.", retry_after=left
                )

    def wrong(self, peer: str) -> None:
        """Count a wrong key of *peer*."""
        with self._lock:
            # There are no more addresses than guesses.
            self._wrong.update((peer, _ALL))


guesses: Final = Guesses()


def is_right(request: Asked, key: str, admin_key: str) -> bool:
    """Whether *key*, which *request* brings in a form, is the one of whoever runs the server.

    Raises `TooManyGuesses`.
    """
    guesses.check(request.record.peer)
    if _are_equal(_signed(key, "login", ""), _signed(admin_key, "login", "")):
        return True
    guesses.wrong(request.record.peer)
    return False


def check(request: Asked, admin_key: str, now: float) -> str | None:
    """Return the session of *request*, or None if it brings the key itself.

    Raises `InvalidKey` if it has neither, and `TooManyGuesses`.
    """
    if session := session_in(request, admin_key, now):
        return session
    environ = request.environ
    if "HTTP_AUTHORIZATION" in environ or "HTTP_X_API_KEY" in environ:
        guesses.check(request.record.peer)
        if is_admin(request, admin_key):
            return None
        guesses.wrong(request.record.peer)
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
