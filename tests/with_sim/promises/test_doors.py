"""What holds on every path: preflights and CORS, paths, keys, models, routes that are not there."""

from __future__ import annotations

import json

import pytest
import requests

from ..servers import KEY, ask
from .asking import BOT, Way, error_of

CHAT = "/v1/chat/completions"
ROUTES = [
    "/",
    "/health",
    "/openapi.json",
    "/models",
    "/v1/models",
    "/v1/models/gpt-4",
    "/v1/dashboard/billing/subscription",
    "/v1/dashboard/billing/usage",
    "/chat/completions",
    CHAT,
]
NOT_SERVED = [
    "/v1/responses", "/v1/messages", "/v1/messages/count_tokens", "/v1/completions",
    "/v1/embeddings", "/v1/images/generations",
]  # fmt: skip
EXPOSED = {
    "x-request-id", "retry-after", "x-ratelimit-limit-requests", "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-requests", "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-requests", "x-ratelimit-reset-tokens",
}  # fmt: skip


def names(header: str) -> set[str]:
    return {name.strip().lower() for name in header.split(",")}


# ---- preflights and CORS


@pytest.mark.parametrize("path", [*ROUTES, *NOT_SERVED, "/v1/chat/completions/", "//v1/models"])
def test_a_preflight_is_answered_on_every_path(way: Way, path: str) -> None:
    """204 without a key; the headers that were asked for are allowed, and it is remembered."""
    wanted = "authorization, content-type, x-api-key, x-requested-with, x-stainless-os"
    answer = requests.options(
        way.proxy.url + path,
        headers={
            "Origin": "https://chat.example.org",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": wanted,
        },
        timeout=20,
    )

    assert (204, b"") == (answer.status_code, answer.content)
    assert "*" == answer.headers["Access-Control-Allow-Origin"]
    assert names(wanted) == names(answer.headers["Access-Control-Allow-Headers"])
    assert {"get", "post"} <= names(answer.headers["Access-Control-Allow-Methods"])
    assert 0 < int(answer.headers["Access-Control-Max-Age"])
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    ("status", "method", "path", "body"),
    [
        (200, "GET", "/v1/models", None),
        (200, "POST", CHAT, ask("!echo hi", BOT)),
        (200, "POST", CHAT, ask("!echo hi", BOT, stream=True)),
        (400, "POST", CHAT, {"model": "gpt-4"}),
        (401, "GET", "/v1/models", None),
        (404, "GET", "/v1/nothing", None),
        (404, "POST", CHAT, ask("hi", model="No-Such-Bot-At-All")),
        (405, "GET", CHAT, None),
        (413, "POST", CHAT, ask("x" * 20_000_001)),
        (503, "POST", CHAT, ask("!status=bot_unavailable !html-502 hi", BOT)),
    ],
)
def test_every_answer_can_be_read_in_a_browser(
    way: Way, status: int, method: str, path: str, body: object
) -> None:
    """CORS headers are on answers and errors alike, and let a page read what it needs to know.

    What a 429 looks like is in `test_failures`, a 500 in tests/server/test_delivery.py.
    """
    answer = requests.request(
        method,
        way.proxy.url + path,
        json=body,
        headers={} if status == 401 else way.proxy.headers,
        timeout=60,
    )

    assert status == answer.status_code
    assert "*" == answer.headers["Access-Control-Allow-Origin"]
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert names(answer.headers["Access-Control-Expose-Headers"]) >= EXPOSED
    assert answer.headers["x-request-id"].startswith("req_")
    assert (status == 200) or error_of(answer)


# ---- paths


@pytest.mark.parametrize(
    "path", ["/v1/models", "/models", "/v1/models/", "/models/", "//v1/models", "/v1//models//"]
)
def test_the_list_is_at_every_spelling_of_its_path(way: Way, path: str) -> None:
    """With and without /v1, with doubled slashes and a trailing one."""
    answer = requests.get(way.proxy.url + path, headers=way.proxy.headers, timeout=20)

    assert (200, "list") == (answer.status_code, answer.json()["object"])


@pytest.mark.parametrize(
    "path", [CHAT, "/chat/completions", f"{CHAT}/", f"/{CHAT}", "//chat//completions/"]
)
def test_chat_is_at_every_spelling_of_its_path(way: Way, stream: bool, path: str) -> None:
    """With and without /v1, with doubled slashes and a trailing one."""
    answer = requests.post(
        way.proxy.url + path,
        json=ask("!echo here", BOT, stream=stream),
        headers=way.proxy.headers,
        timeout=60,
    )

    assert (200, "here" in answer.text) == (answer.status_code, True)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_front_page_says_what_this_is(way: Way, method: str) -> None:
    """A page without a key, for those who open the address and those who look if it is up."""
    answer = requests.request(method, f"{way.proxy.url}/", timeout=20)

    assert 200 == answer.status_code
    assert answer.headers["content-type"].startswith("text/html")
    assert ("OpenAI-compatible" in answer.text) == (method == "GET")


# ---- keys


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer  {KEY}"},
        {"x-api-key": KEY},
        {"api-key": KEY},
        {"Authorization": "Bearer something-else", "x-api-key": KEY},
    ],
)
def test_a_key_is_taken_from_each_header(way: Way, stream: bool, headers: dict[str, str]) -> None:
    """Bearer, x-api-key and api-key all open; one good key is enough."""
    answer = way.proxy.post(ask("!echo hi", BOT, stream=stream), headers=headers)

    assert 200 == answer.status_code


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": KEY},
        {"Authorization": f"Basic {KEY}"},
        {"x-api-key": ""},
        {"api-key": f"{KEY}x"},
    ],
)
def test_without_a_good_key_it_is_401(way: Way, stream: bool, headers: dict[str, str]) -> None:
    """In OpenAI's shape, streamed or not, and Poe hears nothing of it."""
    before = len(way.sim.journal())
    answer = way.proxy.post(ask("!echo hi", BOT, stream=stream), headers=headers)

    assert (401, "invalid_api_key") == (answer.status_code, error_of(answer)["code"])
    assert before == len(way.sim.journal())


# ---- models


def test_the_list_of_models_is_openai_s(way: Way) -> None:
    """Each entry has an id, an object, a whole number as its time, and an owner."""
    body = requests.get(f"{way.proxy.url}/v1/models", headers=way.proxy.headers, timeout=20).json()

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


@pytest.mark.parametrize("name", ["no-such-bot", "no/such/bot", "no%2Fsuch%2Fbot", "a//b"])
def test_a_model_that_is_not_listed_is_404(way: Way, name: str) -> None:
    """With model_not_found, slashes in the id or not."""
    answer = requests.get(
        f"{way.proxy.url}/v1/models/{name}", headers=way.proxy.headers, timeout=20
    )

    assert (404, "model_not_found") == (answer.status_code, error_of(answer)["code"])


# ---- what is not served


@pytest.mark.parametrize("path", NOT_SERVED)
@pytest.mark.parametrize("headers", [{}, {"x-api-key": KEY}], ids=["without a key", "with a key"])
def test_other_apis_say_what_is_served_instead(
    way: Way, path: str, headers: dict[str, str]
) -> None:
    """A clean 404 that names the chat route, whatever the body."""
    answer = requests.post(
        way.proxy.url + path, json={"model": "gpt-4", "input": "hi"}, headers=headers, timeout=20
    )
    error = error_of(answer)

    assert (404, "not_found", "invalid_request_error") == (
        answer.status_code,
        error["code"],
        error["type"],
    )
    assert CHAT in error["message"]
    assert path in error["message"]


def test_a_request_of_the_responses_api_on_the_chat_route_is_told_so(
    way: Way, stream: bool
) -> None:
    """`input` in place of messages is a 400 that says what to send."""
    answer = way.proxy.post({"model": "gpt-4", "input": "hi", "stream": stream})
    error = error_of(answer)

    assert (400, "messages") == (answer.status_code, error["param"])
    assert "Responses API" in error["message"]
    assert "'messages'" in error["message"]


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
        requests.get(f"{way.proxy.url}{path}", headers=headers, timeout=20).json()
        for path in (
            "/v1/dashboard/billing/subscription",
            "/dashboard/billing/subscription",
            "/dashboard/billing/usage?start_date=2026-11-01&end_date=2026-11-30",
        )
    )

    assert left["hard_limit_usd"] > 1
    assert left == again
    assert {"object": "list", "total_usage": 0} == used
