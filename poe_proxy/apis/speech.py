"""OpenAI's speech: `POST /v1/audio/speech`, a text that a voice bot reads aloud.

Such bots answer with a link to a sound (official API sheet §3.5), which is fetched and passed on as
it is. Voices are parameters of theirs (§3.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from poe_proxy.apis import basics
from poe_proxy.apis.basics import Declared, Schemas
from poe_proxy.apis.fields import field, json_object, number, refusal
from poe_proxy.apis.openai_error import OpenAiErrors
from poe_proxy.apis.whole import WholeCall, file_or_words
from poe_proxy.budget import Budget
from poe_proxy.chat import ChatRequest, FileWanted, Message, Said, TextPart
from poe_proxy.errors import InvalidRequest

#: The forms of sound that OpenAI has, and their media types.
_TYPES: Final[Mapping[str, frozenset[str]]] = {
    "mp3": frozenset({"audio/mpeg", "audio/mp3"}),
    "opus": frozenset({"audio/opus", "audio/ogg"}),
    "aac": frozenset({"audio/aac", "audio/aacp", "audio/x-aac"}),
    "flac": frozenset({"audio/flac", "audio/x-flac"}),
    "wav": frozenset({"audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"}),
    "pcm": frozenset({"audio/pcm", "audio/l16"}),
}
#: OpenAI's own voices. Clients have one of them set by default, so that says nothing of what their
#: user wants from another maker's bot.
_VOICES: Final = frozenset(
    {
        "alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx",
        "sage", "shimmer", "verse",
    }
)  # fmt: skip
#: What bots call the voice that reads, or that of the first speaker.
_VOICE_NAMES: Final = ("voice", "voice_1")
#: The most voices that an error names.
_SHOWN: Final = 50
#: Fields that are read, or mean nothing to a bot.
_NAMED: Final = frozenset(
    {"model", "input", "voice", "instructions", "response_format", "speed", "stream_format"}
)


class Speech(OpenAiErrors):
    """This API: an `Api`."""

    def __init__(self, declared: Declared = lambda model: {}) -> None:
        """*declared* returns the parameters that a model declares, with the schema of each."""
        self._declared = declared

    def call(self, body: bytes | bytearray, budget: Budget) -> Sound:
        """Read a request; raises `InvalidRequest`."""
        data = json_object(body, budget)
        model = basics.model(data, example="ElevenLabs-v3")
        text = field(data, "input", str)
        if not text or not text.strip():
            raise refusal("input", "input must be the text to read.", missing=text is None)
        if data.get("stream_format") not in (None, "audio"):
            raise refusal("stream_format", 'stream_format must be "audio": the sound comes whole.')
        wanted = field(data, "response_format", str)
        if wanted is not None and wanted not in _TYPES:
            raise refusal("response_format", f"response_format must be one of {_list(_TYPES)}.")
        declared = self._declared(model)
        chat = ChatRequest(
            model=model,
            messages=(Message(role="user", content=(TextPart(text),)),),
            file=FileWanted("audio"),
            parameters=_parameters(data, declared),
            extra=basics.others(data, _NAMED | declared.keys()),
            budget=budget,
        )
        return Sound(chat, wanted)


class Sound(WholeCall):
    """One request for a sound: a `Call`."""

    def __init__(self, chat: ChatRequest, wanted: str | None) -> None:
        """*wanted* is the form of sound that the client asks for; None: any."""
        super().__init__(chat)
        self._wanted = wanted

    def body(self, events: Iterable[Said]) -> bytes:
        """Return the sound, whose type is then known.

        Raises `InvalidRequest` with the bot's words if it made none, and if the sound is in another
        form than is wanted.
        """
        found = file_or_words(events)
        if isinstance(found, str):
            raise InvalidRequest(
                found or "The bot made no sound, and said nothing.",
                param="input",
                code="speech_user_error",
            )
        came = found.content_type
        known = frozenset().union(*_TYPES.values())
        # Of what has no name here, or one that says nothing, nobody can tell.
        if self._wanted is not None and came in known - _TYPES[self._wanted]:
            raise InvalidRequest(
                f"The bot's sound is {came}, and nothing else can be had; leave response_format "
                "out, or ask for that.",
                param="response_format",
            )
        self.content_type = came
        return found.data


def _parameters(data: Mapping[str, Any], declared: Schemas) -> dict[str, Any]:
    found = {name: data[name] for name in declared if data.get(name) is not None}
    found = {name: value for name, value in found.items() if name not in _NAMED}
    if (voice := _voice(data)) is not None:
        found = _voiced(voice, declared) | found
    if (instructions := field(data, "instructions", str)) and "instructions" in declared:
        found["instructions"] = instructions
    speed = number(data, "speed", 0.25, 4)
    if speed is not None and "speed" in declared:
        found["speed"] = speed
    elif speed not in (None, 1):
        raise refusal("speed", "speed must be 1: this bot declares no parameter for it.")
    return found


def _voice(data: Mapping[str, Any]) -> str | None:
    match data.get("voice"):
        case None | "":
            return None
        case str(name) | {"id": str(name)}:
            return name
    raise refusal("voice", "voice must be the name of a voice.")


def _voiced(voice: str, declared: Schemas) -> dict[str, Any]:
    """Return the parameter that says *voice* to the bot; nothing, if the bot is to choose."""
    name = next((one for one in _VOICE_NAMES if one in declared), None)
    if name is None:
        return {}
    allowed = declared[name].get("enum")
    if not isinstance(allowed, list):
        return {name: voice}
    voices = {str(one).lower(): one for one in allowed}
    if voice.lower() in voices:
        return {name: voices[voice.lower()]}
    if voice.lower() in _VOICES:
        return {}
    raise refusal("voice", f"This bot's voices are {_list(map(str, allowed[:_SHOWN]))}.")


def _list(words: Iterable[str]) -> str:
    return ", ".join(f'"{word[:60]}"' for word in words)
