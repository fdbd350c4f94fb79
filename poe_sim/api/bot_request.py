"""What a request asks of a bot, the same for all endpoints."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from ..percent import decoded
from . import errors
from .catalogue import Json, Model
from .script import Script

Role = Literal["system", "user", "assistant", "tool"]

_MIME_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+")
_PARAMETER = re.compile(r"[\w-]+=.*", re.DOTALL)
#: The most characters of a data URI before its content.
_LONGEST_HEAD = 1000
# The first bytes of a picture, so that one that was damaged on its way is noticed.
_PICTURES: Sequence[tuple[str, bytes]] = (
    ("image/png", b"\x89PNG\r\n\x1a\n"),
    ("image/jpeg", b"\xff\xd8\xff"),
    ("image/gif", b"GIF8"),
    ("image/webp", b"RIFF"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A picture or a file that came with a message."""

    kind: Literal["image", "file"]
    mime: str | None = None
    data: bytes | None = None
    url: str | None = None
    name: str | None = None

    def describe(self) -> str:
        """Return a description that is precise enough to prove that it arrived."""
        words = [self.name] if self.name else []
        if self.url is not None:
            words.append(self.url)
        if self.mime is not None:
            words.append(self.mime)
        if self.data is not None:
            digest = hashlib.sha256(self.data).hexdigest()[:16]
            words.append(f"{len(self.data)} bytes, sha256 {digest}")
        return ", ".join(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call of a function, made now or earlier in the conversation."""

    id: str
    name: str
    arguments: str
    signature: str | None = None


@dataclass(slots=True, kw_only=True)
class Turn:
    """One message."""

    role: Role
    text: str = ""
    attachments: list[Attachment] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    result_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function that the client offers."""

    name: str
    schema: Any = None


@dataclass(slots=True, kw_only=True)
class BotRequest:
    """A parsed request. The bot answers it without knowing the endpoint."""

    model: Model
    spelling: str
    script: Script
    prompt: str
    turns: Sequence[Turn]
    body: Json
    messages_field: str = "messages"
    tools: Sequence[Tool] = ()
    # none, auto, required, or named, which means `forced_tool`.
    tool_choice: str = "auto"
    forced_tool: str | None = None
    parallel: bool = True
    stop: Sequence[str] = ()
    most_tokens: int | None = None
    schema: Any = None
    wants_json: bool = False
    reasons: bool = False

    @property
    def results(self) -> list[Turn]:
        """The tool results after the last user message."""
        found: list[Turn] = []
        for turn in reversed(self.turns):
            if turn.role == "user":
                break
            if turn.role == "tool":
                found.insert(0, turn)
        return found

    @property
    def rounds(self) -> int:
        """How many rounds of tool calls there were since the last user message."""
        count = 0
        for turn in reversed(self.turns):
            if turn.role == "user":
                break
            count += bool(turn.calls)
        return count

    @property
    def called(self) -> Mapping[str, ToolCall]:
        """All calls of the conversation by their id."""
        return {call.id: call for turn in self.turns for call in turn.calls}

    @property
    def attachments(self) -> list[Attachment]:
        """The pictures and files of the last user message."""
        for turn in reversed(self.turns):
            if turn.role == "user":
                return turn.attachments
        return []

    @property
    def prompt_tokens(self) -> int:
        """An estimate as Poe makes it (§3.5): four characters a token."""
        length = sum(len(turn.text) + 4 for turn in self.turns)
        length += sum(len(call.arguments) for turn in self.turns for call in turn.calls)
        pictures = sum(len(turn.attachments) for turn in self.turns)
        return max(1, length // 4 + 85 * pictures)


def last_user_text(turns: Sequence[Turn]) -> str:
    """Return the text of the last user message, which steers the stand-in."""
    for turn in reversed(turns):
        if turn.role == "user":
            return turn.text
    return ""


def from_data_uri(uri: object, field_name: str) -> tuple[str, bytes]:
    """Return type and content of a data URI. Raises `Refused` for anything else."""
    scheme, _, rest = uri.partition(":") if isinstance(uri, str) else ("", "", "")
    head, comma, content = rest.partition(",")
    mime, *parameters = head.split(";") if len(head) <= _LONGEST_HEAD else [""]
    is_base64 = bool(parameters) and parameters[-1] == "base64"
    if is_base64:
        parameters.pop()
    is_valid = scheme == "data" and comma and _MIME_TYPE.fullmatch(mime)
    if not is_valid or not all(map(_PARAMETER.fullmatch, parameters)):
        raise errors.invalid(f"Invalid data URI in '{field_name}'.", param=field_name)
    return mime, from_base64(content, field_name) if is_base64 else decoded(content)


def from_base64(text: object, field_name: str) -> bytes:
    """Return the decoded bytes. Raises `Refused` if there are none."""
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        data = b""
    if not data:
        raise errors.invalid(f"Invalid base64 data in '{field_name}'.", param=field_name)
    return data


def picture(url: object, field_name: str) -> Attachment:
    """Return the picture of an https URL or a data URI (§3.3). Raises `Refused` for others."""
    if not isinstance(url, str) or not url:
        raise errors.wrong_type(field_name, "an https URL or a data URI")
    if url.startswith("data:"):
        mime, data = from_data_uri(url, field_name)
        return checked_picture(mime, data, field_name)
    try:
        parts = urlsplit(url)
    except ValueError:
        raise errors.wrong_type(field_name, "an https URL or a data URI") from None
    is_near = parts.hostname in ("127.0.0.1", "localhost", "::1")
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and is_near)):
        raise errors.wrong_type(field_name, "an https URL or a data URI")
    return Attachment(kind="image", url=url)


def checked_picture(mime: str, data: bytes, field_name: str) -> Attachment:
    """Return the picture. Raises `Refused` if its bytes contradict its type."""
    for known, magic in _PICTURES:
        if mime == known and not data.startswith(magic):
            raise errors.invalid(f"The image in '{field_name}' is not {mime}.", param=field_name)
    if not mime.startswith("image/"):
        raise errors.invalid(f"'{mime}' in '{field_name}' is not an image.", param=field_name)
    return Attachment(kind="image", mime=mime, data=data)
