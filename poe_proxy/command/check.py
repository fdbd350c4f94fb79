"""`poe-proxy check`: does Poe accept each account, and how many points has it?"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import click

from poe_proxy.command import options, screen

if TYPE_CHECKING:
    from poe_proxy.errors import UpstreamError
    from poe_proxy.pool.rotator import Token
    from poe_proxy.settings import Settings
    from poe_proxy.upstreams.base import Upstream

#: How many accounts are asked at a time, and the most seconds that one of them takes.
AT_A_TIME: Final = 3
PATIENCE: Final = 60.0

#: What to do about a failure, by kind of account and code; else by code alone.
_REMEDIES: Final[Mapping[tuple[str, str], str]] = {
    ("cookie", "upstream_auth"): "Sign in at poe.com, and copy the cookie p-b anew.",
    ("key", "upstream_auth"): "Make a new key at poe.com/api/keys.",
    ("", "upstream_unreachable"): "`poe-proxy doctor` says where the way to Poe ends.",
    ("", "upstream_timeout"): "Try again; `poe-proxy doctor` says where the way to Poe ends.",
    ("", "rate_limit_exceeded"): "Wait a few minutes, and use it more gently: COOL_DOWN, "
    "RATE_LIMIT.",
    ("", "insufficient_quota"): "It can be used again once Poe grants it points.",
}
_NO_POINTS: Final = "It is not used until Poe grants it points again."


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of asking an account."""

    label: str
    kind: str
    points: int | None = None
    #: What is wrong, and what to do about it; nothing if all is well.
    wrong: str = ""
    remedy: str = ""

    @property
    def line(self) -> str:
        """It as one line."""
        said = "" if self.points is None else f"{self.points:,} points"
        wrong = ". ".join(one.rstrip(".") for one in (self.wrong, self.remedy) if one)
        return ": ".join(filter(None, (said, wrong and f"{wrong}.")))


@click.command()
@options.env
def command() -> None:
    """Say which account works, and what is wrong with the others.

    Each is asked for its balance, and has a line. Nothing is charged, and a server may run
    meanwhile. With cookies, the first line says what is known of Poe's site, and how old that is.
    The exit status is 1 if an account cannot be used, nor Redis with REDIS_URL.
    """
    settings = options.settings()
    findings = []
    try:
        is_wrong = _tell_of_others(settings)
        with closing(_all(settings)) as found:
            width = 0
            for finding, labels in found:
                width = width or max(map(len, labels))
                _print(finding, width)
                findings.append(finding)
    except KeyboardInterrupt:
        click.echo()
        sys.exit(130)
    sys.exit(is_wrong or any(one.wrong for one in findings))


def _tell_of_others(settings: Settings) -> bool:
    """Say what is known of Poe's site, and how Redis is, if the pool is there; return whether
    anything is wrong."""
    from poe_proxy.command import doctor, looking

    found = [*looking.look_at_site(settings), *looking.look_at_redis(settings)]
    for one in found:
        doctor.tell(one, indent="")
    return any(one.mark == "wrong" for one in found)


def _print(finding: Finding, width: int) -> None:
    mark, colour = ("wrong", "red") if finding.wrong else ("ok", "green")
    click.echo(
        f"{click.style(f'{mark:5}', fg=colour)}  {finding.label:{width}}  {finding.kind:6}  "
        f"{screen.line(finding.line, 1000)}"
    )


def _all(settings: Settings) -> Generator[tuple[Finding, Sequence[str]], None, None]:
    """Yield what came of asking each account, in their order, and the labels of all."""
    from poe_proxy.command import tokens

    with tokens.of(settings) as (_, made):
        labels = [token.label for token in made]
        for finding in ask_all(made):
            yield finding, labels


def ask_all(
    tokens: Sequence[Token[Upstream]],
    *,
    patience: float = PATIENCE,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Finding]:
    """Yield what comes of asking each account, in their order; a few are asked at a time.

    Those that take longer than *patience* seconds are not waited for.
    """
    from poe_proxy.net.background import Background

    gate, is_over = threading.Semaphore(AT_A_TIME), threading.Event()

    def asked(token: Token[Upstream]) -> Finding | None:
        with gate:
            return None if is_over.is_set() else ask(token)

    began = clock()
    calls = [Background(partial(asked, token), name="check") for token in tokens]
    try:
        for place, (token, call) in enumerate(zip(tokens, calls, strict=True)):
            until = began + patience * (place // AT_A_TIME + 1)
            finding = call.result() if call.wait(max(0.0, until - clock())) else None
            yield finding or Finding(
                token.label,
                token.kind,
                wrong=f"Poe did not answer within {patience:.0f} s",
                remedy=_REMEDIES["", "upstream_timeout"],
            )
    finally:
        is_over.set()


def ask(token: Token[Upstream]) -> Finding:
    """Return what comes of asking *token* for its balance."""
    from poe_proxy.errors import UpstreamError

    try:
        points = token.upstream.balance().points
    except UpstreamError as failure:
        return Finding(
            token.label, token.kind, None, _said_of(failure), _remedy(token.kind, failure)
        )
    except Exception as failure:
        name = type(failure).__name__
        return Finding(token.label, token.kind, wrong=f"It could not be asked ({name})")
    if points > 0:
        return Finding(token.label, token.kind, points)
    return Finding(token.label, token.kind, points, "It is out of points", _NO_POINTS)


def _said_of(failure: UpstreamError) -> str:
    return f"{failure.message.rstrip('.')} ({failure.code})" if failure.code else failure.message


def _remedy(kind: str, failure: UpstreamError) -> str:
    """Return what to do about *failure*, unless its own words say it."""
    from poe_proxy.upstreams.poe_web.current import WHAT_TO_DO
    from poe_proxy.upstreams.poe_web.graphql import AGAINST_CHALLENGES

    match failure.code:
        case "upstream_blocked":
            remedy = AGAINST_CHALLENGES
        case "upstream_changed":
            remedy = WHAT_TO_DO
        case code:
            code = code or ""
            remedy = _REMEDIES.get((kind, code)) or _REMEDIES.get(("", code), "")
    return "" if remedy in failure.message else remedy
