"""The state of the web face: accounts, channels, builds, faults, lines."""

from __future__ import annotations

import base64
import hashlib
import random
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..directives import number
from ..journal import Journal
from ..lines import Lines
from . import chunks, hashes, page_code, pages
from .bots import Bot, catalogue
from .builds import Build, hex_text, name_text
from .channels import Channel, Item
from .objects import Account, Chat, Job, Message
from .switches import Switches

# No more than these are kept: a benchmark would fill the memory otherwise.
_CHANNELS_KEPT = 16
_CHATS_KEPT = 5_000
_SCRIPTS_KEPT = 400


@dataclass(slots=True)
class Fault:
    """A fault of the control for the next *times* requests that fit."""

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
        self.subscriptions: dict[str, str] = dict(hashes.SUBSCRIPTIONS)
        # Names of operations and subscriptions that no script has any more.
        self.dropped: set[str] = set()
        self.build = Build.make(self.rng)
        # Pages of earlier releases may still be open, so their scripts stay.
        self._scripts: dict[str, str] = {}
        self.channels: dict[str, Channel] = {}
        self.faults: list[Fault] = []
        # How often the trouble of a prompt was played, for `!times`.
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
        for place, token in enumerate(tokens, 1):
            account = Account(
                label=f"cookie-{place}",
                token=token,
                user_id=1_000_000 + place,
                formkey=hex_text(self.rng, 32),
                points=points,
            )
            self.accounts.append(account)
            self._by_token[token] = account

    @property
    def is_strict(self) -> bool:
        """Whether requests must have all that today's browser sends."""
        return self.switches.mode == "strict"

    def account_of(self, tokens: Iterable[str]) -> Account | None:
        """Return the logged-in account of the first known `p-b` among these, or None."""
        for token in tokens:
            account = self._by_token.get(token)
            if account is not None and account.is_logged_in:
                return account
        return None

    def account_called(self, label: str) -> Account | None:
        """Return the account with this label, or None."""
        return next((account for account in self.accounts if account.label == label), None)

    def new_token(self, account: Account) -> str:
        """Return one more valid `p-b` for the account, as Poe renews a session."""
        token = base64.b64encode(self.rng.randbytes(16)).decode().replace("=", "%3D")
        account.tokens.append(token)
        self._by_token[token] = account
        return token

    def new_channel(self, account: Account | None) -> Channel:
        """Return a new channel; without an account it is not registered, so no websocket opens."""
        self._channel_count += 1
        label = f"channel-{self._channel_count}"
        owner = "nobody" if account is None else account.label
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

    def new_build(self) -> None:
        """Release a new front end; all form keys change with it."""
        self.build = Build.make(self.rng)
        for account in self.accounts:
            self.rotate_formkey(account)

    def rotate_getter(self) -> None:
        """Give the form key's getter another name, in the same build."""
        self.build = replace(self.build, getter=name_text(self.rng, 17))

    def rotate_revision(self) -> None:
        """Give the build another revision, and nothing else."""
        self.build = replace(self.build, revision=hex_text(self.rng, 40))

    def rotate_formkey(self, account: Account) -> None:
        """Give the account another form key; the old one becomes invalid."""
        account.formkey = hex_text(self.rng, 32)

    def retire_hash(self, name: str) -> None:
        """Give an operation a new hash, as a release does; it can be found in the scripts."""
        self.hashes[name] = hex_text(self.rng, 64)

    def retire_subscription(self, name: str) -> None:
        """Give a subscription a new hash, which can be found in the scripts."""
        self.subscriptions[name] = hex_text(self.rng, 64)

    def reset(self) -> None:
        """Reset switches, hashes, faults, lines and accounts; chats and keys stay."""
        self.switches = replace(self._first_switches, unknown_bots=[], own_bots=[])
        self.hashes = dict(hashes.OPERATIONS)
        self.subscriptions = dict(hashes.SUBSCRIPTIONS)
        self.dropped.clear()
        self.faults.clear()
        self.faults_played.clear()
        self.lines.clear()
        for account in self.accounts:
            account.is_logged_in = True
            account.points = account.allotment
            account.sent_at.clear()

    def page(
        self,
        account: Account,
        *,
        base: str,
        path: str,
        channel_data: Mapping[str, object] | None,
        words: Mapping[str, str],
    ) -> str:
        """Return a page for the account, with the trouble of a fault's *words*."""
        look, build = self.switches.look(), self.build
        static = f"{look.script_host or base}/_next/static"
        code = page_code.form_key(
            build, look, account.formkey, self.decoy(account.formkey), loops="getter-loops" in words
        )
        key_script = None
        if look.getter_in == "script":
            key_script, text = chunks.key_script(look, "".join(code))
            self._keep({key_script: text})
        hostile = int(number(words, "endless-scripts", 0))
        return pages.home(
            build,
            look,
            path=path,
            key_code=code,
            key_script=None if key_script is None else f"{static}/{key_script}",
            tag_code=page_code.tag_function(build, look, loops="tag-loops" in words),
            scripts=[
                *(f"{static}/{chunks.endless(each)}" for each in range(hostile)),
                *(f"{static}/{name}" for name in self.release().named),
            ],
            channel_data=channel_data,
            trouble=frozenset(words),
            unclosed=int(number(words, "unclosed-scripts", 0)),
        )

    def release(self) -> chunks.Release:
        """Return the scripts of the newest release."""
        known = chunks.artefacts(
            {name: each for name, each in self.hashes.items() if name not in self.dropped},
            {name: each for name, each in self.subscriptions.items() if name not in self.dropped},
        )
        release = chunks.release(self.build, self.switches.look(), known)
        self._keep(release.scripts)
        return release

    def script(self, path: str) -> str | None:
        """Return a script under ``/_next/static/`` of any release that had it, or None."""
        self.release()
        return chunks.hostile_script(path) or self._scripts.get(path)

    def _keep(self, scripts: Mapping[str, str]) -> None:
        """Serve these scripts from now on; the oldest go when there are too many."""
        for path, text in scripts.items():
            self._scripts.pop(path, None)
            self._scripts[path] = text
        while len(self._scripts) > _SCRIPTS_KEPT:
            del self._scripts[next(iter(self._scripts))]

    def own_bots(self, account: Account) -> list[Bot]:
        """Return the account's private bots, which the control names."""
        return [
            Bot(
                handle=handle,
                codename=handle.lower().replace("-", "_"),
                bot_id=9101 + place,
                is_private=True,
            )
            for place, one in enumerate(self.switches.own_bots)
            for label, _, handle in [one.partition("/")]
            if label == account.label
        ]

    def find_bot(self, name: str, account: Account | None = None) -> Bot | None:
        """Return the bot of that name; None if there is none, if it is another account's own, or
        if the control hides it."""
        own = () if account is None else self.own_bots(account)
        bot = next((one for one in own if name.lower() in one.names()), self.bots.find(name))
        if bot is None or bot.names() & {gone.lower() for gone in self.switches.unknown_bots}:
            return None
        return bot

    def _handle(self, name: str) -> str | None:
        bot = self.find_bot(name)
        return None if bot is None else bot.handle

    def new_chat(self, account: Account, bot: Bot, nonce: str | None) -> Chat:
        """Return a new chat; the oldest idle one goes when there are too many."""
        self._last_chat_id += self.rng.randrange(1, 50)
        chat = Chat(self._last_chat_id, self.letters(18), nonce, bot)
        account.chats[chat.chat_id] = chat
        if len(account.chats) > _CHATS_KEPT:
            oldest = next(iter(account.chats.values()))
            if oldest.job is None:
                del account.chats[oldest.chat_id]
        return chat

    def new_message(self, **content: Any) -> Message:
        """Return a new message, whose id is greater than all before."""
        self._last_message_id += self.rng.randrange(1, 50)
        return Message(self._last_message_id, code=self.letters(20), **content)

    def new_job(self, account: Account, chat: Chat, bot: Bot, nonce: str, mark: str = "") -> Job:
        """Return a new job, and count one more reply of the account as running."""
        self._last_job_id += 1
        job = Job(self._last_job_id, account, chat, bot, nonce, mark)
        chat.job = job
        account.jobs[job.job_id] = job
        return job

    def end_job(self, job: Job, state: str) -> None:
        """Set the job's last state, and stop counting its reply as running."""
        job.state = state
        job.account.jobs.pop(job.job_id, None)
        if job.chat.job is job:
            job.chat.job = None

    def letters(self, length: int) -> str:
        """Return a random code as in Poe's URLs."""
        return "".join(self.rng.choices(string.ascii_lowercase + string.digits, k=length))

    def decoy(self, formkey: str) -> str:
        """Return the wrong form key that a careless reading of a page yields."""
        return hashlib.md5(formkey.encode(), usedforsecurity=False).hexdigest()

    def sdid_label(self, sdid: str) -> str:
        """Return a label that distinguishes devices without showing their ids."""
        if not sdid:
            return "none"
        return f"sdid-{self._sdids.setdefault(sdid, len(self._sdids) + 1)}"

    async def push(self, account: Account, *items: Item) -> None:
        """Push items to all channels of the account, in one frame each."""
        for channel in tuple(account.channels.values()):
            await channel.push(items)

    async def wait_for_room(self, account: Account, length: int) -> None:
        """Wait while a client of the account has too much unread for a text of such a *length*."""
        for channel in tuple(account.channels.values()):
            await channel.wait_for_room(length)
