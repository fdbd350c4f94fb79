from __future__ import annotations

import json
from itertools import pairwise

import pytest

from poe_sim.app import Running

from .browser import Browser
from .conftest import Start


def test_new_chat_is_pushed_in_order(browser: Browser) -> None:
    """A new chat is pushed as a browser recorded it, in its order."""
    edge = browser.say("!echo !chunks=2 !repeat-complete=1 Hello there", bot="claude-opus-4.5")
    items = browser.items()

    chat, job = edge["chat"]["chatId"], edge["job"]["jobId"]
    assert [
        "messageCreated",
        f"messageAdded:{chat}",
        "chatAddedV2",
        f"jobStarted:{chat}",
        f"jobUpdated:{chat}",
        f"jobUpdated:{chat}",
        "messageCreated",
        f"chatMemberAddedWithContext:{chat}",
        *[f"messageAdded:{chat}"] * 4,
        f"jobUpdated:{chat}",
        f"jobCostUpdated:{job}",
        f"messageAdded:{chat}",
        f"chatTitleUpdated:{chat}",
        "viewerStateUpdated",
    ] == [scope for scope, _ in items]
    human, added = items[1][1], items[2][1]["chat"]
    assert ("human", edge["message"]["cursor"]) == (human["author"], human["clientNonce"])
    assert edge["chat"]["chatCode"] == added["chatCode"]
    bots = [content for scope, content in items if scope == f"messageAdded:{chat}"][1:]
    assert ["", "Hello", "Hello there", "Hello there", "Hello there"] == [b["text"] for b in bots]
    assert ["incomplete"] * 3 + ["complete"] * 2 == [b["state"] for b in bots]
    assert {"claude_opus_4_5"} == {b["author"] for b in bots}
    assert 1 == len({b["messageId"] for b in bots})
    assert bots[0]["messageId"] > human["messageId"]
    jobs = [content["state"] for scope, content in items if scope == f"jobUpdated:{chat}"]
    assert ["not_started", "running", "completed"] == jobs


def test_answer_to_the_send(browser: Browser) -> None:
    """The POST is answered with status, human message, chat and job."""
    variables = browser.send_variables("Hello", bot="gpt4_o")
    answer = browser.query("sendMessageMutation", variables).json()
    edge = answer["data"]["messageEdgeCreate"]

    assert {"hi": "bye"} == answer["extensions"]
    assert ("success", "", []) == (edge["status"], edge["statusMessage"], edge["failedUrls"])
    assert variables["clientNonce"] == edge["message"]["cursor"]
    assert variables["clientNonce"] == edge["message"]["node"]["clientNonce"]
    assert variables["chatNonce"] == edge["chat"]["chatNonce"]
    assert "GPT-4o" == edge["chat"]["defaultBotObject"]["displayName"]
    assert edge["botMessage"] is None


def test_only_what_is_subscribed_is_pushed(sim: Running) -> None:
    """A channel gets only what it is subscribed to."""
    with Browser(sim.url, "a") as browser:
        browser.read_page()
        hash_ = "9bc4af8951e2f446fdd00399a4823b9b73c96a767b86a92078269e64725aa934"
        entry = {"subscriptionName": "messageAdded", "query": None, "queryHash": hash_}
        browser.data("subscriptionsMutation", subscriptions=[entry])
        browser.listen()
        browser.say("!echo !chunks=1 !repeat-complete=0 Hi")

        names = [
            json.loads(text)["payload"]["subscription_name"]
            for _ in range(4)
            for text in browser.frame()["messages"]
        ]
        assert ["messageAdded"] * 4 == names


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        ("!echo !chunks=3 one two three four five six", ["", "one two", "one two three four"]),
        ("!echo !size=4 abcdefghij", ["", "abcd", "abcdefgh", "abcdefghij"]),
        ("!echo !chunks=3 abc", ["", "a", "ab", "abc"]),
        ("!echo !chunks=1 你好 👋", ["", "你好 👋"]),
        ("!empty Hello", [""]),
        ("!long=20", ["", "This"]),
    ],
)
def test_texts_grow(browser: Browser, words: str, texts: list[str]) -> None:
    """The text comes in the pieces that the prompt wants, the whole of it each time."""
    heard = browser.ask(words)

    assert texts == heard[: len(texts)]
    assert all(later.startswith(earlier) for earlier, later in pairwise(heard))


def test_echo_gives_the_prompt_back(browser: Browser) -> None:
    """Echo gives back exactly the prompt without its words, and keeps its white space."""
    assert "  two\n\n lines  " == browser.ask("!echo   two\n\n lines  ")[-1]


def test_long_reply(browser: Browser) -> None:
    """A long reply has exactly the length asked for, in a bounded number of pieces."""
    texts = browser.ask("!long=50000 please")

    assert 50_000 == len(texts[-1])
    assert len(texts) <= 202


def test_default_reply_is_sensible(browser: Browser) -> None:
    """Without words the bot answers, under its name."""
    assert "**Claude-Sonnet-4.5**" in browser.ask("Hello", bot="CLAUDE-SONNET-4.5")[-1]
    assert "1, 2, 3." == browser.ask("count to 3")[-1]


def test_rewrite(browser: Browser) -> None:
    """A rewritten text replaces what was shown."""
    texts = browser.ask("!echo !rewrite !chunks=4 one two three four")

    assert "one two three four" == texts[-1]
    assert any(text.startswith("ONE") for text in texts)


@pytest.mark.parametrize(("prompt", "bot"), [("!thinking=2 ", "GPT-4o"), ("", "DeepSeek-R1")])
def test_thinking_is_replaced(browser: Browser, prompt: str, bot: str) -> None:
    """Drafts of thinking come first, and nothing of them stays."""
    texts = browser.ask(f"{prompt}!echo !chunks=1 done", bot=bot)

    assert "Thinking..." == texts[1]
    assert "Thinking... (1s elapsed)" == texts[2]
    assert "done" == texts[-1]


def test_quoted_thinking_stays(browser: Browser) -> None:
    """A quoted thought stands in front of the answer and stays there."""
    last = browser.ask("!echo !quoted-thinking done")[-1]

    assert last.startswith("*Thinking...*\n\n> ")
    assert last.endswith("\n\ndone")


@pytest.mark.parametrize(
    ("prompt", "bot"), [("!pacarana !echo Hi", "GPT-4o"), ("!echo Hi", "Web-Search")]
)
def test_pacarana(browser: Browser, prompt: str, bot: str) -> None:
    """Progress comes as messages of another author, with ids of their own."""
    browser.say(prompt, bot=bot)
    messages = browser.replies()

    lines = [message for message in messages if message["author"] == "pacarana"]
    rest = [message for message in messages if message["author"] != "pacarana"]
    assert ["Searching the web", "Reading 3 pages"] == [line["text"] for line in lines]
    assert {rest[0]["messageId"]}.isdisjoint(line["messageId"] for line in lines)
    assert "Hi" == rest[-1]["text"]


def test_several_messages_of_one_job(browser: Browser) -> None:
    """A job may have several messages; each is complete before the next begins."""
    browser.say("!echo !messages=3 !repeat-complete=0 !chunks=1 part")
    messages = browser.replies()

    done = [message for message in messages if message["state"] == "complete"]
    assert ["part (1/3)", "part (2/3)", "part (3/3)"] == [message["text"] for message in done]
    assert 3 == len({message["messageId"] for message in done})
    assert 1 == len({message["responsibleJob"]["jobId"] for message in done})


def test_items_per_frame(browser: Browser) -> None:
    """Several items may share a frame, whose number is that of the last one."""
    before = browser.min_seq
    browser.say("!echo !items=4 !chunks=8 !title=never one two three four five six seven")
    sizes, seen = [], 0
    while seen < 20:
        frame = browser.frame()
        sizes.append(len(frame["messages"]))
        seen += sizes[-1]
        assert before + seen == frame["min_seq"]

    assert max(sizes) > 1


def test_filler(browser: Browser) -> None:
    """Filler pads the items with hex of random length."""
    browser.say("!echo !filler Hi")
    fillers = {json.loads(text)["_"] for _ in range(6) for text in browser.frame()["messages"]}

    assert len(fillers) > 1
    assert all(int(filler, 16) >= 0 for filler in fillers)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_repeated_complete(browser: Browser, count: int) -> None:
    """A finished message is pushed as often again as the prompt wants."""
    browser.say(f"!echo !repeat-complete={count} Hi")
    done = [message for message in browser.replies() if message["state"] == "complete"]

    assert 1 + count == len(done)


def test_followups(browser: Browser) -> None:
    """Suggested replies come after the end, each in a frame and on the message."""
    browser.say("!echo !followups=2 Hi")
    items = browser.items()

    updates = [c for scope, c in items if scope.startswith("messageFollowupActionUpdated:")]
    assert [1, 2] == [len(update["followupActions"]) for update in updates]
    assert updates[-1]["followupActions"][0]["bodyText"]


@pytest.mark.parametrize("when", ["before", "middle", "after", "never"])
def test_title(browser: Browser, when: str) -> None:
    """The title of a new chat comes when the prompt wants it, or not at all."""
    browser.say(f"!title={when} !echo !chunks=4 a talk about the sea and the wind")
    items = browser.items()

    names = [scope.split(":")[0] for scope, _ in items]
    assert ("chatTitleUpdated" in names) is (when != "never")
    if when == "never":
        return
    at = names.index("chatTitleUpdated")
    assert "a talk about the sea" == items[at][1]["title"]
    states = [c["state"] for scope, c in items[:at] if scope.startswith("messageAdded:")]
    expected = {"before": ["complete"], "after": states}.get(when)
    assert expected in (None, states)
    assert (when == "after") is (states.count("complete") > 1)


def test_error_state(browser: Browser) -> None:
    """A message may end in a state of failure, with a text for the user."""
    browser.say("!echo !state=error_insufficient_fund !state-text=need_more_points Hi")
    last = browser.replies()[-1]

    assert "error_insufficient_fund" == last["state"]
    assert "need more points" == last["messageStateText"]


def test_cancelled_by_poe(browser: Browser) -> None:
    """Poe may cancel in the middle; what was said stays."""
    browser.say("!echo !cancelled !chunks=4 one two three four")
    items = browser.items(until="messageCancelled")
    after = browser.items(until="jobUpdated")

    assert items[-1][1]["state"] == "cancelled"
    assert ("cancelled", "one two") == (after[0][1]["state"], after[0][1]["text"])
    assert "cancelled" == after[-1][1]["state"]


def test_no_complete_no_job_no_human(browser: Browser) -> None:
    """Frames that clients like to rely on can be left out."""
    browser.say("!echo !no-complete !repeat-complete=0 Hi")
    assert {"incomplete"} == {message["state"] for message in browser.replies()}
    browser.say("!echo !no-job !no-human Hi")
    items = browser.items()

    assert not [scope for scope, _ in items if scope.startswith("job")]
    assert not [c for _, c in items if c.get("author") == "human"]


def test_a_job_may_end_before_its_message(browser: Browser) -> None:
    """It is completed in the middle, and the bot writes on; or the message never ends at all."""
    browser.say("!echo !job-first !repeat-complete=0 !chunks=4 one two three four")
    items = browser.items(until="jobUpdated")
    while "completed" != items[-1][1]["state"]:
        items = browser.items(until="jobUpdated")
    after = browser.items()
    states = [c["state"] for scope, c in after if scope.startswith("messageAdded:")]
    assert ["incomplete", "complete"] == list(dict.fromkeys(states))

    browser.say("!echo !state=incomplete Hi")
    last = browser.replies()[-1]
    assert ("incomplete", "Hi") == (last["state"], last["text"])


def test_cost_is_taken(browser: Browser, sim: Running) -> None:
    """A reply costs points, and its frames have what is left."""
    before = sim.world.accounts[0].points
    browser.say("!echo !cost=42 Hi")
    items = browser.items()

    cost = next(c for scope, c in items if scope.startswith("jobCostUpdated:"))
    assert 42 == cost["totalCostPoints"]
    info = items[-1][1]["viewer"]["messagePointInfo"]
    assert before - 42 == info["messagePointBalance"]


def test_image_bot(browser: Browser) -> None:
    """An image bot replaces a line of progress by a Markdown image, and attaches it."""
    browser.say("a red balloon", bot="GPT-Image-1")
    messages = browser.replies()

    assert "Generating image..." == messages[1]["text"]
    assert messages[-1]["text"].startswith("![a red balloon](https://")
    assert messages[-1]["attachments"][0]["url"] in messages[-1]["text"]


@pytest.mark.parametrize(
    ("words", "least"),
    [("!delay=0.02 !chunks=4", 0.08), ("!first=0.1", 0.1), ("!silence=0.1", 0.1)],
)
def test_timing(browser: Browser, sim: Running, words: str, least: float) -> None:
    """Delays are kept: between pieces, before the first one, in the middle."""
    browser.ask(f"!echo {words} one two three four")
    times = {e["event"]: e["t"] for e in sim.world.journal.entries if "event" in e}

    assert times["reply-end"] - times["reply-start"] >= least


def test_frames_before_the_answer(browser: Browser, sim: Running) -> None:
    """Early frames come before the POST is answered, a slow answer comes before all frames."""
    browser.ask("!echo !early=1 !chunks=1 Hi")
    send, end = [
        next(e for e in sim.world.journal.entries if e.get(field) == value)
        for field, value in (("queryName", "sendMessageMutation"), ("event", "reply-end"))
    ]
    assert end["t"] < send["t"] + send["ms"] / 1000
    sim.world.journal.clear()
    browser.ask("!echo !slow-answer=0.1 !chunks=1 Hi")
    begin = next(e for e in sim.world.journal.entries if e.get("event") == "reply-start")
    send = next(e for e in sim.world.journal.entries if "queryName" in e)
    assert begin["t"] - send["t"] >= 0.1


def test_pace_of_a_person(start: Start) -> None:
    """By default pieces come at the pace of the command line."""
    sim = start(pace=0.01)
    with Browser(sim.url, "a") as browser:
        browser.open()
        browser.ask("!echo !chunks=5 one two three four five")

    times = {e["event"]: e["t"] for e in sim.world.journal.entries if "event" in e}
    assert 0.05 <= times["reply-end"] - times["reply-start"]


def test_a_text_is_repeated(browser: Browser) -> None:
    """`!repeat=N` is the prompt N times, however long that is."""
    assert "abc" * 1000 == browser.ask("!repeat=1000 !chunks=1 abc")[-1]


def test_drafts_replace_each_other(browser: Browser) -> None:
    """`!redraft=N` shows two other texts N times before the answer."""
    edge = browser.say("!redraft=2 !chunks=1 !repeat-complete=0 !echo Hello")
    chat = edge["chat"]["chatId"]
    bots = [content for scope, content in browser.items() if scope == f"messageAdded:{chat}"][1:]

    assert ["", *["HELLO…", "hello…"] * 2, "Hello", "Hello"] == [one["text"] for one in bots]
