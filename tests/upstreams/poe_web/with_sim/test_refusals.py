"""Refusals: of a message, of a bot, of a key."""

from __future__ import annotations

import pytest

from poe_proxy import errors
from poe_proxy.models import Models
from poe_proxy.upstreams.poe_web import graphql
from poe_proxy.upstreams.poe_web.account import PoeWeb

from .accounts import WORDS, Account, Part, ask, failure_of


@pytest.mark.parametrize(
    ("status", "failure", "retry_after"),
    [
        ("reached_limit", errors.TokenExhausted, None),
        ("too_many_tokens", graphql.MessageTooLong, None),
        ("no_access", errors.BotNotAllowed, None),
        ("rate_limit_exceeded", errors.TokenLimited, 30),
        ("concurrent_messages", errors.TokenLimited, 5),
        ("unsupported_file_type", errors.ParameterRefused, None),
        ("message_points_display_price_mismatch", errors.UpstreamRefused, None),
        ("never_heard_of", errors.UpstreamRefused, None),
    ],
)
def test_a_status_is_a_failure_of_its_own(
    part: Part, status: str, failure: type, retry_after: float | None
) -> None:
    """Each status that refuses a message has its class, and Poe's own words in it."""
    raised = failure_of(part.web, f"!status={status} !status-text=Poe_says_no. hello")

    assert failure is type(raised)
    assert "Poe says no." in raised.message
    assert retry_after == raised.retry_after
    assert 1 == len(part.sends())


@pytest.mark.parametrize(
    ("state", "failure"),
    [
        ("error_user_message_too_long", graphql.MessageTooLong),
        ("error_insufficient_fund", errors.TokenExhausted),
        ("error_of_some_kind", errors.BotFailed),
        ("error", errors.BotFailed),
        ("unheard_of", errors.BotFailed),
    ],
)
def test_a_state_is_a_failure_of_its_own(part: Part, state: str, failure: type) -> None:
    """A message that ends in an error state fails with Poe's text, not with the bot's."""
    reply = ask(part.web, f"!state={state} !state-text=Poe_says_why. !echo {WORDS}")

    assert failure is type(reply.failure)
    assert "Poe says why." in str(reply.failure)
    assert "seven" not in str(reply.failure)
    assert WORDS == reply.text


@pytest.mark.parametrize(
    ("words", "failure"),
    [
        ("!http=404", errors.UpstreamProtocolError),
        ("!http=405", errors.UpstreamProtocolError),
        ("!http=413", errors.PromptTooLong),
        ("!http=429", errors.TokenLimited),
        ("!http=500", errors.UpstreamUncertain),
        ("!http=502", errors.UpstreamUncertain),
        ("!http=503", errors.UpstreamUncertain),
        ("!challenge", errors.UpstreamBlocked),
        ("!empty-200", errors.UpstreamUncertain),
        ("!html-200", errors.UpstreamUncertain),
        ("!login-redirect", errors.TokenRejected),
        ("!reset", errors.UpstreamUncertain),
        ("!server-error", graphql.HashUnknown),
        ("!stale-hash", graphql.HashUnknown),
    ],
)
def test_a_failed_sending_is_a_failure_of_its_own(
    part: Part, words: str, failure: type[Exception]
) -> None:
    """What HTTP says of a sending has its class, and nothing is sent again."""
    raised = failure_of(part.web, f"{words} hello")

    assert failure is type(raised)
    assert 1 == len(part.sends())


@pytest.mark.parametrize(
    ("words", "failure", "sends"),
    [
        # With a new form key, then with the other tag, then all of that on a new channel.
        ("!http=400", errors.UpstreamChanged, 6),
        ("!http=401", errors.TokenRejected, 2),
        ("!http=403", errors.TokenRejected, 2),
        ("!logged-out", errors.TokenRejected, 1),
    ],
)
def test_what_poe_refuses_may_be_sent_again(
    account: Account, web: PoeWeb, words: str, failure: type[Exception], sends: int
) -> None:
    """A refusal of key or tag means that nothing was done: other ones are tried, then it fails."""
    raised = failure_of(web, f"{words} hello")

    assert isinstance(raised, failure)
    assert sends == len(account.sends())
    assert [] == account.journal(event="reply-start")


def test_retry_after_lets_the_token_rest(part: Part) -> None:
    """A 429 rests the token for as long as Poe says, and a minute at least."""
    assert 60 == failure_of(part.web, "!http=429 !retry-after=5 hello").retry_after
    assert 90 == failure_of(part.web, "!http=429 !retry-after=90 hello").retry_after


@pytest.mark.parametrize(
    ("bot", "failure"),
    [
        ("No-Such-Bot", errors.BotNotFound),
        ("no_such_codename", errors.BotNotFound),
        ("Sim-Private", errors.BotNotAllowed),
        ("Sim-Subscribers", errors.BotNotAllowed),
        ("Sim-Deleted", errors.BotNotAllowed),
        ("Sim-Down", errors.UpstreamOverloaded),
        ("Sim-Expensive", errors.TokenExhausted),
    ],
)
def test_a_bot_that_does_not_answer_is_a_failure_of_its_own(
    part: Part, bot: str, failure: type
) -> None:
    """We never answer with another bot."""
    assert failure is type(failure_of(part.web, "hello", bot))


@pytest.mark.parametrize("bot", ["capybara", "ASSISTANT", "claude-SONNET-4.5", "gpt4_o"])
def test_bots_are_known_by_handle_and_codename_in_any_case(
    account: Account, web: PoeWeb, bot: str
) -> None:
    """A bot is asked about once, and then remembered."""
    handle = Models.load().handle(bot)
    texts = [ask(web, "!echo hi", handle).text for _ in range(2)]

    assert ["hi", "hi"] == texts
    assert 1 == len(account.journal(queryName="HandleBotLandingPageQuery"))
