"""One request as a turn of a conversation: where it goes on, and where the next turn may."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace

from poe_proxy.chat import ChatRequest, Done, Idle, Message, ReplyEvent, TextPart
from poe_proxy.errors import UpstreamChanged, UpstreamError
from poe_proxy.shaping.whole_text import WholeText
from poe_proxy.upstreams.poe_web.chats import Chats
from poe_proxy.upstreams.poe_web.open_chats import Mark, OpenChat, OpenChats, answered, marks
from poe_proxy.upstreams.poe_web.session import Session
from poe_proxy.upstreams.poe_web.waiting import meanwhile

log = logging.getLogger(__name__)


class _Asked:
    """What is known of a request over all its tries and corrections."""

    def __init__(self) -> None:
        #: The digest of the client's own messages: those that were asked first.
        self.digest: str | None = None
        #: The chat in which the last answer was given, whole.
        self.chat: OpenChat | None = None


class Conversation:
    """A turn of a conversation, by one account. Its chat is to be put back at the end."""

    def __init__(self, bot: str, chat: ChatRequest, open_chats: OpenChats) -> None:
        """Take the chat in which *chat*, for *bot*, may go on, if there is one."""
        self._open_chats = open_chats
        self._budget = chat.budget
        found = list(marks(bot, chat))
        self._digest = found[-1].digest if found else ""
        self._asked = chat.kept.get(_Asked)
        self._asked.digest = self._asked.digest or self._digest
        # What came of an earlier try is not what the client will be given.
        self._asked.chat = None
        #: The last mark has all messages: behind it there is nothing to say.
        known = open_chats.take(found[:-1])
        self._mark: Mark | None = None if known is None else known[0]
        self.chat: OpenChat | None = None if known is None else known[1]

    def new_messages(
        self, chat: ChatRequest, session: Session, *, label: str
    ) -> Generator[Idle, None, ChatRequest]:
        """Return *chat* with those messages that its chat at Poe does not have; with all of them
        if there is none, or if it is not as we left it."""
        if (known := self.chat) is None:
            return chat
        try:
            newest = yield from meanwhile(
                lambda: Chats(session).newest(known.id), name=f"{label} chat"
            )
        except UpstreamError as failure:
            if not isinstance(failure, UpstreamChanged):  # which is said once
                log.info("%s: whether a chat may go on is not known: %s", label, failure)
            self.put_back()
            return chat
        if newest != known.newest:
            log.info("%s: a chat was deleted, or goes on elsewhere; beginning anew", label)
            self.forget()
            return chat
        return self.rest(chat)

    def rest(self, chat: ChatRequest) -> ChatRequest:
        """Return *chat* with the messages that are not in its chat at Poe yet."""
        assert self._mark is not None
        new = chat.messages[self._mark.place :]
        # Other accounts may have answered meanwhile: then it has to be told who said what.
        others = any(one.role == "assistant" for one in new)
        return replace(chat, messages=new, is_taught=chat.is_taught or others)

    def forget(self) -> None:
        """Note that the chat is not what it was, or that Poe may have another message there."""
        self.chat = None

    def drop(self) -> None:
        """Note that the chat, which is as it was, does not go on."""
        if self.chat is not None:
            self._open_chats.drop(self.chat)
        self.chat = None

    def put_back(self) -> None:
        """Let the chat go on later, if it is as it was."""
        if self.chat is not None and self._mark is not None:
            self._open_chats.keep(self._mark.digest, self.chat)
        self.chat = None

    def told(
        self, events: Generator[ReplyEvent, None, None], keep_chat: Callable[[], OpenChat | None]
    ) -> Generator[ReplyEvent, None, None]:
        """Yield *events*; before `Done` the chat that *keep_chat* returns may go on.

        First with what the bot wrote, as it is sent back with a correction; `end` tells what the
        client has of it.
        """
        said = WholeText()
        with closing(events):
            for event in events:
                said.add(event)
                if isinstance(event, Done) and (chat := keep_chat()):
                    self._keep(said.text, chat)
                yield event

    def _keep(self, written: str, chat: OpenChat) -> None:
        answer = Message(role="assistant", content=(TextPart(written),))
        self._open_chats.keep(answered(self._digest, answer, self._budget.pause), chat)
        self._asked.chat = chat

    @staticmethod
    def end(chat: ChatRequest, answer: Message, open_chats: OpenChats) -> None:
        """Note what the client was given as the *answer* to *chat*: it will send that back."""
        asked = chat.kept.get(_Asked)
        if asked.chat is not None and asked.digest is not None:
            digest = answered(asked.digest, answer, chat.budget.pause)
            open_chats.rename(asked.chat, digest)
