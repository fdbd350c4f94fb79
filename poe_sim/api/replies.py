"""What a bot answers: one `Reply`, which every endpoint then says in its own way."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from ..lines import Line
from ..talk import QUOTED_THOUGHT, answer, long_text, pieces
from .asking import Asking, Seen, Tool, ToolCall, Turn
from .catalogue import Json
from .schemas import instance
from .script import STAMP
from .tools import CallMaker, wanted_calls

MEDIA_HOST = "https://pfst.cf2.poecdn.net"

_THOUGHTS = "The question is read once more. The answer is weighed."


@dataclass(slots=True, kw_only=True)
class Reply:
    """A bot's answer, whole."""

    text: str = ""
    reasoning: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    finish: str = "stop"
    stopped_by: str | None = None
    is_media: bool = False
    prompt_tokens: int = 1
    completion_tokens: int = 0
    reasoning_tokens: int = 0


def compose(asking: Asking, calls: CallMaker, media_host: str, line: Line | None = None) -> Reply:
    """Return the bot's answer: the *line* that was written for it, or what it says by itself."""
    script, model = asking.script, asking.model
    reply = Reply(prompt_tokens=asking.prompt_tokens)
    if line is None:
        reply.calls = wanted_calls(asking, calls)
    else:
        reply.text = line.text
        reply.calls = [
            calls.make(Tool(name=call.name), asking, number, call.arguments)
            for number, call in enumerate(line.calls)
        ]
    if reply.calls:
        reply.finish = "tool_calls"
        if script.has("text-too"):
            reply.text = "Let me look that up."
        printed = sum(len(call.arguments) + len(call.name) for call in reply.calls)
        # For tool-only answers the short variant may count nothing (§3.5).
        reply.completion_tokens = 0 if model.usage_variant == "A" else printed // 4 + 1
    elif line is None:
        _speak(asking, reply, media_host)
    else:
        _limit(asking, reply)
    if _reasons(asking, reply, is_faithful=script.is_faithful or line is not None):
        reply.reasoning = _THOUGHTS
        reply.reasoning_tokens = len(pieces(_THOUGHTS))
        reply.completion_tokens += reply.reasoning_tokens
    if model.owner == "XAI":
        # Grok-4 was seen to count more reasoning than completion (§3.5).
        reply.reasoning_tokens = 181
    if script.has("finish"):
        reply.finish = script.get("finish") or "content_filter"
    return reply


def _reasons(asking: Asking, reply: Reply, *, is_faithful: bool) -> bool:
    if asking.script.has("reason"):
        return True
    return asking.reasons and not is_faithful and not reply.is_media


def _speak(asking: Asking, reply: Reply, media_host: str) -> None:
    model = asking.model
    is_media = model.kind != "text" and not asking.script.is_faithful
    if is_media:
        _show(asking, reply, media_host)
        made_text = model.kind in ("image", "mixed")
        reply.completion_tokens = len(pieces(reply.text)) if made_text else 0
        return
    reply.text = _text(asking)
    _limit(asking, reply)


def _limit(asking: Asking, reply: Reply) -> None:
    """Stop where the client wants it: at a stop string or after so many tokens."""
    for stop in asking.stop:
        # Those of white space only do not work (§3.1).
        if stop.strip() and (at := reply.text.find(stop)) >= 0:
            reply.text = reply.text[:at]
            reply.stopped_by = stop
    parts = pieces(reply.text)
    most = asking.most_tokens
    if most is not None and len(parts) > most:
        parts = parts[:most]
        reply.text = "".join(parts)
        reply.finish, reply.stopped_by = "length", None
    reply.completion_tokens = len(parts)


def _text(asking: Asking) -> str:
    script = asking.script
    said = _prescribed(asking)
    if said is not None:
        return said
    if asking.schema is not None:
        return orjson.dumps(instance(asking.schema)).decode()
    if asking.wants_json:
        return orjson.dumps({"answer": answer(asking.prompt, asking.model.name)}).decode()
    results = asking.results
    if results:
        text = "\n".join(_told(turn, asking.called) for turn in results)
    else:
        text = answer(asking.prompt, asking.model.name)
    if asking.seen and not results:
        text += "\n\n" + seen_text(asking.seen)
    if script.has("thinking") or (asking.model.quoted_thinking and not script.is_faithful):
        label = "*Thinking...*" if script.get("thinking") == "star" else "Thinking..."
        text = f"{label}\n\n{QUOTED_THOUGHT}{text}"
    elif script.has("quoted-thinking"):
        text = f"*Thinking...*\n\n{QUOTED_THOUGHT}{text}"
    return text


def _told(turn: Turn, known: Mapping[str, ToolCall]) -> str:
    call = known.get(turn.result_of or "")
    return f"{call.name if call else 'The tool'} says: {turn.text}"


def _prescribed(asking: Asking) -> str | None:
    """Return the text that the prompt demands to the letter, if it does."""
    script = asking.script
    if script.has("empty"):
        return ""
    if script.has("echo"):
        return asking.prompt
    if script.has("long"):
        return long_text(script.count("long", 10_000))
    if script.has("stamp"):
        return STAMP * max(1, script.count("stamp", 1))
    if script.has("say-params"):
        hidden = asking.messages_field
        shown = {key: value for key, value in asking.body.items() if key != hidden}
        return orjson.dumps(shown).decode()
    if script.has("say-messages"):
        return orjson.dumps(asking.body.get(asking.messages_field)).decode()
    return None


def seen_text(seen: Sequence[Seen]) -> str:
    """Say what came with the message."""
    told = []
    for kind in ("image", "file"):
        some = [one for one in seen if one.kind == kind]
        if some:
            told.append(f"I see {len(some)} {kind}{'' if len(some) == 1 else 's'}:")
            told += [f"- {one.described()}" for one in some]
    return "\n".join(told)


def _show(asking: Asking, reply: Reply, media_host: str) -> None:
    """Answer as the media bots do, §3.5."""
    model, prompt = asking.model, asking.prompt
    kind = "image" if model.kind == "mixed" else model.kind
    # The same prompt makes the same picture.
    name = hashlib.sha256(f"{model.id}\n{prompt}".encode()).hexdigest()
    url = f"{media_host}/base/{kind}/{name}"
    if kind != "image":
        reply.text = url
    else:
        url += "?w=1024&h=1024"
        if model.style == "imagen":
            reply.text = f"![{prompt}_image_1]({url})\n\n\n{url}"
        else:
            reply.text = f"![{prompt}.png]({url})\n\n{url}"
        if model.kind == "mixed" and not asking.body.get("image_only"):
            reply.text = f"Here is your picture.\n\n{reply.text}"
        if asking.seen:
            reply.text = f"{seen_text(asking.seen)}\n\n{reply.text}"
    reply.is_media = True


class Ids:
    """Ids of all sorts, the same ones after every start with the same seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def hex(self, digits: int) -> str:
        """Return so many hex digits."""
        return f"{self.rng.getrandbits(4 * digits):0{digits}x}"


def usage_a(reply: Reply) -> Json:
    """The short usage, §3.5."""
    return {
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "total_tokens": reply.prompt_tokens + reply.completion_tokens,
    }


def usage_b(reply: Reply, *, bare: bool = False) -> Json:
    """The usage with details, §3.5; *bare* has nulls where numbers may be missing."""
    usage = usage_a(reply)
    if bare:
        usage["completion_tokens_details"] = None
        usage["prompt_tokens_details"] = {"audio_tokens": None, "cached_tokens": None}
        return usage
    usage["completion_tokens_details"] = {
        "accepted_prediction_tokens": 0,
        "audio_tokens": 0,
        "reasoning_tokens": reply.reasoning_tokens,
        "rejected_prediction_tokens": 0,
    }
    usage["prompt_tokens_details"] = {"audio_tokens": 0, "cached_tokens": 0}
    return usage
