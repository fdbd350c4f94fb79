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
from poe_proxy.lookalikes import is_secret, shown, shown_path

T = TypeVar("T")
D = TypeVar("D")
T_co = TypeVar("T_co", covariant=True)


#: Of how many wrong items of a list it is said why.
MOST_ITEMS: Final = 5

#: The end of the name of a variable that names a file with the value.
FILE: Final = "_FILE"

#: The variable that names another file in place of `.env`: `poe-proxy --env` sets it.
OTHER_DOTENV: Final = "POE_PROXY_DOTENV"
#: Names the one that the command itself has set, where nobody else did.
CHOSEN: Final = "POE_PROXY_CHOSEN"


def dotenv() -> Path:
    """Return the path of `.env`, or of the file that is read in its place."""
    return Path(os.environ.get(OTHER_DOTENV) or ".env")


@dataclass(frozen=True, slots=True)
class Given:
    """A variable that is set, and is not blank."""

    name: str
    text: str = field(repr=False)
    #: The line of `.env` that sets it; empty if the environment does.
    line: str = ""


class Environment(FileAwareEnv):
    """environs, with three habits that users of a `.env` expect: a blank variable counts as not
    set, every problem is kept for one message, and a message shows what was read, and where,
    unless it is a secret."""

    def __init__(self, settings: type) -> None:
        """Only what the dataclass *settings* declares can be read."""
        super().__init__(eager=False, strip_whitespace=True)
        self.settings: Final = settings
        self._unreadable: dict[str, list[str]] = {}
        #: The `.env` that was read, or nothing.
        self.dotenv = ""
        #: The number of the line that sets it, by the name of a variable of `.env`.
        self.lines: dict[str, int] = {}

    def _load_dotenv(self, path: str | Path, *, override: bool = False) -> None:
        """Take each value as it stands, `$` included, and note each line that cannot be read."""
        self.dotenv = str(path)
        with Path(path).open(encoding="utf-8-sig") as lines:
            for binding in parse_stream(lines):
                text, number = binding.original
                number += len(text) - len(text.lstrip("\n"))
                if binding.key is not None and binding.value is not None:
                    self._environ[binding.key] = binding.value
                    self.lines[binding.key] = number
                elif binding.error or binding.key is not None:
                    self._unreadable.setdefault(str(path), []).append(
                        f"Line {number} is not NAME=value; a list is one value: TOKENS=abc,def."
                    )

    def _get_value(self, env_key: str, default: Any) -> Any:
        try:
            value = super()._get_value(env_key, default)
        except (ValueError, OSError) as bad:
            # environs hides the reason behind a sentence of its own.
            reason = getattr(bad.__cause__ or bad, "strerror", None) or "it is not text"
            message = f"{env_key}{FILE} cannot be read ({reason})."
            is_of_secret = not self.declaration(env_key)[0].repr
            if file := shown_path(str(self.file_of(env_key)), is_of_secret=is_of_secret):
                message = f"{file}: {message}"
            self._unreadable[env_key] = [message]
            return default
        if isinstance(value, str):
            # Windows' Notepad begins a file with a byte-order mark, which is invisible.
            value = value.removeprefix("\ufeff")
            return value if value.strip() else default
        return value

    def given(self, name: str) -> Given | None:
        """Return the variable *name* as it is set; None if it is not, or blank."""
        text = os.environ.get(name)
        if text is not None:
            return Given(name, text) if text.strip() else None
        text = self._environ.get(name, "")
        line = f"{self.dotenv}, line {self.lines.get(name)}"
        return Given(name, text, line) if text.strip() else None

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
                told = [self.tell(name, str(message)) for message in messages]
                found.setdefault(name, []).extend(told)
        return found

    def tell(self, name: str, message: str, *, quotes: bool = True) -> str:
        """Return *message*, a sentence about the value of the variable *name*, with that value and
        its place, as far as they may be shown. Unless it *quotes*, the sentence names itself what
        is wrong: with a file that the value is the path of, its path is shown, and else only the
        place."""
        declaration, one = self.declaration(name)
        file, given = self.file_of(name), self.given(name)
        if file is not None:
            return _sentence(f"The text of {file}", message)
        if given is None:
            return message
        if one.reads is path:
            if not is_secret(given.text, self._secrets()):
                message = f"{shown_path(given.text, is_of_secret=False)}: {message}"
            if not quotes:
                return message  # the place is in that file
        elif not declaration.repr:
            pass  # a secret
        elif quotes and is_secret(given.text, self._secrets()):
            message = _sentence("Its value, which looks like a secret,", message)
        elif quotes:
            message = _sentence(shown(given.text), message)
        return f"{message.removesuffix('.')} ({given.line})." if given.line else message

    def declaration(self, name: str) -> tuple[Field[Any], Setting]:
        """Return the field of the setting that the variable *name* is, with its declaration."""
        return next(both for both in declared(self.settings) if name in both[1].names)

    def _secrets(self) -> Iterator[str]:
        for declaration, one in declared(self.settings):
            for name in one.names:
                if not declaration.repr and (given := self.given(name)):
                    yield from as_list(given.text)


def _sentence(subject: str, message: str) -> str:
    """Return *message*, which says what a value is or must be, as a sentence about *subject*."""
    for start, verb in (("Not a ", "is not a "), ("Must ", "must "), ("Cannot ", "cannot ")):
        if message.startswith(start):
            return f"{subject} {verb}{message.removeprefix(start)}"
    return f"{subject}: {message}"


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


def as_api_url(given: str) -> str:
    """The same, and drop the `/v1` with which clients know an API."""
    return as_base_url(as_base_url(given).removesuffix("/v1"))


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

    @property
    def names(self) -> list[str]:
        """Its name, and its alias if it has one."""
        return [name for name in (self.name, self.alias) if name]

    @property
    def variables(self) -> list[str]:
        """The variables that may set it: its names, and those of files with the value."""
        return [variable for name in self.names for variable in (name, f"{name}{FILE}")]

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
    if len(why) > MOST_ITEMS:
        why[MOST_ITEMS:] = [f"{len(why) - MOST_ITEMS} more items are wrong."]
    return why


def each(check: Callable[[Any], object]) -> Check:
    """Return a check for a list: of each item, with its number."""

    def check_all(items: tuple[Any, ...]) -> None:
        if why := refused(items, check):
            raise ValidationError(" ".join(why))

    return check_all


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
