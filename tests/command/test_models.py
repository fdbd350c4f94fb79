"""What can be asked, as a table."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import Result

from poe_proxy.command import asking

from .canned import Canned

GPT = {
    "id": "GPT-5.1",
    "owned_by": "OpenAI",
    "context_length": 400_000,
    "pricing": {"prompt": "0.0000011", "completion": "0.000009", "request": None},
}
PAINTER = {"id": "Painter", "owned_by": "poe", "pricing": {"request": "0.03"}}
HOSTILE = {"id": "\x1b[2J" + "x" * 100, "owned_by": None, "pricing": {"prompt": "NaN"}}


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> Canned:
    one = Canned(models=(200, {"data": [GPT, PAINTER, HOSTILE]}))
    monkeypatch.setattr(asking, "someone", lambda url, key: one)
    return one


def test_models_are_listed_with_their_prices(run: Callable[..., Result]) -> None:
    """For a million tokens, or for a request in points."""
    lines = run("models").output.splitlines()

    assert ["GPT-5.1", "OpenAI", "400,000", "1.10", "9.00"] == lines[1].split()
    assert ["Painter", "poe", "1,000"] == lines[2].split()


def test_a_name_cannot_command_the_terminal(run: Callable[..., Result]) -> None:
    """Nor can it be as long as it likes."""
    output = run("models").output

    assert "\x1b" not in output
    assert max(map(len, output.splitlines())) < 150


@pytest.mark.parametrize("word", ["gpt", "OPENAI"])
def test_a_filter_is_a_part_of_the_name_or_the_maker_s(
    run: Callable[..., Result], word: str
) -> None:
    """In upper or lower case."""
    assert ["GPT-5.1"] == [line.split()[0] for line in run("models", word).output.splitlines()[1:]]


def test_json_is_what_the_server_said(run: Callable[..., Result]) -> None:
    """With all fields, for programs."""
    assert [GPT] == json.loads(run("models", "--json", "gpt").output)


def test_nothing_found_is_an_error(run: Callable[..., Result]) -> None:
    """A script need not count lines."""
    result = run("models", "nope")

    assert 1 == result.exit_code
    assert "No model's name has 'nope' in it." in result.output
