"""Reply events as messages of Anthropic's API, read back with the types of its package."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest
from anthropic.types import Message

from poe_proxy.apis.messages.rendering import Answer
from poe_proxy.budget import Budget, Processor
from poe_proxy.chat import (
    Done,
    Idle,
    Reasoning,
    Refusal,
    Replaced,
    Said,
    Text,
    ToolCallPart,
    Usage,
)
from poe_proxy.errors import UpstreamTimeout

from ...fakes import ask
from ..streams import frames
from . import reading
from .reading import Stream

HELLO: tuple[Said, ...] = (Text("Hel"), Text("lo"), Done())


def call(*, streams: bool = True, errors_as_text: bool = False, **fields: Any) -> Answer:
    """A request of one message, and how its answer is dressed."""
    return Answer(ask(**fields), streams=streams, errors_as_text=errors_as_text)


def whole(*events: Said, **fields: Any) -> Message:
    """The message that *events* make."""
    return reading.message(call(streams=False, **fields).body(events))


def streamed(*events: Said, **fields: Any) -> Stream:
    """The stream that *events* make."""
    found = reading.stream(frames(call(**fields), events))
    assert found.is_over
    return found


def both(*events: Said, **fields: Any) -> tuple[list[dict[str, Any]], Any, Any]:
    """Content, reason and stop word of an answer, the same whole and streamed."""
    one, other = whole(*events, **fields), streamed(*events, **fields)
    content = [block.model_dump(exclude_unset=True, exclude_none=True) for block in one.content]
    assert content == other.content
    assert other.end is not None
    assert other.end == {"stop_reason": one.stop_reason, "stop_sequence": one.stop_sequence}
    return content, one.stop_reason, one.stop_sequence


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def thinking(said: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": said, "signature": ""}


def tool_use(id: str, name: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": name, "input": arguments}


# ---- the answer


def test_a_whole_answer() -> None:
    """The pieces join to one text, under the name that the client asked for."""
    answer = whole(*HELLO, model="claude-sonnet-4-5")

    assert ("message", "assistant", "claude-sonnet-4-5", "end_turn", None) == (
        answer.type,
        answer.role,
        answer.model,
        answer.stop_reason,
        answer.stop_sequence,
    )
    assert answer.id.startswith("msg_")
    assert 50 == len({whole(*HELLO).id for _ in range(50)})


def test_a_stream_is_start_blocks_reason_and_end() -> None:
    """Each event under its name, one delta for each piece, and no `[DONE]`."""
    answer = streamed(*HELLO, model="claude-sonnet-4-5")

    assert [
        "message_start", "content_block_start", "content_block_delta", "content_block_stop",
        "message_delta", "message_stop",
    ] == answer.types  # fmt: skip
    assert ["Hel", "lo"] == answer.pieces("text")
    assert "claude-sonnet-4-5" == answer.first["model"]


@pytest.mark.parametrize(
    ("done", "reason"),
    [
        (Done(), "end_turn"),
        (Done("length"), "max_tokens"),
        (Done("content_filter"), "refusal"),
        # Without a call there is none to carry out.
        (Done("tool_calls"), "end_turn"),
        (Done("stop", "END"), "stop_sequence"),
    ],
)
def test_the_reason_of_the_end_is_told(done: Done, reason: str) -> None:
    """In Anthropic's words, and with the stop word that it was."""
    assert ([text("x")], reason, done.stop_word) == both(Text("x"), done)


def test_thoughts_are_blocks_of_their_own() -> None:
    """Before the text, and again where the bot goes on to think; a whole answer has one of them.

    Their signature is empty: nobody here can sign.
    """
    events = Reasoning("Hm"), Reasoning("."), Text("A"), Reasoning("So"), Text("B"), Done()

    answer = streamed(*events)

    assert [thinking("Hm."), text("A"), thinking("So"), text("B")] == answer.content
    assert [thinking("Hm.So"), text("AB")] == [
        one.model_dump(exclude_none=True) for one in whole(*events).content
    ]


def test_words_of_a_refusal_are_the_text() -> None:
    """And its reason says what they are."""
    assert ([text("I will not.")], "refusal", None) == both(Refusal("I will "), Refusal("not."),
                                                            Done())  # fmt: skip


def test_a_rewritten_answer() -> None:
    """A whole answer is the last text; a stream goes on behind what both have in common."""
    events = Text("Think"), Replaced("Hello"), Replaced("Hello"), Text("!"), Done()

    assert "Hello!" == whole(*events).content[0].model_dump()["text"]
    assert ["Think", "\n\nHello", "!"] == streamed(*events).pieces("text")


def test_an_answer_without_a_word_has_an_empty_block() -> None:
    """Without any block it would be taken for no answer, and asked for again."""
    assert ([text("")], "end_turn", None) == both(Done())
    assert [text("")] == streamed(Text(""), Reasoning(""), Done()).content


# ---- calls


def test_calls_are_blocks() -> None:
    """With the id that the bot gave, or one of our own; behind the text."""
    content, reason, _ = both(
        Text("Look."),
        ToolCallPart(0, "call_1", "look", '{"at":'),
        ToolCallPart(0, arguments=' "x"}'),
        ToolCallPart(1, "call_2", "wait"),
        ToolCallPart(1, arguments="{}"),
        Done("tool_calls"),
    )

    assert [
        text("Look."),
        tool_use("call_1", "look", at="x"),
        tool_use("call_2", "wait"),
    ] == content
    assert "tool_use" == reason
    (made,) = whole(ToolCallPart(0, None, "look"), Done("tool_calls")).content
    assert made.type == "tool_use"
    assert made.id.startswith("toolu_")


def test_calls_are_carried_out_whatever_reason_the_bot_gives() -> None:
    """Some say `stop`; a cut answer stays one."""
    part = ToolCallPart(0, "c", "f", "{}")

    assert "tool_use" == both(part, Done("stop"))[1]
    assert "max_tokens" == both(part, Done("length"))[1]


def test_the_first_call_is_passed_on_as_it_arrives() -> None:
    """So that who writes a long file is seen to do so. Its block ends with the answer: what is
    complete is carried out even if the stream breaks."""
    sent = reading.stream(
        frames(call(), [ToolCallPart(0, "c", "f", '{"a"'), ToolCallPart(0, arguments=":1}")])
    )

    assert ['{"a"', ":1}"] == sent.pieces("partial_json")
    assert [] == sent.content
    assert sent.unfinished is not None


def test_a_piece_of_a_call_without_arguments_is_no_event() -> None:
    """Half of an emoji is held back, and comes with the other half."""
    pieces = ('{"a": "', "", '1"}')
    told = reading.stream(
        frames(call(), [*(ToolCallPart(0, "c", "f", piece) for piece in pieces), Done()])
    )

    assert ['{"a": "', '1"}'] == told.pieces("partial_json")
    assert [{"a": "1"}] == [one["input"] for one in told.content]


def test_calls_in_pieces_of_all_of_them() -> None:
    """Blocks never overlap: later calls are held back until the first one is over."""
    answer = streamed(
        ToolCallPart(1, "b", "g", "{"),
        ToolCallPart(0, "a", "f", '{"x"'),
        ToolCallPart(1, arguments='"y":2}'),
        ToolCallPart(0, arguments=":1}"),
        Done("tool_calls"),
    )

    assert [tool_use("b", "g", y=2), tool_use("a", "f", x=1)] == answer.content


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("", {}),
        (" ", {}),
        ("[1]", {"INVALID_JSON": "[1]"}),
        ('"x"', {"INVALID_JSON": '"x"'}),
        ("rm -rf", {"INVALID_JSON": "rm -rf"}),
        ("[" * 2000, {"INVALID_JSON": "[" * 2000}),
        (' {"a": 1}', {"a": 1}),
    ],
)
def test_the_input_of_a_call_is_an_object(arguments: str, told: dict[str, Any]) -> None:
    """Whatever the bot writes there, for the first call and for others."""
    content, _, _ = both(
        ToolCallPart(0, "a", "f", arguments[:1]),
        ToolCallPart(0, arguments=arguments[1:]),
        ToolCallPart(1, "b", "f", arguments),
        Done("tool_calls"),
    )

    assert [told, told] == [one["input"] for one in content]


def test_an_input_of_many_pieces_counts_towards_what_the_request_may_cost() -> None:
    """Once nothing is left, it is told as it came; any other one takes next to nothing."""
    long = '{"x":"' + "x" * 100_000 + '"}'
    many = '{"x":[' + "1," * 20_000 + "1]}"
    events = (
        ToolCallPart(0, "a", "f", "{}"),
        ToolCallPart(1, "b", "g", long),
        ToolCallPart(2, "c", "h", many),
        Usage(1, 1),
        Done("tool_calls"),
    )

    def inputs(budget: Budget) -> list[Any]:
        content, _, _ = both(*events, budget=budget)
        return [one["input"] for one in content]

    enough = Budget(60, processor=Processor(clock=count(step=0.001).__next__))
    assert [{}, {"x": "x" * 100_000}, {"x": [1] * 20_001}] == inputs(enough)
    assert enough.left < 60
    assert [{}, {"x": "x" * 100_000}, {"INVALID_JSON": many}] == inputs(Budget(0))


def test_words_behind_a_call() -> None:
    """Come behind it in a stream; what is thought there is not told."""
    events = ToolCallPart(0, "c", "f", "{}"), Text("So"), Reasoning("Hm"), Text("."), Done()

    assert [tool_use("c", "f"), text("So.")] == streamed(*events).content


# ---- figures


def test_usage_at_both_ends() -> None:
    """An estimate at the beginning, Poe's figures at the end; what was cached is no input."""
    usage = Usage(100, 7, {"prompt_tokens_details": {"cached_tokens": 60}})
    told = {
        "input_tokens": 40, "output_tokens": 7,
        "cache_creation_input_tokens": 0, "cache_read_input_tokens": 60,
    }  # fmt: skip

    answer = streamed(Text("x"), usage, Done())

    assert 0 == answer.first["usage"]["output_tokens"]
    assert answer.first["usage"]["input_tokens"] > 0
    assert told == answer.usage
    assert told.items() <= whole(Text("x"), usage, Done()).usage.model_dump().items()


@pytest.mark.parametrize("details", [{}, {"prompt_tokens_details": None}, {"cached_tokens": 3},
                                     {"prompt_tokens_details": {"cached_tokens": "3"}},
                                     {"prompt_tokens_details": {"cached_tokens": -3}}])  # fmt: skip
def test_details_that_make_no_sense_are_none(details: dict[str, Any]) -> None:
    """The figures still add up."""
    usage = whole(Text("x"), Usage(5, 1, details), Done()).usage

    assert (5, 0) == (usage.input_tokens, usage.cache_read_input_tokens)


def test_without_figures_we_count() -> None:
    """The estimate is the count for an ordinary prompt."""
    answer = streamed(Text("one two three"), Done())

    assert (answer.first["usage"]["input_tokens"], 3) == (
        answer.usage["input_tokens"],
        answer.usage["output_tokens"],
    )


# ---- silence, and failures


def test_silence_is_filled_with_pings() -> None:
    """A silence that opened the stream is over once it is open."""
    answer = streamed(Idle(), Idle(), Text("x"), Idle(), *HELLO)

    assert [
        "message_start", "ping", "content_block_start", "content_block_delta", "ping",
        "content_block_delta", "content_block_stop", "message_delta", "message_stop",
    ] == answer.types  # fmt: skip


def broken(*said: Said, **fields: Any) -> Stream:
    """A stream that fails once *said* is out."""
    one = call(**fields)
    sent = [*frames(one, said)]
    return reading.stream([*sent, one.failed(UpstreamTimeout("Poe fell silent."))])


FIRST: Sequence[Said] = (Text("Hel"), ToolCallPart(0, "c", "f", "{}"))


def test_a_failure_in_the_middle_is_the_last_event() -> None:
    """An error event in Anthropic's form. A call that was being made is not completed."""
    answer = broken(*FIRST)

    assert ("timeout_error", "Poe fell silent.") == answer.error
    assert [text("Hel")] == answer.content
    assert "tool_use" == (answer.unfinished or {})["type"]
    assert not answer.is_over


def test_a_failure_may_be_told_in_the_answer_too() -> None:
    """With ERRORS_AS_TEXT it is the last text; a call is not completed for it."""
    assert ["Hel", "\n\nError: Poe fell silent."] == broken(FIRST[0], errors_as_text=True).pieces(
        "text"
    )
    assert ["Error: Poe fell silent."] == broken(Idle(), errors_as_text=True).pieces("text")
    assert ["Hel"] == broken(*FIRST, errors_as_text=True).pieces("text")


def test_a_stream_is_not_opened_for_a_failure() -> None:
    """Before the first event clients heed the status, and `x-should-retry`."""
    assert not call().opens_for(UpstreamTimeout("Silence."))
