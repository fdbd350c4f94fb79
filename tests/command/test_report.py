"""A report is shown, and saved only if somebody says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from poe_proxy import __version__
from poe_proxy.command import report, screen
from poe_proxy.upstreams.poe_web import Site
from poe_proxy.upstreams.poe_web.discovery import looking
from poe_proxy.upstreams.poe_web.front import Front

from ..upstreams.poe_web.discovery.fakes import COOKIE, SITE, Poe
from ..upstreams.poe_web.fixtures import CHANNEL, KEY

FILE = "poe-proxy-report.json"


@pytest.fixture(autouse=True)
def settings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account, of which nobody is asked."""
    (folder / ".env").write_text("AuthKey=sk-client\nTOKENS=SECRET\nSTATE_FILE=\n")
    monkeypatch.setattr(report, "gathered", lambda *_: {"answers": {"x": "a\x1b"}})


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody is there."""
    monkeypatch.setattr(screen, "is_terminal", lambda: True)
    monkeypatch.setattr(report, "_is_asked", lambda: True)


def test_it_is_shown_and_not_saved(run: Callable[..., Result], folder: Path) -> None:
    """Where nobody can be asked; it says of which version it is, and of which file."""
    result = run("report")
    told = json.loads(result.stdout)

    assert 0 == result.exit_code
    assert [folder / ".env"] == list(folder.iterdir())
    assert "--yes saves it" in result.stderr
    assert (__version__, "built in") == (told["poe_proxy"], told["site"]["file"])
    assert "a\x1b" == told["answers"]["x"]
    assert "\x1b" not in result.stdout
    assert "SECRET" not in result.output


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(("said", "is_saved"), [("y\n", True), ("\n", False), ("n\n", False)])
def test_whoever_is_there_is_asked(
    run: Callable[..., Result], folder: Path, said: str, is_saved: bool
) -> None:
    """After all of it was shown; the answer is no unless they say yes."""
    result = run("report", input=said)

    assert 0 == result.exit_code
    assert f"Save it to {FILE}? [y/N]" in result.stderr
    assert is_saved == (folder / FILE).exists()
    if is_saved:
        assert result.stdout == (folder / FILE).read_text()


def test_it_is_saved_where_they_want_it(run: Callable[..., Result], folder: Path) -> None:
    """Without a question, if there should be none."""
    result = run("report", "--yes", "--output", "mine.json")

    assert 0 == result.exit_code
    assert result.stdout == (folder / "mine.json").read_text()
    assert 1 == run("report", "--yes", "--output", "no/such/folder.json").exit_code


def test_without_a_cookie_there_is_nothing_to_report(run: Callable[..., Result]) -> None:
    """Keys have nothing to do with the site."""
    result = run("report", env={"TOKENS": "", "POE_API_KEYS": "a"})

    assert 1 == result.exit_code
    assert "There is no account by cookie" in result.output


@pytest.mark.parametrize(
    ("env", "kind"), [({"POE_SITE": "anna.toml"}, "POE_SITE"), ({}, "beside STATE_FILE")]
)
def test_of_the_file_on_top_its_path_is_not_told(
    run: Callable[..., Result], folder: Path, env: dict[str, Any], kind: str
) -> None:
    """Only which of the two it is; a path may have a name in it."""
    hash = Site.load().operations["settingsPageQuery"]
    for name in ("anna.toml", "site.toml"):
        (folder / name).write_text(f'[operations]\nsettingsPageQuery = "{hash}"\n')
    env = {"STATE_FILE": str(folder / "state.sqlite3"), **env}
    told = json.loads(run("report", env=env).stdout)

    assert {"file": kind, "own_entries": 1}.items() <= told["site"].items()
    assert str(folder) not in json.dumps(told)


@dataclass
class Account:
    """One by which may be asked."""

    poe: Poe
    label: str = "cookie-1"
    formkey: str | None = None
    is_logged_in: bool = True

    @property
    def front(self) -> Front:
        return self.poe


def test_what_must_not_be_told_is_known() -> None:
    """Cookie, form key and channel, as they are once Poe has been asked."""
    poe = Poe()
    asking = report._Asking(Account(poe), looking.look(poe, SITE))
    answers = asking.answers(SITE)
    channel = json.loads(CHANNEL)

    assert ("of the page", "of the page") == (answers["form_key"], answers["channel"])
    assert [*report.QUERIES] == poe.asked[1:]
    assert {COOKIE, KEY, channel["channel"], channel["channelHash"]} == asking.secrets()
