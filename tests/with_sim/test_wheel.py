"""The wheel, as those get it who never see this folder: built, installed, run in an empty folder.

pipx installs it with all that it needs. Where there is no pipx, pip installs it alone, and the
packages are those of this environment.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import certifi
import pytest
import requests

from .servers import ROOT, Server, Sim, ask, free_port, until

#: What a wheel is made of.
PARTS = ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", "poe_proxy", "poe_sim")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: nothing is left in this folder."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for part in PARTS:
        if (ROOT / part).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / part, source / part, ignore=ignored)
        else:
            shutil.copy(ROOT / part, source / part)
    pip("wheel", "--no-deps", "--wheel-dir", str(built), str(source))
    (made,) = built.glob("poe_proxy-*.whl")
    return made


def pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert 0 == done.returncode, done.stderr


@pytest.fixture(scope="module")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The installed command."""
    folder = tmp_path_factory.mktemp("installed")
    if find_spec("pipx"):
        subprocess.run(
            [sys.executable, "-m", "pipx", "install", str(wheel)],
            env={**os.environ, "PIPX_HOME": f"{folder}/home", "PIPX_BIN_DIR": f"{folder}/bin"},
            capture_output=True,
            timeout=300,
            check=True,
        )
        return f"{folder}/bin/poe-proxy"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    pip("--python", f"{folder}/bin/python", "install", "--no-deps", "--no-index", str(wheel))
    (packages,) = folder.glob("lib/python3*/site-packages")
    (packages / "more.pth").write_text(f"{Path(certifi.__file__).parents[1]}\n")
    return f"{folder}/bin/poe-proxy"


def clean() -> dict[str, str]:
    """An environment in which only the installed package can be found."""
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}


def test_the_wheel_has_all_that_it_needs_and_nothing_else(wheel: Path) -> None:
    """Each file of both packages, and the licence; no test, and no bench."""
    names = set(zipfile.ZipFile(wheel).namelist())
    source = {
        path.relative_to(ROOT).as_posix()
        for package in ("poe_proxy", "poe_sim")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    about = {name for name in names if ".dist-info/" in name}

    assert source == names - about
    assert any(name.endswith("/LICENSE") for name in about)


@pytest.fixture(scope="module")
def demo(command: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, int]]:
    """The demo, begun in an empty folder."""
    port, folder = free_port(), tmp_path_factory.mktemp("empty")
    with Server([command, "demo"], {"PORT": str(port), "PYTHONPATH": ""}, folder) as running:
        until(lambda: "Ctrl-C" in running.output())
        yield running, port
    assert [] == list(folder.iterdir())


def test_the_installed_demo_streams_and_ends(demo: tuple[Server, int]) -> None:
    """Whoever has the wheel alone gets an answer, piece by piece; Ctrl-C ends it all."""
    running, port = demo
    with requests.post(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        json=ask("!echo one two three", "GPT-5.1", stream=True),
        headers={"Authorization": "Bearer sk-demo"},
        stream=True,
        timeout=60,
    ) as answer:
        lines = [line for line in answer.iter_lines(decode_unicode=True) if line]
    page = requests.get(f"http://127.0.0.1:{port}/", timeout=60)
    running.process.send_signal(signal.SIGINT)
    running.process.wait(30)

    assert len(lines) > 4
    assert "data: [DONE]" == lines[-1]
    assert (200, "text/html; charset=utf-8") == (page.status_code, page.headers["content-type"])
    assert 0 == running.process.returncode
    assert "Traceback" not in running.output()


def test_the_installed_command_checks_and_serves(command: str, tmp_path: Path) -> None:
    """With a `.env` in a folder of one's own: which token is wrong, then the server, and its
    state, which is there at the next start."""
    port = free_port()
    with Sim(("right",)) as sim:
        (tmp_path / ".env").write_text(
            f"AuthKey=sk-mine\nTOKENS=right,wrong\nHOST=127.0.0.1\nPORT={port}\n"
            f"POE_WEB_URL={sim.url}\nPOE_WS_URL={sim.url.replace('http', 'ws', 1)}\n"
            f"POE_API_URL={sim.url}\n"
        )
        (tmp_path / ".env").chmod(0o600)
        checked = subprocess.run(
            [command, "check"], cwd=tmp_path, env=clean(), capture_output=True, text=True
        )
        with Server([command, "serve"], {"PYTHONPATH": ""}, tmp_path) as server:
            until(lambda: "serving 2 cookie" in server.output())
            asked = subprocess.run(
                [command, "chat", "GPT-5.1", "!echo Hello"],
                cwd=tmp_path,
                env=clean(),
                capture_output=True,
                text=True,
            )
            until(lambda: "POST /v1/chat/completions" in server.output())

    assert 1 == checked.returncode
    assert "Poe's site" in checked.stdout.splitlines()[0]
    assert [("ok", "cookie-1"), ("wrong", "cookie-2")] == [
        tuple(line.split()[:2]) for line in checked.stdout.splitlines() if "cookie-" in line
    ]
    assert "Hello\n" == asked.stdout
    assert "Using worker: Worker" in server.output()
    assert (tmp_path / ".state" / "state.sqlite3").exists()
