"""The failure tree: what each class tells the client, and what it means for a second try."""

from __future__ import annotations

import inspect
import re

import pytest

from poe_proxy import errors
from poe_proxy.errors import BotNotFound, InvalidRequest, PoeProxyError, UpstreamError

CLIENT, OURS, POE = "invalid_request_error", "server_error", "upstream_error"
LIMIT, POINTS = "rate_limit_error", "insufficient_quota"

#: name: status, type, code, whether the client may try again, and on what the proxy may.
TABLE = {
    "InvalidRequest": (400, CLIENT, "invalid_value", None, None),
    "RequestTooLarge": (413, CLIENT, "request_too_large", None, None),
    "RequestTooCostly": (400, CLIENT, "request_too_costly", False, None),
    "InvalidKey": (401, "authentication_error", "invalid_api_key", False, None),
    "ModelNotAllowed": (403, "permission_error", "model_not_allowed", False, None),
    "ClientLimited": (429, LIMIT, "rate_limit_exceeded", None, None),
    "ClientOutOfBudget": (429, POINTS, POINTS, False, None),
    "RouteNotFound": (404, CLIENT, "not_found", None, None),
    "MethodNotAllowed": (405, CLIENT, "method_not_allowed", None, None),
    "TooManyStreams": (429, LIMIT, "rate_limit_exceeded", True, None),
    "ServerBusy": (503, OURS, "server_busy", True, None),
    "PoolUnavailable": (503, OURS, "pool_unavailable", True, None),
    "NoTokenFree": (429, LIMIT, "rate_limit_exceeded", None, None),
    "NoPointsLeft": (429, POINTS, POINTS, False, None),
    "NoTokenLeft": (502, POE, "upstream_auth", False, None),
    "InternalError": (500, OURS, "internal_error", None, None),
    "UpstreamUnreachable": (502, POE, "upstream_unreachable", None, "token"),
    "LoginFailed": (502, POE, "upstream_login", None, "token"),
    "UpstreamUncertain": (502, POE, "upstream_uncertain", False, None),
    "UpstreamInterrupted": (502, POE, "upstream_interrupted", False, None),
    "UpstreamTimeout": (504, POE, "upstream_timeout", False, None),
    "UpstreamProtocolError": (502, POE, "upstream_protocol", False, None),
    "AnswerUnusable": (502, POE, "upstream_protocol", False, None),
    "ReplyTooLarge": (502, POE, "reply_too_large", False, None),
    "UpstreamChanged": (502, POE, "upstream_changed", None, "kind"),
    "UpstreamBlocked": (502, POE, "upstream_blocked", False, "token"),
    "UpstreamOverloaded": (503, POE, "upstream_overloaded", None, "token"),
    "UpstreamRefused": (502, POE, "upstream_refused", None, "kind"),
    "BotNotFound": (404, CLIENT, "model_not_found", None, "kind"),
    "BotNotAllowed": (403, "permission_error", "model_not_allowed", None, "token"),
    "BotLimited": (429, LIMIT, "rate_limit_exceeded", None, "kind"),
    "BotFailed": (502, POE, "bot_failed", False, None),
    "BotFailedEarly": (502, POE, "bot_failed", None, "once more"),
    "PromptTooLong": (400, CLIENT, "context_length_exceeded", None, None),
    "PromptRefused": (403, "permission_error", "content_policy_violation", None, None),
    "ParameterRefused": (400, CLIENT, "unsupported_parameter", None, None),
    "ToolsRefused": (400, CLIENT, "unsupported_parameter", None, None),
    "PartRefused": (400, CLIENT, "invalid_value", None, "kind"),
    "TokenRejected": (502, POE, "upstream_auth", None, "token"),
    "TokenHeldBack": (429, LIMIT, "rate_limit_exceeded", None, "token"),
    "TokenLimited": (429, LIMIT, "rate_limit_exceeded", None, "token"),
    "TokenExhausted": (429, POINTS, POINTS, False, "token"),
}

FAILURES = {
    name: kind
    for name, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, PoeProxyError) and kind not in (PoeProxyError, UpstreamError)
}


def test_the_table_is_whole() -> None:
    """Each class that can be raised stands in the table of these tests."""
    assert FAILURES.keys() == TABLE.keys()


@pytest.mark.parametrize("name", TABLE)
def test_facts_are_read_from_the_class(name: str) -> None:
    """Status, type, code, retry and second try are as the clients and the gateway rely on."""
    failure = FAILURES[name]("It failed.")
    ways = {"another_token": "token", "another_kind": "kind", "once_more": "once more"}
    (moves,) = [words for fact, words in ways.items() if getattr(failure, fact, False)] or [None]

    assert TABLE[name] == (
        failure.status,
        failure.type,
        failure.code,
        failure.client_may_retry,
        moves,
    )


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    """The drawn tree names each class with its true status and parent."""
    drawn = {}
    parents = {0: "PoeProxyError"}
    for bullet, name, status in re.findall(r"^( *[x+-]) (\w+) +(\d+)", errors.__doc__ or "", re.M):
        depth = len(bullet) // 2
        drawn[name] = (int(status), parents[depth - 1])
        parents[depth] = name
    is_true = {
        name: (kind.status, kind.__mro__[1].__name__)
        for name, kind in {**FAILURES, "UpstreamError": UpstreamError}.items()
    }

    assert is_true == drawn


def test_one_failure_may_say_more_than_its_class() -> None:
    """Message, field, code and time of the next try belong to the failure itself."""
    failure = InvalidRequest("No.", param="model", code="missing", retry_after=2.5)

    assert ("No.", "No.", "model", "missing", 2.5) == (
        str(failure),
        failure.message,
        failure.param,
        failure.code,
        failure.retry_after,
    )
    assert "invalid_value" == InvalidRequest("No.").code
    assert "model_not_found" == BotNotFound("No.", code=None).code


def test_every_class_says_in_a_sentence_what_happened() -> None:
    """No failure is without a docstring of its own."""
    assert [] == [name for name, kind in FAILURES.items() if not kind.__doc__]


#: What a failure means for its token: seconds of rest, whether it is set aside, whether it has no
#: points, and of what it is remembered for a while. No other class means anything for it.
TOKENS = {
    "UpstreamUnreachable": (None, False, False, "account"),
    "LoginFailed": (None, False, False, "account"),
    "UpstreamUncertain": (None, False, False, "bot"),
    "UpstreamTimeout": (None, False, False, "bot"),
    "UpstreamBlocked": (None, True, False, None),
    "UpstreamOverloaded": (None, False, False, "bot"),
    "BotNotAllowed": (None, False, False, "bot"),
    "BotLimited": (None, False, False, "bot"),
    "BotFailedEarly": (None, False, False, "bot"),
    "TokenRejected": (None, True, False, None),
    "TokenLimited": (30.0, False, False, None),
    "TokenExhausted": (30.0, False, True, None),
}

#: The trouble is the token's own, and says nothing about the next one.
OF_THE_TOKEN = {"LoginFailed", "UpstreamBlocked", "TokenRejected", "TokenHeldBack", "TokenLimited",
                "TokenExhausted"}  # fmt: skip


@pytest.mark.parametrize("name", FAILURES)
def test_what_a_failure_means_for_its_token_is_read_from_its_class(name: str) -> None:
    """How long the token rests, whether it is set aside, whether its account has no points, and
    whether others are lent first for a while."""
    kind = FAILURES[name]
    if not issubclass(kind, UpstreamError):
        assert name not in TOKENS
        return

    assert TOKENS.get(name, (None, False, False, None)) == (
        kind.rest,
        kind.suspends,
        kind.is_out_of_points,
        kind.strikes,
    )
    assert kind.is_of_token == (name in OF_THE_TOKEN)


@pytest.mark.parametrize("name", sorted(OF_THE_TOKEN))
def test_a_token_s_own_trouble_is_never_the_end_of_a_request(name: str) -> None:
    """Another token is always worth a try."""
    kind = FAILURES[name]

    assert issubclass(kind, UpstreamError)
    assert kind.another_token
