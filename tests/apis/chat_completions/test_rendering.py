"""Reply events as OpenAI's chat completions, read back with OpenAI's own types."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from poe_proxy.apis.chat_completions.parsing import Form
from poe_proxy.apis.chat_completions.rendering import Completion
from poe_proxy.chat import (
    Done,
    FinishReason,
    Idle,
    Reasoning,
    Refusal,
    Replaced,
    Said,
    Text,
    Tool,
    ToolCallPart,
    Usage,
)
from poe_proxy.errors import UpstreamTimeout

from ...fakes import ask
from ..streams import frames

HELLO = [Text("Hel"), Text("lo"), Done()]


def call(
    *,
    include_usage: bool = False,
    legacy_functions: bool = False,
    errors_as_text: bool = False,
    **fields: Any,
) -> Completion:
    """A request of one message, and how its answer is dressed."""
    form = Form(wants_usage=include_usage, is_legacy=legacy_functions)
    return Completion(ask(**fields), form, errors_as_text=errors_as_text)


def whole(*events: Said, **fields: Any) -> ChatCompletion:
    """The completion that *events* make, accepted by OpenAI's own type."""
    return ChatCompletion.model_validate_json(call(**fields).body(events), strict=True)


def stream(*events: Said, **fields: Any) -> list[Any]:
    """What a client reads from the frames: chunks, [DONE]."""
    return [read(frame) for frame in frames(call(**fields), events)]


def broken(*said: Said, **fields: Any) -> list[Any]:
    """What a client reads of a stream that fails once *said* is out."""
    one = call(**fields)
    sent = [*frames(one, said)]
    last = one.failed(UpstreamTimeout("Poe fell silent."))
    return [
        read(frame)
        for frame in (*sent, *(f"{end}\n\n".encode() for end in last.decode().split("\n\n") if end))
    ]


def read(frame: bytes) -> Any:
    assert frame.endswith(b"\n\n")
    assert 1 == frame.count(b"\n\n")
    assert frame.startswith(b"data: ")
    data = frame.removeprefix(b"data: ").strip()
    if data == b"[DONE]":
        return "[DONE]"
    if "error" in (fields := orjson.loads(data)):
        return fields
    return ChatCompletionChunk.model_validate(fields, strict=True)


def content(said: Iterable[Any]) -> list[str]:
    """The pieces of text in a stream, the empty one of the role chunk left out."""
    chunks = [one for one in said if isinstance(one, ChatCompletionChunk) and one.choices]
    return [chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content]


# ---- whole


def test_a_whole_answer() -> None:
    """The pieces join to one message, under the name that the client asked for."""
    answer = whole(Idle(), *HELLO, model="GPT-4")

    (choice,) = answer.choices
    assert ("assistant", "Hello", "stop") == (
        choice.message.role,
        choice.message.content,
        choice.finish_reason,
    )
    assert ("chat.completion", "GPT-4", 0) == (answer.object, answer.model, choice.index)
    assert answer.id.startswith("chatcmpl-")
    assert choice.message.tool_calls is None
    assert "reasoning_content" not in (choice.message.model_extra or {})


def test_each_answer_has_an_id_of_its_own() -> None:
    """No two answers share an id."""
    assert 50 == len({whole(*HELLO).id for _ in range(50)})


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter"])
def test_the_reason_of_the_end_is_told(reason: FinishReason) -> None:
    """Why the bot stopped stands in the answer, whole or streamed."""
    assert reason == whole(Text("x"), Done(reason)).choices[0].finish_reason
    *_, last, _ = stream(Text("x"), Done(reason))
    assert reason == last.choices[0].finish_reason


def test_an_empty_answer_is_an_answer() -> None:
    """A bot that says nothing gives an empty text."""
    assert "" == whole(Done()).choices[0].message.content


def test_a_rewritten_answer_is_the_last_one() -> None:
    """What was replaced leaves no trace in a whole answer."""
    answer = whole(Text("Thinking..."), Replaced("Hel"), Text("lo"), Done())

    assert "Hello" == answer.choices[0].message.content


def test_reasoning_stands_beside_the_text() -> None:
    """Thoughts go into reasoning_content, never into the answer."""
    message = whole(Reasoning("Hm, "), Reasoning("well."), *HELLO).choices[0].message

    assert ("Hello", "Hm, well.") == (
        message.content,
        (message.model_extra or {})["reasoning_content"],
    )


def test_tool_calls_are_put_together() -> None:
    """The pieces of each call join, in the order of their index; there is no text then."""
    answer = whole(
        ToolCallPart(1, "call_b", "g"),
        ToolCallPart(0, "call_a", "f", '{"q":'),
        ToolCallPart(0, arguments="1}"),
        ToolCallPart(1, arguments="{}", extra={"extra_content": {"s": 1}}),
        Done("tool_calls"),
    )

    message = answer.choices[0].message
    assert message.content is None
    assert [("call_a", "f", '{"q":1}'), ("call_b", "g", "{}")] == [
        (call.id, call.function.name, call.function.arguments)
        for call in message.tool_calls or ()
        if call.type == "function"
    ]
    assert {"extra_content": {"s": 1}} == (message.tool_calls or [])[1].model_extra


CALLED = (
    Text("Let me see."), ToolCallPart(0, "call_a", "f", '{"q":'), ToolCallPart(0, arguments="1}"),
    Done("tool_calls"),
)  # fmt: skip


def test_a_call_is_told_in_the_older_form_to_whom_speaks_it() -> None:
    (choice,) = whole(*CALLED, legacy_functions=True).choices

    assert "function_call" == choice.finish_reason
    assert {
        "role": "assistant",
        "content": "Let me see.",
        "function_call": {"name": "f", "arguments": '{"q":1}'},
    } == choice.message.model_dump(exclude_unset=True)


def test_text_beside_tool_calls_is_kept() -> None:
    """A bot may say something and call."""
    answer = whole(Text("Let me see."), ToolCallPart(0, "c", "f", "{}"), Done("tool_calls"))

    assert "Let me see." == answer.choices[0].message.content


# ---- usage


def test_usage_is_counted_where_poe_does_not() -> None:
    """A whole answer always has a usage, by our own estimate if need be."""
    usage = whole(*HELLO, text="hello world").usage

    assert usage is not None
    assert (3 + 3 + 2, 1, 3 + 3 + 2 + 1) == (
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.total_tokens,
    )


def test_poes_total_is_poes() -> None:
    """It may be more than the sum: with some bots thoughts are only in there."""
    thoughts = {"completion_tokens_details": {"reasoning_tokens": 181}}
    said = (Usage(10, 26, thoughts, total_tokens=217), Done())
    usage = whole(*said).usage
    *_, extra, _ = stream(*said, include_usage=True)

    assert usage == extra.usage
    assert usage is not None
    assert (10, 26, 217) == (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)


def test_all_that_the_bot_wrote_counts() -> None:
    """Reasoning and calls are written too."""
    usage = whole(
        Reasoning("hello"), Text("hello"), ToolCallPart(0, "c", "hello", " world"), Done()
    ).usage

    assert usage is not None
    assert 1 + 1 + 2 == usage.completion_tokens


def test_what_was_replaced_does_not_count() -> None:
    """The answer that is shown is the answer that is counted."""
    usage = whole(Text("a b c d e f g h"), Replaced("hello"), Done()).usage

    assert usage is not None
    assert 1 == usage.completion_tokens


def test_poes_own_count_holds() -> None:
    """Where Poe counts, its last figures are passed on, with their details."""
    details = {"prompt_tokens_details": {"cached_tokens": 5}}
    usage = whole(Usage(1, 1), Usage(10, 20, details), Text("x"), Done()).usage

    assert usage is not None
    assert (10, 20, 30) == (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
    assert usage.prompt_tokens_details is not None
    assert 5 == usage.prompt_tokens_details.cached_tokens


# ---- streamed


def test_a_stream_is_role_text_end() -> None:
    """Role chunk, a chunk for each piece, finish chunk, [DONE]; one id, time and model in all."""
    *chunks, last = stream(*HELLO, model="GPT-4")

    assert "[DONE]" == last
    role, first, second, end = chunks
    assert ("assistant", "") == (role.choices[0].delta.role, role.choices[0].delta.content)
    assert ["Hel", "lo"] == [one.choices[0].delta.content for one in (first, second)]
    assert {} == end.choices[0].delta.model_dump(exclude_unset=True)
    assert [None, None, None, "stop"] == [chunk.choices[0].finish_reason for chunk in chunks]
    assert {("chat.completion.chunk", "GPT-4", chunks[0].id, chunks[0].created)} == {
        (chunk.object, chunk.model, chunk.id, chunk.created) for chunk in chunks
    }
    assert chunks[0].id.startswith("chatcmpl-")


def test_a_frame_is_out_before_the_next_event_is_asked_for() -> None:
    """Chunks are neither collected nor delayed."""
    log: list[str] = []

    def events() -> Iterable[Said]:
        for word in ("one", "two"):
            log.append(f"said {word}")
            yield Text(word)
        yield Done()

    for frame in frames(call(), events()):
        log.extend(f"sent {word}" for word in content([read(frame)]))

    assert ["said one", "sent one", "said two", "sent two"] == log


@pytest.mark.parametrize("first", [Idle(), Usage(1, 2), Text("a")])
def test_the_stream_opens_with_the_first_event(first: Said) -> None:
    """The role chunk leaves with it, whatever it is."""
    opening, *_ = frames(call(), [first])

    assert "assistant" == read(opening).choices[0].delta.role


def test_any_text_survives_the_frames() -> None:
    """Line ends, quotes and every script arrive as they were; a frame stays a frame."""
    texts = ["a\n\nb", "data: [DONE]\n\n", '"}', "\r\n", "\u2028", "Grüße, 世界 🌍", "\0"]

    assert texts == content(stream(*map(Text, texts), Done()))


def test_thoughts_are_streamed_apart() -> None:
    """Reasoning comes as reasoning_content deltas, without content."""
    _, thought, *rest = stream(Reasoning("Hm."), *HELLO)

    assert {"reasoning_content": "Hm."} == thought.choices[0].delta.model_dump(exclude_unset=True)
    assert ["Hel", "lo"] == content(rest)


def test_calls_are_streamed_piece_by_piece() -> None:
    """One call a chunk: id, type and name in its first piece, arguments always a string."""
    _, one, two, three, *_ = stream(
        ToolCallPart(0, "call_a", "f"),
        ToolCallPart(0, arguments="{}"),
        ToolCallPart(1, "call_b", "g", "{}", {"extra_content": {"s": 1}}),
        Done("tool_calls"),
    )

    assert [
        {"index": 0, "id": "call_a", "type": "function",
         "function": {"name": "f", "arguments": ""}},
        {"index": 0, "function": {"arguments": "{}"}},
        {"index": 1, "id": "call_b", "type": "function", "extra_content": {"s": 1},
         "function": {"name": "g", "arguments": "{}"}},
    ] == [
        call
        for chunk in (one, two, three)
        for call in chunk.choices[0].delta.model_dump(exclude_unset=True)["tool_calls"]
    ]  # fmt: skip


def test_a_call_is_streamed_in_the_older_form_to_whom_speaks_it() -> None:
    *_, begin, more, end, done = stream(*CALLED, legacy_functions=True)

    assert [
        {"function_call": {"name": "f", "arguments": '{"q":'}},
        {"function_call": {"arguments": "1}"}},
    ] == [chunk.choices[0].delta.model_dump(exclude_unset=True) for chunk in (begin, more)]
    assert ("function_call", "[DONE]") == (end.choices[0].finish_reason, done)


# ---- rewritten


@pytest.mark.parametrize(
    ("events", "pieces"),
    [
        pytest.param([Text("Hel"), Replaced("Hello")], ["Hel", "lo"], id="goes on"),
        pytest.param([Replaced("Hello")], ["Hello"], id="at once"),
        pytest.param([Text("Hello"), Replaced("Hello")], ["Hello"], id="the same"),
        pytest.param([Text("Hello"), Replaced("Hel")], ["Hello"], id="shorter"),
        pytest.param([Text("Hello"), Replaced("")], ["Hello"], id="nothing left"),
        pytest.param(
            [Text("Hello…"), Replaced("Hello, you…"), Replaced("Hello, you.")],
            ["Hello…", ", you…", "."],
            id="a cursor",
        ),
        pytest.param(
            [Text("Hello" + "." * 101), Replaced("Hello Ann")],
            ["Hello" + "." * 101, "\n\n Ann"],
            id="more than a cursor",
        ),
        pytest.param(
            [Text("Hello Bob"), Replaced("Hello Ann")], ["Hello Bob", "\n\nAnn"], id="another way"
        ),
        pytest.param([Text("Wait..."), Replaced("42")], ["Wait...", "\n\n42"], id="all new"),
        pytest.param(
            [Text("a"), Text("b"), Replaced("abc"), Text("d"), Replaced("abcde")],
            ["a", "b", "c", "d", "e"],
            id="step by step",
        ),
        pytest.param([Text("x"), Replaced("y"), Replaced("yz")], ["x", "\n\ny", "z"], id="twice"),
    ],
)
def test_a_rewritten_stream_goes_on_behind_what_both_have_in_common(
    events: list[Said], pieces: list[str]
) -> None:
    """What was sent cannot be taken back; only what is new follows, apart where it differs."""
    assert pieces == content(stream(*events, Done()))


# ---- usage in a stream


def test_usage_comes_only_when_asked_for() -> None:
    """A client that did not ask for usage never sees the field."""
    for frame in frames(call(), [*HELLO[:-1], Usage(1, 2), Done()]):
        assert b"usage" not in frame


def test_usage_comes_behind_the_finish_in_a_chunk_without_choices() -> None:
    """Asked for, it is null in every chunk but an extra last one, as at OpenAI."""
    said = stream(*HELLO, include_usage=True, text="hello world")

    *chunks, extra, done = said
    assert "[DONE]" == done
    assert "stop" == chunks[-1].choices[0].finish_reason
    assert [None] * 4 == [chunk.usage for chunk in chunks]
    assert all("usage" in chunk.model_fields_set for chunk in chunks)
    assert [] == extra.choices
    assert (8, 1, 9) == (
        extra.usage.prompt_tokens,
        extra.usage.completion_tokens,
        extra.usage.total_tokens,
    )
    assert chunks[0].id == extra.id


def test_poes_own_count_holds_in_a_stream_too() -> None:
    """Poe's figures are used where they come, also behind the text."""
    *_, extra, _ = stream(*HELLO[:-1], Usage(10, 20), Done(), include_usage=True)

    assert (10, 20) == (extra.usage.prompt_tokens, extra.usage.completion_tokens)


# ---- custom tools

PATCH = Tool(name="patch", is_custom=True)
FUNCTION = Tool(name="f")


def deltas(*events: Said) -> list[dict[str, Any]]:
    """What a stream adds about calls, one to a chunk."""
    sent = frames(call(tools=(PATCH, FUNCTION)), [*events, Done("tool_calls")])
    chunks = [orjson.loads(frame[6:]) for frame in sent if frame != b"data: [DONE]\n\n"]
    found = [one for chunk in chunks for one in chunk["choices"][0]["delta"].get("tool_calls", ())]
    assert len(found) == sum("tool_calls" in one["choices"][0]["delta"] for one in chunks)
    return found


def test_a_call_of_a_custom_tool_has_its_text() -> None:
    """To the bot it was a function with one argument; its neighbour is one."""
    body = orjson.loads(
        call(tools=(PATCH, FUNCTION)).body(
            [
                ToolCallPart(0, "a", "patch", '{"input": "+x\\n"}', {"more": 1}),
                ToolCallPart(1, "b", "f", '{"input": "y"}'),
                Done("tool_calls"),
            ]
        )
    )
    ChatCompletion.model_validate(body, strict=True)

    assert [
        {"id": "a", "type": "custom", "custom": {"name": "patch", "input": "+x\n"}, "more": 1},
        {"id": "b", "type": "function", "function": {"name": "f", "arguments": '{"input": "y"}'}},
    ] == body["choices"][0]["message"]["tool_calls"]


def test_a_stream_has_the_text_as_it_arrives() -> None:
    """However the arguments are cut, and whichever other call comes in between."""
    assert [
        {"index": 0, "id": "a", "type": "custom", "custom": {"name": "patch", "input": ""}},
        {"index": 0, "custom": {"input": "+x"}},
        {"index": 1, "id": "b", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"index": 0, "custom": {"input": '\n"'}},
    ] == deltas(
        ToolCallPart(0, "a", "patch", '{"in'),
        ToolCallPart(0, arguments='put": "+x'),
        ToolCallPart(1, "b", "f", "{}"),
        ToolCallPart(0, arguments="\\"),
        ToolCallPart(0, arguments='n\\""}'),
    )


def test_arguments_of_another_form_are_the_text_of_a_stream_too() -> None:
    """They are known to be that at the end."""
    assert [
        {"index": 0, "id": "a", "type": "custom", "custom": {"name": "patch", "input": ""}},
        {"index": 0, "custom": {"input": "*** Begin Patch"}},
    ] == deltas(ToolCallPart(0, "a", "patch", "*** Begin "), ToolCallPart(0, arguments="Patch"))


# ---- failures in a stream


@pytest.mark.parametrize("fields", [{}, {"include_usage": True}])
def test_a_failure_is_the_last_frame(fields: dict[str, Any]) -> None:
    """A failure in mid-stream is an error object, not text, and no [DONE] follows it."""
    *chunks, last = broken(Text("Hel"), **fields)

    assert ["Hel"] == content(chunks)
    assert {
        "error": {
            "message": "Poe fell silent.",
            "type": "upstream_error",
            "param": None,
            "code": "upstream_timeout",
        }
    } == last
    assert all(chunk.choices[0].finish_reason is None for chunk in chunks)


@pytest.mark.parametrize(
    ("said", "text"),
    [([Text("Hel")], "\n\nError: Poe fell silent."), ([], "Error: Poe fell silent.")],
)
def test_a_failure_may_be_told_in_the_answer_too(said: list[Said], text: str) -> None:
    """Where the user wants it, the message is the last text, and the error object follows."""
    *chunks, last = broken(*said, errors_as_text=True)

    assert [*("Hel" for _ in said), text] == content(chunks)
    assert ("Poe fell silent.", "upstream_timeout") == (
        last["error"]["message"],
        last["error"]["code"],
    )
    assert 1 == len({(chunk.id, chunk.created, chunk.model) for chunk in chunks})
    assert all(chunk.choices[0].finish_reason is None for chunk in chunks)


def test_the_end_is_the_last_of_what_the_reply_s_end_makes() -> None:
    """Reason, usage and [DONE] leave together."""
    one = call(include_usage=True)
    one.frame(Text("x"))

    reason, usage, end = map(read, frames(one, [Done()]))

    assert ("stop", "[DONE]") == (reason.choices[0].finish_reason, end)
    assert usage.usage


# ---- silence


SILENCE = {"content": ""}


def test_a_keep_alive_is_a_chunk_without_text() -> None:
    """In silence the client gets chunks that add nothing to the answer."""
    said = stream(Text("Hel"), Idle(), Idle(), Text("lo"), Idle(), Done())

    deltas = [one.choices[0].delta.model_dump(exclude_unset=True) for one in said[1:-2]]
    assert [{"content": "Hel"}, SILENCE, SILENCE, {"content": "lo"}, SILENCE] == deltas


def test_silence_opens_a_stream_with_the_role() -> None:
    """Before the first word the chunk of the role is sign of life enough."""
    said = stream(Idle(), Idle(), Text("Hello"), Done())

    deltas = [one.choices[0].delta.model_dump(exclude_unset=True) for one in said[:-2]]
    assert [{"role": "assistant", "content": ""}, SILENCE, {"content": "Hello"}] == deltas


def test_a_keep_alive_leaves_no_trace_in_an_answer() -> None:
    """The text, a call and its arguments are the same with as without."""
    said: list[Said] = [
        Reasoning("Hm."), Text("a"), ToolCallPart(0, "c1", "f", '{"a":'),
        ToolCallPart(0, None, None, "1}"), Done("tool_calls"),
    ]  # fmt: skip
    silent = [event for one in said for event in (Idle(), one)]

    assert whole(*said).choices == whole(*silent).choices
    one, other = stream(*said), stream(*silent)
    assert one[1:-1] != other[1:-1]
    assert [chunk.choices for chunk in one[1:-1]] == [
        chunk.choices
        for chunk in other[1:-1]
        if chunk.choices[0].delta.model_dump(exclude_unset=True) != SILENCE
    ]


ALL_SAID: list[list[Said]] = [
    [Done()],
    [Idle(), Done()],
    [Idle(), Idle(), Text("Hello"), Idle(), Done("length")],
    [Text("two\n\nlines\r\n\r\n: none"), Idle(), Replaced("two\n\ntexts"), Usage(1, 2), Done()],
    [Reasoning("hm\n\n"), Idle(), Idle(), Text(""), Idle(), Usage(1, 2, {}, 3), Done()],
    [Idle(), ToolCallPart(0, "c1", "f", ""), Idle(), ToolCallPart(0, None, None, "{}"), Idle(),
     Done("tool_calls")],
]  # fmt: skip


@pytest.mark.parametrize("said", ALL_SAID)
@pytest.mark.parametrize("include_usage", [False, True])
@pytest.mark.parametrize("legacy_functions", [False, True])
def test_each_block_of_a_stream_is_a_line_of_data(
    said: list[Said], include_usage: bool, legacy_functions: bool
) -> None:
    """Whoever splits at empty lines reads JSON, or [DONE]; usage is null in all but the last."""
    one = call(include_usage=include_usage, legacy_functions=legacy_functions)

    *blocks, done, end = b"".join(frames(one, said)).split(b"\n\n")

    assert (b"data: [DONE]", b"") == (done, end)
    chunks = [orjson.loads(block.removeprefix(b"data: ")) for block in blocks]
    if include_usage:
        *chunks, last = chunks
        assert [] == last["choices"]
        assert last["usage"]
    assert [include_usage] * len(chunks) == ["usage" in chunk for chunk in chunks]
    assert {None} == {chunk.get("usage") for chunk in chunks}
    assert all(set(chunk["choices"][0]) == {"index", "delta", "finish_reason"} for chunk in chunks)


@pytest.mark.parametrize("errors_as_text", [False, True])
@pytest.mark.parametrize("said", ALL_SAID)
def test_each_block_of_a_failure_is_a_line_of_data(said: list[Said], errors_as_text: bool) -> None:
    """Also where a stream fails, after a keep-alive or a word."""
    one = call(errors_as_text=errors_as_text, include_usage=True)
    sent = [*frames(one, said[:-1])]

    *blocks, end = b"".join([*sent, one.failed(UpstreamTimeout("Silence."))]).split(b"\n\n")

    assert b"" == end
    *_, last = [orjson.loads(block.removeprefix(b"data: ")) for block in blocks]
    assert "upstream_timeout" == last["error"]["code"]


# ---- refusals


def test_a_refusal_is_no_content() -> None:
    """A whole answer has the words under their own name; they are counted."""
    (choice,) = whole(Refusal("I can"), Refusal("not."), Done("content_filter")).choices

    assert (None, "I cannot.") == (choice.message.content, choice.message.refusal)
    assert "content_filter" == choice.finish_reason
    usage = [
        whole(*said, Done()).usage for said in ((), (Refusal("I cannot."),), (Text("I cannot."),))
    ]
    assert usage[0] != usage[1] == usage[2]


def test_a_text_before_a_refusal_stays() -> None:
    """Both are there."""
    (choice,) = whole(Text("Well."), Refusal("No."), Done()).choices

    assert ("Well.", "No.") == (choice.message.content, choice.message.refusal)


def test_a_refusal_is_streamed() -> None:
    """In pieces, as a text is."""
    chunks = stream(Refusal("I can"), Refusal("not."), Done())

    deltas = [one.choices[0].delta for one in chunks[:-1]]
    assert [None, "I can", "not.", None] == [delta.refusal for delta in deltas]
    assert ["", None, None, None] == [delta.content for delta in deltas]
