"""Bodies, tags, and what answers mean."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
import pytest

from poe_proxy import errors
from poe_proxy.upstreams.poe_web import graphql
from poe_proxy.upstreams.poe_web.graphql import ServerError, StaleSession
from poe_proxy.upstreams.poe_web.site import Site, Tag, TagForm

SITE = Site.load()
FORMKEY = "3f9a1c0d5e7b2846a0c4e8f1b7d3952e"
HASH = "7ad44151c552ceef568fb790cf1e3c12c72540c0139a853c1b751fb8c89a4a22"
FIRST = f'{{"queryName":"settingsPageQuery","variables":{{}},"extensions":{{"hash":"{HASH}"}}}}'
SECOND = FIRST.replace('"variables":{}', '"variables":{"query":"héllo"}')


@pytest.mark.parametrize(
    ("body", "form", "tag"),
    [
        (FIRST, "plain", "36339c5516851282c2ecd395924d3d11"),
        (FIRST, "swapped", "36339c5516851282c2ec9395d24d3d11"),
        (SECOND, "plain", "de4615faa346db1061ecdfa19a0aada7"),
        (SECOND, "swapped", "de4615faa346db1061ec9fa1da0aada7"),
    ],
)
def test_the_tag_of_the_sheet_s_vectors(body: str, form: TagForm, tag: str) -> None:
    """The four vectors of §6."""
    assert tag == graphql.tag(body.encode(), FORMKEY, SITE.tag, form)


def test_the_salt_counts() -> None:
    """The second salt of §6 gives another tag for the same body."""
    tag = graphql.tag(FIRST.encode(), FORMKEY, Tag("Jb1hi3fg1MxZpzYfy", "plain"), "plain")

    assert "8de3cc30a66c264871839bd8f2805907" == tag


@pytest.mark.parametrize(
    ("variables", "body", "size"), [({}, FIRST, 137), ({"query": "héllo"}, SECOND, 153)]
)
def test_the_body_is_compact_and_in_order(variables: dict[str, str], body: str, size: int) -> None:
    """No spaces, raw UTF-8, the browser's order of keys: else the tag is another."""
    made = graphql.body("settingsPageQuery", variables, SITE)

    assert body.encode() == made
    assert size == len(made)


def answer(
    status: int = 200, content: Any = b"", operation: str = "settingsPageQuery", **headers: str
) -> dict[str, Any]:
    if not isinstance(content, bytes):
        content = orjson.dumps(content)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return graphql.read_answer(operation, SITE, status, named, content)


def test_data_is_what_is_wanted() -> None:
    """Data counts even beside odd extensions."""
    assert {"a": 1} == answer(content={"data": {"a": 1}, "extensions": {"hi": "bye"}})


BAD_REQUEST = {"success": False, "message": "Bad Request"}
SERVER_ERROR = {"data": None, "errors": [{"message": "Server Error"}]}


@pytest.mark.parametrize(
    ("status", "content", "headers", "failure"),
    [
        (200, SERVER_ERROR, {}, ServerError),
        (200, {"data": None}, {}, ServerError),
        (200, {"data": None, "errors": []}, {}, ServerError),
        (200, {"data": None, "errors": ["odd"]}, {}, ServerError),
        (200, [], {}, ServerError),
        (200, {"errors": [{"message": "PersistedQueryNotFound"}]}, {}, graphql.HashUnknown),
        (200, {"errors": [{"message": "No."}]}, {}, errors.UpstreamRefused),
        (200, b"", {}, errors.UpstreamUncertain),
        (200, b"<html>", {}, errors.UpstreamUncertain),
        (400, BAD_REQUEST, {}, StaleSession),
        (400, b"<h1>400 Bad Request</h1>", {}, StaleSession),
        (401, b"", {}, StaleSession),
        (403, {"message": "formkey"}, {}, StaleSession),
        (403, b"<title>Just a moment...</title>", {}, errors.UpstreamBlocked),
        (403, b"<title>Attention Required! | Cloudflare", {}, errors.UpstreamBlocked),
        (503, b"<title>Just a moment...</title>", {}, errors.UpstreamBlocked),
        (403, b"", {"cf_mitigated": "challenge"}, errors.UpstreamBlocked),
        (302, b"", {"Location": "/login?redirect_url=%2F"}, errors.TokenRejected),
        (307, b"", {"Location": "https://poe.com/login"}, errors.TokenRejected),
        (307, b"", {"Location": "/elsewhere"}, errors.UpstreamProtocolError),
        (301, b"", {}, errors.UpstreamProtocolError),
        (404, b"", {}, errors.UpstreamProtocolError),
        (405, b"", {}, errors.UpstreamProtocolError),
        (413, b"", {}, errors.PromptTooLong),
        (429, b"", {}, errors.TokenLimited),
        (500, b"", {}, errors.UpstreamUncertain),
        (502, b"<html>Bad Gateway", {}, errors.UpstreamUncertain),
    ],
)
def test_an_answer_is_a_failure_of_its_own(
    status: int, content: Any, headers: dict[str, str], failure: type
) -> None:
    """Each failed answer has its class; uncertain is what Poe may have acted upon."""
    with pytest.raises(failure) as raised:
        answer(status, content, **headers)

    assert failure is raised.type


def test_what_only_reads_leaves_nothing_open() -> None:
    """After a 5xx Poe has done nothing, as there was nothing to be done."""
    with pytest.raises(errors.UpstreamOverloaded, match="settingsPageQuery with 502"):
        graphql.read_answer("settingsPageQuery", SITE, 502, {}, b"", reading=True)


def test_only_an_uncertain_failure_leaves_it_open() -> None:
    """Uncertain means: do not send again."""
    assert issubclass(ServerError, errors.UpstreamUncertain)
    assert not errors.UpstreamUncertain.another_token


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("90", 90.0),
        ("1.5", 60.0),
        ("", 60.0),
        ("5", 60.0),
        ("-5", 60.0),
        ("nan", 60.0),
        ("inf", 60.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 60.0),
        ("999999999", 86_400.0),
    ],
)
def test_retry_after_is_a_minute_at_least_and_a_day_at_most(given: str, seconds: float) -> None:
    """Whatever Retry-After says, the rest is of a sensible length."""
    with pytest.raises(errors.TokenLimited) as raised:
        answer(429, Retry_After=given)

    assert seconds == raised.value.retry_after


def test_a_retired_hash_is_named_with_its_operation() -> None:
    """Certain or not, the failure names both."""
    hash = SITE.operations["sendMessageMutation"]
    for perhaps in (False, True):
        raised = graphql.changed("sendMessageMutation", hash, perhaps=perhaps)

        assert f"sendMessageMutation by the hash {hash}" in raised.message
        assert ("sendMessageMutation", hash, perhaps) == (
            raised.operation,
            raised.hash,
            raised.is_perhaps,
        )


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        ("reached_limit", errors.TokenExhausted),
        ("too_many_tokens", graphql.MessageTooLong),
        ("no_access", errors.BotNotAllowed),
        ("rate_limit_exceeded", errors.TokenLimited),
        ("concurrent_messages", errors.TokenLimited),
        ("unsupported_file_type", errors.ParameterRefused),
        ("bot_unavailable", errors.UpstreamOverloaded),
        ("message_points_display_price_mismatch", errors.UpstreamRefused),
        ("anything_new", errors.UpstreamRefused),
    ],
)
def test_any_status_but_success_is_a_refusal(status: str, failure: type) -> None:
    """Poe's own words are kept; without any the status is named."""
    assert failure is type(graphql.refusal(status, "Poe says so."))
    assert "Poe says so." in graphql.refusal(status, "Poe says so.").message
    assert status in graphql.refusal(status, "").message


@pytest.mark.parametrize(
    ("state", "failure"),
    [
        ("error_user_message_too_long", graphql.MessageTooLong),
        ("error_insufficient_fund", errors.TokenExhausted),
        ("error_anything", errors.BotFailed),
        ("strange", errors.BotFailed),
    ],
)
def test_any_state_but_the_known_is_a_failure(state: str, failure: type) -> None:
    """The state is named where Poe says nothing."""
    assert failure is type(graphql.failed_state(state, "Because."))
    assert "Because." in graphql.failed_state(state, "Because.").message
    assert state in graphql.failed_state(state, "").message


def test_a_secret_of_the_request_is_in_no_failure() -> None:
    """Failures are made of the answer alone."""
    tag = hashlib.md5(b"x").hexdigest()

    assert tag not in str(StaleSession("sendMessageMutation", 400))
