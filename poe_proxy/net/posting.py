"""One message to an address that the operator has named: a POST, and what became of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from poe_proxy.net.dialing import authorization
from poe_proxy.net.hosts import Host
from poe_proxy.net.http1 import Head
from poe_proxy.net.transfer import End, Trouble

#: The most bytes of an answer that are waited for; nobody reads them.
MOST_READ: Final = 65_536


def post(url: str, body: bytes, headers: Mapping[str, str], seconds: float) -> str:
    """POST *body* to *url*, directly and within so many *seconds*; no redirect is followed.

    Return what is wrong in a few words, without the address; nothing if it was taken.
    """
    parts = urlsplit(url)
    login = authorization(parts)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host = Host(f"{parts.scheme}://{parts.netloc}", connections=1)
    try:
        transfer = host.send(
            "POST", path, {**headers, **({"Authorization": login} if login else {})}, body
        )
        until = time.monotonic() + seconds
        status, size = 0, 0
        try:
            while True:
                received = transfer.wait(until - time.monotonic())
                if not received:
                    return status_words(status) if status else f"no answer within {seconds:g} s"
                for one in received:
                    match one:
                        case Trouble():
                            return f"the connection {one.words}"
                        case Head():
                            status = one.status
                        case End():
                            return status_words(status)
                        case bytes():
                            size += len(one)
                if size > MOST_READ:
                    return status_words(status)
        finally:
            transfer.close()
    finally:
        host.close()


def status_words(status: int) -> str:
    """Return what is wrong with a *status*; nothing if it says that all is well."""
    return "" if 200 <= status < 300 else f"its answer was {status}"
