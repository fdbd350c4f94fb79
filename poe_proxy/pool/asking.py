"""Asks Poe at once how one account is, because the operator wants to know."""

from __future__ import annotations

import logging
import threading
from typing import Final, Generic

from poe_proxy.errors import PoolUnavailable, UpstreamError
from poe_proxy.pool.balances import A, settle
from poe_proxy.pool.ledger import Standing
from poe_proxy.pool.rotator import Rotator, Token
from poe_proxy.values import value

log = logging.getLogger(__name__)

#: Seconds that the operator waits for Poe; what comes later is noted all the same.
PATIENCE: Final = 15.0


@value()
class Answer:
    """What Poe has said of an account."""

    #: The points that are left; None if Poe did not say.
    points: int | None = None
    #: The code of the failure that came instead, and its words; empty if none did.
    code: str = ""
    reason: str = ""
    #: Whether Poe is still being asked.
    is_late: bool = False


class _Question:
    def __init__(self) -> None:
        self.answer = Answer(is_late=True)
        self.is_over = threading.Event()


class Asking(Generic[A]):
    """Asks Poe for the points of one account, which takes a login if it has none; no bot is asked,
    and nothing is charged. What Poe says decides whether the account is lent.

    An account is asked once at a time: whoever asks meanwhile gets the same answer.
    """

    def __init__(self, tokens: Rotator[A], *, patience: float = PATIENCE) -> None:
        """Whoever asks waits *patience* seconds."""
        self._tokens = tokens
        self._patience = patience
        self._lock = threading.Lock()
        self._open: dict[str, _Question] = {}

    def ask(self, token: Token[A]) -> Answer:
        """Return what Poe says of *token* now, or that it has said nothing yet."""
        with self._lock:
            question = self._open.get(token.name)
            is_new = question is None
            if question is None:
                question = self._open[token.name] = _Question()
        if is_new:
            threading.Thread(
                target=self._run, args=(token, question), name="asking", daemon=True
            ).start()
        question.is_over.wait(self._patience)
        return question.answer

    def _run(self, token: Token[A], question: _Question) -> None:
        try:
            question.answer = self._asked(token)
        except Exception:
            log.exception("%s: asking Poe failed", token.label)
            question.answer = Answer(code="internal_error", reason="The log has the details.")
        finally:
            with self._lock:
                del self._open[token.name]
            question.is_over.set()

    def _asked(self, token: Token[A]) -> Answer:
        if not (may := self._tokens.may_ask(token, 0.0)):
            if may is None:
                return Answer(
                    code=PoolUnavailable.code,
                    reason="Redis is away, so nobody knows which worker uses this account.",
                )
            known = self._tokens.points.of(token.name)
            return Answer(
                None if known is None else known.number,
                "asked_elsewhere",
                "Another worker uses this account, and Poe is asked about it only from there.",
            )
        try:
            funds = token.upstream.balance()
        except UpstreamError as failure:
            if failure.suspends:
                self._tokens.suspend(token, failure)
            return Answer(code=failure.code or "", reason=failure.message)
        self._tokens.points.note(token.name, funds)
        if any(
            one is token and it.standing is Standing.RETIRED for one, it in self._tokens.states()
        ):
            # Nobody looks at it any more, so this is the only word for it.
            self._tokens.bring_back(token)
        settle(self._tokens, token, funds.points)
        return Answer(funds.points)
