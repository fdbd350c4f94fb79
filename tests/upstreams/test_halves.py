"""Halves of surrogate pairs."""

from __future__ import annotations

import pytest

from poe_proxy.upstreams.halves import Halves, joined

HIGH, LOW, EMOJI = "\ud83d", "\ude00", "\U0001f600"


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("", ""),
        ("plain", "plain"),
        (f"é{EMOJI}", f"é{EMOJI}"),
        (f"a{HIGH}{LOW}b", f"a{EMOJI}b"),
        (f"a{HIGH}b{LOW}{HIGH}", "a\ufffdb\ufffd\ufffd"),
        (f"{HIGH}{HIGH}{LOW}{LOW}", f"\ufffd{EMOJI}\ufffd"),
    ],
)
def test_halves_are_joined(text: str, whole: str) -> None:
    """Two that belong together are the emoji, a lone one is U+FFFD, and all else stays."""
    assert whole == joined(text)
    for at in range(len(text) + 1):
        halves = Halves()
        assert whole == halves.feed(text[:at]) + halves.feed(text[at:]) + halves.flush()
    halves = Halves()
    assert whole == "".join(map(halves.feed, text)) + halves.flush()


def test_only_a_first_half_waits() -> None:
    """All before it is passed on at once."""
    halves = Halves()

    assert ["a", f"{EMOJI}b", "\ufffd", ""] == [
        *map(halves.feed, (f"a{HIGH}", f"{LOW}b", LOW)), halves.flush()
    ]  # fmt: skip
