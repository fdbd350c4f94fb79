"""Of how many pieces a JSON text is."""

from __future__ import annotations

import orjson
import pytest

from poe_proxy import json_pieces
from poe_proxy.json_pieces import has_more


@pytest.mark.parametrize(
    ("text", "values", "names"),
    [
        ("[" + "1," * 49_999 + "1]", 50_000, 0),
        ("[" + "[]," * 24_999 + "[]]", 50_000, 0),
        ("[" + '{"":1},' * 24_999 + '{"":1}]', 50_000, 25_000),
        ("[" + '"a",' * 49_999 + '"a"]', 50_000, 0),
    ],
    ids=["numbers", "lists", "names", "texts"],
)
def test_what_a_parser_makes_is_counted(text: str, values: int, names: int) -> None:
    """Values, lists and objects, each with its comma or bracket; and names."""
    for given in (text, text.encode(), bytearray(text.encode())):
        assert not has_more(given, values=values, names=names)
        assert has_more(given, values=values - 1, names=values)
        assert not names or has_more(given, values=values, names=names - 1)


@pytest.mark.parametrize(
    "string",
    [
        "1,2,3;" * 50_000,
        '{"a":["b"]},' * 50_000,
        "\\,\\\\," * 50_000,
        '",' * 50_000,
        "\ud800,é" * 50_000,
    ],
    ids=["table", "JSON", "backslashes", "quotes", "letters of other kinds"],
)
def test_what_stands_in_a_string_does_not_count(string: str) -> None:
    """However it is escaped, and whatever stands before and behind it."""
    kept = string.encode("utf-8", "replace").decode()
    text = orjson.dumps([kept, {"a": kept}, "\\"]).decode()

    assert not has_more(text, values=10, names=1)
    assert has_more(text, values=5, names=0)


def test_in_a_very_long_text_everything_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """To tell strings apart takes time as well."""
    text = '["' + "," * 10_000 + '"]'
    before = has_more(text, values=100, names=100)
    monkeypatch.setattr(json_pieces, "MOST_TOLD_APART", len(text) - 1)

    assert (False, True) == (before, has_more(text, values=100, names=100))
