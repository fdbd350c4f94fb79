"""What two texts have in common at their beginning."""

from __future__ import annotations

import pytest

from poe_proxy.shaping.prefix import common_length


@pytest.mark.parametrize(
    ("one", "other", "length"),
    [
        ("", "", 0),
        ("a", "", 0),
        ("abc", "abc", 3),
        ("abc", "abd", 2),
        ("abc", "abcd", 3),
        ("xbc", "abc", 0),
        ("aaaaab", "aaaaac", 5),
        ("ab" * 50 + "x", "ab" * 60, 100),
    ],
)
def test_it_is_as_long_as_they_are_the_same(one: str, other: str, length: int) -> None:
    """Whichever of the two comes first."""
    assert length == common_length(one, other) == common_length(other, one)
