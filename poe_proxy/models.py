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

#: What a bot's handle may be: what fits between two slashes of poe.com's addresses.
_HANDLE: Final = re.compile(r"[^\s/?#%\x00-\x1f\x7f]{1,100}")


@dataclass(frozen=True, slots=True)
class Route:
    """Where a model name leads: a bot, and the kind of token that may ask it (None: any)."""

    bot: str
    kind: TokenKind | None = None


@dataclass(frozen=True, slots=True)
class Models:
    """The table of names. A name that is not in it is a bot's handle itself."""

    #: Names as they are listed, in order.
    names: Mapping[str, Route] = field(default_factory=dict)
    #: Patterns of names that are not listed and lead nowhere.
    hidden: tuple[str, ...] = ()

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Return the built-in table, extended or replaced by the TOML file at *path*.

        Raises ValueError with a sentence that names the wrong entry.
        """
        built_in = resources.files("poe_proxy").joinpath("models.toml").read_text("utf-8")
        table = cls._parse(built_in, {})
        if path is None:
            return table
        try:
            return cls._parse(path.read_text("utf-8"), table.names)
        except OSError as bad:
            raise ValueError(f"The file cannot be read ({bad.strerror}).") from None
        except UnicodeDecodeError:
            raise ValueError("The file is not UTF-8 text.") from None

    @classmethod
    def _parse(cls, text: str, inherited: Mapping[str, Route]) -> Self:
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as bad:
            raise ValueError(f"The file is not TOML: {bad}.") from None
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
        names = dict(inherited) if builtin else {}
        for name, target in given.items():
            # A later entry replaces an earlier one in whatever case it is written.
            for listed in [one for one in names if one.lower() == name.lower()]:
                del names[listed]
            names[name] = _route(name, target)
        return cls(MappingProxyType(names), tuple(pattern.lower() for pattern in hide))

    def resolve(self, name: str) -> Route | None:
        """Return where *name* leads, in any case; None if it is hidden or can be no handle."""
        wanted = name.lower()
        if self._is_hidden(wanted):
            return None
        for listed, route in self.names.items():
            if listed.lower() == wanted:
                return route
        return Route(name) if _HANDLE.fullmatch(name) else None

    def listing(self) -> list[dict[str, Any]]:
        """Return the names that are not hidden as entries of OpenAI's model list."""
        return [
            {"id": name, "object": "model", "created": 0, "owned_by": "poe"}
            for name in self.names
            if not self._is_hidden(name.lower())
        ]

    def _is_hidden(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.hidden)


def _route(name: str, target: Any) -> Route:
    kind: TokenKind | None = None
    if isinstance(target, dict):
        if not {"bot"} <= target.keys() <= {"bot", "tokens"}:
            # TOML reads an unquoted gpt-3.5-turbo as a table gpt-3 with a key 5-turbo.
            raise ValueError(
                f'names.{name}: write "name" = "Bot" or '
                '"name" = { bot = "Bot", tokens = "keys" }; a name with a dot needs quotes.'
            )
        if "tokens" in target:
            if target["tokens"] not in _KINDS:
                raise ValueError(f'names.{name}: tokens must be "keys" or "cookies".')
            kind = _KINDS[target["tokens"]]
        target = target["bot"]
    if not isinstance(target, str) or not _HANDLE.fullmatch(target):
        raise ValueError(f"names.{name}: the bot must be a Poe handle, such as Claude-Sonnet-4.5.")
    return Route(target, kind)
