"""opencode, as it is set up for any server that speaks OpenAI's chat completions."""

from __future__ import annotations

import json
from pathlib import Path

from ..with_sim.servers import KEY
from .conftest import ANSWER, BOT, TASK, Way, assert_edited
from .npm import OPENCODE

#: The bot that names conversations: a request without tools, at any time while the other works.
TITLES = "Claude-Haiku-4.5"


def test_opencode_edits_a_file(way: Way, folder: Path) -> None:
    """It reads the file and edits it, by settings that its users write."""
    file = str(folder / "area.py")
    edit = {"filePath": file, "oldString": "width + height", "newString": "width * height"}
    settings = {
        "$schema": "https://opencode.ai/config.json",
        "autoupdate": False,
        "share": "disabled",
        "small_model": f"poe/{TITLES}",
        "provider": {
            "poe": {
                "npm": "@ai-sdk/openai-compatible",
                "name": "poe-proxy",
                "options": {"baseURL": f"{way.proxy.url}/v1", "apiKey": KEY},
                "models": {BOT: {}, TITLES: {}},
            }
        },
    }
    (folder / "opencode.json").write_text(json.dumps(settings))
    way.give_lines([way.line("read", {"filePath": file}), way.line("edit", edit), ANSWER])

    out = way.run(
        OPENCODE, "run", "--pure", "--auto", "--model", f"poe/{BOT}", TASK,
        folder=folder,
        OPENCODE_DISABLE_AUTOUPDATE="1",
        OPENCODE_DISABLE_MODELS_FETCH="1",
        OPENCODE_DISABLE_LSP_DOWNLOAD="1",
    )  # fmt: skip

    results = ["# In square metres.", "Edit applied successfully."]
    assert_edited(way, folder, out, first=["You are opencode, ", TASK], last=results)
