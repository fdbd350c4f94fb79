"""The curve of the last hour."""

from __future__ import annotations

import re

from poe_proxy.server.admin.curve import HEIGHT, WIDTH, paths


def test_the_curve_stays_in_its_picture() -> None:
    """However many requests there were; an hour without any is flat."""
    for minutes in ([[0, 0]] * 60, [[10**6, 10**6]] * 60, [[1, 0]] * 59 + [[900, 3]]):
        for path in paths(minutes).values():
            points = re.findall(r"[ML](\d+) (\d+)", path)
            assert len(points) == len(re.findall("[ML]", path))
            assert all(int(x) <= WIDTH and int(y) <= HEIGHT for x, y in points)


def test_a_single_request_is_no_mountain() -> None:
    """It is a quarter of the height."""
    ((_, top),) = re.findall(r"L(600) (\d+) L600", paths([[0, 0]] * 59 + [[1, 0]])["requests"])

    assert HEIGHT * 0.7 < int(top) < HEIGHT * 0.8
