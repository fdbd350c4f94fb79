"""What fails, and how it is reported: `PoeApi` straight against the stand-in."""

from __future__ import annotations

from typing import Any

import pytest

from poe_proxy.errors import (
    BotFailed,
    BotFailedEarly,
    BotNotAllowed,
    BotNotFound,
    ParameterRefused,
    PromptRefused,
    PromptTooLong,
    TokenExhausted,
    TokenLimited,
    TokenRejected,
    UpstreamError,
    UpstreamInterrupted,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUncertain,
    UpstreamUnreachable,
)
from poe_proxy.upstreams.catalogue import Catalogue
from poe_proxy.upstreams.poe_api import PoeApi, fetch_models
from poe_proxy.upstreams.poe_api.silence import FIRST_WORD
from tests.fakes import Clock
from tests.net.raw import unused_port
from tests.with_sim.official import ApiSim

from .asking import BOT, Key, ask

# ---- failures

FAILURES: list[tuple[str, type[UpstreamError]]] = [
    ("!http=400", ParameterRefused),
    ("!http=401", TokenRejected),
    ("!http=402", TokenExhausted),
    ("!http=403", PromptRefused),
    ("!http=404", BotNotFound),
    ("!http=408", UpstreamTimeout),
    ("!http=413", PromptTooLong),
    ("!http=429", TokenLimited),
    ("!http=500", BotFailedEarly),
    ("!http=500 !nested-error", BotFailedEarly),
    ("!http=502", UpstreamOverloaded),
    ("!http=503", UpstreamOverloaded),
    ("!http=529", UpstreamOverloaded),
    ("!html-502", UpstreamOverloaded),
    ("!empty-200", UpstreamProtocolError),
    ("!reset", UpstreamUncertain),
]


@pytest.mark.parametrize(("how", "kind"), FAILURES)
@pytest.mark.parametrize("bot", [BOT, "Veo-3.1"])
def test_refusals(sim: ApiSim, api: PoeApi, how: str, kind: type[UpstreamError], bot: str) -> None:
    """Each refusal is an error of its own class, in Poe's words and without a key; nothing is
    asked twice."""
    reply = ask(api, f"{how} hello", bot)

    assert kind is type(reply.failure)
    assert [] == reply.events
    assert (kind is not UpstreamUncertain) == reply.arrivals
    assert reply.failure.message
    assert "{" not in reply.failure.message
    assert 1 == len(sim.journal(face="api", path="/v1/chat/completions"))


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ("!error-after=2", BotFailed),
        ("!silent-end=2", UpstreamInterrupted),
        ("!cut=2", UpstreamInterrupted),
        ("!broken-json=2", UpstreamProtocolError),
        ("!no-finish !no-done", UpstreamInterrupted),
    ],
)
def test_failures_in_the_middle(api: PoeApi, how: str, kind: type[UpstreamError]) -> None:
    """A reply that fails in the middle keeps its text, and has no end."""
    reply = ask(api, f"!echo {how} !size=4 one two three four")

    assert kind is type(reply.failure)
    assert reply.text.startswith("one two ")
    assert None is reply.end


@pytest.mark.parametrize(
    ("how", "kind"), [("!error-after", BotFailedEarly), ("!cut", UpstreamInterrupted)]
)
def test_whole_answers_that_fail(api: PoeApi, how: str, kind: type[UpstreamError]) -> None:
    """Of a whole answer that fails no text is passed on."""
    reply = ask(api, f"{how} a cat", "Veo-3.1")

    assert kind is type(reply.failure)
    assert "" == reply.text


@pytest.mark.parametrize(
    ("how", "seconds"),
    [("", 1.0), ("!retry-after=7", 7.0), ("!retry-after=soon", None)],
)
def test_how_long_to_wait(api: PoeApi, how: str, seconds: float | None) -> None:
    """A limit lasts as long as Poe says."""
    failure = ask(api, f"!http=429 {how} x").failure

    assert TokenLimited is type(failure)
    assert seconds == failure.retry_after


@pytest.mark.parametrize(
    ("bot", "kind"),
    [
        ("Sim-Private", BotNotAllowed),
        ("App-Creator", BotNotAllowed),
        ("Script-Bot-Creator", BotNotAllowed),
        ("Sim-Unpriced", UpstreamRefused),
        ("No-Such-Bot", BotNotFound),
        ("Sim-Http-429", TokenLimited),
    ],
)
def test_bots_that_do_not_serve(api: PoeApi, bot: str, kind: type[UpstreamError]) -> None:
    """Each bot that does not serve has an error that says why."""
    assert kind is type(ask(api, "hello", bot).failure)


def test_a_bot_that_is_in_no_list_answers(api: PoeApi, catalogue: Catalogue) -> None:
    """The list says what is offered, not what there is."""
    assert "" == catalogue.find("Sim-Community").id
    assert "hello" == ask(api, "!echo hello", "Sim-Community").text


def test_a_prompt_that_is_too_long(api: PoeApi) -> None:
    """A prompt that is too long has the error that makes a client shorten it."""
    failure = ask(api, "word " * 3000, "Sim-Short-Memory").failure

    assert PromptTooLong is type(failure)
    assert "too long" in failure.message


@pytest.mark.parametrize(
    ("down", "kind"),
    [(True, UpstreamOverloaded), ("html", UpstreamOverloaded), ("refuse", UpstreamUncertain),
     ("hang", UpstreamTimeout)],
)  # fmt: skip
def test_poe_is_down(
    sim: ApiSim, key: Key, catalogue: Catalogue, down: Any, kind: type[UpstreamError]
) -> None:
    """While Poe is down the list of models stays, and afterwards replies come again."""
    clock = Clock()
    api = key("k1", api_url=sim.url, catalogue=catalogue, clock=clock)
    sim.control_api(down=down)
    try:
        # A host that hangs gives signs of life until the time for the first word is over.
        passes = FIRST_WORD if down == "hang" else 0.0
        reply = ask(api, "hello", when_idle=lambda: clock.go(passes))
        assert kind is type(reply.failure)
        if down != "hang":
            assert not catalogue.look()
            assert BOT == catalogue.find(BOT).id
            assert len(catalogue.models) > 40
    finally:
        sim.control_api(reset=True)
    assert "stop" == ask(api, "hello").end


def test_where_nothing_listens(key: Key) -> None:
    """Where nothing listens, nothing is sent."""
    url = f"http://127.0.0.1:{unused_port()}"

    assert UpstreamUnreachable is type(ask(key("k1", api_url=url), "hello").failure)


# ---- keys, points, limits


def test_a_key_that_poe_does_not_take(sim: ApiSim, key: Key) -> None:
    """Replies and the balance need a key that Poe accepts, the list does not."""
    bad = key("sk-poe-wrong", api_url=sim.url)
    failure = ask(bad, "hello").failure

    assert TokenRejected is type(failure)
    assert "sk-poe-wrong" not in str(failure)
    with pytest.raises(TokenRejected):
        bad.balance()
    assert fetch_models(sim.url)


def test_points(sim: ApiSim, api: PoeApi) -> None:
    """An account loses points, runs out of them, and can have points again, also at times."""
    assert api.balance().next_grant
    before = api.balance().points
    ask(api, "hello")
    assert api.balance().points < before
    sim.control_api(points={"key-1": 0})
    assert 0 == api.balance().points
    assert TokenExhausted is type(ask(api, "hello").failure)
    sim.control_api(points={"key-1": 5000})
    assert 5000 == api.balance().points
    assert "stop" == ask(api, "hello").end


def test_too_many_requests(sim: ApiSim, api: PoeApi) -> None:
    """The limit of a key is an error with the seconds to wait."""
    sim.control_api(rate_limit=2, rate_window=30)
    replies = [ask(api, "!echo hello") for _ in range(3)]

    assert [None, None, TokenLimited] == [one.failure and type(one.failure) for one in replies]
    assert replies[2].failure is not None
    assert 0 < (replies[2].failure.retry_after or 0) <= 30
