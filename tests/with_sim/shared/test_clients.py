"""The limits of clients hold for all workers together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from ..servers import until
from .judge import Pace
from .load import Asked
from .stage import Stage

KEYS = {name: f"sk-shared-client-{name}" for name in ("often", "wide", "daily")}
CLIENTS = f"""
[clients.often]
key = "{KEYS["often"]}"
per_minute = 20

[clients.wide]
key = "{KEYS["wide"]}"
at_a_time = 5

[clients.daily]
key = "{KEYS["daily"]}"
per_day = 30
"""
PACES = {"key": Pace(calls=1000, window=60.0, at_once=200)}
#: How many ask at the same moment.
AT_ONCE = 64


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("clients")
    with Stage(folder, keys=1, paces=PACES, clients=CLIENTS) as stage:
        yield stage
        assert [] == stage.wrong(codes={"rate_limit_exceeded"})


@pytest.mark.parametrize(("name", "most"), [("often", 20), ("daily", 30)])
def test_so_many_of_64_at_once_are_served_as_the_client_may_have(
    stage: Stage, name: str, most: int
) -> None:
    """No more and no fewer, whichever workers they come to."""
    askings = [stage.start(number % 2, key=KEYS[name]) for number in range(AT_ONCE)]
    asked = [one.result() for one in askings]

    assert {"whole": most, "rate_limit_exceeded": AT_ONCE - most} == counted(asked)


def test_five_of_64_at_once_are_under_way_where_a_client_may_have_five(stage: Stage) -> None:
    """As soon as one has ended there is room for another one, on the other host too."""
    askings = [
        stage.start(number % 2, words="!hang", key=KEYS["wide"]) for number in range(AT_ONCE)
    ]
    until(lambda: sum(one.asked.outcome == "error" for one in askings) == AT_ONCE - 5)
    held = [one for one in askings if one.asked.outcome != "error"]
    for one in held:
        one.wait_for_words()
    refused = stage.ask(0, key=KEYS["wide"])
    held[0].hang_up()
    # Its place is free once all have been told how it ended.
    until(lambda: stage.ask(1 - held[0].asked.host, key=KEYS["wide"]).outcome == "whole")
    for one in held[1:]:
        one.hang_up()
    for one in held:
        one.result()
    stage.wait_until_nothing_is_lent()

    assert ("error", "rate_limit_exceeded") == (refused.outcome, refused.code)


def counted(asked: Sequence[Asked]) -> dict[str, int]:
    """How many there are of each outcome, by its code if it is an error."""
    return dict(Counter(one.code or one.outcome for one in asked))
