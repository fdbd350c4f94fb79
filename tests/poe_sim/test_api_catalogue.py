from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

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


def test_the_list_needs_no_key(api: Api) -> None:
    """The list comes without a key, so it proves no key good."""
    answer = requests.get(f"{api.url}/v1/models", timeout=60)
    assert answer.status_code == 200
    assert answer.json()["object"] == "list"
    assert len(answer.json()["data"]) >= 40


def test_every_entry_has_the_full_shape(api: Api) -> None:
    """Every entry has all keys of official API sheet §6, whatever their values."""
    for entry in api.get("/v1/models")["data"]:
        assert set(entry) == {
            "id",
            "object",
            "created",
            "description",
            "owned_by",
            "root",
            "architecture",
            "supported_features",
            "supported_endpoints",
            "pricing",
            "context_window",
            "context_length",
            "metadata",
            "reasoning",
            "parameters",
        }
        assert entry["id"] == entry["id"].lower() == entry["root"]
        assert entry["metadata"]["display_name"].lower() == entry["id"] or "sim-" in entry["id"]
        assert entry["created"] > 10**12
        for price in (entry["pricing"] or {}).values():
            assert price is None or Decimal(price) > 0
        for parameter in entry["parameters"]:
            assert {"name", "schema"} <= set(parameter)


def test_the_awkward_entries_are_there(api: Api) -> None:
    """Prices and windows may be null, prices by request, endpoints and parameters none."""
    models = {entry["id"]: entry for entry in api.get("/v1/models")["data"]}
    assert models["gpt-4o"]["pricing"] is None
    assert models["glm-5"]["context_window"] is models["glm-5"]["context_length"] is None
    assert models["kimi-k2.5"]["supported_endpoints"] == []
    assert models["deepseek-r1"]["pricing"]["request"] == "0.018"
    assert models["deepseek-r1"]["pricing"]["prompt"] is None
    assert models["grok-4"]["context_window"]["max_output_tokens"] is None
    assert models["gpt-4o"]["parameters"] == []
    assert models["claude-sonnet-4.5"]["pricing"]["prompt"] == "0.0000026"
    budget = models["claude-sonnet-4.5"]["reasoning"]["budget"]
    assert budget == {"min_tokens": 0, "max_tokens": 31999}
    assert models["sora-2"]["supported_endpoints"] == ["/v1/videos"]


def test_some_ids_are_not_what_the_site_shows(api: Api) -> None:
    """One has a slash, and another handle on the site; of one the title is another."""
    models = {entry["id"]: entry["metadata"] for entry in api.get("/v1/models")["data"]}

    assert ("Sim-Slash", "https://poe.com/Sim-Slash") == tuple(
        models["sim-maker/sim-slash"][name] for name in ("display_name", "url")
    )
    assert ("Sim With a Title", "https://poe.com/Sim-Titled") == tuple(
        models["sim-titled"][name] for name in ("display_name", "url")
    )


def test_a_model_is_found_in_any_case_and_echoed_as_sent(api: Api) -> None:
    """The answer names the model as the request did."""
    assert api.whole("hi", model="cLaUdE-sonnet-4.5")["model"] == "cLaUdE-sonnet-4.5"


def test_an_unknown_model_is_404(api: Api) -> None:
    """An unknown model is a 404 that names it."""
    error = api.error("hi", 404, model="nobody")
    assert error["type"] == "invalid_request_error"
    assert "nobody" in error["message"]


def test_a_bot_that_is_not_listed_answers(api: Api) -> None:
    """Community bots answer by their handle though they are not listed."""
    assert "sim-community" not in {entry["id"] for entry in api.get("/v1/models")["data"]}
    assert api.text("hi", model="Sim-Community")


def test_private_and_creator_bots_are_refused(api: Api) -> None:
    """Private, creator and unpriced bots cannot be asked through the API."""
    assert api.error("hi", 403, model="Sim-Private")["message"] == "Access denied"
    assert api.error("hi", 403, model="App-Creator")["type"] == "moderation_error"
    assert "Token unit price" in api.error("hi", 400, model="Sim-Unpriced")["message"]


def test_a_model_can_go_away(api: Api) -> None:
    """The control can remove a model from the list and from use."""
    api.control(hidden_models=["GPT-5.1"])
    assert "gpt-5.1" not in {entry["id"] for entry in api.get("/v1/models")["data"]}
    assert api.error("hi", 404)


def test_there_is_no_single_model_and_no_invented_endpoint(api: Api) -> None:
    """Paths that were never seen at Poe are 404 in JSON."""
    for method, path in (
        ("GET", "/v1/models/gpt-4o"),
        ("POST", "/v1/embeddings"),
        ("POST", "/v1/completions"),
        ("POST", "/v1/images"),
        ("GET", "/v1/chat/completions"),
        ("GET", "/usage/nothing"),
    ):
        answer = api.request(method, path)
        assert answer.status_code == 404
        assert "error" in answer.json()
