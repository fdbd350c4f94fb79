"""Everything the stand-in knows: accounts, channels, chats, and the switches of its control."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
import string
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from ..journal import Journal
from ..lines import Lines
from . import hashes
from .bots import Bot, catalogue, node_id
from .pages import Build, hex_text, scripts

SALT = "4LxgHM6KpFqokX0Ox"

# An account keeps this many; a benchmark would fill the memory otherwise.
_CHANNELS_KEPT = 16
_CHATS_KEPT = 5_000
_BUILDS_KEPT = 5
# More than this unread by a websocket's client means that nobody reads it.
_UNREAD_LIMIT = 16 * 1024 * 1024
# However few frames they are, a channel keeps no more than this of them.
_RING_BYTES = 4 * 1024 * 1024


@dataclass(slots=True)
class Switches:
    """What ``POST /__control`` can set; `poe_sim/README.md` explains each."""

    mode: str = "strict"
    tag_mode: str = "either"
    base_host: str = ""
    pace: float = 0.03
    max_concurrent: int = 3
    rate_limit: int = 0
    ring_size: int = 2_000
    challenge: str = "off"
    check_user_agent: bool = True
    check_revision: bool = False
    settings_need_login: bool = False
    page_without_channel: bool = False
    codenames_in_bot_info: bool = True
    close_replaced: bool = False
    set_cookie: str = "same"
    stale_answer: str = "Server Error"
    jwt_form: str = "plain"
    upload_limit: int = 350_000_000
    upload_endpoint: str = "finish"
    server_ping: float = 0.0
    answer_pings: bool = True
    unknown_bots: list[str] = field(default_factory=list)


CHOICES: Mapping[str, Sequence[str]] = {
    "mode": ("strict", "lenient"),
    "tag_mode": ("either", "plain", "swapped"),
    "challenge": ("off", "on", "clearance"),
    "set_cookie": ("same", "new", "twice", "none"),
    "stale_answer": ("Server Error", "PersistedQueryNotFound"),
    "jwt_form": ("plain", "quoted", "json", "nested"),
    "upload_endpoint": ("finish", "gql"),
}


def switch_fault(name: str, value: object) -> str | None:
    """Return why *value* does not fit the switch *name*, or None when it does."""
    kinds: Mapping[str, tuple[type, ...]] = {
        "str": (str,),
        "float": (int, float),
        "int": (int,),
        "bool": (bool,),
        "list[str]": (list,),
    }
    known = {entry.name: str(entry.type) for entry in fields(Switches)}
    kind = known[name]
    if not isinstance(value, kinds[kind]) or (kind != "bool" and isinstance(value, bool)):
        return f"{name} takes a {kind}"
    if name in CHOICES and value not in CHOICES[name]:
        return f"{name} is one of {', '.join(CHOICES[name])}"
    return None


class Item:
    """One pushed item, web protocol sheet §7.4; turned into text once for all channels."""

    __slots__ = ("_quoted", "name", "payload")

    def __init__(self, name: str, scope: object, content: object, filler: str = "") -> None:
        self.name = name
        unique_id = name if scope is None else f"{name}:{scope}"
        self.payload: dict[str, Any] = {
            "message_type": "subscriptionUpdate",
            "payload": {
                "unique_id": unique_id,
                "subscription_name": name,
                "data": None if content is None else {name: content},
            },
        }
        if filler:
            self.payload["_"] = filler
        self._quoted: bytes | None = None

    @property
    def quoted(self) -> bytes:
        """The item as it stands in a frame's list: a JSON string that holds JSON."""
        if self._quoted is None:
            # By hand, for orjson allots many times what a string with quotes in it needs, and
            # does not give it back; a ring full of such frames would fill the memory.
            text = orjson.dumps(self.payload)
            self._quoted = b'"%b"' % text.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
        return self._quoted


class Channel:
    """A push channel: who listens to what, and the frames that may be asked for again."""

    def __init__(self, label: str, account: Account, rng: random.Random, ring_size: int) -> None:
        self.label = label
        self.account = account
        self.box = "chan42-8888"
        letters = "".join(rng.choices(string.ascii_lowercase, k=20))
        self.name = f"poe-{self.box}-{letters}"
        self.hash = "".join(rng.choices(string.digits[1:], k=20))
        self.sequence = rng.randrange(4_000_000_000, 5_000_000_000)
        self.subscribed: frozenset[str] = frozenset()
        self.sockets: set[Socket] = set()
        # A channel that lost data tells so to everybody who comes back to it.
        self.is_broken = False
        self._ring: deque[tuple[int, bytes]] = deque()
        self._ring_size = ring_size
        self._ring_bytes = 0
        self._lost_up_to = self.sequence

    def data(self, base_host: str) -> dict[str, Any]:
        """The channel as pages and settings tell it, web protocol sheet §7.1."""
        return {
            "minSeq": str(self.sequence),
            "channel": self.name,
            "channelHash": self.hash,
            "boxName": self.box,
            "baseHost": base_host,
            "targetUrl": f"https://{base_host}/up/{self.box}/updates",
            "enableWebsocket": True,
        }

    async def push(self, items: Iterable[Item]) -> None:
        """Send the items somebody subscribed to in one frame, and keep it for a replay."""
        wanted = [item.quoted for item in items if item.name in self.subscribed]
        if not wanted or self.is_broken:
            return
        self.sequence += len(wanted)
        frame = b'{"min_seq":%d,"messages":[%b]}' % (self.sequence, b",".join(wanted))
        self._ring.append((self.sequence, frame))
        self._ring_bytes += len(frame)
        self._forget_oldest()
        await self.send(frame)

    async def push_text(self, text: str) -> None:
        """Send one item as it is, subscribed or not, be it JSON or not; it is not kept."""
        self.sequence += 1
        await self.send(orjson.dumps({"min_seq": self.sequence, "messages": [text]}))

    async def send(self, frame: bytes) -> None:
        """Send one frame to every socket of the channel."""
        for socket in tuple(self.sockets):
            await socket.send(frame)

    async def replay(self, socket: Socket, min_seq: int) -> None:
        """Send what came after *min_seq*, or the news that it cannot be found any more."""
        if self.is_broken or min_seq < self._lost_up_to:
            await socket.send(b'{"error":"missed_messages"}')
            return
        for sequence, frame in tuple(self._ring):
            if sequence > min_seq:
                await socket.send(frame)

    def set_ring_size(self, size: int) -> None:
        """Keep at most *size* frames from now on."""
        self._ring_size = size
        self._forget_oldest()

    def _forget_oldest(self) -> None:
        while len(self._ring) > self._ring_size or self._ring_bytes > _RING_BYTES:
            self._lost_up_to, frame = self._ring.popleft()
            self._ring_bytes -= len(frame)


class Socket:
    """One websocket of a client."""

    def __init__(self, ws: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        self._ws = ws
        self._transport = transport
        self.is_silent = False

    async def send(self, frame: bytes) -> None:
        """Send a text frame, unless the socket plays dead; drop a client that does not read."""
        if self.is_silent or self._ws.closed or self._transport is None:
            return
        if self._transport.get_write_buffer_size() > _UNREAD_LIMIT:
            self._transport.abort()
            return
        try:
            await self._ws.send_frame(frame, WSMsgType.TEXT)
        except ConnectionError:
            # The reading side of this socket notices it and takes the socket away.
            return

    async def close(self) -> None:
        """Close as a server that goes away does: without waiting for the other side."""
        if self._transport is not None and not self._ws.closed:
            await self._ws.close(code=1001, drain=False)
            self._transport.close()


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
        """The message as frames and history carry it."""
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
        """The message as an edge of a connection; the cursor of a human one is its nonce."""
        node = self.as_json()
        return {"id": node["id"], "cursor": self.nonce or str(self.message_id), "node": node}


@dataclass(slots=True, eq=False)
class Job:
    """One generation run, web protocol sheet §12.3."""

    job_id: int
    account: Account
    chat: Chat
    bot: Bot
    nonce: str
    state: str = "not_started"
    messages: list[Message] = field(default_factory=list)
    task: asyncio.Task[None] | None = None

    def brief(self) -> dict[str, Any]:
        """The job as its messages name it."""
        account = self.account
        return {
            "id": node_id("PoeJob", self.job_id),
            "jobId": self.job_id,
            "state": self.state,
            "creator": {"uid": account.user_id, "id": node_id("PoeUser", account.user_id)},
        }

    def as_json(self) -> dict[str, Any]:
        """The job as its own frames carry it; the nonce is missing once it ended."""
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
        """The chat as lists and answers carry it."""
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
    """A user of the stand-in; its cookies and form key never leave it but in pages."""

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
        self.uploads: dict[str, dict[str, Any]] = {}

    def points_info(self) -> dict[str, Any]:
        """The account's points, web protocol sheet §10.8."""
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
        """Find one of the account's messages, in the newest chats first."""
        for chat in reversed(self.chats.values()):
            for message in reversed(chat.messages):
                if message.message_id == message_id:
                    return chat, message
        return None


@dataclass(slots=True)
class Fault:
    """A fault that the control put in the way of requests, for so many of them."""

    words: dict[str, str]
    path: str | None = None
    query_name: str | None = None
    account: str | None = None
    times: int = 1


class World:
    """The state of the web face. One event loop owns it, so it needs no lock."""

    def __init__(
        self,
        *,
        tokens: Sequence[str],
        journal: Journal,
        seed: int = 0,
        switches: Switches | None = None,
        points: int = 1_000_000,
    ) -> None:
        self.journal = journal
        self.switches = switches or Switches()
        self._first_switches = replace(self.switches)
        self.rng = random.Random(seed)
        self.bots = catalogue()
        self.hashes: dict[str, str] = dict(hashes.OPERATIONS)
        self.builds = [Build.make(self.rng)]
        self.channels: dict[str, Channel] = {}
        self.faults: list[Fault] = []
        # How often the trouble that a prompt asks for was made: `!times`.
        self.faults_played: dict[str, int] = {}
        self.lines = Lines(self._handle, have_tools=False)
        self.shares: dict[str, list[Message]] = {}
        self._last_chat_id = self.rng.randrange(1_000_000_000, 1_100_000_000)
        self._last_message_id = self.rng.randrange(100_000_000_000, 110_000_000_000)
        self._last_job_id = self.rng.randrange(500, 1_000)
        self._channel_count = 0
        self._sdids: dict[str, int] = {}
        self.accounts: list[Account] = []
        self._by_token: dict[str, Account] = {}
        for number, token in enumerate(tokens, 1):
            account = Account(
                label=f"cookie-{number}",
                token=token,
                user_id=1_000_000 + number,
                formkey=hex_text(self.rng, 32),
                points=points,
            )
            self.accounts.append(account)
            self._by_token[token] = account

    @property
    def is_strict(self) -> bool:
        """Whether the stand-in insists on all that today's browser sends."""
        return self.switches.mode == "strict"

    @property
    def build(self) -> Build:
        """The release of the front end that pages are served from."""
        return self.builds[-1]

    def account_of(self, tokens: Iterable[str]) -> Account | None:
        """Return the account that any of these `p-b` values belongs to."""
        for token in tokens:
            account = self._by_token.get(token)
            if account is not None and account.is_logged_in:
                return account
        return None

    def account_called(self, label: str) -> Account | None:
        """Return the account with this label."""
        return next((account for account in self.accounts if account.label == label), None)

    def new_token(self, account: Account) -> str:
        """Give the account one more valid `p-b`, as a renewal of its session."""
        token = base64.b64encode(self.rng.randbytes(16)).decode().replace("=", "%3D")
        account.tokens.append(token)
        self._by_token[token] = account
        return token

    def new_channel(self, account: Account | None) -> Channel:
        """Open a fresh channel; one of nobody's is known to nobody."""
        owner = account or Account("nobody", "", 0, "", 0)
        self._channel_count += 1
        label = f"channel-{self._channel_count}"
        channel = Channel(label, owner, self.rng, self.switches.ring_size)
        if account is None:
            return channel
        self.channels[channel.name] = channel
        account.channels[channel.name] = channel
        if len(account.channels) > _CHANNELS_KEPT:
            for name, old in list(account.channels.items())[:-_CHANNELS_KEPT]:
                if not old.sockets:
                    del account.channels[name], self.channels[name]
        return channel

    def new_build(self) -> Build:
        """Release a new front end: its form keys are new as well."""
        self.builds = [*self.builds[1 - _BUILDS_KEPT :], Build.make(self.rng)]
        for account in self.accounts:
            self.rotate_formkey(account)
        return self.build

    def rotate_formkey(self, account: Account) -> None:
        """Give the account another form key; the old one is refused from now on."""
        account.formkey = hex_text(self.rng, 32)

    def retire_hash(self, name: str) -> None:
        """Give an operation a new hash, as a release does; the scripts tell it."""
        self.hashes[name] = hex_text(self.rng, 64)

    def reset(self) -> None:
        """Put switches, hashes and accounts back as they were at first; chats and keys stay."""
        self.switches = replace(self._first_switches, unknown_bots=[])
        self.hashes = dict(hashes.OPERATIONS)
        self.faults.clear()
        self.faults_played.clear()
        self.lines.clear()
        for account in self.accounts:
            account.is_logged_in = True
            account.points = account.allotment
            account.sent_at.clear()

    def script(self, path: str) -> str | None:
        """Return a script under ``/_next/static/`` of the newest release or one before it."""
        for build in reversed(self.builds):
            text = scripts(build, self.hashes).get(path)
            if text is not None:
                return text
        return None

    def find_bot(self, name: str) -> Bot | None:
        """Return the bot of that name, unless the control made it unknown."""
        bot = self.bots.find(name)
        if bot is None or bot.names() & {gone.lower() for gone in self.switches.unknown_bots}:
            return None
        return bot

    def _handle(self, name: str) -> str | None:
        bot = self.find_bot(name)
        return None if bot is None else bot.handle

    def new_chat(self, account: Account, bot: Bot, nonce: str | None) -> Chat:
        """Open a chat; the oldest idle one goes when there are too many."""
        self._last_chat_id += self.rng.randrange(1, 50)
        chat = Chat(self._last_chat_id, self.letters(18), nonce, bot)
        account.chats[chat.chat_id] = chat
        if len(account.chats) > _CHATS_KEPT:
            oldest = next(iter(account.chats.values()))
            if oldest.job is None:
                del account.chats[oldest.chat_id]
        return chat

    def new_message(self, **content: Any) -> Message:
        """Make a message whose id is greater than all before."""
        self._last_message_id += self.rng.randrange(1, 50)
        return Message(self._last_message_id, code=self.letters(20), **content)

    def new_job(self, account: Account, chat: Chat, bot: Bot, nonce: str) -> Job:
        """Start to count one more reply of the account as running."""
        self._last_job_id += 1
        job = Job(self._last_job_id, account, chat, bot, nonce)
        chat.job = job
        account.jobs[job.job_id] = job
        return job

    def end_job(self, job: Job, state: str) -> None:
        """Stop counting a reply as running."""
        job.state = state
        job.account.jobs.pop(job.job_id, None)
        if job.chat.job is job:
            job.chat.job = None

    def letters(self, length: int) -> str:
        """Return a random code as Poe's URLs have it."""
        return "".join(self.rng.choices(string.ascii_lowercase + string.digits, k=length))

    def decoy(self, formkey: str) -> str:
        """Return the wrong form key that a page yields to whoever reads it carelessly."""
        return hashlib.md5(formkey.encode(), usedforsecurity=False).hexdigest()

    def sdid_label(self, sdid: str) -> str:
        """Return a label that tells devices apart without showing their ids."""
        if not sdid:
            return "none"
        return f"sdid-{self._sdids.setdefault(sdid, len(self._sdids) + 1)}"

    async def push(self, account: Account, *items: Item) -> None:
        """Push items to all channels of the account, in one frame each."""
        for channel in tuple(account.channels.values()):
            await channel.push(items)
