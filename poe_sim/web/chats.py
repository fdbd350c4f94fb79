"""GraphQL operations on chats, but for sending: web protocol sheet §10.2 to §10.10."""

from __future__ import annotations

from . import hashes
from .bots import node_id
from .channels import Item
from .graphql import VIEWER_ID, Call, Json, Operation, cursor_of, page_of, server_error
from .objects import Account, Chat, Message
from .player import stop, stop_chat


async def _subscribe(call: Call) -> Json:
    assert call.channel is not None
    world, wanted = call.world, set[str]()
    skips = world.switches.stale_subscription == "skip"
    for entry in call.variables["subscriptions"]:
        match entry:
            case {"subscriptionName": str(name), "queryHash": str(value)}:
                is_current = world.subscriptions.get(name) == value
                is_stale = name in world.subscriptions and not is_current
            case {"subscriptionName": str(name), "query": str()}:
                # The oldest clients sent the subscription's text instead of its hash.
                is_current = is_stale = False
            case _:
                raise server_error("bad subscription")
        if is_current or (not world.is_strict and name in hashes.SUBSCRIPTION_NAMES):
            wanted.add(name)
        elif is_stale and skips:
            call.entry.setdefault("skipped", []).append(name)
        elif world.is_strict:
            raise server_error(f"subscription {name}")
    call.channel.subscribed = frozenset(wanted)
    call.entry["channel"] = call.channel.label
    if world.switches.close_replaced:
        for other in call.account.channels.values():
            if other is not call.channel:
                for socket in tuple(other.sockets):
                    await socket.close()
    return {"autoSubscribe": {"viewer": {"id": VIEWER_ID}}}


def _chat_nodes(account: Account, handle: str | None = None) -> list[tuple[object, Json]]:
    """Return the chats, the last used one first."""
    return [
        (chat.chat_id, chat.as_json())
        for chat in reversed(account.chats.values())
        if handle is None or handle.lower() in chat.bot.names()
    ]


async def _chats(call: Call) -> Json:
    variables = call.variables
    nodes = _chat_nodes(call.account)
    return {"chats": page_of(nodes, variables.get("count"), variables.get("cursor"))}


async def _filtered_chats(call: Call) -> Json:
    variables = call.variables
    nodes = _chat_nodes(call.account, variables["handle"])
    return {"filteredChats": page_of(nodes, variables.get("count"), variables.get("cursor"))}


async def _chat_messages(call: Call) -> Json:
    variables = call.variables
    chat = next(
        (chat for chat in call.account.chats.values() if chat.node_id == variables["id"]), None
    )
    if chat is None:
        return {"node": None}
    messages = chat.messages
    end = len(messages)
    if cursor := variables.get("cursor"):
        keys = [cursor_of(message.message_id) for message in messages]
        end = keys.index(cursor) if cursor in keys else 0
    start = max(0, end - max(1, variables.get("count") or 25))
    part = messages[start:end]
    connection = {
        "edges": [
            {"cursor": cursor_of(message.message_id), "node": message.as_json()} for message in part
        ],
        "pageInfo": {
            "startCursor": cursor_of(part[0].message_id) if part else None,
            "hasPreviousPage": start > 0,
        },
    }
    return {"node": {**chat.as_json(), "messagesConnection": connection}}


async def _chat_page(call: Call) -> Json:
    code = call.variables["chatCode"]
    chat = next((chat for chat in call.account.chats.values() if chat.code == code), None)
    if chat is None:
        return {"chatOfCode": None}
    edges = [message.edge() for message in chat.messages]
    last = edges[-1]["node"] if edges else None
    return {
        "chatOfCode": {
            **chat.as_json(),
            "messagesConnection": {"edges": edges},
            "lastMessage": last,
        }
    }


async def _message_info(call: Call) -> Json:
    code = call.variables["messageCode"]
    for chat in call.account.chats.values():
        for message in chat.messages:
            if message.as_json()["messageCode"] == code:
                price = message.job.bot.price if message.job else 0
                return {"messageOfCode": {"responsibleJob": {"totalCostPoints": price}}}
    return {"messageOfCode": None}


async def _break(call: Call) -> Json:
    chat = call.chat()
    message = call.world.new_message(
        author="chat_break", text="", nonce=call.variables.get("clientNonce") or ""
    )
    chat.messages.append(message)
    await call.world.push(call.account, Item("messageAdded", chat.chat_id, message.as_json()))
    return {"messageBreakEdgeCreate": {"message": message.edge()}, "messageBreakEdge": None}


async def _stop_chat(call: Call) -> Json:
    chat = call.chat()
    call.entry["chatId"] = chat.chat_id
    await stop_chat(call.world, chat)
    return {"cancelViewerActiveJobs": {"viewer": {"id": VIEWER_ID}}}


async def _stop_message(call: Call) -> Json:
    found = call.account.message(call.variables["messageId"])
    if found is None:
        raise server_error("unknown message")
    chat, message = found
    call.entry["chatId"] = chat.chat_id
    if message.job is not None and message.job is chat.job:
        await stop(call.world, message.job)
    return {"messageCancel": message.as_json()}


async def _remove(call: Call, chat: Chat) -> None:
    await stop_chat(call.world, chat)
    del call.account.chats[chat.chat_id]
    call.world.journal.add(
        face="web",
        event="chat-deleted",
        account=call.account.label,
        chatId=chat.chat_id,
        bot=chat.bot.handle,
    )


async def _delete_chat(call: Call) -> Json:
    chat = call.chat()
    call.entry["chatId"] = chat.chat_id
    await _remove(call, chat)
    gone = {"id": chat.node_id, "chatId": chat.chat_id}
    await call.world.push(
        call.account, Item("chatDeletedV2", None, gone), Item("chatDeletedV3", None, gone)
    )
    return {"deleteChat": {"chatId": chat.chat_id, "viewer": {"id": VIEWER_ID}}}


async def _delete_messages(call: Call) -> Json:
    gone: list[int] = []
    for message_id in call.variables["messageIds"]:
        found = call.account.message(message_id) if isinstance(message_id, int) else None
        if found is None:
            raise server_error("unknown message")
        chat, message = found
        if message.job is not None and message.job is chat.job:
            await stop(call.world, message.job)
        chat.messages.remove(message)
        gone.append(message_id)
        content = {"messageIds": [message_id]}
        await call.world.push(
            call.account,
            Item("messageDeleted", chat.chat_id, content),
            Item("messageDeletedV2", chat.chat_id, content),
        )
    return {"messagesDelete": {"edgeIds": [node_id("Message", number) for number in gone]}}


async def _delete_all(call: Call) -> Json:
    for chat in list(call.account.chats.values()):
        await _remove(call, chat)
    await call.world.push(call.account, Item("allChatsDeleted", None, {"viewerId": VIEWER_ID}))
    return {"deleteUserMessages": {"viewer": {"id": VIEWER_ID}}}


async def _set_title(call: Call) -> Json:
    chat = call.chat()
    chat.title = call.variables["title"]
    content = {"id": chat.node_id, "title": chat.title}
    await call.world.push(call.account, Item("chatTitleUpdated", chat.chat_id, content))
    return {"chatSetTitle": {"chat": chat.as_json()}}


async def _set_context(call: Call) -> Json:
    chat = call.chat()
    is_on = call.variables["isContextOptimizationOn"]
    content = {"id": chat.node_id, "isContextOptimizationOn": is_on}
    await call.world.push(call.account, Item("chatSettingsUpdated", chat.chat_id, content))
    return {"chatSetContextOptimization": {"chat": {**chat.as_json(), **content}}}


async def _mark_seen(call: Call) -> Json:
    chat = call.chat()
    content = {"id": chat.node_id, "lastSeenMessageId": call.variables["lastSeenMessageId"]}
    await call.world.push(
        call.account,
        Item("messageReadV2", chat.chat_id, content),
        Item("messageReadByViewer", None, content),
    )
    return {"chatMarkAsSeen": {"chat": chat.as_json()}}


async def _share(call: Call) -> Json:
    chat = call.chat()
    wanted = set(call.variables["messageIds"])
    code = call.world.letters(20)
    call.world.shares[code] = [each for each in chat.messages if each.message_id in wanted]
    return {"messagesShare": {"shareCode": code}}


async def _continue_share(call: Call) -> Json:
    world, variables = call.world, call.variables
    bot = world.find_bot(variables["botName"])
    shared = world.shares.get(variables["shareCode"])
    if bot is None or not shared:
        raise server_error("unknown share")
    chat = world.new_chat(call.account, bot, None)
    for message in shared:
        copy = world.new_message(
            author=message.author, text=message.text, bot=None if message.job is None else bot
        )
        chat.messages.append(copy)
    nodes = [{"node": {**message.as_json(), "chat": chat.as_json()}} for message in chat.messages]
    return {"continueChatFromPoeShare": {"status": "success", "messages": nodes}}


async def _knowledge(call: Call) -> Json:
    match call.variables["sourceInput"]:
        case {"text_input": {"title": str(title), "content": str()}}:
            pass
        case {"file_upload": {"attachment": "file"}} if len(call.files) == 1:
            title = call.files[0].name
        case _:
            raise server_error("bad sourceInput")
    number = call.world.rng.randrange(10_000, 99_999)
    source = {"title": title, "knowledgeSourceId": number}
    return {"knowledgeSourceCreate": {"status": "success", "source": source}}


async def _message_cache(call: Call) -> Json:
    newest: list[Message] = []
    for chat in reversed(call.account.chats.values()):
        newest += chat.messages[-1:]
    return {"messages": [message.as_json() for message in newest[:20]]}


_LIST = {"count": "int", "cursor": "str?"}

TABLE: dict[str, Operation] = {
    "subscriptionsMutation": Operation({"subscriptions": "=list"}, _subscribe, pushes=True),
    "sendChatBreakMutation": Operation(
        {"chatId": "=int", "clientNonce": "str"}, _break, pushes=True
    ),
    "AddMessageBreakEdgeMutation": Operation(
        {"chatId": "=int", "connections": "+list"}, _break, pushes=True
    ),
    "cancelViewerActiveJobs_cancelViewerActiveJobs_Mutation": Operation(
        {"chatId": "=int"}, _stop_chat, pushes=True
    ),
    "stopMessage_messageCancel_Mutation": Operation(
        {"messageId": "=int", "textLength": "=int", "linkifiedTextLength": "~int"},
        _stop_message,
        pushes=True,
    ),
    "chatHelpers_messageCancel_Mutation": Operation(
        {"messageId": "=int", "textLength": "+int", "linkifiedTextLength": "+int"},
        _stop_message,
        pushes=True,
    ),
    "useDeleteChat_deleteChat_Mutation": Operation({"chatId": "=int"}, _delete_chat, pushes=True),
    "DeleteMessageMutation": Operation({"messageIds": "=list"}, _delete_messages, pushes=True),
    "MessageDeleteConfirmationModal_deleteMessageMutation_Mutation": Operation(
        {"messageIds": "=list", "connections": "+str"}, _delete_messages, pushes=True
    ),
    "SettingsDeleteAllMessagesButton_deleteUserMessagesMutation_Mutation": Operation(
        {}, _delete_all, pushes=True
    ),
    "ChatPageQuery": Operation({"chatCode": "=str"}, _chat_page),
    "ChatListPaginationQuery": Operation({**_LIST, "id": "=str"}, _chat_messages),
    "ChatHistoryListPaginationQuery": Operation(_LIST, _chats),
    "ChatHistoryFilteredListPaginationQuery": Operation(
        {**_LIST, "handle": "=str"}, _filtered_chats
    ),
    "MessageInfoPageQuery": Operation({"messageCode": "=str"}, _message_info),
    "ChatSettingsModal_ChatSetTitle_Mutation": Operation(
        {"chatId": "=int", "title": "=str"}, _set_title
    ),
    "ChatSettingsModal_ChatSetContextOptimization_Mutation": Operation(
        {"chatId": "=int", "isContextOptimizationOn": "=bool"}, _set_context
    ),
    "useChatLastMessageImpressionTracker_ChatMarkAsSeen_Mutation": Operation(
        {"chatId": "=int", "lastSeenMessageId": "=int"}, _mark_seen
    ),
    "ShareMessageMutation": Operation({"chatId": "=int", "messageIds": "=list"}, _share),
    "messageSharing_shareMessagesMutation_Mutation": Operation(
        {"chatId": "=int", "messageIds": "=list"}, _share
    ),
    "ContinueChatCTAButton_continueChatFromPoeShare_Mutation": Operation(
        {"botName": "=str", "shareCode": "=str", "postId": "int?"}, _continue_share
    ),
    "Knowledge_CreateKnowledgeSourceMutation": Operation({"sourceInput": "=dict"}, _knowledge),
    "useMessageCacheQuery": Operation({}, _message_cache),
}
