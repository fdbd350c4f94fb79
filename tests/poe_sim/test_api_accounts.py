from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from .api_support import Api, fresh, serving


@pytest.fixture(scope="module")
def server() -> Iterator[Api]:
    with serving() as one:
        yield one


@pytest.fixture
def api(server: Api) -> Api:
    return fresh(server)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/responses"),
        ("GET", "/usage/current_balance"),
        ("GET", "/usage/points_history"),
    ],
)
@pytest.mark.parametrize("value", [None, "k1", "Bearer", "Bearer nobody", "Basic k1"])
def test_without_a_good_key_it_is_401(api: Api, method: str, path: str, value: str | None) -> None:
    """A missing or wrong key is a 401 with the body seen at Poe, on each endpoint."""
    headers = {"Authorization": value} if value else {}
    answer = requests.request(method, api.url + path, headers=headers, json={}, timeout=60)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"


def test_a_key_can_be_rejected(api: Api) -> None:
    """The control can reject one key while the other goes on."""
    api.control(keys_rejected=["key-1"])
    assert api.error("hi", 401)["code"] == "invalid_api_key"
    assert Api(api.url, key="k2").text("hi")
    api.control(keys_rejected=[])
    assert api.text("hi")


def test_the_balance_falls_with_every_answer(api: Api) -> None:
    """Each answer, whole or streamed, costs its own account what the history says."""
    before = api.balance()
    api.text("hi", model="GPT-5.1")
    middle = api.balance()
    api.chunks("hi", model="Claude-Opus-4.6")
    after = api.balance()
    assert before > middle > after
    rows = api.get("/usage/points_history")["data"]
    assert [row["bot_name"] for row in rows] == ["Claude-Opus-4.6", "GPT-5.1"]
    assert [row["cost_points"] for row in rows] == [middle - after, before - middle]
    assert Api(api.url, key="k2").balance() == before


def test_the_cost_follows_from_the_price(api: Api) -> None:
    """A price is by token, by request, or fixed by the control."""
    points = api.balance()
    api.text("hi", model="DeepSeek-R1")
    assert points - api.balance() == 600
    api.control(cost=7)
    api.text("hi", model="DeepSeek-R1")
    assert points - api.balance() == 607


def test_what_is_refused_costs_nothing(api: Api) -> None:
    """A refused request costs nothing and is not in the history."""
    before = api.balance()
    api.chat("!http=500")
    api.chat("hi", n=3)
    assert api.balance() == before
    assert api.get("/usage/points_history")["data"] == []


def test_an_answer_that_breaks_off_is_charged_in_part(api: Api) -> None:
    """An answer that breaks off is charged for the part that was sent."""
    api.chunks("!long=4000 !chunks=100", model="GPT-5.4-Pro")
    api.chunks("!long=4000 !chunks=100 !error-after=10", model="GPT-5.4-Pro")
    part, full = (row["cost_points"] for row in api.get("/usage/points_history")["data"])
    assert 0 < part < full / 5


def test_the_balance_has_all_its_keys(api: Api) -> None:
    """Points are whole numbers, dollars strings, times microseconds."""
    body = api.get("/usage/current_balance")
    assert isinstance(body["current_point_balance"], int)
    assert isinstance(body["total_balance_usd"], str)
    assert body["next_monthly_grant_time"] > 10**15
    assert body["auto_recharge"]["enabled"] is False


def test_without_points_nothing_is_answered(api: Api) -> None:
    """Each endpoint that costs is a 402 without points; the control gives new ones."""
    api.control(points={"key-1": 0})
    error = api.error("hi", 402)
    assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")
    assert "used up your points" in error["message"]
    assert api.error("hi", 402, stream=True)
    assert api.post("/v1/responses", {"model": "o3", "input": "hi"}).status_code == 402
    assert api.messages({"messages": [{"role": "user", "content": "hi"}]}).status_code == 402
    api.control(points={"key-1": 500})
    assert api.text("hi")
    assert 0 < api.balance() < 500


def test_history_is_paged_by_the_last_id(api: Api) -> None:
    """The history comes newest first, `limit` rows at a time, until the end."""
    for model in ("o3", "GPT-5", "GPT-4o"):
        api.text("hi", model=model)
    seen = []
    path = "/usage/points_history?limit=1"
    while True:
        page = api.get(path)
        assert page["length"] == len(page["data"]) == 1
        seen.append(page["data"][0]["bot_name"])
        cursor = page["data"][0]["query_id"]
        assert len(cursor) == 18
        if not page["has_more"]:
            break
        path = f"/usage/points_history?limit=1&starting_after={cursor}"
    assert seen == ["GPT-4o", "GPT-5", "o3"]
    page = api.get(f"/usage/points_history?starting_after={cursor}")
    assert page == {"has_more": False, "length": 0, "data": []}


def test_a_row_of_history_has_all_its_keys(api: Api) -> None:
    """A row has times in microseconds, dollars as strings, the key by its label."""
    api.text("hi")
    row = api.get("/usage/points_history")["data"][0]
    assert row["usage_type"] == "API"
    assert row["creation_time"] > 10**15
    assert isinstance(row["cost_usd"], str)
    assert row["api_key_name"] == "key-1"
    assert set(row["cost_breakdown_in_points"]) == {"Input", "Output", "Total"}


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "starting_after=nobody"])
def test_a_bad_page_is_refused(api: Api, query: str) -> None:
    """A limit is 1 to 100, and a cursor must be a known id."""
    assert api.request("GET", f"/usage/points_history?{query}").status_code == 400


def test_the_cost_may_show_late(api: Api) -> None:
    """The history may show a cost of 0 for a while; the balance falls at once."""
    before = api.balance()
    api.control(cost_delay=60)
    api.text("hi")
    assert api.get("/usage/points_history")["data"][0]["cost_points"] == 0
    assert api.balance() < before
    api.control(cost_delay=0)
    assert api.get("/usage/points_history")["data"][0]["cost_points"] > 0


def test_too_many_requests_are_refused(api: Api) -> None:
    """Each key has its own limit; beyond it the answer says when to come back."""
    api.control(rate_limit=2)
    assert [api.chat("hi").status_code for _ in range(3)] == [200, 200, 429]
    answer = api.chat("hi", stream=True)
    assert answer.json()["error"]["type"] == "rate_limit_error"
    assert 50 < int(answer.headers["retry-after"]) <= 60
    assert Api(api.url, key="k2").chat("hi").status_code == 200
    assert api.balance() > 0
    api.control(rate_limit=0)
    assert api.chat("hi").status_code == 200


def test_the_window_slides(api: Api) -> None:
    """Requests are free again when the window has passed."""
    api.control(rate_limit=1, rate_window=0.2)
    assert api.chat("hi").status_code == 200
    assert api.chat("hi").status_code == 429
    api.chat("!first=0.25 hi", headers={"Authorization": "Bearer k2"})
    assert api.chat("hi").status_code == 200


def test_rate_headers_are_behind_a_switch(api: Api) -> None:
    """The documented headers, never seen on chat, come only with the switch."""
    api.control(rate_headers=True)
    headers = api.chat("hi").headers
    assert headers["x-ratelimit-limit-requests"] == "500"
    assert headers["x-ratelimit-remaining-requests"] == "499"
    assert float(headers["x-ratelimit-reset-requests"]) > 0


def test_the_control_shows_the_state(api: Api) -> None:
    """The control shows switches, points, requests, and how many replies ran at once."""
    api.text("hi")
    state = api.control(strict=True)
    assert state["strict"] is True
    assert state["requests"] == {"key-1": 1, "key-2": 0}
    assert state["active"] == {"key-1": 0, "key-2": 0}
    assert state["most_active"] == {"key-1": 1, "key-2": 0}
    assert api.get("/__control_api")["strict"] is True
    assert api.control(reset=True)["strict"] is False
    assert "k1" not in str(state).replace("'key-1'", "")


@pytest.mark.parametrize(
    "changes",
    [
        {"nonsense": 1},
        {"strict": "yes"},
        {"rate_limit": True},
        {"down": "maybe"},
        {"points": {"key-9": 1}},
        {"points": {"key-1": "many"}},
        {"points": 3},
        {"keys_rejected": "key-1"},
        {"usage_variant": 3},
        {"strict": True, "cost": "x"},
        [],
    ],
)
def test_an_invalid_change_changes_nothing(api: Api, changes: Any) -> None:
    """An invalid change is a 400 with the reason."""
    before = api.control()
    answer = api.post("/__control_api", changes)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert api.control() == before
