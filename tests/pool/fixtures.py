"""Rotators over tokens that speak to nothing, and what can be done with them in a line."""

from __future__ import annotations

from typing import Any

from poe_proxy.pool.ledger import Ledger, Standing
from poe_proxy.pool.rotator import Lease, Token, TokenRotator

from ..fakes import Clock


def token(label: str, **options: Any) -> Token[None]:
    return Token(label, None, **options)


def pool(
    *labels: str,
    clock: Clock | None = None,
    patience: float = 30.0,
    places: int = 200,
    ledger: Ledger | None = None,
    **options: Any,
) -> TokenRotator[None]:
    """A rotator over tokens that are all alike."""
    return TokenRotator(
        [token(label, **options) for label in labels],
        patience=patience,
        places=places,
        clock=clock or Clock(),
        ledger=ledger,
    )


def lend(lease: Lease[None]) -> Token[None]:
    """The token of a lease that must have one by now."""
    lent = lease.wait(0)
    assert lent is not None
    return lent


def sends(lease: Lease[None]) -> bool:
    """Whether a request may be sent now; Poe has it at once."""
    may_send = lease.may_send(0)
    lease.arrived()
    return may_send


def use(tokens: TokenRotator[None], failure: BaseException | None = None, **wish: Any) -> str:
    """Lease a token for a moment; let the block end with *failure*. Return its label."""
    label = ""
    try:
        with tokens.lease(**wish) as lease:
            label = lend(lease).label
            if failure is not None:
                raise failure
    except BaseException as raised:
        if raised is not failure:
            raise
    return label


def labels(tokens: TokenRotator[None], times: int) -> list[str]:
    return [use(tokens) for _ in range(times)]


def only(tokens: TokenRotator[None]) -> Token[None]:
    """The token of a pool of one."""
    ((one, _),) = tokens.states()
    return one


def state(tokens: TokenRotator[Any]) -> dict[str, int]:
    """The census without its zeros."""
    return {name: count for name, count in tokens.census().items() if count}


def out_of_points(tokens: TokenRotator[None]) -> list[Token[None]]:
    """The tokens that are out of points."""
    return [one for one, known in tokens.states() if known.standing is Standing.OUT_OF_POINTS]
