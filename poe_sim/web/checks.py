"""The checks of requests, web protocol sheet §22.2, in its order."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import orjson
from aiohttp import web

from ..directives import number
from . import faults, hashes
from .objects import Account
from .switches import SALT
from .world import Fault, World

_LIBRARY_AGENT = re.compile(
    r"^\s*$|python-|urllib|aiohttp|httpx|curl/|wget/|go-http-client|okhttp|node-fetch|axios|"
    r"java/|libwww|\bbot\b",
    re.IGNORECASE,
)
_SPARED = ("/_next/static/", "/up/")
_REVISION = re.compile(r"[0-9a-f]{40}")


def tag_of(
    body: bytes,
    formkey: str,
    *,
    swapped: bool = False,
    salt: str = SALT,
    order: str = "body formkey salt",
) -> str:
    """Return the `poe-tag-id` of a body, web protocol sheet §6; *order* is that of its parts."""
    parts = {"body": body, "formkey": formkey.encode(), "salt": salt.encode()}
    joined = b"".join(parts[name] for name in order.split())
    tag = hashlib.md5(joined, usedforsecurity=False).hexdigest()
    if not swapped:
        return tag
    characters = list(tag)
    characters[20], characters[24] = characters[24], characters[20]
    return "".join(characters)


def tokens_of(request: web.Request) -> list[str]:
    """Return all `p-b` cookies of the request; some clients send two."""
    found: list[str] = []
    for header in request.headers.getall("Cookie", []):
        for pair in header.split(";"):
            name, _, value = pair.strip().partition("=")
            if name == "p-b":
                found.append(value.strip('"'))
    return found


def has_cookie(request: web.Request, name: str) -> bool:
    """Return whether the request has a cookie of that name."""
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

    def check_client(self) -> None:
        """Raise `Refused` for HTTP libraries and, while the challenge is on, for all clients."""
        switches = self.world.switches
        agent = self.request.headers.get("User-Agent", "")
        # Some clients fetch scripts and open the websocket without a browser's headers.
        is_spared = not self.world.is_strict and self.request.path.startswith(_SPARED)
        if switches.check_user_agent and not is_spared and _LIBRARY_AGENT.search(agent):
            raise faults.challenge()
        if switches.challenge == "on" or (
            switches.challenge == "clearance" and not has_cookie(self.request, "cf_clearance")
        ):
            raise faults.challenge()

    def cookie(self) -> Account | None:
        """Return the account of the request's cookie, or None."""
        tokens = tokens_of(self.request)
        self.account = self.world.account_of(tokens)
        if self.account is not None:
            self.entry["account"] = self.account.label
        self.entry["cookie"] = "ok" if self.account else "bad" if tokens else "missing"
        return self.account

    def required_cookie(self) -> Account:
        """Return the account of the request's cookie. Raises `Refused` if there is none."""
        account = self.cookie()
        if account is None:
            raise faults.bad_request(f"{self.entry['cookie']} cookie")
        return account

    def check_formkey(self, account: Account) -> None:
        """Raise `Refused` unless the form key is the account's."""
        given = self.request.headers.get("Poe-Formkey")
        self.entry["formkey"] = (
            "missing" if given is None else "ok" if given == account.formkey else "bad"
        )
        if self.entry["formkey"] != "ok":
            raise faults.bad_request(f"{self.entry['formkey']} formkey")

    def check_tag(self, body: bytes, account: Account) -> None:
        """Raise `Refused` unless the tag is that of the body."""
        given = self.request.headers.get("poe-tag-id")
        switches = self.world.switches
        accepted: dict[str, str] = {}
        for form in ("swapped", "plain"):
            if switches.tag_mode in ("either", form):
                tag = tag_of(
                    body,
                    account.formkey,
                    swapped=form == "swapped",
                    salt=switches.salt,
                    order=switches.tag_order,
                )
                accepted[tag] = form
        self.entry["tag"] = "missing" if given is None else "ok" if given in accepted else "bad"
        if given is None or given not in accepted:
            raise faults.bad_request(f"{self.entry['tag']} tag")
        self.entry["tagForm"] = accepted[given]

    def note_host(self) -> None:
        """Note the host that a script is asked for at, and what does not belong there: scripts of
        another host than the page's are fetched without cookies and Poe's headers (§5.6)."""
        self.entry["host"] = self.request.host
        names = {name.lower() for name in self.request.headers}
        if self.world.switches.script_host and any(
            name == "cookie" or name.startswith(("poe-", "poegraphql")) for name in names
        ):
            self.entry["verdict"] = "cookie at the scripts' host"

    def check_json_type(self) -> None:
        """Raise `Refused` unless the body is declared as JSON."""
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

    def check_headers(self, name: str) -> None:
        """Raise `Refused` unless the headers name the query and the build, sheet §4.2."""
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

    async def play_fault(self, query_name: str | None) -> Fault | None:
        """Wait, and raise `Refused`, as the control's fault for this request demands; return it."""
        fault = self.take_fault(query_name)
        if fault is not None:
            await asyncio.sleep(number(fault.words, "slow", 0.0))
            refused = faults.from_words(fault.words)
            if refused is not None:
                raise refused
        return fault

    def take_fault(self, query_name: str | None) -> Fault | None:
        """Return the control's fault for this request and count it as played, or None."""
        label = self.account.label if self.account else None
        for fault in self.world.faults:
            if (
                fault.query_name == query_name
                and (fault.path is None or fnmatchcase(self.request.path, fault.path))
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
    ``?`` behind it if it may be null. A mark in front of the kind says when the variable is
    there: ``=`` always, ``+`` perhaps, ``~`` from older clients only. Without a mark today's
    browser always sends it, and other clients may leave it out.
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
