"""The count of instructions says what has become slower; `make bench-test`."""

from __future__ import annotations

import pytest

from bench import hot_paths, instructions


def test_a_path_that_takes_more_than_a_quarter_more_is_told() -> None:
    """A count beyond the limit fails and is told; one within it is neither."""
    by_itself = "The interpreter by itself"
    known = {by_itself: 1000, "one": 100, "other": 100}

    said, is_good = instructions.compared({by_itself: 1010, "one": 126, "other": 125}, known)
    as_known, all_good = instructions.compared(dict(known), known)

    assert not is_good
    assert ["one"] == [line.split(": ")[1] for line in said if line.startswith("SLOWER")]
    assert all_good
    assert "3 hot paths" in as_known[0]


def test_a_path_without_a_record_is_told() -> None:
    """Whoever adds a path has to record it."""
    by_itself = "The interpreter by itself"

    said, is_good = instructions.compared({by_itself: 1000, "new": 5}, {by_itself: 1000})

    assert not is_good
    assert said[0].startswith("NOT ON RECORD: new")


@pytest.mark.parametrize("known", [{}, {"The interpreter by itself": 500, "one": 1}])
def test_another_python_is_not_compared(known: dict[str, int]) -> None:
    """Counts of another interpreter say nothing, and nothing fails; that is said."""
    said, is_good = instructions.compared({"The interpreter by itself": 1000, "one": 9}, known)

    assert is_good
    assert said[0].startswith("NOT COMPARED")


def test_each_hot_path_runs() -> None:
    """What is counted can be called again and again."""
    for prepare in hot_paths.PATHS.values():
        call = prepare()
        for _ in range(3):
            call()
