"""The accounts of the settings, used by this process beside a server that may run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from poe_proxy.command import screen

if TYPE_CHECKING:
    from poe_proxy.pool.rotator import Token
    from poe_proxy.pool.store import Renewals
    from poe_proxy.settings import Settings
    from poe_proxy.token_maker import TokenMaker
    from poe_proxy.upstreams.base import Upstream

    Tokens: TypeAlias = Sequence[Token[Upstream]]

_IN_USE: Final = (
    "A server that runs uses STATE_FILE: cookies that Poe has renewed are known to it alone."
)


@contextmanager
def of(settings: Settings) -> Iterator[tuple[TokenMaker, Tokens]]:
    """Lend the token of each account, in their order, and what has made them; no pool is used.

    An account that is still being asked at the end is cut off.
    """
    from poe_proxy import accounts
    from poe_proxy.token_maker import TokenMaker

    with _renewals(settings.state_file, settings.state_cookies) as known:
        maker = TokenMaker(known)
        try:
            # Nobody needs Poe's list of models here.
            yield maker, maker.tokens(accounts.read(settings), replace(settings, catalogue=False))
        finally:
            maker.close()


@contextmanager
def _renewals(path: Path | None, are_kept: bool) -> Iterator[Renewals]:
    """Lend the cookies that Poe has renewed, as the file at *path* has them.

    A server that runs keeps the file for itself: then the cookies are as the settings have them.
    Nothing is made where there is no such file.
    """
    from poe_proxy.pool.store import Forgetful
    from poe_proxy.pool.store.holding import StateInUse
    from poe_proxy.pool.store.journal import Journal

    with ExitStack() as stack:
        known: Renewals = Forgetful()
        if path is not None and path.exists() and are_kept:
            try:
                known = stack.enter_context(closing(Journal(path, patience=0.0)))
            except StateInUse:
                screen.note(_IN_USE)
        yield known
