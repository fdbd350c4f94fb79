"""A client's JSON schema: can it be used, and does a value fit?

A few lines of schema can take longer than any client would wait, or more memory than there is. So
it is all done by other processes, at the expense of the request's budget. What a client sent and
cannot be read within that is refused; what its bot answered and cannot be checked is passed on
unchecked.

An odd schema is checked as far as it can be read (`checker.repair`). Where nothing of it can be
read, it depends on what it is for. The schema of a tool is one of many, mostly not written by
whoever asks, and the tool may not even be called: everything passes, and `budget.unchecked` names
it. The schema of an answer is all that the client asked for, and a promise that cannot be kept is
refused.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

import orjson

from poe_proxy.budget import Budget, OutOfBudget
from poe_proxy.checker.pool import Pool
from poe_proxy.checker.process import Outcome, Unavailable
from poe_proxy.checker.repair import types
from poe_proxy.digests import Digests
from poe_proxy.errors import InvalidRequest, RequestTooCostly

log = logging.getLogger(__name__)

#: The most bytes that the schemas of a request may have together.
MAX_SCHEMAS: Final = 2_000_000
#: The most characters of a value that is checked.
MAX_VALUE: Final = 2_000_000
#: The most schemas that are known to be valid, without being kept; and to be too costly.
MAX_KNOWN: Final = 4_096
#: Seconds for which a schema that was too costly is refused at once.
REFUSED_FOR: Final = 600.0
#: Seconds of computing that are too much for any schema.
_COSTLY: Final = 0.1
#: The most fields that are named as unchecked: they stand in a header.
_MOST_NAMED: Final = 50


@dataclass(frozen=True, slots=True)
class Violation:
    """Why a value does not fit."""

    #: Quotes what is wrong.
    for_bot: str = field(repr=False)
    #: Nothing in it comes from the conversation.
    for_client: str


@dataclass(frozen=True, slots=True)
class Schema:
    """A client's JSON schema, in the draft that it names, as far as it can be read."""

    #: As the client wrote it.
    given: Any = field(repr=False, compare=False)
    #: The client's path to it.
    path: str
    #: What it is known by.
    digest: str = field(repr=False)

    @property
    def text(self) -> str:
        """The schema for a bot to read."""
        return json.dumps(self.given, ensure_ascii=False)

    def violation(self, value: str, budget: Budget) -> Violation | None:
        """Return why *value*, a JSON text, does not fit; None if it does.

        None, too, if that would cost more than is left in *budget*, or if nobody has the time to
        look: `budget.unchecked` names the schema then.
        """
        return _checker.violation(self, value, budget)


def read(
    given: Iterable[tuple[Any, str]], budget: Budget, *, promised: bool = False
) -> list[Schema]:
    """Return the schemas that are *given*, each with the client's path to it.

    Raises an `InvalidRequest` that names the path of one that is no object, too large, nested too
    deeply, or would cost more than is left in *budget*; and, if it is *promised* that what they
    are for fits them, of one of which nothing can be read. Otherwise that one passes, as all do if
    nobody has the time to look, and `budget.unchecked` names it.
    """
    return _checker.read(given, budget, promised=promised)


def of_arguments(schema: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return what a tool's *schema* asks of the arguments of a call. They are an object, whatever
    it says itself."""
    kinds = types(schema.get("type")) if schema else None
    if not schema or kinds is None or "object" in kinds:
        return schema or {}
    return {name: rule for name, rule in schema.items() if name != "type"}


def close() -> None:
    """End the processes that check."""
    _pool.close()


class Checker:
    """Has schemas read and values checked; remembers what was found of a schema."""

    def __init__(self, pool: Pool, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._valid = Digests(float("inf"), MAX_KNOWN, clock=clock)
        self._costly = Digests(REFUSED_FOR, MAX_KNOWN, clock=clock)

    def read(
        self, given: Iterable[tuple[Any, str]], budget: Budget, *, promised: bool = False
    ) -> list[Schema]:
        """See the function of that name."""
        found = _taken(given, budget)
        # Agents send the same tools with each request, and tools may have the same schema.
        new = {one.digest: one for one in found if one.digest not in self._valid}
        for one in new.values():
            if one.digest in self._costly:
                raise _too_costly(one.path)
        if new:
            self._read(list(new.values()), budget, promised)
        return found

    def _read(self, new: Sequence[Schema], budget: Budget, promised: bool) -> None:
        if not budget.left:
            raise _too_costly(new[0].path)
        outcome = self._ask(lambda: orjson.dumps(("read", [one.given for one in new])), budget)
        if outcome is None:
            _give_up(new, budget)
            return
        for one, fault in zip(new, outcome.answers, strict=False):
            if fault is None:
                self._valid.add(one.digest)
            elif promised or not fault or not isinstance(one.given, dict):
                raise _invalid(one.path, fault)
            else:
                log.info("a JSON schema cannot be read: %s", one.path)
                _give_up([one], budget)
        rest = new[len(outcome.answers) :]
        if outcome.is_whole or not rest:
            return
        if outcome.is_cut:
            _give_up(rest, budget)
            return
        if outcome.after_last >= _COSTLY:
            self._costly.add(rest[0].digest)
        raise _too_costly(rest[0].path)

    def violation(self, schema: Schema, value: str, budget: Budget) -> Violation | None:
        """See `Schema.violation`."""
        outcome = None
        if budget.left and len(value) <= MAX_VALUE:
            outcome = self._ask(lambda: _check_job(schema, value), budget)
        match outcome.answers if outcome else ():
            case [True]:
                return None
            case [False]:
                return Violation("it does not fit the schema.", "it breaks the schema")
            case [False, [problem, rule]]:
                return Violation(f"{problem}.", f"it breaks the schema's rule {rule}")
        _give_up([schema], budget)
        return None

    def _ask(self, job: Callable[[], bytes], budget: Budget) -> Outcome | None:
        """Return what becomes of a job; None if nobody has the time."""
        try:
            with budget.aside():
                outcome = self._pool.ask(job, budget.left)
        except Unavailable as reason:
            log.info("a check against a JSON schema was given up: %s", reason)
            return None
        budget.charge(outcome.seconds)
        return outcome


def _taken(given: Iterable[tuple[Any, str]], budget: Budget) -> list[Schema]:
    """Return the schemas that are *given*, not yet read. Raises `InvalidRequest`."""
    found: list[Schema] = []
    size = 0
    path = ""
    try:
        for schema, path in given:
            with budget.work("taking a JSON schema"):
                short = orjson.dumps(schema)
                size += len(short)
                if size > MAX_SCHEMAS:
                    raise InvalidRequest(
                        f"{path} is too large: the schemas of a request may have "
                        f"{MAX_SCHEMAS:,} bytes together.",
                        param=path,
                        code="string_above_max_length",
                    )
                found.append(Schema(schema, path, blake2b(short, digest_size=16).hexdigest()))
            budget.breathe()
    except OutOfBudget:
        raise _too_costly(path) from None
    except (RecursionError, TypeError):  # deeper than orjson writes, or no JSON at all
        raise _invalid(path, {}) from None
    return found


def _check_job(schema: Schema, value: str) -> bytes:
    # Half of a surrogate pair is a letter to a bot, and nothing that can be sent.
    return b'["check",%b,%b]' % (orjson.dumps(schema.given), value.encode(errors="replace"))


def _invalid(path: str, fault: Mapping[str, Any]) -> InvalidRequest:
    match fault:
        case {"rule": rule, "at": at}:
            problem = (
                f"{path} is not a valid JSON schema: the rule {rule!r} of the meta-schema is "
                f"broken at {at or 'its root'}."
            )
        case {"reference": why}:
            problem = f"{path} has a reference that leads nowhere: {why}."
        case _:
            problem = f"{path} is not a JSON schema, or it is nested too deeply."
    return InvalidRequest(problem, param=path)


def _too_costly(path: str) -> RequestTooCostly:
    return RequestTooCostly(f"{path} takes too long to read.", param=path)


def _give_up(schemas: Iterable[Schema], budget: Budget) -> None:
    for one in schemas:
        if one.path not in budget.unchecked and len(budget.unchecked) < _MOST_NAMED:
            budget.unchecked.append(one.path)


_pool: Final = Pool()
_checker: Final = Checker(_pool)
