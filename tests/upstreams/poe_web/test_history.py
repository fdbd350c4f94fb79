"""What the websocket does not say is read from the history: one exchange, by a clock of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from poe_proxy import errors
from poe_proxy.chat import Done, Idle, ReplyEvent, Text
from poe_proxy.upstreams.poe_web.history import AFTER_ANSWER, LONGEST_PAUSE, SILENCE
from poe_proxy.upstreams.poe_web.mailbox import Resync
from poe_proxy.upstreams.poe_web.open_chats import OpenChat
from poe_proxy.upstreams.poe_web.turn import AFTER_JOB, AFTER_MESSAGE
from poe_proxy.waiting import Listener

from ...fakes import Clock, log_lines
from .fakes import FakeChannel, FakeSession, say_it_all
from .test_exchange import exchange
from .test_turn import bot

CHAT = 1234567890
MESSAGES = "ChatListPaginationQuery"
#: Seconds that pass at each sign of life.
STEP = 0.25


class Hearing(FakeChannel):
    """A channel that can be replaced, and is heard from then on or not."""

    def __init__(self) -> None:
        super().__init__()
        self.replaced = 0

    def replace(self, generation: int) -> bool:
        self.replaced += 1
        return True


class Poe(FakeSession):
    """Takes a message; its history has of the bot what a test writes."""

    def __init__(self, clock: Clock, **answer: Any) -> None:
        super().__init__()
        self.clock = clock
        self.answer = {"status": "success", "chat": {"chatId": CHAT}, **answer}
        self.written: Any = None
        self.more: list[Any] = []
        #: When the history was asked for, in seconds from the beginning.
        self.looks: list[float] = []
        self.began = clock.now
        #: What happens while it is being read.
        self.meanwhile: Callable[[], object] = lambda: None

    def call(self, operation: str, variables: Any, **options: Any) -> Any:
        if operation == "sendMessageMutation":
            options["clear"]()
            self.calls.append(operation)
            return {"messageEdgeCreate": self.answer}
        assert operation == MESSAGES
        self.calls.append(operation)
        self.looks.append(self.clock.now - self.began)
        self.meanwhile()
        if isinstance(self.written, Exception):
            raise self.written
        human = {"messageId": 7, "author": "human", "text": "prompt", "state": "complete"}
        nodes = [human, *([self.written] if self.written else []), *self.more]
        return {"node": {"messagesConnection": {"edges": [{"node": one} for one in nodes]}}}


class Talk:
    """One exchange, in which time passes at each sign of life, and things happen at their time."""

    def __init__(self, **answer: Any) -> None:
        self.clock = Clock()
        self.poe, self.channel = Poe(self.clock, **answer), Hearing()
        self.deaf: list[float] = []
        self.plan: list[tuple[float, Callable[[], object]]] = []

    @property
    def passed(self) -> float:
        return self.clock.now - self.poe.began

    def at(self, seconds: float, act: Callable[[], object]) -> None:
        self.plan.append((seconds, act))

    def write(self, seconds: float, said: Any) -> None:
        """From then on the history has this of the bot, and the websocket does not tell."""
        self.at(seconds, lambda: setattr(self.poe, "written", said))

    def tell(self, seconds: float, name: str, content: Any) -> None:
        """Then the websocket tells this."""
        self.at(seconds, lambda: self.channel.say(name, content))

    def events(self, chat: OpenChat | None = None) -> Iterator[ReplyEvent]:
        listener = Listener()
        listener.patience = 0.0
        one = exchange(
            self.poe,
            self.channel,
            clock=self.clock,
            listener=listener,
            chat=chat,
            deaf=lambda: self.deaf.append(self.passed),
        )
        self.nonce = one._outgoing.client_nonce
        try:
            for event in one.events():
                if event != Idle():
                    yield event
                elif one._turn.chat_id is not None:
                    self.clock.go(STEP)
                    due = [act for seconds, act in self.plan if seconds <= self.passed]
                    self.plan = [entry for entry in self.plan if entry[0] > self.passed]
                    for act in due:
                        act()
        finally:
            one._turn.is_over = True  # there is nothing to stop
            one.close()

    def show_message(self, seconds: float = 0.5) -> None:
        """The websocket shows our own message."""
        self.at(
            seconds,
            lambda: self.channel.say(
                "messageAdded",
                {
                    "messageId": 7,
                    "author": "human",
                    "state": "complete",
                    "text": "prompt",
                    "clientNonce": self.nonce,
                },
            ),
        )


# ---- a job that ends without a word


def test_the_answer_of_a_job_that_ends_without_a_word_is_in_the_history() -> None:
    """The subscription to messages was refused, and the one to jobs was not (§25)."""
    talk = Talk()
    talk.write(0.5, bot("hello", "complete"))
    talk.tell(1.0, "jobUpdated", {"state": "completed"})

    assert [Text("hello"), Done("stop")] == list(talk.events())
    (look,) = talk.poe.looks
    assert 1.0 + AFTER_JOB <= look < SILENCE
    assert [look] == talk.deaf


def test_an_answer_that_is_late_in_the_history_is_waited_for() -> None:
    """The second look finds it."""
    talk = Talk()
    talk.tell(1.0, "jobUpdated", {"state": "completed"})
    talk.write(1.0 + AFTER_JOB + 1.0, bot("hello", "complete"))

    assert [Text("hello"), Done("stop")] == list(talk.events())
    assert 2 == len(talk.poe.looks)


@pytest.mark.parametrize(
    "written", [None, errors.UpstreamOverloaded("502"), errors.UpstreamChanged("a new hash")]
)
def test_a_job_without_a_word_is_a_failure_once_the_history_has_none(written: Any) -> None:
    """Two looks, as for a message that is unfinished; nobody is called deaf."""
    talk = Talk()
    talk.poe.written = written
    talk.show_message()
    talk.tell(1.0, "jobUpdated", {"state": "completed"})
    with pytest.raises(errors.BotFailed, match="without an answer"):
        list(talk.events())

    assert 2 == len(talk.poe.looks)
    assert [] == talk.deaf


def test_one_lost_frame_does_not_make_the_websocket_deaf() -> None:
    """It has shown our own message: its subscription is in force."""
    talk = Talk()
    talk.show_message()
    talk.write(0.5, bot("hello", "complete"))
    talk.tell(1.0, "jobUpdated", {"state": "completed"})

    assert [Text("hello"), Done("stop")] == list(talk.events())
    assert [] == talk.deaf


# ---- a websocket that says nothing at all


def test_nothing_at_all_on_the_websocket_is_noticed_soon() -> None:
    """Poe has taken the message, and does not even show it: the answer is in the history."""
    talk = Talk()
    talk.write(1.0, bot("hello", "complete"))

    assert [Text("hello"), Done("stop")] == list(talk.events())
    first, last = talk.poe.looks
    assert SILENCE <= first <= SILENCE + STEP
    assert [first] == talk.deaf
    assert first + AFTER_MESSAGE <= last <= first + AFTER_MESSAGE + STEP


def test_the_history_is_asked_once_more_before_a_reply_ends_that_it_alone_tells() -> None:
    """A bot may begin another message where no websocket tells of its job."""
    talk = Talk()
    talk.write(1.0, bot("one", "complete"))
    talk.at(SILENCE + 2 * STEP, lambda: talk.poe.more.append(bot("two", number=100000000003)))
    talk.at(SILENCE + 5, lambda: talk.poe.more.append(bot("two three", "complete", 100000000003)))
    said = "".join(event.text for event in talk.events() if isinstance(event, Text))

    assert "one\n\ntwo three" == said


def test_a_job_that_ends_while_the_history_is_read_may_have_written_more() -> None:
    """What was read is older than that end, and the websocket tells of no message."""
    talk = Talk()
    talk.write(1.0, bot("one", "complete"))

    def end() -> None:
        talk.channel.say("jobUpdated", {"state": "completed"})
        talk.poe.meanwhile = lambda: None
        talk.at(0.0, lambda: talk.poe.more.append(bot("two", "complete", 100000000003)))

    talk.poe.meanwhile = end
    said = "".join(event.text for event in talk.events() if isinstance(event, Text))

    assert "one\n\ntwo" == said
    assert 2 == len(talk.poe.looks)


def test_a_text_that_grows_in_the_history_is_passed_on_as_it_grows() -> None:
    """One look after the other, with pauses that grow; the caller is told once."""
    talk = Talk()
    for second in range(1, 60):
        talk.write(second, bot("x" * second))
    talk.write(60.0, bot("x" * 60, "complete"))
    *texts, end = talk.events()

    assert Done("stop") == end
    assert "x" * 60 == "".join(event.text for event in texts if isinstance(event, Text))
    *looks, _ = talk.poe.looks
    assert len(looks) == len(texts) > 3
    pauses = [later - sooner for sooner, later in pairwise([0, *looks])]
    assert sorted(pauses) == pauses
    assert max(pauses) <= LONGEST_PAUSE + STEP
    assert talk.poe.looks[:1] == talk.deaf


def test_a_deaf_channel_is_replaced_when_the_silence_has_lasted() -> None:
    """As one that falls silent in the middle of a reply is; and no sooner."""
    for seconds, times in ((40, 0), (100, 1)):
        talk = Talk()
        for second in range(1, seconds):
            talk.write(second, bot("x" * second))
        talk.write(seconds, bot("x" * seconds, "complete"))
        list(talk.events())

        assert times == talk.channel.replaced


def test_once_the_websocket_is_heard_the_looks_end() -> None:
    """A new channel tells what the old one did not."""
    talk = Talk()
    talk.write(1.0, bot("one"))
    talk.tell(6.0, "messageAdded", bot("one two"))
    talk.tell(40.0, "messageAdded", bot("one two three", "complete"))
    talk.tell(40.0, "jobUpdated", {"state": "completed"})
    texts = [event.text for event in talk.events() if isinstance(event, Text)]

    assert ["one", " two", " three"] == texts
    assert 1 == len(talk.poe.looks)


def test_what_comes_while_the_history_is_read_is_no_sign_of_deafness() -> None:
    """The websocket was late, and it was quicker than the history."""
    talk = Talk()
    talk.write(1.0, bot("hello", "complete"))
    talk.poe.meanwhile = lambda: say_it_all(talk.channel)

    assert [Text("hello"), Done("stop")] == list(talk.events())
    assert 1 == len(talk.poe.looks)
    assert [] == talk.deaf


def test_what_is_read_after_a_gap_is_no_sign_of_deafness() -> None:
    """The websocket said itself that frames were lost."""
    talk = Talk()
    talk.write(1.0, bot("hello", "complete"))
    talk.at(2.0, lambda: talk.channel.mailbox and talk.channel.mailbox.put(Resync()))

    assert [Text("hello"), Done("stop")] == list(talk.events())
    assert 1 == len(talk.poe.looks)
    assert [] == talk.deaf


def test_a_websocket_that_shows_our_message_is_trusted() -> None:
    """However long the bot thinks: an ordinary exchange makes one request, as ever."""
    talk = Talk()
    talk.show_message()
    talk.at(59.0, lambda: say_it_all(talk.channel))

    assert [Text("hello"), Done("stop")] == list(talk.events())
    assert ["sendMessageMutation"] == talk.poe.calls


@pytest.mark.parametrize("chat", [None, OpenChat(CHAT, 5)], ids=["new", "goes on"])
def test_a_bot_whose_first_word_comes_in_time_is_not_looked_for(chat: OpenChat | None) -> None:
    """Our own message need not be shown if the bot's is."""
    talk = Talk()
    talk.at(SILENCE - 1, lambda: say_it_all(talk.channel))

    assert [Text("hello"), Done("stop")] == list(talk.events(chat))
    assert ["sendMessageMutation"] == talk.poe.calls


def test_a_slow_bot_whose_message_is_not_shown_is_looked_for_now_and_then() -> None:
    """The history has nothing of it either: each look is one request, later and later."""
    talk = Talk()
    talk.at(59.0, lambda: say_it_all(talk.channel))

    assert [Text("hello"), Done("stop")] == list(talk.events())
    assert 3 <= len(talk.poe.looks) <= 5
    assert [] == talk.deaf


def test_a_slow_answer_to_the_sending_leaves_the_websocket_its_moment() -> None:
    """Frames come before the answer, or shortly behind it."""
    talk = Talk()
    send, sent = talk.poe.call, []

    def slowly(operation: str, variables: Any, **options: Any) -> Any:
        answer = send(operation, variables, **options)
        if operation == "sendMessageMutation":
            talk.clock.go(2 * SILENCE)
            sent.append(talk.passed)
        return answer

    talk.poe.call = slowly
    talk.at(2 * SILENCE + AFTER_ANSWER - STEP, lambda: say_it_all(talk.channel))

    assert [Text("hello"), Done("stop")] == list(talk.events())
    assert ["sendMessageMutation"] == talk.poe.calls


def test_a_history_that_cannot_be_read_is_no_failure_of_its_own() -> None:
    """The bot has its time all the same; each look that failed is noted."""
    talk = Talk()
    talk.poe.written = errors.UpstreamOverloaded("502")
    talk.at(30.0, lambda: say_it_all(talk.channel))
    with log_lines() as lines:
        assert [Text("hello"), Done("stop")] == list(talk.events())

    assert len(talk.poe.looks) == lines.getvalue().count("no history: 502") > 1


def test_a_history_whose_hash_is_unknown_is_not_asked_for_again() -> None:
    """Only the fallback is lost, and nothing more is said about it."""
    talk = Talk()
    talk.poe.written = errors.UpstreamChanged("a new hash")
    talk.at(50.0, lambda: say_it_all(talk.channel))
    with log_lines() as lines:
        assert [Text("hello"), Done("stop")] == list(talk.events())

    assert 1 == len(talk.poe.looks)
    assert "" == lines.getvalue()


def test_a_bot_that_says_nothing_anywhere_is_given_up_after_its_time() -> None:
    """As ever, the history is asked once more then."""
    talk = Talk()
    with pytest.raises(errors.UpstreamTimeout, match="60 s"):
        list(talk.events())

    assert 60.0 <= talk.poe.looks[-1] <= 60.0 + STEP
    assert [] == talk.deaf


def test_a_failure_is_in_the_history_too() -> None:
    """The websocket does not say that the bot failed."""
    talk = Talk()
    talk.write(1.0, bot("", "error_x", messageStateText="Poe's reason"))
    with pytest.raises(errors.BotFailed, match="Poe's reason"):
        list(talk.events())
