"""What an exception of requests or urllib3 means, without its text, which holds addresses."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import IncompleteRead, RemoteDisconnected

import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError
from urllib3.exceptions import TimeoutError as TookTooLong


@dataclass(frozen=True, slots=True)
class Trouble:
    """What went wrong with a request."""

    #: The class of the innermost exception, such as `NewConnectionError`: it says enough.
    name: str
    #: No connection was made, so the request certainly was not sent. False leaves that open.
    never_sent: bool
    #: A time limit was reached, while connecting or while waiting for the answer.
    timed_out: bool
    #: The other end's certificate was not accepted; nothing was sent to it.
    bad_certificate: bool = False
    #: What the other end, or something on the way, did to the connection: `was reset` or
    #: `was closed`; empty if that is not known.
    happened: str = ""

    @property
    def words(self) -> str:
        """What became of the connection, as the end of a sentence."""
        return self.happened or f"broke ({self.name})"


def read(failure: Exception) -> Trouble:
    """Return what *failure* means."""
    inner = failure.args[0] if failure.args else None
    reason = getattr(inner, "reason", inner)
    # Other failures of TLS may come after the request was sent.
    bad_certificate = any(
        isinstance(one, ssl.SSLCertVerificationError) for one in getattr(reason, "args", ())
    )
    return Trouble(
        name=type(reason if isinstance(reason, Exception) else failure).__name__,
        never_sent=bad_certificate
        or isinstance(failure, requests.ConnectTimeout | requests.exceptions.ProxyError)
        or isinstance(reason, NewConnectionError | ConnectTimeoutError | ProxyError),
        timed_out=isinstance(failure, requests.Timeout | TookTooLong),
        bad_certificate=bad_certificate,
        happened=_happened((*failure.args, *getattr(reason, "args", ()))),
    )


def _happened(causes: Iterable[object]) -> str:
    for one in causes:
        # The first is a ConnectionResetError as well.
        if isinstance(one, RemoteDisconnected | IncompleteRead):
            return "was closed"
        if isinstance(one, ConnectionResetError | ConnectionAbortedError | BrokenPipeError):
            return "was reset"
    return ""
