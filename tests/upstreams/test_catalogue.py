"""Poe's list of models."""

from __future__ import annotations

import logging
import re
import threading
import tomllib
from collections.abc import Callable
from importlib import resources
from typing import Any

import orjson
import pytest

from poe_proxy.errors import UpstreamUnreachable
from poe_proxy.upstreams.catalogue import (
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
    return Catalogue(Source(*given), built_in={}, patience=0.0, clock=clock or Clock())


def ids(known: Catalogue) -> list[str]:
    known.wait()
    return [model.id for model in known.models.values()]


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


@pytest.mark.parametrize(
    ("window", "figures"),
    [
        ({"context_length": 200_000, "max_output_tokens": 64_000}, (200_000, 64_000)),
        ({"context_length": None, "max_output_tokens": 0}, (None, None)),
        ({"context_length": True, "max_output_tokens": "9"}, (None, None)),
        (None, (None, None)),
    ],
)
def test_how_much_is_read_and_said(window: Any, figures: tuple[int | None, int | None]) -> None:
    """As far as Poe tells it."""
    model = Model.read({"id": "x", "context_window": window})

    assert figures == (model.reads_at_most, model.most_tokens)


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
    assert ["Claude-Sonnet-4.5"] == ids(known)


def test_a_failure_that_goes_on_is_said_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    """Not at each look: one warning in six hours, and a new one once it had gone well."""
    clock = Clock()
    away = UpstreamUnreachable("Poe's API cannot be reached.")
    known = catalogue(*[away] * 20, listing(SONNET), away, clock=clock)
    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            known.look()
            clock.go(known.due())
        lasted = len(caplog.records)
        known.look()
        known.look()

    # Twenty looks, at last an hour apart, take fourteen hours.
    assert [3, 4] == [lasted, len(caplog.records)]
    assert "cannot be reached" in caplog.records[0].getMessage()


def test_looks_that_fail_become_rare() -> None:
    """Twice the rest after each, up to an hour; then the first success begins anew."""
    clock = Clock()
    away = UpstreamUnreachable("x")
    known = catalogue(*[away] * 9, listing(SONNET), away, clock=clock)
    rests = []
    for _ in range(11):
        known.look()
        rests.append(known.due())

    minutes = [1, 2, 4, 8, 16, 32, 60, 60, 60, 360, 1]
    assert [60.0 * one for one in minutes] == rests


def test_a_new_copy_replaces_the_old_one() -> None:
    """Bots come and go."""
    known = catalogue(listing(SONNET), listing({"id": "gpt-9"}))
    known.look()
    known.look()

    assert ["gpt-9"] == ids(known)
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

    known = Catalogue(fetch, built_in={}, patience=0.05)
    known.start()
    assert [] == ids(known)
    assert not fetched.is_set()
    waiting = Catalogue(fetch, built_in={}, patience=60)
    waiting.start()
    threading.Timer(0.05, gate.set).start()

    assert 1 == len(ids(waiting))
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
    known = Catalogue(source, built_in={})
    thread = started(known)
    assert 1 == len(ids(known))
    known.stop()
    thread.join(60)

    assert not thread.is_alive()
    assert 1 == len(ids(known))
    assert 1 == source.asked


def test_stopping_ends_the_wait_for_the_first_copy(caplog: pytest.LogCaptureFixture) -> None:
    """The look that is under way is the last one, and its failure is no trouble."""
    gate = threading.Event()

    def fetch() -> bytes:
        gate.wait(60)
        raise UpstreamUnreachable("x")

    known = Catalogue(fetch, built_in={}, patience=60)
    thread = started(known)
    threading.Timer(0.01, known.stop).start()
    assert [] == ids(known)
    with caplog.at_level(logging.WARNING):
        gate.set()
        thread.join(60)

    assert not thread.is_alive()
    assert [] == caplog.records


def test_a_look_that_failed_is_not_waited_for() -> None:
    """There will be no list for a while, and the client has an answer at once."""
    known = Catalogue(Source(UpstreamUnreachable("x")), built_in={}, patience=60)
    known.look()

    assert [] == ids(known)


def test_the_thread_looks_again_and_again_until_it_is_stopped() -> None:
    """Every so many seconds, in the background."""
    source = Source(listing(SONNET))
    known = Catalogue(source, built_in={}, refresh=0.01)
    known.start()
    until(lambda: source.asked >= 3)
    known.stop()

    assert 3 <= source.asked
    assert 1 == len(ids(known))


# ---- the list that came with the program


def test_until_poe_s_list_comes_another_is_there() -> None:
    """Dated, of living bots, with the facts that are known of them; Poe's own list replaces it."""
    known = Catalogue(Source(UpstreamUnreachable("x"), listing({"id": "gpt-9"})), patience=0.0)
    known.look()
    before = known.models
    known.look()

    sonnet = before["claude-sonnet-4.5"].entry
    assert ("Claude-Sonnet-4.5", "model", "Anthropic", 983040, 1758844800) == tuple(
        sonnet[name] for name in ("id", "object", "owned_by", "context_length", "created")
    )
    assert ["text", "image"] == sonnet["architecture"]["input_modalities"]
    assert {"context_length": 983040, "max_output_tokens": 32768} == sonnet["context_window"]
    assert before["imagen-4"].is_media
    assert not before["gpt-5.4"].is_media
    assert ["gpt-9"] == ids(known)


def test_what_came_with_the_program_does_not_know_what_a_bot_takes() -> None:
    """That nothing is known of a bot's parameters must not read as that it has none."""
    known = Catalogue()

    assert "claude-sonnet-4.5" in known.models
    assert UNKNOWN is known.find("Claude-Sonnet-4.5")


def test_without_a_source_nothing_is_fetched_nor_waited_for() -> None:
    """The built-in list is all there will be."""
    before = set(threading.enumerate())
    known = Catalogue(patience=60)
    known.start()

    assert "Claude-Sonnet-4.5" in ids(known)
    assert before == set(threading.enumerate())


def test_every_row_of_the_built_in_list_is_one_that_the_site_takes() -> None:
    """A handle, an owner, and days that were before the list's own."""
    text = resources.files("poe_proxy").joinpath("catalogue.toml").read_text("utf-8")
    table = tomllib.loads(text)

    assert 40 < len(Catalogue().models) == len(table["bots"])
    for model in Catalogue().models.values():
        assert re.fullmatch(r"[A-Za-z0-9.-]+", model.id)
        assert ("", "") == (model.handle, model.shown)
        assert model.entry["owned_by"]
    for row in table["bots"].values():
        assert {"owner"} <= row.keys() <= {"owner", "context", "output", "in", "out", "tools",
                                           "created"}  # fmt: skip
        assert row.get("created", table["date"]) <= table["date"]


# ---- the names of one bot


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"id": "gpt-4o"}, ("gpt-4o", "", "")),
        ({"id": "gpt-4o", "metadata": {"display_name": "GPT-4o"}}, ("GPT-4o", "", "")),
        ({"id": "gpt-4o", "metadata": {"url": "https://poe.com/GPT-4o"}}, ("GPT-4o", "", "")),
        ({"id": "maker/x-1", "metadata": {"display_name": "X-1", "url": "https://poe.com/X-1"}},
         ("maker/x-1", "X-1", "X-1")),
        ({"id": "maker/x-1", "metadata": {"display_name": "X One"}}, ("maker/x-1", "", "X One")),
        ({"id": "x-1", "metadata": {"display_name": "X One", "url": "https://poe.com/Ex-One"}},
         ("x-1", "Ex-One", "X One")),
        ({"id": "x-1", "metadata": {"display_name": "Ex One", "url": "https://poe.com/X-1"}},
         ("X-1", "", "Ex One")),
        ({"id": "x-1", "metadata": {"display_name": 5, "url": "http://[poe.com/a?b"}},
         ("x-1", "", "")),
        ({"id": "x-1", "metadata": {"display_name": "x" * 999, "url": "https://poe.com/a/b"}},
         ("x-1", "", "")),
    ],
)  # fmt: skip
def test_a_bot_has_an_id_a_handle_and_a_name(given: Any, names: tuple[str, str, str]) -> None:
    """The official API takes the id, the site the handle; the name is for people."""
    model = Model.read(given)

    assert names == (model.id, model.handle, model.shown)


@pytest.mark.parametrize(
    ("facts", "talks"),
    [
        ({}, True),
        ({"architecture": {"output_modalities": ["image"]}}, False),
        ({"architecture": {"output_modalities": ["text", "image"]}}, False),
        ({"architecture": {"output_modalities": ["text", "image"]},
          "supported_features": ["tools"]}, True),
        ({"architecture": {"output_modalities": ["video"]}, "supported_features": 5}, False),
    ],
)  # fmt: skip
def test_what_is_talked_with(facts: Any, talks: bool) -> None:
    """A bot for text; or one that draws too, but takes tools, which those for pictures do not."""
    assert talks == Model.read({"id": "x", **facts}).talks


@pytest.mark.parametrize(
    ("facts", "takes_messages"),
    [
        ({"owned_by": "Anthropic", "supported_endpoints": ["/v1/messages"]}, True),
        ({"owned_by": "Anthropic"}, True),
        ({"owned_by": "Anthropic", "supported_endpoints": ["/v1/chat/completions"]}, False),
        ({"owned_by": "OpenAI", "supported_endpoints": ["/v1/messages"]}, False),
        ({}, False),
    ],
)
def test_what_poes_messages_api_leads_to(facts: Any, takes_messages: bool) -> None:
    """Claude, unless the list says that it is not there: of others it is not official."""
    assert takes_messages == Model.read({"id": "x", **facts}).takes_messages
