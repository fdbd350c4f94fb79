"""SIGHUP: the settings are read anew in the worker that serves, and no reply is disturbed."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import pytest
import requests

from .official import ApiSim
from .proxies import relay
from .servers import KEY, Reloading, Sim, ask, until

BOT = "GPT-4o"
#: Longer than any test, so that only a pace that is forgotten lets a second request through.
LONG = 1000


@pytest.fixture
def sim() -> Iterator[ApiSim]:
    with ApiSim(("cookie-a", "cookie-b"), ("key-a",)) as sim:
        yield sim


def serve(sim: Sim, folder: Path, **settings: str) -> Reloading:
    """The proxy on the first cookie alone."""
    return Reloading(sim, folder, **{"TOKENS": "cookie-a", "POE_API_KEYS": "", **settings})


def sends(sim: Sim, **wanted: Any) -> list[dict[str, Any]]:
    return sim.journal(queryName="sendMessageMutation", **wanted)


def sockets(sim: Sim, account: str) -> tuple[int, int]:
    """How many websockets the account has opened, and how many of them are open."""
    opened = len(sim.journal(event="socket-open", account=account))
    return opened, opened - len(sim.journal(event="socket-close", account=account))


def content(answer: requests.Response) -> str:
    said: str = answer.json()["choices"][0]["message"]["content"]
    return said


def listed(proxy: Reloading, key: str) -> int:
    """The status of a list of models with *key*; 0 while there is no answer."""
    try:
        return requests.get(
            f"{proxy.url}/v1/models", headers={"Authorization": f"Bearer {key}"}, timeout=60
        ).status_code
    # gunicorn listens before its worker accepts.
    except (requests.ConnectionError, requests.Timeout):
        return 0


class Gate:
    """Stands before the stand-in's websockets, and lets nothing pass from the bot's last word on
    until it is opened: a reply is under way for as long as a test needs."""

    WORDS = "one two three last-word"

    def __init__(self, sim: Sim) -> None:
        sim.control(lines={BOT: [self.WORDS]})
        self._to = sim.port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}"
        self._opened = threading.Event()
        self._threads: list[threading.Thread] = []

    def open(self) -> None:
        self._opened.set()

    def __enter__(self) -> Self:
        self._start(self._serve)
        return self

    def __exit__(self, *failure: object) -> None:
        self.open()
        # To close it alone would not wake the thread that waits for a connection.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _start(self, task: Callable[..., None], *given: Any) -> threading.Thread:
        thread = threading.Thread(target=task, args=given, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                self._start(self._join, self._listener.accept()[0])

    def _join(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._to)) as poe:
            back = self._start(self._relay_words, poe, client)
            relay(client, poe)
            back.join()

    def _relay_words(self, poe: socket.socket, client: socket.socket) -> None:
        """Pass on what Poe says; the end of the reply waits."""
        end = self.WORDS.split()[-1].encode()
        with suppress(OSError):
            while not self._opened.is_set() and (data := poe.recv(65536)):
                # No word is cut in two: the stand-in writes each frame at once.
                first, found, _ = data.partition(end)
                client.sendall(first)
                if found:
                    self._opened.wait()
                    client.sendall(data[len(first) :])
        relay(poe, client)


class Stream:
    """A streamed reply that has begun, and goes on once its gate is opened; without one it never
    does."""

    def __init__(self, proxy: Reloading, gate: Gate | None = None):
        prompt = "!chunks=2 Go." if gate else "!echo !chunks=2 !hang one two"
        self._gate = gate
        self.answer = proxy.post(ask(prompt, BOT, stream=True), stream=True)
        self._lines = self.answer.iter_lines()
        self.text = ""
        until(lambda: b"one" in (line := next(self._lines)) and self._note(line))

    def _note(self, line: bytes) -> bool:
        self.text += line.decode() + "\n"
        return True

    def rest(self) -> str:
        """Open the gate, and read to the end; return all that came."""
        if self._gate is not None:
            self._gate.open()
        for line in self._lines:
            self._note(line)
        return self.text


# ---- no reply is disturbed


def test_a_stream_goes_on_through_a_reload(sim: Sim, tmp_path: Path) -> None:
    """In the process that it began in; and the next request has the new settings."""
    with Gate(sim) as gate, serve(sim, tmp_path, POE_WS_URL=gate.url) as proxy:
        before = proxy.workers()
        stream = Stream(proxy, gate)
        proxy.reload(AuthKey="sk-new", COOL_DOWN="1", TIMEOUT="30", MAX_BODY_MB="1")
        said = stream.rest()
        status = [
            proxy.post(ask("Hello!"), headers={"Authorization": f"Bearer {key}"}).status_code
            for key in (KEY, "sk-new")
        ]

        assert before == proxy.workers()
    assert said.rstrip().endswith("data: [DONE]")
    assert "error" not in said
    assert [401, 200] == status
    assert "Traceback" not in proxy.output()


def test_a_reply_of_an_account_that_goes_is_finished(sim: Sim, tmp_path: Path) -> None:
    """It gets no other request; then its websocket is closed, and not before."""
    with Gate(sim) as gate, serve(sim, tmp_path, POE_WS_URL=gate.url) as proxy:
        stream = Stream(proxy, gate)
        said = proxy.reload(TOKENS="cookie-b")
        answers = [proxy.post(ask(f"!echo {number}")) for number in range(3)]
        during = sockets(sim, "cookie-1")
        rest = stream.rest()
        until(lambda: (1, 0) == sockets(sim, "cookie-1"))

    assert "gone: cookie-1" in said
    assert ["0", "1", "2"] == [content(answer) for answer in answers]
    assert (1, 1) == during
    assert rest.rstrip().endswith("data: [DONE]")
    assert [1, 3] == [len(sends(sim, account=account)) for account in ("cookie-1", "cookie-2")]


# ---- the pace is not forgotten


def test_a_cool_down_goes_on_through_reloads(sim: Sim, tmp_path: Path) -> None:
    """What an account was used for is known afterwards, also with other limits."""
    with serve(sim, tmp_path, COOL_DOWN=str(LONG), QUEUE_TIMEOUT="0") as proxy:
        assert proxy.post(ask("Hello!")).ok
        statuses = []
        for changes in ({}, {"COOL_DOWN": str(LONG + 1)}, {"TIMEOUT": "30"}, {"RATE_LIMIT": "5"}):
            proxy.reload(**changes)
            statuses.append(proxy.post(ask("Hello!")).status_code)

    assert [429] * 4 == statuses
    assert 1 == len(sends(sim))


def test_a_rate_limit_counts_what_came_before_a_reload(sim: Sim, tmp_path: Path) -> None:
    """Three in a minute are three, however often the settings are read."""
    with serve(sim, tmp_path, RATE_LIMIT="3", QUEUE_TIMEOUT="0") as proxy:
        statuses = []
        for _ in range(5):
            statuses.append(proxy.post(ask("Hello!")).status_code)
            proxy.reload()

    assert [200, 200, 200, 429, 429] == statuses
    assert 3 == len(sends(sim))


def test_the_stand_in_sees_the_pace_kept_through_reloads(sim: Sim, tmp_path: Path) -> None:
    """Requests that wait in line while the settings are read go out no faster."""
    pause = 0.7
    with serve(sim, tmp_path, COOL_DOWN=str(pause)) as proxy, ThreadPoolExecutor(6) as clients:
        asked = [clients.submit(proxy.post, ask(f"!echo {number}")) for number in range(6)]
        while not all(one.done() for one in asked):
            proxy.reload()
        answers = [one.result() for one in asked]

    assert [str(number) for number in range(6)] == [content(answer) for answer in answers]
    times = sorted(entry["t"] for entry in sends(sim))
    assert [] == [(a, b) for a, b in pairwise(times) if b - a < pause]


def test_there_is_one_websocket_for_an_account_all_along(sim: Sim, tmp_path: Path) -> None:
    """One login, one channel, one device, as long as nothing about its way to Poe changes."""
    with serve(sim, tmp_path) as proxy:
        for change in ("1", "2", "3"):
            assert proxy.post(ask("Hello!")).ok
            proxy.reload(RATE_LIMIT=f"{change}00", TOKEN_CONCURRENCY=change, QUEUE_TIMEOUT=change)
        assert proxy.post(ask("Hello!")).ok
        during = sockets(sim, "cookie-1")

    assert (1, 1) == during
    assert 1 == len({entry["channel"] for entry in sim.journal() if entry.get("channel")})
    assert (4, 1) == (len(sends(sim)), len({entry["sdid"] for entry in sends(sim)}))


# ---- accounts come, change and go


def test_an_account_is_added(sim: Sim, tmp_path: Path) -> None:
    """A cookie, a key: the next request has it."""
    with serve(sim, tmp_path, COOL_DOWN=str(LONG)) as proxy:
        assert proxy.post(ask("Hello!")).ok
        proxy.reload(TOKENS="cookie-a,cookie-b")
        second = proxy.post(ask("Hello!"))
        said = proxy.reload(POE_API_KEYS="key-a")
        third = proxy.post(ask("Hello!", "GPT-4o"))
        models = proxy.openai().models.list().data

    assert (True, True) == (second.ok, third.ok)
    assert "serving 2 cookie token(s) and 1 API key(s); new: key-1" in said
    assert 1 < len(models)
    assert [1, 1] == [len(sends(sim, account=account)) for account in ("cookie-1", "cookie-2")]


def test_whoever_waits_in_line_gets_the_new_account(sim: Sim, tmp_path: Path) -> None:
    """Where all were busy, one more serves the first in line."""
    with (
        serve(sim, tmp_path, TOKEN_CONCURRENCY="1", QUEUE_TIMEOUT="60") as proxy,
        ThreadPoolExecutor(1) as client,
    ):
        stream = Stream(proxy)
        waiting = client.submit(proxy.post, ask("!echo me"))
        until(lambda: 1 == proxy.output().count("cookie-1 is lent"))
        proxy.reload(TOKENS="cookie-a,cookie-b")

        assert "me" == content(waiting.result())
        assert sim.control()["accounts"][0]["running"]
        stream.answer.close()


def test_another_proxy_is_used_from_the_next_request_on(sim: Sim, tmp_path: Path) -> None:
    """The reply that came by the old way is finished; then its websocket is closed."""
    with Gate(sim) as gate, serve(sim, tmp_path, POE_WS_URL=gate.url) as proxy:
        stream = Stream(proxy, gate)
        said = proxy.reload(PROXY="http://127.0.0.1:1")
        refused = proxy.post(ask("Hello!"))
        rest = stream.rest()
        until(lambda: (1, 0) == sockets(sim, "cookie-1"))
        proxy.reload(PROXY="")
        again = proxy.post(ask("Hello!"))

    assert "changed" not in said or "cookie-1" in said
    assert 502 == refused.status_code
    assert rest.rstrip().endswith("data: [DONE]")
    assert again.ok


def test_a_file_of_accounts_is_read_anew(sim: Sim, tmp_path: Path) -> None:
    """What it says of each account holds from then on; a bad one changes nothing."""
    file = tmp_path / "accounts.toml"
    file.write_text("[[account]]\ncookie='cookie-a'\nlabel='anna'\n")
    file.chmod(0o600)
    with serve(sim, tmp_path, TOKENS="", TOKENS_CONFIG=str(file), QUEUE_TIMEOUT="0") as proxy:
        first = proxy.post(ask("Hello!"))
        file.write_text("[[account]]\ncookie='cookie-a'\nlabel='anna'\nbots=['Web-Search']\n")
        proxy.reload()
        statuses = [proxy.post(ask("Hi", model)).status_code for model in ("GPT-4o", "Web-Search")]
        file.write_text("[[account]]\ncookie='cookie-b'\nlabel='ben'\ncool_down='long'\n")
        said = proxy.reload()
        file.chmod(0o644)
        file.write_text("[[account]]\ncookie='cookie-b'\nlabel='ben'\n")
        warned = proxy.reload()
        last = proxy.post(ask("Hello!", "GPT-4o"))

    assert (200, 200) == (first.status_code, last.status_code)
    assert 200 == statuses[1]
    assert 200 != statuses[0]
    assert "account 1 (ben), cool_down: Must be a number of seconds" in said
    assert "new: ben; gone: anna" in warned
    assert f"{file} holds secrets, and others on this machine can read it" in warned
    assert 1 == len(sends(sim, account="cookie-2"))


def test_models_are_read_anew(sim: Sim, tmp_path: Path) -> None:
    """A file that changed, and another one."""
    models = tmp_path / "models.toml"
    models.write_text('[names]\n"mine" = "GPT-4o"\n')
    with serve(sim, tmp_path, MODELS=str(models)) as proxy:
        before = [one.id for one in proxy.openai().models.list()]
        models.write_text('builtin = false\n[names]\n"yours" = "GPT-4o"\n')
        proxy.reload()
        after = [one.id for one in proxy.openai().models.list()]
        proxy.reload(MODELS="")
        last = [one.id for one in proxy.openai().models.list()]

    assert ["mine", "yours"] == [before[0], after[0]]
    assert "mine" not in after + last
    assert "yours" not in before + last


def test_secrets_from_files_are_read_anew(sim: Sim, tmp_path: Path) -> None:
    """As containers mount them: a file that another one has replaced."""
    tokens = tmp_path / "tokens"
    tokens.write_text("cookie-a\n")
    with serve(sim, tmp_path, TOKENS="", TOKENS_FILE=str(tokens)) as proxy:
        assert proxy.post(ask("Hello!")).ok
        (tmp_path / "other").write_text("cookie-b\n")
        (tmp_path / "other").replace(tokens)
        proxy.reload()
        assert proxy.post(ask("Hello!")).ok

    assert [1, 1] == [len(sends(sim, account=account)) for account in ("cookie-1", "cookie-2")]


# ---- mistakes, and what needs a restart


def test_mistakes_change_nothing_and_are_all_named(sim: Sim, tmp_path: Path) -> None:
    """Each in a line, without a value; the accounts serve as before, on the same websocket."""
    with serve(sim, tmp_path) as proxy:
        assert proxy.post(ask("Hello!")).ok
        said = proxy.reload(
            AuthKey="sk-new", TOKENS="p-lat=hushhush", TIMEOUT="hushhush", RATE_LIMIT="-1"
        )
        after = proxy.post(ask("Hello!"))
        during = sockets(sim, "cookie-1")
        proxy.reload(TOKENS="cookie-a", TIMEOUT="30", RATE_LIMIT="0")
        mended = proxy.post(ask("Hello!"), headers={"Authorization": "Bearer sk-new"})

    assert "ERROR" in said
    assert 1 == said.count("Not reloaded, going on as before")
    for name in ("TOKENS", "TIMEOUT", "RATE_LIMIT"):
        assert f" wrong setting {name}: " in said
    assert "hushhush" not in said
    assert (200, (1, 1), 200) == (after.status_code, during, mended.status_code)


def test_a_dotenv_that_is_gone_changes_nothing(sim: Sim, tmp_path: Path) -> None:
    """The settings that it had are missing then, and named."""
    with serve(sim, tmp_path) as proxy:
        (tmp_path / ".env").unlink()
        reloads = proxy.reloads()
        proxy.hang_up()
        until(lambda: proxy.reloads() > reloads)

        assert proxy.post(ask("Hello!")).ok
    assert "AuthKey: Set the key" in proxy.output()


def test_what_takes_a_restart_is_named(sim: Sim, tmp_path: Path) -> None:
    """Each time, as long as it differs; the rest is as it says."""
    changes = {
        "PORT": "1", "HOST": "127.0.0.2", "FORWARDED_ALLOW_IPS": "*",
        "STATE_FILE": str(tmp_path / "state"),
    }  # fmt: skip
    with serve(sim, tmp_path) as proxy:
        said = [proxy.reload(**changes, AuthKey="sk-new"), proxy.reload(), proxy.reload(PORT="")]
        answer = proxy.post(ask("Hello!"), headers={"Authorization": "Bearer sk-new"})

    names = "PORT, HOST, FORWARDED_ALLOW_IPS, STATE_FILE"
    assert [True] * 3 == [f"Only a restart can change {names}:" in one for one in said]
    assert answer.ok


def test_two_signals_at_once_are_one_after_the_other(sim: Sim, tmp_path: Path) -> None:
    """The last one finds what was written before it."""
    with serve(sim, tmp_path) as proxy:
        for number in range(20):
            proxy.write(AuthKey=f"sk-{number}")
            proxy.hang_up()
        until(lambda: listed(proxy, "sk-19") == 200)

    assert "Traceback" not in proxy.output()


def test_a_signal_while_the_worker_starts_is_not_lost(sim: Sim, tmp_path: Path) -> None:
    """It may have read the settings before they were changed."""
    with serve(sim, tmp_path) as proxy:
        for number in range(3):
            (before,) = proxy.workers()
            os.kill(int(before), signal.SIGKILL)
            until(lambda before=before: proxy.workers() not in ([], [before]))
            proxy.write(AuthKey=f"sk-{number}")
            proxy.hang_up()
            until(lambda key=f"sk-{number}": listed(proxy, key) == 200)

    assert "Traceback" not in proxy.output()


def test_the_level_of_the_log_changes(sim: Sim, tmp_path: Path) -> None:
    """Without a restart, as it is wanted when something odd is going on."""
    with serve(sim, tmp_path, LOG_LEVEL="WARNING") as proxy:
        proxy.write(LOG_LEVEL="DEBUG")
        proxy.hang_up()
        until(lambda: proxy.post(ask("Hello!")).ok and "cookie-1 is lent" in proxy.output())


# ---- keys of people


def test_a_key_that_is_revoked_opens_nothing_from_the_reload_on(
    sim: ApiSim, tmp_path: Path
) -> None:
    """The first request after the log has told of the reload is refused; the answer that is under
    way is given to its end."""
    path = tmp_path / "clients.toml"
    path.write_text('[clients.alice]\nkey = "sk-alice-123456"\n')
    with Gate(sim) as gate, serve(sim, tmp_path, POE_WS_URL=gate.url, CLIENTS=str(path)) as proxy:
        assert 200 == listed(proxy, "sk-alice-123456")
        theirs = {**proxy.headers, "Authorization": "Bearer sk-alice-123456"}
        proxy.headers, ours = theirs, proxy.headers
        stream = Stream(proxy, gate)
        proxy.headers = ours
        path.write_text('[clients.alice]\nkey = "sk-alice-123456"\nenabled = false\n')
        proxy.reload()

        assert 401 == listed(proxy, "sk-alice-123456")
        assert 200 == listed(proxy, KEY)
        assert "[DONE]" in stream.rest()
        stream.answer.close()
