"""Which failures open a stream to end it, and by which code they do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from poe_proxy import errors
from poe_proxy.apis.responses import failures
from poe_proxy.errors import PoeProxyError


def _all(base: type[PoeProxyError]) -> Iterator[type[PoeProxyError]]:
    for one in base.__subclasses__():
        if one.__module__ == errors.__name__:
            yield one
            yield from _all(one)


def test_what_may_have_been_paid_for_is_not_asked_for_thirty_times() -> None:
    """What may be asked again keeps its status, and so does what Codex does not repeat for it."""
    opened = {one.__name__ for one in _all(PoeProxyError) if failures.must_end(one("No."))}

    assert {
        # Poe may have acted.
        "UpstreamUncertain", "UpstreamInterrupted", "UpstreamTimeout", "UpstreamProtocolError",
        "AnswerUnusable", "ReplyTooLarge", "BotFailed",
        # It fails in the same way until somebody sees to it.
        "NoTokenLeft", "UpstreamBlocked", "InternalError",
    } == opened  # fmt: skip


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (errors.PromptTooLong("Too long."), "context_length_exceeded"),
        (errors.NoPointsLeft("No points."), "insufficient_quota"),
        (errors.BotLimited("Too fast."), "rate_limit_exceeded"),
        (errors.BotFailed("Broken."), "invalid_prompt"),
        (errors.UpstreamOverloaded("Busy."), "invalid_prompt"),
        (errors.InternalError("A bug."), "invalid_prompt"),
    ],
)
def test_a_failed_response_has_a_code_that_ends_it(failure: PoeProxyError, code: str) -> None:
    """By any other one Codex asks five more times; our own stands in the event before it."""
    assert {"code": code, "message": failure.message} == failures.told(failure)
    event = failures.event(failure)
    assert (failure.code, failure.message, None) == (
        event["code"], event["message"], event["param"]
    )  # fmt: skip
    assert {
        "message": failure.message, "type": failure.type, "code": failure.code, "param": None
    } == event["error"]  # fmt: skip
