"""Why no token serves a request, and what a failure means for the token that met it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from math import ceil, inf
from typing import Any, Final

from poe_proxy.errors import (
    NoPointsLeft,
    NoTokenFree,
    NoTokenLeft,
    PoeProxyError,
    TokenExhausted,
    UpstreamBlocked,
    UpstreamError,
)
from poe_proxy.pool.ledger import Ledger, Standing, TokenState
from poe_proxy.pool.tokens import Token

log = logging.getLogger(__name__)

#: The fewest seconds that a token rests, whatever Poe says, so that no request is repeated in
#: a tight loop.
MIN_REST: Final = 1.0

#: The fewest seconds for which a token without points for a bot is not lent for it: in these its
#: balance is asked for, which says whether it has points at all.
MIN_DOUBT: Final = 15.0

#: Set aside: until Poe is seen to accept the token again, or for good.
SET_ASIDE: Final = frozenset({Standing.SUSPENDED, Standing.RETIRED})


def not_free(seconds: float) -> NoTokenFree:
    """Return the refusal of a request that may come again in so many *seconds*."""
    wait = max(1, ceil(seconds))
    return NoTokenFree(
        "All Poe accounts are in use or resting; "
        f"one will be free in about {wait} s. More accounts, or a smaller COOL_DOWN "
        "or larger RATE_LIMIT, shorten the wait.",
        retry_after=wait,
    )


def held_back(states: Collection[TokenState], seconds: Callable[[], float]) -> PoeProxyError:
    """Return the refusal of a request for which Poe holds back every token, or that none fits.

    *states* are for its bot; *seconds* says when it may come again.
    """
    alive = [state for state in states if state.standing not in SET_ASIDE]
    if not alive:
        return _no_token_left(states)
    limited = [state for state in alive if state.standing is Standing.LIMITED]
    if all(state.code == TokenExhausted.code for state in limited):
        return _no_points_left(alive)
    wait = max(1, ceil(seconds()))
    return NoTokenFree(
        "Poe holds back each account that could serve this request; "
        f"one will be free in about {wait} s.{_words(limited)}",
        retry_after=wait,
    )


def _no_token_left(states: Collection[TokenState]) -> PoeProxyError:
    if not states:
        return NoTokenLeft("There is no Poe account that could serve this request.")
    look = min(state.next_look for state in states)
    retry_after = None if look == inf else max(1, ceil(look))
    reason = _words(states)
    if all(state.code == UpstreamBlocked.code for state in states):
        return UpstreamBlocked(
            f"Poe answers each account that could serve this request with a challenge.{reason}",
            retry_after=retry_after,
        )
    return NoTokenLeft(
        "Poe accepts none of the tokens that could serve this request; "
        f"the operator has to renew them.{reason}",
        retry_after=retry_after,
    )


def _no_points_left(states: Collection[TokenState]) -> NoPointsLeft:
    rest = min(state.rest for state in states)
    return NoPointsLeft(
        f"Every Poe account that could serve this request is out of points.{_words(states)}",
        retry_after=None if rest == inf else max(1, ceil(rest)),
    )


def _words(states: Collection[TokenState]) -> str:
    """Return the first of the reasons, in Poe's words, as the end of a message; or nothing."""
    reason = next((state.reason for state in states if state.reason), "")
    return f" Poe said: {reason}" if reason else ""


def judge(
    ledger: Ledger, token: Token[Any], bot: str, failure: UpstreamError, *, points_check: float
) -> bool:
    """Note what *failure*, met while *bot* was asked, means for *token*: its class says it. Return
    whether that holds the token back, for this bot at least.

    A token without points for a bot rests for that bot for *points_check* seconds, or `MIN_DOUBT`.
    """
    if failure.suspends:
        suspend(ledger, token, failure)
        return True
    if failure.is_out_of_points:
        doubt = max(points_check, MIN_DOUBT)
        ledger.rest(token.name, doubt, failure.message, failure.code or "", bot=bot)
        log.warning("%s has no points for %s: %s", token.label, bot or "a bot", failure)
        return True
    scope = bot if failure.strikes == "bot" else ""
    rest = failure.rest
    if failure.retry_after is not None and (rest is not None or failure.strikes):
        rest = max(failure.retry_after, MIN_REST)
    if failure.strikes:
        may_go_on = failure.another_token or failure.another_kind or failure.once_more
        ledger.strike(token.name, failure.message, bot=scope, costly=not may_go_on)
        log.info("%s failed%s: %s", token.label, f" for {scope}" if scope else "", failure)
    if rest is not None:
        ledger.rest(token.name, rest, failure.message, failure.code or "", bot=scope)
        log.warning("%s rests for %.0f s: %s", token.label, rest, failure)
    return rest is not None


def suspend(ledger: Ledger, token: Token[Any], failure: UpstreamError) -> None:
    """Suspend *token*, which Poe refused, or retire it; the log says so once."""
    before = _standing(ledger, token)
    ledger.suspend(token.name, failure.message, failure.code or "")
    after = _standing(ledger, token)
    if after != before:
        log.warning("%s is %s: %s", token.label, after, failure.message)


def _standing(ledger: Ledger, token: Token[Any]) -> Standing:
    return ledger.state((token.name,))[token.name].standing
