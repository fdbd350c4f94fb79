"""What was found is tried before it is used, without anybody noticing."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace

import pytest

from poe_proxy.errors import LoginFailed, TokenRejected, UpstreamOverloaded
from poe_proxy.tallies import LOGINS
from poe_proxy.upstreams.poe_web.current import CurrentSite
from poe_proxy.upstreams.poe_web.discovery.findings import Findings, Value
from poe_proxy.upstreams.poe_web.discovery.looking import Look
from poe_proxy.upstreams.poe_web.discovery.trying import QUERIES, Trial, try_out
from poe_proxy.upstreams.poe_web.session import Session
from poe_proxy.upstreams.poe_web.site import Site
from poe_proxy.upstreams.poe_web.transport import Response

from ..fixtures import APP, CHANNEL, KEY, page
from .fakes import APP_SCRIPT, COOKIE, SITE, UNKNOWN, Poe, html

FIRST, SECOND = (name for name, _ in QUERIES)
NEW = "f" * 64
CHANNEL_NAME = json.loads(CHANNEL)["channel"]


def seen(poe: Poe, found: dict[str, Value] | None = None, *missing: str) -> Look:
    """A look at the page as it is now, with these findings."""
    home = poe.home()
    poe.asked.clear()
    return Look(home, (APP,), Findings(found or {}, missing), 1, len(APP))


def tried(
    poe: Poe, found: dict[str, Value] | None = None, *missing: str, key: str | None = None
) -> Trial:
    return try_out(poe, seen(poe, found, *missing), SITE, key)


def answering(status: int, content: object = None) -> Callable[[str], Response | None]:
    """What answers all operations like this, but no page."""
    response = Response(status, {}, json.dumps(content).encode())
    return lambda name: None if name.startswith("/") else response


def with_hash(name: str, hash: str = NEW) -> Site:
    return replace(SITE, operations={**SITE.operations, name: hash})


def test_one_query_is_all_that_is_asked() -> None:
    """Nothing is subscribed to if there is nothing new about it."""
    poe = Poe()
    trial = tried(poe)

    assert ("", ()) == (trial.failure, trial.notes)
    assert [FIRST] == poe.asked


def test_what_was_found_is_what_goes_out() -> None:
    """Hashes, salt and order; what is known already does not count."""
    poe = Poe()
    order = ("salt", "formkey", "body")
    poe.site = replace(with_hash(FIRST), tag=replace(SITE.tag, salt="new", order=order))
    found: dict[str, Value] = {f"operations.{FIRST}": NEW, "tag.salt": "new", "tag.order": order}
    trial = tried(poe, found)

    assert ("", found) == (trial.failure, trial.findings.found)
    assert [FIRST] == poe.asked


def test_the_second_query_is_asked_if_poe_does_not_know_the_first() -> None:
    """It may be one that was not found. The log says nothing of it: nobody needs it."""
    poe = Poe()
    poe.site = with_hash(FIRST)

    assert "" == tried(poe).failure
    assert [FIRST, SECOND] == poe.asked


def test_without_any_query_it_does_not_work() -> None:
    """The failure names the last one, and does not tell to look for what is new."""
    poe = Poe()
    poe.answer = answering(200, UNKNOWN)
    trial = tried(poe)

    assert trial.failure.endswith(f"{SITE.operations[SECOND]}: the site has changed.")
    assert [FIRST, SECOND] == poe.asked


def test_a_trial_is_told_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """It says of no operation that answers go on without it, and counts as no login."""
    poe = Poe()
    poe.site = with_hash(FIRST)
    before = LOGINS.counts()
    with caplog.at_level(logging.INFO):
        tried(poe)

    assert [] == caplog.messages
    assert before == LOGINS.counts()


def test_a_tag_that_is_refused_does_not_work() -> None:
    """With either form, and with keys that are as fresh as can be."""
    poe = Poe()
    poe.site = replace(SITE, tag=replace(SITE.tag, salt="nobody knows"))
    trial = tried(poe)

    assert "how requests are signed" in trial.failure
    assert {FIRST, "/"} == set(poe.asked)


def test_the_form_of_the_tag_is_what_poe_takes() -> None:
    """The page's own function may mark what it takes for no browser."""
    poe = Poe()
    poe.form = "plain"
    trial = tried(poe, {"tag.form": "swapped"})

    assert ("", "plain") == (trial.failure, trial.findings.found["tag.form"])
    assert "swapped" == tried(Poe(), {"tag.form": "swapped"}).findings.found["tag.form"]


def test_keys_are_renewed_by_what_was_found() -> None:
    """A script of another name has the secret now: the site that is in use does not know that."""
    poe = Poe()
    poe.html = html().replace("pages/_app-", "pages/start-")
    poe.scripts[APP_SCRIPT.replace("_app-", "start-")] = APP
    poe.form = "plain"
    found: dict[str, Value] = {"tag.form": "swapped", "pages.app_script": "/start-"}

    assert "" == tried(poe, found).failure


def test_a_page_that_gives_no_form_key_is_tried_with_the_one_that_is_given() -> None:
    """And says so: the next login will want another."""
    poe = Poe()
    poe.html = page(scripts="<script>function nothing(){}</script>")
    assert "form key cannot be computed" in tried(poe).failure
    assert [] == poe.asked
    trial = tried(poe, key=KEY)

    assert ("", ("It was tried with the form key that cookie-1 has had before.",)) == (
        trial.failure,
        trial.notes,
    )


def test_a_given_form_key_that_is_refused_does_not_work() -> None:
    """There is no other one; that is no fault of the account's."""
    poe = Poe()
    poe.html = page(scripts="<script>function nothing(){}</script>")
    trial = tried(poe, key="0" * 32)

    assert "form key cannot be computed" in trial.failure


# ---- subscriptions


def test_new_subscriptions_are_tried_on_a_channel_that_nobody_listens_to() -> None:
    """That of the page that was looked at."""
    poe = Poe()
    poe.site = replace(SITE, subscriptions={**SITE.subscriptions, "messageAdded": NEW})
    trial = tried(poe, {"subscriptions.messageAdded": NEW})

    assert ("", [(CHANNEL_NAME, tuple(SITE.subscriptions))]) == (trial.failure, poe.subscribed)


def test_subscribing_is_tried_if_its_own_hash_is_new() -> None:
    """Nothing else asks for it."""
    poe = Poe()
    poe.site = with_hash("subscriptionsMutation")
    trial = tried(poe, {"operations.subscriptionsMutation": NEW})

    assert "" == trial.failure
    assert [CHANNEL_NAME] == [channel for channel, _ in poe.subscribed]


def test_subscriptions_that_poe_does_not_take_do_not_work() -> None:
    """All of them were found: there is nothing that could be left out."""
    poe = Poe()
    trial = tried(poe, {"subscriptions.messageAdded": NEW})

    assert SITE.operations["subscriptionsMutation"] in trial.failure
    assert 1 == len(poe.subscribed)


@pytest.mark.parametrize("found", [{}, {"subscriptions.jobUpdated": NEW}])
def test_missing_ones_are_left_out_if_poe_takes_no_others(found: dict[str, Value]) -> None:
    """Also if nothing else has changed: Poe may have dropped one."""
    poe = Poe()
    left = {name: hash for name, hash in SITE.subscriptions.items() if name != "messageReadV2"}
    poe.site = replace(SITE, subscriptions={**left, **({"jobUpdated": NEW} if found else {})})
    trial = tried(poe, found, "subscriptions.messageReadV2")

    assert "" == trial.failure
    assert {**found, "subscriptions.messageReadV2": ""} == trial.findings.found
    assert [tuple(SITE.subscriptions), tuple(left)] == [names for _, names in poe.subscribed]
    assert ("Poe takes subscriptions only without those that its scripts do not have.",) == (
        trial.notes
    )
    assert 1 == poe.asked.count(FIRST)


def test_missing_ones_stay_as_long_as_poe_takes_them() -> None:
    """A script may just not have been read."""
    poe = Poe()
    trial = tried(poe, {}, "subscriptions.messageReadV2", "operations.settingsPageQuery")

    assert ("", {}, ()) == (trial.failure, trial.findings.found, trial.notes)


def test_what_every_answer_needs_is_not_left_out() -> None:
    """Poe would take the others."""
    poe = Poe()
    others = {name: hash for name, hash in SITE.subscriptions.items() if name != "messageAdded"}
    poe.site = replace(SITE, subscriptions=others)
    trial = tried(poe, {}, "subscriptions.messageAdded")

    assert trial.failure
    assert {} == trial.findings.found


def test_what_poe_refuses_without_them_too_is_as_it_was_found() -> None:
    """Nothing is said that did not help."""
    poe = Poe()
    poe.site = replace(SITE, subscriptions={})
    trial = tried(poe, {"subscriptions.jobUpdated": NEW}, "subscriptions.messageReadV2")

    assert trial.failure
    assert ({"subscriptions.jobUpdated": NEW}, ()) == (trial.findings.found, trial.notes)


# ---- the account


def test_an_account_that_is_refused_is_not_the_sites_fault() -> None:
    """Another one may do."""
    poe = Poe()
    look = seen(poe)
    poe.answer = answering(401)
    with pytest.raises(TokenRejected):
        try_out(poe, look, SITE)

    poe.answer = answering(502)
    with pytest.raises(UpstreamOverloaded):
        try_out(poe, look, SITE)


def test_renewed_cookies_are_taken_as_a_login_takes_them() -> None:
    """Poe may take the old ones only a little longer."""
    poe = Poe()
    poe.issued = {"/": {"p-b": "of-the-page"}}
    tried(poe)
    assert "p-b=of-the-page" == poe.cookies.header()

    poe.issued[FIRST] = {"p-b": "of-the-query"}
    tried(poe)
    assert "p-b=of-the-query" == poe.cookies.header()


def test_cookies_of_a_page_that_gives_no_form_key_are_not_taken() -> None:
    """It may be none of the account's."""
    poe = Poe()
    poe.html = page(scripts="<script>function nothing(){}</script>")
    poe.issued = {"/": {"p-b": "of-the-page"}}
    tried(poe)

    assert f"p-b={COOKIE}" == poe.cookies.header()


def test_the_accounts_own_session_stays_as_it_is() -> None:
    """Its keys and its channel, and whether they were refused."""
    poe = Poe()
    session = Session(poe, CurrentSite(SITE))
    session.log_in()
    keys = session.ready_keys()
    poe.site = replace(SITE, tag=replace(SITE.tag, salt="nobody knows"))
    tried(poe)

    assert session.are_good(keys)


def test_a_page_that_cannot_be_read_again_says_nothing_of_what_was_found() -> None:
    """Where a fresh form key is wanted, since Poe refuses the one that the page has given."""
    poe = Poe()
    look = seen(poe)
    poe.answer = lambda name: Response(502 if name == "/" else 400, {}, b"{}")

    with pytest.raises(LoginFailed, match="502"):
        try_out(poe, look, SITE)
