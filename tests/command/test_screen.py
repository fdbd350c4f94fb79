"""What is written."""

from __future__ import annotations

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
