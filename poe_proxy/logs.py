"""The log: each line names the request that it belongs to."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Final, TextIO

_PACKAGE: Final = "poe_proxy"

#: The id of the request that this thread (under gevent: this greenlet) serves; "-" for none.
request_id: Final = ContextVar("request_id", default="-")


def set_up(level: str) -> None:
    """Write what this package logs, from *level* on, to stderr."""
    package = logging.getLogger(_PACKAGE)
    package.setLevel(level)
    if not package.handlers:
        package.addHandler(handler())
        package.propagate = False


def handler(to: TextIO | None = None) -> logging.Handler:
    """Return a handler that writes such lines *to* a stream, by default to stderr."""
    made = logging.StreamHandler(to)
    made.addFilter(_name_request)
    made.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(request_id)s %(message)s"))
    return made


def _name_request(record: logging.LogRecord) -> bool:
    record.request_id = request_id.get()
    return True
