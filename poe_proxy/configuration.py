"""Reads all declared settings at once, and finds what is wrong with them.

Nothing here knows a setting by name: `settings.py` declares them all.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from poe_proxy import slips
from poe_proxy.environment import (
    FILE,
    Environment,
    Given,
    Setting,
    declared,
    files_of_secrets,
    refused,
)
from poe_proxy.lookalikes import is_secret

#: Whether two names differ if only their case does: not on Windows.
REGARDS_CASE: Final = os.name != "nt"

#: How many names of `.env` that are no settings are logged.
MOST_NAMES: Final = 10


class BadSettings(Exception):
    """The configuration cannot be used; the message names every bad variable, with its value unless
    that is a secret, and says why."""

    def __init__(self, problems: Mapping[str, list[str]]) -> None:
        self.problems = problems
        #: A line for each variable.
        self.faults = "\n".join(f"  {name}: {' '.join(why)}" for name, why in problems.items())
        super().__init__(
            "poe-proxy cannot start with these settings "
            f"(.env.example and docs/settings.md describe each):\n{self.faults}"
        )


@dataclass(slots=True)
class Found:
    """What was read, and what is wrong with it."""

    #: By field: what is set, and right.
    values: Mapping[str, Any] = field(repr=False)
    #: By variable.
    problems: dict[str, list[str]]
    #: The files with secrets that were read.
    files: tuple[Path, ...]
    #: What is set and not used, in sentences for the log.
    notes: tuple[str, ...]

    def add(self, problems: Mapping[str, list[str]]) -> None:
        """Add further *problems*."""
        for name, why in problems.items():
            self.problems.setdefault(name, []).extend(why)


def read(
    settings: type,
    dotenv: Path,
    *,
    needed: Mapping[tuple[str, ...], str],
    checks: Mapping[str, Callable[[Any], object]],
) -> Found:
    """Return what the environment, and *dotenv*, say of what the dataclass *settings* declares.

    *needed* are names of which one has to be set, each with what is said if none is; *checks* are
    further checks by name. Raises `BadSettings` only if *dotenv* cannot be read: without it, all
    that it sets would be named as missing.
    """
    env = Environment(settings)
    try:
        env.read_env(dotenv, recurse=False)
    except (OSError, ValueError):
        raise BadSettings({str(dotenv): ["is not a readable file of UTF-8 text."]}) from None
    values = {
        one.name: value for _, one in declared(settings) if (value := one.read(env)) is not None
    }
    found = Found({}, env.problems(), (), tuple(_notes(env)))
    for name, why in (*_contradictions(env), *_slips(env)):
        found.add({name: [why]})
    for name, check in checks.items():
        if name in values and name not in found.problems:
            wrong = refused(values[name], check)
            found.add({name: [env.tell(name, why, quotes=False) for why in wrong]} if wrong else {})
    for names, sentence in needed.items():
        if not any(name in found.problems or values.get(name) for name in names):
            found.add({names[0]: [sentence, *_almost(env, names)]})
    found.values = {
        place.name: values[one.name]
        for place, one in declared(settings)
        if one.name in values and one.name not in found.problems
    }
    found.files = (*([dotenv] if env.dotenv else []), *files_of_secrets(settings, env))
    return found


def _contradictions(env: Environment) -> Iterator[tuple[str, str]]:
    """Yield each setting that is set twice, and differently: either could be meant."""
    for _, one in declared(env.settings):
        given = [found for name in one.variables if (found := env.given(name))]
        if len({_text_of(found, one) for found in given}) > 1:
            names = " and ".join(
                f"{found.name} ({found.line})" if found.line else found.name for found in given
            )
            yield one.name, f"{names} are set, and differ: leave only one of them."


def _text_of(given: Given, one: Setting) -> str:
    if given.name in one.names:
        return given.text.strip()
    try:
        return Path(given.text).read_text("utf-8-sig").strip()
    except (OSError, ValueError):
        return given.text  # that it cannot be read is said elsewhere


# ---- what is set, and is no setting


def _slips(env: Environment) -> Iterator[tuple[str, str]]:
    """Yield what `.env` sets in vain: the name is almost that of a setting which is not set."""
    for given in _unknown(env):
        meant = _meant(env, given.name)
        if meant and not _is_set(env, meant):
            yield given.name, f"There is no such setting; is {meant} meant ({given.line})?"


def _almost(env: Environment, names: tuple[str, ...]) -> Iterator[str]:
    """Yield what the environment sets that is almost one of *names*, none of which is set."""
    for name, meant in _foreign(env, exactly=False):
        if meant in names:
            yield f"{name} is set, and is no setting; is {meant} meant?"


def _notes(env: Environment) -> Iterator[str]:
    """Yield what is set and not used, in sentences for the log."""
    for name, meant in _foreign(env, exactly=True):
        if not _is_set(env, meant):
            yield f"{name} is set, and is no setting of poe-proxy; is {meant} meant?"
    unknown = [given.name for given in _unknown(env)]
    if unknown:
        names = [name if _is_plain(name) else "(no name)" for name in unknown[:MOST_NAMES]]
        more = f" and {len(unknown) - MOST_NAMES} more" if len(unknown) > MOST_NAMES else ""
        yield f"{env.dotenv} sets what is no setting of poe-proxy: {', '.join(names)}{more}."


def _unknown(env: Environment) -> list[Given]:
    """Return what `.env` sets and no setting reads."""
    known = _known(env)
    given = [env.given(name) for name in env.lines if _spelt(name) not in known]
    return [one for one in given if one is not None and one.line]


def _foreign(env: Environment, *, exactly: bool) -> list[tuple[str, str]]:
    """Return each variable of the environment itself that is almost a setting, with the setting.

    Most are of other programs, so that only the same letters say something by themselves.
    """
    known = _known(env)
    names = [name for name, text in os.environ.items() if text.strip()]
    return [
        (name, meant)
        for name in names
        if _spelt(name) not in known and (meant := _meant(env, name, exactly=exactly))
    ]


def _known(env: Environment) -> set[str]:
    return {_spelt(name) for _, one in declared(env.settings) for name in one.variables}


def _meant(env: Environment, name: str, *, exactly: bool = False) -> str:
    """Return the setting that is most likely meant by *name*, or nothing: see `slips.meant`."""
    names = [name for _, one in declared(env.settings) for name in one.names]
    found = slips.meant(name, names, exactly=exactly)
    if not found and name.upper().endswith(FILE):
        found = slips.meant(name[: -len(FILE)], names, exactly=exactly)
    return env.declaration(found)[1].name if found else ""


def _is_set(env: Environment, name: str) -> bool:
    return any(env.given(variable) for variable in env.declaration(name)[1].variables)


def _spelt(name: str) -> str:
    """Return *name* as the system compares it."""
    return name if REGARDS_CASE else name.upper()


def _is_plain(name: str) -> bool:
    """Whether *name* can only be a name: where a value has slipped into its place, it is none."""
    return re.fullmatch(r"[A-Za-z]\w{0,39}", name) is not None and not is_secret(name)
