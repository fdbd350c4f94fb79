"""How one reply is played, by the words in its prompt; `poe_sim/README.md` lists them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..directives import number, spoken
from ..talk import (
    QUOTED_THOUGHT,
    answer,
    cut_by_count,
    cut_by_size,
    join_by_count,
    long_text,
    pieces,
)
from .bots import Bot
from .objects import Upload

# Each frame repeats the whole text, so by default a long one comes in no more pieces than this, and
# all of its frames together have no more characters than this.
_CHUNKS_AT_MOST = 200
_SHOWN_AT_MOST = 20_000_000

# Statuses of a refused send, web protocol sheet §17.3, with a text for the user.
STATUS_TEXTS: Mapping[str, str] = {
    "reached_limit": "You have used up your points. They come back tomorrow.",
    "too_many_tokens": "Your message is too long for this bot.",
    "no_access": "You do not have access to this bot.",
    "rate_limit_exceeded": "You are sending messages too quickly. Please wait a little.",
    "concurrent_messages": "Please wait until the bot has finished its other replies.",
    "unsupported_file_type": "Files of this type are not supported.",
    "message_points_display_price_mismatch": "The price of this bot has changed.",
    "bot_unavailable": "This bot is down at the moment.",
}

# Mischief on the websocket in the middle of a reply, web protocol sheet §22.4.
MISCHIEFS: Sequence[str] = (
    "close-socket",
    "dead-socket",
    "refetch",
    "missed",
    "no-messages-frame",
    "broken-json-frame",
    "null-data",
    "foreign-frames",
    "late-frames",
    "server-ping",
    "endless-frame",
)


@dataclass(frozen=True, slots=True)
class Show:
    """The message now has this text."""

    text: str


@dataclass(frozen=True, slots=True)
class Stamp:
    """The message grows by the time at which it is pushed."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing happens for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Mischief:
    """Something goes wrong on the websocket; *value* is what its word was given."""

    name: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Retitle:
    """The chat gets its title."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A line of progress by the author `pacarana`, web protocol sheet §25."""

    text: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """The reply stands still until it is stopped."""


@dataclass(frozen=True, slots=True)
class CutOff:
    """Poe cancels the reply here."""


@dataclass(frozen=True, slots=True)
class EndJob:
    """The job is said to be completed, although the bot writes on."""


Step = Show | Stamp | Pause | Mischief | Retitle | Progress | HangUp | CutOff | EndJob


@dataclass(slots=True, kw_only=True)
class Script:
    """How one reply is played."""

    messages: list[list[Step]] = field(default_factory=list)
    topic: str = ""
    first: float = 0.0
    early: float = 0.0
    slow_answer: float = 0.0
    items: int = 1
    filler: bool = False
    repeat_complete: int = 0
    title: str = "after"
    followups: int = 0
    state: str = "complete"
    state_text: str | None = None
    cost: int | None = None
    shows_human: bool = True
    shows_job: bool = True
    shows_complete: bool = True
    late_frames: bool = False
    attachments: list[dict[str, str]] = field(default_factory=list)


def write(
    words: Mapping[str, str],
    prompt: str,
    bot: Bot,
    *,
    pace: float,
    is_lenient: bool,
    files: Sequence[Upload] = (),
    line: str | None = None,
    media_host: str = "",
) -> Script:
    """Return the script for a *prompt* without its directives, which are the *words*.

    A *line* is what the bot says instead of its own answer; *media_host* is where links of bots
    that draw lead.
    """
    picture = f"{media_host}/base/image/{hashlib.sha256(bot.codename.encode()).hexdigest()}"
    text = _text(words, prompt, bot, files, picture) if line is None else line
    delay = number(words, "delay", pace)
    repeats = not is_lenient and "no-complete" not in words
    script = Script(
        topic=" ".join(prompt.split()[:5])[:60] or "New chat",
        # Clients of lenient mode drop frames until they have read the answer to their POST, take
        # repeats for the next reply, and want the title in the middle: web protocol sheet §23.
        first=number(words, "first", max(5 * pace, 0.3) if is_lenient else 5 * pace),
        early=number(words, "early", 0.0),
        slow_answer=number(words, "slow-answer", 0.0),
        items=max(1, int(number(words, "items", 1))),
        filler="filler" in words,
        repeat_complete=int(number(words, "repeat-complete", 2 if repeats else 0)),
        title=words.get("title") or ("middle" if is_lenient else "after"),
        followups=int(number(words, "followups", 3 if "followups" in words else 0)),
        cost=int(number(words, "cost", -1)) if "cost" in words else None,
        shows_human="no-human" not in words,
        shows_job="no-job" not in words,
        shows_complete="no-complete" not in words,
        late_frames="late-frames" in words,
    )
    if "state" in words:
        script.state = words["state"] or "error"
        script.state_text = spoken(words.get("state-text", "The bot could not answer."))
    if bot.style == "image" and "echo" not in words:
        script.attachments.append(
            {"name": f"{bot.codename}.png", "url": picture, "mimeType": "image/png"}
        )
    count = max(1, int(number(words, "messages", 1)))
    for index in range(1, count + 1):
        whole = text if count == 1 else f"{text} ({index}/{count})"
        script.messages.append(_steps(words, whole, bot, delay))
    _disturb(script, words)
    return script


def _text(
    words: Mapping[str, str], prompt: str, bot: Bot, files: Sequence[Upload], picture: str
) -> str:
    if "empty" in words:
        return ""
    if "echo" in words:
        return prompt
    if "read" in words:
        return "\n".join(file.text for file in files)
    if "repeat" in words:
        return prompt * max(1, int(number(words, "repeat", 1)))
    if "long" in words:
        return long_text(int(number(words, "long", 10_000)))
    if bot.style == "image":
        return f"![{prompt[:60]}]({picture})"
    said = answer(prompt, bot.handle)
    if files:
        said += "\n\nYou attached: " + ", ".join(file.name for file in files) + "."
    return said


def _cut(words: Mapping[str, str], text: str) -> Sequence[str]:
    if "size" in words:
        return cut_by_size(text, max(1, int(number(words, "size", 20))))
    if "chunks" in words:
        return cut_by_count(text, max(1, int(number(words, "chunks", 1))))
    few = max(1, _SHOWN_AT_MOST // max(1, len(text)))
    return join_by_count(pieces(text), min(few, _CHUNKS_AT_MOST))


def _growing(words: Mapping[str, str], text: str, delay: float, before: str = "") -> list[Step]:
    """Show *text* behind *before*, piece by piece."""
    steps: list[Step] = []
    shown = before
    for piece in _cut(words, text):
        shown += piece
        steps.append(Show(shown))
        if delay > 0:
            steps.append(Pause(delay))
    return steps


def _steps(words: Mapping[str, str], text: str, bot: Bot, delay: float) -> list[Step]:
    steps: list[Step] = []
    if "stamp" in words:
        return [Stamp(), Pause(delay)] * max(1, int(number(words, "stamp", 1)))
    wants_pacarana = "pacarana" in words or bot.style == "search"
    if wants_pacarana:
        steps += [Progress("Searching the web"), Pause(delay), Progress("Reading 3 pages")]
    thinks = "thinking" in words or bot.style == "thinking"
    if bot.style == "image" and "echo" not in words:
        steps += [Show("Generating image..."), Pause(delay), Show("Generating image... (1s)")]
    if thinks:
        for index in range(max(1, int(number(words, "thinking", 3)))):
            suffix = "" if index == 0 else f" ({index}s elapsed)"
            steps += [Show(f"Thinking...{suffix}"), Pause(delay)]
    before = ""
    if "quoted-thinking" in words:
        before = f"*Thinking...*\n\n{QUOTED_THOUGHT}"
        steps += _growing(words, before, delay)
    if "redraft" in words:
        drafts = [Show(f"{before}{text.upper()}…"), Show(f"{before}{text.lower()}…")]
        steps += drafts * int(number(words, "redraft", 10))
    growing = _growing(words, text, delay, before)
    if "rewrite" in words and growing:
        # Half of it is shown as a draft with other words, and then replaced.
        draft = [
            Show(step.text.upper() + "…") if isinstance(step, Show) else step
            for step in growing[: len(growing) // 2 + 1]
        ]
        growing = draft + growing
    return steps + growing


def _disturb(script: Script, words: Mapping[str, str]) -> None:
    """Insert the disturbances in the middle of the reply's steps."""
    disturbances: list[Step] = []
    if script.title == "middle":
        disturbances.append(Retitle())
    if "job-first" in words:
        disturbances.append(EndJob())
    disturbances += [Mischief(name, words[name]) for name in MISCHIEFS if name in words]
    if "silence" in words:
        disturbances.append(Pause(number(words, "silence", 1.0)))
    if "cancelled" in words:
        disturbances.append(CutOff())
    if "hang" in words:
        disturbances.append(HangUp())
    steps = script.messages[0]
    shows = [index for index, step in enumerate(steps) if isinstance(step, Show)]
    # Behind the first half of the texts, rounded up: some of it is said, some of it is missing.
    middle = shows[(len(shows) - 1) // 2] + 1 if shows else 0
    steps[middle:middle] = disturbances
