"""The switches of the web face, which ``POST /__control`` turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields


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


_CHOICES: Mapping[str, Sequence[str]] = {
    "mode": ("strict", "lenient"),
    "tag_mode": ("either", "plain", "swapped"),
    "challenge": ("off", "on", "clearance"),
    "set_cookie": ("same", "new", "twice", "none"),
    "stale_answer": ("Server Error", "PersistedQueryNotFound"),
    "jwt_form": ("plain", "quoted", "json", "nested"),
    "upload_endpoint": ("finish", "gql"),
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
    return None
