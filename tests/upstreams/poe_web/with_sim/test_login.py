"""Logging in: cookies, pages, form keys."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from poe_proxy import errors
from poe_proxy.upstreams.poe_web.account import PoeWeb
from poe_proxy.upstreams.poe_web.site import Site

from ..fakes import Door
from .accounts import LIMIT, LIMITS, Account, ask, failure_of, many, site


def test_a_challenge_is_an_error_of_its_own(account: Account, control: Callable[..., Any]) -> None:
    """A challenge page instead of the home page says what to do."""
    control(challenge="on")
    raised = failure_of(account.web(), "hello")

    assert isinstance(raised, errors.UpstreamBlocked)
    assert "POE_API_KEYS" in raised.message


def test_a_cookie_that_leads_to_the_login_page_is_rejected(account: Account) -> None:
    """A cookie that Poe does not know is rejected, once and without another try."""
    raised = failure_of(account.web("not-a-cookie-of-anybody"), "hello")

    assert isinstance(raised, errors.TokenRejected)


def test_a_logged_out_account_can_come_back(account: Account, web: PoeWeb) -> None:
    """The stranger's cookie of a redirect is not taken: the given one works again later."""
    ask(web, "!echo hi")
    account.sim.control(log_out=account.label)
    raised = failure_of(web, "hello")
    account.sim.control(log_in=account.label)
    reply = ask(web, "!echo back")

    assert isinstance(raised, errors.TokenRejected)
    assert "back" == reply.text


@pytest.mark.parametrize("words", [{"http": 502}, {"reset": 1}, {"http": 503}])
def test_a_page_that_does_not_come_is_asked_for_again(
    account: Account, words: dict[str, Any]
) -> None:
    """An outage of a moment at the home page is waited for."""
    account.sim.control(fail={"path": "/", "account": account.label, "times": 2, "with": words})

    assert "hi" == ask(account.web(), "!echo hi").text


def test_an_outage_is_no_fault_of_the_token(account: Account, control: Callable[..., Any]) -> None:
    """When the page never comes, another token may try: nothing was sent. The message says why."""
    control(fail={"path": "/", "account": account.label, "times": 99, "with": {"http": 502}})
    raised = failure_of(account.web(), "hello")

    # Not `UpstreamOverloaded`, which would be held against the bot.
    assert isinstance(raised, errors.LoginFailed)
    assert ("upstream_login", "Poe answers / with 502.") == (raised.code, raised.message)
    assert raised.another_token


def test_requests_that_wait_for_a_login_share_its_failure(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten requests that wait for one login make no ten logins when it fails."""
    web = account.web("nobody-knows-this-cookie")
    door, log_in = Door(), web._session.log_in

    def log_in_last() -> Any:
        """Let all ten come to wait first."""
        for _ in range(10):
            assert door.visitors.acquire(timeout=LIMIT)
        return log_in()

    monkeypatch.setattr(web._login, "_lock", door)
    monkeypatch.setattr(web._session, "log_in", log_in_last)
    before = len(account.sim.journal(path="/", cookie="bad"))
    replies = many(web, ["hello"] * 10)

    assert [errors.TokenRejected] * 10 == [type(reply.failure) for reply in replies]
    assert 1 == len(account.sim.journal(path="/", cookie="bad")) - before


@pytest.mark.parametrize("operation", ["HandleBotLandingPageQuery", "subscriptionsMutation"])
@pytest.mark.parametrize("words", [{"http": 502}, {"reset": 1}, {"server-error": 1}])
def test_what_only_reads_is_asked_again(
    account: Account, operation: str, words: dict[str, Any]
) -> None:
    """A lost answer to a question is asked for once more."""
    account.sim.control(
        fail={"query_name": operation, "account": account.label, "times": 1, "with": words}
    )

    assert "hi" == ask(account.web(), "!echo hi").text


def test_a_page_without_a_channel_is_made_up_for(
    account: Account, control: Callable[..., Any]
) -> None:
    """Channel data comes from the settings where the page has none."""
    control(page_without_channel=True)

    assert "hi" == ask(account.web(), "!echo hi").text
    assert account.journal(path="/api/settings")


@pytest.mark.parametrize("how", ["same", "new", "twice", "none"])
def test_renewed_cookies_are_taken_one_for_one(
    account: Account, control: Callable[..., Any], how: str
) -> None:
    """A renewed cookie replaces the old one; two of a name are never sent."""
    control(set_cookie=how)
    web = account.web()
    texts = [ask(web, f"!echo {n}").text for n in range(3)]

    assert ["0", "1", "2"] == texts
    entries = [e for e in account.journal(face="web") if "cookie" in e]
    assert {"ok"} == {entry["cookie"] for entry in entries}
    assert (how == "new") == (account.token != web._session._front.cookies.values["p-b"])


@pytest.mark.parametrize(
    "form",
    [
        "{token}",
        "p-b={token}",
        "p-b={token}; p-lat=abc%2Bdef%3D",
        "p-lat=abc; p-b={token}; cf_clearance=xyz;",
        "Cookie: p-b={token}",
    ],
)
def test_tokens_in_all_their_forms(account: Account, form: str) -> None:
    """A token is the bare cookie or a list of cookies."""
    assert "hi" == ask(account.web(form.format(token=account.token)), "!echo hi").text


def _hide_secret(own: Site) -> None:
    """Let the form key be beyond computing."""
    for name in ("secret", "secret_anywhere"):
        object.__setattr__(own.now.patterns, name, re.compile("(nowhere)"))


def test_a_form_key_in_the_token_saves_computing_it(account: Account, web: PoeWeb) -> None:
    """The form key that stands in the token is used as it is."""
    ask(web, "!echo hi")
    key = web._session._keys.formkey
    own = site(account.folder)
    _hide_secret(own)
    given = account.web(f"p-b={account.token}; formkey={key}", site=own)

    assert "hi" == ask(given, "!echo hi").text
    assert [] == account.journal(formkey="bad")


def test_a_form_key_in_the_token_that_is_out_of_date_is_computed(account: Account) -> None:
    """A given form key that Poe refuses is replaced by the page's."""
    stale = account.web(f"p-b={account.token}; formkey={'0' * 32}")

    assert "hi" == ask(stale, "!echo hi").text
    assert 1 == len(account.journal(formkey="bad"))


def test_a_getter_that_has_another_shape_is_found(account: Account) -> None:
    """It is among the functions that the page puts on its window."""
    own = site(account.folder)
    object.__setattr__(own.now.patterns, "getter", re.compile("(nowhere)"))

    assert "hi" == ask(account.web(site=own), "!echo hi").text
    assert [] == account.journal(formkey="bad")


def test_a_page_that_changed_says_what_to_do(account: Account) -> None:
    """When the secret is not where it was, the failure names the step and the way out."""
    own = site(account.folder)
    _hide_secret(own)
    raised = failure_of(account.web(site=own), "hello")

    # Not `UpstreamChanged`: another account may have a form key of its own.
    assert isinstance(raised, errors.LoginFailed)
    assert "pages.secret" in raised.message
    assert "formkey=" in raised.message


@pytest.mark.parametrize(
    ("faults", "limits", "words"),
    [
        (
            [{"path": "/", "with": {"script-loops": 1}}],
            {"script": 0.5},
            "form key cannot be computed",
        ),
        ([{"path": "/", "with": {"slow": 60}}], {"http": 1.5}, "did not answer in time"),
        ([{"path": "/", "times": 3, "with": {"reset": 1}}], {}, "The connection to Poe was"),
        (
            [
                {"path": "/", "with": {"slow": 0}},
                {"path": "/api/settings", "with": {"http": 404}},
            ],
            {},
            "/api/settings with 404",
        ),
    ],
    ids=["its script loops", "it is silent", "it is reset", "it has no channel"],
)
def test_a_page_that_is_of_no_use_leads_to_another_account(
    account: Account,
    control: Callable[..., Any],
    faults: list[dict[str, Any]],
    limits: dict[str, float],
    words: str,
) -> None:
    """Nothing was sent; and once the page is good again, so is the account."""
    control(
        page_without_channel="settings" in str(faults),
        fail=[{**fault, "account": account.label} for fault in faults],
    )
    own = site(account.folder, **limits)
    web = account.web(site=own)
    raised = failure_of(web, "hello")

    assert isinstance(raised, errors.LoginFailed)
    code = "upstream_changed" if "form key" in words else "upstream_login"
    assert (code, True) == (raised.code, raised.another_token)
    assert words in raised.message
    assert [] == account.sends()
    control(page_without_channel=False)
    # What is good may take longer than what is not waited for.
    for name in limits:
        object.__setattr__(own.now.limits, name, LIMITS[name])
    assert "hi" == ask(web, "!echo hi").text


def test_a_key_that_cannot_be_renewed_leads_to_another_account(
    account: Account, web: PoeWeb, control: Callable[..., Any]
) -> None:
    """The message that was refused for its key, and those that wait: Poe acted on none."""
    ask(web, "!echo hi")
    control(
        rotate_formkey=account.label,
        fail={"path": "/", "account": account.label, "times": 3, "with": {"http": 502}},
    )
    failures = [reply.failure for reply in many(web, ["hello"] * 3)]

    assert [errors.LoginFailed] * 3 == [type(failure) for failure in failures]
    assert "hi" == ask(web, "!echo hi").text


def test_the_device_is_the_same_after_a_restart(account: Account) -> None:
    """Poe sees one device for each account."""
    for _ in range(2):
        ask(account.web(), "!echo hi")

    assert 1 == len({entry["sdid"] for entry in account.sends()})


def test_renewed_cookies_survive_a_restart(account: Account, control: Callable[..., Any]) -> None:
    """They are handed out as they come, and used first in the next process."""
    control(set_cookie="new")
    kept: list[Any] = []
    ask(account.web(keep_renewed=kept.append), "!echo hi")
    control(set_cookie="none")
    again = account.web("p-b=long-gone", renewed=kept[-1])

    assert "hi" == ask(again, "!echo hi").text
    assert {"p-b"} == set(kept[-1])


def test_scripts_are_fetched_without_the_account(account: Account, web: PoeWeb) -> None:
    """The scripts' host gets neither cookie nor any header of Poe's."""
    ask(web, "!echo hi")
    scripts = [
        entry
        for entry in account.sim.journal(method="GET")
        if entry["path"].startswith("/_next/static/")
    ]

    assert scripts
    for entry in scripts:
        assert "user-agent" in entry["headers"]
        assert not {"cookie", "poe-formkey", "poe-tag-id", "origin"} & set(entry["headers"])


def test_the_balance_is_that_of_the_account(account: Account, web: PoeWeb) -> None:
    """The points that are left are those that Poe names."""
    account.sim.control(points={account.label: 1234})

    assert 1234 == web.balance().points
