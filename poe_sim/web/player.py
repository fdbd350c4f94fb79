"""Plays a reply: pushes the frames of web protocol sheet §13 at the pace of its script."""

from __future__ import annotations

import asyncio
import time

import orjson

from ..directives import number
from .bots import node_id
from .channels import Item, Socket
from .objects import Account, Chat, Job, Message
from .script import (
    CutOff,
    EndJob,
    HangUp,
    Mischief,
    Pause,
    Progress,
    Retitle,
    Script,
    Show,
    Stamp,
    Step,
)
from .world import World

_FOREIGN_CHAT = 999_999_999


class _CutOffError(Exception):
    """The script cancels the reply."""


class Player:
    """One reply from its acceptance to its end."""

    def __init__(
        self, world: World, job: Job, script: Script, human: Message, *, is_new: bool
    ) -> None:
        self._world = world
        self._job = job
        self._chat = job.chat
        self._account = job.account
        self._script = script
        self._human = human
        self._is_new = is_new
        self._waiting: list[Item] = []

    async def announce(self) -> None:
        """Push the frames before the reply: the human message, the chat, the job."""
        human = self._human
        if self._script.shows_human:
            await self._push(self._item("messageCreated", None, human.as_json()))
            await self._push(self._added(human))
        if self._is_new:
            await self._push(self._item("chatAddedV2", None, {"chat": self._chat.as_json()}))
        if self._script.shows_job:
            await self._push(self._item("jobStarted", self._chat.chat_id, self._job.as_json()))
            await self._push(self._job_item())

    def start(self) -> None:
        """Play the reply in the background."""
        self._world.journal.add(face="web", event="reply-start", **self._facts())
        self._job.task = asyncio.create_task(self._play())

    async def _play(self) -> None:
        try:
            await self._perform()
        except _CutOffError:
            await self._end_cut_off()

    async def _perform(self) -> None:
        script, job = self._script, self._job
        await self._pause(script.first)
        if script.late_frames:
            await self._push_late_frames()
        if script.title == "before":
            await self._retitle()
        job.state = "running"
        if script.shows_job:
            await self._push(self._job_item())
        message: Message | None = None
        for steps in script.messages:
            message = await self._write_message(steps, is_first=message is None)
        assert message is not None
        await self._finish(message)

    async def _write_message(self, steps: list[Step], *, is_first: bool) -> Message:
        job, script = self._job, self._script
        message = self._world.new_message(
            author=job.bot.codename, text="", state="incomplete", bot=job.bot, job=job
        )
        self._chat.messages.append(message)
        job.messages.append(message)
        await self._push(self._item("messageCreated", None, message.as_json()))
        if is_first and self._is_new:
            member = {"chat": {"id": self._chat.node_id}, "member": job.bot.brief()}
            await self._push(self._item("chatMemberAddedWithContext", self._chat.chat_id, member))
        await self._push(self._added(message))
        for step in steps:
            await self._take(step, message)
        message.attachments = list(script.attachments)
        message.state = script.state
        message.state_text = script.state_text
        if script.shows_complete:
            await self._push(self._added(message))
        return message

    async def _take(self, step: Step, message: Message) -> None:
        # Only bots are slowed down by a client that reads slowly: whatever else is pushed would
        # keep the answer to a mutation waiting.
        await self._world.wait_for_room(self._account, len(message.text))
        match step:
            case Show(text):
                message.text = text
                await self._push(self._added(message))
            case Stamp():
                message.text += f"{time.monotonic():.6f} "
                await self._push(self._added(message))
            case Pause(seconds):
                await self._pause(seconds)
            case Progress(text):
                line = self._world.new_message(
                    author="pacarana", text=text, state="complete", job=self._job
                )
                await self._push(self._added(line))
            case Retitle():
                await self._retitle()
            case Mischief(name, value):
                await self._flush()
                await self._misbehave(name, value, message)
            case EndJob():
                job = {**self._job.as_json(), "state": "completed", "viewerCanCancel": False}
                await self._push(self._item("jobUpdated", self._chat.chat_id, job))
            case HangUp():
                await self._flush()
                await asyncio.Event().wait()
            case CutOff():
                raise _CutOffError

    async def _finish(self, message: Message) -> None:
        """Push the frames behind the text, and stop counting the reply as running."""
        world, script, account, job = self._world, self._script, self._account, self._job
        cost = job.bot.price if script.cost is None else script.cost
        account.points = max(0, account.points - cost)
        world.end_job(job, "completed")
        if script.shows_job:
            await self._push(self._job_item())
            await self._push(self._cost_item(cost))
        # Items that wait for a full frame belong to the reply: they go before its end is noted.
        await self._flush()
        world.journal.add(face="web", event="reply-end", state=script.state, **self._facts())
        for index in range(max(script.repeat_complete, script.followups)):
            if index < script.followups:
                message.followups.append(f"Tell me more about point {index + 1}.")
                await self._push(
                    self._item(
                        "messageFollowupActionUpdated", self._chat.chat_id, message.as_json()
                    )
                )
            if index < script.repeat_complete:
                await self._push(self._added(message))
        if script.title == "after":
            await self._retitle()
        state = {"viewer": {"messagePointInfo": account.points_info()}}
        await self._push(self._item("viewerStateUpdated", None, state))
        await self._flush()

    async def _end_cut_off(self) -> None:
        await self._flush()
        await stop(self._world, self._job)

    async def _retitle(self) -> None:
        chat = self._chat
        if chat.title is not None:
            return
        chat.title = self._script.topic
        content = {"id": chat.node_id, "title": chat.title}
        await self._push(self._item("chatTitleUpdated", chat.chat_id, content))

    async def _push_late_frames(self) -> None:
        """Push the last message of the chat's previous reply once more."""
        bots = [message for message in self._chat.messages if message.author != "human"]
        if bots:
            await self._push(self._added(bots[-1]))

    async def _misbehave(self, name: str, value: str, message: Message) -> None:
        account = self._account
        channels = tuple(account.channels.values())
        self._world.journal.add(face="web", event="mischief", name=name, **self._facts())
        match name:
            case "close-socket" | "dead-socket" | "endless-frame":
                for channel in channels:
                    for socket in tuple(channel.sockets):
                        await _break(socket, name, number({name: value}, name, 64.0))
            case "refetch" | "missed":
                await lose(account, name)
            case "null-data":
                for scope in (self._chat.chat_id, None):
                    await self._world.push(account, Item("messageAdded", scope, None))
            case "foreign-frames":
                strange = {**message.as_json(), "messageId": 42, "text": "A reply to others."}
                item = Item("messageAdded", _FOREIGN_CHAT, {**strange, "state": "complete"})
                await self._world.push(account, item)
                gone = Item("messageCancelled", _FOREIGN_CHAT, {"messageId": 42})
                await self._world.push(account, gone)
            case "no-messages-frame" | "server-ping":
                frame = b'{"type":"ping"}' if name == "server-ping" else b'{"min_seq":1}'
                for channel in channels:
                    await channel.send(frame)
            case "broken-json-frame":
                for channel in channels:
                    await channel.push_text('{"message_type":"subscriptionUp')
                    await channel.send(b"no JSON at all")
            case _:
                # `late-frames` is played before the reply, not in its middle.
                return

    async def _pause(self, seconds: float) -> None:
        if seconds > 0:
            # A frame holds what comes at one time, unless the prompt asks for more items.
            if self._script.items == 1:
                await self._flush()
            await asyncio.sleep(seconds)
        else:
            await asyncio.sleep(0)

    async def _push(self, item: Item) -> None:
        self._waiting.append(item)
        if len(self._waiting) >= self._script.items:
            await self._flush()

    async def _flush(self) -> None:
        if self._waiting:
            items, self._waiting = self._waiting, []
            await self._world.push(self._account, *items)

    def _item(self, name: str, scope: object, content: object) -> Item:
        filler = ""
        if self._script.filler:
            filler = self._world.rng.randbytes(self._world.rng.randrange(1, 24)).hex()
        return Item(name, scope, content, filler)

    def _added(self, message: Message) -> Item:
        return self._item("messageAdded", self._chat.chat_id, message.as_json())

    def _job_item(self) -> Item:
        return self._item("jobUpdated", self._chat.chat_id, self._job.as_json())

    def _cost_item(self, cost: int) -> Item:
        content = {
            "id": node_id("PoeJob", self._job.job_id),
            "jobId": self._job.job_id,
            "state": self._job.state,
            "totalCostPoints": cost,
            "costBreakdownTable": f"| Item | Points |\n| --- | --- |\n| Reply | {cost} |",
            "chatHistoryTruncationReason": None,
            "createdMessagesConnection": {
                "edges": [
                    {"node": {"messageId": message.message_id}} for message in self._job.messages
                ]
            },
        }
        return self._item("jobCostUpdated", self._job.job_id, content)

    def _facts(self) -> dict[str, object]:
        return facts(self._job)


async def _break(socket: Socket, how: str, megabytes: float) -> None:
    match how:
        case "close-socket":
            await socket.close()
        case "dead-socket":
            socket.is_silent = True
        case "endless-frame":
            await socket.flood(megabytes)


def facts(job: Job) -> dict[str, object]:
    """Return the fields of a reply in the journal."""
    return {
        "account": job.account.label,
        "chatId": job.chat.chat_id,
        "jobId": job.job_id,
        "bot": job.bot.handle,
        "length": sum(len(message.text) for message in job.messages),
        **({"mark": job.mark} if job.mark else {}),
    }


async def stop(world: World, job: Job) -> None:
    """Cancel a running reply, web protocol sheet §10.3."""
    task, chat, account = job.task, job.chat, job.account
    if task is not None and task is not asyncio.current_task():
        task.cancel()
    world.end_job(job, "cancelled")
    world.journal.add(face="web", event="reply-cancelled", **facts(job))
    running = [message for message in job.messages if message.state == "incomplete"]
    for message in running:
        message.state = "cancelled"
        content = {
            "id": node_id("Message", message.message_id),
            "messageId": message.message_id,
            "state": "cancelled",
        }
        await world.push(account, Item("messageCancelled", chat.chat_id, content))
        await world.push(account, Item("messageAdded", chat.chat_id, message.as_json()))
    await world.push(account, Item("jobUpdated", chat.chat_id, job.as_json()))


async def stop_chat(world: World, chat: Chat) -> None:
    """Cancel the reply that runs in a chat, if there is one."""
    if chat.job is not None:
        await stop(world, chat.job)


async def lose(account: Account, how: str) -> None:
    """Have all channels of the account lose their data, and say so once."""
    for channel in account.channels.values():
        if channel.is_broken:
            continue
        if how == "missed":
            await channel.send(b'{"error":"missed_messages"}')
        else:
            await channel.push_text(orjson.dumps({"message_type": "refetchChannel"}).decode())
        channel.is_broken = True
