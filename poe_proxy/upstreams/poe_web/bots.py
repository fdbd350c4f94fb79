"""What the site says about its bots; it is remembered for an hour.

Web protocol sheet §10.6, §16 and §25.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from poe_proxy.errors import (
    BotNotAllowed,
    BotNotFound,
    ParameterRefused,
    PromptTooLong,
)
from poe_proxy.upstreams.poe_web.attachments import Attachment
from poe_proxy.upstreams.poe_web.graphql import HashUnknown, text_of
from poe_proxy.upstreams.poe_web.session import Session

#: For how many seconds a bot is remembered, and how many bots are.
_HOLDS: Final = 3600.0
_MAX_BOTS: Final = 1000
#: For how many seconds it is remembered that the site cannot be asked about a bot.
_HOLDS_UNASKED: Final = 60.0
#: The most characters of a bot's name, and of what Poe says about it.
_MAX_NAME: Final = 200
_MAX_MESSAGE: Final = 1000
#: The most seconds that a bot's first word may take, whatever the site says.
_MAX_PATIENCE: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Bot:
    """What the site says about a bot (§10.6)."""

    handle: str
    #: Seconds that its first word may take.
    patience: float
    takes_files: bool = True
    takes_images: bool = True
    #: Bytes of one file; 0 if nothing is said about it.
    file_limit: int = 0
    #: Whether files are sent ahead of the message, or along with it (§16).
    uploads_ahead: bool = True
    #: Whether the site said that there is such a bot.
    is_proven: bool = True

    @classmethod
    def read(cls, name: str, data: Mapping[str, Any], timeout: float) -> Bot:
        """Return what *data* says about the bot that was asked for as *name*.

        Its first word may take *timeout* seconds, or more if the site says so. Raises
        `BotNotFound` or `BotNotAllowed`.
        """
        found = data.get("bot")
        is_proven = isinstance(found, dict)
        if not isinstance(found, dict):
            # For an inner name that is not in our table this proves nothing (§25).
            if "_" not in name:
                raise BotNotFound(f"Poe has no bot called {name!r}.", param="model")
            found = {"handle": name}
        if found.get("canUserAccessBot") is False:
            said = text_of(found.get("noAccessMessage"))[:_MAX_MESSAGE]
            raise BotNotAllowed(said or f"This account may not use {name}.", param="model")
        viewer = data.get("viewer")
        limit = found.get("uploadFileSizeLimit")
        takes_files = found.get("supportsFileUpload") is not False
        return cls(
            handle=_name(found.get("handle")) or _name(found.get("displayName")) or name,
            patience=max(timeout, min(_number(found.get("messageTimeoutSecs")), _MAX_PATIENCE)),
            takes_files=takes_files,
            takes_images=takes_files or found.get("allowsImageAttachments") is True,
            file_limit=limit if isinstance(limit, int) else 0,
            uploads_ahead=not isinstance(viewer, dict)
            or viewer.get("shouldUseFinishUploadEndpoint") is not False,
            is_proven=is_proven,
        )

    def check(self, files: Iterable[Attachment]) -> None:
        """Raise `ParameterRefused` or `PromptTooLong` for the first file that it does not take."""
        for file in files:
            if not (self.takes_images if file.is_image else self.takes_files):
                what = "images" if file.is_image else "files"
                raise ParameterRefused(f"{self.handle} takes no {what}.", param="messages")
            if 0 < self.file_limit < len(file.data):
                raise PromptTooLong(
                    f"{self.handle} takes files of {self.file_limit} bytes at most.",
                    param="messages",
                )


class Bots:
    """The bots that one account has asked about. May be used by several threads at once."""

    def __init__(self, *, timeout: float, clock: Callable[[], float]) -> None:
        self._timeout = timeout
        self._clock = clock
        self._bots: OrderedDict[str, tuple[float, Bot]] = OrderedDict()
        self._lock = threading.Lock()

    def known(self, name: str) -> Bot | None:
        """Return what is remembered of the bot; None if there is nothing, or it is too old."""
        until, bot = self._bots.get(name.lower(), (0.0, None))
        return bot if bot is not None and self._clock() < until else None

    def look_up(self, name: str, session: Session) -> Bot:
        """Ask the site about the bot; raises `UpstreamError`, as `Bot.read` does.

        Where nobody knows any more how to ask, it is taken for a bot as most are.
        """
        if len(name) > _MAX_NAME:
            # Whatever it is, it is not asked for, nor remembered.
            raise BotNotFound("Poe has no bot with a name of that length.", param="model")
        holds = _HOLDS
        try:
            data = session.call("HandleBotLandingPageQuery", {"botHandle": name})
            bot = Bot.read(name, data, self._timeout)
        except HashUnknown:
            # The session has said so. Answers do not need it.
            bot, holds = Bot(name, self._timeout, is_proven=False), _HOLDS_UNASKED
        with self._lock:
            self._bots[name.lower()] = self._clock() + holds, bot
            while len(self._bots) > _MAX_BOTS:
                self._bots.popitem(last=False)
        return bot


def _name(given: Any) -> str:
    return text_of(given) if len(text_of(given)) <= _MAX_NAME else ""


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
