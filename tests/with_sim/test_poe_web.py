"""`PoeWeb` itself against the stand-in: every way a reply can go, well and badly.

Each test has an account of its own on one shared stand-in, so that the journal tells what
this test did. Time limits are short: see `LIMITS`.
"""

from __future__ import annotations

import base64
import logging
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from importlib import resources
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests

from poe_proxy import errors
from poe_proxy.chat import (
    ChatRequest,
    Done,
    FilePart,
    Idle,
    ImagePart,
    Message,
    Reasoning,
    Replaced,
    ReplyEvent,
    Sending,
    Text,
    TextPart,
)
from poe_proxy.net import dialing
from poe_proxy.upstreams.base import TICK
from poe_proxy.upstreams.poe_web import Credentials, PoeWeb, Site

from ..upstreams.poe_api.raw import CERTIFICATE
from .servers import Server, Sim, until

LIMITS = {
    "http": 6,
    "socket_open": 5,
    "ping": 0.3,
    "dead": 0.9,
    "script": 5,
    "upload": 6,
    "retry": 0.1,
    "shows": 0.4,
}
#: Seconds after which a test that hangs has failed.
LIMIT = 20.0
WORDS = "one two three four five six seven"


def chat(prompt: str, *parts: ImagePart | FilePart) -> ChatRequest:
    content = (TextPart(prompt), *parts)
    return ChatRequest(model="m", messages=(Message(role="user", content=content),))


def last_text(request: ChatRequest) -> str:
    return request.messages[-1].text


@dataclass
class Reply:
    """What came of one prompt."""

    events: list[ReplyEvent] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    #: When it said that it would send now.
    sent_at: float = 0.0
    failure: BaseException | None = None

    @property
    def text(self) -> str:
        text = ""
        for event in self.events:
            match event:
                case Text(more):
                    text += more
                case Replaced(whole):
                    text = whole
        return text

    @property
    def is_whole(self) -> bool:
        """Whether it ended as it should: with one `Done`, the last."""
        done = [isinstance(event, Done) for event in self.events]
        return self.failure is None and done[-1:] == [True] and done.count(True) == 1

    def kinds(self) -> set[type]:
        return {type(event) for event in self.events}


def ask(web: PoeWeb, request: ChatRequest | str, bot: str = "Assistant") -> Reply:
    """Take in a whole reply, in a thread of its own so that a hang is a failure."""
    reply = Reply()

    def run() -> None:
        try:
            for event in web.reply(chat(request) if isinstance(request, str) else request, bot):
                if isinstance(event, Sending):
                    reply.sent_at = time.monotonic()
                    continue
                reply.events.append(event)
                reply.at.append(time.monotonic())
        except errors.PoeProxyError as failure:
            reply.failure = failure

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(LIMIT)
    assert not thread.is_alive(), f"hangs after {reply.events}"
    return reply


def failure_of(web: PoeWeb, request: ChatRequest | str, bot: str = "Assistant") -> Any:
    """The exception in which the reply ended."""
    reply = ask(web, request, bot)
    assert reply.failure is not None, reply.text
    return reply.failure


def site(folder: Path, **limits: float) -> Site:
    """The site's data with short limits, read from a file as a user's own would be."""
    text = resources.files("poe_proxy.upstreams.poe_web").joinpath("site.toml").read_text("utf-8")
    for name, seconds in {**LIMITS, **limits}.items():
        text, found = re.subn(rf"(?m)^{name} = .*$", f"{name} = {seconds}", text)
        assert found == 1, name
    path = folder / "site.toml"
    path.write_text(text)
    return Site.load(path)


@dataclass
class Account:
    """One account of the stand-in, and the upstreams that were made of it."""

    sim: Sim
    token: str
    label: str
    folder: Path
    webs: list[PoeWeb] = field(default_factory=list)

    def web(self, credentials: str | None = None, **options: Any) -> PoeWeb:
        options = {
            "site": site(self.folder),
            "to_prompt": last_text,
            "web_url": self.sim.url,
            "ws_url": self.sim.url.replace("http", "ws", 1),
            "timeout": 8.0,
            "label": self.label,
            **options,
        }
        self.webs.append(PoeWeb(Credentials.parse(credentials or self.token), **options))
        return self.webs[-1]

    def journal(self, **wanted: Any) -> list[dict[str, Any]]:
        return self.sim.journal(account=self.label, **wanted)

    def sends(self) -> list[dict[str, Any]]:
        return self.journal(queryName="sendMessageMutation")

    def forget(self) -> None:
        """Let the journal begin here: a short one is read faster."""
        requests.delete(f"{self.sim.url}/__journal", timeout=5)


ACCOUNTS = 300
numbers = count(1)


@pytest.fixture(scope="module")
def own_sim() -> Iterator[Sim]:
    tokens = [f"secret-cookie-{n}%3D%3D" for n in range(1, ACCOUNTS + 1)]
    with Sim(tokens, (), "--max-concurrent", "50", pace=0.004) as running:
        yield running


@pytest.fixture
def account(own_sim: Sim, tmp_path: Path) -> Iterator[Account]:
    number = next(numbers)
    one = Account(own_sim, own_sim.tokens[number - 1], f"cookie-{number}", tmp_path)
    one.forget()
    yield one
    for web in one.webs:
        web.close()


@pytest.fixture
def web(account: Account) -> PoeWeb:
    return account.web()


@pytest.fixture(scope="module")
def shared(own_sim: Sim, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """An account for tests that do it no harm: they save themselves the login."""
    number = next(numbers)
    folder = tmp_path_factory.mktemp("shared")
    one = Account(own_sim, own_sim.tokens[number - 1], f"cookie-{number}", folder)
    one.web()
    yield one
    one.webs[0].close()


@dataclass
class Part:
    """The shared account, as one test sees it."""

    account: Account

    @property
    def web(self) -> PoeWeb:
        return self.account.webs[0]

    def sends(self) -> list[dict[str, Any]]:
        return self.account.sends()


@pytest.fixture
def part(shared: Account) -> Part:
    shared.forget()
    return Part(shared)


@pytest.fixture
def control(own_sim: Sim) -> Iterator[Callable[..., Any]]:
    """The stand-in's control; all is as before afterwards."""
    yield own_sim.control
    own_sim.control(reset=True)
    for name in ("challenge", "set_cookie", "tag_mode"):
        assert own_sim.control()[name] in ("off", "same", "either")


# ---- what is said, and how


@pytest.mark.parametrize(
    "words",
    [
        "",
        "!chunks=1",
        "!chunks=99",
        "!size=3",
        "!delay=0.05",
        "!first=0.3",
        "!silence=0.3",
        "!early=0.2",
        "!slow-answer=0.4",
        "!items=2",
        "!items=7",
        "!items=60",
        "!filler",
        "!filler !items=3",
        "!repeat-complete=5",
        "!followups=3",
        "!title=before",
        "!title=middle",
        "!title=after",
        "!title=never",
        "!pacarana",
        "!no-human",
        "!no-job",
        "!no-job !no-human",
        "!no-complete",
        "!no-messages-frame",
        "!broken-json-frame",
        "!null-data",
        "!foreign-frames",
        "!late-frames",
        "!server-ping",
        "!no-human !early=0.2 !no-job",
    ],
)
def test_the_text_is_whole(part: Part, words: str) -> None:
    """However Poe plays a reply, all of its text arrives once, and the prompt went out once."""
    reply = ask(part.web, f"{words} !echo {WORDS}".strip())

    assert WORDS == reply.text
    assert reply.is_whole
    # All of it may be here before the sending itself is answered.
    assert [True] == [entry["verdict"] in ("ok", "pending") for entry in part.sends()]


@pytest.mark.parametrize(
    "words",
    ["!close-socket", "!missed", "!refetch", "!dead-socket", "!early=0.3 !close-socket"],
)
def test_the_text_is_whole_though_the_websocket_breaks(
    account: Account, web: PoeWeb, words: str
) -> None:
    """Whatever happens to the websocket, all of the text arrives, and the prompt went out once."""
    reply = ask(web, f"{words} !delay=0.05 !echo {WORDS}")

    assert WORDS == reply.text
    assert reply.is_whole
    assert 1 == len(account.sends())
    assert 2 == len(account.journal(event="socket-open"))


@pytest.mark.parametrize("words", ["", "!chunks=99", "!items=7", "!foreign-frames"])
def test_text_that_only_grows_is_never_replaced(part: Part, words: str) -> None:
    """Poe says all of the text again each time; what comes of it are the differences."""
    reply = ask(part.web, f"{words} !echo {WORDS}")

    assert reply.kinds() <= {Idle, Text, Done}


def test_several_pieces_come_as_several_events(part: Part) -> None:
    """Text is passed on as it arrives, not collected."""
    reply = ask(part.web, f"!delay=0.05 !chunks=7 !echo {WORDS}")

    times = [at for at, event in zip(reply.at, reply.events, strict=True) if type(event) is Text]
    assert 5 <= len(times)
    assert 0.2 < times[-1] - times[0]


def test_a_rewritten_text_replaces_what_was_said(part: Part) -> None:
    """A bot that takes its words back is heard to do so, and its last version holds."""
    reply = ask(part.web, f"!rewrite !delay=0.02 !echo {WORDS}")

    assert WORDS == reply.text
    assert Replaced in reply.kinds()
    assert reply.is_whole


@pytest.mark.parametrize(
    ("words", "thought"),
    [
        ("!thinking=1", "Thinking..."),
        ("!thinking=3", "Thinking... (1s elapsed)"),
        ("!quoted-thinking", "The question is read once more.\nThe answer is weighed."),
    ],
)
def test_thoughts_are_told_apart_from_the_answer(part: Part, words: str, thought: str) -> None:
    """A draft that stood for the answer, or a quotation in front of it, is reasoning."""
    reply = ask(part.web, f"{words} !delay=0.05 !echo {WORDS}")

    assert WORDS == reply.text
    assert Replaced not in reply.kinds()
    assert thought == "".join(one.text for one in reply.events if isinstance(one, Reasoning))


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("!empty", ""),
        ("!messages=3", f"{WORDS} (1/3)\n\n{WORDS} (2/3)\n\n{WORDS} (3/3)"),
        ("!messages=2 !no-job", f"{WORDS} (1/2)\n\n{WORDS} (2/2)"),
    ],
)
def test_the_messages_of_one_job_are_one_answer(part: Part, words: str, text: str) -> None:
    """Several messages are joined by an empty line; no text at all is an answer too."""
    reply = ask(part.web, f"{words} !echo {WORDS}")

    assert text == reply.text
    assert reply.is_whole


def test_a_long_text_arrives_to_the_letter(part: Part) -> None:
    """Forty thousand characters in two hundred pieces, none lost and none twice."""
    reply = ask(part.web, "!long=40000 !delay=0 x")

    assert 40_000 == len(reply.text)
    assert reply.text.startswith("This is sentence 1 of")
    numbers = [int(n) for n in re.findall(r"sentence (\d+) of", reply.text)]
    assert list(range(1, len(numbers) + 1)) == numbers


def test_text_in_any_script_arrives(part: Part) -> None:
    """What is sent and what comes back may be in any script."""
    text = "Grüße, 世界 🌍 \u2028 \"quoted\" \\ 'and' so on"

    assert text == ask(part.web, f"!echo {text}").text


def test_a_reply_that_poe_cancels_ends_with_what_was_said(part: Part) -> None:
    """A cancelled reply keeps the text so far."""
    reply = ask(part.web, f"!cancelled !delay=0.02 !echo {WORDS}")

    assert reply.is_whole
    assert WORDS.startswith(reply.text)
    assert reply.text not in ("", WORDS)


# ---- refusals


@pytest.mark.parametrize(
    ("status", "failure", "retry_after"),
    [
        ("reached_limit", errors.TokenExhausted, None),
        ("too_many_tokens", errors.PromptTooLong, None),
        ("no_access", errors.BotNotAllowed, None),
        ("rate_limit_exceeded", errors.TokenLimited, 30),
        ("concurrent_messages", errors.TokenLimited, 5),
        ("unsupported_file_type", errors.ParameterRefused, None),
        ("message_points_display_price_mismatch", errors.UpstreamRefused, None),
        ("never_heard_of", errors.UpstreamRefused, None),
    ],
)
def test_a_status_is_a_failure_of_its_own(
    part: Part, status: str, failure: type, retry_after: float | None
) -> None:
    """Each status that refuses a message has its class, and Poe's own words in it."""
    told = failure_of(part.web, f"!status={status} !status-text=Poe_says_no. hello")

    assert failure is type(told)
    assert "Poe says no." in told.message
    assert retry_after == told.retry_after
    assert 1 == len(part.sends())


@pytest.mark.parametrize(
    ("state", "failure"),
    [
        ("error_user_message_too_long", errors.PromptTooLong),
        ("error_insufficient_fund", errors.TokenExhausted),
        ("error_of_some_kind", errors.BotFailed),
        ("error", errors.BotFailed),
        ("unheard_of", errors.BotFailed),
    ],
)
def test_a_state_is_a_failure_of_its_own(part: Part, state: str, failure: type) -> None:
    """A message that ends in an error state fails with Poe's text, not with the bot's."""
    reply = ask(part.web, f"!state={state} !state-text=Poe_says_why. !echo {WORDS}")

    assert failure is type(reply.failure)
    assert "Poe says why." in str(reply.failure)
    assert "seven" not in str(reply.failure)
    assert WORDS == reply.text


@pytest.mark.parametrize(
    ("words", "failure"),
    [
        ("!http=404", errors.UpstreamProtocolError),
        ("!http=405", errors.UpstreamProtocolError),
        ("!http=413", errors.PromptTooLong),
        ("!http=429", errors.TokenLimited),
        ("!http=500", errors.UpstreamUncertain),
        ("!http=502", errors.UpstreamUncertain),
        ("!http=503", errors.UpstreamUncertain),
        ("!challenge", errors.UpstreamBlocked),
        ("!empty-200", errors.UpstreamUncertain),
        ("!html-200", errors.UpstreamUncertain),
        ("!login-redirect", errors.TokenRejected),
        ("!reset", errors.UpstreamUncertain),
        ("!server-error", errors.UpstreamChanged),
        ("!stale-hash", errors.UpstreamChanged),
    ],
)
def test_a_failed_sending_is_a_failure_of_its_own(
    part: Part, words: str, failure: type[Exception]
) -> None:
    """What HTTP says of a sending has its class, and nothing is sent again."""
    told = failure_of(part.web, f"{words} hello")

    assert failure is type(told)
    assert 1 == len(part.sends())


@pytest.mark.parametrize(
    ("words", "failure", "sends"),
    [
        # With a new form key, then with the other tag, then all of that on a new channel.
        ("!http=400", errors.UpstreamProtocolError, 6),
        ("!http=401", errors.TokenRejected, 2),
        ("!http=403", errors.TokenRejected, 2),
        ("!logged-out", errors.TokenRejected, 1),
    ],
)
def test_what_poe_refuses_may_be_sent_again(
    account: Account, web: PoeWeb, words: str, failure: type[Exception], sends: int
) -> None:
    """A refusal of key or tag means that nothing was done: other ones are tried, then it fails."""
    told = failure_of(web, f"{words} hello")

    assert isinstance(told, failure)
    assert sends == len(account.sends())
    assert [] == account.journal(event="reply-start")


def test_retry_after_is_told(part: Part) -> None:
    """A 429 rests the token for as long as Poe says, and a minute at least."""
    assert 60 == failure_of(part.web, "!http=429 !retry-after=5 hello").retry_after
    assert 90 == failure_of(part.web, "!http=429 !retry-after=90 hello").retry_after


@pytest.mark.parametrize(
    ("bot", "failure"),
    [
        ("No-Such-Bot", errors.BotNotFound),
        ("no_such_codename", errors.BotNotFound),
        ("Sim-Private", errors.BotNotAllowed),
        ("Sim-Subscribers", errors.BotNotAllowed),
        ("Sim-Deleted", errors.BotNotAllowed),
        ("Sim-Down", errors.UpstreamOverloaded),
        ("Sim-Expensive", errors.TokenExhausted),
    ],
)
def test_a_bot_that_does_not_answer_is_a_failure_of_its_own(
    part: Part, bot: str, failure: type
) -> None:
    """We never answer with another bot."""
    assert failure is type(failure_of(part.web, "hello", bot))


@pytest.mark.parametrize("bot", ["capybara", "ASSISTANT", "claude-SONNET-4.5", "gpt4_o"])
def test_bots_are_known_by_handle_and_codename_in_any_case(
    account: Account, web: PoeWeb, bot: str
) -> None:
    """A bot is asked about once, and then remembered."""
    texts = [ask(web, "!echo hi", bot).text for _ in range(2)]

    assert ["hi", "hi"] == texts
    assert 1 == len(account.journal(queryName="HandleBotLandingPageQuery"))


# ---- the answer to a sending is lost


@pytest.mark.parametrize(
    "words",
    [
        "!server-error-after-accept",
        "!http-after-accept=400",
        "!http-after-accept=403",
        "!http-after-accept=404",
        "!http-after-accept=429",
        "!http-after-accept=500",
        "!http-after-accept=502",
        "!empty-after-accept",
        "!html-after-accept",
        "!reset-after-accept",
        "!reset-after-accept !no-human",
        "!reset-after-accept !first=1.5",
        "!reset-after-accept !no-human !no-job",
    ],
)
def test_a_message_that_arrived_is_answered_though_its_answer_was_lost(
    part: Part, words: str
) -> None:
    """The websocket shows that the message arrived: it is never sent twice."""
    reply = ask(part.web, f"{words} !echo {WORDS}")

    assert WORDS == reply.text
    assert reply.is_whole
    assert 1 == len(part.sends())


def test_a_lost_message_is_found_in_the_history(account: Account) -> None:
    """With the answer lost and the websocket deaf, the history tells of the reply."""
    web = account.web(site=site(account.folder, dead=60, ping=30))
    ask(web, "!echo first")
    account.sim.control(silence_sockets=account.label)
    reply = ask(web, f"!reset-after-accept !echo {WORDS}")

    assert WORDS == reply.text
    assert 2 == len(account.sends())


def test_a_deaf_websocket_is_replaced(account: Account) -> None:
    """A reply that goes on in the history and not on the websocket moves to a new channel."""
    web = account.web(site=site(account.folder, dead=60, ping=30), timeout=0.5)
    ask(web, "!echo first")
    reply = ask(web, "!dead-socket !delay=0.2 !echo a b c d e f g h i j k")

    assert "a b c d e f g h i j k" == reply.text
    assert reply.is_whole
    assert 2 == len(account.journal(event="socket-open"))


# ---- keys and builds that change


@pytest.mark.parametrize("words", ["!formkey-rotated", "!new-build"])
def test_a_refused_message_is_repeated_with_a_new_form_key(
    account: Account, web: PoeWeb, words: str
) -> None:
    """A 400 means that nothing was done: the same message goes out again, nonces and all."""
    ask(web, "!echo first")
    reply = ask(web, f"{words} !echo {WORDS}")

    _, *sends = account.sends()
    assert WORDS == reply.text
    assert [400, 200] == [entry["status"] for entry in sends]
    assert ["ok", "ok"] == [entry["tag"] for entry in sends]
    assert 1 == len({entry["clientNonce"] for entry in sends})
    assert 1 == len(account.journal(event="socket-open"))


def test_all_replies_at_once_survive_a_new_form_key(account: Account, web: PoeWeb) -> None:
    """Ten replies that find the form key changed make one new login of it."""
    ask(web, "!echo first")
    account.sim.control(rotate_formkey=account.label)
    replies = many(web, [f"!echo {n} {WORDS}" for n in range(10)])

    assert [f"{n} {WORDS}" for n in range(10)] == [reply.text for reply in replies]
    assert 2 == len(account.journal(path="/", method="GET"))


def test_the_other_form_of_the_tag_is_tried_and_remembered(
    account: Account, control: Callable[..., Any]
) -> None:
    """Poe takes only swapped tags: found out once, then known for the process."""
    control(tag_mode="swapped")
    shared = site(account.folder)
    first = ask(account.web(site=shared), "!echo one")
    before = len(account.journal(tag="bad"))
    second = ask(account.web(site=shared), "!echo two")

    assert ("one", "two") == (first.text, second.text)
    assert 0 < before == len(account.journal(tag="bad"))


@pytest.mark.parametrize("answer", ["Server Error", "PersistedQueryNotFound"])
@pytest.mark.parametrize(
    "operation", ["sendMessageMutation", "HandleBotLandingPageQuery", "subscriptionsMutation"]
)
def test_a_retired_hash_is_named(
    account: Account, control: Callable[..., Any], operation: str, answer: str
) -> None:
    """When Poe no longer knows a hash, the failure names operation and hash."""
    control(stale_answer=answer, retire_hash=operation)
    web = account.web()
    told = failure_of(web, "hello")

    assert isinstance(told, errors.UpstreamChanged)
    assert operation in told.message
    assert web.site.operations[operation] in told.message
    assert "POE_SITE" in told.message


def test_a_user_s_own_file_has_the_new_hash(
    account: Account, control: Callable[..., Any], tmp_path: Path
) -> None:
    """A new hash in the site's file is all that is needed."""
    control(retire_hash="sendMessageMutation")
    new = control()["hashes"]["sendMessageMutation"]
    text = (tmp_path / "site.toml").read_text() if site(tmp_path) else ""
    (tmp_path / "own.toml").write_text(
        re.sub('(?m)^sendMessageMutation = ".*"', f'sendMessageMutation = "{new}"', text)
    )

    assert "hi" == ask(account.web(site=Site.load(tmp_path / "own.toml")), "!echo hi").text


def test_a_channel_that_poe_forgot_is_replaced(account: Account, web: PoeWeb) -> None:
    """Poe refuses messages for a channel that it does not know: they go by a new one."""
    ask(web, "!echo first")
    account.sim.control(forget_channels=account.label)
    reply = ask(web, f"!echo {WORDS}")

    assert WORDS == reply.text
    assert 2 == len(account.journal(event="reply-start"))


# ---- logging in


def test_a_challenge_is_told_as_such(account: Account, control: Callable[..., Any]) -> None:
    """A challenge page instead of the home page says what to do."""
    control(challenge="on")
    told = failure_of(account.web(), "hello")

    assert isinstance(told, errors.UpstreamBlocked)
    assert "POE_API_KEYS" in told.message


def test_a_cookie_that_leads_to_the_login_page_is_rejected(account: Account) -> None:
    """A cookie that Poe does not know is rejected, once and without another try."""
    told = failure_of(account.web("not-a-cookie-of-anybody"), "hello")

    assert isinstance(told, errors.TokenRejected)


def test_a_logged_out_account_can_come_back(account: Account, web: PoeWeb) -> None:
    """The stranger's cookie of a redirect is not taken: the given one works again later."""
    ask(web, "!echo hi")
    account.sim.control(log_out=account.label)
    told = failure_of(web, "hello")
    account.sim.control(log_in=account.label)
    reply = ask(web, "!echo back")

    assert isinstance(told, errors.TokenRejected)
    assert "back" == reply.text


@pytest.mark.parametrize("words", [{"http": 502}, {"reset": 1}, {"http": 503}])
def test_a_page_that_does_not_come_is_asked_for_again(
    account: Account, words: dict[str, Any]
) -> None:
    """An outage of a moment at the home page is waited for."""
    account.sim.control(fail={"path": "/", "account": account.label, "times": 2, "with": words})

    assert "hi" == ask(account.web(), "!echo hi").text


def test_an_outage_is_no_fault_of_the_token(account: Account, control: Callable[..., Any]) -> None:
    """When the page never comes, another token may try: nothing was sent."""
    control(fail={"path": "/", "account": account.label, "times": 99, "with": {"http": 502}})
    told = failure_of(account.web(), "hello")

    assert isinstance(told, errors.UpstreamOverloaded)
    assert told.another_token


def test_those_who_wait_for_a_login_share_its_failure(
    account: Account, control: Callable[..., Any]
) -> None:
    """Ten requests that wait for one login make no ten logins when it fails."""
    control(fail={"path": "/", "times": 99, "with": {"slow": 0.7}})
    web = account.web("nobody-knows-this-cookie")
    before = len(account.sim.journal(path="/", cookie="bad"))
    replies = many(web, ["hello"] * 10)

    assert [errors.TokenRejected] * 10 == [type(reply.failure) for reply in replies]
    assert 1 == len(account.sim.journal(path="/", cookie="bad")) - before


@pytest.mark.parametrize("operation", ["HandleBotLandingPageQuery", "subscriptionsMutation"])
@pytest.mark.parametrize("words", [{"http": 502}, {"reset": 1}, {"server-error": 1}])
def test_what_only_reads_is_asked_again(
    account: Account, operation: str, words: dict[str, Any]
) -> None:
    """A lost answer to a question is asked for once more."""
    account.sim.control(
        fail={"query_name": operation, "account": account.label, "times": 1, "with": words}
    )

    assert "hi" == ask(account.web(), "!echo hi").text


def test_a_page_without_a_channel_is_made_up_for(
    account: Account, control: Callable[..., Any]
) -> None:
    """Channel data comes from the settings where the page has none."""
    control(page_without_channel=True)

    assert "hi" == ask(account.web(), "!echo hi").text
    assert account.journal(path="/api/settings")


@pytest.mark.parametrize("how", ["same", "new", "twice", "none"])
def test_renewed_cookies_are_taken_one_for_one(
    account: Account, control: Callable[..., Any], how: str
) -> None:
    """A renewed cookie replaces the old one; two of a name are never sent."""
    control(set_cookie=how)
    web = account.web()
    texts = [ask(web, f"!echo {n}").text for n in range(3)]

    assert ["0", "1", "2"] == texts
    entries = [e for e in account.journal(face="web") if "cookie" in e]
    assert {"ok"} == {entry["cookie"] for entry in entries}
    assert (how == "new") == (account.token != web._session._cookies["p-b"])


@pytest.mark.parametrize(
    "form",
    [
        "{token}",
        "p-b={token}",
        "p-b={token}; p-lat=abc%2Bdef%3D",
        "p-lat=abc; p-b={token}; cf_clearance=xyz;",
        "Cookie: p-b={token}",
    ],
)
def test_tokens_in_all_their_forms(account: Account, form: str) -> None:
    """A token is the bare cookie or a list of cookies."""
    assert "hi" == ask(account.web(form.format(token=account.token)), "!echo hi").text


def test_a_form_key_in_the_token_saves_computing_it(account: Account, web: PoeWeb) -> None:
    """The form key that stands in the token is used as it is."""
    ask(web, "!echo hi")
    key = web._session._keys.formkey
    own = site(account.folder)
    object.__setattr__(own.patterns, "getter", re.compile("(nowhere)"))
    given = account.web(f"p-b={account.token}; formkey={key}", site=own)

    assert "hi" == ask(given, "!echo hi").text
    assert [] == account.journal(formkey="bad")


def test_a_form_key_in_the_token_that_is_out_of_date_is_computed(account: Account) -> None:
    """A given form key that Poe refuses is replaced by the page's."""
    stale = account.web(f"p-b={account.token}; formkey={'0' * 32}")

    assert "hi" == ask(stale, "!echo hi").text
    assert 1 == len(account.journal(formkey="bad"))


def test_a_page_that_changed_says_what_to_do(account: Account) -> None:
    """When the form key is not where it was, the failure names the step and the way out."""
    own = site(account.folder)
    object.__setattr__(own.patterns, "getter", re.compile("(nowhere)"))
    told = failure_of(account.web(site=own), "hello")

    assert isinstance(told, errors.UpstreamProtocolError)
    assert "pages.getter" in told.message
    assert "formkey=" in told.message


def test_scripts_are_fetched_without_the_account(account: Account, web: PoeWeb) -> None:
    """The scripts' host gets neither cookie nor any header of Poe's."""
    ask(web, "!echo hi")
    scripts = [
        entry
        for entry in account.sim.journal(method="GET")
        if entry["path"].startswith("/_next/static/")
    ]

    assert scripts
    for entry in scripts:
        assert "user-agent" in entry["headers"]
        assert not {"cookie", "poe-formkey", "poe-tag-id", "origin"} & set(entry["headers"])


def test_the_balance_is_that_of_the_account(account: Account, web: PoeWeb) -> None:
    """The points that are left are those that Poe names."""
    account.sim.control(points={account.label: 1234})

    assert 1234 == web.balance()


# ---- the websocket


def many(web: PoeWeb, prompts: list[str]) -> list[Reply]:
    """Ask all at once."""
    replies: list[Reply] = [Reply()] * len(prompts)

    def run(place: int) -> None:
        replies[place] = ask(web, prompts[place])

    threads = [
        threading.Thread(target=run, args=(place,), daemon=True) for place in range(len(prompts))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT + 1)
    return replies


def test_all_replies_share_one_websocket(account: Account, web: PoeWeb) -> None:
    """Twenty replies at once, each with its own text, over one websocket and one login."""
    prompts = [f"!delay=0.01 !early={n % 2 / 10} !echo {n} {WORDS}" for n in range(20)]
    replies = many(web, prompts)

    assert [f"{n} {WORDS}" for n in range(20)] == [reply.text for reply in replies]
    assert 1 == len(account.journal(event="socket-open"))
    assert 1 == len(account.journal(path="/", method="GET"))


@pytest.mark.parametrize("what", ["close-socket", "dead-socket", "missed", "refetch"])
def test_all_replies_survive_a_broken_websocket(account: Account, web: PoeWeb, what: str) -> None:
    """What happens to the websocket in one reply happens to all, and all of them go on."""
    prompts = [f"!delay=0.1 !echo {n} {WORDS}" for n in range(5)]
    replies = many(web, [f"!{what} !delay=0.1 !echo trouble {WORDS}", *prompts])

    assert [f"trouble {WORDS}", *(f"{n} {WORDS}" for n in range(5))] == [r.text for r in replies]
    assert 2 == len(account.journal(event="socket-open"))
    assert 6 == len(account.sends())


@pytest.mark.parametrize("words", ["!missed", "!refetch"])
def test_what_was_said_in_a_gap_is_read_from_the_history(
    account: Account, web: PoeWeb, words: str
) -> None:
    """A reply that ended while there was no channel is not waited for until TIMEOUT."""
    began = time.monotonic()
    reply = ask(web, f"{words} !delay=0 !echo {WORDS}")

    assert WORDS == reply.text
    assert time.monotonic() - began < 4


def test_a_websocket_that_broke_while_nobody_looked_is_opened_again(
    account: Account, web: PoeWeb
) -> None:
    """Between two replies the websocket may break as it likes."""
    texts = []
    for number in range(4):
        texts.append(ask(web, f"!echo {number}").text)
        account.sim.control(drop_sockets=account.label)

    assert ["0", "1", "2", "3"] == texts


def test_a_silent_websocket_is_kept_alive(account: Account, web: PoeWeb) -> None:
    """Pings keep a websocket that has nothing to tell: it is the same one afterwards."""
    ask(web, "!echo hi")
    time.sleep(1.2)
    ask(web, "!echo hi")

    assert 1 == len(account.journal(event="socket-open"))


def test_a_websocket_without_pongs_is_dead(account: Account, control: Callable[..., Any]) -> None:
    """Silence for longer than a ping takes means a new websocket."""
    web = account.web()
    ask(web, "!echo hi")
    account.sim.control(silence_sockets=account.label)

    until(lambda: 2 == len(account.journal(event="socket-open")), 4)
    assert "hi again" == ask(web, "!echo hi again").text


def test_poe_s_own_pings_are_answered(account: Account, control: Callable[..., Any]) -> None:
    """A ping from Poe gets its pong."""
    web = account.web(site=site(account.folder, ping=30, dead=60))
    control(server_ping=0.2)
    ask(web, "!delay=0.2 !echo a b c d e f g")

    until(lambda: account.journal(event="pong"), 3)


def test_poe_dies_and_comes_back(tmp_path: Path) -> None:
    """A reply in flight ends in a failure that no other token may repeat; then all is well."""
    with Sim(("one",)) as first:
        account = Account(first, "one", "cookie-1", tmp_path)
        web = account.web()
        reply: list[Reply] = []
        thread = threading.Thread(
            target=lambda: reply.append(ask(web, "!delay=0.1 !long=9000 x")), daemon=True
        )
        thread.start()
        until(lambda: account.journal(event="reply-start"))
        time.sleep(0.3)
        first.stop(signal.SIGKILL)
        thread.join(10)
        down = failure_of(web, "!echo hi")
        with Sim(("one",), port=first.port):
            back = ask(web, "!echo back")
        web.close()

    assert isinstance(reply[0].failure, errors.UpstreamInterrupted)
    assert not reply[0].failure.another_token
    assert reply[0].text
    assert isinstance(down, errors.UpstreamUnreachable)
    assert "back" == back.text


def test_closing_tells_those_who_wait(account: Account, web: PoeWeb) -> None:
    """Closing the upstream ends its replies at once, and leaves no thread behind."""
    before = set(threading.enumerate())
    replies: list[Reply] = []
    thread = threading.Thread(target=lambda: replies.append(ask(web, "!hang hello")), daemon=True)
    thread.start()
    until(lambda: account.journal(event="reply-start"))
    web.close()
    thread.join(3)

    assert isinstance(replies[0].failure, errors.UpstreamError)
    until(lambda: not {t for t in threading.enumerate() if t not in before and t is not thread})


def test_replies_leave_no_threads_behind(account: Account, web: PoeWeb) -> None:
    """After any number of replies there is one thread: the websocket's reader."""
    ask(web, "!echo hi")
    before = threading.active_count()
    many(web, [f"!echo {n}" for n in range(10)])
    failure_of(web, "!status=no_access hello")

    until(lambda: threading.active_count() <= before)


# ---- time


def test_idle_comes_while_there_is_nothing_to_say(account: Account, web: PoeWeb) -> None:
    """Whoever waits is given the word every half second: at the login, before and in a reply."""
    account.sim.control(
        fail={"path": "/", "account": account.label, "times": 1, "with": {"slow": 0.8}}
    )
    began = time.monotonic()
    reply = ask(web, f"!first=0.8 !silence=0.8 !echo {WORDS}")

    assert WORDS == reply.text
    gaps = [later - sooner for sooner, later in zip([began, *reply.at], reply.at, strict=False)]
    assert max(gaps) < TICK + 0.4
    assert Idle is type(reply.events[0])


def test_the_sending_is_told_once_the_login_is_over(account: Account, web: PoeWeb) -> None:
    """What comes before, a slow login among it, is no use of the token."""
    account.sim.control(
        fail={"path": "/", "account": account.label, "times": 1, "with": {"slow": 0.8}}
    )
    began = time.monotonic()
    reply = ask(web, f"!echo {WORDS}")

    assert WORDS == reply.text
    assert reply.sent_at - began > 0.8


def test_the_first_word_may_take_as_long_as_the_bot_needs(account: Account) -> None:
    """Before the first word a bot has the time that Poe grants it, if that is more."""
    web = account.web(timeout=0.5)

    assert "hi" == ask(web, "!first=1 !echo hi").text


def test_silence_in_mid_reply_is_a_time_out(account: Account) -> None:
    """A bot that falls silent is given up after TIMEOUT, and stopped."""
    web = account.web(timeout=0.7)
    told = failure_of(web, f"!hang !echo {WORDS}")

    assert isinstance(told, errors.UpstreamTimeout)
    assert "0.7 s" in str(told)
    assert not told.another_token
    until(lambda: account.journal(event="reply-cancelled"), 3)


def test_a_bot_that_never_begins_is_a_time_out(account: Account) -> None:
    """Not one word within what Poe grants the bot is a time-out; time runs fast here."""
    web = account.web(clock=lambda: time.monotonic() * 60)
    told = failure_of(web, "!first=30 hello")

    assert isinstance(told, errors.UpstreamTimeout)
    assert "120 s" in told.message
    until(lambda: account.journal(event="reply-cancelled"), 3)


# ---- hanging up


@pytest.mark.parametrize(
    ("words", "after"),
    [
        ("!hang", Text),
        ("!first=9", Idle),
        ("!slow-answer=1", Idle),
        ("!early=1.5 !delay=0.3", Text),
        ("!slow-answer=1 !reset-after-accept", Idle),
    ],
)
def test_hanging_up_stops_the_bot(account: Account, web: PoeWeb, words: str, after: type) -> None:
    """Closing the generator stops the bot wherever it is, and does not wait for that."""
    ask(web, "!echo first")
    events = web.reply(chat(f"{words} !echo {WORDS}"), "Assistant")
    until(lambda: isinstance(next(events), after))
    until(lambda: len(account.sends()) == 2)
    began = time.monotonic()
    events.close()

    assert time.monotonic() - began < 0.3
    until(lambda: account.journal(event="reply-cancelled"), 4)
    assert [] == account.journal(event="chat-deleted")


def test_a_generator_that_nobody_began_leaves_nothing(account: Account, web: PoeWeb) -> None:
    """A reply that was never asked for costs nothing."""
    web.reply(chat("hello"), "Assistant").close()

    assert [] == account.journal()


@pytest.mark.parametrize("words", ["", "!hang", "!slow-answer=1", "!state=error_x"])
def test_chats_are_deleted_where_that_is_wished(account: Account, words: str) -> None:
    """With `delete_chats` a chat is gone once answered, and once hung up."""
    web = account.web(delete_chats=True)
    events = web.reply(chat(f"{words} !echo {WORDS}"), "Assistant")
    try:
        for event in events:
            if isinstance(event, Text) and words == "!hang":
                break
            if words.startswith("!slow") and account.sends():
                break
    except errors.BotFailed:
        pass
    events.close()

    until(lambda: 1 == len(account.journal(event="chat-deleted")), 4)
    until(lambda: {"ok"} == {entry["verdict"] for entry in account.journal(face="web", status=200)})


def test_chats_are_kept_by_default(account: Account, web: PoeWeb) -> None:
    """Without `delete_chats` the chats stay in the account's history."""
    ask(web, "!echo hi")
    time.sleep(0.2)

    assert [] == account.journal(event="chat-deleted")


# ---- proxies


class ProxyServer(Server):
    """One of `proxies.py`, in a process of its own."""

    def __init__(self, kind: str, *options: str) -> None:
        super().__init__([sys.executable, "-m", "tests.with_sim.proxies", kind, *options])
        until(lambda: "listening on" in self.output())
        self.port = int(re.search(r"listening on (\d+)", self.output())[1])  # type: ignore[index]


LOGIN = "us@r:p ss/w:rd"
QUOTED = "us%40r:p%20ss%2Fw%3Ard@"


@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h"])
@pytest.mark.parametrize("login", [None, LOGIN])
def test_a_proxy_serves_http_and_websocket_alike(
    account: Account, scheme: str, login: str | None
) -> None:
    """Everything goes by the proxy, and the name goes unresolved where that is asked for."""
    options = ("--login", login) if login else ()
    host = account.sim.url.replace("127.0.0.1", "localhost")
    with ProxyServer("http" if scheme == "http" else "socks5", *options) as proxy:
        web = account.web(
            web_url=host,
            ws_url=host.replace("http", "ws", 1),
            proxy=f"{scheme}://{QUOTED if login else ''}127.0.0.1:{proxy.port}",
        )
        reply = ask(web, f"!echo {WORDS}")
        web.close()
        seen = proxy.output().splitlines()[1:]

    assert WORDS == reply.text
    port = account.sim.port
    if scheme == "http":
        assert f"CONNECT localhost:{port}" in seen
        assert f"POST localhost:{port}" in seen
    else:
        kind = "name localhost" if scheme == "socks5h" else "address 127.0.0.1"
        assert {f"SOCKS5 {kind}:{port}"} == set(seen)
        assert 2 <= len(seen)


@pytest.mark.parametrize("scheme", ["http", "https", "socks5", "socks5h"])
@pytest.mark.parametrize("login", [None, LOGIN])
def test_tls_goes_through_each_kind_of_proxy(
    account: Account,
    web: PoeWeb,
    scheme: str,
    login: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As it is with Poe: HTTPS and a secure websocket, also where the proxy itself speaks TLS."""
    # The stand-in names its scripts without TLS, where nothing is fetched from: what is in them
    # is given.
    ask(web, "!echo hi")
    keys = web._session._keys
    token = f"p-b={account.token}; formkey={keys.formkey}"
    # Somebody has to vouch for the certificate of a test.
    for module in (dialing, requests.adapters):
        monkeypatch.setattr(module, "DEFAULT_CA_BUNDLE_PATH", str(CERTIFICATE))
    tls = ["--certificate", str(CERTIFICATE)]
    options = ["--login", login] if login else []
    kind = "socks5" if scheme.startswith("socks") else "http"
    with (
        ProxyServer("front", "--to", str(account.sim.port), *tls) as front,
        ProxyServer(kind, *options, *(tls if scheme == "https" else [])) as proxy,
    ):
        secure = account.web(
            token,
            site=replace(site(account.folder), revision=keys.revision),
            web_url=f"https://localhost:{front.port}",
            ws_url=f"wss://localhost:{front.port}",
            proxy=f"{scheme}://{QUOTED if login else ''}localhost:{proxy.port}",
        )
        reply = ask(secure, f"!echo {WORDS}")
        secure.close()
        seen = proxy.output().splitlines()[1:]

    assert (WORDS, None) == (reply.text, reply.failure)
    name = "127.0.0.1" if scheme == "socks5" else "localhost"
    assert 2 <= len(seen)
    assert all(one.endswith(f"{name}:{front.port}") for one in seen)


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_a_proxy_that_refuses_is_told(account: Account, scheme: str) -> None:
    """A proxy that wants another login means that Poe cannot be reached; no login is told."""
    with ProxyServer(scheme, "--login", "good:login") as proxy:
        told = failure_of(
            account.web(proxy=f"{scheme}://bad:secret@127.0.0.1:{proxy.port}"), "hello"
        )

    assert isinstance(told, errors.UpstreamError)
    assert told.another_token
    assert "secret" not in told.message
    assert [] == account.journal()


def test_proxies_of_the_environment_are_not_used(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only PROXY counts, neither http_proxy nor no_proxy."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9")

    assert "hi" == ask(account.web(), "!echo hi").text


def test_no_proxy_of_the_environment_does_not_go_past_the_proxy(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With PROXY set, everything goes there, whatever no_proxy says."""
    monkeypatch.setenv("no_proxy", "*")
    with ProxyServer("http") as proxy:
        web = account.web(proxy=f"http://127.0.0.1:{proxy.port}")
        reply = ask(web, "!echo hi")
        web.close()
        seen = proxy.output()

    assert "hi" == reply.text
    assert "CONNECT" in seen


# ---- images and files


PNG = b"\x89PNG\r\n\x1a\n not really an image"
URI = "data:image/png;base64," + base64.b64encode(PNG).decode()
TEXT_URI = "data:text/plain;base64," + base64.b64encode(b"some notes").decode()


def uploads(account: Account) -> list[dict[str, Any]]:
    return account.journal(path="/api/finish_upload_POST", status=200)


def test_images_and_files_are_uploaded_ahead(account: Account, web: PoeWeb) -> None:
    """The attachments of the whole conversation go ahead of the message, in their order."""
    first = Message(role="user", content=(TextPart("look"), ImagePart(URI)))
    last = Message(role="user", content=(FilePart(TEXT_URI, "notes.txt"), TextPart("well?")))
    reply = ask(web, ChatRequest(model="m", messages=(first, last)))

    assert re.search(r"You attached: image-[0-9a-f]{8}\.png, notes\.txt\.", reply.text)
    assert [len(PNG), 10] == [entry["size"] for entry in uploads(account)]
    assert all("poe-tag-id" not in entry["headers"] for entry in uploads(account))


@pytest.mark.parametrize("form", ["plain", "quoted", "json", "nested"])
def test_the_ticket_is_found_in_any_form(
    account: Account, control: Callable[..., Any], form: str
) -> None:
    """Poe may wrap the ticket as it likes."""
    control(jwt_form=form)

    assert "You attached" in ask(account.web(), chat("hello", ImagePart(URI))).text


def test_a_content_is_uploaded_once(account: Account, web: PoeWeb) -> None:
    """The next turn of a conversation brings the same image again: it is not sent again."""
    for _ in range(2):
        reply = ask(web, chat("hello", ImagePart(URI), ImagePart(URI)))

    assert "You attached" in reply.text
    assert 1 == len(uploads(account))


def test_files_go_along_with_the_message_where_poe_says_so(
    account: Account, control: Callable[..., Any]
) -> None:
    """The older way, one request with message and files, is taken where Poe recommends it."""
    control(upload_endpoint="gql")
    reply = ask(account.web(), chat("hello", ImagePart(URI), FilePart(TEXT_URI, "notes.txt")))

    assert re.search(r"You attached: image-[0-9a-f]{8}\.png, notes\.txt\.", reply.text)
    assert [] == uploads(account)
    assert ["ok"] == [e["verdict"] for e in account.journal(path="/api/gql_upload_POST")]


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_refused_upload_is_repeated_with_a_new_form_key(
    account: Account, web: PoeWeb, status: int
) -> None:
    """A form key that went stale is renewed once for an upload too."""
    ask(web, "!echo hi")
    account.sim.control(
        fail={"path": "/api/finish_upload_POST", "times": 1, "with": {"http": status}}
    )
    reply = ask(web, chat("hello", ImagePart(URI)))

    assert "You attached" in reply.text
    assert 2 == len(account.journal(path="/", method="GET"))


def test_a_file_that_is_too_large_is_told(account: Account, control: Callable[..., Any]) -> None:
    """Poe's 413 for a file is the client's to mend."""
    control(upload_limit=5)
    told = failure_of(account.web(), chat("hello", ImagePart(URI)))

    assert isinstance(told, errors.PromptTooLong)
    assert [] == account.sends()


def test_an_upload_that_fails_may_be_tried_on_another_token(
    account: Account, control: Callable[..., Any]
) -> None:
    """Nothing was sent yet when an upload fails."""
    control(fail={"path": "/api/finish_upload_POST", "times": 9, "with": {"http": 502}})
    told = failure_of(account.web(), chat("hello", ImagePart(URI)))

    assert isinstance(told, errors.UpstreamOverloaded)
    assert told.another_token


def test_a_bot_that_takes_no_files_is_told(part: Part) -> None:
    """A bot that reads text only refuses the messages, before anything is uploaded."""
    told = failure_of(part.web, chat("hello", ImagePart(URI)), "Sim-Text-Only")

    assert isinstance(told, errors.ParameterRefused)
    assert "messages" == told.param
    assert [] == part.sends()


def test_a_file_that_poe_takes_for_dangerous_is_told(part: Part) -> None:
    """A refusal for the kind of file names the messages."""
    told = failure_of(part.web, chat("hello", FilePart(TEXT_URI, "game.exe")))

    assert isinstance(told, errors.ParameterRefused)
    assert "messages" == told.param


@dataclass
class FetchedFile:
    data: bytes = PNG
    content_type: str | None = "image/png; charset=x"
    filename: str | None = "cat.png"


def test_an_https_url_is_fetched(account: Account) -> None:
    """What stands behind a URL is fetched by whoever can, and uploaded."""
    asked: list[str] = []

    def fetch(url: str, seconds: float) -> FetchedFile:
        asked.append(url)
        return FetchedFile()

    reply = ask(account.web(fetch=fetch), chat("hello", ImagePart("https://pics.test/cat.png")))

    assert ["https://pics.test/cat.png"] == asked
    assert "You attached: cat.png." in reply.text


def test_a_url_that_cannot_be_fetched_ends_the_request(account: Account) -> None:
    """The fetcher's own refusal reaches the client, and Poe hears of nothing."""

    def fetch(url: str, seconds: float) -> FetchedFile:
        raise errors.InvalidRequest("not a public address", param="messages")

    part = ImagePart("https://x.test/", path="messages[0].content[1]")
    told = failure_of(account.web(fetch=fetch), chat("hello", part))

    assert "messages[0].content[1]: not a public address" == told.message
    assert "messages[0].content[1]" == told.param
    assert [] == account.journal()


def test_many_images_are_refused_before_any_is_fetched(account: Account) -> None:
    """A small body may not set off a large work: the first that is too much is named."""

    def fetch(url: str, seconds: float) -> FetchedFile:
        raise AssertionError(url)

    images = (
        ImagePart(f"https://pics.test/{place}.png", path=f"image {place}") for place in range(200)
    )
    told = failure_of(account.web(fetch=fetch), chat("hello", *images))

    assert isinstance(told, errors.InvalidRequest)
    assert "image 20" == told.param
    assert [] == account.journal()


def test_a_bad_data_uri_is_the_client_s_fault(part: Part) -> None:
    """An image that is none is refused before Poe hears of anything."""
    image = ImagePart("data:image/png;base64,!!!", path="messages[0].content[1]")
    told = failure_of(part.web, chat("hello", image))

    assert isinstance(told, errors.InvalidRequest)
    assert "messages[0].content[1]" == told.param
    assert [] == part.sends()


# ---- secrets


def test_no_secret_is_logged(account: Account, caplog: pytest.LogCaptureFixture) -> None:
    """The log of a full run, at its most talkative, has no secret and no word of a prompt."""
    caplog.set_level(logging.DEBUG)
    web = account.web(f"p-b={account.token}; p-lat=secret-lat; cf_clearance=secret-clearance")
    prompts = [
        "!echo", "!close-socket", "!missed", "!http=500", "!reset-after-accept", "!formkey-rotated",
        "!server-error", "!http=400", "!status=no_access", "!state=error_x", "!http=403",
    ]  # fmt: skip
    ask(web, "platypus")
    replies = many(web, [f"{words} platypus !delay=0.1 !echo platypus" for words in prompts])
    ask(web, chat("platypus", ImagePart(URI)))
    channel = web._channel
    assert channel is not None
    session = web._session
    secrets = {
        account.token, "secret-", "platypus", URI[22:40], session._keys.formkey,
        channel._data.hash, channel._data.name, web.device,
    }  # fmt: skip
    said = caplog.text + "".join(f"{reply.failure!r} {reply.events!r}" for reply in replies)
    shown = "".join(
        map(repr, (web, session, channel, session._keys, channel._data, session._given))
    )

    assert "logged in" in said
    assert "POST /api/gql_POST" in said
    for secret in secrets:
        assert secret
        assert secret not in said + shown
    assert not re.search(r"poe-tag-id|\b[0-9a-f]{32}\b", said)
