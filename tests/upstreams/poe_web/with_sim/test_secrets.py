"""Secrets stay out of the log and of errors."""

from __future__ import annotations

import logging
import re

import pytest

from poe_proxy.chat import ImagePart

from .accounts import URI, Account, ask, chat, many


def test_no_secret_is_logged(account: Account, caplog: pytest.LogCaptureFixture) -> None:
    """The log of a full run, at its most talkative, has no secret and no word of a prompt."""
    caplog.set_level(logging.DEBUG)
    web = account.web(f"p-b={account.token}; p-lat=secret-lat; cf_clearance=secret-clearance")
    prompts = [
        "!echo", "!close-socket", "!missed", "!http=500", "!reset-after-accept", "!formkey-rotated",
        "!server-error", "!http=400", "!status=no_access", "!state=error_x", "!http=403",
    ]  # fmt: skip
    ask(web, "platypus")
    replies = many(web, [f"{words} platypus !delay=0.1 !echo platypus" for words in prompts])
    ask(web, chat("platypus", ImagePart(URI)))
    channel = web._channel
    assert channel is not None
    session = web._session
    secrets = {
        account.token, "secret-", "platypus", URI[22:40], session._keys.formkey,
        channel._data.hash, channel._data.name, web._device,
    }  # fmt: skip
    said = caplog.text + "".join(f"{reply.failure!r} {reply.events!r}" for reply in replies)
    shown = "".join(
        map(repr, (web, session, channel, session._keys, channel._data, session._front.cookies))
    )

    assert "logged in" in said
    for secret in secrets:
        assert secret
        assert secret not in said + shown
    assert not re.search(r"poe-tag-id|\b[0-9a-f]{32}\b", said)
