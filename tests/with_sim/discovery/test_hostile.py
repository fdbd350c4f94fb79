"""A page that means harm: what is looked for in it ends, and the server serves meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from poe_proxy.upstreams.poe_web.discovery.looking import MAX_BYTES, MAX_SCRIPT, MAX_SCRIPTS

from ..servers import until
from .load import Scene, failed, poe

PAGE, SCRIPTS = "/", "/_next/*"
#: Those of a page that does no harm are fewer.
FEW = 20
MODELS = '[names]\n"by-key" = { bot = "GPT-4o", tokens = "keys" }\n'
#: What is played, and where; how many scripts are asked for at the most; what the log says of it.
TROUBLE: dict[str, tuple[str, dict[str, Any], int, str]] = {
    "endless-scripts": (
        PAGE,
        {"endless-scripts": MAX_SCRIPTS + 50},
        MAX_SCRIPTS,
        f"Only the first {MAX_SCRIPTS} scripts ",
    ),
    "endless-manifest": (
        f"{SCRIPTS}/_buildManifest.js",
        {"endless-manifest": 10_000},
        MAX_SCRIPTS,
        f"Only the first {MAX_SCRIPTS} scripts ",
    ),
    "huge-script": (
        SCRIPTS,
        {"huge-script": 20},
        MAX_BYTES // MAX_SCRIPT,
        "Poe's answer is too long",
    ),
    "drip": (PAGE, {"drip": 0.5}, 0, "Poe's page could not be read by cookie-1"),
    "script-loops": (PAGE, {"script-loops": 1}, FEW, "form key cannot be computed"),
    "getter-loops": (PAGE, {"getter-loops": 1}, FEW, "form key cannot be computed"),
    "tag-loops": (PAGE, {"tag-loops": 1}, FEW, "function for the tag cannot be run"),
    "hoards": (PAGE, {"hoards": 1}, FEW, "form key cannot be computed"),
}


@pytest.mark.parametrize("name", TROUBLE)
def test_a_look_at_a_hostile_page_ends(name: str, tmp_path: Path) -> None:
    """It reads no more than it may, and says what it has left out. Those who are served by a key of
    the official API notice nothing, meanwhile and afterwards."""
    path, words, most, said = TROUBLE[name]
    models = tmp_path / "models.toml"
    models.write_text(MODELS)
    (tmp_path / "site.toml").write_text("[limits]\nhttp = 2\nretry = 0.1\nscript = 0.5\n")
    with (
        poe("cookie-a", api_keys=["key-a"]) as sim,
        Scene.served(sim, tmp_path, MODELS=str(models)) as scene,
    ):
        workers = scene.workers()
        with scene.load(3, "by-key") as load:
            load.wait_for(3)
            before = scene.last()
            sim.control(
                retire_hash="sendMessageMutation",
                stale_answer="PersistedQueryNotFound",
                fail={"path": path, "times": 1000, "with": words},
            )
            assert "upstream_changed" == scene.asked().code
            (outcome,) = until(scene.outcomes)
            load.wait_for(6)

        assert said in outcome
        assert len(scene.scripts(before)) <= most + 1  # a login that is tried reads one
        assert [] == failed(load.asked)
        assert (1, 1) == (scene.begun(), len(scene.outcomes()))
        assert workers == scene.workers()
        assert "Traceback" not in scene.proxy.output()
