"""A socket to a host: direct, or through the operator's proxy.

Neither `net.transfer` nor websocket-client would get one by itself as it is wanted: the latter
looks for proxies in the environment even if it is given none, and cannot reach a proxy by TLS.
"""

from __future__ import annotations

import base64
import socket
import ssl
from functools import lru_cache
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

import certifi

from poe_proxy.net.deadline import Deadline
from poe_proxy.net.pacing import breathe

#: The authorities that Mozilla trusts, whatever this computer does.
DEFAULT_CA_BUNDLE_PATH: Final = certifi.where()
_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
#: The most bytes that a proxy may send before it lets us through.
_MAX_ANSWER: Final = 16_384


class ProxyError(OSError):
    """The proxy did not connect: nothing has reached the host."""


def dial(
    host: str,
    port: int,
    *,
    is_secure: bool,
    proxy: str | None,
    deadline: Deadline,
    authorities: str | None = None,
) -> Any:
    """Return a connected socket, with TLS if *is_secure*; raises OSError.

    It is cut at the *deadline*, and has what is left until then as its time-out. *authorities* may
    name a file of certificates that the host is trusted by in place of the usual ones.
    """
    if proxy is None:
        plain = _connect(host, port, deadline)
    else:
        plain = _through(urlsplit(proxy), host, port, deadline)
    try:
        plain.settimeout(deadline.left())
        return _with_tls(plain, host, authorities) if is_secure else plain
    except BaseException:
        plain.close()
        raise


def _connect(host: str, port: int, deadline: Deadline) -> Any:
    return _watched(socket.create_connection((host, port), deadline.left()), deadline)


def _watched(plain: Any, deadline: Deadline) -> Any:
    try:
        # A request that does not leave in one piece would otherwise wait until its first piece is
        # acknowledged, which may take 40 ms.
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        deadline.watch(plain)
    except BaseException:
        plain.close()
        raise
    return plain


def _through(proxy: SplitResult, host: str, port: int, deadline: Deadline) -> Any:
    if proxy.scheme.startswith("socks"):
        return _watched(_by_socks(proxy, host, port, deadline.left()), deadline)
    plain = dial_proxy(proxy, deadline)
    try:
        _tunnel(plain, host, port, authorization(proxy))
    except BaseException as failure:
        plain.close()
        if isinstance(failure, ConnectionError):
            raise ProxyError("The proxy broke off.") from None
        raise
    return plain


def dial_proxy(proxy: SplitResult, deadline: Deadline) -> Any:
    """Return a socket to an HTTP proxy itself, connected as by `dial`; raises `ProxyError`."""
    host = proxy.hostname or ""
    try:
        plain = _connect(host, _port(proxy), deadline)
        try:
            plain.settimeout(deadline.left())
            return _with_tls(plain, host) if proxy.scheme == "https" else plain
        except BaseException:
            plain.close()
            raise
    except TimeoutError:
        raise
    except OSError as failure:
        raise ProxyError(f"The proxy cannot be reached ({type(failure).__name__}).") from None


def _port(proxy: SplitResult) -> int:
    return proxy.port or _DEFAULT_PORTS.get(proxy.scheme, 1080)


def authorization(proxy: SplitResult) -> str | None:
    """Return what an HTTP proxy is to be told of the login in its URL, if there is one."""
    if not proxy.username:
        return None
    login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return f"Basic {base64.b64encode(login.encode()).decode()}"


def _by_socks(proxy: SplitResult, host: str, port: int, seconds: float) -> Any:
    # Imported here: most have no such proxy, and it takes 14 ms.
    from python_socks import ProxyConnectionError as Unreachable
    from python_socks import ProxyError as Refusal
    from python_socks import ProxyTimeoutError as TookTooLong
    from python_socks import ProxyType
    from python_socks.sync import Proxy

    socks = Proxy(
        ProxyType.SOCKS5,
        proxy.hostname or "",
        _port(proxy),
        username=unquote(proxy.username or "") or None,
        password=unquote(proxy.password or "") or None,
        rdns=proxy.scheme == "socks5h",
    )
    try:
        return socks.connect(host, port, seconds)
    except (Refusal, TookTooLong, Unreachable) as failure:
        raise ProxyError(f"The proxy did not connect ({type(failure).__name__}).") from None


def _tunnel(proxy: Any, host: str, port: int, authorization: str | None) -> None:
    """Ask an HTTP proxy for a way through."""
    there = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {there} HTTP/1.1", f"Host: {there}"]
    if authorization is not None:
        lines.append(f"Proxy-Authorization: {authorization}")
    proxy.sendall("\r\n".join([*lines, "", ""]).encode())
    answer = bytearray()
    while not answer.endswith(b"\r\n\r\n"):
        # Byte by byte: what follows is no longer the proxy's.
        one = proxy.recv(1)
        if not one or len(answer) > _MAX_ANSWER:
            raise ProxyError("The proxy broke off.")
        answer += one
        breathe()
    status = bytes(answer).split(b" ", 2)[1:2]
    if status != [b"200"]:
        shown = status[0][:3].decode("ascii", "replace") if status else "nonsense"
        raise ProxyError(f"The proxy did not connect ({shown}).")


def _with_tls(plain: Any, host: str, authorities: str | None = None) -> Any:
    context = _context(authorities or DEFAULT_CA_BUNDLE_PATH)
    if isinstance(plain, ssl.SSLSocket):
        # TLS within TLS. Imported here: it takes 24 ms, with all of urllib3.
        from urllib3.util.ssltransport import SSLTransport

        return SSLTransport(plain, context, host)
    return context.wrap_socket(plain, server_hostname=host)


# Made once: it takes 13 ms and a megabyte.
@lru_cache(maxsize=4)
def _context(authorities: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authorities)
