"""Accounts and what they hold, web protocol sheet §12: chats, messages, jobs."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .bots import Bot, node_id
from .channels import Channel


@dataclass(slots=True)
class Upload:
    """A file that came with a request."""

    name: str
    content_type: str
    size: int
    # The beginning of a text.
    text: str = ""


class Message:
    """A message of a chat, web protocol sheet §12.1."""

    def __init__(
        self,
        message_id: int,
        *,
        author: str,
        text: str,
        state: str = "complete",
        bot: Bot | None = None,
        nonce: str = "",
        job: Job | None = None,
        code: str = "",
        attachments: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.message_id = message_id
        self.author = author
        self.text = text
        self.state = state
        self.state_text: str | None = None
        self.nonce = nonce
        self.job = job
        self.followups: list[str] = []
        self.attachments = list(attachments)
        self._fixed: dict[str, Any] = {
            "__typename": "Message",
            "id": node_id("Message", message_id),
            "messageId": message_id,
            "messageCode": code,
            "creationTime": time.time_ns() // 1000,
            "clientNonce": nonce,
            "author": author,
            "authorUser": None,
            "bot": bot.brief() if bot else None,
            "contentType": "text_markdown",
            "attachmentTruncationState": "not_truncated",
            "sourceType": "chat_input",
            "parameters": None,
            "command": None,
            "referencedMessageV2": None,
            "textLengthOnCancellation": len(text) if author == "human" else 0,
            "isEdited": False,
            "isDeleted": False,
            "isChatAnnouncement": False,
            "hasCitations": False,
        }

    def as_json(self) -> dict[str, Any]:
        """Return the message as frames and the history have it."""
        return {
            **self._fixed,
            "state": self.state,
            "messageStateText": self.state_text,
            "text": self.text,
            "responsibleJob": None if self.job is None else self.job.brief(),
            "attachments": self.attachments,
            "followupActions": [
                {"titleText": text, "bodyText": text, "sendText": text} for text in self.followups
            ],
        }

    def edge(self) -> dict[str, Any]:
        """Return the message as an edge of a connection; the cursor of a human one is its nonce."""
        node = self.as_json()
        return {"id": node["id"], "cursor": self.nonce or str(self.message_id), "node": node}


@dataclass(slots=True, eq=False)
class Job:
    """One run of a bot, web protocol sheet §12.3."""

    job_id: int
    account: Account
    chat: Chat
    bot: Bot
    nonce: str
    #: What the prompt gave with `!mark`.
    mark: str = ""
    state: str = "not_started"
    messages: list[Message] = field(default_factory=list)
    task: asyncio.Task[None] | None = None

    def brief(self) -> dict[str, Any]:
        """Return the job as its messages have it."""
        account = self.account
        return {
            "id": node_id("PoeJob", self.job_id),
            "jobId": self.job_id,
            "state": self.state,
            "creator": {"uid": account.user_id, "id": node_id("PoeUser", account.user_id)},
        }

    def as_json(self) -> dict[str, Any]:
        """Return the job as its own frames have it; the nonce is missing once it has ended."""
        is_running = self.state in ("not_started", "running")
        found: dict[str, Any] = {
            "id": node_id("PoeJob", self.job_id),
            "jobId": self.job_id,
            "state": self.state,
            "viewerCanCancel": is_running,
        }
        if is_running:
            found["clientNonce"] = self.nonce
        return found


@dataclass(slots=True, eq=False)
class Chat:
    """A chat of an account."""

    chat_id: int
    code: str
    nonce: str | None
    bot: Bot
    title: str | None = None
    messages: list[Message] = field(default_factory=list)
    job: Job | None = None

    @property
    def node_id(self) -> str:
        """The Relay id of the chat."""
        return node_id("Chat", self.chat_id)

    def as_json(self) -> dict[str, Any]:
        """Return the chat as lists and answers have it."""
        return {
            "__typename": "Chat",
            "id": self.node_id,
            "chatId": self.chat_id,
            "chatCode": self.code,
            "chatNonce": self.nonce,
            "title": self.title,
            "defaultBotObject": self.bot.brief(),
        }


class Account:
    """An account; its cookies and form key appear in pages only."""

    def __init__(self, label: str, token: str, user_id: int, formkey: str, points: int) -> None:
        self.label = label
        self.user_id = user_id
        self.tokens = [token]
        self.formkey = formkey
        self.is_logged_in = True
        self.points = points
        self.allotment = points
        self.reset_time = (time.time_ns() // 1000) + 86_400_000_000
        self.channels: OrderedDict[str, Channel] = OrderedDict()
        self.chats: OrderedDict[int, Chat] = OrderedDict()
        self.jobs: dict[int, Job] = {}
        self.sent_at: deque[float] = deque()
        self.uploads: dict[str, Upload] = {}

    def points_info(self) -> dict[str, Any]:
        """Return the account's points, web protocol sheet §10.8."""
        return {
            "id": node_id("MessagePointInfo", 0),
            "messagePointBalance": self.points,
            "subscriptionPointBalance": self.points,
            "addonPointBalance": 0,
            "totalMessagePointAllotment": self.allotment,
            "messagePointResetTime": self.reset_time,
            "dailyMessagePointsAvailable": self.points > 0,
            "allChatDefaultPointPriceThresholdPerMessage": 3000,
        }

    def message(self, message_id: int) -> tuple[Chat, Message] | None:
        """Return a message of the account and its chat, or None."""
        for chat in reversed(self.chats.values()):
            for message in reversed(chat.messages):
                if message.message_id == message_id:
                    return chat, message
        return None
