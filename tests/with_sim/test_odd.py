"""What users come upon now and then, from end to end: odd input, and what the log says of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import pytest

from .servers import Proxy, Sim, ask, until


@pytest.mark.parametrize(
    ("words", "code"),
    [("!http=500", "upstream_uncertain"), ("!status=odd", "upstream_refused")],
)
def test_a_failure_has_its_reason_in_the_log(proxy: Proxy, words: str, code: str) -> None:
    """The line of the request names the code that the client got."""
    answer = proxy.post(ask(f"{words} hello"))
    line = rf" {answer.status_code} \({code}\) .* {answer.headers['x-request-id']}$"

    assert code == answer.json()["error"]["code"]
    until(lambda: re.search(line, proxy.output(), re.MULTILINE))


def test_a_stream_that_breaks_off_is_in_the_log(proxy: Proxy) -> None:
    """Its request was logged with a 200, so that the failure has a line of its own."""
    answer = proxy.post(ask("!state=error_x !long=2000 hello", stream=True))

    assert 200 == answer.status_code
    assert '"code":"bot_failed"' in answer.text
    until(lambda: f"{answer.headers['x-request-id']} broke off: bot_failed" in proxy.output())


FORGED = "Busy%0A2026-01-01_00:00:00,000_ERROR___-_forged%1B%5B2J%C2%9B31m%E2%80%A8%E2%80%AE"


@pytest.fixture(scope="module")
def fallible() -> Iterator[Mapping[str, Proxy]]:
    """A proxy on cookies and one on keys, with an account for each failure: it rests afterwards."""
    with (
        Sim(tuple("abcdef"), ("k", "l", "m")) as sim,
        Proxy(sim, ATTEMPTS="1", POE_API_KEYS="") as by_cookie,
        Proxy(sim, ATTEMPTS="1", TOKENS="") as by_key,
    ):
        yield {"cookie": by_cookie, "key": by_key}


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("gpt-4", f"!status=rate_limit_exceeded !status-text={FORGED} hi"),
        ("gpt-4", f"!state=error_insufficient_fund !state-text={FORGED} hi"),
        ("GPT-5.1", f"!http=429 !message=quota_{FORGED} hi"),
    ],
    ids=["Poe", "bot", "maker"],
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_message_forges_no_line(
    fallible: Mapping[str, Proxy], model: str, words: str, stream: bool
) -> None:
    """Neither Poe's nor that of a bot's maker: each line is one of ours, and can be printed."""
    proxy = fallible["key" if model == "GPT-5.1" else "cookie"]
    before = len(proxy.output())
    answer = proxy.post(ask(words, model, stream=stream))
    until(lambda: "forged" in proxy.output()[before:])
    lines = proxy.log_lines()

    assert "forged" in answer.text
    assert [] == [line for line in lines if not line.isprintable()]
    assert [] == [line for line in lines if line.startswith("2026-01-01 00:00:00,000")]
