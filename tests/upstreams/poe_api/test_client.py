"""One key as an upstream, over a wire that follows a script."""

from __future__ import annotations

import logging
from itertools import pairwise

import orjson
import pytest

from poe_proxy.chat import (
    ChatRequest,
    Done,
    Idle,
    Message,
    Reasoning,
    ReplyEvent,
    Text,
    TextPart,
    Usage,
)
from poe_proxy.errors import (
    BotFailed,
    TokenExhausted,
    TokenRejected,
    UpstreamError,
    UpstreamInterrupted,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUncertain,
    UpstreamUnreachable,
)
from poe_proxy.net import pacing
from poe_proxy.net.transfer import End, Received
from poe_proxy.pool.known import Funds
from poe_proxy.upstreams.base import TICK, HasCharges
from poe_proxy.upstreams.catalogue import Catalogue
from poe_proxy.upstreams.poe_api import client, receiving
from tests.fakes import ask

from .scripted import (
    ANSWER,
    CUT,
    DONE,
    KEY,
    REFUSED,
    RESET,
    WHOLE,
    Make,
    chunk,
    error,
    head,
    reply,
    spoken,
    unknown,
)

# ---- the way of a request


def test_a_reply(make: Make) -> None:
    """One POST with the key; text, usage and the end come out; the connection is kept."""
    api, wire = make(ANSWER, api_url="http://poe", concurrency=7)

    events = [Text("Hello"), Usage(1, 2), Done("stop")]
    assert events == list(reply(api, ask("Hi"), "GPT-5"))
    assert [
        (
            "POST",
            "/v1/chat/completions",
            {
                "User-Agent": "poe-proxy",
                "Authorization": f"Bearer {KEY}",
                "Content-Type": "application/json",
            },
            {
                "model": "GPT-5",
                "messages": [{"role": "user", "content": "Hi"}],
                "stream": True,
                "stream_options": {"include_usage": True},
            },
        )
    ] == wire.sent
    assert ("http://poe", 7) == (wire.url, wire.options["connections"])
    # A moment for the end of the body, so that the connection can be used again.
    assert 0 < wire.transfers[0].closed[0] < 1


@pytest.mark.parametrize("size", [1, 3, 50, 10_000])
def test_the_pieces_of_the_body_do_not_matter(make: Make, size: int) -> None:
    """An event may come in many reads, and many events in one."""
    body = (
        chunk({"reasoning": "思"})
        + chunk({"content": "你好 🖐"})
        + b": ping\r\n\r\n"
        + chunk({"content": "!"}, "stop")
        + DONE
    )
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    api, _ = make([head(), *pieces, End()])

    assert [Reasoning("思"), Text("你好 🖐!"), Done("stop")] == spoken(reply(api, ask(), "x"))


def test_nothing_is_asked_before_the_first_event_is_wanted(make: Make) -> None:
    """A reply that is not read costs nothing."""
    api, wire = make(ANSWER)
    reply(api, ask(), "x").close()

    assert [] == wire.sent


def test_hanging_up_gives_the_transfer_up_at_once(make: Make) -> None:
    """Without any patience: the bot is to stop."""
    api, wire = make([head(), chunk({"content": "a"}), 100.0])
    events = reply(api, ask(), "x")
    assert Text("a") == next(spoken_one for spoken_one in events if spoken_one == Text("a"))
    events.close()

    assert [0.0] == wire.transfers[0].closed


def test_media_bots_are_asked_for_a_whole_answer(make: Make) -> None:
    """By what the list says they make; signs of life come all the same."""
    entry = {"id": "veo-3.1", "architecture": {"output_modalities": ["video"]},
             "parameters": [{"name": "seed"}]}  # fmt: skip
    known = Catalogue(lambda: orjson.dumps({"data": [entry]}))
    known.look()
    api, wire = make([3.0, head(kind="application/json"), WHOLE, End()], catalogue=known)
    events = list(reply(api, ask(extra={"seed": 7, "user": "me"}), "Veo-3.1"))

    assert [Text("https://x/y"), Done("stop")] == spoken(events)
    assert 5 <= events.count(Idle()) <= 7
    assert {"model", "messages", "seed"} == wire.sent[0][3].keys()


def test_no_more_is_asked_for_than_the_bot_can_write(make: Make) -> None:
    """By what the list says of it; agents ask for more."""
    entry = {"id": "small", "context_window": {"max_output_tokens": 500}}
    known = Catalogue(lambda: orjson.dumps({"data": [entry]}))
    known.look()
    api, wire = make(ANSWER, catalogue=known)
    for bot in ("Small", "x"):
        list(reply(api, ask(max_tokens=64_000), bot))

    assert [500, 64_000] == [body["max_tokens"] for *_, body in wire.sent]


def test_an_answer_that_was_to_be_streamed_may_come_whole(make: Make) -> None:
    """What the head says counts, not what was asked for."""
    api, _ = make([head(kind="application/json; charset=utf-8"), WHOLE[:9], WHOLE[9:], End()])

    assert [Text("https://x/y"), Done("stop")] == spoken(reply(api, ask(), "x"))


# ---- signs of life, and patience


def test_a_sign_of_life_at_least_twice_a_second(make: Make) -> None:
    """While Poe does not answer, and between its words."""
    api, wire = make(
        [2.0, head(), 2.0, chunk({"content": "a"}), 2.0, chunk({}, "stop"), DONE, End()]
    )
    moments = [wire.clock.now]
    for _ in reply(api, ask(), "x"):
        moments.append(wire.clock.now)

    assert max(b - a for a, b in pairwise(moments)) <= TICK + 1e-6
    assert 6.0 == pytest.approx(moments[-1] - moments[0])


def test_who_is_watched_is_told_seldom_that_nothing_comes(make: Make) -> None:
    """As often as a keep-alive is due, from the moment on when a hang-up is noticed by itself."""
    api, _ = make([head(), chunk({"content": "a"}), 40.0, *ANSWER[2:]])
    chat = ask()
    events = reply(api, chat, "x")
    assert Text("a") == next(events)
    chat.listener.is_watched()

    assert [Idle(), Idle(), Text("Hello")] == [next(events) for _ in range(3)]


def test_a_hang_up_ends_the_wait_for_the_bot(make: Make) -> None:
    """At once, and not when something comes; the exchange is over, and nobody is called later."""
    api, wire = make([head(), chunk({"content": "a"}), 100.0])
    chat = ask()
    events = reply(api, chat, "x")
    assert Text("a") == next(events)
    chat.listener.is_watched()
    chat.listener.hang_up()
    began = wire.clock.now

    assert Idle() == next(events)
    assert began == wire.clock.now
    events.close()
    assert [0.0] == wire.transfers[0].closed
    wire.transfers[0].is_woken = False
    chat.listener.hang_up()
    assert not wire.transfers[0].is_woken


def test_a_client_that_has_hung_up_before_is_not_waited_for(make: Make) -> None:
    """Nothing is sent for it."""
    api, wire = make(ANSWER)
    chat = ask()
    chat.listener.hang_up()
    events = reply(api, chat, "x")

    assert Idle() == next(events)
    assert wire.transfers[0].is_woken
    events.close()


def test_the_limit_of_silence_is_kept_however_long_waits_are(make: Make) -> None:
    """It ends the wait in which it is reached."""
    api, wire = make([head(), chunk({"content": "a"}), 1000.0], timeout=20.0)
    chat = ask()
    chat.listener.is_watched()
    began = wire.clock.now
    with pytest.raises(UpstreamTimeout):
        list(reply(api, chat, "x"))

    assert 20.0 == pytest.approx(wire.clock.now - began)


def test_comments_do_not_replace_signs_of_life(make: Make) -> None:
    """They say that Poe is there; whether the client is there has to be looked after."""
    pings: list[Received | float] = [step for _ in range(50) for step in (0.1, b": ping\n\n")]
    api, _ = make([head(), *pings, *ANSWER[1:]], timeout=1.0, first_byte=1.0)
    events = list(reply(api, ask(), "x"))

    assert Done("stop") == events[-1]
    assert 8 <= events.count(Idle()) <= 12


def test_the_first_word_may_take_long(make: Make) -> None:
    """A head and a role are no word: bots that think send them and are silent for minutes."""
    slow: list[Received | float] = [head(), chunk({"role": "assistant", "content": ""}), 599.0]
    api, _ = make([*slow, *ANSWER[2:]], timeout=60.0)

    assert [Text("Hello"), Usage(1, 2), Done("stop")] == spoken(reply(api, ask(), "x"))


@pytest.mark.parametrize(
    ("script", "limit"),
    [
        ([1000.0], 600.0),
        ([head(), 1000.0], 600.0),
        ([head(), chunk({"content": "a"}), 1000.0], 60.0),
        ([head(), chunk({"reasoning": "a"}), 59.0, chunk({"reasoning": "b"}), 1000.0], 119.0),
    ],
)
def test_silence_has_a_limit(make: Make, script: list[Received | float], limit: float) -> None:
    """A long one before the first word, a shorter one after it; each word counts anew."""
    api, wire = make(script)
    began = wire.clock.now
    with pytest.raises(UpstreamTimeout):
        list(reply(api, ask(), "x"))

    assert limit <= wire.clock.now - began <= limit + 2 * TICK
    assert [0.0] == wire.transfers[0].closed


def test_signs_of_life_alone_are_not_waited_for_for_ever(make: Make) -> None:
    """A bot that films may take long; one that says no word for an hour has none."""
    pings: list[Received | float] = [step for _ in range(500) for step in (15.0, b": ping\n\n")]
    api, wire = make([head(), *pings])
    began = wire.clock.now
    with pytest.raises(UpstreamTimeout):
        list(reply(api, ask(), "x"))

    assert 3600.0 <= wire.clock.now - began <= 3600.0 + 15.0 + TICK
    assert [0.0] == wire.transfers[0].closed


# ---- ends and failures


@pytest.mark.parametrize(
    ("script", "said", "failure"),
    [
        ([head(), chunk({"content": "a"}), End()], [Text("a")], UpstreamInterrupted),
        ([head(), End()], [], UpstreamInterrupted),
        (
            [head(), chunk({"content": "a"}), b'data: {"cho', End()],
            [Text("a")],
            UpstreamInterrupted,
        ),
        (
            [head(), chunk({"content": "a"}), CUT],
            [Text("a")],
            UpstreamInterrupted,
        ),
        (
            [head(), chunk({"content": "a"}) + b'data: {"error":{"message":"x"}}\n\n'],
            [Text("a")],
            BotFailed,
        ),
        ([head(), b"data: {\n\n"], [], UpstreamProtocolError),
        ([head(kind="text/html"), b"<html>", End()], [], UpstreamProtocolError),
        ([head(kind="application/json"), End()], [], UpstreamProtocolError),
        (
            [head(kind="application/json"), WHOLE[:9], CUT],
            [],
            UpstreamInterrupted,
        ),
        (error(401), [], TokenRejected),
        (error(402), [], TokenExhausted),
        ([head(502, "text/html"), b"<html>", End()], [], UpstreamOverloaded),
        ([head(503), b'{"error":', CUT], [], UpstreamOverloaded),
        ([REFUSED], [], UpstreamUnreachable),
        ([RESET], [], UpstreamUncertain),
    ],
)
def test_failures_come_after_what_was_said(
    make: Make, script: list[Received | float], said: list[ReplyEvent], failure: type[UpstreamError]
) -> None:
    """Each as its own class; the transfer is given up, and nothing is asked twice."""
    api, wire = make(script)
    events: list[ReplyEvent] = []
    with pytest.raises(failure):
        # Unlike a list that is made at once, this one keeps what came before the failure.
        events.extend(reply(api, ask(), "x"))

    assert said == spoken(events)
    assert [0.0] == wire.transfers[0].closed
    assert 1 == len(wire.sent)


def test_a_last_event_without_its_empty_line_still_counts(make: Make) -> None:
    """[DONE] and a line end too few."""
    api, _ = make([head(), chunk({"content": "a"}), b"data: [DONE]", End()])

    assert [Text("a"), Done("stop")] == spoken(reply(api, ask(), "x"))


def test_a_flood_is_not_collected(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither as a whole answer, nor as the explanation of an error, nor as one event."""
    for bound in ("_MAX_ANSWER", "_MAX_ERROR", "MAX_EVENT"):
        monkeypatch.setattr(receiving, bound, 1000)
    for first in (head(), head(kind="application/json")):
        api, _ = make([first, *[b"data: " + b"x" * 300] * 10])
        with pytest.raises(UpstreamProtocolError, match="too large"):
            list(reply(api, ask(), "x"))


def test_a_refusal_stays_one_however_long_it_is(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its explanation is not read to the end, and its status says enough."""
    monkeypatch.setattr(receiving, "_MAX_ERROR", 1000)
    api, wire = make([head(402), *[b"x" * 300] * 10, End()])
    with pytest.raises(TokenExhausted):
        list(reply(api, ask(), "x"))

    assert [0.0] == wire.transfers[0].closed


def test_a_refusal_that_drips_is_taken_as_it_is(make: Make) -> None:
    """A byte a second does not keep the client waiting for the end of an explanation."""
    steps: list[Received | float] = [head(401)]
    for _ in range(100):
        steps += [1.0, b"x"]
    api, wire = make(steps)
    began = wire.clock()
    with pytest.raises(TokenRejected):
        list(reply(api, ask(), "x"))

    assert wire.clock() - began <= 20.0


def test_events_that_say_nothing_give_the_others_their_turn(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many come at once."""
    turns: list[int] = []
    monkeypatch.setattr(pacing.Flood, "came", lambda flood, size: turns.append(size))
    api, _ = make([head(), b"data: {}\n\n" * 5000, chunk({"content": "a"}, "stop"), DONE, End()])

    assert [Text("a"), Done("stop")] == spoken(reply(api, ask(), "x"))
    assert len(turns) >= 5000 // receiving.IN_A_GO
    # All of them are counted, but for the last few.
    assert sum(1 + size // pacing.LARGE for size in turns) > 5000 - receiving.IN_A_GO


def test_lines_that_are_no_events_give_the_others_their_turn(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many come at once."""
    turns: list[int] = []
    monkeypatch.setattr(pacing.Flood, "came", lambda flood, size: turns.append(size))
    api, _ = make(
        [head(), b"\n" * 10 * receiving.AT_ONCE, chunk({"content": "a"}, "stop"), DONE, End()]
    )

    assert [Text("a"), Done("stop")] == spoken(reply(api, ask(), "x"))
    assert len(turns) >= 10


def test_texts_that_have_come_together_are_one(make: Make) -> None:
    """From the first ones on; and so are thoughts."""
    thoughts = chunk({"reasoning": "a"}) + chunk({"reasoning": "b"})
    texts = b"".join(chunk({"content": letter}) for letter in "cde")
    api, _ = make(
        [head(), thoughts + texts, 0.1, texts, 0.1, texts + chunk({}, "stop") + DONE, End()]
    )

    assert [Reasoning("ab"), *[Text("cde")] * 3, Done("stop")] == spoken(reply(api, ask(), "x"))


def test_who_reads_a_reply_is_told_what_has_come_together(make: Make) -> None:
    """All events but the last one of a read say that another one follows."""
    usage = chunk(usage={"prompt_tokens": 1, "completion_tokens": 2})
    api, _ = make(
        [
            *(head(), chunk({"reasoning": "a"}) + chunk({"content": "b"}), 0.1),
            *(chunk({"content": "c"}), 0.1, chunk({"content": "d"}, "stop") + usage + DONE, End()),
        ]
    )
    chat = ask()
    told = [(event, chat.listener.more_follows) for event in reply(api, chat, "x")]

    assert [
        *[(Reasoning("a"), True), (Text("b"), False), (Text("c"), False)],
        *[(Text("d"), True), (Usage(1, 2), True), (Done("stop"), False)],
    ] == [one for one in told if one[0] != Idle()]
    assert all(not follows for event, follows in told if event == Idle())


@pytest.mark.parametrize("pause", [[], [0.1]])
@pytest.mark.parametrize("end", [End(), CUT])
def test_nothing_behind_the_end_counts(make: Make, end: Received, pause: list[float]) -> None:
    """Whatever it is, and however it comes."""
    behind = chunk({"content": "b"}) * 40 + b"data: {\n\n"
    api, _ = make([head(), chunk({"content": "a"}, "stop") + DONE + behind, *pause, end])

    assert [Text("a"), Done("stop")] == spoken(reply(api, ask(), "x"))


def test_a_small_answer_is_small(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of models, and the balance."""
    monkeypatch.setattr(client, "_MAX_ASIDE", 1000)
    _, wire = make([head(kind="application/json"), b"x" * 1001, End()])
    with pytest.raises(UpstreamProtocolError, match="too large"):
        client.fetch_models("https://api.poe.com", clock=wire.clock)


# ---- secrets


def test_the_key_is_in_no_failure_and_no_log(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """Poe has no reason to repeat it; if it does, it stops here."""
    caplog.set_level(logging.DEBUG)
    scripts = [
        error(401, f"Bad key {KEY}!"),
        error(400, f"{KEY} What?", param="x"),
        [head(), b'data: {"error":{"message":"Bad key ' + KEY.encode() + b'!"}}\n\n'],
    ]
    for script in scripts:
        api, _ = make(script, label="key-3")
        with pytest.raises(UpstreamError) as failed:
            list(reply(api, ask(extra={"x": 1}, temperature=1.0), "Bot"))
        assert KEY not in failed.value.message + str(failed.value) + repr(failed.value)
        assert "***" in failed.value.message
        assert KEY not in repr(api)
        assert "key-3" in repr(api)
    assert KEY not in caplog.text


def test_a_conversation_is_in_no_failure_and_no_log(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """What a client says stays between it and Poe."""
    caplog.set_level(logging.DEBUG)
    api, _ = make(unknown("temperature"), [head(), b"data: {secret\n\n"])
    with pytest.raises(UpstreamProtocolError) as failed:
        list(reply(api, ask("secret", temperature=1.0), "Bot"))

    assert "secret" not in str(failed.value) + caplog.text
    assert "temperature" in caplog.text


# ---- the small questions


def test_the_balance(make: Make) -> None:
    """Asked with the key; one number of many."""
    answer = b'{"current_point_balance": 1234, "plan_points_balance": 5}'
    api, wire = make([head(kind="application/json"), answer, End()])

    assert Funds(1234) == api.balance()
    assert ("GET", "/usage/current_balance", None) == (*wire.sent[0][:2], wire.sent[0][3])
    assert f"Bearer {KEY}" == wire.sent[0][2]["Authorization"]


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        ([head(), b"", End()], UpstreamProtocolError),
        ([head(), b"<html>", End()], UpstreamProtocolError),
        ([head(), b"[]", End()], UpstreamProtocolError),
        ([head(), b'{"current_point_balance": null}', End()], UpstreamProtocolError),
        (error(401, f"Bad key {KEY}"), TokenRejected),
        ([REFUSED], UpstreamUnreachable),
        ([head(), b"{", CUT], UpstreamInterrupted),
        ([100.0], UpstreamTimeout),
        ([step for _ in range(100) for step in (1.0, b" ")], UpstreamTimeout),
    ],
)
def test_a_balance_that_is_not_to_be_had(
    make: Make, script: list[Received | float], failure: type[UpstreamError]
) -> None:
    """Every failure is an upstream error, and comes in time, even if Poe dribbles."""
    api, wire = make(script)
    began = wire.clock.now
    with pytest.raises(failure) as failed:
        api.balance()

    assert KEY not in str(failed.value)
    assert wire.clock.now - began <= client.ASIDE + 1
    assert 1 == len(wire.transfers[0].closed)


def test_the_list_of_models_is_asked_for_without_a_key(make: Make) -> None:
    """It is for everybody; a rejected key would only be in the way."""
    _, wire = make([head(kind="application/json"), b'{"data"', b":[]}", End()])

    assert b'{"data":[]}' == client.fetch_models("https://api.poe.com", clock=wire.clock)
    assert ("GET", "/v1/models", {"User-Agent": "poe-proxy"}, None) == wire.sent[0]


def test_closing(make: Make) -> None:
    """Gives the connections back."""
    api, wire = make(ANSWER)
    api.close()

    assert "closed" == wire.url


def test_one_message_of_text_is_what_the_tests_here_ask() -> None:
    """The helper makes what these tests rely on."""
    assert (Message(role="user", content=(TextPart("Hi"),)),) == ask("Hi").messages
    assert ChatRequest is type(ask())


def test_the_history_of_points(make: Make) -> None:
    """Asked with the key, a page at a time; a failure does not show it."""
    row = b'{"query_id":"q1","bot_name":"GPT-4o","creation_time":1764000000000000,"cost_points":3}'
    api, wire = make([head(kind="application/json"), b'{"data":[' + row + b"]}", End()])
    page = api.charges("q0")

    assert isinstance(api, HasCharges)
    assert [("q1", 3)] == [(one.id, one.points) for one in page.charges]
    sent = ("GET", "/usage/points_history?limit=100&starting_after=q0", None)
    assert sent == (*wire.sent[0][:2], wire.sent[0][3])
    assert f"Bearer {KEY}" == wire.sent[0][2]["Authorization"]

    api, _ = make(error(401, f"Bad key {KEY}"))
    with pytest.raises(TokenRejected) as failed:
        api.charges()
    assert KEY not in str(failed.value)
