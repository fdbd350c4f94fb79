"""A client's JSON schema: is it valid, and does a value fit? Each check has a time limit."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NoReturn

import referencing
import referencing.exceptions
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for

from poe_proxy.errors import InvalidRequest

#: Seconds of computing that a check against a client's schema may take. A few lines of schema
#: can take longer than any client would wait, and a regular expression can search for ever.
MAX_CHECK: Final = 1.0


@dataclass(frozen=True, slots=True)
class Violation:
    """Why a value does not fit."""

    #: Quotes what is wrong.
    for_bot: str = field(repr=False)
    #: Nothing in it comes from the conversation.
    for_client: str


@dataclass(frozen=True, slots=True)
class Schema:
    """A client's JSON schema, in the draft that it names."""

    text: str = field(repr=False)
    #: The client's path to it.
    path: str

    @classmethod
    def of(cls, schema: Any, path: str) -> Schema:
        """Return *schema*, checked. Raises an `InvalidRequest` that names *path*."""
        try:
            text = json.dumps(schema, ensure_ascii=False)
            with _in_time():
                _validator(text)
        except SchemaError as bad:
            where = "".join(f"/{step}" for step in bad.absolute_path)
            raise InvalidRequest(
                f"{path} is not a valid JSON schema: {_keyword(bad)} at {where or 'its root'}.",
                param=path,
            ) from None
        except _TooSlow:
            raise InvalidRequest(f"{path} takes too long to read.", param=path) from None
        except (AttributeError, RecursionError, TypeError, ValueError):
            raise InvalidRequest(f"{path} is not a JSON schema.", param=path) from None
        return cls(text, path)

    def violation(self, value: Any) -> Violation | None:
        """Return why *value* does not fit, None if it does.

        Raises `InvalidRequest` for a schema with references that lead nowhere, and for one that
        cannot be checked in time.
        """
        try:
            with _in_time():
                error = best_match(_validator(self.text).iter_errors(value))
        except _TooSlow:
            raise InvalidRequest(f"{self.path} takes too long to check.", param=self.path) from None
        except OverflowError:
            return Violation("a number in it is too large.", "a number is too large to be checked")
        # The last three: the reference is not an address, or does not lead to a schema.
        except (
            referencing.exceptions.Unresolvable, RecursionError, AttributeError, TypeError,
            ValueError,
        ):  # fmt: skip
            raise InvalidRequest(
                f"{self.path} has a reference that leads nowhere, or in circles.",
                param=self.path,
            ) from None
        if error is None:
            return None
        where = "".join(f"/{step}" for step in error.absolute_path)
        problem = f"at {where}: {error.message}" if where else error.message
        rule = "/".join(str(step) for step in error.absolute_schema_path)
        return Violation(f"{problem[:1000]}.", f"it breaks the schema's rule {rule}")


class _TooSlow(Exception):
    """A check took longer than `MAX_CHECK`."""


def _give_up(*signalled: object) -> NoReturn:
    raise _TooSlow


@contextmanager
def _in_time() -> Iterator[None]:
    """Raise `_TooSlow` within the block once it has computed for `MAX_CHECK` seconds.

    By a signal, because nothing else interrupts a regular expression. Signals arrive in the main
    thread, in which gunicorn's gevent worker does everything; in another thread the block has no
    limit.
    """
    try:
        signal.signal(signal.SIGVTALRM, _give_up)
    except ValueError:  # another thread
        yield
        return
    signal.setitimer(signal.ITIMER_VIRTUAL, MAX_CHECK)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _keyword(error: ValidationError | SchemaError) -> str:
    return f"the rule {error.validator!r} of the meta-schema is broken"


@lru_cache(maxsize=512)
def _validator(text: str) -> Validator:
    """Return the validator of a schema. Checking a schema is expensive, and agents send the same
    ones with each request."""
    schema = json.loads(text)
    kind = validator_for(schema, default=Draft202012Validator)
    # No formats, not even in the check of the schema: they would refuse a regular expression
    # that JavaScript knows and Python does not.
    meta = validator_for(kind.META_SCHEMA, default=kind)
    if broken := best_match(meta(kind.META_SCHEMA).iter_errors(schema)):
        raise SchemaError.create_from(broken)
    # An empty registry: the library's own would fetch any address that a reference has.
    return kind(_readable(schema), registry=referencing.Registry())


def _readable(schema: Any) -> Any:
    """Return *schema* without the regular expressions that Python cannot read."""
    if isinstance(schema, list):
        return [_readable(below) for below in schema]
    if not isinstance(schema, dict):
        return schema
    readable = {}
    for name, below in schema.items():
        match name, below:
            case "pattern", str() if not _compiles(below):
                pass
            case "patternProperties", dict():
                # An empty pattern takes every name, so that none is refused as additional.
                known = {one: rule for one, rule in below.items() if _compiles(one)}
                readable[name] = _readable(known | ({} if len(known) == len(below) else {"": {}}))
            case _:
                readable[name] = _readable(below)
    return readable


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True
