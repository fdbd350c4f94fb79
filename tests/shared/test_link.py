"""The connections to Redis: what is asked on them, and how they fail."""

from __future__ import annotations

import collections
import logging
import socket
import threading
from collections.abc import Iterator

import pytest
from redis.exceptions import AuthenticationError, OutOfMemoryError, ResponseError

from poe_proxy.shared.calling import StoreAway
from poe_proxy.shared.link import BadAddress, Link, prefix

from .redis_server import RedisServer, free_port

SECRET = "hunter2-is-none"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as started:
        yield started


@pytest.fixture
def link(server: RedisServer) -> Iterator[Link]:
    server.client.flushall()
    made = Link(server.url, "link")
    yield made
    made.close()


def test_acts_are_answered_one_for_one(link: Link) -> None:
    """By one run of the script, which is loaded when Redis does not know it."""
    answers = link.run(b"", b"", [b'["quit", {}]', b'["job", {"name": "a", "seconds": 9}]'])

    assert [b"true", b"true"] == answers
    assert b"!stranger" == link.run(b"w1", b"", [b'["job", {"name": "a", "seconds": 9}]'])


def test_a_script_that_redis_has_forgotten_is_loaded_again(link: Link, server: RedisServer) -> None:
    """Nothing was done before that."""
    link.run(b"", b"", [b'["quit", {}]'])
    server.client.script_flush()

    assert [b"true"] == link.run(b"", b"", [b'["job", {"name": "a", "seconds": 9}]'])


def test_it_asks_nothing_of_redis_but_the_script(link: Link, server: RedisServer) -> None:
    """Each run is one command, on one connection."""
    link.run(b"", b"", [b'["quit", {}]'])
    server.client.config_resetstat()
    before = server.client.info("stats")["total_connections_received"]
    for _ in range(5):
        link.run(b"", b"", [b'["quit", {}]'])

    stats = server.client.info("commandstats")
    assert 5 == stats["cmdstat_evalsha"]["calls"]
    assert not {"cmdstat_script|load", "cmdstat_client|setinfo", "cmdstat_hello"} & stats.keys()
    assert before == server.client.info("stats")["total_connections_received"]


def test_all_keys_of_a_pool_begin_alike() -> None:
    """With its name as what decides of the slot, and the version of the layout."""
    assert "poe:{default}:2:" == prefix("default")
    assert "poe:{other}:2:" == Link("redis://127.0.0.1:1", "other").prefix


def test_nobody_there_is_told_at_once() -> None:
    """Nothing is tried again."""
    with pytest.raises(StoreAway, match=r"^Connection refused$"):
        Link(f"redis://:{SECRET}@127.0.0.1:{free_port()}/0", "link").probe()


def test_a_server_that_says_nothing_counts_as_away() -> None:
    """After a second, or as long as is said; and the next call is on another connection."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"redis://127.0.0.1:{mute.getsockname()[1]}/0"
        link = Link(url, "link", patience=0.05)
        for _ in range(2):
            with pytest.raises(StoreAway, match=r"(?i)timeout"):
                link.run(b"", b"", [b'["quit", {}]'])
        first, _ = mute.accept()
        second, _ = mute.accept()
        with first, second:
            assert b"EVALSHA" in first.recv(10_000)
            assert b"" == first.recv(10_000), "what was asked is asked once"
            assert second.recv(10_000).count(b"EVALSHA") == 1


def test_what_is_given_up_in_its_middle_leaves_no_answer_behind(
    link: Link, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever ends it: a greenlet may be killed at any moment."""
    link.run(b"", b"", [b'["quit", {}]'])
    with monkeypatch.context() as patched:

        def killed(*_: object, **__: object) -> None:
            raise SystemExit

        patched.setattr(link._connection._parser, "read_response", killed)
        with pytest.raises(SystemExit):
            link.run(b"", b"", [b'["job", {"name": "given up", "seconds": 9}]'])

    assert [b"true"] == link.run(b"", b"", [b'["job", {"name": "later", "seconds": 9}]'])
    assert [b"false"] == link.run(b"", b"", [b'["job", {"name": "later", "seconds": 9}]'])


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (OutOfMemoryError("command not allowed", status_code="OOM"), "OOM command not allowed"),
        (ResponseError("MISCONF errors writing\n to disk"), "MISCONF errors writing to disk"),
        (AuthenticationError(f"{SECRET} is wrong", status_code="NO"), "NO *** is wrong"),
        (ResponseError("Say AUTH first."), "Say AUTH first"),
        (ResponseError("nobody at 127.0.0.1:1, they say"), "nobody at ***, they say"),
        (ResponseError(), "ResponseError"),
    ],
)  # fmt: skip
def test_whatever_redis_refuses_is_told_in_its_words(failure: ResponseError, words: str) -> None:
    """On one line, and never with the password or the address."""
    link = Link(f"redis://poe:{SECRET}@127.0.0.1:1", "link")

    assert words == str(link._address.away(failure))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://127.0.0.1:1", "Connection refused"),
        ("rediss://127.0.0.1:1", "Connection refused"),
        ("redis://[::1]:1", "Connection refused"),
        ("unix:///no/such/socket", "No such file or directory"),
    ],
)
def test_a_server_that_is_not_there_is_told_in_the_words_of_the_system(
    url: str, words: str
) -> None:
    """Without the address, which is nobody's business who asks whether we are ready."""
    link = Link(url, "link")
    for act in (link.probe, link.listener(1).subscribe):
        with pytest.raises(StoreAway) as away:
            act()
        assert words == str(away.value)


def test_the_password_is_in_no_words(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in those of a link, nor of what goes wrong with it, nor in the log."""
    caplog.set_level(logging.DEBUG)
    with RedisServer("--requirepass", "right") as closed:
        right = Link(closed.url.replace("//", "//:right@"), "link")
        right.probe()
        assert [b"true"] == right.run(b"", b"", [b'["quit", {}]'])
        right.close()
        wrong = Link(closed.url.replace("//", f"//:{SECRET}@"), "link")
        with pytest.raises(StoreAway, match="WRONGPASS") as refused:
            wrong.probe()
        with pytest.raises(StoreAway, match="NOAUTH") as without:
            Link(closed.url, "link").probe()
        with pytest.raises(StoreAway, match="WRONGPASS") as deaf:
            wrong.listener(1).subscribe("all")

    words = [repr(wrong), str(refused.value), str(without.value), str(deaf.value), caplog.text]
    words += [repr(refused.value.__cause__), repr(wrong._address), wrong.where]
    assert not any(SECRET in one for one in words)
    assert f"127.0.0.1:{closed.port}" == wrong.where


@pytest.mark.parametrize(
    "url",
    [
        f"redis://poe:{SECRET}/x@127.0.0.1:6379/0",
        f"http://poe:{SECRET}@127.0.0.1",
        f"redis://poe:{SECRET}@127.0.0.1:6379/0?surprise={SECRET}",
        f"redis://poe:{SECRET}@127.0.0.1:6379/0?db={SECRET}",
    ],
)
def test_an_address_that_is_none_is_not_quoted(url: str) -> None:
    """What cannot be read may hold the password anywhere."""
    with pytest.raises(BadAddress) as bad:
        Link(url, "link")

    assert SECRET not in str(bad.value)
    assert bad.value.__suppress_context__


def test_a_socket_of_the_machine_will_do(server: RedisServer) -> None:
    """As `unix://` has it."""
    path = server._folder / "socket"
    link = Link(f"unix://{path}", "link")

    link.probe()
    assert str(path) == link.where
    link.close()


def test_what_is_published_is_heard(link: Link, server: RedisServer) -> None:
    """Each message once, in order; and silence ends with nothing, if the server is there."""
    listener = link.listener(0.05)
    listener.subscribe("c:w1", "all")
    for channel, text in (("all", "1"), ("c:w1", "2"), ("c:w2", "3"), ("all", "4")):
        server.client.publish(link.prefix + channel, text)

    assert [b"1", b"2", b"4"] == [listener.next() for _ in range(3)]
    assert listener.next() is None
    server.client.publish(f"{link.prefix}all", "5")
    assert b"5" in [listener.next(), listener.next()]
    listener.close()


def test_a_listener_notices_that_the_server_is_gone() -> None:
    """Killed, or frozen."""
    with RedisServer() as server:
        listener = Link(server.url, "link").listener(0.05)
        listener.subscribe("all")
        server.freeze()
        with pytest.raises(StoreAway, match=r"(?i)timeout"):
            listener.next()
        server.thaw()
        listener.subscribe("all")
        server.kill()
        with pytest.raises(StoreAway):
            collections.deque(iter(listener.next, "never"), 0)


def test_whoever_listens_can_be_ended(link: Link) -> None:
    """From another thread, at once."""
    listener = link.listener(60)
    listener.subscribe("all")
    ended = threading.Event()

    def listen() -> None:
        try:
            listener.next()
        except StoreAway:
            ended.set()

    threading.Thread(target=listen, daemon=True).start()
    listener.close()
    assert ended.wait(5)


def test_whoever_was_ended_hears_nothing_more(link: Link) -> None:
    """Also if it was not listening just then."""
    listener = link.listener(60)
    listener.subscribe("all")
    listener.close()
    with pytest.raises(StoreAway, match="closed"):
        listener.next()
    with pytest.raises(StoreAway, match="closed"):
        listener.subscribe("all")
