"""Token, upstream and second try: what the gateway does with each kind of failure."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import islice, repeat
from typing import Any

import pytest

from poe_proxy import errors, gateway
from poe_proxy.chat import (
    Done,
    Idle,
    JsonWanted,
    Reasoning,
    Replaced,
    ReplyEvent,
    Text,
    Tool,
    ToolCallPart,
    ToolChoice,
    Usage,
    Waiting,
)
from poe_proxy.errors import (
    AnswerUnusable,
    BotFailed,
    BotLimited,
    BotNotAllowed,
    BotNotFound,
    NoPointsLeft,
    NoTokenFree,
    NoTokenLeft,
    ParameterRefused,
    PartRefused,
    PoeProxyError,
    PromptRefused,
    PromptTooLong,
    TokenExhausted,
    TokenLimited,
    TokenRejected,
    ToolsRefused,
    UpstreamBlocked,
    UpstreamChanged,
    UpstreamError,
    UpstreamInterrupted,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUncertain,
    UpstreamUnreachable,
)
from poe_proxy.gateway import Gateway
from poe_proxy.models import Models, Route
from poe_proxy.pool.limits import Rest
from poe_proxy.pool.rotator import Token, TokenRotator
from poe_proxy.upstreams.base import Abilities, Upstream

from .fakes import ANSWER, SENDING, Clock, FakeUpstream, Step, ask

MOVES = (TokenRejected, TokenLimited, TokenExhausted, UpstreamUnreachable, UpstreamOverloaded,
         BotNotAllowed)  # fmt: skip
MOVES_TO_ANOTHER_KIND = (UpstreamChanged, UpstreamBlocked, UpstreamRefused, BotNotFound,
                         BotLimited, PartRefused)  # fmt: skip
STAYS = (UpstreamUncertain, UpstreamInterrupted, UpstreamTimeout, UpstreamProtocolError,
         AnswerUnusable, BotFailed, PromptTooLong, PromptRefused, ParameterRefused,
         ToolsRefused)  # fmt: skip


@pytest.fixture(autouse=True)
def _short_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock here is moved by hand: nobody has to wait for it in real time."""
    monkeypatch.setattr(gateway, "TICK", 0.001)


class House:
    """A gateway over cookie tokens, and over API keys behind them, one for each upstream."""

    def __init__(
        self,
        *cookies: FakeUpstream,
        keys: Sequence[FakeUpstream] = (),
        models: Models | None = None,
        rest: float = 0.0,
        **options: Any,
    ) -> None:
        self.clock = Clock()
        self.upstreams = [*cookies, *keys]
        for key in keys:
            key.able = Abilities(tools=True, length=True)
        limits = (Rest(rest),)
        self.tokens: TokenRotator[Upstream] = TokenRotator(
            [
                *(
                    Token(f"cookie-{place}", one, limits=limits)
                    for place, one in enumerate(cookies, 1)
                ),
                *(Token(f"key-{place}", one, "key", rank=1) for place, one in enumerate(keys, 1)),
            ],
            clock=self.clock,
            **options,
        )
        self.gateway = Gateway(self.tokens, models or Models.load())

    def reply(self, **fields: Any) -> Generator[ReplyEvent, None, None]:
        return self.gateway.reply(ask(**fields))

    def state(self) -> dict[str, int]:
        return {name: count for name, count in self.tokens.census().items() if count}


def test_the_answer_comes_through_event_by_event() -> None:
    """What the upstream says arrives unchanged and in order; then the token is free."""
    events = [
        Idle(),
        Reasoning("Hm."),
        Text("Hel"),
        Replaced("Hello"),
        ToolCallPart(0, "call_1", "f", "{}"),
        Usage(1, 2),
        Done(),
    ]
    upstream = FakeUpstream(events)
    house = House(upstream)

    assert events == list(house.reply())
    assert {"free": 1} == house.state()
    assert 0 == upstream.open


def test_each_event_is_passed_on_before_the_next_is_asked_for() -> None:
    """Nothing is collected: an event is out before the upstream works on the next one."""
    log: list[str] = []
    upstream = FakeUpstream([Text("one"), lambda: log.append("on to two"), Text("two"), Done()])

    for event in House(upstream).reply():
        if isinstance(event, Text):
            log.append(event.text)

    assert ["one", "on to two", "two"] == log


def test_the_upstream_is_asked_for_the_bot_behind_the_name() -> None:
    """The table's bot is asked by its handle; the request keeps the name that the client wrote."""
    upstream = FakeUpstream()
    house = House(upstream)

    list(house.reply(model="GPT-4"))
    list(house.reply(model="Claude-Sonnet-4.5"))

    assert [("GPT-4", "GPT-4"), ("Claude-Sonnet-4.5", "Claude-Sonnet-4.5")] == [
        (chat.model, bot) for chat, bot in upstream.asked
    ]


def test_each_kind_is_asked_by_the_bot_s_handle() -> None:
    """The table has inner names; the site and the official API know the handles."""
    cookie, key = FakeUpstream([UpstreamBlocked("Robot?")]), FakeUpstream()

    list(House(cookie, keys=[key]).reply(model="gpt-4"))

    assert (["GPT-4"], ["GPT-4"]) == ([bot for _, bot in cookie.asked], [b for _, b in key.asked])


@pytest.mark.parametrize(
    ("fields", "events"),
    [
        ({"stop": ("two",)}, [Text("one "), Done("stop")]),
        ({"max_tokens": 1}, [Text("one"), Done("length")]),
    ],
    ids=["stop", "max_tokens"],
)
def test_replies_are_cut_where_the_way_to_poe_cannot_say_it(
    fields: dict[str, Any], events: list[ReplyEvent]
) -> None:
    """Lengths are kept to for cookies here, by the official API itself; stop words here for both:
    there are some that the official API does not take."""
    script = [Text("one two three"), *repeat(Text(" more"), 100), Done()]
    cookie, key = FakeUpstream(script), FakeUpstream(script)
    house = House(cookie)

    assert events == list(house.reply(**fields))
    assert (1, 0) == (cookie.hung_up, cookie.open)
    assert {"free": 1} == house.state()
    assert (events if "stop" in fields else script) == list(House(keys=[key]).reply(**fields))


TOOL = Tool(name="f")


@pytest.mark.parametrize("usage", [[], [Usage(1, 1)]])
def test_a_second_try_of_the_same_bot_may_move(usage: list[Step]) -> None:
    """What was paid for the first one is nothing that the client has read."""
    one = FakeUpstream([Text("no json"), *usage, Done()], [TokenLimited("tired", retry_after=5)])
    two = FakeUpstream([Text('{"a": 1}'), *usage, Done()])

    events = list(House(keys=[one, two]).reply(json=JsonWanted()))

    assert [Text('{"a": 1}'), *usage, Done()] == [event for event in events if event != Idle()]


def test_a_bot_that_refuses_tools_is_taught() -> None:
    """In the same request; what its upstream remembers of it decides about the next one."""
    called = Text('<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>')
    key = FakeUpstream([ToolsRefused("No.", param="tools")], [called, Done()], [called, Done()])
    house = House(keys=[key])

    *_, end = house.reply(tools=(TOOL,), tool_choice=ToolChoice(mode="required"))
    key.able = Abilities(length=True)
    list(house.reply(tools=(TOOL,)))

    assert Done("tool_calls") == end
    assert [True, False, False] == [bool(chat.tools) for chat, _ in key.asked]


def test_a_bot_that_is_asked_once_more_is_not_asked_too_soon() -> None:
    """A correction is a request like any other to Poe: the token rests before it."""
    sent: list[float] = []

    def send() -> None:
        sent.append(house.clock.now)

    first, second = ([SENDING, send, Text(text), Done()] for text in ("no JSON", "{}"))
    house = House(FakeUpstream(first, second), rest=10.0)
    events = house.reply(json=JsonWanted())

    assert [Idle()] * 3 == list(islice(events, 3))
    house.clock.go(10)
    assert [Text("{}"), Done()] == [one for one in events if not isinstance(one, Idle)]
    assert [1000.0, 1010.0] == sent
    assert {"resting": 1} == house.state()


def test_a_use_counts_from_the_sending() -> None:
    """What the upstream does before, such as a login, is none; its sign goes no further."""
    script = [lambda: house.clock.go(7), SENDING, *ANSWER]
    house = House(FakeUpstream(script), rest=10.0)

    assert list(ANSWER) == list(house.reply())
    house.clock.go(9)
    assert {"resting": 1} == house.state()
    house.clock.go(1)
    assert {"free": 1} == house.state()


def test_a_name_that_can_be_no_bot_is_refused_without_a_token() -> None:
    """A name that is hidden, or no handle at all, is not a model: nothing is asked."""
    upstream = FakeUpstream()
    house = House(upstream, models=Models(hidden=("gpt-3*",)))

    for name in ("gpt-3.5-turbo", "../admin", "two words"):
        with pytest.raises(BotNotFound) as failure:
            next(house.reply(model=name))
        assert "model" == failure.value.param
        assert name in failure.value.message
    assert [] == upstream.asked


def test_a_bot_may_be_for_one_kind_of_token() -> None:
    """A route that names a kind is served by that kind, and is unknown where there is none."""
    models = Models(names={"only-keys": Route("Some-Bot", "key")})
    cookie, key = FakeUpstream(), FakeUpstream()

    list(House(cookie, keys=[key], models=models).reply(model="only-keys"))
    assert ([], 1) == (cookie.asked, len(key.asked))

    with pytest.raises(BotNotFound, match="key tokens only") as failure:
        next(House(cookie, models=models).reply(model="only-keys"))
    assert "model" == failure.value.param
    assert [] == cookie.asked


# ---- another token


@pytest.mark.parametrize("kind", MOVES)
def test_it_moves_where_another_token_may_do(kind: type[UpstreamError]) -> None:
    """A failure that Poe did not act on goes to the next token, unseen by the client."""
    first, second = FakeUpstream([Idle(), kind("No.")]), FakeUpstream()
    house = House(first, second)

    events = list(house.reply())

    assert [Idle(), *ANSWER] == events
    assert (1, 1) == (len(first.asked), len(second.asked))
    assert 0 == first.open


@pytest.mark.parametrize("kind", STAYS)
def test_it_stays_where_poe_may_have_acted(kind: type[UpstreamError]) -> None:
    """A prompt that may have been taken is not sent twice: it would be paid for twice."""
    first, second = FakeUpstream([kind("No.")]), FakeUpstream()
    house = House(first, second, keys=[FakeUpstream()])

    with pytest.raises(kind):
        list(house.reply())

    assert [] == second.asked
    assert {"free": 3} == house.state()


@pytest.mark.parametrize("kind", MOVES_TO_ANOTHER_KIND)
def test_what_fails_for_all_of_a_kind_goes_to_the_other(kind: type[UpstreamError]) -> None:
    """What all cookies would meet alike is tried with an API key next, not with a cookie."""
    first, second, key = FakeUpstream([kind("No.")]), FakeUpstream(), FakeUpstream()

    assert [*ANSWER] == list(House(first, second, keys=[key]).reply())
    assert [] == second.asked


@pytest.mark.parametrize("kind", MOVES_TO_ANOTHER_KIND)
def test_without_another_kind_its_failure_is_the_answer(kind: type[UpstreamError]) -> None:
    """Where only cookies are, a second cookie is not even tried."""
    first, second = FakeUpstream([kind("No.")]), FakeUpstream()

    with pytest.raises(kind):
        list(House(first, second).reply())
    assert [] == second.asked


@pytest.mark.parametrize("kind", MOVES_TO_ANOTHER_KIND)
def test_both_kinds_fail_only_once_each(kind: type[UpstreamError]) -> None:
    """When the other kind fails alike, its failure is the answer."""
    cookie, key = FakeUpstream([kind("Cookie.")]), FakeUpstream([kind("Key.")])

    with pytest.raises(kind, match="Key"):
        list(House(cookie, FakeUpstream(), keys=[key, FakeUpstream()]).reply())


@pytest.mark.parametrize("kind", MOVES + MOVES_TO_ANOTHER_KIND)
@pytest.mark.parametrize(
    "said",
    [Text("One"), Text(""), Replaced("One"), Reasoning("Hm."), ToolCallPart(0, "c", "f"),
     Usage(1, 1)],
)  # fmt: skip
def test_once_something_was_said_it_never_moves(
    said: ReplyEvent, kind: type[UpstreamError]
) -> None:
    """Words that the client has cannot be unsaid, so the failure is told."""
    second, key = FakeUpstream(), FakeUpstream()
    house = House(FakeUpstream([Idle(), said, Idle(), kind("No.")]), second, keys=[key])
    heard = []

    with pytest.raises(kind):  # noqa: PT012  (what came before it counts)
        for event in house.reply():
            heard.append(event)

    assert [Idle(), said, Idle()] == heard
    assert ([], []) == (second.asked, key.asked)


@pytest.mark.parametrize("kind", [UpstreamUnreachable, UpstreamOverloaded, BotNotAllowed])
def test_it_moves_twice_and_no_more(kind: type[UpstreamError]) -> None:
    """What three tokens met alike is told, not tried on the other seven."""
    upstreams = [FakeUpstream([kind(f"No. {place}")]) for place in range(10)]

    with pytest.raises(kind, match=r"No\. 2"):
        list(House(*upstreams).reply())

    assert [1, 1, 1, 0, 0, 0, 0, 0, 0, 0] == [len(one.asked) for one in upstreams]


@pytest.mark.parametrize("kind", [UpstreamUnreachable, UpstreamOverloaded, BotNotAllowed])
def test_what_three_tokens_met_is_tried_the_other_way(kind: type[UpstreamError]) -> None:
    """However many tokens of a kind there are, those of the other kind have their turn."""
    cookies = [FakeUpstream([kind("No.")]) for _ in range(5)]
    keys = [FakeUpstream([kind("No.")]), FakeUpstream()]

    assert [*ANSWER] == list(House(*cookies, keys=keys).reply())
    assert [1, 1, 1, 0, 0] == [len(one.asked) for one in cookies]
    assert [1, 1] == [len(one.asked) for one in keys]


@pytest.mark.parametrize("kind", [UpstreamUnreachable, UpstreamOverloaded, BotNotAllowed])
def test_each_way_is_tried_thrice_and_no_more(kind: type[UpstreamError]) -> None:
    """Then the last failure is the answer."""
    cookies, keys = ([FakeUpstream([kind(f"No. {n}")]) for n in range(5)] for _ in range(2))

    with pytest.raises(kind, match=r"No\. 2"):
        list(House(*cookies, keys=keys).reply())

    assert [1, 1, 1, 0, 0] * 2 == [len(one.asked) for one in cookies + keys]


@pytest.mark.parametrize("kind", [TokenRejected, TokenLimited, TokenExhausted])
def test_a_tokens_own_fault_does_not_count_as_a_move(kind: type[UpstreamError]) -> None:
    """However many tokens are out of service, the first good one answers."""
    bad = [FakeUpstream([kind("No.")]) for _ in range(9)]

    assert [*ANSWER] == list(House(*bad, FakeUpstream()).reply())


def test_the_same_token_is_not_tried_twice_for_one_request() -> None:
    """A move goes to another token although the failed one is free and next in turn."""
    lonely = FakeUpstream([UpstreamUnreachable("No.")], ANSWER)

    with pytest.raises(UpstreamUnreachable):
        list(House(lonely).reply())

    assert 1 == len(lonely.asked)


def test_a_rejected_token_is_set_aside() -> None:
    """The next request does not meet the token that Poe rejected."""
    first, second = FakeUpstream([TokenRejected("Logged out.")]), FakeUpstream()
    house = House(first, second)

    list(house.reply())
    list(house.reply())

    assert (1, 2) == (len(first.asked), len(second.asked))
    assert {"free": 1, "retired": 1} == house.state()


# ---- what the client hears when nothing is left


def test_the_first_failure_says_more_than_that_no_token_was_left() -> None:
    """If a move finds no token, the client hears what the first one met."""
    with pytest.raises(BotNotAllowed):
        list(House(FakeUpstream([BotNotAllowed("Subscribers only.")])).reply())

    house = House(FakeUpstream([TokenRejected("Logged out.")]))
    with pytest.raises(TokenRejected):
        list(house.reply())
    with pytest.raises(NoTokenLeft):
        list(house.reply())


def test_if_all_tokens_are_tired_the_client_hears_when_to_come_back() -> None:
    """One limited token or many: the answer is 429 with the time of the next free one."""
    for rests in ([40], [90, 50, 60]):
        house = House(
            *(FakeUpstream([TokenLimited("Slow down.", retry_after=rest)]) for rest in rests),
            patience=30.0,
        )
        for _ in range(2):
            with pytest.raises(NoTokenFree) as refusal:
                list(house.reply())
            assert min(rests) == refusal.value.retry_after


def test_if_all_accounts_are_out_of_points_the_client_hears_that() -> None:
    """One exhausted account or many, at the first request and at later ones: no points left."""
    for count in (1, 3):
        house = House(*(FakeUpstream([TokenExhausted("Empty.")]) for _ in range(count)))
        for _ in range(2):
            with pytest.raises((NoPointsLeft, TokenExhausted)) as refusal:
                list(house.reply())
            assert (429, "insufficient_quota", False) == (
                refusal.value.status,
                refusal.value.code,
                refusal.value.client_may_retry,
            )


def test_a_short_rest_is_waited_for() -> None:
    """A token that is limited for less than the line lasts is asked again once it has rested."""
    house = House(FakeUpstream([TokenLimited("Slow down.", retry_after=5.0)], ANSWER))
    events = house.reply()

    assert Waiting() == next(events)
    house.clock.go(5.0)
    assert [*ANSWER] == list(events)


def test_a_token_that_is_limited_for_ever_ends_at_the_deadline() -> None:
    """Rests that follow each other do not add up to more than QUEUE_TIMEOUT."""
    upstream = FakeUpstream([TokenLimited("Slow down.", retry_after=0.001)])
    house = House(upstream, patience=10.0)

    with pytest.raises(NoTokenFree):  # noqa: PT012  (time goes by in it)
        for _ in islice(house.reply(), 1000):
            house.clock.go(0.5)

    assert 5 <= len(upstream.asked) <= 11


def test_a_bots_refusal_outlives_a_tired_token() -> None:
    """After a failure that is not the token's own, a resting token is not the news."""
    tired = FakeUpstream([TokenLimited("Slow down.", retry_after=500)])
    refusing = FakeUpstream([BotNotAllowed("Subscribers only.")])

    with pytest.raises(BotNotAllowed):
        list(House(tired, refusing).reply())


# ---- the line


def test_who_waits_hears_that_it_waits() -> None:
    """While all tokens are out, `Waiting` comes again and again, then the answer."""
    house = House(FakeUpstream([Text("one"), Done()], ANSWER))
    first, second = house.reply(), house.reply()
    next(first)

    assert [Waiting(), Waiting()] == [next(second), next(second)]
    first.close()
    assert [*ANSWER] == list(second)


def test_waiting_is_over_after_the_patience() -> None:
    """At the end of QUEUE_TIMEOUT the request is refused."""
    house = House(FakeUpstream(repeat(Text("on and on"))), patience=0.0)
    first = house.reply()
    next(first)

    with pytest.raises(NoTokenFree) as refusal:
        next(house.reply())
    assert 1 == refusal.value.retry_after


def test_a_second_try_has_no_patience_of_its_own() -> None:
    """The time in line counts once for a request, however many tokens it tries."""
    steps: list[Step] = [UpstreamUnreachable("No.")]
    house = House(FakeUpstream(steps), FakeUpstream(), patience=30.0)
    steps.insert(0, lambda: house.clock.go(40.0))
    steps.insert(0, lambda: house.tokens.lease().__enter__())  # the other token is taken too

    with pytest.raises(UpstreamUnreachable):
        next(house.reply())


# ---- hanging up


@pytest.mark.parametrize("events", [[Text("One")], [Idle()]])
def test_hanging_up_stops_the_bot_and_frees_the_token(events: list[ReplyEvent]) -> None:
    """Closing the reply closes the upstream's, and the token is free at once."""
    upstream = FakeUpstream([*events, *repeat(Idle(), 1000)])
    house = House(upstream)
    reply = house.reply()
    next(reply)
    assert {"in_use": 1} == house.state()

    reply.close()

    assert (1, 0) == (upstream.hung_up, upstream.open)
    assert {"free": 1} == house.state()


def test_hanging_up_in_line_leaves_the_line() -> None:
    """A client that leaves while it waits is not served any more."""
    upstream = FakeUpstream(repeat(Text("on and on")))
    house = House(upstream)
    first = house.reply()
    next(first)
    second = house.reply()
    assert Waiting() == next(second)

    second.close()

    assert {"in_use": 1} == house.state()
    first.close()
    assert {"free": 1} == house.state()
    assert 1 == len(upstream.asked)


@pytest.mark.parametrize("failure", [ZeroDivisionError("bug"), KeyboardInterrupt()])
def test_a_fault_of_our_own_frees_the_token(failure: BaseException) -> None:
    """A bug in an upstream is not taken for Poe's: it is raised, tried once, and all is free."""
    second = FakeUpstream()
    house = House(FakeUpstream([Idle(), failure]), second)

    with pytest.raises(type(failure)):
        list(house.reply())

    assert [] == second.asked
    assert {"free": 2} == house.state()


def test_every_upstream_failure_is_decided_here() -> None:
    """A new class of failure has to take its place in the tables of these tests."""

    def below(kind: type[PoeProxyError]) -> set[type[PoeProxyError]]:
        return {kind}.union(*(below(child) for child in kind.__subclasses__()))

    decided = {*MOVES, *MOVES_TO_ANOTHER_KIND, *STAYS}
    kinds = {one for one in below(UpstreamError) if one.__module__.startswith("poe_proxy.")}
    kinds -= {UpstreamError}

    assert decided == {kind for kind in kinds if kind.__module__ == errors.__name__}
    for finer in kinds - decided:  # an upstream's own; it says no more than what it refines
        (broader,) = finer.__bases__
        assert broader in decided
        assert not {"another_token", "another_kind"} & vars(finer).keys()


def test_the_models_are_those_of_the_table() -> None:
    """The list of models is the table's."""
    models = Models(names={"mine": Route("Some-Bot")})

    assert ["mine"] == [entry["id"] for entry in House(models=models).gateway.models()]
