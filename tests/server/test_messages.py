"""Anthropic's API as HTTP: its routes, its errors, and what its clients ask for besides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from anthropic.types import ModelInfo
from werkzeug.test import TestResponse

from poe_proxy.chat import Text
from poe_proxy.errors import (
    NoPointsLeft,
    PromptTooLong,
    TokenLimited,
    UpstreamOverloaded,
    UpstreamTimeout,
)

from ..apis.messages import reading
from ..apis.messages.reading import Stream
from .site import COMPLETIONS, KEY, Site, error

MESSAGES = "/v1/messages"
COUNT = "/v1/messages/count_tokens"
HELLO: dict[str, Any] = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Hello!"}],
}
VERSION = {"Authorization": f"Bearer {KEY}", "anthropic-version": "2023-06-01"}


def ask(site: Site, path: str = MESSAGES, **fields: Any) -> TestResponse:
    return site.post(orjson.dumps({**HELLO, **fields}), path)


def stream(answer: TestResponse) -> Stream:
    return Stream(answer.data)


@pytest.mark.parametrize("path", ["/messages", MESSAGES, f"{MESSAGES}?beta=true", f"{MESSAGES}/"])
@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21", None])
@pytest.mark.parametrize("header", ["x-api-key", "Authorization"])
def test_a_request_of_any_version(path: str, version: str | None, header: str) -> None:
    """With and without /v1, whatever the query, the version, the betas and the key's header are;
    the answer has its id where the packages look for it."""
    headers = {
        header: f"Bearer {KEY}" if header == "Authorization" else KEY,
        "anthropic-beta": "claude-code-20250219,context-management-2025-06-27",
    }
    if version is not None:
        headers["anthropic-version"] = version

    answer = Site().post(orjson.dumps(HELLO), path, headers=headers)

    assert (200, "application/json") == (answer.status_code, answer.content_type)
    assert "Hello there" == reading.message(answer.data).content[0].model_dump()["text"]
    assert answer.headers["request-id"] == answer.headers["x-request-id"]


def test_a_stream() -> None:
    """Headers that keep it flowing, and the events."""
    answer = ask(Site(), stream=True)

    assert "text/event-stream; charset=utf-8" == answer.content_type
    assert "no-cache" == answer.headers["Cache-Control"]
    assert answer.headers["request-id"].startswith("req_")
    said = stream(answer)
    assert ("Hello there", True) == (said.text, said.is_over)


def test_a_failure_before_the_first_word_has_a_status() -> None:
    """And one behind it is the last event."""
    limited = ask(Site(TokenLimited("Slow down.", retry_after=7)), stream=True)
    silent = stream(ask(Site(Text("Hel"), UpstreamTimeout("Silence.")), stream=True))

    assert (429, "7") == (limited.status_code, limited.headers["Retry-After"])
    assert "rate_limit_error" == reading.error(limited.data)[0]
    assert (["Hel"], "timeout_error") == (silent.pieces("text"), (silent.error or ("",))[0])


@pytest.mark.parametrize(
    ("failure", "status", "type", "should_retry"),
    [
        (UpstreamOverloaded("Busy."), 529, "overloaded_error", None),
        (UpstreamTimeout("Silence."), 504, "timeout_error", "false"),
        (NoPointsLeft("Empty."), 402, "billing_error", "false"),
        (ZeroDivisionError(), 500, "api_error", None),
    ],
)
def test_statuses_are_anthropic_s(
    failure: Exception, status: int, type: str, should_retry: str | None
) -> None:
    """What would be paid for twice is not to be asked again."""
    answer = ask(Site(failure))

    assert (status, type) == (answer.status_code, reading.error(answer.data)[0])
    assert should_retry == answer.headers.get("x-should-retry")


def test_a_prompt_that_is_too_long() -> None:
    """Has our own count, where Poe gives no figures."""
    answer = ask(Site(PromptTooLong("Too much.")))

    assert (400, ("invalid_request_error", "prompt is too long: 8 tokens. Too much.")) == (
        answer.status_code,
        reading.error(answer.data),
    )


@pytest.mark.parametrize(
    ("method", "path", "status", "type"),
    [
        ("POST", MESSAGES, 401, "authentication_error"),
        ("POST", COUNT, 401, "authentication_error"),
        ("GET", MESSAGES, 405, "invalid_request_error"),
        ("POST", f"{MESSAGES}/batches", 404, "not_found_error"),
    ],
)
def test_what_is_refused_before_it_is_read_has_the_form_too(
    method: str, path: str, status: int, type: str
) -> None:
    """Whoever speaks this API is not told in OpenAI's."""
    answer = Site().open(path, method=method, headers={})

    assert (status, type) == (answer.status_code, reading.error(answer.data)[0])
    assert answer.headers["request-id"] == orjson.loads(answer.data)["request_id"]


def test_a_body_that_is_too_large_has_the_form_too() -> None:
    """413, by the name that it has there."""
    answer = Site(max_body=10).post(b"x" * 11, MESSAGES)

    assert (413, "request_too_large") == (answer.status_code, reading.error(answer.data)[0])


def test_other_routes_have_the_form_of_their_own_api() -> None:
    """Whatever headers a client sends; where there is no route, they tell which one it speaks."""
    chat = Site().post(b"{}", COMPLETIONS, headers=VERSION)
    nowhere = Site().get("/v1/complete", headers=VERSION)

    assert "missing_required_parameter" == error(chat)["code"]
    assert "not_found_error" == reading.error(nowhere.data)[0]
    assert "request-id" not in chat.headers


def test_a_preflight_allows_its_headers() -> None:
    """Those that its package sends from a browser."""
    wanted = "anthropic-version,anthropic-beta,x-api-key,anthropic-dangerous-direct-browser-access"
    headers = {"Origin": "https://x.example", "Access-Control-Request-Headers": wanted}

    answer = Site().open(MESSAGES, method="OPTIONS", headers=headers)

    assert wanted == answer.headers["Access-Control-Allow-Headers"]
    assert "request-id" in answer.headers["Access-Control-Expose-Headers"]


# ---- counting


@pytest.mark.parametrize("path", ["/messages/count_tokens", COUNT, f"{COUNT}?beta=true"])
def test_tokens_are_counted(path: str) -> None:
    """By our own count: nobody is asked."""
    site = Site()

    answer = ask(site, path)

    assert (200, 7) == (answer.status_code, reading.tokens(answer.data) - 1)
    assert [] == site.upstream.asked
    assert answer.headers["request-id"].startswith("req_")


def test_counting_takes_no_token_and_waits_in_no_line() -> None:
    """Claude Code asks 34 at once. They are answered while the only token is in use, and as many
    answers are under way as may be."""
    site = Site(*[Text("on and on")] * 5, max_streams=1)
    first = ask(site, stream=True)
    next(iter(first.response))

    counted = [ask(site, COUNT, tools=[]) for _ in range(34)]

    assert {200} == {one.status_code for one in counted}
    assert 1 == len(site.upstream.asked)
    first.close()
    assert site.is_all_free()


def test_a_name_that_leads_nowhere_is_not_counted_for(tmp_path: Path) -> None:
    """Nor one that is hidden; a bot that is not listed may be one's own."""
    path = tmp_path / "models.toml"
    path.write_text('hide = ["secret*"]\n', "utf-8")
    site = Site(models=path)

    for name in ("no such bot", "secret-bot"):
        answer = ask(site, COUNT, model=name)
        assert (404, "not_found_error") == (answer.status_code, reading.error(answer.data)[0])
    assert 200 == ask(site, COUNT, model="My-Own-Bot").status_code
    assert 400 == ask(site, COUNT, messages=[]).status_code


# ---- models


@pytest.mark.parametrize("path", ["/v1/models?limit=1000", "/models"])
def test_models_for_its_package(path: str) -> None:
    """One page in both forms, for those who send the version; nothing changes for others."""
    page = Site().get(path, headers=VERSION).get_json()
    plain = Site().get(path).get_json()

    assert (False, page["data"][0]["id"], page["data"][-1]["id"]) == (
        page["has_more"],
        page["first_id"],
        page["last_id"],
    )
    for entry in page["data"]:
        ModelInfo.model_validate_json(orjson.dumps(entry), strict=True)
    assert {"object", "data"} == plain.keys()
    assert all(
        before.items() <= entry.items()
        for before, entry in zip(plain["data"], page["data"], strict=True)
    )
    assert all("type" not in entry for entry in plain["data"])


def test_one_model_for_its_package() -> None:
    """By any name of its; the error has the form, too."""
    found = Site().get("/v1/models/claude-sonnet-4-5", headers=VERSION)
    missing = Site().get("/v1/models/nobody", headers=VERSION)

    assert "Claude-Sonnet-4.5" == ModelInfo.model_validate_json(found.data, strict=True).id
    assert (404, "not_found_error") == (missing.status_code, reading.error(missing.data)[0])
    assert 404 == Site().get("/v1/models/nobody").status_code
