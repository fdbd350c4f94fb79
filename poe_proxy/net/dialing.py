"""A socket to a host: direct, or through the operator's proxy.

websocket-client looks for proxies in the environment even if it is given none, and cannot reach
a proxy by TLS; so it gets its sockets from here.
"""

from __future__ import annotations

import base64
import socket
import ssl
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

from python_socks import ProxyError as SocksRefusal
from python_socks import ProxyTimeoutError as SocksTimeout
from python_socks import ProxyType
from python_socks.sync import Proxy as SocksProxy
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.util.ssltransport import SSLTransport

from poe_proxy.net.deadline import Deadline
from poe_proxy.net.pacing import breathe

_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
#: The most bytes that a proxy may send before it lets us through.
_MAX_ANSWER: Final = 16_384


def dial(host: str, port: int, *, is_secure: bool, proxy: str | None, deadline: Deadline) -> Any:
    """Return a connected socket, with TLS if *is_secure*; raises OSError.

    It is cut at the *deadline*, and has what is left until then as its time-out.
    """
    if proxy is None:
        plain = _connect(host, port, deadline)
    else:
        plain = _through(urlsplit(proxy), host, port, deadline)
    try:
        plain.settimeout(deadline.left())
        return _with_tls(plain, host) if is_secure else plain
    except BaseException:
        plain.close()
        raise


def _connect(host: str, port: int, deadline: Deadline) -> Any:
    plain = socket.create_connection((host, port), deadline.left())
    try:
        deadline.watch(plain)
    except BaseException:
        plain.close()
        raise
    return plain


def _through(proxy: SplitResult, host: str, port: int, deadline: Deadline) -> Any:
    proxy_host = proxy.hostname or ""
    proxy_port = proxy.port or _DEFAULT_PORTS.get(proxy.scheme, 1080)
    user, password = unquote(proxy.username or ""), unquote(proxy.password or "")
    if proxy.scheme.startswith("socks"):
        socks = SocksProxy(
            ProxyType.SOCKS5,
            proxy_host,
            proxy_port,
            username=user or None,
            password=password or None,
            rdns=proxy.scheme == "socks5h",
        )
        try:
            plain: Any = socks.connect(host, port, deadline.left())
        except (SocksRefusal, SocksTimeout) as failure:
            raise OSError(f"The proxy did not connect ({type(failure).__name__}).") from None
        try:
            deadline.watch(plain)
        except BaseException:
            plain.close()
            raise
        return plain
    plain = _connect(proxy_host, proxy_port, deadline)
    try:
        if proxy.scheme == "https":
            plain = _with_tls(plain, proxy_host)
        _tunnel(plain, host, port, f"{user}:{password}" if user else None)
    except BaseException:
        plain.close()
        raise
    return plain


def _tunnel(proxy: Any, host: str, port: int, login: str | None) -> None:
    """Ask an HTTP proxy for a way through."""
    there = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {there} HTTP/1.1", f"Host: {there}"]
    if login is not None:
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(login.encode()).decode()}")
    proxy.sendall("\r\n".join([*lines, "", ""]).encode())
    answer = bytearray()
    while not answer.endswith(b"\r\n\r\n"):
        # Byte by byte: what follows is no longer the proxy's.
        one = proxy.recv(1)
        if not one or len(answer) > _MAX_ANSWER:
            raise OSError("The proxy broke off.")
        answer += one
        breathe()
    status = bytes(answer).split(b" ", 2)[1:2]
    if status != [b"200"]:
        shown = status[0][:3].decode("ascii", "replace") if status else "nonsense"
        raise OSError(f"The proxy did not connect ({shown}).")


def _with_tls(plain: Any, host: str) -> Any:
    # The same authorities that requests trusts.
    context = ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)
    if isinstance(plain, ssl.SSLSocket):
        return SSLTransport(plain, context, host)
    return context.wrap_socket(plain, server_hostname=host)
