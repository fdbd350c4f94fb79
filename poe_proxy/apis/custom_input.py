"""The input of custom tools: a text to the client, to the bot the one argument of a function.

Bots know functions only, so a custom tool is asked for as one, and its calls come as a JSON text
such as `{"input": "*** Begin Patch"}`. Its text is passed on as it arrives.
"""

from __future__ import annotations

import json
import re
from typing import Final

import orjson

from poe_proxy.json_pieces import has_more

#: The most characters in front of the text; what has more of them is of another form.
_MAX_OPENING: Final = 200
#: The most pieces of arguments of another form, which are parsed in one go.
_MAX_PIECES: Final = 10_000
_OPENING: Final = re.compile(r'\s*+\{\s*+"input"\s*+:\s*+"')
#: What of a string is whole: nothing of it changes its meaning by what comes next.
_WHOLE: Final = re.compile(r'[^"\\]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\]*+)*+')
#: The beginning of an escape that may be whole with what comes next.
_BEGUN: Final = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?\Z")
_HALF: Final = re.compile("[\ud800-\udfff]")
_ESCAPE: Final = len(r"\uffff")


def arguments_for(text: str) -> str:
    """Return the arguments of a past call with this input as bots see them."""
    return orjson.dumps({"input": text}).decode()


def input_of(arguments: str) -> str:
    """Return the input in the arguments of a whole call."""
    reader = InputReader()
    return reader.feed(arguments) + reader.finish()


class InputReader:
    """Reads the input from arguments that come in pieces. What is not of the form that was asked
    for is the input itself: the client knows best what to do with it."""

    def __init__(self) -> None:
        #: What was not passed on so far, and whether the text has begun, and is over.
        self._held: list[str] = []
        self._length = 0
        self._has_begun = self._is_over = False

    def feed(self, piece: str) -> str:
        """Return what of the input is known by *piece* and was not before."""
        if self._is_over:
            return ""
        self._held.append(piece)
        self._length += len(piece)
        if not self._has_begun:
            if self._length - len(piece) > _MAX_OPENING:
                return ""
            opening = _OPENING.match(text := "".join(self._held))
            self._held = [text]
            if opening is None:
                return ""
            self._has_begun = True
            self._held = [text[opening.end() :]]
        return self._read("".join(self._held))

    def finish(self) -> str:
        """Return the rest of the input, now that the arguments are whole."""
        if self._has_begun:
            return ""
        text = "".join(self._held)
        if has_more(text, values=_MAX_PIECES, names=_MAX_PIECES):
            return text
        try:
            match orjson.loads(text):
                case {"input": str(given)}:
                    return given
        except orjson.JSONDecodeError:
            pass
        return text

    def _read(self, text: str) -> str:
        found: list[str] = []
        at = 0
        while True:
            whole = _WHOLE.match(text, at)
            assert whole is not None  # it may be empty
            found.append(_decoded(whole[0]))
            at = whole.end()
            if at == len(text) or text[at] == '"' or _BEGUN.match(text, at):
                break
            found.append("\\")  # a slip: it escapes nothing
            at += 1
        self._is_over = text[at : at + 1] == '"'
        if found[-1] and "\ud800" <= found[-1][-1] <= "\udbff" and not self._is_over:
            # Half of a letter; the other half is the next escape.
            found[-1] = found[-1][:-1]
            at -= _ESCAPE
        self._held = [text[at:]]
        return _HALF.sub("\ufffd", "".join(found))


def _decoded(escaped: str) -> str:
    if "\\" not in escaped:
        return escaped
    # Bots put line breaks into strings as they are.
    found: str = json.loads(f'"{escaped}"', strict=False)
    return found
