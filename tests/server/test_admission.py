"""What all requests together may hold, and that it is given back."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import orjson
import pytest
from werkzeug.test import TestResponse

from poe_proxy.chat import Done, Text
from poe_proxy.errors import ServerBusy, TooManyStreams, UpstreamInterrupted
from poe_proxy.server.admission import Admission, Answers, Bodies, Held, giving_back, held
from poe_proxy.server.client_socket import ClientGone

from ..fakes import Step
from .site import HELLO, KEY, Site, error

MB = 1_000_000


# ---- bodies


def test_all_bodies_together_have_a_limit() -> None:
    """What goes beyond is refused, and does not count."""
    bodies = Bodies(10 * MB)
    with closing(Held()) as held:
        for _ in range(10):
            bodies.share(held).grow(MB)
        another = bodies.share(held)
        with pytest.raises(ServerBusy) as refusal:
            another.grow(1)

        assert 10 * MB == bodies.total
    assert refusal.value.retry_after is not None
    assert 0 == bodies.total


def test_large_bodies_leave_room_for_small_ones() -> None:
    """A few large ones, finished or not, cannot shut out ordinary chats."""
    bodies = Bodies(28 * MB)
    with closing(Held()) as held:
        large = bodies.share(held)
        large.grow(MB)
        for _ in range(6):
            large.grow(MB)
        with pytest.raises(ServerBusy):
            large.grow(1)
        for _ in range(21):
            bodies.share(held).grow(MB)

        assert 28 * MB == bodies.total


def test_a_body_that_will_not_fit_is_refused_at_once() -> None:
    """By the length that it says, before any of it is read; and that counts for nothing."""
    bodies = Bodies(32 * MB)
    with closing(Held()) as held:
        first, second = bodies.share(held), bodies.share(held)
        first.grow(3 * MB)
        with pytest.raises(ServerBusy):
            second.check(6 * MB)
        second.check(5 * MB)
        first.check(8 * MB)

        assert 3 * MB == bodies.total


def test_one_body_of_the_largest_size_always_fits() -> None:
    """MAX_BODIES_MB below MAX_BODY_MB does not make the latter a lie."""
    admission = Admission()
    admission.limit(bodies=MB, largest_body=20 * MB, answers=1)

    with closing(Held()) as held:
        admission.bodies.share(held).grow(20 * MB)


# ---- answers


def test_answers_have_a_limit() -> None:
    """The next one is refused, until one is over."""
    answers = Answers(2)
    with closing(Held()) as held:
        answers.begin(held)
        with closing(Held()) as soon_over:
            answers.begin(soon_over)
            with pytest.raises(TooManyStreams) as refusal:
                answers.begin(held)
        answers.begin(held)

    assert 0 == answers.number
    assert refusal.value.retry_after is not None


# ---- what is held is given back


def test_what_is_held_is_given_back_when_the_answer_is_closed() -> None:
    """Read or not: a server closes what it was given."""
    events: list[str] = []

    class Parts:
        def __iter__(self) -> Iterator[bytes]:
            yield b"part"

        def close(self) -> None:
            events.append("closed")
            raise ZeroDivisionError

    def app(environ: dict[str, Any], start: object) -> Parts:
        held(environ).callback(lambda: events.append("given back"))
        return Parts()

    environ: dict[str, Any] = {}
    parts = giving_back(app)(environ, None)
    held(environ).callback(lambda: events.append("what was taken later, too"))
    assert [b"part"] == list(parts)
    assert [] == events

    with pytest.raises(ZeroDivisionError):
        parts.close()
    assert ["what was taken later, too", "closed", "given back"] == events


def test_what_is_held_is_given_back_if_there_is_no_answer() -> None:
    """Even the end of the server, or a greenlet that is killed, does not take it along."""
    events: list[str] = []

    def app(environ: dict[str, Any], start: object) -> Any:
        held(environ).callback(lambda: events.append("given back"))
        raise SystemExit

    with pytest.raises(SystemExit):
        giving_back(app)({}, None)

    assert ["given back"] == events


class Watched(Site):
    """A site, and what its requests hold."""

    def __init__(self, *script: Step, **options: Any) -> None:
        super().__init__(*script, **options)
        self.admission: Admission = self.client.application.extensions["poe_proxy"].admission

    def holds(self) -> tuple[int, int]:
        """The bytes of bodies, and the answers."""
        return self.admission.bodies.total, self.admission.answers.number


BODY = orjson.dumps(HELLO)
STREAM = orjson.dumps({**HELLO, "stream": True})


@pytest.mark.parametrize("body", [BODY, STREAM], ids=["whole", "stream"])
def test_a_request_counts_until_its_answer_is_closed(body: bytes) -> None:
    """Its body and its answer, streamed or whole."""
    site = Watched()

    answer = site.post(body)
    assert (len(body), 1) == site.holds()
    answer.close()

    assert (0, 0) == site.holds()
    assert site.is_all_free()


@pytest.mark.parametrize("read", [0, 1, 3])
def test_a_stream_that_is_hung_up_counts_no_more(read: int) -> None:
    """Whether it was begun or not."""
    site = Watched(*[Text("more")] * 1000, Done())
    answer = site.post(STREAM)
    frames = iter(answer.response)
    for _ in range(read):
        next(frames)
    assert (len(STREAM), 1) == site.holds()

    answer.close()

    assert (0, 0) == site.holds()
    assert site.is_all_free()


@pytest.mark.parametrize(
    ("status", "script", "body"),
    [
        (400, (), b"{"),
        (499, (ClientGone(),), BODY),
        (500, (ZeroDivisionError(),), BODY),
        (502, (UpstreamInterrupted("Away."),), BODY),
        (502, (Text("Hel"), UpstreamInterrupted("Away.")), BODY),
        (200, (Text("Hel"), UpstreamInterrupted("Away.")), STREAM),
    ],
)
def test_a_failure_counts_no_more(status: int, script: tuple[Step, ...], body: bytes) -> None:
    """Whoever is to blame for it."""
    site = Watched(*script)

    with site.post(body, buffered=True) as answer:
        assert status == answer.status_code

    assert (0, 0) == site.holds()


class Broken(io.BytesIO):
    """A body whose connection breaks."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(5) or self._break()

    def _break(self) -> bytes:
        raise ConnectionResetError


def in_chunks(site: Site, body: io.BytesIO) -> TestResponse:
    return site.post(
        b"",
        headers={"Authorization": f"Bearer {KEY}", "Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input": body, "wsgi.input_terminated": True},
    )


@pytest.mark.parametrize(
    ("status", "body"),
    [(499, Broken(b"x" * 10)), (413, io.BytesIO(b"x" * 20_000))],
    ids=["broken", "too large"],
)
def test_a_body_that_is_not_read_to_its_end_counts_no_more(status: int, body: io.BytesIO) -> None:
    """As much of it as had come is given back."""
    site = Watched()

    with in_chunks(site, body) as answer:
        assert status == answer.status_code
        assert site.holds()[0] > 0

    assert (0, 0) == site.holds()


def test_a_body_for_which_there_is_no_room_is_a_503() -> None:
    """The client may send it again soon; and the bot is not asked."""
    site = Watched(max_bodies=0.02, max_body=5_000)
    body = orjson.dumps({**HELLO, "user": "x" * 4_800})
    with site.post(body), site.post(body), site.post(body), site.post(body):
        answer = site.post(body)
        chunked = in_chunks(site, io.BytesIO(body))
        assert 200 == Watched.post(site, BODY).status_code

    for one in (answer, chunked):
        assert (503, "server_busy", "true") == (
            one.status_code,
            error(one)["code"],
            one.headers["x-should-retry"],
        )
        assert int(one.headers["Retry-After"]) > 0
    assert 5 == len(site.upstream.asked)


def test_one_answer_too_many_is_a_429() -> None:
    """It is refused before its body is read, and says when to come back."""
    site = Watched(max_streams=1)
    with site.post(BODY):
        answer = site.post(STREAM)
    again = site.post(STREAM)

    assert (429, "rate_limit_exceeded") == (answer.status_code, error(answer)["code"])
    assert int(answer.headers["Retry-After"]) > 0
    assert 200 == again.status_code
    again.close()
    assert (0, 0) == site.holds()


def test_what_cannot_be_given_back_does_not_keep_the_rest() -> None:
    """All of it is tried, the last first, and the failure is raised then."""
    done: list[str] = []
    held = Held()
    held.callback(lambda: done.append("first"))
    held.callback(lambda: [][0])
    held.callback(lambda: done.append("last"))
    with pytest.raises(IndexError):
        held.close()
    held.close()

    assert ["last", "first"] == done
