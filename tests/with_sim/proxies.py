"""Proxies as people run them, in a process of their own: `python -m tests.with_sim.proxies`.

HTTP (CONNECT, and whole addresses in the request line) and SOCKS5, with a login or without; and
`front`, which stands before a server that knows no TLS.
Each connection is a line on stdout: what it asked for, never the login.
"""

from __future__ import annotations

import argparse
import base64
import socket
import ssl
import sys
import threading
from contextlib import suppress
from urllib.parse import urlsplit


class Refused(Exception):
    """The client may not, or makes no sense."""


def relay(one: socket.socket, other: socket.socket) -> None:
    """Pass on in one direction until its end."""
    try:
        while data := one.recv(65536):
            other.sendall(data)
    except OSError:
        pass
    finally:
        for each in (one, other):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def join(client: socket.socket, server: socket.socket) -> None:
    """Pass on in both directions until both have ended."""
    back = threading.Thread(target=relay, args=(server, client), daemon=True)
    back.start()
    relay(client, server)
    back.join()
    server.close()


def read(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = client.recv(size - len(data))
        if not piece:
            raise Refused("broke off")
        data += piece
    return data


def http(client: socket.socket, login: str | None) -> None:
    """Serve one connection of an HTTP proxy."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += read(client, 1)
    first, *lines = head.decode("latin-1").rstrip().split("\r\n")
    method, target, version = first.split(" ")
    headers = {
        name.lower(): value for name, value in (line.split(": ", 1) for line in lines if line)
    }
    if login is not None:
        wanted = "Basic " + base64.b64encode(login.encode()).decode()
        if headers.get("proxy-authorization") != wanted:
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            raise Refused("no login")
    if method == "CONNECT":
        host, _, port = target.rpartition(":")
        print(f"CONNECT {target}", flush=True)
        server = socket.create_connection((host, int(port)), 10)
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
    else:
        parts = urlsplit(target)
        print(f"{method} {parts.hostname}:{parts.port}", flush=True)
        server = socket.create_connection((parts.hostname or "", parts.port or 80), 10)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        # One request to a connection, so that the next one is seen here as well.
        kept = [line for line in lines if not line.lower().startswith(("proxy-", "connection:"))]
        text = "\r\n".join([f"{method} {path} {version}", *kept, "Connection: close", "", ""])
        server.sendall(text.encode("latin-1"))
    server.settimeout(None)
    join(client, server)


def socks5(client: socket.socket, login: str | None) -> None:
    """Serve one connection of a SOCKS5 proxy, RFC 1928 and RFC 1929."""
    version, count = read(client, 2)
    methods = read(client, count)
    wanted = 0 if login is None else 2
    if version != 5 or wanted not in methods:
        client.sendall(b"\x05\xff")
        raise Refused("no login")
    client.sendall(bytes([5, wanted]))
    if login is not None:
        _, size = read(client, 2)
        user = read(client, size).decode()
        password = read(client, read(client, 1)[0]).decode()
        is_right = f"{user}:{password}" == login
        client.sendall(b"\x01\x00" if is_right else b"\x01\x01")
        if not is_right:
            raise Refused("wrong login")
    _, _, _, kind = read(client, 4)
    if kind == 1:
        host, form = socket.inet_ntoa(read(client, 4)), "address"
    elif kind == 3:
        host, form = read(client, read(client, 1)[0]).decode(), "name"
    else:
        raise Refused("no such kind of address")
    port = int.from_bytes(read(client, 2), "big")
    print(f"SOCKS5 {form} {host}:{port}", flush=True)
    server = socket.create_connection((host, port), 10)
    server.settimeout(None)
    client.sendall(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
    join(client, server)


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("kind", choices=["http", "socks5", "front"])
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--login", help="user:password")
    options.add_argument("--certificate", help="serve the proxy itself by TLS: a PEM file")
    options.add_argument("--to", type=int, help="front: the port of the server behind")
    given = options.parse_args()

    def front(client: socket.socket, _: str | None) -> None:
        join(client, socket.create_connection(("127.0.0.1", given.to), 10))

    serve = {"http": http, "socks5": socks5, "front": front}[given.kind]
    listener = socket.create_server(("127.0.0.1", given.port), backlog=128)
    print(f"listening on {listener.getsockname()[1]}", flush=True)
    context: ssl.SSLContext | None = None
    if given.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(given.certificate)

    def answer(client: socket.socket) -> None:
        try:
            client.settimeout(20)
            if context is not None:
                client = context.wrap_socket(client, server_side=True)
            client.settimeout(None)
            serve(client, given.login)
        except (Refused, OSError, ValueError) as failure:
            print(f"refused: {failure}", flush=True)
        finally:
            client.close()

    while True:
        threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
