"""The log: each line names the request that it belongs to, and says nothing but what was logged.

What is logged often repeats what clients, bots or Poe have sent. `Formatter` escapes and cuts it,
here and in gunicorn's log, so that whoever logs need not think of it.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Final, TextIO

_PACKAGE: Final = "poe_proxy"

#: The most characters of a message, and of each line of a traceback.
MAX_MESSAGE: Final = 2000
MAX_TRACEBACK_LINE: Final = 400
#: The most lines of a traceback: so many of its beginning, where the places are, and of its end.
TRACEBACK_HEAD: Final = 60
TRACEBACK_TAIL: Final = 40
#: What each line behind the first one of an entry begins with. No first line does.
CONTINUED: Final = "    | "

#: The id of the request that this thread (under gevent: this greenlet) serves; "-" for none.
request_id: Final = ContextVar("request_id", default="-")

log = logging.getLogger(__name__)


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
        record.message = _clean(record.getMessage(), MAX_MESSAGE)
        if self.usesTime():
            record.asctime = self.formatTime(record, self.datefmt)
        lines = [self.formatMessage(record)]
        # What another formatter has left in `exc_text` is not ours.
        if record.exc_info:
            lines += _continued(self.formatException(record.exc_info))
        elif record.exc_text:
            lines += _continued(record.exc_text)
        if record.stack_info:
            lines += _continued(record.stack_info)
        return "\n".join(lines)


class _Lines(logging.StreamHandler[TextIO]):
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


def set_up(level: str) -> None:
    """Write what this package logs, from *level* on, to stderr.

    So is what other packages warn of, and what nobody catches: exceptions of threads and of
    finalizers, and Python's own warnings.
    """
    package = logging.getLogger(_PACKAGE)
    package.setLevel(level)
    if package.handlers:
        return
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


def handler(to: TextIO | None = None) -> logging.Handler:
    """Return a handler that writes such lines *to* a stream, by default to stderr."""
    made = _Lines(to)
    made.addFilter(_name_request)
    made.setFormatter(Formatter("%(asctime)s %(levelname)-7s %(request_id)s %(message)s"))
    return made


def adopt(other: logging.Logger) -> None:
    """Let the handlers of *other* write as `Formatter` does, each in the form that it has."""
    for one in other.handlers:
        form = one.formatter
        # A formatter of another kind, such as one that writes JSON, knows what it does.
        if form is None:
            one.setFormatter(Formatter())
        elif type(form) is logging.Formatter:
            one.setFormatter(Formatter(form._fmt, form.datefmt))


def escape(text: str) -> str:
    """Return *text* with escapes in place of line ends, terminal codes and all that is invisible.

    What Python calls printable stays. Backslashes stay too: an escape may also have been typed.
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text
    )


def _clean(text: str, limit: int) -> str:
    """Return *text* escaped; of one that is too long, its beginning and a note of its length."""
    shown = escape(text[:limit])
    if len(text) <= limit and len(shown) <= limit:
        return shown
    return f"{shown[:limit]}... ({len(text)} characters)"


def _continued(text: str) -> Iterator[str]:
    """Yield the lines of *text*, some of the middle left out if there are too many of them."""
    *head, rest = text.split("\n", TRACEBACK_HEAD)
    middle, *tail = rest.rsplit("\n", TRACEBACK_TAIL)
    if left_out := middle.count("\n"):
        middle = f"... {left_out + 1} lines are left out"
    for line in (*head, middle, *tail):
        yield CONTINUED + _clean(line, MAX_TRACEBACK_LINE)


def _name_request(record: logging.LogRecord) -> bool:
    record.request_id = request_id.get()
    return True


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
