from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest
import requests
import websocket

from poe_sim.app import Running
from poe_sim.web import channels

from ..fakes import until
from .browser import AGENT, Browser
from .conftest import Start


def test_replay_by_min_seq(browser: Browser) -> None:
    """A new websocket gets the frames after its number, and no others."""
    browser.ask("!echo !chunks=3 one two three")
    last = browser.min_seq
    browser.listen(min_seq=last - 3)

    assert [last - 2, last - 1, last] == [browser.frame()["min_seq"] for _ in range(3)]
    browser.listen(min_seq=last)
    assert browser.says_nothing()


def test_replay_goes_only_so_far(start: Start) -> None:
    """A websocket whose frames are no longer kept gets `missed_messages`."""
    sim = start(ring_size=5)
    with Browser(sim.url, "a") as browser:
        browser.open()
        first = browser.min_seq
        browser.ask("!echo !chunks=8 one two three four five six seven eight")
        last = browser.min_seq
        browser.listen(min_seq=first)

        assert {"error": "missed_messages"} == browser.frame()
        browser.listen(min_seq=last - 5)
        assert last - 4 == browser.frame()["min_seq"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/up/{box}/updates?min_seq=1&channel=nobody&hash={hash}", 403),
        ("/up/{box}/updates?min_seq=1&channel={channel}&hash=1", 403),
        ("/up/{box}/updates?channel={channel}&hash={hash}", 403),
        ("/up/{box}/updates?min_seq=x&channel={channel}&hash={hash}", 403),
        ("/up/other/updates?min_seq=1&channel={channel}&hash={hash}", 404),
    ],
)
def test_refused_sockets(browser: Browser, path: str, status: int) -> None:
    """A websocket needs a known channel, its hash, its box and a number."""
    data = browser.channel
    where = path.format(box=data["boxName"], channel=data["channel"], hash=data["channelHash"])
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        websocket.create_connection(
            browser.url.replace("http", "ws") + where, header={"User-Agent": AGENT}, timeout=60
        )
    assert status == refused.value.status_code


def test_a_plain_get_is_no_socket(browser: Browser) -> None:
    """Without an upgrade the websocket's address is a 404."""
    data = browser.channel
    path = f"/up/{data['boxName']}/updates?min_seq=1&channel={data['channel']}"

    assert 404 == browser.get(f"{path}&hash={data['channelHash']}").status_code


def test_pings(browser: Browser) -> None:
    """Text pings and protocol pings are both answered."""
    socket = browser.sockets[-1]
    socket.send('{"type":"ping"}')
    assert {"type": "pong"} == browser.frame()
    socket.ping("x")
    opcode, data = socket.recv_data(control_frame=True)
    assert (websocket.ABNF.OPCODE_PONG, b"x") == (opcode, data)


def test_pings_unanswered(start: Start) -> None:
    """Pings can go unanswered while frames still come."""
    sim = start(answer_pings=False)
    with Browser(sim.url, "a") as browser:
        browser.open()
        browser.sockets[-1].send('{"type":"ping"}')
        assert "Hi" == browser.ask("!echo Hi")[-1]
        browser.sockets[-1].send('{"type":"ping"}')
        assert browser.says_nothing_more()


def test_server_pings(start: Start) -> None:
    """The server may ping too, and its journal has the pongs."""
    sim = start(server_ping=0.05)
    with Browser(sim.url, "a") as browser:
        browser.open()
        assert {"type": "ping"} == browser.frame()
        browser.sockets[-1].send('{"type":"pong"}')
        until(lambda: [e for e in sim.world.journal.entries if e.get("event") == "pong"])


def test_two_channels_get_the_same(browser: Browser, sim: Running) -> None:
    """Two tabs of an account both get its replies; another account gets none."""
    with Browser(sim.url, "a") as second, Browser(sim.url, "b") as stranger:
        second.open()
        stranger.open()
        browser.ask("!echo Hi")

        assert "Hi" == second.replies()[-1]["text"]
        assert stranger.says_nothing()


def test_replaced_channel_is_closed(start: Start) -> None:
    """With the switch on, a new subscription closes the sockets of older channels."""
    sim = start(close_replaced=True)
    with Browser(sim.url, "a") as browser:
        browser.open()
        browser.read_page()
        browser.subscribe()
        with pytest.raises(websocket.WebSocketConnectionClosedException):
            browser.frame()


def test_journal_has_sockets(browser: Browser, sim: Running) -> None:
    """The journal has the opening and the closing of a websocket."""
    browser.sockets[-1].close()

    def events() -> list[tuple[str, str]]:
        return [(e["event"], e["peer"]) for e in sim.world.journal.entries if "event" in e]

    until(lambda: len(events()) == 2)
    assert [("socket-open", "127.0.0.1"), ("socket-close", "127.0.0.1")] == events()


def test_journal_has_pings(browser: Browser, sim: Running) -> None:
    """The journal has the pings that are answered."""
    assert browser.says_nothing()
    assert ["socket-open", "ping"] == [
        e["event"] for e in sim.world.journal.entries if "event" in e
    ]


def test_control_over_http(browser: Browser, sim: Running) -> None:
    """The control turns switches, does its actions, and answers with the state."""

    def control(**body: object) -> requests.Response:
        return requests.post(f"{sim.url}/__control", json=body, timeout=60)

    state = control(pace=0.5, max_concurrent=20, challenge=True).json()
    assert (0.5, 20, "on") == (state["pace"], state["max_concurrent"], state["challenge"])
    assert 403 == browser.get("/").status_code
    control(challenge=False, unknown_bots=["o3"], points={"cookie-1": 0})
    assert "reached_limit" == browser.status("Hi")
    assert 400 == control(no_such_thing=1).status_code
    assert 400 == control(mode="odd").status_code
    assert 400 == control(pace="fast", max_concurrent=1).status_code
    assert 400 == control(log_out="cookie-9").status_code
    assert 400 == requests.post(f"{sim.url}/__control", data="[]", timeout=60).status_code
    assert 20 == control().json()["max_concurrent"]
    assert not control(log_out="cookie-1").json()["accounts"][0]["logged_in"]
    assert 307 == browser.get("/").status_code
    assert control(log_in=["cookie-1"]).json()["accounts"][0]["logged_in"]
    old = dict(sim.world.hashes)
    control(retire_hash="sendMessageMutation")
    assert "Server Error" in browser.send("Hi").text
    control(rotate_build=True)
    browser.read_page()
    assert old["sendMessageMutation"] != browser.hashes["sendMessageMutation"]
    control(rotate_formkey=["cookie-1"])
    assert 400 == browser.query("settingsPageQuery").status_code
    state = control(reset=True).json()
    assert (0, 3, old) == (state["pace"], state["max_concurrent"], state["hashes"])
    assert 1_000_000 == state["accounts"][0]["points"]


def test_control_of_sockets(browser: Browser, sim: Running) -> None:
    """Sockets can be silenced and dropped, channels lost and forgotten."""

    def control(**body: object) -> None:
        assert requests.post(f"{sim.url}/__control", json=body, timeout=60).ok

    control(silence_sockets="cookie-1")
    browser.sockets[-1].send('{"type":"ping"}')
    assert browser.says_nothing_more()
    browser.listen()
    control(drop_sockets=True)
    with pytest.raises(websocket.WebSocketConnectionClosedException):
        browser.frame()
    browser.listen()
    control(lose_channels="refetch")
    assert {"message_type": "refetchChannel"} == json.loads(browser.frame()["messages"][0])
    control(forget_channels=True)
    assert 400 == browser.send("Hi").status_code
    browser.open()
    assert "Hi" == browser.ask("!echo Hi")[-1]


def test_trouble_for_any_request(browser: Browser, sim: Running) -> None:
    """The control makes trouble for so many pages and queries."""

    def fail(**fault: object) -> None:
        answer = requests.post(f"{sim.url}/__control", json={"fail": fault}, timeout=60)
        assert answer.ok, answer.text

    fail(path="/", times=2, **{"with": {"http": 502}})
    assert [502, 502, 200] == [browser.get("/").status_code for _ in range(3)]
    fail(query_name="settingsPageQuery", **{"with": {"server-error": ""}})
    assert browser.query("HandleBotLandingPageQuery", {"botHandle": "o3"}).json()["data"]
    assert browser.query("settingsPageQuery").json()["data"] is None
    assert browser.query("settingsPageQuery").json()["data"]
    fail(path="/api/settings", account="cookie-2", **{"with": {"empty-200": ""}})
    assert browser.get("/api/settings").text
    for words, status in ({"slow": 0.1}, 200), ({"slow": 0.1, "http": 429}, 429):
        fail(path="/", **{"with": words})
        answer = browser.get("/")
        assert (status, True) == (answer.status_code, answer.elapsed.total_seconds() >= 0.1)


def test_journal_over_http(browser: Browser, sim: Running) -> None:
    """The journal can be read from a number on, and cleared."""
    entries = browser.get("/__journal").json()
    rest = browser.get(f"/__journal?after={entries[-2]['n']}").json()

    assert [entries[-1]["n"]] == [entry["n"] for entry in rest]
    assert 400 == browser.get("/__journal?after=x").status_code
    assert browser.session.delete(f"{sim.url}/__journal", timeout=60).ok
    assert [] == browser.get("/__journal").json()


def test_a_frame_without_an_end(browser: Browser) -> None:
    """`!endless-frame=N` begins a frame of a terabyte, and sends N megabytes of it."""
    browser.say("!endless-frame=1 !echo Hello there")
    wire = browser.sockets[-1].sock
    assert wire is not None
    got = bytearray()
    while b"\x81\x7f" not in got or len(got) - got.index(b"\x81\x7f") < 900_000:
        got += wire.recv(65536)

    head = got[got.index(b"\x81\x7f") :]
    assert 10**12 == int.from_bytes(head[2:10], "big")


class Line:
    """A connection whose client takes *taken* bytes a look, of all that is sent to it."""

    closed = False

    def __init__(self, taken: int) -> None:
        self._taken = taken
        self._unread = 0
        self.most_unread = 0
        self.sent: list[bytes] = []
        self.is_cut = False

    async def send_frame(self, frame: bytes, kind: object) -> None:
        if self.is_cut:
            raise ConnectionResetError
        self._unread += len(frame)
        self.most_unread = max(self.most_unread, self._unread)
        self.sent.append(frame)

    def get_write_buffer_size(self) -> int:
        self._unread = max(0, self._unread - self._taken)
        return self._unread

    def is_closing(self) -> bool:
        return self.is_cut

    def abort(self) -> None:
        self.is_cut = True


def send_much(line: Line, length: int = 1_000_000) -> None:
    """Send nine frames of a megabyte, as a bot does whose text is of such a *length*."""

    async def send() -> None:
        socket = channels.Socket(cast("Any", line), cast("Any", line))
        for number in range(9):
            await socket.wait_for_room(length)
            await socket.send(bytes([number]) * 1_000_000)

    asyncio.run(send())


def test_a_slow_reader_slows_a_bot_down_and_gets_all_in_order() -> None:
    """There is never much more unread than there may be."""
    line = Line(taken=100_000)
    send_much(line)

    assert list(range(9)) == [frame[0] for frame in line.sent]
    assert line.most_unread < 6_000_000
    assert not line.is_cut


def test_a_bot_that_has_said_little_is_slowed_down_later() -> None:
    """It does not wait for one beside it that says megabytes."""
    line = Line(taken=0)
    send_much(line, length=1000)

    assert len(line.sent) == 9
    assert not line.is_cut


def test_what_no_bot_says_does_not_wait_for_a_slow_reader() -> None:
    """Else the answer to a mutation, which is pushed about, would wait for a websocket."""
    line = Line(taken=0)

    async def send() -> None:
        socket = channels.Socket(cast("Any", line), cast("Any", line))
        for _ in range(9):
            await socket.send(bytes(1_000_000))

    asyncio.run(send())
    assert len(line.sent) == 9
    assert not line.is_cut


def test_a_client_that_reads_nothing_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while, with no more unread than there may be."""
    monkeypatch.setattr(channels, "_UNREAD_TIME", 0.0)
    line = Line(taken=0)
    send_much(line)

    assert line.is_cut
    assert len(line.sent) < 6
