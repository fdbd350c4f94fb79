"""Qwen Code, which speaks three of the APIs, as it is told to."""

from __future__ import annotations

import json
from pathlib import Path

from ..with_sim.servers import KEY
from .conftest import ANSWER, BOT, TASK, Way, assert_edited
from .npm import QWEN_CODE, node

#: What its users write into `~/.qwen/settings.json` so that nothing goes elsewhere.
SETTINGS = {
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
    "general": {"disableAutoUpdate": True},
}


def edits(way: Way, folder: Path, speaking: str) -> None:
    """It reads the file and edits it, and asks nothing twice."""
    home = folder.parent / "home" / ".qwen"
    home.mkdir(parents=True)
    (home / "settings.json").write_text(json.dumps(SETTINGS))
    file = str(folder / "area.py")
    edit = {"file_path": file, "old_string": "width + height", "new_string": "width * height"}
    way.give_lines([way.line("read_file", {"file_path": file}), way.line("edit", edit), ANSWER])

    out = way.run(
        node(), str(QWEN_CODE), "--yolo", "--auth-type", speaking, "--model", BOT, "-p", TASK,
        folder=folder,
        ANTHROPIC_BASE_URL=way.proxy.url,
        ANTHROPIC_API_KEY=KEY,
    )  # fmt: skip

    results = ["    return width + height", "area.py has been updated."]
    assert_edited(way, folder, out, first=["You are Qwen Code, ", TASK], last=results)


def test_qwen_code_edits_a_file_by_chat_completions(by_key: Way, folder: Path) -> None:
    """With `--auth-type openai`."""
    edits(by_key, folder, "openai")


def test_qwen_code_edits_a_file_by_responses(by_key: Way, folder: Path) -> None:
    """With `--auth-type openai-responses`."""
    edits(by_key, folder, "openai-responses")


def test_qwen_code_edits_a_file_by_messages(by_cookie: Way, folder: Path) -> None:
    """With `--auth-type anthropic`."""
    edits(by_cookie, folder, "anthropic")
