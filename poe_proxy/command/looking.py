"""What `poe-proxy doctor` looks at: Poe, the way there, the clock, the port, what is in front."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from email.utils import parsedate_to_datetime
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

from poe_proxy.command import running
from poe_proxy.command.asking import Answer, Trouble, object_of
from poe_proxy.net.background import Background
from poe_proxy.net.hosts import Host
from poe_proxy.net.http1 import Head
from poe_proxy.net.transfer import Trouble as Broken
from poe_proxy.server.routes import STREAMED
from poe_proxy.settings import BadSettings, Settings
from poe_proxy.upstreams.poe_web import Site
from poe_proxy.upstreams.poe_web.graphql import AGAINST_CHALLENGES

Mark: TypeAlias = Literal["ok", "note", "wrong"]

#: Seconds for looking a name up, and for an answer of Poe.
LOOK_UP: Final = 5.0
ANSWER: Final = 20.0
#: Seconds by which a clock may be wrong: cookies and certificates do not mind them.
_SKEW: Final = 60.0
#: Days after which what is known of Poe's site is called old: it changes every few months.
OLD: Final = 180
#: Of the time in which a stream is sent: if it takes less to come, something has held it back.
_HELD_BACK: Final = 0.5


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found, and what to do about it."""

    mark: Mark
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Way:
    """A way to one of Poe's hosts."""

    url: str
    path: str
    headers: Mapping[str, str]
    proxy: str | None

    @property
    def host(self) -> str:
        """Its host and port, without a user and a password."""
        return urlsplit(self.url).netloc.rpartition("@")[2]

    @property
    def name(self) -> str:
        """Its host, and how it is reached."""
        return f"{self.host}{'' if self.proxy is None else ' by the proxy'}"


# ---- what is known of Poe's site


def look_at_site(
    settings: Settings, today: Callable[[], date] = lambda: date.today()
) -> Iterator[Finding]:
    """Yield which file tells of Poe's site, and how old what it says is; nothing without cookies.

    Mistakes in the settings are told elsewhere.
    """
    from poe_proxy import accounts
    from poe_proxy.token_maker import read_site
    from poe_proxy.upstreams.poe_web.discovery.service import age

    try:
        if all(account.kind != "cookie" for account in accounts.read(settings)):
            return
        site = read_site(settings)
    except (BadSettings, ValueError):
        return
    days = age(site.newest, today()) or 0
    old = {0: "today", 1: "yesterday"}.get(days, f"{days} days old")
    seen = f"the newest evidence is of {site.newest}, {old}" if site.newest else ""
    text = "; ".join(filter(None, (_file_of(site), seen)))
    if days <= OLD:
        yield Finding("ok", f"Poe's site: {text}")
    else:
        yield Finding(
            "note",
            f"Poe's site: {text}.",
            "As long as answers come, all is well. `poe-proxy discover` looks for what is new.",
        )


def _file_of(site: Site) -> str:
    number = len(site.operations) + len(site.subscriptions)
    if site.file is None:
        return f"as built in, {number} hashes"
    entries = "1 entry" if site.own == 1 else f"{site.own} entries"
    return f"{entries} of {site.file} on top of what is built in, {number} hashes"


# ---- the way to Poe


def look_at_way(
    way: Way,
    *,
    look_up: Callable[[str], str] = lambda host: _looked_up(host),
    wall: Callable[[], float] = time.time,
) -> Iterator[Finding]:
    """Yield what is found on *way*: its name, an answer, and the time that it tells."""
    host = urlsplit(way.url).hostname or ""
    # Other proxies look it up themselves.
    if way.proxy is None or way.proxy.startswith("socks5:"):
        try:
            yield Finding("ok", f"{host} is {look_up(host)}")
        except (OSError, UnicodeError) as failure:
            why = getattr(failure, "strerror", None) or failure
            yield Finding(
                "wrong",
                f"{host} has no address here: {why}.",
                "Is this computer online? Look at its DNS, or set PROXY=socks5h://..., which "
                "leaves names to the proxy.",
            )
            return
    began = wall()
    head = _first(way)
    if isinstance(head, Broken):
        yield _broken(way, head)
        return
    if head is None:
        yield Finding("wrong", f"{way.name} has not answered within {ANSWER:.0f} s.", _SET_PROXY)
        return
    yield _answered(way, head, wall() - began)
    yield from _clock(way, head, (began + wall()) / 2)


_SET_PROXY: Final = "If Poe cannot be reached from your network, set PROXY."


def _looked_up(host: str) -> str:
    """Return the first address of *host*; raises OSError, if there is none in time, too."""
    found = Background(lambda: socket.getaddrinfo(host, 443), name="look-up")
    if not found.wait(LOOK_UP):
        raise TimeoutError(f"no answer within {LOOK_UP:.0f} s")
    return str(found.result()[0][4][0])


def _first(way: Way) -> Head | Broken | None:
    host = Host(way.url, proxy=way.proxy, connections=1)
    transfer = host.send("GET", way.path, way.headers)
    try:
        for one in transfer.wait(ANSWER):
            if isinstance(one, Head | Broken):
                return one
        return None
    finally:
        transfer.close()
        host.close()


def _broken(way: Way, failure: Broken) -> Finding:
    if failure.name == "ProxyError":
        return Finding(
            "wrong",
            f"The proxy to {way.host} does not connect.",
            "Does it run, and are address, user and password in PROXY right?",
        )
    if failure.bad_certificate:
        return Finding(
            "wrong",
            f"{way.name} shows a certificate that is not Poe's.",
            "Something on the way opens what is encrypted: a company's or a school's network, or a "
            "wrong clock.",
        )
    why = "took too long" if failure.timed_out else failure.words
    return Finding("wrong", f"{way.name} cannot be reached: the connection {why}.", _SET_PROXY)


def _answered(way: Way, head: Head, seconds: float) -> Finding:
    if head.status == 403 or "cf-mitigated" in head.headers:
        return Finding(
            "note",
            f"{way.name} answers with status {head.status}, as it does to those whom it takes for "
            "robots: accounts by cookie may be shown a browser challenge from here.",
            AGAINST_CHALLENGES,
        )
    if head.status >= 500:
        return Finding(
            "note", f"{way.name} has trouble of its own: status {head.status}.", "Try again later."
        )
    return Finding("ok", f"{way.name} answers, in {seconds:.1f} s")


def _clock(way: Way, head: Head, now: float) -> Iterator[Finding]:
    try:
        skew = now - parsedate_to_datetime(head.headers.get("Date", "")).timestamp()
    except ValueError:
        return  # it tells no time
    if abs(skew) < _SKEW:
        yield Finding("ok", f"the clock is right, to {max(1, round(abs(skew)))} s")
    else:
        yield Finding(
            "wrong",
            f"The clock of this computer is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}, "
            f"if that of {way.name} is right.",
            "Set it (`timedatectl set-ntp true`): cookies and certificates go by it.",
        )


# ---- here


def look_at_port(settings: Settings) -> Iterator[Finding]:
    """Yield who is at HOST and PORT."""
    server = running.Running(running.address_of(settings), None)
    if server.answers():
        yield Finding("ok", f"poe-proxy answers at {server.name}")
        try:
            yield _ready(server.request("GET", "/ready"))
        except Trouble as trouble:
            yield Finding("wrong", trouble.message)
        return
    try:
        with closing(_bound(settings.host.strip("[] "), settings.port)):
            pass
    except OSError as failure:
        yield Finding(
            "wrong",
            f"Nothing can listen on HOST {settings.host}, PORT {settings.port}: "
            f"{failure.strerror or failure}.",
            "Stop what listens there, or set HOST and PORT to others.",
        )
    else:
        yield Finding("ok", f"port {settings.port} is free for `poe-proxy serve`")


# ---- what workers share


def look_at_redis(settings: Settings) -> Iterator[Finding]:
    """Yield how the server at REDIS_URL is; nothing without one."""
    if settings.redis_url is None:
        return
    from poe_proxy.shared import condition

    for one in condition.look(settings.redis_url, settings.redis_pool):
        yield Finding(one.mark, one.text, one.remedy)


def _bound(host: str, port: int) -> socket.socket:
    probe = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
    except BaseException:
        probe.close()
        raise
    return probe


def _ready(answer: Answer) -> Finding:
    said = object_of(answer.read())
    if answer.status == 200:
        return Finding("ok", "it is ready")
    accounts = json.dumps(said.get("accounts", {}))
    return Finding(
        "wrong",
        f"It is not ready: accounts {accounts}, store {said.get('store')}.",
        "`poe-proxy check` says which account is ill, and why.",
    )


# ---- what is in front


def look_at_public(url: str, key: str | None) -> Iterator[Finding]:
    """Yield what is found at the address that others use: is it us, and do streams pass at once?"""
    server = running.Running(url, key)
    try:
        if not server.answers():
            yield Finding(
                "wrong",
                f"{server.name} does not lead to poe-proxy: GET {server.name}/health has another "
                "answer.",
                "Look at proxy_pass and server_name of what is in front: deploy/nginx.conf.",
            )
            return
        yield Finding("ok", f"{server.name} leads to poe-proxy")
        yield _streamed(server)
    except Trouble as trouble:
        yield Finding("wrong", trouble.message)


def _streamed(server: running.Running, clock: Callable[[], float] = time.monotonic) -> Finding:
    answer = server.request("GET", "/v1/stream-check")
    if answer.status != 200:
        answer.close()
        return Finding(
            "note",
            f"Whether streams pass at once was not tried: status {answer.status}.",
            "Give a key with --key." if answer.status == 401 else "",
        )
    with closing(answer):
        times = [clock() for piece in answer.pieces if piece]
    spread = times[-1] - times[0] if times else 0.0
    if spread >= STREAMED * _HELD_BACK:
        return Finding("ok", "a stream passes at once, piece by piece")
    return Finding(
        "wrong",
        "A stream is held back, and comes in one piece.",
        "Something in front collects answers: `proxy_buffering off;` in nginx, as in "
        "deploy/nginx.conf.",
    )
