"""The operations that make a bot answer: sending a message, and asking for another answer."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from typing import Any

import orjson

from .. import directives
from . import faults, script
from .bots import Bot
from .graphql import Call, Operation, server_error
from .objects import Account, Chat, Job, Message, Upload
from .player import Player

_NONCE = re.compile(r"[A-Za-z0-9]{16}")
_UNSUPPORTED_TYPES = frozenset({"application/x-msdownload", "application/x-dosexec"})
_UNSUPPORTED_NAMES = (".exe", ".dll")

# Words that make trouble; `!only` and `!times` limit them.
_TROUBLE = (
    faults.REFUSING
    | frozenset(faults.AFTER_ACCEPT)
    | frozenset(script.MISCHIEFS)
    | {"full-chat", "state", "cancelled", "hang", "silence", "slow-answer", "early"}
)
# These happen once: the client is meant to repeat its request and to succeed.
_ONCE = frozenset({"formkey-rotated", "new-build"})


async def _send(call: Call) -> dict[str, Any]:
    world, account, variables = call.world, call.account, call.variables
    query = variables["query"]
    words, prompt = directives.parse(query)
    bot = world.find_bot(variables["bot"], account)
    chat: Chat | None = None
    call.entry.update(
        bot=bot.handle if bot else variables["bot"],
        chatId=variables.get("chatId"),
        promptLength=len(query),
        clientNonce=variables.get("clientNonce"),
        sdid=world.sdid_label(variables.get("sdid") or ""),
    )
    if variables.get("parameters") is not None:
        call.entry["parameters"] = variables["parameters"]
    mark = words.get("mark", "")
    if mark:
        call.entry["mark"] = mark
    if world.is_strict:
        _check_strictly(variables)
    files = _attached(call)
    if variables.get("chatId") is not None:
        chat = call.chat()
    words = _active_words(call, words, query)
    _play_refusing_fault(call, words)
    refusal = _refusal(call, words, bot, prompt, chat, files)
    if refusal is not None:
        return refusal
    assert bot is not None
    is_new = chat is None
    nonce = variables.get("clientNonce") or ""
    if chat is None:
        chat = world.new_chat(account, bot, variables.get("chatNonce"))
    account.chats.move_to_end(chat.chat_id)
    human = world.new_message(
        author="human",
        text=query,
        nonce=nonce,
        attachments=[{"name": file.name, "mimeType": file.content_type} for file in files],
    )
    chat.messages.append(human)
    job = world.new_job(account, chat, bot, nonce, mark)
    call.entry["chatId"] = chat.chat_id
    plan = _plan(call, words, prompt, bot, human, files)
    await _perform(call, job, plan, human, is_new=is_new)
    if fault := faults.after_accept(words):
        raise fault
    return {
        "messageEdgeCreate": {
            "status": "success",
            "statusMessage": "",
            "failedUrls": [],
            "message": human.edge(),
            "botMessage": None,
            "chat": chat.as_json() if variables.get("shouldFetchChat", is_new) else None,
            "job": {"id": job.brief()["id"], "jobId": job.job_id},
            "bot": _price(bot),
            "viewer": {"messagePointInfo": account.points_info()},
        }
    }


async def _regenerate(call: Call) -> dict[str, Any]:
    world, account = call.world, call.account
    found = account.message(call.variables["messageId"])
    if found is None or found[1].job is None:
        raise server_error("unknown message")
    chat, old = found
    bot = found[1].job.bot
    at = chat.messages.index(old)
    humans = [message for message in chat.messages[:at] if message.author == "human"]
    if not humans:
        raise server_error("nothing to answer")
    human = humans[-1]
    words, prompt = directives.parse(human.text)
    words = _active_words(call, words, human.text)
    call.entry.update(bot=bot.handle, chatId=chat.chat_id, promptLength=len(human.text))
    _play_refusing_fault(call, words)
    refusal = _refusal(call, words, bot, prompt, chat, [])
    if refusal is not None:
        edge = refusal["messageEdgeCreate"]
        return {
            "messageRegenerate": {"status": edge["status"], "statusMessage": edge["statusMessage"]}
        }
    account.chats.move_to_end(chat.chat_id)
    del chat.messages[at:]
    job = world.new_job(account, chat, bot, "", words.get("mark", ""))
    plan = _plan(call, words, prompt, bot, human, [])
    plan.shows_human = False
    await _perform(call, job, plan, human, is_new=False)
    return {"messageRegenerate": {"status": "success", "statusMessage": ""}}


async def _perform(
    call: Call, job: Job, plan: script.Script, human: Message, *, is_new: bool
) -> None:
    """Start the reply; return when the request may be answered."""
    player = Player(call.world, job, plan, human, is_new=is_new)
    if plan.slow_answer > 0:
        await asyncio.sleep(plan.slow_answer)
    await player.announce()
    if job.state == "cancelled":
        return
    player.start()
    if plan.early > 0:
        await asyncio.sleep(plan.early)


def _plan(
    call: Call, words: Mapping[str, str], prompt: str, bot: Bot, human: Message, files: list[Upload]
) -> script.Script:
    world = call.world
    line = world.lines.next(bot.handle, human.text)
    return script.write(
        words,
        prompt,
        bot,
        pace=world.switches.pace,
        is_lenient=not world.is_strict,
        files=files,
        line=None if line is None else line.text,
        media_host=world.switches.media_host,
    )


def _check_strictly(variables: Mapping[str, Any]) -> None:
    """Raise `Refused` for what a schema cannot check, web protocol sheet §10.1."""
    for name in ("clientNonce", "chatNonce"):
        nonce = variables.get(name)
        if nonce is not None and not _NONCE.fullmatch(nonce):
            raise server_error(f"bad {name}")
    source = variables["source"]
    if not isinstance(source.get("sourceType"), str) or "chatInputMetadata" not in source:
        raise server_error("bad source")
    if variables["parameters"] is not None:
        try:
            orjson.loads(variables["parameters"])
        except orjson.JSONDecodeError:
            raise server_error("bad parameters") from None


def _attached(call: Call) -> list[Upload]:
    """Return the files, in the request or uploaded before."""
    names = call.variables.get("attachments") or []
    if call.files:
        return call.files
    tickets = call.variables.get("fileHashJwts") or []
    if len(tickets) != len(names):
        raise server_error("attachments and fileHashJwts differ")
    found = []
    for ticket in tickets:
        upload = call.account.uploads.get(ticket)
        if upload is None:
            raise server_error("unknown fileHashJwt")
        found.append(upload)
    return found


def _active_words(call: Call, words: Mapping[str, str], query: str) -> Mapping[str, str]:
    """Return the words; without trouble if it is for other accounts, or has been played."""
    world, label = call.world, call.account.label
    trouble = words.keys() & _TROUBLE
    if not trouble:
        return words
    harmless = {name: value for name, value in words.items() if name not in _TROUBLE}
    if "only" in words and label not in words["only"].split(","):
        return harmless
    if "times" in words or trouble & _ONCE:
        limit = int(directives.number(words, "times", 1))
        played = world.faults_played.get(query, 0)
        if played >= limit:
            # The same prompt makes trouble again from the next time on.
            world.faults_played.pop(query, None)
            return harmless
        world.faults_played[query] = played + 1
    return words


def _play_refusing_fault(call: Call, words: Mapping[str, str]) -> None:
    world, account = call.world, call.account
    if "formkey-rotated" in words:
        world.rotate_formkey(account)
        raise faults.bad_request("fault formkey-rotated")
    if "new-build" in words:
        world.new_build()
        raise faults.bad_request("fault new-build")
    if "logged-out" in words:
        account.is_logged_in = False
        raise faults.bad_request("fault logged-out")
    if fault := faults.from_words(words):
        raise fault


def _refusal(
    call: Call,
    words: Mapping[str, str],
    bot: Bot | None,
    prompt: str,
    chat: Chat | None,
    files: list[Upload],
) -> dict[str, Any] | None:
    """Return the answer that refuses the message, web protocol sheet §17.3, or None."""
    account = call.account
    status: str | None
    text: str | None
    if "status" in words:
        status, text = words["status"] or "reached_limit", words.get("status-text")
    elif "full-chat" in words and chat is not None:
        # The sheet does not say whether the message is measured, or the chat (§17.3, §18).
        status, text = "too_many_tokens", None
    else:
        status, text = _own_status(call, bot, prompt, chat, files), None
        if bot is not None and bot.no_access is not None:
            text = bot.no_access
    if status is None:
        account.sent_at.append(time.monotonic())
        return None
    call.entry["sendStatus"] = status
    return {
        "messageEdgeCreate": {
            "status": status,
            "statusMessage": (
                directives.spoken(text)
                if text is not None
                else script.STATUS_TEXTS.get(status, "Something went wrong.")
            ),
            "failedUrls": [],
            "message": None,
            "botMessage": None,
            "chat": None,
            "job": None,
            "bot": None if bot is None else _price(bot),
            "viewer": {"messagePointInfo": account.points_info()},
        }
    }


def _own_status(
    call: Call, bot: Bot | None, prompt: str, chat: Chat | None, files: list[Upload]
) -> str | None:
    account, switches = call.account, call.world.switches
    if bot is None or bot.no_access is not None:
        return "no_access"
    if bot.is_down:
        return "bot_unavailable"
    if len(prompt) > bot.prompt_limit:
        return "too_many_tokens"
    if files and (not bot.accepts_files or any(map(_is_unsupported, files))):
        return "unsupported_file_type"
    if account.points < bot.price:
        return "reached_limit"
    price = call.variables.get("messagePointsDisplayPrice")
    if price is not None and price != bot.price:
        return "message_points_display_price_mismatch"
    if _is_too_fast(account, switches.rate_limit):
        return "rate_limit_exceeded"
    if (chat is not None and chat.job is not None) or len(account.jobs) >= switches.max_concurrent:
        return "concurrent_messages"
    return None


def _is_too_fast(account: Account, per_minute: int) -> bool:
    while account.sent_at and time.monotonic() - account.sent_at[0] > 60:
        account.sent_at.popleft()
    return 0 < per_minute <= len(account.sent_at)


def _is_unsupported(file: Upload) -> bool:
    return file.content_type in _UNSUPPORTED_TYPES or file.name.lower().endswith(_UNSUPPORTED_NAMES)


def _price(bot: Bot) -> dict[str, Any]:
    price = {"displayMessagePointPrice": bot.price, "numRemainingMessages": None}
    return {"id": bot.brief()["id"], "messagePointLimit": price}


_OLD_SEND = {
    "bot": "=str",
    "query": "=str",
    "source": "+dict",
    "sdid": "+str?",
    "attachments": "+list",
    "clientNonce": "+str?",
}

# The old name is for clients of era C only.
TABLE: dict[str, Operation] = {
    "sendMessageMutation": Operation(
        {
            "chatId": "int?",
            "bot": "=str",
            "query": "=str",
            "source": "dict",
            "clientNonce": "str",
            "sdid": "str",
            "attachments": "list",
            "chatNonce": "str?",
            "existingMessageAttachmentsIds": "list",
            "shouldFetchChat": "bool",
            "referencedMessageId": "int?",
            "parameters": "str?",
            "fileHashJwts": "list",
            "messagePointsDisplayPrice": "~int?",
            "withChatBreak": "~bool",
        },
        _send,
        pushes=True,
    ),
    "ChatHelpersSendNewChatMessageMutation": Operation(_OLD_SEND, _send, pushes=True),
    "regenerateMessageMutation": Operation(
        {"messageId": "=int", "messagePointsDisplayPrice": "~int?"}, _regenerate, pushes=True
    ),
}
