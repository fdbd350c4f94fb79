"""How many wrong keys in place of the one of whoever runs the server are looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from poe_proxy.server.guesses import (
    MOST_GUESSES,
    MOST_GUESSES_OF_ALL,
    MOST_KNOWN,
    Guesses,
    TooManyGuesses,
)

from ..fakes import Clock
from .site import KEY, Site

ADMIN = "sk-the-owner-of-it"


def test_keys_cannot_be_tried_without_end() -> None:
    """Ten wrong ones in a minute from one address; others may still come."""
    clock = Clock()
    guesses = Guesses(clock)
    for _ in range(MOST_GUESSES):
        guesses.check("10.0.0.1")
        guesses.wrong("10.0.0.1")

    with pytest.raises(TooManyGuesses) as refused:
        guesses.check("10.0.0.1")
    assert 60.0 == refused.value.retry_after
    guesses.check("10.0.0.2")
    clock.go(60.0)
    guesses.check("10.0.0.1")


def test_nor_from_many_addresses() -> None:
    """Two hundred in a minute from all of them."""
    guesses = Guesses(Clock())
    for number in range(MOST_GUESSES_OF_ALL):
        guesses.wrong(f"10.0.0.{number}")

    with pytest.raises(TooManyGuesses):
        guesses.check("10.0.1.1")


def test_workers_count_together_what_each_tells() -> None:
    """Guesses at several of them are no more than at one; and the owner is known to all."""
    one, other = Guesses(Clock()), Guesses(Clock())
    one.tell = lambda place, is_right: other.heard(place, is_right=is_right)
    for _ in range(MOST_GUESSES):
        other.check("2001:db8::1")
        one.wrong("2001:db8::1")
    with pytest.raises(TooManyGuesses):
        other.check("2001:db8::2")
    one.right("10.9.9.9")
    for number in range(MOST_GUESSES_OF_ALL):
        one.wrong(f"10.0.{number // 256}.{number % 256}")

    other.check("10.9.9.9")
    with pytest.raises(TooManyGuesses):
        other.check("10.9.9.8")


def test_what_is_told_is_of_this_minute() -> None:
    """Also where nobody has asked since the last one; and the right key is told of once."""
    clock = Clock()
    guesses = Guesses(clock)
    told: list[tuple[str, bool]] = []
    guesses.tell = lambda place, is_right: told.append((place, is_right))
    for _ in range(MOST_GUESSES - 1):
        guesses.heard("10.0.0.1", is_right=False)
    clock.go(60.0)
    guesses.heard("10.0.0.1", is_right=False)
    guesses.check("10.0.0.1")
    for _ in range(2):
        guesses.right("10.0.0.2")
    guesses.wrong("10.0.0.2")

    assert [("10.0.0.2", True), ("10.0.0.2", False)] == told


@pytest.mark.parametrize("known", ["127.0.0.1", "::1", "10.9.9.9"])
def test_what_others_try_does_not_keep_the_owner_out(known: str) -> None:
    """Neither on this machine, nor where the right key has come from; wrong keys from there do."""
    guesses = Guesses(Clock())
    guesses.right("10.9.9.9")
    for number in range(MOST_GUESSES_OF_ALL):
        guesses.wrong(f"10.0.0.{number}")

    guesses.check(known)
    for _ in range(MOST_GUESSES):
        guesses.wrong(known)
    with pytest.raises(TooManyGuesses):
        guesses.check(known)


def test_of_the_addresses_of_owners_the_last_ones_are_remembered() -> None:
    """However many there were."""
    guesses = Guesses(Clock())
    for number in range(MOST_KNOWN + 1):
        guesses.right(f"10.1.0.{number}")
    for number in range(MOST_GUESSES_OF_ALL):
        guesses.wrong(f"10.0.0.{number}")

    guesses.check("10.1.0.1")
    with pytest.raises(TooManyGuesses):
        guesses.check("10.1.0.0")


@pytest.mark.parametrize(
    ("one_of_them", "another", "of_others"),
    [
        ("2001:db8:0:1::{:x}", "2001:db8:0:1:ffff::1", "2001:db8:0:2::1"),
        ("127.0.0.{}", "127.9.9.9", "10.0.0.1"),
        ("127.0.0.{}", "::1", "10.0.0.1"),
    ],
)
def test_addresses_of_one_house_count_as_one(
    one_of_them: str, another: str, of_others: str
) -> None:
    """It has more of IPv6 than anybody could count, and so has each machine of its own ones."""
    guesses = Guesses(Clock())
    for number in range(MOST_GUESSES):
        guesses.wrong(one_of_them.format(number))

    guesses.check(of_others)
    with pytest.raises(TooManyGuesses):
        guesses.check(another)


@pytest.mark.parametrize("path", ["/metrics", "/v1/usage", "/status.json", "/admin/clients"])
def test_they_are_bounded_on_each_route_that_takes_the_key(path: str, tmp_path: Path) -> None:
    """A guess is worth the same on all of them."""
    site = Site(admin_key=ADMIN, metrics=True, usage_file=tmp_path / "usage.sqlite3")

    def status(key: str) -> int:
        return site.client.get(path, headers={"x-api-key": key}).status_code

    assert 200 == status(ADMIN)
    assert [401] * MOST_GUESSES == [status(f"sk-guess-{n}") for n in range(MOST_GUESSES)]
    assert 429 == status("sk-guess")
    assert 429 == status(ADMIN)
    site.close()


def test_a_client_cannot_guess_beside_its_own_key(tmp_path: Path) -> None:
    """The first key counts, and whose it is; its own use is never refused for guesses."""
    site = Site(admin_key=ADMIN, usage_file=tmp_path / "usage.sqlite3")
    both = {"Authorization": f"Bearer {KEY}", "x-api-key": ADMIN}

    for _ in range(MOST_GUESSES + 1):
        answer = site.client.get("/v1/usage", headers=both)
        assert 200 == answer.status_code
        assert "charged" not in answer.json
    site.close()
