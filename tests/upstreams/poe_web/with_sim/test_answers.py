"""What is said, and how: however Poe plays a reply, its text arrives."""

from __future__ import annotations

import re

import pytest

from poe_proxy import errors
from poe_proxy.chat import Done, Idle, Reasoning, Replaced, Text
from poe_proxy.net.background import Background

from ....with_sim.servers import until
from .accounts import WORDS, Account, Part, ask, failure_of, find_dead, site


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
        "!job-first",
        "!job-first !silence=2.5",
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
    account: Account, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    """Whatever happens to the websocket, all of the text arrives, and the prompt went out once."""
    own = site(account.folder)
    web = account.web(site=own)
    asking = Background(lambda: ask(web, f"{words} !delay=0.05 !echo {WORDS}"))
    if words == "!dead-socket":
        until(lambda: account.journal(event="mischief"))
        find_dead(own, monkeypatch)
    reply = asking.result()

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
    """Text is passed on as it arrives, not collected: half of it is here before a long silence."""
    # A reader that sleeps through the silence finds the title between the halves.
    reply = ask(part.web, f"!silence=2 !title=middle !echo {WORDS}")

    assert 2 <= sum(type(event) is Text for event in reply.events)
    assert WORDS == reply.text


def test_a_rewritten_text_replaces_what_was_said(part: Part) -> None:
    """A bot that takes its words back is heard to do so, and its last version holds."""
    # The title in between keeps the draft from being outdated before a late reader sees it.
    reply = ask(part.web, f"!rewrite !title=middle !delay=0.02 !chunks=2 !echo {WORDS}")

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
    # The title in the middle keeps the draft before it for a late reader, and that draft says all
    # that is expected: the last one of three is no more than a chance to say too much.
    reply = ask(part.web, f"{words} !title=middle !delay=0.3 !chunks=1 !echo {WORDS}")

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


def test_a_message_that_never_becomes_complete_has_broken_off(part: Part) -> None:
    """The job is over, and the history says `incomplete`, too: that is no answer, though its text
    is here."""
    failure = failure_of(part.web, f"!state=incomplete !echo {WORDS}")

    assert isinstance(failure, errors.UpstreamInterrupted)
    assert not failure.another_token
    assert 1 == len(part.sends())


def test_what_the_websocket_lost_is_read_when_the_job_is_over(account: Account) -> None:
    """The job's end is the last thing that is heard: the rest of the text is in the history."""
    web = account.web(site=site(account.folder, ping=30))
    reply = ask(web, f"!job-first !silence=0.5 !delay=0.3 !dead-socket !echo {WORDS}")

    assert WORDS == reply.text
    assert reply.is_whole
