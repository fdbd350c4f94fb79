"""A logged-in session with poe.com: cookies, form key, revision, and the requests made with them.

Web protocol sheet §4 to §6, §8, §16 and §17.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from urllib3.filepost import encode_multipart_formdata

from poe_proxy.errors import (
    LoginFailed,
    TokenRejected,
    UpstreamChanged,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUncertain,
)
from poe_proxy.upstreams.poe_web import formkey, graphql
from poe_proxy.upstreams.poe_web.attachments import MAX_TICKET_ANSWER, Attachment, read_ticket
from poe_proxy.upstreams.poe_web.current import CurrentSite
from poe_proxy.upstreams.poe_web.front import Front, Home
from poe_proxy.upstreams.poe_web.graphql import HashUnknown, ServerError, StaleSession, StillRefused
from poe_proxy.upstreams.poe_web.pages import ChannelData, find_revision, formkey_program
from poe_proxy.upstreams.poe_web.sharing import Shared
from poe_proxy.upstreams.poe_web.site import Site, TagForm
from poe_proxy.upstreams.poe_web.transport import Response

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """What the page supplies for the requests to come."""

    formkey: str = field(repr=False)
    revision: str | None
    #: Whether the form key is the user's, not the page's.
    is_given: bool = False


#: Seconds for which a page is not read again that twice gave no form key, or one that Poe refused;
#: doubled by each further time up to the most, as long as nothing else is known of the site.
FIRST_PAUSE: Final = 5.0
MOST_PAUSE: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Vain:
    """What a page was read for in vain."""

    site: Site
    #: How often in a row, and when it may be read again.
    times: int
    until: float
    #: Why it gave no form key; None if it did.
    failure: UpstreamChanged | None = None
    #: The keys that it gave, if Poe has refused them with each form of the tag.
    keys: Keys | None = None


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
        case HashUnknown():
            return failure  # of the site, so the same for all accounts
        case UpstreamChanged():
            # Another account may have a form key of its own.
            made = LoginFailed(str(failure), code=failure.code)
            made.message = failure.message
            return made
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
        front: Front,
        site: CurrentSite,
        *,
        given_formkey: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*given_formkey* is the user's own."""
        self._clock = clock
        self._front = front
        self._site = site
        self._label = front.label
        #: The user's form key, until Poe has refused it and the page has supplied another one.
        self._given_formkey = given_formkey
        self._keys = Keys(given_formkey or "", None)
        #: The keys that Poe has refused, if they are the latest ones: nothing is sent with them.
        self._refused: Keys | None = None
        self._vain: _Vain | None = None
        self._renewal: Shared[Keys] = Shared()
        self._channel_name = ""

    def log_in(self, *, trusts_given_formkey: bool = True) -> ChannelData:
        """Read the home page: check the cookie, note the form key, and return a channel.

        Raises `TokenRejected` if Poe does not accept the cookie, or another `UpstreamError`.
        """
        given = self._given_formkey if trusts_given_formkey else None
        site, vain = self._site.now, self._in_vain()
        if given is None and vain is not None and vain.failure is not None:
            raise self._site.met(vain.failure, self._label)
        home = self._front.home(site)
        try:
            app = self._front.app_scripts(home.page)
        except UpstreamError:
            # With a form key at hand, they are only needed for the revision.
            if given is None:
                raise
            app = ()
        try:
            self.take_keys(home, app, given)
        except UpstreamChanged as failure:
            self._read_in_vain(site, failure=failure)
            raise self._site.met(failure, self._label) from None
        self._front.cookies.take(home.cookies)
        log.debug("%s: logged in, build %r", self._label, home.page.build_id[:40])
        return home.page.channel or self.channel_data()

    def take_keys(self, home: Home, app: Sequence[str], given: str | None = None) -> None:
        """Note the form key, which may be *given*, and the revision, as the page and its scripts
        have them. Raises `UpstreamError`."""
        site = self._site.now
        is_given = given is not None
        if given is None:
            program = formkey_program(home.page, app, site, home.budget)
            given = formkey.evaluate(program, site.limits.script)
        revision = find_revision(home.page, app, site, home.budget) or site.revision_seen
        self._keys = Keys(given, revision or None, is_given)

    def channel_data(self) -> ChannelData:
        """Ask for a new channel, which is less work than the page; see `Front`."""
        return self._front.channel_data()

    # ---- keys

    @property
    def formkey(self) -> str:
        """The newest form key; empty if there is none yet."""
        return self._keys.formkey

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
                if keys.is_given and isinstance(failure, UpstreamProtocolError | UpstreamChanged):
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
            site = self._site.now
            payload = graphql.body(operation, variables, site)
            give(sum(len(file.data) for file in files))
            response = self._post(operation, payload, form, cleared, files, reading, when_answered)
            data = graphql.read_answer(
                operation,
                site,
                response.status,
                response.headers,
                response.content,
                reading=reading,
            )
            self._front.cookies.take(response.cookies)
            return data

        self._site.check(operation, self._label)
        clear = clear or (lambda: self._clear(channel))
        try:
            if not reading:
                return self._renewing(attempt, clear)
            try:
                return self._twice(lambda: self._renewing(attempt, clear))
            except ServerError as failure:
                raise graphql.changed(operation, failure.hash, perhaps=True) from None
        except StillRefused as failure:
            # A message may be refused because Poe has forgotten its channel: `Sending` knows.
            raise self.met(failure) if reading else failure from None
        except UpstreamChanged as failure:
            raise self.met(failure) from None

    def met(self, failure: UpstreamChanged) -> UpstreamChanged:
        """Note a failure that shows that the site has changed; see `CurrentSite`."""
        return self._site.met(failure, self._label)

    def doubted(self, operation: str) -> UpstreamChanged:
        """Return the failure of an operation that Poe answers with nothing but server errors."""
        hash = self._site.now.operations.get(operation, "")
        return self.met(graphql.changed(operation, hash, perhaps=True))

    def ask_once(self, operation: str, variables: Mapping[str, Any]) -> Response:
        """Return the whole answer to an operation that only reads, whatever it says, for the keys
        and the form of the tag that there are now. Raises `UpstreamError` if there is none."""
        payload = graphql.body(operation, variables, self._site.now)
        form = self._site.tag_form
        return self._post(operation, payload, form, self._clear(), (), True, lambda: None)

    def _read_in_vain(self, site: Site, **what: Any) -> None:
        before = self._vain
        times = 1 if before is None or before.site is not site else before.times + 1
        pause = 0.0 if times == 1 else min(MOST_PAUSE, FIRST_PAUSE * 2.0 ** min(times - 2, 10))
        self._vain = _Vain(site, times, self._clock() + pause, **what)

    def _in_vain(self) -> _Vain | None:
        """Return what a page was read for in vain a moment ago, if it would be so again."""
        vain = self._vain
        if vain is None or vain.site is not self._site.now or self._clock() >= vain.until:
            return None
        return vain

    def _clear(self, channel: str | None = None) -> Clearance:
        return Clearance(self.ready_keys(), channel or self._channel_name)

    def upload(self, file: Attachment, give: Callable[[int], None] = lambda _: None) -> str:
        """Give *file* to Poe, and return the ticket by which messages name it (§16.2).

        *give* is as in `call`.
        """

        def attempt(_: TagForm, cleared: Clearance) -> str:
            give(len(file.data))
            payload, kind = encode_multipart_formdata([("file", (file.name, file.data, file.kind))])
            response = self._front.ask(
                "POST",
                "/api/finish_upload_POST",
                {**self._poe_headers(cleared.keys), "Content-Type": kind},
                payload,
                reading=True,
                limit=self._site.now.limits.upload,
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

        try:
            # Uploading a file twice does no harm.
            return self._twice(lambda: self._renewing(attempt, self._clear))
        except StillRefused as failure:
            raise self.met(failure) from None

    def _twice(self, ask: Callable[[], T]) -> T:
        """Ask, and once more if no good answer came: only for what changes nothing at Poe."""
        try:
            return ask()
        except (UpstreamUncertain, UpstreamOverloaded) as failure:
            log.info("%s: %s Asking again.", self._label, failure)
        time.sleep(self._site.now.limits.retry)
        return ask()

    def _renewing(
        self, attempt: Callable[[TagForm, Clearance], T], clear: Callable[[], Clearance]
    ) -> T:
        """Repeat a refused *attempt* with a new form key, then with the other form of the tag:
        Poe did nothing, so that is safe (§17.1). Each goes out with what *clear* returns."""
        first: TagForm = self._site.tag_form
        other: TagForm = "plain" if first == "swapped" else "swapped"
        tag, cleared = self._site.now.tag, clear()
        try:
            result = attempt(first, cleared)
        except StaleSession as failure:
            vain = self._in_vain()
            if vain is not None and vain.keys is cleared.keys and failure.status == 400:
                raise graphql.still_refused(failure.operation, tag) from None
            log.info("%s: %s Renewing it.", self._label, failure)
            if self._keys is cleared.keys:
                # From now on all others wait for the new ones.
                self._refused = cleared.keys
        else:
            self._vain = None
            return result
        self._renew(cleared.keys)
        for form in (first, other):
            site, cleared = self._site.now, clear()
            try:
                result = attempt(form, cleared)
            except StaleSession as failure:
                if failure.status != 400:
                    raise TokenRejected(
                        f"Poe does not accept this account's requests ({failure.status})."
                    ) from None
                if form == other:
                    self._read_in_vain(site, keys=cleared.keys)
                    raise graphql.still_refused(failure.operation, site.tag) from None
            else:
                self._site.accepted(site.tag, form)
                self._vain = None
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
        keys, site = cleared.keys, self._site.now
        headers = {
            **self._poe_headers(keys),
            "Content-Type": "application/json",
            "Poe-Tchannel": cleared.channel,
            "poe-queryname": operation,
            "poegraphql": "1",
            "poe-tag-id": graphql.tag(payload, keys.formkey, site.tag, form),
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
        return self._front.ask(
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
            "Origin": self._front.url,
            "Referer": f"{self._front.url}/",
            "Poe-Formkey": keys.formkey,
        }

    def close(self) -> None:
        """Close the pooled connections."""
        self._front.close()
