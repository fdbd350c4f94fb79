"""The routes and what they answer."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest
from openai.types import Model

from poe_proxy.server.middleware import tidy_paths

from .site import Site, error


def test_an_unknown_name_is_not_asked_for() -> None:
    """A model that can be no bot is 404 under OpenAI's code, naming it."""
    site = Site()

    answer = site.ask(model="no such bot")

    assert (404, "model_not_found", "model") == (
        answer.status_code,
        error(answer)["code"],
        error(answer)["param"],
    )
    assert "no such bot" in error(answer)["message"]
    assert [] == site.upstream.asked


@pytest.mark.parametrize("path", ["/models", "/v1/models"])
def test_the_models_are_listed(site: Site, path: str) -> None:
    """The list has OpenAI's shape, and each entry passes OpenAI's own type."""
    body = orjson.loads(site.get(path).data)

    assert "list" == body["object"]
    assert "Claude-Sonnet-4.5" in [
        Model.model_validate(one, strict=True).id for one in body["data"]
    ]


@pytest.mark.parametrize("path", ["/models/claude-sonnet-4.5", "/v1/models/Claude-Sonnet-4.5"])
def test_one_model_is_shown(site: Site, path: str) -> None:
    """A model of the list is shown under its name, in any case."""
    assert "Claude-Sonnet-4.5" == Model.model_validate_json(site.get(path).data, strict=True).id


def test_a_name_may_hold_slashes(tmp_path: Path) -> None:
    """Names such as openai/gpt-4o are found by the path that clients make of them."""
    file = tmp_path / "models.toml"
    file.write_text('[names]\n"openai/gpt-4o" = "GPT-4o"\n')
    site = Site(models=file)

    for path in ("/v1/models/openai/gpt-4o", "/v1/models/openai%2Fgpt-4o"):
        assert "openai/gpt-4o" == orjson.loads(site.get(path).data)["id"]


@pytest.mark.parametrize("name", ["none", "a/b", "a%0Ab", "%0A", "%00", "%ff", "a%2Fb%2Fc", "a//b"])
def test_a_model_that_is_not_listed_is_404(site: Site, name: str) -> None:
    """An unknown name is OpenAI's model_not_found, whatever is in it."""
    answer = site.get(f"/v1/models/{name}")

    assert (404, "model_not_found") == (answer.status_code, error(answer)["code"])


@pytest.mark.parametrize("path", ["/", "/health", "/v1/models", "/v1/models/GPT-5.1"])
def test_head_is_get_without_a_body(site: Site, path: str) -> None:
    """HEAD answers as GET does, without the body."""
    answer = site.open(path, method="HEAD")

    assert (200, b"") == (answer.status_code, answer.data)
    assert site.get(path).headers["Content-Type"] == answer.headers["Content-Type"]


@pytest.mark.parametrize(
    ("path", "tidy"),
    [
        ("/v1/models", "/v1/models"),
        ("/v1/models/", "/v1/models"),
        ("//v1//models", "/v1/models"),
        ("/v1/chat/completions///", "/v1/chat/completions"),
        ("/", "/"),
        ("//", "/"),
        ("///", "/"),
        ("", ""),
        ("/v1/models/a/b", "/v1/models/a/b"),
        ("/v1//models//", "/v1/models"),
        ("//chat//completions/", "/chat/completions"),
        ("/v1/v1/messages", "/v1/messages"),
        ("//v1//v1/messages/count_tokens/", "/v1/messages/count_tokens"),
        ("/v1/v1", "/v1/v1"),
        ("/v1/v1/v1/messages", "/v1/v1/messages"),
        ("/v1/v1x", "/v1/v1x"),
    ],
)
def test_paths_are_tidied(path: str, tidy: str) -> None:
    """Clients join their base URL in many ways; each leads to the route that was meant."""
    seen = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        seen.append(environ["PATH_INFO"])
        return [b"answer"]

    assert [b"answer"] == tidy_paths(app)({"PATH_INFO": path}, None)
    assert [tidy] == seen


@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_the_balance_is_shown_as_a_subscription_of_which_nothing_is_used(prefix: str) -> None:
    """What clients show as money left is what Poe's points are worth."""
    site = Site()
    site.upstream.points = 1_000_000

    subscription = orjson.loads(site.get(f"{prefix}/dashboard/billing/subscription").data)
    usage = orjson.loads(site.get(f"{prefix}/dashboard/billing/usage?start_date=x").data)

    assert 30 == pytest.approx(subscription["hard_limit_usd"])
    assert {"object": "list", "total_usage": 0} == usage
    assert 401 == site.get(f"{prefix}/dashboard/billing/subscription", headers={}).status_code
