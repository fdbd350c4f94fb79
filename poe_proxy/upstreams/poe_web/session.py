"""A logged-in session with poe.com: cookies, form key, revision, and the requests made with them.

Web protocol sheet §4 to §6, §8, §16 and §17.
"""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import orjson
import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError
from urllib3.filepost import encode_multipart_formdata

from poe_proxy.errors import (
    TokenRejected,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUncertain,
    UpstreamUnreachable,
)
from poe_proxy.upstreams.poe_web import formkey, graphql
from poe_proxy.upstreams.poe_web.attachments import Attachment, read_ticket
from poe_proxy.upstreams.poe_web.credentials import Credentials
from poe_proxy.upstreams.poe_web.graphql import ServerError, StaleSession, StillRefused
from poe_proxy.upstreams.poe_web.pages import ChannelData, Page, find_revision, formkey_program
from poe_proxy.upstreams.poe_web.site import Site, TagForm

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Poe may renew these; what else it sets is of no use to us.
_RENEWED: Final = frozenset({"p-b", "p-lat", "__cf_bm"})
#: Bytes of one answer; the home page has some five million.
_LONGEST_ANSWER: Final = 32_000_000
#: The scripts of one page that are looked through for the secret.
_MOST_SCRIPTS: Final = 3
#: How often a page is asked for that does not come.
_TRIES: Final = 3


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """What the page gives for the requests to come."""

    formkey: str = field(repr=False)
    revision: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)
    #: Cookies that it sets.
    cookies: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def text(self) -> str:
        """The beginning, for a look at what it is."""
        return self.content[:4000].decode("utf-8", "replace")


class Session:
    """One account's requests to poe.com. May be used by several threads at once."""

    def __init__(
        self, credentials: Credentials, site: Site, *, url: str, proxy: str | None, label: str
    ) -> None:
        self._site = site
        self._url = url.rstrip("/")
        self._label = label
        self._given = credentials
        self._cookies: Mapping[str, str] = dict(credentials.cookies)
        self._keys = Keys(credentials.formkey or "", None)
        self._refreshing = threading.Lock()
        self.channel_name = ""
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

    def log_in(self, *, trusts_given_formkey: bool = True) -> ChannelData:
        """Read the home page: whether the cookie is good, the form key, a channel.

        Raises `TokenRejected` if it is not, or another `UpstreamError`.
        """
        try:
            answer = self._read_page("/")
        except TokenRejected:
            if self._cookies == self._given.cookies:
                raise
            log.info("%s: the renewed cookie is not accepted; trying the given one", self._label)
            self._cookies = dict(self._given.cookies)
            answer = self._read_page("/")
        html = answer.content.decode("utf-8", "replace")
        page = Page.read(html, f"{self._url}/", self._site)
        given = self._given.formkey if trusts_given_formkey else None
        try:
            app = self._scripts(page)
        except UpstreamError:
            # With a form key in hand they are good for no more than the revision.
            if given is None:
                raise
            app = ""
        if given is None:
            program = formkey_program(page, app, self._site)
            given = formkey.evaluate(program, self._site.limits.script)
        self._keys = Keys(given, find_revision(page, app, self._site))
        self._adopt(answer)
        log.info("%s: logged in, build %r", self._label, page.build_id[:40])
        return page.channel or self.channel_data()

    def channel_data(self) -> ChannelData:
        """Ask for a new channel, which is lighter than the page."""
        # Strangers get an answer as well, so a cookie that comes with it may be a stranger's.
        answer = self._read_page("/api/settings")
        try:
            found = ChannelData.find(orjson.loads(answer.content))
        except orjson.JSONDecodeError:
            found = None
        if found is None:
            raise UpstreamProtocolError("Poe names no channel for its websocket.")
        return found

    def _read_page(self, path: str) -> Answer:
        for tries_left in reversed(range(_TRIES)):
            try:
                answer = self._ask("GET", path, reading=True)
                graphql.refuse_page(answer.status, answer.headers, answer.text)
                if answer.status == 200:
                    return answer
                failure = UpstreamOverloaded(f"Poe answers {path} with {answer.status}.")
                if answer.status < 500:
                    raise UpstreamProtocolError(f"Poe refuses {path} with {answer.status}.")
            except UpstreamUncertain as broken:
                # Nothing was asked for that costs anything.
                failure = UpstreamOverloaded(broken.message)
            if tries_left:
                time.sleep(self._site.limits.retry)
        raise failure

    def _scripts(self, page: Page) -> str:
        """Return the text of the scripts that may hold the form key's secret."""
        secure = urlsplit(self._url).scheme == "https"
        texts = []
        for address in page.app_scripts[:_MOST_SCRIPTS]:
            if urlsplit(address).scheme not in (("https",) if secure else ("http", "https")):
                continue
            # Neither cookie nor any of Poe's headers: scripts come from a shared host.
            answer = self._send("GET", address, {}, None, reading=True)
            if answer.status == 200:
                texts.append(answer.content.decode("utf-8", "replace"))
        return "\n".join(texts)

    def refresh(self, keys: Keys) -> None:
        """Take a new form key and revision from the page in place of *keys*, unless somebody
        did so since."""
        with self._refreshing:
            if self._keys is keys:
                # The channel of the page is not used: ours is open and subscribed (§25).
                self.log_in(trusts_given_formkey=False)

    # ---- operations

    def call(
        self,
        operation: str,
        variables: Mapping[str, Any],
        *,
        reading: bool = True,
        channel: str | None = None,
        files: Sequence[Attachment] = (),
        may_repeat: Callable[[], bool] = lambda: True,
    ) -> dict[str, Any]:
        """Return the `data` of an operation.

        What Poe refuses for its form key or tag is repeated with new ones, as long as
        *may_repeat* agrees. What only reads is tried again when the answer was lost; what
        acts, never.

        Raises `UpstreamUncertain` if it acts and its answer was lost.
        """

        def attempt(form: TagForm) -> dict[str, Any]:
            payload = graphql.body(operation, variables, self._site)
            answer = self._post(operation, payload, form, channel, files, reading)
            data = graphql.read_answer(
                operation, self._site, answer.status, answer.headers, answer.content
            )
            self._adopt(answer)
            return data

        if reading:
            return self._twice(operation, lambda: self._renewing(attempt, may_repeat))
        return self._renewing(attempt, may_repeat)

    def upload(self, file: Attachment) -> str:
        """Give *file* to Poe, and return the ticket by which messages name it (§16.2)."""

        def attempt(_: TagForm) -> str:
            payload, kind = encode_multipart_formdata([("file", (file.name, file.data, file.kind))])
            answer = self._ask(
                "POST",
                "/api/finish_upload_POST",
                {**self._poe_headers(self._keys), "Content-Type": kind},
                payload,
                reading=True,
                limit=self._site.limits.upload,
            )
            graphql.refuse_page(answer.status, answer.headers, answer.text)
            if answer.status in (400, 401, 403):
                raise StaleSession("a file", answer.status)
            if answer.status != 200:
                raise UpstreamUncertain(f"Poe answered a file with {answer.status}.")
            return read_ticket(answer.content)

        # Nobody is harmed by a file that is given twice.
        return self._twice(None, lambda: self._renewing(attempt, lambda: True))

    def _twice(self, operation: str | None, ask: Callable[[], T]) -> T:
        """Ask again if the answer was lost, when nothing but an answer is wanted."""
        try:
            return ask()
        except UpstreamUncertain as failure:
            log.info("%s: %s Asking again.", self._label, failure)
        time.sleep(self._site.limits.retry)
        try:
            return ask()
        except ServerError as failure:
            if operation is None:
                raise UpstreamOverloaded(failure.message) from None
            raise graphql.changed(operation, self._site, perhaps=True) from None
        except UpstreamUncertain as failure:
            raise UpstreamOverloaded(failure.message) from None

    def _renewing(self, attempt: Callable[[TagForm], T], may_repeat: Callable[[], bool]) -> T:
        """Repeat what is refused with a new form key, then with the other form of the tag:
        Poe did nothing, so that is safe (§17.1)."""
        keys, tag = self._keys, self._site.tag
        first, other = tag.form, tag.other_form
        try:
            return attempt(first)
        except StaleSession as failure:
            log.info("%s: %s Renewing it.", self._label, failure)
            refusal = failure
        self.refresh(keys)
        for form in (first, other):
            if not may_repeat():
                raise UpstreamUncertain(str(refusal))
            try:
                result = attempt(form)
            except StaleSession as failure:
                refusal = failure
                if failure.status != 400:
                    raise TokenRejected(
                        f"Poe does not accept this account's requests ({failure.status})."
                    ) from None
                if form == other:
                    raise StillRefused(str(failure)) from None
            else:
                # The form that Poe accepted is remembered for the process (§25).
                tag.form = form
                return result
        raise AssertionError("the last attempt returns or raises")

    def _post(
        self,
        operation: str,
        payload: bytes,
        form: TagForm,
        channel: str | None,
        files: Sequence[Attachment],
        reading: bool,
    ) -> Answer:
        keys, site = self._keys, self._site
        headers = {
            **self._poe_headers(keys),
            "Content-Type": "application/json",
            "Poe-Tchannel": channel or self.channel_name,
            "poe-queryname": operation,
            "poegraphql": "1",
            "poe-tag-id": graphql.tag(payload, keys.formkey, site.tag.salt, form),
        }
        if keys.revision:
            headers["Poe-Revision"] = keys.revision
        path, limit = "/api/gql_POST", site.limits.http
        if files:
            path, limit = "/api/gql_upload_POST", site.limits.upload
            payload, headers["Content-Type"] = encode_multipart_formdata(
                [
                    ("queryInfo", payload),
                    *((f"file{n}", (f.name, f.data, f.kind)) for n, f in enumerate(files)),
                ]
            )
        return self._ask("POST", path, headers, payload, reading=reading, limit=limit)

    def _poe_headers(self, keys: Keys) -> dict[str, str]:
        return {
            "Accept": "*/*",
            "Origin": self._url,
            "Referer": f"{self._url}/",
            "Poe-Formkey": keys.formkey,
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
        limit: float | None = None,
    ) -> Answer:
        """Ask poe.com itself, with the account's cookies."""
        cookie = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        return self._send(
            method,
            self._url + path,
            {**(headers or {}), "Cookie": cookie},
            payload,
            reading=reading,
            limit=limit,
        )

    def _adopt(self, answer: Answer) -> None:
        """Take the cookies that a good answer renews, for this session only (§4.1)."""
        renewed = {name: value for name, value in answer.cookies.items() if name in _RENEWED}
        if any(self._cookies.get(name) != value for name, value in renewed.items()):
            self._cookies = {**self._cookies, **renewed}

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        payload: bytes | None,
        *,
        reading: bool,
        limit: float | None = None,
    ) -> Answer:
        limit = limit or self._site.limits.http
        try:
            with self._http.request(
                method,
                url,
                headers=dict(headers),
                data=payload,
                timeout=(min(10.0, limit), limit),
                allow_redirects=False,
                stream=True,
            ) as answer:
                if answer.status_code == 407:
                    raise UpstreamUnreachable("The proxy wants another login (407).")
                return Answer(
                    answer.status_code,
                    answer.headers,
                    _read_body(answer, time.monotonic() + limit),
                    {one.name: one.value for one in answer.cookies if one.value},
                )
        except requests.RequestException as failure:
            raise _failure(failure, reading=reading) from None

    def close(self) -> None:
        """Close the pooled connections."""
        self._http.close()


def _read_body(answer: requests.Response, deadline: float) -> bytes:
    body = bytearray()
    for piece in answer.iter_content(65536):
        body += piece
        if len(body) > _LONGEST_ANSWER:
            raise requests.exceptions.ContentDecodingError("too long")
        if time.monotonic() > deadline:
            raise requests.ReadTimeout("too slow")
    return bytes(body)


def _failure(failure: requests.RequestException, *, reading: bool) -> UpstreamError:
    """Return what an exception of requests means; its text is not repeated, it has addresses."""
    inner = failure.args[0] if failure.args else None
    reason = getattr(inner, "reason", inner)
    kind = type(reason).__name__ if isinstance(reason, Exception) else type(failure).__name__
    if isinstance(failure, requests.ConnectTimeout | requests.exceptions.ProxyError) or isinstance(
        reason, NewConnectionError | ConnectTimeoutError | ProxyError
    ):
        return UpstreamUnreachable(f"Poe cannot be reached ({kind}).")
    # Other troubles of TLS may come after the request went out.
    if any(isinstance(one, ssl.SSLCertVerificationError) for one in getattr(reason, "args", ())):
        return UpstreamUnreachable("Poe cannot be reached: its certificate is not accepted.")
    if isinstance(failure, requests.ReadTimeout) and reading:
        return UpstreamTimeout("Poe did not answer in time.")
    return UpstreamUncertain(f"The connection to Poe broke before it answered ({kind}).")
