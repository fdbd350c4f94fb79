"""What was found, written into a site file; what else is there stays as it is, comments too."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Table

from poe_proxy.upstreams.poe_web.discovery.findings import Value

#: Where an entry comes from.
SOURCE: Final = "page"

_HEAD: Final = (
    "What poe-proxy has found in Poe's own page. It lies on top of what is built in; an entry",
    "that poe-proxy itself has seen later than on its day here does not count any more.",
    "docs/when-poe-changes.md says more.",
)


def text_with(found: Mapping[str, Value], day: str, before: str = "") -> str:
    """Return the text of a site file with what was *found* on that *day* in it, in place of what it
    had *before*. Raises ValueError if that is no TOML."""
    try:
        document = tomlkit.parse(before)
    except TOMLKitError as bad:
        raise ValueError(f"The file is not TOML: {bad}.") from None
    if not before.strip():
        for line in _HEAD:
            document.add(tomlkit.comment(line))
    for name, value in found.items():
        table, _, key = name.partition(".")
        if not isinstance(document.get(table), Table):
            document[table] = tomlkit.table()
        entry = tomlkit.inline_table()
        entry["value"] = value if isinstance(value, str) else list(value)
        entry["seen"] = day
        entry["source"] = SOURCE
        document[table][key] = entry
    return tomlkit.dumps(document)


def backup_of(path: Path) -> Path:
    """Return where the file at *path* is kept as it was before it was last written."""
    return path.with_name(f"{path.name}.bak")


def write(path: Path, found: Mapping[str, Value], day: str) -> None:
    """Write what was *found* into the file at *path*, in one step, and what it had before beside
    it. Raises OSError or ValueError; the file is as it was then."""
    path = Path(os.path.realpath(path))  # a link stays one
    try:
        before = path.read_text("utf-8-sig")
    except FileNotFoundError:
        before = ""
    text = text_with(found, day, before)
    if path.exists():
        shutil.copy2(path, backup_of(path))
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, name)
        else:
            os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
