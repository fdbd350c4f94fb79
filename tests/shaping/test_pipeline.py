"""The driver of stages, fed with scripts and the simplest of stages."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from itertools import repeat

import pytest

from poe_proxy.budget import Budget, OutOfBudget
from poe_proxy.chat import (
    Done,
    Idle,
    Reasoning,
    Replaced,
    ReplyEvent,
    Text,
    ToolCallPart,
    Usage,
    Waiting,
)
from poe_proxy.errors import ReplyTooLarge, UpstreamTimeout
from poe_proxy.shaping.pipeline import SLICE, SMALL, Size, Stage, let_end, run
from poe_proxy.shaping.reasoning import ReasoningParser
from poe_proxy.shaping.truncation import Length, StopWords
from poe_proxy.waiting import Listener

from ..fakes import FakeUpstream, Step, ask
from .support import affording, content, pieces, stream, through


class Made:
    """A stage that makes of an event what a function makes of it, and keeps what it is fed."""

    field: str | None = None

    def __init__(self, make: Callable[[ReplyEvent], Iterable[ReplyEvent]]) -> None:
        self.fed: list[ReplyEvent] = []
        self._make = make

    def feed(self, event: ReplyEvent) -> Iterable[ReplyEvent]:
        self.fed.append(event)
        return self._make(event)

    def give_up(self) -> Iterable[ReplyEvent]:
        return ()


class Held:
    """A stage that holds text back until something else comes."""

    field = None

    def __init__(self) -> None:
        self._text = ""

    def feed(self, event: ReplyEvent) -> Iterable[ReplyEvent]:
        match event:
            case Text(text):
                self._text += text
            case Idle():
                yield event
            case _:
                if self._text:
                    yield Text(self._text)
                    self._text = ""
                yield event

    def give_up(self) -> Iterable[ReplyEvent]:
        return ()


def twice() -> Made:
    return Made(lambda event: (event, event) if isinstance(event, Text) else (event,))


def ending(word: str) -> Made:
    """A stage that ends the reply at this word."""
    return Made(lambda event: (Text("."), Done("length")) if event == Text(word) else (event,))


def reply(upstream: FakeUpstream, *stages: Stage) -> list[ReplyEvent]:
    return list(run(upstream.reply(ask(), "bot"), *stages, budget=Budget()))


SCRIPT: list[Step] = [Waiting(), Reasoning("Hm."), Text("a"), Usage(1, 1), Done("length")]


@pytest.mark.parametrize("number", [0, 1, 6])
def test_what_the_stages_leave_alone_passes(number: int) -> None:
    """Without a stage, and through stages that do nothing, a reply is what it was."""
    stages = [Made(lambda event: (event,)) for _ in range(number)]

    assert SCRIPT == reply(FakeUpstream(SCRIPT), *stages)


def test_each_stage_is_fed_what_the_one_before_it_made() -> None:
    """The first stage is the one nearest to the bot."""
    first, second = twice(), twice()

    events = through([Text("a"), Done()], first, second)

    assert [Text("a")] * 4 + [Done()] == events
    assert ([Text("a"), Done()], [Text("a")] * 2 + [Done()]) == (first.fed, second.fed)


def test_each_event_is_passed_on_before_the_next_is_asked_for() -> None:
    """Nothing is collected: an event is out before the upstream works on the next one."""
    log: list[str] = []
    upstream = FakeUpstream([Text("one"), lambda: log.append("on to two"), Text("two"), Done()])

    for event in run(upstream.reply(ask(), "bot"), Made(lambda event: (event,)), budget=Budget()):
        if isinstance(event, Text):
            log.append(event.text)

    assert ["one", "on to two", "two"] == log


@pytest.mark.parametrize("stages", [[Held()], [twice(), Held()], [Held(), Held(), twice()]])
def test_idle_comes_in_the_place_of_what_is_held_back(stages: Sequence[Stage]) -> None:
    """One for each event of the source of which nothing came."""
    events = through([Text("a"), Idle(), Text("b"), Reasoning("c"), Done()], *stages)

    assert [Idle(), Idle(), Idle()] == events[:3]
    assert [Reasoning("c"), Done()] == events[-2:]
    assert Idle() not in events[3:]


def test_what_is_held_back_at_the_end_comes_before_it() -> None:
    """Each stage lets go what it holds before it passes `Done` on."""
    assert [Idle(), Text("aa"), Done()] == through([Text("a"), Done()], twice(), Held(), Held())


def test_a_stage_that_ends_the_reply_stops_the_bot() -> None:
    """The source is closed, and stages behind it let go what they hold."""
    upstream = FakeUpstream([Text("a"), Text("b"), *repeat(Text("c"), 9), Done()])

    events = reply(upstream, ending("b"), Held())

    assert [Idle(), Text("a."), Done("length")] == events
    assert (0, 1) == (upstream.open, upstream.hung_up)


def test_a_stage_that_ended_the_reply_is_not_fed_again() -> None:
    """Nor is the source asked for more, and there is one end."""
    stage = ending("a")
    upstream = FakeUpstream([Text("a"), Done()])

    assert [Text("."), Done("length")] == reply(upstream, twice(), stage)
    assert [Text("a")] == stage.fed


def test_a_source_that_is_done_is_not_hung_up_on() -> None:
    """It comes to its own end, whatever the stages make of its `Done`, and behind that."""
    log: list[str] = []
    upstream = FakeUpstream([Text("a"), Done(), lambda: log.append("the end of the source")])

    def note(event: ReplyEvent) -> Iterable[ReplyEvent]:
        log.append(type(event).__name__)
        return (event,)

    assert [Text("a"), Done()] == reply(upstream, Made(note))
    assert ["Text", "Done", "the end of the source"] == log
    assert (0, 0) == (upstream.open, upstream.hung_up)


def test_what_is_said_at_the_end_is_there_before_the_source_has_ended() -> None:
    """A source may take a while for its own end; hung up on by then, it still comes to it."""
    ended: list[bool] = []
    upstream = FakeUpstream([Text("a"), Done(), lambda: ended.append(True)])
    events = run(upstream.reply(ask(), "bot"), twice(), budget=Budget())

    assert [Text("a"), Text("a"), Done()] == [next(events) for _ in range(3)]
    assert [] == ended
    events.close()
    assert [True] == ended
    assert (0, 0) == (upstream.open, upstream.hung_up)


def test_what_comes_of_one_event_is_there_together() -> None:
    """And behind the last of it is what was behind the event."""
    listener = Listener()
    source = [Text("a"), Text("b"), Done()]

    def told() -> Generator[ReplyEvent, None, None]:
        yield from listener.together(source)

    events = run(told(), twice(), budget=Budget(), listener=listener)
    follows = [listener.more_follows for _ in events]

    assert [True, True, True, True, False] == follows


def test_a_source_without_an_end_has_none_here() -> None:
    """A reply that breaks off breaks off; what was held is not said."""
    assert [Idle()] == through([Text("a")], Held())


@pytest.mark.parametrize("stages", [[], [twice()]])
def test_hanging_up_closes_the_source(stages: Sequence[Stage]) -> None:
    """Also between two events that came of one."""
    upstream = FakeUpstream(SCRIPT[1:])
    events = run(upstream.reply(ask(), "bot"), *stages, budget=Budget())
    assert [Reasoning("Hm."), Text("a")] == [next(events), next(events)]

    events.close()

    assert (0, 1) == (upstream.open, upstream.hung_up)


def test_a_stage_that_fails_closes_the_source() -> None:
    """Its failure passes."""

    def fail(event: ReplyEvent) -> Iterable[ReplyEvent]:
        raise ZeroDivisionError

    upstream = FakeUpstream([Text("a"), Done()])

    with pytest.raises(ZeroDivisionError):
        reply(upstream, Made(fail))
    assert (0, 1) == (upstream.open, upstream.hung_up)


def test_a_failure_of_the_source_passes() -> None:
    """The upstream's own failure is raised, after what came before it."""
    upstream = FakeUpstream([Text("a"), UpstreamTimeout("too slow")])
    events = run(upstream.reply(ask(), "bot"), twice(), budget=Budget())

    assert [Text("a")] * 2 == [next(events), next(events)]
    with pytest.raises(UpstreamTimeout):
        next(events)
    assert 0 == upstream.open


def test_letting_a_reply_end_reads_it_to_its_end() -> None:
    """What follows `Done` is read and dropped."""
    upstream = FakeUpstream([Done(), Idle()])
    events = upstream.reply(ask(), "bot")
    next(events)

    let_end(events)

    assert (0, 0) == (upstream.open, upstream.hung_up)


# ---- what it may cost

LONG = "".join(f"line {place}\n" for place in range(3 * SLICE // 8))


@pytest.mark.parametrize("kind", [Text, Replaced])
def test_a_long_text_is_fed_in_slices(kind: type[Text] | type[Replaced]) -> None:
    """What comes of it is one event again, and others have their turns while it is read."""
    stage = Made(lambda event: (event,))
    turns: list[int] = []

    events = list(run(stream([kind(LONG), Done()]), stage, budget=affording(1000, turns)))

    assert [kind(LONG), Done()] == events
    first, *more, last = stage.fed
    assert kind(LONG[:SLICE]) == first
    assert LONG[SLICE:] == content(more)
    assert SLICE == max(len(one.text) for one in more if isinstance(one, Text))
    assert Done() == last
    assert turns


def test_the_thoughts_of_a_long_text_come_before_its_answer() -> None:
    """Each in one piece."""
    thought = LONG.replace("\n", "\n> ")
    text = f"Thinking...\n\n> {thought}\n\n{LONG}"

    events = through([Text(text), Done()], ReasoningParser())

    assert [Reasoning(LONG), Text(LONG), Done()] == events


def test_small_texts_are_not_counted() -> None:
    """What they cost is about what it costs to send them, however many there are."""
    budget = affording(1.0)

    events = list(run(stream([Text("a" * SMALL)] * 10_000), StopWords(["ab"]), budget=budget))

    assert 10_000 == len(events)
    assert 1.0 == budget.left


STAGES: dict[str, Callable[[], Stage]] = {
    "stop": lambda: StopWords(["line 9\nx", "\n" * 50]),
    "max_tokens": lambda: Length(1_000_000, len),
    "": ReasoningParser,
}


@pytest.mark.parametrize("kind", [Text, Replaced])
@pytest.mark.parametrize("field", STAGES)
def test_wherever_the_budget_ends_nothing_is_lost(
    field: str, kind: type[Text] | type[Replaced]
) -> None:
    """The rest passes as it comes, nothing comes twice, and what was not done is named."""
    outcomes = []
    for milliseconds in range(200):
        budget = affording(milliseconds / 1000)
        events = [Text("draft\n"), kind(LONG), *pieces(LONG, 900), Done()]
        left = list(run(stream(events), STAGES[field](), budget=budget))
        assert ("" if kind is Replaced else "draft\n") + LONG + LONG == content(left)
        assert Done() == left[-1]
        outcomes.append(budget.unchecked)

    assert ([field] if field else []) == outcomes[0]
    assert [] == outcomes[-1]


def test_stages_that_are_given_up_let_go_in_their_order() -> None:
    """What the last one holds back came first."""
    budget = affording(0.0)
    events = [Text("ab" * 60), Done()]
    held = [Text("x"), *events]

    left = list(run(stream(held), StopWords(["xaz"]), StopWords(["xy"]), budget=budget))

    assert "x" + "ab" * 60 == content(left)
    assert ["stop"] == budget.unchecked


def test_an_event_that_is_no_text_is_fed_again_after_a_stage_gave_up() -> None:
    """The stage could not finish what came before it, but the reply has an end."""
    asked: list[ReplyEvent] = []

    class Costly(Made):
        field = "it"

        def give_up(self) -> Iterable[ReplyEvent]:
            return (Text("held"),)

    def compute(event: ReplyEvent) -> Iterable[ReplyEvent]:
        asked.append(event)
        if event == Done() and asked.count(Done()) == 1:
            raise OutOfBudget
        return (event,)

    budget = Budget()

    assert [Text("a"), Text("held"), Done()] == list(
        run(stream([Text("a"), Done()]), Costly(compute), budget=budget)
    )
    assert ["it"] == budget.unchecked


# ---- how large a reply may be


def test_all_that_a_reply_says_counts() -> None:
    """Text, thoughts and arguments together; a text that replaces another counts in its place."""
    size = Size(10)
    for event in (Text("abcd"), Text("ef"), Replaced("ab"), Reasoning("cd"), Text("ef"), Idle()):
        size.add(event)
    size.add(ToolCallPart(0, "id", "f", "1234"))

    with pytest.raises(ReplyTooLarge, match="MAX_REPLY_MB"):
        size.add(Text("g"))


def test_what_is_held_back_is_bounded_too() -> None:
    """A reply of which nothing is passed on yet ends as soon as it is too large, and its bot is
    stopped."""
    upstream = FakeUpstream([Text("abc")] * 5)

    with pytest.raises(ReplyTooLarge):
        list(run(upstream.reply(ask(), "bot"), Held(), budget=Budget(max_reply=10)))
    assert (0, 1) == (upstream.open, upstream.hung_up)
