"""What was found, written into a site file; what else is there stays as it is, comments too."""

from __future__ import annotations

import os
import shutil
import tempfile
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import tomlkit
from tomlkit.exceptions import TOMLKitError

from poe_proxy.upstreams.poe_web.discovery.findings import SOURCE, Value
from poe_proxy.upstreams.poe_web.site import Site

_HEAD: Final = (
    "What poe-proxy has found in Poe's own page. It lies on top of what is built in; an entry",
    "that poe-proxy itself has seen later than on its day here does not count any more.",
    "docs/when-poe-changes.md says more.",
)
_BOM: Final = "\ufeff"


def text_with(found: Mapping[str, Value], day: str, before: str = "") -> str:
    """Return the text of a site file with what was *found* on that *day* in it, in place of what it
    had *before*. Raises ValueError if that is no TOML, or has anything else in place of a table."""
    try:
        known = tomllib.loads(before)
    except tomllib.TOMLDecodeError as bad:
        raise ValueError(f"the file is not TOML: {bad}") from None
    tables: dict[str, dict[str, Any]] = {}
    for name, value in found.items():
        table, _, key = name.partition(".")
        if not isinstance(known.get(table, {}), dict):
            raise ValueError(f"{table} is not a table in it")
        tables.setdefault(table, {})[key] = {
            "value": value if isinstance(value, str) else list(value),
            "seen": day,
            "source": SOURCE,
        }
    wanted = {**known, **{name: {**known.get(name, {}), **new} for name, new in tables.items()}}
    # A table may be written in ways, such as with dots, that cannot be added to.
    for written_anew in ((), tuple(tables)):
        with suppress(TOMLKitError, tomllib.TOMLDecodeError):
            text = _edited(before, tables, {name: known.get(name, {}) for name in written_anew})
            if tomllib.loads(text) == wanted:
                return text
    raise ValueError("nothing can be added to what is in it")


def _edited(
    before: str, tables: Mapping[str, Mapping[str, Any]], anew: Mapping[str, Mapping[str, Any]]
) -> str:
    """Return *before* with the entries of *tables* in it; those tables that are to be written
    *anew* lose their comments."""
    document = tomlkit.parse(before)
    if not before.strip():
        for line in _HEAD:
            document.add(tomlkit.comment(line))
    for table, entries in tables.items():
        if table in anew and table in document:
            document.remove(table)
        if table not in document:
            document[table] = tomlkit.table()
        for key, entry in {**anew.get(table, {}), **entries}.items():
            document[table][key] = _item(entry)
    return tomlkit.dumps(document)


def _item(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return entry
    inline = tomlkit.inline_table()
    for key, value in entry.items():
        inline[key] = _item(value)
    return inline


def backup_of(path: Path) -> Path:
    """Return where the file at *path* is kept as it was before its values were last changed."""
    return path.with_name(f"{path.name}.bak")


def write(path: Path, found: Mapping[str, Value], day: str) -> None:
    """Write what was *found* into the file at *path*, in one step, and what it had before beside
    it, unless that had the same values. Nothing is written if it has all of that already.

    Raises OSError, or ValueError if it would be no site file; the file is as it was then.
    """
    path = Path(os.path.realpath(path))  # a link stays one
    try:
        whole = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        whole = ""
    before = whole.removeprefix(_BOM).replace("\r\n", "\n")
    text = text_with(found, day, before)
    if text == before:
        return
    # A new day alone must not cost the owner the copy that has his own words.
    changes_values = _values(text) != _values(before)
    if "\r\n" in whole:
        text = text.replace("\n", "\r\n")
    if whole.startswith(_BOM):
        text = _BOM + text
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Site.load(Path(name))  # with a mistake in it, nothing would start any more
        if path.exists():
            if changes_values:
                _keep(path)
            shutil.copymode(path, name)
            _give(name, path)
        else:
            os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def _values(text: str) -> dict[str, Any]:
    """Return what a site file has, without days and sources."""
    return {
        name: {key: _value(entry) for key, entry in table.items()}
        if isinstance(table, dict)
        else table
        for name, table in tomllib.loads(text).items()
    }


def _value(entry: Any) -> Any:
    return entry.get("value") if isinstance(entry, dict) else entry


def _keep(path: Path) -> None:
    """Keep the file as it is beside itself; whoever owns what was kept before."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(descriptor)
    try:
        shutil.copy2(path, name)
        _give(name, path)
        os.replace(name, backup_of(path))
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def _give(name: str, path: Path) -> None:
    """Give the file *name* to whom that at *path* belongs: the command may be run by root, and what
    only its owner may read is for the server."""
    owner = path.stat()
    with suppress(PermissionError):  # to others, root alone can give it
        os.chown(name, owner.st_uid, owner.st_gid)
