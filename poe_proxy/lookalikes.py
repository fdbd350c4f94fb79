"""What a text most likely is, by its looks alone: a secret, or a credential in the wrong place.

No sentence here repeats the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

#: The most characters of a value that are shown, and of a path.
MOST_SHOWN: Final = 60
MOST_OF_PATH: Final = 300

#: Anything with one of these may be a secret, or hold one.
_SECRET: Final = re.compile(r"sk-|p-b=|p-lat|formkey|bearer |[^/:@]@", re.IGNORECASE)
#: What nobody types: a long run of letters and digits, without the slashes and dots of a path.
_OPAQUE: Final = re.compile(r"[A-Za-z0-9+=%_-]{24,}+")

#: What keys begin with. Those of Poe's may begin with anything (official API sheet §1).
_POE_KEY: Final = "sk-poe-"
_OTHER_KEYS: Final = ("sk-ant-", "sk-proj-", "sk-or-", "sk-svcacct-")
_COOKIES: Final = ("cookie:", "p-b=", "p-lat=", "formkey=")
_URL: Final = re.compile(r"[a-z][a-z0-9+.-]{0,20}://|www\.|poe\.com/", re.IGNORECASE)
#: How what stands for something else begins and ends.
_STANDS_FOR: Final = (("<", ">"), ("${", "}"), ("%", "%"))
_CUT: Final = ("...", "…")
#: What the user is told to put there: your-token, insert_key, token-here.
_DEMANDS: Final = ("your", "insert", "enter", "paste", "replace", "change", "put")
_NOTHING: Final = frozenset({"changeme", "placeholder", "todo", "undefined", "null", "none"})
_NAMES: Final = frozenset({"token", "cookie", "key", "apikey", "pb", "pbcookie", "poekey"})


def shown(text: str, most: int = MOST_SHOWN) -> str:
    """Return *text* in quotes for a message: cut, and with what is not printable escaped."""
    escaped = "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text[:most]
    )
    return f'"{escaped}{"..." if len(text) > most else ""}"'


def shown_path(text: str, *, is_of_secret: bool) -> str:
    """Return a path as messages show it; nothing if it may be a secret in the wrong place, as one
    of a file that *is_of_secret* may be unless it has a slash."""
    if is_secret(text) or (is_of_secret and ("/" not in text or "=" in text or "%" in text)):
        return ""
    return shown(text, MOST_OF_PATH)[1:-1]


def is_secret(text: str, known: Iterable[str] = ()) -> bool:
    """Whether *text* looks like a secret, is a part of one of those that are *known*, or holds
    one of them."""
    if _SECRET.search(text) or _is_opaque(text):
        return True
    return any(
        (len(text) >= 6 and text in secret) or (len(secret) >= 6 and secret in text)
        for secret in known
    )


def may_be_key(name: str) -> bool:
    """Whether a *name* looks like a key in the wrong place; an address of mail does not."""
    return name.lower().startswith("sk-") or _is_opaque(name)


def _is_opaque(text: str) -> bool:
    return "/" not in text and any(
        re.search(r"\d", run) and re.search(r"[A-Za-z]", run) for run in _OPAQUE.findall(text)
    )


def no_cookie(text: str) -> str:
    """Return why *text* is no item of `TOKENS`, if it looks like something else; else nothing.

    It may be a value of the cookie p-b, or a list of cookies.
    """
    text = text.strip()
    parts = text.lower().removeprefix("cookie:").split(";")
    value = next((part.strip()[4:] for part in parts if part.strip().startswith("p-b=")), text)
    value = value.strip().strip('"')
    if text.lower().startswith(_POE_KEY) or value.startswith(_POE_KEY):
        return _placeholder(value) or (
            "It looks like a key of Poe's official API, which belongs into POE_API_KEYS."
        )
    return _neither(text) or _neither(value)


def no_key(text: str) -> str:
    """Return why *text* is no item of `POE_API_KEYS`, if it looks like something else."""
    text = text.strip()
    if text.lower().startswith(_COOKIES):
        return "It looks like a cookie of poe.com, which belongs into TOKENS."
    return _neither(text)


def is_api_key(text: str) -> None:
    """Raise ValueError if *text* cannot be a key of Poe's API."""
    if why := no_key(text):
        raise ValueError(why)
    if not re.fullmatch("[!-~]+", text):  # it is sent in a header
        raise ValueError("Must be one key of printable ASCII.")


def _neither(text: str) -> str:
    """Return what *text* looks like that is neither a cookie nor a key of Poe's; else nothing."""
    start = text[:20].lower()
    if start.startswith(_OTHER_KEYS):
        return "It looks like a key for another service than Poe."
    if _URL.match(text):
        return "It looks like an address, and must be the credential itself."
    if start.startswith(("[", "{")):
        return "It looks like JSON, and must be the credential alone."
    if start.startswith(("authorization:", "bearer ")):
        return "It looks like the header Authorization, and must be the credential alone."
    return _placeholder(text)


def _placeholder(text: str) -> str:
    text = text.lower()
    stem = text.removeprefix("p-b=").removeprefix("sk-").removeprefix("poe-")
    words = re.split(r"[-_ .]", stem)
    stands_for = any(
        stem.startswith(begins) and stem.endswith(ends) for begins, ends in _STANDS_FOR
    )
    if (
        stands_for
        or (text.startswith("$") and text[1:].isidentifier())
        or text.endswith(_CUT)
        or (len(stem) > 2 and set(stem) <= set("x*._-0"))
        or "".join(words) in _NOTHING
        or (len(words) > 1 and (words[0] in _DEMANDS or words[-1] == "here"))
        or (words[0].startswith("your") and words[0][4:].removesuffix("s") in _NAMES)
    ):
        return "It looks like a placeholder; put the credential in its place."
    return ""
