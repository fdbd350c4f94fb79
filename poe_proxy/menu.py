"""What clients may name, and what is asked then: the table of names joined with living bots."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any, Final

from poe_proxy.clients.client import EVERYTHING, Permission
from poe_proxy.errors import ModelNotAllowed
from poe_proxy.models import Models, TokenKind
from poe_proxy.prices import Price
from poe_proxy.upstreams.catalogue import UNKNOWN, Catalogue, Model

#: What clients write before the name of a bot, with a slash behind it, or with a colon: who makes
#: the model, or how they reach it. LiteLLM, OpenRouter's clients and opencode send such names.
_PREFIXES: Final = frozenset(
    {
        *("poe", "openrouter", "litellm", "litellm_proxy", "custom", "openai-compatible"),
        *("openai", "anthropic", "google", "gemini", "xai", "x-ai", "meta-llama", "mistralai"),
        *("mistral", "deepseek", "qwen", "moonshotai", "minimax", "z-ai", "zai"),
    }
)
_WITH_COLON: Final = frozenset({"poe", "openai"})
#: The most names that are kept with what they lead to, and their most characters: clients choose
#: them.
MAX_KEPT: Final = 1000
_LONGEST_KEPT: Final = 100
#: The most slashes of a name behind which a bot's name is looked for.
_MAX_SLASHES: Final = 4

#: Whose bots come first in the list.
_MAKERS: Final = frozenset({"anthropic", "openai", "google", "xai"})

#: The day that some makers write behind a model's name.
_DAY: Final = re.compile(r"-20\d{6}\Z")
#: What Anthropic's clients write behind a name: that the window is long, and which day it is of.
_SUFFIXES: Final = (re.compile(r"\[1m\]\Z", re.I), re.compile(r"-(?:\d{8}|latest)\Z", re.I))
_CLAUDE: Final = "claude-"
#: Anthropic's names, and how Poe's have the same: the version with a dot, and the last.
_ANTHROPICS: Final = (
    re.compile(r"claude-(?P<family>[a-z]+)-(?P<a>\d{1,2})-(?P<b>\d{1,2})", re.I),
    re.compile(r"claude-(?P<a>\d{1,2})(?:-(?P<b>\d{1,2}))?-(?P<family>[a-z]+)", re.I),
)
_BETWEEN: Final = re.compile(r"[^a-z0-9]+")


_NOBODY: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Target:
    """What a model name leads to."""

    #: The bot as the official API and the pool know it.
    bot: str
    #: The bot as the site knows it.
    handle: str
    #: The kind of token that may ask it; None: any.
    kind: TokenKind | None = None
    #: The tokens whose accounts are shown it, by name, if Poe's list does not have it: a bot of
    #: one's own is for its account alone.
    tokens: frozenset[str] = frozenset()
    #: What of the client's name led there.
    name: str = field(default="", compare=False)

    def spelled(self, kind: str) -> str:
        """Return what to call the bot when it is asked by a token of that *kind*."""
        return self.handle if kind == "cookie" else self.bot


@dataclass(frozen=True, slots=True)
class _Page:
    """What follows from one copy of Poe's list: made once, and thrown away with it."""

    copy: Mapping[str, Model]
    #: What accounts are shown, as it was told.
    told: Mapping[str, frozenset[str]]
    #: The bots of it that Poe's list does not have, and the names of the tokens.
    shown: Mapping[str, frozenset[str]]
    #: The bots by all their names, in lower case.
    bots: Mapping[str, Model]
    #: The entries of the list of models, in order, by their ids in lower case.
    entries: Mapping[str, dict[str, Any]] = field(repr=False)
    #: The bots by what is left of their names without signs, and a day; None: it is not certain.
    bare: Mapping[str, Model | None] = field(repr=False)
    #: What names that were asked for lead to.
    targets: dict[str, Target | None] = field(default_factory=dict, repr=False)
    #: What of the entries those may see who may not use all of it.
    permitted: dict[Permission, Mapping[str, dict[str, Any]]] = field(
        default_factory=dict, repr=False
    )


class Menu:
    """The names that clients may use: those of the table, and the bots that Poe offers."""

    def __init__(
        self,
        models: Models,
        catalogue: Catalogue,
        *,
        shown: Callable[[], Mapping[str, frozenset[str]]] = dict,
    ) -> None:
        """*shown* returns the handles of bots that accounts are shown, and the names of their
        tokens; it is asked by lists of models, and may wait a moment."""
        self._models = models
        self._catalogue = catalogue
        self._ask_shown = shown
        self._shown: Mapping[str, frozenset[str]] = {}
        self._newest = self._read(catalogue.models, self._shown)

    def resolve(self, name: str) -> Target | None:
        """Return what *name* leads to, in upper or lower case; None if it is hidden or leads
        nowhere. Does not wait.

        A name is looked for in the table and among Poe's bots: whole, then without what stands
        before a slash or a colon, and then as one of Anthropic's. One that is found nowhere is a
        bot's handle, without the prefix of a known provider.
        """
        page = self._page()
        if name in page.targets:
            return page.targets[name]
        target = self._resolve(name, page)
        if len(name) <= _LONGEST_KEPT:
            if len(page.targets) >= MAX_KEPT:
                page.targets.clear()
            page.targets[name] = target
        return target

    def _resolve(self, name: str, page: _Page) -> Target | None:
        for reading, said in chain(
            ((one, one) for one in _readings(name)),
            ((one, theirs) for theirs in _readings(name) for one in _anthropics(theirs)),
        ):
            if self._models.hides(reading):
                return None
            route = self._models.route(reading)
            bot = reading if route is None else self._models.handle(route.bot)
            kind = None if route is None else route.kind
            if model := page.bots.get(bot.lower()):
                if route is None and self._models.hides(model.id):
                    return None
                # The spelling of whoever asks is kept, as far as it is one.
                bot = bot if bot.lower() == model.id.lower() else model.id
                if tokens := page.shown.get(model.id, _NOBODY):
                    # No key leads to a bot that is one account's own.
                    kind = kind or "cookie"
                return Target(bot, model.handle or bot, kind, tokens, said)
            if route is not None:
                return Target(bot, bot, kind, name=said)
        name = _without_prefixes(name)
        route = self._models.resolve(name)
        return None if route is None else Target(route.bot, route.bot, route.kind, name=name)

    def entries(self, permission: Permission = EVERYTHING) -> list[dict[str, Any]]:
        """Return what can be named with that *permission*, as entries of OpenAI's model list.

        Waits for the very first copy of Poe's list, a few seconds at most.
        """
        return list(self._permitted(self._whole_page(), permission).values())

    def entry(self, name: str, permission: Permission = EVERYTHING) -> Mapping[str, Any] | None:
        """Return the entry for *name*, which may be any name of a bot of the list; None if it is
        not listed. Waits as `entries` does."""
        page, target = self._whole_page(), self.resolve(name)
        if permission and not self._allows(name, target, permission):
            return None
        if (listed := page.entries.get(name.lower())) or target is None:
            return listed
        return page.entries.get(target.bot.lower())

    def check(self, name: str, target: Target | None, permission: Permission) -> None:
        """Raise `ModelNotAllowed` unless *permission* allows the model *name*, which leads to
        *target*: whether there is such a model makes no difference."""
        if permission and not self._allows(name, target, permission):
            raise ModelNotAllowed(
                f"The model {name[:100]!r} is not among those that this key may use; "
                "GET /v1/models lists them.",
                param="model",
            )

    def unmatched(self, patterns: Iterable[str]) -> list[str]:
        """Return those of *patterns*, which are in lower case, that no name matches which is known
        by now."""
        page = self._page()
        names = {*page.entries, *page.bots, *(name.lower() for name in self._models.names)}
        return [one for one in patterns if not any(fnmatchcase(name, one) for name in names)]

    def _allows(self, name: str, target: Target | None, permission: Permission) -> bool:
        page = self._page()
        if target is None:
            return permission.allows((name,), self._likely(name, page))
        # What led there is the client's own choice only as far as that is a name of the bot. Any
        # other name of it may be written there: it is meant, too.
        bot = target.bot.lower()
        same = (
            one
            for one in (*permission.models, *permission.not_models)
            if (other := self.resolve(one)) is not None and other.bot.lower() == bot
        )
        called = (target.name, target.bot, target.handle, *same)
        likely = () if bot in page.bots else self._likely(target.bot, page)
        return permission.allows(called, (name, *likely))

    def _likely(self, name: str, page: _Page) -> tuple[str, ...]:
        """Return the names of the bot that Poe may take *name* for, which is in no list: one that
        differs in signs alone."""
        near = page.bare.get(_bare(unicodedata.normalize("NFKC", name).casefold()))
        return () if near is None else (near.id, near.handle)

    def reads_at_most(self, target: Target) -> int | None:
        """Return how many tokens the bot reads at most, None if that is not known."""
        return self._page().bots.get(target.bot.lower(), UNKNOWN).reads_at_most

    def listed(self, bot: str) -> str | None:
        """Return *bot*, in any case, as Poe's list spells it; None if the list does not have it.
        Does not wait."""
        return self._page().bots.get(bot.lower(), UNKNOWN).id or None

    def price(self, target: Target) -> Price | None:
        """Return what the bot costs, None if that is not known."""
        return self._page().bots.get(target.bot.lower(), UNKNOWN).price

    def parameters(self, name: str) -> Mapping[str, Mapping[str, Any]]:
        """Return the parameters that the bot which *name* leads to declares, with the JSON schema
        of each; none of a bot that is not known. Does not wait."""
        target = self.resolve(name)
        bot = "" if target is None else target.bot.lower()
        return self._page().bots.get(bot, UNKNOWN).parameters

    def hint(self, name: str, target: Target) -> str:
        """Return a sentence for a client that asked for *name* and heard that there is no such bot;
        empty if there is nothing to say."""
        said = []
        route = self._models.route(name)
        if route is not None and not route.is_own:
            said.append(
                f"{name!r} is an old name for the bot {target.handle!r}, which Poe no longer has; "
                "GET /v1/models lists others."
            )
        near = self._page().bare.get(_bare(target.bot))
        if near and near.id.lower() != target.bot.lower() and not self._models.hides(near.id):
            said.append(f"Did you mean {near.id!r}?")
        return " ".join(said)

    # ---- what follows from a copy of Poe's list

    def _permitted(self, page: _Page, permission: Permission) -> Mapping[str, dict[str, Any]]:
        if not permission:
            return page.entries
        found = page.permitted.get(permission)
        if found is None:
            found = page.permitted[permission] = {
                key: entry
                for key, entry in page.entries.items()
                if self._allows(entry["id"], self._resolve(entry["id"], page), permission)
            }
        return found

    def _whole_page(self) -> _Page:
        """Return the page with all that can be had within a few seconds."""
        self._catalogue.wait()
        if (shown := self._ask_shown()) != self._shown:
            self._shown = shown
        return self._page()

    def _page(self) -> _Page:
        page, copy, shown = self._newest, self._catalogue.models, self._shown
        if page.copy is not copy or page.told is not shown:
            page = self._newest = self._read(copy, shown)
        return page

    def _read(self, copy: Mapping[str, Model], told: Mapping[str, frozenset[str]]) -> _Page:
        bots: dict[str, Model] = {}
        bare: dict[str, Model | None] = {}
        for model in copy.values():
            for name in (model.handle, model.shown):
                if name:
                    bots.setdefault(name.lower(), model)
            key = _bare(model.id)
            bare[key] = None if key in bare else model
        # An id is nobody else's name.
        bots.update(copy)
        shown = {handle: tokens for handle, tokens in told.items() if handle.lower() not in bots}
        bots |= {handle.lower(): Model.read({"id": handle}) for handle in shown}
        everyone = [*copy.values(), *(bots[handle.lower()] for handle in shown)]
        listing = self._listing(bots, sorted(everyone, key=_place))
        return _Page(copy, told, shown, bots, listing, bare)

    def _listing(
        self, bots: Mapping[str, Model], models: list[Model]
    ) -> Mapping[str, dict[str, Any]]:
        own: dict[str, dict[str, Any]] = {}
        old: dict[str, dict[str, Any]] = {}
        for name, route in self._models.names.items():
            model = bots.get(self._models.handle(route.bot).lower(), UNKNOWN)
            plain = {"object": "model", "created": 0, "owned_by": "poe"}
            entry = {**plain, **model.entry, "id": name}
            if route.is_own:
                own[name.lower()] = entry
            elif model is not UNKNOWN:
                old[name.lower()] = entry
        listed = {model.id.lower(): dict(model.entry) for model in models}
        # The user decides what a name leads to; an old name that is a bot's own is that bot.
        everything = {**own, **{key: one for key, one in listed.items() if key not in own}}
        everything |= {key: one for key, one in old.items() if key not in everything}
        return {key: one for key, one in everything.items() if not self._models.hides(key)}


def _place(model: Model) -> tuple[bool, bool, int]:
    """Return what decides the place of *model* in the list: what is talked with before what makes
    pictures, sound or films; the makers that everybody knows first; and the newest first."""
    is_known = model.entry["owned_by"].lower() in _MAKERS
    return not model.talks, not is_known, -model.entry["created"]


def _readings(name: str) -> Iterator[str]:
    """Yield *name*, and what is left of it without its parts up to a slash, or a known prefix."""
    yield name
    head, colon, rest = name.partition(":")
    if colon and head.lower() in _WITH_COLON:
        name = rest
        yield name
    parts = name.split("/", _MAX_SLASHES)
    for place in range(1, len(parts)):
        yield "/".join(parts[place:])


def _anthropics(name: str) -> Iterator[str]:
    """Yield what *name* may be at Poe if it is one of Anthropic's, such as
    `claude-sonnet-4-5-20250929[1m]`."""
    if not name.lower().startswith(_CLAUDE):
        return
    for suffix in _SUFFIXES:
        bare = suffix.sub("", name)
        if bare != name:
            yield bare
        name = bare
    for form in _ANTHROPICS:
        if found := form.fullmatch(name):
            version = ".".join(filter(None, found.group("a", "b")))
            yield f"claude-{found['family']}-{version}"
            yield f"claude-{version}-{found['family']}"


def _without_prefixes(name: str) -> str:
    for separator, known in ((":", _WITH_COLON), ("/", _PREFIXES)):
        for _ in range(_MAX_SLASHES):
            head, found, rest = name.partition(separator)
            if not found or head.lower() not in known:
                break
            name = rest
    return name


def _bare(name: str) -> str:
    return _BETWEEN.sub("", _DAY.sub("", name.lower()))
