"""Tokens as people write them."""

from __future__ import annotations

import uuid

import pytest

from poe_proxy.upstreams.poe_web.credentials import Credentials


@pytest.mark.parametrize(
    ("text", "cookies"),
    [
        ("Ab1Cd2%3D%3D", {"p-b": "Ab1Cd2%3D%3D"}),
        ("Ab1Cd2==", {"p-b": "Ab1Cd2=="}),
        ("Ab1Cd2=", {"p-b": "Ab1Cd2="}),
        ("  Ab1Cd2  ", {"p-b": "Ab1Cd2"}),
        ("p-b=Ab1==", {"p-b": "Ab1=="}),
        ("p-b=Ab1; p-lat=Cd2%2B", {"p-b": "Ab1", "p-lat": "Cd2%2B"}),
        ("p-lat=Cd2;p-b=Ab1;", {"p-b": "Ab1", "p-lat": "Cd2"}),
        ('p-b="Ab1"', {"p-b": "Ab1"}),
        ("Cookie: p-b=Ab1; __cf_bm=x.y", {"p-b": "Ab1", "__cf_bm": "x.y"}),
        ("p-b=Ab1; cf_clearance=a-b_c.d", {"p-b": "Ab1", "cf_clearance": "a-b_c.d"}),
    ],
)
def test_a_token_is_read_in_all_its_forms(text: str, cookies: dict[str, str]) -> None:
    """Bare or in a list, each value stays exactly as it was given."""
    assert cookies == Credentials.parse(text).cookies


def test_a_form_key_is_no_cookie() -> None:
    """The form key stands in the list, and is not sent as a cookie."""
    key = "3f9a1c0d5e7b2846a0c4e8f1b7d3952e"
    found = Credentials.parse(f"p-b=Ab1; formkey={key}")

    assert key == found.formkey
    assert {"p-b": "Ab1"} == found.cookies


@pytest.mark.parametrize(
    "text",
    [
        "",
        "p-lat=only",
        "p-b=",
        "p-b=has space",
        "secret\r\nX-Header: 1",
        "sécret",
        "p-b=secret; formkey=short",
        "p-b=secret; formkey=3F9A1C0D5E7B2846A0C4E8F1B7D3952E",
        "secret,secret",
        "p-b=secret; bad name=x",
    ],
)
def test_what_is_no_token_is_refused_without_repeating_it(text: str) -> None:
    """A token that makes no sense is refused by a sentence that does not hold it."""
    with pytest.raises(ValueError, match=r"\.|=") as refusal:
        Credentials.parse(text)

    assert "secret" not in str(refusal.value)
    assert "only" not in str(refusal.value)


def test_an_account_is_one_in_any_spelling() -> None:
    """Encoded or not, with other cookies or not: the same p-b is the same account."""
    one, same = Credentials.parse("Ab%3D%3D"), Credentials.parse("p-b=Ab==; p-lat=x")

    assert one == same
    assert 1 == len({one, same})
    assert one != Credentials.parse("Ac%3D%3D")


def test_credentials_do_not_show_themselves() -> None:
    """Neither repr nor str has a value in it."""
    shown = repr(Credentials.parse("p-b=secret; formkey=" + "0" * 32))

    assert "secret" not in shown
    assert "000" not in shown


def test_an_account_is_named_by_its_decoded_cookie() -> None:
    """The same in all spellings."""
    spellings = ["Ab1%3D%3D", "p-b=Ab1==", "p-lat=x; p-b=Ab1%3D="]

    assert {"Ab1=="} == {Credentials.parse(text).secret for text in spellings}


def test_what_a_challenge_was_passed_with_is_of_one_address() -> None:
    """Poe takes such a cookie from nowhere else."""
    assert Credentials.parse("p-b=x; cf_clearance=y").is_of_one_address
    assert not Credentials.parse("p-b=cf_clearance; p-lat=y").is_of_one_address


def test_a_device_belongs_to_its_account() -> None:
    """It is a UUID of version 4 that follows from the account, so it outlives the process."""
    devices = [Credentials.parse(text).device for text in ("Ab1%3D", "p-b=Ab1=", "other")]

    assert devices[0] == devices[1] != devices[2]
    assert "89cab3cf-de35-425a-ae73-02bca4288cc7" == devices[0]
    assert (4, uuid.RFC_4122) == (uuid.UUID(devices[0]).version, uuid.UUID(devices[0]).variant)
    assert "Ab1" not in devices[0]
