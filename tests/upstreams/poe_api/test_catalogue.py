"""Poe's list of models."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from poe_proxy.errors import UpstreamUnreachable
from poe_proxy.upstreams.poe_api.catalogue import (
    MAX_MODELS,
    REFRESH,
    TRY_AGAIN,
    UNKNOWN,
    Catalogue,
    Model,
    read,
)
from tests.fakes import Clock, until

SONNET: dict[str, Any] = {
    "id": "claude-sonnet-4.5",
    "object": "model",
    "created": 1_758_868_894_491,
    "owned_by": "Anthropic",
    "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
    "supported_features": ["tools"],
    "pricing": {"prompt": "0.0000026", "image": None},
    "context_window": None,
    "metadata": {"display_name": "Claude-Sonnet-4.5"},
    "parameters": [{"name": "thinking_budget", "schema": {"type": "integer"}}],
}


def listing(*entries: Any) -> bytes:
    return orjson.dumps({"object": "list", "data": entries})


class Source:
    """What Poe gives, one after the other, and the last one again and again."""

    def __init__(self, *given: bytes | Exception) -> None:
        self.given = list(given)
        self.asked = 0

    def __call__(self) -> bytes:
        self.asked += 1
        given = self.given.pop(0) if len(self.given) > 1 else self.given[0]
        if isinstance(given, Exception):
            raise given
        return given


def catalogue(*given: bytes | Exception, clock: Callable[[], float] | None = None) -> Catalogue:
    return Catalogue(Source(*given), patience=0.0, clock=clock or Clock())


def test_an_entry_in_openais_form() -> None:
    """The spelling that Poe shows, seconds, and all the rest as it came."""
    model = Model.read(SONNET)

    assert "Claude-Sonnet-4.5" == model.id
    assert {**SONNET, "id": "Claude-Sonnet-4.5", "created": 1_758_868_894} == dict(model.entry)
    assert {"thinking_budget": {"type": "integer"}} == model.parameters
    assert not model.is_media


@pytest.mark.parametrize(
    ("given", "id"),
    [
        ({"id": "gpt-4o"}, "gpt-4o"),
        ({"id": "gpt-4o", "metadata": None}, "gpt-4o"),
        ({"id": "gpt-4o", "metadata": {"display_name": None}}, "gpt-4o"),
        ({"id": "gpt-4o", "metadata": {"display_name": "GPT-4o"}}, "GPT-4o"),
        ({"id": "gpt-4o", "metadata": {"display_name": "The New Four"}}, "gpt-4o"),
    ],
)
def test_a_display_name_is_an_id_only_if_poe_would_take_it(given: Any, id: str) -> None:
    """Another name would lead nowhere."""
    assert id == Model.read(given).id


@pytest.mark.parametrize(
    ("created", "seconds"),
    [
        (1_758_868_894_491, 1_758_868_894),
        (1_758_868_894, 1_758_868_894),
        (1_758_868_894_491.7, 1_758_868_894),
        (0, 0),
        (None, 0),
        ("yesterday", 0),
        (True, 0),
    ],
)
def test_times_are_in_seconds(created: Any, seconds: int) -> None:
    """Poe's are in milliseconds; a client reads them as a date."""
    entry = Model.read({"id": "x", "created": created}).entry

    assert seconds == entry["created"]
    assert int is type(entry["created"])


@pytest.mark.parametrize(
    ("facts", "is_media"),
    [
        ({"architecture": {"output_modalities": ["text"]}}, False),
        ({"architecture": {"output_modalities": ["image"]}}, True),
        ({"architecture": {"output_modalities": ["video"]}}, True),
        ({"architecture": {"output_modalities": ["audio"]}}, True),
        ({"architecture": {"output_modalities": ["text", "image"]}}, True),
        ({"supported_endpoints": ["/v1/videos"]}, True),
        ({"architecture": {"output_modalities": ["text"]}, "supported_endpoints": ["/v1/images"]},
         False),
        ({"architecture": "x", "supported_endpoints": None, "parameters": [5, {}]}, False),
        ({}, False),
    ],
)  # fmt: skip
def test_what_makes_pictures_sound_or_films(facts: Any, is_media: bool) -> None:
    """By what comes out of it; where nothing is said, by the endpoint."""
    assert is_media == Model.read({"id": "x", **facts}).is_media


def test_entries_cannot_be_changed() -> None:
    """All requests share them."""
    entry = Model.read(SONNET).entry

    with pytest.raises(TypeError):
        entry["id"] = "other"


def test_lookup_in_any_case() -> None:
    """As Poe does it."""
    known = catalogue(listing(SONNET))
    known.look()

    assert "Claude-Sonnet-4.5" == known.find("CLAUDE-sonnet-4.5").id
    assert UNKNOWN is known.find("Claude")


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b"[]", b"null", b"{}", b'{"data":{}}', b'{"data":[]}', b'{"data":[{"id":5}]}'],
)
def test_what_is_no_list(content: bytes) -> None:
    """An invalid list is an error, and so is an empty one."""
    with pytest.raises(ValueError, match=r"."):
        read(content)


def test_one_odd_entry_does_not_spoil_the_list() -> None:
    """Where one entry is invalid, the others are listed."""
    assert ["claude-sonnet-4.5"] == list(read(listing(None, 5, {}, {"id": None}, SONNET)))


def test_a_list_has_an_end() -> None:
    """One of thousands of models is a fault, and so is a name without one."""
    models = [{"id": f"m{number}"} for number in range(MAX_MODELS)]

    assert MAX_MODELS == len(read(orjson.dumps({"data": models})))
    with pytest.raises(ValueError, match="more than"):
        read(orjson.dumps({"data": [*models, {"id": "one more"}]}))
    assert ["m0"] == list(read(orjson.dumps({"data": [{"id": "x" * 201}, models[0]]})))


@pytest.mark.parametrize("created", [1e308, -5, 10**18, -1e308])
def test_a_time_that_is_none_is_left_out(created: float) -> None:
    """A number that no JSON can hold would spoil the list for every client."""
    (model,) = read(orjson.dumps({"data": [{"id": "m", "created": created}]})).values()

    assert 0 == model.entry["created"]


def test_a_failure_leaves_the_last_good_copy(caplog: pytest.LogCaptureFixture) -> None:
    """While Poe cannot be reached, the list is the one that came last."""
    away = UpstreamUnreachable("Poe's API cannot be reached.")
    known = catalogue(listing(SONNET), away, b"<html>", listing())

    assert known.look()
    with caplog.at_level(logging.WARNING):
        assert [False] * 3 == [known.look() for _ in range(3)]
    assert 3 == len(caplog.records)
    assert ["Claude-Sonnet-4.5"] == [entry["id"] for entry in known.entries()]


def test_a_new_copy_replaces_the_old_one() -> None:
    """Bots come and go."""
    known = catalogue(listing(SONNET), listing({"id": "gpt-9"}))
    known.look()
    known.look()

    assert ["gpt-9"] == [entry["id"] for entry in known.entries()]
    assert UNKNOWN is known.find("claude-sonnet-4.5")


def test_when_to_look_next() -> None:
    """At once, then after hours; soon again after a failure."""
    clock = Clock()
    known = catalogue(
        UpstreamUnreachable("x"), listing(SONNET), UpstreamUnreachable("x"), clock=clock
    )

    assert 0 == known.due()
    known.look()
    assert TRY_AGAIN == known.due()
    clock.go(TRY_AGAIN)
    assert 0 == known.due()
    known.look()
    assert REFRESH == known.due()
    clock.go(REFRESH + 100)
    assert 0 == known.due()
    known.look()
    assert TRY_AGAIN == known.due()


def test_the_first_copy_is_waited_for_and_no_longer_than_allowed() -> None:
    """A list that is on its way is worth a moment; one that does not come is not."""
    gate, fetched = threading.Event(), threading.Event()

    def fetch() -> bytes:
        gate.wait(60)
        fetched.set()
        return listing(SONNET)

    known = Catalogue(fetch, patience=0.05)
    known.start()
    assert () == known.entries()
    assert not fetched.is_set()
    waiting = Catalogue(fetch, patience=60)
    waiting.start()
    threading.Timer(0.05, gate.set).start()

    assert 1 == len(waiting.entries())
    known.stop()
    waiting.stop()


def started(known: Catalogue) -> threading.Thread:
    """The thread that keeps it fresh, running."""
    before = set(threading.enumerate())
    known.start()
    (thread,) = (one for one in set(threading.enumerate()) - before if one.name == "catalogue")
    return thread


def test_stopping_ends_the_thread() -> None:
    """At once while it waits for the next look; the copy that is there stays."""
    source = Source(listing(SONNET))
    known = Catalogue(source)
    thread = started(known)
    assert 1 == len(known.entries())
    known.stop()
    thread.join(60)

    assert not thread.is_alive()
    assert 1 == len(known.entries())
    assert 1 == source.asked


def test_stopping_ends_the_wait_for_the_first_copy(caplog: pytest.LogCaptureFixture) -> None:
    """The look that is under way is the last one, and its failure is no trouble."""
    gate = threading.Event()

    def fetch() -> bytes:
        gate.wait(60)
        raise UpstreamUnreachable("x")

    known = Catalogue(fetch, patience=60)
    thread = started(known)
    threading.Timer(0.01, known.stop).start()
    assert () == known.entries()
    with caplog.at_level(logging.WARNING):
        gate.set()
        thread.join(60)

    assert not thread.is_alive()
    assert [] == caplog.records


def test_a_look_that_failed_is_not_waited_for() -> None:
    """There will be no list for a while, and the client has an answer at once."""
    known = Catalogue(Source(UpstreamUnreachable("x")), patience=60)
    known.look()

    assert () == known.entries()


def test_the_thread_looks_again_and_again_until_it_is_stopped() -> None:
    """Every so many seconds, in the background."""
    source = Source(listing(SONNET))
    known = Catalogue(source, refresh=0.01)
    known.start()
    until(lambda: source.asked >= 3)
    known.stop()

    assert 3 <= source.asked
    assert 1 == len(known.entries())
