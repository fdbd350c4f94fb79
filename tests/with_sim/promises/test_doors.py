"""What holds on every path: preflights and CORS, paths, keys, models, routes that are not there;
what surrounds an answer, in each API that gives answers.

One example each, over the whole way. Every path, header and spelling has its row in the tables
of tests/server/.
"""

from __future__ import annotations

import json

import pytest
import requests

from ..apis import APIS, Api
from ..servers import KEY, ask
from .asking import BOT, Way, error_of

CHAT = "/v1/chat/completions"
EXPOSED = {
    "x-request-id", "retry-after", "x-ratelimit-limit-requests", "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-requests", "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-requests", "x-ratelimit-reset-tokens",
}  # fmt: skip


def names(header: str) -> set[str]:
    return {name.strip().lower() for name in header.split(",")}


@pytest.fixture(params=APIS)
def api(request: pytest.FixtureRequest) -> Api:
    """Each API that gives answers."""
    return APIS[request.param]


# ---- preflights and CORS


def test_a_preflight_is_answered(way: Way, api: Api) -> None:
    """204 without a key; the headers that were asked for are allowed, and it is remembered."""
    wanted = (
        "authorization, content-type, x-api-key, x-requested-with, x-stainless-os, "
        "anthropic-version, anthropic-beta, anthropic-dangerous-direct-browser-access"
    )
    answer = requests.options(
        way.proxy.url + api.path,
        headers={
            "Origin": "https://chat.example.org",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": wanted,
        },
        timeout=60,
    )

    assert (204, b"") == (answer.status_code, answer.content)
    assert "*" == answer.headers["Access-Control-Allow-Origin"]
    assert names(wanted) == names(answer.headers["Access-Control-Allow-Headers"])
    assert {"get", "post"} <= names(answer.headers["Access-Control-Allow-Methods"])
    assert 0 < int(answer.headers["Access-Control-Max-Age"])
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_every_answer_can_be_read_in_a_browser(way: Way, api: Api) -> None:
    """CORS headers are on answers and errors alike, and let a page read what it needs to know."""
    whole, stream = (api.ask("!echo hi", BOT, stream=streams) for streams in (False, True))
    for status, body in ((200, whole), (200, stream), (400, {"model": "gpt-4"})):
        answer = api.post(way.proxy, body)

        assert status == answer.status_code
        assert "*" == answer.headers["Access-Control-Allow-Origin"]
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert names(answer.headers["Access-Control-Expose-Headers"]) >= EXPOSED
        assert answer.headers["x-request-id"].startswith("req_")
        if api is APIS["messages"]:
            assert answer.headers["x-request-id"] == answer.headers["request-id"]
        assert (status == 200) or api.failure(answer)


# ---- paths


def test_slashes_do_not_matter(way: Way, api: Api) -> None:
    """Without /v1, with doubled slashes and a trailing one, a path leads where it was meant to."""
    answer = requests.post(
        f"{way.proxy.url}/{api.path.removeprefix('/v1').replace('/', '//')}/",
        json=api.ask("!echo here", BOT),
        headers=way.proxy.headers,
        timeout=60,
    )

    assert (200, "here" in answer.text) == (answer.status_code, True)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_front_page_says_what_this_is(way: Way, method: str) -> None:
    """A page without a key, for those who open the address and those who look if it is up."""
    answer = requests.request(method, f"{way.proxy.url}/", timeout=60)

    assert 200 == answer.status_code
    assert answer.headers["content-type"].startswith("text/html")
    assert ("<title>poe-proxy</title>" in answer.text) == (method == "GET")


# ---- keys


def test_a_key_is_taken_from_another_header(way: Way) -> None:
    """As well as from `Authorization`, which the tests of all other promises use."""
    answer = way.proxy.post(ask("!echo hi", BOT), headers={"x-api-key": KEY})

    assert 200 == answer.status_code


def test_without_a_good_key_it_is_401(way: Way, api: Api, stream: bool) -> None:
    """In the API's own shape, streamed or not, and Poe hears nothing of it."""
    before = len(way.sim.journal())
    answer = api.post(
        way.proxy,
        api.ask("!echo hi", BOT, stream=stream),
        headers={"Authorization": "Bearer wrong"},
    )

    assert (401, api.name("invalid_api_key")) == (answer.status_code, api.failure(answer))
    assert before == len(way.sim.journal())


# ---- requests that cannot be read


def test_what_is_no_json_is_a_400(way: Way, api: Api) -> None:
    """In the API's own shape."""
    answer = api.post(way.proxy, b'{"model": "gpt-4", "mess')

    assert (400, api.name("invalid_value")) == (answer.status_code, api.failure(answer))


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_another_method_is_a_405(way: Way, api: Api, method: str) -> None:
    """In the API's own shape, with the methods that there are."""
    answer = requests.request(
        method, way.proxy.url + api.path, headers=way.proxy.headers, timeout=60
    )

    assert (405, api.name("method_not_allowed")) == (answer.status_code, api.failure(answer))
    assert {"post", "options"} == names(answer.headers["Allow"])


# ---- models


def test_the_list_of_models_is_openai_s(way: Way) -> None:
    """Each entry has an id, an object, a whole number as its time, and an owner."""
    body = requests.get(f"{way.proxy.url}/v1/models", headers=way.proxy.headers, timeout=60).json()

    assert {"object", "data"} == body.keys()
    assert "list" == body["object"]
    assert body["data"]
    for entry in body["data"]:
        assert "model" == entry["object"]
        assert isinstance(entry["id"], str)
        assert isinstance(entry["owned_by"], str)
        assert int is type(entry["created"])
    with way.proxy.openai() as client:
        assert len(body["data"]) == len(list(client.models.list()))


def test_every_model_of_the_list_is_found_by_its_id(way: Way) -> None:
    """The single entry is that of the list, in any case."""
    with way.proxy.openai() as client:
        for entry in list(client.models.list())[:20]:
            assert entry == client.models.retrieve(entry.id)
            assert entry == client.models.retrieve(entry.id.upper())


def test_a_model_that_is_not_listed_is_404(way: Way) -> None:
    """With model_not_found, also with slashes in its name."""
    answer = requests.get(
        f"{way.proxy.url}/v1/models/no/such/bot", headers=way.proxy.headers, timeout=60
    )

    assert (404, "model_not_found") == (answer.status_code, error_of(answer)["code"])


# ---- what is not served


@pytest.mark.parametrize("headers", [{}, {"x-api-key": KEY}], ids=["without a key", "with a key"])
def test_other_apis_say_what_is_served_instead(way: Way, headers: dict[str, str]) -> None:
    """A clean 404 that names the chat route, whatever the body."""
    path = "/v1/embeddings"
    answer = requests.post(
        way.proxy.url + path, json={"model": "gpt-4", "input": "hi"}, headers=headers, timeout=60
    )
    error = error_of(answer)

    assert (404, "not_found", "invalid_request_error") == (
        answer.status_code,
        error["code"],
        error["type"],
    )
    assert CHAT in error["message"]
    assert path in error["message"]


def test_answers_are_not_compressed_behind_the_back_of_clients(way: Way) -> None:
    """What leaves is UTF-8 text as it stands, whatever a client would accept."""
    answer = way.proxy.post(
        ask("!echo Grüße", BOT), headers={**way.proxy.headers, "Accept-Encoding": "gzip, br"}
    )

    assert "Content-Encoding" not in answer.headers
    assert "Grüße" == json.loads(answer.content)["choices"][0]["message"]["content"]


# ---- billing


def test_what_is_left_is_shown_to_clients_that_ask(way: Way) -> None:
    """The points of all accounts, asked of Poe, as US dollars; Poe is not asked at each look."""
    headers = {"Authorization": f"Bearer {KEY}"}
    left, again, used = (
        requests.get(f"{way.proxy.url}{path}", headers=headers, timeout=60).json()
        for path in (
            "/v1/dashboard/billing/subscription",
            "/dashboard/billing/subscription",
            "/dashboard/billing/usage?start_date=2026-11-01&end_date=2026-11-30",
        )
    )

    assert left["hard_limit_usd"] > 1
    assert left == again
    assert {"object": "list", "total_usage": 0} == used
