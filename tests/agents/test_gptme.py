"""gptme, whose provider `openai` speaks the Responses API."""

from __future__ import annotations

from pathlib import Path

from .conftest import ANSWER, BOT, TASK, Way, assert_edited, environment

GPTME = environment("gptme") / "gptme"
#: The file is in its first message already.
PATCH = """\
<<<<<<< ORIGINAL
    return width + height
=======
    return width * height
>>>>>>> UPDATED"""


def test_gptme_edits_a_file(by_key: Way, folder: Path) -> None:
    """It looks at the file and patches it, until the bot calls the tool that ends the work.

    Of another bot it has a title for the conversation.
    """
    lines = [
        by_key.line("shell", {"command": "cat area.py"}),
        by_key.line("patch", {"path": "area.py", "patch": PATCH}),
        by_key.line("complete", {}, ANSWER),
    ]
    by_key.give_lines(lines)

    out = by_key.run(
        GPTME, "--non-interactive", "--model", f"openai/{BOT}", "--workspace", str(folder), TASK,
        folder=folder,
        # It would fetch tables for that.
        GPTME_TIKTOKEN_TIMEOUT="0",
    )  # fmt: skip

    results = ["Ran allowlisted command: `cat area.py`", "Patch successfully applied"]
    assert_edited(by_key, folder, out, first=["You are gptme ", TASK], last=results)
