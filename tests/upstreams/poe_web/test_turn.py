"""Frames of sheet §13, fed to a turn in every awkward order; time is passed in."""

from __future__ import annotations

import random
from typing import Any

import orjson
import pytest

from poe_proxy.chat import Done, Replaced, ReplyEvent, Text
from poe_proxy.errors import BotFailed, PromptTooLong, TokenExhausted, UpstreamInterrupted
from poe_proxy.upstreams.poe_web import turn as module
from poe_proxy.upstreams.poe_web.items import MAX_ITEMS, ChannelLost, Item, read_frame
from poe_proxy.upstreams.poe_web.open_chats import OpenChat
from poe_proxy.upstreams.poe_web.turn import AFTER_JOB, AFTER_MESSAGE, MAX_MESSAGES, Turn

NONCE = "aB3dE5fG7hJ9kL1m"
HUMAN = (
    rb'{"min_seq":4812345679,"messages":["{\"message_type\":\"subscriptionUpdate\",\"payload\":'
    rb"{\"unique_id\":\"messageAdded:1234567890\",\"subscription_name\":\"messageAdded\",\"data\":"
    rb"{\"messageAdded\":{\"id\":\"TWVzc2FnZToxMDAwMDAwMDAwMDE=\",\"messageId\":100000000001,"
    rb"\"author\":\"human\",\"state\":\"complete\",\"text\":\"Say hello\","
    rb'\"clientNonce\":\"aB3dE5fG7hJ9kL1m\",\"contentType\":\"text_markdown\"}}},\"_\":\"9f03\"}"]}'
)
JOB_DONE = (
    rb'{"min_seq":4812345691,"messages":["{\"message_type\":\"subscriptionUpdate\",\"payload\":'
    rb"{\"unique_id\":\"jobUpdated:1234567890\",\"subscription_name\":\"jobUpdated\",\"data\":"
    rb"{\"jobUpdated\":{\"id\":\"UG9lSm9iOjU1NQ==\",\"jobId\":555,\"state\":\"completed\","
    rb'\"viewerCanCancel\":false}}}}"]}'
)


def frame(name: str, content: Any, scope: str = ":1234567890", seq: int = 4812345690) -> bytes:
    payload = {"unique_id": name + scope, "subscription_name": name, "data": {name: content}}
    item = orjson.dumps({"message_type": "subscriptionUpdate", "payload": payload})
    return orjson.dumps({"min_seq": seq, "messages": [item.decode()]})


def bot(text: str, state: str = "incomplete", number: int = 100000000002, **more: Any) -> Any:
    return {"messageId": number, "author": "claude", "state": state, "text": text, **more}


def turn(**options: Any) -> Turn:
    return Turn(client_nonce=NONCE, chat_nonce="nP2qR4sT6uV8wX0y", **options)


def feed(
    a_turn: Turn, *contents: Any, name: str = "messageAdded", now: float = 0
) -> list[ReplyEvent]:
    return [event for content in contents for event in a_turn.feed(name, content, now)]


JOB_OVER = {"jobId": 555, "state": "completed"}


# ---- frames


def test_the_frames_of_the_sheet_are_read() -> None:
    """Sequence, name, chat and content of the recorded frames."""
    seq, (human,) = read_frame(HUMAN)
    _, (job,) = read_frame(JOB_DONE)

    assert 4812345679 == seq
    assert ("messageAdded", 1234567890) == (human.name, human.chat_id)
    assert NONCE == human.content()["clientNonce"]
    assert ("jobUpdated", 1234567890) == (job.name, job.chat_id)
    assert "completed" == job.content()["state"]


@pytest.mark.parametrize(
    ("unique_id", "name", "chat_id"),
    [
        ("messageAdded:1234567890", "messageAdded", 1234567890),
        ("messageAdded:12abc", "messageAdded", None),
        ("messageAdded:", "messageAdded", None),
        ("messageAdded:٣", "messageAdded", None),
        ("chatAddedV2", "chatAddedV2", None),
        ("jobCostUpdated:555", "jobCostUpdated", None),
        ("viewerStateUpdated:Vmlld2VyOjA=", "viewerStateUpdated", None),
    ],
)
def test_an_id_is_a_chat_s_only_if_it_is_a_number(
    unique_id: str, name: str, chat_id: int | None
) -> None:
    """What stands behind the colon is a chat if it is all digits, and never for a job's cost."""
    text = orjson.dumps({"payload": {"unique_id": unique_id}}).decode()
    _, (item,) = read_frame(orjson.dumps({"messages": [text]}))

    assert (name, chat_id) == (item.name, item.chat_id)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no JSON at all",
        b"[]",
        b"5",
        b"null",
        b'{"type":"pong"}',
        b'{"messages":null}',
        b'{"messages":"text"}',
        b'{"messages":[]}',
        b'{"messages":[5,null,{}]}',
        b'{"messages":["","{","{}"]}',
        b'{"error":"something else"}',
        b"\xff\xfe",
    ],
)
def test_a_frame_that_tells_nothing_is_passed_over(raw: bytes) -> None:
    """Frames without messages and invalid messages do no harm."""
    assert (None, []) == read_frame(raw)


def test_a_frame_without_messages_may_have_a_sequence() -> None:
    """The sequence counts on its own."""
    assert (7, []) == read_frame(b'{"min_seq":7}')


@pytest.mark.parametrize(
    "raw",
    [
        b'{"error":"missed_messages"}',
        rb'{"messages":["{\"message_type\":\"refetchChannel\"}"]}',
        rb'{"messages":["{\"_\":\"' + b"f" * 500 + rb'\",\"message_type\":\"refetchChannel\"}"]}',
        rb'{"messages":["{\"message_type\": \"refetchChannel\",\"payload\":{}}"]}',
    ],
)
def test_a_lost_channel_says_so(raw: bytes) -> None:
    """Both ways to say it are heard."""
    with pytest.raises(ChannelLost):
        read_frame(raw)


def test_a_text_that_speaks_of_frames_is_text() -> None:
    """Nothing in a message's own text is taken for the protocol."""
    evil = '{"message_type":"refetchChannel","unique_id":"messageAdded:9","state":"incomplete"}'
    _, (item,) = read_frame(frame("messageAdded", bot(evil, "complete")))

    assert ("messageAdded", 1234567890) == (item.name, item.chat_id)
    assert item.message_key is None
    assert evil == item.content()["text"]


@pytest.mark.parametrize("data", [None, [], {}, {"other": {}}, {"messageAdded": None}, 5])
def test_an_item_without_data_is_empty(data: Any) -> None:
    """Null data, or data of another name, is nothing."""
    text = orjson.dumps({"payload": {"unique_id": "messageAdded:1", "data": data}}).decode()

    assert {} == Item("messageAdded", 1, text).content()


def test_several_items_of_a_frame_are_all_read() -> None:
    """Not only the first."""
    texts = [orjson.loads(frame("messageAdded", bot(t)))["messages"][0] for t in ("a", "b", "c")]
    _, items = read_frame(orjson.dumps({"min_seq": 1, "messages": [texts[0], "{", *texts[1:]]}))

    assert ["a", "b", "c"] == [item.content()["text"] for item in items]


# ---- text


@pytest.mark.parametrize("state", ["running", "", None, 1, ["completed"], {"a": 1}])
def test_a_job_goes_on_whose_state_says_nothing_else(state: Any) -> None:
    """Such as one that is no text."""
    one = turn()
    feed(one, bot("Hello", "complete"))

    assert [] == feed(one, {"jobId": 555, "state": state}, name="jobUpdated")


def test_growing_text_comes_as_differences() -> None:
    """Cumulative text in, differences out, one end."""
    one = turn()
    events = feed(one, bot(""), bot("Hello"), bot("Hello"), bot("Hello there."))
    events += feed(one, bot("Hello there.", "complete"))
    events += feed(one, JOB_OVER, name="jobUpdated")

    assert [Text("Hello"), Text(" there."), Done("stop")] == events


@pytest.mark.parametrize(
    ("texts", "events"),
    [
        (["Thinking", "The answer"], [Text("Thinking"), Replaced("The answer")]),
        (["DRAFT", "draft"], [Text("DRAFT"), Replaced("draft")]),
        (["abc", "abd", "abde"], [Text("abc"), Replaced("abd"), Text("e")]),
        # What is behind is the past, not a rewriting.
        (["abcdef", "abc", "abcdefg"], [Text("abcdef"), Text("g")]),
    ],
)
def test_rewritten_text_is_replaced(texts: list[str], events: list[ReplyEvent]) -> None:
    """Whatever does not begin with what was said replaces it."""
    assert events == feed(turn(), *map(bot, texts))


def test_a_finished_message_may_be_shorter() -> None:
    """The last version holds, even if it only takes something away."""
    one = turn()

    assert [Text("abcdef"), Replaced("abc")] == feed(one, bot("abcdef"), bot("abc", "complete"))


def test_messages_of_others_are_no_answer() -> None:
    """The human, chat breaks and progress lines are not the bot."""
    one = turn()
    events = feed(
        one,
        {**bot("Say hello", "complete", 1), "author": "human", "clientNonce": NONCE},
        {**bot("", "complete", 3), "author": "chat_break"},
        {**bot("Searching", "complete", 4), "author": "pacarana"},
        {**bot("Earlier reply", "complete", 1)},
    )

    assert [] == events
    assert 1 == one.human_id
    assert not one.texts


@pytest.mark.parametrize(
    "content",
    [{}, {"messageId": "2"}, {"messageId": None, "text": "x"}, {"author": "bot", "text": "x"},
     {"messageId": 5, "text": "orphan"}, {**bot("x"), "author": ["bot"]}],
)  # fmt: skip
def test_what_is_no_message_is_passed_over(content: Any) -> None:
    """Without number or author there is nothing to say."""
    assert [] == feed(turn(), content)


def test_a_text_update_neither_finishes_nor_reopens() -> None:
    """messageTextUpdated has a text and no state: the state stays as it was."""
    one = turn()
    feed(one, bot("a", "complete"))
    events = feed(one, {"messageId": 100000000002, "text": "ab"}, name="messageTextUpdated")

    assert [Text("b")] == events
    assert [Done("stop")] == feed(one, JOB_OVER, name="jobUpdated")


def test_two_messages_of_a_job_are_one_answer() -> None:
    """They are joined by an empty line, in the order of their beginnings."""
    one = turn()
    events = feed(one, bot("a", number=5), bot("a", "complete", 5), bot("", number=6))
    events += feed(one, bot("b", number=6), bot("b", "complete", 6))
    events += feed(one, JOB_OVER, name="jobUpdated")

    assert [Text("a"), Text("\n\nb"), Done("stop")] == events


# ---- the end


def test_a_complete_message_waits_for_its_job() -> None:
    """Where nothing is said of a job, the reply ends a second after its last word."""
    one = turn()
    feed(one, bot("a", "complete"), now=100)

    assert 100 + AFTER_MESSAGE == one.next_due()
    assert [] == list(one.due(100 + AFTER_MESSAGE - 0.01))
    assert [Done("stop")] == list(one.due(100 + AFTER_MESSAGE))
    assert [] == list(one.due(200))


def test_a_job_that_is_over_waits_for_its_message() -> None:
    """The last frame may come a little after the job's end, or never."""
    one = turn()
    feed(one, bot("a"))
    feed(one, JOB_OVER, name="jobUpdated", now=100)

    assert [] == list(one.due(100 + AFTER_JOB - 0.01))
    assert [Text("b"), Done("stop")] == feed(one, bot("ab", "complete"), now=101)


def test_a_job_that_never_completes_its_message_leaves_it_unfinished() -> None:
    """Two seconds after the job's end the history has to say what became of it."""
    one = turn()
    feed(one, bot("a"))
    feed(one, JOB_OVER, name="jobUpdated", now=100)

    assert not one.is_unfinished(100 + AFTER_JOB - 0.01)
    assert one.is_unfinished(100 + AFTER_JOB)
    assert [] == list(one.due(100 + AFTER_JOB))
    assert 100 + AFTER_JOB == one.next_due()


def test_the_history_may_finish_a_message() -> None:
    """It has the end of the text, and the state that never came."""
    one = turn()
    feed(one, bot("a"))
    feed(one, JOB_OVER, name="jobUpdated", now=100)

    assert [Text("b"), Done("stop")] == feed(one, bot("ab", "complete"), now=102)
    assert one.look_again(102, has_news=True)


def test_all_that_the_history_has_is_read_before_the_turn_ends() -> None:
    """The first of two messages is complete, and the job is over: the second is there, too."""
    one = turn()
    feed(one, JOB_OVER, name="jobUpdated", now=100)
    both = [bot("a", "complete", 5), bot("b", "complete", 6)]

    assert [Text("a"), Text("\n\nb"), Done("stop")] == list(one.read(both, 101))
    assert [] == list(one.read(both, 102))


def test_a_turn_that_holds_on_does_not_end_with_its_job() -> None:
    """It is due a moment later, as where nothing is said of a job."""
    one = turn(holds_on=True)
    feed(one, JOB_OVER, name="jobUpdated", now=100)

    assert [Text("a")] == feed(one, bot("a", "complete"), now=101)
    assert [Done("stop")] == list(one.due(101 + AFTER_MESSAGE))


def test_an_unfinished_message_is_looked_at_twice() -> None:
    """The bot may be slow: the second look in a row without news is the last."""
    one = turn()
    feed(one, bot("a"))
    feed(one, JOB_OVER, name="jobUpdated", now=100)

    assert one.look_again(102, has_news=False)
    assert not one.is_unfinished(102 + AFTER_JOB - 0.01)
    assert one.is_unfinished(102 + AFTER_JOB)
    assert one.look_again(104, has_news=True)
    assert one.look_again(106, has_news=False)
    assert not one.look_again(108, has_news=False)


def test_a_bot_that_writes_on_after_its_job_puts_the_look_off() -> None:
    """Each new piece of text is a sign of life."""
    one = turn()
    feed(one, bot("a"))
    feed(one, JOB_OVER, name="jobUpdated", now=100)
    feed(one, bot("ab"), now=101.5)

    assert not one.is_unfinished(101.5 + AFTER_JOB - 0.01)
    assert one.is_unfinished(101.5 + AFTER_JOB)
    assert [Text("c"), Done("stop")] == feed(one, bot("abc", "complete"), now=103)


def test_a_job_without_a_word_leaves_the_answer_to_the_history() -> None:
    """Nothing of the bot was seen: it may be there all the same (§25)."""
    one = turn()
    feed(one, JOB_OVER, name="jobUpdated", now=100)

    assert not one.is_unfinished(100 + AFTER_JOB - 0.01)
    assert [] == list(one.due(100 + AFTER_JOB))
    assert one.is_unfinished(100 + AFTER_JOB)
    assert one.look_again(102, has_news=False)
    assert [Text("a"), Done("stop")] == feed(one, bot("a", "complete"), now=104)


def test_an_empty_message_is_an_answer() -> None:
    """A bot may finish without a word."""
    one = turn()

    assert [Done("stop")] == [
        *feed(one, bot("", "complete")),
        *feed(one, JOB_OVER, name="jobUpdated"),
    ]


def test_a_new_message_reopens_the_reply() -> None:
    """A second message that begins in time puts the end off."""
    one = turn()
    feed(one, bot("a", "complete", 5), now=100)
    feed(one, bot("", number=6), now=100.5)

    assert one.next_due() is None


@pytest.mark.parametrize("state", ["not_started", "running", None])
def test_a_job_that_goes_on_ends_nothing(state: str | None) -> None:
    """Only another state is the end."""
    one = turn()
    feed(one, bot("a", "complete"))

    assert [] == feed(one, {"state": state}, name="jobUpdated")


@pytest.mark.parametrize("state", ["completed", "done", "cancelled", "anything"])
def test_a_job_in_any_other_state_is_over(state: str) -> None:
    """Any job state other than not_started and running is the end (§25)."""
    one = turn()
    feed(one, bot("a", "complete"))

    assert [Done("stop")] == feed(one, {"state": state}, name="jobUpdated")


def test_without_jobs_a_complete_message_is_the_end() -> None:
    """Where jobs are not subscribed, nothing is waited for."""
    one = turn(jobs_are_reported=False)

    assert [Text("a"), Done("stop")] == feed(one, bot("a", "complete"))


@pytest.mark.parametrize(
    ("name", "content"), [("messageCancelled", {}), ("messageAdded", bot("ab", "cancelled"))]
)
def test_a_cancelled_reply_keeps_what_was_said(name: str, content: Any) -> None:
    """Either sign of it is the end."""
    one = turn()
    feed(one, bot("ab"))

    assert [Done("stop")] == feed(one, content, name=name)
    assert [] == feed(one, bot("abc"), bot("abcd", "complete"))


def test_repeats_after_the_end_say_nothing() -> None:
    """The finished message comes up to five times more."""
    one = turn()
    feed(one, bot("a", "complete"))
    feed(one, JOB_OVER, name="jobUpdated")

    assert [] == feed(one, *[bot("a", "complete")] * 5)


@pytest.mark.parametrize(
    ("state", "failure"),
    [
        ("error_user_message_too_long", PromptTooLong),
        ("error_insufficient_fund", TokenExhausted),
        ("error_x", BotFailed),
        ("exploded", BotFailed),
    ],
)
def test_an_error_state_is_a_failure(state: str, failure: type[Exception]) -> None:
    """The error has Poe's text for it, or the message's own if the bot had said nothing."""
    with pytest.raises(failure, match="Poe's reason"):
        feed(turn(), bot("words", state, messageStateText="Poe's reason"))
    with pytest.raises(failure, match="the only words"):
        feed(turn(), bot("the only words", state))


def test_a_failure_does_not_quote_the_conversation() -> None:
    """What the bot had said is not repeated in its failure."""
    one = turn()
    feed(one, bot("private words"))
    with pytest.raises(BotFailed) as raised:
        feed(one, bot("private words", "error_x"))

    assert "private" not in str(raised.value)


# ---- the answer to the sending


def test_the_answer_tells_chat_and_message() -> None:
    """The answer of §13."""
    one = turn()
    one.accepted(
        {
            "status": "success",
            "message": {"cursor": NONCE, "node": {"messageId": 100000000001, "author": "human"}},
            "job": {"jobId": 555},
            "chat": {"chatId": 1234567890, "chatCode": "2abcd3efgh4ijkl5mn", "title": None},
        }
    )

    assert (1234567890, 100000000001) == (one.chat_id, one.human_id)


@pytest.mark.parametrize(
    "answer",
    [{}, {"chat": None, "message": None}, {"chat": {}, "message": {"node": None}}, {"chat": 5}],
)
def test_an_answer_may_tell_nothing(answer: Any) -> None:
    """Nulls where they have been seen are no failure."""
    one = turn()
    one.accepted(answer)

    assert one.chat_id is None
    assert one.human_id is None


# ---- without measure


def whole_of(events: list[ReplyEvent]) -> str:
    text = ""
    for event in events:
        match event:
            case Text(more):
                text += more
            case Replaced(all_of_it):
                text = all_of_it
    return text


def test_whatever_order_messages_grow_in_the_answer_is_all_of_them() -> None:
    """Texts that are begun, emptied, cut and continued, of three messages, in random order."""
    draw = random.Random(5)
    for _ in range(300):
        one, texts = turn(), {}
        events: list[ReplyEvent] = []
        for _ in range(draw.randrange(1, 12)):
            number = draw.randrange(5, 8)
            text = draw.choice(["", "a", "ab", "abc", "b", texts.get(number, "") + "\n\na"])
            texts[number] = text
            events += feed(one, bot(text, "complete", number))

        assert "\n\n".join(text for text in texts.values() if text) == whole_of(events)


def test_what_was_said_is_not_said_again() -> None:
    """A second message that grows costs only what it is longer, however long the first one is."""

    class Texts(dict[int, str]):
        def values(self) -> Any:
            raise AssertionError("all of them are put together")

    one = turn()
    events = feed(one, bot("x" * 1000, "complete", 5))
    one.texts = Texts(one.texts)
    for length in range(1, 100):
        events += feed(one, bot("y" * length, number=6))

    assert [Text("x" * 1000), Text("\n\ny"), *[Text("y")] * 98] == events


def test_a_bot_that_rewrites_again_and_again_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time all that stands behind would be said again."""
    monkeypatch.setattr(module, "MAX_REPEATED", 10_030)
    one = turn()
    feed(one, bot("a", number=5), bot("x" * 1000, number=6))
    for length in range(2, 12):
        assert [Replaced("a" * length + "\n\n" + "x" * 1000)] == feed(
            one, bot("a" * length, number=5)
        )
    with pytest.raises(UpstreamInterrupted):
        feed(one, bot("a" * 12, number=5))


def test_a_bot_that_begins_a_thousand_messages_is_given_up() -> None:
    """An answer has a few."""
    one = turn()
    feed(one, *(bot("x", "complete", number) for number in range(5, 5 + MAX_MESSAGES)))
    feed(one, bot("xy", "complete", 5))

    with pytest.raises(UpstreamInterrupted):
        feed(one, bot("x", "complete", 4))


def test_a_frame_has_so_many_messages() -> None:
    """Beyond that it is as if they were lost: the history has them."""
    item = orjson.loads(HUMAN)["messages"][0]

    assert MAX_ITEMS == len(read_frame(orjson.dumps({"messages": [item] * MAX_ITEMS}))[1])
    with pytest.raises(ChannelLost):
        read_frame(orjson.dumps({"messages": [item] * (MAX_ITEMS + 1)}))
    with pytest.raises(ChannelLost):
        read_frame(b'{"messages":[' + b"{}," * 300_000 + b"1]}")


@pytest.mark.parametrize("digits", [21, 5000])
def test_a_chat_s_number_has_a_length(digits: int) -> None:
    """What is none belongs to no chat, and stops nobody."""
    _, (item,) = read_frame(frame("messageAdded", bot("x"), ":" + "1" * digits))

    assert item.chat_id is None


def test_nonces_are_those_of_the_message() -> None:
    """What a text says of nonces is not one."""
    quoted = '"clientNonce":"iiiiiiiiiiiiiiii"'
    _, (item,) = read_frame(frame("messageAdded", bot(quoted, clientNonce=NONCE, chatNonce="x-1")))

    assert [NONCE, "x-1"] == list(item.nonces())


# ---- a chat that goes on


BEFORE = OpenChat(77, 100000000002, 555)


def test_what_is_left_of_the_last_turn_is_not_the_answer() -> None:
    """Its words and the end of its job may come late; then a job without a word would be a
    failure."""
    a_turn = turn(before=BEFORE)
    assert [] == feed(a_turn, bot("old", "complete"))
    assert [] == feed(a_turn, JOB_OVER, name="jobUpdated")
    assert a_turn.next_due() is None

    new = bot("new", "complete", number=100000000004)
    assert [Text("new")] == feed(a_turn, new)
    assert [Done()] == feed(a_turn, {"jobId": 556, "state": "completed"}, name="jobUpdated")


def test_an_answer_need_not_name_the_chat_that_goes_on() -> None:
    """Poe has no need to tell it (§10.1)."""
    a_turn = turn(before=BEFORE)
    a_turn.accepted({"chat": None, "message": {"node": {"messageId": 100000000003}}})

    assert (77, 100000000003) == (a_turn.chat_id, a_turn.human_id)


def test_a_turn_that_is_over_leaves_a_chat() -> None:
    """With its newest message and its job; before, there is nothing that may go on."""
    a_turn = turn()
    a_turn.accepted({"chat": {"chatId": 77}, "job": {"jobId": 556}})
    feed(a_turn, bot("one"), bot("two", number=100000000003))
    assert a_turn.left() is None

    a_turn.is_over = True
    assert OpenChat(77, 100000000003, 556) == a_turn.left()
    feed(told := turn(chat_id=77), {"jobId": 5, "state": "running"}, name="jobStarted")
    feed(told, bot("one", "cancelled"))
    assert OpenChat(77, 100000000002, 5) == told.left()
    feed(ended := turn(chat_id=77), {"jobId": 5, "state": "completed"}, name="jobUpdated")
    ended.is_over = True
    assert ended.left() is None
