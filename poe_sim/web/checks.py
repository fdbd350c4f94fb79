"""The checks of web protocol sheet §22.2, in its order."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from ..directives import number
from . import faults, hashes
from .objects import Account
from .world import Fault, World

SALT = "4LxgHM6KpFqokX0Ox"

_LIBRARY_AGENT = re.compile(
    r"^\s*$|python-|urllib|aiohttp|httpx|curl/|wget/|go-http-client|okhttp|node-fetch|axios|"
    r"java/|libwww|\bbot\b",
    re.IGNORECASE,
)
_SPARED = ("/_next/static/", "/up/")
_REVISION = re.compile(r"[0-9a-f]{40}")


def tag_of(body: bytes, formkey: str, *, swapped: bool = False, salt: str = SALT) -> str:
    """Return the `poe-tag-id` of a body, web protocol sheet §6."""
    digest = hashlib.md5(body + formkey.encode() + salt.encode(), usedforsecurity=False)
    tag = digest.hexdigest()
    if not swapped:
        return tag
    characters = list(tag)
    characters[20], characters[24] = characters[24], characters[20]
    return "".join(characters)


def tokens_of(request: web.Request) -> list[str]:
    """Return every `p-b` of the request; foreign clients may send two."""
    found: list[str] = []
    for header in request.headers.getall("Cookie", []):
        for pair in header.split(";"):
            name, _, value = pair.strip().partition("=")
            if name == "p-b":
                found.append(value.strip('"'))
    return found


def has_cookie(request: web.Request, name: str) -> bool:
    """Whether the request carries a cookie of that name."""
    return any(
        pair.strip().partition("=")[0] == name
        for header in request.headers.getall("Cookie", [])
        for pair in header.split(";")
    )


@dataclass(slots=True)
class Visit:
    """One request on its way through the checks, and its entry in the journal."""

    world: World
    request: web.Request
    entry: dict[str, Any]
    account: Account | None = None

    def user_agent_unless_spared(self) -> None:
        """Turn away libraries and, when the challenge is on, everybody."""
        switches = self.world.switches
        agent = self.request.headers.get("User-Agent", "")
        # Foreign clients fetch scripts and open the websocket without a browser's headers.
        is_spared = not self.world.is_strict and self.request.path.startswith(_SPARED)
        if switches.check_user_agent and not is_spared and _LIBRARY_AGENT.search(agent):
            raise faults.challenge()
        if switches.challenge == "on" or (
            switches.challenge == "clearance" and not has_cookie(self.request, "cf_clearance")
        ):
            raise faults.challenge()

    def cookie(self) -> Account | None:
        """Find out whose request it is."""
        tokens = tokens_of(self.request)
        self.account = self.world.account_of(tokens)
        if self.account is not None:
            self.entry["account"] = self.account.label
        self.entry["cookie"] = "ok" if self.account else "bad" if tokens else "missing"
        return self.account

    def required_cookie(self) -> Account:
        """Find out whose request it is, or refuse it."""
        account = self.cookie()
        if account is None:
            raise faults.bad_request(f"{self.entry['cookie']} cookie")
        return account

    def formkey(self, account: Account) -> None:
        """Compare the form key with the account's."""
        given = self.request.headers.get("Poe-Formkey")
        self.entry["formkey"] = (
            "missing" if given is None else "ok" if given == account.formkey else "bad"
        )
        if self.entry["formkey"] != "ok":
            raise faults.bad_request(f"{self.entry['formkey']} formkey")

    def tag(self, body: bytes, account: Account) -> None:
        """Compare the tag with that of the bytes that came."""
        given = self.request.headers.get("poe-tag-id")
        mode = self.world.switches.tag_mode
        accepted: dict[str, str] = {}
        if mode in ("either", "swapped"):
            accepted[tag_of(body, account.formkey, swapped=True)] = "swapped"
        if mode in ("either", "plain"):
            accepted[tag_of(body, account.formkey)] = "plain"
        self.entry["tag"] = "missing" if given is None else "ok" if given in accepted else "bad"
        if given is None or given not in accepted:
            raise faults.bad_request(f"{self.entry['tag']} tag")
        self.entry["tagForm"] = accepted[given]

    def json_type(self) -> None:
        """Insist on a JSON body."""
        if self.request.content_type != "application/json":
            raise faults.bad_request("bad content type")

    def envelope(self, body: bytes) -> tuple[str, dict[str, Any], str]:
        """Return name, variables and hash of a GraphQL request, web protocol sheet §8."""
        try:
            parsed = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise faults.bad_request("bad JSON") from None
        match parsed:
            case {
                "queryName": str(name),
                "variables": dict(variables),
                "extensions": {"hash": str(value)},
            }:
                known = value in hashes.KNOWN
                self.entry.update(queryName=name, hash=value, hashKnown=known)
                return name, variables, value
        raise faults.bad_request("bad envelope")

    def strict_headers(self, name: str) -> None:
        """Check the headers that name and number the query, web protocol sheet §4.2."""
        headers, world = self.request.headers, self.world
        label = headers.get("poe-queryname")
        if label != name and (label is not None or world.is_strict):
            raise faults.bad_request("bad poe-queryname" if label else "missing poe-queryname")
        revision = headers.get("Poe-Revision")
        if world.is_strict:
            if headers.get("poegraphql") not in ("0", "1"):
                raise faults.bad_request("bad poegraphql")
            if revision is None or not _REVISION.fullmatch(revision):
                raise faults.bad_request("bad poe-revision")
        if world.switches.check_revision and revision != world.build.revision:
            raise faults.bad_request("old poe-revision")

    def play_fault(self, fault: Fault | None) -> float:
        """Do what the control put in the way; return the seconds to wait before going on."""
        if fault is None:
            return 0.0
        refused = faults.from_words(fault.words)
        if refused is not None:
            raise refused
        return number(fault.words, "slow", 0.0)

    def take_fault(self, query_name: str | None) -> Fault | None:
        """Return the fault that waits for this request, and count it as played."""
        label = self.account.label if self.account else None
        for fault in self.world.faults:
            if (
                fault.query_name == query_name
                and fault.path in (None, self.request.path)
                and fault.account in (None, label)
            ):
                fault.times -= 1
                if fault.times <= 0:
                    self.world.faults.remove(fault)
                return fault
        return None


def variables_error(
    variables: Mapping[str, Any], schema: Mapping[str, str], *, is_strict: bool
) -> str | None:
    """Return what is wrong with the variables of an operation, or None.

    A schema maps each variable to its kind: ``int``, ``str``, ``bool``, ``list``, ``dict``, with
    ``?`` behind it when it may be null. In front of the kind stands ``=`` when it must always be
    there, ``+`` when it may be missing, ``~`` when only older clients send it; without a mark
    it is what today's browser always sends, and others may leave out.
    """
    for name, value in variables.items():
        rule = schema.get(name)
        if rule is None or (is_strict and rule.startswith("~")):
            return f"unknown variable {name}"
        kind = rule.lstrip("=+~")
        if not _fits(value, kind):
            return f"bad variable {name}"
    for name, rule in schema.items():
        is_needed = rule.startswith("=") or (is_strict and rule[0] not in "+~")
        if is_needed and name not in variables:
            return f"missing variable {name}"
    return None


_KINDS: Mapping[str, type] = {"int": int, "str": str, "bool": bool, "list": list, "dict": dict}


def _fits(value: Any, kind: str) -> bool:
    if value is None:
        return kind.endswith("?")
    plain = kind.rstrip("?")
    # In Python a bool is an int; in JSON it is not.
    if isinstance(value, bool):
        return plain == "bool"
    return isinstance(value, _KINDS[plain])
