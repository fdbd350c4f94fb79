from __future__ import annotations

import json
from typing import Any

import pytest

from poe_sim.app import Running
from poe_sim.web.checks import tag_of

from .browser import Browser, nonce, swap, tag
from .conftest import Start

FORMKEY = "3f9a1c0d5e7b2846a0c4e8f1b7d3952e"
HASH = "7ad44151c552ceef568fb790cf1e3c12c72540c0139a853c1b751fb8c89a4a22"
BODY = f'{{"queryName":"settingsPageQuery","variables":{{}},"extensions":{{"hash":"{HASH}"}}}}'
UNICODE_BODY = BODY.replace("{},", '{"query":"héllo"},')
BAD_REQUEST = {"success": False, "message": "Bad Request"}


@pytest.mark.parametrize(
    ("body", "size", "plain", "swapped"),
    [
        (BODY, 137, "36339c5516851282c2ecd395924d3d11", "36339c5516851282c2ec9395d24d3d11"),
        (
            UNICODE_BODY,
            153,
            "de4615faa346db1061ecdfa19a0aada7",
            "de4615faa346db1061ec9fa1da0aada7",
        ),
    ],
)
def test_tag_vectors(body: str, size: int, plain: str, swapped: str) -> None:
    """The tags of the protocol sheet come out, in both forms."""
    data = body.encode()

    assert size == len(data)
    assert plain == tag_of(data, FORMKEY)
    assert swapped == tag_of(data, FORMKEY, swapped=True)


def test_tag_with_an_older_salt() -> None:
    """The second salt gives the tag that the sheet has for it."""
    expected = "8de3cc30a66c264871839bd8f2805907"

    assert expected == tag_of(BODY.encode(), FORMKEY, salt="Jb1hi3fg1MxZpzYfy")


def test_checks_come_in_order(browser: Browser, sim: Running) -> None:
    """The first failing check hides all later ones."""
    good = browser.envelope("settingsPageQuery", {})
    broken = b'{"queryName":'
    tries: list[tuple[str, bytes, dict[str, str | None]]] = [
        ("missing formkey", broken, {"Poe-Formkey": None, "poe-tag-id": None}),
        ("bad formkey", broken, {"Poe-Formkey": "0" * 32, "poe-tag-id": None}),
        ("missing tag", broken, {"poe-tag-id": None}),
        ("bad tag", broken, {"poe-tag-id": "0" * 32}),
        ("bad JSON", broken, {"poe-queryname": "other"}),
        ("bad envelope", b'{"queryName":1}', {"poe-queryname": "other"}),
        ("missing poe-queryname", good, {"poegraphql": None}),
        ("bad poe-queryname", good, {"poe-queryname": "other", "poegraphql": None}),
        ("bad poegraphql", good, {"poe-queryname": "settingsPageQuery", "poegraphql": "2"}),
        ("bad poe-revision", good, {"poe-queryname": "settingsPageQuery", "Poe-Revision": "x"}),
        ("ok", good, {"poe-queryname": "settingsPageQuery"}),
    ]
    # Cookie and content type come first of all.
    browser.session.headers["Cookie"] = "p-b=wrong"
    assert 400 == browser.post("/api/gql_POST", broken, Content_Type="text/plain").status_code
    assert "bad cookie" == sim.world.journal.entries[-1]["verdict"]
    browser.session.headers["Cookie"] = "p-b=a"
    wrong_type = {"Content-Type": "text/plain", "Poe-Formkey": None}
    assert 400 == browser.post("/api/gql_POST", broken, **wrong_type).status_code
    assert "bad content type" == sim.world.journal.entries[-1]["verdict"]
    for verdict, body, headers in tries:
        answer = browser.post("/api/gql_POST", body, **headers)

        assert verdict == sim.world.journal.entries[-1]["verdict"]
        if verdict != "ok":
            assert (400, BAD_REQUEST) == (answer.status_code, answer.json())


def test_a_request_that_is_refused_unread_has_its_name(browser: Browser, sim: Running) -> None:
    """A send with a wrong key is a send: the journal names it by its header."""
    variables = browser.envelope("sendMessageMutation", browser.send_variables("Hi"))
    headers: dict[str, str | None] = {"Poe-Formkey": "0" * 32}
    browser.post("/api/gql_POST", variables, **headers, poe_queryname="sendMessageMutation")

    last = sim.world.journal.entries[-1]
    assert ("bad", "sendMessageMutation") == (last["formkey"], last["queryName"])


def test_a_send_says_whether_its_channel_is_heard(browser: Browser, sim: Running) -> None:
    """A channel that is subscribed may have no websocket yet."""
    browser.say("!echo heard")
    browser.read_page()
    browser.subscribe()
    browser.say("!echo unheard")

    sends = [e for e in sim.world.journal.entries if e.get("queryName") == "sendMessageMutation"]
    assert [True, False] == [entry["isHeard"] for entry in sends]


def test_wrong_hash_and_unknown_operation(browser: Browser, sim: Running) -> None:
    """A retired hash is a Server Error, an unknown operation has no persisted query."""
    browser.hashes["settingsPageQuery"] = "f" * 64
    stale = browser.query("settingsPageQuery")
    unknown = browser.query("NoSuchQuery")

    assert 200 == stale.status_code
    assert {
        "data": None,
        "errors": [{"message": "Server Error"}],
        "extensions": {"is_final": True},
    } == stale.json()
    assert "PersistedQueryNotFound" == unknown.json()["errors"][0]["message"]
    sim.world.switches.stale_answer = "PersistedQueryNotFound"
    again = browser.query("settingsPageQuery").json()
    assert "PersistedQueryNotFound" == again["errors"][0]["message"]


def test_first_letter_is_free(browser: Browser) -> None:
    """The first letter of a name may be a capital or not; other spellings are refused."""
    assert browser.query("SettingsPageQuery").json()["data"]
    assert not browser.query("settingspagequery").json()["data"]


def test_hash_comes_before_channel_and_channel_before_variables(
    browser: Browser, sim: Running
) -> None:
    """Operations that push need a known channel; variables are checked last."""
    wrong = {"chatId": "one"}
    name = "useDeleteChat_deleteChat_Mutation"
    no_channel: dict[str, str | None] = {"Poe-Tchannel": None}

    assert 400 == browser.query(name, wrong, **no_channel).status_code
    assert "missing tchannel" == sim.world.journal.entries[-1]["verdict"]
    assert 400 == browser.query(name, wrong, **{"Poe-Tchannel": "poe-other"}).status_code
    assert "unknown tchannel" == sim.world.journal.entries[-1]["verdict"]
    browser.query(name, wrong)
    assert "server error: bad variable chatId" == sim.world.journal.entries[-1]["verdict"]
    browser.hashes[name] = "0" * 64
    browser.query(name, wrong, **no_channel)
    assert "bad hash" == sim.world.journal.entries[-1]["verdict"]
    assert browser.query("settingsPageQuery", **no_channel).json()["data"]


@pytest.mark.parametrize(
    "change",
    [
        {"chatId": "1"},
        {"chatId": True},
        {"query": None},
        {"attachments": None},
        {"shouldFetchChat": 1},
        {"clientNonce": "short"},
        {"chatNonce": "!" * 16},
        {"source": {}},
        {"parameters": "{not json"},
        {"fileHashJwts": ["a.b.c"]},
        {"fileHashJwts": ["a.b.c"], "attachments": ["file0"]},
        {"unheardOf": 1},
        {"withChatBreak": False},
        {"messagePointsDisplayPrice": None},
        {"chatId": 12345},
    ],
)
def test_strict_send_insists(browser: Browser, change: dict[str, Any]) -> None:
    """A variable that is wrong, unknown, or only of older clients is a Server Error."""
    answer = browser.send("Hello", **change).json()

    assert "Server Error" == answer["errors"][0]["message"]


@pytest.mark.parametrize("name", ["chatNonce", "sdid", "parameters", "shouldFetchChat"])
def test_strict_send_misses(browser: Browser, name: str) -> None:
    """A variable that today's browser sends must be there."""
    variables = browser.send_variables("Hello")
    del variables[name]

    assert browser.query("sendMessageMutation", variables).json()["data"] is None


@pytest.mark.parametrize(
    ("mode", "plain_status", "swapped_status"),
    [("either", 200, 200), ("plain", 200, 400), ("swapped", 400, 200)],
)
def test_tag_modes(start: Start, mode: str, plain_status: int, swapped_status: int) -> None:
    """The accepted forms of the tag are those of the mode."""
    sim = start(tag_mode=mode, tokens=("a",))
    with Browser(sim.url, "a") as browser:
        browser.read_page()
        # The two forms are equal if both characters are: find a body with different ones.
        for number in range(100):
            body = browser.envelope("HandleBotLandingPageQuery", {"botHandle": f"é{number}"})
            plain = tag(body, browser.formkey)
            if plain != swap(plain):
                break
        headers = {"poe-queryname": "HandleBotLandingPageQuery"}
        for given, status in ((plain, plain_status), (swap(plain), swapped_status)):
            answer = browser.post("/api/gql_POST", body, **{"poe-tag-id": given, **headers})

            assert status == answer.status_code


def test_lenient_mode(start: Start) -> None:
    """Clients of mid-2025 are accepted: their names, hashes, variables, and no new headers."""
    sim = start(mode="lenient")
    with Browser(sim.url, "a") as browser:
        browser.read_page()
        browser.hashes.clear()
        bare: dict[str, str | None] = {"poegraphql": None, "Poe-Revision": None}
        for name in ("SettingsPageQuery", "settingspagequery", "DeleteUserMessagesMutation"):
            body = browser.envelope(name, {})
            assert browser.post("/api/gql_POST", body, **bare).json()["data"]
        variables = {
            "chatId": None,
            "bot": "capybara",
            "query": "Hello",
            "shouldFetchChat": True,
            "source": {"sourceType": "chat_input", "chatInputMetadata": {}},
            "clientNonce": nonce(),
            "sdid": "",
            "attachments": [],
            "existingMessageAttachmentsIds": [],
            "messagePointsDisplayPrice": None,
        }
        body = browser.envelope("SendMessageMutation", variables)
        answer = browser.post("/api/gql_POST", body, **bare).json()

        assert "success" == answer["data"]["messageEdgeCreate"]["status"]


def test_old_revision(start: Start) -> None:
    """With the switch on, the revision must be that of the newest build."""
    sim = start(check_revision=True)
    with Browser(sim.url, "a") as browser:
        browser.read_page()
        assert 200 == browser.query("settingsPageQuery").status_code
        assert 400 == browser.query("settingsPageQuery", **{"Poe-Revision": "0" * 40}).status_code


def test_telemetry(browser: Browser) -> None:
    """A list of events with the right key and tag is accepted, anything else is not."""
    good = json.dumps([{"category": "poe/statsd_event", "data": {}}]).encode()

    assert {} == browser.post("/api/receive_POST", good).json()
    assert 400 == browser.post("/api/receive_POST", good, Poe_Formkey="bad").status_code
    assert 400 == browser.post("/api/receive_POST", good, poe_tag_id="0" * 32).status_code
    for bad in (b"{}", b'[{"category":1,"data":{}}]', b"x"):
        assert 400 == browser.post("/api/receive_POST", bad).status_code


def test_strict_subscriptions(browser: Browser) -> None:
    """A subscription that Poe does not have is a Server Error."""
    entry = {"subscriptionName": "noSuchThing", "query": None, "queryHash": "0" * 64}

    answer = browser.query("subscriptionsMutation", {"subscriptions": [entry]}).json()
    assert "Server Error" == answer["errors"][0]["message"]


def test_journal_holds_no_secret(browser: Browser, sim: Running) -> None:
    """Journal and control have no cookie, form key, prompt or channel hash."""
    browser.ask("!echo a very private prompt")
    browser.get("/", headers={"Cookie": "p-b=somebody-elses"})
    told = browser.get("/__journal").text + browser.get("/__control").text

    for secret in (browser.formkey, browser.channel["channelHash"], "private", "somebody-elses"):
        assert secret not in told
    send = next(e for e in sim.world.journal.entries if e.get("queryName") == "sendMessageMutation")
    assert "cookie-1" == send["account"]
    assert "GPT-4o" == send["bot"]
    assert len("!echo a very private prompt") == send["promptLength"]
    assert "poe-formkey" in send["headers"]
