"""The settings of whoever runs the server for others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from environs import ValidationError

from poe_proxy.operating import day_start
from poe_proxy.settings import Settings

HOUR = 3600


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("00:00", 0), ("09:30", 9.5 * HOUR), ("09:00Z", 9 * HOUR), ("09:00+08:00", HOUR),
        ("01:00+08:00", -7 * HOUR), ("23:30-10:00", 33.5 * HOUR), (" 09:00 ", 9 * HOUR),
    ],
)  # fmt: skip
def test_a_day_starts_at_a_time_of_its_own(given: str, seconds: float) -> None:
    """The date is that of the place: one in the east begins on the day before, in UTC."""
    assert seconds == day_start(given)


@pytest.mark.parametrize("given", ["", "9", "24:00", "09:60", "09:00+15:00", "noon", "09:00+8"])
def test_what_is_no_time_of_day_is_refused(given: str) -> None:
    """With what it should look like."""
    with pytest.raises(ValidationError, match="such as 09:00"):
        day_start(given)


@pytest.mark.parametrize(
    ("fields", "file"),
    [
        ({}, None),
        ({"state_file": Path("/x/state.sqlite3")}, Path("/x/usage.sqlite3")),
        ({"usage_file": Path("/y/mine")}, Path("/y/mine")),
        ({"usage_file": Path("/y/mine"), "usage_days": 0}, None),
        ({"state_file": Path("/x/s"), "usage_days": 0}, None),
    ],
)
def test_usage_is_kept_beside_the_state_if_anywhere(
    fields: dict[str, Any], file: Path | None
) -> None:
    """USAGE_FILE says where else, and USAGE_DAYS=0 that it is not."""
    assert file == Settings(auth_keys=("sk-a",), **fields).usage_at


@pytest.mark.parametrize(
    ("fields", "kept"), [({}, False), ({"metrics": True}, True), ({"metrics_port": 9464}, True)]
)
def test_metrics_are_kept_if_somebody_can_read_them(fields: dict[str, Any], kept: bool) -> None:
    """With `METRICS` or `METRICS_PORT`."""
    assert kept is Settings(auth_keys=("sk-a",), **fields).has_metrics
