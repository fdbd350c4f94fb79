"""What a look at Poe's page and its scripts has brought to light. Free of I/O.

A finding is an entry of a site file: `operations.sendMessageMutation`, and what stands there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias, cast

from poe_proxy.upstreams.poe_web.site import (
    NEEDED,
    Evidence,
    Patterns,
    Site,
    Tag,
    TagForm,
    TagOrder,
    compiled,
)

#: The entries that no answer can do without.
_FIRST: Final = frozenset(
    (*(f"operations.{name}" for name in NEEDED), "subscriptions.messageAdded")
)
#: Where an entry comes from that was found.
SOURCE: Final = "page"

#: What an entry has.
Value: TypeAlias = str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """An entry that the page has otherwise than we do; each value as text."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found, and what was not."""

    #: By the names of entries: all that was found, whether it is new or not.
    found: Mapping[str, Value] = field(default_factory=dict)
    #: The operations and subscriptions that neither page nor scripts have.
    missing: tuple[str, ...] = ()
    #: What else is to be said, in sentences.
    notes: tuple[str, ...] = ()

    def differences(self, site: Site) -> tuple[Difference, ...]:
        """Return what *site* has otherwise, what no answer can do without first."""
        found = [
            Difference(name, _text(known), _text(value))
            for name, value in self.found.items()
            if (known := known_of(site, name)) != value
        ]
        return tuple(sorted(found, key=lambda one: one.name not in _FIRST))

    def to_write(self, site: Site) -> Mapping[str, Value]:
        """Return what goes into the file on top of *site*: all that was found, but for what its
        owner has written there in the same words."""

        def is_said(name: str, value: Value) -> bool:
            evidence = site.evidence.get(name)
            is_own = evidence is not None and evidence.is_own and not evidence.seen
            return is_own and known_of(site, name) == value

        return {name: value for name, value in self.found.items() if not is_said(name, value)}

    def applied(self, site: Site, day: str = "") -> Site:
        """Return *site* with all that was found, on that *day*, in its place."""
        of = {table: dict(_of(self.found, table)) for table in ("tag", "pages")}
        tag, pages = of["tag"], of["pages"]
        operations = cast("Mapping[str, str]", dict(_of(self.found, "operations")))
        subscriptions = cast("Mapping[str, str]", dict(_of(self.found, "subscriptions")))
        return replace(
            site,
            tag=Tag(
                cast("str", tag.get("salt", site.tag.salt)),
                cast("TagForm", tag.get("form", site.tag.form)),
                cast("TagOrder", tag.get("order", site.tag.order)),
            ),
            patterns=_patterns(site.patterns, pages),
            getter_name=cast("str", pages.get("getter_name", site.getter_name)),
            revision_seen=cast("str", pages.get("revision_seen", site.revision_seen)),
            operations={**site.operations, **operations},
            subscriptions={
                name: hash
                for name, hash in {**site.subscriptions, **subscriptions}.items()
                if hash  # an empty one takes it out
            },
            evidence={**site.evidence, **dict.fromkeys(self.found, Evidence(day, SOURCE))},
        )


def known_of(site: Site, name: str) -> Value:
    """Return what *site* has for the entry of that *name*; empty for nothing."""
    table, _, key = name.partition(".")
    match table:
        case "operations":
            return site.operations.get(key, "")
        case "subscriptions":
            return site.subscriptions.get(key, "")
        case "tag":
            return cast("Value", getattr(site.tag, key))
    match key:
        case "app_script":
            return site.patterns.app_script.pattern
        case "getter_name":
            return site.getter_name
        case "revision_seen":
            return site.revision_seen
    raise ValueError(f"{name} is not looked for.")


def _patterns(known: Patterns, pages: Mapping[str, Value]) -> Patterns:
    found = pages.get("app_script")
    if found is None:
        return known
    return replace(known, app_script=compiled("pages.app_script", found, groups=0))


def _of(found: Mapping[str, Value], table: str) -> Iterator[tuple[str, Value]]:
    for name, value in found.items():
        of, _, key = name.partition(".")
        if of == table:
            yield key, value


def _text(value: Value) -> str:
    return value if isinstance(value, str) else _BETWEEN.join(value)


_BETWEEN: Final = ", "
