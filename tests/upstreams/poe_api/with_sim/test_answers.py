"""What bots say, over real sockets: `PoeApi` straight against the stand-in."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import pytest

from poe_proxy.chat import ChatRequest, Idle, Text
from poe_proxy.errors import UpstreamTimeout
from poe_proxy.upstreams.base import TICK
from poe_proxy.upstreams.poe_api import PoeApi
from tests.with_sim.official import LETTERS, ApiSim
from tests.with_sim.servers import until

from .asking import BOT, ask, at_once, user

# ---- what is said


@pytest.mark.parametrize(
    "how",
    ["", "!chunks=1", "!chunks=9999", "!size=3", "!split-utf8", "!split-utf8 !size=1", "!crlf",
     "!crlf !split-utf8", "!no-space", "!pings", "!no-role", "!null-content", "!snapshot",
     "!extras", "!no-done", "!no-finish", "!usage-empty-choices", "!no-usage"],
)  # fmt: skip
def test_the_text_arrives_to_the_letter(api: PoeApi, how: str) -> None:
    """However it is cut, framed and dressed."""
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
    """Then it is for others to count."""
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
    """Unstreamed, with signs of life meanwhile."""
    reply = ask(api, "a [cat] !first=1.3", bot)

    assert f"/base/{kind}/" in reply.text
    assert "stop" == reply.end
    assert 2 <= reply.idle <= 4
    assert [False] == [entry["stream"] for entry in sim.journal(face="api", model=bot)][:1]


# ---- time


@pytest.mark.parametrize(
    "how", ["!first=1.7", "!first-chunk=1.7", "!silence=1.7", "!silence=1.7 !pings"]
)
def test_signs_of_life_while_nothing_comes(api: PoeApi, how: str) -> None:
    """At least twice a second, whatever Poe is waiting for."""
    moments = [time.monotonic()]
    request = ChatRequest(model=BOT, messages=(user(f"!echo {how} one two three"),))
    for _ in api.reply(request, BOT, at_once):
        moments.append(time.monotonic())
    gaps = [after - before for before, after in pairwise(moments)]

    assert max(gaps) < TICK + 0.15
    assert 1.5 < moments[-1] - moments[0] < 3.5


def test_text_is_not_held_up(sim: ApiSim, api: PoeApi) -> None:
    """Each piece is here before the next one is sent."""
    request = ChatRequest(model=BOT, messages=(user("!echo !delay=0.2 one two three four"),))
    moments = [
        time.monotonic() for event in api.reply(request, BOT, at_once) if isinstance(event, Text)
    ]

    assert 4 == len(moments)
    assert all(b - a > 0.1 for a, b in pairwise(moments))


@pytest.mark.parametrize(
    ("how", "said"), [("!first=30", ""), ("!first-chunk=30", ""), ("!hang", "one two ")]
)
def test_silence_has_a_limit(sim: ApiSim, how: str, said: str) -> None:
    """And the bot is stopped."""
    api = PoeApi("k1", api_url=sim.url, timeout=0.7, first_byte=1.2)
    began = time.monotonic()
    reply = ask(api, f"!echo {how} !size=4 one two three four")

    assert UpstreamTimeout is type(reply.failure)
    assert said == reply.text[: len(said)]
    assert 0.6 < time.monotonic() - began < 2.5
    until(lambda: 0 == sim.active(), 3)


@pytest.mark.parametrize(
    ("bot", "how"),
    [
        (BOT, "!first=60"),
        (BOT, "!first-chunk=60"),
        (BOT, "!hang"),
        (BOT, "!long=90000 !delay=0.1"),
        ("Veo-3.1", "!first=60"),
        ("Veo-3.1", "!hang"),
    ],
)
def test_hanging_up_stops_the_bot_at_once(sim: ApiSim, api: PoeApi, bot: str, how: str) -> None:
    """Streamed or whole, before the first byte or in the middle."""
    events = api.reply(ChatRequest(model=bot, messages=(user(f"{how} x y z"),)), bot, at_once)
    until(lambda: isinstance(next(events), Idle | Text))
    until(lambda: sim.journal(face="api", event="reply-start"))
    began = time.monotonic()
    events.close()

    assert time.monotonic() - began < 0.1
    until(lambda: sim.journal(face="api", event="reply-aborted"), 1.0)
