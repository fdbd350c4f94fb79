"""Who looks for what is new, when, and who hears of it."""

from __future__ import annotations

import json
import logging
import os
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from poe_proxy.errors import UpstreamError, UpstreamUnreachable
from poe_proxy.net.background import Background
from poe_proxy.tallies import DISCOVERIES
from poe_proxy.upstreams.poe_web import graphql
from poe_proxy.upstreams.poe_web.current import GONE, WHAT_TO_DO, CurrentSite
from poe_proxy.upstreams.poe_web.discovery import service
from poe_proxy.upstreams.poe_web.discovery.service import (
    EVERY,
    MOST_NAMED,
    NOWHERE,
    WAYS,
    Discoverer,
    Outcome,
    Way,
    age,
)
from poe_proxy.upstreams.poe_web.discovery.writing import backup_of
from poe_proxy.upstreams.poe_web.front import Front
from poe_proxy.upstreams.poe_web.site import Site
from poe_proxy.upstreams.poe_web.transport import Response

from ....fakes import Clock, until
from ..fixtures import APP, KEY, SEED, page
from .fakes import APP_SCRIPT, COOKIE, SIGNS, SITE, Poe, artefacts, html, signer

SEND = "sendMessageMutation"
NEW = "f" * 64
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()
SIGN = graphql.changed(SEND, SITE.operations[SEND])
LOOKING = "What is new is being looked for; try again in a minute."


@dataclass
class Account:
    """One by which may be looked."""

    poe: Poe
    formkey: str | None = None
    is_logged_in: bool = True

    @property
    def label(self) -> str:
        return self.poe.label

    @property
    def front(self) -> Front:
        return self.poe


def change(poe: Poe, name: str = SEND, hash: str = NEW) -> None:
    """Have Poe know an operation by another hash."""
    poe.site = replace(poe.site, operations={**poe.site.operations, name: hash})
    poe.scripts[APP_SCRIPT] = APP + SIGNS + artefacts(poe.site)


class House:
    """A process with accounts, whose time a test tells."""

    def __init__(self, *poes: Poe, path: Path | None = None) -> None:
        self.poe = poes[0] if poes else Poe()
        self.accounts: Sequence[Account] = [Account(one) for one in poes or [self.poe]]
        self.path = path
        self.clock = Clock()
        self.site = CurrentSite(SITE, clock=self.clock)
        began = self.clock()
        self.is_automatic = True
        self.asked_for: list[str] = []
        self.rereads = 0
        self.discoverer = Discoverer(
            self.site,
            self.ways,
            file=lambda: self.path,
            reread=self.reread,
            is_automatic=lambda: self.is_automatic,
            clock=self.clock,
            wall=lambda: NOON + self.clock() - began,
        )
        self.discoverer.start()

    def ways(self, label: str) -> Iterator[Way]:
        self.asked_for.append(label)
        yield from self.accounts

    def reread(self) -> None:
        self.rereads += 1
        assert self.path is not None
        loaded = Site.load(self.path if self.path.exists() else None)
        self.site.replace(replace(loaded, limits=SITE.limits))

    @property
    def looks(self) -> int:
        return len(self.asked_for)

    def meet(self, label: str = "cookie-1") -> str:
        """Meet a change; return what the client is told."""
        told = self.site.met(SIGN, label).message
        return told.removeprefix(SIGN.message).strip()

    def settled(self) -> Outcome:
        """Wait for a look that has begun; return what came of it."""
        until(lambda: not self.told()["running"])
        outcome = self.discoverer._outcome
        assert outcome is not None
        return outcome

    def look(self) -> Outcome:
        outcome = self.discoverer.discover(60)
        assert outcome is not None
        return outcome

    def told(self) -> dict[str, Any]:
        told = self.discoverer.told()
        last = told.pop("discovery")
        return {**told, **last}


@pytest.fixture
def houses() -> Iterator[Callable[..., House]]:
    made: list[House] = []

    def make(*poes: Poe, path: Path | None = None) -> House:
        made.append(House(*poes, path=path))
        return made[-1]

    yield make
    for house in made:
        house.discoverer.close()


@pytest.fixture
def house(houses: Callable[..., House]) -> House:
    return houses()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "site.toml"


# ---- when it looks


def test_a_change_that_is_met_begins_a_look(house: House) -> None:
    """By the account that has met it; the client is told, and what is found is used."""
    change(house.poe)

    assert house.meet("cookie-2") == LOOKING
    assert "mended" == house.settled().word
    assert ["cookie-2"] == house.asked_for
    assert NEW == house.site.now.operations[SEND]


def test_it_looks_once_an_hour_by_itself(house: House) -> None:
    """Whoever meets something meanwhile is told what came of it, and what else helps."""
    house.meet()
    house.settled()
    house.clock.go(EVERY - 1)
    told = house.meet()
    assert told.startswith("What is new was looked for at 12:00 UTC: Poe's page and 2 of its ")
    assert told.endswith(
        f" By itself that is done again at 13:00 UTC, and not before. {WHAT_TO_DO}"
    )
    assert 1 == house.looks

    house.clock.go(1)
    assert house.meet() == LOOKING
    house.settled()
    assert 2 == house.looks


def test_by_hand_it_looks_at_any_time(house: House) -> None:
    """And that does not count for the hour."""
    house.look()
    house.look()
    assert house.meet() == LOOKING
    house.settled()

    assert 3 == house.looks


def test_it_never_looks_by_itself_if_that_is_forbidden(house: House) -> None:
    """What helps is said instead; by hand it does."""
    house.is_automatic = False
    assert house.meet() == f"DISCOVER=0 forbids looking for it by itself. {WHAT_TO_DO}"
    assert 0 == house.looks

    assert "same" == house.look().word


def test_one_look_is_for_all(house: House) -> None:
    """Whoever comes while it is under way waits for the same."""
    begun, go = Event(), Event()
    house.poe.when_read = lambda: (begun.set(), go.wait(60))
    first = Background(house.look, name="first")
    assert begun.wait(60)
    others = [Background(house.look, name="other") for _ in range(3)]
    assert house.meet() == LOOKING
    assert house.discoverer.discover(0.01) is None
    until(lambda: 4 == len(vars(house.discoverer._changed)["_waiters"]))
    go.set()

    assert 1 == len({id(one.result()) for one in (first, *others)})
    assert 1 == house.looks


# ---- what comes of it


def test_what_has_not_changed_is_the_same(house: House) -> None:
    """Nothing is replaced."""
    before = house.site.now
    outcome = house.look()

    assert ("same", "cookie-1", ()) == (outcome.word, outcome.account, outcome.differs)
    assert before is house.site.now
    assert NOON == outcome.at


def test_what_was_proved_has_its_day_in_the_file(houses: Callable[..., House], path: Path) -> None:
    """So it is known how old it is; whoever looks on sees no change in that."""
    path.write_text(f"[limits]\nretry = {SITE.limits.retry}\n")
    house = houses(path=path)
    outcome = house.look()

    assert ("same", path) == (outcome.word, outcome.file)
    told = house.told()
    assert ("2026-11-30", None) == (told["newest_evidence"], told["in_use_since"])


def test_what_is_for_a_file_leaves_out_its_owners_own_words(
    houses: Callable[..., House], path: Path
) -> None:
    """Where the page says the same: without a day, they always count. Another file may be the one
    that is written, as by the command."""
    own = "settingsPageQuery"
    path.write_text(f'[operations]\n{own} = "{SITE.operations[own]}"\n')
    house = houses()
    house.site.replace(replace(Site.load(path), limits=SITE.limits))
    change(house.poe)
    outcome = house.look()

    assert {f"operations.{SEND}": NEW}.items() <= outcome.found.items()
    assert f"operations.{own}" not in outcome.found


def test_what_poe_refuses_although_its_page_has_it_is_said_and_not_proved(
    houses: Callable[..., House], path: Path
) -> None:
    """With a day of its own it would stand in the way of a newer package; all else has its day."""
    house = houses(path=path)
    house.meet()
    outcome = house.settled()

    assert "same" == outcome.word
    assert outcome.said.endswith(f"takes it from cookie-1, but it has refused operations.{SEND}.")
    operations = tomllib.loads(path.read_text())["operations"]
    assert set(SITE.operations) - {SEND} == set(operations)

    house.clock.go(GONE)
    assert house.look().said.endswith("takes it from cookie-1.")


def test_what_is_found_is_in_memory_if_there_is_no_file(house: House) -> None:
    """And says so; its day is today."""
    change(house.poe)
    outcome = house.look()

    assert ("mended", None) == (outcome.word, outcome.file)
    assert any("kept in memory only: neither" in one for one in outcome.notes)
    assert ("2026-11-30", 0) == (house.told()["newest_evidence"], house.told()["age_days"])
    assert "same" == house.look().word


def test_what_is_found_is_written(houses: Callable[..., House], path: Path) -> None:
    """And used as it is there."""
    path.write_text("# mine\n")
    house = houses(path=path)
    change(house.poe)
    outcome = house.look()

    assert ("mended", path) == (outcome.word, outcome.file)
    assert NEW == Site.load(path).operations[SEND] == house.site.now.operations[SEND]
    assert path == house.site.now.file
    assert "# mine\n" == backup_of(path).read_text()


def test_a_file_that_cannot_be_written_is_said(houses: Callable[..., House], path: Path) -> None:
    """What was found is used all the same, until the end."""
    house = houses(path=path / "nowhere")
    change(house.poe)
    outcome = house.look()

    assert ("mended", None) == (outcome.word, outcome.file)
    assert NEW == house.site.now.operations[SEND]
    said = f"It is kept in memory only: {path / 'nowhere'} cannot be written"
    assert any(one.startswith(said) for one in outcome.notes)


def test_a_reload_meanwhile_counts(house: House) -> None:
    """What was found goes on top of it."""
    change(house.poe)
    other = replace(SITE, websocket="wss://other.test/")
    house.poe.when_read = lambda: house.site.replace(other)
    house.look()

    assert (NEW, "wss://other.test/") == (
        house.site.now.operations[SEND],
        house.site.now.websocket,
    )


def test_many_names_are_a_few_and_a_number(house: House) -> None:
    """All of them are in the list."""
    for name in SITE.operations:
        change(house.poe, name)
    outcome = house.look()

    assert f" and {len(SITE.operations) - MOST_NAMED} more were found anew" in outcome.said
    assert len(SITE.operations) == len(outcome.differs)


def test_what_was_not_found_is_named(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """To whoever meets a change later, and in the log; what every answer needs comes first."""
    house.poe.scripts[APP_SCRIPT] = APP + SIGNS + artefacts(replace(SITE, operations={}))
    with caplog.at_level(logging.INFO):
        house.meet()
        outcome = house.settled()
    told = house.meet()

    assert ("same", len(SITE.operations)) == (outcome.word, len(outcome.missing))
    for said in (told, caplog.text):
        assert (
            "Not found: operations.sendMessageMutation, operations.subscriptionsMutation, " in said
        )
        assert f" and {len(SITE.operations) - MOST_NAMED} more." in said


def test_what_poe_does_not_take_is_not_used(house: House) -> None:
    """It says what differs, and by whom it was refused."""
    house.poe.html = html(signed=signer("new"))
    before = house.site.now
    outcome = house.look()

    assert ("unusable", ["tag.salt"]) == (outcome.word, [one.name for one in outcome.differs])
    assert outcome.said.startswith("1 values of Poe's page differ")
    assert "cookie-1 is refused" in outcome.said
    assert before is house.site.now


def test_a_page_that_cannot_be_read_is_a_failure(house: House) -> None:
    """Of the account: the next one is asked, but only a few of them."""
    poes = [Poe(f"cookie-{place}") for place in range(WAYS + 1)]
    house.accounts = [Account(one) for one in poes]
    for one in poes:
        one.html = "Hello!"
    outcome = house.look()
    assert ("failed", f"cookie-{WAYS - 1}") == (outcome.word, outcome.account)
    assert [["/"]] * WAYS == [one.asked for one in poes[:WAYS]]
    assert [] == poes[WAYS].asked

    poes[1].html = html()
    outcome = house.look()
    assert ("same", "cookie-1") == (outcome.word, outcome.account)


def test_an_account_that_is_refused_is_followed_by_another(house: House) -> None:
    """Its cookie says nothing of the site."""
    refused, other = Poe("refused"), Poe("other")
    refused.answer = lambda name: (
        None if name == "/" else Response(302, {"Location": "/login"}, b"")
    )
    house.accounts = [Account(refused), Account(other)]
    change(other)
    outcome = house.look()

    assert ("mended", "other") == (outcome.word, outcome.account)


def test_what_poe_refuses_says_more_than_a_page_that_cannot_be_read(house: House) -> None:
    """By another account."""
    house.accounts = [Account(house.poe), Account(Poe("other"))]
    house.poe.html = html(signed=signer("new"))
    other = house.accounts[1].poe
    other.html = "Hello!"

    assert "unusable" == house.look().word


def test_the_key_that_an_account_has_is_used_if_the_page_gives_none(house: House) -> None:
    """So that hashes are found all the same."""
    change(house.poe)
    house.poe.html = page(scripts="<script>function nothing(){}</script>")
    assert "unusable" == house.look().word

    house.accounts[0].formkey = KEY
    assert "mended" == house.look().word


def test_without_an_account_there_is_no_look(house: House) -> None:
    """All of them may be paused, or refused."""
    house.accounts = []

    assert "No account by cookie can be used" in house.look().said


def test_a_fault_of_ours_is_no_end(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """The log has it; the next look is as if nothing had been."""

    def fail() -> None:
        raise RuntimeError("a slip")

    house.poe.when_read = fail
    outcome = house.look()
    assert ("failed", True) == (outcome.word, "A fault of poe-proxy" in outcome.said)
    assert any("a slip" in str(one.exc_info) for one in caplog.records)

    house.poe.when_read = lambda: None
    assert "same" == house.look().word


def test_each_look_is_counted(house: House) -> None:
    """By what came of it."""
    before = DISCOVERIES.counts().get(("same",), 0)
    house.look()

    assert before + 1 == DISCOVERIES.counts()[("same",)]


def test_the_log_says_what_came_of_it(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """A warning if anything has changed: somebody should know."""
    with caplog.at_level(logging.INFO):
        house.look()
        change(house.poe)
        house.look()

    levels = [one.levelname for one in caplog.records if one.name == service.__name__]
    assert ["INFO", "WARNING"] == levels
    assert f"Poe's site has changed: operations.{SEND} was found anew" in caplog.text


def test_the_log_has_what_else_is_to_be_said(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """Such as that it is forgotten with the process."""
    change(house.poe)
    outcome = house.look()

    assert [NOWHERE] == [*outcome.notes] == house.told()["notes"]
    assert f"{outcome.said} {NOWHERE}" in caplog.messages


# ---- the end


def test_the_end_does_not_wait_for_a_look(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was seen until then is not all, and is not used; nobody waits for ever."""
    monkeypatch.setattr(service, "LAST", 0.01)
    begun, go = Event(), Event()
    change(house.poe)

    def hold() -> None:
        if house.poe.read[-1] == APP_SCRIPT:
            begun.set()
            go.wait(60)

    house.poe.when_read = hold
    looking = Background(lambda: house.discoverer.discover(60), name="look")
    assert begun.wait(60)
    house.discoverer.close()
    assert looking.result() is None
    go.set()
    house.discoverer._thread.join(60)

    assert SITE.operations[SEND] == house.site.now.operations[SEND]
    assert house.discoverer.discover(60) is None
    assert house.meet().endswith(WHAT_TO_DO)


def test_the_end_waits_until_a_look_has_given_up(house: House) -> None:
    """Nobody writes a file, or asks Poe, once the process has closed what it has."""
    begun, asked = Event(), Event()

    def hold() -> None:
        begun.set()
        until(lambda: house.discoverer._is_over)
        asked.set()

    house.poe.when_read = hold
    looking = Background(lambda: house.discoverer.discover(60), name="look")
    assert begun.wait(60)
    house.discoverer.close()

    assert asked.is_set()
    assert not house.discoverer._thread.is_alive()
    looking.result()


def test_what_was_not_started_ends(tmp_path: Path) -> None:
    """An app that fails while it is made closes what it has."""
    Discoverer(CurrentSite(SITE), lambda _: ()).close()


# ---- the file, as others change it


@pytest.fixture
def watched(houses: Callable[..., House], path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr(service, "WATCH", 0.005)
    return houses(path=path)


def put(path: Path, hash: str) -> None:
    """Put another file in the place of that one."""
    new = path.with_suffix(".new")
    new.write_text(f'[operations]\n{SEND} = "{hash}"\n')
    os.replace(new, path)


def test_a_file_is_taken_in_place_as_it_appears_changes_and_goes(
    watched: House, path: Path
) -> None:
    """Whoever writes it: another worker, a command, a person."""
    put(path, "a" * 64)
    until(lambda: "a" * 64 == watched.site.now.operations[SEND])
    put(path, "b" * 64)
    until(lambda: "b" * 64 == watched.site.now.operations[SEND])
    path.unlink()
    until(lambda: SITE.operations[SEND] == watched.site.now.operations[SEND])


def test_another_file_is_seen_whatever_its_time_is(watched: House, path: Path) -> None:
    """A copy may have that of what it was copied from."""
    put(path, "a" * 64)
    until(lambda: "a" * 64 == watched.site.now.operations[SEND])
    before = path.stat()
    new = path.with_suffix(".new")
    new.write_text(path.read_text().replace("a" * 64, "b" * 64))
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(new, path)

    until(lambda: "b" * 64 == watched.site.now.operations[SEND])


def test_a_file_with_a_mistake_is_told_once(
    watched: House, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """All stays as it is, until it changes again."""
    path.write_text("[tag")
    until(lambda: 1 == watched.rereads)
    before = watched.site.now
    # Each look begins with one at the file.
    watched.look()
    watched.look()
    assert (1, before) == (watched.rereads, watched.site.now)
    assert 1 == len([one for one in caplog.records if one.levelname == "ERROR"])

    put(path, "a" * 64)
    until(lambda: "a" * 64 == watched.site.now.operations[SEND])


def test_of_two_workers_one_finds_and_both_use_it(houses: Callable[..., House], path: Path) -> None:
    """The second one reads the file before it looks, and leaves it alone."""
    first, second = houses(path=path), houses(path=path)
    for one in (first, second):
        change(one.poe)
    assert "mended" == first.look().word
    written = path.stat()
    assert "same" == second.look().word

    assert NEW == second.site.now.operations[SEND]
    assert (written.st_ino, written.st_mtime_ns) == (path.stat().st_ino, path.stat().st_mtime_ns)
    assert not backup_of(path).exists()


def test_what_it_has_written_itself_is_read_once(watched: House, path: Path) -> None:
    """That was a change of the file, too."""
    change(watched.poe)
    watched.look()
    watched.look()

    assert 1 == watched.rereads


# ---- for those who look on


def test_before_the_first_look_there_is_little_to_tell(house: House) -> None:
    """What is known is the built-in."""
    assert {
        "file": None,
        "own_entries": 0,
        "newest_evidence": "2026-03-12",
        "age_days": 263,
        "in_use_since": None,
        "automatic": True,
        "running": False,
        "at": None,
        "outcome": None,
        "said": "",
        "differs": [],
        "missing": [],
        "notes": [],
        "written": None,
        "not_before": None,
    } == house.told()


def test_a_look_that_is_under_way_is_told(house: House) -> None:
    """And when the next one may begin by itself."""
    begun, go = Event(), Event()
    house.poe.when_read = lambda: (begun.set(), go.wait(60))
    house.meet()
    assert begun.wait(60)
    told = house.told()
    go.set()
    house.settled()

    assert (True, "2026-11-30T13:00:00Z") == (told["running"], told["not_before"])
    house.clock.go(EVERY)
    assert (False, None) == (house.told()["running"], house.told()["not_before"])


def test_what_was_found_is_told(houses: Callable[..., House], path: Path) -> None:
    """With both values, and where it is."""
    house = houses(path=path)
    change(house.poe)
    house.look()
    told = house.told()

    before = SITE.operations[SEND]
    assert [{"name": f"operations.{SEND}", "before": before, "after": NEW}] == told["differs"]
    assert ("mended", str(path), str(path), "2026-11-30T12:00:00Z") == (
        told["outcome"],
        told["file"],
        told["written"],
        told["at"],
    )
    assert told["own_entries"] > len(SITE.operations)
    assert told["said"]


def _nothing(poe: Poe) -> None:
    poe.html = page(scripts="")


def _refused(poe: Poe) -> None:
    poe.html = html(signed=signer("new"))


def _broken(poe: Poe) -> None:
    for place in range(200):
        poe.scripts[f"https://poe.com/_next/static/chunks/{place}.js"] = failure(place)
    poe.html = html(*poe.scripts)


def failure(place: int) -> UpstreamError:
    return UpstreamUnreachable(f"Poe cannot be reached ({place}{'x' * 9000}).")


@pytest.mark.parametrize("spoil", [change, _nothing, _refused, _broken])
def test_what_is_told_is_short_and_has_no_credentials(
    house: House, spoil: Callable[[Poe], None], caplog: pytest.LogCaptureFixture
) -> None:
    """It is for `/status.json`, whatever the page has."""
    spoil(house.poe)
    house.accounts[0].formkey = KEY
    with caplog.at_level(logging.DEBUG):
        outcome = house.look()
    told = json.dumps(house.discoverer.told())

    assert len(told) < 40_000
    for secret in (KEY, SEED, COOKIE):
        assert secret not in told + repr(outcome) + caplog.text


@pytest.mark.parametrize(
    ("seen", "days"),
    [
        ("2026-11-30", 0),
        ("2026-11-29", 1),
        ("2026-03", 274),
        ("2026-12-01", 0),
        ("", None),
        ("2026-02-30", None),
    ],
)
def test_the_age_of_what_is_known(seen: str, days: int | None) -> None:
    """Of a month, its first day counts; what is not over yet, or no day, has none."""
    assert days == age(seen, date(2026, 11, 30))
