"""What the readers of all houses share: a call as it was written, where it stands, a dialect."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from poe_proxy.shaping.tool_calls.forms import Form
from poe_proxy.shaping.tool_calls.names import known


@dataclass(frozen=True, slots=True)
class RawCall:
    """A call as a bot wrote it."""

    #: Its JSON text, in the form that is taught; empty if none could be made of it.
    text: str = field(repr=False)
    #: What the bot wrote, from its first tag up to where the call was known to end. With the form
    #: that is taught the closing tag is that of the form; with others it is there only where
    #: nothing else shows the end.
    source: str = field(default="", repr=False)
    #: Whether the values are texts because the form knows nothing else: "5" may mean 5.
    is_untyped: bool = False


#: What a sentence, or another call, may end with: a form in the midst of a sentence is mentioned.
_ENDS: Final = ".!?:;…。！？：；)]}>*”"


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a text something stands that looks like a call."""

    #: The names of the tools; none: only the form that was taught is read.
    names: Collection[str]
    begins_line: bool
    #: The character before it and before its white space, and whether there is white space.
    before: str
    has_gap: bool
    #: The language of the code block that it begins; None if it begins none.
    fence: str | None
    #: It stands in a code block, and not at its beginning.
    is_in_code: bool
    #: It stands in inline code.
    is_quoted: bool
    #: The answer is written in harmony's channels.
    is_in_channels: bool

    def allows(self, name: str | None = None, *, token: bool = False) -> bool:
        """Whether a call may stand here, rather than the mention of one.

        *name*: that of the tool, if it is known so soon. *token*: its marks are tokens of the
        model, which come directly behind whatever it said before.
        """
        if not self.names or self.is_quoted or self.is_in_code:
            return False
        if name is not None and not known(name, self.names):
            # A call of a tool that is not there, or an example.
            return self.begins_line and self.fence is None
        return self.begins_line or self.before in _ENDS or (token and not self.has_gap)


class Reader(Protocol):
    """Reads one call from behind its opening to its end."""

    @property
    def is_over(self) -> bool:
        """Whether the end was found."""

    @property
    def is_certain(self) -> bool:
        """Whether this is a call, although it is not over yet."""

    def read(self, text: str, at: int) -> int:
        """Read on in *text* from *at*; return up to where.

        What is left is short and must come again, with more text behind it.
        """

    def calls(self, opening: str, body: str) -> Sequence[RawCall] | None:
        """Return what was read, once it is over; None if it is text after all."""

    def unfinished(self, opening: str, body: str, rest: str) -> Sequence[RawCall] | None:
        """Return what was read if the whole answer ends here; *rest* was not read."""

    def another(self) -> Reader | None:
        """Return a reader for an object that directly follows; None if none may."""


#: Makes a reader of what an opening said; None: there is no call here.
MakeReader = Callable[[Mapping[str, str], Place], Reader | None]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How calls of one form begin, and who reads on."""

    opening: Form
    reader: MakeReader
    #: Whether it may stand here at all; asked before more text is waited for.
    stands: Callable[[Place], bool]


def stands(place: Place) -> bool:
    """Whether a call in tags may stand at *place*."""
    return place.allows()


def stands_as_token(place: Place) -> bool:
    """Whether a call in the model's own tokens may stand at *place*."""
    return place.allows(token=True)
