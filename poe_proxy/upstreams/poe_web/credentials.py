"""One item of `TOKENS`: the cookies of one Poe account."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote

_COOKIE_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
#: A valid value of a cookie, RFC 6265 §4.1.1.
_COOKIE_VALUE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+")
#: Says that a challenge was passed: by one address, with one browser.
_CLEARANCE = "cf_clearance"
_FORMKEY = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, eq=False)
class Credentials:
    """The cookies of one account, values exactly as given, and a form key if one is known.

    Equal if they are of the same account, percent-encoded or not.
    """

    cookies: Mapping[str, str] = field(repr=False)
    formkey: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a bare `p-b` value, or a list such as `p-b=...; p-lat=...; formkey=...`.

        Raises ValueError with a sentence that does not repeat the value.
        """
        text = re.sub(r"\A\s*cookie:", "", text, flags=re.IGNORECASE).strip()
        # A bare value may end in the padding of base64.
        if not re.match(r"p-b=|[\w-]+=[^=]", text):
            text = f"p-b={text}"
        cookies: dict[str, str] = {}
        for pair in filter(None, (part.strip() for part in text.split(";"))):
            name, _, value = pair.partition("=")
            name, value = name.strip(), value.strip().strip('"')
            if not _COOKIE_NAME.fullmatch(name) or not _COOKIE_VALUE.fullmatch(value):
                raise ValueError("It must be a p-b cookie, or a list such as p-b=...; p-lat=...")
            cookies[name] = value
        formkey = cookies.pop("formkey", None)
        if "p-b" not in cookies:
            raise ValueError("There is no p-b cookie in it.")
        if formkey is not None and not _FORMKEY.fullmatch(formkey):
            raise ValueError("Its formkey must be 32 characters of 0-9 and a-f.")
        return cls(cookies, formkey)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Credentials) and self.secret == other.secret

    def __hash__(self) -> int:
        return hash(self.secret)

    @property
    def secret(self) -> str:
        """The `p-b`, decoded: the same in all its spellings. It names the account."""
        return unquote(self.cookies["p-b"])

    @property
    def is_of_one_address(self) -> bool:
        """Whether Poe takes them only from the address that they were issued to (§4.1)."""
        return _CLEARANCE in self.cookies

    @property
    def device(self) -> str:
        """The id of the device that this account is used from, a UUID (§10.1, §25).

        Derived, so that it is one for each account, and the same after a restart. There is no way
        back from it to the cookie.
        """
        digest = hashlib.sha256(f"device\0{self.secret}".encode()).digest()
        return str(uuid.UUID(bytes=digest[:16], version=4))
