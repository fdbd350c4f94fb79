from __future__ import annotations

import json
from typing import Any

import pytest
import requests
import websocket

from poe_sim.app import Running

from ..fakes import until
from .browser import Browser
from .conftest import Start


@pytest.mark.parametrize(
    ("words", "status", "part"),
    [
        ("!http=400", 400, "Bad Request"),
        ("!http=401", 401, "formkey"),
        ("!http=403", 403, "formkey"),
        ("!http=429", 429, "<h1>429 Too Many Requests</h1>"),
        ("!http=500", 500, "<h1>500"),
        ("!http=502", 502, "nginx"),
        ("!http", 500, "<h1>500"),
        ("!challenge", 403, "Just a moment..."),
        ("!empty-200", 200, ""),
        ("!html-200", 200, "<title>Login"),
        ("!login-redirect", 307, ""),
        ("!server-error", 200, "Server Error"),
        ("!stale-hash", 200, "PersistedQueryNotFound"),
    ],
)
def test_refused_sends(browser: Browser, sim: Running, words: str, status: int, part: str) -> None:
    """A refused send is answered as the prompt wants, and leaves no chat."""
    answer = browser.send(f"{words} Hello")

    assert status == answer.status_code
    assert part in answer.text
    assert not sim.world.accounts[0].chats
    assert "ok" != sim.world.journal.entries[-1]["verdict"]


def test_retry_after(browser: Browser) -> None:
    """A 429 may have `Retry-After`."""
    assert "7" == browser.send("!http=429 !retry-after=7 Hello").headers["Retry-After"]
    assert "Retry-After" not in browser.send("!http=429 Hello").headers


def test_cut_connection(browser: Browser, sim: Running) -> None:
    """The connection may be cut without an answer."""
    with pytest.raises(requests.ConnectionError):
        browser.send("!reset Hello")
    assert not sim.world.accounts[0].chats


@pytest.mark.parametrize(
    "status",
    [
        "reached_limit",
        "too_many_tokens",
        "no_access",
        "rate_limit_exceeded",
        "concurrent_messages",
        "unsupported_file_type",
        "message_points_display_price_mismatch",
        "something_new",
    ],
)
def test_refusing_statuses(browser: Browser, status: str) -> None:
    """A prompt can have any status that refuses; message and chat are null then."""
    answer = browser.send(f"!status={status} Hello").json()
    edge = answer["data"]["messageEdgeCreate"]

    assert status == edge["status"]
    assert edge["statusMessage"]
    assert (None, None) == (edge["message"], edge["chat"])
    data = browser.send("!status=x !status-text=so_it_is Hello").json()["data"]
    assert "so it is" == data["messageEdgeCreate"]["statusMessage"]


def test_a_chat_may_be_full(browser: Browser) -> None:
    """It takes no message more, and a new one does."""
    chat_id = browser.say("!full-chat !echo Hello")["chat"]["chatId"]
    browser.replies()

    assert "too_many_tokens" == browser.status("!full-chat Hello", chatId=chat_id)
    assert "success" == browser.status("Hello", chatId=chat_id)


@pytest.mark.parametrize(
    ("word", "status", "part"),
    [
        ("server-error-after-accept", 200, "Server Error"),
        ("http-after-accept=502", 502, "502"),
        ("empty-after-accept", 200, ""),
        ("html-after-accept", 200, "<title>Login"),
    ],
)
def test_spoilt_answers(browser: Browser, word: str, status: int, part: str) -> None:
    """The answer is lost, but the message is not: its reply comes all the same."""
    answer = browser.send(f"!{word} !echo Hello")

    assert status == answer.status_code
    assert part in answer.text
    assert "Hello" == browser.replies()[-1]["text"]


def test_cut_after_accept(browser: Browser) -> None:
    """The connection is cut after the message was accepted."""
    with pytest.raises(requests.ConnectionError):
        browser.send("!reset-after-accept !echo Hello")
    assert "Hello" == browser.replies()[-1]["text"]


@pytest.mark.parametrize("word", ["formkey-rotated", "new-build"])
def test_keys_change_in_the_middle(browser: Browser, word: str) -> None:
    """A form key that changed is a 400; with the new key the same send succeeds."""
    variables = browser.send_variables(f"!{word} !echo Hello")
    old = browser.formkey

    assert 400 == browser.query("sendMessageMutation", variables).status_code
    assert 400 == browser.query("settingsPageQuery").status_code
    channel = browser.channel
    browser.read_page()
    assert old != browser.formkey
    browser.channel = channel
    assert 200 == browser.query("sendMessageMutation", variables).status_code
    assert "Hello" == browser.replies()[-1]["text"]


def test_logged_out(browser: Browser) -> None:
    """A session may end in the middle; later requests are refused."""
    assert 400 == browser.send("!logged-out Hello").status_code
    assert 400 == browser.query("settingsPageQuery").status_code
    assert 307 == browser.get("/").status_code


def test_times(browser: Browser) -> None:
    """Trouble may come a number of times for one prompt, and then be over."""
    statuses = [browser.send("!times=2 !http=500 !echo Hi").status_code for _ in range(4)]

    assert [500, 500, 200, 500] == statuses
    assert 500 == browser.send("!times=2 !http=500 !echo another").status_code


def test_only(browser: Browser, sim: Running) -> None:
    """Trouble may be for one account; others answer without it."""
    prompt = "!only=cookie-1 !http=429 !echo Hi"
    with Browser(sim.url, "b") as other:
        other.open()

        assert 429 == browser.send(prompt).status_code
        assert "Hi" == other.ask(prompt)[-1]


def test_close_socket(browser: Browser) -> None:
    """A socket closed in the middle loses nothing: the rest is replayed."""
    browser.say("!echo !close-socket !chunks=4 one two three four")
    with pytest.raises(websocket.WebSocketConnectionClosedException):
        list(browser.frames())
    browser.listen()

    assert "one two three four" == browser.replies()[-1]["text"]


def await_end(sim: Running) -> None:
    """Wait until all of a reply that is pushed has been pushed."""
    until(lambda: [e for e in sim.world.journal.entries if e.get("event") == "reply-end"])


def test_dead_socket(browser: Browser, sim: Running) -> None:
    """A dead socket sends nothing, not even pongs, and does not close."""
    browser.say("!echo !dead-socket !chunks=4 one two three four")
    await_end(sim)
    with pytest.raises(websocket.WebSocketTimeoutException):
        list(browser.frames(timeout=0.2))
    browser.sockets[-1].send('{"type":"ping"}')
    browser.sockets[-1].ping()
    with pytest.raises(websocket.WebSocketTimeoutException):
        browser.frame(timeout=0.2)
    browser.listen()
    assert "one two three four" == browser.replies()[-1]["text"]


@pytest.mark.parametrize("word", ["refetch", "missed"])
def test_lost_channel(browser: Browser, sim: Running, word: str) -> None:
    """A channel that lost data says so and gets nothing more; the history has the reply."""
    edge = browser.say(f"!echo !{word} !chunks=4 one two three four")
    frames: list[dict[str, Any]] = []
    await_end(sim)
    with pytest.raises(websocket.WebSocketTimeoutException):
        frames.extend(browser.frames(timeout=0.3))
    if word == "missed":
        assert {"error": "missed_messages"} == frames[-1]
    else:
        assert {"message_type": "refetchChannel"} == json.loads(frames[-1]["messages"][0])
    browser.listen()
    assert {"error": "missed_messages"} == browser.frame()
    page = browser.data("ChatPageQuery", chatCode=edge["chat"]["chatCode"])["chatOfCode"]
    assert "one two three four" == page["lastMessage"]["text"]
    browser.open()
    assert "again" == browser.ask("!echo again")[-1]


def test_strange_frames(browser: Browser) -> None:
    """Odd frames come in the middle, and the reply goes on."""
    browser.say(
        "!echo !no-messages-frame !broken-json-frame !null-data !foreign-frames !server-ping "
        "!chunks=4 one two three four"
    )
    raw: list[str] = []
    while not raw or "viewerStateUpdated" not in raw[-1]:
        raw.append(str(browser.sockets[-1].recv()))

    assert '{"min_seq":1}' in raw
    assert '{"type":"ping"}' in raw
    assert "no JSON at all" in raw
    assert any('"subscriptionUp"' in frame.replace("\\", "") for frame in raw)
    assert any('\\"data\\":null' in frame for frame in raw)
    assert any("messageAdded:999999999" in frame for frame in raw)
    assert any("one two three four" in frame for frame in raw)


def test_late_frames(browser: Browser) -> None:
    """The last message of the previous reply may come once more before the next one."""
    edge = browser.say("!echo first")
    browser.items()
    browser.say("!echo !late-frames second", chatId=edge["chat"]["chatId"])
    messages = browser.replies()

    assert ("first", "complete") == (messages[0]["text"], messages[0]["state"])
    assert messages[0]["messageId"] < messages[1]["messageId"]
    assert "second" == messages[-1]["text"]


def test_hang_until_stopped(browser: Browser, sim: Running) -> None:
    """A reply may stand still until it is stopped."""
    edge = browser.say("!echo !hang !chunks=4 one two three four")
    chat = edge["chat"]["chatId"]
    assert "concurrent_messages" == browser.status("Hi", chatId=chat)
    browser.data("cancelViewerActiveJobs_cancelViewerActiveJobs_Mutation", chatId=chat)
    browser.items(until="messageCancelled")

    last = browser.items(until="jobUpdated")
    assert ("cancelled", "one two") == (last[0][1]["state"], last[0][1]["text"])
    event = next(e for e in sim.world.journal.entries if e.get("event") == "reply-cancelled")
    assert (chat, len("one two")) == (event["chatId"], event["length"])
    assert "success" == browser.status("!echo Hi", chatId=chat)


@pytest.mark.parametrize(
    ("bot", "prompt", "status"),
    [
        ("No-Such-Bot", "Hi", "no_access"),
        ("Sim-Private", "Hi", "no_access"),
        ("Sim-Subscribers", "Hi", "no_access"),
        ("Sim-Deleted", "Hi", "no_access"),
        ("Sim-Down", "Hi", "bot_unavailable"),
        ("Sim-Expensive", "Hi", "reached_limit"),
        ("Sim-Short-Memory", "x" * 2001, "too_many_tokens"),
    ],
)
def test_bots_that_refuse(browser: Browser, bot: str, prompt: str, status: str) -> None:
    """Unknown, closed, down, too expensive and too small bots refuse by a status."""
    assert status == browser.status(prompt, bot=bot)


def test_points_run_out(browser: Browser, sim: Running) -> None:
    """An account without points is refused until it has some again."""
    sim.world.accounts[0].points = 20

    browser.ask("!echo one")
    assert "reached_limit" == browser.status("two")
    points = browser.data("settingsPageQuery")["viewer"]["messagePointInfo"]
    assert 5 == points["messagePointBalance"]


def test_limits_of_an_account(start: Start) -> None:
    """Too many replies at a time, or too many messages a minute, are refused."""
    sim = start(max_concurrent=2, rate_limit=3)
    with Browser(sim.url, "a") as browser, Browser(sim.url, "b") as other:
        browser.open()
        other.open()
        edges = [browser.say("!hang Hi") for _ in range(2)]

        assert "concurrent_messages" == browser.status("Hi")
        assert "success" == other.status("Hi")
        chat = edges[0]["chat"]["chatId"]
        browser.data("cancelViewerActiveJobs_cancelViewerActiveJobs_Mutation", chatId=chat)
        assert "success" == browser.status("Hi")
        assert "rate_limit_exceeded" == browser.status("Hi")


def test_a_mark_is_noted_with_the_send_and_its_reply(browser: Browser, sim: Running) -> None:
    """A prompt that is known by its mark changes nothing in what is said."""
    said = browser.ask("!mark=m-1 !echo Hello")
    marked = [entry for entry in sim.world.journal.entries if entry.get("mark") == "m-1"]

    assert "Hello" == said[-1]
    assert ["sendMessageMutation", "reply-start", "reply-end"] == [
        entry.get("queryName") or entry["event"] for entry in marked
    ]


def test_a_send_with_a_wrong_form_key_is_known_as_one(browser: Browser, sim: Running) -> None:
    """It is refused before its body is read, and the journal says all the same what it was."""
    sim.world.rotate_formkey(sim.world.accounts[0])
    assert 400 == browser.send("Hello").status_code
    entry = sim.world.journal.entries[-1]

    assert ("bad formkey", "sendMessageMutation") == (entry["verdict"], entry["queryName"])


def test_a_complaint_may_have_line_breaks(browser: Browser) -> None:
    """In the text of a state or a status `_` is a space, and `%0A` is a line break."""
    refused = browser.query(
        "sendMessageMutation", browser.send_variables("!status=odd !status-text=a_b%0Ac x", bot="")
    ).json()

    assert "a b\nc" == refused["data"]["messageEdgeCreate"]["statusMessage"]
