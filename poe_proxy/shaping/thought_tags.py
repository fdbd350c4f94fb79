"""Thoughts between tags, as a model itself writes them if nobody parses them on their way.

    <think>
    The user greets me.
    </think>

    Hello!

The tags are those of vLLM's and SGLang's reasoning parsers: `<think>` of DeepSeek R1, Qwen and GLM,
`[THINK]` of Magistral, `<seed:think>` of Seed-OSS, `◁think▷` of Kimi; and the words that models use
when a prompt asks them to think. What is never closed is thought to its end, as those parsers have
it. Where only the closing tag comes, all is text: what was streamed before it cannot be taken back.
"""

from __future__ import annotations

import re
from typing import Final

#: Each tag, in lower case, and the one that closes it. In those, the first character comes once.
_CLOSED_BY: Final = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
    "<seed:think>": "</seed:think>",
    "[think]": "[/think]",
    "◁think▷": "◁/think▷",
}
#: Characters of the longest of them.
LONGEST: Final = max(map(len, _CLOSED_BY))
_ENDS: Final = {
    "</think>": re.compile(r"</think>", re.IGNORECASE),
    "</thinking>": re.compile(r"</thinking>", re.IGNORECASE),
    "</thought>": re.compile(r"</thought>", re.IGNORECASE),
    "</reasoning>": re.compile(r"</reasoning>", re.IGNORECASE),
    "</seed:think>": re.compile(r"</seed:think>", re.IGNORECASE),
    "[/think]": re.compile(r"\[/think\]", re.IGNORECASE),
    "◁/think▷": re.compile(r"◁/think▷", re.IGNORECASE),
}


def of(line: str) -> str | None:
    """Return the tag with which *line* begins."""
    line = line[:LONGEST].lower()
    return next((tag for tag in _CLOSED_BY if line.startswith(tag)), None)


def may_come(line: str) -> bool:
    """Return whether *line* may be the beginning of a tag."""
    line = line[:LONGEST].lower()
    return any(tag.startswith(line) for tag in _CLOSED_BY)


class Tagged:
    """Reads thoughts up to the tag that closes them, without the white space around them."""

    def __init__(self, tag: str, *, lead: str = "") -> None:
        """*tag* is one that `of` has returned; *lead* comes before the first thought."""
        self.is_closed = False
        self._closing = _CLOSED_BY[tag]
        self._lead = lead
        self._has_begun = False
        #: What may be the beginning of the closing tag, and the white space before it.
        self._held = ""
        self._gap: list[str] = []

    def read(self, text: str, at: int, thought: list[str]) -> int:
        """Read *text* from *at* on, and add to *thought*; return where the tag, or the text, ends.

        What may be the beginning of the closing tag is held back.
        """
        if self._held:
            end = at + len(self._closing) - len(self._held)
            whole = self._held + text[at:end]
            if self._may_close(whole):
                self._held = whole
                self.is_closed = len(whole) == len(self._closing)
                return min(end, len(text))
            # Nothing in it but its first character can begin the tag.
            self._think(self._held, thought)
            self._held = ""
        if found := _ENDS[self._closing].search(text, at):
            self._think(text[at : found.start()], thought)
            self.is_closed = True
            return found.end()
        end = text.rfind(self._closing[0], max(at, len(text) - len(self._closing)))
        if end < 0 or not self._may_close(text[end:]):
            end = len(text)
        self._think(text[at:end], thought)
        self._held = text[end:]
        return len(text)

    def rest(self) -> str:
        """Return what is held back, where no tag comes any more."""
        thought: list[str] = []
        self._think(self._held, thought)
        return "".join(thought)

    def _may_close(self, text: str) -> bool:
        return self._closing.startswith(text.lower())

    def _think(self, text: str, thought: list[str]) -> None:
        bare = text.rstrip()
        if bare:
            thought += (*self._gap, bare) if self._has_begun else (self._lead, bare.lstrip())
            self._has_begun = True
            self._gap = []
        self._gap.append(text[len(bare) :])
