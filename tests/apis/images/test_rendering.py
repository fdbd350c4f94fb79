"""Pictures as clients get them, read back with OpenAI's own types."""

from __future__ import annotations

import base64

import pytest
from openai.types import ImagesResponse

from poe_proxy.apis.images.rendering import Picture
from poe_proxy.budget import Budget
from poe_proxy.chat import Done, File, Idle, Refusal, Said, Text
from poe_proxy.errors import InvalidRequest, UpstreamTimeout

from ...fakes import ask

URL = "https://pfst.cf2.poecdn.net/base/image/ab?w=1&h=1"


def body(*events: Said, budget: Budget | None = None) -> bytes:
    return Picture(ask(budget=budget or Budget(60))).body(events)


def test_a_link_is_passed_on() -> None:
    """As OpenAI's type has it, with the time."""
    answer = ImagesResponse.model_validate_json(
        body(Text(URL), Idle(), File(URL), Done()), strict=True
    )

    (picture,) = answer.data or ()
    assert (URL, None) == (picture.url, picture.b64_json)
    assert answer.created > 1_700_000_000


@pytest.mark.parametrize("size", [1, 2, 3, 1_000_000])
def test_a_picture_is_in_base64(size: int) -> None:
    """Whatever its length."""
    data = bytes(range(256)) * (size // 256 + 1)
    answer = ImagesResponse.model_validate_json(
        body(File(URL, "image/png", data[:size]), Done()), strict=True
    )

    (picture,) = answer.data or ()
    assert picture.url is None
    assert data[:size] == base64.b64decode(picture.b64_json or "", validate=True)


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([Text("I will not "), Text("draw that."), Done()], "I will not draw that."),
        ([Refusal("No."), Done()], "No."),
        ([Text("Well. "), Refusal("No."), Done()], "Well. No."),
        ([Done()], "said nothing"),
        ([Text("x" * 10_000), Done()], "x" * 2000),
    ],
    ids=["words", "refusal", "words and refusal", "nothing", "many words"],
)
def test_without_a_picture_the_bot_s_words_are_the_error(events: list[Said], words: str) -> None:
    """Under the code that OpenAI has for it."""
    with pytest.raises(InvalidRequest) as failure:
        body(*events)

    assert words in failure.value.message
    assert len(failure.value.message) <= 2000
    assert ("prompt", "image_generation_user_error") == (failure.value.param, failure.value.code)


def test_a_picture_that_costs_too_much_is_no_fault() -> None:
    """The failure says so."""
    spent = Budget(0.000_001)
    spent.charge(1)

    with pytest.raises(InvalidRequest) as failure:
        body(File(URL, "image/png", b"x"), Done(), budget=spent)

    assert "request_too_costly" == failure.value.code


def test_there_is_no_stream() -> None:
    """Nor frames of one."""
    picture = Picture(ask())

    assert not picture.streams
    assert not picture.opens_for(UpstreamTimeout("x"))
    assert b"" == picture.frame(File(URL))
    assert b'{"error":' in picture.failed(UpstreamTimeout("x"))
