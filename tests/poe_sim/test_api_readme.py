from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from poe_sim.api.face import FAULT_WORDS, Switches

# Words that the code does not read by these methods.
ELSEWHERE = {"times", "only", "size", "chunks", "first", "delay"}
ELSEWHERE |= {"broken-json", "silent-end"}
FOLDER = Path(__file__).resolve().parents[2] / "poe_sim" / "api"
README = (FOLDER / "README.md").read_text("utf-8")


def words_in_use() -> set[str]:
    asked = re.compile(r'script\.(?:has|get|count|seconds)\(\s*"([a-z0-9-]+)"')
    source = "\n".join(path.read_text("utf-8") for path in FOLDER.glob("*.py"))
    return set(asked.findall(source))


def test_every_word_is_documented() -> None:
    """Each directive that the code reads is in the README."""
    assert len(words_in_use()) > 40
    missing = [word for word in words_in_use() if not re.search(rf"`!{word}[`=]", README)]
    assert missing == []


def test_every_documented_word_is_obeyed() -> None:
    """Each word of the README is read by the code."""
    documented = set(re.findall(r"`!([a-z0-9-]+)", README)) - {"name"}
    assert documented - words_in_use() - ELSEWHERE == set()


def test_every_word_that_spoils_an_answer_exists() -> None:
    """`!times` and `!only` limit only words that there are."""
    assert FAULT_WORDS <= words_in_use() | ELSEWHERE


def test_every_switch_is_documented() -> None:
    """Each field of the control is in the README."""
    missing = [one.name for one in fields(Switches) if f"`{one.name}`" not in README]
    assert missing == []
