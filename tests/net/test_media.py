"""Files of bots: from Poe's hosts alone, some at a time, within a time."""

from __future__ import annotations

import pytest

from poe_proxy.errors import UpstreamProtocolError
from poe_proxy.net.media import AT_A_TIME, TIMEOUT, MediaFetcher, MediaFile
from tests.fakes import Clock, until
from tests.net.raw import Handler, Server, Visitor

PICTURE = "https://pfst.cf2.poecdn.net/base/image/ab"


def serving(body: bytes, status: str = "200 OK", *headers: str) -> Handler:
    def handler(visitor: Visitor) -> None:
        if visitor.request() is not None:
            visitor.answer(body, status, *headers)

    return handler


def finished(file: MediaFile) -> MediaFile:
    until(lambda: file.wait(0.01))
    return file


def media(server: Server) -> MediaFetcher:
    return MediaFetcher(origins=[f"http://127.0.0.1:{server.port}"])


def link(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}/base/image/ab"


def test_which_links_are_of_files() -> None:
    """Those on Poe's own hosts, by https."""
    known = MediaFetcher()

    assert known.owns(PICTURE)
    assert known.owns("https://qph.cf2.poecdn.net/main-thumb.png")
    assert not known.owns("http://pfst.cf2.poecdn.net/base/image/ab")
    assert not known.owns("https://poe.com/x.png")
    assert not known.owns("https://poecdn.net.example/x.png")
    assert not known.owns("http://127.0.0.1:9000/x.png")


def test_a_file_is_fetched() -> None:
    """With its type."""
    with Server(serving(b"bytes", "200 OK", "Content-Type: image/png")) as server:
        file = finished(media(server).begin(link(server)))
        got = file.result()
        file.close()

    assert (b"bytes", "image/png") == (got.data, got.content_type)


@pytest.mark.parametrize(
    ("status", "headers", "why"),
    [
        ("404 Not Found", (), "status 404"),
        ("302 Found", ("Location: http://127.0.0.1:1/",), "redirects"),
    ],
)
def test_what_is_not_to_be_had_is_a_failure_of_poe_s(
    status: str, headers: tuple[str, ...], why: str
) -> None:
    """Its message says why, and that asking again would be paid again."""
    with Server(serving(b"x", status, *headers)) as server:
        file = finished(media(server).begin(link(server)))
        with pytest.raises(UpstreamProtocolError, match=why) as failure:
            file.result()
        file.close()

    assert ("media_unreachable", False) == (failure.value.code, failure.value.client_may_retry)


def test_so_many_files_are_fetched_at_a_time() -> None:
    """The next one waits until one of them is closed."""

    def silent(visitor: Visitor) -> None:
        visitor.request()
        server.over.wait(60)

    with Server(silent) as server:
        known = media(server)
        under_way = [known.begin(link(server)) for _ in range(AT_A_TIME)]
        for file in under_way:
            assert not file.wait(0)
        waiting = known.begin(link(server))
        assert not waiting.wait(0)
        until(lambda: server.visits == AT_A_TIME)

        under_way[0].close()

        assert not waiting.wait(0)
        until(lambda: server.visits == AT_A_TIME + 1)
        for file in (*under_way, waiting):
            file.close()


def test_a_file_that_takes_too_long_is_given_up() -> None:
    """Also one that had no turn in this time: no wait is endless."""
    clock = Clock()
    known = MediaFetcher()
    file = MediaFile(known._fetcher, PICTURE, known._places, clock=clock)
    clock.go(TIMEOUT)

    assert file.wait(60)
    with pytest.raises(UpstreamProtocolError, match="longer than 60 seconds"):
        file.result()
    file.close()
