"""The list of models over the whole way: whose bots it has, and that each of them answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import requests

from .servers import Proxy, Sim, ask

#: Bots of the stand-in that are listed, and play a trouble of their own when they are asked.
_TROUBLE = {"o3-deep-research"}


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    with Sim(("cookie-a",), ("key-a",), "--max-concurrent", "50", pace=0.001) as running:
        yield running


@pytest.fixture(scope="module", params=["cookies", "keys"])
def proxy(request: pytest.FixtureRequest, sim: Sim) -> Iterator[Proxy]:
    """A proxy with accounts of one kind."""
    other = {"cookies": "POE_API_KEYS", "keys": "TOKENS"}[request.param]
    with Proxy(sim, **{other: ""}) as running:
        yield running


def listed(proxy: Proxy) -> dict[str, dict[str, Any]]:
    answer = requests.get(f"{proxy.url}/v1/models", headers=proxy.headers, timeout=60)
    assert 200 == answer.status_code
    return {entry["id"]: entry for entry in answer.json()["data"]}


def retrieved(proxy: Proxy, name: str) -> Any:
    return requests.get(f"{proxy.url}/v1/models/{name}", headers=proxy.headers, timeout=60).json()


# ---- what is listed


def test_cookies_and_keys_have_the_same_list(sim: Sim) -> None:
    """Poe's own, with time, owner, context and modalities; it is asked for without a secret. An
    account that is logged in may add bots that the site shows it."""
    with Proxy(sim, POE_API_KEYS="") as by_cookie, Proxy(sim, TOKENS="") as by_key:
        entries, others = listed(by_cookie), listed(by_key)

    assert list(others.items()) == [one for one in entries.items() if one[0] in others]
    sonnet = entries["Claude-Sonnet-4.5"]
    assert (983040, "Anthropic") == (sonnet["context_length"], sonnet["owned_by"])
    assert 1_700_000_000 < sonnet["created"] < 2_000_000_000
    assert {"input_modalities", "output_modalities"} <= sonnet["architecture"].keys()
    fetches = sim.journal(face="api", path="/v1/models")
    assert fetches
    for fetch in fetches:
        assert not {"authorization", "cookie"} & {name.lower() for name in fetch["headers"]}


def test_the_list_begins_with_a_bot_that_people_look_for(proxy: Proxy) -> None:
    """A newest one of a maker that everybody knows; no name that leads nowhere is there."""
    names = list(listed(proxy))

    assert "Claude-Opus-4.7" == names[0]
    assert not {"assistant", "gpt-4", "claude-2-100k", "google-palm"} & set(names)


@pytest.mark.parametrize("settings", [{"POE_API_URL": "http://127.0.0.1:9"}, {"CATALOGUE": "0"}])
def test_without_poe_s_list_there_is_another(sim: Sim, settings: dict[str, str]) -> None:
    """Where it cannot be reached, or may not be: living bots, with the same facts."""
    fetches = len(sim.journal(face="api", path="/v1/models"))
    with Proxy(sim, POE_API_KEYS="", **settings) as running:
        entries = listed(running)
        said = running.output()
        answer = running.post(ask("!echo hi", "claude-sonnet-4.5"))

    assert fetches == len(sim.journal(face="api", path="/v1/models"))
    sonnet = entries["Claude-Sonnet-4.5"]
    assert ("model", 983040, "Anthropic", 1_758_844_800) == tuple(
        sonnet[name] for name in ("object", "context_length", "owned_by", "created")
    )
    assert "sim-maker/sim-slash" not in entries
    assert "assistant" not in entries
    assert 200 == answer.status_code
    assert ("CATALOGUE" in settings) != ("list of models cannot be fetched" in said)


# ---- whatever is listed


def test_whatever_is_listed_is_retrieved_and_answers(proxy: Proxy) -> None:
    """In lower and upper case; with a slash in it, too."""
    entries = listed(proxy)

    assert "sim-maker/sim-slash" in entries
    assert 50 < len(entries)
    for name, entry in entries.items():
        for spelling in (name.lower(), name.upper(), quote(name, safe="")):
            assert entry == retrieved(proxy, spelling)
    for name in entries.keys() - _TROUBLE:
        for spelling in (name.lower(), name.upper()):
            answer = proxy.post(ask("!echo hi", spelling))
            is_refusal = answer.status_code == 400 and "deep research" in answer.text.lower()
            assert 200 == answer.status_code or is_refusal, (name, answer.text)


@pytest.mark.parametrize(
    "name",
    ["openai/gpt-5.1", "poe/Claude-Sonnet-4.5", "openrouter/anthropic/claude-sonnet-4.5",
     "some-gateway/o3", "poe:o3", "Sim-Slash", "openai/sim-maker/sim-slash", "sim with a title"],
)  # fmt: skip
def test_other_names_of_a_bot_lead_to_it(proxy: Proxy, name: str) -> None:
    """A prefix of a provider, and what the site shows; the answer has the client's own name."""
    answer = proxy.post(ask("!echo hi", name))

    assert (200, name) == (answer.status_code, answer.json().get("model"))
    assert "id" in retrieved(proxy, name)


def test_an_old_name_whose_bot_is_gone_says_so(sim: Sim) -> None:
    """By key, where the bot of `gpt-4` is no more; and a likely bot is named."""
    with Proxy(sim, TOKENS="") as running:
        old = running.post(ask("hi", "gpt-4"))
        near = running.post(ask("hi", "Claude_Sonnet_4-5"))

    assert (404, 404) == (old.status_code, near.status_code)
    assert re.search(r"'gpt-4' is an old name for the bot 'GPT-4'", old.json()["error"]["message"])
    assert "Did you mean 'Claude-Sonnet-4.5'?" in near.json()["error"]["message"]


# ---- bots of an account's own


def test_an_account_s_own_bots_are_listed_and_found_in_a_pool() -> None:
    """Once the account is logged in; whichever account is free, the one that has it answers."""

    def looks() -> int:
        return sum("availableBots" in str(entry) for entry in sim.journal())

    with Sim(("cookie-a", "cookie-b", "cookie-c"), pace=0.001) as sim:
        sim.control(own_bots=["cookie-2/Bens-Bot", "cookie-3/Carls-Bot"])
        with Proxy(sim, TOKEN_CONCURRENCY="5") as proxy:
            entries = listed(proxy)
            answers = [
                proxy.post(ask("!echo hi", name))
                for name in ("Bens-Bot", "carls-bot", "poe/Bens-Bot") * 2
            ]
            before = looks()
            listed(proxy)
            after = looks()

    assert {"Bens-Bot", "Carls-Bot"} <= entries.keys()
    assert {200} == {answer.status_code for answer in answers}
    # Three pages for each of three accounts.
    assert 9 == before == after


def test_no_account_is_looked_at_if_that_is_forbidden() -> None:
    """`CATALOGUE=0`: the site is asked for answers alone."""
    with Sim(("cookie-a",), pace=0.001) as sim, Proxy(sim, CATALOGUE="0") as proxy:
        assert 200 == proxy.post(ask("!echo hi", "Claude-Sonnet-4.5")).status_code
        listed(proxy)
        looks = [entry for entry in sim.journal() if "availableBots" in str(entry)]

    assert [] == looks
