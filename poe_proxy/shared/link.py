"""The way to Redis: one connection, on which the script is asked, and one that listens."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

from redis.backoff import NoBackoff
from redis.connection import Connection, parse_url
from redis.exceptions import (
    NoPermissionError,
    NoScriptError,
    RedisError,
    TimeoutError,
)
from redis.retry import Retry

from poe_proxy.shared import script
from poe_proxy.shared.calling import StoreAway

#: Seconds until a server that does not answer counts as away.
PATIENCE: Final = 1.0
#: The version of the keys' layout: another layout is another pool.
LAYOUT: Final = 2


class BadAddress(ValueError):
    """The address of the Redis server is none; the message does not quote it."""


def prefix(pool: str) -> str:
    """Return what all keys and channels of *pool* begin with."""
    return f"poe:{{{pool}}}:{LAYOUT}:"


class Link:
    """One connection to a Redis server, for one caller at a time.

    Nothing is sent twice: what to do after a failure is for the caller to say. A call that is
    given up in its middle, for whatever reason, leaves no connection on which an answer to it
    could still come.
    """

    def __init__(
        self, url: str, pool: str, *, patience: float = PATIENCE, clock: str = script.TIME
    ) -> None:
        """Nothing is connected yet. *clock* is the first line of the script.

        Raises `BadAddress`.
        """
        self.prefix: Final = prefix(pool)
        #: Called with the seconds that each call has taken.
        self.timed: Callable[[float], object] | None = None
        self._address = _Address(url)
        self._patience = patience
        self._script = script.text(clock).encode()
        self._sha = hashlib.sha1(self._script, usedforsecurity=False).hexdigest().encode()
        self._connection = self._address.connection(patience)
        self._head = b"".join(map(_bulk, (b"EVALSHA", self._sha, b"1", self.prefix.encode())))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.where!r}, {self.prefix!r})"

    @property
    def where(self) -> str:
        """The server, as people may read it."""
        return self._address.where

    def run(self, worker: bytes, epoch: bytes, acts: Sequence[bytes]) -> list[bytes] | bytes:
        """Run the script once with *acts* and return its answers; or the word that it says instead,
        which begins with `!`, and nothing was done.

        Raises `StoreAway`.
        """
        parts = [b"*%d\r\n" % (len(acts) + 6), self._head, _bulk(worker), _bulk(epoch)]
        parts += map(_bulk, acts)
        command = b"".join(parts)
        began = time.perf_counter()
        try:
            try:
                answers = self._ask(command)
            except NoScriptError:
                # Redis has forgotten it, and so has done nothing.
                self._ask(_packed(b"SCRIPT", b"LOAD", self._script))
                answers = self._ask(command)
        except RedisError as failure:
            raise self._address.away(failure) from None
        if self.timed is not None:
            self.timed(time.perf_counter() - began)
        return cast("list[bytes] | bytes", answers)

    def probe(self) -> None:
        """Find out whether Redis lets us write. Raises `StoreAway`."""
        key = f"{self.prefix}probe".encode()
        try:
            self._ask(_packed(b"SET", key, b"1", b"PX", b"1000"))
        except RedisError as failure:
            raise self._address.away(failure) from None

    def facts(self) -> dict[str, str]:
        """Return what the server says of itself, by its own names; nothing if it does not say that
        to everybody. Raises `StoreAway`."""
        try:
            said: bytes = self._ask(_packed(b"INFO"))
        except NoPermissionError:
            return {}
        except RedisError as failure:
            raise self._address.away(failure) from None
        lines = said.decode("utf-8", "replace").splitlines()
        return {name: told for name, has, told in (one.partition(":") for one in lines) if has}

    def listener(self, silence: float) -> Listener:
        """Return a connection of its own that listens; it looks after *silence* seconds whether
        the server is still there."""
        return Listener(self._address, self.prefix, silence)

    def close(self) -> None:
        """Part from the server; the next call connects again."""
        self._connection.disconnect()

    def _ask(self, command: bytes) -> Any:
        self._connection.send_packed_command([command], check_health=False)
        return self._connection.read_response(disable_decoding=True)


class Listener:
    """A connection on which messages of the pool come."""

    def __init__(self, address: _Address, prefix: str, silence: float) -> None:
        self._address = address
        self._prefix = prefix
        self._connection = address.connection(silence)
        self._is_closed = False

    def subscribe(self, *channels: str) -> None:
        """Connect, and listen to *channels*, which are named without the prefix.

        Returns once the server has confirmed it. Raises `StoreAway`, also if it was closed.
        """
        with self._while_open():
            self._connection.disconnect()
            self._connection.send_command("SUBSCRIBE", *(self._prefix + one for one in channels))
            for _ in channels:
                self._connection.read_response(disable_decoding=True)

    def next(self) -> bytes | None:
        """Return the next message, or None if there is none for a while and the server is there.

        Raises `StoreAway`: it has to be subscribed anew, and messages may have been missed; or it
        was closed.
        """
        with self._while_open():
            try:
                said = self._connection.read_response(
                    disable_decoding=True, disconnect_on_error=False
                )
            except TimeoutError:
                # A server that is gone may never say so: a ping is answered, or this fails.
                self._connection.send_command("PING", check_health=False)
                said = self._connection.read_response(disable_decoding=True)
        return cast("bytes", said[2]) if said[0] == b"message" else None

    def close(self) -> None:
        """Part from the server for good. What another thread does with it just then fails."""
        self._is_closed = True
        self._connection.disconnect()

    @contextmanager
    def _while_open(self) -> Iterator[None]:
        """Raise `StoreAway` for what fails, and for what was done although it is closed by now."""
        try:
            yield
        except RedisError as failure:
            self._connection.disconnect()
            raise self._address.away(failure) from None
        except Exception:
            # The library does not expect that a connection is closed beneath whoever reads.
            if not self._is_closed:
                raise
        if self._is_closed:
            self._connection.disconnect()  # it may have been made since
            raise StoreAway("the connection was closed")


class _Address:
    """Where a Redis server is, and how to get in."""

    __slots__ = ("_kind", "_options", "_secret", "where")

    def __init__(self, url: str) -> None:
        """Raises `BadAddress`."""
        try:
            options: dict[str, Any] = parse_url(url)
        except ValueError:
            # Its words may quote what stands between "redis://" and the next slash.
            raise BadAddress("The address of the Redis server cannot be read.") from None
        self._kind: type[Connection] = options.pop("connection_class", Connection)
        self._secret = options.get("password") or ""
        self.where: Final = _where(options)
        self._options = options
        try:
            self.connection(PATIENCE)
        except (TypeError, ValueError, RedisError):
            raise BadAddress("The address of the Redis server has unknown options.") from None

    def connection(self, patience: float) -> Connection:
        """Return a new connection, which is not open yet."""
        return self._kind(
            **{
                **self._options,
                "socket_timeout": patience,
                "socket_connect_timeout": PATIENCE,
                # What is tried again, and when, is decided in one place: not here.
                "retry": Retry(NoBackoff(), 0),
                "retry_on_timeout": False,
                "retry_on_error": [],
                "health_check_interval": 0,
                "protocol": 2,
                "decode_responses": False,
                # It would be two more questions for each connection.
                "driver_info": None,
            }
        )

    def away(self, failure: RedisError) -> StoreAway:
        """Return *failure* in words that hold no secret, nor where the server is: `/ready` shows
        them to everybody."""
        code = getattr(failure, "status_code", None) or ""
        cause = failure.__context__
        # Around what the system says the library puts the number of it, and the address.
        told = (isinstance(cause, OSError) and cause.strerror) or failure
        words = " ".join(f"{code} {told}".split()) or type(failure).__name__
        for hidden in filter(None, (self._secret, self.where)):
            words = words.replace(hidden, "***")
        return StoreAway(words.removesuffix("."))


def _where(options: Mapping[str, Any]) -> str:
    if "path" in options:
        return str(options["path"])
    return f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"


def _bulk(text: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text)


def _packed(*words: bytes) -> bytes:
    return b"*%d\r\n%b" % (len(words), b"".join(map(_bulk, words)))
