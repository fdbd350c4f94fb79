"""Functions that a script puts on the window, cut out of its text.

For scripts that cannot run here as a whole: they want a page around them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import orjson

from poe_proxy.budget import Budget
from poe_proxy.upstreams.bulk import matches

#: The most functions of one script that are looked at, and characters of each; longer ones are
#: left out.
MAX_FUNCTIONS: Final = 50
MAX_FUNCTION: Final = 64_000

_WINDOW: Final = r"""(?:window|self|globalThis)(?:\.([\w$]{1,100})|\[["']([\w$]{1,100})["']\])"""
_NAME: Final = re.compile(_WINDOW)
_BEGINNING: Final = re.compile(
    rf"(?<![\w$.]){_WINDOW}"
    r"\s{0,8}=\s{0,8}(?:async\s{1,8})?(function\b[^(]{0,100}(?=\()|(?=\()|[\w$]{1,100}\s{0,8}=>)"
)
_BODY: Final = re.compile(r"\s{0,8}(?=\{)")
_ARROW: Final = re.compile(r"\s{0,8}=>\s{0,8}")

#: What ends the text between two tokens that count: in code, and in a template.
_IN_CODE: Final = re.compile(r"""["'`/()\[\]{},;]""")
_IN_TEMPLATE: Final = re.compile(r"`|\\|\$\{")
_DOUBLE: Final = re.compile(r'"(?:[^"\\\n]|\\.)*+"', re.DOTALL)
_SINGLE: Final = re.compile(r"'(?:[^'\\\n]|\\.)*+'", re.DOTALL)
_LITERAL: Final = re.compile(r"/(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*+\])++/")
#: What stands before a slash that divides; any other slash begins a regular expression.
_OPERAND: Final = re.compile(r"[\w$\])}\"'`]\s{0,8}\Z")
_WORD: Final = re.compile(r"\b(?:return|typeof|case|in|of|void|throw|new|else|do)\s{0,8}\Z")
_CLOSES: Final = {"(": ")", "[": "]", "{": "}", "${": "}"}


def extract_functions(text: str, budget: Budget) -> tuple[str, ...]:
    """Return the statements `window.<name>=function…` that stand in *text*, arrow functions and
    `window["<name>"]=…` included, at most `MAX_FUNCTIONS`.

    What a function needs of the code around it is not there. Raises `OutOfBudget`.
    """
    found: list[str] = []
    looked_at = end = 0
    for beginning in matches(_BEGINNING, text, budget):
        if beginning.start() < end:
            continue  # within the one before
        if looked_at == MAX_FUNCTIONS:
            break
        looked_at += 1
        until = min(len(text), beginning.start() + MAX_FUNCTION)
        end = Reader(text, until, budget).end_of_function(beginning.end(), beginning[3])
        if end:
            found.append(text[beginning.start() : end])
    return tuple(found)


def unless_there(functions: Iterable[str]) -> tuple[str, ...]:
    """Return *functions*, as `extract_functions` returns them, each as a script that only puts its
    function on the window if there is none of this name. Any other code stays as it is."""
    guarded = []
    for one in functions:
        if found := _NAME.match(one):
            name = orjson.dumps(found[1] or found[2]).decode()
            one = f'if(typeof window[{name}]!="function"){{{one}\n}}'
        guarded.append(one)
    return tuple(guarded)


class Reader:
    """Finds where code ends that begins somewhere. Each character is looked at a few times at
    most, and each call may raise `OutOfBudget`."""

    def __init__(self, text: str, until: int, budget: Budget) -> None:
        """Read *text*, but nothing behind *until*."""
        self._text = text
        self._until = until
        self._budget = budget

    def end_of_function(self, at: int, beginning: str) -> int:
        """Return the end of the function whose parameters, or body if it is `x=>`, begin at *at*.
        0 if it has none, or is no function."""
        if beginning.endswith("=>"):
            return self._end_of_body(at)
        at = self._end(at, is_bracket=True)
        if not at:
            return 0
        if beginning:
            body = _BODY.match(self._text, at, self._until)
            return self._end(body.end(), is_bracket=True) if body else 0
        arrow = _ARROW.match(self._text, at, self._until)
        return self._end_of_body(arrow.end()) if arrow else 0

    def _end_of_body(self, at: int) -> int:
        """Return the end of an arrow function's body: a block, or an expression."""
        if block := _BODY.match(self._text, at, self._until):
            return self._end(block.end(), is_bracket=True)
        return self.end_of_expression(at)

    def end_of_expression(self, at: int) -> int:
        """Return where the comma, semicolon or bracket is that ends the expression at *at*. 0 if
        there is none; the end of the text is one."""
        return self._end(at, is_bracket=False)

    def _end(self, at: int, *, is_bracket: bool) -> int:
        """Return where the bracket that opens at *at* is closed; else where an expression that
        begins there ends. 0 if it does not within the limit."""
        text, until = self._text, self._until
        #: What is open: brackets, templates, and code in templates.
        opened: list[str] = []
        while at < until:
            self._budget.breathe()
            in_template = bool(opened) and opened[-1] == "`"
            token = (_IN_TEMPLATE if in_template else _IN_CODE).search(text, at, until)
            if token is None:
                break
            at = token.end()
            match token[0]:
                case "\\":
                    at += 1
                case "`" if in_template:
                    opened.pop()
                case "`" | "(" | "[" | "{" | "${":
                    opened.append(token[0])
                case ")" | "]" | "}":
                    if not opened:
                        return 0 if is_bracket else token.start()
                    if _CLOSES[opened.pop()] != token[0]:
                        return 0
                    if is_bracket and not opened:
                        return at
                case "," | ";":
                    if not opened and not is_bracket:
                        return token.start()
                case "/":
                    at = self._behind_slash(token.start())
                case quote:
                    string = (_DOUBLE if quote == '"' else _SINGLE).match(
                        text, token.start(), until
                    )
                    at = string.end() if string else 0
            if not at:
                return 0
        return 0 if is_bracket or opened or until < len(text) else until

    def _behind_slash(self, at: int) -> int:
        """Return the end of the comment, regular expression or division whose slash is at *at*; 0
        if it has none."""
        text, until = self._text, self._until
        for begins, ends in (("//", "\n"), ("/*", "*/")):
            if text.startswith(begins, at):
                end = text.find(ends, at + 2, until)
                return 0 if end < 0 else end + len(ends)
        before = text[max(0, at - 20) : at]
        if _OPERAND.search(before) and not _WORD.search(before):
            return at + 1
        literal = _LITERAL.match(text, at, until)
        return literal.end() if literal else 0
