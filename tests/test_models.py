"""The names that clients use, and the model file of the user."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from poe_proxy.models import Models, Route

Load: TypeAlias = Callable[[str], Models]

OF_THE_GO_PROGRAM = {
    "assistant": "capybara",
    "gpt-3.5-turbo": "chinchilla",
    "gpt-3.5-turbo-0301": "chinchilla",
    "gpt-3.5-turbo-0613": "chinchilla",
    "gpt-3.5-turbo-16k": "agouti",
    "gpt-3.5-turbo-16k-0613": "agouti",
    "gpt-4": "beaver",
    "gpt-4-0314": "beaver",
    "gpt-4-0613": "beaver",
    "gpt-4-32k": "vizcacha",
    "gpt-4-32k-0314": "vizcacha",
    "gpt-4-32k-0613": "vizcacha",
    "claude-instant": "a2",
    "claude-2-100k": "a2_2",
    "claude-instant-100k": "a2_100k",
    "google-palm": "acouchy",
    "llama_2_70b_chat": "llama_2_70b_chat",
}


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load the text of a model file."""

    def from_text(text: str) -> Models:
        path = tmp_path / "models.toml"
        path.write_text(text, "utf-8")
        return Models.load(path)

    return from_text


# ---- names


def test_the_names_of_the_go_program_lead_to_its_bots() -> None:
    """The seventeen names are there, in this order, and no others."""
    models = Models.load()

    assert 17 == len(OF_THE_GO_PROGRAM)
    assert list(OF_THE_GO_PROGRAM.items()) == [
        (name, route.bot) for name, route in models.names.items()
    ]
    assert [None] * 17 == [route.kind for route in models.names.values()]


@pytest.mark.parametrize("name", ["gpt-4", "GPT-4", "Gpt-4"])
def test_names_are_found_in_any_case(name: str) -> None:
    """Clients may write a name as they like."""
    assert Route("beaver") == Models.load().resolve(name)


@pytest.mark.parametrize(
    "name", ["Claude-Sonnet-4.5", "GPT-5", "gpt-4-turbo", "a", "Ünïcode-机器人", "x" * 100, "..a"]
)
def test_any_other_name_is_a_bots_handle(name: str) -> None:
    """What is not in the table goes to Poe exactly as it was written; never to another bot."""
    assert Route(name) == Models.load().resolve(name)


@pytest.mark.parametrize(
    "name",
    ["", " ", "two words", "a/b", "a?b", "a#b", "a%2Fb", "a\nb", "a\x00b", "a\x7f", "x" * 101,
     ".", ".."],
)  # fmt: skip
def test_what_would_not_stay_one_part_of_an_address_is_no_handle(name: str) -> None:
    """A name from a client cannot lead out of its place in one of Poe's addresses."""
    assert Models.load().resolve(name) is None


# ---- inner names


def test_inner_names_have_handles(load: Load) -> None:
    """Each inner name of the built-in table has a handle, also beside a user's file."""
    for models in (Models.load(), load("builtin = false")):
        assert "GPT-4" == models.handle("beaver")
        assert "Some-Bot" == models.handle("Some-Bot")
        assert set(OF_THE_GO_PROGRAM.values()) <= models.handles.keys()


# ---- the user's file


def test_a_file_adds_to_the_table(load: Load) -> None:
    """New names come behind the built-in ones; a name given again leads elsewhere."""
    models = load('[names]\n"smart" = "Claude-Opus"\n"GPT-4" = "GPT-4o"\n')

    assert Route("Claude-Opus", is_own=True) == models.resolve("SMART")
    assert Route("GPT-4o", is_own=True) == models.resolve("gpt-4")
    assert Route("a2") == models.resolve("claude-instant")
    assert 18 == len(models.names)
    assert ["smart", "GPT-4"] == list(models.names)[-2:]
    assert "gpt-4" not in models.names


def test_a_file_may_take_the_place_of_the_table(load: Load) -> None:
    """With builtin = false only the user's names are there."""
    models = load('builtin = false\n[names]\n"gpt-4o" = "GPT-4o"\n')

    assert ["gpt-4o"] == list(models.names)
    assert Route("gpt-4") == models.resolve("gpt-4")


def test_a_name_may_be_for_one_kind_of_token(load: Load) -> None:
    """An entry may say which tokens its bot is for."""
    models = load(
        '[names]\n"a" = { bot = "A-Bot", tokens = "keys" }\n'
        '"b" = { bot = "B-Bot", tokens = "cookies" }\n"c" = { bot = "C-Bot" }\n'
    )

    assert [("A-Bot", "key"), ("B-Bot", "cookie"), ("C-Bot", None)] == [
        (route.bot, route.kind) for route in map(models.resolve, "abc") if route
    ]


def test_a_name_may_lead_to_an_id_with_slashes(load: Load) -> None:
    """The official API may have such ids, and what is listed can be given another name."""
    models = load('[names]\n"mine" = "maker/some-bot"\n')

    assert Route("maker/some-bot", is_own=True) == models.resolve("mine")


def test_names_can_be_hidden(load: Load) -> None:
    """A hidden name is neither listed nor served, in any case, by name or by pattern."""
    models = load('hide = ["GPT-3.5-*", "assistant", "Secret-Bot"]\n')

    assert 17 - 6 == len([name for name in models.names if not models.hides(name)])
    for name in ("gpt-3.5-turbo", "GPT-3.5-anything", "assistant", "secret-bot"):
        assert models.resolve(name) is None
    assert Route("beaver") == models.resolve("gpt-4")


def test_an_empty_file_changes_nothing(load: Load) -> None:
    """A file without entries leaves the table as it is."""
    assert Models.load() == load("")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("[names]\ngpt-3.5-turbo = 'X'", r"names\.gpt-3: .* needs quotes", id="dot"),
        pytest.param("[names]\n'a' = 3", r"names\.a: the bot must be a Poe handle", id="number"),
        pytest.param("[names]\n'a' = ''", r"names\.a: the bot must be", id="empty bot"),
        pytest.param("[names]\n'a' = 'two words'", r"names\.a: the bot must be", id="blank"),
        pytest.param("[names]\n'a' = 'a//b'", r"names\.a: the bot must be", id="slashes"),
        pytest.param("[names]\n'a' = '/b'", r"names\.a: the bot must be", id="slash"),
        pytest.param("[names]\n'a' = 'a/../b'", r"names\.a: the bot must be", id="dots"),
        pytest.param("[names]\n'a' = ['B']", r"names\.a: the bot must be", id="list"),
        pytest.param("[names]\n'a' = {}", r"names\.a: write ", id="empty table"),
        pytest.param("[names]\n'a' = { tokens = 'keys' }", r"names\.a: write ", id="no bot"),
        pytest.param("[names]\n'a' = { bot = 'B', x = 1 }", r"names\.a: write ", id="more"),
        pytest.param("[names]\n'a' = { bot = 3 }", r"names\.a: the bot must be", id="bot 3"),
        pytest.param(
            "[names]\n'a' = { bot = 'B', tokens = 'key' }", r"names\.a: tokens must be", id="kind"
        ),
        pytest.param(
            "[names]\n'a' = { bot = 'B', tokens = ['keys'] }",
            r"names\.a: tokens must be",
            id="kinds",
        ),
        pytest.param("[names]\n'' = 'B'", r"names\.'': the name must not be", id="no name"),
        pytest.param("[names]\n' a ' = 'B'", r"names\.' a ': the name must not", id="blanks"),
        pytest.param('[names]\n"a\\n" = "B"', r"names\.'a\\n': the name must not", id="line end"),
        pytest.param("[handles]\na = 'b'", r"handles: only \[names\]", id="handles"),
        pytest.param("gpt-4 = 'X'", r"gpt-4: only \[names\].*under \[names\]", id="no table"),
        pytest.param("names = 3", r"names: must be a table", id="names no table"),
        pytest.param("hide = 'gpt-4'", r"hide: must be a list", id="hide"),
        pytest.param("hide = [3]", r"hide: must be a list", id="hide numbers"),
        pytest.param("builtin = 'no'", r"builtin: must be true or false", id="builtin"),
        pytest.param("[names\n", r"not TOML: .*line 1", id="toml"),
        pytest.param("[names]\n'a' = 'B'\n'a' = 'C'", r"not TOML: ", id="twice"),
    ],
)
def test_a_mistake_is_named(load: Load, text: str, why: str) -> None:
    """A wrong model file is refused with a sentence that names the entry."""
    with pytest.raises(ValueError, match=why) as refusal:
        load(text)
    assert "\n" not in str(refusal.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A missing file, a folder and a file that is not text are each said to be so."""
    with pytest.raises(ValueError, match="No such file"):
        Models.load(tmp_path / "none.toml")
    with pytest.raises(ValueError, match="s a directory"):
        Models.load(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'[names]\n"\xe4" = "B"\n')
    with pytest.raises(ValueError, match="not UTF-8"):
        Models.load(tmp_path / "latin.toml")


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    """Editors on Windows begin a file with one."""
    path = tmp_path / "models.toml"
    path.write_text("[names]\n'mine' = 'Bot'\n", encoding="utf-8-sig")

    assert Route("Bot", is_own=True) == Models.load(path).resolve("mine")


@pytest.mark.parametrize("bot", ["capybara", "Capybara", "CAPYBARA"])
def test_inner_names_are_known_in_any_case(bot: str) -> None:
    """The official API is asked for the handle, however the inner name was written."""
    assert "Assistant" == Models.load().handle(bot)


@pytest.mark.parametrize(
    ("bot", "handle"),
    [("gpt4_o", "GPT-4o"), ("claude_2_1_bamboo", "Claude-3-Sonnet"), ("nutria", "Dragonfly")],
)
def test_inner_names_that_no_name_leads_to_are_known_too(bot: str, handle: str) -> None:
    """Whoever asks for a bot by the inner name that an old list gives gets that bot."""
    assert handle == Models.load().handle(bot)
