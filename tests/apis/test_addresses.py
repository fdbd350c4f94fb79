"""URLs and data URIs: every way to write base64 becomes the one that all bots read."""

from __future__ import annotations

import base64

import pytest

from poe_proxy.apis import addresses
from poe_proxy.apis.addresses import address, data_uri, sound
from poe_proxy.budget import Budget, OutOfBudget
from poe_proxy.errors import InvalidRequest

#: Bytes whose base64 has both letters that differ between the alphabets, and all of its padding.
DATA = bytes([251, 255, 191, 0])
PLAIN = "+/+/AA=="


def read(url: str) -> str:
    return address(url, "url", Budget())


@pytest.mark.parametrize(
    "written",
    [
        PLAIN, "+/+/AA", "-_-_AA==", "-_-_AA", "+/+/\r\nAA==\n", " +/+/ AA", "%2B/%2b%2FAA%3D%3d",
        "-_-_AA%3D%3D", "+/+/AA=", "+/+/%0D%0AAA==",
    ],
)  # fmt: skip
def test_base64_becomes_plain(written: str) -> None:
    """Without padding, in the alphabet for URLs, in lines, escaped: it means the same bytes."""
    found = read(f"data:image/png;base64,{written}")

    assert f"data:image/png;base64,{PLAIN}" == found
    assert DATA == base64.b64decode(found.partition(",")[2], validate=True)


@pytest.mark.parametrize("length", range(9))
def test_any_length_is_padded_rightly(length: int) -> None:
    """Whatever the number of bytes, what was stripped comes back."""
    data = bytes(range(250, 250 + min(length, 6))) + b"x" * (length - min(length, 6))
    whole = base64.b64encode(data).decode()
    stripped = base64.urlsafe_b64encode(data).decode().rstrip("=")

    assert f"data:;base64,{whole}" == read(f"data:;base64,{stripped}")


def test_slices_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large ones are read bit by bit; a bit may end anywhere."""
    data = bytes(range(256)) * 3
    written = "\n".join(base64.urlsafe_b64encode(data).decode().rstrip("="))
    for size in (1, 2, 3, 5, 7):
        monkeypatch.setattr(addresses, "_SLICE", size)
        assert base64.b64encode(data).decode() == read(f"data:;base64,{written}").partition(",")[2]


@pytest.mark.parametrize(
    "uri",
    [
        f"data:image/png;base64,{PLAIN}",
        "data:text/plain,a-b_c d%20e",
        "data:image/png;base64,AAAAA",  # a letter too many: no bytes have this
        "data:image/png;base64,\u4e16\u754c-",
        "data:no comma" + "-" * 2000,
        "https://example.com/a-b_c d",
    ],
    ids=["plain", "no base64", "one letter", "no letters of it", "no comma", "a URL"],
)
def test_all_else_stays_as_it_is(uri: str) -> None:
    """What is plain already, and what is no base64 whatever is done to it."""
    assert uri == read(uri)


def test_what_is_plain_is_not_copied() -> None:
    """A body may have many megabytes of it."""
    uri = "data:image/png;base64," + PLAIN * 10_000

    assert uri is read(uri)


@pytest.mark.parametrize("url", ["", "x", "ftp://x/y", "file:///etc/passwd", "AA=="])
def test_an_address_has_a_scheme_that_is_known(url: str) -> None:
    """The refusal names the field, and does not repeat what was sent."""
    with pytest.raises(InvalidRequest) as refusal:
        address(url, "a.b[0]", Budget())

    assert ("a.b[0]", "a.b[0] must be an https URL or a data URI.") == (
        refusal.value.param,
        refusal.value.message,
    )


def test_a_data_uri_is_not_put_into_another_one() -> None:
    """Where base64 is expected some programs send all of it."""
    assert "data:image/png;base64,AAAA" == data_uri("image/png", "AAAA", "x", Budget())
    assert "data:image/jpeg;base64,AAAA" == data_uri(
        "image/png", "data:image/jpeg;base64,AAAA", "x", Budget()
    )


@pytest.mark.parametrize(
    ("data", "kind", "found", "name"),
    [
        ("AAAA", "wav", "data:audio/wav;base64,AAAA", "audio.wav"),
        ("AAAA", "MP3", "data:audio/mp3;base64,AAAA", "audio.mp3"),
        ("AAAA", "audio/wav", "data:audio/wav;base64,AAAA", "audio.wav"),
        ("-_8", "wav", "data:audio/wav;base64,+/8=", "audio.wav"),
        ("data:;base64,AAAA", "wav", "data:audio/wav;base64,AAAA", "audio.wav"),
        ("data:audio/wav;base64,AAAA", "wav", "data:audio/wav;base64,AAAA", "audio.wav"),
        ("data:audio/wav;base64,AAAA", None, "data:audio/wav;base64,AAAA", "audio.wav"),
        ("DATA:audio/mpeg;base64,AAA", None, "data:audio/mpeg;base64,AAA=", "audio.mp3"),
        ("data:audio/ogg;codecs=opus;base64,AAAA", None,
         "data:audio/ogg;codecs=opus;base64,AAAA", "audio.ogg"),
        ("data:application/octet-stream;base64,AAAA", "wav", "data:audio/wav;base64,AAAA",
         "audio.wav"),
        ("https://example.com/a.mp3", "mp3", "https://example.com/a.mp3", "audio.mp3"),
    ],
)  # fmt: skip
def test_a_sound_has_one_prefix(data: str, kind: str | None, found: str, name: str) -> None:
    """Base64 or a data URI of it, with the format beside it or within."""
    assert (found, name) == sound(data, kind, "a", Budget())


@pytest.mark.parametrize(
    ("data", "kind", "param"),
    [
        ("AAAA", None, "a.format"),
        ("data:;base64,AAAA", None, "a.format"),
        ("AAAA", "wav;x,", "a.format"),
        ("data:text/plain,AAAA", "wav", "a.data"),
        ("data:nothing", "wav", "a.data"),
    ],
)
def test_a_sound_of_which_nothing_is_known_is_refused(
    data: str, kind: str | None, param: str
) -> None:
    """Nobody could hear it."""
    with pytest.raises(InvalidRequest) as refusal:
        sound(data, kind, "a", Budget())

    assert param == refusal.value.param


def test_reading_costs_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others get their turn in between, and there is an end to it."""
    budget = Budget(0.0)
    monkeypatch.setattr(addresses, "_SLICE", 10)
    with pytest.raises(OutOfBudget), budget.work("reading a request"):
        address("data:;base64," + "-" * 1000, "x", budget)
