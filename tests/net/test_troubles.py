"""What exceptions of requests and urllib3 mean."""

from __future__ import annotations

import ssl
from http.client import RemoteDisconnected
from typing import Any

import pytest
import requests
from requests.exceptions import ProxyError
from urllib3 import exceptions
from urllib3.connectionpool import HTTPSConnectionPool

from poe_proxy.net.troubles import Trouble, read

POOL: Any = HTTPSConnectionPool("203.0.113.7")


def given_up(reason: Exception) -> exceptions.MaxRetryError:
    """The form in which urllib3 hands *reason* to requests."""
    return exceptions.MaxRetryError(POOL, "/path", reason)


@pytest.mark.parametrize(
    ("failure", "trouble"),
    [
        (
            requests.ConnectionError(given_up(exceptions.NewConnectionError(POOL, "refused"))),
            Trouble("NewConnectionError", never_sent=True, timed_out=False),
        ),
        (
            requests.ConnectTimeout(given_up(exceptions.ConnectTimeoutError(POOL, "slow"))),
            Trouble("ConnectTimeoutError", never_sent=True, timed_out=True),
        ),
        (
            ProxyError(given_up(exceptions.ProxyError("no", OSError("407")))),
            Trouble("ProxyError", never_sent=True, timed_out=False),
        ),
        (
            requests.exceptions.SSLError(
                given_up(exceptions.SSLError(ssl.SSLCertVerificationError("who")))
            ),
            Trouble("SSLError", never_sent=True, timed_out=False, bad_certificate=True),
        ),
        (
            # TLS may also break behind the request.
            requests.exceptions.SSLError(given_up(exceptions.SSLError(ssl.SSLEOFError("x")))),
            Trouble("SSLError", never_sent=False, timed_out=False),
        ),
        (
            requests.ReadTimeout(exceptions.ReadTimeoutError(POOL, "/", "slow")),
            Trouble("ReadTimeoutError", never_sent=False, timed_out=True),
        ),
        (
            requests.ReadTimeout("too slow"),
            Trouble("ReadTimeout", never_sent=False, timed_out=True),
        ),
        (
            # What requests makes of a body that stops coming: the answer had begun.
            requests.ConnectionError(exceptions.ReadTimeoutError(POOL, "/", "slow")),
            Trouble("ReadTimeoutError", never_sent=False, timed_out=False),
        ),
        (
            requests.ConnectionError(exceptions.ProtocolError("x", ConnectionResetError())),
            Trouble("ProtocolError", never_sent=False, timed_out=False, happened="was reset"),
        ),
        (
            requests.ConnectionError(exceptions.ProtocolError("x", BrokenPipeError())),
            Trouble("ProtocolError", never_sent=False, timed_out=False, happened="was reset"),
        ),
        (
            requests.ConnectionError(exceptions.ProtocolError("x", RemoteDisconnected())),
            Trouble("ProtocolError", never_sent=False, timed_out=False, happened="was closed"),
        ),
        (
            exceptions.ProtocolError("x", exceptions.IncompleteRead(1, 2)),
            Trouble("ProtocolError", never_sent=False, timed_out=False, happened="was closed"),
        ),
        (
            # As urllib3 raises it while a body is read.
            exceptions.ReadTimeoutError(POOL, "/", "slow"),
            Trouble("ReadTimeoutError", never_sent=False, timed_out=True),
        ),
        (
            exceptions.ProtocolError("Connection broken", ConnectionResetError()),
            Trouble("ProtocolError", never_sent=False, timed_out=False, happened="was reset"),
        ),
        (ValueError(), Trouble("ValueError", never_sent=False, timed_out=False)),
    ],
)
def test_what_it_means(failure: Exception, trouble: Trouble) -> None:
    """The name of its class, whether the request went out, whether time was up, and what
    happened to the connection where that is known."""
    assert trouble == read(failure)


def test_what_happened_is_said_in_words() -> None:
    """As the end of a sentence about the connection; without any, its class has to do."""
    reset = exceptions.ProtocolError("x", ConnectionResetError())

    assert "was reset" == read(reset).words
    assert "broke (ValueError)" == read(ValueError()).words


def test_addresses_stay_here() -> None:
    """The texts of both libraries are full of them."""
    failure = requests.ConnectionError(given_up(exceptions.NewConnectionError(POOL, "refused")))

    assert "203.0.113.7" in str(failure)
    assert "203.0.113.7" not in str(read(failure))
