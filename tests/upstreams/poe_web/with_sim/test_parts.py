"""What an answer does not need: where Poe no longer knows it, answers go on without it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from poe_proxy.upstreams.poe_web.account import PoeWeb

from ....fakes import log_lines
from ....with_sim.servers import until
from .accounts import WORDS, Account, ask, many

ASK = "HandleBotLandingPageQuery"
DELETE = "useDeleteChat_deleteChat_Mutation"
STOP = "cancelViewerActiveJobs_cancelViewerActiveJobs_Mutation"
MESSAGES = "ChatListPaginationQuery"

both_answers = pytest.mark.parametrize("answer", ["Server Error", "PersistedQueryNotFound"])


def mend(web: PoeWeb, account: Account, operation: str) -> None:
    """Find the hash that Poe knows now, as a user or a discovery does."""
    site = web._site.now
    new = account.sim.control()["hashes"][operation]
    operations = {**site.operations, operation: new}
    object.__setattr__(site, "operations", operations)
    web._site.replace(site)


@both_answers
def test_a_bot_is_answered_by_though_its_page_is_unknown(
    account: Account, control: Callable[..., Any], answer: str
) -> None:
    """The site is asked about it once, not for each answer, and the log says so once."""
    control(stale_answer=answer, retire_hash=ASK)
    web = account.web()
    with log_lines() as lines:
        replies = [ask(web, f"!echo {WORDS}") for _ in range(3)]

    assert [WORDS] * 3 == [reply.text for reply in replies]
    assert len(account.journal(queryName=ASK)) <= 2
    assert 1 == lines.getvalue().count("WARNING")
    assert 1 == sum("WARNING" in line and ASK in line for line in lines.getvalue().splitlines())


@both_answers
def test_chats_that_cannot_be_deleted_are_deleted_once_that_works(
    account: Account, control: Callable[..., Any], answer: str
) -> None:
    """72 answers, one line in the log; and all 73 chats are gone once the hash is mended."""
    control(stale_answer=answer, retire_hash=DELETE)
    web = account.web(delete_chats=True)
    with log_lines() as lines:
        replies = many(web, [f"!echo {WORDS}"] * 36) + many(web, [f"!echo {WORDS}"] * 36)
        until(lambda: 72 == len(web._tidying._chats))

    assert [WORDS] * 72 == [reply.text for reply in replies]
    about = [line for line in lines.getvalue().splitlines() if "elet" in line]
    assert 1 == len(about), about
    assert DELETE in about[0]
    assert [] == account.journal(event="chat-deleted")
    mend(web, account, DELETE)
    assert WORDS == ask(web, f"!echo {WORDS}").text

    until(lambda: 73 == len(account.journal(event="chat-deleted")))
    assert not web._tidying._chats


@both_answers
def test_a_bot_that_cannot_be_stopped_is_left_alone(
    account: Account, control: Callable[..., Any], answer: str
) -> None:
    """After two tries at most, and one line in the log for all of them."""
    control(stale_answer=answer, retire_hash=STOP)
    web = account.web(timeout=0.3)
    with log_lines() as lines:
        replies = [ask(web, f"!hang !echo {WORDS}") for _ in range(3)]
        web._tidying.close(60.0)

    assert ["upstream_timeout"] * 3 == [reply.failure.code for reply in replies if reply.failure]
    assert 1 <= len(account.journal(queryName=STOP)) <= 2 * 3
    assert 1 == sum("WARNING" in line for line in lines.getvalue().splitlines())


@both_answers
def test_without_the_history_only_what_is_read_there_is_lost(
    account: Account, control: Callable[..., Any], answer: str
) -> None:
    """A websocket that tells of replies needs none; one that does not has nothing else."""
    control(stale_answer=answer, retire_hash=MESSAGES)
    with log_lines() as lines:
        assert WORDS == ask(account.web(), f"!echo {WORDS}").text
        control(retire_subscription="messageAdded")
        web = account.web(clock=lambda: time.monotonic() * 10)
        replies = [ask(web, f"!echo {WORDS}") for _ in range(3)]

    assert ["bot_failed"] * 3 == [reply.failure.code for reply in replies if reply.failure]
    assert 1 == sum("WARNING" in line for line in lines.getvalue().splitlines())
    assert len(account.journal(queryName=MESSAGES)) <= 2
