"""Where the value of each setting comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from poe_proxy.environment import declared
from poe_proxy.origins import origins
from poe_proxy.settings import Settings


@pytest.fixture
def dotenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for _, one in declared(Settings):
        for name in one.variables:
            monkeypatch.delenv(name, raising=False)
    path = tmp_path / ".env"
    path.write_text(
        "# mine\nTOKENS=SECRET-1,SECRET-2\nHOST=127.0.0.1\nPORT=\n"
        f"ADMIN_KEY_FILE={tmp_path}/admin\nRATE_LIMIT=sk-SECRET-in-the-wrong-place\nCOOL_DOWN=3\n"
    )
    return path


def test_each_setting_has_an_origin(dotenv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment comes before `.env`; a secret is set, and no more is said of it."""
    monkeypatch.setenv("COOL_DOWN", "5")
    monkeypatch.setenv("AUTH_KEY", "SECRET-3")
    found = {one.name: (one.shown, one.where) for one in origins(Settings, dotenv) if one.is_set}

    assert {
        "AuthKey": ("set", "environment"),
        "TOKENS": ("set", f"{dotenv}, line 2"),
        "HOST": ("127.0.0.1", f"{dotenv}, line 3"),
        "ADMIN_KEY": ("set", f"the file of ADMIN_KEY_FILE, {dotenv}, line 5"),
        "RATE_LIMIT": ("set", f"{dotenv}, line 6"),
        "COOL_DOWN": ("5", "environment"),
    } == found


def test_no_secret_is_in_it(dotenv: Path) -> None:
    """Not even one in the wrong place."""
    assert "SECRET" not in repr(origins(Settings, dotenv))


def test_what_is_not_set_is_there_too(dotenv: Path) -> None:
    """In the order of the documents; a blank line sets nothing."""
    found = origins(Settings, dotenv)

    assert [one.name for _, one in declared(Settings)] == [one.name for one in found]
    assert ("", "default") == next((one.shown, one.where) for one in found if one.name == "PORT")
