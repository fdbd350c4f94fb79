"""What Poe's refusals mean."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from requests.structures import CaseInsensitiveDict

from poe_proxy import errors
from poe_proxy.errors import (
    BotFailed,
    BotFailedEarly,
    BotLimited,
    BotNotAllowed,
    BotNotFound,
    ParameterRefused,
    PromptRefused,
    PromptTooLong,
    TokenExhausted,
    TokenLimited,
    TokenRejected,
    ToolsRefused,
    UpstreamBlocked,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamTimeout,
)
from poe_proxy.upstreams.poe_api.failures import of_answer, of_event

NOW = 1_800_000_000.0


@pytest.fixture
def in_tokyo() -> Iterator[None]:
    """Times of day are read on a machine whose clock is not that of Greenwich."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


def refused(status: int, error: Any, **headers: str) -> UpstreamError:
    """The failure that comes of an error body."""
    named = CaseInsensitiveDict({key.replace("_", "-"): value for key, value in headers.items()})
    return of_answer(status, named, orjson.dumps({"error": error}), now=lambda: NOW)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ParameterRefused),
        (401, TokenRejected),
        (402, TokenExhausted),
        (403, PromptRefused),
        (404, BotNotFound),
        (408, UpstreamTimeout),
        (409, UpstreamRefused),
        (413, PromptTooLong),
        (418, UpstreamRefused),
        (422, ParameterRefused),
        (429, TokenLimited),
        (500, BotFailedEarly),
        (502, UpstreamOverloaded),
        (503, UpstreamOverloaded),
        (504, UpstreamTimeout),
        (520, BotFailed),
        (529, UpstreamOverloaded),
        (307, UpstreamRefused),
    ],
)
@pytest.mark.parametrize(
    "error",
    [
        {"message": "Words."},
        {"message": "Words.", "type": "whatever", "code": 999},
        {"message": "Words.", "code": "some_code", "type": None, "metadata": {}},
        {"message": " Words. ", "error_id": "0" * 32},
        "Words.",
    ],
)
def test_the_status_decides(status: int, kind: type, error: Any) -> None:
    """In every envelope of §9.2, and Poe's words are kept."""
    failure = refused(status, error)

    assert kind is type(failure)
    assert ("Words.", ("Words.",)) == (failure.message, failure.args)


@pytest.mark.parametrize(
    "content", [b"", b"<html>502</html>", b"[]", b"{}", b"null", b'{"error":5}']
)
@pytest.mark.parametrize("status", [400, 401, 402, 408, 413, 429, 500, 502, 503, 529])
def test_the_status_decides_without_words(status: int, content: bytes) -> None:
    """A page of something in between, or nothing at all, has a status too."""
    failure = of_answer(status, {}, content)

    assert type(refused(status, {"message": "x"})) is type(failure)
    assert str(status) in failure.message
    assert "<" not in failure.message


def test_only_a_status_of_500_means_that_nothing_was_said() -> None:
    """Poe calls it safe to ask again then (§9.1); an error within a stream may follow words."""
    error = {"code": 500, "type": "provider_error", "message": "Error from OpenAI: oh."}

    assert BotFailedEarly is type(refused(500, error))
    assert BotFailedEarly is type(of_answer(500, {}, b"<html>500</html>"))
    assert BotFailed is type(of_event(error))
    assert BotFailed is type(refused(520, error))


def test_what_an_error_says_has_a_length() -> None:
    """Its message, and the field that it names."""
    failure = refused(400, {"message": "unknown " + "x" * 500_000, "param": "p" * 5000})

    assert (2000, 200) == (len(failure.message), len(failure.param or ""))


def test_an_explanation_without_an_end_is_not_read() -> None:
    """The status says enough."""
    content = orjson.dumps({"error": {"message": "x" * 1_000_000}})

    assert "xxx" not in of_answer(402, {}, content).message


def test_a_page_instead_of_an_answer() -> None:
    """403 is a guard before the API, 404 an address that is not Poe's."""
    assert UpstreamBlocked is type(of_answer(403, {}, b"<html>Just a moment...</html>"))
    assert UpstreamProtocolError is type(of_answer(404, {}, b"<html>Not Found</html>"))


RECORDED: list[tuple[int, dict[str, Any], type[UpstreamError], str | None]] = [
    (
        401,
        {
            "type": "authentication_error",
            "code": "invalid_api_key",
            "message": "Incorrect API key provided.",
        },
        TokenRejected,
        None,
    ),
    (
        402,
        {
            "type": "insufficient_quota",
            "code": "insufficient_quota",
            "param": None,
            "message": "You've used up your points! Visit https://poe.com/api/keys to get more.",
        },
        TokenExhausted,
        None,
    ),
    (429, {"message": "You've used up your points!"}, TokenExhausted, None),
    (
        400,
        {
            "type": "invalid_request_error",
            "code": "unsupported_feature_for_model",
            "param": "model",
            "message": "The model 'DeepSeek-R1' does not support tool calling.",
        },
        ToolsRefused,
        "tools",
    ),
    (
        404,
        {
            "type": "invalid_request_error",
            "message": "The model `gpt-4o-search` does not support tool calling.",
        },
        ToolsRefused,
        "tools",
    ),
    (400, {"message": "Function calling is not supported."}, ToolsRefused, "tools"),
    (
        400,
        {
            "type": "invalid_request_error",
            "param": "reasoning_effort",
            "message": "Unsupported value: 'minimal' is not supported. Supported: 'medium'.",
        },
        ParameterRefused,
        "reasoning_effort",
    ),
    (
        400,
        {
            "type": "invalid_request_error",
            "code": "invalid_parameter",
            "param": "role",
            "message": "Invalid role. Accepted roles: 'user'.",
        },
        ParameterRefused,
        "role",
    ),
    (
        400,
        {"message": "Token unit price not found for entity: some-bot"},
        UpstreamRefused,
        None,
    ),
    (
        404,
        {
            "type": "invalid_request_error",
            "message": "The model `x` does not exist or you do not have access to it.",
        },
        BotNotFound,
        "model",
    ),
    (
        429,
        {
            "type": "rate_limit_error",
            "error_id": "1",
            "message": "You exceeded your current quota, insufficient_quota at the vendor.",
        },
        BotLimited,
        None,
    ),
    (500, {"type": "provider_error", "message": "Error from OpenAI: oh."}, BotFailedEarly, None),
    (
        400,
        {
            "type": "invalid_request_error",
            "message": "prompt is too long: 210000 tokens > 200000 maximum",
        },
        PromptTooLong,
        "messages",
    ),
    (
        500,
        {
            "type": "provider_error",
            "message": "Error from OpenAI: This model's maximum context length is 8192 tokens.",
        },
        PromptTooLong,
        "messages",
    ),
    (400, {"code": "context_length_exceeded", "message": "No."}, PromptTooLong, "messages"),
    (
        400,
        {"param": "max_tokens", "message": "max_tokens is too large: 99999."},
        ParameterRefused,
        "max_tokens",
    ),
    (
        403,
        {"code": 403, "type": "moderation_error", "message": "The request was refused by policy."},
        PromptRefused,
        None,
    ),
    (403, {"type": "moderation_error", "message": "Access denied"}, BotNotAllowed, "model"),
    (403, {"type": "x", "message": "Cannot access private bots"}, BotNotAllowed, "model"),
    (403, {"type": "permission_error", "message": "No."}, BotNotAllowed, "model"),
    (
        403,
        {"type": "moderation_error", "message": "This content is not allowed by our policies."},
        PromptRefused,
        None,
    ),
    (403, {"type": "moderation_error", "message": "No."}, PromptRefused, None),
]


@pytest.mark.parametrize(("status", "error", "kind", "param"), RECORDED)
def test_recorded_bodies(
    status: int, error: dict[str, Any], kind: type[UpstreamError], param: str | None
) -> None:
    """The bodies of §9.3 and §11, and some that their words have to tell apart."""
    failure = refused(status, error)

    assert (kind, param) == (type(failure), failure.param)
    assert error["message"] == failure.message


QUOTA = {"type": "rate_limit_error", "message": "Error from Google: quota exhausted."}


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({}, BotLimited),
        ({"x_ratelimit_remaining_requests": "499", "x_ratelimit_reset_requests": "9"}, BotLimited),
        ({"x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "9"}, TokenLimited),
        ({"retry_after": "9"}, TokenLimited),
    ],
)
def test_whose_limit_it_is(headers: dict[str, str], kind: type[UpstreamError]) -> None:
    """The key's own says when it ends; that of the model's maker stops no other bot."""
    assert kind is type(refused(429, QUOTA, **headers))


def test_a_limit_in_the_middle_of_a_stream_is_the_makers() -> None:
    """If it says so."""
    assert BotLimited is type(of_event(QUOTA))
    assert TokenLimited is type(of_event({"type": "rate_limit_error", "message": "Slowly."}))


@pytest.mark.parametrize(
    ("error", "code", "param"),
    [
        # A field that is not known, as far as one can tell.
        ({"message": "x", "param": "seed"}, "unsupported_parameter", "seed"),
        ({"message": "Unknown parameter: 'seed'."}, "unsupported_parameter", None),
        (
            {"message": "Unsupported parameter: 'top_p' is not supported with this model."},
            "unsupported_parameter",
            None,
        ),
        (
            {"message": "Unsupported value: 'k' is not a parameter of this model. Allowed: 'a'."},
            "unsupported_parameter",
            None,
        ),
        (
            {"message": "Extra inputs are not permitted. Allowed: 'a'"},
            "unsupported_parameter",
            None,
        ),
        ({"message": "min_p must be known: unknown field"}, "unsupported_parameter", None),
        # A value.
        ({"message": "x"}, "invalid_value", None),
        ({"message": "x", "param": ["seed"]}, "invalid_value", None),
        (
            {"message": "Input should be less than or equal to 1", "param": "temperature"},
            "invalid_value",
            "temperature",
        ),
        (
            {"message": "The size '9x9' is not supported. Allowed: '1x1'.", "param": "size"},
            "invalid_value",
            "size",
        ),
        (
            {"message": "Invalid schema for response_format 'x'.", "param": "response_format"},
            "invalid_value",
            "response_format",
        ),
        ({"message": "thinking_budget must be between 0 and 9"}, "invalid_value", None),
        ({"message": "max_tokens is too large: 99."}, "invalid_value", None),
        (
            {"message": "Unsupported value: 'x'. Supported values are: 'low'."},
            "invalid_value",
            None,
        ),
        # Something is not there.
        (
            {"message": "Missing required parameter: 'messages[1].tool_call_id'.", "param": "m"},
            "missing_required_parameter",
            "m",
        ),
        ({"message": "x", "code": "missing_parameter"}, "missing_required_parameter", None),
        # A way of choosing that the bot does not know, although it knows tools.
        (
            {"message": "This model does not support tool_choice 'required'"},
            "unsupported_parameter",
            "tool_choice",
        ),
        (
            {"message": "deepseek-reasoner does not support this tool_choice"},
            "unsupported_parameter",
            "tool_choice",
        ),
        ({"message": "x", "param": "tools"}, "unsupported_parameter", "tools"),
        ({"message": "Invalid value.", "param": "tools"}, "invalid_value", "tools"),
        (
            {"message": "Parallel tool calls are not supported.", "param": "parallel_tool_calls"},
            "unsupported_parameter",
            "parallel_tool_calls",
        ),
    ],
)
def test_what_is_wrong_with_a_request(error: dict[str, Any], code: str, param: str | None) -> None:
    """OpenAI's code says it: a field, what it holds, or that it is not there."""
    failure = refused(400, error)

    kind = ToolsRefused if param in ("tools", "tool_choice") else ParameterRefused
    assert (kind, code, param) == (type(failure), failure.code, failure.param)


def test_moderation_may_come_as_a_400() -> None:
    failure = refused(400, {"message": "No.", "code": "content_policy_violation"})

    assert PromptRefused is type(failure)


def test_a_fault_of_poe_s_list_is_none_of_the_cookies() -> None:
    """It comes as a 400, and nothing was begun (§9.3)."""
    failure = refused(400, {"message": "Token unit price not found for entity: x"})

    assert UpstreamRefused is type(failure)
    assert failure.another_kind


@pytest.mark.parametrize(
    "content",
    [
        b'{"message":"Words."}',
        b'{"detail":"Words."}',
        b'data: {"error":{"message":"Words."}}\n\n',
        b'event: error\ndata: {"error":{"message":"Words."}}',
    ],
)
def test_words_are_found_in_other_envelopes(content: bytes) -> None:
    """Without `error` around them, and as the event of a stream."""
    assert "Words." == of_answer(400, {}, content).message


def test_a_vendors_error_within_the_message_is_unpacked() -> None:
    """Its words are shown, and decide as if they had come plainly."""
    inner = {"type": "error", "error": {"type": "x", "message": "prompt is too long: 9 tokens"}}
    failure = refused(400, {"message": orjson.dumps(inner).decode()})

    assert PromptTooLong is type(failure)
    assert "prompt is too long: 9 tokens" == failure.message
    assert "{broken" == refused(400, {"message": "{broken"}).message
    assert '{"a":1}' == refused(400, {"message": '{"a":1}'}).message


def test_a_long_message_is_cut() -> None:
    """Some vendors send the whole request back."""
    assert 2000 == len(refused(400, {"message": "x" * 100_000}).message)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry_After": "7"}, 7.0),
        ({"retry_after": "0.5"}, 0.5),
        ({"Retry_After": "-3"}, 0.0),
        ({"Retry_After": "Fri, 15 Jan 2027 08:01:00 GMT"}, 60.0),
        ({"Retry_After": "Fri, 15 Jan 2027 07:00:00 GMT"}, 0.0),
        ({"Retry_After": "Fri, 15 Jan 2027 08:01:00 -0000"}, 60.0),
        ({"Retry_After": "soon"}, None),
        ({"Retry_After": "nan"}, None),
        ({"Retry_After": "inf"}, None),
        ({"Retry_After": ""}, None),
        ({"Retry_After": "99999999999"}, 86_400.0),
        ({"X_RateLimit_Reset_Requests": "12"}, 12.0),
        ({"Retry_After": "soon", "X_RateLimit_Reset_Requests": "12"}, 12.0),
        ({"Retry_After": "3", "X_RateLimit_Reset_Requests": "12"}, 3.0),
    ],
)
@pytest.mark.parametrize("status", [429, 503, 529])
def test_how_long_to_wait(
    status: int, headers: dict[str, str], seconds: float | None, in_tokyo: None
) -> None:
    """Seconds or a time of day; nonsense is as if it was not there, and no wait is for ever."""
    assert seconds == refused(status, {"message": "x"}, **headers).retry_after


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 429, "type": "provider_error"}, TokenLimited),
        ({"code": "402"}, TokenExhausted),
        ({"code": "rate_limit_exceeded"}, TokenLimited),
        ({"code": "internal_error", "type": "provider_error"}, BotFailed),
        ({"code": None, "type": "overloaded_error"}, UpstreamOverloaded),
        ({"type": "upstream_error"}, UpstreamOverloaded),
        ({"type": "moderation_error"}, PromptRefused),
        ({"type": "timeout_error"}, UpstreamTimeout),
        ({"type": "authentication_error"}, TokenRejected),
        ({"type": "invalid_request_error"}, ParameterRefused),
        ({"code": "insufficient_points"}, TokenExhausted),
        ({"code": 200}, BotFailed),
        ({"code": True, "type": 5}, BotFailed),
        ({}, BotFailed),
        ("It broke.", BotFailed),
        (["x"], BotFailed),
    ],
)
def test_an_error_object_without_a_status(error: Any, kind: type) -> None:
    """The code decides, whatever its type, then the type of error; else the bot broke down."""
    assert kind is type(of_event(error))


def test_every_status_has_a_meaning() -> None:
    """Nothing but upstream errors, for whatever a server may answer."""
    for status in (*range(201, 210), *range(300, 309), *range(400, 600)):
        failure = of_answer(status, {}, b'{"error":{"message":"x"}}')
        assert isinstance(failure, UpstreamError), status
        assert type(failure) is not errors.UpstreamError


@pytest.mark.parametrize(
    "answer",
    [
        {"error": "Words."},
        {"error": {"message": {"message": "Words."}}},
        {"error": {"message": {"error": {"message": "Words."}}}},
        {"error": {"message": {"detail": "Words."}}},
        {"error": {"message": [{"message": "Words."}]}},
        {"error": True, "message": "Words."},
        [{"error": {"message": "Words."}}],
        {"message": "Words."},
        {"detail": "Words."},
        {"detail": {"message": "Words."}},
        {"detail": {"error": {"message": "Words."}}},
        {"detail": [{"msg": "Words."}]},
    ],
)
def test_words_are_kept_wherever_they_are(answer: Any) -> None:
    """In each shape that servers behind Poe give to an error."""
    failure = of_answer(400, CaseInsensitiveDict(), orjson.dumps(answer))

    assert (ParameterRefused, "Words.") == (type(failure), failure.message)


def test_what_a_server_finds_wrong_with_a_body_names_the_field() -> None:
    """As FastAPI tells it."""
    wrong = {"loc": ["body", "top_k"], "msg": "Extra inputs are not permitted", "type": "extra"}

    failure = of_answer(422, CaseInsensitiveDict(), orjson.dumps({"detail": [wrong, wrong]}))

    assert "body.top_k: Extra inputs are not permitted" == failure.message
    assert ("top_k", "unsupported_parameter") == (failure.param, failure.code)


@pytest.mark.parametrize("message", [{"a": ["b"]}, ["b", 1]])
def test_words_of_an_unknown_shape_are_shown_as_they_are(message: Any) -> None:
    """Better than none."""
    assert orjson.dumps(message).decode() == of_event({"message": message}).message
