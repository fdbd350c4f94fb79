"""A logged-in session with poe.com: cookies, form key, revision, and the requests made with them.

Web protocol sheet §4 to §6, §8 and §17.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError

from poe_proxy.errors import (
    UpstreamError,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUncertain,
    UpstreamUnreachable,
)
from poe_proxy.upstreams.poe_web import formkey, graphql
from poe_proxy.upstreams.poe_web.credentials import Credentials
from poe_proxy.upstreams.poe_web.graphql import StaleSession
from poe_proxy.upstreams.poe_web.pages import ChannelData, Page, find_revision, formkey_program
from poe_proxy.upstreams.poe_web.site import Site

log = logging.getLogger(__name__)

#: Poe may renew these; what else it sets is of no use to us.
_RENEWED = frozenset({"p-b", "p-lat", "__cf_bm"})


class Session:
    """One account's requests to poe.com. May be used by several threads at once."""

    def __init__(
        self, credentials: Credentials, site: Site, *, url: str, proxy: str | None, label: str
    ) -> None:
        self._site = site
        self._url = url
        self._label = label
        self._cookies = dict(credentials.cookies)
        self._given_formkey = credentials.formkey
        self._formkey = credentials.formkey or ""
        self._revision: str | None = None
        self.channel_name = ""
        self._refreshing = threading.Lock()
        self._freshness = 0
        self._http = requests.Session()
        self._http.trust_env = False
        # The cookies of an account are sent by hand, to Poe's own host alone.
        self._http.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._http.headers.clear()
        self._http.headers.update(site.headers)
        adapter = HTTPAdapter(pool_connections=4, pool_maxsize=64, max_retries=0)
        self._http.mount("https://", adapter)
        self._http.mount("http://", adapter)
        if proxy is not None:
            self._http.proxies = {"http": proxy, "https": proxy}

    # ---- pages

    def log_in(self) -> ChannelData:
        """Read the home page: whether the cookie is good, the form key, a channel.

        Raises `TokenRejected` if it is not, or another `UpstreamError`.
        """
        status, headers, content = self._ask("GET", "/", reading=True)
        graphql.refuse_page(status, headers, content[:4000].decode("utf-8", "replace"))
        if status != 200:
            raise UpstreamOverloaded(f"Poe's home page answers {status}.")
        page = Page.read(content.decode("utf-8", "replace"), f"{self._url}/", self._site)
        app = self._scripts(page)
        self._revision = find_revision(page, app, self._site)
        if self._given_formkey is None:
            program = formkey_program(page, app, self._site)
            self._formkey = formkey.evaluate(program, self._site.limits.script)
        self._freshness += 1
        log.info("%s: logged in", self._label)
        return page.channel or self.channel_data()

    def channel_data(self) -> ChannelData:
        """Ask for a new channel, which is lighter than the page."""
        status, headers, content = self._ask("GET", "/api/settings", reading=True)
        graphql.refuse_page(status, headers, content[:4000].decode("utf-8", "replace"))
        try:
            found = ChannelData.find(orjson.loads(content))
        except orjson.JSONDecodeError:
            found = None
        if found is None:
            raise UpstreamProtocolError("Poe names no channel for its websocket.")
        return found

    def _scripts(self, page: Page) -> str:
        texts = []
        for address in page.app_scripts:
            if urlsplit(address).scheme not in ("http", "https"):
                continue
            # Neither cookie nor any of Poe's headers: scripts come from a shared host.
            _, _, content = self._send("GET", address, {}, None, reading=True)
            texts.append(content.decode("utf-8", "replace"))
        return "\n".join(texts)

    def refresh(self, freshness: int) -> None:
        """Take a new form key and revision from the page, unless somebody did so since."""
        with self._refreshing:
            if self._freshness == freshness:
                # The channel of the page is not used: ours is open and subscribed (§25).
                self.log_in()

    # ---- operations

    def call(
        self, operation: str, variables: Mapping[str, Any], *, reading: bool = True
    ) -> dict[str, Any]:
        """Return the `data` of an operation.

        A refused form key or tag is renewed once, then the other form of the tag is tried:
        Poe did nothing, so the repeat is safe. What only reads is tried again when the
        answer was lost; what acts, never.

        Raises `UpstreamUncertain` if it acts and its answer was lost.
        """
        freshness = self._freshness
        try:
            return self._try(operation, variables, reading)
        except StaleSession as failure:
            log.info("%s: %s Renewing it.", self._label, failure)
        except UpstreamUncertain:
            if not reading:
                raise
            return self._try(operation, variables, reading)
        self.refresh(freshness)
        try:
            return self._try(operation, variables, reading)
        except StaleSession:
            form, self._site.tag.form = self._site.tag.form, self._site.tag.other_form
            try:
                return self._try(operation, variables, reading)
            except StaleSession as failure:
                self._site.tag.form = form
                raise UpstreamProtocolError(str(failure)) from None

    def _try(self, operation: str, variables: Mapping[str, Any], reading: bool) -> dict[str, Any]:
        site = self._site
        payload = graphql.body(operation, variables, site)
        headers = {
            **self._poe_headers(),
            "Content-Type": "application/json",
            "Poe-Tchannel": self.channel_name,
            "poe-queryname": operation,
            "poegraphql": "1",
            "poe-tag-id": graphql.tag(payload, self._formkey, site.tag.salt, site.tag.form),
        }
        if self._revision:
            headers["Poe-Revision"] = self._revision
        answer = self._ask("POST", "/api/gql_POST", headers, payload, reading=reading)
        return graphql.read_answer(operation, site, *answer)

    def _poe_headers(self) -> dict[str, str]:
        return {
            "Accept": "*/*",
            "Origin": self._url,
            "Referer": f"{self._url}/",
            "Poe-Formkey": self._formkey,
        }

    # ---- the wire

    def _ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        payload: bytes | None = None,
        *,
        reading: bool,
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Ask poe.com itself, with the account's cookies; take those that it renews."""
        cookie = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        return self._send(
            method,
            self._url + path,
            {**(headers or {}), "Cookie": cookie},
            payload,
            reading=reading,
        )

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        payload: bytes | None,
        *,
        reading: bool,
    ) -> tuple[int, Mapping[str, str], bytes]:
        limit = self._site.limits.http
        try:
            answer = self._http.request(
                method,
                url,
                headers=dict(headers),
                data=payload,
                timeout=(min(10.0, limit), limit),
                allow_redirects=False,
            )
        except requests.RequestException as failure:
            raise _failure(failure, reading=reading) from None
        if answer.status_code == 200 and "Cookie" in headers:
            for cookie in answer.cookies:
                if cookie.name in _RENEWED and cookie.value:
                    self._cookies[cookie.name] = cookie.value
        return answer.status_code, answer.headers, answer.content

    def close(self) -> None:
        """Close the pooled connections."""
        self._http.close()


def _failure(failure: requests.RequestException, *, reading: bool) -> UpstreamError:
    """Return what an exception of requests means; its text is not repeated, it has addresses."""
    inner = failure.args[0] if failure.args else None
    reason = getattr(inner, "reason", inner)
    kind = type(reason).__name__ if isinstance(reason, Exception) else type(failure).__name__
    if isinstance(failure, requests.ConnectTimeout | requests.exceptions.ProxyError) or isinstance(
        reason, NewConnectionError | ConnectTimeoutError | ProxyError
    ):
        return UpstreamUnreachable(f"Poe cannot be reached ({kind}).")
    if isinstance(failure, requests.exceptions.SSLError):
        return UpstreamUnreachable("Poe cannot be reached: its certificate is not accepted.")
    if isinstance(failure, requests.ReadTimeout) and reading:
        return UpstreamTimeout("Poe did not answer in time.")
    return UpstreamUncertain(f"The connection to Poe broke before it answered ({kind}).")
