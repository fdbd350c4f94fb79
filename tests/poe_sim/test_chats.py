from __future__ import annotations

from typing import Any

import pytest
import requests

from poe_sim.app import Running

from .browser import AGENT, Browser, nonce, tag


def texts(browser: Browser, chat: dict[str, Any]) -> list[str]:
    page = browser.data("ChatPageQuery", chatCode=chat["chatCode"])["chatOfCode"]
    return [edge["node"]["text"] for edge in page["messagesConnection"]["edges"]]


def test_existing_chat(browser: Browser) -> None:
    """A second message goes on in its chat, without news or an answer about a new one."""
    chat = browser.say("!echo one")["chat"]
    browser.items()
    edge = browser.say("!echo two", chatId=chat["chatId"])
    items = browser.items()

    assert edge["chat"] is None
    assert "chatAddedV2" not in [scope for scope, _ in items]
    assert not [s for s, _ in items if s.startswith(("chatTitleUpdated", "chatMemberAdded"))]
    assert ["!echo one", "one", "!echo two", "two"] == texts(browser, chat)


def test_chats_belong_to_accounts(browser: Browser, sim: Running) -> None:
    """An account cannot write into the chat of another one, or read it."""
    chat = browser.say("!echo one")["chat"]
    with Browser(sim.url, "b") as other:
        other.open()

        assert "Server Error" in other.send("two", chatId=chat["chatId"]).text
        assert other.data("ChatPageQuery", chatCode=chat["chatCode"])["chatOfCode"] is None
        gone = other.query("useDeleteChat_deleteChat_Mutation", {"chatId": chat["chatId"]})
        assert "Server Error" in gone.text


def test_chat_break(browser: Browser) -> None:
    """A break is a message of its own author, pushed and kept."""
    chat = browser.say("!echo one")["chat"]
    browser.items()
    data = browser.data("sendChatBreakMutation", chatId=chat["chatId"], clientNonce=nonce())

    node = data["messageBreakEdgeCreate"]["message"]["node"]
    assert "chat_break" == node["author"]
    assert node["messageId"] == browser.items(until="messageAdded")[0][1]["messageId"]
    assert 3 == len(texts(browser, chat))


def test_stop_by_message(browser: Browser) -> None:
    """The older way of stopping names the message."""
    browser.say("!echo !hang !chunks=2 one two")
    while (message := browser.items(until="messageAdded")[-1][1])["text"] != "one":
        pass
    data = browser.data(
        "stopMessage_messageCancel_Mutation", messageId=message["messageId"], textLength=3
    )

    assert "cancelled" == data["messageCancel"]["state"]
    assert "cancelled" == browser.items(until="messageCancelled")[-1][1]["state"]


def test_stop_when_nothing_runs(browser: Browser, sim: Running) -> None:
    """Stopping a chat where nothing runs changes nothing."""
    chat = browser.say("!echo one")["chat"]
    browser.items()
    browser.data("cancelViewerActiveJobs_cancelViewerActiveJobs_Mutation", chatId=chat["chatId"])

    assert not [e for e in sim.world.journal.entries if e.get("event") == "reply-cancelled"]


def test_delete_chat(browser: Browser, sim: Running) -> None:
    """A deleted chat is gone from lists; its reply ends, and the deletion is pushed."""
    chat = browser.say("!echo !hang one")["chat"]
    browser.data("useDeleteChat_deleteChat_Mutation", chatId=chat["chatId"])
    items = browser.items(until="chatDeletedV3")

    assert chat["chatId"] == items[-1][1]["chatId"]
    assert not browser.data("ChatHistoryListPaginationQuery", count=10, cursor=None)["chats"][
        "edges"
    ]
    node = browser.data("ChatListPaginationQuery", count=10, cursor=None, id=chat["id"])
    assert node["node"] is None
    events = [e["event"] for e in sim.world.journal.entries if "event" in e]
    assert ["socket-open", "reply-start", "reply-cancelled", "chat-deleted"] == events
    assert browser.query("DeleteChat", {"chatId": chat["chatId"]}).json()["data"] is None


def test_delete_messages_and_everything(browser: Browser) -> None:
    """Single messages can be removed, and all chats at once."""
    edge = browser.say("!echo one")
    browser.items()
    human = edge["message"]["node"]["messageId"]
    browser.data("DeleteMessageMutation", messageIds=[human])

    assert [human] == browser.items(until="messageDeleted")[-1][1]["messageIds"]
    assert ["one"] == texts(browser, edge["chat"])
    browser.data("SettingsDeleteAllMessagesButton_deleteUserMessagesMutation_Mutation")
    assert browser.data("ChatPageQuery", chatCode=edge["chat"]["chatCode"])["chatOfCode"] is None


def test_regenerate(browser: Browser) -> None:
    """Another answer takes the place of the first, under a new id."""
    chat = browser.say("!echo one")["chat"]
    first = browser.replies()[-1]
    data = browser.data("regenerateMessageMutation", messageId=first["messageId"])
    second = browser.replies()[-1]

    assert "success" == data["messageRegenerate"]["status"]
    assert ("one", "complete") == (second["text"], second["state"])
    assert second["messageId"] > first["messageId"]
    assert ["!echo one", "one"] == texts(browser, chat)


def test_history_pages(browser: Browser) -> None:
    """Lists are cut into pages, newest chat first, messages oldest first."""
    chats = [browser.say(f"!echo {n}")["chat"] for n in range(5)]
    for _ in chats:
        browser.items()
    browser.say("!echo again", chatId=chats[0]["chatId"])
    browser.items()
    seen, cursor = [], None
    while True:
        page = browser.data("ChatHistoryListPaginationQuery", count=2, cursor=cursor)["chats"]
        seen += [edge["node"]["chatId"] for edge in page["edges"]]
        cursor = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break

    order = [chats[n]["chatId"] for n in (0, 4, 3, 2, 1)]
    assert order == seen
    back = browser.data("ChatListPaginationQuery", count=3, cursor=None, id=chats[0]["id"])["node"][
        "messagesConnection"
    ]
    assert ["0", "!echo again", "again"] == [edge["node"]["text"] for edge in back["edges"]]
    assert back["pageInfo"]["hasPreviousPage"]
    rest = browser.data(
        "ChatListPaginationQuery",
        count=3,
        cursor=back["pageInfo"]["startCursor"],
        id=chats[0]["id"],
    )["node"]["messagesConnection"]
    assert ["!echo 0"] == [edge["node"]["text"] for edge in rest["edges"]]
    assert not rest["pageInfo"]["hasPreviousPage"]


def test_history_by_bot(browser: Browser) -> None:
    """Chats can be listed for one bot."""
    browser.say("!echo one", bot="GPT-4o")
    browser.say("!echo two", bot="Claude-Opus-4.5")
    page = browser.data(
        "ChatHistoryFilteredListPaginationQuery", count=10, cursor=None, handle="claude-opus-4.5"
    )

    names = [e["node"]["defaultBotObject"]["displayName"] for e in page["filteredChats"]["edges"]]
    assert ["Claude-Opus-4.5"] == names


def test_bot_list_pages(browser: Browser) -> None:
    """The pages of the bot list have all bots, deleted ones marked, but no private ones."""
    handles: dict[str, str] = {}
    cursor = None
    while True:
        page = browser.data(
            "availableBotsSelectorModalPaginationQuery",
            botSelectorFilter="all",
            cursor=cursor,
            filterCanvasOnlyBots=False,
            includeHomePageBotSelectorFragment=False,
            limit=10,
        )["viewer"]["availableBotsConnection"]
        assert len(page["edges"]) <= 10
        for edge in page["edges"]:
            handles[edge["node"]["handle"]] = edge["node"]["deletionState"]
        cursor = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break

    assert len(handles) > 50
    assert "deleted" == handles["Sim-Deleted"]
    assert "Sim-Private" not in handles


def test_a_bot_may_be_one_account_s_own(browser: Browser, sim: Running) -> None:
    """The control names it: that account finds it first in its list, and no other knows it."""
    sim.world.switches.own_bots = ["cookie-1/My-Bot", "cookie-2/Other-Bot"]
    page = browser.data(
        "availableBotsSelectorModalPaginationQuery",
        botSelectorFilter="all",
        cursor=None,
        filterCanvasOnlyBots=False,
        includeHomePageBotSelectorFragment=False,
        limit=10,
    )["viewer"]["availableBotsConnection"]
    found = [
        browser.data("HandleBotLandingPageQuery", botHandle=name)["bot"]
        for name in ("my-bot", "Other-Bot")
    ]

    assert ["My-Bot"] == [edge["node"]["handle"] for edge in page["edges"]][:1]
    assert ("My-Bot", None) == (found[0]["handle"], found[1])


@pytest.mark.parametrize(
    ("name", "handle"),
    [
        ("capybara", "Assistant"),
        ("chinchilla", "GPT-3.5-Turbo"),
        ("agouti", "ChatGPT-16k"),
        ("beaver", "GPT-4"),
        ("vizcacha", "GPT-4-32k"),
        ("a2", "Claude-instant"),
        ("a2_2", "Claude-2-100k"),
        ("a2_100k", "Claude-instant-100k"),
        ("acouchy", "Google-PaLM"),
        ("llama_2_70b_chat", "Llama-2-70b"),
        ("CLAUDE-SONNET-4.5", "Claude-Sonnet-4.5"),
        ("gpt-4o", "GPT-4o"),
        ("Gemini-2.5-Pro", "Gemini-2.5-Pro"),
        ("chatgpt", "GPT-3.5-Turbo"),
        ("no-such-bot", None),
    ],
)
def test_bot_information(browser: Browser, name: str, handle: str | None) -> None:
    """A bot is found by handle and codename in any case; an unknown one is null."""
    data = browser.data("HandleBotLandingPageQuery", botHandle=name)

    assert handle == (data["bot"] and data["bot"]["handle"])
    assert data["viewer"]["shouldUseFinishUploadEndpoint"] is True


def test_bots_made_unknown(browser: Browser, sim: Running) -> None:
    """The control can hide a bot, and codenames as well."""
    sim.world.switches.unknown_bots = ["GPT-4o"]
    sim.world.switches.codenames_in_bot_info = False

    assert browser.data("HandleBotLandingPageQuery", botHandle="gpt4_o")["bot"] is None
    assert "no_access" == browser.status("Hi", bot="GPT-4o")
    assert browser.data("HandleBotLandingPageQuery", botHandle="capybara")["bot"] is None
    assert browser.data("HandleBotLandingPageQuery", botHandle="assistant")["bot"]
    assert "success" == browser.status("Hi", bot="capybara")


def test_small_operations(browser: Browser) -> None:
    """Titles, settings, sharing, searching and the rest answer from the state."""
    chat = browser.say("!echo one")["chat"]
    message = browser.replies()[-1]
    number = chat["chatId"]
    browser.data("ChatSettingsModal_ChatSetTitle_Mutation", chatId=number, title="New")
    assert "New" == browser.items(until="chatTitleUpdated")[-1][1]["title"]
    page = browser.data("ChatPageQuery", chatCode=chat["chatCode"])["chatOfCode"]
    assert "New" == page["title"]
    browser.data(
        "ChatSettingsModal_ChatSetContextOptimization_Mutation",
        chatId=number,
        isContextOptimizationOn=True,
    )
    browser.data(
        "useChatLastMessageImpressionTracker_ChatMarkAsSeen_Mutation",
        chatId=number,
        lastSeenMessageId=message["messageId"],
    )
    ids = [edge["node"]["messageId"] for edge in page["messagesConnection"]["edges"]]
    code = browser.data("ShareMessageMutation", chatId=number, messageIds=ids)["messagesShare"]
    shared = browser.data(
        "ContinueChatCTAButton_continueChatFromPoeShare_Mutation",
        botName="GPT-4o",
        shareCode=code["shareCode"],
        postId=None,
    )["continueChatFromPoeShare"]
    assert ["!echo one", "one"] == [each["node"]["text"] for each in shared["messages"]]
    info = browser.data("MessageInfoPageQuery", messageCode=message["messageCode"])
    assert 15 == info["messageOfCode"]["responsibleJob"]["totalCostPoints"]
    found = browser.data(
        "SearchResultsListPaginationQuery", query="claude", entityType="bot", count=5, cursor=None
    )["searchEntityConnection"]
    assert 5 == len(found["edges"])
    users = browser.data(
        "SearchResultsListPaginationQuery", query="sim", entityType="user", count=5, cursor=None
    )["searchEntityConnection"]
    assert users["edges"][0]["node"]["nullableHandle"]
    assert browser.data("exploreBotsIndexPageQuery", categoryName="defaultCategory")
    explored = browser.data(
        "ExploreBotsListPaginationQuery", categoryName="defaultCategory", count=3, cursor=None
    )
    assert 3 == len(explored["exploreBotsConnection"]["edges"])
    assert browser.data("HandleProfilePageQuery", handle="somebody")["user"]
    assert browser.data("AnnotateWithIdsProviderQuery")["viewer"]["id"] == "Vmlld2VyOjA="
    assert browser.data("useMessageCacheQuery")["messages"]
    source = {"text_input": {"title": "t", "content": "c"}}
    made = browser.data("Knowledge_CreateKnowledgeSourceMutation", sourceInput=source)
    assert "t" == made["knowledgeSourceCreate"]["source"]["title"]


def upload(browser: Browser, **files: tuple[str, bytes, str]) -> requests.Response:
    return requests.post(
        f"{browser.url}/api/finish_upload_POST",
        files=files,
        headers={"User-Agent": AGENT, "Cookie": "p-b=a", "Poe-Formkey": browser.formkey},
        timeout=60,
    )


@pytest.mark.parametrize("form", ["plain", "quoted", "json", "nested"])
def test_upload(browser: Browser, sim: Running, form: str) -> None:
    """A file is uploaded, its ticket comes in the chosen form, and a message carries it."""
    sim.world.switches.jwt_form = form
    answer = upload(browser, file=("notes.txt", b"some notes", "text/plain"))

    assert 200 == answer.status_code
    ticket = answer.text
    if form == "quoted":
        ticket = ticket.strip('"')
    elif form == "json":
        ticket = answer.json()["fileHashJwt"]
    elif form == "nested":
        ticket = answer.json()["data"]["upload"]["file_hash_jwt"]
    assert 2 == ticket.count(".")
    edge = browser.say("Read it", attachments=["file0"], fileHashJwts=[ticket])
    assert "notes.txt" == edge["message"]["node"]["attachments"][0]["name"]
    assert browser.replies()[-1]["text"].endswith("You attached: notes.txt.")
    refused = browser.status(
        "Read it", bot="Sim-Text-Only", attachments=["file0"], fileHashJwts=[ticket]
    )
    assert "unsupported_file_type" == refused


def test_bad_uploads(browser: Browser, sim: Running) -> None:
    """An upload needs the key, exactly one part `file`, and a size within the limit."""
    file = ("a.txt", b"some notes", "text/plain")

    assert 400 == upload(browser, other=file).status_code
    assert 400 == upload(browser, file=file, more=file).status_code
    sim.world.switches.upload_limit = 5
    assert 413 == upload(browser, file=file).status_code
    browser.formkey = "0" * 32
    assert 400 == upload(browser, file=file).status_code


def test_upload_with_the_query(browser: Browser) -> None:
    """The older way sends files with the query, whose tag is over the query alone."""
    variables = browser.send_variables("Read them", attachments=["file0", "file1"])
    body = browser.envelope("sendMessageMutation", variables)
    request = requests.Request(
        "POST",
        f"{browser.url}/api/gql_upload_POST",
        data={"queryInfo": body},
        files={
            "file0": ("a.txt", b"one", "text/plain"),
            "file1": ("b.md", b"two", "application/octet-stream"),
        },
    ).prepare()
    headers: dict[str, str | None] = {
        "Content-Type": request.headers["Content-Type"],
        "poe-queryname": "sendMessageMutation",
    }
    headers["poe-tag-id"] = tag(body, browser.formkey)
    assert isinstance(request.body, bytes)
    answer = browser.post("/api/gql_upload_POST", request.body, **headers).json()

    assert "success" == answer["data"]["messageEdgeCreate"]["status"]
    assert browser.replies()[-1]["text"].endswith("You attached: a.txt, b.md.")
