"""A reply's memory is given back when it is over, however it ended, and not some time later."""

from __future__ import annotations

import threading

import pytest

from poe_proxy.errors import let_go
from poe_proxy.upstreams.poe_web.account import PoeWeb

from ....garbage import left_behind
from ....with_sim.servers import until
from .accounts import WORDS, Account, ask


@pytest.mark.parametrize(
    "prompt",
    [
        f"!echo {WORDS}",
        "!http=429 !echo x",
        "!reset !echo x",
        "!reset-after-accept !echo x",
        "!state=error_x !echo x",
        "!cancelled !echo x",
    ],
)
def test_a_reply_leaves_nothing_to_the_garbage_collector(
    account: Account, web: PoeWeb, prompt: str
) -> None:
    """Exchange, sending and mailbox are not held by each other once the reader has the reply."""
    ask(web, "!echo first")

    def reply() -> None:
        if failure := ask(web, prompt).failure:
            let_go(failure)  # as whoever answers with it does
        mine = f"{account.label} "
        until(lambda: not [one for one in threading.enumerate() if one.name == f"{mine}sending"])

    assert set() == left_behind(reply, "poe_proxy.upstreams")
