"""Whom the command asks: a server that runs, or one that is made for the question in this process.

Both speak HTTP, so that an answer is read in one way.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol, Self

import click

from poe_proxy.command import screen
from poe_proxy.settings import BadSettings, Settings
from poe_proxy.startup import read_settings


class Trouble(click.ClickException):
    """What was asked cannot be answered; the message says why, in one line of plain text."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(screen.line(message, 2000) + (f" ({screen.line(code)})" if code else ""))

    def show(self, file: Any = None) -> None:
        """Print the message."""
        screen.fault(self.message)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer whose head is there, and whose body comes in pieces."""

    status: int
    pieces: Iterable[bytes]

    def close(self) -> None:
        """Give it up: whoever answers stops."""
        close = getattr(self.pieces, "close", None)
        if close is not None:
            close()

    def read(self) -> bytes:
        """Return the whole body."""
        with closing(self):
            return b"".join(self.pieces)


class Asked(Protocol):
    """Whoever answers."""

    #: Who it is, in a few words.
    name: str

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Return the answer; raises `Trouble` if there is none."""

    def close(self) -> None:
        """Give back what it holds."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *failure: object) -> None: ...


def ask(
    asked: Asked, method: str, path: str, body: Mapping[str, Any] | None = None
) -> Mapping[str, Any]:
    """Return the JSON object that *asked* answers with; raises `Trouble`, for an error too."""
    answer = asked.request(method, path, body)
    said = object_of(answer.read())
    if answer.status >= 400:
        raise refusal(answer.status, said)
    return said


def refusal(status: int, said: Mapping[str, Any]) -> Trouble:
    """Return what an error object says, with its code."""
    error = said.get("error")
    if not isinstance(error, Mapping):
        error = {}
    return Trouble(
        str(error.get("message") or "There was no answer that makes sense."),
        " ".join(filter(None, (str(status) if status else "", str(error.get("code") or "")))),
    )


def object_of(text: bytes) -> Mapping[str, Any]:
    """Return the JSON object in *text*; an empty one if there is none."""
    try:
        said = json.loads(text)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


# ---- which of the two


def someone(url: str | None, key: str | None) -> Asked:
    """Return the server at *url*; by default that of the settings if it runs, or else one that is
    made here. Exits with one message if the settings are needed, and wrong."""
    from poe_proxy.command import options
    from poe_proxy.command.itself import Itself

    if url is not None:
        return _running(url, key or _first_key())
    settings = options.settings()
    found = _found(settings, key or next(iter(settings.auth_keys), None))
    return found or Itself(settings)


def admin(url: str | None, key: str | None) -> Asked:
    """Return the server that runs at *url*, or where the settings say, as its operator sees it.

    Without *key* it is `ADMIN_KEY` of the settings. Raises `Trouble` if there is none.
    """
    from poe_proxy.command import options

    settings = None
    if url is None or key is None:
        # What is wrong with them is for that server to say, which may run with others.
        settings, _ = options.settings_that_are_right()
    if settings is not None:
        key = key or settings.admin_key
    if not key:
        raise Trouble(
            "ADMIN_KEY is not set: the server has no routes for its operator. Set it in .env, and "
            "restart the server."
        )
    found = _running(url, key) if url is not None or settings is None else _found(settings, key)
    if found is None:
        raise Trouble("No server answers where HOST and PORT say; `poe-proxy serve` starts it.")
    return found


def _running(url: str | None, key: str | None) -> Asked:
    from poe_proxy.command.running import Running

    return Running(url or "", key)


def _found(settings: Settings, key: str | None) -> Asked | None:
    from poe_proxy.command.running import Running, address_of

    running = Running(address_of(settings), key)
    return running if running.answers() else None


def _first_key() -> str | None:
    """Return a key of the settings, if there are any. None of another program."""
    try:
        return next(iter(read_settings().auth_keys), None)
    except BadSettings:
        return None
