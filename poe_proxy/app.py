"""Builds the objects and joins them, at the start and at each reload; nothing more."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from math import inf
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from poe_proxy import accounts, logs, pools, remarks, startup
from poe_proxy.alerts import Alerts
from poe_proxy.apis import images
from poe_proxy.apis.chat_completions import ChatCompletions
from poe_proxy.apis.completions import Completions
from poe_proxy.apis.messages import Messages
from poe_proxy.apis.responses import Responses
from poe_proxy.apis.speech import Speech
from poe_proxy.clients import Registry
from poe_proxy.clients import file as clients
from poe_proxy.environment import declared
from poe_proxy.gateway import Gateway
from poe_proxy.menu import Menu
from poe_proxy.models import Models
from poe_proxy.net.media import MediaFetcher
from poe_proxy.overview import NOT_RELOADED, RELOADED, Overview
from poe_proxy.pool.asking import Asking
from poe_proxy.pool.balances import EVERY, Balance, FirstLooks, PointsWatch
from poe_proxy.pool.facts import Facts
from poe_proxy.pool.rotator import Token, condition
from poe_proxy.record import Record
from poe_proxy.server import access_log, several
from poe_proxy.server.admission import Admission
from poe_proxy.server.application import Application
from poe_proxy.server.fellows import Fellows
from poe_proxy.server.guesses import guesses
from poe_proxy.server.services import Services
from poe_proxy.server.several import inherited
from poe_proxy.settings import BadSettings, Settings
from poe_proxy.shaping import files, pictures, schemas
from poe_proxy.startup import read_settings
from poe_proxy.tallies import RELOADS
from poe_proxy.token_maker import TokenMaker
from poe_proxy.upstreams.base import Upstream
from poe_proxy.usage import matching
from poe_proxy.usage.wanted import Days

if TYPE_CHECKING:
    from poe_proxy.metrics import Listener, Metrics
    from poe_proxy.upstreams.poe_web.discovery.service import Discoverer, Way
    from poe_proxy.usage.keeping import Keeping

log = logging.getLogger(__name__)
audit = logging.getLogger(logs.AUDIT)

#: The states of an account that is not used, to look at Poe's page neither.
_SET_ASIDE: Final = ("paused", "suspended", "retired")


def create_app(
    settings: Settings | None = None,
    *,
    upstreams: Sequence[Token[Upstream]] | None = None,
    read: Callable[[], Settings] = read_settings,
) -> Application:
    """Return the WSGI application for *settings*, by default what *read* returns: then the process
    is ours, and its log is set up too.

    *upstreams* are tokens to use instead of those in the settings.
    """
    if settings is None:
        settings = read()
        logs.set_up(settings.log_level, settings.log_format)
        if startup.begun_with is not None:
            # A worker that is started later goes on with what only a restart can change.
            settings = remarks.without_restart(startup.begun_with, settings)
    return _House(settings, upstreams, read).app


class _House:
    """All that is joined: what lives as long as the process, and what a reload replaces."""

    def __init__(
        self,
        settings: Settings,
        given: Sequence[Token[Upstream]] | None,
        read: Callable[[], Settings],
    ) -> None:
        self._settings = settings
        self._given = given
        self._read = read
        #: Held by a reload, and while all is closed.
        self._changing = threading.Lock()
        self._is_closed = False
        self._pool = pools.made(settings)
        self._maker = TokenMaker(self._pool.renewals)
        self._tokens = self._make(settings)
        self._rotator = self._pool.lend(self._tokens, settings, self._maker.left)
        self._discoverer: Discoverer | None = None
        self._watch_site()
        self._watch = PointsWatch(self._rotator)
        self._balance = Balance(self._rotator)
        self._looks = FirstLooks(self._rotator)
        self._facts = Facts(self._rotator, store=self._pool.store)
        self._admission = Admission()
        self._registry = Registry(
            clients.read(settings),
            budgets=self._pool.budgets,
            begins=settings.day_begins,
            seen=self._pool.seen,
        )
        #: Each takes the record of a request that is over.
        self._tellers: list[Callable[[Record], None]] = [access_log.tell, self._registry.told]
        self._usage = self._made_usage(settings)
        if self._usage is not None:
            self._tellers.append(self._usage.tell)
        self._metrics, self._listener = self._made_metrics(settings)
        self._overview = Overview(
            self._rotator,
            self._pool.history,
            store=lambda: self._facts.newest().store,
            clients=self._registry.overview,
            workers=self._pool.workers if self._pool.is_shared else None,
            site=self._told_of_site,
        )
        self._overview.read_settings()
        self._asking = Asking(self._rotator)
        #: The other workers, if there are any.
        self._fellows = Fellows(self._pool.announce, reload=self._reload, guesses=guesses)
        self._pool.hear(self._fellows.hear)
        self._alerts = Alerts(
            self._rotator,
            store=lambda: self._facts.newest().store,
            caller=self._pool.caller,
            speaks=self._pool.speaks,
            site=self._told_of_site,
        )
        self._watch_points(settings)
        self._tellers += [self._pool.history.tell, self._alerts.tell]
        services = self._services(settings, Models.load(settings.models))
        self.app = Application(services, proxies=settings.forwarded_allow_ips)
        # Also for one question: who is not heard of counts as dead, and its accounts go to others.
        self._pool.start(lambda: {"under_way": len(self._admission.under_way)})
        self._watch.start()
        if self._usage is not None:
            self._usage.start()
        self._alerts.start()
        remarks.warn(settings)
        self._warn_of_clients(services.gateway.menu)
        told = (remarks.counts(self._tokens), self._pool.where)
        log.info("serving %s", "; ".join(filter(None, told)))

    def _made_metrics(self, settings: Settings) -> tuple[Metrics | None, Listener | None]:
        """Return what counts, and what listens at a port of its own; None where the settings ask
        for none."""
        if not settings.has_metrics:
            return None, None
        from poe_proxy.metrics import Listener, Looks, Metrics, Together

        looks = Looks(
            self._facts.newest,
            self._rotator.points,
            self._rotator.day_uses,
            lambda: self._admission.under_way,
            self._hosts if self._pool.is_shared else None,
        )
        folder = inherited.folder
        together = None if folder is None else Together(folder, inherited.worker)
        metrics = Metrics(looks, lambda bot: self._menu.listed(bot), together)
        self._tellers.append(metrics.told)
        self._pool.timed(metrics.store_took)
        port = settings.metrics_port
        listener = Listener(port, metrics.text, inherited=inherited.listener) if port else None
        return metrics, listener

    def _made_usage(self, settings: Settings) -> Keeping | None:
        if settings.usage_at is None:
            return None
        from poe_proxy.usage.keeping import Keeping

        return Keeping(
            settings.usage_at,
            days=settings.usage_days,
            accounts=lambda: [(token.label, token.upstream) for token, _ in self._rotator.states()],
            bots=lambda: matching.names(
                (one.id, one.handle, one.shown) for one in self._maker.catalogue.models.values()
            ),
            caller=self._pool.caller,
            day_begins=lambda: Days(self._settings.day_begins),
        )

    def _make(self, settings: Settings) -> Sequence[Token[Upstream]]:
        if self._given is not None:
            return self._given
        found = accounts.read(settings, labels=self._maker.labels)
        return self._maker.tokens(found, settings)

    def _services(self, settings: Settings, models: Models) -> Services:
        # What is under way counts before and after a reload.
        self._admission.limit(
            bodies=round(settings.max_bodies_mb * 1_000_000),
            largest_body=round(settings.max_body_mb * 1_000_000),
            answers=settings.max_streams,
        )
        menu = self._menu = Menu(models, self._maker.catalogue, shown=self._maker.shown)
        media = MediaFetcher(settings.proxy, _origins(settings))
        return Services(
            gateway=Gateway(self._rotator, menu, attempts=settings.attempts),
            with_files=lambda events, chat: files.reply(
                pictures.shown(events, chat, settings.media, media), chat, media
            ),
            balance=self._balance,
            ready=self._ready,
            needs_store=self._pool.is_shared,
            metrics=None if self._metrics is None else self._metrics.text,
            registry=self._registry,
            admin_key=settings.admin_key,
            root_page=settings.root_page,
            max_body=round(settings.max_body_mb * 1_000_000),
            max_work=settings.max_work,
            max_reply=round(settings.max_reply_mb * 1_000_000),
            admission=self._admission,
            apis={
                "chat_completions": ChatCompletions(
                    errors_as_text=settings.errors_as_text, strict=settings.strict_parameters
                ),
                "responses": Responses(errors_as_text=settings.errors_as_text),
                "messages": Messages(
                    errors_as_text=settings.errors_as_text, native=settings.native_messages
                ),
                "completions": Completions(errors_as_text=settings.errors_as_text),
                "image_generations": images.Generations(menu.parameters),
                "image_edits": images.Edits(menu.parameters),
                "speech": Speech(menu.parameters),
            },
            look=self._look,
            usage=None if self._usage is None else self._usage.report,
            days=Days(settings.day_begins),
            told=self._told,
            overview=self._overview,
            asking=self._asking,
            discover=None if self._discoverer is None else self._discover,
            reload=self._reload,
            reload_others=self._fellows.reload,
            close=self._close,
        )

    def _warn_of_clients(self, menu: Menu) -> None:
        """Log what clients are given that is not there, as far as that is known."""
        labels = {token.label for token, _ in self._rotator.states()}
        for client in self._registry.known:
            permission = client.permission
            for pattern in menu.unmatched((*permission.models, *permission.not_models)):
                log.warning(
                    "CLIENTS: clients.%s names the model %s, and there is none by now that it "
                    "matches.",
                    *(client.name, pattern),
                )
            if client.accounts and not client.accounts & labels:
                log.warning("CLIENTS: no account serves clients.%s now.", client.name)

    def _ready(self) -> Mapping[str, Any]:
        """See `Services`."""
        fact = self._facts.newest()
        return {"waiting": fact.waiting, "accounts": fact.counts, "store": fact.store}

    def _hosts(self) -> list[str]:
        return [str(one.get("host", "")) for one in self._pool.workers()]

    def _watch_points(self, settings: Settings) -> None:
        self._alerts.use(settings)
        # Few points can only be told if somebody asks for them.
        is_watched = settings.alert_url is not None and settings.alert_points > 0
        self._watch.every = EVERY if is_watched else inf
        self._rotator.look.set()

    def _watch_site(self) -> None:
        """Have somebody look out for what Poe changes of its site, once there is a cookie."""
        if self._maker.site is None or self._discoverer is not None:
            return
        from poe_proxy.upstreams.poe_web.discovery.service import Discoverer

        self._discoverer = Discoverer(
            self._maker.site,
            self._ways,
            file=lambda: self._settings.site_at,
            reread=self._maker.reread_site,
            is_automatic=lambda: self._settings.discover,
        )
        self._discoverer.start()

    def _told_of_site(self) -> Mapping[str, Any] | None:
        """Tell of Poe's site; None without a cookie."""
        return None if self._discoverer is None else self._discoverer.told()

    def _discover(self, wait: float) -> Mapping[str, Any] | None:
        """See `Services`."""
        assert self._discoverer is not None
        if self._discoverer.discover(wait) is None:
            return None
        found = self._discoverer.told()["discovery"]
        return {**found, "file": found["written"]}

    def _ways(self, label: str) -> Iterator[Way]:
        """Yield the accounts by which Poe's page may be read: that of this *label* first, then
        those that are logged in here."""
        from poe_proxy.upstreams.poe_web.discovery.service import Way

        found = [
            (token, token.upstream)
            for token, state in self._rotator.states()
            if isinstance(token.upstream, Way) and condition(token, state) not in _SET_ASIDE
        ]
        found.sort(key=lambda one: (one[0].label != label, not one[1].is_logged_in))
        for token, way in found:
            if self._rotator.may_ask(token, 0.0):
                yield way

    def _look(self) -> None:
        """See `Services`."""
        self._looks.begin()
        self._facts.start()
        if self._metrics is not None:
            self._metrics.start()
        if self._listener is not None:
            self._listener.start()

    def _told(self, record: Record) -> None:
        """See `Services`."""
        for tell in self._tellers:
            try:
                tell(record)
            except Exception:  # neither the answer nor the others have a part in this
                log.exception("a request was not recorded")

    # ---- reading the settings anew

    def _reload(self) -> Mapping[str, Any]:
        """See `Services`."""
        problems: Mapping[str, list[str]] = {}
        with self._changing:
            if self._is_closed:
                return {"outcome": NOT_RELOADED, "problems": {"poe-proxy": ["It is ending."]}}
            try:
                self._replace(self._read())
            except BadSettings as bad:
                problems = bad.problems
                for name, why in bad.problems.items():
                    for line in " ".join(why).splitlines():
                        log.error("wrong setting %s: %s", name, line.strip())
                audit.error("Not reloaded, going on as before.")
                RELOADS.add("wrong_settings")
            except Exception:
                audit.exception("Not reloaded, going on as before.")
                RELOADS.add("failed")
                problems = {"poe-proxy": ["A fault of its own; the log has the details."]}
        outcome = {"outcome": NOT_RELOADED if problems else RELOADED, "problems": problems}
        self._overview.reloaded(outcome)
        return outcome

    def _replace(self, settings: Settings) -> None:
        """Use *settings* from now on; nothing changes if this raises."""
        models, known = Models.load(settings.models), clients.read(settings)
        before, tokens = self._tokens, self._make(settings)
        self._rotator.replace(
            tokens,
            patience=settings.queue_timeout,
            places=settings.queue_size,
            points_check=settings.points_check,
        )
        self._registry.replace(known, begins=settings.day_begins)
        self._watch_site()
        services = self._services(settings, models)
        # What is under way has its gateway already, and keeps it.
        self.app.serve(services)
        if remarks.changed(self._settings, settings) & {"LOG_LEVEL", "LOG_FORMAT"}:
            logs.set_up(settings.log_level, settings.log_format)
        remarks.warn(settings)
        self._warn_of_clients(services.gateway.menu)
        self._tokens = tokens
        settings = remarks.without_restart(self._settings, settings)
        several.warn(settings)
        if changed := sorted(remarks.changed(self._settings, settings)):
            audit.info("settings that changed: %s", ", ".join(changed))
        self._settings = settings
        self._overview.read_settings()
        self._watch_points(settings)
        self._alerts.start()
        self._looks.go_on()
        self._facts.refresh()
        RELOADS.add("ok")
        # The last word: whoever waits for it has read all that there is to say.
        audit.info(
            "reloaded, serving %s%s", remarks.counts(tokens), remarks.changes(before, tokens)
        )

    # ---- the end

    def _close(self) -> None:
        """See `Services`."""
        with self._changing:
            if self._is_closed:
                return
            self._is_closed = True
        with ExitStack() as steps:
            # The last one comes first, and each of them whatever becomes of the others.
            steps.callback(self._alerts.close)
            self._pool.close(steps)
            if self._usage is not None:
                steps.callback(self._usage.close)
            steps.callback(schemas.close)
            steps.callback(self._maker.close)
            for token in self._given or ():
                steps.callback(token.upstream.close)
            steps.callback(self._rotator.close)
            if self._listener is not None:
                steps.callback(self._listener.close)
            if self._metrics is not None:
                steps.callback(self._metrics.close)
            steps.callback(self._facts.stop)
            steps.callback(self._looks.stop)
            steps.callback(self._balance.stop)
            steps.callback(self._watch.stop)
            if self._usage is not None:
                steps.callback(self._usage.stop)
            steps.callback(self._alerts.stop)
            if self._discoverer is not None:
                steps.callback(self._discoverer.close)


def _origins(settings: Settings) -> list[str]:
    """Return where Poe is, if the operator has said that it is elsewhere, as for tests: the files
    of its bots are there, too."""
    addresses = [
        urlsplit(getattr(settings, field.name))
        for field, _ in declared(Settings)
        if field.name in ("poe_web_url", "poe_api_url")
        and getattr(settings, field.name) != field.default
    ]
    return [f"{one.scheme}://{one.netloc}" for one in addresses]
