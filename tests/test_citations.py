"""Sections that docstrings and comments cite are in the sheets on Poe's protocols, in docs/."""

from __future__ import annotations

import ast
import io
import os
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHEETS = {
    "web protocol sheet": "docs/poe-web-protocol.md",
    "official api sheet": "docs/poe-official-api.md",
}
#: Folders whose files are about one of the sheets, named or not.
FOLDERS = {
    "web": "web protocol sheet",
    "poe_web": "web protocol sheet",
    "api": "official api sheet",
    "poe_api": "official api sheet",
}
_HEADING = re.compile(r"^#{2,3} (\d+(?:\.\d+)*)\.? ", re.MULTILINE)
_CITATION = re.compile(r"(RFC \d+,? )?§(\d+(?:\.\d+)*)")
_DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


SECTIONS = {sheet: frozenset(_HEADING.findall(_text(name))) for sheet, name in SHEETS.items()}


def files() -> Iterator[str]:
    """The files that may cite a sheet, as paths within the project."""
    for top in ("poe_proxy", "poe_sim", "tests"):
        for folder, folders, names in os.walk(ROOT / top):
            folders[:] = [one for one in folders if one != "node_modules" and one[0] not in "._"]
            for name in names:
                if name.endswith((".py", ".toml", ".md")):
                    yield (Path(folder) / name).relative_to(ROOT).as_posix()


def _comments(source: str) -> Iterator[str]:
    """The comments of a Python file; lines that follow each other are one."""
    block: list[str] = []
    last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if token.start[0] != last + 1:
                yield " ".join(block)
                block = []
            block.append(token.string.lstrip("#:"))
            last = token.start[0]
    yield " ".join(block)


def passages(path: str, text: str) -> Iterator[str]:
    """What belongs together in a file: a docstring, a comment; elsewhere, a paragraph."""
    if path.endswith(".py"):
        documented = (one for one in ast.walk(ast.parse(text)) if isinstance(one, _DOCUMENTED))
        found = [ast.get_docstring(one) or "" for one in documented]
        found += _comments(text)
    else:
        found = re.sub(r"^#+", "", text, flags=re.MULTILINE).split("\n\n")
    for passage in found:
        yield " ".join(passage.split())


def citations(path: str, text: str) -> Iterator[tuple[list[str], str]]:
    """Each citation of a file: the sheets that it may mean, and the section.

    A sheet that is named in front of it is meant; without one that of the file's folder, and
    elsewhere either.
    """
    if "§" not in text:  # as in most of them
        return
    by_folder = [FOLDERS[folder] for folder in Path(path).parts[:-1] if folder in FOLDERS]
    for passage in passages(path, text):
        for citation in _CITATION.finditer(passage):
            before = passage[: citation.start()].lower()
            named = max(SHEETS, key=before.rfind)
            if citation[1]:
                continue
            yield [named] if named in before else by_folder[-1:] or list(SHEETS), citation[2]


def wrong(path: str, text: str) -> list[str]:
    """The citations of a file that lead nowhere."""
    return [
        f"{path}: §{section} is not in the {' or the '.join(sheets)}"
        for sheets, section in citations(path, text)
        if not any(section in SECTIONS[sheet] for sheet in sheets)
    ]


def test_every_citation_leads_to_a_section() -> None:
    """Whatever cites a section cites one that its sheet has."""
    assert [] == [fault for path in files() for fault in wrong(path, _text(path))]


def test_citations_are_found() -> None:
    """Both packages and the tests cite both sheets, and so do files that are not Python."""
    cited = [
        (path, sheet)
        for path in files()
        for sheets, _ in citations(path, _text(path))
        for sheet in sheets
    ]
    tops = {(path.partition("/")[0], sheet) for path, sheet in cited}

    assert {(top, sheet) for top in ("poe_proxy", "poe_sim", "tests") for sheet in SHEETS} == tops
    assert {".py", ".toml", ".md"} == {Path(path).suffix for path, _ in cited}


@pytest.mark.parametrize("name", SHEETS)
def test_a_sheet_cites_its_own_sections(name: str) -> None:
    """A sheet refers to no section that it does not have, and numbers none twice."""
    text = _text(SHEETS[name])
    numbers = _HEADING.findall(text)

    assert len(numbers) == len(set(numbers))
    assert set() == {citation[2] for citation in _CITATION.finditer(text)} - SECTIONS[name]


@pytest.mark.parametrize(
    ("path", "text", "count"),
    [
        ("poe_proxy/upstreams/poe_web/a.py", '"""The bot, §10.6 and §25."""', 0),
        ("poe_proxy/upstreams/poe_web/a.py", '"""The bot, §10.66 and §26."""', 2),
        ("poe_proxy/upstreams/poe_api/a.py", '"""The answer, §3.5 (RFC 6265 §4.1.1)."""', 0),
        # The other sheet has it.
        ("poe_proxy/upstreams/poe_api/a.py", '"""The bot, §10.6."""', 1),
        ("poe_sim/web/a.py", "def a():\n    pass  # §12.5\n", 1),
        ("poe_sim/api/README.md", "| uploads | §12.5 |\n\n| nothing | §12.6 |", 1),
        # Named, though the folder speaks for the other one.
        ("poe_sim/api/a.py", '"""As the web protocol sheet says (§10.6)."""', 0),
        ("poe_proxy/a.py", '"""Of the official API\nsheet, §10.6."""', 1),
        ("poe_proxy/a.py", "# Of the official API\n# sheet §9.3;\n# web protocol sheet §9.3\n", 1),
        ("poe_proxy/a.py", "A = 1  # as the official API sheet says\nB = 2\n# §10.6\n", 0),
        ("poe_proxy/a.toml", "# Hashes (§11.2).\n[a]\n# More of them (§11.4).\n", 1),
        # Neither has it.
        ("poe_proxy/a.py", '"""§99."""', 1),
        ("poe_proxy/a.py", 'A = "§99"', 0),
    ],
)
def test_a_wrong_number_is_noticed(path: str, text: str, count: int) -> None:
    """A citation of a section that its sheet does not have is a fault, wherever it stands."""
    assert count == len(wrong(path, text))
