"""What the stand-in keeps for its clients: uploaded files and videos in the making."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

from .catalogue import Json, Model

_FILES_AT_MOST = 1000
_BYTES_AT_MOST = 512 * 1024 * 1024
_DAY = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One uploaded file: its bytes, or where they are."""

    name: str
    mime: str
    data: bytes = b""
    download_url: str | None = None
    stored_at: float = 0.0


class Uploads:
    """The newest files, by the name in their URL."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, Stored] = OrderedDict()
        self._size = 0

    def add(self, name: str, stored: Stored) -> None:
        """Keep a file, and let go of the oldest ones when there are too many."""
        self._files[name] = stored
        self._size += len(stored.data)
        while len(self._files) > _FILES_AT_MOST or self._size > _BYTES_AT_MOST:
            _, gone = self._files.popitem(last=False)
            self._size -= len(gone.data)

    def find(self, url: str) -> Stored | None:
        """Return the file behind a URL that was given out for it."""
        return self._files.get(url.rpartition("/")[2])


@dataclass(slots=True, kw_only=True)
class Job:
    """One video, being made a step at each look at it."""

    id: str
    owner: str
    model: Model
    spelling: str
    prompt: str
    seconds: int
    size: str
    created: int
    polls: int
    fails: bool = False
    seen: int = 0
    completed: int | None = None
    remixed_from: str | None = None
    cost: int = 0

    @property
    def status(self) -> str:
        """Where the job stands."""
        if self.seen == 0:
            return "queued"
        if self.seen < self.polls:
            return "in_progress"
        return "failed" if self.fails else "completed"

    def look(self) -> Json:
        """Return the job object, a step further than last time."""
        self.seen += 1
        if self.status in ("completed", "failed") and self.completed is None:
            self.completed = int(time.time())
        return self.as_json()

    def as_json(self) -> Json:
        """The object of §7."""
        status = self.status
        progress = 100 if status == "completed" else min(99, 100 * self.seen // self.polls)
        error = {"code": "provider_error", "message": "The video could not be made."}
        return {
            "id": self.id,
            "object": "video",
            "status": status,
            "created_at": self.created,
            "completed_at": self.completed,
            "expires_at": self.created + _DAY,
            "model": self.spelling,
            "seconds": str(self.seconds),
            "size": self.size,
            "progress": progress,
            "remixed_from_video_id": self.remixed_from,
            "error": error if status == "failed" else None,
            "usage": {"cost_points": self.cost} if status == "completed" else None,
        }
