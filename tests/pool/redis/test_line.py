"""The line of all workers, as the script keeps it: who is served, with what, who hears of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import fakeredis
import pytest
import redis

from ...fakes import Clock
from ...shared.redis_server import RedisServer
from .direct import Direct

#: Where the script runs.
STORES: Final = ("script", "redis")


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Pool:
    """A pool of several workers on one Redis."""

    def __init__(self, client: redis.Redis, clock: Clock) -> None:
        self.clock = clock
        self.direct = Direct(client, clock, "w1")
        self.workers = {"w1": self.direct}
        self.digests: dict[str, list[str]] = {}
        self._heard = client.pubsub(ignore_subscribe_messages=True)
        self._heard.psubscribe(f"{self.direct.prefix}c:*")
        self._heard.get_message(timeout=1)
        self.lives("w1", "host 1")
        # Until then nothing is lent by a pool that is new.
        clock.go(3)

    def lives(self, worker: str, host: str = "host 1", seconds: float = 1e9) -> Direct:
        """Let a worker be alive on a host."""
        way = self.workers.setdefault(worker, self.direct.other(worker))
        way.call("hello", {"about": {"host": host}, "knew_epoch": None, "knows": []})
        way.call("beat", {"for": seconds, "holds": None, "about": {"host": host}})
        return way

    def enlist(self, name: str, worker: str = "w1", **terms: Any) -> Any:
        about = {"name": name, "kind": "key", "rank": 0, "concurrency": 1, "limits": [], **terms}
        return self.workers[worker].call("enlist", about)

    def cookie(self, name: str, **terms: Any) -> None:
        """Let all workers know an account that has a home."""
        for worker in self.workers:
            self.enlist(name, worker, kind="cookie", has_home=True, **terms)

    def wish(self, lease: str, names: str = "a", **wish: Any) -> dict[str, Any]:
        """What `join` is about: each letter is a name."""
        return {
            "lease": lease,
            "names": names,
            "kinds": None,
            "avoid": [],
            "bot": "",
            "within": None,
            "probes": True,
            "client": "",
            "streams": False,
            "priority": 5,
            "size": 100,
            "sends": False,
            **wish,
        }

    def join(self, lease: str, names: str = "a", worker: str = "w1", **wish: Any) -> Any:
        way = self.workers[worker]
        about = self.wish(lease, names, **wish)
        answer = way.call("join", about)
        if answer == {"unknown": names}:
            way.call("names", {"digest": names, "names": list(names)})
            answer = way.call("join", about)
        return answer

    def leave(self, lease: str, worker: str = "w1") -> None:
        self.workers[worker].call("leave", {"lease": lease})

    def look(self, *leases: str, worker: str = "w1") -> Any:
        return self.workers[worker].call("look", {"leases": leases})

    def heard(self) -> list[tuple[str, Any]]:
        """What was published, and to whom."""
        told = []
        while message := self._heard.get_message(timeout=0.05):
            told.append(
                (message["channel"].decode().rsplit(":", 1)[1], json.loads(message["data"]))
            )
        return told

    def line(self) -> list[str]:
        """Who waits, in the order of serving."""
        line: Any = self.direct.client.zrange(f"{self.direct.prefix}line", 0, -1)
        return [lease.decode() for lease in line]

    def close(self) -> None:
        self._heard.close()


@pytest.fixture(params=STORES)
def pool(request: pytest.FixtureRequest, clock: Clock) -> Iterator[Pool]:
    client: redis.Redis
    if request.param == "script":
        client = fakeredis.FakeRedis()
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        client = server.client
    pool = Pool(client, clock)
    yield pool
    pool.close()


# ---- join


def test_what_is_free_is_lent_at_once(pool: Pool) -> None:
    """The same call again gives the same, and costs nothing."""
    pool.enlist("a", concurrency=2)

    assert [{"lent": "a", "struck": False}] * 2 == [pool.join("one") for _ in range(2)]
    assert 1 == pool.direct.call("state", {"names": ["a"], "bot": ""})["a"]["in_use"]
    assert [] == pool.heard()


def test_who_comes_later_waits_and_hears_of_it(pool: Pool) -> None:
    """In whatever worker; of two, the first in line. To join twice is to join once."""
    pool.lives("w2")
    pool.enlist("a")
    pool.join("one")
    assert {"waits": 0, "place": 1} == pool.join("two", worker="w2")
    assert {"waits": 0, "place": 2} == pool.join("three")
    assert {"waits": 0, "place": 1} == pool.join("two", worker="w2")
    pool.leave("one")

    assert [("w2", {"lent": {"two": "a"}})] == pool.heard()
    assert {"two": "a"} == dict(pool.look("two", worker="w2")["lent"])
    pool.leave("two", "w2")
    assert [("w1", {"lent": {"three": "a"}})] == pool.heard()


def test_names_that_are_not_known_are_asked_for(pool: Pool) -> None:
    """Once they are told, wants say their digest."""
    pool.enlist("a")
    about = pool.wish("one", "a digest")
    assert {"unknown": "a digest"} == pool.direct.call("join", about)
    pool.direct.call("names", {"digest": "a digest", "names": ["a", "b"]})

    assert "a" == pool.direct.call("join", about)["lent"]


def test_only_what_fits_is_lent(pool: Pool) -> None:
    """Of its kinds, of its names, and not what it avoids."""
    for name, kind in {"a": "key", "b": "cookie", "c": "key"}.items():
        pool.enlist(name, kind=kind)

    assert "b" == pool.join("one", "abc", kinds=["cookie"])["lent"]
    assert "c" == pool.join("two", "abc", avoid=["a"])["lent"]
    assert {"late": None} == pool.join("three", "abc", kinds=["cookie"], avoid=["b"])
    assert "a" == pool.join("four", "abc")["lent"]


def test_the_line_is_as_long_as_it_may_be(pool: Pool) -> None:
    """Of all workers together."""
    pool.lives("w2")
    pool.enlist("a", limits=[["rest", 10, 0]])
    pool.join("one")
    pool.join("two")
    pool.join("three", worker="w2")

    assert {"full": 10} == pool.join("four", size=2)
    assert ["two", "three"] == pool.line()


def test_who_would_be_late_does_not_wait(pool: Pool) -> None:
    """The answer says when the soonest account that fits is rested; null: time does not help."""
    for name in "ab":
        pool.enlist(name)
    pool.direct.call("rest", {"name": "a", "seconds": 60, "reason": "", "code": "", "bot": ""})
    pool.direct.call("rest", {"name": "a", "seconds": 90, "reason": "", "code": "", "bot": "veo"})
    pool.direct.call("exhaust", {"name": "b", "reason": ""})

    assert {"late": 60} == pool.join("one", "ab", within=59)
    assert {"waits": 60, "place": 1} == pool.join("two", "ab", within=60)
    assert {"late": 90} == pool.join("three", "ab", within=60, bot="veo")
    assert {"late": None} == pool.join("four", "b")


def test_time_alone_serves_who_looks(pool: Pool, clock: Clock) -> None:
    """The answer to a look says when the next one is due."""
    pool.enlist("a", limits=[["rest", 10, 0]])
    pool.join("one")
    pool.leave("one")
    assert {"waits": 10, "place": 1} == pool.join("two")
    clock.go(4)
    assert 6 == pool.look("two")["due"]
    clock.go(6)

    assert {"two": "a"} == pool.look("two")["lent"]


def test_a_look_says_what_is_lost_and_what_is_late(pool: Pool, clock: Clock) -> None:
    """Lost is what the line does not know; late is what nothing that fits will serve in time."""
    pool.enlist("a")
    pool.join("one")
    pool.join("two", within=30)
    pool.direct.call("rest", {"name": "a", "seconds": 60, "reason": "", "code": "", "bot": ""})

    told = pool.look("one", "two", "three")
    assert ({"one": "a"}, ["three"], {"two": 60}) == (told["lent"], told["lost"], told["late"])


def test_who_leaves_the_line_is_not_served(pool: Pool) -> None:
    """Nor is anything left behind of it; to leave twice is to leave once."""
    pool.enlist("a")
    pool.join("one", client="c")
    pool.join("two", client="c")
    for _ in range(2):
        pool.leave("two")
    pool.leave("one")

    assert {"lent": "a", "struck": False} == pool.join("three")
    pool.leave("three")
    assert {
        *("t:a", "u:a", "k:a", "tokens", "kinds", "knows:w1", "workers", "about:w1", "epoch"),
        *(
            "ready:key",
            "rested:key",
            "closed_until",
            "turn",
            "ticket",
            "comings",
            "n:a",
            "pulse:w1",
        ),
    } == pool.direct.keys()


# ---- order


def test_who_nothing_free_fits_is_overtaken(pool: Pool) -> None:
    """Only by those whom it fits."""
    pool.enlist("a")
    pool.enlist("b", kind="cookie")
    pool.join("one", "ab")
    pool.join("two", "ab")
    pool.join("three", "ab", kinds=["key"])
    pool.join("four", "ab", kinds=["cookie"])
    pool.join("five", "ab")
    pool.leave("two")

    assert [("w1", {"lent": {"four": "b"}})] == pool.heard()
    pool.leave("four")
    assert [("w1", {"lent": {"five": "b"}})] == pool.heard()
    pool.leave("one")
    assert [("w1", {"lent": {"three": "a"}})] == pool.heard()


def test_a_rest_for_one_bot_holds_up_no_other(pool: Pool) -> None:
    """The line behind is served."""
    pool.enlist("a")
    pool.join("one")
    pool.join("two", bot="veo")
    pool.join("three", bot="gpt")
    pool.direct.call("rest", {"name": "a", "seconds": 9, "reason": "", "code": "", "bot": "veo"})
    pool.leave("one")

    assert [("w1", {"lent": {"three": "a"}})] == pool.heard()


def test_a_higher_priority_goes_before_a_lower_one(pool: Pool, clock: Clock) -> None:
    """A step is ten seconds of waiting, in whatever worker; only before what wants the same."""
    pool.lives("w2")
    for name in "ab":
        pool.enlist(name)
        pool.join(f"has {name}", name)
    pool.join("old", "a")
    clock.go(10)
    pool.join("two", "a")
    pool.join("other", "b")
    pool.join("three", "a", worker="w2")
    clock.go(1)
    pool.join("higher", "a", priority=6)

    assert ["old", "higher", "other", "two", "three"] == pool.line()
    pool.leave("has a")
    pool.leave("old")
    pool.leave("higher")
    assert [{"old": "a"}, {"higher": "a"}, {"two": "a"}] == [
        told["lent"] for _, told in pool.heard()
    ]


def test_the_requests_of_a_client_keep_their_order(pool: Pool) -> None:
    """Whatever their priority was when each of them came."""
    pool.enlist("a")
    pool.join("has it")
    pool.join("one", client="c", priority=5)
    pool.join("two", client="c", priority=9)

    assert ["one", "two"] == pool.line()


def test_streams_of_a_client_go_before_its_whole_answers(pool: Pool, clock: Clock) -> None:
    """In the places that its requests hold, and not before what has waited for five seconds."""
    pool.enlist("a")
    pool.join("has it")
    pool.join("old", client="c")
    clock.go(5)
    pool.join("title", client="c")
    pool.join("other")
    pool.join("tags", client="c", worker="w1")
    clock.go(1)
    pool.join("chat", client="c", streams=True)

    assert ["old", "chat", "other", "title", "tags"] == pool.line()


# ---- what failed


def test_of_those_that_want_the_same_one_with_less_time_takes_what_failed(pool: Pool) -> None:
    """The first waits for a better one; whoever cannot wait so long is served."""
    pool.enlist("a")
    pool.enlist("b")
    pool.join("one", "a")
    pool.direct.call("strike", {"name": "a", "reason": "Overloaded.", "bot": ""})
    pool.direct.call("rest", {"name": "b", "seconds": 20, "reason": "", "code": "", "bot": ""})
    pool.join("patient", "ab", within=60)
    pool.join("too", "ab", within=50)
    pool.join("hasty", "ab", within=19)
    pool.leave("one")

    assert [("w1", {"lent": {"hasty": "a"}, "struck": ["hasty"]})] == pool.heard()


def test_what_was_passed_over_serves_once_the_better_one_is_lent(pool: Pool) -> None:
    """In the same step, although whoever it serves stands before."""
    for name in "ab":
        pool.enlist(name)
        pool.join(f"has {name}", name)
    pool.join("first", "ab", bot="veo", within=30)
    pool.join("second", "b", bot="gpt")
    pool.direct.call("strike", {"name": "a", "reason": "Overloaded.", "bot": "veo"})
    pool.direct.call("rest", {"name": "b", "seconds": 10, "reason": "", "code": "", "bot": "veo"})
    pool.direct.call(
        "enlist",
        {"name": "b", "kind": "key", "rank": 0, "concurrency": 1, "limits": [["within", 2, 60]]},
    )
    pool.direct.run(["leave", {"lease": "has a"}], ["leave", {"lease": "has b"}])

    ((worker, told),) = pool.heard()
    assert ("w1", {"first": "a", "second": "b"}) == (worker, told["lent"])
    assert ["first"] == told["struck"]


def test_who_gets_what_failed_is_told_so(pool: Pool) -> None:
    """So that its answer is told to have been one."""
    pool.enlist("a")
    pool.direct.call("strike", {"name": "a", "reason": "Overloaded.", "bot": ""})

    assert {"lent": "a", "struck": True} == pool.join("one")


# ---- what is sent


def test_what_is_sent_at_once_need_not_be_told(pool: Pool, clock: Clock) -> None:
    """It counts from its lending on, as if it were sent this moment, until it has arrived."""
    pool.enlist("a", limits=[["within", 1, 60]])
    pool.join("one", sends=True)
    clock.go(2)
    assert {"late": 60} == pool.join("two", within=59)
    pool.direct.call("arrived", {"lease": "one", "count": 1})
    clock.go(1)

    assert {"late": 59} == pool.join("two", within=58)


def test_what_is_never_told_has_arrived_after_a_while(pool: Pool, clock: Clock) -> None:
    """Five seconds after it may have been sent at the latest."""
    pool.enlist("a", limits=[["within", 1, 60]])
    pool.join("one", sends=True)
    pool.leave("one")
    clock.go(10.25)

    assert {"late": 55} == pool.join("two", within=54)


def test_what_is_sent_later_after_all_counts_once(pool: Pool, clock: Clock) -> None:
    """From then on, whenever that is; a use that is told twice counts once."""
    pool.enlist("a", limits=[["within", 2, 60]])
    pool.join("one", sends=True)
    clock.go(20)
    use = {"lease": "one", "count": 1}
    assert [{"wait": 0}] * 2 == [pool.direct.call("use", use) for _ in range(2)]

    assert [0] == pool.direct.call("outlook", {"names": ["a"]})["a"]["uses"]
    assert {"a": 1} == pool.direct.day_uses()


def test_what_may_not_be_sent_any_more_waits(pool: Pool, clock: Clock) -> None:
    """A rest that came meanwhile holds; the place of the use is held, and no one else has it."""
    pool.enlist("a", concurrency=2)
    pool.join("one", sends=True)
    clock.go(1)
    pool.direct.call("rest", {"name": "a", "seconds": 9, "reason": "", "code": "", "bot": ""})
    use = {"lease": "one", "count": 1}
    assert {"wait": 9} == pool.direct.call("use", use)
    clock.go(9)

    assert {"waits": 0, "place": 1} == pool.join("two")
    assert {"wait": 0} == pool.direct.call("use", use)
    assert [("w1", {"lent": {"two": "a"}})] == pool.heard()


def test_a_lease_that_is_lost_sends_nothing(pool: Pool) -> None:
    """It may have been given to another meanwhile."""
    pool.enlist("a")

    assert {"lost": True} == pool.direct.call("use", {"lease": "one", "count": 1})


# ---- homes


def at_home(pool: Pool, worker: str, name: str = "a") -> None:
    """Let an account be at home at a worker, and be free."""
    assert name == pool.join(f"{worker} has {name}", name, worker)["lent"]
    pool.leave(f"{worker} has {name}", worker)


def test_a_cookie_is_lent_where_it_is_at_home(pool: Pool, clock: Clock) -> None:
    """Elsewhere it is waited for, although it is free."""
    pool.lives("w2")
    pool.cookie("a")
    at_home(pool, "w1")

    assert {"waits": 0, "place": 1} == pool.join("one", worker="w2")
    assert "a" == pool.join("two")["lent"]


def test_a_cookie_moves_that_is_idle_for_who_is_first(pool: Pool, clock: Clock) -> None:
    """Fifteen seconds, and one: its old home hears of it, so that it lets go."""
    pool.lives("w2")
    pool.cookie("a")
    at_home(pool, "w1")
    clock.go(10)
    pool.join("one", worker="w2")
    clock.go(4.5)
    assert {} == dict(pool.look("one", worker="w2")["lent"])
    clock.go(0.5)
    assert {"one": "a"} == pool.look("one", worker="w2")["lent"]

    assert {("w1", "moved"), ("w2", "lent")} == {(worker, *told) for worker, told in pool.heard()}


def test_who_was_not_first_for_a_second_lets_nothing_move(pool: Pool, clock: Clock) -> None:
    """However long the account has been idle."""
    pool.lives("w2")
    pool.cookie("a")
    at_home(pool, "w1")
    clock.go(100)
    pool.join("one", worker="w2")
    clock.go(0.5)
    assert {} == dict(pool.look("one", worker="w2")["lent"])
    clock.go(0.5)
    assert {"one": "a"} == pool.look("one", worker="w2")["lent"]


def test_a_cookie_moves_twelve_times_an_hour(pool: Pool, clock: Clock) -> None:
    """Then it stays, until the first of these moves is an hour ago."""
    pool.lives("w2")
    pool.cookie("a")
    at_home(pool, "w1")
    homes = ["w2", "w1"] * 7
    moved = 0
    for number, worker in enumerate(homes):
        clock.go(15)
        lease = f"lease {number}"
        pool.join(lease, worker=worker)
        clock.go(1)
        if pool.look(lease, worker=worker)["lent"]:
            moved += 1
            pool.leave(lease, worker)
        else:
            break

    assert 12 == moved
    clock.go(3600 - 12 * 16)
    assert {lease: "a"} == pool.look(lease, worker=worker)["lent"]


def test_a_home_that_is_dead_is_none(pool: Pool, clock: Clock) -> None:
    """Whoever wants the account has it at once, and nobody is told."""
    pool.lives("w2", "host 2")
    pool.cookie("a")
    at_home(pool, "w1")
    pool.lives("w1", "host 1", seconds=-1)

    assert "a" == pool.join("one", worker="w2")["lent"]
    assert [] == pool.heard()


def test_what_is_bound_to_a_host_stays_while_somebody_lives_there(pool: Pool, clock: Clock) -> None:
    """On its host it may move as any other."""
    pool.lives("w2", "host 2")
    pool.lives("w3", "host 1")
    pool.cookie("a", pinned=True)
    at_home(pool, "w1")
    pool.lives("w1", "host 1", seconds=-1)
    clock.go(100)

    assert {"late": None} == pool.join("one", worker="w2")
    assert "a" == pool.join("two", worker="w3")["lent"]
    pool.leave("two", "w3")
    pool.lives("w3", "host 1", seconds=-1)
    assert "a" == pool.join("three", worker="w2")["lent"]


def test_of_what_was_never_lent_that_comes_first_which_is_at_home_here(pool: Pool) -> None:
    """Whoever looked at an account first has it; the turn of the others is kept for others."""
    pool.lives("w2")
    for name in "abc":
        pool.cookie(name)
    ask = {"name": "c", "seconds": 60}
    assert pool.workers["w2"].call("may_ask", ask)

    assert "c" == pool.join("one", "abc", "w2")["lent"]
    assert "a" == pool.join("two", "abc", "w2")["lent"]


def test_one_worker_at_a_time_asks_about_an_account(pool: Pool, clock: Clock) -> None:
    """That at which it is at home, if it has one."""
    pool.lives("w2")
    pool.cookie("a")
    pool.enlist("b")
    w1, w2 = pool.workers["w1"], pool.workers["w2"]

    def ask(way: Direct, name: str) -> Any:
        return way.call("may_ask", {"name": name, "seconds": 60})

    assert [True, False, True] == [ask(w1, "a"), ask(w2, "a"), ask(w1, "a")]
    assert [True, False] == [ask(w2, "b"), ask(w1, "b")]
    clock.go(60)
    assert [False, True] == [ask(w2, "a"), ask(w1, "b")]


# ---- what there is


def test_an_account_is_enlisted_while_a_worker_knows_it(pool: Pool) -> None:
    """One of several that withdraws it changes nothing for the others."""
    pool.lives("w2")
    pool.enlist("a")
    pool.enlist("a", "w2")
    pool.direct.call("withdraw", {"name": "a"})
    assert "a" == pool.join("one", worker="w2")["lent"]
    pool.leave("one", "w2")
    pool.workers["w2"].call("withdraw", {"name": "a"})

    assert {"late": None} == pool.join("two", worker="w2")


def test_workers_that_do_not_agree_are_told(pool: Pool) -> None:
    """The last word counts; whoever is dead does not."""
    pool.lives("w2")
    assert not pool.enlist("a", concurrency=2)["differs"]
    assert pool.enlist("a", "w2", concurrency=3)["differs"]
    assert 3 == sum("lent" in pool.join(lease) for lease in "vwxyz")
    pool.lives("w2", seconds=-1)

    assert not pool.enlist("a", concurrency=2)["differs"]


def test_nothing_is_lent_while_it_is_closed(pool: Pool, clock: Clock) -> None:
    """Redis has forgotten, and those who know something have not said it yet."""
    pool.enlist("a")
    pool.direct.client.set(f"{pool.direct.prefix}closed_until", clock() + 3)
    assert {"waits": 3, "place": 1} == pool.join("one")
    assert 3 == pool.look("one")["due"]
    clock.go(3)

    assert {"one": "a"} == pool.look("one")["lent"]


# ---- acts that come together


def test_what_is_given_back_goes_to_the_line_and_not_to_who_comes_with_it(pool: Pool) -> None:
    """Acts of one call are as if they came one after the other."""
    pool.enlist("a")
    pool.join("one")
    pool.join("two")
    leave, join = ["leave", {"lease": "one"}], ["join", pool.wish("three")]

    assert [True, {"waits": 0, "place": 1}] == pool.direct.run(leave, join)
    assert [("w1", {"lent": {"two": "a"}})] == pool.heard()


# ---- what it costs


def commands(pool: Pool, act: Callable[[], object]) -> int:
    """Return how many commands an act lets Redis do."""

    def total() -> int:
        stats: Any = pool.direct.client.info("commandstats")
        return sum(
            one["calls"]
            for name, one in stats.items()
            if name.removeprefix("cmdstat_") not in ("info", "set", "evalsha")
        )

    before = total()
    act()
    return total() - before


def costs(pool: Pool, accounts: int) -> list[int]:
    """Return what each act of some requests costs in a pool of so many accounts."""
    names = [f"{number:03}" for number in range(accounts)]
    for name in names:
        pool.enlist(name, concurrency=2, limits=[["within", 10, 60], ["rest", 1, 3]])
    pool.direct.call("names", {"digest": "all", "names": names})
    found = []
    # Some are used by now, some rest.
    for number in range(9):
        lease = f"lease {number}"
        for act in (
            lambda lease=lease: pool.direct.call("join", pool.wish(lease, "all", sends=True)),
            lambda lease=lease: pool.direct.call("use", {"lease": lease, "count": 2}),
            lambda lease=lease: pool.direct.call("arrived", {"lease": lease, "count": 1}),
            lambda lease=lease: pool.leave(lease),
        ):
            found.append(commands(pool, act))
            pool.clock.go(0.5)
    return found


@pytest.mark.parametrize("pool", ["redis"], indirect=True)
def test_an_act_costs_the_same_with_three_accounts_and_with_three_hundred(
    pool: Pool, redis_server: RedisServer
) -> None:
    """What is asked for is found in front of a list, not by walking over all."""
    few, many = costs(pool, 3), costs(Pool(redis_server.client, Clock()), 300)

    assert max(now - before for now, before in zip(many, few, strict=True)) <= 2
