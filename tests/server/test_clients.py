"""Keys for people, as the server applies them: limits, models, headers, budgets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import orjson
import pytest
from werkzeug.test import TestResponse

from poe_proxy.chat import Done, Text, Usage
from poe_proxy.errors import TokenExhausted, UpstreamOverloaded
from poe_proxy.server.rate_limits import duration
from poe_proxy.server.services import Services

from ..fakes import SENDING, Step
from .site import COMPLETIONS, HELLO, KEY, Site, error

ALICE = "sk-alice-123456"
MESSAGES = "/v1/messages"
ANSWER: tuple[Step, ...] = (SENDING, Text("Hello"), Done())

#: Makes a site with a client alice, of whom these lines are true.
Make: TypeAlias = Callable[..., "Alices"]


class Alices(Site):
    """A site on which alice asks."""

    def __init__(self, lines: str, path: Path, *script: Step, **options: Any) -> None:
        path.write_text(f'[clients.alice]\nkey = "{ALICE}"\n{lines}', "utf-8")
        super().__init__(*(script or ANSWER), clients=path, **options)

    def ask(self, **fields: Any) -> TestResponse:
        """An answer that is over, unless it is streamed."""
        answer = super().ask(**fields)
        return answer if fields.get("stream") else over(answer)

    def open(self, path: str, **options: Any) -> TestResponse:
        return super().open(path, **{"headers": {"Authorization": f"Bearer {ALICE}"}, **options})

    def overview(self) -> dict[str, Any]:
        """What the owner is shown of her."""
        services: Services = self.client.application.extensions["poe_proxy"]
        return {one["name"]: one for one in services.registry.overview()}["alice"]


def over(answer: TestResponse) -> TestResponse:
    """The answer, which the client has read to its end."""
    assert answer.data
    answer.close()
    return answer


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    sites: list[Site] = []

    def make(lines: str = "", *script: Step, **options: Any) -> Alices:
        sites.append(site := Alices(lines, tmp_path / "clients.toml", *script, **options))
        return site

    yield make
    for site in sites:
        site.close()


def limits(answer: TestResponse, of: str = "requests") -> tuple[str | None, ...]:
    """What the headers say: the limit, what is left, and when all of it is."""
    return tuple(
        answer.headers.get(f"x-ratelimit-{what}-{of}") for what in ("limit", "remaining", "reset")
    )


# ---- limits on requests


def test_a_client_s_limit_is_told_as_its_own(make: Make) -> None:
    """With its name, the setting, and when to come again; others are served meanwhile."""
    site = make("per_minute = 2\n")

    assert [200, 200] == [site.ask().status_code for _ in range(2)]
    refused = site.ask()

    assert (429, "rate_limit_exceeded", "60") == (
        refused.status_code,
        error(refused)["code"],
        refused.headers["Retry-After"],
    )
    assert (
        "This is the limit of client alice: 2 requests a minute (per_minute in CLIENTS). "
        "Try again in 60 s." == error(refused)["message"]
    )
    other = site.open(
        COMPLETIONS,
        method="POST",
        data=orjson.dumps(HELLO),
        headers={"Authorization": f"Bearer {KEY}"},
    )
    assert 200 == other.status_code
    assert (None, None, None) == limits(other)


def test_each_answer_says_what_is_left(make: Make) -> None:
    """In OpenAI's names and form; also a refusal, and what costs nothing."""
    site = make("per_minute = 2\ntokens_per_day = 1000\n")

    assert ("2", "2", "0s") == limits(site.get("/v1/models"))
    assert ("2", "1", "1m0s") == limits(site.ask())
    assert ("2", "1", "1m0s") == limits(over(site.post(b"no json")))
    assert ("2", "0", "1m0s") == limits(over(site.ask(stream=True)))
    refused = site.ask()
    assert ("2", "0", "1m0s") == limits(refused)
    limit, left, reset = limits(refused, "tokens")
    assert limit == "1000"
    assert 0 < int(left or 0) < 1000
    assert reset
    assert reset.endswith("s")


def test_anthropic_s_clients_are_told_in_their_names(make: Make) -> None:
    """With the moment in place of the time; a page in a browser may read them."""
    body = orjson.dumps({**HELLO, "max_tokens": 9})
    answer = make("per_minute = 2\n").post(body, MESSAGES)

    assert ("2", "1") == (
        answer.headers["anthropic-ratelimit-requests-limit"],
        answer.headers["anthropic-ratelimit-requests-remaining"],
    )
    assert answer.headers["anthropic-ratelimit-requests-reset"].endswith("Z")
    assert "x-ratelimit-limit-requests" not in answer.headers
    assert "anthropic-ratelimit-requests-reset" in answer.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0s"), (0.2, "1s"), (59.5, "1m0s"), (360, "6m0s"), (3725, "1h2m5s"), (86400, "24h0m0s")],
)
def test_times_are_as_openai_writes_them(seconds: float, said: str) -> None:
    """In whole seconds, rounded up."""
    assert said == duration(seconds)


@pytest.mark.parametrize("answers_400", [True, False])
def test_what_was_not_sent_costs_nothing(make: Make, answers_400: bool) -> None:
    """A body that makes no sense, or a bot that may not be asked."""
    site = make("per_day = 1\nnot_models = ['Veo-3']\n")
    for _ in range(3):
        wrong = over(site.post(b"no json")) if answers_400 else site.ask(model="Veo-3")
        assert wrong.status_code == (400 if answers_400 else 403)

    assert [200, 429] == [site.ask().status_code, site.ask().status_code]


def test_what_failed_after_it_was_sent_counts(make: Make) -> None:
    """Once, however often it was tried."""
    site = make("per_day = 1\n", SENDING, UpstreamOverloaded("No."))

    assert [503, 429] == [site.ask().status_code, site.ask().status_code]
    assert 1 == site.overview()["requests"]["today"]


def test_a_hang_up_gives_its_place_back(make: Make) -> None:
    """Answers under way are counted until their end, whatever that is."""
    site = make("at_a_time = 1\n")
    answer = site.ask(stream=True)

    refused = site.ask()
    assert (429, "1") == (refused.status_code, refused.headers["Retry-After"])
    assert "1 requests at a time (at_a_time in CLIENTS)" in error(refused)["message"]
    answer.close()
    assert 200 == site.ask().status_code


def test_of_two_waits_the_longer_one_is_told(make: Make) -> None:
    """When an account is free again, and the client may not ask yet, it would come in vain."""
    site = make("per_minute = 1\n", SENDING, UpstreamOverloaded("No.", retry_after=5))

    refused = site.ask()
    assert (503, "60") == (refused.status_code, refused.headers["Retry-After"])


# ---- budgets


@pytest.mark.parametrize("lines", ["tokens_per_day = 10", "points_per_day = 3"])
def test_a_budget_that_is_used_up_says_until_when(make: Make, lines: str) -> None:
    """It is of no use to try again before; what is under way may go beyond it."""
    usage = Usage(prompt_tokens=8, completion_tokens=8)
    site = make(f"{lines}\n", SENDING, Text("Hello"), usage, Done())
    site.upstream.charges = 4
    assert 200 == site.ask().status_code

    refused = site.ask()

    assert (429, "insufficient_quota", "insufficient_quota", "false") == (
        refused.status_code,
        error(refused)["type"],
        error(refused)["code"],
        refused.headers["x-should-retry"],
    )
    name, _, most = lines.partition(" = ")
    unit = name.partition("_")[0]
    message = error(refused)["message"]
    assert message.startswith(
        f"This is the budget of client alice: {most} {unit} a day ({name} in CLIENTS). "
        "It is used up until 20"
    )
    assert message.endswith(" UTC.")


def test_anthropic_s_clients_hear_of_a_budget_in_their_form(make: Make) -> None:
    """402, `billing_error`."""
    usage = Usage(prompt_tokens=8, completion_tokens=8)
    site = make("tokens_per_day = 10\n", SENDING, Text("Hello"), usage, Done())
    body = orjson.dumps({**HELLO, "max_tokens": 9})

    assert [200, 402] == [over(site.post(body, MESSAGES)).status_code for _ in range(2)]


def test_the_billing_routes_tell_a_client_its_own_budget(make: Make) -> None:
    """In dollars, and what is used of it in cents; others are told of all accounts."""
    site = make("points_per_day = 10_000\npoints_per_month = 2000000\n")
    site.upstream.charges = 1000
    assert 200 == site.ask().status_code

    def told(key: str) -> tuple[float, float]:
        headers = {"Authorization": f"Bearer {key}"}
        paths = ("subscription", "usage")
        left, used = (
            site.get(f"/v1/dashboard/billing/{one}", headers=headers).json for one in paths
        )
        return left["hard_limit_usd"], used["total_usage"]

    assert (0.3, 3.0) == told(ALICE)
    assert (pytest.approx(3.0), 0) == told(KEY)


# ---- models


@pytest.mark.parametrize("name", ["Claude-Opus-4", "claude-opus-4", "poe/Claude-Opus-4"])
@pytest.mark.parametrize("path", [COMPLETIONS, MESSAGES])
def test_a_model_that_is_not_allowed_is_not_asked(make: Make, name: str, path: str) -> None:
    """403, whatever it is called, and whether or not there is one."""
    site = make("not_models = ['claude-opus*']\n")

    refused = site.post(orjson.dumps({**HELLO, "max_tokens": 9, "model": name}), path)

    assert 403 == refused.status_code
    assert refused.json is not None
    assert "permission_error" == refused.json["error"]["type"]
    assert [] == site.upstream.asked
    assert 404 == site.get(f"/v1/models/{name}").status_code


def test_the_list_shows_what_may_be_used_and_nothing_else(make: Make) -> None:
    """By the names that are listed, and those of the bots behind them."""

    def listed(site: Site) -> set[str]:
        found = site.get("/v1/models").json
        assert found is not None
        return {entry["id"].lower() for entry in found["data"]}

    everything = listed(make())
    site = make("models = ['Claude-*']\nnot_models = ['*haiku*']\n")

    some = listed(site)
    assert some == {one for one in everything if one.startswith("claude-") and "haiku" not in one}
    assert 0 < len(some) < len(everything)


# ---- keys that do not hold


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("enabled = false", "The key of client alice is switched off (enabled in CLIENTS)."),
        ("until = 2020-01-31", "The key of client alice is out of date since 2020-02-01 00:00 UTC"),
    ],
)
def test_a_key_that_does_not_hold_opens_nothing(make: Make, lines: str, said: str) -> None:
    """The client is told why."""
    site = make(f"{lines}\n")
    refused = site.ask()

    assert (401, "invalid_api_key") == (refused.status_code, error(refused)["code"])
    assert error(refused)["message"].startswith(said)
    assert {"invalid_api_key": 1} == site.overview()["refused"]


# ---- what the owner is shown


def test_the_owner_sees_who_used_what(make: Make) -> None:
    """By name, with what is left of what; never a key, nor a digest of one."""
    usage = Usage(prompt_tokens=5, completion_tokens=6)
    site = make("per_day = 2\npoints_per_month = 100\n", SENDING, Text("Hello"), usage, Done())
    site.upstream.charges = 7
    assert [200, 200, 429] == [site.ask().status_code for _ in range(3)]

    shown = site.overview()

    assert {"today": 2, "limit": 2} == shown["requests"]
    assert {"today": 22, "limit": None} == shown["tokens"]
    assert {
        "today": 14,
        "exact": 14,
        "estimated": 0,
        "limit": None,
        "month": 14,
        "month_limit": 100,
    } == shown["points"]
    assert {"rate_limit_exceeded": 1} == shown["refused"]
    assert {"per_day": 2, "points_per_month": 100} == shown["limits"]
    assert (0, True, None) == (shown["under_way"], shown["enabled"], shown["until"])
    assert shown["last_seen"].endswith("Z")
    assert ALICE not in repr(shown)


def test_a_failure_at_poe_is_no_refusal(make: Make) -> None:
    """What an account met is not held against its client."""
    site = make("", SENDING, TokenExhausted("No points."))
    assert 429 == site.ask().status_code

    assert {} == site.overview()["refused"]
