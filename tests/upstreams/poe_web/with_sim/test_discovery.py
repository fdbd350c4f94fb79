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
    web: PoeWeb, discoverer: Discoverer, control: Callable[..., Any], change: str
) -> None:
    """By name, and the account answers again without a new login."""
    switches, found = CHANGES[change]
    assert "hi" == ask(web, "!echo hi").text
    control(**switches)
    outcome = looked(discoverer)

    assert "mended" == outcome.word, outcome
    assert found in {one.name for one in outcome.differs}
    assert "hi" == ask(web, "!echo hi").text


@pytest.mark.parametrize(
    "switches",
    [
        {"rotate_getter": True},
        {"getter_shape": "arrow"},
        {"getter_shape": "bracket"},
        {"getter_shape": "defined"},
        {"getter_in": "script"},
        {"rotate_revision": True},
        {"revision_in": "chunk"},
        {"markup": "flight"},
        {"markup": "attributes"},
        {"settings_without_channel": True},
        {"manifest_form": "function"},
        {"artefact_form": "relay"},
    ],
    ids=str,
)
def test_other(
    web: PoeWeb, discoverer: Discoverer, control: Callable[..., Any], account: Account, switches
) -> None:
    assert "hi" == ask(web, "!echo hi").text
    control(check_revision=True, rotate_formkey=account.label, **switches)
    outcome = looked(discoverer)
    print(outcome)
    reply = ask(web, "!echo hi")
    assert "hi" == reply.text, reply
