"""What a bot answers: one `Reply`, which every endpoint then renders in its own form."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from ..lines import Line, Raw
from ..talk import QUOTED_THOUGHT, answer, long_text, pieces
from .bot_request import Attachment, BotRequest, ToolCall, Turn
from .catalogue import Json
from .schemas import instance
from .script import STAMP
from .tools import CallMaker, wanted_calls

MEDIA_HOST = "https://pfst.cf2.poecdn.net"

# Characters whose tokens are counted one by one.
_COUNTED = 100_000
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
    #: What chat completions send instead of all that, as it stands.
    raw: Raw | None = None
    prompt_tokens: int = 1
    completion_tokens: int = 0
    reasoning_tokens: int = 0


def compose(asked: BotRequest, calls: CallMaker, media_host: str, line: Line | None) -> Reply:
    """Return the bot's answer: the *line* that a test wrote for it, or one of its own."""
    script, model = asked.script, asked.model
    reply = Reply(prompt_tokens=asked.prompt_tokens)
    if line is None:
        reply.calls = wanted_calls(asked, calls)
    else:
        reply.text = line.text
        reply.raw = line.raw
        reply.calls = [
            calls.make(call.name, asked, number, call.arguments)
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
        _speak(asked, reply, media_host)
    else:
        _limit(asked, reply)
    if _reasons(asked, reply, is_faithful=script.is_faithful or line is not None):
        length = script.count("reason", len(_THOUGHTS))
        reply.reasoning = (_THOUGHTS * (length // len(_THOUGHTS) + 1))[:length]
        reply.reasoning_tokens = len(pieces(reply.reasoning[:_COUNTED]))
        reply.completion_tokens += reply.reasoning_tokens
    if model.owner == "XAI":
        # Grok-4 counts more tokens of reasoning than of completion (§3.5).
        reply.reasoning_tokens = 181
    if script.has("finish"):
        reply.finish = script.get("finish") or "content_filter"
    return reply


def _reasons(asked: BotRequest, reply: Reply, *, is_faithful: bool) -> bool:
    if asked.script.has("reason"):
        return True
    return asked.reasons and not is_faithful and not reply.is_media


def _speak(asked: BotRequest, reply: Reply, media_host: str) -> None:
    model = asked.model
    is_media = model.kind != "text" and not asked.script.is_faithful
    if is_media:
        _show_media(asked, reply, media_host)
        made_text = model.kind in ("image", "mixed")
        reply.completion_tokens = len(pieces(reply.text)) if made_text else 0
        return
    reply.text = _text(asked)
    _limit(asked, reply)


def _limit(asked: BotRequest, reply: Reply) -> None:
    """End the text where the client wants it: before a stop string, or after so many tokens."""
    for stop in asked.stop:
        # Stop strings of white space do not work at Poe (§3.1).
        if stop.strip() and (at := reply.text.find(stop)) >= 0:
            reply.text = reply.text[:at]
            reply.stopped_by = stop
    most = asked.most_tokens
    if most is None and len(reply.text) > _COUNTED:
        # A text of megabytes would hold up all other replies while it is counted.
        reply.completion_tokens = len(reply.text) // 4
        return
    parts = pieces(reply.text)
    if most is not None and len(parts) > most:
        parts = parts[:most]
        reply.text = "".join(parts)
        reply.finish, reply.stopped_by = "length", None
    reply.completion_tokens = len(parts)


def _text(asked: BotRequest) -> str:
    script = asked.script
    prescribed = _prescribed(asked)
    if prescribed is not None:
        return prescribed
    if asked.schema is not None:
        return orjson.dumps(instance(asked.schema)).decode()
    if asked.wants_json:
        return orjson.dumps({"answer": answer(asked.prompt, asked.model.name)}).decode()
    results = asked.results
    if results:
        text = "\n".join(_result_text(turn, asked.called) for turn in results)
    else:
        text = answer(asked.prompt, asked.model.name)
    if asked.attachments and not results:
        text += "\n\n" + _attachments_text(asked.attachments)
    if script.has("thinking") or (asked.model.quoted_thinking and not script.is_faithful):
        label = "*Thinking...*" if script.get("thinking") == "star" else "Thinking..."
        text = f"{label}\n\n{QUOTED_THOUGHT}{text}"
    elif script.has("quoted-thinking"):
        text = f"*Thinking...*\n\n{QUOTED_THOUGHT}{text}"
    return text


def _result_text(turn: Turn, known: Mapping[str, ToolCall]) -> str:
    call = known.get(turn.result_of or "")
    return f"{call.name if call else 'The tool'} says: {turn.text}"


def _prescribed(asked: BotRequest) -> str | None:
    """Return the text if the prompt prescribes it to the letter."""
    script = asked.script
    if script.has("empty"):
        return ""
    if script.has("echo"):
        return asked.prompt
    if script.has("repeat"):
        return asked.prompt * max(1, script.count("repeat", 1))
    if script.has("long"):
        return long_text(script.count("long", 10_000))
    if script.has("stamp"):
        return STAMP * max(1, script.count("stamp", 1))
    if script.has("say-params"):
        hidden = asked.messages_field
        shown = {key: value for key, value in asked.body.items() if key != hidden}
        return orjson.dumps(shown).decode()
    if script.has("say-messages"):
        return orjson.dumps(asked.body.get(asked.messages_field)).decode()
    return None


def _attachments_text(attachments: Sequence[Attachment]) -> str:
    """Return a list of what the bot sees beside the text."""
    lines = []
    for kind in ("image", "file"):
        some = [one for one in attachments if one.kind == kind]
        if some:
            lines.append(f"I see {len(some)} {kind}{'' if len(some) == 1 else 's'}:")
            lines += [f"- {one.describe()}" for one in some]
    return "\n".join(lines)


def _show_media(asked: BotRequest, reply: Reply, media_host: str) -> None:
    """Answer as media bots do, §3.5."""
    model, prompt = asked.model, asked.prompt
    kind = "image" if model.kind == "mixed" else model.kind
    # The same prompt gives the same link.
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
        if model.kind == "mixed" and not asked.body.get("image_only"):
            reply.text = f"Here is your picture.\n\n{reply.text}"
        if asked.attachments:
            reply.text = f"{_attachments_text(asked.attachments)}\n\n{reply.text}"
    reply.is_media = True


class Ids:
    """Ids of all sorts, the same after every start with the same seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def hex(self, digits: int) -> str:
        """Return a random number of so many hex digits."""
        return f"{self.rng.getrandbits(4 * digits):0{digits}x}"


def usage_a(reply: Reply) -> Json:
    """Return the short usage, §3.5."""
    return {
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "total_tokens": reply.prompt_tokens + reply.completion_tokens,
    }


def usage_b(reply: Reply, *, bare: bool = False) -> Json:
    """Return the usage with details, §3.5; *bare* has nulls in their place."""
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
