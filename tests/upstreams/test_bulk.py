"""Work on megabytes, in bits."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any
from urllib.parse import quote, quote_from_bytes

import orjson
import pytest

from poe_proxy.budget import Budget, OutOfBudget, Processor
from poe_proxy.upstreams import bulk
from poe_proxy.upstreams.bulk import (
    TooMuch,
    base64_decoded,
    digest,
    loads,
    percent_decoded,
    search,
)

#: Longer than one bit of work, and of all bytes.
LONG = bytes(range(256)) * 1500


def test_a_hash_is_that_of_the_whole() -> None:
    """However many pieces it has, and whatever their length."""
    long = LONG * 25

    assert hashlib.sha256(long + b"x").digest() == digest("sha256", long, b"", b"x")
    assert hashlib.md5().digest() == digest("md5")


@pytest.mark.parametrize("shift", range(4))
def test_percent_encoded_bytes_are_decoded(shift: int) -> None:
    """Wherever one bit of work ends."""
    text = "x" * shift + quote_from_bytes(LONG, safe="")

    assert b"x" * shift + LONG == percent_decoded(text)
    assert LONG == percent_decoded(text, shift)


@pytest.mark.parametrize("text", ["%", "%4", "a%", "%%%", "%zz" * 40_000, "100%-" * 30_000])
def test_what_is_no_escape_stays(text: str) -> None:
    """As in any URL."""
    assert text.encode() == percent_decoded(text)


@pytest.mark.parametrize("length", range(len(LONG) - 4, len(LONG)))
@pytest.mark.parametrize("shift", range(4))
def test_base64_is_decoded(length: int, shift: int) -> None:
    """Escaped, in lines or as it is; wherever one bit of work ends."""
    data = LONG[:length]
    text = base64.b64encode(data).decode()
    lines = base64.encodebytes(data).decode()

    for way in (text, lines, quote(text, safe=""), quote(lines)):
        assert data == base64_decoded(" " * shift + way)
    assert data == base64_decoded("," * shift + text, shift)


@pytest.mark.parametrize(
    "text", ["a", "QQ", "QQ=", "QQ==Q", "QQ==QUJD", "Q*==", "é", "%E9", "QQ==="]
)
@pytest.mark.parametrize("before", ["", "QUJD" * 40_000])
def test_what_is_no_base64_is_refused(text: str, before: str) -> None:
    """Nothing is left out in silence."""
    with pytest.raises(ValueError, match="base64"):
        base64_decoded(before + text)


def test_padding_is_the_end() -> None:
    """Whatever follows in another bit of work does not belong to it."""
    with pytest.raises(ValueError, match="behind its end"):
        base64_decoded("QUJD" * (65_536 // 4 - 1) + "QQ==" + "QUJD")


def test_json_is_parsed() -> None:
    """A long text of prose as well as a short one of many pieces."""
    assert {"a": ["b, c: d" * 50_000]} == loads(b'{"a":["%s"]}' % (b"b, c: d" * 50_000))
    assert [1] * 100_000 == loads("[" + "1," * 99_999 + "1]")


@pytest.mark.parametrize(
    "text",
    ["[" + "1," * bulk.MAX_VALUES + "1]", "[" + '{"":1},' * bulk.MAX_NAMES + '{"":1}]'],
    ids=["values", "names"],
)
def test_json_of_too_many_pieces_is_not_parsed(text: str) -> None:
    """It would hold up everybody else, and fill the memory."""
    for given in (text, text.encode()):
        with pytest.raises(TooMuch):
            loads(given)


@pytest.mark.parametrize("text", ["", "{", "nul"])
def test_json_that_is_none(text: str) -> None:
    """A failure of its own, and a ValueError, like what is too much."""
    with pytest.raises(orjson.JSONDecodeError):
        loads(text)

    assert issubclass(orjson.JSONDecodeError, ValueError)
    assert issubclass(TooMuch, ValueError)


@pytest.mark.parametrize("place", [0, 1, 1000, 1023, 1024, 1025, 2047, 2048, 9000])
def test_a_pattern_is_found_in_any_place(place: int) -> None:
    """Whole, also where one bit of work ends."""
    text = "x" * place + "key=" + "7" * 900 + "x" * 9000
    found = search(re.compile(r"key=(\d+)"), text, Budget())

    assert found is not None
    assert (place, "7" * 900) == (found.start(), found[1])


def test_a_pattern_is_found_where_it_is_first() -> None:
    """As in a search of the whole."""
    text = ("x" * 5000 + "key=1") * 3
    found = search(re.compile("key=1"), text, Budget())

    assert found is not None
    assert 5000 == found.start()
    assert search(re.compile("nothing"), text, Budget()) is None


def test_a_search_is_within_its_budget() -> None:
    """Each bit of it is counted, and the last one that is left is the last one."""
    clock: list[float] = []

    class Counted(Budget):
        def breathe(self) -> None:
            clock.append(0.02)  # what a bit of it took
            super().breathe()

    budget = Counted(0.1, processor=Processor(clock=lambda: sum(clock), sleep=lambda _: None))
    with pytest.raises(OutOfBudget), budget.work("searching"):
        search(re.compile("nothing"), "x" * 100_000, budget)

    assert 5 == len(clock)


def test_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two bits, however long the whole."""
    turns: list[str] = []
    monkeypatch.setattr(bulk, "breathe", lambda: turns.append("hash"))
    digest("sha256", bytes(40_000_000))
    percent_decoded("x" * 655_360, 0, lambda: turns.append("escapes"))
    base64_decoded("QUJD" * 163_840, 0, lambda: turns.append("base64"))

    assert [10, 10, 10] == [turns.count(one) for one in ("hash", "escapes", "base64")]


HALVES = [
    (rb'["a\ud83d", "\ude00b", "\ud83dx"]', ["a\ud83d", "\ude00b", "\ud83dx"]),
    (rb'{"\\ud83d\\\ud83d": "\ud83d\ude00"}', {"\\ud83d\\\ud83d": "\U0001f600"}),
    (b'"\xed\xa0\xbd\\u00e9"', "\ud83dé"),
    (rb'["\ud83d", 18446744073709551616, -0.5, null]', ["\ud83d", 2.0**64, -0.5, None]),
]


@pytest.mark.parametrize(("text", "value"), HALVES)
def test_half_an_emoji_spoils_no_json(text: bytes, value: Any) -> None:
    """It is a half for those who can join it, and no more than one bad character for others."""
    assert value == loads(text, keep_halves=True)
    written = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass")
    assert json.loads(written.decode("utf-16", "replace")) == loads(text)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (rb'["\ud83d"', "delimiter"),
        (rb'["\ud83d", NaN]', "NaN is no JSON"),
        (b'["\\ud83d\xff"]', "can't decode"),
        (b"[" * 990 + rb'"\ud83d"' + b"]" * 990, "nested too deeply"),
    ],
)
def test_with_half_an_emoji_the_rest_must_be_json(text: bytes, complaint: str, keep: bool) -> None:
    """What is broken besides is refused as it always is."""
    with pytest.raises(ValueError, match=complaint):
        loads(text, keep_halves=keep)


@pytest.mark.parametrize("before", [0, 65_530, 65_536, 200_000])
def test_all_matches_are_found_wherever_they_stand(before: int) -> None:
    """As `finditer` finds them, those across the borders of slices included, and no other."""
    pattern = re.compile(r"(?<!\w)ab{1,500}")
    text = f"{'.' * before}abbb ab xab {'ab' + 'b' * 400}{'.' * 70_000}ab"

    found = [one.span() for one in bulk.matches(pattern, text, Budget(5))]

    assert [one.span() for one in pattern.finditer(text)] == found


def test_matches_of_nothing_come_to_an_end() -> None:
    """Each place of the text has one."""
    assert 5 == len(list(bulk.matches(re.compile(""), "x" * 5, Budget(5))))


def test_the_others_have_their_turn_while_matches_are_looked_for() -> None:
    """However long the text is, and however many there are."""

    class Counting(Budget):
        turns = 0

        def breathe(self, shared: float = 0.0) -> None:
            self.turns += 1

    budget = Counting()
    assert not list(bulk.matches(re.compile("a"), "b" * 1_000_000, budget))

    assert 15 < budget.turns
