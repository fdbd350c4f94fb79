"""The scripts of a release, without a server."""

from __future__ import annotations

from itertools import product

import quickjs

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


def test_scripts_are_javascript() -> None:
    """Each of them, however it is written; a manifest says the same in both forms."""
    one, manifests = world(), list[str]()
    for form, names, manifest in product(
        ("poe", "relay"), ("next", "opaque"), ("object", "function")
    ):
        switches = one.switches
        switches.artefact_form, switches.chunk_names = form, names
        switches.manifest_form = manifest
        scripts = dict(one.release().scripts)
        engine = quickjs.Context()
        engine.eval("var self=globalThis;")
        engine.eval(scripts.pop(one.build.manifest))
        manifests.append(str(engine.eval("JSON.stringify(self.__BUILD_MANIFEST)")))
        for text in scripts.values():
            # webpack's runtime keeps its functions to itself.
            engine.eval(text.replace("}();", ";self.r=r}();") if "r.u=" in text else text)

        assert 7 == engine.eval("self.webpackChunk.length")
        asked = [f"static/{path}" for path in scripts]
        assert all(engine.eval(f"self.r.u({number})") in asked for number in (123, 12, 4711))
    assert manifests[0::2] == manifests[1::2]
    assert all('"/settings":["static/chunks/' in text for text in manifests)
