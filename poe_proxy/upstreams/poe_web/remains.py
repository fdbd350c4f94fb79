"""What a reply leaves at Poe: a bot that is still at work, and a chat. Both are seen to here.

Web protocol sheet §10.3, §10.4 and §25.
"""

from __future__ import annotations

from collections.abc import Mapping

from poe_proxy.errors import UpstreamUncertain
from poe_proxy.upstreams.poe_web.chats import Chats
from poe_proxy.upstreams.poe_web.sending import Outcome
from poe_proxy.upstreams.poe_web.tidying import Tidying
from poe_proxy.upstreams.poe_web.turn import Turn


class Remains:
    """What one turn leaves."""

    def __init__(self, turn: Turn, chats: Chats, tidying: Tidying, *, deletes: bool) -> None:
        """*deletes* says whether the settings want chats to be deleted."""
        self._turn = turn
        self._chats = chats
        self._tidying = tidying
        self._deletes = deletes
        #: Whether the chat stays for another turn.
        self.is_kept = False

    def find_chat(self) -> int | None:
        """Ask Poe for the id of the chat that has the message; None if there is none."""
        before = self._turn.before
        return self._chats.find(self._turn.client_nonce, None if before is None else before.id)

    def are_there(self, outcome: Outcome | None) -> bool:
        """Return whether something may have to be done behind *outcome*: that of the sending, if
        the reader has not acted upon it."""
        return any(self._see(outcome))

    def _see(self, outcome: Outcome | None) -> tuple[bool, bool]:
        """Return whether there may be a bot to stop, and a chat to delete."""
        turn = self._turn
        may_be_there = turn.chat_id is not None or isinstance(outcome, Mapping | UpstreamUncertain)
        # A chat that there was before does not go on, even if the message is not there.
        ends = (may_be_there or turn.before is not None) and not self.is_kept
        return may_be_there and not turn.is_over, ends and self._deletes

    def tidy_up(self, outcome: Outcome | None) -> None:
        """Stop the bot, and delete the chat, as far as they are there behind *outcome*."""
        turn = self._turn
        stops, deletes = self._see(outcome)
        if turn.chat_id is None and turn.before is not None:
            turn.chat_id = turn.before.id
        if turn.chat_id is None and (stops or deletes):
            # The chat may exist although the answer did not say so.
            turn.chat_id = self._tidying.persist(self.find_chat, "looking for a chat")
        if turn.chat_id is None:
            return
        if stops:
            self.stop()
        if deletes:
            self._tidying.delete(self._chats.delete, turn.chat_id)

    def stop(self) -> None:
        """Stop the bot in the turn's chat, which is known."""
        chat_id = self._turn.chat_id
        assert chat_id is not None
        self._tidying.persist(lambda: self._chats.stop(chat_id), "stopping a bot")
