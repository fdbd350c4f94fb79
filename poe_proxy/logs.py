"""The log: each line names the request that it belongs to, and says nothing but what was logged.

What is logged often repeats what clients, bots or Poe have sent. `Formatter` escapes and cuts it,
here and in gunicorn's log, so that whoever logs need not think of it. The lines are for people, or
objects for programs.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Final, TextIO

import orjson

_PACKAGE: Final = "poe_proxy"
_GUNICORN: Final = ("gunicorn.error", "gunicorn.access")
#: The logger of what whoever runs it did, or what befell accounts and keys.
AUDIT: Final = f"{_PACKAGE}.audit"

#: The most characters of a message, and of each line of a traceback.
MAX_MESSAGE: Final = 2000
MAX_TRACEBACK_LINE: Final = 400
#: The most lines of a traceback: so many of its beginning, where the places are, and of its end.
TRACEBACK_HEAD: Final = 60
TRACEBACK_TAIL: Final = 40
#: What each line behind the first one of an entry begins with. No first line does.
CONTINUED: Final = "    | "

#: Colours of a terminal: for what went wrong, what is refused, what went well, what matters least.
_RED, _YELLOW, _GREEN, _DIM, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[2m", "\x1b[0m"

#: The id of the request that this thread (under gevent: this greenlet) serves; "-" for none.
request_id: Final = ContextVar("request_id", default="-")

log = logging.getLogger(__name__)


class Event(ABC):
    """A message that is a line for people, its `str`, and for programs an object.

    In the line, what stands behind the last two spaces matters least.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def status(self) -> int:
        """How it went, as HTTP says it."""

    @abstractmethod
    def summary(self) -> str:
        """Return the `message` for programs."""

    @abstractmethod
    def fields(self) -> Mapping[str, object]:
        """Return what stands beside it; of texts that are foreign, what `clean` makes of them."""


class Formatter(logging.Formatter):
    """Formats an entry so that nothing in it can pass for another one, or command a terminal.

    Its message is one line. Those of a traceback each begin with `CONTINUED`, since the text of an
    exception may have lines of its own.
    """

    #: The last second that was written, and how: a busy server writes hundreds of lines in one.
    _second, _time = 0, ""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """Return when *record* was made; by default to a thousandth of a second."""
        if datefmt is not None:
            return super().formatTime(record, datefmt)
        if (second := int(record.created)) != self._second:
            self._time = time.strftime(self.default_time_format, self.converter(second))
            self._second = second
        return f"{self._time},{int(record.msecs):03d}"

    def format(self, record: logging.LogRecord) -> str:
        """Return the entry: a line, and those of its traceback."""
        record.message = clean(record.getMessage(), MAX_MESSAGE)
        if self.usesTime():
            record.asctime = self.formatTime(record, self.datefmt)
        line = self.formatMessage(record)
        if not (record.exc_info or record.exc_text or record.stack_info):
            return line
        return "\n".join((line, *(CONTINUED + more for more in self._traceback(record))))

    def _traceback(self, record: logging.LogRecord) -> Iterator[str]:
        # What another formatter has left in `exc_text` is not ours.
        if record.exc_info:
            yield from _shortened(self.formatException(record.exc_info))
        elif record.exc_text:
            yield from _shortened(record.exc_text)
        if record.stack_info:
            yield from _shortened(record.stack_info)


class Lines(Formatter):
    """Formats entries as lines for people: time, level, the request's id, the message. An `Event`
    has its ids at its end."""

    def __init__(self, *, colours: bool = False) -> None:
        super().__init__()
        self._has_colours = colours

    def usesTime(self) -> bool:
        """Return whether an entry has its time: each does."""
        return True

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line."""
        said, level = record.message, f"{record.levelname:7}"
        if not isinstance(record.msg, Event):
            said = f"{request_id.get()} {said}"
        elif self._has_colours:
            said, gap, ids = said.rpartition("  ")
            shade = _RED if (code := record.msg.status) >= 500 else _YELLOW if code >= 400 else ""
            said = f"{shade or _GREEN}{said}{_PLAIN}{gap}{_DIM}{ids}{_PLAIN}"
        if self._has_colours and record.levelno >= logging.WARNING:
            level = f"{_RED if record.levelno >= logging.ERROR else _YELLOW}{level}{_PLAIN}"
        return f"{record.asctime} {level} {said}"


class Objects(Formatter):
    """Formats each entry as an object in JSON, in one line."""

    _stamp = ""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object."""
        event = record.msg if isinstance(record.msg, Event) else None
        message = record.getMessage() if event is None else event.summary()
        id = request_id.get()
        entry: dict[str, object] = {
            "time": self._rfc3339(record),
            "level": record.levelname,
            "logger": record.name.removeprefix(f"{_PACKAGE}."),
            "message": clean(message, MAX_MESSAGE),
            "request_id": None if id == "-" else id,
        }
        if event is not None:
            entry |= event.fields()
        if traceback := "\n".join(self._traceback(record)):
            entry["traceback"] = traceback
        return orjson.dumps(entry).decode()

    def _rfc3339(self, record: logging.LogRecord) -> str:
        if (second := int(record.created)) != self._second:
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        return f"{self._stamp}.{int(record.msecs):03d}Z"


class _Writer(logging.StreamHandler[TextIO]):
    """Writes each entry at once, as one piece: so no lock is held for it, which would be a tenth
    of the cost of a line."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Write *record*, unless a filter is against it; return whether it was written."""
        is_kept = bool(self.filter(record))
        if is_kept:
            self.emit(record)
        return is_kept

    def emit(self, record: logging.LogRecord) -> None:
        """Write *record*."""
        try:
            self.stream.write(f"{self.format(record)}\n")
            self.stream.flush()
        except Exception:
            self.handleError(record)


def set_up(level: str, form: str = "text") -> None:
    """Write what this package logs, from *level* on, to stderr: as `text`, or as `json`.

    So is what other packages warn of, and what nobody catches: exceptions of threads and of
    finalizers, and Python's own warnings. gunicorn's log is written so, too, in this process.
    """
    package = logging.getLogger(_PACKAGE)
    package.setLevel(level)
    if not package.handlers:
        _install(package)
    for one in (*package.handlers, *logging.getLogger().handlers):
        if isinstance(one, _Writer):
            one.setFormatter(_formatter(form, one.stream))
    adopt_gunicorn(form)


def _install(package: logging.Logger) -> None:
    package.addHandler(handler())
    package.propagate = False
    # No line here says where in the code it was logged, or by which thread: to find that out is a
    # quarter of the cost of a line (see "Optimization" in Python's documentation of logging).
    logging._srcfile = None
    logging.logThreads = logging.logMultiprocessing = False
    logging.getLogger().addHandler(handler())
    logging.captureWarnings(True)
    threading.excepthook = _thread_failed
    sys.unraisablehook = _finalizer_failed


def handler(to: TextIO | None = None, form: str = "text") -> logging.Handler:
    """Return a handler that writes such lines *to* a stream, by default to stderr."""
    made = _Writer(to)
    made.setFormatter(_formatter(form, made.stream))
    return made


def _formatter(form: str, stream: TextIO) -> Formatter:
    if form == "json":
        return Objects()
    # See https://no-color.org.
    return Lines(colours=stream.isatty() and not os.environ.get("NO_COLOR"))


def adopt(other: logging.Logger, form: str = "text") -> None:
    """Let the handlers of *other* write as `Formatter` does, each in the form that it has; or as
    `json`."""
    made = Objects if form == "json" else Formatter
    for one in other.handlers:
        now = one.formatter
        # A formatter of another kind knows what it does.
        if now is None:
            one.setFormatter(made())
        elif type(now) in (logging.Formatter, Formatter, Objects):
            one.setFormatter(made(now._fmt, now.datefmt))


def adopt_gunicorn(form: str = "text") -> None:
    """Let gunicorn write its log so, too, in this process."""
    for name in _GUNICORN:
        adopt(logging.getLogger(name), form)


def escape(text: str) -> str:
    """Return *text* with escapes in place of line ends, terminal codes and all that is invisible.

    What Python calls printable stays. Backslashes stay too: an escape may also have been typed.
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text
    )


def clean(text: str, limit: int) -> str:
    """Return *text* escaped; of one that is too long, its beginning and a note of its length."""
    shown = escape(text[:limit])
    if len(text) <= limit and len(shown) <= limit:
        return shown
    return f"{shown[:limit]}... ({len(text)} characters)"


def _shortened(text: str) -> Iterator[str]:
    """Yield the lines of *text*, some of the middle left out if there are too many of them."""
    *head, rest = text.split("\n", TRACEBACK_HEAD)
    middle, *tail = rest.rsplit("\n", TRACEBACK_TAIL)
    if left_out := middle.count("\n"):
        middle = f"... {left_out + 1} lines are left out"
    for line in (*head, middle, *tail):
        yield clean(line, MAX_TRACEBACK_LINE)


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    # A thread that exits on purpose is none of our business; nor is it Python's.
    if not issubclass(failed.exc_type, SystemExit):
        name = failed.thread.name if failed.thread else "?"
        failure: Any = (failed.exc_type, failed.exc_value, failed.exc_traceback)
        log.error("the thread %s failed", name, exc_info=failure)


def _finalizer_failed(failed: sys.UnraisableHookArgs) -> None:
    what = failed.err_msg or "Exception ignored in"
    failure: Any = (failed.exc_type, failed.exc_value, failed.exc_traceback)
    log.error("%s %s", what, type(failed.object).__qualname__, exc_info=failure)
