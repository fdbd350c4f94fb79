"""The site as it is known now: replaced in place, and what fails of it said once."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from poe_proxy.errors import UpstreamChanged
from poe_proxy.upstreams.poe_web import graphql
from poe_proxy.upstreams.poe_web.current import (
    AS_BEFORE,
    GONE,
    MENDED,
    PERHAPS_GONE,
    WHAT_TO_DO,
    CurrentSite,
)
from poe_proxy.upstreams.poe_web.graphql import HashUnknown
from poe_proxy.upstreams.poe_web.site import NEEDED, Site

from ...fakes import Clock

SITE = Site.load()
SEND = "sendMessageMutation"
DELETE = "useDeleteChat_deleteChat_Mutation"
NEW = "f" * 64


def with_hash(operation: str, hash: str) -> Site:
    return replace(SITE, operations={**SITE.operations, operation: hash})


def met(known: CurrentSite, operation: str, *, perhaps: bool = False) -> UpstreamChanged:
    hash = known.now.operations[operation]
    return known.met(graphql.changed(operation, hash, perhaps=perhaps), "cookie-1")


def test_the_hash_of_an_operation_is_the_newest_one() -> None:
    """From the moment of the replacement on."""
    known = CurrentSite(SITE)
    assert SITE.operations[DELETE] == known.check(DELETE, "cookie-1")

    known.replace(with_hash(DELETE, NEW))
    assert NEW == known.check(DELETE, "cookie-1")


@pytest.mark.parametrize(("perhaps", "lasts"), [(False, GONE), (True, PERHAPS_GONE)])
def test_an_operation_that_poe_does_not_know_is_not_asked_for(perhaps: bool, lasts: float) -> None:
    """For a while: it may have been a fault of Poe's own, or of a release that is taken back."""
    clock = Clock()
    known = CurrentSite(SITE, clock=clock)
    met(known, DELETE, perhaps=perhaps)

    with pytest.raises(HashUnknown):
        known.check(DELETE, "cookie-1")
    clock.now += lasts
    assert known.check(DELETE, "cookie-1")


def test_what_is_not_asked_for_says_what_can_be_done_each_time() -> None:
    """Whoever is refused without a question reads as much as the first one."""
    known = CurrentSite(SITE)
    met(known, DELETE)
    known.hear(lambda _, __: "It is being looked for.")
    for _ in range(2):
        with pytest.raises(HashUnknown, match=DELETE) as refused:
            known.check(DELETE, "cookie-1")
        assert refused.value.message.endswith(" It is being looked for.")


@pytest.mark.parametrize("operation", NEEDED)
def test_what_every_answer_needs_is_asked_for_all_the_same(operation: str) -> None:
    """Nothing else would show that Poe knows it again."""
    known = CurrentSite(SITE)
    met(known, operation)

    assert known.check(operation, "cookie-1")


def test_a_new_hash_is_asked_for_at_once() -> None:
    """What failed was the old one."""
    known = CurrentSite(SITE)
    met(known, DELETE)
    known.replace(with_hash(DELETE, NEW))

    assert NEW == known.check(DELETE, "cookie-1")


def test_after_a_replacement_all_is_asked_for_again() -> None:
    """What Poe did not know may have been a fault of what was replaced, such as the tag."""
    known = CurrentSite(SITE)
    met(known, DELETE)
    known.replace(with_hash("settingsPageQuery", NEW))

    assert SITE.operations[DELETE] == known.check(DELETE, "cookie-1")


def test_an_operation_that_nobody_knows_is_a_failure_that_names_it() -> None:
    """A user's file may take it out."""
    known = CurrentSite(with_hash(DELETE, ""))

    with pytest.raises(HashUnknown, match=f"hash of {DELETE} is not known"):
        known.check(DELETE, "cookie-1")


def test_the_log_says_each_hash_once(caplog: pytest.LogCaptureFixture) -> None:
    """However often it fails, and again only for another one."""
    known = CurrentSite(SITE)
    with caplog.at_level(logging.INFO):
        for _ in range(72):
            met(known, DELETE)
        known.replace(with_hash(DELETE, NEW))
        met(known, DELETE)

    first, second = caplog.messages
    assert SITE.operations[DELETE] in first
    assert NEW in second
    assert "No answer needs it." in first


def test_whoever_hears_of_it_says_what_is_being_done() -> None:
    """The client reads it; without anybody, what it can do itself."""
    known = CurrentSite(SITE)
    assert met(known, DELETE).message.endswith(WHAT_TO_DO)

    heard: list[tuple[str, str]] = []

    def hear(sign: str, label: str) -> str:
        heard.append((sign, label))
        return "It is being looked for."

    known.hear(hear)
    failure = met(known, DELETE)

    assert isinstance(failure, HashUnknown)
    assert DELETE == failure.operation
    assert str(failure).endswith(": the site has changed.")
    assert failure.message.endswith(": the site has changed. It is being looked for.")
    assert [("cookie-1", True)] == [(label, SITE.operations[DELETE] in one) for one, label in heard]


NEW_TAG = replace(SITE, tag=replace(SITE.tag, salt="another"))


@pytest.mark.parametrize(
    ("failure", "mended"),
    [
        (graphql.changed(DELETE, SITE.operations[DELETE]), with_hash(DELETE, NEW)),
        (graphql.still_refused(DELETE, SITE.tag), NEW_TAG),
    ],
    ids=["hash", "tag"],
)
def test_what_was_replaced_meanwhile_is_told_to_nobody(
    failure: UpstreamChanged, mended: Site
) -> None:
    """It is mended already, and whoever met it may try again at once; with what is the newest one,
    it is a sign again."""
    known = CurrentSite(mended)
    heard: list[str] = []
    known.hear(lambda sign, _: heard.append(sign) or "It is looked for.")

    assert f"{failure.message} {MENDED}" == known.met(failure, "cookie-1").message
    assert [] == heard
    assert known.check(DELETE, "cookie-1")

    known = CurrentSite(SITE)
    known.hear(lambda sign, _: heard.append(sign) or "It is looked for.")
    assert known.met(failure, "cookie-1").message.endswith("It is looked for.")
    assert [failure.message] == heard


def test_the_form_of_the_tag_that_poe_accepted_is_kept() -> None:
    """Until the site's own changes; a late word about the old one does not count."""
    known = CurrentSite(SITE)
    known.accepted(SITE.tag, "swapped")
    known.replace(with_hash(DELETE, NEW))
    assert "swapped" == known.tag_form

    known.replace(NEW_TAG)
    known.accepted(SITE.tag, "swapped")
    assert "plain" == known.tag_form


def test_it_is_known_how_long_other_values_are_in_use() -> None:
    """A newer day for the same ones makes no other site."""
    clock = Clock()
    known = CurrentSite(SITE, clock=clock)
    known.replace(replace(SITE, evidence={}))
    assert known.age is None

    known.replace(with_hash(DELETE, NEW))
    clock.go(5.0)
    assert 5.0 == known.age


def test_a_hash_that_poe_refuses_gives_way_to_the_one_before(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What was found along with others may be newer than what works. Nobody has to look then."""
    known = CurrentSite(SITE)
    heard: list[str] = []
    known.hear(lambda sign, _: heard.append(sign) or "")
    known.replace(with_hash(SEND, NEW))
    failure = met(known, SEND)

    assert failure.message.endswith(AS_BEFORE)
    assert SITE.operations[SEND] == known.check(SEND, "cookie-1")
    assert ([], 2) == (heard, len(caplog.messages))


def test_there_is_no_way_back_to_what_poe_has_refused() -> None:
    """Neither to the one before nor, later, to the one after it: now somebody has to look."""
    known = CurrentSite(SITE)
    heard: list[str] = []
    known.hear(lambda sign, _: heard.append(sign) or "")
    met(known, SEND)
    known.replace(with_hash(SEND, NEW))
    met(known, SEND)

    assert NEW == known.check(SEND, "cookie-1")
    assert 2 == len(heard)


def test_what_goes_back_leaves_all_else_as_it_is() -> None:
    """Each operation by itself."""
    known = CurrentSite(SITE)
    both = {**SITE.operations, SEND: NEW, DELETE: NEW}
    known.replace(replace(SITE, operations=both))
    met(known, DELETE)

    assert {**SITE.operations, SEND: NEW} == known.now.operations
