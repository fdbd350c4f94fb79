"""What is installed: each package in one version, by its hashes, and none with a known hole."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parents[1]
FILES: Final = ("requirements.txt", "requirements-dev.txt")
PROJECT: Final[Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SERVER: Final = [Requirement(one) for one in PROJECT["project"]["dependencies"]]
DEV: Final = [Requirement(one) for one in PROJECT["dependency-groups"]["dev"]]
#: Declared for another reason than an import.
NOT_IMPORTED: Final = {
    "pysocks": "urllib3 imports it", "idna": "urllib3 imports it",
    "jinja2": "a floor", "marshmallow": "a floor",
    "rs-bpe": "not for every Python", "bpe-openai": "not for every Python",
}  # fmt: skip
#: Name, version, perhaps for which Pythons, hashes.
PIN: Final = re.compile(
    r"([\w.-]+)(?:\[[\w,]+\])?==([\w.!+]+)(?: ; (?:(?! --hash).)*)?((?: +--hash=\S+)*)"
)


def pins(name: str) -> dict[str, tuple[str, list[str]]]:
    """The packages of a file, each with its version and its hashes."""
    text = (ROOT / name).read_text("utf-8").replace("\\\n", "")
    found = {}
    for line in text.splitlines():
        if not line.strip().startswith("#"):
            match = PIN.fullmatch(line)
            assert match is not None, line
            found[canonicalize_name(match[1])] = (match[2], match[3].split())
    return found


@pytest.mark.parametrize("name", FILES)
def test_each_package_has_one_version_and_its_hashes(name: str) -> None:
    """What comes from an index that was tampered with is not installed."""
    found = pins(name)

    assert len(found) > 20
    for package, (_, hashes) in found.items():
        assert hashes, package
        assert all(re.fullmatch("--hash=sha256:[0-9a-f]{64}", one) for one in hashes)


@pytest.mark.parametrize("name", FILES)
def test_no_file_says_where_packages_come_from(name: str) -> None:
    """That is for those who install them to say."""
    text = (ROOT / name).read_text("utf-8")

    assert not re.search(r"https?:|^--|\.(org|com|io)\b", text, re.MULTILINE)


def test_no_file_disagrees_with_another() -> None:
    """One environment has all of them."""
    server, dev = (pins(name) for name in FILES)

    assert {} == {
        name: pin for name, (pin, _) in dev.items() if server.get(name, (pin, []))[0] != pin
    }


@pytest.mark.parametrize(
    ("declared", "name"),
    [
        *((one, "requirements.txt") for one in SERVER),
        *((one, "requirements-dev.txt") for one in DEV),
    ],
    ids=str,
)
def test_a_pin_is_no_older_than_its_floor(declared: Requirement, name: str) -> None:
    """`make lock` was run after the last change of a floor."""
    version, _ = pins(name)[canonicalize_name(declared.name)]

    assert declared.specifier.contains(version), version


def test_each_dependency_of_the_server_has_a_floor() -> None:
    """Without one, an old version with a known hole would do."""
    assert [] == [
        one.name for one in SERVER if not any(part.operator == ">=" for part in one.specifier)
    ]


def imported(*roots: str) -> set[str]:
    """The packages that these import by themselves, by the names under which they are installed."""
    names = {name for root in roots for path in sources(ROOT / root) for name in imports(path)}
    names -= {*sys.stdlib_module_names, "poe_proxy", "poe_sim"}
    known = packages_distributions()
    return {canonicalize_name(known[name][0]) for name in names if name in known}


def sources(root: Path) -> list[Path]:
    return sorted(root.rglob("*.py")) if root.is_dir() else [root]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (one.name.partition(".")[0] for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def test_what_is_imported_is_declared() -> None:
    """And nothing else is: what another package happens to bring may go with its next version."""
    declared = {canonicalize_name(one.name) for one in SERVER}
    used = imported("poe_proxy", "poe_sim", "gunicorn.conf.py", "wsgi.py")

    assert declared - NOT_IMPORTED.keys() == used - NOT_IMPORTED.keys()
    assert NOT_IMPORTED.keys() <= declared
