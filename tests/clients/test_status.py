"""The page at `/status` in a real browser: the login, each button, and what must not happen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from ..with_sim.servers import Proxy, Sim
from .conftest import run_client

OWNER = "sk-owner-of-all"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """By scene, what was seen. The browser is started once."""
    folder = tmp_path_factory.mktemp("status")
    with (
        Sim(("cookie-a", "cookie-b"), ("key-a",), pace=0.001) as sim,
        Proxy(sim, ADMIN_KEY=OWNER, STATE_FILE=str(folder / "state")) as proxy,
    ):
        yield run_client("status", proxy, folder / "home", CLIENT_ADMIN_KEY=OWNER)


def test_a_wrong_key_opens_nothing(page: Any) -> None:
    """The page says so, and there is no cookie."""
    assert {"said": "That is not the key.", "cookies": []} == page["wrong_key"]


def test_a_login_lasts_until_it_is_ended(page: Any) -> None:
    """No script can read its cookie; logging out takes it back."""
    seen = page["login"]

    assert ("All well.", 3) == (seen["sentence"], seen["rows"])
    assert ["poe_proxy_admin", True, "Strict"] == seen["cookie"]
    assert ("", 0) == (seen["script"], seen["left"])


@pytest.mark.parametrize("scene", ["buttons", "without_javascript"])
def test_each_button_does_what_it_says(page: Any, scene: str) -> None:
    """With and without JavaScript: the page says what was done, and shows it."""
    seen = page[scene]

    assert re.fullmatch(r"cookie-1: Poe accepts it; [\d,]+ points\.", seen["asked"])
    assert re.fullmatch(r"cookie-1 rests, until \d\d:\d\d UTC, in 10 min\.", seen["rest_0"])
    assert re.fullmatch(r"cookie-1 rests, until \d\d:\d\d UTC, in 1 h\.", seen["rest_1"])
    assert "cookie-1 rests, until you bring it back." == seen["rest_2"]
    assert "until you bring it back" == seen["until"]
    assert "cookie-1 is lent again." == seen["back"]
    assert seen["looked"].startswith("Poe's page and ")
    assert "The settings were read anew." == seen["reload"]
    assert seen["address"].endswith("/status")
    assert seen.get("refreshes", True)


def test_the_numbers_refresh_by_themselves(page: Any) -> None:
    """In the same page, without a reload."""
    seen = page["refreshed"]

    assert seen["same"]
    assert [one for one in seen["models"] if one.startswith("Claude-Sonnet-4.5")]


def test_a_reload_shows_the_settings_as_they_are_now(page: Any) -> None:
    """In the same page; and how much more there is than the tables have."""
    assert "as it is now" == page["renewed"]


def test_what_means_harm_is_text(page: Any) -> None:
    """The name of a model runs nothing, loads nothing and turns nothing around, whether the
    script or the server shows it; and the policy had nothing to forbid."""
    seen = page["hostile"]

    for cells in seen["cells"]:
        assert '<img src=x onerror="run=1"><script>run=1</script>\\u202e' == cells[3]
    assert (None, 0, []) == (seen["run"], seen["pictures"], seen["complaints"])


def test_a_phone_shows_all_of_it(page: Any) -> None:
    """Nothing is wider than the screen, the settings neither; each cell says what it is."""
    seen = page["phone"]

    assert ([360, 360], []) == (seen["widths"], seen["outside"])
    assert seen["buttons"]
    assert '"Last"' == seen["head"]
    assert 20 < seen["settings"]
    assert 360 == seen["open"]


def test_the_language_can_be_chosen(page: Any) -> None:
    """At first it is the browser's."""
    assert ["一切正常。", "All well."] == page["chinese"]


def test_another_site_can_press_nothing(page: Any) -> None:
    """Not even with the token of the page: the browser sends no cookie along."""
    assert {"status": 401, "state": "free"} == page["from_elsewhere"]
