"""Where what was found is written, what a person writes there, and when nobody looks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..servers import KEY, ROOT, Reloading, Server, Sim, ask, free_port, until
from .load import MANIFEST, Scene, poe

SEND = "sendMessageMutation"
#: Poe says at once that it does not know the hash.
CHANGE: dict[str, Any] = {"retire_hash": SEND, "stale_answer": "PersistedQueryNotFound"}
#: What a user has in a file.
OWN = "# My own words.\n[limits]\nhttp = 29  # seconds\n"
IN_MEMORY = "It is kept in memory only: "


@pytest.fixture
def sim() -> Iterator[Sim]:
    with poe("cookie-a") as sim:
        yield sim


def by_hand(sim: Sim) -> str:
    """What a person finds with a browser, and writes into a site file."""
    return f'{OWN}[operations]\n{SEND} = "{sim.control()["hashes"][SEND]}"\n'


def heal(scene: Scene) -> str:
    """Let Poe change; return what the server says of it once it has found what is new."""
    scene.sim.control(**CHANGE)
    assert "upstream_changed" == scene.asked().code
    (said,) = until(scene.outcomes)
    assert "whole" == scene.asked().outcome
    return said


# ---- nobody looks


@pytest.mark.parametrize("setting", ["STATE_FILE", "POE_SITE"])
def test_where_it_may_not_look_it_says_so_and_takes_what_a_person_writes(
    setting: str, sim: Sim, tmp_path: Path
) -> None:
    """Each client reads what can be done; the file is taken in place, without a reload."""
    named = tmp_path / "mine.toml"
    named.write_text(OWN)
    more = {"POE_SITE": str(named)} if setting == "POE_SITE" else {}
    with Scene.served(sim, tmp_path, DISCOVER="0", **more) as scene:
        before = scene.last()
        sim.control(**CHANGE)
        for streams in (True, False):
            refused = scene.asked(streams=streams)
            assert ("error", 502, "upstream_changed") == (
                refused.outcome,
                refused.status,
                refused.code,
            )
            for words in (SEND, "DISCOVER=0", "`poe-proxy discover`", "docs/when-poe-changes.md"):
                assert words in refused.message
        assert (0, []) == (scene.begun(), scene.scripts(before))

        scene.file.write_text(by_hand(sim))
        until(lambda: scene.asked().outcome == "whole")
        assert "reloaded" not in scene.proxy.output()


def test_a_reload_takes_another_file(sim: Sim, tmp_path: Path) -> None:
    """With what is new in it."""
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    first.write_text(OWN)
    with Reloading(sim, tmp_path, DISCOVER="0", POE_SITE=str(first)) as proxy:
        sim.control(**CHANGE)
        assert "upstream_changed" == proxy.post(ask("!echo hi")).json()["error"]["code"]
        second.write_text(by_hand(sim))
        said = proxy.reload(POE_SITE=str(second))

        assert "settings that changed: POE_SITE" in said
        assert proxy.post(ask("!echo hi")).ok


@pytest.mark.parametrize("switches", [{"salt": "aNewSaltaNewSalt1"}, {"chunk_names": "opaque"}])
def test_a_change_that_nobody_looks_for_is_no_flood_of_pages(
    switches: dict[str, Any], tmp_path: Path
) -> None:
    """However many ask: an account reads its page twice, and then pauses for longer and longer."""
    with Scene.played(tmp_path, DISCOVER="0") as scene:
        before = scene.last()
        scene.sim.control(rotate_formkey=True, **switches)
        with scene.load() as load:
            until(lambda: 40 <= len(load.asked))

        codes = {one.code for one in load.asked}
        assert {"upstream_changed"} == codes
        assert len(scene.after(before, path="/")) <= 3 * 6


# ---- where it is written


def test_a_named_file_keeps_what_it_has(sim: Sim, tmp_path: Path) -> None:
    """Its comments, its mode, and that it is a link; what it was is beside it."""
    folder = tmp_path / "real"
    folder.mkdir()
    real, link = folder / "mine.toml", tmp_path / "link.toml"
    real.write_text(OWN)
    real.chmod(0o640)
    link.symlink_to(real)
    with Scene.served(sim, tmp_path, POE_SITE=str(link)) as scene:
        said = heal(scene)

        assert IN_MEMORY not in said
        assert link.is_symlink()
        assert real.read_text().startswith(OWN)
        assert sim.control()["hashes"][SEND] == scene.entries()[f"operations.{SEND}"]["value"]
        assert OWN == (folder / "mine.toml.bak").read_text()
        assert 0o640 == real.stat().st_mode & 0o777
        assert {"mine.toml", "mine.toml.bak"} == {one.name for one in folder.iterdir()}
        assert not (tmp_path / "site.toml").exists()


def test_what_was_found_counts_after_a_restart(sim: Sim, tmp_path: Path) -> None:
    """It is beside the state file then."""
    with Scene.served(sim, tmp_path) as scene:
        assert IN_MEMORY not in heal(scene)
    assert not (tmp_path / "site.toml.bak").exists()

    with Scene.served(sim, tmp_path) as scene:
        assert "whole" == scene.asked().outcome
        assert (0, []) == (scene.begun(), scene.outcomes())


def test_without_a_file_it_is_kept_in_memory(sim: Sim, tmp_path: Path) -> None:
    """And found anew after a restart."""
    for _ in range(2):
        with Scene.served(sim, tmp_path, STATE_FILE="") as scene:
            said = heal(scene)
            assert f"{IN_MEMORY}neither POE_SITE nor STATE_FILE is set." in said
            assert 1 == scene.begun()
    assert [] == list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_stops_nothing(sim: Sim, tmp_path: Path) -> None:
    """It goes on in memory, and says why; the file is as it was."""
    (tmp_path / "site.toml").write_text(OWN)
    (tmp_path / "site.toml.bak").mkdir()  # nothing takes its place
    with Scene.served(sim, tmp_path) as scene:
        said = heal(scene)

        assert f"{IN_MEMORY}{tmp_path}/site.toml cannot be written (Is a directory)." in said
        assert OWN == scene.file.read_text()
        assert [] == [one.name for one in tmp_path.iterdir() if one.name.startswith(".site")]


def test_a_broken_file_beside_the_state_stops_nothing(sim: Sim, tmp_path: Path) -> None:
    """The server has written it by itself: it warns, and starts without; what is new is kept in
    memory then."""
    (tmp_path / "site.toml").write_text("[operations\n")
    with Scene.served(sim, tmp_path) as scene:
        assert f"{tmp_path}/site.toml is not used: The file is not TOML" in scene.proxy.output()
        assert f"{IN_MEMORY}{tmp_path}/site.toml cannot be written" in heal(scene)
        assert "[operations\n" == scene.file.read_text()


def test_a_broken_file_that_is_named_stops_the_start(sim: Sim, tmp_path: Path) -> None:
    """It is the user's own: one message says what is wrong with it."""
    file = tmp_path / "mine.toml"
    file.write_text('[tag]\nform = "odd"\n')
    environ = {
        "PORT": str(free_port()), "AuthKey": KEY, "TOKENS": "cookie-a", "POE_WEB_URL": sim.url,
        "POE_SITE": str(file),
    }  # fmt: skip
    with Server([sys.executable, "-m", "gunicorn", "wsgi:app"], environ) as server:
        assert 0 != server.process.wait(60)
        said = server.output()

    assert 1 == said.count("POE_SITE: ")
    assert f"POE_SITE: {file}: tag.form: must be" in said
    assert "Traceback" not in said


# ---- when nobody needs to look


def test_a_site_that_does_not_change_costs_nothing(tmp_path: Path) -> None:
    """A page and its one script for each login, and no more for all that is asked."""
    with Scene.played(tmp_path) as scene:
        with scene.load() as load:
            load.wait_for(50)

        assert [] == [one for one in load.asked if one.outcome != "whole"]
        assert 3 == len(scene.sim.journal(path="/"))
        assert [] == scene.sim.journal(path="/api/settings")
        apps = [one["path"].rpartition("/")[2] for one in scene.scripts()]
        assert 3 == len(apps)
        assert 1 == len(set(apps))
        assert apps[0].startswith("_app")
        assert (0, []) == (scene.begun(), scene.outcomes())


def test_a_second_change_within_the_hour_waits_for_a_person(sim: Sim, tmp_path: Path) -> None:
    """The words say when it was looked, and what can be done; the command finds it, and the server
    takes it in place."""
    with Scene.served(sim, tmp_path) as scene:
        heal(scene)
        sim.control(**CHANGE)
        before = scene.last()
        for _ in range(2):
            refused = scene.asked()
            assert "upstream_changed" == refused.code
            assert re.search(r"What is new was looked for at \d\d:\d\d UTC: ", refused.message)
            assert "`poe-proxy discover`" in refused.message
        assert [] == scene.scripts(before)

        environ = Path(f"/proc/{scene.proxy.process.pid}/environ").read_text().split("\0")
        given = dict(one.split("=", 1) for one in environ if "=" in one)
        ended = subprocess.run(
            [sys.executable, "-m", "poe_proxy", "discover"],
            cwd=tmp_path,
            env={**given, "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert 0 == ended.returncode, ended.stdout + ended.stderr
        assert f"new    operations.{SEND}: " in ended.stdout
        until(lambda: scene.asked().outcome == "whole")
        assert (1, 1) == (scene.begun(), len(scene.outcomes()))
        found = [one for one in scene.scripts(before) if one["path"].endswith(MANIFEST)]
        assert 1 == len(found)  # by the command alone
