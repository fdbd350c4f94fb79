"""Each sending has a permit of its own, whatever else happens: the account's pace holds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from itertools import pairwise
from typing import Any, Final

import pytest

from poe_proxy import errors
from poe_proxy.chat import Idle
from poe_proxy.upstreams.base import Permit
from poe_proxy.upstreams.poe_web.account import PoeWeb

from ....with_sim.servers import until
from .accounts import WORDS, Account, Reply, ask, chat, many

PACE: Final = 0.4
UPDATES: Final = "/up/chan42-8888/updates"


class Paced(Permit):
    """Lets one request out at a time, *pace* seconds after the one before had arrived, and none
    while it *holds_back* with so many granted before."""

    def __init__(
        self, pace: float = PACE, holds_back: Callable[[int], bool] = lambda granted: False
    ) -> None:
        self.granted = 0
        self._pace = pace
        self._holds_back = holds_back
        self._next = 0.0
        self._lock = threading.Lock()

    def __call__(self) -> Generator[Idle, None, None]:
        while not self._take():
            time.sleep(0.01)
            yield Idle()

    def _take(self) -> bool:
        with self._lock:
            now = time.monotonic()
            if now < self._next or self._holds_back(self.granted):
                return False
            self.granted += 1
            # What is not known to have arrived may be on its way for five seconds.
            self._next = now + 5.0 + self._pace
            return True

    def arrived(self) -> None:
        with self._lock:
            self._next = min(self._next, time.monotonic() + self._pace)


def gaps(account: Account) -> list[float]:
    """The seconds between the sends of *account*, as Poe saw them arrive."""
    times = sorted(entry["t"] for entry in account.sends())
    return [later - earlier for earlier, later in pairwise(times)]


def all_whole(replies: list[Reply]) -> bool:
    return all(reply.is_whole for reply in replies)


@pytest.mark.parametrize("what", ["rotate_formkey", "forget_channels"])
def test_the_pace_holds_while_key_or_channel_change(
    account: Account, web: PoeWeb, what: str
) -> None:
    """Replies that run into the change at once go out one by one, those that are repeated, too."""
    permit = Paced()
    ask(web, "!echo first", permit=permit)
    account.sim.control(**{what: account.label})
    replies = many(web, [f"!echo {n} {WORDS}" for n in range(5)], permit=permit)

    assert all_whole(replies), [reply.failure for reply in replies]
    assert PACE <= min(gaps(account))
    assert permit.granted >= len(account.sends())


@pytest.mark.parametrize("words", ["!formkey-rotated", "!http=400 !times=4", "!http=401 !times=1"])
def test_the_pace_holds_for_a_message_that_is_repeated(
    account: Account, web: PoeWeb, words: str
) -> None:
    """A repeat after a refusal is a use of the account as well."""
    permit = Paced()
    replies = many(web, [f"{words} !echo {WORDS}", "!echo a", "!echo b"], permit=permit)

    assert all_whole(replies), [reply.failure for reply in replies]
    assert PACE <= min(gaps(account))


def test_no_message_goes_out_with_a_key_that_was_refused(
    account: Account, web: PoeWeb, control: Callable[..., Any]
) -> None:
    """While one reply gets the new key, which takes a while, the others wait for it."""
    ask(web, "!echo first")

    def is_unknown(granted: int) -> bool:
        # The refused message has arrived when its answer begins; that the key was refused is known
        # a little later, when the page is asked for.
        return granted == 1 and len(account.journal(path="/", method="GET")) < 2

    permit = Paced(0.1, is_unknown)
    control(
        rotate_formkey=account.label,
        fail={"path": "/", "account": account.label, "with": {"slow": 2}},
    )
    replies = many(web, [f"!echo {n} {WORDS}" for n in range(6)], permit=permit)

    assert all_whole(replies), [reply.failure for reply in replies]
    assert 1 == len([entry for entry in account.sends() if entry["formkey"] == "bad"])
    assert 2 == len(account.journal(path="/", method="GET"))


def test_no_message_goes_out_on_a_channel_without_its_websocket(
    account: Account, web: PoeWeb, control: Callable[..., Any]
) -> None:
    """Poe forgets the channel, and the new one's websocket takes a while to open."""
    permit = Paced(0.1)
    ask(web, "!echo first", permit=permit)
    control(forget_channels=account.label, fail={"path": UPDATES, "with": {"slow": 2}})
    replies = many(web, [f"!echo {n} {WORDS}" for n in range(6)], permit=permit)

    assert all_whole(replies), [reply.failure for reply in replies]
    # What names the forgotten channel is refused before anything is known of a websocket.
    assert {True} == {entry["isHeard"] for entry in account.sends() if "isHeard" in entry}


def test_no_message_goes_out_while_the_websocket_is_opened_again(
    account: Account, web: PoeWeb, control: Callable[..., Any]
) -> None:
    """A reply that begins while it is broken waits for it."""
    ask(web, "!echo first")
    control(fail={"path": UPDATES, "with": {"slow": 2}}, drop_sockets=account.label)
    until(lambda: 2 == len(account.sim.journal(path=UPDATES)))
    reply = ask(web, f"!echo {WORDS}")

    assert reply.is_whole
    assert [True, True] == [entry["isHeard"] for entry in account.sends()]


@pytest.mark.parametrize("status", [200, 400, 500])
def test_an_answer_of_any_status_says_that_the_message_had_arrived(
    account: Account, web: PoeWeb, status: int
) -> None:
    """The permit notes it before the bot has said anything."""
    words = "" if status == 200 else f"!http={status} !times=1"
    arrivals: list[bool] = []

    class Noting(Paced):
        def arrived(self) -> None:
            super().arrived()
            arrivals.append(bool(account.journal(status=status, queryName="sendMessageMutation")))

    ask(web, f"{words} !first=0.5 !echo {WORDS}", permit=Noting())

    assert arrivals[0]


class Never(Permit):
    """Is not there, and in the end says why."""

    def __init__(self, failure: errors.PoeProxyError | None = None) -> None:
        self.asked = threading.Event()
        self.failure = failure

    def __call__(self) -> Generator[Idle, None, None]:
        self.asked.set()
        for _ in range(100_000):
            if self.failure is not None:
                raise self.failure
            time.sleep(0.01)
            yield Idle()

    def arrived(self) -> None:
        raise AssertionError("nothing was sent")


@pytest.mark.parametrize("failure", [errors.NoTokenFree, errors.TokenHeldBack])
def test_without_a_permit_nothing_is_sent(
    account: Account, web: PoeWeb, failure: type[errors.PoeProxyError]
) -> None:
    """The reason is that of the permit, as it is."""
    reply = ask(web, "!echo hi", permit=Never(failure("Not now.", retry_after=7)))

    assert failure is type(reply.failure)
    assert 7 == reply.failure.retry_after
    assert [] == account.sends()


def test_a_reader_who_hangs_up_before_the_permit_is_not_sent_for(
    account: Account, web: PoeWeb
) -> None:
    """The thread that waits for the permit ends, and asks Poe for nothing."""
    permit = Never()
    events = web.reply(chat("!echo hi"), "Assistant", permit)
    while not permit.asked.is_set():
        assert Idle() == next(events)
    events.close()

    until(lambda: f"{account.label} sending" not in [t.name for t in threading.enumerate()])
    assert [] == account.sends()
