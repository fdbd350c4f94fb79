"""Failures in the form of Anthropic's API."""

from __future__ import annotations

import orjson
import pytest

from poe_proxy import errors, logs
from poe_proxy.apis.messages import Messages
from poe_proxy.errors import InvalidRequest, PoeProxyError, PromptTooLong

from . import reading

API = Messages()


@pytest.mark.parametrize(
    ("failure", "status", "type"),
    [
        (errors.InvalidRequest, 400, "invalid_request_error"),
        (errors.ParameterRefused, 400, "invalid_request_error"),
        (errors.PartRefused, 400, "invalid_request_error"),
        (errors.PromptTooLong, 400, "invalid_request_error"),
        (errors.PromptRefused, 400, "invalid_request_error"),
        (errors.RequestTooCostly, 400, "invalid_request_error"),
        (errors.InvalidKey, 401, "authentication_error"),
        (errors.NoPointsLeft, 402, "billing_error"),
        (errors.TokenExhausted, 402, "billing_error"),
        (errors.BotNotAllowed, 403, "permission_error"),
        (errors.BotNotFound, 404, "not_found_error"),
        (errors.RouteNotFound, 404, "not_found_error"),
        (errors.MethodNotAllowed, 405, "invalid_request_error"),
        (errors.RequestTooLarge, 413, "request_too_large"),
        (errors.NoTokenFree, 429, "rate_limit_error"),
        (errors.TokenLimited, 429, "rate_limit_error"),
        (errors.BotLimited, 429, "rate_limit_error"),
        (errors.TooManyStreams, 429, "rate_limit_error"),
        (errors.InternalError, 500, "api_error"),
        (errors.UpstreamInterrupted, 502, "api_error"),
        (errors.BotFailed, 502, "api_error"),
        (errors.NoTokenLeft, 502, "api_error"),
        (errors.UpstreamTimeout, 504, "timeout_error"),
        (errors.UpstreamOverloaded, 529, "overloaded_error"),
        (errors.ServerBusy, 529, "overloaded_error"),
        (errors.PoolUnavailable, 529, "overloaded_error"),
    ],
)
def test_each_failure_has_a_status_and_its_type(
    failure: type[PoeProxyError], status: int, type: str
) -> None:
    """Those that Anthropic's clients know: what costs nothing to repeat, and what is in vain."""
    one = failure("It failed.")

    assert status == API.status(one)
    found, message = reading.error(API.failure(one))
    assert type == found
    assert "It failed." in message


def test_an_error_names_its_request() -> None:
    """By the id that the log has."""
    before = logs.request_id.set("req_1")
    try:
        assert b'"request_id":"req_1"' in API.failure(InvalidRequest("No."))
    finally:
        logs.request_id.reset(before)


@pytest.mark.parametrize(
    ("param", "message", "told"),
    [
        ("messages[3].content[0]", "messages[3].content[0] must be a part.",
         "messages.3.content.0: must be a part."),
        ("messages[3].content[0]", "messages[3].content[0]: no such file.",
         "messages.3.content.0: no such file."),
        ("messages[1].role", "A role is missing.", "messages.1.role: A role is missing."),
        ("max_tokens", "max_tokens must be an integer.", "max_tokens: must be an integer."),
        ("stop", "Too many stop words.", "stop_sequences: Too many stop words."),
        ("reasoning_effort", "'huge' is no value of reasoning_effort.",
         "output_config.effort: 'huge' is no value of reasoning_effort."),
        (None, "No.", "No."),
        ("body", "The body is not JSON (line 1, column 9).",
         "The body is not JSON (line 1, column 9)."),
    ],
)  # fmt: skip
def test_a_place_is_named_in_the_message(param: str | None, message: str, told: str) -> None:
    """With dots and numbers, and the names that the fields have in this API."""
    assert told == reading.error(API.failure(InvalidRequest(message, param=param)))[1]


@pytest.mark.parametrize(
    ("said", "tokens", "maximum", "told"),
    [
        ("Too much.", None, None, "prompt is too long. Too much."),
        ("Too much.", 300, None, "prompt is too long: 300 tokens. Too much."),
        ("Too much.", 300, 200, "prompt is too long: 300 tokens > 200 maximum. Too much."),
        # The limit is another one, or counted otherwise.
        ("Too much.", 100, 200, "prompt is too long: 100 tokens. Too much."),
        ("prompt is too long: 9 tokens > 8 maximum", 1, 2,
         "prompt is too long: 9 tokens > 8 maximum"),
    ],
)  # fmt: skip
def test_a_prompt_that_is_too_long_is_one_in_the_known_words(
    said: str, tokens: int | None, maximum: int | None, told: str
) -> None:
    """By them clients know to shorten the conversation, and by how much. Poe's own are kept."""
    failure = PromptTooLong(said, param="messages")
    failure.tokens, failure.maximum = tokens, maximum

    assert told == reading.error(API.failure(failure))[1]


def test_what_is_not_kept_is_refused_in_words_that_programs_know() -> None:
    """The tool runners of Anthropic's packages send a turn's new messages only, unless they read by
    this code that they have to send all."""
    code = "thread_unsupported_request"

    told = orjson.loads(API.failure(InvalidRequest("No.", param="thread", code=code)))

    assert {"error_code": code} == told["error"]["details"]
    assert "details" not in orjson.loads(API.failure(InvalidRequest("No.")))["error"]
