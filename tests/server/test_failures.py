"""Failures as HTTP answers."""

from __future__ import annotations

from io import BytesIO
from itertools import repeat

import pytest
from werkzeug.test import create_environ, run_wsgi_app

from poe_proxy.chat import Text
from poe_proxy.errors import (
    LoginFailed,
    PoeProxyError,
    TokenExhausted,
    TokenLimited,
    UpstreamChanged,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamUncertain,
)
from poe_proxy.record import Record
from poe_proxy.server.failures import note
from poe_proxy.upstreams.poe_web.graphql import MessageUnseen

from ..garbage import left_behind
from .site import COMPLETIONS, KEY, Site, error


def test_a_limit_says_when_to_come_back() -> None:
    """Retry-After is in whole seconds and true. The openai packages wait a minute at most, so
    `x-should-retry` is false where it takes longer, or where they have to wait for points."""
    limited = Site(TokenLimited("Slow down.", retry_after=39.2)).ask()
    empty = Site(TokenExhausted("Empty.", retry_after=500)).ask()

    assert "40" == limited.headers["Retry-After"]
    assert "x-should-retry" not in limited.headers
    assert "false" == empty.headers["x-should-retry"]
    for seconds, header, should_retry in (
        (2.5, "3", None), (0.2, "1", None), (7, "7", None), (60, "60", None),
        (60.1, "61", "false"), (3600, "3600", "false"),
    ):  # fmt: skip
        busy = Site(UpstreamOverloaded("Busy.", retry_after=seconds)).ask()
        assert header == busy.headers["Retry-After"]
        assert should_retry == busy.headers.get("x-should-retry")
    assert "Retry-After" not in Site(UpstreamTimeout("Silence.")).ask().headers


def test_no_free_token_is_429() -> None:
    """While the only token is in use, a second request is refused once its time in line is over."""
    site = Site(*repeat(Text("on and on"), 5))
    first = site.ask(stream=True)
    next(iter(first.response))

    second = site.ask(stream=True)

    assert (429, "1") == (second.status_code, second.headers["Retry-After"])
    first.close()
    assert site.is_all_free()


@pytest.mark.parametrize(
    "path",
    ["/v2/models", "/.env", "/v1/embeddings", "/v1/files", "/v1/audio/transcriptions"],
)  # fmt: skip
def test_an_unknown_path_is_404(site: Site, path: str) -> None:
    """A path that leads nowhere says so in OpenAI's shape, with the paths that do."""
    answer = site.post(b"{}", path)

    assert (404, "invalid_request_error", "not_found") == (
        answer.status_code,
        error(answer)["type"],
        error(answer)["code"],
    )
    assert path in error(answer)["message"]
    assert COMPLETIONS in error(answer)["message"]


@pytest.mark.parametrize(
    ("method", "path", "why"),
    [
        ("POST", "/v1/embeddings", "Poe has no embeddings."),
        ("POST", "/embeddings", "Poe has no embeddings."),
        ("GET", "/v1/files", "Poe keeps no files"),
        ("POST", "/v1/files", "Poe keeps no files"),
        ("GET", "/v1/files/file-1/content", "Poe keeps no files"),
        ("DELETE", "/v1/files/file-1", "Poe keeps no files"),
        ("POST", "/v1/audio/transcriptions", "Poe transcribes nothing"),
        ("POST", "/v1/audio/translations", "Poe transcribes nothing"),
        ("POST", "/v1/moderations", "Poe moderates nothing"),
        ("POST", "/v1/images/variations", "/v1/images/edits"),
        ("POST", "/v1/videos", "the link"),
        ("POST", "/v1/fine_tuning/jobs", "Poe trains no models."),
    ],
)
def test_what_poe_does_not_have_is_said(site: Site, method: str, path: str, why: str) -> None:
    """OpenAI's paths that have nothing behind them, by any method and whatever the body."""
    answer = site.open(path, method=method, data=b"not JSON")

    assert (404, "not_found") == (answer.status_code, error(answer)["code"])
    assert why in error(answer)["message"]


def test_what_is_no_path_of_openai_s_is_not_explained(site: Site) -> None:
    """There is nothing to say about it."""
    for path in ("/v1/embeddingsx", "/v2/files", "/v1/audio", "/x/v1/files"):
        assert "Poe" not in error(site.post(b"{}", path))["message"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", COMPLETIONS, "OPTIONS, POST"),
        ("PUT", "/chat/completions", "OPTIONS, POST"),
        ("POST", "/v1/models", "GET, HEAD, OPTIONS"),
        ("DELETE", "/v1/models/gpt-4", "GET, HEAD, OPTIONS"),
        ("DELETE", "/", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_wrong_method_is_405(site: Site, method: str, path: str, allowed: str) -> None:
    """A method that a path does not take says so in OpenAI's shape, and names those it takes."""
    answer = site.open(path, method=method)

    assert (405, "method_not_allowed", allowed) == (
        answer.status_code,
        error(answer)["code"],
        answer.headers["Allow"],
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/responses/resp_1"),
        ("DELETE", "/v1/responses/resp_1"),
        ("POST", "/v1/responses/resp_1/cancel"),
        ("GET", "/responses/resp_1/input_items"),
        ("POST", "/v1/responses/compact"),
    ],
)
def test_responses_are_not_kept(site: Site, method: str, path: str) -> None:
    """What asks for an earlier response is told what to do instead."""
    answer = site.open(path, method=method)

    assert (404, "not_found") == (answer.status_code, error(answer)["code"])
    assert "not kept" in error(answer)["message"]
    assert "POST /v1/responses" in error(answer)["message"]


@pytest.mark.parametrize(
    ("upgrade", "status"), [("websocket", 426), ("WebSocket", 426), ("h2c", 405), (None, 405)]
)
def test_a_websocket_is_turned_to_post(site: Site, upgrade: str | None, status: int) -> None:
    """By the one status after which Codex CLI sends a POST request at once; a GET request that
    wants no websocket is but a wrong method."""
    headers = {"x-api-key": KEY} | ({"Upgrade": upgrade} if upgrade else {})
    answer = site.get("/v1/responses", headers=headers)

    assert (status, "method_not_allowed", "OPTIONS, POST") == (
        answer.status_code,
        error(answer)["code"],
        answer.headers["Allow"],
    )


def test_a_name_that_is_far_too_long_is_not_repeated() -> None:
    """What is wrong is said in a few words."""
    answer = Site().ask(model="x" * 300)

    assert (404, "model_not_found") == (answer.status_code, error(answer)["code"])
    assert len(error(answer)["message"]) < 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/nothing", b"{}"),
        ("PUT", COMPLETIONS, b"{}"),
        ("POST", COMPLETIONS, b"{"),
        ("POST", COMPLETIONS, b"x" * 10_001),
        ("GET", "/v1/models/nothing", b""),
    ],
    ids=["unknown path", "wrong method", "broken body", "large body", "unknown model"],
)
def test_a_refusal_leaves_nothing_to_the_garbage_collector(
    site: Site, method: str, path: str, body: bytes
) -> None:
    """What a refused request held, its body above all, is given back with the answer."""

    def ask() -> None:
        environ = create_environ(path, method=method, input_stream=BytesIO(body))
        environ |= {"HTTP_AUTHORIZATION": f"Bearer {KEY}", "CONTENT_LENGTH": str(len(body))}
        _, status, _ = run_wsgi_app(site.client.application, environ, buffered=True)
        assert status.startswith("4")
        environ.clear()

    ask()  # what is made once, at first, may know itself

    assert set() == left_behind(ask, "poe_proxy", "flask", "werkzeug")


@pytest.mark.parametrize(
    ("failure", "is_change"),
    [
        (UpstreamChanged("Poe has changed."), True),
        (LoginFailed("Not ready.", code="upstream_changed"), True),
        (MessageUnseen("Nobody can look."), True),
        (UpstreamUncertain("Lost."), False),
    ],
)
def test_it_is_noted_what_comes_of_a_change_of_the_site(
    failure: PoeProxyError, is_change: bool
) -> None:
    """Whatever its code is."""
    record = Record()
    note(record, failure)

    assert (failure.code, is_change) == (record.code, record.site_changed)
