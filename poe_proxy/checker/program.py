"""Reads JSON schemas, and checks values against them, for whoever is at the other end of stdin.

A program of its own, started with an empty environment, because neither schemas nor values are
ours. It is two processes: one does the jobs, and can open no file and no connection. The system
kills it as soon as a job takes more time or memory than it may; then the other one says so and
forks a new one, which is ready at once.

stdin is a socket. A job is a line with the seconds of computing that it may take and the length of
what follows, and then `["read", schemas]` or `["check", schema, value]` as a JSON text. The answers
are lines of JSON, each an answer with the seconds that were computed so far, and at last
`{"killed": false, "seconds": ...}`, or `{"killed": true}`.

For each schema that was read: null if it can be used, if only in part (`repair`), otherwise why
not. For a value: whether it fits, null if that cannot be told; behind false, the problem and the
rule that was broken.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
from jsonschema_rs import ValidationError, ValidationErrorKind

if __name__ == "__main__":
    # Python is told to look only where libraries are.
    sys.path.insert(0, str(Path(__file__).parents[2]))

from poe_proxy.checker.repair import is_odd, repaired

#: Bytes of memory that a process may have; with more than `KEPT` another takes its place after the
#: job.
MEMORY: Final = 512 * 1024 * 1024
KEPT: Final = 128 * 1024 * 1024
#: How much less of the processor it gets than the server, which serves all.
NICENESS: Final = 10
#: How the process ends that has grown.
_GROWN: Final = 3
#: How the system kills a process that takes too much: of time, of memory, of its stack.
_KILLED: Final = (-signal.SIGPROF, -signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS)
#: The most errors of one value among which the most telling one is looked for.
_MOST_ERRORS: Final = 1_000
#: The most characters that are quoted.
_MOST_QUOTED: Final = 1_000


def main() -> int:
    """Have one job after the other done until stdin ends."""
    _confine()
    while True:
        pid = os.fork()
        if not pid:
            try:
                os._exit(_work())
            finally:
                os._exit(1)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status in _KILLED:
            _say({"killed": True})
        elif status != _GROWN:
            return int(status != 0)


def _confine() -> None:
    # Whatever the server has open and did not keep for itself.
    for name in os.listdir("/proc/self/fd"):
        if (inherited := int(name)) > 2:
            with suppress(OSError):  # the one that was listed through is closed already
                os.close(inherited)
    os.chdir("/")
    os.nice(NICENESS)
    # Linux shares the processor among sessions first, and this is one of its own: without this, two
    # checks at a time would leave a third of it to all requests.
    with suppress(OSError), open("/proc/self/autogroup", "w") as session:
        session.write(str(NICENESS))
    os.set_blocking(0, True)
    # systemd signals all processes of a service; these end with the one that they serve.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def _work() -> int:
    """Do jobs until stdin ends, or until they have taken much memory; return the exit status."""
    with open(0, "rb", closefd=False) as jobs, open("/proc/self/statm", "rb") as memory:
        # Nothing can be opened from now on.
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
        while head := jobs.readline().split():
            seconds, size = float(head[0]), int(head[1])
            text = jobs.read(size)
            if len(text) < size:
                break
            _do(text, seconds)
            # Not what the system says of its peak: that begins with the size of whoever forked it.
            pages = int(os.pread(memory.fileno(), 100, 0).split()[1])
            if pages * resource.getpagesize() > KEPT:
                return _GROWN
    return 0


def _do(text: bytes, seconds: float) -> None:
    begun = time.process_time()
    # By the system, whatever is being done then: no handler would be called within the library.
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        for answer in answers(text):
            _say([answer, time.process_time() - begun])
    except MemoryError:
        os.abort()  # as the library does
    signal.setitimer(signal.ITIMER_PROF, 0)
    _say({"killed": False, "seconds": time.process_time() - begun})


def _say(line: Any) -> None:
    os.write(0, json.dumps(line).encode() + b"\n")


_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


def answers(job: bytes) -> Iterator[Any]:
    """Yield the answers to a job."""
    try:
        what, given, *value = json.loads(job)
    except RecursionError:
        yield None  # it can only be a value: a schema of that depth is not sent
        return
    if what == "check":
        if _SURROGATE.search(job):
            # Half of a pair is no text to the library.
            value = json.loads(json.dumps(value, ensure_ascii=False).encode(errors="replace"))
        yield from _check(given, value[0])
        return
    for schema in given:
        yield _fault(schema)


# ---- reading a schema


def _fault(schema: Any) -> Mapping[str, Any] | None:
    """Return why *schema* cannot be used, None if it can."""
    if not isinstance(schema, dict | bool):
        return {"rule": "type", "at": ""}
    try:
        _validator(schema)
    except ValidationError as bad:
        if isinstance(bad.kind, ValidationErrorKind.Referencing):
            return {"reference": _quoted(bad.message)}
        return {"rule": bad.kind.name, "at": _place(bad)}
    except (ValueError, RecursionError):  # it is nested too deeply
        return {}
    return None


def _validator(schema: Any) -> jsonschema_rs.Validator:
    """Return the validator of *schema* in the draft that it names; if it is odd, of what can be
    read of it.

    Raises a `ValidationError` that says what is wrong if that is nothing, and another `ValueError`
    or a `RecursionError` if it is nested too deeply.
    """
    fault = None
    try:
        found = _compiled(schema)
        if not is_odd(schema):
            return found
    except ValidationError as bad:
        fault = bad
    for references in (True, False):
        read = repaired(schema, _is_readable, references=references)
        if read is None:
            break
        with suppress(ValueError):
            return _compiled(read)
    if fault is not None:
        raise fault
    # It says only what cannot be meant.
    return _compiled(True)


def _compiled(schema: Any) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(
        schema,
        # Not even that of a regular expression: JavaScript knows more of them.
        validate_formats=False,
        # A reference to an address would be fetched.
        offline=True,
        # One that backtracks reads every pattern that this library can read. Simple patterns are
        # matched in linear time all the same, and no other limit is as certain as the system's.
        pattern_options=jsonschema_rs.FancyRegexOptions(
            backtrack_limit=2**62, size_limit=2**20, dfa_size_limit=2**20
        ),
    )


def _is_readable(pattern: str) -> bool:
    try:
        _compiled({"pattern": pattern})
    except ValueError:
        return False
    return True


# ---- checking a value


def _check(schema: Any, value: Any) -> Iterator[Any]:
    try:
        validator = _validator(schema)
        fits = validator.is_valid(value)
    except (ValueError, RecursionError):  # nothing of it can be read, or it is nested too deeply
        yield None
        return
    # Told at once: to say why a value does not fit may take far longer than to see that.
    yield fits
    if not fits:
        try:
            errors = list(islice(validator.iter_errors(value), _MOST_ERRORS))
        except ValueError:  # it is nested too deeply to be quoted
            return
        yield _explained(errors)


def _explained(errors: Iterable[ValidationError]) -> tuple[str, str] | None:
    """Return the problem that is the most telling of *errors*, and the rule that was broken; None
    if it is the check itself that failed."""
    error = min(errors, key=_by_place)
    if isinstance(
        error.kind,
        ValidationErrorKind.BacktrackLimitExceeded | ValidationErrorKind.RegexEngineFailure,
    ):
        return None
    while (nearer := _nearest(error)) is not None:
        error = nearer
    where = _place(error)
    problem = _quoted(error.message)
    rule = _quoted("/".join(str(step) for step in error.schema_path))
    return f"at {where}: {problem}" if where else problem, rule


def _place(error: ValidationError) -> str:
    """Return the path to what is wrong; empty for the whole."""
    return _quoted("".join(f"/{step}" for step in error.instance_path))


def _quoted(text: str) -> str:
    """Return *text* without its middle if it is long: what is wrong stands at the end of a
    message, behind the value."""
    if len(text) <= _MOST_QUOTED:
        return text
    return f"{text[: _MOST_QUOTED // 2]} ... {text[-_MOST_QUOTED // 2 :]}"


def _nearest(error: ValidationError) -> ValidationError | None:
    """Return what keeps a value from the alternative that it fits best; None if that cannot be
    told."""
    if not isinstance(error.kind, _CHOICE):
        return None
    faults = [min(branch, key=_by_place) for branch in error.kind.context if branch]
    ranked = sorted(faults, key=_by_progress, reverse=True)
    if not ranked or len({_by_progress(one) for one in ranked[:2]}) < len(ranked[:2]):
        return None
    return ranked[0]


_CHOICE: Final = ValidationErrorKind.AnyOf | ValidationErrorKind.OneOfNotValid


def _by_place(error: ValidationError) -> tuple[int, bool]:
    """The outermost error says the most, and less if it is only that no alternative fits."""
    return len(error.instance_path), isinstance(error.kind, _CHOICE)


def _by_progress(error: ValidationError) -> tuple[int, bool]:
    """A value that is of another type altogether was not meant for that alternative."""
    return len(error.instance_path), not isinstance(error.kind, ValidationErrorKind.Type)


if __name__ == "__main__":
    sys.exit(main())
