from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from poe_sim.api.face import FAULT_WORDS, Switches

# Words that are not asked for one by one.
ELSEWHERE = {"times", "only", "size", "chunks", "first", "delay"}
ELSEWHERE |= {"broken-json", "silent-end"}
FOLDER = Path(__file__).resolve().parents[2] / "poe_sim" / "api"
README = (FOLDER / "README.md").read_text("utf-8")


def words_in_use() -> set[str]:
    asked = re.compile(r'script\.(?:has|get|count|seconds)\(\s*"([a-z0-9-]+)"')
    source = "\n".join(path.read_text("utf-8") for path in FOLDER.glob("*.py"))
    return set(asked.findall(source))


def test_every_word_is_documented() -> None:
    """Each directive that the code asks for is in the list."""
    assert len(words_in_use()) > 40
    missing = [word for word in words_in_use() if not re.search(rf"`!{word}[`=]", README)]
    assert missing == []


def test_every_documented_word_is_obeyed() -> None:
    """And none is there that nothing listens to."""
    documented = set(re.findall(r"`!([a-z0-9-]+)", README)) - {"name"}
    assert documented - words_in_use() - ELSEWHERE == set()


def test_every_word_that_spoils_an_answer_exists() -> None:
    """`!times` and `!only` take none away that is not."""
    assert FAULT_WORDS <= words_in_use() | ELSEWHERE


def test_every_switch_is_documented() -> None:
    """Each field of the control is in the table."""
    missing = [one.name for one in fields(Switches) if f"`{one.name}`" not in README]
    assert missing == []
