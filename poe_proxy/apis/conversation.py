"""A conversation put together from what clients send: each result answers a call.

OpenAI's messages name the call of each result, and bots refuse a result that answers none. Clients
leave ids out, or send calls and results in forms that stand elsewhere; here they find each other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, get_args

import orjson

from poe_proxy.apis.fields import field as field_of
from poe_proxy.apis.fields import refusal
from poe_proxy.budget import Budget
from poe_proxy.chat import ContentPart, Message, Role, TextPart, ToolCall

#: Names that other programs have for the roles.
_ROLES: Final[Mapping[str, Role]] = {
    **{role: role for role in get_args(Role)},
    "human": "user", "ai": "assistant", "bot": "assistant", "model": "assistant",
}  # fmt: skip
#: What stands in a result for an image or file of it, which goes to the bot behind the results.
_SEE_BELOW: Final = "[attachment, see below]"


def role_of(data: Mapping[str, Any], path: str) -> Role:
    """Return the role of the message *data*, which stands at *path*; refuse one that is unknown."""
    given = field_of(data, "role", str, f"{path}.")
    found = None if given is None else _ROLES.get(given.strip().lower())
    if found is None:
        raise refusal(f"{path}.role", f"{path}.role must be one of {', '.join(get_args(Role))}.")
    return found


def arguments_of(data: Mapping[str, Any], path: str) -> str:
    """Return the arguments of the call *data*, a JSON text: some programs send an object, or leave
    them out where there are none."""
    given = data.get("arguments")
    if isinstance(given, str):
        return given if given.strip() else "{}"
    if isinstance(given or {}, dict):
        return orjson.dumps(given or {}).decode()
    raise refusal(f"{path}.arguments", f"{path}.arguments must be a JSON text.")


@dataclass(slots=True)
class Call:
    """A call of a tool, whose id may still be unknown."""

    id: str | None
    name: str
    arguments: str = field(repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)
    is_answered: bool = field(default=False, init=False)


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool gave back."""

    #: The call that it answers; None: the first one that has no result yet.
    call_id: str | None
    content: tuple[ContentPart, ...] = field(repr=False)
    #: The client's path to the id of the call.
    path: str
    #: The name of the tool, where the client tells it.
    name: str | None = None


@dataclass(slots=True)
class _Draft:
    """A message in the making."""

    role: Role
    content: tuple[ContentPart, ...] = ()
    name: str | None = None
    calls: list[Call] = field(default_factory=list)
    answers: Call | str | None = None


class Conversation:
    """Collects the messages of a request. What says nothing is left out: an empty message neither
    calls nor answers."""

    def __init__(self) -> None:
        self._drafts: list[_Draft] = []
        self._by_id: dict[str, Call] = {}
        #: The calls that results may answer: in their order, by name, and those without an id.
        self._open: deque[Call] = deque()
        self._open_by_name: dict[str, deque[Call]] = {}
        self._without_id: deque[Call] = deque()
        self._has_results = False
        #: Images and files of results, to be shown behind the last of them.
        self._shown: list[ContentPart] = []

    def say(
        self,
        role: Role,
        content: Sequence[ContentPart],
        *,
        name: str | None = None,
        calls: Iterable[Call] = (),
    ) -> None:
        """Add a message; what results have shown goes before it, or into it if it is the user's."""
        if self._shown and role == "user":
            content, self._shown = [*self._shown, *content], []
        calls = list(calls)
        # A result in the older form answers a call by the tool's name, and may be empty.
        if not content and not calls and role not in ("tool", "function"):
            return
        if self._shown:
            self._show()
        self._drafts.append(_Draft(role, tuple(content), name, calls))
        for call in calls:
            self._expect(call)

    def call(self, call: Call) -> None:
        """Add a call that stands by itself: to the bot's message right before it, if there is one.

        Bots refuse a result that is not right behind the message with its call.
        """
        if self._drafts and self._drafts[-1].role == "assistant" and not self._shown:
            self._drafts[-1].calls.append(call)
            self._expect(call)
        else:
            self.say("assistant", (), calls=[call])

    def answer(self, result: Result, *, shows_elsewhere: bool = False) -> None:
        """Add a result; refuse one that answers no call.

        *shows_elsewhere*: its images and files go into the next message of the user, because a
        bot's own API takes text only in a result.
        """
        content = result.content
        if shows_elsewhere and (shown := [one for one in content if not isinstance(one, TextPart)]):
            self._shown += shown
            content = tuple(
                one if isinstance(one, TextPart) else TextPart(_SEE_BELOW) for one in content
            )
        self._has_results = True
        self._drafts.append(_Draft("tool", content, result.name, answers=self._answered(result)))

    def messages(self, budget: Budget) -> tuple[Message, ...]:
        """Return all messages; calls that are still without an id get one."""
        self._show()
        number = 0
        for draft in self._drafts:
            for call in draft.calls:
                budget.breathe()
                if call.id is None:
                    while (made := f"call_{number}") in self._by_id:
                        number += 1
                    call.id, number = made, number + 1
        return tuple(_message(draft, budget) for draft in self._drafts)

    def _show(self) -> None:
        if self._shown:
            self._drafts.append(_Draft("user", tuple(self._shown)))
            self._shown = []

    def _expect(self, call: Call) -> None:
        if self._has_results:
            # A new turn: what was not answered in the one before never will be.
            self._open.clear()
            self._open_by_name.clear()
            self._without_id.clear()
            self._has_results = False
        self._open.append(call)
        self._open_by_name.setdefault(call.name, deque()).append(call)
        if call.id is None:
            self._without_id.append(call)
        else:
            self._by_id[call.id] = call

    def _answered(self, result: Result) -> Call | str:
        """Return the call that *result* answers, or the id of one that nobody has seen."""
        id = result.call_id
        if id is None:
            call = _first(self._open_by_name.get(result.name or "")) or _first(self._open)
            if call is None:
                raise refusal(
                    result.path,
                    f"{result.path} is missing, and there is no call before it without a result.",
                )
        else:
            call = self._by_id.get(id)
            if call is None and (call := _first(self._without_id)) is not None:
                call.id, self._by_id[id] = id, call
            if call is None:
                return id
        call.is_answered = True
        return call


def _first(calls: deque[Call] | None) -> Call | None:
    """Return the first of *calls* without a result; those before it are dropped."""
    while calls and calls[0].is_answered:
        calls.popleft()
    return calls[0] if calls else None


def _message(draft: _Draft, budget: Budget) -> Message:
    budget.breathe()
    answers = draft.answers
    if answers is None and not draft.calls:
        return Message(role=draft.role, content=draft.content, name=draft.name)
    return Message(
        role=draft.role,
        content=draft.content,
        name=draft.name,
        tool_calls=tuple(
            ToolCall(call.id or "", call.name, call.arguments, call.extra) for call in draft.calls
        ),
        tool_call_id=answers.id if isinstance(answers, Call) else answers,
    )
