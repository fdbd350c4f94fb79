"""How failures reach a client: by a status as long as nothing was said, then as the last event."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from openai import RateLimitError

from ..servers import Proxy, Sim, ask, free_port, until
from . import asking_responses
from .asking import BOT, ONLY, Answer, Way

# ---- before the first word


def test_what_fails_before_the_first_word_has_a_status(way: Way, stream: bool) -> None:
    """The status and the code of the failure, streamed or not, and never a 200.

    Which failure has which is in tests/test_errors.py, and what Poe means by its words in
    tests/upstreams/.
    """
    how = "!status=bot_unavailable" if way.by_cookie else "!http=503"
    answer = way.ask(f"{how} hi", stream)

    assert (503, "upstream_overloaded") == (answer.status, (answer.error or {})["code"])
    assert "" == answer.text


def test_an_unknown_bot_is_404(way: Way, stream: bool) -> None:
    """By model_not_found, naming it; no other bot answers in its place."""
    answer = way.ask("hi", stream, model="No-Such-Bot-At-All")
    error = answer.error or {}

    assert (404, "model_not_found", "model") == (answer.status, error["code"], error["param"])
    assert "No-Such-Bot-At-All" in error["message"]


def test_a_conversation_that_is_too_long_has_an_error_of_its_own(way: Way, stream: bool) -> None:
    """context_length_exceeded is what makes a client shorten it and try again."""
    model = "Sim-Short-Text-Only" if way.by_cookie else "Sim-Short-Memory"
    answer = way.ask("word " * 2000, stream, model=model)

    assert (400, "context_length_exceeded") == (answer.status, (answer.error or {})["code"])


# ---- in the middle


def broken(way: Way) -> str:
    """The prompt of a reply that fails after some words."""
    how = "!state=error_of_some_kind" if way.by_cookie else "!error-after=4"
    return f"{how} !echo some words before the end comes to them all"


def test_a_failure_in_the_middle_is_the_last_event(way: Way) -> None:
    """An error object behind the words, no word of it in the text, no reason, no `[DONE]`."""
    answer = way.ask(broken(way), True)
    error = answer.error or {}

    assert (200, "bot_failed") == (answer.status, error["code"])
    assert "some words" in answer.text
    assert error["message"] not in answer.text
    assert (None, False) == (answer.finish, answer.is_done)


def test_a_failure_in_the_middle_of_a_whole_answer_is_a_status(way: Way) -> None:
    """Half an answer is not sent."""
    answer = way.ask(broken(way), False)

    assert (502, "bot_failed") == (answer.status, (answer.error or {})["code"])


#: Seconds of silence that the proxies here bear; a busy machine may be held up for nearly as long.
TIMEOUT = 8


@pytest.fixture(scope="module")
def ways(poe: Sim) -> Iterator[dict[str, Way]]:
    """Proxies that bear some seconds of silence, and pass failures on as text, too."""
    with ExitStack() as running:
        yield {
            name: Way(
                name,
                poe,
                running.enter_context(Proxy(poe, TIMEOUT=str(TIMEOUT), ERRORS_AS_TEXT="1", **only)),
            )
            for name, only in ONLY.items()
        }


@pytest.fixture(params=ONLY)
def set_up(request: pytest.FixtureRequest, ways: dict[str, Way]) -> Way:
    """One of them."""
    return ways[request.param]


def test_a_failure_in_the_middle_may_be_the_last_text_too(set_up: Way) -> None:
    """With ERRORS_AS_TEXT its message ends the text, and the error object still follows."""
    answer = set_up.ask(broken(set_up), True)
    error = answer.error or {}

    assert "bot_failed" == error["code"]
    assert answer.text.startswith("some words")
    assert answer.text.endswith(f"\n\nError: {error['message']}")
    assert (None, False) == (answer.finish, answer.is_done)


def test_a_failure_of_a_response_may_be_its_last_text_too(set_up: Way) -> None:
    """The same by the Responses API, whose two last events still follow."""
    answer = asking_responses.ask(set_up, broken(set_up), True)
    deltas = "".join(event.get("delta", "") for event in answer.events)

    assert ["error", "response.failed"] == answer.kinds[-2:]
    assert deltas.startswith("some words")
    assert deltas.endswith(f"\n\nError: {answer.events[-2]['message']}")


def test_what_has_a_status_is_no_text(set_up: Way, stream: bool) -> None:
    """ERRORS_AS_TEXT makes no answer of a failure that has a status."""
    answer = set_up.ask("hi", stream, model="No-Such-Bot-At-All")

    assert (404, "model_not_found", "") == (
        answer.status,
        (answer.error or {})["code"],
        answer.text,
    )


# ---- silence


def all_at_once(ways: dict[str, Way], prompt: str) -> dict[str, tuple[Answer, Answer]]:
    """A whole answer and a stream by each way, at the same time: silence takes its time."""
    with ThreadPoolExecutor(2 * len(ways)) as threads:
        asked = {
            name: [threads.submit(way.ask, prompt, stream) for stream in (False, True)]
            for name, way in ways.items()
        }
        return {name: (whole.result(), stream.result()) for name, (whole, stream) in asked.items()}


def test_silence_ends_a_reply(ways: dict[str, Way]) -> None:
    """After TIMEOUT seconds without a word: 504, or the last event of a stream."""
    answers = all_at_once(ways, "!hang !echo some words and then no more of them")

    for name, (whole, stream) in answers.items():
        assert (504, "upstream_timeout") == (whole.status, (whole.error or {})["code"]), name
        assert (200, "upstream_timeout") == (stream.status, (stream.error or {})["code"]), name
        assert stream.text.startswith("some words"), name


def test_every_word_starts_the_time_anew(ways: dict[str, Way]) -> None:
    """A reply that takes longer than TIMEOUT is whole, as long as it goes on."""
    began = time.monotonic()
    words = "one two three four five six seven eight nine ten"
    answers = all_at_once(ways, f"!delay=0.9 !chunks=10 !echo {words}")

    assert dict.fromkeys(ONLY, [(200, words)] * 2) == {
        name: [(one.status, one.text) for one in both] for name, both in answers.items()
    }
    assert time.monotonic() - began > TIMEOUT


# ---- accounts

#: One account of each kind, and a short line.
ONE = {"TOKENS": "cookie-a", "POE_API_KEYS": "key-a", "QUEUE_TIMEOUT": "1"}


@pytest.mark.parametrize("kind", ONLY)
def test_a_pool_without_points_says_not_to_try_again(poe: Sim, kind: str) -> None:
    """429 insufficient_quota with x-should-retry false, and the openai package obeys."""
    with Proxy(poe, **{**ONE, **ONLY[kind]}) as proxy:
        way = Way(kind, poe, proxy)
        how = "!status=reached_limit" if way.by_cookie else "!http=402"
        answers = [way.ask(f"{how} hi", stream) for stream in (False, True, False)]

        def refused() -> int:
            return len(re.findall(r" 429 .* POST /v1/chat/completions ", proxy.output()))

        until(lambda: 3 <= refused())
        asked = refused()
        with proxy.openai(max_retries=3) as client, pytest.raises(RateLimitError) as raised:
            client.chat.completions.create(**ask("hi", BOT))
        until(lambda: asked < refused())
        again = refused()

    for answer in answers:
        assert (429, "insufficient_quota") == (answer.status, (answer.error or {})["code"])
        assert "insufficient_quota" == (answer.error or {})["type"]
        assert "false" == answer.headers["x-should-retry"]
    assert "insufficient_quota" == raised.value.code
    assert (3, 4) == (asked, again)


@pytest.mark.parametrize("kind", ONLY)
def test_a_tired_pool_says_when_to_come_back(poe: Sim, kind: str) -> None:
    """429 with the true Retry-After in whole seconds; the openai packages, which wait a minute
    at most, are told not to try again."""
    with Proxy(poe, **{**ONE, **ONLY[kind]}) as proxy:
        way = Way(kind, poe, proxy)
        answers = [
            way.ask("!http=429 !retry-after=3600 hi", stream) for stream in (False, True, False)
        ]

    for answer in answers:
        assert (429, "rate_limit_exceeded") == (answer.status, (answer.error or {})["code"])
        assert "rate_limit_error" == (answer.error or {})["type"]
        assert 3590 <= int(answer.headers["Retry-After"]) <= 3600
        assert "false" == answer.headers["x-should-retry"]


@pytest.mark.parametrize("kind", ONLY)
def test_a_poe_that_is_not_there_is_502(poe: Sim, kind: str) -> None:
    """Where nothing listens, the error says that Poe cannot be reached."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    with Proxy(None, POE_WEB_URL=nowhere, POE_API_URL=nowhere, **{**ONE, **ONLY[kind]}) as proxy:
        way = Way(kind, poe, proxy)
        answers = [way.ask("hi", stream) for stream in (False, True)]

    assert [(502, "upstream_unreachable")] * 2 == [
        (answer.status, (answer.error or {})["code"]) for answer in answers
    ]


@pytest.mark.parametrize("kind", ONLY)
def test_logins_that_poe_refuses_are_not_the_client_s_fault(poe: Sim, kind: str) -> None:
    """Poe's 401 is our 502: the client's own key was good."""
    wrong = {"TOKENS": "wrong-cookie", "POE_API_KEYS": "wrong-key"}
    with Proxy(poe, **{**wrong, **ONLY[kind]}) as proxy:
        answers = [Way(kind, poe, proxy).ask("hi", stream) for stream in (False, True)]

    assert [(502, "upstream_auth")] * 2 == [
        (answer.status, (answer.error or {})["code"]) for answer in answers
    ]
