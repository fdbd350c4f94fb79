"""What is written."""

from __future__ import annotations

import pytest

from poe_proxy.command import screen


def test_nothing_that_comes_from_outside_commands_the_terminal() -> None:
    """Lines and tabs stay; what a terminal obeys is shown."""
    said = "one\n\ttwo\r\n\x1b[2J\x1b]0;title\x07 \u202e three \x9b31m"

    assert "one\n\ttwo\n\\x1b[2J\\x1b]0;title\\x07 \\u202e three \\x9b31m" == screen.plain(said)
    assert "one\\n\\ttwo" in screen.line(said)


def test_a_line_is_one_line_and_not_endless() -> None:
    """Whatever ends a line is shown, and what is long is cut."""
    assert "a\\nb..." == screen.line("a\nbcdef", 4)


def test_a_table_has_columns() -> None:
    """Numbers stand at the right."""
    table = screen.table(["name", "points"], [["a", "1"], ["bcdef\x1b", "200"]], right=[1])

    assert [
        "a               1",
        "bcdef\\x1b     200",
    ] == table.splitlines()[1:]


def test_a_row_that_is_too_wide_for_the_terminal_has_several_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing of it is left out, and no line is broken by the terminal; a file has one line."""
    rows = [["cookie-1", "0 of 1 at a time, 0 of 60 in 1 min", "1,000"], ["b", "none", "2"]]
    monkeypatch.setenv("COLUMNS", "37")
    assert 3 == len(screen.table(["name", "use", "points"], rows, right=[2]).splitlines())
    monkeypatch.setattr(screen, "is_terminal", lambda: True)

    assert [
        "cookie-1  0 of 1 at a time, 0   1,000",
        "          of 60 in 1 min",
        "b         none                      2",
    ] == screen.table(["name", "use", "points"], rows, right=[2]).splitlines()[1:]
    assert 3 == len(list(screen.drawn(["name", "use", "points"], rows)))
