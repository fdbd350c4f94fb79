"""The names of tools as bots write them."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

#: What houses put before a name: the namespace of their template.
_PREFIX: Final = re.compile(r"(?:functions?|tools?|api)[./]", re.IGNORECASE)
#: Which call of an answer it is, as Kimi counts them.
_NUMBER: Final = re.compile(r":\d{1,5}\Z")


def resolve(name: str, names: Collection[str]) -> str:
    """Return the one of *names* that a bot means by *name*; *name* itself if that is not certain.

    A namespace before it and a number behind it may be left out, and letters be of another case
    or `-` of `_`, where exactly one tool is meant.
    """
    name = name.strip()
    bare = _PREFIX.sub("", name, count=1) if _PREFIX.match(name) else name
    for one in (name, _NUMBER.sub("", name), bare, _NUMBER.sub("", bare)):
        if one in names:
            return one
    plain = _plain(_NUMBER.sub("", bare))
    alike = [one for one in names if _plain(one) == plain]
    return alike[0] if len(alike) == 1 else name


def known(name: str, names: Collection[str]) -> bool:
    """Whether *name* means one of *names*."""
    return resolve(name, names) in names


def _plain(name: str) -> str:
    return name.casefold().replace("-", "_")
