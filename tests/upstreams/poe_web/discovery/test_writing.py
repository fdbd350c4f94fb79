"""What was found is written into a site file; nothing else of it changes."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from poe_proxy.upstreams.poe_web.discovery.findings import Value
from poe_proxy.upstreams.poe_web.discovery.writing import backup_of, text_with, write
from poe_proxy.upstreams.poe_web.site import Site

DAY = "2026-11-30"
NEW = "f" * 64
SEND = "sendMessageMutation"
FOUND: dict[str, Value] = {
    f"operations.{SEND}": NEW,
    "tag.order": ("salt", "body", "formkey"),
    "subscriptions.messageRead": "",
}


def entry(value: object) -> dict[str, object]:
    return {"value": value, "seen": DAY, "source": "page"}


def merged(before: str, found: dict[str, Value]) -> dict[str, Any]:
    """What the file is to have then."""
    data = tomllib.loads(before)
    for name, value in found.items():
        table, _, key = name.partition(".")
        data.setdefault(table, {})[key] = entry(value if isinstance(value, str) else list(value))
    return data


# ---- the text


def test_a_new_file_has_what_was_found_and_says_what_it_is() -> None:
    """Each with its day and its source."""
    text = text_with(FOUND, DAY)

    assert merged("", FOUND) == tomllib.loads(text)
    assert text.startswith("# What poe-proxy has found in Poe's own page.")


def test_comments_and_order_stay_and_so_do_other_entries() -> None:
    """An entry that was there is replaced where it stands."""
    before = (
        "# my own\n"
        "[limits]\n"
        "http = 20 # slow here\n"
        "\n"
        "[operations] # by hand\n"
        'other = "a"\n'
        f'{SEND} = "old" # of May\n'
        "last = {value = 'b'}\n"
    )
    text = text_with({f"operations.{SEND}": NEW}, DAY, before)

    new = f'{{value = "{NEW}", seen = "{DAY}", source = "page"}}'
    assert before.replace('"old"', new) == text


@pytest.mark.parametrize(
    "before",
    [
        f'operations.{SEND} = "a"\noperations.other = "b"\n[limits]\nhttp = 3\n',
        f'operations.{SEND}.value = "a"\noperations.other.value = "b"\n',
        f'operations = {{other = "b", {SEND} = "a"}}\ntag = {{}}\n',
        f'[operations]\n{SEND}.value = "a"\n{SEND}.seen = "2026-01"\nother = "b"\n',
        f'[operations]\nother = "b"\n[operations.{SEND}]\nvalue = "a"\n[tag]\nsalt = "s"\n',
        f'[operations.{SEND}]\nvalue = "a"\n[tag]\nsalt = "s"\n[operations.other]\nvalue = "b"\n',
        '[operations.other]\nvalue = "a"\n[tag]\nsalt = "s"\n[operations.more]\nvalue = "b"\n',
        '[operations.x]\nvalue = "a"\n[tag.order]\nvalue = []\n[operations]\nother = "b"\n',
        f'["operations"]\n"{SEND}" = "a"\n[tag]\norder = [\n  "body", # first\n  "salt",\n]\n',
        "[handles]\nx = {y = 1}\n[[unknown]]\na = 1\n[[unknown]]\na = 2\n[unknown.b]\nc = 3\n",
        "# nothing\n",
        "\n\n",
    ],
)
def test_entries_stay_however_a_table_is_written(before: str) -> None:
    """With dots, inline, in several places."""
    assert merged(before, FOUND) == tomllib.loads(text_with(FOUND, DAY, before))


_KEYS = st.sampled_from(["operations", "tag", "subscriptions", "limits", SEND, "order", "a.b", ""])
_LEAVES = st.sampled_from(["", "a", "a\"'\\\n# é", 3, True, date(2026, 11, 30)])
_INNER = _LEAVES | st.lists(_LEAVES, max_size=2) | st.dictionaries(_KEYS, _LEAVES, max_size=2)
_VALUES = _INNER | st.lists(_INNER, max_size=2) | st.dictionaries(_KEYS, _INNER, max_size=3)


@given(st.dictionaries(_KEYS, st.dictionaries(_KEYS, _VALUES, max_size=4), max_size=5))
def test_whatever_a_file_has_stays(data: dict[str, Any]) -> None:
    """Any tables, with anything in them."""
    before = tomlkit.dumps(data)
    text = text_with(FOUND, DAY, before)

    assert merged(before, FOUND) == tomllib.loads(text)
    assert text == text_with(FOUND, DAY, text)


_LINES = st.sampled_from(
    [
        "[operations]",
        "[tag]",
        "[tag.order]",
        "[operations.other]",
        f"[operations.{SEND}]",
        "[[list]]",
        "value = 'a'",
        "seen = '2026-01' # c",
        f"{SEND} = 'x'",
        f"{SEND}.value = 'y'",
        "operations.dotted = 'z'",
        "operations = {one = 'w'}",
        "tag.salt = 's'",
        "order = ['body',\n 'salt', # c\n]",
        "# a comment",
        "",
    ]
)


@given(st.lists(_LINES, max_size=12).map("\n".join))
def test_a_file_of_any_lines_is_added_to_or_refused(before: str) -> None:
    """What is no TOML, or has something else in place of a table, is not touched."""
    try:
        wanted = merged(before, FOUND)
    except (tomllib.TOMLDecodeError, TypeError, AttributeError):
        with pytest.raises(ValueError, match=r"TOML|not a table"):
            text_with(FOUND, DAY, before)
    else:
        assert wanted == tomllib.loads(text_with(FOUND, DAY, before))


@pytest.mark.parametrize(
    "salt", ['a"b', "a'''b", "\\", "\x00\x1f\x7f", "tab\t", "ü€😀", "a\nb", "#"]
)
def test_a_salt_of_any_characters_comes_back(salt: str) -> None:
    """It is the page's own, and may have any."""
    data = tomllib.loads(text_with({"tag.salt": salt}, DAY))

    assert entry(salt) == data["tag"]["salt"]


@pytest.mark.parametrize(
    ("before", "why"),
    [("[operations", "not TOML"), ("operations = 3", "operations is not a table")],
)
def test_what_is_no_site_file_is_refused(before: str, why: str) -> None:
    """It is somebody's, and may be half written."""
    with pytest.raises(ValueError, match=why):
        text_with(FOUND, DAY, before)


def test_a_text_that_says_anything_else_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake of the library's costs nothing of a file."""
    really = tomlkit.dumps
    monkeypatch.setattr(tomlkit, "dumps", lambda one: really(one).replace("http = 20", "http = 2"))

    with pytest.raises(ValueError, match="nothing can be added"):
        text_with(FOUND, DAY, "[limits]\nhttp = 20\n")


# ---- the file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "site.toml"


def names(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir()}


def test_a_file_that_is_not_there_is_made(path: Path) -> None:
    """Nothing is beside it, and others may read it: there is no secret in it."""
    write(path, FOUND, DAY)

    site = Site.load(path)
    assert NEW == site.operations[SEND]
    assert ("salt", "body", "formkey") == site.tag.order
    assert {"site.toml"} == names(path.parent)
    assert 0o644 == path.stat().st_mode & 0o777


def test_the_file_as_it_was_is_beside_it(path: Path) -> None:
    """As it was before it was last changed; its mode stays."""
    before = b"\xef\xbb\xbf# mine\r\n[tag]\r\nsalt = 'old'\r\n"
    path.write_bytes(before)
    path.chmod(0o640)
    write(path, {"tag.salt": "new"}, DAY)

    assert before == backup_of(path).read_bytes()
    assert 0o640 == path.stat().st_mode & 0o777 == backup_of(path).stat().st_mode & 0o777
    assert "new" == Site.load(path).tag.salt
    # A mark at its beginning, and its ends of lines, stay too.
    after = path.read_bytes()
    assert after.startswith(b"\xef\xbb\xbf# mine\r\n[tag]\r\n")
    assert after.count(b"\n") == after.count(b"\r\n")


def test_what_is_there_already_is_not_written_again(path: Path) -> None:
    """Another worker may find the same: the copy stays that of what was there before both."""
    path.write_text("# mine\n")
    write(path, FOUND, DAY)
    first = path.stat()
    write(path, FOUND, DAY)

    assert (first.st_ino, first.st_mtime_ns) == (path.stat().st_ino, path.stat().st_mtime_ns)
    assert "# mine\n" == backup_of(path).read_text()


def test_a_day_alone_leaves_the_copy_as_it_is(path: Path) -> None:
    """It may have the owner's own words, which nothing else has; a value is worth another copy."""
    path.write_text(f'[operations]\n{SEND} = "mine"\n')
    mine = path.read_text()
    write(path, FOUND, "2026-11-29")
    write(path, FOUND, DAY)

    assert mine == backup_of(path).read_text()
    found = path.read_text()
    assert DAY in found

    write(path, {**FOUND, "tag.salt": "new"}, DAY)
    assert found == backup_of(path).read_text()


def test_it_belongs_to_whom_it_belonged(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may run the command, and the server must be able to read what only its owner may; any
    other user cannot give it away, and writes it all the same."""
    gifts: list[tuple[int, int, int]] = []

    def give(name: str, user: int, group: int) -> None:
        gifts.append((Path(name).stat().st_ino, user, group))
        raise PermissionError

    monkeypatch.setattr(os, "chown", give)
    path.write_text("# mine\n")
    before = path.stat()
    write(path, FOUND, DAY)

    owner = (before.st_uid, before.st_gid)
    files = {path.stat().st_ino, backup_of(path).stat().st_ino}
    assert {(one, *owner) for one in files} == set(gifts)


def test_a_link_stays_one(tmp_path: Path) -> None:
    """The file that it leads to is written, and its copy is beside that."""
    (tmp_path / "real").mkdir()
    real = tmp_path / "real" / "mine.toml"
    real.write_text("# mine\n")
    link = tmp_path / "site.toml"
    link.symlink_to(real)
    write(link, FOUND, DAY)

    assert link.is_symlink()
    assert NEW == Site.load(real).operations[SEND]
    assert ({"site.toml", "real"}, {"mine.toml", "mine.toml.bak"}) == (
        names(tmp_path),
        names(real.parent),
    )


def _no_toml(path: Path) -> None:
    path.write_text("[tag")


def _no_text(path: Path) -> None:
    path.write_bytes(b"# \xff\n")


def _a_mistake(path: Path) -> None:
    path.write_text("[limits]\nhttp = 'fast'\n")


@pytest.mark.parametrize("spoil", [_no_toml, _no_text, _a_mistake])
def test_what_cannot_be_used_stays_as_it_is(path: Path, spoil: Callable[[Path], None]) -> None:
    """Whoever has written it is told; nothing lies around."""
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"."):
        write(path, FOUND, DAY)

    assert before == path.read_bytes()
    assert {"site.toml"} == names(path.parent)


def test_nothing_is_written_that_would_be_a_mistake(path: Path) -> None:
    """A page may call a function by a name that a site file may not have: with it in POE_SITE, the
    server would not start again."""
    path.write_text("# mine\n")
    with pytest.raises(ValueError, match=r"pages\.getter_name"):
        write(path, {**FOUND, "pages.getter_name": "gétter"}, DAY)

    assert "# mine\n" == path.read_text()
    assert {"site.toml"} == names(path.parent)


def test_a_failure_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the last moment, too: a file that is mounted by itself cannot be replaced."""

    really = os.replace

    def refuse(source: str, target: Path) -> None:
        if target == path:
            raise OSError(16, "Device or resource busy")
        really(source, target)

    path.write_text("# mine\n")
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="busy"):
        write(path, FOUND, DAY)

    assert "# mine\n" == path.read_text()
    assert {"site.toml", "site.toml.bak"} == names(path.parent)


def test_without_a_copy_nothing_is_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was there would be lost; nothing lies around."""

    def refuse(source: str, target: Path) -> None:
        raise OSError(13, "Permission denied")

    path.write_text("# mine\n")
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="denied"):
        write(path, FOUND, DAY)

    assert "# mine\n" == path.read_text()
    assert {"site.toml"} == names(path.parent)


def test_a_folder_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    """It is not made: nobody has said that it is wanted."""
    with pytest.raises(OSError, match="No such file"):
        write(tmp_path / "gone" / "site.toml", FOUND, DAY)

    assert set() == names(tmp_path)
