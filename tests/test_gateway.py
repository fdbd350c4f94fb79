"""Token, upstream and second try: what the gateway does with each kind of failure."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import islice, repeat
from typing import Any

import pytest

from poe_proxy import errors, gateway, waiting
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
from poe_proxy.clients import Client, Limits, Visit
from poe_proxy.clients.memory import MemoryBudgets
from poe_proxy.errors import (
    AnswerUnusable,
    BotFailed,
    BotFailedEarly,
    BotLimited,
    BotNotAllowed,
    BotNotFound,
    LoginFailed,
    NoPointsLeft,
    NoTokenFree,
    NoTokenLeft,
    ParameterRefused,
    PartRefused,
    PoeProxyError,
    PromptRefused,
    PromptTooLong,
    ReplyTooLarge,
    TokenExhausted,
    TokenHeldBack,
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
from poe_proxy.gateway import ATTEMPTS, Gateway
from poe_proxy.menu import Menu
from poe_proxy.models import Models, Route
from poe_proxy.net.background import Background
from poe_proxy.pool.limits import Rest
from poe_proxy.pool.memory import MemoryLedger
from poe_proxy.pool.rotator import Lease, Token, TokenRotator
from poe_proxy.record import Record
from poe_proxy.upstreams.base import Abilities, Permit, Upstream
from poe_proxy.upstreams.catalogue import Catalogue, Model
from poe_proxy.waiting import Listener

from .fakes import ANSWER, SENDING, Clock, FakeUpstream, Step, ask, at_once

#: Trouble of a token's own, which does not count as an attempt, and other failures that another
#: token may be spared.
OWN = (TokenRejected, TokenLimited, TokenExhausted, TokenHeldBack, UpstreamBlocked, LoginFailed)
COUNTED = (UpstreamUnreachable, UpstreamOverloaded, BotNotAllowed)
MOVES = OWN + COUNTED
MOVES_TO_ANOTHER_KIND = (UpstreamChanged, UpstreamRefused, BotNotFound, BotLimited, PartRefused)
ASKS_ONCE_MORE = (BotFailedEarly,)
STAYS = (UpstreamUncertain, UpstreamInterrupted, UpstreamTimeout, UpstreamProtocolError,
         AnswerUnusable, BotFailed, PromptTooLong, ReplyTooLarge, PromptRefused, ParameterRefused,
         ToolsRefused)  # fmt: skip


@pytest.fixture(autouse=True)
def _short_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock here is moved by hand: no test waits for it in real time."""
    monkeypatch.setattr(gateway, "TICK", 0.001)
    monkeypatch.setattr(waiting, "SHORT", 0.001)


class House:
    """A gateway over cookie tokens, and over API keys behind them, one for each upstream."""

    def __init__(
        self,
        *cookies: FakeUpstream,
        keys: Sequence[FakeUpstream] = (),
        models: Models | None = None,
        catalogue: Catalogue | None = None,
        shown: dict[str, frozenset[str]] | None = None,
        rest: float = 0.0,
        attempts: int = ATTEMPTS,
        **options: Any,
    ) -> None:
        self.clock = Clock()
        self.ledger = MemoryLedger(clock=self.clock)
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
            ledger=self.ledger,
            **options,
        )
        menu = Menu(
            models or Models.load(),
            catalogue or Catalogue(built_in={}),
            shown=lambda: shown or {},
        )
        menu.entries()
        self.gateway = Gateway(self.tokens, menu, attempts=attempts)

    def reply(
        self, *, client: str = "", streams: bool = False, **fields: Any
    ) -> Generator[ReplyEvent, None, None]:
        self.record = Record()
        self.record.client, self.record.streams = client, streams
        return self.gateway.reply(ask(**fields), self.record)

    def asked(self) -> list[int]:
        """How often each upstream was asked."""
        return [len(one.asked) for one in self.upstreams]

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


@pytest.mark.parametrize(("model", "bot"), [("gpt-5.1", "GPT-5.1"), ("My-bot", "My-bot")])
def test_a_bot_is_noted_as_poe_spells_it(model: str, bot: str) -> None:
    """All that it is asked counts together, however its name is written; one that Poe's list does
    not have is noted as it was asked for."""
    catalogue = Catalogue(built_in={"gpt-5.1": Model.read({"id": "GPT-5.1"})})
    house = House(FakeUpstream(ANSWER), catalogue=catalogue)

    list(house.reply(model=model))
    assert bot == house.record.bot


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


def test_a_prompt_that_is_too_long_is_measured() -> None:
    """By our own count, beside what the bot reads at most where Poe tells that."""
    bot = {"id": "claude-sonnet-4.5", "context_window": {"context_length": 5}}
    catalogue = Catalogue(built_in={"claude-sonnet-4.5": Model.read(bot)})

    def met(model: str) -> PromptTooLong:
        upstream = FakeUpstream([PromptTooLong("Too much.")])
        with pytest.raises(PromptTooLong) as failure:
            list(House(upstream, catalogue=catalogue).reply(model=model))
        return failure.value

    known, unknown = met("claude-sonnet-4-5"), met("Some-Bot")

    assert (8, 5) == (known.tokens, known.maximum)
    assert (8, None) == (unknown.tokens, unknown.maximum)


def test_each_kind_is_asked_by_the_bot_s_handle() -> None:
    """The table has inner names; the site and the official API know the handles."""
    cookie, key = FakeUpstream([UpstreamChanged("New hash.")]), FakeUpstream()

    list(House(cookie, keys=[key]).reply(model="gpt-4"))

    assert (["GPT-4"], ["GPT-4"]) == ([bot for _, bot in cookie.asked], [b for _, b in key.asked])


@pytest.mark.parametrize(
    ("fields", "events"),
    [
        ({"stop": ("two",)}, [Text("one "), Done("stop", "two")]),
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


@pytest.mark.parametrize("remembers", [True, False])
def test_an_upstream_that_remembers_is_told_what_the_client_was_given(remembers: bool) -> None:
    """For the client's own request: the calls in place of the text that the bot wrote, the
    correction in between left out."""
    wrong = Text('Well.\n<tool_call>\n{"name": "g", "arguments": {}}\n</tool_call>')
    called = Text('<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>')
    able = Abilities(remembers=remembers)
    upstream = FakeUpstream([wrong, Done()], [called, Done()], abilities=able)
    list(House(upstream).reply(tools=(TOOL,)))

    assert 2 == len(upstream.asked)
    told = [
        (chat.messages[-1].text, answer.text, [call.name for call in answer.tool_calls])
        for chat, answer in upstream.given
    ]
    assert [("Hello!", "Well.", ["f"])] * remembers == [(a, b.strip(), c) for a, b, c in told]


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


@pytest.mark.parametrize("kind", MOVES + MOVES_TO_ANOTHER_KIND + ASKS_ONCE_MORE)
@pytest.mark.parametrize(
    "said",
    [Text("One"), Text(""), Replaced("One"), Reasoning("Hm."), ToolCallPart(0, "c", "f"),
     Usage(1, 1)],
)  # fmt: skip
def test_once_something_was_said_it_never_moves(
    said: ReplyEvent, kind: type[UpstreamError]
) -> None:
    """Words that the client has cannot be unsaid, so the failure is raised."""
    second, key = FakeUpstream(), FakeUpstream()
    house = House(FakeUpstream([Idle(), said, Idle(), kind("No.")]), second, keys=[key])
    reply = house.reply()

    assert [Idle(), said, Idle()] == [next(reply) for _ in range(3)]
    with pytest.raises(kind):
        next(reply)
    assert ([], []) == (second.asked, key.asked)


@pytest.mark.parametrize("kind", COUNTED)
@pytest.mark.parametrize("attempts", [1, 3, 4])
def test_it_is_tried_so_often_and_no_more(kind: type[UpstreamError], attempts: int) -> None:
    """What so many tokens met alike is raised, not tried on all the others."""
    house = House(*(FakeUpstream([kind(f"No. {place}")]) for place in range(10)), attempts=attempts)

    with pytest.raises(kind, match=rf"No\. {attempts - 1}"):
        list(house.reply())

    assert [1] * attempts + [0] * (10 - attempts) == house.asked()


@pytest.mark.parametrize("kind", COUNTED)
def test_what_the_tokens_of_a_kind_met_is_tried_the_other_way(kind: type[UpstreamError]) -> None:
    """However many tokens of a kind there are, the last attempt is for the other kind."""
    cookies = [FakeUpstream([kind("No.")]) for _ in range(5)]
    house = House(*cookies, keys=[FakeUpstream()])

    assert [*ANSWER] == list(house.reply())
    assert [1, 1, 1, 0, 0, 1] == house.asked()


@pytest.mark.parametrize("kind", COUNTED)
def test_both_ways_share_the_attempts(kind: type[UpstreamError]) -> None:
    """Then the last failure is the answer."""
    cookies, keys = ([FakeUpstream([kind(f"No. {n}")]) for n in range(5)] for _ in range(2))
    house = House(*cookies, keys=keys)

    with pytest.raises(kind, match=r"No\. 0"):
        list(house.reply())

    assert [1, 1, 1, 0, 0, 1, 0, 0, 0, 0] == house.asked()


def test_the_last_attempt_stays_with_its_kind_if_the_other_one_cannot_serve() -> None:
    """A wish for the other kind is no reason to give up."""
    cookies = [FakeUpstream([UpstreamOverloaded("No.")]) for _ in range(3)]
    house = House(*cookies, FakeUpstream(), keys=[FakeUpstream()])
    house.ledger.suspend("key-1", "Gone.")

    assert [*ANSWER] == list(house.reply())
    assert [1, 1, 1, 1, 0] == house.asked()


@pytest.mark.parametrize("kind", OWN)
def test_a_tokens_own_fault_does_not_count_as_an_attempt(kind: type[UpstreamError]) -> None:
    """Whatever is wrong with nine of them, the fit one answers, and none is asked twice."""
    house = House(*(FakeUpstream([kind("No.")]) for _ in range(9)), FakeUpstream())

    assert [*ANSWER] == list(house.reply())
    assert [1] * 10 == house.asked()


def test_one_fit_token_among_all_kinds_of_bad_ones_serves_every_request() -> None:
    """No client sees an error, today or tomorrow."""
    fit = FakeUpstream()
    house = House(*(FakeUpstream([kind("No.")]) for kind in OWN for _ in range(2)), fit)

    for _ in range(50):
        assert [*ANSWER] == list(house.reply())
        house.clock.go(60.0)
    assert 50 == len(fit.asked)


@pytest.mark.parametrize("kind", [UpstreamUnreachable, UpstreamOverloaded, BotFailedEarly])
def test_among_nine_that_fail_only_the_very_first_requests_do(kind: type[UpstreamError]) -> None:
    """What failed a moment ago is passed over; when it may be tried again, one request tries one
    of them, and still gets its answer."""
    bad = [FakeUpstream([SENDING, kind("No.")]) for _ in range(9)]
    house = House(*bad, FakeUpstream([SENDING, *ANSWER]))
    failed = []
    for second in range(1200):
        try:
            list(house.reply())
        except kind:
            failed.append(second)
        house.clock.go(1.0)

    assert [*range(len(failed))] == failed
    assert len(failed) <= 4
    # From 5 s to 5 min after its last failure each is tried again, by and by.
    assert all(4 <= len(one.asked) <= 12 for one in bad)


def test_what_failed_once_leads_to_no_second_try_of_something_that_failed() -> None:
    """Of those that may be tried again one request tries one."""
    bad = [FakeUpstream([UpstreamOverloaded("No.")]) for _ in range(3)]
    house = House(*bad, FakeUpstream())
    list(house.reply())
    house.clock.go(60.0)

    assert [*ANSWER] == list(house.reply())
    assert [2, 1, 1, 2] == house.asked()


@pytest.mark.parametrize("kind", MOVES)
def test_the_same_token_is_not_tried_twice_for_one_request(kind: type[UpstreamError]) -> None:
    """A move goes to another token although the failed one is free and next in turn."""
    lonely = FakeUpstream([kind("No.", retry_after=0.001)], ANSWER)

    with pytest.raises(PoeProxyError):
        list(House(lonely).reply())

    assert 1 == len(lonely.asked)


def test_a_request_is_not_sent_again_and_again_to_limited_tokens() -> None:
    """Four keys that are limited for a second each are asked four times in all, not for as long as
    the line lasts."""
    keys = [FakeUpstream([SENDING, TokenLimited("Slowly.", retry_after=1.0)]) for _ in range(4)]
    house = House(keys=keys, patience=30.0)

    def hear_all() -> None:
        for _ in islice(house.reply(), 1000):
            house.clock.go(0.5)

    with pytest.raises(PoeProxyError) as refusal:
        hear_all()

    assert [1, 1, 1, 1] == house.asked()
    assert (429, "rate_limit_exceeded") == (refusal.value.status, refusal.value.code)


def test_a_token_that_is_told_to_rest_before_anything_is_sent_is_left_for_another() -> None:
    """Poe limited it while the login was under way: the request has not been sent, and moves."""
    first = FakeUpstream([lambda: house.ledger.rest("cookie-1", 60.0, "Slowly."), SENDING, *ANSWER])
    house = House(first, FakeUpstream())

    assert [*ANSWER] == [one for one in house.reply() if one != Idle()]
    assert [1, 1] == house.asked()


# ---- the same once more


@pytest.mark.parametrize("kind", ASKS_ONCE_MORE)
def test_what_poe_calls_safe_is_asked_once_more(kind: type[UpstreamError]) -> None:
    """By the same token if there is no other, and by another one if there is."""
    lonely = FakeUpstream([kind("Oh.")], ANSWER)
    assert [*ANSWER] == list(House(lonely).reply())

    house = House(FakeUpstream([kind("Oh.")]), FakeUpstream())
    assert [*ANSWER] == list(house.reply())
    assert [1, 1] == house.asked()


def test_once_more_is_once() -> None:
    """What fails so a second time is raised, however many tokens there are."""
    house = House(*(FakeUpstream([BotFailedEarly(f"Oh. {n}")]) for n in range(5)))
    with pytest.raises(BotFailedEarly, match=r"Oh\. 1"):
        list(house.reply())
    assert [1, 1, 0, 0, 0] == house.asked()

    lonely = FakeUpstream([BotFailedEarly("Oh.")])
    with pytest.raises(BotFailedEarly):
        list(House(lonely).reply())
    assert 2 == len(lonely.asked)


def test_once_more_is_one_of_the_attempts() -> None:
    """With ATTEMPTS=1 nothing is sent a second time."""
    lonely = FakeUpstream([BotFailedEarly("Oh.")], ANSWER)

    with pytest.raises(BotFailedEarly):
        list(House(lonely, attempts=1).reply())
    assert 1 == len(lonely.asked)


def test_a_token_that_was_asked_once_more_elsewhere_is_not_asked_again() -> None:
    """The second send was another token's, and failed; there is no third one for the first."""
    house = House(
        FakeUpstream([BotFailedEarly("Oh.")], ANSWER), FakeUpstream([UpstreamOverloaded("No.")])
    )

    with pytest.raises(UpstreamOverloaded):
        list(house.reply())
    assert [1, 1] == house.asked()


def test_a_token_that_cannot_ask_once_more_leaves_it_to_the_first() -> None:
    """Nothing was sent by a token that Poe refuses, so the one more send is still to come."""
    house = House(
        FakeUpstream([BotFailedEarly("Oh.")], ANSWER), FakeUpstream([TokenRejected("No.")])
    )

    assert [*ANSWER] == list(house.reply())
    assert [2, 1] == house.asked()


def test_a_rejected_token_is_set_aside() -> None:
    """The next request does not meet the token that Poe rejected."""
    first, second = FakeUpstream([TokenRejected("Logged out.")]), FakeUpstream()
    house = House(first, second)

    list(house.reply())
    list(house.reply())

    assert (1, 2) == (len(first.asked), len(second.asked))
    assert {"free": 1, "suspended": 1} == house.state()


# ---- what is raised when nothing is left


def test_the_first_failure_says_more_than_that_no_token_was_left() -> None:
    """If a move finds no token, what the first one met is raised."""
    for kind in (BotNotAllowed, LoginFailed):
        with pytest.raises(kind, match="Subscribers only"):
            list(House(FakeUpstream([kind("Subscribers only.")])).reply())

    house = House(FakeUpstream([TokenRejected("Logged out.")]))
    for _ in range(2):
        with pytest.raises(NoTokenLeft, match="Logged out") as refusal:
            list(house.reply())
        assert 60 == refusal.value.retry_after


def test_a_challenge_on_every_token_is_told_as_one() -> None:
    """At once and later: what the operator can do about it is another thing than a new login."""
    house = House(*(FakeUpstream([UpstreamBlocked("Robot?")]) for _ in range(3)))

    for _ in range(2):
        with pytest.raises(UpstreamBlocked, match="Robot"):
            list(house.reply())
    assert [1, 1, 1] == house.asked()


def test_a_request_that_waited_long_for_a_token_of_no_use_has_time_for_another() -> None:
    """In its last second it is lent one without points; the other one is free a moment later."""
    dry = FakeUpstream([lambda: house.clock.go(2.0), TokenExhausted("Empty.")])
    house = House(dry, FakeUpstream(), patience=30.0)
    with house.tokens.lease() as one, house.tokens.lease() as other:
        assert [one.wait(0), other.wait(0)] == [token for token, _ in house.tokens.states()]
        reply = house.reply()
        assert Waiting() == next(reply)
        house.clock.go(29.0)
        one.__exit__(None, None, None)
        assert [Idle(), Waiting(was_asked=True)] == [next(reply), next(reply)]
    assert [Idle(), *ANSWER] == list(reply)


@pytest.mark.parametrize(
    "kind", [TokenRejected, TokenLimited, TokenExhausted, UpstreamBlocked, LoginFailed]
)
def test_a_token_s_own_trouble_never_comes_too_late_for_another(kind: type[UpstreamError]) -> None:
    """However slow the login of one is, or of two: a sound one is asked."""
    slow = [lambda: house.clock.go(45.0), kind("Not this one.")]
    house = House(FakeUpstream(slow), FakeUpstream(slow), FakeUpstream(), patience=30.0)

    assert [*ANSWER] == list(house.reply())
    assert [1, 1, 1] == house.asked()


def test_a_token_that_would_keep_a_repeat_waiting_for_too_long_is_left() -> None:
    """Poe refused what was sent, so the request may go to a token that may send at once."""
    house = House(
        FakeUpstream([SENDING, SENDING, Text("late"), Done()]),
        FakeUpstream([SENDING, Text("at once"), Done()]),
        rest=40.0,
        patience=30.0,
    )

    assert Text("at once") in list(house.reply())


def test_a_login_that_fails_is_not_the_news_while_another_token_rests() -> None:
    """The failure says when that one may serve it."""
    house = House(
        FakeUpstream([TokenLimited("Slowly.", retry_after=90)]), FakeUpstream([LoginFailed("Oh.")])
    )

    for _ in range(2):
        with pytest.raises(NoTokenFree) as refusal:
            list(house.reply())
        assert 80 <= (refusal.value.retry_after or 0) <= 95
        house.clock.go(1.0)
    assert [1, 2] == house.asked()


def test_if_all_tokens_are_tired_the_client_hears_when_to_come_back() -> None:
    """One limited token or many: the answer is 429 with the time of the next free one."""
    for rests in ([40], [90, 50, 60]):
        house = House(
            *(FakeUpstream([TokenLimited("Slow down.", retry_after=rest)]) for rest in rests),
            patience=30.0,
        )
        times = []
        for _ in range(2):
            with pytest.raises(NoTokenFree) as refusal:
                list(house.reply())
            times.append(refusal.value.retry_after)
        # Who asks later comes later, so that both are served then.
        assert [min(rests), min(rests) + 1] == times


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


def test_a_short_rest_ends_the_request_with_the_time_of_its_end() -> None:
    """One request goes to an account once, so a client that wants more comes back."""
    house = House(FakeUpstream([TokenLimited("Slow down.", retry_after=5.0)], ANSWER))

    with pytest.raises(PoeProxyError) as refusal:
        list(house.reply())
    assert (429, 5.0) == (refusal.value.status, refusal.value.retry_after)
    house.clock.go(5.0)
    assert [*ANSWER] == list(house.reply())


def test_a_bots_refusal_outlives_a_tired_token() -> None:
    """After a failure that is not the token's own, a resting token is not the news."""
    tired = FakeUpstream([TokenLimited("Slow down.", retry_after=500)])
    refusing = FakeUpstream([BotNotAllowed("Subscribers only.")])

    with pytest.raises(BotNotAllowed):
        list(House(tired, refusing).reply())
    with pytest.raises(BotNotAllowed):
        list(House(refusing, tired).reply())


# ---- the line


def test_who_waits_hears_that_it_waits() -> None:
    """While all tokens are out, `Waiting` comes again and again; `Idle` says that one was lent."""
    house = House(FakeUpstream([Text("one"), Done()], ANSWER))
    first, second = house.reply(), house.reply()
    next(first)

    assert [Waiting(), Waiting()] == [next(second), next(second)]
    first.close()
    assert Idle() == next(second)
    assert [1] == house.asked()
    assert [*ANSWER] == list(second)


def test_the_log_names_the_request_that_a_token_is_lent_to(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not the one whose end has freed the token: each line has the id of whoever writes it."""
    house = House(FakeUpstream([Text("one"), Done()], ANSWER))
    first, second = house.reply(), house.reply()
    next(first)
    next(second)

    with caplog.at_level("DEBUG", "poe_proxy"):
        first.close()
        assert "is lent" not in caplog.text
        next(second)
    assert "cookie-1 is lent" in caplog.text


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


def test_after_its_deadline_a_request_is_not_tried_again() -> None:
    """Though another token is free: the client has waited for long enough."""
    first = FakeUpstream([lambda: house.clock.go(30.0), UpstreamUnreachable("No.")])
    house = House(first, FakeUpstream(), patience=30.0)

    with pytest.raises(UpstreamUnreachable):
        list(house.reply())
    assert [1, 0] == house.asked()


@pytest.mark.parametrize("kind", MOVES)
def test_where_nothing_waits_in_line_it_still_moves(kind: type[UpstreamError]) -> None:
    """With QUEUE_TIMEOUT=0 a token that is free costs no wait."""
    first = FakeUpstream([lambda: house.clock.go(2.0), kind("No.")])
    house = House(first, FakeUpstream(), patience=0.0)

    assert [*ANSWER] == list(house.reply())


def test_a_streamed_request_goes_before_the_whole_ones_of_its_client() -> None:
    """A popular client asks for a title first: the chat itself does not wait for that."""
    house = House(FakeUpstream(repeat(Text("on and on"))))
    first = house.reply()
    next(first)
    title, other = house.reply(client="web"), house.reply(client="another")
    chat = house.reply(client="web", streams=True)
    assert [Waiting()] * 3 == [next(title), next(other), next(chat)]

    first.close()

    assert [Idle(), Waiting(), Waiting()] == [next(chat), next(other), next(title)]


# ---- what the pool learns


def test_a_token_that_answers_is_no_longer_passed_over() -> None:
    """With its first word, not before, what it failed at is forgotten."""
    struck = []

    def look() -> None:
        struck.append(house.ledger.state(["cookie-1"], bot="GPT-4")["cookie-1"].is_struck)

    failing = [UpstreamOverloaded("No.")]
    house = House(FakeUpstream(failing, [look, Idle(), look, Text("Hi"), look, Done()]))
    with pytest.raises(UpstreamOverloaded):
        list(house.reply())
    list(house.reply())

    assert [True, True, False] == struck


def test_the_first_word_is_noted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the answer is."""
    noted: list[str] = []
    monkeypatch.setattr(Lease, "worked", lambda lease: noted.append(lease.id))

    list(House(FakeUpstream([Idle(), Usage(1, 1), *ANSWER])).reply())

    assert 1 == len(noted)


def test_an_arrival_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the permit that an upstream has: a use counts from then at the latest."""
    noted: list[str] = []
    monkeypatch.setattr(Lease, "arrived", lambda lease: noted.append(lease.id))

    class Arriving(FakeUpstream):
        def play(self, turn: Permit = at_once) -> Generator[ReplyEvent, None, None]:
            yield from turn()
            turn.arrived()
            yield from super().play(turn)

    list(House(Arriving()).reply())

    assert 1 == len(noted)


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


def one_in_line(house: House) -> tuple[Listener, Any, Any]:
    """A reply that has the only token, and one that waits for it as long as it takes, with the
    listener of that one."""
    listener = Listener()
    first, second = house.reply(), house.reply(listener=listener)
    next(first)
    assert Waiting() == next(second)
    listener.patience = 3600.0
    return listener, first, second


def test_a_long_wait_in_line_ends_as_soon_as_there_is_a_token() -> None:
    """Who is watched need not wake up to be looked after: nothing but its token ends the wait."""
    house = House(FakeUpstream([Text("one"), Done()], ANSWER), patience=3600.0)
    _, first, second = one_in_line(house)

    waits = Background(lambda: next(second))
    first.close()
    assert waits.wait(60.0)
    assert Idle() == waits.result()
    assert [*ANSWER] == list(second)


def test_a_long_wait_in_line_ends_as_soon_as_the_client_hangs_up() -> None:
    """The reader of the reply gets its turn, and sees that nobody is there any more; should it go
    on, the wait goes on."""
    house = House(FakeUpstream(repeat(Text("on and on"))), patience=3600.0)
    listener, _, second = one_in_line(house)

    waits = Background(lambda: next(second))
    listener.hang_up()
    assert waits.wait(60.0)
    assert Waiting() == waits.result()
    waits = Background(lambda: next(second))
    assert not waits.wait(0.05)
    listener.hang_up()
    assert waits.wait(60.0)
    second.close()

    assert {"in_use": 1} == house.state()


def test_who_has_hung_up_before_does_not_wait_in_line() -> None:
    """The reader of the reply has its turn at once."""
    house = House(FakeUpstream(repeat(Text("on and on"))), patience=3600.0)
    first = house.reply()
    next(first)
    gone = Listener()
    gone.patience = 3600.0
    gone.hang_up()

    assert Waiting() == next(house.reply(listener=gone))


def test_once_it_is_lent_the_wait_in_line_is_not_what_a_hang_up_ends() -> None:
    """From then on the bot is waited for, by whoever asks it."""
    woken: list[str] = []
    listener = Listener()
    upstream = FakeUpstream(
        [Text("one"), Done()], [lambda: listener.wakes(lambda: woken.append("bot")), *ANSWER]
    )
    house = House(upstream)
    first, second = house.reply(), house.reply(listener=listener)
    next(first)
    assert Waiting() == next(second)
    first.close()
    assert [Idle(), Text("Hello")] == [next(second), next(second)]
    listener.hang_up()

    assert ["bot"] == woken


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

    decided = {*MOVES, *MOVES_TO_ANOTHER_KIND, *ASKS_ONCE_MORE, *STAYS}
    kinds = {one for one in below(UpstreamError) if one.__module__.startswith("poe_proxy.")}
    kinds -= {UpstreamError}

    assert decided == {kind for kind in kinds if kind.__module__ == errors.__name__}
    for finer in kinds - decided:  # an upstream's own; it says no more than what it refines
        (broader,) = finer.__bases__
        assert broader in decided
        assert not {"another_token", "another_kind", "once_more"} & vars(finer).keys()


# ---- what a bot is called


def living(*entries: dict[str, Any]) -> Catalogue:
    return Catalogue(built_in={entry["id"]: Model.read(entry) for entry in entries})


@pytest.mark.parametrize("asked", ["maker/x-1", "MAKER/X-1", "X-One", "poe/x-one"])
def test_each_way_has_its_own_name_for_a_bot(asked: str) -> None:
    """The official API takes Poe's id, the site the handle in the bot's address."""
    bot = {"id": "maker/x-1", "metadata": {"url": "https://poe.com/X-One"}}
    cookie, key = FakeUpstream([BotNotFound("no")]), FakeUpstream(ANSWER)
    house = House(cookie, keys=[key], catalogue=living(bot))
    list(house.reply(model=asked))

    assert ["X-One"] == [bot for _, bot in cookie.asked]
    assert ["maker/x-1"] == [bot.lower() for _, bot in key.asked]


def test_a_bot_of_an_account_s_own_is_asked_for_there() -> None:
    """Another account that does not know it is asked once, and no key at all."""
    others = [FakeUpstream([BotNotFound("no")]) for _ in range(3)]
    owner, key = FakeUpstream(ANSWER), FakeUpstream([BotNotFound("no")])
    house = House(*others, owner, keys=[key], shown={"Mine": frozenset({"cookie-4"})})
    said = list(house.reply(model="mine"))

    assert list(ANSWER) == said
    assert [1, 0, 0, 1, 0] == house.asked()
    assert (("model_not_found",), ("cookie-1",)) == (house.record.moves, house.record.moved_from)


def test_a_bot_that_its_own_account_has_lost_is_gone() -> None:
    """It is not looked for among accounts that never had it."""
    other, owner = (FakeUpstream([BotNotFound("no")]) for _ in range(2))
    house = House(other, owner, shown={"Mine": frozenset({"cookie-2"})})
    with pytest.raises(BotNotFound):
        list(house.reply(model="Mine"))

    assert [1, 1] == house.asked()
    # Nor among those that are not there any more.
    gone = House(FakeUpstream([BotNotFound("no")]), shown={"Mine": frozenset({"cookie-9"})})
    with pytest.raises(BotNotFound):
        list(gone.reply(model="Mine"))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("claude-2-100k", "no. 'claude-2-100k' is an old name for the bot 'Claude-2-100k', which "
         "Poe no longer has; GET /v1/models lists others."),
        ("claude-sonnet-4-5-20250929", "no. Did you mean 'Claude-Sonnet-4.5'?"),
        ("Claude-Sonnet-4.5", "no."),
        ("Nobody", "no."),
    ],
)  # fmt: skip
def test_who_asks_for_a_bot_that_is_gone_hears_more(asked: str, said: str) -> None:
    """What the old name led to; and which bot was meant, if that is certain."""
    house = House(FakeUpstream([BotNotFound("no.")]), catalogue=living({"id": "Claude-Sonnet-4.5"}))
    with pytest.raises(BotNotFound) as failed:
        list(house.reply(model=asked))

    assert (said, said) == (failed.value.message, str(failed.value))


# ---- keys for people


def test_a_client_is_served_by_its_own_accounts() -> None:
    """However many others are free; if all of its own are busy, it waits."""
    house = House(FakeUpstream(), FakeUpstream(), keys=[FakeUpstream()])
    client = Client(name="alice", accounts=frozenset({"cookie-2"}))

    for _ in range(2):
        list(house.gateway.reply(ask(), visit=Visit(client)))

    assert [0, 2, 0] == house.asked()


def test_a_client_of_a_higher_priority_goes_first() -> None:
    """Although it came last."""
    house = House(FakeUpstream(repeat(Text("on and on"))))
    first = house.reply()
    next(first)
    calm, usual, urgent = (
        house.gateway.reply(ask(), visit=Visit(Client(name=f"of-{priority}", priority=priority)))
        for priority in (0, 5, 9)
    )
    assert [Waiting()] * 3 == [next(calm), next(usual), next(urgent)]

    first.close()

    assert [Waiting(), Waiting(), Idle()] == [next(calm), next(usual), next(urgent)]


def test_a_request_is_charged_when_it_is_sent_and_once() -> None:
    """A login before it, or another try behind it, costs its client nothing."""
    budgets = MemoryBudgets()
    budgets.replace({"alice": Limits(per_day=9)}, begins=0.0)
    assert budgets.check("alice", "1") is None
    visit = Visit(Client(name="alice"), budgets, "1")
    charged: list[int] = []

    def note() -> None:
        charged.append(budgets.standing("alice").requests)

    first = FakeUpstream([note, SENDING, note, UpstreamOverloaded("Busy.")])
    second = FakeUpstream([note, SENDING, note, Text("Hello"), Done()])
    list(House(first, second).gateway.reply(ask(), visit=visit))

    assert [0, 1, 1, 1] == charged
