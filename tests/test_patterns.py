"""Every regular expression of the package takes time in proportion to its text, or says why not.

`regexes.py` judges a pattern; here they are all found, and each finding has its reason below.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

from poe_proxy.shaping import json_search, loose_json
from poe_proxy.shaping.tool_calls import parameters
from poe_proxy.upstreams.poe_web import Site, functions
from poe_proxy.upstreams.poe_web.discovery import artefacts

from .regexes import findings

PACKAGE: Final = Path(__file__).parents[1] / "poe_proxy"
#: They patch the process that imports them; neither has a pattern.
ONLY_FOR_GUNICORN: Final = {"gunicorn_conf.py", "wsgi.py"}
#: Methods that try one position after another.
AGAIN: Final = {"search", "sub", "subn", "findall", "finditer", "split"}
METHODS: Final = AGAIN | {"match", "fullmatch"}

#: Patterns that are not in the source, by module and expression, and what keeps them harmless.
NOT_IN_THE_SOURCE: Final[Mapping[tuple[str, str], str]] = {
    (
        "shaping.truncation",
        "f\"[{re.escape(''.join(self._after[0]))}]\"",
    ): "the first letters of a client's stop words: a set of single characters",
    (
        "upstreams.poe_web.site",
        "text",
    ): "the site's data; the built-in ones are judged by themselves",
}

#: What is risky, by module and pattern, and why it costs nothing here all the same.
HARMLESS: Final[Mapping[tuple[str, str], str]] = {
    # Each is matched where the last match ended; shaping/test_linear.py counts what that costs.
    ("shaping.json_search", json_search._WHITE.pattern): "before a token",
    ("shaping.json_search", json_search._BEGUN_STRING.pattern): "a string that is none is skipped",
    ("shaping.json_search", json_search._TOKEN.pattern): "one token after the other",
    ("shaping.loose_json", loose_json._CLEAN.pattern): "up to the next slip, at most twice",
    ("shaping.loose_json", loose_json._CLEAN_INSIDE.pattern): "up to the next slip",
    ("shaping.loose_json", loose_json._CLEAN_OF_WORDS.pattern): "as the one above",
    ("shaping.loose_json", loose_json._SINGLE.pattern): "a string that is none ends the reading",
    ("shaping.loose_json", loose_json._COMMENT.pattern): "a comment that is none ends the reading",
    (
        "shaping.tool_calls.parameters",
        parameters._CLOSING.pattern,
    ): "within the last 200 characters",
    # So is each of these; upstreams/poe_web/test_functions.py counts it.
    **{
        ("upstreams.poe_web.functions", one.pattern): "one that has no end ends the reading"
        for one in (functions._DOUBLE, functions._SINGLE, functions._LITERAL)
    },
    **{
        ("upstreams.poe_web.discovery.artefacts", one.pattern): "within 1,500 characters"
        for one in (artefacts._DOUBLE, artefacts._SINGLE, artefacts._TEMPLATE)
    },
    (
        "upstreams.poe_web.pages",
        r"\s*=\s*",
    ): "tried behind a name only, with the next one behind the spaces: they are read twice at most",
}


@dataclass(frozen=True)
class Found:
    """A pattern in the source, and how it is used."""

    module: str
    line: int
    #: As it is written.
    source: str
    #: None if only the running program knows it.
    pattern: re.Pattern[Any] | None
    #: Whether it is tried at one position after another, and whether up to the end.
    again: bool
    whole: bool

    @property
    def text(self) -> str:
        assert self.pattern is not None
        text: Any = self.pattern.pattern
        return text.decode("latin-1") if isinstance(text, bytes) else text


# ---- finding them


def sources() -> list[Path]:
    """The modules that can be imported by whoever likes."""
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path.name not in ONLY_FOR_GUNICORN]


def all_patterns() -> Iterator[Found]:
    for path in sources():
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        name = name.removesuffix(".__init__")
        yield from patterns_of(path.read_text("utf-8"), importlib.import_module(name))
    for name, pattern in site_patterns(Site.load()):
        yield Found("site.toml", 0, name, pattern, again=True, whole=False)


def site_patterns(value: Any, name: str = "") -> Iterator[tuple[str, re.Pattern[str]]]:
    """What the description of Poe's site holds, however deep."""
    if isinstance(value, re.Pattern):
        yield name, value
    elif is_dataclass(value):
        for one in fields(value):
            yield from site_patterns(getattr(value, one.name), one.name)


def patterns_of(source: str, module: ModuleType) -> Iterator[Found]:
    tree = ast.parse(source)
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        function = node.func if isinstance(node, ast.Call) else None
        if not (
            isinstance(function, ast.Attribute)
            and isinstance(function.value, ast.Name)
            and function.value.id == "re"
            and function.attr in METHODS | {"compile"}
        ):
            continue
        assert isinstance(node, ast.Call)
        pattern = pattern_of(node, module)
        name = function.attr
        used = uses(node, parents) if name == "compile" else {name}
        yield Found(
            module.__name__.removeprefix("poe_proxy."),
            node.lineno,
            ast.unparse(node.args[0]),
            pattern,
            again=bool(used & (AGAIN | {"match on", "elsewhere"})),
            whole=bool(used & {"fullmatch", "elsewhere"}),
        )


def pattern_of(call: ast.Call, module: ModuleType) -> re.Pattern[Any] | None:
    """What the call compiles, its arguments read where they stand; None if that cannot be."""
    assert isinstance(call.func, ast.Attribute)
    # Where the flags are, if they are no keyword.
    place = {"compile": 1, "sub": 4, "subn": 4, "split": 3}.get(call.func.attr, 2)
    given = [one.value for one in call.keywords if one.arg == "flags"] + call.args[place:]
    names: dict[str, Any] = {}
    for value in vars(module).values():
        if isinstance(value, type) and value.__module__ == module.__name__:
            names |= vars(value)
    try:
        text, *flags = (
            eval(compile(ast.Expression(one), module.__name__, "eval"), {**names, **vars(module)})
            for one in (call.args[0], *given)
        )
    except NameError:
        return None
    return re.compile(text, *flags)


def uses(compiled: ast.Call, parents: Mapping[ast.AST, ast.AST]) -> set[str]:
    """The methods that are called on what is compiled; `match on` is one from a position on.

    `elsewhere`: it goes where it cannot be followed, which is beyond a function of its own module.
    """
    holder = parents[compiled]
    targets = [holder.target] if isinstance(holder, ast.AnnAssign) else []
    targets += holder.targets if isinstance(holder, ast.Assign) else []
    names = {one.id for one in targets if isinstance(one, ast.Name)}
    if not names:
        return {"elsewhere"}
    found = set()
    own = {node for node in parents.values() if isinstance(node, ast.Module)}
    for tree in own.union(trees()):
        for name in names:
            for node in reads_in(tree).get(name, ()):
                # Another module may have a name of its own that is the same.
                if tree in own or isinstance(node, ast.Attribute) or not name.startswith("_"):
                    found |= use_of(node, tree)
    return found or {"elsewhere"}


def use_of(node: ast.AST, tree: ast.Module) -> set[str]:
    parents = parents_in(tree)
    attribute = parents[node]
    if isinstance(attribute, ast.Call) and node in attribute.args:
        return uses_in(attribute, attribute.args.index(node), tree)
    if not isinstance(attribute, ast.Attribute) or attribute.attr not in METHODS:
        return {"elsewhere"}
    call = parents[attribute]
    if attribute.attr == "match" and not (isinstance(call, ast.Call) and len(call.args) == 1):
        return {"match on"}
    return {attribute.attr}


def uses_in(call: ast.Call, place: int, tree: ast.Module) -> set[str]:
    """The methods that a function calls on its argument number *place*."""
    called = call.func.id if isinstance(call.func, ast.Name) else ""
    for function in tree.body:
        if isinstance(function, ast.FunctionDef) and function.name == called:
            name = function.args.args[place].arg
            return {
                use
                for node in ast.walk(function)
                if isinstance(node, ast.Name) and node.id == name
                for use in use_of(node, tree)
            }
    return {"elsewhere"}


@cache
def trees() -> list[ast.Module]:
    return [ast.parse(path.read_text("utf-8")) for path in sorted(PACKAGE.rglob("*.py"))]


@cache
def reads_in(tree: ast.Module) -> Mapping[str, list[ast.AST]]:
    """Where a name, or an attribute of that name, is read."""
    found: dict[str, list[ast.AST]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            name = node.id if isinstance(node, ast.Name) else node.attr
            found.setdefault(name, []).append(node)
    return found


@cache
def parents_in(tree: ast.Module) -> Mapping[ast.AST, ast.AST]:
    return {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}


# ---- those of the package


@cache
def found() -> list[Found]:
    return list(all_patterns())


def test_no_pattern_takes_more_time_than_its_text() -> None:
    """What `regexes.py` finds is in the list above, with its reason, and nothing else is."""
    risky = {
        (one.module, one.text): risks
        for one in found()
        if one.pattern is not None
        and (risks := findings(one.pattern, again=one.again, whole=one.whole))
    }

    assert {} == {key: risks for key, risks in risky.items() if key not in HARMLESS}
    assert [] == [key for key in HARMLESS if key not in risky]


def test_what_only_the_running_program_knows_is_listed() -> None:
    """A pattern that a client, or a file, brings along."""
    unknown = {(one.module, one.source) for one in found() if one.pattern is None}

    assert NOT_IN_THE_SOURCE.keys() == unknown


def test_each_pattern_is_found() -> None:
    """Whatever way it was made: all that the modules and their classes hold is among them."""
    known = {one.pattern for one in found()}
    held = set()
    for path in sources():
        tree = ast.parse(path.read_text("utf-8"))
        # Under another name its functions would not be seen.
        assert not [one for one in ast.walk(tree) if is_import_from_re(one)], path
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        module = importlib.import_module(name.removesuffix(".__init__"))
        for value in vars(module).values():
            held |= patterns_in(value)
            if isinstance(value, type):
                held |= {one for each in vars(value).values() for one in patterns_in(each)}

    assert len(held) > 20
    assert {one for one in held if one not in known} == set()


def is_import_from_re(node: ast.AST) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "re"


def patterns_in(value: Any) -> set[re.Pattern[Any]]:
    """What is in a value: itself, or the parts of a table."""
    if isinstance(value, re.Pattern):
        return {value}
    parts: Any = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict | list | tuple | set | frozenset):
        return {pattern for part in parts for pattern in patterns_in(part)}
    return set()


# ---- how they are found


SOURCE = """
import re

WORD = "[a-z]+"

class Reader:
    _END = re.compile(rf"{WORD}x")

    def go(self, text, at):
        return self._END.match(text, at)

_ONE = re.compile("one", re.I)
_TWO: object = re.compile(b"two")
_THREE = re.compile("passed on")
_MANY = (re.compile("three"), re.compile("four"))

def end_of(text, pattern, at):
    return pattern.match(text, at).end()

def use(text, given):
    end_of(text, _THREE, 3)
    _ONE.match(text)
    _TWO.fullmatch(text)
    re.search(WORD + "$", text, flags=re.M)
    re.sub("five", "", text, 0, re.S)
    re.compile(given)
"""


def test_a_pattern_is_found_with_its_use() -> None:
    """What is put together of names, too; and one that is passed on counts as used in any way."""
    module = ModuleType("poe_proxy.example")
    exec(SOURCE, vars(module))
    seen = {
        one.pattern.pattern if one.pattern else one.source: (one.again, one.whole)
        for one in patterns_of(SOURCE, module)
    }
    flags = {
        one.pattern.flags & (re.I | re.M | re.S)
        for one in patterns_of(SOURCE, module)
        if one.pattern
    }

    assert {
        "[a-z]+x": (True, False),
        "one": (False, False),
        b"two": (False, True),
        "passed on": (True, False),
        "three": (True, True),
        "four": (True, True),
        "[a-z]+$": (True, False),
        "five": (True, False),
        "given": (True, True),
    } == seen
    assert {0, re.I, re.M, re.S} == flags


# ---- how they are judged


@pytest.mark.parametrize(
    ("pattern", "risks"),
    [
        # Nested repeats, and alternatives that overlap.
        ("(a+)+$", {"exponential", "overlap"}),
        ("(?:a*)*b", {"exponential"}),
        ("(a|a)*b", {"exponential"}),
        ("(?:a|ab|b)*c", {"exponential", "overlap"}),
        (r"(?:\s*\w+)*x", {"exponential", "overlap"}),
        ("(?:a?b?)*c", {"exponential"}),
        (r"(?i:a\d|A\w)*b", {"exponential", "overlap"}),
        ("(?:(?:a+)+b)*+c", {"exponential", "overlap"}),
        # Repeats beside each other.
        ("a*a*b", {"overlap"}),
        ("a*?a*?b", {"overlap"}),
        (r"\s*,?\s*x", {"overlap"}),
        (r"\s*(?:```)?\s*x", {"overlap"}),
        (".*foo.*bar", {"overlap"}),
        (r".*\n*x(?s:.*)y", {"overlap"}),
        ("a{0,1001}a{0,1001}b", {"overlap"}),
        ("a*(?=a*b)c", {"overlap"}),
        (r"(a+)\1b", {"overlap"}),
        ("(x)?(?(1)a*|b*)a*c", {"overlap"}),
        ("(x)?(?(1)a*)b*c", set()),
        ("(?!)|a*b", set()),
        # None of these.
        (r"(?:\w+ )*x", set()),
        ("(?:a|b)*c", set()),
        ("(?>a*)a*b", set()),
        (r"\s*+\s*x", set()),
        (r"\s*+,?+\s*+x", set()),
        (".*foo.*", set()),
        ("a{0,1000}a{0,1000}b", set()),
        (r"[^,]*,[^,]*,x", set()),
        ("a*b*", set()),
    ],
)  # fmt: skip
def test_a_match_is_judged(pattern: str, risks: set[str]) -> None:
    """One that is tried at one position only."""
    assert risks == findings(re.compile(pattern), again=False)


@pytest.mark.parametrize(
    ("pattern", "risks"),
    [
        ("a*b", {"restarts"}),
        ("a*+b", {"restarts"}),
        (r"\s+$", {"restarts"}),
        (r"\d+(?=x)", {"restarts"}),
        ("x(?:.*y)?", {"restarts"}),
        ("(?:ab)+c", {"restarts"}),
        ("(?:ab)+", set()),
        ("(?:ab)++", set()),
        ("xa{0,9}x[xa]*b", {"restarts"}),
        ("<script[^>]*>", {"restarts"}),
        (r'"(?:[^"\\]|\\.)*+"', {"restarts"}),
        (r"(?m)^\s*x", {"restarts"}),
        (r"\w+@\w+", {"restarts"}),
        ("a*", set()),
        (r"\A\s*x", set()),
        (r"(^a*)b", set()),
        ('"[^"]*"', set()),
        ("<script[^<>]*>", set()),
        (r",(?=\s*+[}\]])", set()),
        ("a{0,50}b", set()),
        (r"\w+", set()),
    ],
)  # fmt: skip
def test_a_search_is_judged(pattern: str, risks: set[str]) -> None:
    """It begins anew behind each start, and may read the same text again each time."""
    assert risks == findings(re.compile(pattern), again=True)


def test_what_has_to_reach_the_end_can_fail_there() -> None:
    """`fullmatch` tries all ways, where `match` takes the first."""
    pattern = re.compile("a*,?a*")

    assert set() == findings(pattern, again=False)
    assert {"overlap"} == findings(pattern, again=False, whole=True)


def test_patterns_of_bytes_are_judged_too() -> None:
    assert {"overlap"} == findings(re.compile(rb"\w*\d*x"), again=False)
    assert set() == findings(re.compile(rb"\w*\xe4*x"), again=False)
