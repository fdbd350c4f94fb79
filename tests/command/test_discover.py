"""What Poe has changed is looked for, shown, and written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from poe_proxy.command import discover, screen
from poe_proxy.upstreams.poe_web import Site
from poe_proxy.upstreams.poe_web.discovery.findings import Difference
from poe_proxy.upstreams.poe_web.discovery.service import NOWHERE, Outcome

SEND = "operations.sendMessageMutation"
OLD, NEW = Site.load().operations["sendMessageMutation"], "0123456789abcdef" * 4
MENDED = Outcome(
    word="mended",
    said="In use.",
    at=1_796_000_000.0,  # 2026-11-30
    account="cookie-1",
    differs=(Difference(SEND, OLD, NEW), Difference("pages.getter_name", "", "aGetter")),
    missing=("subscriptions.chatMuteStatusUpdated",),
    notes=("A script\x1b could not be read.", NOWHERE),
    found={SEND: NEW, "pages.getter_name": "aGetter", "tag.salt": "4LxgHM6KpFqokX0Ox"},
)
#: As a few lines of .env.
COOKIE = "AuthKey=sk-client\nTOKENS=SECRET\n"


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Callable[[Outcome | None], None]:
    """Have this come of the look, and nobody asked."""

    def comes(outcome: Outcome | None) -> None:
        monkeypatch.setattr(discover, "look", lambda *_: outcome)

    comes(MENDED)
    return comes


@pytest.mark.usefixtures("look")
def test_what_was_found_is_written_down(run: Callable[..., Result], folder: Path) -> None:
    """Into site.toml beside STATE_FILE, which the folder of a server has."""
    (folder / ".env").write_text(COOKIE)
    result = run("discover")
    file = Path(".state/site.toml")

    assert 0 == result.exit_code, result.output
    assert [
        f"new    {SEND}: {OLD} → {NEW}",
        "new    pages.getter_name: none → aGetter",
        "gone   subscriptions.chatMuteStatusUpdated: neither the page nor its scripts have it",
        "note   A script\\x1b could not be read.",
        "ok     Poe takes what is new, from cookie-1.",
        f"ok     It is written to {file}.",
        "ok     A server that runs with these settings uses it within seconds.",
    ] == result.output.splitlines()
    site = Site.load(file)
    assert (NEW, "aGetter", 3) == (
        site.operations["sendMessageMutation"],
        site.getter_name,
        site.own,
    )
    assert "2026-11-30" == site.evidence[SEND].seen


@pytest.mark.usefixtures("look")
def test_what_a_file_had_before_is_beside_it(run: Callable[..., Result], folder: Path) -> None:
    """And what it has besides stays."""
    file = folder / "own.toml"
    file.write_text("# mine\n[limits]\nhttp = 20\n")
    (folder / ".env").write_text(f"{COOKIE}POE_SITE={file}\n")
    result = run("discover")

    assert f"It is written to {file}. What that had before is beside it, in own.toml.bak." in (
        result.output
    )
    assert "# mine\n[limits]\nhttp = 20\n" == (folder / "own.toml.bak").read_text()
    assert file.read_text().startswith("# mine\n[limits]\nhttp = 20\n")
    assert 20 == Site.load(file).limits.http


@pytest.mark.usefixtures("look")
def test_a_dry_run_writes_nothing(run: Callable[..., Result], folder: Path) -> None:
    """And says so."""
    (folder / ".env").write_text(COOKIE)
    result = run("discover", "--dry-run")

    assert 0 == result.exit_code
    assert result.output.endswith("\nnote   Nothing was written: --dry-run.\n")
    assert [folder / ".env"] == list(folder.iterdir())


@pytest.mark.usefixtures("look")
def test_without_a_place_the_lines_of_a_file_are_shown(
    run: Callable[..., Result], folder: Path
) -> None:
    """They have what differs, and can be pasted."""
    result = run("discover", env={"AuthKey": "k", "TOKENS": "a", "STATE_FILE": ""})
    said, _, text = result.output.partition("would have this:\n\n")
    pasted = folder / "pasted.toml"
    pasted.write_text(text)
    site = Site.load(pasted)

    assert 0 == result.exit_code
    assert said.endswith("note   Neither POE_SITE nor STATE_FILE is set. A file for POE_SITE ")
    assert (NEW, "aGetter", 2) == (
        site.operations["sendMessageMutation"],
        site.getter_name,
        site.own,
    )


@pytest.mark.usefixtures("look")
def test_a_file_that_cannot_be_written_is_named(run: Callable[..., Result], folder: Path) -> None:
    """Its lines are shown all the same."""
    (folder / "file").write_text("")
    env = {"AuthKey": "k", "TOKENS": "a", "STATE_FILE": str(folder / "file" / "state")}
    result = run("discover", env=env)

    assert 1 == result.exit_code
    assert f"wrong  {folder}/file/site.toml cannot be written: " in result.output
    assert f'sendMessageMutation = {{value = "{NEW}"' in result.output


@pytest.mark.parametrize(
    ("outcome", "status", "lines"),
    [
        (Outcome(word="same", said="Nothing differs.", at=0), 0, ["ok     Nothing differs."]),
        (
            Outcome(word="same", said="Nothing differs.", at=0, missing=(SEND,)),
            0,
            [
                f"gone   {SEND}: neither the page nor its scripts have it",
                "ok     Nothing differs.",
                f"note   {discover._BY_HAND}",
            ],
        ),
        (
            Outcome(word="unusable", said="It is refused.", at=0),
            1,
            ["wrong  It is refused.", f"note   {discover._BY_HAND}"],
        ),
        (
            Outcome(word="failed", said="Not read.", at=0),
            1,
            ["wrong  Not read.", f"note   {discover._BY_HAND}"],
        ),
        (None, 1, ["Poe's page and its scripts were not read within 300 s."]),
    ],
)
def test_what_came_of_it_is_the_exit_status(
    run: Callable[..., Result],
    folder: Path,
    look: Callable[[Outcome | None], None],
    outcome: Outcome | None,
    status: int,
    lines: list[str],
) -> None:
    """Nothing is written where nothing works."""
    look(outcome)
    (folder / ".env").write_text(COOKIE)
    result = run("discover")

    assert status == result.exit_code
    assert lines == result.output.splitlines()
    assert [folder / ".env"] == list(folder.iterdir())


def test_without_a_cookie_there_is_nothing_to_look_for(run: Callable[..., Result]) -> None:
    """Keys have nothing to do with the site."""
    result = run("discover", env={"AuthKey": "k", "POE_API_KEYS": "a"})

    assert 1 == result.exit_code
    assert "There is no account by cookie." in result.output


@pytest.mark.parametrize(("options", "shown"), [((), f"{NEW[:12]}…"), (("--long",), NEW)])
def test_hashes_are_cut_at_a_terminal(
    run: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
    look: Callable[[Outcome | None], None],
    options: tuple[str, ...],
    shown: str,
) -> None:
    """Unless somebody wants them whole; what is short stays."""
    look(replace(MENDED, notes=()))
    monkeypatch.setattr(screen, "is_terminal", lambda: True)
    env: dict[str, Any] = {"AuthKey": "k", "TOKENS": "a"}
    result = run("discover", "--dry-run", *options, env=env)

    assert f" → {shown}\n" in result.output
    assert "none → aGetter\n" in result.output
