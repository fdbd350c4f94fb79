"""poe.com with scripts that have artefacts, seen by one account; no socket."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from poe_proxy.errors import UpstreamError
from poe_proxy.upstreams.poe_web import graphql
from poe_proxy.upstreams.poe_web.credentials import Credentials
from poe_proxy.upstreams.poe_web.current import CurrentSite
from poe_proxy.upstreams.poe_web.discovery.artefacts import subscription_operation
from poe_proxy.upstreams.poe_web.front import Front
from poe_proxy.upstreams.poe_web.site import Site
from poe_proxy.upstreams.poe_web.transport import MAX_ANSWER, Response

from ..fixtures import APP, DECODER, GETTER, KEY, page

_BUILT_IN = Site.load()
#: What is known; a second try comes at once.
SITE = replace(_BUILT_IN, limits=replace(_BUILT_IN.limits, retry=0.001))

URL = "https://poe.com"
COOKIE = "gIvEn0cOoKiE"
CDN = "https://psc2.cf2.poecdn.net/assets/_next/"
APP_SCRIPT = f"{CDN}static/chunks/pages/_app-2222222222222222.js"
RUNTIME = f"{URL}/_next/static/chunks/webpack-1111111111111111.js"
MANIFEST = f"{URL}/_next/static/bUiLdBuIlD/_buildManifest.js"
SIGNER = "sIgNeRsIgNeR12345"
SIGNS = f"let getAPISig=(n,k,b)=>window.{SIGNER}(n,k,b);"


def signer(salt: str = SITE.tag.salt) -> str:
    """The page's function for the tag."""
    return f'window.{SIGNER}=function(m,k,b){{return m(b+k+"{salt}")}}'


def html(
    *scripts: str, inline: str = "", getter: str = GETTER, signed: str | None = None, **other: Any
) -> str:
    """A page that names further *scripts*, and has more code of its own."""
    blocks = "".join(
        f"<script>{one}</script>"
        for one in (DECODER, getter, signer() if signed is None else signed, inline)
        if one
    )
    named = "".join(f'<script src="{one}" defer></script>' for one in scripts)
    return page(scripts=blocks + named, **other)


def artefact(name: str, hash: str) -> str:
    return f'params:{{id:"{hash}",metadata:{{}},name:"{name}",operationKind:"query",text:null}}'


def artefacts(site: Site = SITE, *but: str) -> str:
    """Those of all that *site* has, *but* for some."""
    hashes = {
        **site.operations,
        **{subscription_operation(name): hash for name, hash in site.subscriptions.items()},
    }
    return "".join(
        f"e[{place}]={{{artefact(name, hash)}}};"
        for place, (name, hash) in enumerate(hashes.items())
        if name not in but
    )


class Poe(Front):
    """An account's way to a Poe that a test changes: its page, its scripts, and what it takes."""

    def __init__(self, label: str = "cookie-1", site: CurrentSite | None = None) -> None:
        super().__init__(
            Credentials.parse(f"p-b={COOKIE}"),
            site or CurrentSite(SITE),
            url=URL,
            proxy=None,
            label=label,
        )
        self.html = html()
        #: By their addresses; a failure is raised.
        self.scripts: dict[str, str | UpstreamError] = {
            APP_SCRIPT: APP + SIGNS + artefacts(),
            RUNTIME: ";",
            MANIFEST: ";",
        }
        #: What the wire takes.
        self.site = SITE
        self.form: str | None = None
        self.key = KEY
        self.refuses_stale_subscriptions = True
        #: Cookies that it sets, by what is asked.
        self.issued: dict[str, Mapping[str, str]] = {}
        #: What answers in place of it.
        self.answer: Callable[[str], Response | None] = lambda _: None
        self.when_read: Callable[[], object] = lambda: None
        #: All that was asked: paths, operations, scripts.
        self.asked: list[str] = []
        self.read: list[str] = []
        #: How many bytes each script might have, and seconds it might take.
        self.bounds: list[tuple[int, float | None]] = []
        self.subscribed: list[tuple[str, tuple[str, ...]]] = []

    def script(self, address: str, at_most: int, limit: float | None = None) -> tuple[str, int]:
        self.read.append(address)
        self.bounds.append((at_most, limit))
        self.when_read()
        text = self.scripts.get(address, "")
        if isinstance(text, UpstreamError):
            raise text
        return text, len(text)

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        payload: bytes | None = None,
        *,
        reading: bool,
        limit: float | None = None,
        at_most: int = MAX_ANSWER,
        when_answered: Callable[[], None] = lambda: None,
    ) -> Response:
        name = path if payload is None else str(json.loads(payload)["queryName"])
        self.asked.append(name)
        status, content = 200, b""
        if (given := self.answer(name)) is not None:
            return given
        if path == "/":
            content = self.html.encode()
        elif payload is None:
            status = 404
        else:
            assert headers is not None
            status, content = self._operation(headers, payload)
        return Response(status, {}, content, self.issued.get(name, {}))

    def _operation(self, headers: Mapping[str, str], payload: bytes) -> tuple[int, bytes]:
        tags = {
            form: graphql.tag(payload, self.key, self.site.tag, form)
            for form in ("plain", "swapped")
            if self.form in (None, form)
        }
        if headers["Poe-Formkey"] != self.key or headers["poe-tag-id"] not in tags.values():
            return 400, b"{}"
        asked = json.loads(payload)
        name, hash = asked["queryName"], asked["extensions"]["hash"]
        is_known = self.site.operations.get(name) == hash
        if name == "subscriptionsMutation" and is_known:
            given = {
                one["subscriptionName"]: one["queryHash"]
                for one in asked["variables"]["subscriptions"]
            }
            self.subscribed.append((headers["Poe-Tchannel"], tuple(given)))
            is_known = not self.refuses_stale_subscriptions or all(
                self.site.subscriptions.get(one) == hash for one, hash in given.items()
            )
        answer = {"data": {"ok": 1}} if is_known else UNKNOWN
        return 200, json.dumps(answer).encode()


UNKNOWN = {"data": None, "errors": [{"message": "PersistedQueryNotFound"}]}
