"""The records of the others, read as facts: the stand-in's, the net's, the server's log."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from .proxy import ASKS, SEND, Passage

Entry = Mapping[str, Any]

#: How a reply ended; `open`: it has not.
End = Literal["finished", "stopped", "open"]

#: What the server's log has in front of each line of a traceback.
_CONTINUED: Final = re.compile(r"^    \| ", re.MULTILINE)
_TRACEBACK: Final = re.compile(r"^Traceback .*\n(?:[ +].*\n)*(\S.*)$", re.MULTILINE)
#: A line of the server's log that tells the code with which a request failed, before its answer
#: or within.
_FAILED: Final = re.compile(
    r"^\S+ \S+ [A-Z]+ +(?:(req_\w+) broke off: (\S+)|.*\b\d{3} \((\w+)\) .*  .*(req_\w+).*)$",
    re.MULTILINE,
)
#: Seconds within which Poe notes a request that it is given, however busy the machine is.
_PROMPT: Final = 30.0
_ENDS: Final[Mapping[str, End]] = {
    "reply-end": "finished",
    "reply-cancelled": "stopped",
    "reply-aborted": "stopped",
}


@dataclass(slots=True, kw_only=True)
class Send:
    """A request for a reply as Poe saw it: it is a send whatever Poe made of it."""

    account: str
    arrived: float
    mark: str
    status: int
    verdict: str
    device: str
    #: Whether a bot began to answer.
    accepted: bool = False
    #: The request at the proxy, if it could be found.
    passage: Passage | None = None

    @property
    def sent(self) -> float:
        """When it came to the proxy, on its way."""
        return self.passage.entered if self.passage is not None else self.arrived


@dataclass(slots=True, kw_only=True)
class Reply:
    """What a bot said, or began to say."""

    account: str
    mark: str
    began: float
    ended: float = float("inf")
    end: End = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """A websocket from its opening to its end."""

    account: str
    channel: str
    opened: float
    closed: float


@dataclass(slots=True, kw_only=True)
class Evidence:
    """What Poe and the net know of a run."""

    sends: Sequence[Send]
    replies: Sequence[Reply]
    wires: Sequence[Wire]
    passages: Sequence[Passage]
    #: When mischief was done on the websockets of an account.
    mischief: Sequence[tuple[float, str]] = ()
    #: The last lines of the tracebacks in the server's log.
    bugs: Sequence[str] = ()
    #: The codes of failures by the ids of their requests, as the server's log has them.
    codes: Mapping[str, str] = field(default_factory=dict)
    passages_by_account: Mapping[str, Sequence[Passage]] = field(init=False)
    passages_by_mark: Mapping[str, Sequence[Passage]] = field(init=False)
    by_account: Mapping[str, Sequence[Send]] = field(init=False)
    by_mark: Mapping[str, Sequence[Send]] = field(init=False)
    replies_by_mark: Mapping[str, Sequence[Reply]] = field(init=False)

    def __post_init__(self) -> None:
        self.passages_by_account = _grouped(self.passages, "account")
        self.passages_by_mark = _grouped([one for one in self.passages if one.mark], "mark")
        self.by_account = _grouped(self.sends, "account")
        self.by_mark = _grouped([one for one in self.sends if one.mark], "mark")
        self.replies_by_mark = _grouped(self.replies, "mark")


def _grouped(items: Iterable[Any], name: str) -> Mapping[str, list[Any]]:
    groups: dict[str, list[Any]] = defaultdict(list)
    for item in items:
        groups[getattr(item, name)].append(item)
    return groups


def read(journal: Sequence[Entry], passages: Sequence[Passage], log: str = "") -> Evidence:
    """Read the stand-in's journal, oldest entry first, and match it with the net's record; *log*
    is the server's."""
    sends = [_send(entry) for entry in journal if _is_send(entry)]
    began = _beginnings(journal)
    for send, entry in zip(sends, filter(_is_send, journal), strict=True):
        send.accepted = _place(entry) in began
    _match(sends, passages)
    return Evidence(
        sends=sends,
        replies=_replies(journal),
        wires=_wires(journal),
        passages=passages,
        mischief=[
            (entry["t"], entry["account"]) for entry in journal if entry.get("event") == "mischief"
        ],
        bugs=_TRACEBACK.findall(_CONTINUED.sub("", log)),
        codes={
            id or other_id: code or other_code
            for id, code, other_code, other_id in _FAILED.findall(log)
        },
    )


def _is_send(entry: Entry) -> bool:
    return entry.get("queryName") == SEND or entry.get("path") in ASKS


def _send(entry: Entry) -> Send:
    return Send(
        account=entry.get("account") or entry.get("key") or "",
        arrived=entry["t"],
        mark=entry.get("mark", ""),
        status=entry.get("status", 0),
        verdict=entry.get("sendStatus") or entry["verdict"],
        device=entry.get("sdid", ""),
    )


def _place(entry: Entry) -> tuple[str, int]:
    """Return what a send and the beginning of its reply have in common."""
    if entry["face"] == "api":
        return "api", entry.get("request") or entry["n"]
    return "web", entry.get("chatId") or 0


def _beginnings(journal: Iterable[Entry]) -> set[tuple[str, int]]:
    return {_place(entry) for entry in journal if entry.get("event") == "reply-start"}


def _replies(journal: Iterable[Entry]) -> list[Reply]:
    found: dict[tuple[str, int], Reply] = {}
    for entry in journal:
        event = str(entry.get("event"))
        if event == "reply-start":
            found[_place(entry)] = Reply(
                account=entry.get("account") or entry.get("key") or "",
                mark=entry.get("mark", ""),
                began=entry["t"],
            )
        elif event in _ENDS and _place(entry) in found:
            reply = found[_place(entry)]
            reply.ended, reply.end = entry["t"], _ENDS[event]
        elif event == "reply-cancelled" and "mark" in entry:
            # Cancelled while its send was still being answered, before it began to speak.
            found[_place(entry)] = Reply(
                account=entry["account"],
                mark=entry["mark"],
                began=entry["t"],
                ended=entry["t"],
                end="stopped",
            )
    return list(found.values())


def _wires(journal: Iterable[Entry]) -> list[Wire]:
    """Return the websockets; of two on one channel the older one is the first that closes."""
    opened: dict[tuple[str, str], list[float]] = defaultdict(list)
    wires = []
    for entry in journal:
        if entry.get("event") == "socket-open":
            opened[entry["account"], entry["channel"]].append(entry["t"])
        elif entry.get("event") == "socket-close":
            place = entry["account"], entry["channel"]
            if opened[place]:
                wires.append(
                    Wire(
                        account=place[0],
                        channel=place[1],
                        opened=opened[place].pop(0),
                        closed=entry["t"],
                    )
                )
    for (account, channel), times in opened.items():
        wires += [
            Wire(account=account, channel=channel, opened=t, closed=float("inf")) for t in times
        ]
    return wires


def _match(sends: Iterable[Send], passages: Iterable[Passage]) -> None:
    """Give each send its passage: the latest that was passed on before it arrived.

    Those whose mark Poe has read are matched by it, and choose first.
    """
    free: dict[str, list[Passage]] = defaultdict(list)
    for passage in passages:
        if passage.is_send and passage.begun is not None:
            free[passage.account].append(passage)
    for send in sorted(sends, key=lambda one: (not one.mark, one.arrived)):
        fitting = [
            (passage.begun, place)
            for place, passage in enumerate(free[send.account])
            if passage.begun is not None
            and passage.begun <= send.arrived < passage.begun + _PROMPT
            and send.mark in ("", passage.mark)
        ]
        if fitting:
            send.passage = free[send.account].pop(max(fitting)[1])
