"""OpenAI's speech, over both ways, by OpenAI's own client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from openai import BadRequestError, OpenAI

from .asking import BOT, Way, error_of

#: A bot that both ways lead to. By key the stand-in has a bot with a voice, too.
READER = BOT
VOICE = "ElevenLabs-v3"


@pytest.fixture
def client(way: Way) -> Iterator[OpenAI]:
    """OpenAI's client of a proxy whose bot answers with a sound, which lies on the stand-in."""
    requests.get(f"{way.proxy.url}/v1/models", headers=way.proxy.headers, timeout=60)
    requests.post(f"{way.sim.url}/__control_api", json={"media_local": True}, timeout=60)
    way.control(lines={READER: [sound(way)] * 3})
    with way.proxy.openai() as openai:
        yield openai
    requests.post(f"{way.sim.url}/__control_api", json={"media_local": False}, timeout=60)
    way.control(lines={READER: []})


def sound(way: Way) -> str:
    """The link to a sound on the stand-in."""
    return f"{way.sim.url}/base/audio/{'0f' * 32}"


def test_a_text_is_read_aloud(way: Way, client: OpenAI) -> None:
    """The sound of the bot, byte for byte, with its type; OpenAI's client saves it."""
    answer = client.audio.speech.create(model=READER, input="Hello!", voice="alloy")

    assert requests.get(sound(way), timeout=60).content == answer.read()
    assert "audio/mpeg" == answer.response.headers["content-type"]
    assert answer.response.headers["x-request-id"].startswith("req_")


def test_another_form_of_sound_is_refused(way: Way, client: OpenAI) -> None:
    """After the bot has made it: only then its form is known."""
    good = client.audio.speech.create(
        model=READER, input="Hello!", voice="alloy", response_format="mp3"
    )
    with pytest.raises(BadRequestError) as refusal:
        client.audio.speech.create(
            model=READER, input="Hello!", voice="alloy", response_format="wav"
        )

    assert good.read()
    assert "response_format" == refusal.value.param


def test_without_a_sound_the_bot_s_words_are_the_error(way: Way, client: OpenAI) -> None:
    """In the form of all errors."""
    way.control(lines={READER: ["I have no voice."]})
    answer = requests.post(
        f"{way.proxy.url}/v1/audio/speech",
        json={"model": READER, "input": "Hello!"},
        headers=way.proxy.headers,
        timeout=60,
    )

    assert (400, "speech_user_error", "I have no voice.") == (
        answer.status_code,
        error_of(answer)["code"],
        error_of(answer)["message"],
    )


def test_a_voice_is_one_of_the_bot_s(way: Way, client: OpenAI) -> None:
    """Another one is refused before anything is asked, whichever the way; by key the bot of the
    stand-in reads with one of its own."""
    with pytest.raises(BadRequestError, match="Rachel") as refusal:
        client.audio.speech.create(model=VOICE, input="Hello!", voice="Nobody")

    assert "voice" == refusal.value.param
    if not way.by_cookie:
        answer = client.audio.speech.create(model=VOICE, input="Hello!", voice="Adam")
        assert "audio/mpeg" == answer.response.headers["content-type"]


def test_a_client_that_hangs_up_stops_the_bot(way: Way) -> None:
    """While it speaks."""
    way.hang_up("/v1/audio/speech", {"model": BOT, "input": "!first=60 Hello!"})
