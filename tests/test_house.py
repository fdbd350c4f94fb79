"""The house stays small: no module is long, and an event of a plain chat passes few hands."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
from werkzeug.test import EnvironBuilder

import poe_proxy
from poe_proxy.chat import Done, Text

from .server.site import COMPLETIONS, HELLO, KEY, Site

PACKAGE = Path(poe_proxy.__file__).parent
#: Lines of a module, at most.
LENGTH = 450
#: Generators between an upstream's and WSGI, at most.
HANDS = 5


def test_no_module_is_long() -> None:
    """A module of more than 450 lines holds more than one idea."""
    lengths = {
        path.relative_to(PACKAGE).as_posix(): len(path.read_text("utf-8").splitlines())
        for path in PACKAGE.rglob("*.py")
    }

    assert {} == {name: length for name, length in lengths.items() if length > LENGTH}


@dataclass(frozen=True)
class Hand:
    """One function that an event passes on its way."""

    module: str
    name: str
    is_generator: bool


def hands() -> Iterator[Hand]:
    """The functions that wait for the caller's, from the innermost outwards."""
    frame = sys._getframe(1)
    while frame := frame.f_back:  # type: ignore[assignment]  # it is None at the outermost
        yield Hand(
            frame.f_globals.get("__name__", ""),
            frame.f_code.co_qualname,
            bool(frame.f_code.co_flags & inspect.CO_GENERATOR),
        )


@pytest.fixture(scope="module")
def way() -> list[Hand]:
    """The functions between the upstream's generator and WSGI, while a plain chat is streamed."""
    way: list[Hand] = []
    # The first event is taken before the answer begins, the second one while it is iterated.
    site = Site(Text("Hello"), lambda: way.extend(hands()), Text(" there"), Done())
    request = EnvironBuilder(
        COMPLETIONS,
        method="POST",
        data=orjson.dumps({**HELLO, "stream": True}),
        headers={"Authorization": f"Bearer {KEY}"},
    ).get_environ()
    frames = b"".join(site.client.application(request, lambda *_: None))

    assert b"[DONE]" in frames
    names = [hand.name for hand in way]
    return way[names.index("FakeUpstream.play") + 1 : names.index("way")]


def test_an_event_of_a_plain_chat_passes_few_generators(way: list[Hand]) -> None:
    """Each generator costs time for each piece of text, and is one more place to read."""
    generators = [hand for hand in way if hand.is_generator]

    assert "poe_proxy.gateway" in [hand.module for hand in generators]
    assert HANDS >= len(generators), generators


def test_a_plain_chat_passes_no_stage(way: list[Hand]) -> None:
    """What shapes an answer is not in the way of one that needs no shaping."""
    assert [] == [hand for hand in way if hand.module.startswith("poe_proxy.shaping")]
