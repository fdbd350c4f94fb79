"""A server is told to read its settings anew."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import Result

from poe_proxy.command import asking

from .canned import Canned


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Canned]:
    """Let the server answer so."""

    def answer(status: int, body: object) -> Canned:
        server = Canned(reload=(status, body))
        monkeypatch.setattr(asking, "admin", lambda url, key: server)
        return server

    return answer


def test_what_was_reloaded_is_said(
    run: Callable[..., Result], answers: Callable[..., Canned]
) -> None:
    """It is one POST, and one word."""
    server = answers(200, {"outcome": "reloaded"})
    result = run("reload")

    assert (0, "reloaded\n") == (result.exit_code, result.output)
    assert [("POST", "/admin/reload", None)] == server.asked


@pytest.mark.parametrize("status", [200, 409])
def test_what_is_wrong_is_said_by_setting(
    run: Callable[..., Result], answers: Callable[..., Canned], status: int
) -> None:
    """Whatever the status of the answer; each on a line of its own, and so each fault in a file."""
    problems = {
        "RATE_LIMIT": ['"no" is not a valid integer.'],
        "CLIENTS": ["x.toml: clients.a, kay: No.\n    clients.b, key: \x1b Needed."],
        "MODELS": "There is no such file.",
    }
    answers(status, {"outcome": "not reloaded", "problems": problems})
    result = run("reload")

    assert 1 == result.exit_code
    assert '  RATE_LIMIT: "no" is not a valid integer.\n' in result.output
    clients = "  CLIENTS: x.toml: clients.a, kay: No.\n    clients.b, key: \\x1b Needed.\n"
    assert f"{clients}  MODELS: There is no such file.\n" in result.output


def test_an_error_is_said_with_its_code(
    run: Callable[..., Result], answers: Callable[..., Canned]
) -> None:
    """As for all that a server refuses."""
    answers(401, {"error": {"message": "Wrong key.", "code": "invalid_api_key"}})
    result = run("reload")

    assert 1 == result.exit_code
    assert "Wrong key. (401 invalid_api_key)" in result.output


def test_without_its_key_it_is_said_what_to_set(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server without it has no such route."""
    result = run("reload", env={"AuthKey": "sk-client", "POE_API_KEYS": "k"})

    assert 1 == result.exit_code
    assert "ADMIN_KEY is not set" in result.output
