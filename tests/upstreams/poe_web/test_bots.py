"""What the site says about bots. No socket is opened."""

from __future__ import annotations

from typing import Any

import pytest

from poe_proxy import errors
from poe_proxy.upstreams.poe_web.attachments import Attachment
from poe_proxy.upstreams.poe_web.bots import Bot, Bots
from poe_proxy.upstreams.poe_web.graphql import HashUnknown, StillRefused

from ...fakes import Clock, log_lines
from .fakes import FakeSession, failing

IMAGE = Attachment("cat.png", "image/png", b"12345")
NOTES = Attachment("notes.txt", "text/plain", b"12345")


def read(name: str = "Some-Bot", viewer: Any = None, **facts: Any) -> Bot:
    return Bot.read(name, {"bot": facts, "viewer": viewer}, timeout=60.0)


def test_what_is_said_about_a_bot() -> None:
    """Each fact is taken as the site gives it (§10.6)."""
    bot = read(
        handle="Some-Bot",
        messageTimeoutSecs=120,
        supportsFileUpload=True,
        uploadFileSizeLimit=1000,
        viewer={"shouldUseFinishUploadEndpoint": False},
    )

    assert Bot("Some-Bot", 120.0, file_limit=1000, uploads_ahead=False) == bot


def test_what_is_not_said_about_a_bot() -> None:
    """It then takes everything, and has as much time as any other."""
    assert Bot("Some-Bot", 60.0) == read()


@pytest.mark.parametrize(
    ("facts", "handle"),
    [
        ({"handle": "Its-Handle", "displayName": "Its name"}, "Its-Handle"),
        ({"displayName": "Its-Name"}, "Its-Name"),
        ({}, "some-bot"),
    ],
)
def test_the_site_knows_how_a_bot_is_written(facts: dict[str, Any], handle: str) -> None:
    """The message names it in the site's own spelling."""
    assert handle == read("some-bot", **facts).handle


def test_a_bot_may_take_less_time_than_others_but_is_not_hurried() -> None:
    """TIMEOUT holds where the site grants less."""
    assert 60.0 == read(messageTimeoutSecs=5).patience


@pytest.mark.parametrize("name", ["No-Such-Bot", "GPT-4o"])
def test_a_handle_that_the_site_does_not_know(name: str) -> None:
    """There is no such bot, and no other is taken in its place."""
    with pytest.raises(errors.BotNotFound) as raised:
        Bot.read(name, {"bot": None}, 60.0)

    assert "model" == raised.value.param


def test_of_an_inner_name_the_site_s_silence_proves_nothing() -> None:
    """No table knows it, and there may be such a bot all the same (§25)."""
    bot = Bot.read("some_codename", {"bot": None}, 60.0)

    assert Bot("some_codename", 60.0, is_proven=False) == bot


@pytest.mark.parametrize(
    ("facts", "message"),
    [({"noAccessMessage": "For subscribers."}, "For subscribers."), ({}, "may not use Some-Bot")],
)
def test_a_bot_that_is_not_for_this_account(facts: dict[str, Any], message: str) -> None:
    """The site's own words, where it has any; another account may do better."""
    with pytest.raises(errors.BotNotAllowed, match=message) as raised:
        read(canUserAccessBot=False, **facts)

    assert "model" == raised.value.param


@pytest.mark.parametrize(
    ("facts", "taken"),
    [
        ({}, [IMAGE, NOTES]),
        ({"supportsFileUpload": False}, []),
        ({"supportsFileUpload": False, "allowsImageAttachments": True}, [IMAGE]),
        ({"uploadFileSizeLimit": 5}, [IMAGE, NOTES]),
        ({"uploadFileSizeLimit": 4}, []),
        ({"uploadFileSizeLimit": 0}, [IMAGE, NOTES]),
        ({"uploadFileSizeLimit": "much"}, [IMAGE, NOTES]),
    ],
)
def test_a_bot_takes_files_or_not(facts: dict[str, Any], taken: list[Attachment]) -> None:
    """What it does not take, or not of this size, is refused by the messages' name."""
    bot = read(**facts)
    for file in (IMAGE, NOTES):
        if file in taken:
            bot.check([file])
            continue
        with pytest.raises((errors.ParameterRefused, errors.PromptTooLong)) as raised:
            bot.check([file])
        assert "messages" == raised.value.param


def test_bots_are_remembered_within_bounds() -> None:
    """A client cannot fill the memory with names."""
    bots = Bots(timeout=60.0, clock=Clock())
    session = FakeSession(HandleBotLandingPageQuery=lambda: {"bot": None})
    for number in range(1500):
        bots.look_up(f"some_codename_{number}", session)

    assert 1000 == len(bots._bots)
    assert bots.known("some_codename_1499") is not None
    assert bots.known("some_codename_0") is None


def test_a_bot_is_remembered_for_an_hour_in_any_case() -> None:
    """Afterwards the site is asked anew."""
    clock = Clock()
    bots = Bots(timeout=60.0, clock=clock)
    session = FakeSession(HandleBotLandingPageQuery=lambda: {"bot": {"handle": "Some-Bot"}})
    bot = bots.look_up("some-bot", session)

    clock.go(3599)
    assert bot == bots.known("SOME-BOT")
    clock.go(2)
    assert bots.known("some-bot") is None


def test_a_refusal_is_not_remembered() -> None:
    """The bot may be made, or the account subscribe, at any time."""
    bots = Bots(timeout=60.0, clock=Clock())
    session = FakeSession(HandleBotLandingPageQuery=lambda: {"bot": None})
    with pytest.raises(errors.BotNotFound):
        bots.look_up("No-Such-Bot", session)

    assert bots.known("No-Such-Bot") is None


def test_a_bot_that_nobody_can_ask_about_is_taken_for_one_as_most_are() -> None:
    """For a minute, and not as proven: then the site is asked again."""
    clock = Clock()
    bots = Bots(timeout=60.0, clock=clock)
    answers: list[Any] = [HashUnknown("a new hash"), {"bot": {"handle": "Some-Bot"}}]

    def answer() -> Any:
        given = answers.pop(0)
        if isinstance(given, Exception):
            raise given
        return given

    session = FakeSession(HandleBotLandingPageQuery=answer)
    with log_lines() as lines:
        bot = bots.look_up("some-bot", session)

    assert Bot("some-bot", 60.0, is_proven=False) == bot == bots.known("Some-Bot")
    bot.check([IMAGE, NOTES])
    assert "" == lines.getvalue()
    clock.go(61)
    assert bots.known("some-bot") is None
    assert Bot("Some-Bot", 60.0) == bots.look_up("some-bot", session)


@pytest.mark.parametrize(
    "failure", [StillRefused("refused"), errors.UpstreamOverloaded("502"), errors.LoginFailed("x")]
)
def test_any_other_failure_of_the_look_up_is_one(failure: Exception) -> None:
    """Whatever it is, the sending would meet it too, and nothing is remembered."""
    bots = Bots(timeout=60.0, clock=Clock())
    with pytest.raises(type(failure)):
        bots.look_up("some-bot", FakeSession(HandleBotLandingPageQuery=failing(failure)))

    assert bots.known("some-bot") is None


def test_what_poe_says_of_a_bot_has_a_length() -> None:
    """A name of megabytes is none, and a bot that may be silent for years is not waited for."""
    found = Bot.read("x", {"bot": {"handle": "h" * 201, "displayName": ["x"],
                                   "messageTimeoutSecs": 1e9}}, 60.0)  # fmt: skip
    with pytest.raises(errors.BotNotAllowed) as refusal:
        Bot.read("x", {"bot": {"canUserAccessBot": False, "noAccessMessage": "m" * 5000}}, 60.0)

    assert ("x", 3600.0) == (found.handle, found.patience)
    assert "m" * 1000 == refusal.value.message


def test_a_name_has_a_length() -> None:
    """A longer one is not asked for."""
    session = FakeSession()
    with pytest.raises(errors.BotNotFound) as refusal:
        Bots(timeout=60.0, clock=lambda: 0.0).look_up("x" * 201, session)

    assert [] == session.calls
    assert "xxx" not in refusal.value.message
