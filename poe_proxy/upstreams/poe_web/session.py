"""A logged-in session with poe.com: cookies, form key, revision, and the requests made with them.

Web protocol sheet §4 to §6, §8, §16 and §17.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from urllib3.filepost import encode_multipart_formdata

from poe_proxy.budget import Budget, OutOfBudget
from poe_proxy.errors import (
    LoginFailed,
    TokenRejected,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUncertain,
)
from poe_proxy.upstreams.bulk import loads
from poe_proxy.upstreams.poe_web import formkey, graphql, pages
from poe_proxy.upstreams.poe_web.attachments import MAX_TICKET_ANSWER, Attachment, read_ticket
from poe_proxy.upstreams.poe_web.cookies import Cookies
from poe_proxy.upstreams.poe_web.credentials import Credentials
from poe_proxy.upstreams.poe_web.graphql import ServerError, StaleSession, StillRefused
from poe_proxy.upstreams.poe_web.pages import ChannelData, Page, find_revision, formkey_program
from poe_proxy.upstreams.poe_web.sharing import Shared
from poe_proxy.upstreams.poe_web.site import Site, TagForm
from poe_proxy.upstreams.poe_web.transport import MAX_ANSWER, Response, Transport

log = logging.getLogger(__name__)

T = TypeVar("T")

#: The most scripts of one page that are searched for the secret.
_MAX_SCRIPTS: Final = 3
#: How often a page is asked for before we give up.
_TRIES: Final = 3
#: The most bytes of a page, and of its scripts together; the home page has some five million.
_MAX_PAGE: Final = 16_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """What the page supplies for the requests to come."""

    formkey: str = field(repr=False)
    revision: str | None
    #: Whether the form key is the user's, not the page's.
    is_given: bool = False


@dataclass(frozen=True, slots=True)
class Clearance:
    """What a request may go out with, this one time."""

    keys: Keys
    #: The name of the channel that it is to name.
    channel: str = field(repr=False)


def not_ready(failure: UpstreamError) -> UpstreamError:
    """Return what *failure* means if it comes before a message is sent.

    A `LoginFailed` if it is the account's or the net's, since another account may do better. Any
    other class says by itself whose it is: the client's, the bot's or the account's.
    """
    match failure:
        case (
            UpstreamTimeout()
            | UpstreamUncertain()
            | UpstreamOverloaded()
            | UpstreamProtocolError()
            | UpstreamRefused()
        ):
            return LoginFailed(failure.message, retry_after=failure.retry_after)
    return failure


class Session:
    """One account's requests to poe.com. May be used by several threads at once."""

    def __init__(
        self,
        credentials: Credentials,
        site: Site,
        *,
        url: str,
        proxy: str | None,
        label: str,
        renewed: Mapping[str, str] | None = None,
        keep_renewed: Callable[[Mapping[str, str]], None] | None = None,
    ) -> None:
        """*renewed* and *keep_renewed* are as in `Cookies`."""
        self._site = site
        self._url = url.rstrip("/")
        self._label = label
        self._cookies = Cookies(credentials.cookies, renewed=renewed, keep_renewed=keep_renewed)
        #: The user's form key, until Poe has refused it and the page has supplied another one.
        self._given_formkey = credentials.formkey
        self._keys = Keys(credentials.formkey or "", None)
        #: The keys that Poe has refused, if they are the latest ones: nothing is sent with them.
        self._refused: Keys | None = None
        self._renewal: Shared[Keys] = Shared()
        self._channel_name = ""
        self._transport = Transport(site.headers, proxy=proxy)

    # ---- pages

    def log_in(self, *, trusts_given_formkey: bool = True) -> ChannelData:
        """Read the home page: check the cookie, note the form key, and return a channel.

        Raises `TokenRejected` if Poe does not accept the cookie, or another `UpstreamError`.
        """
        response = self._read_home()
        budget = Budget(pages.SECONDS)
        html = response.content.decode("utf-8", "replace")
        page = Page.read(html, f"{self._url}/", self._site, budget)
        given = self._given_formkey if trusts_given_formkey else None
        is_given = given is not None
        try:
            app = self._scripts(page)
        except UpstreamError:
            # With a form key at hand, they are only needed for the revision.
            if given is None:
                raise
            app = ""
        if given is None:
            program = formkey_program(page, app, self._site, budget)
            given = formkey.evaluate(program, self._site.limits.script)
        self._keys = Keys(given, find_revision(page, app, self._site, budget), is_given)
        self._cookies.take(response.cookies)
        log.debug("%s: logged in, build %r", self._label, page.build_id[:40])
        return page.channel or self.channel_data()

    def _read_home(self) -> Response:
        try:
            return self._read_page("/")
        except TokenRejected:
            if not self._cookies.renewed:
                raise
        log.info("%s: the renewed cookie is not accepted; trying the given one", self._label)
        with self._cookies.as_given():
            return self._read_page("/")

    def channel_data(self) -> ChannelData:
        """Ask for a new channel, which is less work than the page."""
        # Visitors who are not logged in get an answer as well, so its cookie may be one of theirs.
        response = self._read_page("/api/settings")
        try:
            found = ChannelData.find(loads(response.content), Budget(pages.SECONDS))
        except (ValueError, OutOfBudget):
            found = None
        if found is None:
            raise UpstreamProtocolError("Poe names no channel for its websocket.")
        return found

    def _read_page(self, path: str) -> Response:
        failure: UpstreamError
        for tries_left in reversed(range(_TRIES)):
            try:
                response = self._ask("GET", path, reading=True, at_most=_MAX_PAGE)
                graphql.refuse_page(response.status, response.headers, response.text)
                if response.status == 200:
                    return response
                failure = UpstreamOverloaded(f"Poe answers {path} with {response.status}.")
                if response.status < 500:
                    raise UpstreamProtocolError(f"Poe refuses {path} with {response.status}.")
            except UpstreamUncertain as broken:
                # Asking for a page again costs nothing.
                failure = broken
            if tries_left:
                time.sleep(self._site.limits.retry)
        raise failure

    def _scripts(self, page: Page) -> str:
        """Return the text of the scripts that may hold the form key's secret."""
        allowed = ("https",) if urlsplit(self._url).scheme == "https" else ("http", "https")
        texts = []
        left = _MAX_PAGE
        for address in page.app_scripts[:_MAX_SCRIPTS]:
            if not address.startswith(tuple(f"{scheme}://" for scheme in allowed)):
                continue
            # Without the cookie and Poe's own headers: scripts come from a shared host.
            script = self._transport.send(
                "GET", address, {}, reading=True, limit=self._site.limits.http, at_most=left
            )
            left -= len(script.content)
            if script.status == 200:
                texts.append(script.content.decode("utf-8", "replace"))
        return "\n".join(texts)

    # ---- keys

    def ready_keys(self) -> Keys:
        """Return keys that Poe has not refused; waits while new ones are being fetched.

        Raises `LoginFailed`, or another `UpstreamError` of the login.
        """
        while (keys := self._keys) is self._refused:
            self._renew(keys)
        return keys

    def are_good(self, keys: Keys) -> bool:
        """Return whether *keys* are the latest, and were not refused yet."""
        return keys is self._keys and keys is not self._refused

    def _renew(self, keys: Keys) -> None:
        """Take a new form key and revision from the page in place of *keys*.

        If several threads call at once, one of them does it, and all get its result.
        """

        def renew() -> Keys:
            try:
                # The channel of the page is not used: ours is open and subscribed (§25).
                self.log_in(trusts_given_formkey=False)
            except UpstreamError as failure:
                if keys.is_given and isinstance(failure, UpstreamProtocolError):
                    # There is no other key, and Poe may have refused this one request only.
                    self._refused = None
                raise not_ready(failure) from None
            if keys.is_given:
                self._given_formkey = None
            return self._keys

        self._renewal.get(lambda: self._keys if self._keys is not keys else None, renew)

    # ---- operations

    def use_channel(self, name: str) -> None:
        """Name this channel in each request that has no other one."""
        self._channel_name = name

    def call(
        self,
        operation: str,
        variables: Mapping[str, Any],
        *,
        reading: bool = True,
        channel: str | None = None,
        files: Sequence[Attachment] = (),
        give: Callable[[int], None] = lambda _: None,
        clear: Callable[[], Clearance] | None = None,
        when_answered: Callable[[], None] = lambda: None,
    ) -> dict[str, Any]:
        """Return the `data` of an operation.

        If Poe refuses it for its form key or tag, it is repeated with new ones. An operation that
        only reads is tried again when its answer was lost; one that acts, never. Each request goes
        out with what *clear* returns; it may wait, and what it raises ends the call. So does what
        *give* raises, which is told of the bytes of the *files* each time before they go out.
        *when_answered* is called as soon as an answer to one begins, whatever its status.

        Raises `UpstreamUncertain` if the answer was lost; if it acts, Poe may have done so.
        """

        def attempt(form: TagForm, cleared: Clearance) -> dict[str, Any]:
            payload = graphql.body(operation, variables, self._site)
            give(sum(len(file.data) for file in files))
            response = self._post(operation, payload, form, cleared, files, reading, when_answered)
            data = graphql.read_answer(
                operation,
                self._site,
                response.status,
                response.headers,
                response.content,
                reading=reading,
            )
            self._cookies.take(response.cookies)
            return data

        clear = clear or (lambda: self._clear(channel))
        if reading:
            try:
                return self._twice(lambda: self._renewing(attempt, clear))
            except ServerError:
                raise graphql.changed(operation, self._site, perhaps=True) from None
        return self._renewing(attempt, clear)

    def _clear(self, channel: str | None = None) -> Clearance:
        return Clearance(self.ready_keys(), channel or self._channel_name)

    def upload(self, file: Attachment, give: Callable[[int], None] = lambda _: None) -> str:
        """Give *file* to Poe, and return the ticket by which messages name it (§16.2).

        *give* is as in `call`.
        """

        def attempt(_: TagForm, cleared: Clearance) -> str:
            give(len(file.data))
            payload, kind = encode_multipart_formdata([("file", (file.name, file.data, file.kind))])
            response = self._ask(
                "POST",
                "/api/finish_upload_POST",
                {**self._poe_headers(cleared.keys), "Content-Type": kind},
                payload,
                reading=True,
                limit=self._site.limits.upload,
                at_most=MAX_TICKET_ANSWER,
            )
            graphql.refuse_page(response.status, response.headers, response.text)
            if response.status in (400, 401, 403):
                raise StaleSession("a file", response.status)
            if response.status >= 500:
                raise UpstreamOverloaded(f"Poe answered a file with {response.status}.")
            if response.status != 200:
                raise UpstreamProtocolError(f"Poe refused a file with {response.status}.")
            return read_ticket(response.content)

        # Uploading a file twice does no harm.
        return self._twice(lambda: self._renewing(attempt, self._clear))

    def _twice(self, ask: Callable[[], T]) -> T:
        """Ask, and once more if no good answer came: only for what changes nothing at Poe."""
        try:
            return ask()
        except (UpstreamUncertain, UpstreamOverloaded) as failure:
            log.info("%s: %s Asking again.", self._label, failure)
        time.sleep(self._site.limits.retry)
        return ask()

    def _renewing(
        self, attempt: Callable[[TagForm, Clearance], T], clear: Callable[[], Clearance]
    ) -> T:
        """Repeat a refused *attempt* with a new form key, then with the other form of the tag:
        Poe did nothing, so that is safe (§17.1). Each goes out with what *clear* returns."""
        tag = self._site.tag
        first, other = tag.form, tag.other_form
        cleared = clear()
        try:
            return attempt(first, cleared)
        except StaleSession as failure:
            log.info("%s: %s Renewing it.", self._label, failure)
            if self._keys is cleared.keys:
                # From now on all others wait for the new ones.
                self._refused = cleared.keys
        self._renew(cleared.keys)
        for form in (first, other):
            try:
                result = attempt(form, clear())
            except StaleSession as failure:
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
        cleared: Clearance,
        files: Sequence[Attachment],
        reading: bool,
        when_answered: Callable[[], None],
    ) -> Response:
        keys, site = cleared.keys, self._site
        headers = {
            **self._poe_headers(keys),
            "Content-Type": "application/json",
            "Poe-Tchannel": cleared.channel,
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
        return self._ask(
            "POST",
            path,
            headers,
            payload,
            reading=reading,
            limit=limit,
            when_answered=when_answered,
        )

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
        at_most: int = MAX_ANSWER,
        when_answered: Callable[[], None] = lambda: None,
    ) -> Response:
        """Send a request to poe.com itself, with the account's cookies."""
        return self._transport.send(
            method,
            self._url + path,
            {**(headers or {}), "Cookie": self._cookies.header()},
            payload,
            reading=reading,
            limit=limit or self._site.limits.http,
            at_most=at_most,
            when_answered=when_answered,
        )

    def close(self) -> None:
        """Close the pooled connections."""
        self._transport.close()
