"""What Poe changes is found in its page and scripts, tried, and used from then on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from poe_proxy.upstreams.poe_web.account import PoeWeb
from poe_proxy.upstreams.poe_web.current import CurrentSite
from poe_proxy.upstreams.poe_web.discovery.service import Discoverer, Outcome

from .accounts import Account, ask, site

#: Each change of Poe's, by what it is called; and what is found of it, if a login does not see it
#: by itself.
CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "a hash": ({"retire_hash": "sendMessageMutation"}, "operations.sendMessageMutation"),
    "all hashes": ({"retire_hash": True}, "operations.settingsPageQuery"),
    "a subscription's hash": (
        {"retire_subscription": "messageAdded", "stale_subscription": "error"},
        "subscriptions.messageAdded",
    ),
    "salt": ({"salt": "aNewSaltaNewSalt1"}, "tag.salt"),
    "tag order": ({"tag_order": "salt formkey body"}, "tag.order"),
    "salt, hidden": ({"salt": "aNewSaltaNewSalt2", "tag_function": "hidden"}, "tag.salt"),
    "salt, nonce": ({"salt": "aNewSaltaNewSalt3", "tag_function": "nonce"}, "tag.salt"),
    "chunk names": ({"chunk_names": "opaque"}, "pages.app_script"),
    "getter in a script": ({"getter_in": "script"}, "pages.app_script"),
    "revision in a script": ({"revision_in": "chunk"}, "pages.revision_seen"),
}


@pytest.fixture
def known(account: Account) -> CurrentSite:
    return site(account.folder)


@pytest.fixture
def web(account: Account, known: CurrentSite) -> PoeWeb:
    return account.web(site=known)


@pytest.fixture
def discoverer(known: CurrentSite, web: PoeWeb) -> Iterator[Discoverer]:
    made = Discoverer(known, lambda _: [web])
    made.start()
    yield made
    made.close()


def looked(discoverer: Discoverer) -> Outcome:
    outcome = discoverer.discover(60)
    assert outcome is not None
    return outcome


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_found(
    web: PoeWeb,
    discoverer: Discoverer,
    account: Account,
    control: Callable[..., Any],
    change: str,
) -> None:
    """By name, and the account answers again."""
    switches, found = CHANGES[change]
    assert "hi" == ask(web, "!echo hi").text
    control(check_revision=True, rotate_formkey=account.label, **switches)
    outcome = looked(discoverer)

    assert "mended" == outcome.word, outcome
    assert found in {one.name for one in outcome.differs}
    assert "hi" == ask(web, "!echo hi").text


#: What a login sees by itself: there is nothing to find, and the account goes on.
SEEN_BY_A_LOGIN: tuple[dict[str, Any], ...] = (
    {"rotate_getter": True},
    {"getter_shape": "arrow"},
    {"getter_shape": "bracket"},
    {"getter_shape": "defined"},
    {"rotate_revision": True},
    {"markup": "flight"},
    {"markup": "attributes"},
    {"settings_without_channel": True},
    {"manifest_form": "function"},
    {"artefact_form": "relay"},
)


@pytest.mark.parametrize("switches", SEEN_BY_A_LOGIN, ids=str)
def test_what_a_login_sees_by_itself_needs_no_discovery(
    web: PoeWeb,
    discoverer: Discoverer,
    control: Callable[..., Any],
    account: Account,
    switches: dict[str, Any],
) -> None:
    """With the next form key all is as before; and discovery reads such a page as well."""
    assert "hi" == ask(web, "!echo hi").text
    control(check_revision=True, rotate_formkey=account.label, **switches)

    assert "hi" == ask(web, "!echo hi").text
    outcome = looked(discoverer)
    assert ("same", ()) == (outcome.word, outcome.missing)
    assert [] == account.journal(verdict="bad hash")
