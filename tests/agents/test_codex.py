"""Codex CLI, which speaks the Responses API alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from ..with_sim.servers import KEY
from .conftest import (
    AFTER,
    ANSWER,
    BOT,
    BREAKS_OFF,
    SHORT,
    TASK,
    Ran,
    Way,
    Ways,
    assert_comes_back,
    assert_told,
    assert_waited,
    in_silence,
    text_of,
)
from .npm import CODEX

#: What its users write into `~/.codex/config.toml`, and what keeps it from asking elsewhere.
CONFIG = """\
model = "{model}"
model_provider = "poe"
check_for_update_on_startup = false

[model_providers.poe]
name = "poe-proxy"
base_url = "{url}/v1"
env_key = "POE_PROXY_KEY"
wire_api = "responses"

[analytics]
enabled = false
"""
#: Or nothing but another address for its own provider.
SHORT_CONFIG = """\
model = "{model}"
openai_base_url = "{url}/v1"
check_for_update_on_startup = false

[analytics]
enabled = false
"""
INSTRUCTIONS = "You are a coding agent running in the Codex CLI"
LOOK = "cat area.py"
#: It says how the line is now, in words that are not those of the command.
EDIT = "sed -i 's/width + height/width * height/' area.py && tail -n 1 area.py"
EDITED = "    return width * height"
PATCH = """\
*** Begin Patch
*** Update File: area.py
@@
-    return width + height
+    return width * height
*** End Patch
"""


def codex(way: Way, folder: Path, task: str = TASK, model: str = BOT, config: str = CONFIG) -> Ran:
    """Codex, left alone with a task."""
    home = folder.parent / "home" / ".codex"
    home.mkdir(parents=True)
    (home / "config.toml").write_text(config.format(model=model, url=way.proxy.url))
    return way.start(
        CODEX, "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox",
        "--ephemeral", task,
        folder=folder,
        POE_PROXY_KEY=KEY,
        CODEX_API_KEY=KEY,
    )  # fmt: skip


def edits(
    way: Way, folder: Path, calls: Sequence[tuple[str, Mapping[str, Any]]], model: str = BOT
) -> list[Any]:
    """Codex carries out these calls and edits the file by them, and asks nothing twice. Returns
    what the bot was told."""
    way.give_lines([*(way.line(*call) for call in calls), ANSWER])

    ran = codex(way, folder, model=model)

    assert AFTER == (folder / "area.py").read_text(), ran.said
    assert ANSWER in ran.out
    told = way.told()
    assert len(calls) + 1 == len(told)
    return told


@pytest.fixture(scope="module", autouse=True)
def silent(
    ways: Ways, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Future[Ran]]]:
    """Codex beside all the other tests, at a bot that is silent before its first word."""
    with in_silence(codex, ways, tmp_path_factory) as running:
        yield running


def test_codex_edits_a_file_by_commands(way: Way, folder: Path) -> None:
    """Under Poe's own names for models it has a shell and no other way to edit."""
    calls = [("exec_command", {"cmd": LOOK}), ("exec_command", {"cmd": EDIT})]

    told = edits(way, folder, calls)

    results = ["# In square metres.", EDITED]
    assert_told(way, told, first=[INSTRUCTIONS, TASK], last=results)


def test_codex_applies_a_patch(way: Way, folder: Path) -> None:
    """A tool that takes any text, not JSON: Codex offers it under the names of some models."""
    calls = [("exec_command", {"cmd": LOOK}), ("apply_patch", {"input": PATCH})]

    told = edits(way, folder, calls, "gpt-5.5")

    results = ["# In square metres.", "Success. Updated the following files:"]
    assert_told(way, told, first=[TASK], last=results)


def test_codex_runs_a_script(by_key: Way, folder: Path) -> None:
    """Its newest models are offered tools within the conversation, and write JavaScript."""
    script = f'const r = await tools.exec_command({{cmd: "{EDIT}"}}); text(r);'

    told = edits(by_key, folder, [("exec", {"input": script})], "gpt-5.6-sol")

    assert_told(by_key, told, first=[TASK], last=[EDITED])


def test_codex_is_turned_from_its_websocket(by_key: Way, folder: Path) -> None:
    """As its own provider's it would be asked by a websocket; one refusal, and it asks by POST."""
    refused = "GET /v1/responses 426 "
    before = by_key.log().count(refused)
    by_key.give_lines([by_key.line("exec_command", {"cmd": EDIT}), ANSWER])

    ran = codex(by_key, folder, config=SHORT_CONFIG)

    assert AFTER == (folder / "area.py").read_text()
    assert ANSWER in ran.out
    assert 2 == len(by_key.told())
    assert 1 == by_key.log().count(refused) - before


def test_codex_finds_a_tool_in_its_namespace(by_cookie: Way, folder: Path) -> None:
    """A call of a tool that stands in a namespace goes back as one, though bots know none."""
    by_cookie.give_lines([by_cookie.line("multi_agent_v1__close_agent", {"target": "x"}), ANSWER])

    ran = codex(by_cookie, folder)

    assert ANSWER in ran.out
    _, last = map(text_of, by_cookie.told())
    assert "invalid agent id" in last
    assert "unsupported call" not in last


def test_codex_asks_once_where_an_answer_breaks_off(way: Way, folder: Path) -> None:
    """It would ask five times more after most failures, each paid for."""
    way.give_lines([ANSWER])

    ran = codex(way, folder, f"{TASK} {BREAKS_OFF[way.name]}")

    assert ANSWER not in ran.out
    assert 1 == len(way.told())
    assert 0 != ran.status


def test_codex_says_that_a_conversation_is_too_long(way: Way, folder: Path) -> None:
    """It knows the failure, and asks once."""
    ran = codex(way, folder, model=SHORT[way.name])

    assert "context window" in ran.said
    assert 1 == len(way.statuses("/v1/responses", SHORT[way.name]))


def test_codex_comes_back_when_it_is_told_to(hasty: Way, folder: Path) -> None:
    """A 429 says when, and nothing was asked twice."""
    assert_comes_back(codex, hasty, folder, "/v1/responses")


def test_codex_waits_for_a_silent_bot(silent: Mapping[str, Future[Ran]], way: Way) -> None:
    """It hears of the bot meanwhile, and asks once."""
    assert_waited(way, silent[way.name].result())
