"""Names of files that came from elsewhere."""

from __future__ import annotations

from typing import Final

#: What has a meaning in a header's quoted string or to a file system.
_UNWELCOME: Final = frozenset('"<>|:*?')


def tidy(name: str | None, *, instead: str = "", at_most: int = 150) -> str:
    """Return the last part of the path *name*, fit for a header and for a file system.

    *instead* replaces each character that is not. Of a long name the last *at_most* characters
    are kept, its extension among them. An empty string if nothing is left.
    """
    name = name or ""
    end = max(name.rfind("/"), name.rfind("\\")) + 1
    # What is left out of it is made up for, and there is no end to what may be sent as a name.
    last = name[max(end, len(name) - 8 * at_most) :]
    fit = "".join(one if one.isprintable() and one not in _UNWELCOME else instead for one in last)
    return fit.strip(". ")[-at_most:].lstrip(". ")
