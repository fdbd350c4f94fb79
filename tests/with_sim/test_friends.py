"""Keys for people through the whole server: limits, budgets, models, a reload and a restart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest
import requests

from .official import ApiSim
from .servers import KEY, Reloading, ask, until

BOT = "GPT-5.1"
CROWD = 64
CLIENTS = """
[clients.minute]
key = "sk-minute-123456"
per_minute = 7

[clients.day]
key = "sk-day-123456789"
per_day = 7

[clients.few]
key = "sk-few-123456789"
at_a_time = 7

[clients.anna]
key = "sk-anna-12345678"
points_per_day = 1
models = ["gpt-5*"]

[clients.carl]
key = "sk-carl-12345678"
models = ["gpt-5*"]

[clients.ben]
key = "sk-ben-123456789"
points_per_day = 100_000
tokens_per_day = 1_000_000
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server runs: with its clients and its state."""
    folder = tmp_path_factory.mktemp("friends")
    (folder / "clients.toml").write_text(CLIENTS)
    return folder


@pytest.fixture(scope="module")
def sim() -> Iterator[ApiSim]:
    with ApiSim((), ("sk-poe-one", "sk-poe-two"), pace=0) as sim:
        yield sim


def serve(sim: ApiSim, folder: Path) -> Reloading:
    return Reloading(
        sim,
        folder,
        CLIENTS="clients.toml",
        STATE_FILE=str(folder / "state"),
        API_CONCURRENCY="100",
        QUEUE_SIZE="100",
    )


@pytest.fixture(scope="module")
def proxy(sim: ApiSim, folder: Path) -> Iterator[Reloading]:
    with serve(sim, folder) as proxy:
        yield proxy


def of(name: str) -> dict[str, str]:
    """The headers of a client."""
    key = next(
        line.split('"')[1]
        for line in CLIENTS.partition(f"[clients.{name}]")[2].splitlines()
        if line.startswith("key")
    )
    return {"Authorization": f"Bearer {key}", "Connection": "close"}


def client(proxy: Reloading, name: str) -> openai.OpenAI:
    return proxy.openai(api_key=of(name)["Authorization"].removeprefix("Bearer "))


def status(proxy: Reloading, name: str) -> int:
    return proxy.post(ask("!echo x", BOT), headers=of(name)).status_code


@pytest.mark.parametrize("name", ["minute", "day"])
def test_of_many_at_the_same_moment_no_more_go_than_may(
    proxy: Reloading, sim: ApiSim, name: str
) -> None:
    """Sixty-four: as many reach Poe as the limit says, and all others hear of it."""
    before = len(sim.journal(path="/v1/chat/completions"))
    with ThreadPoolExecutor(CROWD) as pool:
        found = Counter(pool.map(lambda _: status(proxy, name), range(CROWD)))

    assert {200: 7, 429: CROWD - 7} == found
    assert 7 == len(sim.journal(path="/v1/chat/completions")) - before


def test_of_many_at_the_same_moment_no_more_are_under_way_than_may(proxy: Reloading) -> None:
    """Until one of them ends: then there is room for another one."""
    body = ask("!echo !chunks=2 !hang one two", BOT, stream=True)

    def begin(_: object) -> requests.Response:
        return proxy.post(body, headers=of("few"), stream=True)

    with ThreadPoolExecutor(CROWD) as pool:
        answers = list(pool.map(begin, range(CROWD)))
    assert {200: 7, 429: CROWD - 7} == Counter(one.status_code for one in answers)
    assert 429 == status(proxy, "few")
    for one in answers:
        one.close()
    until(lambda: status(proxy, "few") == 200)


def test_two_friends_have_a_budget_each(proxy: Reloading) -> None:
    """When the one has used up hers, the other one goes on; and each is told of the own one."""
    with client(proxy, "anna") as anna, client(proxy, "ben") as ben:
        for one in (anna, ben):
            said = one.chat.completions.create(
                model=BOT, messages=[{"role": "user", "content": "Write a lot. " * 50}]
            )
            assert said.choices[0].message.content
        with pytest.raises(openai.RateLimitError, match=r"client anna: 1 points a day") as refusal:
            anna.chat.completions.create(model=BOT, messages=[{"role": "user", "content": "Hi"}])
        assert "insufficient_quota" == refusal.value.code
        assert "false" == refusal.value.response.headers["x-should-retry"]
        assert ben.chat.completions.create(
            model=BOT, messages=[{"role": "user", "content": "Hi"}]
        ).choices
    used = [
        requests.get(
            f"{proxy.url}/v1/dashboard/billing/usage", headers=of(name), timeout=60
        ).json()["total_usage"]
        for name in ("anna", "ben")
    ]
    assert 0.003 == used[0] < used[1]


def test_the_openai_client_is_told_what_is_left(proxy: Reloading) -> None:
    """In the headers that it knows."""
    with client(proxy, "minute") as minute, client(proxy, "ben") as ben:
        raw = ben.chat.completions.with_raw_response.create(
            model=BOT, messages=[{"role": "user", "content": "Hi"}]
        )
        assert "1000000" == raw.headers["x-ratelimit-limit-tokens"]
        assert int(raw.headers["x-ratelimit-remaining-tokens"]) < 1_000_000
        assert "x-ratelimit-limit-requests" not in raw.headers
        listed = minute.models.with_raw_response.list()
        assert "7" == listed.headers["x-ratelimit-limit-requests"]


def test_a_client_sees_its_models_and_no_others(proxy: Reloading) -> None:
    """In the list, by name, and when it asks."""
    with client(proxy, "carl") as carl, client(proxy, "ben") as ben:
        seen = {model.id.lower() for model in carl.models.list()}
        assert seen
        assert seen == {
            model.id.lower() for model in ben.models.list() if model.id.lower().startswith("gpt-5")
        }
        with pytest.raises(openai.NotFoundError):
            carl.models.retrieve("Claude-Sonnet-4.5")
    refused = proxy.post(ask("Hi", "Claude-Sonnet-4.5"), headers=of("carl"))
    assert (403, "model_not_allowed") == (refused.status_code, refused.json()["error"]["code"])
    assert 200 == status(proxy, "carl")


def test_counts_outlive_a_restart(sim: ApiSim, tmp_path: Path) -> None:
    """A day is a day, and so is a minute's limit; the budget that was used up is so still."""
    used_up = {"minute": 7, "day": 7}
    (tmp_path / "clients.toml").write_text(CLIENTS)
    with serve(sim, tmp_path) as proxy:
        for name, number in used_up.items():
            assert [*[200] * number, 429] == [status(proxy, name) for _ in range(number + 1)]
        # Points are counted once an answer is over: its client may have that sooner.
        until(lambda: status(proxy, "anna") == 429)
    with serve(sim, tmp_path) as again:
        names = [*used_up, "anna"]
        assert dict.fromkeys(names, 429) == {name: status(again, name) for name in names}
        assert 200 == status(again, "ben")


def test_a_mistake_in_the_file_is_named_at_a_reload(sim: ApiSim, tmp_path: Path) -> None:
    """And all goes on as before; as at the start, it is named by client and field."""
    (tmp_path / "clients.toml").write_text(CLIENTS)
    with serve(sim, tmp_path) as proxy:
        (tmp_path / "clients.toml").write_text(CLIENTS.replace("per_minute", "per_minuet"))
        said = proxy.reload()
        assert "wrong setting CLIENTS: clients.toml: clients.minute, per_minuet: No client" in said
        assert 200 == status(proxy, "minute")
        (tmp_path / "clients.toml").write_text(CLIENTS.replace("gpt-5*", "no-such-*"))
        said = proxy.reload()
        assert "clients.anna names the model no-such-*, and there is none by now" in said
        assert KEY not in proxy.output()
        assert "sk-minute" not in proxy.output()
