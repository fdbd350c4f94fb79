"""What the doctor looks at."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from datetime import date
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from poe_proxy.command import looking
from poe_proxy.command.looking import Finding, Way
from poe_proxy.net.http1 import Head, Headers
from poe_proxy.net.transfer import Stage, Trouble
from poe_proxy.settings import Settings
from poe_proxy.upstreams.poe_web.graphql import AGAINST_CHALLENGES

from .canned import Canned

NOW = 1_700_000_000.0


def way(proxy: str | None = None) -> Way:
    return Way("https://poe.example", "/login", {}, proxy)


def head(status: int = 200, now: float = NOW, **headers: str) -> Head:
    given = {"date": formatdate(now, usegmt=True), **headers}
    return Head(
        status,
        Headers({name.encode(): [value.encode()] for name, value in given.items()}),
    )


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Finding]]:
    """Look at a way on which this comes back."""

    def looked(came: Any, proxy: str | None = None, look_up: Any = None) -> list[Finding]:
        monkeypatch.setattr(looking, "_first", lambda _: came)
        look_up = look_up or (lambda _: "192.0.2.1")
        return list(looking.look_at_way(way(proxy), look_up=look_up, wall=lambda: NOW))

    return looked


def marks(findings: list[Finding]) -> list[str]:
    return [one.mark for one in findings]


# ---- what is known of Poe's site

#: A day on which what is built in is old, and one on which an entry of this file is not.
TODAY = date(2026, 11, 30)
NEW = 'sendMessageMutation = { value = "%s", seen = "2026-11-29", source = "page" }\n' % ("0" * 64)


def site_of(today: date = TODAY, **settings: Any) -> list[Finding]:
    given = {"auth_keys": ("k",), "tokens": ("a",), **settings}
    return list(looking.look_at_site(Settings(**given), lambda: today))


def test_what_is_built_in_has_an_age() -> None:
    """Beyond half a year it is worth a note, and no more: it may work all the same."""
    (old,) = site_of()
    (new,) = site_of(date(2026, 3, 13))

    assert ("note", "ok") == (old.mark, new.mark)
    assert re.fullmatch(
        r"Poe's site: as built in, \d+ hashes; the newest evidence is of 2026-03-12, 263 days old.",
        old.text,
    )
    assert "`poe-proxy discover`" in old.remedy
    assert new.text.endswith("2026-03-12, yesterday")


def test_the_file_on_top_is_named(tmp_path: Path) -> None:
    """With the entries of it that count, wherever it is."""
    own = tmp_path / "own.toml"
    own.write_text(f"[operations]\n{NEW}")
    beside = tmp_path / "site.toml"
    beside.write_text(f'[operations]\n{NEW}[pages]\ngetter_name = "abc"\n')

    (by_setting,) = site_of(poe_site=own)
    (by_itself,) = site_of(state_file=tmp_path / "state.sqlite3")

    assert f"Poe's site: 1 entry of {own} on top of what is built in, " in by_setting.text
    assert f"Poe's site: 2 entries of {beside} on top of what is built in, " in by_itself.text
    assert {"ok"} == set(marks([by_setting, by_itself]))
    assert by_itself.text.endswith("of 2026-11-29, yesterday")


def test_a_site_that_nobody_uses_is_not_told_of(tmp_path: Path) -> None:
    """Nor one with a mistake, which is among the problems."""
    broken = tmp_path / "broken.toml"
    broken.write_text("[operations")

    assert [] == site_of(tokens=(), api_keys=("a",))
    assert [] == site_of(poe_site=broken)


# ---- the way to Poe


def test_a_good_way_is_told_step_by_step(look: Callable[..., list[Finding]]) -> None:
    """Its name has an address, Poe answers, and its clock agrees with ours."""
    assert [
        "poe.example is 192.0.2.1",
        "poe.example answers, in 0.0 s",
        "the clock is right, to 1 s",
    ] == [one.text for one in look(head())]


@pytest.mark.parametrize(("ahead", "said"), [(300, "300 s ahead"), (-7200, "7200 s behind")])
def test_a_wrong_clock_is_found(look: Callable[..., list[Finding]], ahead: int, said: str) -> None:
    """By Poe's own, and with how to set it."""
    found = look(head(now=NOW - ahead))

    assert ["ok", "ok", "wrong"] == marks(found)
    assert said in found[-1].text
    assert "timedatectl" in found[-1].remedy


@pytest.mark.parametrize("told", ["", "yesterday", "Mon, 99 Foo 2026"])
def test_a_server_that_tells_no_time_is_no_fault(
    look: Callable[..., list[Finding]], told: str
) -> None:
    """Or one that makes no sense."""
    assert ["ok", "ok"] == marks(look(head(date=told)))


def test_a_name_without_an_address_ends_the_look(look: Callable[..., list[Finding]]) -> None:
    """Nobody can be asked then."""

    def nowhere(host: str) -> str:
        raise socket.gaierror(-2, "Name or service not known")

    (found,) = look(head(), look_up=nowhere)

    assert "poe.example has no address here: Name or service not known." == found.text
    assert "PROXY" in found.remedy


def test_a_proxy_looks_names_up_by_itself(look: Callable[..., list[Finding]]) -> None:
    """And what is in its address is not told."""
    found = look(head(), proxy="socks5h://user:SECRET@127.0.0.1:1080")

    assert "poe.example by the proxy answers, in 0.0 s" == found[0].text
    assert "SECRET" not in repr(marks(found)) + "".join(one.text for one in found)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (Trouble(Stage.NOT_SENT, "ProxyError"), "The proxy to poe.example does not connect."),
        (Trouble(Stage.NOT_SENT, "x", bad_certificate=True), "a certificate that is not Poe's"),
        (Trouble(Stage.NOT_SENT, "x", timed_out=True), "the connection took too long"),
        (Trouble(Stage.SENT, "x", happened="was reset"), "the connection was reset"),
        (None, "has not answered within"),
    ],
)
def test_a_way_that_ends_says_where(
    look: Callable[..., list[Finding]], trouble: Trouble | None, said: str
) -> None:
    """With what to do about it."""
    found = look(trouble)

    assert ["ok", "wrong"] == marks(found)
    assert said in found[-1].text
    assert found[-1].remedy


def test_a_challenge_is_a_note(look: Callable[..., list[Finding]]) -> None:
    """Accounts may be shown one, and need not; what helps then is in the words of the error."""
    for answer in (head(403), head(200, **{"cf-mitigated": "challenge"})):
        found = look(answer)

        assert ["ok", "note", "ok"] == marks(found)
        assert "a browser challenge" in found[1].text
        assert AGAINST_CHALLENGES == found[1].remedy


def test_trouble_of_poe_s_own_is_a_note(look: Callable[..., list[Finding]]) -> None:
    """There is nothing to do but to wait."""
    found = look(head(503))

    assert ["ok", "note", "ok"] == marks(found)
    assert AGAINST_CHALLENGES != found[1].remedy


def test_a_port_is_free_or_taken() -> None:
    """Whoever has it, if it is no server of ours."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        settings = Settings(auth_keys=("k",), host="127.0.0.1", port=port)
        other.listen()
        (taken,) = looking.look_at_port(settings)
    (free,) = looking.look_at_port(settings)

    assert ("wrong", "ok") == (taken.mark, free.mark)
    assert f"Nothing can listen on HOST 127.0.0.1, PORT {port}: " in taken.text


class InFront(Canned):
    """A server behind something."""

    def __init__(self, *, is_ours: bool = True, **answers: tuple[int, Any]) -> None:
        super().__init__(**answers)
        self.is_ours = is_ours

    def answers(self) -> bool:
        return self.is_ours


@pytest.fixture
def in_front(monkeypatch: pytest.MonkeyPatch) -> Callable[[InFront], list[Finding]]:
    def looked(server: InFront) -> list[Finding]:
        monkeypatch.setattr(looking.running, "Running", lambda url, key: server)
        return list(looking.look_at_public("http://x", "k"))

    return looked


def times(*seconds: float) -> Callable[[], float]:
    left: Iterator[float] = iter(seconds)
    return lambda: next(left)


@pytest.mark.parametrize(("arrived", "mark"), [((0.0, 0.5, 1.0), "ok"), ((9.0, 9.0, 9.1), "wrong")])
def test_a_stream_that_is_held_back_is_found(arrived: tuple[float, ...], mark: str) -> None:
    """It comes at once, at the end."""
    server: Any = InFront(stream_check=(200, [b"1", b"2", b"3"]))

    assert mark == looking._streamed(server, times(*arrived)).mark


def test_another_server_at_the_address_is_found(
    in_front: Callable[[InFront], list[Finding]],
) -> None:
    """Its answers are not ours."""
    (found,) = in_front(InFront(is_ours=False))

    assert "does not lead to poe-proxy" in found.text


def test_without_a_key_the_stream_is_not_tried(
    in_front: Callable[[InFront], list[Finding]],
) -> None:
    """That is no fault."""
    found = in_front(InFront(stream_check=(401, {})))

    assert ["ok", "note"] == marks(found)
    assert "--key" in found[-1].remedy


def test_a_user_and_a_password_in_an_address_are_not_shown() -> None:
    """All that is said of the way has this name."""
    secret = Way("https://user:hunter2@poe.example:8443", "/", {}, None)

    assert "poe.example:8443" == secret.host == secret.name
