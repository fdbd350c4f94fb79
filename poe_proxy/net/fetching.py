"""Fetches what a conversation names by URL, and never from the user's own network.

An attachment of the web protocol has to be uploaded, so a URL that a client sends is fetched
here. Clients may be strangers, or programs that repeat what a stranger wrote: the URL could lead
to a router, a database, the metadata service of a cloud. So:

* https only; the certificate must be that of the name.
* Every address of the name must be public, and the connection is made to one of the addresses
  that were checked. The name is not resolved again, so it cannot lead elsewhere in between.
* A redirect is a new URL and is checked like the first one.
* Size and time are limited while reading; a declared length is not believed.

With a proxy the same holds. The name is resolved *here*, and the proxy is asked for the address
that was checked: a proxy often stands in the user's own network and would go anywhere in it.
Where only the proxy can resolve names, nothing is fetched; send data URIs.

A fetcher may be for certain hosts alone. And there may be origins of which the operator has said
that Poe is there: those are fetched from by plain HTTP, too, and whatever their address.
"""

from __future__ import annotations

import ipaddress
import math
import re
import socket
import ssl
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from email.message import Message
from typing import Any, Final, NoReturn, Protocol
from urllib.parse import unquote, urljoin

import certifi
import urllib3
from urllib3.contrib.socks import SOCKSProxyManager
from urllib3.exceptions import HTTPError, LocationValueError
from urllib3.util import Url, parse_url

from poe_proxy.errors import InvalidRequest
from poe_proxy.net import filenames
from poe_proxy.net.background import Background
from poe_proxy.net.connections import Connection, adapted, used_by
from poe_proxy.net.pacing import breathe

MAX_BYTES: Final = 20_000_000
#: Seconds for the whole fetch, name and redirects included.
TIMEOUT: Final = 30.0
MAX_REDIRECTS: Final = 3
#: Characters of a URL, of one that is redirected to as well.
MAX_URL: Final = 8192
#: Characters of a header that gives the file's name.
_MAX_DISPOSITION: Final = 1000

_PORTS: Final = {"http": 80, "https": 443}
#: Addresses of a name that are tried, one after the other.
_MAX_ADDRESSES: Final = 3
_READ_AT_ONCE: Final = 65536
_MAX_NAME: Final = 200

#: Seconds that one step may take, so that a second address can still be tried.
_CONNECT: Final = 5.0

_PUBLIC_IPV6: Final = ipaddress.IPv6Network("2000::/3")
#: What passes for public but is not: tunnels, which lead back into some IPv4 network, and
#: blocks for protocols and documentation that not every Python knows.
_NOT_PUBLIC: Final = tuple(
    map(
        ipaddress.ip_network,
        ("2001::/32", "2002::/16", "3fff::/20", "192.0.0.0/24", "192.88.99.0/24"),
    )
)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that was fetched."""

    data: bytes = field(repr=False)
    #: Without parameters, such as `image/png`.
    content_type: str
    filename: str


def is_public(address: str) -> bool:
    """Whether *address* is on the public internet, and not another address in disguise."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip not in _PUBLIC_IPV6:
        # This excludes loopback, link-local, unique-local and multicast addresses, and those
        # that hold an IPv4 address: mapped, compatible, translated.
        return False
    if any(ip in network for network in _NOT_PUBLIC):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved)


def resolve(host: str, port: int) -> list[str]:
    """Return all addresses of *host*; raises OSError if it has none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


class NotFetched(InvalidRequest):
    """A file is not to be had."""

    def __init__(self, why: str) -> None:
        """*why* goes on where "the URL" begins."""
        super().__init__(f"A URL in the messages {why}.", param="messages")
        self.why = why


class Fetching(Protocol):
    """A fetch that is under way."""

    def wait(self, seconds: float) -> bool:
        """Wait for its end, *seconds* at most; return whether it has ended."""

    def result(self) -> Fetched:
        """Return the file; raises `InvalidRequest`. Waits for it, as long as it takes."""

    def cut(self) -> None:
        """End it: the file is not wanted any more."""


class Fetcher:
    """Fetches files by URL, within limits."""

    def __init__(
        self,
        proxy: str | None = None,
        max_bytes: int = MAX_BYTES,
        timeout: float = TIMEOUT,
        *,
        resolve: Callable[[str, int], Sequence[str]] = resolve,
        is_allowed: Callable[[str], bool] = is_public,
        certificates: str | None = None,
        hosts: Collection[str] | None = None,
        origins: Collection[str] = (),
        max_redirects: int = MAX_REDIRECTS,
    ) -> None:
        """*certificates* is a file of those to trust, by default the usual ones.

        *hosts* are those that are fetched from, with all hosts beneath them; None: any. *origins*
        such as `http://127.0.0.1:9000` are fetched from in any case, whatever their address.
        """
        self.max_bytes = max_bytes
        self.timeout = timeout
        self.max_redirects = max_redirects
        self._hosts = hosts
        self._origins = origins
        self.resolve = resolve
        self.is_allowed = is_allowed
        self._proxy = proxy
        self._trust = ssl.create_default_context(cafile=certificates or certifi.where())

    def fetch(self, url: str, seconds: float = math.inf) -> Fetched:
        """Return what is at *url*, in *seconds* at most, or in the fetcher's time if that is less.

        Raises `InvalidRequest`, which says why, but not where a name leads.
        """
        seconds = min(seconds, self.timeout)
        fetching = self.begin(url, seconds)
        if not fetching.wait(seconds):
            fetching.cut()
            _refuse(f"took longer than {seconds:g} seconds")
        return fetching.result()

    def begin(self, url: str, seconds: float = math.inf) -> Fetching:
        """Begin to fetch what is at *url*, as `fetch` does; it is over by then, or nearly so."""
        return _Begun(self, url, min(seconds, self.timeout))

    def manager(self) -> Any:
        """Return a manager of connections for one fetch: nothing is kept for the next."""
        if self._proxy is None:
            return urllib3.PoolManager(ssl_context=self._trust)
        if self._proxy.startswith("socks"):
            return SOCKSProxyManager(self._proxy, ssl_context=self._trust)
        return urllib3.ProxyManager(self._proxy, ssl_context=self._trust)

    def owns(self, origin: str) -> bool:
        """Whether *origin* is one of those that the operator has named."""
        return origin in self._origins

    def is_for(self, url: str) -> bool:
        """Whether *url* is at one of the hosts, or one of the origins, that it is for."""
        try:
            self.target(url)
        except InvalidRequest:
            return False
        return True

    def target(self, url: str) -> Url:
        """Return *url*, parsed; raises `InvalidRequest` for one that is not fetched."""
        target = _parsed(url)
        is_known = self.owns(_origin(target))
        host = (target.host or "").lower().rstrip(".")
        if not is_known and (target.scheme != "https" or not host):
            _refuse("must begin with https://")
        if target.auth is not None:
            _refuse("must not hold a user name")
        if is_known:
            return target
        if self._hosts is not None and not any(
            host == one or host.endswith(f".{one}") for one in self._hosts
        ):
            _refuse("leads to another host")
        return target


class _Begun:
    """A `Fetching` in a thread of its own: a look-up of a name cannot be interrupted, only
    abandoned."""

    def __init__(self, limits: Fetcher, url: str, seconds: float) -> None:
        self._job = _Job(limits, limits.manager(), url, seconds)
        self._running = Background(self._job.run, name="fetch")
        self.wait = self._running.wait
        self.result = self._running.result
        self.cut = self._job.cut


class _GivenUp(Exception):
    """The file is not wanted any more."""


class _Job:
    """One fetch, and the user of its connections."""

    def __init__(self, limits: Fetcher, manager: Any, url: str, seconds: float) -> None:
        self._limits = limits
        self._manager = manager
        self._url = url
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        self._connection: Connection | None = None
        self._is_given_up = False

    def run(self) -> Fetched:
        """Return the file; raises `InvalidRequest`."""
        try:
            with used_by(self):
                return self._follow(self._url)
        finally:
            self._manager.clear()

    def cut(self) -> None:
        """Stop the thread of `run` from waiting."""
        self._is_given_up = True
        if self._connection is not None:
            self._connection.cut(self)

    def uses(self, connection: Connection) -> None:
        """Note the *connection* that `cut` is to cut."""
        self._connection = connection
        self.goes_out()

    def goes_out(self) -> None:
        """Raise if the file is not wanted any more."""
        if self._is_given_up:
            raise _GivenUp

    def _follow(self, url: str) -> Fetched:
        for _ in range(1 + self._limits.max_redirects):
            target = self._limits.target(url)
            with self._open(target) as answer:
                location = answer.headers.get("Location")
                if answer.status not in (301, 302, 303, 307, 308) or not location:
                    return self._read(target, answer)
            try:
                url = urljoin(url, location)
            except ValueError:
                _refuse("redirects to an invalid URL")
        raise NotFetched("redirects too often")

    def _open(self, target: Url) -> Any:
        scheme = target.scheme or "https"
        host, port = (target.host or "").strip("[]"), target.port or _PORTS[scheme]
        # The certificate is requested and checked by name.
        named = {"server_hostname": host} if scheme == "https" else {}
        failure: HTTPError | None = None
        for address in self._addresses(target, host, port)[:_MAX_ADDRESSES]:
            pool = self._manager.connection_from_host(address, port, scheme, named)
            # So that `cut` finds them.
            pool.ConnectionCls = adapted(type(pool).ConnectionCls)
            try:
                return pool.urlopen(
                    "GET",
                    target.request_uri,
                    headers={
                        "Host": target.netloc or host,
                        "User-Agent": "poe-proxy",
                        "Accept": "*/*",
                        "Accept-Encoding": "identity",
                        "Connection": "close",
                    },
                    redirect=False,
                    retries=False,
                    assert_same_host=False,
                    preload_content=False,
                    timeout=urllib3.Timeout(min(_CONNECT, self._left()), self._left()),
                )
            except HTTPError as caught:
                failure = caught
                self._left()  # it may have failed because the time is up
        raise NotFetched(f"cannot be reached ({type(failure).__name__})")

    def _addresses(self, target: Url, host: str, port: int) -> Sequence[str]:
        try:
            addresses = self._limits.resolve(host, port)
        except (OSError, UnicodeError):
            addresses = []
        if not addresses:
            _refuse("has a name that cannot be resolved")
        is_known = self._limits.owns(_origin(target))
        if not is_known and not all(map(self._limits.is_allowed, addresses)):
            _refuse("does not lead to a public address")
        return addresses

    def _read(self, target: Url, answer: Any) -> Fetched:
        if answer.status != 200:
            _refuse(f"was answered with status {answer.status}")
        if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
            # Unpacked, it may be of any size.
            _refuse("comes compressed, though that was not asked for")
        data = bytearray()
        try:
            while piece := answer.read1(_READ_AT_ONCE):
                data += piece
                if len(data) > self._limits.max_bytes:
                    _refuse(f"is larger than {self._limits.max_bytes / 1e6:g} MB")
                self._left()
                breathe()
        except HTTPError:
            self._left()
            _refuse("broke off while it was read")
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return Fetched(
            bytes(data),
            kind if re.fullmatch(r"[\w.+-]+/[\w.+-]+", kind) else "application/octet-stream",
            _filename(target, answer.headers),
        )

    def _left(self) -> float:
        """Return the seconds that are left."""
        left = self._until - time.monotonic()
        if self._is_given_up or left <= 0:
            _refuse(f"took longer than {self._seconds:g} seconds")
        return left


def _parsed(url: str) -> Url:
    if len(url) > MAX_URL:
        _refuse(f"has more than {MAX_URL} characters")
    try:
        target = parse_url(url)
    except LocationValueError:
        _refuse("is invalid")
    return target


def _origin(target: Url) -> str:
    return f"{target.scheme}://{target.netloc}"


def _filename(target: Url, headers: Mapping[str, str]) -> str:
    """Return the name that the server gives, or the last part of the path."""
    given = Message()
    disposition = headers.get("Content-Disposition", "")
    if len(disposition) <= _MAX_DISPOSITION:  # reading it takes the square of its length
        given["Content-Disposition"] = disposition
    name = given.get_filename() or unquote(target.path or "")
    return filenames.tidy(name, instead="_", at_most=_MAX_NAME) or "file"


def _refuse(why: str) -> NoReturn:
    raise NotFetched(why)
