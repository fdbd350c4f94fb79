"""A request that comes again gets the same answer, byte for byte, and Poe is asked the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .playing import ANSWERS, Requests, Scene, Stage
from .scenes import SCENES


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """The stand-in and the proxies, shared by all scenes that leave no traces."""
    with Stage() as running:
        yield running


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_a_request_is_answered_as_it_was_recorded(stage: Stage, scene: Scene) -> None:
    """Status, headers, body, and what the bot was asked, but for ids and times."""
    # `newline=""`: a line end that changes is a change.
    with (ANSWERS / f"{scene.name}.txt").open(encoding="utf-8", newline="") as file:
        recorded = file.read()

    assert recorded == stage.play(scene)


def test_each_recorded_answer_has_its_scene() -> None:
    """A scene that goes takes its recording along."""
    assert {f"{scene.name}.txt" for scene in SCENES} == {file.name for file in ANSWERS.iterdir()}


def test_a_request_is_heard_whole_before_any_of_it_is_passed_on() -> None:
    """Or the stand-in could refuse it by its head, and the scene would lack what Poe was asked."""
    heard: list[tuple[str, bytes]] = []
    requests = Requests(lambda path, body: heard.append((path, body)))
    first = b"POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi"
    second = b"GET /b HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"

    passed_on = [requests.feed(bytes([byte])) for byte in first + second + b"frame"]

    assert [first, second, *(bytes([byte]) for byte in b"frame")] == [x for x in passed_on if x]
    assert [("/a", b"hi"), ("/b", b"")] == heard
