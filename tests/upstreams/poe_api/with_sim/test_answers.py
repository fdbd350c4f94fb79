"""What bots say, over real sockets: `PoeApi` straight against the stand-in."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from poe_proxy.chat import ChatRequest, Idle, Text
from poe_proxy.errors import UpstreamTimeout
from poe_proxy.upstreams.poe_api import PoeApi
from tests.fakes import Clock, at_once
from tests.with_sim.official import LETTERS, ApiSim
from tests.with_sim.servers import until

from .asking import BOT, Key, ask, user

# ---- what is said


@pytest.mark.parametrize(
    "how",
    ["", "!chunks=1", "!chunks=9999", "!size=3", "!split-utf8", "!split-utf8 !size=1", "!crlf",
     "!crlf !split-utf8", "!no-space", "!pings", "!no-role", "!null-content", "!snapshot",
     "!extras", "!no-done", "!no-finish", "!usage-empty-choices", "!no-usage"],
)  # fmt: skip
def test_the_text_arrives_to_the_letter(api: PoeApi, how: str) -> None:
    """The text is the same, however Poe cuts and frames it."""
    reply = ask(api, f"!echo {how} {LETTERS}")

    assert LETTERS.split() == reply.text.split()
    assert ("stop", "", None) == (reply.end, reply.thought, reply.failure)


def test_a_long_reply_is_whole(api: PoeApi) -> None:
    """Nothing is lost or doubled in 200,000 letters."""
    text = ask(api, "!long=200000 !delay=0").text

    assert 200_000 == len(text)
    numbers = [int(word) for word in text.split() if word.isdigit()]
    assert list(range(1, len(numbers) + 1)) == numbers


def test_an_empty_reply_is_a_reply(api: PoeApi) -> None:
    """A bot may have nothing to say."""
    reply = ask(api, "!empty")

    assert ("", "stop", None) == (reply.text, reply.end, reply.failure)


@pytest.mark.parametrize(
    ("how", "details"),
    [
        ("!usage=A", set()),
        ("!usage=B", {"prompt_tokens_details", "completion_tokens_details"}),
        ("!usage=B-null", {"prompt_tokens_details"}),
    ],
)
def test_usage_in_each_variant(api: PoeApi, how: str, details: set[str]) -> None:
    """As Poe counts it, nulls left out."""
    usage = ask(api, f"!echo {how} one two three").usage

    assert usage is not None
    assert usage.prompt_tokens > 0
    assert 3 == usage.completion_tokens
    assert usage.details.keys() <= details
    assert None not in [count for counts in usage.details.values() for count in counts.values()]


def test_no_usage_where_poe_counts_none(api: PoeApi) -> None:
    """Usage that Poe does not count is left to the gateway."""
    reply = ask(api, "!echo !no-usage hello")

    assert (None, "stop") == (reply.usage, reply.end)


@pytest.mark.parametrize("how", ["!thinking", "!thinking=star", "!quoted-thinking"])
@pytest.mark.parametrize("cut", ["", "!size=1", "!chunks=1"])
def test_thoughts_in_the_text_are_reasoning(api: PoeApi, how: str, cut: str) -> None:
    """Heading and marks are gone, the answer begins with its first letter."""
    plain = ask(api, "count to 5").text
    reply = ask(api, f"{how} {cut} count to 5")

    assert "The question is read once more.\nThe answer is weighed." == reply.thought
    assert plain == reply.text


@pytest.mark.parametrize(
    ("bot", "fields"),
    [
        (BOT, {"reasoning_effort": "high"}),
        ("Claude-Sonnet-4.5", {"extra": {"thinking_budget": 2000}}),
        ("o3", {}),
        ("DeepSeek-R1", {}),
    ],
)
def test_reasoning_comes_once(api: PoeApi, bot: str, fields: dict[str, Any]) -> None:
    """In two fields of the same text, or in the content."""
    reply = ask(api, "count to 5", bot, **fields)

    assert reply.thought
    half = len(reply.thought) // 2
    assert reply.thought[:half] != reply.thought[half:]
    assert reply.text
    assert "Thinking..." not in reply.text + reply.thought


@pytest.mark.parametrize("reason", ["length", "content_filter", "stop"])
def test_finish_reasons(api: PoeApi, reason: str) -> None:
    """As Poe gives them."""
    assert reason == ask(api, f"!echo !finish={reason} x").end


# ---- media


@pytest.mark.parametrize(
    ("bot", "kind"),
    [("Veo-3.1", "video"), ("Sora-2", "video"), ("ElevenLabs-v3", "audio"), ("Imagen-4", "image"),
     ("GPT-Image-1.5", "image"), ("Nano-Banana-Pro", "image")],
)  # fmt: skip
def test_media_bots_answer_whole(sim: ApiSim, api: PoeApi, bot: str, kind: str) -> None:
    """The answer of a bot that draws, films or speaks is not streamed."""
    reply = ask(api, "a [cat]", bot)

    assert f"/base/{kind}/" in reply.text
    assert "stop" == reply.end
    assert [False] == [entry["stream"] for entry in sim.journal(face="api", model=bot)][:1]


# ---- time


@pytest.mark.parametrize(
    ("bot", "how"),
    [
        (BOT, "!first=3600"),
        (BOT, "!first-chunk=3600"),
        (BOT, "!hang"),
        (BOT, "!hang !pings"),
        ("Veo-3.1", "!first=3600"),
    ],
)
def test_signs_of_life_while_nothing_comes(api: PoeApi, bot: str, how: str) -> None:
    """Idle comes again and again, whatever Poe is waiting for.

    How often is in test_client.py, where the clock is moved by hand.
    """
    request = ChatRequest(model=bot, messages=(user(f"!echo {how} one two three"),))
    events = api.reply(request, bot, at_once)
    idle = 0
    while idle < 3:
        idle = idle + 1 if next(events) == Idle() else 0
    events.close()


def test_text_is_not_held_up(sim: ApiSim, api: PoeApi) -> None:
    """Each piece is here before the next one is sent."""
    request = ChatRequest(model=BOT, messages=(user("!echo !hang one two three four"),))
    events = api.reply(request, BOT, at_once)
    said: list[str] = []
    while "one two" != "".join(said):
        said += [event.text for event in [next(events)] if isinstance(event, Text)]

    assert 1 == sim.active()
    events.close()


@pytest.mark.parametrize(
    ("how", "said", "limit"),
    [("!first=3600", "", 600.0), ("!first-chunk=3600", "", 600.0), ("!hang", "one two", 60.0)],
)
def test_silence_has_a_limit(sim: ApiSim, key: Key, how: str, said: str, limit: float) -> None:
    """A bot that says nothing for so long is stopped."""
    clock = Clock()
    began = clock.now
    api = key("k1", api_url=sim.url, timeout=60.0, first_byte=600.0, clock=clock)
    reply = ask(api, f"!echo {how} !chunks=2 one two three four", when_idle=lambda: clock.go(40.0))

    assert UpstreamTimeout is type(reply.failure)
    assert f"{limit:g} s" in reply.failure.message
    assert limit <= clock.now - began
    assert said == reply.text
    until(lambda: 0 == sim.active())


@pytest.mark.parametrize(
    ("bot", "how"),
    [
        (BOT, "!first=3600"),
        (BOT, "!first-chunk=3600"),
        (BOT, "!hang"),
        (BOT, "!long=90000 !delay=0.1"),
        ("Veo-3.1", "!first=3600"),
        ("Veo-3.1", "!hang"),
    ],
)
def test_hanging_up_stops_the_bot_at_once(sim: ApiSim, api: PoeApi, bot: str, how: str) -> None:
    """Streamed or whole, before the first byte or in the middle, a bot that would go on for an
    hour is stopped."""
    events = api.reply(ChatRequest(model=bot, messages=(user(f"{how} x y z"),)), bot, at_once)
    until(lambda: isinstance(next(events), Idle | Text))
    until(lambda: sim.journal(face="api", event="reply-start"))
    events.close()

    until(lambda: sim.journal(face="api", event="reply-aborted"))
    assert [] == sim.journal(face="api", event="reply-end")


@pytest.mark.parametrize("how", ["!first=3600", "!first-chunk=3600", "!hang"])
def test_a_hang_up_ends_the_longest_wait(sim: ApiSim, api: PoeApi, how: str) -> None:
    """Whoever notices it does so in another thread; nobody looks for it in between."""
    chat = ChatRequest(model=BOT, messages=(user(f"{how} x y z"),))
    chat.listener.patience = 3600.0
    events = api.reply(chat, BOT, at_once)

    def listen() -> None:
        for _ in events:
            if chat.listener.is_gone:
                break
        events.close()

    listening = threading.Thread(target=listen, daemon=True)
    listening.start()
    until(lambda: sim.journal(face="api", event="reply-start"))
    chat.listener.hang_up()
    listening.join(60)

    assert not listening.is_alive()
    until(lambda: sim.journal(face="api", event="reply-aborted"))
