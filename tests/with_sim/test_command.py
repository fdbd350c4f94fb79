"""The command, as people type it, against the stand-in for Poe: alone, and beside a server."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .servers import KEY, ROOT, Proxy, Reloading, Server, Sim, ask, free_port, until

#: Kinds of account, and how the settings name them.
KINDS = {"cookie": {"POE_API_KEYS": ""}, "key": {"TOKENS": ""}}


@pytest.fixture(scope="module")
def poe() -> Iterator[Sim]:
    """A stand-in with an account of each kind."""
    with Sim(("cookie-a",), ("key-a",)) as running:
        yield running


@pytest.fixture(scope="module")
def server(poe: Sim, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A server, which holds its state."""
    folder = tmp_path_factory.mktemp("state")
    with Proxy(poe, STATE_FILE=str(folder / "state.sqlite3")) as running:
        yield running


def settings(poe: Sim, **others: str) -> dict[str, str]:
    """The environment of a command, without a server."""
    return {
        "PYTHONPATH": str(ROOT),
        "HOST": "127.0.0.1",
        "PORT": str(free_port()),
        "AuthKey": KEY,
        "TOKENS": "cookie-a",
        "POE_API_KEYS": "key-a",
        "POE_WEB_URL": poe.url,
        "POE_WS_URL": poe.url.replace("http", "ws", 1),
        "POE_API_URL": poe.url,
        "COOL_DOWN": "0",
        **others,
    }


def beside(server: Proxy, poe: Sim, tmp_path: Path) -> dict[str, str]:
    """The environment of a command in the folder of *server*."""
    found = Path(f"/proc/{server.process.pid}/environ").read_text().split("\0")
    state = next(one.partition("=")[2] for one in found if one.startswith("STATE_FILE="))
    return settings(poe, PORT=str(server.port), STATE_FILE=state)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command with these settings, in an empty folder."""

    def ran(
        environ: dict[str, str], *arguments: str, text: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "poe_proxy", *arguments],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], **environ},
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return ran


Run = Callable[..., subprocess.CompletedProcess[str]]


def test_check_tells_right_from_wrong(run: Run, poe: Sim) -> None:
    """A line for each account, with its points, or with what is wrong and what to do. Nothing is
    charged, and no bot is asked."""
    entries = len(poe.journal())
    ended = run(settings(poe, TOKENS="cookie-a,wrong", POE_API_KEYS="key-a,bad"), "check")
    site, *lines = (one for one in ended.stdout.splitlines() if not one.startswith(" "))

    assert (1, "") == (ended.returncode, ended.stderr)
    assert "Poe's site: as built in, " in site
    assert ["ok     cookie-1", "wrong  cookie-2", "ok     key-1", "wrong  key-2"] == [
        " ".join(line[:16].rsplit(None, 0)).rstrip() for line in lines
    ]
    assert lines[0].endswith(" points")
    assert "Sign in at poe.com" in lines[1]
    assert "Make a new key at poe.com/api/keys" in lines[3]
    assert [] == [one for one in poe.journal()[entries:] if "bot" in one]


def test_check_runs_beside_a_server(run: Run, poe: Sim, server: Proxy, tmp_path: Path) -> None:
    """Which holds the file of its state; it does not notice."""
    before = server.output()
    ended = run(beside(server, poe, tmp_path), "check")

    assert 0 == ended.returncode, ended.stdout
    assert 2 == ended.stdout.count(" points\n")
    assert "ERROR" not in server.output().removeprefix(before)


def test_discover_finds_what_poe_has_changed(run: Run) -> None:
    """An account that Poe does not accept is passed over; then the next command uses what was
    written, and nothing is charged for it."""
    with Sim(("cookie-a",), ()) as changed:
        environ = settings(changed, TOKENS="wrong,cookie-a", POE_API_KEYS="")
        changed.control(retire_hash=True, salt="aNewSaltaNewSalt1")
        stale = run(environ, "check")
        found = run(environ, "discover")
        checked = run(environ, "check")
        again = run(environ, "discover")

        assert "(upstream_changed)" in stale.stdout
        assert 0 == found.returncode, found.stdout + found.stderr
        assert "new    tag.salt: 4LxgHM6KpFqokX0Ox → aNewSaltaNewSalt1\n" in found.stdout
        assert "new    operations.sendMessageMutation: " in found.stdout
        assert "ok     Poe takes what is new, from cookie-2.\n" in found.stdout
        assert "entries of .state/site.toml on top" in checked.stdout
        assert "ok     cookie-2  cookie  1,000,000 points" in checked.stdout
        assert 0 == again.returncode
        assert "nothing that differs" in again.stdout
        assert [] == [one for one in changed.journal() if "bot" in one]


def test_a_server_takes_in_what_the_command_has_found(run: Run, tmp_path: Path) -> None:
    """Without a restart or a reload, also if it may not look by itself; until then its error says
    what to do."""
    state = str(tmp_path / "state.sqlite3")
    with (
        Sim(("cookie-a",), ()) as changed,
        Proxy(changed, STATE_FILE=state, DISCOVER="0") as server,
    ):
        changed.control(retire_hash="sendMessageMutation", stale_answer="PersistedQueryNotFound")
        refused = server.post(ask("!echo hi"))
        found = run(beside(server, changed, tmp_path), "discover")

        assert (502, "upstream_changed") == (refused.status_code, refused.json()["error"]["code"])
        assert "`poe-proxy discover`" in refused.json()["error"]["message"]
        assert 0 == found.returncode, found.stdout + found.stderr
        assert f"It is written to {tmp_path / 'site.toml'}." in found.stdout
        until(lambda: server.post(ask("!echo hi")).ok)


def test_a_report_has_nothing_of_an_account(run: Run, tmp_path: Path) -> None:
    """However much Poe's answers tell of it; but it has what was found, and how Poe takes that."""
    with Sim(("cookie-secret-a",), ()) as changed:
        environ = settings(changed, TOKENS="cookie-secret-a", POE_API_KEYS="")
        changed.control(own_bots=["cookie-1/Wombats-Own-Bot"])
        run(environ, "chat", "GPT-5.1", text="!echo Wombats are marsupials")
        changed.control(retire_hash="settingsPageQuery", salt="aNewSaltaNewSalt1")
        ended = run(environ, "report", "--yes")
        told = json.loads(ended.stdout)
        known, found = (told["answers"][name] for name in ("to_what_is_known", "to_what_was_found"))

        assert 0 == ended.returncode, ended.stderr
        assert ended.stdout == (tmp_path / "poe-proxy-report.json").read_text("utf-8")
        assert {"status": 400} == known["settingsPageQuery"]
        assert "aNewSaltaNewSalt1" == told["others"]["tag.salt"]["found"]
        assert 64 == len(told["hashes"]["operations"]["settingsPageQuery"]["found"])
        assert "text" == found["settingsPageQuery"]["shape"]["viewer"]["primaryEmail"]
        assert {"chatId": "number", "title": "text"}.items() <= (
            found["ChatHistoryListPaginationQuery"]["shape"]["chats"]["edges"][0]["node"].items()
        )
        assert 200 == found["availableBotsSelectorModalPaginationQuery"]["status"]
        assert [] == re.findall(
            r"(?i)cookie-secret|wombat|marsupial|echo|poe-chan|@|://|GPT"
            r"|\b[0-9a-f]{32}\b|\b[0-9a-f]{40}\b|\b\d{7,}\b",
            ended.stdout,
        )


@pytest.mark.parametrize("kind", KINDS)
def test_chat_by_itself_uses_the_accounts_of_the_settings(run: Run, poe: Sim, kind: str) -> None:
    """No server is needed, and none is left behind."""
    ended = run(settings(poe, **KINDS[kind]), "chat", "GPT-5.1", text="!echo Hello there")

    assert (0, "Hello there\n", "") == (ended.returncode, ended.stdout, ended.stderr)


def test_chat_asks_the_server_that_runs(run: Run, poe: Sim, server: Proxy, tmp_path: Path) -> None:
    """With a key of the settings; `--url` and `--key` name another one, and need no settings."""
    prompt = ("chat", "GPT-5.1", "!echo Hello there")
    requests = server.output().count("POST /v1/chat/completions")
    found = run(beside(server, poe, tmp_path), *prompt)
    named = run({"PYTHONPATH": str(ROOT)}, *prompt, "--url", server.url, "--key", KEY)
    refused = run({"PYTHONPATH": str(ROOT)}, *prompt, "--url", server.url, "--key", "wrong")

    assert ["Hello there\n"] * 2 == [found.stdout, named.stdout]
    # A line is written once its answer has ended.
    until(lambda: requests + 3 <= server.output().count("POST /v1/chat/completions"))
    assert requests + 3 == server.output().count("POST /v1/chat/completions")
    assert 1 == refused.returncode
    assert "(401 invalid_api_key)" in refused.stderr


def test_an_error_of_a_bot_is_said_with_its_code(run: Run, poe: Sim) -> None:
    """Standard output has nothing of it."""
    ended = run(settings(poe), "chat", "No-Such-Bot-At-All", "Hi!")

    assert (1, "") == (ended.returncode, ended.stdout)
    assert "No-Such-Bot-At-All" in ended.stderr
    assert "(404 model_not_found)" in ended.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("way", ["by itself", "by the server"])
def test_ctrl_c_in_the_middle_stops_the_bot(
    poe: Sim, server: Proxy, tmp_path: Path, way: str, how: int
) -> None:
    """At Poe, too, where it would go on to cost points. What was said stays."""
    environ = settings(poe) if way == "by itself" else beside(server, poe, tmp_path)
    prompt = "!echo !silence=50 one two three four"
    with Server(
        [sys.executable, "-m", "poe_proxy", "chat", "GPT-5.1", prompt],
        {**environ, "POE_API_KEYS": ""},
        tmp_path,
    ) as chat:
        until(lambda: "one" in chat.output())
        chat.process.send_signal(how)
        chat.process.wait(30)
        said = chat.output()
        until(lambda: not any(one["running"] for one in poe.control()["accounts"]))

    assert 130 == chat.process.returncode
    assert "four" not in said
    assert "Traceback" not in said


def test_models_are_those_of_the_accounts_or_the_server(
    run: Run, poe: Sim, server: Proxy, tmp_path: Path
) -> None:
    """The same, and with Poe's prices."""
    alone = run(settings(poe), "models", "--json")
    listed = run(beside(server, poe, tmp_path), "models", "--json")
    table = run(settings(poe), "models", "gpt-5.1").stdout

    assert json.loads(alone.stdout) == json.loads(listed.stdout)
    assert ["GPT-5.1", "OpenAI", "400,000", "1.10", "9.00"] in [
        line.split() for line in table.splitlines()
    ]


def test_reload_says_what_became_of_it(run: Run, poe: Sim, tmp_path: Path) -> None:
    """A mistake in the settings is named, and the server goes on as before."""
    folder = tmp_path / "server"
    folder.mkdir()
    environ = {"PYTHONPATH": str(ROOT)}
    with Reloading(poe, folder, ADMIN_KEY="sk-of-the-owner") as server:
        reload = ("reload", "--env", str(folder / ".env"))
        good = run(environ, *reload)
        stranger = run(environ, *reload, "--key", KEY)
        server.write(QUEUE_SIZE="many")
        bad = run(environ, *reload)

    assert (0, "reloaded\n") == (good.returncode, good.stdout), good.stderr
    assert (1, "") == (stranger.returncode, stranger.stdout)
    assert 1 == bad.returncode
    assert '  QUEUE_SIZE: "many" is not a valid integer ' in bad.stdout
    assert "not reloaded" in bad.stderr


def test_the_doctor_sees_server_way_and_clock(
    run: Run, poe: Sim, server: Proxy, tmp_path: Path
) -> None:
    """A stream through what is in front comes piece by piece, and all is well."""
    ended = run(beside(server, poe, tmp_path), "doctor", "--url", server.url)
    said = ended.stdout

    assert 0 == ended.returncode, said
    assert f"poe-proxy answers at {server.url}" in said
    assert "a stream passes at once, piece by piece" in said
    assert 2 == said.count("the clock is right")
    assert [] == [secret for secret in (KEY, "cookie-a", "key-a") if secret in said]


def test_the_doctor_sees_what_is_not_there(run: Run, poe: Sim) -> None:
    """Poe behind a proxy that is away, and an address that leads nowhere."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    ended = run(settings(poe, POE_API_URL=nowhere, PROXY=nowhere), "doctor", "--url", nowhere)

    assert 1 == ended.returncode
    assert 2 == ended.stdout.count("does not connect")
    assert f"{nowhere} does not lead to poe-proxy" in ended.stdout
    assert "is free for `poe-proxy serve`" in ended.stdout
