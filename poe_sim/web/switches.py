"""The switches of the web face, which ``POST /__control`` turns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import permutations

from .builds import Look

# The salt of the tag, web protocol sheet §6.
SALT = "4LxgHM6KpFqokX0Ox"


@dataclass(slots=True)
class Switches:
    """The switches and their defaults; `poe_sim/README.md` explains each."""

    mode: str = "strict"
    tag_mode: str = "either"
    base_host: str = ""
    pace: float = 0.03
    max_concurrent: int = 3
    rate_limit: int = 0
    ring_size: int = 2_000
    challenge: str = "off"
    check_user_agent: bool = True
    check_revision: bool = False
    settings_need_login: bool = False
    page_without_channel: bool = False
    settings_without_channel: bool = False
    salt: str = SALT
    tag_order: str = "body formkey salt"
    tag_function: str = "md5"
    getter_shape: str = "function"
    getter_named: bool = True
    getter_in: str = "inline"
    revision_in: str = "app"
    markup: str = "next"
    chunk_names: str = "next"
    script_host: str = ""
    artefact_form: str = "poe"
    manifest_form: str = "object"
    stale_subscription: str = "skip"
    codenames_in_bot_info: bool = True
    close_replaced: bool = False
    set_cookie: str = "same"
    stale_answer: str = "Server Error"
    jwt_form: str = "plain"
    upload_limit: int = 350_000_000
    upload_endpoint: str = "finish"
    media_host: str = "https://pfst.cf2.poecdn.net"
    server_ping: float = 0.0
    answer_pings: bool = True
    unknown_bots: list[str] = field(default_factory=list)
    own_bots: list[str] = field(default_factory=list)

    def look(self) -> Look:
        """Return how pages and scripts are written now."""
        return Look(**{entry.name: getattr(self, entry.name) for entry in fields(Look)})


_CHOICES: Mapping[str, Sequence[str]] = {
    "mode": ("strict", "lenient"),
    "tag_mode": ("either", "plain", "swapped"),
    "tag_order": tuple(map(" ".join, permutations(("body", "formkey", "salt")))),
    "tag_function": ("md5", "nonce", "hidden", "none"),
    "getter_shape": ("function", "arrow", "bracket", "defined"),
    "getter_in": ("inline", "script"),
    "revision_in": ("app", "chunk"),
    "markup": ("next", "flight", "attributes"),
    "chunk_names": ("next", "opaque"),
    "artefact_form": ("poe", "relay"),
    "manifest_form": ("object", "function"),
    "stale_subscription": ("skip", "error"),
    "challenge": ("off", "on", "clearance"),
    "set_cookie": ("same", "new", "twice", "none"),
    "stale_answer": ("Server Error", "PersistedQueryNotFound"),
    "jwt_form": ("plain", "quoted", "json", "nested"),
    "upload_endpoint": ("finish", "gql"),
}
# Texts that become a part of the page's code.
_FORMS: Mapping[str, re.Pattern[str]] = {
    "salt": re.compile(r"[A-Za-z0-9]{1,100}"),
    "script_host": re.compile(r"(https?://[A-Za-z0-9.:\[\]-]{1,200})?"),
}


def switch_error(name: str, value: object) -> str | None:
    """Return what is wrong with *value* for the switch *name*, or None."""
    kinds: Mapping[str, tuple[type, ...]] = {
        "str": (str,),
        "float": (int, float),
        "int": (int,),
        "bool": (bool,),
        "list[str]": (list,),
    }
    known = {entry.name: str(entry.type) for entry in fields(Switches)}
    kind = known[name]
    if not isinstance(value, kinds[kind]) or (kind != "bool" and isinstance(value, bool)):
        return f"{name} takes a {kind}"
    if name in _CHOICES and value not in _CHOICES[name]:
        return f"{name} is one of {', '.join(_CHOICES[name])}"
    if name in _FORMS and not _FORMS[name].fullmatch(str(value)):
        return f"{name} must match {_FORMS[name].pattern}"
    return None
