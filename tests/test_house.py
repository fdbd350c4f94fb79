"""The house stays small: no module is long, and an event of a plain chat passes few hands."""

from __future__ import annotations

import ast
import inspect
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
from werkzeug.test import EnvironBuilder

import poe_proxy
from poe_proxy.chat import Done, Text

from .fakes import FakeUpstream
from .server.site import COMPLETIONS, HELLO, KEY, Site

PACKAGE = Path(poe_proxy.__file__).parent
#: Lines of a module, at most.
LENGTH = 450
#: Generators between an upstream's and WSGI, at most.
HANDS = 5


def test_no_module_is_long() -> None:
    """A module of more than 450 lines holds more than one idea."""
    lengths = {
        path.relative_to(PACKAGE).as_posix(): len(path.read_text("utf-8").splitlines())
        for path in PACKAGE.rglob("*.py")
    }

    assert {} == {name: length for name, length in lengths.items() if length > LENGTH}


def test_every_condition_has_a_lock_of_its_own() -> None:
    """To see whether a plain lock is held, `Condition` tries to take it, and where that fails
    gevent lets all others have their turn: within each wait and each notify."""
    made = [
        (path.name, ast.unparse(call))
        for path in PACKAGE.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("Condition")
    ]

    assert {"alarm.py", "channel.py", "tidying.py"} <= {name for name, _ in made}
    assert {"threading.Condition()"} == {text for _, text in made}


def test_every_file_beside_the_code_is_packaged() -> None:
    """Templates, tables and descriptions are there wherever the package is installed."""
    pyproject = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))
    patterns = pyproject["tool"]["setuptools"]["package-data"]["*"]
    beside = [
        path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")
    ]

    assert {"try_out.html", "models.toml", "openapi.json", "site.toml"} <= {
        one.name for one in beside
    }
    assert [] == [path for path in beside if not any(path.match(pattern) for pattern in patterns)]


@dataclass(frozen=True)
class Hand:
    """One function that an event passes on its way."""

    module: str
    name: str
    is_generator: bool


def hands() -> list[Hand]:
    """The functions that an event passes when it is said now: from behind the upstream's, up to
    the one here that asked for it."""
    found = []
    frame = sys._getframe(2)  # that which called our caller
    while frame and frame.f_globals["__name__"] != __name__:
        is_generator = bool(frame.f_code.co_flags & inspect.CO_GENERATOR)
        found.append(Hand(frame.f_globals["__name__"], frame.f_code.co_qualname, is_generator))
        frame = frame.f_back
    return [hand for hand in found if hand.module != FakeUpstream.__module__]


@pytest.fixture(scope="module")
def way() -> list[Hand]:
    """What stands between the upstream and WSGI, while a plain chat is streamed."""
    way: list[Hand] = []
    # The first event is taken before the answer begins, the second one while it is iterated.
    site = Site(Text("Hello"), lambda: way.extend(hands()), Text(" there"), Done())
    environ = EnvironBuilder(
        COMPLETIONS,
        method="POST",
        data=orjson.dumps({**HELLO, "stream": True}),
        headers={"Authorization": f"Bearer {KEY}"},
    ).get_environ()
    answer = b"".join(site.client.application(environ, lambda *_: None))

    assert answer.endswith(b"data: [DONE]\n\n")
    return way


def test_an_event_of_a_plain_chat_passes_few_generators(way: list[Hand]) -> None:
    """Each costs time for each piece of text, and is one more place to read."""
    generators = [hand for hand in way if hand.is_generator]

    assert "poe_proxy.gateway" in [hand.module for hand in generators]
    assert HANDS >= len(generators), generators


def test_a_plain_chat_passes_no_stage(way: list[Hand]) -> None:
    """What shapes answers is not in the way of an answer that needs no shaping."""
    assert "poe_proxy.server.delivery" in [hand.module for hand in way]
    assert [] == [hand for hand in way if hand.module.startswith("poe_proxy.shaping")]
