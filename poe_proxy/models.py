"""The names that clients use, and the bots that they lead to."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, Self, TypeAlias

TokenKind: TypeAlias = Literal["key", "cookie"]

#: How a model file names the kinds of token.
_KINDS: Final[Mapping[str, TokenKind]] = {"keys": "key", "cookies": "cookie"}

#: A valid handle of a bot: what fits between two slashes of poe.com's addresses. An id of the
#: official API may have slashes between such parts.
_PART: Final = r"(?!\.+(?:/|\Z))[^\s/?#%\x00-\x1f\x7f]{1,100}"
_HANDLE: Final = re.compile(_PART)
_BOT_ID: Final = re.compile(rf"{_PART}(/{_PART}){{0,4}}")


@dataclass(frozen=True, slots=True)
class Route:
    """Where a model name leads: a bot, and the kind of token that may ask it (None: any)."""

    bot: str
    kind: TokenKind | None = None
    #: Whether it is in the user's own file; a built-in name is listed only if its bot exists.
    is_own: bool = False


@dataclass(frozen=True, slots=True)
class Models:
    """The table of names. A name that is not in it is a bot's handle itself.

    `Menu` joins it with the bots that there are.
    """

    #: Names as they are listed, in order.
    names: Mapping[str, Route] = field(default_factory=dict)
    #: Patterns of names that are not listed and lead nowhere.
    hidden: tuple[str, ...] = ()
    #: The handles of bots, by their inner names in lower case.
    handles: Mapping[str, str] = field(default_factory=dict)
    #: The routes by their names in lower case.
    _by_name: Mapping[str, Route] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name = {name.lower(): route for name, route in self.names.items()}
        object.__setattr__(self, "_by_name", by_name)

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Return the built-in table, extended or replaced by the TOML file at *path*.

        Raises ValueError with a sentence that names the wrong entry.
        """
        built_in = resources.files("poe_proxy").joinpath("models.toml").read_text("utf-8")
        table = cls._parse(built_in, cls(), is_own=False)
        if path is None:
            return table
        try:
            return cls._parse(path.read_text("utf-8-sig"), table, is_own=True)
        except OSError as bad:
            raise ValueError(f"The file cannot be read ({bad.strerror}).") from None
        except UnicodeDecodeError:
            raise ValueError("The file is not UTF-8 text.") from None

    @classmethod
    def _parse(cls, text: str, inherited: Models, *, is_own: bool) -> Self:
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as bad:
            raise ValueError(f"The file is not TOML: {bad}.") from None
        handles = inherited.handles if is_own else data.pop("handles")
        if unknown := data.keys() - {"names", "hide", "builtin"}:
            raise ValueError(
                f"{', '.join(sorted(unknown))}: only [names], hide and builtin are known here; "
                "model names belong under [names]."
            )
        builtin, hide, given = (
            data.get("builtin", True),
            data.get("hide", []),
            data.get("names", {}),
        )
        if not isinstance(builtin, bool):
            raise ValueError("builtin: must be true or false.")
        if not isinstance(hide, list) or not all(isinstance(one, str) for one in hide):
            raise ValueError("hide: must be a list of names or patterns, such as ['gpt-3.5-*'].")
        if not isinstance(given, dict):
            raise ValueError("names: must be a table, [names].")
        names = dict(inherited.names) if builtin else {}
        for name, target in given.items():
            # A later entry replaces an earlier one, upper or lower case alike.
            for listed in [one for one in names if one.lower() == name.lower()]:
                del names[listed]
            names[name] = _route(name, target, is_own)
        return cls(MappingProxyType(names), tuple(pattern.lower() for pattern in hide), handles)

    def route(self, name: str) -> Route | None:
        """Return where the table leads *name*, upper or lower case alike; None if it is not there,
        or hidden."""
        return None if self.hides(name) else self._by_name.get(name.lower())

    def resolve(self, name: str) -> Route | None:
        """Return where *name* leads: by the table, or as a bot's handle itself; None if it is
        hidden, or neither in the table nor a valid handle."""
        if self.hides(name):
            return None
        return self._by_name.get(name.lower()) or (Route(name) if _HANDLE.fullmatch(name) else None)

    def hides(self, name: str) -> bool:
        """Return whether *name* is neither listed nor answered."""
        return bool(self.hidden) and any(
            fnmatchcase(name.lower(), pattern) for pattern in self.hidden
        )

    def handle(self, bot: str) -> str:
        """Return the handle that poe.com shows for *bot*, which may be an inner name."""
        return self.handles.get(bot.lower(), bot)


def _route(name: str, target: Any, is_own: bool) -> Route:
    if not name or name != name.strip():
        # It would be listed, but blanks around the name in a request are dropped.
        raise ValueError(
            f"names.{name!r}: the name must not be empty, or begin or end with a blank."
        )
    kind: TokenKind | None = None
    if isinstance(target, dict):
        if not {"bot"} <= target.keys() <= {"bot", "tokens"}:
            # TOML reads an unquoted gpt-3.5-turbo as a table gpt-3 with a key 5-turbo.
            raise ValueError(
                f'names.{name}: write "name" = "Bot" or '
                '"name" = { bot = "Bot", tokens = "keys" }; a name with a dot needs quotes.'
            )
        if "tokens" in target:
            kind = _KINDS.get(str(target["tokens"]))
            if kind is None:
                raise ValueError(f'names.{name}: tokens must be "keys" or "cookies".')
        target = target["bot"]
    if not isinstance(target, str) or not _BOT_ID.fullmatch(target):
        raise ValueError(f"names.{name}: the bot must be a Poe handle, such as Claude-Sonnet-4.5.")
    return Route(target, kind, is_own)
