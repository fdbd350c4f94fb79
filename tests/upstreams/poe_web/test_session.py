"""Requests as they leave, seen by a server that writes them down."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Semaphore
from typing import Any

import pytest

from poe_proxy import errors
from poe_proxy.net.background import Background
from poe_proxy.upstreams.poe_web import graphql
from poe_proxy.upstreams.poe_web.attachments import Attachment
from poe_proxy.upstreams.poe_web.credentials import Credentials
from poe_proxy.upstreams.poe_web.current import CurrentSite
from poe_proxy.upstreams.poe_web.front import Front
from poe_proxy.upstreams.poe_web.session import FIRST_PAUSE, Clearance, Session
from poe_proxy.upstreams.poe_web.site import Site
from tests.net.raw import unused_port

from ...fakes import Clock, until
from .fixtures import APP, KEY, REVISION, page

SITE = Site.load()
Answers = dict[str, Callable[[Any], None]]


def give(status: int, body: bytes = b"", *headers: tuple[str, str]) -> Callable[[Any], None]:
    def answer(handler: Any) -> None:
        handler.send_response(status)
        for name, value in headers:
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


class Poe:
    """A server with one answer for each path, and all the headers that came."""

    def __init__(self) -> None:
        self.answers: Answers = {}
        self.seen: list[tuple[str, list[tuple[str, str]], bytes]] = []
        poe = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                poe.seen.append((self.path, self.headers.items(), self.rfile.read(size)))
                poe.answers.get(self.path, give(404))(self)

            do_POST = do_GET

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        html = page().replace(
            "https://psc2.cf2.poecdn.net/assets", f"http://localhost:{self.server.server_port}"
        )
        self.answers["/"] = give(200, html.encode())
        script = "/_next/static/chunks/pages/_app-2222222222222222.js"
        self.answers[script] = give(200, APP.encode(), ("Set-Cookie", "p-b=of-the-script"))
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def cookies(self) -> list[list[str]]:
        """The Cookie headers of each request."""
        return [[v for k, v in headers if k.lower() == "cookie"] for _, headers, _ in self.seen]

    def headers(self, place: int = -1) -> dict[str, str]:
        return {name.lower(): value for name, value in self.seen[place][1]}


@pytest.fixture
def poe() -> Iterator[Poe]:
    server = Poe()
    yield server
    server.server.shutdown()
    server.server.server_close()


def logged_out(url: str, credentials: str, site: Site = SITE, **cookies: Any) -> Session:
    given = Credentials.parse(credentials)
    known = CurrentSite(site)
    front = Front(given, known, url=url, proxy=None, label="test", **cookies)
    return Session(front, known, given_formkey=given.formkey)


@pytest.fixture
def session(poe: Poe) -> Iterator[Session]:
    made = logged_out(poe.url, "p-b=given%3D; p-lat=lat")
    yield made
    made.close()


GOOD = b'{"data":{"ok":true}}'


def call(session: Session) -> dict[str, Any]:
    return session.call("settingsPageQuery", {}, reading=False)


def test_the_headers_are_those_of_the_browser(poe: Poe, session: Session) -> None:
    """Sheet §4.2: a page without any of Poe's own, an operation with all of them."""
    poe.answers["/api/gql_POST"] = give(200, GOOD)
    session.log_in()
    session.use_channel("poe-chan1")
    call(session)

    start, script, operation = poe.headers(0), poe.headers(1), poe.headers()
    for one in (start, script, operation):
        assert "Mozilla/5.0" == one["user-agent"][:11]
        assert "python" not in str(one).lower()
    assert not [name for name in start if name.startswith("poe") or name == "origin"]
    assert "cookie" not in script
    assert KEY == operation["poe-formkey"]
    assert REVISION == operation["poe-revision"]
    assert "poe-chan1" == operation["poe-tchannel"]
    assert ("settingsPageQuery", "1") == (operation["poe-queryname"], operation["poegraphql"])
    assert (poe.url, f"{poe.url}/") == (operation["origin"], operation["referer"])
    assert "application/json" == operation["content-type"]
    assert 32 == len(operation["poe-tag-id"])


def test_cookies_are_sent_as_given_and_once(poe: Poe, session: Session) -> None:
    """Not decoded, each once, to Poe's host alone."""
    session.log_in()

    assert [["p-b=given%3D; p-lat=lat"], []] == poe.cookies()


def test_a_renewed_cookie_replaces_the_given_one(poe: Poe, session: Session) -> None:
    """Of the cookies that are set, only those that Poe needs are kept."""
    poe.answers["/api/gql_POST"] = give(
        200,
        GOOD,
        ("Set-Cookie", "p-b=first; Path=/; HttpOnly"),
        ("Set-Cookie", "p-b=new%3D; Path=/; HttpOnly"),
        ("Set-Cookie", "__cf_bm=bm; Path=/"),
        ("Set-Cookie", "other=x; Path=/"),
    )
    call(session)
    call(session)

    assert ["p-b=new%3D; p-lat=lat; __cf_bm=bm"] == poe.cookies()[-1]


@pytest.mark.parametrize(
    ("status", "body", "failure"),
    [
        (307, b"", errors.TokenRejected),
        (200, b"<html>login</html>", errors.UpstreamUncertain),
        (500, b"", errors.UpstreamUncertain),
        (429, b"", errors.TokenLimited),
    ],
)
def test_a_cookie_of_a_failed_answer_is_not_taken(
    poe: Poe, session: Session, status: int, body: bytes, failure: type[Exception]
) -> None:
    """Poe sets cookies for strangers, too."""
    headers = (("Set-Cookie", "p-b=anonymous; Path=/"), ("Location", "/login"))
    poe.answers["/api/gql_POST"] = give(status, body, *headers)
    for _ in range(2):
        with pytest.raises(failure):
            call(session)

    assert ["p-b=given%3D; p-lat=lat"] == poe.cookies()[-1]


def test_a_renewed_cookie_that_is_rejected_gives_way_to_the_given_one(
    poe: Poe, session: Session
) -> None:
    """If the renewed cookie fails, the given one may still be good."""
    poe.answers["/api/gql_POST"] = give(200, GOOD, ("Set-Cookie", "p-b=bad; Path=/"))
    call(session)
    usual = poe.answers["/"]

    def only_given(handler: Any) -> None:
        if "given" in handler.headers["Cookie"]:
            usual(handler)
        else:
            give(307, b"", ("Location", "/login"))(handler)

    poe.answers["/"] = only_given
    session.log_in()

    assert ["p-b=bad; p-lat=lat"] in poe.cookies()
    assert ["p-b=given%3D; p-lat=lat"] == poe.cookies()[-2]


def test_cookies_that_were_renewed_earlier_are_used_first(poe: Poe) -> None:
    """When Poe refuses them the given ones are used, and the renewed ones are forgotten."""
    kept: list[Any] = []
    session = logged_out(
        poe.url,
        "p-b=given",
        renewed={"p-b": "renewed"},
        keep_renewed=kept.append,
    )
    usual = poe.answers["/"]
    session.log_in()
    assert ([["p-b=renewed"], []], []) == (poe.cookies(), kept)

    def only_given(handler: Any) -> None:
        is_given = "given" in handler.headers["Cookie"]
        (usual if is_given else give(307, b"", ("Location", "/login")))(handler)

    poe.answers["/"] = only_given
    session.log_in()
    assert [["p-b=renewed"], ["p-b=given"], []] == poe.cookies()[2:]
    assert [{}] == kept
    session.close()


def test_renewed_cookies_are_kept(poe: Poe) -> None:
    """Those of the login, as soon as they come."""
    kept: list[Any] = []
    session = logged_out(
        poe.url,
        "p-b=given",
        keep_renewed=kept.append,
    )
    poe.answers["/api/gql_POST"] = give(
        200, GOOD, ("Set-Cookie", "p-b=new; Path=/"), ("Set-Cookie", "__cf_bm=bm; Path=/")
    )
    for _ in range(2):
        call(session)

    assert [{"p-b": "new"}] == kept
    session.close()


def test_redirects_are_not_followed(poe: Poe, session: Session) -> None:
    """A redirect does not take the cookie to another address."""
    poe.answers["/api/gql_POST"] = give(302, b"", ("Location", "/elsewhere"))
    with pytest.raises(errors.UpstreamProtocolError):
        call(session)

    assert ["/api/gql_POST"] == [path for path, _, _ in poe.seen]


def test_an_answer_that_trickles_is_cut(poe: Poe, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then does not keep a request alive for ever."""
    site = Site.load()
    object.__setattr__(site.limits, "http", 0.4)
    cut_after: list[int] = []

    def trickle(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        for pieces in range(600):
            try:
                handler.wfile.write(b"x" * 70_000)
            except OSError:
                handler.close_connection = True
                cut_after.append(pieces)
                return
            time.sleep(0.1)

    poe.answers["/api/gql_POST"] = trickle
    session = logged_out(poe.url, "x", site=site)
    with pytest.raises(errors.UpstreamUncertain):
        call(session)

    until(lambda: cut_after)


def test_where_nothing_listens_nothing_was_sent() -> None:
    """A refused connection is safe to try elsewhere; a lost answer is not."""
    url = f"http://127.0.0.1:{unused_port()}"
    session = logged_out(url, "x")
    with pytest.raises(errors.UpstreamUnreachable):
        call(session)


def test_an_upload_has_one_part(poe: Poe, session: Session) -> None:
    """Sheet §16.2: one field, form key, neither tag nor channel."""
    poe.answers["/api/finish_upload_POST"] = give(200, b"aaaa.bbbb.cccc")
    ticket = session.upload(Attachment("报告.txt", "text/plain", b"the notes"))

    _, _, body = poe.seen[-1]
    headers = poe.headers()
    assert "aaaa.bbbb.cccc" == ticket
    assert "multipart/form-data; boundary=" == headers["content-type"][:30]
    assert 1 == body.count(b"Content-Disposition")
    assert 'name="file"; filename="报告.txt"'.encode() in body
    assert b"Content-Type: text/plain\r\n\r\nthe notes\r\n" in body
    assert "poe-formkey" in headers
    assert not {"poe-tag-id", "poe-tchannel"} & headers.keys()


GIVES: dict[str, Callable[[Session, Attachment, Callable[[int], None]], object]] = {
    "/api/finish_upload_POST": lambda session, file, count: session.upload(file, count),
    "/api/gql_upload_POST": lambda session, file, count: session.call(
        "sendMessageMutation", {}, reading=False, files=[file], give=count
    ),
}


@pytest.mark.parametrize("path", GIVES)
def test_files_are_counted_each_time_before_they_go_out(
    poe: Poe, session: Session, path: str
) -> None:
    """Also when they are repeated; what is not allowed any more does not go out."""
    counted: list[int] = []

    def count(size: int) -> None:
        counted.append(size)
        if len(counted) > 2:
            raise errors.InvalidRequest("enough")

    poe.answers[path] = give(400)
    with pytest.raises(errors.InvalidRequest, match="enough"):
        GIVES[path](session, Attachment("a", "text/plain", b"a" * 1000), count)

    assert [1000] * 3 == counted
    assert 2 == [seen for seen, _, _ in poe.seen].count(path)


# ---- what only reads


def reset(handler: Any) -> None:
    """End the connection without an answer, as a proxy or a firewall may."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True


READS: dict[str, tuple[str, int, Callable[[Session], object]]] = {
    "a page": ("/api/settings", 3, Session.channel_data),
    "a question": ("/api/gql_POST", 2, lambda session: session.call("settingsPageQuery", {})),
    "a file": (
        "/api/finish_upload_POST",
        2,
        lambda session: session.upload(Attachment("a", "text/plain", b"a")),
    ),
}
EACH_READ = pytest.mark.parametrize(("path", "times", "read"), READS.values(), ids=READS)


@pytest.fixture
def hasty(poe: Poe) -> Iterator[Session]:
    """A session that asks again at once."""
    site = Site.load()
    object.__setattr__(site.limits, "retry", 0)
    made = logged_out(poe.url, "p-b=given", site=site)
    yield made
    made.close()


@EACH_READ
@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (reset, errors.UpstreamUncertain, "The connection to Poe was"),
        (give(502), errors.UpstreamOverloaded, "502"),
        (give(503), errors.UpstreamOverloaded, "503"),
    ],
    ids=["lost", "502", "503"],
)
def test_a_read_that_fails_again_and_again_says_what_happened(
    poe: Poe,
    hasty: Session,
    path: str,
    times: int,
    read: Callable[[Session], object],
    answer: Callable[[Any], None],
    kind: type[errors.UpstreamError],
    words: str,
) -> None:
    """Poe is overloaded only where it says so itself, by a status of 5xx."""
    poe.answers[path] = answer
    with pytest.raises(errors.UpstreamError, match=words) as raised:
        read(hasty)

    assert kind is type(raised.value)
    assert [path] * times == [one for one, _, _ in poe.seen]


@EACH_READ
def test_a_read_that_is_refused_is_not_asked_again(
    poe: Poe, hasty: Session, path: str, times: int, read: Callable[[Session], object]
) -> None:
    """The same answer would come."""
    poe.answers[path] = give(404)
    with pytest.raises(errors.UpstreamProtocolError, match="404"):
        read(hasty)

    assert [path] == [one for one, _, _ in poe.seen]


# ---- keys


@pytest.mark.parametrize("status", [200, 404, 500])
def test_an_answer_of_any_status_is_heard_of_when_it_begins(
    poe: Poe, session: Session, status: int
) -> None:
    """Its body may take a while, or never come."""
    heard = threading.Event()

    def slow(handler: Any) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        assert heard.wait(60)
        handler.close_connection = True

    poe.answers["/api/gql_POST"] = slow
    with pytest.raises(errors.UpstreamError):
        session.call("settingsPageQuery", {}, reading=False, when_answered=heard.set)

    assert heard.is_set()


class Picky:
    """Takes one form key only: that of the page."""

    def __init__(self, poe: Poe) -> None:
        self.poe = poe
        #: Posts with a wrong key.
        self.refused = 0
        poe.answers["/api/gql_POST"] = self.answer

    def answer(self, handler: Any) -> None:
        is_good = handler.headers["Poe-Formkey"] == KEY
        self.refused += not is_good
        give(200 if is_good else 400, GOOD)(handler)

    def pages(self) -> int:
        return [path for path, _, _ in self.poe.seen].count("/")


def test_the_form_of_the_tag_that_poe_takes_comes_first_from_then_on(
    poe: Poe, session: Session
) -> None:
    """It is the same for all that follows; the other one is tried once."""
    sent: list[bool] = []

    def answer(handler: Any) -> None:
        _, _, body = poe.seen[-1]
        is_good = handler.headers["poe-tag-id"] == graphql.tag(body, KEY, SITE.tag, "swapped")
        sent.append(is_good)
        give(200 if is_good else 400, GOOD)(handler)

    poe.answers["/api/gql_POST"] = answer
    call(session)
    session.log_in()
    call(session)

    # With the key that it had, with a fresh one, and in the other form.
    assert [False, False, True, True] == sent


def test_a_key_that_was_refused_is_used_by_no_one(poe: Poe, session: Session) -> None:
    """All others wait while the new one is fetched, and one fetches it."""
    picky, page_asked, go_on = Picky(poe), threading.Event(), threading.Event()
    usual = poe.answers["/"]

    def slow(handler: Any) -> None:
        page_asked.set()
        go_on.wait(60)
        usual(handler)

    poe.answers["/"] = slow
    first = Background(lambda: call(session))
    assert page_asked.wait(60)
    others = [Background(lambda: call(session)) for _ in range(5)]
    assert not any(one.wait(0.05) for one in others)
    go_on.set()

    assert [{"ok": True}] * 6 == [one.result() for one in (first, *others)]
    assert (1, 1) == (picky.refused, picky.pages())


def test_those_who_wait_for_a_key_share_its_failure(
    poe: Poe, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each gets one of its own; a later call tries anew, and does not use the old key."""
    picky, page_asked = Picky(poe), threading.Event()
    doors = Semaphore(0)
    usual, real = poe.answers["/"], session._renew

    def renew(keys: Any) -> None:
        doors.release()
        real(keys)

    def broken(handler: Any) -> None:
        page_asked.set()
        for _ in range(5):
            assert doors.acquire(timeout=60)
        give(404)(handler)

    monkeypatch.setattr(session, "_renew", renew)
    poe.answers["/"] = broken
    first = Background(lambda: call(session))
    assert page_asked.wait(60)
    waiting = [first, *(Background(lambda: call(session)) for _ in range(4))]
    failures = []
    for one in waiting:
        with pytest.raises(errors.LoginFailed) as raised:
            one.result()
        failures.append(raised.value)
    assert (5, 1) == (len({id(one) for one in failures}), picky.pages())
    poe.answers["/"] = usual

    assert {"ok": True} == call(session)
    assert (1, 2) == (picky.refused, picky.pages())


def test_each_request_goes_out_with_what_it_was_cleared_for(poe: Poe, session: Session) -> None:
    """Repeats are cleared anew."""
    Picky(poe)
    channels = iter(["one", "two"])
    session.call(
        "settingsPageQuery",
        {},
        reading=False,
        clear=lambda: Clearance(session.ready_keys(), next(channels)),
    )

    posts = [place for place, (path, _, _) in enumerate(poe.seen) if path == "/api/gql_POST"]
    assert ["one", "two"] == [poe.headers(place)["poe-tchannel"] for place in posts]


def with_formkey(poe: Poe, key: str) -> Session:
    return logged_out(poe.url, f"p-b=given; formkey={key}")


def test_a_given_key_that_was_refused_is_not_used_at_the_next_login(poe: Poe) -> None:
    """The page's own key has taken its place."""
    picky, session = Picky(poe), with_formkey(poe, "0" * 32)
    session.log_in()
    call(session)
    session.log_in()
    call(session)

    assert 1 == picky.refused
    session.close()


def test_a_given_key_is_all_there_is_where_the_page_has_none(poe: Poe) -> None:
    """Poe refused but one request, and the page has changed: the key may still be good."""
    session = with_formkey(poe, KEY)
    html = page(scripts="").replace("https://psc2.cf2.poecdn.net/assets", poe.url)
    poe.answers["/"] = give(200, html.encode())
    poe.answers["/api/gql_POST"] = give(400)
    session.log_in()
    with pytest.raises(errors.LoginFailed, match="form key"):
        call(session)
    Picky(poe)

    assert {"ok": True} == call(session)
    session.close()


PAUSES = (0.0, FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE)


def pages(poe: Poe) -> int:
    return [path for path, _, _ in poe.seen].count("/")


@pytest.mark.parametrize("what", ["no key", "a key that is refused"])
def test_a_page_that_is_of_no_use_is_read_less_and_less(poe: Poe, what: str) -> None:
    """Whoever asks meanwhile is told the same at once; with another site, or as soon as Poe takes
    something, it is read as ever."""
    good = poe.answers["/"]
    html = page(scripts="").replace("https://psc2.cf2.poecdn.net/assets", poe.url)
    clock, known = Clock(), CurrentSite(SITE)
    front = Front(Credentials.parse("p-b=a"), known, url=poe.url, proxy=None, label="test")
    session = Session(front, known, clock=clock)
    session.log_in()
    poe.answers["/api/gql_POST"] = give(400)
    if what == "no key":
        poe.answers["/"] = give(200, html.encode())

    def read() -> int:
        before = pages(poe)
        with pytest.raises(errors.UpstreamError) as raised:
            call(session)
        assert "upstream_changed" == raised.value.code
        return pages(poe) - before

    for pause in PAUSES:
        assert 1 == read()
        if pause:
            clock.now += pause - 0.1
            assert 0 == read()
            clock.now += 0.1
    assert 1 == read()
    known.replace(replace(SITE, tag=replace(SITE.tag, salt="new")))
    assert 1 == read()

    poe.answers |= {"/": good, "/api/gql_POST": give(200, GOOD)}
    assert {"ok": True} == call(session)
    poe.answers["/api/gql_POST"] = give(400)
    assert [1, 1, 0] == [read() for _ in range(3)]
    session.close()


def test_a_site_that_is_replaced_while_poe_is_asked_counts_for_the_next_try(poe: Poe) -> None:
    """What is under way goes on; each request has hash and tag of one version."""
    limits = replace(SITE.limits, retry=0.001)
    known = CurrentSite(replace(SITE, limits=limits))
    front = Front(Credentials.parse("p-b=a"), known, url=poe.url, proxy=None, label="test")
    session = Session(front, known)
    session.log_in()
    old, new = (
        known.now,
        replace(
            known.now,
            operations={**SITE.operations, "settingsPageQuery": "f" * 64},
            tag=replace(SITE.tag, salt="new"),
        ),
    )

    def fail_once(handler: Any) -> None:
        if known.now is old:
            known.replace(new)
            give(502)(handler)
        else:
            give(200, GOOD)(handler)

    poe.answers["/api/gql_POST"] = fail_once
    assert {"ok": True} == session.call("settingsPageQuery", {})
    session.close()

    asked = [(headers, body) for path, headers, body in poe.seen if path == "/api/gql_POST"]
    for site, (headers, body) in zip((old, new), asked, strict=True):
        assert site.operations["settingsPageQuery"] == json.loads(body)["extensions"]["hash"]
        tag = graphql.tag(body, KEY, site.tag, "plain")
        assert tag == {name.lower(): value for name, value in headers}["poe-tag-id"]
