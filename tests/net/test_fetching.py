"""Fetching what a conversation names, and nothing from the user's own network."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest

from poe_proxy.errors import InvalidRequest
from poe_proxy.net.fetching import Fetched, Fetcher, is_public
from tests.fakes import until
from tests.net.raw import CERTIFICATE, Handler, Server, Visitor, unused_port

PUBLIC = "93.184.216.34"


def no_net(*addresses: str) -> Fetcher:
    """A fetcher for which every name has these addresses. It connects to none of them."""
    return Fetcher(timeout=5, resolve=lambda host, port: list(addresses))


def refused(fetcher: Fetcher, url: str) -> str:
    """Why *url* is refused."""
    with pytest.raises(InvalidRequest) as refusal:
        fetcher.fetch(url)
    assert "messages" == refusal.value.param
    return refusal.value.message


# ---- which addresses


@pytest.mark.parametrize(
    "address",
    [PUBLIC, "8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001:80b::200e"],
)
def test_public_addresses(address: str) -> None:
    """The open internet, in both versions."""
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "::1",  # loopback
        "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd12::1",  # private
        "169.254.169.254", "fe80::1", "fe80::1%eth0",  # link-local, a cloud's metadata
        "100.64.0.1", "100.127.255.255",  # carrier-grade NAT
        "224.0.0.1", "224.0.1.1", "239.255.255.250", "ff02::1", "ff0e::1",  # multicast
        "0.0.0.0", "0.1.2.3", "::", "240.0.0.1", "255.255.255.255", "4000::1",  # reserved
        "192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1",  # documentation
        "198.18.0.1", "192.0.0.8", "192.88.99.1", "100::1", "fec0::1", "5f00::1",  # and the like
        "::ffff:127.0.0.1", f"::ffff:{PUBLIC}", "::127.0.0.1", f"::{PUBLIC}",  # IPv4 within
        "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1",  # NAT64
        "2002:7f00:1::1", "2001:0:53aa:64c::1",  # 6to4, Teredo
        "", "localhost", "8.8.8", "8.8.8.8.8",  # no addresses
    ],
)  # fmt: skip
def test_all_other_addresses(address: str) -> None:
    """All that leads, or may lead, into a private network."""
    assert not is_public(address)


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["169.254.169.254"],
        [PUBLIC, "10.0.0.1"],
        ["10.0.0.1", PUBLIC],
        [PUBLIC, "8.8.8.8", "1.1.1.1", "9.9.9.9", "::1"],
    ],
)
def test_every_address_of_a_name_must_be_public(addresses: Sequence[str]) -> None:
    """One address that is not public spoils the name, wherever it stands, and is never named."""
    why = refused(no_net(*addresses), "https://files.example/x")

    assert "public" in why
    assert not any(address in why for address in addresses)


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0",
        "[::1]", "[::]", "[::ffff:127.0.0.1]", "10.0.0.1", "169.254.169.254", "192.168.0.1",
        "localhost.", "127.0.0.1.", "LOCALHOST", "%6c%6f%63%61%6c%68%6f%73%74",
        "0.0.0.0",
    ],
)  # fmt: skip
def test_disguises_of_this_machine(host: str) -> None:
    """This machine is refused however it is written, with the real resolver."""
    for url in (f"https://{host}/", f"https://{host}:8443/x?y#z"):
        assert refused(Fetcher(timeout=10), url)


@pytest.mark.parametrize(
    "url",
    [
        "http://files.example/x",
        "HTTP://files.example/x",
        "ftp://files.example/x",
        "file:///etc/passwd",
        "//files.example/x",
        "files.example/x",
        "/etc/passwd",
        "data:text/plain,x",
        "https://",
        "https:///x",
        "https://:443/x",
        "",
        "https://user:secret@files.example/x",
        "https://user@files.example/x",
        "https://files.example:99999/x",
        "https://files.example:x/x",
        "https://[::1/x",
        "https://" + "a" * 300 + ".example/",
        "https://..example/",
        "https://\N{SNOWMAN}.\udcff/",
        "https://exa mple/",
        "https://files.example\\@127.0.0.1/",
        "https://127.0.0.1\t/",
        "https://files.example\r\nHost: x/",
    ],
)
def test_what_is_no_https_url(url: str) -> None:
    """An invalid URL is refused with a reason, before any request; secrets are not repeated."""
    asked: list[str] = []

    def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        raise OSError

    why = refused(Fetcher(timeout=5, resolve=resolve), url)

    assert "secret" not in why
    assert not {"127.0.0.1", "::1"} & set(asked)


def test_a_name_in_another_script() -> None:
    """It is looked up in the form that name servers know."""
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return []

    assert "cannot be resolved" in refused(Fetcher(resolve=resolve), "https://bücher.example/")
    assert ["xn--bcher-kva.example"] == asked


@pytest.mark.parametrize("failure", [OSError("10.0.0.1"), UnicodeError("x"), None])
def test_a_name_that_is_not_to_be_resolved(failure: Exception | None) -> None:
    """A name without an address is refused, with no word about the name server."""

    def resolve(host: str, port: int) -> Sequence[str]:
        if failure is not None:
            raise failure
        return []

    assert "A URL in the messages has a name that cannot be resolved." == refused(
        Fetcher(resolve=resolve), "https://files.example/x"
    )


def test_a_name_server_that_does_not_answer() -> None:
    """The time counts from the beginning: the name server is still being asked when it is over."""
    gate, answered = threading.Event(), threading.Event()

    def resolve(host: str, port: int) -> Sequence[str]:
        gate.wait(60)
        answered.set()
        return []

    assert "longer than 0.2 seconds" in refused(
        Fetcher(timeout=0.2, resolve=resolve), "https://files.example/x"
    )
    assert not answered.is_set()
    gate.set()


def test_the_limits_are_positional_as_agreed() -> None:
    """Proxy, size, time."""
    fetcher = Fetcher(None, 5, 2.5)

    assert (5, 2.5) == (fetcher.max_bytes, fetcher.timeout)


# ---- over TLS on loopback, the check of addresses relaxed


class Site:
    """A TLS server that goes by the name of files.example."""

    def __init__(self, handler: Handler) -> None:
        self.server = Server(handler, tls=True)
        self.asked: list[str] = []
        self.url = f"https://files.example:{self.server.port}"

    def resolve(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return ["127.0.0.1"]

    def fetcher(self, **options: Any) -> Fetcher:
        return Fetcher(
            **{
                "timeout": 60.0,
                "resolve": self.resolve,
                "is_allowed": lambda address: address == "127.0.0.1",
                "certificates": str(CERTIFICATE),
                **options,
            }
        )

    def fetch(self, path: str = "/x", **options: Any) -> Fetched:
        with self.server:
            return self.fetcher(**options).fetch(self.url + path)

    def refused(self, path: str = "/x", **options: Any) -> str:
        with self.server:
            return refused(self.fetcher(**options), self.url + path)


def answering(body: bytes, status: str = "200 OK", *headers: str) -> Handler:
    def handler(visitor: Visitor) -> None:
        if visitor.request() is not None:
            visitor.answer(body, status, *headers)

    return handler


def test_a_file() -> None:
    """A file comes with its data, its type and its name."""
    site = Site(answering(b"\x89PNG", "200 OK", "Content-Type: image/PNG; charset=x"))

    assert Fetched(b"\x89PNG", "image/png", "a cat.png") == site.fetch("/dir/a%20cat.png?w=1#top")
    assert ["files.example"] == site.asked
    assert "PNG" not in repr(Fetched(b"\x89PNG", "image/png", "x"))


def test_what_is_asked() -> None:
    """A request has the name in its Host, and nothing about the client it is made for."""
    seen: list[bytes] = []

    def handler(visitor: Visitor) -> None:
        seen.append(visitor.request() or b"")
        visitor.answer(b"x")

    site = Site(handler)
    site.fetch("/d/ü?a=b c#top")
    lines = seen[0].decode().split("\r\n")

    assert "GET /d/%C3%BC?a=b%20c HTTP/1.1" == lines[0]
    assert {
        f"Host: files.example:{site.server.port}",
        "User-Agent: poe-proxy",
        "Accept: */*",
        "Accept-Encoding: identity",
        "Connection: close",
        "",
    } == set(lines[1:])


def test_a_scheme_in_capitals_is_the_same() -> None:
    """Schemes are case-insensitive (RFC 3986, 3.1)."""
    site = Site(answering(b"x"))
    with site.server:
        assert b"x" == site.fetcher().fetch(site.url.replace("https", "HTTPS") + "/x").data


@pytest.mark.parametrize(
    ("path", "headers", "name", "kind"),
    [
        ("/a.pdf", [], "a.pdf", "application/octet-stream"),
        ("/", [], "file", "application/octet-stream"),
        ("", [], "file", "application/octet-stream"),
        ("/x/", [], "file", "application/octet-stream"),
        ("/x%2F..%2Fy.png", ["Content-Type: image/png"], "y.png", "image/png"),
        ("/a%0Ab%22.png", ["Content-Type: <script>"], "a_b_.png", "application/octet-stream"),
        ("/x", ['Content-Disposition: attachment; filename="r.csv"'], "r.csv", None),
        ("/x", ["Content-Disposition: inline; filename*=UTF-8''%e2%82%ac.txt"], "€.txt", None),
        ("/x", ['Content-Disposition: attachment; filename="..\\..\\e.exe"'], "e.exe", None),
        ("/x", ["Content-Disposition: attachment"], "x", None),
        ("/" + "n" * 300 + ".png", [], "n" * 196 + ".png", None),
    ],
)
def test_names_and_types(path: str, headers: list[str], name: str, kind: str | None) -> None:
    """As the server says, else as the path says; nothing that leads out of a folder."""
    fetched = Site(answering(b"x", "200 OK", *headers)).fetch(path)

    assert name == fetched.filename
    assert kind in (None, fetched.content_type)


def redirect(*targets: str, status: str = "302 Found") -> Handler:
    """Sends visitors from one target to the next, and then answers."""
    left = list(targets)

    def handler(visitor: Visitor) -> None:
        visitor.request()
        if left:
            visitor.answer(b"", status, f"Location: {left.pop(0)}")
        else:
            visitor.answer(b"here")

    return handler


@pytest.mark.parametrize("status", ["301 x", "302 x", "303 x", "307 x", "308 x"])
def test_redirects_are_followed(status: str) -> None:
    """Three redirects are followed, relative ones too; each name is looked at."""
    site = Site(redirect("/b/c", "d.png", "?e", status=status))

    assert b"here" == site.fetch().data
    assert 4 == len(site.asked)


@pytest.mark.parametrize(
    ("targets", "why"),
    [
        (["/1", "/2", "/3", "/4"], "redirects too often"),
        (["http://files.example/x"], "https://"),
        (["file:///etc/passwd"], "https://"),
        (["https://10.0.0.1/x"], "public"),
        (["https://user@files.example/"], "user name"),
        (["https://["], "an invalid URL"),
    ],
)
def test_redirects_that_are_not_followed(targets: list[str], why: str) -> None:
    """A fourth redirect is refused, and one that would be refused as a first URL."""
    site = Site(redirect(*targets))

    def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"] if host == "files.example" else [host]

    assert why in site.refused(resolve=resolve)


def test_a_name_that_changes_its_mind_between_two_questions() -> None:
    """Each question is looked at, and there is none between look and connection."""
    answers = [["127.0.0.1"], ["10.0.0.1"]]
    site = Site(redirect("/again"))

    assert "public" in site.refused(resolve=lambda host, port: answers.pop(0))
    assert [] == answers


def test_the_connection_goes_to_the_address_that_was_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The name is not resolved again, when it may have another address."""
    asked: list[Any] = []
    real = socket.getaddrinfo
    site = Site(answering(b"x"))

    def lookup(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if port == site.server.port:
            asked.append(host)
        return real(host, port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)

    assert b"x" == site.fetch().data
    assert {"127.0.0.1"} == set(asked)


def test_a_second_address_is_tried() -> None:
    """The first one may be of a network that we do not reach."""
    site = Site(answering(b"x"))

    assert (
        b"x"
        == site.fetch(
            resolve=lambda host, port: ["::1", "127.0.0.1"], is_allowed=lambda address: True
        ).data
    )


@pytest.mark.parametrize(
    ("options", "url_of"),
    [
        ({"certificates": None}, lambda site: site.url),
        ({}, lambda site: site.url.replace("files.example", "other.example")),
    ],
)
def test_the_certificate_must_be_that_of_the_name(
    options: dict[str, Any], url_of: Callable[[Site], str]
) -> None:
    """Trusted, and for the name in the URL rather than for the address."""
    site = Site(answering(b"x"))
    with site.server:
        assert "cannot be reached (SSLError)" in refused(
            site.fetcher(**options), url_of(site) + "/x"
        )


@pytest.mark.parametrize("status", ["404 x", "500 x", "206 x", "204 x", "304 x", "302 x"])
def test_only_a_file_is_a_file(status: str) -> None:
    """The page that explains an error is refused, and so is a redirect to nowhere."""
    assert f"status {status[:3]}" in Site(answering(b"", status)).refused()


def send_for_a_minute(visitor: Visitor, head: bytes, piece: bytes, pause: float) -> None:
    """Send the same again and again, far longer than any fetch may take."""
    visitor.request()
    visitor.send(head)
    end = time.monotonic() + 60
    with suppress(OSError):
        while time.monotonic() < end:
            visitor.send(piece)
            time.sleep(pause)


def trickle(visitor: Visitor) -> None:
    send_for_a_minute(visitor, b"HTTP/1.1 200 OK\r\n\r\n", b"x", 0.02)


def trickling_head(visitor: Visitor) -> None:
    send_for_a_minute(visitor, b"HTTP/1.1 200 OK\r\nX-Endless: ", b"x", 0.02)


def silence(visitor: Visitor) -> None:
    visitor.is_left()


def flood(visitor: Visitor) -> None:
    send_for_a_minute(visitor, b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536, 0)


@pytest.mark.parametrize("handler", [trickle, trickling_head, silence, flood])
def test_all_of_it_must_come_in_time(handler: Handler) -> None:
    """However busy the server keeps us, a fetch ends in time, and its connection is closed."""
    is_over = threading.Event()

    def serve(visitor: Visitor) -> None:
        handler(visitor)
        is_over.set()

    site = Site(serve)
    assert "longer than 0.4 seconds" in site.refused(timeout=0.4, max_bytes=10**12)
    # Before the minute of the server is over, which ends because its client has left.
    until(lambda: not any("fetch" == thread.name for thread in threading.enumerate()))
    if site.server.visits:
        # A server that comes to the greeting late finds the connection closed, and serves nobody.
        until(lambda: is_over.is_set() or site.server.failures)


@pytest.mark.parametrize(("own", "given"), [(3600.0, 0.2), (0.2, 3600.0)])
def test_one_fetch_may_be_given_less_time(own: float, given: float) -> None:
    """The shorter of both times counts, the fetcher's own and that of the caller."""
    site = Site(silence)
    with site.server, pytest.raises(InvalidRequest, match=r"longer than 0\.2 seconds"):
        site.fetcher(timeout=own).fetch(site.url, given)


@pytest.mark.parametrize("declared", [True, False])
def test_size_is_limited_while_reading(declared: bool) -> None:
    """A file may have exactly the bytes of the limit, whatever length is declared."""

    def handler(visitor: Visitor) -> None:
        visitor.request()
        length = b"Content-Length: 100000\r\n" if declared else b""
        visitor.send(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n" + b"x" * 100_000)

    assert 100_000 == len(Site(handler).fetch(max_bytes=100_000).data)
    assert "larger than 0.099999 MB" in Site(handler).refused(max_bytes=99_999)


def test_a_flood_is_not_read_to_its_end() -> None:
    """The limit of size ends the fetch."""
    assert "larger than 1 MB" in Site(flood).refused(max_bytes=1_000_000)


def test_a_file_that_breaks_off_is_refused() -> None:
    """Half a picture would be uploaded as if it were whole."""

    def handler(visitor: Visitor) -> None:
        visitor.request()
        visitor.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    assert "broke off" in Site(handler).refused()


def test_what_comes_compressed_is_refused() -> None:
    """A small file could become a large one."""
    site = Site(answering(b"x", "200 OK", "Content-Encoding: gzip"))

    assert "compressed" in site.refused()


def test_where_nothing_listens() -> None:
    """The refusal says that the URL cannot be reached, without the address."""
    fetcher = Fetcher(resolve=lambda host, port: ["127.0.0.1"], is_allowed=lambda address: True)
    why = refused(fetcher, f"https://files.example:{unused_port()}/")

    assert "A URL in the messages cannot be reached (NewConnectionError)." == why


def test_a_proxy_is_asked_for_the_address_and_not_for_the_name() -> None:
    """The proxy may stand in the user's own network, where names lead anywhere."""
    seen: list[bytes] = []

    def connect(visitor: Visitor) -> None:
        request = visitor.request() or b""
        seen.append(request.split(b"\r\n")[0])
        visitor.send(b"HTTP/1.1 200 OK\r\n\r\n")
        with socket.create_connection(("127.0.0.1", site.server.port)) as onward:
            threading.Thread(target=pump, args=(onward, visitor.sock), daemon=True).start()
            pump(visitor.sock, onward)

    site = Site(answering(b"x"))
    with Server(connect) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        assert b"x" == site.fetch(proxy=url).data
        assert [f"CONNECT 127.0.0.1:{site.server.port} HTTP/1.0".encode()] == seen
        assert "public" in refused(
            Fetcher(url, resolve=lambda host, port: ["10.0.0.1"]), "https://files.example/x"
        )
    assert 1 == len(seen)


def pump(source: socket.socket, drain: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            drain.sendall(data)
        drain.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def test_a_url_has_a_length() -> None:
    """The client's, and one that is redirected to."""
    long = "https://localhost/" + "x" * 8192
    assert "8192 characters" in refused(Fetcher(), long)
    assert "8192 characters" in Site(answering(b"", "302 x", f"Location: {long}")).refused()


def test_a_header_that_is_too_long_gives_no_name() -> None:
    """The path does."""
    header = f'Content-Disposition: attachment; filename="a{";" * 2000}.png"'

    assert "x" == Site(answering(b"x", "200 OK", header)).fetch("/x").filename


def test_a_greeting_that_drips_is_cut() -> None:
    """As soon as the time is over, and its thread ends."""
    left: list[bool] = []

    def drip(visitor: Visitor) -> None:
        over = threading.Event()
        with suppress(OSError):
            visitor.send(b"\x16\x03\x03\x40\x00")
            for _ in range(3000):
                visitor.send(b"x")
                over.wait(0.02)
        left.append(True)

    with Server(drip) as server:
        fetcher = Fetcher(timeout=0.3, resolve=lambda host, port: ["127.0.0.1"],
                          is_allowed=lambda address: True)  # fmt: skip
        assert "longer than" in refused(fetcher, f"https://files.example:{server.port}/")
        until(lambda: left)


# ---- for some hosts only


def test_other_hosts_than_those_it_is_for_are_refused() -> None:
    """A host beneath one of them is fine; one that only looks like it is not. None is resolved."""
    fetcher = Fetcher(resolve=lambda host, port: ["10.0.0.1"], hosts=("files.example",))

    for good in ("files.example", "a.b.files.example", "FILES.example.", "files.example:444"):
        assert fetcher.is_for(f"https://{good}/x")
    for bad in (
        "https://badfiles.example/", "https://files.example.bad/", "https://user@files.example/",
        "https://files.example@bad.example/", "http://files.example/", "ftp://files.example/",
        "https:///x", "https://[::1]/", "nothing",
    ):  # fmt: skip
        assert not fetcher.is_for(bad), bad
    assert "another host" in refused(fetcher, "https://bad.example/")
    assert "public" in refused(fetcher, "https://files.example/")


def test_a_redirect_to_another_host_is_refused() -> None:
    """And any redirect, where none is allowed."""
    away = answering(b"", "302 x", "Location: https://other.example/x")
    hosts = ("files.example",)

    assert "another host" in Site(away).refused(hosts=hosts)
    assert "redirects too often" in Site(away).refused(hosts=hosts, max_redirects=0)


def test_where_the_operator_says_that_poe_is_is_fetched_from() -> None:
    """By plain HTTP, and whatever the address; its redirects lead nowhere else."""
    with Server(answering(b"x", "200 OK", "Content-Type: image/png")) as server:
        origin = f"http://127.0.0.1:{server.port}"
        fetcher = Fetcher(timeout=60, hosts=("files.example",), origins=(origin,))

        assert Fetched(b"x", "image/png", "cat") == fetcher.fetch(f"{origin}/cat?w=1")
        assert not fetcher.is_for(f"http://127.0.0.1:{server.port + 1}/cat")
        assert not fetcher.is_for(f"http://u@127.0.0.1:{server.port}/cat")
    with Server(answering(b"", "302 x", "Location: http://127.0.0.1:1/")) as server:
        origin = f"http://127.0.0.1:{server.port}"
        assert "https://" in refused(Fetcher(timeout=60, origins=(origin,)), origin)
