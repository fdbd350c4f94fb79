"""Events as an HTTP answer: first word, silence, hang-up, failure, the server's end."""

from __future__ import annotations

import socket
from collections.abc import Generator, Iterator
from itertools import repeat

import orjson
import pytest
from openai.types.chat import ChatCompletion

from poe_proxy.apis.chat_completions.parsing import Form
from poe_proxy.apis.chat_completions.rendering import Completion
from poe_proxy.chat import (
    ChatRequest,
    Done,
    Idle,
    Reasoning,
    ReplyEvent,
    Said,
    Text,
    Usage,
    Waiting,
)
from poe_proxy.clients import Visit
from poe_proxy.errors import (
    BotNotFound,
    PoeProxyError,
    PromptTooLong,
    ServerBusy,
    TokenExhausted,
    TokenLimited,
    TokenRejected,
    UpstreamInterrupted,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from poe_proxy.gateway import Gateway
from poe_proxy.record import Record
from poe_proxy.server import delivery
from poe_proxy.server.client_socket import ClientGone, ClientSocket
from poe_proxy.waiting import SHORT

from ..fakes import Clock, FakeUpstream, Step, ask
from .site import COMPLETIONS, HELLO, KEY, Site, error, lines, text


@pytest.mark.parametrize("path", ["/chat/completions", COMPLETIONS])
def test_a_whole_answer(site: Site, path: str) -> None:
    """A chat request is answered with a completion that OpenAI's own type accepts."""
    answer = site.post(orjson.dumps(HELLO), path)

    completion = ChatCompletion.model_validate_json(answer.data, strict=True)
    assert (200, "application/json") == (answer.status_code, answer.content_type)
    assert "Hello there" == completion.choices[0].message.content
    assert completion.usage is not None
    assert site.is_all_free()


def test_a_streamed_answer(site: Site) -> None:
    """A stream has the headers that keep proxies from holding it back, and ends with [DONE]."""
    answer = site.ask(stream=True)

    assert (200, "text/event-stream; charset=utf-8", "no-cache", "no") == (
        answer.status_code,
        answer.content_type,
        answer.headers["Cache-Control"],
        answer.headers["X-Accel-Buffering"],
    )
    assert "[DONE]" == lines(answer)[-1]
    assert "Hello there" == text(answer)
    answer.close()
    assert site.is_all_free()


def test_a_stream_is_not_collected() -> None:
    """The first text is out before the upstream works on the next one."""
    log: list[str] = []
    site = Site(Text("one"), lambda: log.append("working on two"), Text("two"), Done())

    for frame in site.ask(stream=True).response:
        log.extend(word for word in ("one", "two") if word.encode() in frame)

    assert ["one", "working on two", "two"] == log


@pytest.mark.parametrize("stream", [False, True])
def test_what_comes_at_once_gives_the_others_their_turn(
    monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    """However much it is: the end of a reply may bring all that was held back until then."""
    turns: list[None] = []
    monkeypatch.setattr(delivery.Flood, "came", lambda flood, size=0: turns.append(None))
    with Site(*repeat(Text("a"), 1000), Done()).ask(stream=stream) as answer:
        assert b"a" in answer.data

    assert len(turns) >= 1000


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_was_not_checked_says_so(stream: bool) -> None:
    """A header names the fields whose check was given up; an answer that was checked has none."""

    def give_up() -> None:
        chat, _ = site.upstream.asked[-1]
        chat.budget.unchecked += ["response_format", "tools"]

    site = Site(give_up, Text("Hi"), Done())
    answer = site.ask(stream=stream)

    assert (200, "response_format, tools") == (answer.status_code, answer.headers["x-unchecked"])
    assert "x-unchecked" not in Site().ask(stream=stream).headers


def test_a_body_that_takes_too_long_to_read_is_refused() -> None:
    """Before anything is asked; and clients are told not to send it again."""
    site = Site(max_body=10_000_000, max_work=1e-9)
    answer = site.ask(metadata=",[" * 4_000_000)

    assert (400, "request_too_costly", "body") == (
        answer.status_code,
        error(answer)["code"],
        error(answer)["param"],
    )
    assert "false" == answer.headers["x-should-retry"]
    assert [] == site.upstream.asked


@pytest.mark.parametrize("stream", [False, True])
def test_a_reply_that_is_too_large_breaks_off(stream: bool) -> None:
    """The bot is stopped, and the failure says which setting is the limit."""
    site = Site(*[Text("x" * 400)] * 4, max_reply=1000)
    answer = site.ask(stream=stream)

    said = lines(answer)[-1] if stream else answer.get_data(as_text=True)
    assert (200 if stream else 502) == answer.status_code
    assert '"code":"reply_too_large"' in said
    assert "MAX_REPLY_MB" in said
    assert (0, 1) == (site.upstream.open, site.upstream.hung_up)
    assert site.is_all_free()


@pytest.mark.parametrize("stream", [False, True])
def test_the_line_knows_the_client_and_whether_it_streams(
    stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never by its key."""
    asked: list[Record] = []
    reply = Gateway.reply

    def noted(
        gateway: Gateway, chat: ChatRequest, record: Record, visit: Visit
    ) -> Generator[ReplyEvent, None, None]:
        asked.append(record)
        return reply(gateway, chat, record, visit)

    monkeypatch.setattr(Gateway, "reply", noted)
    assert 200 == Site().ask(stream=stream).status_code

    (record,) = asked
    assert stream == record.streams
    assert record.client
    assert KEY not in record.client


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (BotNotFound("No bot.", param="model"), 404, "model_not_found"),
        (PromptTooLong("Too long."), 400, "context_length_exceeded"),
        (TokenRejected("Logged out."), 502, "upstream_auth"),
        (TokenLimited("Slow down.", retry_after=40), 429, "rate_limit_exceeded"),
        (TokenExhausted("Empty."), 429, "insufficient_quota"),
        (UpstreamUnreachable("Away."), 502, "upstream_unreachable"),
        (UpstreamOverloaded("Busy."), 503, "upstream_overloaded"),
        (UpstreamTimeout("Silence."), 504, "upstream_timeout"),
    ],
)
def test_a_failure_before_the_first_word_is_a_status(
    failure: Exception, status: int, code: str, stream: bool
) -> None:
    """Streamed or whole, what fails early is told with a real status and an error object."""
    answer = Site(Idle(), failure).ask(stream=stream)

    assert (status, code) == (answer.status_code, error(answer)["code"])


def test_a_failure_within_a_stream_is_its_last_frame() -> None:
    """Once words are out the failure is an error object in the stream; no [DONE] follows."""
    site = Site(Text("Hel"), UpstreamTimeout("Silence."))

    answer = site.ask(stream=True)

    *chunks, last = lines(answer)
    assert 200 == answer.status_code
    assert "Hel" in chunks[-1]
    assert "upstream_timeout" == orjson.loads(last)["error"]["code"]
    answer.close()
    assert site.is_all_free()


def test_a_failure_within_a_whole_answer_is_a_status() -> None:
    """A whole answer is all or nothing."""
    answer = Site(Text("Hel"), UpstreamTimeout("Silence.")).ask()

    assert (504, "upstream_timeout") == (answer.status_code, error(answer)["code"])


@pytest.mark.parametrize("stream", [False, True])
def test_a_fault_of_our_own_is_told_without_its_details(
    stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug is a 500 that names the request; the log has the rest."""
    site = Site(ZeroDivisionError("secret"))

    answer = site.ask(stream=stream)

    assert (500, "internal_error") == (answer.status_code, error(answer)["code"])
    assert answer.headers["x-request-id"] in error(answer)["message"]
    assert b"secret" not in answer.data
    assert "ZeroDivisionError" in caplog.text
    assert site.is_all_free()


def test_a_fault_of_our_own_within_a_stream_is_told_too(caplog: pytest.LogCaptureFixture) -> None:
    """A bug in mid-stream is an error object as well, not a connection that just breaks."""
    site = Site(Text("Hel"), ZeroDivisionError("secret"))

    answer = site.ask(stream=True)

    last = orjson.loads(lines(answer)[-1])["error"]
    assert "internal_error" == last["code"]
    assert answer.headers["x-request-id"] in last["message"]
    assert b"secret" not in answer.data
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    "failure", [ZeroDivisionError("secret"), UpstreamTimeout("Silence.")], ids=["ours", "Poe's"]
)
def test_any_failure_within_a_stream_may_be_told_in_the_answer_too(failure: Exception) -> None:
    """With ERRORS_AS_TEXT its message is the last text, and the error object still follows."""
    answer = Site(Text("Hel"), failure, errors_as_text=True).ask(stream=True)

    message = orjson.loads(lines(answer)[-1])["error"]["message"]
    assert f"Hel\n\nError: {message}" == text(answer)
    assert "secret" not in message


@pytest.mark.parametrize("stream", [False, True])
def test_a_status_needs_no_text(stream: bool) -> None:
    """ERRORS_AS_TEXT makes no answer of a failure that has a status."""
    answer = Site(UpstreamTimeout("Silence."), errors_as_text=True).ask(stream=stream)

    assert (504, "Silence.") == (answer.status_code, error(answer)["message"])


def test_long_silence_opens_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """After KEEP_ALIVE seconds without a word the stream opens all the same, with the role."""
    monkeypatch.setattr(delivery, "KEEP_ALIVE", 0.0)
    site = Site(Idle(), UpstreamTimeout("Silence."))

    answer = site.ask(stream=True)

    first, last = lines(answer)
    assert (200, "role") == (answer.status_code, short(first))
    assert "upstream_timeout" == orjson.loads(last)["error"]["code"]


def test_short_silence_keeps_the_status_open() -> None:
    """Until then silence decides nothing: a failure still is a status."""
    assert 504 == Site(*repeat(Idle(), 50), UpstreamTimeout("x")).ask(stream=True).status_code


def test_a_thought_opens_the_stream() -> None:
    """Reasoning is a word too."""
    site = Site(Reasoning("Hm."), UpstreamTimeout("Silence."))

    answer = site.ask(stream=True)

    assert 200 == answer.status_code
    assert '"reasoning_content":"Hm."' in lines(answer)[1]


@pytest.fixture
def gone() -> Iterator[socket.socket]:
    """Our end of a connection that the client has closed."""
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        yield ours


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_in_silence_is_noticed(gone: socket.socket, stream: bool) -> None:
    """While the bot thinks, a hang-up stops it and frees the token."""
    site = Site(*repeat(Idle(), 1000))

    answer = site.post(
        orjson.dumps({**HELLO, "stream": stream}), environ_overrides={"gunicorn.socket": gone}
    )

    assert 499 == answer.status_code
    assert (1, 0) == (site.upstream.hung_up, site.upstream.open)
    assert site.is_all_free()


def test_a_client_that_leaves_while_the_bot_talks_is_noticed(
    gone: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole answer is given up too, although the bot never pauses."""
    monkeypatch.setattr(delivery, "SHORT", 0.0)
    site = Site(*repeat(Text("on and "), 100), Done())

    answer = site.post(orjson.dumps(HELLO), environ_overrides={"gunicorn.socket": gone})

    assert 499 == answer.status_code
    assert (1, 0) == (site.upstream.hung_up, site.upstream.open)
    assert site.is_all_free()


def test_a_client_that_leaves_within_the_stream_is_noticed(
    gone: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    """A hang-up in mid-stream ends it without a word, and is no fault in the log."""
    site = Site(Text("Hel"), *repeat(Idle(), 1000))

    answer = site.post(
        orjson.dumps({**HELLO, "stream": True}), environ_overrides={"gunicorn.socket": gone}
    )

    assert 2 == len(lines(answer))
    answer.close()
    assert site.upstream.hung_up == 1
    assert site.is_all_free()
    assert "Traceback" not in caplog.text


class Killed(BaseException):
    """What the server raises in a request that it no longer waits for."""


def test_a_stream_that_the_server_ends_says_so() -> None:
    """The client of a server that stops gets an error event; the bot and the token are free."""
    site = Site(Text("Hel"), Killed())

    frames = iter(site.ask(stream=True).response)
    said = [next(frames) for _ in range(2)]
    with pytest.raises(Killed):
        next(frames)

    assert "upstream_interrupted" == orjson.loads(said[-1].removeprefix(b"data: "))["error"]["code"]
    assert site.is_all_free()


@pytest.mark.parametrize("streams", [False, True])
def test_a_request_that_the_server_ends_in_line_may_come_again(streams: bool) -> None:
    """Nothing was sent for it, so nothing was paid: the server that starts anew may have it."""
    call = Completion(ask(), Form(streams=streams))
    events = FakeUpstream([Waiting(), Killed()]).play()

    with pytest.raises(ServerBusy) as stopped:
        list(delivery.answer(call, events, Client()))

    assert stopped.value.client_may_retry


@pytest.mark.parametrize(
    "events", [[], [Waiting(), Idle()], [Waiting(was_asked=True)]], ids=["at once", "lent", "again"]
)
def test_a_request_that_the_server_ends_behind_the_line_may_be_paid_for(
    events: list[ReplyEvent],
) -> None:
    """Poe may have been asked, with this token or with one before, though nothing came of it."""
    call = Completion(ask(), Form(streams=False))

    with pytest.raises(UpstreamInterrupted):
        list(delivery.answer(call, FakeUpstream([*events, Killed()]).play(), Client()))


def test_a_stream_that_the_server_closes_is_hung_up() -> None:
    """Closing the response, begun or not, stops the bot and frees the token."""
    for read in (0, 1, 3):
        site = Site(Text("One"), *repeat(Text("more"), 1000))
        answer = site.ask(stream=True)
        frames = iter(answer.response)
        for _ in range(read):
            next(frames)

        answer.close()

        assert (1, 0) == (site.upstream.hung_up, site.upstream.open)
        assert site.is_all_free()


# ---- the generator itself


class Client(ClientSocket):
    """A client that is there."""

    def __init__(self) -> None:
        super().__init__({})


def parts(*steps: Step, streams: bool = True, clock: Clock | None = None) -> list[str]:
    """The parts of an answer to *steps*; of a stream each frame, without what encloses it."""
    call = Completion(ask(), Form(streams=streams))
    events = FakeUpstream(steps).play()
    return [
        frame.removeprefix("data: ")
        for part in delivery.answer(call, events, Client(), clock=clock or Clock())
        for frame in part.decode().removesuffix("\n\n").split("\n\n")
    ]


class Plain(Completion):
    """A call that says texts as they are, and nothing of what the bot thinks."""

    def frame(self, event: Said) -> bytes:
        match event:
            case Text(text):
                return text.encode()
            case Idle():
                return b"(alive)"
            case Done():
                return b"(end)"
        return b""

    def failed(self, failure: PoeProxyError) -> bytes:
        return f"({failure.code})".encode()


def plain(
    *steps: Step,
    clock: Clock | None = None,
    chat: ChatRequest | None = None,
    client: ClientSocket | None = None,
) -> list[str]:
    """The parts of an answer to *steps* that says texts as they are."""
    call = Plain(chat or ask(), Form(streams=True))
    events = FakeUpstream(steps).play()
    answer = delivery.answer(call, events, client or Client(), clock=clock or Clock())
    return [part.decode() for part in answer]


def short(frame: str) -> str:
    """A frame in a word: role, text, end, keep-alive, or the code of an error."""
    if not frame.startswith("{"):
        return frame
    fields = orjson.loads(frame)
    if "error" in fields:
        return str(fields["error"]["code"])
    (choice,) = fields["choices"]
    delta = choice["delta"]
    if delta == {"content": ""}:
        return "keep-alive"
    return delta.get("content") or ("role" if delta else "end")


def test_the_status_goes_out_before_the_first_frame() -> None:
    """Once the bot has begun the answer is a 200, though there is nothing to send yet."""
    assert ["", "role", "Hello", "end", "[DONE]"] == [
        short(one) for one in parts(Waiting(), Idle(), Text("Hello"), Done())
    ]


def test_silence_is_filled_with_keep_alives() -> None:
    """After so many seconds without a frame a keep-alive goes out, in line or not."""
    clock = Clock()

    def silence() -> None:
        clock.go(delivery.KEEP_ALIVE)

    said = parts(Text("Hel"), silence, Idle(), silence, Waiting(), Text("lo"), Done(), clock=clock)

    assert ["", "role", "Hel", "keep-alive", "keep-alive", "lo", "end", "[DONE]"] == [
        short(one) for one in said
    ]


def test_what_is_held_back_is_silence_to_the_client() -> None:
    """A bot may write for minutes what its client is told at the end. The head does not wait for
    that: a second empty part lets it leave."""
    clock = Clock()

    def later() -> None:
        clock.go(delivery.KEEP_ALIVE / 2)

    said = plain(Reasoning("a"), *[later, Reasoning("b")] * 5, Done(), clock=clock)

    assert ["", "", "(alive)", "(alive)", "(end)"] == said


def test_short_silence_is_left_silent() -> None:
    """An idle moment sends nothing."""
    assert 5 == len(parts(Idle(), Idle(), Text("x"), Idle(), Waiting(), Done()))


def test_each_frame_begins_the_silence_anew() -> None:
    """Keep-alives come every KEEP_ALIVE seconds of silence, counted from the last frame."""
    clock = Clock()

    def after(seconds: float) -> Step:
        return lambda: clock.go(seconds)

    said = parts(
        Text("a"), after(14.9), Idle(), after(0.1), Idle(), after(14.9), Text("b"),
        after(14.9), Idle(), after(0.1), Idle(), Done(), clock=clock,
    )  # fmt: skip

    assert ["", "role", "a", "keep-alive", "b", "keep-alive", "end", "[DONE]"] == [
        short(one) for one in said
    ]


def test_a_keep_alive_is_due_however_long_the_waits_are() -> None:
    """An `Idle` just before its time does not put it off: the next wait ends when it is due."""
    chat, clock, waits = ask(), Clock(), list[float]()

    def wait(seconds: float | None = None) -> Step:
        """Wait for so long, by default as long as a bot is waited for."""

        def waited() -> None:
            waits.append(chat.listener.patience)
            clock.go(waits[-1] if seconds is None else seconds)

        return waited

    said = plain(
        Text("a"), wait(14.9), Idle(), wait(), Idle(), wait(7), Text("b"), wait(), Idle(),
        wait(), Idle(), wait(9), Reasoning("c"), wait(), Idle(), Done(), chat=chat, clock=clock,
    )  # fmt: skip

    assert ["", "a", "(alive)", "b", *["(alive)"] * 3, "(end)"] == said
    assert [SHORT, 0.1, 15, 15, 15, 15, 6] == pytest.approx(waits)


# ---- what came together


def following(chat: ChatRequest, *events: Step) -> list[Step]:
    """Steps in which *events* come together for *chat*."""
    listener = chat.listener

    def follows(more: bool) -> Step:
        return lambda: setattr(listener, "more_follows", more)

    return [follows(True), *events[:-1], follows(False), *events[-1:]]


def test_what_came_together_leaves_together() -> None:
    """In one part, and in the order in which it came; what came alone leaves alone."""
    chat = ask()
    said = plain(
        *following(chat, Text("a"), Text("b")), Text("c"),
        *following(chat, Text("d"), Usage(1, 2), Done()), chat=chat,
    )  # fmt: skip

    assert ["", "ab", "c", "d(end)"] == said


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([Reasoning("Hm.")], ["", "a"]),
        ([Idle()], ["", "a"]),
        ([Waiting(was_asked=True)], ["", "a"]),
    ],
    ids=["no frame", "silence", "in line"],
)
def test_nothing_is_held_back_for_what_is_not_there(steps: list[Step], said: list[str]) -> None:
    """What came together has left before its bot is waited for, whatever its last event makes."""
    chat, client = ask(), list[str]()

    def wait() -> None:
        assert said == client
        raise UpstreamTimeout("Silence.")

    call = Plain(chat, Form(streams=True))
    events = FakeUpstream([*following(chat, Text("a"), *steps), wait]).play()
    for part in delivery.answer(call, events, Client(), clock=Clock()):
        client.append(part.decode())

    assert [*said, "(upstream_timeout)"] == client


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (UpstreamTimeout("Silence."), "a(upstream_timeout)"),
        (Idle(), "a"),
        (Done(), "a(end)"),
    ],
    ids=["failure", "silence", "end"],
)
def test_what_was_said_leaves_though_nothing_follows(end: Step, said: str) -> None:
    """Before a failure, in the same part; before a silence; and at the end of the reply."""
    chat = ask()
    steps = [*following(chat, Text("a"), Text("b"))[:2], end]

    assert said == plain(*steps, chat=chat)[1]


def test_the_end_waits_for_nothing() -> None:
    """A stage may make it of what something is said to follow; nothing follows an end."""
    chat, log = ask(), list[str]()

    def before_the_last() -> None:
        chat.listener.more_follows = True

    steps = [before_the_last, Text("a"), Done(), lambda: log.append("over")]
    call = Plain(chat, Form(streams=True))
    for part in delivery.answer(call, FakeUpstream(steps).play(), Client(), clock=Clock()):
        log.append(part.decode())

    assert ["", "a(end)", "over"] == log


@pytest.mark.parametrize(
    ("text", "most"), [("x", delivery.TOGETHER + 1), ("x" * 20_000, 5)], ids=["events", "bytes"]
)
def test_a_part_has_a_limit(text: str, most: int) -> None:
    """However much comes together, it leaves by and by, and others have their turn in between."""
    chat = ask()
    said = plain(*following(chat, *[Text(text)] * 100, Done()), chat=chat)

    assert 100 * text + "(end)" == "".join(said)
    assert most * len(text) == max(map(len, said))
    assert max(map(len, said)) <= max(len(text), delivery.PART) + len(text) * delivery.TOGETHER


# ---- hang-ups


def test_a_request_that_lasts_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """From then on nobody wakes to look whether its client is there, and the waits are long."""
    chat, clock, looks = ask(), Clock(), list[str]()
    client = Client()
    monkeypatch.setattr(Client, "is_gone", lambda client: looks.append("look"))
    monkeypatch.setattr(
        Client, "watch", lambda client, listener: [looks.append("watch"), listener.is_watched()]
    )
    monkeypatch.setattr(Client, "forget", lambda client: looks.append("forget"))

    def later(seconds: float) -> Step:
        return lambda: clock.go(seconds)

    plain(
        Idle(), Text("a"), later(SHORT - 0.1), Text("b"), Idle(), later(0.2), Text("c"), Idle(),
        Text("d"), lambda: looks.append(str(chat.listener.patience)), Done(),
        chat=chat, clock=clock, client=client,
    )  # fmt: skip

    assert ["look", "look", "look", "watch", "15.0", "forget"] == looks


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("event", [Idle(), Text("more")], ids=["silence", "text"])
def test_a_client_that_hung_up_is_noticed_at_the_next_event(event: Step, streams: bool) -> None:
    """Whoever watches its socket says so, and the bot is stopped; a stream ends without a word."""
    chat = ask()
    upstream = FakeUpstream([Text("a"), chat.listener.hang_up, *repeat(event, 1000)])
    call = Plain(chat, Form(streams=streams))
    answer = delivery.answer(call, upstream.play(), Client(), clock=Clock())

    if streams:
        assert [b"", b"a"] == list(answer)
    else:
        with pytest.raises(ClientGone):
            list(answer)
    assert (1, 0) == (upstream.hung_up, upstream.open)


@pytest.mark.parametrize("streams", [False, True])
def test_a_reply_without_an_end_is_no_answer(streams: bool) -> None:
    """Events that end without `Done` are a failure: half an answer is never shown as whole."""
    if streams:
        assert "upstream_interrupted" == short(parts(Text("Hel"))[-1])
    else:
        with pytest.raises(UpstreamInterrupted):
            parts(Text("Hel"), streams=False)


def test_a_bug_in_the_dressing_ends_the_stream_with_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Wherever a fault lies, the client reads an error object and the bot is stopped."""

    def frame(self: Completion, event: Said) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setattr(Completion, "frame", frame)
    site = Site(Text("Hel"), *repeat(Text("lo"), 3), Done())

    answer = site.ask(stream=True)

    assert "internal_error" == orjson.loads(lines(answer)[-1])["error"]["code"]
    answer.close()
    assert (0, 1) == (site.upstream.open, site.upstream.hung_up)
    assert site.is_all_free()
