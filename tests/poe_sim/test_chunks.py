"""The scripts of a release, without a server."""

from __future__ import annotations

from poe_sim.journal import Journal
from poe_sim.web import World


def world(seed: int = 7) -> World:
    return World(tokens=["a"], journal=Journal(), seed=seed)


def test_the_same_seed_gives_the_same_scripts() -> None:
    """Also after the same changes; another seed gives others."""
    first, second, other = world(), world(), world(8)
    assert first.release() == second.release() != other.release()
    for one in (first, second):
        one.retire_hash("sendMessageMutation")
        one.retire_subscription("messageAdded")
        one.rotate_getter()
        one.rotate_revision()

    assert first.release() == second.release()


def test_scripts_are_written_once() -> None:
    """A release is made anew only when something of it has changed."""
    one = world()
    before = one.release()
    assert before is one.release()
    one.switches.pace = 5.0
    assert before is one.release()
    one.switches.artefact_form = "relay"

    assert before is not one.release()


def test_what_changes_renames_its_scripts_alone() -> None:
    """A hash: its script, and those that name it."""
    one = world()
    before = one.release()
    one.retire_hash("sendMessageMutation")
    after = one.release()
    gone = before.scripts.keys() - after.scripts.keys()

    assert [True] == ["pages/index-" in path for path in gone]
    assert before.scripts[one.build.manifest] != after.scripts[one.build.manifest]
    assert before.named[:2] == after.named[:2]


def test_scripts_of_many_releases_are_not_kept() -> None:
    """Those of the last ones are, the first ones go."""
    one = world()
    first = one.release().named[1]
    assert one.script(first)
    for _ in range(200):
        one.new_build()
        last = one.release().named[1]

    assert one.script(first) is None
    assert one.script(last)
