"""What is said of settings and accounts at the start, and when they have changed."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

from poe_proxy import accounts
from poe_proxy.clients import file as clients
from poe_proxy.environment import declared, is_open_to_others
from poe_proxy.pool.tokens import Token
from poe_proxy.settings import EXAMPLE_KEY, Settings
from poe_proxy.upstreams.base import Upstream

log = logging.getLogger(__name__)


def warn(settings: Settings) -> None:
    """Log settings that are allowed, but unwise, and what is set in vain."""
    for note in settings.notes:
        log.warning("%s", note)
    if EXAMPLE_KEY in settings.auth_keys:
        log.warning(
            "AuthKey holds %s, the key of every example: anyone who can reach this server can "
            "use your Poe accounts. Set another one.",
            EXAMPLE_KEY,
        )
    files = [*settings.files]
    if settings.tokens_config is not None:
        files += accounts.files(settings.tokens_config)
    if settings.clients is not None and clients.holds_keys(settings.clients):
        files.append(settings.clients)
    for path in dict.fromkeys(files):
        if is_open_to_others(path):
            log.warning(
                "%s holds secrets, and others on this machine can read it: chmod 600 %s makes it "
                "yours alone.",
                *(path, path),
            )


def without_restart(before: Settings, now: Settings) -> Settings:
    """Return *now* with what only a restart can change as it was *before*; the log names it."""
    differ = changed(before, now)
    kept = {
        field.name: getattr(before, field.name)
        for field, one in declared(Settings)
        if one.needs_restart and one.name in differ
    }
    if kept:
        names = [one.name for field, one in declared(Settings) if field.name in kept]
        log.warning("Only a restart can change %s: still as before.", ", ".join(names))
    return replace(now, **kept)


def changed(before: Settings, now: Settings) -> set[str]:
    """Return the names of the settings that differ."""
    return {
        one.name
        for field, one in declared(Settings)
        if getattr(before, field.name) != getattr(now, field.name)
    }


def counts(tokens: Iterable[Token[Upstream]]) -> str:
    kinds = [token.kind for token in tokens]
    return f"{kinds.count('cookie')} cookie token(s) and {kinds.count('key')} API key(s)"


def changes(before: Iterable[Token[Upstream]], after: Iterable[Token[Upstream]]) -> str:
    """Return which tokens are new, others than before, or gone; empty if none is."""
    old = {token.name: token for token in before}
    new = {token.name: token for token in after}
    changes = {
        "new": [token.label for name, token in new.items() if name not in old],
        "changed": [
            token.label for name, token in new.items() if old.get(name, token) is not token
        ],
        "gone": [token.label for name, token in old.items() if name not in new],
    }
    return "".join(f"; {what}: {', '.join(labels)}" for what, labels in changes.items() if labels)
