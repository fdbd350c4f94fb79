"""Whatever one client, bot or Poe does: it has its answer, and everybody else is served.

The kinds of abuse are those of `tests/abuse`, each in all its forms, but small. What they cost is
not looked at here; `make abuse` measures that.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from ..abuse.catalogue import KINDS
from ..abuse.crowd import attempt
from ..abuse.kinds import Kind
from ..abuse.servers import (
    HONEST_KEY,
    Abused,
    asked_against_the_rules,
    forged_lines,
    stand_in,
    starts,
    tracebacks,
)
from ..abuse.wire import Client
from .official import ApiSim
from .servers import KEY, ROOT, ask, until

#: The most forms of a kind that are tried.
_FORMS = 16


@pytest.fixture(scope="module")
def poe() -> Iterator[ApiSim]:
    with stand_in() as running:
        yield running


@pytest.fixture(scope="module")
def server(poe: ApiSim, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Abused]:
    with Abused(poe, tmp_path_factory.mktemp("abused")) as running:
        yield running


@dataclass
class Watch:
    """What the server logs, and what Poe is asked, from now on."""

    server: Abused
    poe: ApiSim
    answered: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        until(lambda: is_healthy(self.server))  # whatever an earlier test has left
        self._logged = len(self.server.output())
        self._asked = len(self.poe.journal())

    def trouble(self) -> list[str]:
        """What must not be in the log, nor in Poe's record."""
        log = self.server.output()[self._logged :]
        return [
            *["a traceback"] * tracebacks(log),
            *["a worker that was started anew"] * starts(log),
            *forged_lines(log),
            *asked_against_the_rules(self.poe.journal()[self._asked :], self.answered),
        ]


def is_served(server: Abused, model: str) -> bool:
    """Whether an honest client has an answer."""
    answer = server.post(
        ask("!echo Hello", model), headers={"Authorization": f"Bearer {HONEST_KEY}"}
    )
    return answer.ok and "Hello" in answer.text


def is_healthy(server: Abused) -> bool:
    try:
        return requests.get(f"{server.url}/health", timeout=60).ok
    except requests.ConnectionError:
        return False


# ---- by clients, and by the makers of bots


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_each_kind_of_abuse_has_its_answer(kind: Kind, server: Abused, poe: ApiSim) -> None:
    """Each is answered as it should be or cut, and leaves no trace but that."""
    watch = Watch(server, poe)

    async def in_all_forms() -> list[str]:
        outcomes, form, forms = [], 0, 1
        while form < min(forms, _FORMS):
            released = asyncio.Event()
            client = Client(
                server.port, KEY, kind.name, random.Random(form), kind.small, released, form
            )
            client.holds = released.set
            outcomes.append(await attempt(kind, client))
            watch.answered += client.answered
            form, forms = form + 1, client.variants
        return outcomes

    outcomes = asyncio.run(in_all_forms())

    assert [] == [one for one in outcomes if not kind.is_right(one)]
    assert [] == watch.trouble()
    assert is_healthy(server)


def test_everybody_else_is_served_while_they_hold_on(server: Abused, poe: ApiSim) -> None:
    """Any number of clients that hold on, in all the ways there are, are in nobody's way."""
    watch = Watch(server, poe)
    kinds = [kind for kind in KINDS.values() if kind.holds] * 3
    holding: set[int] = set()
    loop = asyncio.new_event_loop()
    released = asyncio.Event()

    async def all_of_them() -> Sequence[str]:
        async def one(place: int, kind: Kind) -> str:
            client = Client(
                server.port, KEY, kind.name, random.Random(place), kind.small, released, place
            )
            client.holds = lambda: holding.add(place)
            try:
                return await attempt(kind, client)
            finally:
                holding.add(place)

        return await asyncio.gather(*(one(place, kind) for place, kind in enumerate(kinds)))

    with ThreadPoolExecutor(1) as crowd:
        abuse = crowd.submit(loop.run_until_complete, all_of_them())
        try:
            until(lambda: len(holding) == len(kinds))
            served = [is_served(server, model) for model in ("by-key", "by-cookie")]
            healthy = is_healthy(server)
        finally:
            loop.call_soon_threadsafe(released.set)
        outcomes = abuse.result()
    loop.close()

    assert ([True, True], True) == (served, healthy)
    pairs = zip(kinds, outcomes, strict=True)
    assert [] == [(one.name, how) for one, how in pairs if not one.is_right(how)]
    assert [] == watch.trouble()


# ---- by Poe


@pytest.fixture
def fresh(poe: ApiSim, tmp_path: Path) -> Iterator[Abused]:
    """A server with one cookie that has not seen Poe's page yet, and does not wait long for it."""
    built_in = (ROOT / "poe_proxy/upstreams/poe_web/site.toml").read_text("utf-8")
    hasty = built_in.replace("\nhttp = 30 ", "\nhttp = 2 ")
    assert hasty != built_in
    site = str(tmp_path / "site.toml")
    Path(site).write_text(hasty, "utf-8")
    with Abused(poe, tmp_path, TOKENS=poe.tokens[0], POE_SITE=site) as running:
        yield running
    poe.control(reset=True)


@pytest.mark.parametrize("words", [{"unclosed-scripts": 30_000}, {"drip": 0.5}], ids=str)
def test_a_page_of_poe_s_holds_up_nobody(
    fresh: Abused, poe: ApiSim, words: dict[str, float]
) -> None:
    """A page that is made to be read for ever, or that comes for ever, is given up."""
    watch = Watch(fresh, poe)
    poe.control(fail={"path": "/", "times": 100, "with": words})
    with ThreadPoolExecutor(1) as client:
        asked = client.submit(fresh.post, ask("!echo Hello", "by-cookie"))
        until(lambda: any(one.get("path") == "/" for one in poe.journal()))
        served, healthy = is_served(fresh, "by-key"), is_healthy(fresh)
        answer = asked.result()

    assert (True, True) == (served, healthy)
    assert answer.status_code in (200, 502, 503, 504), answer.text
    assert [] == watch.trouble()


def test_a_frame_without_an_end_costs_its_own_account_at_most(server: Abused, poe: ApiSim) -> None:
    """A websocket that sends and sends is given up, and its account opens another one."""
    watch = Watch(server, poe)
    with ThreadPoolExecutor(1) as client:
        asked = client.submit(
            server.post, ask("!endless-frame=150 !echo one two three four", "by-cookie")
        )
        served, healthy = is_served(server, "by-key"), is_healthy(server)
        answer = asked.result()

    assert (True, True) == (served, healthy)
    assert answer.status_code in (200, 502), answer.text
    assert is_served(server, "by-cookie")
    assert [] == watch.trouble()
