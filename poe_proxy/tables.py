"""TOML files of the operator that hold secrets: how they are read, and how what is wrong with them
is said without repeating any of it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from poe_proxy.lookalikes import may_be_key

#: Where the parser stopped, at the end of its message.
_WHERE: Final = re.compile(r"\((at [^()]*)\)\Z")


def load(path: Path) -> dict[str, Any]:
    """Return what is in the file; raises ValueError with a sentence."""
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as bad:
        raise ValueError(f"The file cannot be read ({bad.strerror}).") from None
    except UnicodeDecodeError:
        raise ValueError("The file is not UTF-8 text.") from None
    except tomllib.TOMLDecodeError as bad:
        # What else is in its message may be a part of the file.
        where = _WHERE.search(str(bad))
        raise ValueError(f"The file is not TOML{f' ({where[1]})' if where else ''}.") from None


def shown(names: Iterable[str]) -> str:
    """Return *names* that the file has, for a message: those that may be secrets in the wrong place
    as `?`."""
    return ", ".join(
        one if LABEL.fullmatch(one) and not may_be_key(one) else "?" for one in sorted(names)
    )


class Faults(list[str]):
    """What is wrong with one table: sentences that begin with a field's name."""

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Note a ValueError of the block as a fault of the field *name*."""
        try:
            yield
        except ValueError as bad:
            self.append(f"{name}: {bad}")


# ---- readers: each returns the value, or raises ValueError

LABEL: Final = re.compile(r"[\w.@+:-]([\w.@+: -]{0,48}[\w.@+:-])?")


def text(given: object) -> str:
    if not isinstance(given, str) or not given.strip():
        raise ValueError("Must be a text in quotes.")
    return given.strip()


def label(given: object) -> str:
    if not isinstance(given, str) or not LABEL.fullmatch(given):
        raise ValueError("Must be a name of at most 50 letters, digits, blanks and . _ @ + : -")
    if given.lower().startswith("sk-"):
        raise ValueError("It looks like a key, and must be a name, which everybody may see.")
    return given


def switch(given: object) -> bool:
    if not isinstance(given, bool):
        raise ValueError("Must be true or false.")
    return given


def whole_number(given: object) -> int:
    # For Python, true is a number.
    if not isinstance(given, int) or isinstance(given, bool):
        raise ValueError("Must be a whole number.")
    return given


def at_least_one(given: object) -> int:
    if (number := whole_number(given)) < 1:
        raise ValueError("Must be a whole number, 1 or more.")
    return number
