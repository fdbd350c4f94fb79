"""JSON as bots write it: its end is found in a growing text, and small slips are tolerated."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

from poe_proxy.budget import OutOfBudget
from poe_proxy.json_pieces import has_more

#: The most characters that are read at once, and values and names in them, about: the parser
#: holds the interpreter until it is done, for three hundredths of a second in the worst case.
MAX_LENGTH: Final = 1_000_000
MAX_VALUES: Final = 100_000
MAX_NAMES: Final = 50_000
#: The most slips that are mended. A bot that makes more of them does not write JSON.
MAX_SLIPS: Final = 10_000


class Nesting:
    """Finds where a JSON object or list ends in a text that comes in pieces.

    Brackets within strings do not count, in either kind of quotation marks. `<` outside a string
    ends the value too, because there it is never JSON, but the closing tag of a call that lacks a
    bracket.
    """

    _OUTSIDE: Final = re.compile(r'["\'{}\[\]<]')
    #: The rest of a string up to its end, or to a backslash at the end of the piece.
    _INSIDE: Final = re.compile(r'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
    _INSIDE_SINGLE: Final = re.compile(r"[^'\\]*+(?:\\.[^'\\]*+)*+", re.DOTALL)

    def __init__(self) -> None:
        #: The quotation mark of the string that is open; "" outside of strings.
        self._quote = ""
        self._closers: list[str] = []
        #: The last piece ended in a backslash; what it escapes comes with the next one.
        self._is_escaped = False

    @property
    def in_string(self) -> bool:
        """Whether a string is open."""
        return bool(self._quote)

    @property
    def missing(self) -> str:
        """The brackets that would close what is open."""
        return "".join(reversed(self._closers))

    def end(self, piece: str, start: int = 0) -> int | None:
        """Return the index in *piece* after the end of the value, None if it ends further on.

        The value goes on, or begins, at *start*.
        """
        at = start
        while at < len(piece):
            if self._quote:
                at = self._end_of_string(piece, at)
                continue
            mark = self._OUTSIDE.search(piece, at)
            if mark is None:
                return None
            at = mark.end()
            match mark[0]:
                case '"' | "'":
                    self._quote = mark[0]
                case "{":
                    self._closers.append("}")
                case "[":
                    self._closers.append("]")
                case "<":
                    return at - 1
                case _:
                    if self._closers:
                        self._closers.pop()
                    if not self._closers:
                        return at
        return None

    def _end_of_string(self, piece: str, at: int) -> int:
        """Return where the string that is open ends in *piece*, or the length of *piece*."""
        if self._is_escaped:
            self._is_escaped = False
            at += 1
        if self._quote == '"':
            inside = self._INSIDE.match(piece, at)
        else:
            inside = self._INSIDE_SINGLE.match(piece, at)
        assert inside is not None
        at = inside.end()
        if at == len(piece):
            return at
        if piece[at] == self._quote:
            self._quote = ""
        else:
            self._is_escaped = True
        return at + 1


def read(text: str, *, loosely: bool = False) -> tuple[Any, bool]:
    """Return the value of a JSON *text*, and whether it is strict JSON.

    Newlines within strings, commas before a closing bracket and `\\'` are tolerated. *loosely*:
    so is what JavaScript and Python write: single quotation marks, names as keys, `True`, `False`
    and `None`, comments. The meaning of all these is certain.

    Raises `ValueError` for everything else, and `OutOfBudget` for a text that is too long, or of
    too many pieces.
    """
    if len(text) > MAX_LENGTH or has_more(text, values=MAX_VALUES, names=MAX_NAMES):
        raise OutOfBudget
    try:
        try:
            return json.loads(text, parse_constant=_refuse_constant), True
        except ValueError:
            mended = _mended(text, loosely)
            return json.loads(mended, strict=False, parse_constant=_refuse_constant), False
    except RecursionError:
        raise ValueError("nested too deeply") from None


#: Text without a slip outside of strings, with whole strings without a slip in between.
_CLEAN: Final = re.compile(
    r'(?:[^",]++|"[^"\\]*+(?:\\[^\'][^"\\]*+)*+"|,(?!\s*+[}\]]))*+',
)
#: The same where words and other quotation marks may be slips as well.
_CLEAN_OF_WORDS: Final = re.compile(
    r"(?:[^\"',/A-Za-z_$]++|\"[^\"\\]*+(?:\\[^'][^\"\\]*+)*+\"|,(?!\s*+[}\]])"
    r"|(?<=\d)[eE](?=[-+\d])|\b(?:true|false|null)\b(?!\s*+:))*+",
)
#: The text of a string up to its end, or to its next slip.
_CLEAN_INSIDE: Final = re.compile(r'[^"\\]*+(?:\\[^\'][^"\\]*+)*+')
#: A whole string in single quotation marks, where nothing but a string can be.
_SINGLE: Final = re.compile(r"'([^'\\]*+(?:\\.[^'\\]*+)*+)'(?=\s*+(?:[,:}\]]|\Z))", re.DOTALL)
#: In such a string: what is escaped there and not in JSON, or the other way round.
_QUOTES: Final = re.compile(r"\\.|\"", re.DOTALL)
#: A word outside of strings, and whether it is a key.
_WORD: Final = re.compile(r"([A-Za-z_$][\w$]*+)(\s*+:)?+")
_WORDS: Final = {"True": "true", "False": "false", "None": "null"}
_COMMENT: Final = re.compile(r"//[^\n]*+|/\*[^*]*+(?:\*(?!/)[^*]*+)*+\*/")


def _mended(text: str, loosely: bool) -> str:
    """Return *text* as JSON, as far as what it means is certain."""
    kept: list[str] = []
    at = slips = 0
    in_string = False
    outside = _CLEAN_OF_WORDS if loosely else _CLEAN
    while at < len(text):
        clean = (_CLEAN_INSIDE if in_string else outside).match(text, at)
        assert clean is not None
        kept.append(clean[0])
        at = clean.end()
        if at == len(text):
            break
        if text[at] == '"':
            kept.append('"')
            in_string = not in_string
            at += 1
        else:
            slips += 1
            # Otherwise the slip is one character that is left out.
            instead, at = _instead(text, at) if loosely and not in_string else ("", at + 1)
            kept.append(instead)
        if slips > MAX_SLIPS:
            raise ValueError("it has too many slips")
    return "".join(kept)


def _instead(text: str, at: int) -> tuple[str, int]:
    """Return what stands in JSON for the slip that begins *at*, and where it ends."""
    if single := _SINGLE.match(text, at):
        return f'"{_QUOTES.sub(_quote, single[1])}"', single.end()
    if comment := _COMMENT.match(text, at):
        return "", comment.end()
    if text[at] in "'/":
        # Whatever follows would be looked through again and again.
        raise ValueError("a string or a comment has no certain end")
    if word := _WORD.match(text, at):
        name = word[1] if word[2] is None else f'"{word[1]}":'
        return _WORDS.get(name, name), word.end()
    return ("" if text[at] == "," else text[at]), at + 1


def _quote(found: re.Match[str]) -> str:
    return {'"': '\\"', "\\'": "'"}.get(found[0], found[0])


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def write(value: Any) -> str:
    """Return *value* as a JSON text that can be sent as UTF-8.

    Raises `ValueError` for numbers that JSON does not have, and for a value that is nested too
    deeply.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which a bot wrote as an escape
        return json.dumps(value)
    return text
