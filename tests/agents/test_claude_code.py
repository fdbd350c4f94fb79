"""Claude Code, which speaks Anthropic's Messages API alone."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path

import pytest

from ..clients.conftest import PIXEL
from ..with_sim.servers import KEY, Sim
from .conftest import (
    ANSWER,
    BOT,
    BREAKS_OFF,
    SHORT,
    TASK,
    Ran,
    Way,
    Ways,
    assert_comes_back,
    assert_edited,
    assert_told,
    assert_waited,
    in_silence,
    text_of,
)
from .npm import CLAUDE_CODE

#: Anthropic's name of a model, and the bot that it means at Poe.
ANTHROPICS, SONNET = "claude-sonnet-4-5", "Claude-Sonnet-4.5"
INSTRUCTIONS = "You are a Claude agent"


def claude(
    way: Way, folder: Path, task: str = TASK, model: str = BOT, key: str = KEY, **environ: str
) -> Ran:
    """Claude Code, left alone with a task."""
    return way.start(
        CLAUDE_CODE, "-p", task, "--dangerously-skip-permissions", "--model", model,
        folder=folder,
        ANTHROPIC_BASE_URL=way.proxy.url,
        ANTHROPIC_AUTH_TOKEN=key,
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        DISABLE_AUTOUPDATER="1",
        # Tests may run as root, as whom it skips permissions only where nothing can be harmed.
        IS_SANDBOX="1",
        **environ,
    )  # fmt: skip


def edits(way: Way, folder: Path, model: str, bot: str) -> None:
    """Claude Code reads the file and edits it, and asks nothing twice."""
    file = str(folder / "area.py")
    edit = {"file_path": file, "old_string": "width + height", "new_string": "width * height"}
    lines = [way.line("Read", {"file_path": file}), way.line("Edit", edit), ANSWER]
    way.give_lines(lines, bot)

    ran = claude(way, folder, model=model)

    results = ["# In square metres.", "area.py has been updated"]
    assert_edited(way, folder, ran.out, first=[INSTRUCTIONS, TASK], last=results, bot=bot)


@pytest.fixture(scope="module", autouse=True)
def silent(
    ways: Ways, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Future[Ran]]]:
    """Claude Code beside all the other tests, at a bot that is silent before its first word."""
    with in_silence(claude, ways, tmp_path_factory) as running:
        yield running


def test_claude_code_edits_a_file(way: Way, folder: Path) -> None:
    """By a name of Anthropic's for a model, which leads to Poe's bot."""
    edits(way, folder, ANTHROPICS, SONNET)


def test_claude_code_edits_a_file_with_any_bot(by_key: Way, folder: Path) -> None:
    """By a name that it does not know it puts instructions among the messages, too."""
    edits(by_key, folder, "GPT-5.2", "GPT-5.2")


def test_claude_code_loads_a_tool(by_cookie: Way, folder: Path) -> None:
    """What it found is told to the bot by name, though there it is no text."""
    search = {"query": "select:WebFetch", "max_results": 1}
    by_cookie.give_lines([by_cookie.line("ToolSearch", search), ANSWER])

    ran = claude(by_cookie, folder)

    assert ANSWER in ran.out
    told = by_cookie.told()
    assert 2 == len(told)
    result = assert_told(by_cookie, told, first=[INSTRUCTIONS, TASK], last=[])
    assert "WebFetch" in result[result.rindex("<tool_result") :]


def test_claude_code_shows_a_picture(by_key: Way, folder: Path) -> None:
    """A picture within a result reaches the bot as a picture."""
    picture = folder / "area.png"
    picture.write_bytes(b64decode(PIXEL.partition(",")[2]))
    by_key.give_lines([by_key.line("Read", {"file_path": str(picture)}), ANSWER])

    ran = claude(by_key, folder)

    assert ANSWER in ran.out
    _, told = by_key.told()
    pictures = re.findall(r"data:image/\w+;base64,", json.dumps(told))
    assert 1 == len(pictures)


def test_claude_code_counts_without_asking_poe(by_key: Way, poe: Sim, folder: Path) -> None:
    """What fills the context is counted by dozens of requests at once; no bot hears of them."""
    before = len(poe.journal(face="api", method="POST"))
    by_key.give_lines([])

    ran = claude(by_key, folder, "/context")

    assert "Context Usage" in ran.out
    counts = by_key.statuses("/v1/messages/count_tokens", BOT)
    assert {200} == set(counts)
    assert before == len(poe.journal(face="api", method="POST"))


def test_claude_code_searches_the_web(by_key: Way, folder: Path) -> None:
    """A search is a request of its own, with no tool but one of Anthropic's servers."""
    lines = [by_key.line("WebSearch", {"query": "poe"}), "I found nothing.", ANSWER]
    by_key.give_lines(lines)

    ran = claude(by_key, folder, ENABLE_TOOL_SEARCH="false")

    assert ANSWER in ran.out
    told = by_key.told()
    assert 3 == len(told)
    assert "poe" in text_of(told[1])
    assert "I found nothing." in text_of(told[2])


def test_claude_code_asks_once_more_where_an_answer_breaks_off(way: Way, folder: Path) -> None:
    """For a whole answer, whatever it is told; where that fails too, it may be told to leave it."""
    way.give_lines([ANSWER, ANSWER])

    ran = claude(way, folder, f"{TASK} {BREAKS_OFF[way.name]}")

    assert ANSWER not in ran.out
    assert 2 == len(way.told())
    assert [200, 502] == way.statuses("/v1/messages", BOT)[-2:]


def test_claude_code_says_that_a_conversation_is_too_long(way: Way, folder: Path) -> None:
    """It knows the failure, and asks once."""
    ran = claude(way, folder, model=SHORT[way.name])

    assert "rompt is too long" in ran.said
    assert [400] == way.statuses("/v1/messages", SHORT[way.name])


def test_claude_code_says_at_once_that_its_key_is_wrong(by_key: Way, folder: Path) -> None:
    """In our words: else it would try the same key for minutes, or speak of a login of its own."""
    refused = "POST /v1/messages 401 "
    before = by_key.log().count(refused)

    ran = claude(by_key, folder, key="sk-wrong")

    assert "The API key is missing or wrong." in ran.said
    assert 1 == by_key.log().count(refused) - before


def test_claude_code_comes_back_when_it_is_told_to(hasty: Way, folder: Path) -> None:
    """A 429 says when, and nothing was asked twice."""
    assert_comes_back(claude, hasty, folder, "/v1/messages")


def test_claude_code_waits_for_a_silent_bot(silent: Mapping[str, Future[Ran]], way: Way) -> None:
    """It hears of the bot meanwhile, and asks once."""
    assert_waited(way, silent[way.name].result())
