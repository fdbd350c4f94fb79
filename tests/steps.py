"""Counts the steps of code under test: not seconds, so the figure is the same on every machine.

`Counted` makes copies of modules of the product in which each function counts what it does:

- a statement, a call, a turn of a comprehension: one step
- what C does to a text, a list or bytes: a step for each character or item that it looks at or
  copies, so `text[1:]`, `a + b`, `"".join(...)`, `text.replace(...)` cost what they make, `find`
  and `in` cost what they pass over, `startswith` costs the beginning that it is given
- a regular expression: a step for each character that is held against it, on every way that is
  tried. `_Matcher` tries them in the order in which `re` does; that both find the same is asserted
- a function that is not counted, such as `json.loads`: a step for each character that it is given,
  or that comes out of it, as if it were linear

What is not seen: the hashing and comparing of keys, and what `for` and `yield from` take out of an
iterator that is not counted.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import operator
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from re import _constants as kinds
from re import _parser as parser
from types import FunctionType, ModuleType
from typing import Any, Final

_NAME: Final = "__steps__"


class Counted:
    """Copies of modules that count their steps; a module comes behind those that it imports."""

    def __init__(self, *names: str, **sources: str) -> None:
        """Copy the modules of these *names*; make others of the *sources*, by name.

        At first use: every worker collects all tests, and few run those that count.
        """
        self.steps = 0
        self._names = names
        self._sources = sources
        self._modules: dict[str, ModuleType] = {}

    def __getitem__(self, name: str) -> Any:
        """The copy of the module of this name, or whose name ends so."""
        self._copy()
        (found,) = [
            module
            for full, module in self._modules.items()
            if full == name or full.endswith(f".{name}")
        ]
        return found

    def of(self, act: Callable[[], object]) -> int:
        """Return how many steps *act* takes."""
        self._copy()
        before = self.steps
        act()
        return self.steps - before

    def _copy(self) -> None:
        if self._modules:
            return
        for name in self._names:
            spec = importlib.util.find_spec(name)
            assert spec is not None
            assert spec.origin is not None
            self._add(name, Path(spec.origin).read_text("utf-8"))
        for name, source in self._sources.items():
            self._add(name, source)

    def _add(self, name: str, source: str) -> None:
        tree = ast.fix_missing_locations(_Transformer().visit(ast.parse(source)))
        module = ModuleType(name)
        setattr(module, _NAME, _Counter(self))
        self._modules[name] = module
        with self._instead_of_the_real_ones():
            exec(compile(tree, f"counted {name}", "exec"), module.__dict__)
        for owner in (module, *_classes(module)):
            for key, value in list(vars(owner).items()):
                if isinstance(value, re.Pattern):
                    setattr(owner, key, _Pattern(value, self))

    @contextmanager
    def _instead_of_the_real_ones(self) -> Iterator[None]:
        """Let the copies be found by those that import them."""
        real = {name: sys.modules.get(name) for name in self._modules}
        try:
            for name, module in self._modules.items():
                _put(name, module)
            yield
        finally:
            # A package before its modules, which are its attributes.
            for name, module in reversed(real.items()):
                _put(name, module)


def _put(name: str, module: ModuleType | None) -> None:
    package, _, own = name.rpartition(".")
    parent = sys.modules.get(package)
    if module is None:
        sys.modules.pop(name, None)
        if parent is not None:
            vars(parent).pop(own, None)  # or it would be found there in place of the real one
        return
    sys.modules[name] = module
    if parent is not None:
        setattr(parent, own, module)


def _classes(module: ModuleType) -> list[type]:
    own = [value for value in vars(module).values() if isinstance(value, type)]
    return [value for value in own if value.__module__ == module.__name__]


# ---- the code


class _Transformer(ast.NodeTransformer):
    """Rewrites functions so that they tell a `_Counter` what they do."""

    def __init__(self) -> None:
        self._depth = 0

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self._depth += 1
        node.body = self._counted(node.body)
        self._depth -= 1
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        self._depth += 1
        node.body = self.visit(node.body)
        self._depth -= 1
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is not None:
            node.value = self.visit(node.value)
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if not self._depth:
            return super().generic_visit(node)
        for name, value in ast.iter_fields(node):
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                setattr(node, name, self._counted(value))
            elif isinstance(value, list):
                setattr(node, name, [self._maybe(one) for one in value])
            elif isinstance(value, ast.AST):
                setattr(node, name, self.visit(value))
        return node

    def _maybe(self, value: Any) -> Any:
        return self.visit(value) if isinstance(value, ast.AST) else value

    def _counted(self, body: list[ast.stmt]) -> list[ast.stmt]:
        counted: list[ast.stmt] = []
        for statement in body:
            counted += [ast.Expr(_tell("one")), self.visit(statement)]
        return counted

    def visit_pattern(self, node: ast.AST) -> ast.AST:
        return node

    visit_MatchValue = visit_MatchClass = visit_MatchOr = visit_MatchSequence = visit_pattern
    visit_MatchMapping = visit_MatchAs = visit_MatchSingleton = visit_pattern

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if not self._depth or ast.unparse(node.func) == "super":
            return node
        if isinstance(node.func, ast.Attribute):
            told = _tell("method", node.func.value, ast.Constant(node.func.attr))
        else:
            told = _tell("call", node.func)
        told.args += node.args
        told.keywords = node.keywords
        return told

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        if not self._depth or not isinstance(node.ctx, ast.Load):
            return node
        return _tell("item", node.value, _index(node.slice))

    def visit_Delete(self, node: ast.Delete) -> ast.AST:
        self.generic_visit(node)
        (target,) = node.targets
        if not self._depth or not isinstance(target, ast.Subscript):
            return node
        return ast.Expr(_tell("delete", target.value, _index(target.slice)))

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if not self._depth or not isinstance(node.op, ast.Add | ast.Mult):
            return node
        return _tell("plus" if isinstance(node.op, ast.Add) else "times", node.left, node.right)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        if not self._depth or not isinstance(node.op, ast.Add):
            return node
        load = ast.parse(ast.unparse(node.target), mode="eval").body
        return ast.Assign([node.target], _tell("plus_in_place", load, node.value))

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        self.generic_visit(node)
        if self._depth and any(isinstance(one, ast.Starred) for one in ast.walk(node.targets[0])):
            node.value = _tell("made", node.value)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        names = {ast.In: "contains", ast.NotIn: "lacks", ast.Eq: "same", ast.NotEq: "differ"}
        name = names.get(type(node.ops[0]))
        if not self._depth or len(node.ops) > 1 or name is None:
            return node
        return _tell(name, node.left, node.comparators[0])

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        self.generic_visit(node)
        if self._depth:
            node.iter = _tell("each", node.iter)
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return self._made(node)

    def visit_Tuple(self, node: ast.Tuple) -> ast.AST:
        return self._made(node) if isinstance(node.ctx, ast.Load) else node

    def visit_List(self, node: ast.List) -> ast.AST:
        return self._made(node) if isinstance(node.ctx, ast.Load) else node

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        return self._made(node)

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.AST:
        node.value = self.visit(node.value)
        return node

    def _made(self, node: ast.expr) -> ast.AST:
        self.generic_visit(node)
        return _tell("made", node) if self._depth else node


def _tell(name: str, *args: ast.expr) -> ast.Call:
    function = ast.Attribute(ast.Name(_NAME, ast.Load()), name, ast.Load())
    return ast.Call(function, list(args), [])


def _index(node: ast.expr) -> ast.expr:
    if not isinstance(node, ast.Slice):
        return node
    ends = [one or ast.Constant(None) for one in (node.lower, node.upper, node.step)]
    return ast.Call(ast.Name("slice", ast.Load()), ends, [])


# ---- what it costs


class _Counter:
    """What rewritten code calls in place of what it would do by itself."""

    def __init__(self, owner: Counted) -> None:
        self._owner = owner

    def one(self) -> None:
        self._owner.steps += 1

    def add(self, steps: int) -> None:
        self._owner.steps += max(1, steps)

    def each(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self.one()
            yield item

    def made(self, value: Any) -> Any:
        self.add(_size(value))
        return value

    def plus(self, one: Any, other: Any) -> Any:
        return self.made(one + other)

    def times(self, one: Any, other: Any) -> Any:
        return self.made(one * other)

    def plus_in_place(self, one: Any, other: Any) -> Any:
        before = _size(one) if isinstance(one, list | deque) else 0
        value = operator.iadd(one, other)
        self.add(_size(value) - before)
        return value

    def item(self, holder: Any, index: Any) -> Any:
        value = holder[index]
        self.add(_size(value) if isinstance(index, slice) or isinstance(holder, re.Match) else 1)
        return value

    def delete(self, holder: Any, index: Any) -> None:
        self.add(_size(holder[index]) if isinstance(index, slice) else 1)
        del holder[index]

    def contains(self, item: Any, holder: Any) -> bool:
        if isinstance(holder, str | bytes):
            at = holder.find(item)
            self.add(len(holder) if at < 0 else at + len(item))
        elif isinstance(holder, list | tuple):
            for other in holder:
                self.one()
                if self.same(item, other):
                    break
        return item in holder

    def lacks(self, item: Any, holder: Any) -> bool:
        return not self.contains(item, holder)

    def same(self, one: Any, other: Any) -> bool:
        if isinstance(one, str | bytes) and _size(one) == _size(other):
            differ = (n for n, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
            self.add(next(differ, len(one)))
        elif isinstance(one, list | tuple | dict):
            self.add(len(one))
        return bool(one == other)

    def differ(self, one: Any, other: Any) -> bool:
        return not self.same(one, other)

    def method(self, holder: Any, name: str, /, *args: Any, **named: Any) -> Any:
        if holder is re:
            return self._of_re(name, *args, **named)
        if holder is json:
            return self._uncounted(getattr(json, name), *args, **named)
        if not isinstance(holder, _COSTLY):
            return getattr(holder, name)(*args, **named)
        before = _size(holder)
        value = getattr(holder, name)(*args, **named)
        if isinstance(holder, str | bytes):
            self.add(_cost_of_text(holder, name, args, value))
        elif isinstance(holder, list | deque):
            self.add(before if name in _WHOLE_LISTS else _size(holder) - before)
        elif isinstance(holder, dict | set) and name in ("update", "copy"):
            self.add(_size(args[0]) if args else before)
        elif isinstance(holder, ModuleType):
            self.add(_texts(args) + _size(value))
        return value

    def call(self, function: Any, /, *args: Any, **named: Any) -> Any:
        if function in _TAKERS:
            self.add(sum(map(_size, args)))
        elif isinstance(function, FunctionType) and _NAME not in function.__globals__:
            return self._uncounted(function, *args, **named)
        return function(*args, **named)

    def _uncounted(self, function: Any, /, *args: Any, **named: Any) -> Any:
        self.add(_texts(args))
        value = function(*args, **named)
        self.add(_texts((value,)))
        return value

    def _of_re(self, name: str, pattern: str, *args: Any, flags: int = 0) -> Any:
        if name == "escape":
            return re.escape(pattern)
        if name == "compile":
            return _Pattern(re.compile(pattern, *args, flags=flags), self._owner)
        if len(args) > 1 and name != "sub":
            args, flags = args[:1], args[1]
        return getattr(_Pattern(re.compile(pattern, flags=flags), self._owner), name)(*args)


#: Those whose methods cost more than a call.
_COSTLY: Final = (str, bytes, list, deque, dict, set, ModuleType)
#: Functions of C's that go through what they are given.
_TAKERS: Final = (
    list, tuple, set, frozenset, dict, deque, sorted, sum, any, all, min, max, map, filter, zip,
    enumerate, reversed, bytes, bytearray,
)  # fmt: skip
#: Methods of lists that go through all of it.
_WHOLE_LISTS: Final = {"remove", "index", "count", "copy", "sort", "insert", "reverse", "clear"}
#: Methods of texts that do not: what they pass over depends on what they find.
_FINDERS: Final = {"find", "index", "rfind", "rindex"}


def _size(value: Any) -> int:
    return len(value) if hasattr(value, "__len__") else 0


def _texts(values: Iterable[Any]) -> int:
    return sum(len(value) for value in values if isinstance(value, str | bytes))


def _cost_of_text(text: Any, name: str, args: Sequence[Any], value: Any) -> int:
    bounds = [one for one in args[1:3] if isinstance(one, int)]
    start, end, _ = slice(*(*bounds, None, None)[:2]).indices(len(text))
    match name:
        case "find" | "index":
            return (end - start if value < 0 else value - start) + len(args[0])
        case "rfind" | "rindex":
            return (end - start if value < 0 else end - value) + len(args[0])
        case "count":
            return end - start
        case "startswith" | "endswith":
            return sum(map(len, args[0])) if isinstance(args[0], tuple) else len(args[0])
        case "join":
            # A text alone is not copied.
            return 1 if _size(args[0]) == 1 else len(value)
        case "isspace" | "isalnum" | "isdigit":
            return next((n for n, one in enumerate(text, 1) if not getattr(one, name)()), len(text))
        case "strip" | "lstrip" | "rstrip" | "removeprefix" | "removesuffix":
            # An unchanged text is not copied.
            return len(text) if value != text else 1
    return len(text)


# ---- regular expressions


class _Pattern:
    """A pattern that counts what is held against it."""

    def __init__(self, real: re.Pattern[Any], owner: Counted) -> None:
        self.pattern, self.flags = real.pattern, real.flags
        self._real = real
        self._matcher = _Matcher(real)
        self._owner = owner

    def match(self, text: str, pos: int = 0, endpos: int = sys.maxsize) -> re.Match[Any] | None:
        found = self._real.match(text, pos, endpos)
        self._count(found, text, range(pos, pos + 1), endpos)
        return found

    def fullmatch(self, text: str, pos: int = 0, endpos: int = sys.maxsize) -> re.Match[Any] | None:
        found = self._real.fullmatch(text, pos, endpos)
        self._count(found, text, range(pos, pos + 1), endpos, whole=True)
        return found

    def search(self, text: str, pos: int = 0, endpos: int = sys.maxsize) -> re.Match[Any] | None:
        found = self._real.search(text, pos, endpos)
        self._count(found, text, range(pos, min(len(text), endpos) + 1), endpos)
        return found

    def sub(self, instead: Any, text: str) -> str:
        pos = 0
        while pos <= len(text) and (found := self.search(text, pos)):
            pos = found.end() + (not found[0])
        value = self._real.sub(instead, text)
        self._owner.steps += len(value)
        return value

    def _count(
        self,
        found: re.Match[Any] | None,
        text: str,
        starts: range,
        endpos: int,
        whole: bool = False,
    ) -> None:
        for start in starts:
            self._owner.steps += 1
            end = self._matcher.end(text, start, min(len(text), endpos), whole)
            if end is not None:
                assert found is not None, self.pattern
                assert found.span() == (start, end), self.pattern
                break
        else:
            assert found is None, self.pattern
        self._owner.steps += self._matcher.take()


_Go = Callable[[int], int | None]


class _Matcher:
    """Tries a pattern as `re` does, way by way."""

    def __init__(self, pattern: re.Pattern[Any]) -> None:
        self._nodes = _plain(parser.parse(pattern.pattern, pattern.flags))
        self._is_caseless, self._is_by_line, self._is_any_a_newline = (
            bool(pattern.flags & flag) for flag in (re.IGNORECASE, re.MULTILINE, re.DOTALL)
        )
        self._steps = 0
        self._text = ""
        self._end = 0
        #: What each group took last.
        self._groups: dict[int, str] = {}
        #: Whether a node takes a letter, once that was asked.
        self._taken: dict[tuple[int, str], bool] = {}

    def take(self) -> int:
        """Return the steps since the last time."""
        steps, self._steps = self._steps, 0
        return steps

    def end(self, text: str, start: int, end: int, whole: bool) -> int | None:
        """Return where a match that begins at *start* ends."""
        self._text, self._end = text, end
        self._groups = {}
        return self._all(self._nodes, start, lambda at: at if at == end or not whole else None)

    def _all(self, nodes: Sequence[Any], at: int, go: _Go, place: int = 0) -> int | None:
        while place < len(nodes) and nodes[place][0] in _LETTERS:
            if not self._takes(nodes[place], at):
                return None
            at, place = at + 1, place + 1
        if place == len(nodes):
            return go(at)
        return self._one(nodes[place], at, lambda then: self._all(nodes, then, go, place + 1))

    def _one(self, node: Any, at: int, go: _Go) -> int | None:
        kind, value = node
        match kind:
            case kinds.BRANCH:
                ends = (self._all(branch, at, go) for branch in value[1])
                return next((end for end in ends if end is not None), None)
            case kinds.SUBPATTERN:
                group, added, removed, nodes = value
                assert not added, "flags within a pattern"
                assert not removed, "flags within a pattern"
                return self._all(nodes, at, lambda end: self._group(group, at, end, go))
            case kinds.GROUPREF:
                said = self._groups.get(value)
                if said is None or not self._text.startswith(said, at, self._end):
                    return None
                self._steps += len(said)
                return go(at + len(said))
            case kinds.GROUPREF_EXISTS:
                group, there, missing = value
                return self._all(there if group in self._groups else missing or (), at, go)
            case kinds.ATOMIC_GROUP:
                end = self._all(value, at, _stay)
                return None if end is None else go(end)
            case kinds.MAX_REPEAT | kinds.POSSESSIVE_REPEAT:
                return self._repeat(node, at, go)
            case kinds.MIN_REPEAT:
                return self._repeat_as_little(value, at, go)
            case kinds.ASSERT | kinds.ASSERT_NOT:
                distance, nodes = value
                start = at - distance
                holds = start >= 0 and self._all(nodes, start, _stay) is not None
                return go(at) if holds == (kind is kinds.ASSERT) else None
            case kinds.AT:
                self._steps += 1
                return go(at) if self._is_at(value, at) else None
        assert kind is kinds.FAILURE, kind
        return None

    def _group(self, group: int | None, start: int, end: int, go: _Go) -> int | None:
        """Go on behind a group; what it took counts for as long as that leads somewhere."""
        before = dict(self._groups)
        if group is not None:
            self._groups[group] = self._text[start:end]
        found = go(end)
        if found is None:
            self._groups = before
        return found

    def _repeat_as_little(self, value: Any, at: int, go: _Go) -> int | None:
        least, most, nodes = value
        most = sys.maxsize if most == kinds.MAXREPEAT else most

        def again(then: int, times: int) -> int | None:
            found = go(then) if times >= least else None
            if found is not None or times >= most:
                return found
            return self._all(
                nodes,
                then,
                lambda end: again(end, times + 1) if end > then or times < least else None,
            )

        return again(at, 0)

    def _repeat(self, node: Any, at: int, go: _Go) -> int | None:
        kind, (least, most, nodes) = node
        most = sys.maxsize if most == kinds.MAXREPEAT else most
        if len(nodes) == 1 and nodes[0][0] in _LETTERS:
            longest = at
            while longest - at < most and self._takes(nodes[0], longest):
                longest += 1
            shortest = longest if kind is kinds.POSSESSIVE_REPEAT else at + least
            ends = (go(one) for one in range(longest, max(shortest, at + least) - 1, -1))
            return next((end for end in ends if end is not None), None)
        if kind is kinds.POSSESSIVE_REPEAT:
            times = 0
            while times < most and (end := self._all(nodes, at, _stay)) is not None:
                times += 1
                if end == at:
                    break
                at = end
            return go(at) if times >= least else None

        def again(then: int, times: int) -> int | None:
            if times < most:
                more = self._all(
                    nodes, then, lambda end: again(end, times + 1) if end > then else None
                )
                if more is not None:
                    return more
            return go(then) if times >= least else None

        return again(at, 0)

    def _takes(self, node: Any, at: int) -> bool:
        self._steps += 1
        if at >= self._end:
            return False
        letter = self._text[at]
        known = id(node), letter
        if known not in self._taken:
            self._taken[known] = self._is_taken(node, letter)
        return self._taken[known]

    def _is_taken(self, node: Any, letter: str) -> bool:
        kind, value = node
        match kind:
            case kinds.ANY:
                return self._is_any_a_newline or letter != "\n"
            case kinds.LITERAL:
                return self._like(letter, value)
            case kinds.NOT_LITERAL:
                return not self._like(letter, value)
        negated = value[0][0] is kinds.NEGATE
        return negated != any(self._is_in(letter, one) for one in value[negated:])

    def _is_in(self, letter: str, node: Any) -> bool:
        kind, value = node
        match kind:
            case kinds.LITERAL:
                return self._like(letter, value)
            case kinds.RANGE:
                low, high = value
                return any(low <= ord(one) <= high for one in self._cases(letter))
        return bool(re.match(_CATEGORIES[value], letter))

    def _like(self, letter: str, code: int) -> bool:
        return chr(code) in self._cases(letter)

    def _cases(self, letter: str) -> tuple[str, ...]:
        return (letter, letter.lower(), letter.upper()) if self._is_caseless else (letter,)

    def _is_at(self, where: Any, at: int) -> bool:
        match where:
            case kinds.AT_BEGINNING_STRING:
                return at == 0
            case kinds.AT_BEGINNING:
                return at == 0 or (self._is_by_line and self._text[at - 1] == "\n")
            case kinds.AT_END_STRING:
                return at == self._end
            case kinds.AT_END:
                rest = self._text[at : self._end]
                return rest in ("", "\n") or (self._is_by_line and rest[0] == "\n")
        is_boundary = self._is_word(at - 1) != self._is_word(at)
        assert where in (kinds.AT_BOUNDARY, kinds.AT_NON_BOUNDARY), where
        return is_boundary == (where is kinds.AT_BOUNDARY)

    def _is_word(self, at: int) -> bool:
        return 0 <= at < self._end and bool(re.match(r"\w", self._text[at]))


def _plain(given: Any) -> Any:
    """Return what `re` parsed as lists and tuples; a lookaround has the number of characters that
    it looks back in place of its direction."""
    match given:
        case parser.SubPattern():
            return [_plain(node) for node in given.data]
        case (kinds.ASSERT | kinds.ASSERT_NOT as kind, (direction, nodes)):
            return kind, (nodes.getwidth()[0] if direction < 0 else 0, _plain(nodes))
        case tuple() | list():
            return type(given)(map(_plain, given))
    return given


def _stay(at: int) -> int | None:
    return at


#: What takes one letter.
_LETTERS: Final = {kinds.LITERAL, kinds.NOT_LITERAL, kinds.IN, kinds.ANY}

_CATEGORIES: Final = {
    kinds.CATEGORY_DIGIT: r"\d",
    kinds.CATEGORY_NOT_DIGIT: r"\D",
    kinds.CATEGORY_SPACE: r"\s",
    kinds.CATEGORY_NOT_SPACE: r"\S",
    kinds.CATEGORY_WORD: r"\w",
    kinds.CATEGORY_NOT_WORD: r"\W",
}


# ---- how it grows

#: How many times as many steps four times as much may take: four, and a little for what is odd.
FACTOR: Final = 5
#: Steps that do not count: what is done once.
ONCE: Final = 500


def grows_linearly(steps_of: Callable[[int], int], size: int) -> tuple[int, int, int] | None:
    """Return None if *steps_of* a size grows with the size; else the steps at 1, 2 and 4 times
    *size*."""
    once, four_times = steps_of(size), steps_of(4 * size)
    if four_times <= FACTOR * once + ONCE:
        return None
    return once, steps_of(2 * size), four_times
