"""Keys, builds, hashes and channels that change while we are at work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from poe_proxy import errors
from poe_proxy.upstreams.poe_web import Site
from poe_proxy.upstreams.poe_web.account import PoeWeb
from poe_proxy.upstreams.poe_web.current import CurrentSite

from .accounts import WORDS, Account, ask, failure_of, many, site


@pytest.mark.parametrize("words", ["!formkey-rotated", "!new-build"])
def test_a_refused_message_is_repeated_with_a_new_form_key(
    account: Account, web: PoeWeb, words: str
) -> None:
    """A 400 means that nothing was done: the same message goes out again, nonces and all."""
    ask(web, "!echo first")
    reply = ask(web, f"{words} !echo {WORDS}")

    _, *sends = account.sends()
    assert WORDS == reply.text
    assert [400, 200] == [entry["status"] for entry in sends]
    assert ["ok", "ok"] == [entry["tag"] for entry in sends]
    assert 1 == len({entry["clientNonce"] for entry in sends})
    assert 1 == len(account.journal(event="socket-open"))


def test_all_replies_at_once_survive_a_new_form_key(account: Account, web: PoeWeb) -> None:
    """Ten replies that find the form key changed make one new login of it."""
    ask(web, "!echo first")
    account.sim.control(rotate_formkey=account.label)
    replies = many(web, [f"!echo {n} {WORDS}" for n in range(10)])

    assert [f"{n} {WORDS}" for n in range(10)] == [reply.text for reply in replies]
    assert 2 == len(account.journal(path="/", method="GET"))


def test_the_other_form_of_the_tag_is_tried_and_remembered(
    account: Account, control: Callable[..., Any]
) -> None:
    """Poe takes only swapped tags: found out once, then known for the process."""
    control(tag_mode="swapped")
    shared = site(account.folder)
    first = ask(account.web(site=shared), "!echo one")
    before = len(account.journal(tag="bad"))
    second = ask(account.web(site=shared), "!echo two")

    assert ("one", "two") == (first.text, second.text)
    assert 0 < before == len(account.journal(tag="bad"))


@pytest.mark.parametrize("answer", ["Server Error", "PersistedQueryNotFound"])
@pytest.mark.parametrize("operation", ["sendMessageMutation", "subscriptionsMutation"])
def test_a_retired_hash_is_named(
    account: Account, control: Callable[..., Any], operation: str, answer: str
) -> None:
    """When Poe no longer knows a hash, the failure names operation and hash."""
    control(stale_answer=answer, retire_hash=operation)
    web = account.web()
    raised = failure_of(web, "hello")

    assert isinstance(raised, errors.UpstreamChanged)
    assert operation in raised.message
    assert web._site.now.operations[operation] in raised.message
    assert "docs/when-poe-changes.md" in raised.message


def test_a_user_s_own_file_has_the_new_hash(
    account: Account, control: Callable[..., Any], tmp_path: Path
) -> None:
    """A new hash in the site's file is all that is needed."""
    control(retire_hash="sendMessageMutation")
    new = control()["hashes"]["sendMessageMutation"]
    own = f'[operations]\nsendMessageMutation = "{new}"\n'
    (tmp_path / "own.toml").write_text(own)

    assert (
        "hi"
        == ask(account.web(site=CurrentSite(Site.load(tmp_path / "own.toml"))), "!echo hi").text
    )


def test_a_channel_that_poe_forgot_is_replaced(account: Account, web: PoeWeb) -> None:
    """Poe refuses messages for a channel that it does not know: they go by a new one."""
    ask(web, "!echo first")
    account.sim.control(forget_channels=account.label)
    reply = ask(web, f"!echo {WORDS}")

    assert WORDS == reply.text
    assert 2 == len(account.journal(event="reply-start"))
