"""What the views need of the rest of the house."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from flask import current_app

from poe_proxy.apis.base import Api
from poe_proxy.budget import CHARACTERS, SECONDS
from poe_proxy.chat import ChatRequest, ReplyEvent
from poe_proxy.clients import Registry
from poe_proxy.gateway import Gateway
from poe_proxy.overview import Overview
from poe_proxy.pool.asking import Asking
from poe_proxy.pool.balances import Balance
from poe_proxy.record import Record
from poe_proxy.server.admission import Admission
from poe_proxy.usage.report import Report
from poe_proxy.usage.wanted import Days, Wanted

#: A reply as it arrives.
Events: TypeAlias = Generator[ReplyEvent, None, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The objects that `app.py` has joined."""

    gateway: Gateway
    #: What all accounts have left.
    balance: Balance[Any]
    #: What `/ready` shows, from memory: the `accounts` in each state, as `Rotator.census`
    #: counts them, the requests `waiting` in line, and whether the `store` is "ok", "off", or else
    #: what is wrong with it.
    ready: Callable[[], Mapping[str, Any]] = lambda: {"accounts": {}, "waiting": 0, "store": "off"}
    #: Whether no account is lent without the store: it is Redis, which several servers share.
    needs_store: bool = False
    #: Returns the metrics in the form that an `Accept` asks for, and their content type; None: none
    #: are kept.
    metrics: Callable[[str], tuple[bytes, str]] | None = None
    #: Who may ask, and what each has left.
    registry: Registry
    #: The key of whoever runs the server; None: there are no routes for it.
    admin_key: str | None = field(default=None, repr=False)
    #: Whether there is a page at `/`.
    root_page: bool = True
    #: The most bytes that a body may have.
    max_body: int
    #: Seconds of computing for one request.
    max_work: float = SECONDS
    #: The most characters of one reply.
    max_reply: int = CHARACTERS
    #: Gives a reply the files that its request wants.
    with_files: Callable[[Events, ChatRequest], Events] = lambda events, chat: events
    #: What all requests together may hold.
    admission: Admission = field(default_factory=Admission)
    #: The APIs by the names of their views; `chat_completions` is used for all other routes.
    apis: Mapping[str, Api]
    #: Looks once at each account, without waiting; called once the worker serves.
    look: Callable[[], None] = lambda: None
    #: Makes reports of what was used; None if no records of it are kept.
    usage: Callable[[Wanted], Report] | None = None
    #: How the days of such reports begin.
    days: Days = field(default_factory=Days)
    #: Takes the record of each request once its answer is closed; does not wait.
    told: Callable[[Record], None] = lambda record: None
    #: What `/status.json` tells.
    overview: Overview
    #: Asks Poe about one account, for whoever runs the server.
    asking: Asking[Any]
    #: Looks for what is new on Poe's site, and waits so many seconds for what comes of it, which is
    #: as `discovery` in `/status.json`, with the `file` that it was written to; None if it is not
    #: over by then. No such function: nothing is asked by cookie.
    discover: Callable[[float], Mapping[str, Any] | None] | None = None
    #: Reads the settings anew, for the next requests; replies under way go on. A mistake in them
    #: is logged, and changes nothing. Returns the `outcome`, "reloaded" or "not reloaded", and by
    #: the names of settings the `problems`.
    reload: Callable[[], Mapping[str, Any]]
    #: Lets the other workers that share the pool, on all hosts, read theirs; does not wait.
    reload_others: Callable[[], None] = lambda: None
    #: Gives back what is kept between requests; called once, when the worker ends.
    close: Callable[[], None] = lambda: None


def services() -> Services:
    """Return the services of the running app."""
    found: Services = current_app.extensions["poe_proxy"]
    return found
