"""From when to when, and by what."""

from __future__ import annotations

import pytest

from poe_proxy.clients.windows import Calendar
from poe_proxy.errors import InvalidRequest
from poe_proxy.usage.wanted import Days, Wanted, read

from .fixtures import NOON, micro, seconds

UTC = Days()


def asked(days: Days = UTC, **fields: str) -> Wanted:
    """What these fields ask for at noon."""
    named = {name.rstrip("_"): value for name, value in fields.items()}
    return read(named, now=seconds(NOON), days=days)


def test_the_last_thirty_days_are_what_is_told() -> None:
    """Of all clients, and all of it together."""
    assert Wanted(micro("2026-10-29T12:00:00+00:00"), micro(NOON)) == asked()


@pytest.mark.parametrize(
    ("given", "begin"),
    [
        ("2026-11-01", "2026-11-01T00:00:00+00:00"),
        ("2026-11-01T09:30:00Z", "2026-11-01T09:30:00+00:00"),
        ("2026-11-01T09:30:00+08:00", "2026-11-01T01:30:00+00:00"),
        ("2026-11-01T09:30:00 08:00", "2026-11-01T01:30:00+00:00"),
        ("2026-11-01T09:30", "2026-11-01T09:30:00+00:00"),
    ],
)
def test_it_begins_on_a_day_or_at_a_time(given: str, begin: str) -> None:
    """In UTC, unless it says something else; its plus may have become a blank on the way."""
    assert micro(begin) == asked(from_=given).begin


def test_a_day_at_the_end_is_part_of_it() -> None:
    """A single day is from that day to that day."""
    found = asked(from_="2026-11-01", to="2026-11-01")

    assert (micro("2026-11-01T00:00:00+00:00"), micro("2026-11-02T00:00:00+00:00")) == (
        found.begin, found.end,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("begins", "start"),
    [
        pytest.param(3600.0, "2026-11-01T01:00:00+00:00", id="09:00 in China"),
        pytest.param(-28800.0, "2026-10-31T16:00:00+00:00", id="midnight in China"),
        pytest.param(-46800.0, "2026-10-31T11:00:00+00:00", id="midnight in Samoa"),
        pytest.param(64800.0, "2026-11-01T18:00:00+00:00", id="13:00 in New York"),
        pytest.param(18000.0, "2026-11-01T05:00:00+00:00", id="midnight in New York"),
    ],
)
def test_days_begin_as_the_settings_say(begins: float, start: str) -> None:
    """And are called after the date that they begin on there, as those of budgets are."""
    days = Days(begins)

    assert micro(start) == asked(days, from_="2026-11-01").begin
    number = (micro(start) + days.shift) // 86_400_000_000
    assert "2026-11-01" == days.name(number)
    assert "2026-10-31" == days.name((micro(start) - 1 + days.shift) // 86_400_000_000)
    assert number == Calendar(begins).day(micro(start) / 1_000_000)


def test_several_groups_are_named_with_commas() -> None:
    """In their order, each once."""
    assert ("day", "client") == asked(group_by="day, client,day").by
    assert () == asked(group_by="").by


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ({"from_": "yesterday"}, "from", "2026-11-30"),
        ({"from_": "2026-13-01"}, "from", "2026-11-30"),
        ({"to": "2026-11-01T99:00"}, "to", "2026-11-30"),
        ({"to": "9" * 200}, "to", "2026-11-30"),
        ({"from_": "2026-11-29"}, "from", "after the end"),
        ({"group_by": "colour"}, "group_by", "client, model"),
        ({"group_by": "client;drop table"}, "group_by", "client, model"),
        ({"group_by": "client," * 50}, "group_by", "client, model"),
        ({"groupby": "client"}, "groupby", "did you mean group_by"),
        ({"x" * 500: "client"}, "x" * 100, "There are from, to, group_by"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(fields: dict[str, str], param: str, says: str) -> None:
    """By its field."""
    with pytest.raises(InvalidRequest, match=says) as refused:
        asked(**fields)

    assert param == refused.value.param
