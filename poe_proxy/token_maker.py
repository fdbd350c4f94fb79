"""Accounts become tokens; what was made of an account is kept for as long as it is of use."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from poe_proxy.accounts import Account
from poe_proxy.errors import UpstreamError, UpstreamUnreachable
from poe_proxy.net.background import Background
from poe_proxy.pool.limits import Limit, Rest, Within
from poe_proxy.pool.rotator import Token
from poe_proxy.pool.store import Renewals
from poe_proxy.settings import Settings
from poe_proxy.upstreams.base import Upstream
from poe_proxy.upstreams.catalogue import Catalogue
from poe_proxy.upstreams.poe_web import Site
from poe_proxy.upstreams.poe_web.lengths import Lengths
from poe_proxy.upstreams.refusals import Refusals

if TYPE_CHECKING:
    from poe_proxy.net.fetching import Fetcher
    from poe_proxy.recipes.by_cookie import ByCookie
    from poe_proxy.recipes.by_key import ByKey
    from poe_proxy.upstreams.poe_web.current import CurrentSite

log = logging.getLogger(__name__)

#: Seconds that a list of models waits for looks at the bots of accounts, which come once.
_LOOKS: Final = 2.0
#: The most ways to Poe that one fetch of its list of models tries, one after the other.
_WAYS: Final = 3


@runtime_checkable
class _Showing(Protocol):
    """An upstream whose site shows its account bots to choose from."""

    def shown(self, wait: float = 0.0) -> Iterable[str]:
        """See `PoeWeb.shown`."""


@dataclass(eq=False, slots=True)
class _Open:
    """An upstream that is open."""

    id: str
    recipe: ByKey | ByCookie
    upstream: Upstream
    #: Its tokens that are in the pool, or whose replies go on.
    tokens: set[Token[Upstream]] = field(default_factory=set)

    def close(self) -> None:
        try:
            self.upstream.close()
        except Exception:
            log.exception("%s was not closed", self.recipe.label)


class TokenMaker:
    """Makes the tokens of accounts, and makes them anew when the settings change.

    If an account is there again, and nothing changes in how its upstream is made, the upstream
    stays as it is, with its login and its websocket. An upstream is closed once no token with it
    is in the pool and the last reply is over.
    """

    def __init__(self, renewals: Renewals) -> None:
        """*renewals* remembers the cookies that Poe renews."""
        self._renewals = renewals
        #: The same for as long as this process lives, by account id.
        self._renewed: dict[str, Mapping[str, str]] = {}
        self._refusals = Refusals()
        self._lengths = Lengths()
        self._site_file = _SiteFile()
        self._fetchers: dict[str | None, Fetcher] = {}
        #: Poe's list of models, and where it is fetched: None if it is not.
        self._catalogue = Catalogue()
        self._source: str | None = None
        #: Whether accounts may be looked at for their bots.
        self._may_look = False
        #: Guards what follows.
        self._lock = threading.Lock()
        self._open: list[_Open] = []
        #: What is in the pool.
        self._tokens: Mapping[Account, Token[Upstream]] = {}
        self._closing: list[Background[None]] = []

    def tokens(self, accounts: Sequence[Account], settings: Settings) -> list[Token[Upstream]]:
        """Return the token of each account, for the pool to have these and no others.

        An account that has not changed has the token that it had. Nothing changes if this raises.
        For one caller at a time.
        """
        has_cookie = any(account.kind == "cookie" for account in accounts)
        site = self._site_file.read(settings) if has_cookie else None
        source = _source(accounts, settings)
        catalogue = self._catalogue_for(source)
        with self._lock:
            made: list[tuple[Account, _Open, Token[Upstream]]] = []
            for account in accounts:
                recipe = _recipe(account, settings, site, catalogue)
                one = self._find(account.id, recipe) or self._make(account.id, recipe)
                token = self._tokens.get(account)
                if (
                    token is None
                    or token.upstream is not one.upstream
                    or token.source != account.source
                ):
                    token = _token(account, recipe, one.upstream)
                made.append((account, one, token))
            for _, one, token in made:
                one.tokens.add(token)
                if one not in self._open:
                    self._open.append(one)
            self._tokens = {account: token for account, _, token in made}
        self._site_file.use()
        self._use(catalogue, source)
        self._may_look = settings.catalogue
        return list(self._tokens.values())

    def left(self, token: Token[Upstream]) -> None:
        """Note that *token* is no longer in the pool, and that its last reply is over."""
        with self._lock:
            for one in self._open:
                one.tokens.discard(token)
            self._close([one for one in self._open if not one.tokens])

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of accounts with an open upstream, by account id."""
        with self._lock:
            return {one.id: one.recipe.label for one in self._open}

    @property
    def site(self) -> CurrentSite | None:
        """The site as it is known now, which all cookies share; None while there was none."""
        return self._site_file.current

    def reread_site(self) -> None:
        """Take in place what the site file has now."""
        self._site_file.reread()

    @property
    def catalogue(self) -> Catalogue:
        """Poe's list of models, which all accounts share."""
        return self._catalogue

    def shown(self) -> Mapping[str, frozenset[str]]:
        """Return the handles of bots that the site shows accounts to choose from, and for each the
        names of the tokens of these accounts; see `PoeWeb.shown`."""
        webs = [
            (token.name, token.upstream)
            for token in self._tokens.values()
            if isinstance(token.upstream, _Showing) and self._may_look
        ]
        for _, web in webs:
            web.shown()  # all begin at once
        until = time.monotonic() + _LOOKS
        shown: dict[str, set[str]] = {}
        for name, web in webs:
            for handle in web.shown(max(0.0, until - time.monotonic())):
                shown.setdefault(handle, set()).add(name)
        return {handle: frozenset(names) for handle, names in shown.items()}

    def close(self) -> None:
        """Close all upstreams at once, and wait until they are closed."""
        self._catalogue.stop()
        with self._lock:
            self._close(list(self._open))
            closing = list(self._closing)
        for one in closing:
            one.result()

    def _close(self, upstreams: Iterable[_Open]) -> None:
        """Begin to close *upstreams*; each may take some seconds."""
        self._closing = [one for one in self._closing if not one.wait(0.0)]
        for one in upstreams:
            self._open.remove(one)
            self._closing.append(Background(one.close, name=f"{one.recipe.label} closing"))

    def _find(self, id: str, recipe: ByKey | ByCookie) -> _Open | None:
        return next((one for one in self._open if (one.id, one.recipe) == (id, recipe)), None)

    def _make(self, id: str, recipe: ByKey | ByCookie) -> _Open:
        if recipe.kind == "key":
            return _Open(id, recipe, recipe.make(self._refusals))

        def keep_renewed(cookies: Mapping[str, str]) -> None:
            self._renewed[id] = cookies
            self._renewals.keep_renewed(id, cookies)

        # One for each proxy: it reads all certificates of the machine.
        if (fetcher := self._fetchers.get(recipe.proxy)) is None:
            fetcher = self._fetchers[recipe.proxy] = recipe.fetcher()
        renewed = self._renewed.get(id) or self._renewals.renewed(id)
        return _Open(id, recipe, recipe.make(fetcher, self._lengths, renewed, keep_renewed))

    # ---- the catalogue

    def _catalogue_for(self, source: str | None) -> Catalogue:
        if source == self._source:
            return self._catalogue
        return Catalogue(None if source is None else lambda: self._fetch_models(source))

    def _use(self, catalogue: Catalogue, source: str | None) -> None:
        if catalogue is self._catalogue:
            return
        if self._source is not None:
            self._catalogue.stop()
        self._catalogue, self._source = catalogue, source
        if source is not None:
            catalogue.start()

    def _fetch_models(self, source: str) -> bytes:
        """Fetch the list on the ways that the accounts go, keys first."""
        # Without keys, this is all that is used of it.
        from poe_proxy.upstreams.poe_api import fetch_models

        accounts = sorted(self._tokens, key=lambda account: account.kind != "key")
        failure: UpstreamError = UpstreamUnreachable("There is no account any more.")
        for proxy in list(dict.fromkeys(account.proxy for account in accounts))[:_WAYS]:
            try:
                return fetch_models(source, proxy=proxy)
            except UpstreamError as one:
                failure = one
        raise failure


def _source(accounts: Iterable[Account], settings: Settings) -> str | None:
    """Return where Poe's list of models is fetched; None if it is not."""
    has_key = any(account.kind == "key" for account in accounts)
    return settings.poe_api_url if has_key or settings.catalogue else None


class _SiteFile:
    """The site as the settings have it. What is found out of it in use stays until the file on top
    of it changes."""

    def __init__(self) -> None:
        self.current: CurrentSite | None = None
        #: What was read last, and does not count yet.
        self._next: tuple[Settings, Site] | None = None
        #: Guards what follows: a reload may come while somebody rereads the file.
        self._lock = threading.Lock()
        self._settings: Settings | None = None
        self._used: Site | None = None

    def read(self, settings: Settings) -> CurrentSite:
        """Read the file; it counts from `use` on. Raises ValueError."""
        from poe_proxy.upstreams.poe_web.current import CurrentSite

        site = read_site(settings)
        self._next = settings, site
        if self.current is None:
            self.current, self._used = CurrentSite(site), site
        return self.current

    def use(self) -> None:
        """Use what was read last, if it is anything new."""
        if self._next is not None:
            (settings, site), self._next = self._next, None
            with self._lock:
                self._settings = settings
                self._take(site)

    def reread(self) -> None:
        """Use what the file has now; with a mistake in it, all stays as it is."""
        settings = self._settings
        if settings is None:
            return
        try:
            site = _loaded(settings)
        except (OSError, ValueError) as wrong:
            log.warning("%s is not used: %s", settings.site_at, wrong)
            return
        with self._lock:
            if settings is self._settings:
                self._take(site)

    def _take(self, site: Site) -> None:
        if self.current is not None and site != self._used:
            self.current.replace(site)
            self._used = site


def read_site(settings: Settings) -> Site:
    """Return the site as the settings have it.

    Raises ValueError if there is a mistake in `POE_SITE`. A file that poe-proxy has written by
    itself is left out then, and a warning says so.
    """
    try:
        return _loaded(settings)
    except (OSError, ValueError) as wrong:
        if settings.site_at == settings.poe_site:
            raise
        log.warning("%s is not used: %s", settings.site_at, wrong)
        return Site.load()


def _loaded(settings: Settings) -> Site:
    """Return the site with the file on top of it, which need not be there unless it is `POE_SITE`.
    Raises OSError or ValueError."""
    path = settings.site_at
    if path is None or path == settings.poe_site or path.exists():
        return Site.load(path)
    return Site.load()


def _recipe(
    account: Account, settings: Settings, site: CurrentSite | None, catalogue: Catalogue
) -> ByKey | ByCookie:
    # Each brings along all that leads to Poe on its way, and the libraries for it.
    if account.kind == "key":
        from poe_proxy.recipes.by_key import ByKey

        return ByKey.of(account, settings, catalogue)
    from poe_proxy.recipes.by_cookie import ByCookie

    assert site is not None
    return ByCookie.of(account, settings, site)


def _token(account: Account, recipe: ByKey | ByCookie, upstream: Upstream) -> Token[Upstream]:
    return Token(
        account.label,
        upstream,
        kind=account.kind,
        source=account.source,
        rank=account.rank,
        limits=_limits(account),
        concurrency=account.concurrency,
        id=account.id,
        bots=frozenset(account.bots),
        has_home=recipe.has_home,
        is_pinned=recipe.is_pinned,
    )


def _limits(account: Account) -> tuple[Limit, ...]:
    limits: list[Limit] = [
        Within(calls, window)
        for calls, window in (
            (account.rate_limit, account.rate_window),
            (account.per_hour, 3600.0),
            (account.per_day, 86400.0),
        )
        if calls
    ]
    if account.cool_down or account.jitter:
        limits.append(Rest(account.cool_down, account.jitter))
    return tuple(limits)
