"""aider, which has its edits written in the text of the reply."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .conftest import BOT, Way, environment, text_of

AIDER = environment("agents") / "aider"

BEFORE = 'def greet(name):\n    return "Hello " + name\n'
AFTER = 'def greet(name: str) -> str:\n    return f"Hello, {name}! 你好 👋"\n'
TASK = "Let greet say hello in two languages, with types."

MISSED = """\
I will change the greeting.

greeting.py
```python
<<<<<<< SEARCH
def greet(somebody):
=======
def greet(name: str) -> str:
>>>>>>> REPLACE
```
"""
FOUND = f"""\
The line was another one.

greeting.py
```python
<<<<<<< SEARCH
{BEFORE}=======
{AFTER}>>>>>>> REPLACE
```
"""
WHOLE = f"""\
Here is all of it.

greeting.py
```python
{AFTER}```
"""
COMMIT = "feat: greet in two languages"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A git repository with one file in it."""
    made = tmp_path / "repository"
    made.mkdir()
    (made / "greeting.py").write_text(BEFORE)
    git(made, "init", "-q")
    git(made, "config", "user.name", "Ada")
    git(made, "config", "user.email", "ada@example.org")
    git(made, "add", "greeting.py")
    git(made, "commit", "-q", "-m", "start")
    return made


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


def aider(way: Way, folder: Path, *options: str) -> str:
    """Give aider its task, and nothing that it could ask or look up elsewhere."""
    return way.run(
        AIDER, "greeting.py", "--message", TASK, "--yes-always",
        "--model", f"openai/{BOT}", "--weak-model", f"openai/{BOT}",
        "--analytics-disable", "--no-check-update", "--no-show-model-warnings",
        "--no-show-release-notes", "--no-gitignore", "--no-pretty", "--map-tokens", "0",
        *options,
        folder=folder,
    )  # fmt: skip


def assert_is_done(folder: Path) -> None:
    """The file is edited, and committed with the words of the bot."""
    assert AFTER == (folder / "greeting.py").read_text()
    assert [COMMIT, "start"] == git(folder, "log", "--format=%s").splitlines()
    assert AFTER == git(folder, "show", "HEAD:greeting.py")
    assert "" == git(folder, "status", "--porcelain", "--untracked-files=no")


def test_aider_streams_an_edit(way: Way, folder: Path) -> None:
    """A block that fits nothing goes back to the bot; the next one is applied and committed."""
    way.give_lines([MISSED, FOUND, COMMIT])

    aider(way, folder, "--edit-format", "diff", "--stream")

    assert_is_done(folder)
    first, second, third = map(text_of, way.told())
    assert BEFORE in first
    assert TASK in first
    assert second.index(TASK) < second.index(MISSED.strip()) < second.index("failed to match")
    assert MISSED.strip() not in first
    assert "+" + AFTER.splitlines()[1] in third


def test_aider_takes_a_file_at_once(way: Way, folder: Path) -> None:
    """Without a stream, in the edit format of models that are not good at blocks."""
    way.give_lines([WHOLE, COMMIT])

    aider(way, folder, "--edit-format", "whole", "--no-stream")

    assert_is_done(folder)
    first, second = map(text_of, way.told())
    assert BEFORE in first
    assert "+" + AFTER.splitlines()[1] in second
