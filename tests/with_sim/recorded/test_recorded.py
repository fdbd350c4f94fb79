"""A request that comes again gets the same answer, byte for byte, and Poe is asked the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .playing import ANSWERS, Scene, Stage
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
