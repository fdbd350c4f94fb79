"""The data file on the site, and the user's own in its place."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from poe_proxy.upstreams.poe_web.site import Site


def text() -> str:
    return resources.files("poe_proxy.upstreams.poe_web").joinpath("site.toml").read_text("utf-8")


def test_the_built_in_file_is_complete() -> None:
    """What we ship loads, with the values of the sheet."""
    site = Site.load()

    assert "4LxgHM6KpFqokX0Ox" == site.tag.salt
    assert ("plain", "swapped") == (site.tag.form, site.tag.other_form)
    assert "5c04dd9cc925" == site.operations["sendMessageMutation"][:12]
    assert {"messageAdded", "messageCancelled", "jobUpdated"} <= site.subscriptions.keys()
    hashes = [*site.operations.values(), *site.subscriptions.values()]
    assert all(64 == len(one) for one in hashes)
    assert len(hashes) == len(set(hashes))


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("http = 30", "http = -1", "limits.http"),
        ("http = 30", "http = true", "limits.http"),
        ("http = 30", 'http = "30"', "limits.http"),
        ("shows = 10", "", "limits.shows"),
        ('form = "plain"', 'form = "upside-down"', "tag.form"),
        ('salt = "4LxgHM6KpFqokX0Ox"', "salt = 5", "tag.salt"),
        ("messageAdded = ", "messageAdder = ", "subscriptions.messageAdded"),
        ("sendMessageMutation = ", "other = ", "operations.sendMessageMutation"),
        ("{channel}&", "{chanel}&", "websocket.url"),
        ("""getter = '""", """getter = '(""", "pages.getter"),
        ("""secret_after = "let""", """secret_after = 5 #""", "pages.secret_after"),
        ("(window\\.\\w+=", "(?:window\\.\\w+=", "pages.secret"),
        ("User-Agent", "User-Agentt", "headers.User-Agent"),
        ("Mozilla/5.0", "Mozilla\\r\\nX: 1", "headers.User-Agent"),
        ("[tag]", "[tag", "TOML"),
        ('revision_fixed = ""', "", "pages.revision_fixed"),
    ],
)
def test_a_mistake_in_a_file_is_named(tmp_path: Path, old: str, new: str, named: str) -> None:
    """A user's own file is refused by a sentence that names the entry."""
    assert old in text()
    path = tmp_path / "own.toml"
    path.write_text(text().replace(old, new, 1))

    with pytest.raises(ValueError, match=named.replace(".", r"\.")):
        Site.load(path)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    """A missing file, and one that is no text."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")

    for name in ("missing", "binary"):
        with pytest.raises(ValueError, match="cannot be read"):
            Site.load(tmp_path / name)


def test_a_fixed_revision_may_be_given(tmp_path: Path) -> None:
    """An empty revision means none."""
    path = tmp_path / "own.toml"
    path.write_text(text().replace('revision_fixed = ""', f'revision_fixed = "{"a" * 40}"'))

    assert Site.load().revision is None
    assert "a" * 40 == Site.load(path).revision


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    """Editors on Windows begin a file with one."""
    path = tmp_path / "own.toml"
    path.write_text(text(), encoding="utf-8-sig")

    assert Site.load().operations == Site.load(path).operations


def test_a_file_from_before_goes_on_working(tmp_path: Path) -> None:
    """The table of handles, which such a file has, is in another place now; it is ignored."""
    path = tmp_path / "own.toml"
    path.write_text(f'{text()}\n[handles]\ncapybara = "Another"\nx = 5\n')

    assert Site.load().operations == Site.load(path).operations
