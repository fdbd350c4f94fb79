"""Which name is meant by one that is almost right."""

from __future__ import annotations

import pytest

from poe_proxy.environment import declared
from poe_proxy.settings import Settings
from poe_proxy.slips import distance, meant

NAMES = [name for _, one in declared(Settings) for name in one.names]


@pytest.mark.parametrize(
    ("one", "other", "slips"),
    [
        ("", "", 0),
        ("abc", "abc", 0),
        ("abc", "ab", 1),
        ("abc", "xabc", 1),
        ("abc", "axc", 1),
        ("abc", "acb", 1),
        ("", "abc", 3),
        ("kitten", "sitting", 3),
        ("ca", "abc", 3),
    ],
)
def test_slips_are_counted(one: str, other: str, slips: int) -> None:
    """A letter more or less, another one, two that changed places; the same both ways."""
    assert (slips, slips) == (distance(one, other), distance(other, one))


@pytest.mark.parametrize(
    "name",
    [
        "HOSTNAME", "HOST_NAME", "HOME", "PATH", "POST", "LANG", "USER", "TZ", "DEBUG",
        "HTTP_PROXY", "NO_PROXY", "GUNICORN_CMD_ARGS", "SITE", "STATE_DIR",
        "WORKERS", "OPENAI_API_KEY", "PUBLISH", "", "_", "A" * 1000,
    ],
)  # fmt: skip
def test_a_name_of_something_else_is_no_slip(name: str) -> None:
    """What other programs have in an environment, or beside us in a `.env`."""
    assert "" == meant(name, NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_letters_alone_are_enough(name: str) -> None:
    """Whatever their case, and whether or not there are underscores."""
    assert [meant(name, NAMES)] * 2 == [
        meant(spelt, NAMES, exactly=True)
        for spelt in (name.lower().replace("_", ""), name.upper().replace("_", "-"))
    ]


def test_of_two_names_the_nearer_one_is_meant() -> None:
    """And a name that is almost right is none if it has to be the same letters."""
    assert "TOKENS" == meant("TOKEN", ["TAKENS", "TOKENS"])
    assert "" == meant("TOKEN", ["TOKENS"], exactly=True)
