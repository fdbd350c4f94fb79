"""Names of files that came from elsewhere."""

from __future__ import annotations

import pytest

from poe_proxy.net.filenames import tidy


@pytest.mark.parametrize(
    ("name", "tidied"),
    [
        ("a.pdf", "a.pdf"),
        ("报告 2.txt", "报告 2.txt"),
        ('../../etc/pa"ss\r\nwd', "passwd"),
        ("C:\\a\\b.txt", "b.txt"),
        ("a:b.txt", "ab.txt"),
        ("what? <is> *this*|.md", "what is this.md"),
        (" .hidden. ", "hidden"),
        ("a\N{RIGHT-TO-LEFT OVERRIDE}fdp.exe", "afdp.exe"),
        ("a\udcff.txt", "a.txt"),
        ("n" * 300 + ".png", "n" * 146 + ".png"),
        ("x" + "." * 200 + "y", "y"),
        ("", ""),
        ("...", ""),
        ("a/", ""),
        ("\x00", ""),
        (None, ""),
    ],
)
def test_only_what_is_fit(name: str | None, tidied: str) -> None:
    """The last part of a path, without what headers and file systems would take amiss."""
    assert tidied == tidy(name)


def test_something_instead() -> None:
    """Where it shall be seen that something is missing."""
    assert "a_b_.png" == tidy('a\nb".png', instead="_")


def test_at_most_so_long() -> None:
    """The end is kept: it says what kind of file it is."""
    assert "nn.png" == tidy("n" * 300 + ".png", at_most=6)


def test_a_name_without_an_end_has_its_last_letters() -> None:
    """What stands long before them is not looked at."""
    assert "x" * 147 + "a.b" == tidy("*" * 10_000_000 + "x" * 1000 + "a.b")
    assert "a.b" == tidy("x/" * 5_000_000 + "a.b")
