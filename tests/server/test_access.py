"""Who may ask: the keys of clients."""

from __future__ import annotations

import pytest
from flask import request

from poe_proxy.clients import Known, Registry
from poe_proxy.server.access import check_key
from poe_proxy.server.asked import asked
from poe_proxy.server.guesses import is_admin

from .site import COMPLETIONS, Site, error


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Authorization": "Bearer sk-test"}, id="bearer"),
        pytest.param({"Authorization": "bearer  sk-test "}, id="bearer in small letters"),
        pytest.param({"x-api-key": "sk-test"}, id="x-api-key"),
        pytest.param({"api-key": "sk-test"}, id="api-key"),
        pytest.param({"Authorization": "Bearer wrong", "api-key": "sk-test"}, id="one of two"),
        pytest.param({"Authorization": "Bearer sk-other"}, id="the second key"),
        pytest.param({"X-API-KEY": "sk-other"}, id="the second key in x-api-key"),
        pytest.param(
            {"x-api-key": "schlüssel".encode().decode("latin-1")}, id="a key beyond ASCII"
        ),
    ],
)
def test_a_key_opens_in_each_header(headers: dict[str, str]) -> None:
    """Any of the keys will do, in any of the headers that clients use."""
    site = Site(keys=("sk-test", "sk-other", "schlüssel"))

    assert 200 == site.get("/v1/models", headers=headers).status_code


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="none"),
        pytest.param({"Authorization": ""}, id="empty"),
        pytest.param({"Authorization": "Bearer "}, id="empty bearer"),
        pytest.param({"Authorization": "Bearer"}, id="only the word"),
        pytest.param({"Authorization": "sk-test"}, id="bare"),
        pytest.param({"Authorization": "Basic sk-test"}, id="basic"),
        pytest.param({"Authorization": "Bearer sk-tes"}, id="too short"),
        pytest.param({"Authorization": "Bearer sk-testt"}, id="too long"),
        pytest.param({"Authorization": "Bearer SK-TEST"}, id="in capitals"),
        pytest.param({"Authorization": "Bearer sk-test,sk-other"}, id="two at once"),
        pytest.param({"x-api-key": "Bearer sk-test"}, id="bearer in x-api-key"),
        pytest.param({"api-key": "wrong"}, id="wrong"),
        pytest.param({"api-key": "\xff\xfe"}, id="no text"),
        pytest.param({"x-api-key": ""}, id="empty x-api-key"),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/models"), ("GET", "/models/gpt-4"), ("POST", "/chat/completions"),
     ("POST", COMPLETIONS)],
)  # fmt: skip
def test_without_a_key_nothing_is_served(method: str, path: str, headers: dict[str, str]) -> None:
    """A missing or wrong key is 401 on every route that uses an account or names one; it will be
    no better the next time."""
    site = Site(keys=("sk-test", "sk-other"))

    answer = site.open(path, method=method, headers=headers)

    assert (401, "authentication_error", "invalid_api_key") == (
        answer.status_code,
        error(answer)["type"],
        error(answer)["code"],
    )
    assert "sk-" not in error(answer)["message"]
    assert "x-api-key" not in error(answer)["message"]
    assert "false" == answer.headers["x-should-retry"]
    assert [] == site.upstream.asked


def client_of(site: Site, **headers: str) -> str:
    """What the client of a request with these headers is called."""
    app = site.client.application
    with app.test_request_context(
        headers={name.replace("_", "-"): headers[name] for name in headers}
    ):
        return check_key(request, Registry(Known.of(("sk-test", "sk-other")))).name


def test_a_client_is_known_by_a_name(site: Site) -> None:
    """The same in each header, another one for each key: those of AuthKey by their number."""
    assert "key-1" == client_of(site, Authorization="Bearer sk-test")
    assert "key-1" == client_of(site, x_api_key="sk-test")
    assert "key-1" == client_of(site, Authorization="Bearer wrong", api_key="sk-test")
    assert "key-2" == client_of(site, Authorization="Bearer sk-other")


def test_the_key_is_looked_at_before_the_body(site: Site) -> None:
    """A stranger hears nothing about bodies."""
    assert 401 == site.post(b"x" * 20_000, headers={}).status_code


@pytest.mark.parametrize(
    ("key", "headers", "is_one"),
    [
        pytest.param("sk-the-owner", {"Authorization": "Bearer sk-the-owner"}, True, id="bearer"),
        pytest.param("sk-the-owner", {"x-api-key": "sk-the-owner"}, True, id="x-api-key"),
        pytest.param(
            "schlüssel-des-chefs", {"x-api-key": "schlüssel-des-chefs"}, True, id="umlaut"
        ),
        pytest.param("sk-the-owner", {"Authorization": "Basic sk-the-owner"}, False, id="basic"),
        pytest.param("sk-the-owner", {"Authorization": "Bearer sk-test"}, False, id="a client's"),
        pytest.param("sk-the-owner", {}, False, id="none"),
        pytest.param(None, {}, False, id="there is no such key"),
        pytest.param(None, {"Authorization": "Bearer "}, False, id="an empty one for none"),
        pytest.param("", {"x-api-key": ""}, False, id="both are empty"),
    ],
)
def test_the_owner_is_known_by_its_key(
    site: Site, key: str | None, headers: dict[str, str], is_one: bool
) -> None:
    """Without `ADMIN_KEY` nobody is."""
    sent = {name: value.encode().decode("latin-1") for name, value in headers.items()}
    with site.client.application.test_request_context(headers=sent):
        assert is_one is is_admin(asked(), key)
