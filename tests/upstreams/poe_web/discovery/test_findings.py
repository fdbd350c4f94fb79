"""What was found, compared with what is known and put in its place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from poe_proxy.upstreams.poe_web.discovery.findings import Difference, Findings, Value, known_of
from poe_proxy.upstreams.poe_web.site import Site, Tag

SITE = Site.load()
NEW = "f" * 64
#: One entry of each kind, what is found of it, and what is known, as text.
ENTRIES: dict[str, tuple[Value, str]] = {
    "operations.sendMessageMutation": (NEW, SITE.operations["sendMessageMutation"]),
    "operations.unheardOf": (NEW, ""),
    "subscriptions.messageAdded": (NEW, SITE.subscriptions["messageAdded"]),
    "subscriptions.unheardOf": (NEW, ""),
    "tag.salt": ("new", SITE.tag.salt),
    "tag.form": ("swapped", "plain"),
    "tag.order": (("salt", "body", "formkey"), "body, formkey, salt"),
    "pages.app_script": ("/start|/main", SITE.patterns.app_script.pattern),
    "pages.getter_name": ("gEtTeR", ""),
    "pages.revision_seen": ("0" * 40, ""),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_what_was_found_is_in_its_place(name: str) -> None:
    """Whatever the kind of its entry; and nothing else is another."""
    value, before = ENTRIES[name]
    findings = Findings({name: value})
    after = value if isinstance(value, str) else ", ".join(value)
    assert (Difference(name, before, after),) == findings.differences(SITE)

    applied = findings.applied(SITE)
    assert value == known_of(applied, name)
    assert () == findings.differences(applied)
    others = [one for one in ENTRIES if one != name]
    assert [known_of(SITE, one) for one in others] == [known_of(applied, one) for one in others]


def test_all_of_it_at_once_has_its_day() -> None:
    """It has been seen in the page."""
    findings = Findings({name: value for name, (value, _) in ENTRIES.items()})
    site = findings.applied(SITE, "2026-11-30")

    assert () == findings.differences(site)
    assert Tag("new", "swapped", ("salt", "body", "formkey")) == site.tag
    assert "2026-11-30" == site.newest
    evidence = site.evidence["tag.salt"]
    assert ("2026-11-30", "page", False) == (evidence.seen, evidence.source, evidence.is_own)
    assert SITE.evidence["tag.salt"] != evidence


def test_what_is_known_already_is_no_difference() -> None:
    """A look finds all of it each time."""
    names = [*(f"operations.{name}" for name in SITE.operations), "tag.order", "tag.form"]
    findings = Findings({name: known_of(SITE, name) for name in names})

    assert () == findings.differences(SITE)
    assert replace(findings.applied(SITE), evidence=SITE.evidence) == SITE


def test_an_empty_hash_takes_a_subscription_out() -> None:
    """Poe takes no other ones with it."""
    findings = Findings({"subscriptions.messageReadV2": ""})

    assert "messageReadV2" not in findings.applied(SITE).subscriptions
    assert [""] == [one.after for one in findings.differences(SITE)]


def test_what_nobody_looks_for_is_a_mistake() -> None:
    """Of ours."""
    with pytest.raises(ValueError, match=r"pages\.secret"):
        Findings({"pages.secret": "x"}).differences(SITE)


def test_what_no_answer_can_do_without_comes_first() -> None:
    """The first few are named in a sentence."""
    findings = Findings(
        {
            "operations.ChatListPaginationQuery": NEW,
            "operations.sendMessageMutation": NEW,
            "subscriptions.jobUpdated": NEW,
            "subscriptions.messageAdded": NEW,
        }
    )

    assert ["sendMessageMutation", "messageAdded"] == [
        one.name.partition(".")[2] for one in findings.differences(SITE)[:2]
    ]


def test_what_the_owner_of_the_file_says_in_the_same_words_stays(tmp_path: Path) -> None:
    """Without a day: it is his word. What has another value, or a day, is written."""
    path = tmp_path / "site.toml"
    dated = f'{{ value = "{NEW}", seen = "2026-11-01", source = "page" }}'
    path.write_text(
        f'[operations]\nsendMessageMutation = "{NEW}"\nsettingsPageQuery = "{"0" * 64}"\n'
        f"subscriptionsMutation = {dated}\n"
    )
    names = ("sendMessageMutation", "settingsPageQuery", "subscriptionsMutation")
    findings = Findings({f"operations.{name}": NEW for name in names})

    assert {"operations.settingsPageQuery", "operations.subscriptionsMutation"} == set(
        findings.to_write(Site.load(path))
    )
