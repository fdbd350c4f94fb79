"""What clients are told of the server's own tokens."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import pytest

from poe_proxy.errors import (
    BotNotAllowed,
    BotNotFound,
    LoginFailed,
    PoeProxyError,
    TokenExhausted,
    TokenHeldBack,
    TokenLimited,
    TokenRejected,
    UpstreamBlocked,
    UpstreamError,
)
from poe_proxy.pool.balances import Balance
from poe_proxy.pool.refusals import blaming
from poe_proxy.pool.rotator import Token, TokenRotator

KEY: Token[Any] = Token("key-1", None, kind="key", source="POE_API_KEYS")
COOKIE: Token[Any] = Token("anna", None, kind="cookie", source="TOKENS_CONFIG")

#: What Poe says to us, and a client would take for its own.
ABOUT_KEYS = [
    "Incorrect API key provided. You can find your API key at https://poe.com/api/keys.",
    "Invalid API key",
    "Invalid authentication credentials",
    "Your key has expired.",
    "Authentication failed.",
]


@pytest.mark.parametrize(
    ("kind", "blame"),
    [
        (TokenRejected, "is refused."),
        (TokenLimited, "is held back."),
        (TokenExhausted, "is out of points."),
        (TokenHeldBack, "may not be used now."),
        (UpstreamBlocked, "is shown a challenge page."),
        (LoginFailed, "could not be made ready."),
        (BotNotAllowed, "may not use this bot."),
    ],
)
def test_a_failure_of_a_token_names_it_and_whose_it_is(
    kind: type[UpstreamError], blame: str
) -> None:
    """By its label, and the setting that has it; all else stays, the failure itself too."""
    failure = kind("Not so fast.", retry_after=7.0, param="model")
    told = blaming(KEY, failure)

    assert f"The server's Poe key key-1 (POE_API_KEYS) {blame}" in told.message
    assert told.message.endswith("Not so fast.")
    assert (kind, told.message) == (type(told), str(told))
    assert (failure.code, "model", 7.0) == (told.code, told.param, told.retry_after)
    assert "Not so fast." == failure.message
    assert blaming(COOKIE, failure).message.startswith(
        "The server's Poe cookie anna (TOKENS_CONFIG)"
    )


def test_what_is_not_the_token_s_names_none() -> None:
    """The bot's trouble is the same with every token."""
    failure = BotNotFound("No such bot.")

    assert failure is blaming(KEY, failure)


def refusal(*met: tuple[Token[Any], UpstreamError]) -> PoeProxyError:
    """What a request is told once each token has met its failure."""
    rotator = TokenRotator([token for token, _ in met], patience=0.0)
    for _ in met:
        with suppress(UpstreamError), rotator.lease() as lease:
            token = lease.wait(0)
            raise next(one for mine, one in met if mine is token)
    with pytest.raises(PoeProxyError) as refused, rotator.lease() as lease:
        lease.wait(0)
    return refused.value


@pytest.mark.parametrize("words", ABOUT_KEYS)
def test_poe_s_words_about_keys_are_not_passed_on(words: str) -> None:
    """Whoever reads them has another key, and would look for the fault there."""
    told = [
        blaming(KEY, TokenRejected(words)).message,
        refusal((KEY, TokenRejected(words))).message,
        refusal((KEY, TokenLimited(words, retry_after=60.0))).message,
    ]

    assert "The server's Poe key key-1 (POE_API_KEYS) is refused." == told[0]
    assert told[1].endswith("renew them: the server's Poe key key-1 (POE_API_KEYS) is refused.")
    assert not [text for text in told if words in text]
    assert not [text for text in told if re.search(r"invalid|incorrect|your", text, re.IGNORECASE)]


def test_a_refusal_of_the_pool_names_its_tokens() -> None:
    """With Poe's words where they are of use, and a few of the tokens where there are many."""
    assert (
        "Poe accepts none of the tokens that could serve this request; the operator has to renew "
        "them: the server's Poe key key-1 (POE_API_KEYS) is refused, the server's Poe cookie anna "
        "(TOKENS_CONFIG) is shown a challenge page. Poe said: Logged out."
    ) == refusal((KEY, TokenRejected("Logged out.")), (COOKIE, UpstreamBlocked("Robot?"))).message
    assert (
        "Every Poe account that could serve this request is out of points: the server's Poe key "
        "key-1 (POE_API_KEYS). Poe said: None left."
    ) == refusal((KEY, TokenExhausted("None left."))).message
    assert "could serve this request, the server's Poe key key-1 (POE_API_KEYS); one will be" in (
        refusal((KEY, TokenLimited("Slowly.", retry_after=60.0))).message
    )
    assert "with a challenge, the server's Poe cookie anna (TOKENS_CONFIG). Robot?" in (
        refusal((COOKIE, UpstreamBlocked("Robot?"))).message
    )
    many: list[Token[Any]] = [Token(f"key-{n}", None, kind="key") for n in range(1, 6)]
    assert "key-2 is refused, the server's Poe key key-3 is refused and 2 more." in (
        refusal(*((one, TokenRejected("Invalid key.")) for one in many)).message
    )


def test_who_asks_for_the_balance_is_told_the_same() -> None:
    """There is no bot in it, and no request."""
    rotator = TokenRotator([KEY])
    rotator.suspend(KEY, TokenRejected(ABOUT_KEYS[0]))

    with pytest.raises(
        PoeProxyError, match=r"server's Poe key key-1 \(POE_API_KEYS\) is refused\.$"
    ):
        Balance(rotator).points()
