"""How many tokens a text has."""

from __future__ import annotations

import pytest

from poe_proxy.budget import Budget
from poe_proxy.chat import ChatRequest, Message, TextPart, Tool, ToolCall
from poe_proxy.shaping import tokenizer
from poe_proxy.shaping.tokenizer import count_prompt, count_text, count_texts, estimate_prompt

from ..fakes import ask


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("hello world", 2),
        ("Hello, world!", 4),
        ("你好,世界", 3),
        ("    return x\n", 4),
        ("<|endoftext|>", 7),
    ],
)
def test_tokens_are_those_of_o200k(text: str, tokens: int) -> None:
    """Figures are those of OpenAI's own vocabulary, and its special words are plain text."""
    assert tokens == count_text(text)


def test_a_long_text_is_counted_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text of any length is counted whole, and the last short slice is not forgotten."""
    text = " hello" * 25

    whole = count_text(text)
    monkeypatch.setattr(tokenizer, "_SLICE", 60)

    assert 25 == whole
    assert 25 == count_text(text)


def test_of_very_long_texts_the_rest_is_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is taken to be as dense as what was counted."""
    monkeypatch.setattr(tokenizer, "_SLICE", 60)
    monkeypatch.setattr(tokenizer, "MAX_COUNTED", 120)
    texts = [" hello" * 15] * 10

    assert 150 == count_texts(texts, Budget())
    assert 150 + 10 == count_texts([*texts, "!" * 60], Budget())


def test_an_estimate_is_the_count_of_what_is_not_long() -> None:
    """Of a longer prompt the beginning is counted, in a slice more at most."""
    short, long = ask("Hello there. " * 100), ask("Hello there. " * 100_000)

    assert count_prompt(short) == estimate_prompt(short)
    assert 0.9 < estimate_prompt(long) / count_prompt(long) < 1.1


def test_without_a_budget_nothing_is_counted() -> None:
    """Four characters are a token then."""
    assert 250 == count_texts(["a" * 600, "a" * 400], Budget(0))


def test_a_prompt_counts_its_framing() -> None:
    """Each message costs three tokens more than its text, and so does the conversation."""
    hello = Message(role="user", content=(TextPart("hello world"),))
    call = Message(role="assistant", tool_calls=(ToolCall("call_1", "hello", "hello world"),))

    assert 3 == count_prompt(ChatRequest(model="m", messages=()))
    assert 3 + 3 + 2 == count_prompt(ChatRequest(model="m", messages=(hello,)))
    assert 3 + 5 + 3 + 1 + 2 == count_prompt(ChatRequest(model="m", messages=(hello, call)))


def test_a_prompt_counts_its_tools() -> None:
    """The definitions of tools are read with the conversation, and have their price."""
    tool = Tool(name="look", schema={"type": "object"})
    written = '{"type":"function","function":{"name":"look","parameters":{"type":"object"}}}'

    assert 3 + 2 * count_text(written) == count_prompt(
        ChatRequest(model="m", messages=(), tools=(tool, tool))
    )


def test_warming_up_needs_no_network() -> None:
    """The vocabulary comes with the library, so that loading it is all there is to do."""
    tokenizer.warm_up()

    assert 1 == count_text("hello")


def test_a_prompt_counts_what_stands_beside_a_tool() -> None:
    """It goes to the bot with the tool, and is counted with it."""
    tool = Tool(name="look", beside={"cache_control": {"type": "ephemeral"}})
    text = '{"type":"function","function":{"name":"look"},"cache_control":{"type":"ephemeral"}}'
    chat = ChatRequest(model="m", messages=(), tools=(tool,))

    assert 3 + count_text(text) == count_prompt(chat)
