"""What the stand-in says without a script: friendly, sensible, always the same."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import overload

_CJK = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
# Up to six letters or digits with the space before them, all else one by one: about the tokens
# in which language models stream.
_PIECE = re.compile(r"\s*[A-Za-z0-9']{1,6}|[A-Za-z0-9']+|\s+|.", re.DOTALL)
_ROLE_LABEL = re.compile(
    r"^\W*(?:system|user|human|assistant|bot|ai|用户|助手|系统)\W*$|"
    r"^\W*(?:user|human|用户)\s*[:：]\s*",
    re.IGNORECASE,
)
#: A thought as some bots show it in front of their answer.
QUOTED_THOUGHT = "> The question is read once more.\n> The answer is weighed.\n\n"

_QUOTE_LIMIT = 160
_COUNT_LIMIT = 200
#: Characters of a text that are looked at word by word.
_LONG = 100_000


def answer(prompt: str, bot: str) -> str:
    """Return what *bot* says to *prompt*: the same text for the same question, every time."""
    question = _question(prompt)[:_LONG]
    if _CJK.search(question):
        return _chinese(question, bot)
    for pattern, reply in _SKILLS:
        if match := pattern.search(question):
            return reply(match, bot)
    return _reflection(question, bot)


def pieces(text: str) -> Sequence[str]:
    """Cut *text* into token-like pieces that join back to exactly *text*.

    A very long one is cut into larger pieces: for a second nobody else would be answered.
    """
    if len(text) > _LONG:
        return cut_by_size(text, 1000)
    return _PIECE.findall(text)


def cut_by_size(text: str, size: int) -> Sequence[str]:
    """Cut *text* into pieces of *size* characters."""
    return _Slices(text, size)


class _Slices(Sequence[str]):
    """The pieces of a text, cut when they are wanted: there may be a million."""

    def __init__(self, text: str, size: int) -> None:
        self._text = text
        self._starts = range(0, len(text), size)

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self._at(start) for start in self._starts[index]]
        return self._at(self._starts[index])

    def __iter__(self) -> Iterator[str]:
        return map(self._at, self._starts)

    def _at(self, start: int) -> str:
        return self._text[start : start + self._starts.step]


def cut_by_count(text: str, count: int) -> Sequence[str]:
    """Cut *text* into *count* pieces, inside words if there are fewer words than that."""
    if count == 1:
        return [text] if text else []
    parts = pieces(text)
    return join_by_count(parts if count <= len(parts) else list(text), count)


def join_by_count(parts: Sequence[str], count: int) -> list[str]:
    """Join *parts* into at most *count* pieces of about as many parts each."""
    if not parts:
        return []
    count = min(count, len(parts))
    bounds = [len(parts) * index // count for index in range(count + 1)]
    return ["".join(parts[start:end]) for start, end in itertools.pairwise(bounds)]


def long_text(length: int) -> str:
    """Return exactly *length* characters of numbered sentences, so that gaps can be seen."""
    sentences: list[str] = []
    have = 0
    for index in itertools.count(1):
        if have >= length:
            break
        sentences.append(f"This is sentence {index} of a long reply. ")
        have += len(sentences[-1])
    return "".join(sentences)[:length]


def _question(prompt: str) -> str:
    """Return the last message of the prompt, which may hold a whole conversation."""
    for block in reversed(re.split(r"\n\s*\n", prompt)):
        lines = [_ROLE_LABEL.sub("", line).strip() for line in block.splitlines()]
        if text := " ".join(line for line in lines if line):
            return text
    return ""


def _quoted(question: str) -> str:
    if len(question) <= _QUOTE_LIMIT:
        return question
    return question[:_QUOTE_LIMIT].rstrip() + "…"


def _greeting(_match: re.Match[str], bot: str) -> str:
    return (
        f"Hello! 👋 I am the stand-in for Poe, playing **{bot}**. No model is running here, "
        "but everything between us works as it does at Poe. Ask me for a poem, a list, "
        "some code, or let me count."
    )


def _identity(_match: re.Match[str], bot: str) -> str:
    return (
        f"I am **{bot}**, or rather the stand-in that plays it: a small program on this machine "
        "that speaks like Poe, so that you can try things out without an account."
    )


def _poem(_match: re.Match[str], bot: str) -> str:
    return (
        "A word sets out along the wire,\n"
        "a second follows, and a third;\n"
        "no cloud, no queue, no distant fire,\n"
        "just localhost that heard.\n\n"
        "And when the last of them is through\n"
        f"the line falls still. — *{bot}*, for you."
    )


def _code(_match: re.Match[str], bot: str) -> str:
    return (
        "Here is a small example:\n\n"
        "```python\n"
        "def greet(name: str) -> str:\n"
        '    """Return a greeting for name."""\n'
        '    return f"Hello, {name}!"\n'
        "\n\n"
        f'print(greet("{bot}"))\n'
        "```\n\n"
        f"It prints `Hello, {bot}!`."
    )


def _list(_match: re.Match[str], bot: str) -> str:
    return (
        f"Three things that {bot} would tell you, were it here:\n\n"
        "1. **Start small.** The first reply is the hardest one.\n"
        "2. **Stream early.** A word now is worth a page later.\n"
        "3. **Stop politely.** Whoever hangs up should say so."
    )


def _count(match: re.Match[str], _bot: str) -> str:
    last = min(int(match[1]), _COUNT_LIMIT)
    return ", ".join(str(n) for n in range(1, last + 1)) + "."


def _thanks(_match: re.Match[str], bot: str) -> str:
    return f"You are welcome! 😊 {bot} is always glad to be played."


def _reflection(question: str, bot: str) -> str:
    if not question:
        return f"You said nothing, so {bot} has nothing to add. Ask away! 🙂"
    words = len(question.split())
    kind = "question" if question.rstrip().endswith("?") else "message"
    return (
        f"Thank you for your {kind}. You wrote “{_quoted(question)}”, which is "
        f"{words} word{'' if words == 1 else 's'}. I am the stand-in that plays **{bot}**; the "
        "real one would know more, but it could not have answered sooner. ✨"
    )


def _chinese(question: str, bot: str) -> str:
    if re.search(r"诗", question):
        return f"字句沿线来，\n灯火静静开。\n远方无须问，\n{bot} 在此间。🌙"
    if re.search(r"代码|程序", question):
        return f'这是一个小例子：\n\n```python\nprint("你好，{bot}！")\n```\n\n祝你编程愉快！💻'
    if re.search(r"列表|清单|列出", question):
        return f"{bot} 的三条建议：\n\n1. 从小处开始。🌱\n2. 尽早输出。🌊\n3. 礼貌地结束。🍵"
    if re.search(r"你好|您好|嗨", question):
        return f"你好！👋 我是 Poe 的替身，正在扮演 **{bot}**。这里没有真正的模型，但一切照常运行。"
    return f"谢谢你的提问：“{_quoted(question)}”。我是扮演 **{bot}** 的替身，很高兴为你服务。😊"


_SKILLS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], str], str]], ...] = (
    (re.compile(r"\bcount (?:up )?(?:from (?:1|one) )?to (\d{1,6})", re.IGNORECASE), _count),
    (re.compile(r"\b(?:poem|verse|haiku|rhyme)\b", re.IGNORECASE), _poem),
    (re.compile(r"\b(?:code|function|program|script|python)\b", re.IGNORECASE), _code),
    (re.compile(r"\b(?:list|bullet points|tips|steps)\b", re.IGNORECASE), _list),
    (re.compile(r"\bwho are you\b|\bwhat are you\b|\byour name\b", re.IGNORECASE), _identity),
    (re.compile(r"\b(?:thanks|thank you)\b", re.IGNORECASE), _thanks),
    (re.compile(r"^\W*(?:hello|hi|hey|good (?:morning|day|evening))\b", re.IGNORECASE), _greeting),
)
