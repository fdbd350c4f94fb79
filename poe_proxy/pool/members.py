"""Which tokens are in the pool, and which leases have them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final, Generic, TypeAlias, TypeVar

from poe_proxy.pool.ledger import Ledger
from poe_proxy.pool.tokens import Token

U = TypeVar("U")

#: The most answers to keep: clients choose the names of bots.
MOST_KEPT: Final = 1000

_ALL: Final[frozenset[str]] = frozenset()
_Wanted: TypeAlias = tuple[frozenset[str] | None, frozenset[str], str, frozenset[str]]


class Members(Generic[U]):
    """The tokens of the pool. A change of them is made with the lock of the rotator held."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        #: By name. Another object after each change, so that it may be read without a lock.
        self.tokens: Mapping[str, Token[U]] = {}
        #: The kinds of token in the pool.
        self.kinds: frozenset[str] = frozenset()
        #: When each lease was served, by its id, and by its token: also those that have left the
        #: pool, until their last lease ends.
        self._lent: dict[Token[U], dict[str, float]] = {}
        #: Which number its last loan had among all loans, by name.
        self._turns: dict[str, int] = {}
        self._loans = 0
        self._fitting: dict[_Wanted, frozenset[str]] = {}

    def __contains__(self, token: Token[U]) -> bool:
        return self.tokens.get(token.name) is token

    def replace(self, tokens: Mapping[str, Token[U]]) -> list[Token[U]]:
        """Let the pool have *tokens*; return those that have left it, and are forgotten."""
        for token in tokens.values():
            known = self.tokens.get(token.name)
            # A restart, or another way to Poe, is how an operator says that something changed.
            self._enlist(token, anew=known is None or known.upstream is not token.upstream)
            self._lent.setdefault(token, {})
        for name in self.tokens.keys() - tokens.keys():
            self._withdraw(name)
        before, self.tokens = self.tokens, tokens
        self.kinds = frozenset(token.kind for token in tokens.values())
        self._fitting.clear()
        return [token for token in before.values() if self._forget(token)]

    def fitting(
        self,
        kinds: frozenset[str] | None,
        avoid: frozenset[str],
        bot: str,
        accounts: frozenset[str] = _ALL,
    ) -> frozenset[str]:
        """Return the names of the tokens that are of one of *kinds*, not among the names in
        *avoid*, may serve *bot*, and have one of the labels *accounts*, if there are any."""
        wanted = (kinds, avoid, bot, accounts)
        names = self._fitting.get(wanted)
        if names is None:
            if len(self._fitting) >= MOST_KEPT:
                self._fitting.clear()
            names = self._fitting[wanted] = frozenset(
                name
                for name, token in self.tokens.items()
                if name not in avoid
                and (kinds is None or token.kind in kinds)
                and (not accounts or token.label in accounts)
                and token.serves(bot)
            )
        return names

    def lend(self, token: Token[U], lease: str, now: float) -> None:
        """Note that *lease* has *token*."""
        self._loans += 1
        self._turns[token.name] = self._loans
        self._lent[token][lease] = now

    def give_back(self, token: Token[U], lease: str) -> bool:
        """Note that *lease* has *token* no longer; return whether it has left the pool by that."""
        del self._lent[token][lease]
        return self._forget(token)

    def served(self, name: str) -> Collection[float]:
        """Return when each lease was served that has the token of that name."""
        return self._lent[self.tokens[name]].values()

    def turn(self, name: str) -> int:
        """Return a number for the token of that name: of two, the one with the lower number has
        not been lent for longer."""
        return self._turns.get(name, 0)

    def _enlist(self, token: Token[U], *, anew: bool) -> None:
        """Let *token* be lent; *anew*: it may also be looked at anew, if it was refused."""
        self._ledger.enlist(
            token.name, rank=token.rank, concurrency=token.concurrency, limits=token.limits
        )
        if anew:
            self._ledger.reconsider(token.name)

    def _withdraw(self, name: str) -> None:
        self._ledger.withdraw(name)

    def _forget(self, token: Token[U]) -> bool:
        """Forget *token* if it is out of the pool, and no lease has it; return whether."""
        if token in self or self._lent[token]:
            return False
        del self._lent[token]
        return True


def by_name(tokens: Iterable[Token[U]]) -> dict[str, Token[U]]:
    """Return *tokens* by their names; raises `ValueError` if two have the same one."""
    named: dict[str, Token[U]] = {}
    for token in tokens:
        if token.name in named:
            raise ValueError(f"two tokens are called {token.name}")
        named[token.name] = token
    return named
