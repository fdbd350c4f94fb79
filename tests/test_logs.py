"""Each line of the log says the request that it belongs to, and nothing that was not logged."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextvars import Context
from pathlib import Path
from typing import Any

import pytest

from poe_proxy import logs

from .fakes import log_lines

ROOT = Path(__file__).parents[1]

log = logging.getLogger("poe_proxy.somewhere")


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    with log_lines() as lines:
        yield lines


def test_a_line_has_its_time_its_level_and_its_request(written: io.StringIO) -> None:
    before = logs.request_id.set("req_1")
    log.info("key-1 is lent")
    logs.request_id.reset(before)

    assert re.fullmatch(r"[\d-]{10} [\d:,]{12} INFO    req_1 key-1 is lent\n", written.getvalue())


def test_a_line_outside_of_a_request_has_a_dash(written: io.StringIO) -> None:
    Context().run(log.warning, "key-1 rests")

    assert written.getvalue().endswith(" WARNING - key-1 rests\n")


def test_requests_at_the_same_time_are_told_apart(written: io.StringIO) -> None:
    both = threading.Barrier(2)

    def serve(name: str) -> None:
        logs.request_id.set(name)
        both.wait(10)
        log.info("of %s", name)

    threads = [threading.Thread(target=serve, args=(name,)) for name in ("req_a", "req_b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {"req_a of req_a", "req_b of req_b"} == {
        line.split("INFO    ")[1] for line in written.getvalue().splitlines()
    }


# ---- nothing passes for another line


def entry(message: str = "it failed", failure: BaseException | None = None) -> str:
    """What the formatter makes of one entry."""
    exc_info: Any = (type(failure), failure, failure.__traceback__) if failure else None
    record = logging.LogRecord("x", logging.ERROR, __file__, 1, message, (), exc_info)
    return logs.Formatter("%(levelname)s %(message)s").format(record)


def raised(failure: BaseException) -> BaseException:
    try:
        raise failure
    except type(failure) as caught:
        return caught


@pytest.mark.parametrize(
    "evil",
    ["\n", "\r", "\x00", "\t", "\x1b[2J", "\x7f", "\x85", "\x9b31m", "\u2028", "\u2029",
     "\u202e", "\u2066", "\u200b", "\ufeff", "\ud800", "\U000e0041"],
    ids=ascii,
)  # fmt: skip
def test_what_breaks_lines_or_cannot_be_seen_is_escaped(evil: str) -> None:
    """In a message, and in the text of an exception whose lines are kept."""
    escaped = evil[0].encode("unicode_escape").decode()
    in_traceback = entry(failure=raised(ValueError(f"a{evil}b"))).splitlines()

    assert f"ERROR a{escaped}{evil[1:]}b" == entry(f"a{evil}b")
    assert all(line.isprintable() for line in in_traceback)
    assert [] == [line for line in in_traceback[1:] if not line.startswith(logs.CONTINUED)]


@pytest.mark.parametrize("text", ["Grüße, 你好, שלום 🙂", r"C:\new\x1b", "\"quoted\" 'too'"])
def test_what_can_be_read_stays_as_it_is(text: str) -> None:
    """In any script."""
    assert f"ERROR {text}" == entry(text)


@pytest.mark.parametrize("text", ["x" * 50_000, "\n" * 50_000, "\U000e0041" * 1999])
def test_a_long_message_is_cut(text: str) -> None:
    """Escapes count as what they are written with; the length is told."""
    cut = entry(text)

    assert cut.endswith(f"... ({len(text)} characters)")
    assert len(cut) < logs.MAX_MESSAGE + 50


def test_a_message_that_just_fits_is_whole() -> None:
    text = "x" * logs.MAX_MESSAGE

    assert f"ERROR {text}" == entry(text)


def test_a_traceback_keeps_its_lines() -> None:
    """Each is marked as belonging to the line before."""
    first, *rest = entry(failure=raised(ValueError("why\n2026-01-01 ERROR forged"))).splitlines()

    assert "ERROR it failed" == first
    assert f"{logs.CONTINUED}Traceback (most recent call last):" == rest[0]
    assert [f"{logs.CONTINUED}ValueError: why", f"{logs.CONTINUED}2026-01-01 ERROR forged"] == (
        rest[-2:]
    )


@pytest.mark.parametrize("count", [1, 95, 96, 97, 98, 5000])
def test_a_traceback_without_end_loses_its_middle(count: int) -> None:
    """The places in the code come first and stay; what is left out is counted."""
    text = "\n".join(f"line {number}." for number in range(count))
    lines = [
        line.removeprefix(logs.CONTINUED)
        for line in entry(failure=raised(ValueError(text))).splitlines()[1:]
    ]
    left_out = [int(line.split()[1]) for line in lines if line.endswith(" lines are left out")]
    # Three lines say where it was raised, and the first of the text stands behind the class.
    whole = count + 3 - (sum(left_out) - len(left_out))

    assert "Traceback (most recent call last):" == lines[0]
    assert lines[-1].endswith(f"line {count - 1}.")
    assert len(lines) <= logs.TRACEBACK_HEAD + logs.TRACEBACK_TAIL + 1
    assert whole == len(lines)


def test_a_long_line_of_a_traceback_is_cut() -> None:
    """The text of an exception may be a whole page."""
    longest = max(map(len, entry(failure=raised(ValueError("x" * 50_000))).splitlines()))

    assert longest < logs.MAX_TRACEBACK_LINE + 50


def test_what_another_handler_has_formatted_is_not_taken_over() -> None:
    """Python keeps the traceback of the handler that comes first, and offers it to the next."""
    failure = raised(ValueError("a\nb"))
    record = logging.LogRecord(
        "x", logging.ERROR, __file__, 1, "m", (), (ValueError, failure, failure.__traceback__)
    )
    logging.Formatter().format(record)

    assert entry("m", failure).splitlines()[1:] == logs.Formatter().format(record).splitlines()[1:]
    record.exc_info = None
    assert entry("m", failure).splitlines()[1:] == logs.Formatter().format(record).splitlines()[1:]


def test_a_stack_is_marked_too() -> None:
    record = logging.LogRecord("x", logging.ERROR, __file__, 1, "m", (), None, sinfo="Stack:\n  f")

    assert "m\n    | Stack:\n    |   f" == logs.Formatter().format(record)


def test_another_log_is_written_safely_in_its_own_form() -> None:
    """A formatter of another kind stays: it may write JSON."""
    other, lines = logging.getLogger("other"), io.StringIO()
    forms = [
        logging.Formatter("%(asctime)s [%(levelname)s] %(message)s", "[%Y]"),
        None,
        Json(),
    ]
    for form in forms:
        one = logging.StreamHandler(lines)
        one.setFormatter(form)
        other.addHandler(one)
    logs.adopt(other)
    other.warning("a\nb")
    other.handlers.clear()

    assert re.fullmatch(
        r'\[\d{4}\] \[WARNING\] a\\nb\na\\nb\n\{"message": "a\\nb"\}\n', lines.getvalue()
    )


class Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps({"message": record.getMessage()})


# ---- objects


def objects(message: str = "it failed", failure: BaseException | None = None) -> Any:
    exc_info: Any = (type(failure), failure, failure.__traceback__) if failure else None
    record = logging.LogRecord("poe_proxy.audit", 40, __file__, 1, message, (), exc_info)
    line = logs.Objects().format(record)
    assert line.isprintable()
    return json.loads(line)


def test_an_entry_can_be_an_object() -> None:
    """The audit log is told from others by its logger."""
    before = logs.request_id.set("req_1")
    entry = objects("a\nb\ud800")
    logs.request_id.reset(before)

    assert re.fullmatch(r"[\d-]{10}T[\d:]{8}\.\d{3}Z", entry.pop("time"))
    assert {
        "level": "ERROR", "logger": "audit", "message": r"a\nb\ud800", "request_id": "req_1",
    } == entry  # fmt: skip
    assert Context().run(objects)["request_id"] is None


def test_an_object_has_its_traceback_in_a_field() -> None:
    """And so it is one line, too."""
    found = objects(failure=raised(ValueError("why\x1b[2J")))["traceback"].split("\n")

    assert "Traceback (most recent call last):" == found[0]
    assert r"ValueError: why\x1b[2J" == found[-1]


def test_gunicorn_writes_objects_too_and_lines_again() -> None:
    """In the form that it had."""
    other, lines = logging.getLogger("other"), io.StringIO()
    one = logging.StreamHandler(lines)
    one.setFormatter(logging.Formatter("[%(levelname)s] %(message)s"))
    other.addHandler(one)
    for form in ("text", "json", "text"):
        logs.adopt(other, form)
        other.warning("a")
    other.handlers.clear()
    first, entry, last = lines.getvalue().splitlines()

    assert "[WARNING] a" == first == last
    assert ("other", "a") == (json.loads(entry)["logger"], json.loads(entry)["message"])


# ---- colours


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_a_terminal_has_colours_unless_nobody_wants_them(
    no_color: str, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """See no-color.org."""
    monkeypatch.setenv("NO_COLOR", no_color)
    terminal = Terminal()
    handler = logs.handler(terminal)
    handler.handle(logging.LogRecord("x", logging.ERROR, __file__, 1, "\x1b[2J", (), None))

    assert coloured is ("\x1b[31m" in terminal.getvalue())
    assert "\x1b[2J" not in terminal.getvalue()


# ---- in a process of its own


ALL_THE_REST = """
import logging, sys, threading, warnings
from poe_proxy import logs
logs.set_up("INFO")
logs.set_up("INFO", "json")
logs.set_up("INFO", "text")
forged = "a\\n2026-01-01 ERROR forged"
logging.getLogger("urllib3.connectionpool").warning("Retrying: %s", forged)
warnings.warn(forged)
def fail():
    raise ValueError(forged)
thread = threading.Thread(target=fail, name="of ours")
thread.start()
thread.join()
threading.Thread(target=sys.exit).start()
class Finalized:
    def __del__(self):
        fail()
Finalized()
"""


def test_what_others_say_is_written_by_the_same_formatter() -> None:
    """Other packages, Python's warnings, and exceptions of threads and finalizers."""
    ended = subprocess.run(
        [sys.executable, "-c", ALL_THE_REST], cwd=ROOT, capture_output=True, text=True, check=True
    )
    lines = ended.stderr.splitlines()
    entries = [
        re.split(" +", line, maxsplit=4)[4] for line in lines if not line.startswith(logs.CONTINUED)
    ]

    assert ["Retrying: a\\n2026-01-01 ERROR forged"] == entries[:1]
    assert "UserWarning: a\\n2026-01-01 ERROR forged" in entries[1]
    assert ["the thread of ours failed", "Exception ignored in function"] == entries[2:]
    assert [] == [line for line in lines if line.startswith("2026-01-01")]
