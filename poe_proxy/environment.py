"""Reads the environment and `.env`: how a setting is declared, where its value comes from, and
how its text is understood.

Nothing here knows a setting by name: `settings.py` declares them all.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar, cast

from dotenv.parser import parse_stream
from environs import EnvValidationError, FileAwareEnv, ValidationError

from poe_proxy.checks import Check

T = TypeVar("T")
D = TypeVar("D")
T_co = TypeVar("T_co", covariant=True)


class Environment(FileAwareEnv):
    """environs, with three habits that users of a `.env` expect: a blank variable counts as not
    set, every problem is kept for one message, and no message repeats a value."""

    def __init__(self) -> None:
        super().__init__(eager=False, strip_whitespace=True)
        self._unreadable: dict[str, list[str]] = {}

    def _load_dotenv(self, path: str | Path, *, override: bool = False) -> None:
        """Take each value as it stands, `$` included, and note each line that cannot be read."""
        with Path(path).open(encoding="utf-8-sig") as lines:
            for binding in parse_stream(lines):
                text, number = binding.original
                if binding.key is not None and binding.value is not None:
                    self._environ[binding.key] = binding.value
                elif binding.error or binding.key is not None:
                    number += len(text) - len(text.lstrip("\n"))
                    self._unreadable.setdefault(str(path), []).append(
                        f"Line {number} is not NAME=value; a list is one value: TOKENS=abc,def."
                    )

    def _get_value(self, env_key: str, default: Any) -> Any:
        try:
            value = super()._get_value(env_key, default)
        except (ValueError, OSError) as bad:
            # environs hides the reason behind a sentence of its own.
            reason = getattr(bad.__cause__ or bad, "strerror", None) or "it is not text"
            self._unreadable[env_key] = [f"{env_key}_FILE cannot be read ({reason})."]
            return default
        if isinstance(value, str):
            # Windows' Notepad begins a file with a byte-order mark, which is invisible.
            value = value.removeprefix("\ufeff")
            return value if value.strip() else default
        return value

    def file_of(self, name: str) -> Path | None:
        """Return the file that the value of *name* comes from, if it comes from one of its own."""
        file_key = f"{name}{self.file_suffix}"
        # In the order in which environs looks for it.
        given = os.environ.get(file_key) or self._environ.get(file_key)
        return Path(given) if given else None

    def problems(self) -> dict[str, list[str]]:
        """Return the problems of all that was read, by variable. Nothing can be read afterwards."""
        found = dict(self._unreadable)
        try:
            self.seal()
        except EnvValidationError as bad:
            messages_by_name = cast("Mapping[str, list[str]]", bad.error_messages)
            for name, messages in messages_by_name.items():
                found.setdefault(name, []).extend(str(message) for message in messages)
        return found


# ---- readers


class Reader(Protocol[T_co]):
    """Returns the value of the variable *name*; None if it is not set, or a problem was noted."""

    def __call__(self, env: Environment, name: str, check: Check | None) -> T_co | None: ...


def text(env: Environment, name: str, check: Check | None) -> str | None:
    return env.str(name, None, validate=check)


def whole_number(env: Environment, name: str, check: Check | None) -> int | None:
    return env.int(name, None, validate=check)


def number(env: Environment, name: str, check: Check | None) -> float | None:
    return env.float(name, None, validate=check)


def switch(env: Environment, name: str, check: Check | None) -> bool | None:
    return env.bool(name, None, validate=check)


def path(env: Environment, name: str, check: Check | None) -> Path | None:
    return env.path(name, None, validate=check)


def parsed(parse: Callable[[str], T]) -> Reader[T]:
    """Return a reader of what *parse* makes of a text.

    *parse* raises `environs.ValidationError` as a check does.
    """

    def read(env: Environment, name: str, check: Check | None) -> T | None:
        def validate(given: str) -> None:
            value = parse(given)
            if check:
                check(value)

        given = env.str(name, None, validate=validate)
        return None if given is None else parse(given)

    return read


def as_list(given: str) -> tuple[str, ...]:
    """Split at commas and line ends; drop blanks around items, empty items and repetitions."""
    items = (item.strip() for item in re.split(r"[,\r\n]", given))
    return tuple(dict.fromkeys(item for item in items if item))


def as_pairs(given: str) -> dict[str, str]:
    """Split pairs such as `user=Human`, separated by commas."""
    pairs = [item.partition("=") for item in given.split(",") if item.strip()]
    if not all(equals for _, equals, _ in pairs):
        raise ValidationError("Must be pairs such as user=Human, separated by commas.")
    return {key.strip(): value.strip() for key, _, value in pairs}


def as_base_url(given: str) -> str:
    """Drop slashes at the end."""
    return given.rstrip("/")


# ---- declarations


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is declared of a setting, except for its default, which is that of the field."""

    #: The variable, and a second one that is read if the first is not set.
    name: str
    alias: str = ""
    reads: Reader[Any]
    check: Check | None = None
    #: A sentence or two of Markdown for the documents. Names the unit.
    meaning: str
    #: What each value means, if there are only a few.
    values: Mapping[str, str] = field(default_factory=dict)
    example: str = ""
    #: Whether the server refuses to start with the default: `.env.example` leaves the line open.
    needed: bool = False
    #: Whether a server that runs goes on with the old value when the settings are read anew.
    needs_restart: bool = False
    #: The heading in `.env.example` of this setting and those after it.
    heading: str = ""

    def read(self, env: Environment) -> Any:
        """Return the value; None if it is not set, or *env* has noted a problem with it."""
        value = self.reads(env, self.name, self.check)
        if value is None and self.alias:
            value = self.reads(env, self.alias, self.check)
        return value


_NO_DEFAULT: Final[Any] = MISSING


def setting(
    name: str,
    reads: Reader[T],
    *,
    default: D = _NO_DEFAULT,
    secret: bool = False,
    **described: Any,
) -> T | D:
    """Return a field of a dataclass with a `Setting` as its metadata.

    A *secret* is left out of the repr; *described* are the other fields of `Setting`.
    """
    one = Setting(name=name, reads=reads, **described)
    # A dataclass does not take a dict as a default.
    given = {"default_factory": default.copy} if isinstance(default, dict) else {"default": default}
    return cast("T | D", field(**given, repr=not secret, metadata={"setting": one}))


def declared(settings: type) -> Iterator[tuple[Field[Any], Setting]]:
    """Yield each field of the dataclass *settings* that is a setting, in order, with its
    declaration."""
    for one in fields(settings):
        if "setting" in one.metadata:
            yield one, one.metadata["setting"]


def refused(value: Any, check: Callable[[Any], object]) -> list[str]:
    """Return what *check* finds wrong with *value*, or with each item of a list."""
    many = isinstance(value, tuple)
    why = []
    for place, item in enumerate(value if many else (value,), 1):
        try:
            check(item)
        except ValueError as bad:
            why.append(f"item {place}: {bad}" if many else str(bad))
    return why


# ---- files with secrets


def files_of_secrets(settings: type, env: Environment) -> Iterator[Path]:
    """Yield the files of *env* that hold a secret each, but for those of a container: they are made
    for it, and it can change nothing about them."""
    for field_, one in declared(settings):
        if not field_.repr:
            for name in filter(None, (one.name, one.alias)):
                file = env.file_of(name)
                if file is not None and not is_read_only(file):
                    yield file


def is_open_to_others(path: Path) -> bool:
    """Whether other users of this machine may read the file, and need not.

    A group may read a file of another owner: such as that of the service, a file of root's.
    """
    try:
        found = path.stat()
    except OSError:
        return False
    if os.name != "posix" or not stat.S_ISREG(found.st_mode):
        return False
    is_ours = found.st_uid == os.geteuid()
    return bool(found.st_mode & (stat.S_IROTH | (stat.S_IRGRP if is_ours else 0)))


def is_read_only(path: Path) -> bool:
    """Whether the file lies where nothing can be changed, as the secrets of a container do."""
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except (OSError, AttributeError):  # Windows has no statvfs
        return False
