"""Why no token serves a request, and what a failure means for the token that met it.

Whatever clients are told of a token begins with its name, and with whose it is: a client has a key
of its own, and would take "your API key is wrong" for that.
"""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from math import ceil, inf
from typing import Any, Final, TypeAlias

from poe_proxy import logs
from poe_proxy.errors import (
    NoPointsLeft,
    NoTokenFree,
    NoTokenLeft,
    PoeProxyError,
    TokenExhausted,
    TokenRejected,
    UpstreamBlocked,
    UpstreamError,
)
from poe_proxy.pool.ledger import Ledger, Standing, TokenState
from poe_proxy.pool.tokens import Token

log = logging.getLogger(__name__)
audit = logging.getLogger(logs.AUDIT)

#: The fewest seconds that a token rests, whatever Poe says, so that no request is repeated in
#: a tight loop.
MIN_REST: Final = 1.0

#: The fewest seconds for which a token without points for a bot is not lent for it: in these its
#: balance is asked for, which says whether it has points at all.
MIN_DOUBT: Final = 15.0

#: Set aside: until Poe is seen to accept the token again, or for good.
SET_ASIDE: Final = frozenset({Standing.SUSPENDED, Standing.RETIRED})


_OF_KEYS: Final = re.compile(r"\bkeys?\b|credential|\bauth", re.IGNORECASE)

#: How many tokens a message names.
MOST_NAMED: Final = 3

#: Tokens, and what is known of each.
Known: TypeAlias = Sequence[tuple[Token[Any], TokenState]]


def not_free(seconds: float) -> NoTokenFree:
    """Return the refusal of a request that may come again in so many *seconds*."""
    wait = max(1, ceil(seconds))
    return NoTokenFree(
        "All Poe accounts are in use or resting; "
        f"one will be free in about {wait} s. More accounts, or a smaller COOL_DOWN "
        "or larger RATE_LIMIT, shorten the wait.",
        retry_after=wait,
    )


def blaming(token: Token[Any], failure: UpstreamError) -> UpstreamError:
    """Return *failure* as clients are told of it: it names *token*, which met it, if that has a
    part in it. The failure itself stays as it is, with the words that it came with."""
    if not failure.blame:
        return failure
    told = copy.copy(failure)
    words = said(failure.message) if failure.is_quoted else f" {failure.message}"
    told.message = f"{_capital(token.whose)} {failure.blame}.{words}"
    told.args = (told.message,)
    return told


def held_back(
    states: Mapping[str, TokenState],
    tokens: Mapping[str, Token[Any]],
    seconds: Callable[[], float],
) -> PoeProxyError:
    """Return the refusal of a request for which Poe holds back every token, or that none fits.

    *states* are for its bot, and *tokens* are those of the pool, both by name; *seconds* says when
    it may come again.
    """
    known = [(token, states[name]) for name, token in tokens.items() if name in states]
    alive = [(token, state) for token, state in known if state.standing not in SET_ASIDE]
    if not alive:
        return no_token_left(known)
    wait = seconds()
    paused = [one for one in alive if one[1].standing is Standing.PAUSED]
    others = [one for one in alive if one[1].standing is not Standing.PAUSED]
    limited = [one for one in others if one[1].standing is Standing.LIMITED]
    if all(state.code == TokenExhausted.code for _, state in limited):
        # A pause may be over before there are points again.
        is_pause = not others or _rest(paused) < _rest(others)
        return _paused(paused, wait) if is_pause else _no_points_left(others, wait)
    return NoTokenFree(
        f"Poe holds back each account that could serve this request, {_names(others)}; "
        f"one will be free in about {_whole(wait)} s.{_words(limited)}",
        retry_after=_whole(wait),
    )


def no_token_left(known: Known) -> NoTokenLeft | UpstreamBlocked:
    """Return the refusal of a request that could be served only by tokens that are set aside."""
    if not known:
        return NoTokenLeft("There is no Poe account that could serve this request.")
    look = min(state.next_look for _, state in known)
    retry_after = _whole(look)
    if all(state.code == UpstreamBlocked.code for _, state in known):
        return UpstreamBlocked(
            "Poe answers each account that could serve this request with a challenge, "
            f"{_names(known)}. {known[0][1].reason}",
            retry_after=retry_after,
        )
    blocked, rejected = UpstreamBlocked.blame, TokenRejected.blame
    refused = [
        f"{token.whose} {blocked if state.code == UpstreamBlocked.code else rejected}"
        for token, state in known
    ]
    return NoTokenLeft(
        "Poe accepts none of the tokens that could serve this request; "
        f"the operator has to renew them: {_listed(refused)}.{_words(known)}",
        retry_after=retry_after,
    )


def _paused(known: Known, wait: float) -> NoTokenFree:
    return NoTokenFree(
        f"The operator lets each Poe account rest that could serve this request: {_names(known)}.",
        retry_after=_whole(wait),
    )


def _no_points_left(known: Known, wait: float) -> NoPointsLeft:
    return NoPointsLeft(
        "Every Poe account that could serve this request is out of points: "
        f"{_names(known)}.{_words(known)}",
        retry_after=_whole(wait),
    )


def _rest(known: Known) -> float:
    """Return the seconds until the first of them may be lent; `inf` if time does not help."""
    return min((state.rest for _, state in known), default=inf)


def _whole(seconds: float) -> int | None:
    """Return *seconds* as clients are told of them; None if time does not help."""
    return None if seconds == inf else max(1, ceil(seconds))


def _words(known: Known) -> str:
    """Return the first of the reasons, in Poe's words, as the end of a message; or nothing."""
    return next((words for _, state in known if (words := said(state.reason))), "")


def said(reason: str) -> str:
    """Return Poe's words as the end of a message for clients; nothing if they are about keys, of
    which the client has one too."""
    return f" Poe said: {reason}" if reason and not _OF_KEYS.search(reason) else ""


def _names(known: Known) -> str:
    return _listed([token.whose for token, _ in known])


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


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
        ledger.rest(token.name, doubt, str(failure), failure.code or "", bot=bot)
        log.warning("%s has no points for %s: %s", token.label, bot or "a bot", failure)
        return True
    scope = bot if failure.strikes == "bot" else ""
    rest = failure.rest
    if failure.retry_after is not None and (rest is not None or failure.strikes):
        rest = max(failure.retry_after, MIN_REST)
    if failure.strikes:
        may_go_on = failure.another_token or failure.another_kind or failure.once_more
        ledger.strike(token.name, str(failure), bot=scope, costly=not may_go_on)
        log.info("%s failed%s: %s", token.label, f" for {scope}" if scope else "", failure)
    if rest is not None:
        ledger.rest(token.name, rest, str(failure), failure.code or "", bot=scope)
        log.warning("%s rests for %.0f s: %s", token.label, rest, failure)
    return rest is not None


def suspend(ledger: Ledger, token: Token[Any], failure: UpstreamError) -> None:
    """Suspend *token*, which Poe refused, or retire it; the log says so once."""
    before = _standing(ledger, token)
    ledger.suspend(token.name, failure.message, failure.code or "")
    after = _standing(ledger, token)
    if after != before:
        audit.warning("%s is %s: %s", token.label, after, failure.message)


def _standing(ledger: Ledger, token: Token[Any]) -> Standing:
    return ledger.state((token.name,))[token.name].standing
