"""When each place in line is served: arithmetic."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from poe_proxy.pool.ledger import Outlook
from poe_proxy.pool.limits import Rest, Within
from poe_proxy.pool.line.forecast import SHORTEST, Forecast, Future, Usual

NOW = 1000.0


def future(
    *,
    uses: tuple[float, ...] = (),
    rest: float = 0.0,
    in_use: int = 0,
    bots: dict[str, float] | None = None,
    **terms: Any,
) -> Future:
    """A token as its ledger sees it."""
    terms = {"rank": 0, "concurrency": 1, "limits": (), **terms}
    return Future.read(Outlook(uses, rest, in_use, bots or {}), NOW, **terms)


def forecast(**futures: Future) -> Forecast:
    return Forecast(futures, NOW)


def served(forecast: Forecast, places: int, names: str = "", bot: str = "") -> list[float]:
    """The seconds until each of so many places is served, with any of *names*, or of all."""
    fit = frozenset(names or forecast.futures)
    return [forecast.serve(fit, bot) - NOW for _ in range(places)]


# ---- one token


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        pytest.param({}, [0, 0, 0], id="no limits"),
        pytest.param({"limits": (Rest(10.0),)}, [0, 10, 20], id="rest"),
        pytest.param({"limits": (Rest(10.0),), "uses": (4.0,)}, [6, 16, 26], id="rest after a use"),
        pytest.param({"limits": (Within(2, 60.0),)}, [0, 0, 60], id="so many a minute"),
        pytest.param(
            {"limits": (Within(2, 60.0),), "uses": (70.0, 50.0, 20.0)},
            [10, 40, 70],
            id="so many a minute, some used",
        ),
        pytest.param(
            {"limits": (Within(2, 60.0), Rest(10.0))}, [0, 10, 60, 70], id="the stricter limit"
        ),
        pytest.param({"limits": (Rest(10.0),), "rest": 33.0}, [33, 43, 53], id="Poe's rest"),
        pytest.param({"rest": inf}, [inf, inf], id="set aside"),
        pytest.param({"in_use": 1}, [0, 0], id="a reply of which nothing is known"),
        pytest.param({"lasts": 7.0}, [0, 7, 14], id="replies that last"),
        pytest.param({"lasts": 7.0, "concurrency": 2}, [0, 0, 7, 7, 14], id="two at a time"),
        pytest.param(
            {"lasts": 7.0, "in_use": 1, "served": (NOW - 5.0,)}, [2, 9, 16], id="one has begun"
        ),
        pytest.param(
            {"lasts": 7.0, "in_use": 1, "served": (NOW - 50.0,)}, [0, 7], id="one lasts longer"
        ),
        pytest.param(
            {"lasts": 7.0, "in_use": 3, "served": (NOW - 5.0, NOW - 1.0)},
            [6, 13],
            id="more are in use than there is room for now",
        ),
        pytest.param({"limits": (Rest(10.0),), "lag": 2.0}, [0, 12, 24], id="sent late"),
        pytest.param(
            {"limits": (Rest(10.0),), "lasts": 25.0}, [0, 25, 50], id="replies longer than the rest"
        ),
    ],
)
def test_one_token_serves_when_it_can(token: dict[str, Any], expected: list[float]) -> None:
    """As its limits, Poe's rests and its running replies allow."""
    assert expected == served(forecast(a=future(**token)), len(expected))


def test_a_rest_for_one_bot_does_not_hold_back_the_others() -> None:
    """Nor does the order in which they are asked matter; handles are compared without case."""
    ahead = forecast(a=future(bots={"sora": 50.0}, limits=(Rest(10.0),)))

    assert [0.0] == served(ahead, 1, bot="GPT-4o")
    assert [50.0] == served(ahead, 1, bot="Sora")


def test_what_waits_for_a_bot_keeps_no_other_out() -> None:
    """The token is not kept for it: others have it meanwhile, and their time is theirs."""
    ahead = forecast(a=future(bots={"sora": 50.0}, limits=(Rest(20.0),)))

    assert [50.0] == served(ahead, 1, bot="Sora")
    assert [0.0, 20.0, 40.0, 60.0] == served(ahead, 4)
    assert [80.0] == served(ahead, 1, bot="Sora")


# ---- several


def test_each_place_has_the_token_that_can_serve_it_first() -> None:
    """Whichever of those that fit; what fits only one waits for that one."""
    ahead = forecast(a=future(limits=(Rest(10.0),)), b=future(limits=(Rest(4.0),), uses=(1.0,)))

    assert [0, 3, 7] == served(ahead, 3)
    assert [10] == served(ahead, 1, "a")
    assert [11, 15] == served(ahead, 2)


def test_lower_ranks_are_lent_first() -> None:
    """So that a place that only a higher rank fits finds it free."""
    ahead = forecast(c=future(rank=1, limits=(Rest(10.0),)), k=future(rank=0, limits=(Rest(10.0),)))

    assert [0] == served(ahead, 1)
    assert [0] == served(ahead, 1, "c")


def test_of_equals_the_longest_unused_is_lent_first() -> None:
    """As the ledger does it."""
    ahead = forecast(
        a=future(turn=7, limits=(Rest(10.0),)), b=future(turn=5, limits=(Rest(10.0),)), c=future()
    )

    assert ["c", "c"] == [ahead.first(frozenset("abc"))[1] for _ in range(2)]
    ahead.serve(frozenset("abc"))
    ahead.serve(frozenset("abc"))
    assert (NOW, "a") == ahead.first(frozenset("ab"))


def test_without_a_token_nothing_is_served() -> None:
    """A place that no token fits is never served."""
    assert (inf, "") == forecast(a=future()).first(frozenset())


def test_asking_takes_no_place() -> None:
    """Only what is served counts."""
    ahead = forecast(a=future(limits=(Rest(10.0),)))

    assert [(NOW, "a")] * 2 == [ahead.first(frozenset("a")) for _ in range(2)]
    assert [0, 10] == served(ahead, 2)


def test_what_it_is_made_of_stays_as_it_is() -> None:
    """Another forecast may be made of it."""
    tokens = {"a": future(limits=(Rest(10.0),), lasts=3.0)}
    served(Forecast(tokens, NOW), 3)

    assert [0, 10] == served(Forecast(tokens, NOW), 2)


def test_a_place_is_not_served_before_it_comes() -> None:
    """A forecast may be older than the place that joins."""
    ahead = forecast(a=future(limits=(Rest(10.0),)))

    assert NOW + 4.0 == ahead.serve(frozenset("a"), now=NOW + 4.0)
    assert [14.0] == served(ahead, 1)


def test_what_is_certain_leaves_out_what_lasts() -> None:
    """Replies may end, and requests be sent, at any moment: limits and rests stay."""
    token = future(limits=(Rest(10.0),), lasts=50.0, lag=5.0, in_use=1, served=(NOW,), rest=1.0)

    assert [1, 11] == served(forecast(a=token.certain()), 2)


def test_what_is_promised_comes_first() -> None:
    """The next time is after all of them, with the same distance."""
    token = future(limits=(Rest(10.0),))

    assert [35, 45] == served(forecast(a=token.promised([NOW + 5.0, NOW + 25.0])), 2)
    assert [0, 10] == served(forecast(a=token.promised([])), 2)


def test_times_are_apart_also_where_nothing_is_known_to_last() -> None:
    """Requests that come back together would meet again."""
    token = future(concurrency=2).promised([])

    assert [0, 0, SHORTEST, SHORTEST, 2 * SHORTEST] == served(forecast(a=token), 5)


# ---- what is usual


def test_what_is_usual_is_known_once_it_is_seen() -> None:
    """Before, nothing is taken to last; then the more steady it is, the more of it."""
    usual = Usual()
    seen = [usual.at_least]
    for _ in range(40):
        usual.note(10.0)
        seen.append(usual.at_least)

    assert [0.0, 0.0] == seen[:2]
    assert seen == sorted(seen)
    assert 9.9 < seen[-1] <= 10.0


def test_what_varies_is_not_counted_on() -> None:
    """A short reply between long ones is nothing to be refused for."""
    usual = Usual()
    for seconds in (1.0, 30.0) * 20:
        usual.note(seconds)

    assert 0.0 == usual.at_least


def test_what_never_takes_no_time_may_vary() -> None:
    """A quarter of what it takes on the average is always counted on."""
    usual = Usual(share=0.25)
    usual.note(2.0)

    assert 0.5 == usual.at_least


def test_what_is_usual_changes() -> None:
    """Long replies are forgotten soon after they have become short."""
    usual = Usual()
    for seconds in [100.0] * 40 + [1.0] * 40:
        usual.note(seconds)

    assert usual.at_least < 1.5
