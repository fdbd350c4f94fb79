"""How the server starts, and what it says when it does not."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from ..test_docs import DOCUMENTS, blocks
from .servers import ROOT, Proxy, Server, Sim, ask, free_port, until

#: Where nobody answers: accounts are looked at once after the start.
NOWHERE = {"POE_WEB_URL": "http://127.0.0.1:9", "POE_API_URL": "http://127.0.0.1:9"}


def bare() -> dict[str, str]:
    """The environment without settings."""
    names = ("TOKENS", "POE_API_KEYS", "TOKENS_CONFIG", "AuthKey", "AUTH_KEY")
    return {name: value for name, value in os.environ.items() if name not in names}


def start(**settings: str) -> subprocess.CompletedProcess[str]:
    """Start the server as users do, with settings that keep it from starting."""
    environ = {
        name: value
        for name, value in os.environ.items()
        if name not in ("TOKENS", "POE_API_KEYS", "AuthKey", "AUTH_KEY")
    }
    return subprocess.run(
        [sys.executable, "-m", "gunicorn", "wsgi:app"],
        cwd=ROOT,
        env={**environ, "HOST": "127.0.0.1", "PORT": str(free_port()), **settings},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_without_key_and_token_it_says_what_to_set() -> None:
    """An empty configuration is one message that names AuthKey and TOKENS."""
    ended = start()

    assert 0 != ended.returncode
    assert "AuthKey" in ended.stderr
    assert "TOKENS" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_all_bad_settings_are_named_at_once() -> None:
    """One message names every bad variable, and repeats no secret."""
    ended = start(
        AuthKey="sk-mine",
        TOKENS="p-lat=secret-part",
        RATE_LIMIT="many",
        SIMULATE_ROLES="3",
        MODELS="no-such-file.toml",
        PROXY="ftp://user:secret-part@host",
    )

    for name in ("TOKENS", "RATE_LIMIT", "SIMULATE_ROLES", "MODELS", "PROXY"):
        assert re.search(rf"^  {name}: ", ended.stderr, re.MULTILINE), name
    assert "secret-part" not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_files_that_settings_name_are_read_for_the_same_message(tmp_path: Path) -> None:
    """Their mistakes stand beside those of the settings themselves, by file and place."""
    (tmp_path / "models").write_text("[names]\nx = 1\n")
    (tmp_path / "accounts").write_text("[[account]]\nkey = 'p-b=SECRET'\n")
    (tmp_path / ".env").write_text(
        f"AuthKey=k\nFORWARDED_ALLOW_IPS=nginx\nTOKENS=sk-poe-SECRET\nMODELS={tmp_path}/models\n"
        f"TOKENS_CONFIG={tmp_path}/accounts\nPOE_SITE=none\nCOOLDOWN=1\n"
    )
    ended = subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", f"{ROOT}/gunicorn.conf.py", "wsgi:app"],
        cwd=tmp_path,
        env={**bare(), "PYTHONPATH": str(ROOT), "PORT": str(free_port())},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert 1 == ended.returncode
    for line in (
        'FORWARDED_ALLOW_IPS: "nginx" must be IP addresses',
        "TOKENS: item 1: It looks like a key of Poe's official API",
        f"MODELS: {tmp_path}/models: names.x: ",
        f"TOKENS_CONFIG: {tmp_path}/accounts: account 1, key: It looks like a cookie of poe.com",
        "POE_SITE: none: There is no such file",
        "COOLDOWN: There is no such setting; is COOL_DOWN meant (.env, line 7)?",
    ):
        assert f"\n  {line}" in ended.stderr
    assert "SECRET" not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_what_gunicorn_reads_by_itself_is_named_with_the_rest(tmp_path: Path) -> None:
    """A wrong FORWARDED_ALLOW_IPS of the environment is no reason to name nothing else; the
    command is the one in which `make run`, the container and the service end."""
    mistakes = {"FORWARDED_ALLOW_IPS": "nginx", "RATE_LIMIT": "ten", "AuthKey": "k"}
    ended = subprocess.run(
        [sys.executable, "-m", "poe_proxy"],
        cwd=tmp_path,
        env={**bare(), **mistakes, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert 1 == ended.returncode
    assert '\n  FORWARDED_ALLOW_IPS: "nginx" must be IP addresses' in ended.stderr
    assert '\n  RATE_LIMIT: "ten" is not a valid integer' in ended.stderr
    assert "\n  TOKENS: Set TOKENS to" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("networks", ["", "10.0.0.0/8, ::1", "*"])
def test_the_package_starts_the_server(tmp_path: Path, networks: str) -> None:
    """From any folder, with its own configuration and worker."""
    environ = {**NOWHERE, "AuthKey": "k", "TOKENS": "a", "FORWARDED_ALLOW_IPS": networks}
    with Server(
        [sys.executable, "-m", "poe_proxy"],
        {**environ, "PORT": str(free_port()), "PYTHONPATH": str(ROOT)},
        tmp_path,
    ) as server:
        until(lambda: "serving" in server.output())

    assert "Using worker: Worker" in server.output()


#: Ways to start it that would serve with other workers, or on other addresses.
OTHER_WAYS = {
    "--chdir": ["-m", "gunicorn", "--chdir", str(ROOT), "wsgi:app"],
    "--chdir and a worker": ["-m", "gunicorn", "--chdir", str(ROOT), "-k", "gevent", "wsgi:app"],
    "flask": ["-m", "flask", "--app", f"{ROOT}/wsgi.py", "run", "--port", "0"],
    "imported": ["-c", "import wsgi"],
}


@pytest.mark.parametrize("command", OTHER_WAYS.values(), ids=OTHER_WAYS)
def test_without_its_configuration_it_is_not_served(command: list[str], tmp_path: Path) -> None:
    """The message has the command that works from there, which is tried below; no worker is started
    time and again."""
    environ = {**bare(), "PYTHONPATH": str(ROOT), "AuthKey": "k", "TOKENS": "a"}
    ended = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path,
        env={**environ, "PORT": str(free_port()), "RATE_LIMIT": "many"},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert 0 != ended.returncode
    assert 1 == ended.stderr.count("poe-proxy is to be served by gunicorn with its own")
    assert f"\n  gunicorn -c {ROOT}/gunicorn.conf.py wsgi:app\n" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_command_that_the_message_names_works_from_anywhere(tmp_path: Path) -> None:
    """It listens where the `.env` of that folder says, with its own worker."""
    port = free_port()
    (tmp_path / ".env").write_text(f"HOST=127.0.0.1\nPORT={port}\nAuthKey=k\nTOKENS=a\n")
    with Server(
        [sys.executable, "-m", "gunicorn", "-c", f"{ROOT}/gunicorn.conf.py", "wsgi:app"],
        NOWHERE,
        tmp_path,
    ) as server:
        until(lambda: "serving" in server.output())

    assert f"Listening at: http://127.0.0.1:{port}" in server.output()
    assert "Using worker: Worker" in server.output()


def test_a_folder_that_changes_after_its_env_was_read_is_refused(tmp_path: Path) -> None:
    """The worker would read another `.env` than that which says where to listen."""
    (tmp_path / ".env").write_text("AuthKey=k\nTOKENS=a\n")
    command = ["-m", "gunicorn", "-c", f"{ROOT}/gunicorn.conf.py", "--chdir", str(ROOT), "wsgi:app"]
    ended = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path,
        env={**bare(), "PORT": str(free_port())},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert 1 == ended.returncode
    assert f"poe-proxy was started in {tmp_path}, and reads its .env there" in ended.stderr
    assert f"\n  cd {ROOT} && gunicorn wsgi:app\n" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_folder_that_changes_nothing_is_fine(tmp_path: Path) -> None:
    """All settings are in the environment, and there is no `.env` on either side."""
    command = ["-m", "gunicorn", "-c", f"{ROOT}/gunicorn.conf.py", "--chdir", str(ROOT), "wsgi:app"]
    environ = {**NOWHERE, "AuthKey": "k", "TOKENS": "a", "PORT": str(free_port())}
    with Server([sys.executable, *command], environ, tmp_path) as server:
        until(lambda: "serving" in server.output())

    assert "Using worker: Worker" in server.output()


@pytest.mark.parametrize("option", [["-k", "sync"], ["-k", "gthread"], ["-k", "gevent"]])
def test_another_worker_is_refused(option: list[str]) -> None:
    """One whose replies would hold up each other, or that does not look after connections."""
    ended = subprocess.run(
        [sys.executable, "-m", "gunicorn", *option, "wsgi:app"],
        cwd=ROOT,
        env={**bare(), "AuthKey": "k", "TOKENS": "a", "PORT": str(free_port())},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert 1 == ended.returncode
    assert "another one was asked for" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_after_the_start_the_log_says_who_is_logged_in() -> None:
    """One line for each account, with its points or with what is wrong; nothing was asked of a
    bot, and requests did not wait for it."""
    with (
        Sim(("cookie-a",), ("key-a",)) as sim,
        Proxy(sim, TOKENS="cookie-a,wrong", POE_API_KEYS="key-a,bad") as proxy,
    ):
        line = re.compile(r"- ((?:cookie|key)-\d: (?:logged in, [\d,]+ points|not .*))\n")
        until(lambda: 4 == len(line.findall(proxy.output())))
        lines = line.findall(proxy.output())
        asked = [entry for entry in sim.journal() if "bot" in entry]

    said = sorted(re.sub(r"[\d,]+ points", "N points", line) for line in lines)
    assert [] == asked
    assert [
        "cookie-1: logged in, N points",
        "cookie-2: not logged in, Poe refuses it (upstream_auth)",
        "key-1: logged in, N points",
        "key-2: not logged in, Poe refuses it (upstream_auth)",
    ] == said


@pytest.fixture(scope="module")
def demo() -> Iterator[tuple[Server, int]]:
    """The demo, and its port."""
    port = free_port()
    with Server([sys.executable, "-m", "poe_proxy", "demo"], {"PORT": str(port)}) as running:
        until(lambda: "Ctrl-C" in running.output(), 60)
        yield running, port


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM", "SIGINT"])
def test_the_demo_ends_in_order(how: str) -> None:
    """The stand-in last, however it is ended: so the proxy has no connection to complain about. A
    terminal's Ctrl-C goes to the whole group."""
    port = free_port()
    with Server(
        ["setsid", "--wait", sys.executable, "-m", "poe_proxy", "demo"], {"PORT": str(port)}
    ) as demo:
        until(lambda: "curl" in demo.output(), 60)
        requests.post(
            f"http://127.0.0.1:{port}/v1/chat/completions",
            json=ask("!echo hello"),
            headers={"Authorization": "Bearer sk-demo"},
            timeout=60,
        ).raise_for_status()
        pid = demo.process.pid
        before = len(demo.output())
        if how == "Ctrl-C":
            os.killpg(pid, signal.SIGINT)
        else:
            os.kill(pid, getattr(signal, how))
        demo.process.wait(60)
        said = demo.output()[before:]

    assert 0 == demo.process.returncode
    assert [] == re.findall(r".*(?:WARNING|ERROR|Traceback|refused|reset).*", said), said
    assert "Shutting down: Master" in said


def test_accounts_in_a_file_are_no_reason_for_a_demo(tmp_path: Path) -> None:
    """`make run` serves accounts that the environment names by a file; here it lacks a key."""
    tokens = tmp_path / "tokens"
    tokens.write_text("some-cookie\n", "utf-8")
    left_out = ("TOKENS", "POE_API_KEYS", "AuthKey", "AUTH_KEY")
    ended = subprocess.run(
        ["make", "run"],
        cwd=ROOT,
        env={
            **{name: value for name, value in os.environ.items() if name not in left_out},
            "PORT": str(free_port()),
            "TOKENS_FILE": str(tokens),
        },
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert 0 != ended.returncode
    assert "AuthKey: Set the key" in ended.stderr
    assert "demo" not in ended.stdout


def test_a_taken_port_is_one_line() -> None:
    """If PORT is taken, one line says so."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ended = start(AuthKey="sk-mine", TOKENS="a", PORT=str(port))

    assert 0 != ended.returncode
    assert f"Port {port} is taken" in ended.stderr
    assert 1 == ended.stderr.count("taken")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("host", ["bad host", "192.0.2.1"])
def test_a_host_that_cannot_be_listened_on_is_one_line(host: str) -> None:
    """HOST is named, and nobody has to read a traceback."""
    ended = start(AuthKey="sk-mine", TOKENS="a", HOST=host)

    assert 0 != ended.returncode
    assert f"Cannot listen on HOST {host}, " in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_ipv6_host_may_stand_in_brackets(host: str) -> None:
    """Both spellings are the same address to listen on."""
    shown = subprocess.run(
        [sys.executable, "-m", "gunicorn", "--print-config", "wsgi:app"],
        cwd=ROOT,
        env={**os.environ, "AuthKey": "k", "TOKENS": "a", "HOST": host, "PORT": "9000"},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert re.search(r"^bind += \['\[::1\]:9000'\]$", shown.stdout, re.MULTILINE), shown.stdout


@pytest.fixture(scope="module")
def said_of_what_is_odd() -> str:
    """What a server says that is started with settings which are odd, and no mistake."""
    own = {"AuthKey": "sk-123456", "TOKENS": "A==,A%3D%3D"}
    with Server(
        [sys.executable, "-m", "gunicorn", "wsgi:app"],
        {"HOST": "127.0.0.1", "PORT": str(free_port()), **own, **NOWHERE},
    ) as server:
        until(lambda: "serving" in server.output())
    return server.output()


def test_one_account_in_two_spellings_counts_once(said_of_what_is_odd: str) -> None:
    """The log tells of as many accounts as there are in the pool."""
    assert "serving 1 cookie token(s)" in said_of_what_is_odd


def test_the_example_key_is_a_loud_warning(said_of_what_is_odd: str) -> None:
    """sk-123456 is accepted, and warned about."""
    assert "WARNING - AuthKey holds sk-123456" in said_of_what_is_odd


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_prints_a_curl_line_that_works(how: int, tmp_path: Path) -> None:
    """Without a .env the demo starts; its curl line works when pasted; a signal ends it all."""
    port = free_port()
    with Server([sys.executable, "-m", "poe_proxy", "demo"], {"PORT": str(port)}) as demo:
        until(lambda: "curl" in demo.output(), 60)
        text = demo.output()
        command = text[text.index("curl") : text.index("\n\n", text.index("curl"))]
        answer = subprocess.run(
            shlex.split(command.replace("\\\n", " ")), capture_output=True, text=True, timeout=60
        )
        demo.stop(how)
        left = [line for line in demo.output().splitlines() if "Traceback" in line]

    assert "data: [DONE]" in answer.stdout
    assert 0 == demo.process.returncode
    assert [] == left
    with socket.socket() as probe:
        assert 0 != probe.connect_ex(("127.0.0.1", port))


def test_the_demo_has_its_pictures_itself(demo: tuple[Server, int]) -> None:
    """Nothing leaves the computer: a picture that the proxy fetches lies on the stand-in."""
    answer = requests.post(
        f"http://127.0.0.1:{demo[1]}/v1/images/generations",
        json={"model": "GPT-Image-1.5", "prompt": "a fox", "response_format": "b64_json"},
        headers={"Authorization": "Bearer sk-demo"},
        timeout=60,
    )

    assert 200 == answer.status_code, answer.text
    assert b64decode(answer.json()["data"][0]["b64_json"]).startswith(b"\x89PNG")


def test_the_demo_lists_what_its_banner_promises(demo: tuple[Server, int]) -> None:
    """Each name that it prints is in the list of models, in that spelling; and it answers."""
    running, port = demo
    headers = {"Authorization": "Bearer sk-demo"}
    text = running.output()
    (line,) = re.findall(r"^  model +(.*), and a few dozen more$", text, re.MULTILINE)
    promised = [*line.split(", "), *re.findall(r'"model": "([^"]+)"', text)]
    url = f"http://127.0.0.1:{port}/v1"
    data = requests.get(f"{url}/models", headers=headers, timeout=60).json()["data"]
    listed = [entry["id"] for entry in data]
    answers = [
        requests.post(
            f"{url}/chat/completions",
            json=ask("!echo hello", name),
            headers=headers,
            timeout=60,
        ).status_code
        for name in promised
    ]

    assert 4 == len(promised)
    assert [] == [name for name in promised if name not in listed]
    assert len(listed) > 24
    assert {200} == set(answers)


def test_the_demo_uses_nobody_s_account(tmp_path: Path) -> None:
    """What leads to an account, or out of this computer, is not for it, wherever it is set."""
    (tmp_path / ".env").write_text("TOKENS_FILE=none\nPOE_API_KEYS=real\nAPI_CONCURRENCY=none\n")
    port = free_port()
    environ = {
        "PORT": str(port),
        "HOST": "::1",
        "PROXY": "http://127.0.0.1:9",
        "POE_API_KEYS": "real",
        "TOKENS_FILE": "none",
        "PYTHONPATH": str(ROOT),
    }
    with Server([sys.executable, "-m", "poe_proxy", "demo"], environ, tmp_path) as demo:
        until(lambda: "curl" in demo.output(), 60)
        answer = requests.post(
            f"http://[::1]:{port}/v1/chat/completions",
            json=ask("!echo hello"),
            headers={"Authorization": "Bearer sk-demo"},
            timeout=60,
        )

    assert "hello" == answer.json()["choices"][0]["message"]["content"]
    assert "serving 2 cookie token(s) and 0 API key(s)" in demo.output()
    assert f"base URL   http://[::1]:{port}/v1" in demo.output()


@pytest.mark.parametrize("port", ["eight", "0", "99999"])
def test_a_port_that_is_none_is_one_line_in_the_demo_too(port: str) -> None:
    """Without a .env, too, a PORT that cannot be one is named, without a traceback."""
    with Server([sys.executable, "-m", "poe_proxy", "demo"], {"PORT": port}) as demo:
        demo.process.wait(20)
        said = demo.output()

    assert 1 == demo.process.returncode
    assert "PORT must be a whole number from 1 to 65535.\n" == said


#: The documents whose examples are pasted: what must be in the answer to each curl line, in this
#: order, and how many Python programs there are.
EXAMPLES = {
    "README.md": (["data: [DONE]"], 1),
    "README.zh-CN.md": (["data: [DONE]"], 1),
    "docs/clients.md": (
        [
            "data: [DONE]",
            '"object":"chat.completion"',
            '"object":"list"',
            '"object":"response"',
        ],
        4,
    ),
}


def curl_lines(name: str) -> list[str]:
    return [block for block in blocks(name, "bash") if block.startswith("curl")]


def test_every_document_with_a_curl_line_is_pasted() -> None:
    """No document shows a curl line that is not tried."""
    assert set(EXAMPLES) == {name for name in DOCUMENTS if curl_lines(name)}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_the_documents_work_when_pasted(
    name: str, demo: tuple[Server, int]
) -> None:
    """Each curl line and each Python program, one by one, against the demo that it is for."""
    _, port = demo
    endings, number_of_programs = EXAMPLES[name]
    examples = curl_lines(name)
    # The stand-in's bots make sounds by key alone; promises/test_speech.py tries the same there.
    programs = [one for one in blocks(name, "python") if "audio.speech" not in one]
    done = [
        subprocess.run(
            [*command, text.replace("localhost:8080", f"127.0.0.1:{port}")],
            capture_output=True,
            text=True,
            timeout=60,
        )
        for command, text in [
            *((["bash", "-c"], example) for example in examples),
            *(([sys.executable, "-c"], program) for program in programs),
        ]
    ]

    assert (len(endings), number_of_programs) == (len(examples), len(programs))
    for one in done:
        assert (0, "") == (one.returncode, one.stderr.partition("Traceback")[2])
        assert '"error":{' not in one.stdout
    for ending, one in zip(endings, done, strict=False):
        assert ending in one.stdout
    assert all(len(program.stdout) > 20 for program in done[len(examples) :])
