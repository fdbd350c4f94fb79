"""poe.com as one account sees it, without form key or tag."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from poe_proxy.errors import (
    TokenRejected,
    UpstreamBlocked,
    UpstreamChanged,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamUncertain,
)
from poe_proxy.upstreams.poe_web.credentials import Credentials
from poe_proxy.upstreams.poe_web.current import CurrentSite
from poe_proxy.upstreams.poe_web.front import MAX_APPS, MAX_PAGE, Front
from poe_proxy.upstreams.poe_web.pages import ChannelData
from poe_proxy.upstreams.poe_web.site import Site, compiled
from poe_proxy.upstreams.poe_web.transport import MAX_ANSWER, Response, Transport

from .fixtures import CHANNEL, page

_BUILT_IN = Site.load()
SITE = replace(_BUILT_IN, limits=replace(_BUILT_IN.limits, retry=0.001))
LOGIN = Response(302, {"Location": "/login"}, b"")
NAME = json.loads(CHANNEL)["channel"]


class Wire(Front):
    """Answers one after the other, the last one for ever; what each request had for cookies."""

    def __init__(self, *answers: Response | Exception, **cookies: Mapping[str, str]) -> None:
        self.site = CurrentSite(SITE)
        self.kept: list[Mapping[str, str]] = []
        super().__init__(
            Credentials.parse("p-b=given"),
            self.site,
            url="https://poe.com/",
            proxy=None,
            label="cookie-1",
            keep_renewed=self.kept.append,
            **cookies,
        )
        self.answers = [*answers]
        self.asked: list[tuple[str, str]] = []
        self.fetched: list[tuple[str, int]] = []

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        payload: bytes | None = None,
        *,
        reading: bool,
        limit: float | None = None,
        at_most: int = MAX_ANSWER,
        when_answered: Callable[[], None] = lambda: None,
    ) -> Response:
        assert (method, reading, at_most, headers) == ("GET", True, MAX_PAGE, None)
        self.asked.append((path, self.cookies.header()))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def script(self, address: str, at_most: int, limit: float | None = None) -> tuple[str, int]:
        self.fetched.append((address, at_most))
        return "x", 10


def good(**cookies: str) -> Response:
    return Response(200, {}, page().encode(), cookies)


def test_the_page_is_read_as_it_is_known() -> None:
    """By the newest site, or by one that is only tried; its cookies are not taken yet."""
    wire = Wire(good(**{"p-b": "renewed"}))
    home = wire.home()
    assert ("bUiLdBuIlD", 1) == (home.page.build_id, len(home.page.app_scripts))
    assert ({"p-b": "renewed"}, "p-b=given") == (home.cookies, wire.cookies.header())
    assert "renewed" not in repr(home)

    pattern = compiled("pages.app_script", "webpack", groups=0)
    tried = replace(SITE, patterns=replace(SITE.patterns, app_script=pattern))
    (app,) = wire.home(tried).page.app_scripts
    assert "webpack" in app
    wire.site.replace(tried)
    assert (app,) == wire.home().page.app_scripts


def test_a_page_is_asked_for_again() -> None:
    """That costs nothing; a refusal is one."""
    assert Wire(UpstreamUncertain("x"), Response(502, {}, b""), good()).home().page.build_id
    wire = Wire(Response(502, {}, b""))
    with pytest.raises(UpstreamOverloaded, match="Poe answers / with 502"):
        wire.home()
    assert 3 == len(wire.asked)

    wire = Wire(Response(404, {}, b""))
    with pytest.raises(UpstreamProtocolError, match="Poe refuses / with 404"):
        wire.home()
    assert 1 == len(wire.asked)


def test_a_challenge_is_no_page() -> None:
    """Whatever its status."""
    wire = Wire(Response(403, {"cf-mitigated": "challenge"}, b""))
    with pytest.raises(UpstreamBlocked):
        wire.home()
    assert 1 == len(wire.asked)


def test_the_given_cookie_is_tried_once_the_renewed_one_is_refused() -> None:
    """If it is good, it is the one from now on."""
    wire = Wire(LOGIN, good(), renewed={"p-b": "renewed"})
    wire.home()

    assert [("/", "p-b=renewed"), ("/", "p-b=given")] == wire.asked
    assert ("p-b=given", [{}]) == (wire.cookies.header(), wire.kept)


@pytest.mark.parametrize("renewed", [{}, {"p-b": "renewed"}])
def test_a_cookie_that_is_refused_is_a_failure(renewed: Mapping[str, str]) -> None:
    """A renewed one stays: it is more likely to be good later."""
    wire = Wire(LOGIN, renewed=renewed)
    with pytest.raises(TokenRejected):
        wire.home()

    assert 1 + len(renewed) == len(wire.asked)
    assert (f"p-b={renewed.get('p-b', 'given')}", []) == (wire.cookies.header(), wire.kept)


def test_a_channel_is_in_the_settings() -> None:
    """At any depth."""
    wire = Wire(Response(200, {}, f'{{"a":[{{"tchannelData":{CHANNEL}}}]}}'.encode()))
    found = wire.channel_data()

    assert isinstance(found, ChannelData)
    assert (NAME, "/api/settings") == (found.name, wire.asked[0][0])


@pytest.mark.parametrize("answer", [b"{}", b"<html>", b"[" * 5000, b'{"tchannelData":{}}'])
def test_settings_without_a_channel_are_a_failure(answer: bytes) -> None:
    """Whatever they are instead."""
    with pytest.raises(UpstreamChanged, match="names no channel"):
        Wire(Response(200, {}, answer)).channel_data()


class Sent(Transport):
    """Answers every request with this; notes what each has had."""

    def __init__(self, answer: Response) -> None:
        super().__init__(lambda: {"User-Agent": "a browser"}, proxy=None)
        self.answer = answer
        self.requests: list[tuple[str, str, Mapping[str, str], float, int]] = []

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        payload: bytes | None = None,
        *,
        reading: bool,
        limit: float,
        at_most: int = MAX_ANSWER,
        when_answered: Callable[[], None] = lambda: None,
    ) -> Response:
        self.requests.append((method, url, headers, limit, at_most))
        return self.answer


@pytest.mark.parametrize(("status", "text"), [(200, "é\ufffd"), (404, ""), (302, ""), (500, "")])
def test_a_script_is_asked_for_without_the_cookie(
    monkeypatch: pytest.MonkeyPatch, status: int, text: str
) -> None:
    """Nor with any header of Poe's; one that is not there is empty, and has its bytes."""
    front = Front(
        Credentials.parse("p-b=given"),
        CurrentSite(SITE),
        url="https://poe.com",
        proxy=None,
        label="cookie-1",
    )
    sent = Sent(Response(status, {}, "é".encode() + b"\xff"))
    monkeypatch.setattr(front, "_transport", sent)

    assert (text, 3) == front.script("https://psc2.cf2.poecdn.net/x.js", 10, 2.0)
    assert [("GET", "https://psc2.cf2.poecdn.net/x.js", {}, 2.0, 10)] == sent.requests
    front.script("https://psc2.cf2.poecdn.net/x.js", 10)
    assert SITE.limits.http == sent.requests[1][3]


def test_a_few_scripts_of_a_page_are_fetched_and_bytes_in_all() -> None:
    """Only from where they may come; each is shorter by those before it."""
    named = [f"/_next/static/chunks/_app-{place}.js" for place in range(MAX_APPS + 2)]
    scripts = "".join(f'<script src="{one}"></script>' for one in ["http://10.0.0.1/_app", *named])
    wire = Wire(Response(200, {}, page(scripts=scripts).encode()))
    texts = wire.app_scripts(wire.home().page)

    assert ("x",) * (MAX_APPS - 1) == texts
    assert [
        (f"https://poe.com{one}", MAX_PAGE - 10 * place)
        for place, one in enumerate(named[: MAX_APPS - 1])
    ] == wire.fetched
