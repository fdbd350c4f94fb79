"""Poe changes its site while three accounts are at work: the server finds what is new."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ..servers import until
from .load import ACCOUNTS, MANIFEST, Scene, failed

#: What a release does, so that somebody notices: keys are new as well, or channels begin anew.
KEYS: dict[str, Any] = {"rotate_formkey": True}
CHANNELS: dict[str, Any] = {"lose_channels": "refetch"}
#: Whoever is refused meanwhile reads one of these.
WORDS = ("What is new is being looked for; try again in a minute.", "What is new is known by now;")


@dataclass(frozen=True, kw_only=True)
class Change:
    """What Poe changes, and what of it is found: an entry of a site file."""

    control: dict[str, Any]
    found: str
    #: Whether channels may be opened anew because of it, and whether none can be until it is found.
    reconnects: bool = False
    cuts: bool = False
    #: The codes of those who are refused meanwhile.
    codes: frozenset[str] = frozenset({"upstream_changed"})


FOUND = {
    "a-hash": Change(
        control={"retire_hash": "sendMessageMutation"}, found="operations.sendMessageMutation"
    ),
    "all-hashes": Change(
        control={"retire_hash": True},
        found="operations.ChatListPaginationQuery",
        # Whether a message arrived cannot be looked up, either.
        codes=frozenset({"upstream_changed", "upstream_uncertain"}),
    ),
    "a-subscription's-hash,-skipped": Change(
        control={"retire_subscription": "messageAdded", "stale_subscription": "skip", **CHANNELS},
        found="subscriptions.messageAdded",
        reconnects=True,
    ),
    "a-subscription's-hash,-refused": Change(
        control={"retire_subscription": "messageAdded", "stale_subscription": "error", **CHANNELS},
        found="subscriptions.messageAdded",
        reconnects=True,
        cuts=True,
    ),
    # Whoever is refused asks for another channel, and is given one if it is found by then.
    "salt": Change(
        control={"salt": "aNewSaltaNewSalt1", **KEYS}, found="tag.salt", reconnects=True
    ),
    "tag-order": Change(
        control={"tag_order": "salt formkey body", **KEYS}, found="tag.order", reconnects=True
    ),
    "chunk-names": Change(control={"chunk_names": "opaque", **KEYS}, found="pages.app_script"),
}

SEEN_BY_A_LOGIN = {
    "getter's-name": {"rotate_getter": True, **KEYS},
    "getter's-shape": {"getter_shape": "arrow", **KEYS},
    "revision": {"check_revision": True, "rotate_revision": True, **KEYS},
    "markup,-flight": {"markup": "flight", **KEYS},
    "markup,-attributes": {"markup": "attributes", **KEYS},
    "settings-without-channel": {"settings_without_channel": True, **CHANNELS},
}


def is_as_it_should_be(scene: Scene) -> None:
    """What holds whatever has changed."""
    assert [] == scene.taken_twice()
    assert scene.most_websockets() <= 2  # one takes the place of the other
    assert [1, 1, 1] == until(lambda: (now := scene.websockets()) == [1, 1, 1] and now)
    scripts = scene.scripts()
    assert {f"localhost:{scene.sim.port}"} == {one["host"] for one in scripts}
    assert {"ok"} == {one["verdict"] for one in scripts}  # no cookie, none of Poe's headers


@pytest.mark.parametrize("name", FOUND)
def test_what_changes_is_found_while_clients_ask(name: str, tmp_path: Path) -> None:
    """Replies that have begun end well; who is refused is told what is being done; and once what
    is new was found, by one look, everybody is answered by the same process."""
    change = FOUND[name]
    with Scene.played(tmp_path) as scene:
        workers = scene.workers()
        with scene.load() as load:
            load.wait_for(6)
            begun = scene.under_way()
            before = scene.last()
            scene.sim.control(**change.control)
            (said,) = until(scene.outcomes)
            healed, last = time.monotonic(), scene.last()
            until(lambda: scene.answering(last) == set(ACCOUNTS))
        ended = [one.result() for one in begun]

        assert f"Poe's site has changed: {change.found}" in said or name == "all-hashes"
        entry = scene.entries()[change.found]
        assert (f"{datetime.now(UTC):%Y-%m-%d}", "page") == (entry["seen"], entry["source"])

        for outcome, _, code, message in failed(ended):
            assert change.cuts, message
            assert ("broke off", "upstream_interrupted") == (outcome, code)
            assert any(words in message for words in WORDS), message
        ends = scene.replies("reply-end", begun)
        assert {"complete"} == {one["state"] for one in ends.values()}
        assert before < min(one["n"] for one in ends.values())

        for outcome, status, code, message in failed(load.asked):
            if change.cuts and "broke off" == outcome:
                assert "upstream_interrupted" == code, message
            else:
                assert ("error", True) == (outcome, status in (200, 502)), message
                assert code in change.codes, message
            assert any(words in message for words in WORDS), message
        assert [] == failed([one for one in load.asked if one.begun > healed])

        assert 1 == scene.begun()
        assert 1 == len(scene.outcomes())
        assert 1 == len([one for one in scene.scripts(before) if one["path"].endswith(MANIFEST)])
        if "rotate_formkey" not in change.control:
            assert 1 == len(scene.after(before, path="/"))
        assert change.reconnects or [] == scene.after(before, event="socket-open")
        assert workers == scene.workers()
        is_as_it_should_be(scene)


@pytest.mark.parametrize("name", SEEN_BY_A_LOGIN)
def test_what_a_login_sees_needs_no_look(name: str, tmp_path: Path) -> None:
    """Nobody notices."""
    with Scene.played(tmp_path) as scene:
        workers = scene.workers()
        with scene.load() as load:
            load.wait_for(6)
            begun = scene.under_way()
            before = scene.last()
            scene.sim.control(**SEEN_BY_A_LOGIN[name])

            def has_logged_in() -> bool:
                pages = scene.after(before, path="/", verdict="ok")
                return {one["account"] for one in pages} == set(ACCOUNTS)

            until(has_logged_in)
            last = scene.last()
            until(lambda: scene.answering(last) == set(ACCOUNTS))
        ended = [one.result() for one in begun]

        assert [] == failed([*ended, *load.asked])
        assert before < min(one["n"] for one in scene.replies("reply-end", begun).values())
        assert (0, []) == (scene.begun(), scene.outcomes())
        assert [] == [one for one in scene.scripts() if one["path"].endswith(MANIFEST)]
        assert workers == scene.workers()
        is_as_it_should_be(scene)
