"""The Redis of `deploy/`: started as Compose starts it, it does what the pool asks, and no more."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError
from redis.retry import Retry

from poe_proxy.shared import script
from poe_proxy.shared.link import Link

DEPLOY = Path(__file__).parents[2] / "deploy"
#: As the lines of docs/scale.md make one; it is in no file of the project.
PASSWORD = os.urandom(32).hex()

#: What is asked for outside of the script, and by whom.
ASKED = {
    # A database that the URL names.
    "select",
    # The script, and its text once; `poe-proxy doctor` asks whether all is written down.
    *("evalsha", "script|load", "info"),
    # News for this worker, and whether Redis is still there.
    *("subscribe", "ping"),
}


def compose() -> Any:
    return yaml.safe_load((DEPLOY / "docker-compose.yaml").read_text("utf-8"))


def started_by(service: Any) -> list[str]:
    """What Compose runs: it reads `$$` as `$`."""
    return [word.replace("$$", "$") for word in service["command"]]


def allowed() -> set[str]:
    """The commands that the pool's user may give."""
    (line,) = re.findall(r"^user poe .*$", (DEPLOY / "redis.acl").read_text(), re.MULTILINE)
    return {word[1:] for word in line.split() if word[0] == "+"}


@dataclass(frozen=True)
class Served:
    """A Redis that runs."""

    port: int
    secret: Path

    def client(self, password: str = PASSWORD, user: str = "poe") -> redis.Redis:
        return redis.Redis(
            port=self.port,
            username=user,
            password=password,
            decode_responses=True,
            retry=Retry(NoBackoff(), 0),
        )


def here(text: str, folder: Path) -> str:
    """A command of the container, with the files and the folders of *folder*."""
    for there, at in (
        ("/run/secrets/redis_url", folder / "redis-url"),
        ("/etc/redis/poe-proxy", DEPLOY / "redis"),
        ("/tmp/users.acl", folder / "users.acl"),
        ("--dir /data", f"--dir {folder}"),
    ):
        text = text.replace(there, str(at))
    return text


def start(folder: Path, url: str, port: int) -> subprocess.Popen[str]:
    """Start Redis by the very command that is in the file, with the secret *url*."""
    (folder / "redis-url").write_text(url)
    *shell, command = started_by(compose()["services"]["redis"])
    return subprocess.Popen(
        [*shell, here(command, folder).strip() + f" --port {port} --bind 127.0.0.1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder, port = tmp_path_factory.mktemp("redis"), free_port()
    process = start(folder, f"redis://poe:{PASSWORD}@redis:6379\n", port)
    made = Served(port, folder / "redis-url")
    until = time.monotonic() + 20
    try:
        while True:
            try:
                made.client().ping()
            except redis.RedisError:
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.02)
            else:
                break
        yield made
    finally:
        process.kill()
        process.communicate()


def test_it_writes_all_down_and_drops_nothing(served: Served) -> None:
    """The file of each write is on, once a second, and nothing is dropped to make room."""
    info = served.client().info()
    said = (DEPLOY / "redis.conf").read_text("utf-8")

    assert 1 == info["aof_enabled"]
    assert "noeviction" == info["maxmemory_policy"]
    assert 0 < info["maxmemory"] * 2 < int(compose()["services"]["redis"]["mem_limit"][:-1]) << 20
    assert re.search(r"^appendfsync everysec$", said, re.MULTILINE)


@pytest.mark.parametrize(
    ("user", "password"),
    [("default", ""), ("default", PASSWORD), ("poe", "another")],
    ids=["nobody", "default", "wrong"],
)
def test_nobody_else_is_let_in(served: Served, user: str, password: str) -> None:
    """Neither the user that Redis has by itself, nor a wrong password."""
    with pytest.raises(redis.AuthenticationError):
        served.client(password, user).ping()


def test_who_has_no_password_may_do_nothing(served: Served) -> None:
    """Not even ask whether it is there."""
    nobody = redis.Redis(port=served.port, retry=Retry(NoBackoff(), 0))

    with pytest.raises(redis.AuthenticationError):
        nobody.ping()


@pytest.mark.parametrize("url", ["", "\n", "redis://redis:6379", "redis://poe:@redis:6379"])
def test_without_a_password_it_does_not_start(tmp_path: Path, url: str) -> None:
    """There is none that it would have by itself, and none that is empty."""
    process = start(tmp_path, url, free_port())
    try:
        said, _ = process.communicate(timeout=20)
    finally:
        process.kill()

    assert 0 != process.returncode
    assert "is not in REDIS_URL_FILE" in said


def test_the_list_of_users_as_it_is_lets_nobody_in(tmp_path: Path) -> None:
    """Who forgets to put the digest into it has a Redis that does not start."""
    done = subprocess.run(
        [
            *("redis-server", str(DEPLOY / "redis.conf"), "--dir", str(tmp_path)),
            *("--aclfile", str(DEPLOY / "redis.acl"), "--port", str(free_port())),
        ],
        capture_output=True,
        text=True,
        timeout=20,
    )

    assert 0 != done.returncode
    assert "ACL errors" in done.stdout


def test_what_may_be_asked_is_what_is_asked_for(served: Served) -> None:
    """The commands of the script and of the client, one for one; and all of them are commands."""
    text = re.sub("--.*", "", script.text())
    in_script = [name.lower() for name in re.findall(r'\bcall\(\s*"(\w+)"', text)]

    assert len(in_script) == len(re.findall(r"\bcall\(", text)), "one has no plain name"
    assert {*in_script, *ASKED} == allowed()


def test_the_pool_works_by_that_user(served: Served) -> None:
    """A worker comes, hears, lends, uses, gives back and goes; nothing of it is refused."""
    link = Link(f"redis://poe:{PASSWORD}@127.0.0.1:{served.port}/1", "try")
    ear = link.listener(5.0)
    ear.subscribe("all", "c:w1")
    account = {"name": "a1", "kind": "key", "has_home": False, "pinned": False, "rank": 0}
    limits = {"concurrency": 1, "limits": [["within", 9, 60.0], ["rest", 0.0, 0.0]]}
    want = {"lease": "l1", "names": 1, "bot": "", "within": 60.0, "probes": False}
    acts = [
        ["hello", {"about": {"host": "h"}, "knew_epoch": "", "knows": []}],
        ["enlist", {**account, **limits}],
        ["serve", {"names": [["a1"]], "wants": [want], "whole": True}],
        ["state", {"names": ["a1"], "bot": ""}],
        ["leave", {"lease": "l1"}],
        ["census", {}],
        ["beat", {"for": 15.0, "holds": [], "about": {}}],
        ["quit", {}],
    ]

    heard = None
    for act in acts:
        (answer,) = link.run(b"w1", b"", [json.dumps(act).encode()])
        assert isinstance(answer, bytes)
        assert not answer.startswith(b"!"), act
        heard = heard or ear.next()
    link.close()
    ear.close()

    assert heard is not None
    assert "epoch" in json.loads(heard)


@pytest.mark.parametrize(
    "command",
    [
        *(["KEYS", "*"], ["SCAN", "0"], ["FLUSHALL"], ["FLUSHDB"], ["CONFIG", "GET", "*"]),
        *(["CONFIG", "SET", "dir", "/"], ["SCRIPT", "FLUSH"], ["EVAL", "return 1", "0"]),
        *(["ACL", "LIST"], ["SHUTDOWN"], ["REPLICAOF", "NO", "ONE"]),
        *(["MONITOR"], ["CLIENT", "LIST"], ["BGREWRITEAOF"], ["MODULE", "LIST"]),
        *(["SLOWLOG", "GET"], ["MIGRATE", "h", "1", "poe:x", "0", "1"], ["PSUBSCRIBE", "*"]),
    ],
    ids=" ".join,
)
def test_nothing_else_may_be_asked(served: Served, command: list[str]) -> None:
    with pytest.raises(NoPermissionError):
        served.client().execute_command(*command)


@pytest.mark.parametrize("ours", [True, False])
def test_only_what_is_ours_may_be_touched(served: Served, ours: bool) -> None:
    """Keys and channels of other names are refused, inside of a script, too."""
    client = served.client()
    name = "poe:{x}:2:a" if ours else "another:a"
    for text in (
        'return redis.call("SET", KEYS[1], 1)',
        'return redis.call("PUBLISH", KEYS[1], 1)',
    ):
        sha = client.script_load(text)
        if ours:
            client.evalsha(sha, 1, name)
            continue
        with pytest.raises(redis.ResponseError, match=r"(?i)permission|NOPERM"):
            client.evalsha(sha, 1, name)
    with client.pubsub() as news:
        news.subscribe(name)
        if ours:
            answer = news.get_message(timeout=5)
            assert answer is not None
            assert "subscribe" == answer["type"]
        else:
            with pytest.raises(NoPermissionError):
                news.get_message(timeout=5)


def test_nobody_outside_reaches_it() -> None:
    """It opens no port, has no host's network, and keeps its file in a volume."""
    service = compose()["services"]["redis"]

    assert not {"ports", "expose", "network_mode"} & service.keys()
    assert ["redis"] == service["profiles"]
    assert "redis:/data" in service["volumes"]
    assert "redis" in compose()["volumes"]
    addresses = re.findall(r"ipv4_address: (\S+)", (DEPLOY / "docker-compose.yaml").read_text())
    assert len(compose()["services"]) == len(addresses) == len(set(addresses))


def test_it_is_healthy_once_it_answers_its_user(served: Served, tmp_path: Path) -> None:
    """PONG, and nothing else: an error of Redis's ends redis-cli with 0."""
    kind, test = compose()["services"]["redis"]["healthcheck"]["test"]
    test = here(test.replace("$$", "$"), served.secret.parent)
    other = tmp_path / "redis-url"
    other.write_text("redis://poe:another@redis:6379\n")

    def healthy(port: int, text: str) -> bool:
        # Of the port, the container has the one that redis-cli takes by itself.
        text = text.replace("redis-cli ", f"redis-cli -p {port} ")
        return 0 == subprocess.run(["sh", "-c", text], capture_output=True, timeout=20).returncode

    assert "CMD-SHELL" == kind
    assert healthy(served.port, test)
    assert not healthy(free_port(), test)
    assert not healthy(served.port, test.replace(str(served.secret), str(other)))


def test_proxy_and_redis_read_the_same_secret() -> None:
    """A file that the operator makes; without it nothing is set, and the proxy has no Redis."""
    made = compose()
    text = (DEPLOY / "docker-compose.yaml").read_text("utf-8")
    proxy, server = (made["services"][name] for name in ("poe-proxy", "redis"))

    assert ["redis_url"] == proxy["secrets"] == server["secrets"]
    assert {"file": "${REDIS_URL_FILE:-/dev/null}"} == made["secrets"]["redis_url"]
    assert "${REDIS_URL_FILE:+/run/secrets/redis_url}" == proxy["environment"]["REDIS_URL_FILE"]
    assert server["user"].endswith(":10001"), "the group that may read it"
    assert not re.search(r"redis://\S+:\w+@", text)


def test_the_url_of_the_documents_is_the_one_that_compose_reads() -> None:
    """Its user is the one of the list, and its host is the service."""
    scale = (DEPLOY.parent / "docs/scale.md").read_text("utf-8")

    assert "redis://poe:%s@redis:6379" in scale
    assert "user poe on #SHA256-OF-THE-PASSWORD " in (DEPLOY / "redis.acl").read_text()
