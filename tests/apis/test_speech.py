"""OpenAI's speech: what is understood, what is refused, and which sound is passed on."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from poe_proxy.apis.speech import Sound, Speech
from poe_proxy.budget import Budget
from poe_proxy.chat import Done, File, FileWanted, Idle, Said, Text
from poe_proxy.errors import InvalidRequest

VOICES = {"voice_1": {"enum": ["Rachel", "Adam"]}, "voice_2": {"enum": ["Rachel", "Adam"]}}
URL = "https://pfst.cf2.poecdn.net/base/audio/ab"


def call(declared: Any = VOICES, **fields: Any) -> Sound:
    """A request that is complete but for *fields*."""
    body = {"model": "Bot", "input": "Hello!", "voice": "alloy", **fields}
    return Speech(lambda model: declared).call(orjson.dumps(body), Budget(60))


def test_the_text_is_the_only_message() -> None:
    """The sound that comes of it is wanted, and must be fetched."""
    chat = call(language="en").chat
    (message,) = chat.messages

    assert ("user", "Hello!") == (message.role, message.text)
    assert (FileWanted("audio"), {"language": "en"}) == (chat.file, chat.extra)
    assert not call().streams


@pytest.mark.parametrize(
    ("fields", "declared", "expected"),
    [
        ({"voice": "Adam"}, VOICES, {"voice_1": "Adam"}),
        ({"voice": "rachel"}, VOICES, {"voice_1": "Rachel"}),
        ({"voice": {"id": "Adam"}}, VOICES, {"voice_1": "Adam"}),
        ({"voice": "alloy"}, VOICES, {}),
        ({"voice": None}, VOICES, {}),
        ({"voice": "anybody"}, {}, {}),
        ({"voice": "anybody"}, {"voice": {"type": "string"}}, {"voice": "anybody"}),
        ({"voice": "alloy", "voice_2": "Adam"}, VOICES, {"voice_2": "Adam"}),
        ({"voice": "Adam", "voice_1": "Rachel"}, VOICES, {"voice_1": "Rachel"}),
        ({"instructions": "Slowly."}, {"instructions": {}}, {"instructions": "Slowly."}),
        ({"instructions": "Slowly."}, {}, {}),
        ({"speed": 2}, {"speed": {}}, {"speed": 2}),
        ({"speed": 1.0}, {}, {}),
    ],
    ids=str,
)
def test_the_bot_is_told_in_its_own_words(
    fields: dict[str, Any], declared: dict[str, Any], expected: dict[str, Any]
) -> None:
    """By the parameters that it declares."""
    assert expected == call(declared, **fields).chat.parameters


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"model": None}, "model", "missing_required_parameter"),
        ({"input": None}, "input", "missing_required_parameter"),
        ({"input": " "}, "input", "invalid_value"),
        ({"voice": "Anybody"}, "voice", "invalid_value"),
        ({"voice": 7}, "voice", "invalid_value"),
        ({"speed": 2}, "speed", "invalid_value"),
        ({"speed": 9}, "speed", "invalid_value"),
        ({"response_format": "midi"}, "response_format", "invalid_value"),
        ({"stream_format": "sse"}, "stream_format", "invalid_value"),
    ],
    ids=str,
)
def test_a_mistake_is_named_by_its_field(fields: dict[str, Any], param: str, code: str) -> None:
    """What cannot be done is not passed over."""
    with pytest.raises(InvalidRequest) as refusal:
        call(**fields)

    assert (param, code) == (refusal.value.param, refusal.value.code)


def test_the_voices_of_a_bot_are_named() -> None:
    """To whoever asks for another one."""
    with pytest.raises(InvalidRequest, match='"Rachel", "Adam"'):
        call(voice="Anybody")


@pytest.mark.parametrize(
    ("wanted", "came"),
    [
        (None, "audio/ogg"),
        ("mp3", "audio/mpeg"),
        ("wav", "audio/x-wav"),
        ("mp3", "application/octet-stream"),
        ("mp3", "audio/odd"),
    ],
)
def test_the_sound_is_passed_on(wanted: str | None, came: str) -> None:
    """Byte for byte, with its type."""
    one = call(response_format=wanted)
    events: list[Said] = [Text(URL), Idle(), File(URL, came, b"sound"), Done()]

    assert (b"sound", came) == (one.body(events), one.content_type)


def test_another_form_of_sound_is_refused() -> None:
    """The message says which there is."""
    with pytest.raises(InvalidRequest, match="audio/mpeg") as refusal:
        call(response_format="wav").body([File(URL, "audio/mpeg", b"sound"), Done()])

    assert "response_format" == refusal.value.param


@pytest.mark.parametrize(
    ("events", "words"),
    [([Text("I will not."), Done()], "I will not."), ([Done()], "said nothing")],
)
def test_without_a_sound_the_bot_s_words_are_the_error(events: list[Said], words: str) -> None:
    """They are why there is none."""
    with pytest.raises(InvalidRequest, match=words) as failure:
        call().body(events)

    assert ("input", "speech_user_error") == (failure.value.param, failure.value.code)
