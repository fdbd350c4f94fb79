"""The data file on the site, and another one on top of it."""

from __future__ import annotations

import re
from dataclasses import fields
from importlib import resources
from pathlib import Path

import pytest

from poe_proxy.budget import Budget
from poe_proxy.upstreams.bulk import search
from poe_proxy.upstreams.poe_web.site import Site

HASH = "0123456789abcdef" * 4


def text() -> str:
    return resources.files("poe_proxy.upstreams.poe_web").joinpath("site.toml").read_text("utf-8")


def on_top(folder: Path, text: str) -> Site:
    path = folder / "own.toml"
    path.write_text(text)
    return Site.load(path)


def test_the_built_in_file_is_complete() -> None:
    """What we ship loads, with the values of the sheet."""
    site = Site.load()

    assert "4LxgHM6KpFqokX0Ox" == site.tag.salt
    assert ("plain", ("body", "formkey", "salt")) == (site.tag.form, site.tag.order)
    assert "5c04dd9cc925" == site.operations["sendMessageMutation"][:12]
    assert {"messageAdded", "messageCancelled", "jobUpdated"} <= site.subscriptions.keys()
    hashes = [*site.operations.values(), *site.subscriptions.values()]
    assert all(64 == len(one) for one in hashes)
    assert len(hashes) == len(set(hashes))


@pytest.mark.parametrize("table", ["tag", "pages", "operations", "subscriptions", "websocket"])
def test_each_built_in_entry_that_poe_changes_has_its_date_and_source(table: str) -> None:
    """Without them nobody knows how old it is."""
    of_table = {
        name: one for name, one in Site.load().evidence.items() if name.startswith(f"{table}.")
    }

    assert of_table
    assert [] == [name for name, one in of_table.items() if not (one.seen and one.source)]


def test_the_dates_are_those_of_the_sheet() -> None:
    """Section 11.1: what was captured in 2026, and what is older."""
    seen = {name: one.seen for name, one in Site.load().evidence.items()}

    assert "2026-03-12" == seen["operations.sendMessageMutation"] == Site.load().newest
    assert "2025-06" == seen["operations.cancelViewerActiveJobs_cancelViewerActiveJobs_Mutation"]
    assert "2026-03" == seen["subscriptions.messageAdded"] == seen["tag.salt"]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ("[limits]\nhttp = -1", "limits.http"),
        ("[limits]\nhttp = true", "limits.http"),
        ('[limits]\nhttp = "30"', "limits.http"),
        ('[tag]\nform = "upside-down"', "tag.form"),
        ("[tag]\nsalt = 5", "tag.salt"),
        ('[tag]\norder = ["body", "salt"]', "tag.order"),
        ('[tag]\norder = ["body", "body", "salt"]', "tag.order"),
        ('[tag]\norder = "body"', "tag.order"),
        ('[subscriptions]\nmessageAdded = ""', "subscriptions.messageAdded"),
        ('[operations]\nsendMessageMutation = ""', "operations.sendMessageMutation"),
        ("[operations]\nsendMessageMutation = 5", "operations: must be"),
        ("operations = 5", "operations: must be a table"),
        ('[websocket]\nurl = "{chanel}"', "websocket.url"),
        ("[pages]\ngetter = '('", "pages.getter"),
        ("[pages]\nsecret_after = 5", "pages.secret_after"),
        ("[pages]\nsecret = '(?:x)'", "pages.secret"),
        ("[pages]\ngetter_name = 'a b'", "pages.getter_name"),
        ("[pages]\nrevision_fixed = 5", "pages.revision_fixed"),
        ("[pages]\nrevision = ['(']", "pages.revision[0]"),
        ('[headers]\nUser-Agent = ""', "headers.User-Agent"),
        ('[headers]\nUser-Agent = "x\\r\\nX: 1"', "headers.User-Agent"),
        ("[tag", "TOML"),
        ("[tag]\nsalt = { seen = '2026-11' }", "tag.salt: has no value"),
        ("[tag]\nsalt = { value = 'x', seen = '11/2026' }", "tag.salt: seen"),
        ("[tag]\nsalt = { value = 'x', seen = 5 }", "tag.salt: seen"),
        ("[tag]\nsalt = { value = 'x', source = 5 }", "tag.salt: source"),
    ],
)
def test_a_mistake_in_a_file_is_named(tmp_path: Path, wrong: str, named: str) -> None:
    """A file is refused by a sentence that names the entry."""
    with pytest.raises(ValueError, match=re.escape(named)):
        on_top(tmp_path, wrong)


@pytest.mark.parametrize(
    ("name", "named"),
    [("gone", "There is no such file."), ("binary", "cannot be read"), ("", "cannot be read")],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, name: str, named: str) -> None:
    """Whether it is missing, has other bytes than UTF-8, or is a folder."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=named):
        Site.load(tmp_path / name)


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    """What is found later can be written there."""
    site = on_top(tmp_path, "")

    assert (tmp_path / "own.toml", 0) == (site.file, site.own)
    for field in fields(Site):
        if field.name != "file":
            assert getattr(Site.load(), field.name) == getattr(site, field.name)


def test_an_entry_on_top_takes_the_place_of_the_built_in_one(tmp_path: Path) -> None:
    """All others are as they were."""
    site = on_top(tmp_path, f'[operations]\nsendMessageMutation = "{HASH}"\n[tag]\nsalt = "abc"')
    beneath = Site.load()

    assert (HASH, "abc", 2) == (site.operations["sendMessageMutation"], site.tag.salt, site.own)
    assert beneath.operations.keys() == site.operations.keys()
    assert beneath.subscriptions == site.subscriptions
    assert site.evidence["operations.sendMessageMutation"].is_own


@pytest.mark.parametrize(
    ("seen", "counts"),
    [
        ("", True),
        ("2026-03-11", False),
        ("2026-03-12", True),
        ("2026-11", True),
        ("2025-12", False),
    ],
)
def test_of_two_dated_entries_the_newer_one_counts(tmp_path: Path, seen: str, counts: bool) -> None:
    """So what was found once does not outlive a newer poe-proxy. An entry without a date is its
    owner's word."""
    dated = f', seen = "{seen}", source = "page"' if seen else ""
    site = on_top(tmp_path, f'[operations]\nsendMessageMutation = {{ value = "{HASH}"{dated} }}')

    assert counts == (HASH == site.operations["sendMessageMutation"])
    assert counts == bool(site.own)


def test_a_date_of_toml_will_do(tmp_path: Path) -> None:
    """Written without quotes."""
    site = on_top(tmp_path, "[tag]\nsalt = { value = 'x', seen = 2026-11-30, source = 'page' }")

    assert "2026-11-30" == site.evidence["tag.salt"].seen == site.newest


def test_a_source_is_short(tmp_path: Path) -> None:
    """It is shown."""
    site = on_top(tmp_path, f"[tag]\nsalt = {{ value = 'x', source = '{'y' * 1000}' }}")

    assert "y" * 100 == site.evidence["tag.salt"].source


def test_an_empty_hash_takes_an_operation_out(tmp_path: Path) -> None:
    """It is not asked for any more, as if nobody knew it."""
    site = on_top(
        tmp_path,
        '[operations]\nuseDeleteChat_deleteChat_Mutation = ""\n[subscriptions]\njobUpdated = ""',
    )

    assert Site.load().operations.keys() - site.operations.keys() == {
        "useDeleteChat_deleteChat_Mutation"
    }
    assert Site.load().subscriptions.keys() - site.subscriptions.keys() == {"jobUpdated"}


def test_a_fixed_revision_may_be_given(tmp_path: Path) -> None:
    """An empty revision means none."""
    site = on_top(tmp_path, f'[pages]\nrevision_fixed = "{"a" * 40}"')

    assert Site.load().revision is None
    assert "a" * 40 == site.revision


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    """Editors on Windows begin a file with one."""
    path = tmp_path / "own.toml"
    path.write_text(text(), encoding="utf-8-sig")

    assert Site.load().operations == Site.load(path).operations


def test_a_whole_copy_is_its_owner_s_word(tmp_path: Path) -> None:
    """Also what a newer poe-proxy knows better: whoever corrects an entry of a copy means it."""
    site = on_top(tmp_path, text().replace("5c04dd9cc925", "000000000000"))

    assert site.operations["sendMessageMutation"].startswith("000000000000")
    assert "" == site.evidence["subscriptions.messageAdded"].seen


def test_a_file_from_before_goes_on_working(tmp_path: Path) -> None:
    """The table of handles, which such a file has, is in another place now; it is ignored."""
    site = on_top(tmp_path, f'{text()}\n[handles]\ncapybara = "Another"\nx = 5\n')

    assert Site.load().operations == site.operations


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("let a=1", None),
        ("t.getAPISig=(e,t)=>window.bR8qjbJA8tZobI7Iu(r.md5,t,e);", "bR8qjbJA8tZobI7Iu"),
        ("getAPISig=(e)=>{window.one(r(16),t,e)};getAPISig=window.two(", "one"),
        ("getAPISig=1;window.one(", None),
    ],
)
def test_the_name_of_the_tags_function_stands_beside_get_api_sig(
    text: str, name: str | None
) -> None:
    """Within one statement."""
    found = search(Site.load().patterns.tag_function, "x" * 100_000 + text, Budget(5))

    assert name == (found and found[1])
