"""What contents say: parts and blocks of every API, in one list if need be."""

from __future__ import annotations

from typing import Any

import pytest

from poe_proxy.apis.contents import Content, content, result
from poe_proxy.apis.conversation import Call, Result
from poe_proxy.apis.reading import MAX_PARTS, Reading
from poe_proxy.budget import Budget
from poe_proxy.chat import FilePart, ImagePart, TextPart
from poe_proxy.errors import InvalidRequest

PNG = "data:image/png;base64,AAAA"
PDF = "data:application/pdf;base64,AAAA"


def read(given: Any) -> Content:
    return content(given, "c", Reading(Budget()))


def parts(*given: Any) -> list[Any]:
    return read(list(given)).parts


def base64_source(kind: str, data: str = "AAAA") -> dict[str, str]:
    return {"type": "base64", "media_type": kind, "data": data}


@pytest.mark.parametrize(
    ("given", "texts"),
    [
        (None, []),
        ("", []),
        ("x", ["x"]),
        ({"type": "text", "text": "x"}, ["x"]),
        (["", "x", {"type": "text", "text": ""}], ["x"]),
        ([{"type": "output_text", "text": "x", "annotations": []}], ["x"]),
        ([{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}], ["x"]),
    ],
    ids=str,
)
def test_a_content_is_text_or_parts(given: Any, texts: list[str]) -> None:
    """What is empty is left out, and one part alone may stand without a list."""
    assert [TextPart(text) for text in texts] == read(given).parts


@pytest.mark.parametrize(
    "thought",
    [
        {"type": "thinking", "thinking": "Hm.", "signature": "s"},
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "reasoning", "text": "Hm."},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
    ],
    ids=str,
)
def test_what_no_bot_can_read_is_passed_over(thought: dict[str, Any]) -> None:
    """Thoughts of earlier answers, and what servers of the maker did."""
    assert [TextPart("x")] == parts(thought, "x")


def test_images_and_files_of_every_api() -> None:
    """OpenAI's two APIs, Anthropic's, and servers that have more kinds of files."""
    assert [
        ImagePart(PNG),
        ImagePart(PNG, "low"),
        ImagePart(PNG),
        ImagePart("https://example.com/a.png"),
        FilePart(PDF, "a.pdf"),
        FilePart("https://example.com/a.pdf"),
        FilePart(PDF, "A title"),
        FilePart("https://example.com/b.pdf"),
        FilePart("https://example.com/a.mp4"),
        FilePart("https://example.com/a.mp3"),
        FilePart("https://example.com/a.txt"),
        FilePart("data:audio/wav;base64,AAAA", "audio.wav"),
    ] == parts(
        {"type": "input_image", "image_url": PNG},
        {"type": "input_image", "image_url": PNG, "detail": "low", "file_id": None},
        {"type": "image", "source": base64_source("image/png")},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "input_file", "file_data": PDF, "filename": "a.pdf"},
        {"type": "input_file", "file_url": "https://example.com/a.pdf"},
        {"type": "document", "source": base64_source("application/pdf"), "title": "A title"},
        {"type": "document", "source": {"type": "url", "url": "https://example.com/b.pdf"}},
        {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4", "fps": 1}},
        {"type": "audio_url", "audio_url": "https://example.com/a.mp3"},
        {"type": "file_url", "file_url": {"url": "https://example.com/a.txt"}},
        {"type": "input_audio", "input_audio": {"data": "data:;base64,AAAA", "format": "wav"}},
    )


def test_base64_is_plain_wherever_it_stands() -> None:
    """Whatever the kind of part."""
    source = base64_source("image/png", "-_8\n")

    assert [
        ImagePart("data:image/png;base64,+/8="),
        ImagePart("data:image/png;base64,+/8="),
        FilePart("data:audio/wav;base64,+/8=", "audio.wav"),
    ] == parts(
        {"type": "image", "source": source},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,-_8"}},
        {"type": "input_audio", "input_audio": {"data": "-_8", "format": "wav"}},
    )


def test_documents_may_be_text() -> None:
    """Under their title, if they have one, as do results of a search."""
    inner = [{"type": "text", "text": "b"}, {"type": "image", "source": base64_source("image/png")}]

    assert [
        TextPart("T\na"), TextPart("b"), ImagePart(PNG), TextPart("T\nhttps://x.org\nc\nd"),
    ] == parts(
        {"type": "document", "title": "T",
         "source": {"type": "text", "media_type": "text/plain", "data": "a"}},
        {"type": "document", "source": {"type": "content", "content": inner}},
        {"type": "search_result", "title": "T", "source": "https://x.org",
         "content": [{"type": "text", "text": "c"}, {"type": "text", "text": "d"}]},
    )  # fmt: skip


def test_calls_and_results_among_the_parts() -> None:
    """Anthropic's form: arguments are an object there, and results may hold blocks."""
    found = read(
        [
            {"type": "tool_use", "id": "t1", "name": "f", "input": {"q": "x"}},
            {"type": "tool_use", "id": "t2", "name": "g"},
            {"type": "tool_result", "tool_use_id": "t1", "content": "a"},
            {"type": "tool_result", "tool_use_id": "t2"},
            {
                "type": "tool_result",
                "content": [
                    {"type": "text", "text": "b"},
                    {"type": "image", "source": base64_source("image/png")},
                    {"type": "tool_reference", "tool_name": "h"},
                ],
                "cache_control": {"type": "ephemeral"},
            },
            "x",
        ]
    )
    last = (TextPart("b"), ImagePart(PNG), TextPart("The tool h can be called now."))

    assert [Call("t1", "f", '{"q":"x"}'), Call("t2", "g", "{}")] == found.calls
    assert [
        Result("t1", (TextPart("a"),), "c[2].tool_use_id"),
        Result("t2", (), "c[3].tool_use_id"),
        Result(None, last, "c[4].tool_use_id"),
    ] == found.results
    assert [TextPart("x")] == found.parts


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("no such file", "Error: no such file"),
        ("Error: no such file", "Error: no such file"),
        ("error 2", "error 2"),
        ([{"type": "text", "text": "no such file"}], "Error: no such file"),
        (None, "Error:"),
    ],
)
def test_a_result_that_is_an_error_says_so(given: Any, text: str) -> None:
    """Once; a bot has no other way to know."""
    found = read([{"type": "tool_result", "tool_use_id": "t", "content": given, "is_error": True}])

    assert (TextPart(text),) == found.results[0].content


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (None, ""),
        ("", ""),
        ("x", "x"),
        ([{"type": "text", "text": "x"}], "x"),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        ([{"a": 1}, {"a": 2}], '[{"a":1},{"a":2}]'),
        ([1, 2], "[1,2]"),
        (42, "42"),
        (False, "false"),
    ],
    ids=str,
)
def test_what_a_tool_gave_back_may_be_any_value(given: Any, text: str) -> None:
    """What is no content is data, and told as JSON."""
    found = result(given, "c", Reading(Budget()))

    assert text == "".join(one.text for one in found if isinstance(one, TextPart))


@pytest.mark.parametrize(
    ("given", "path"),
    [
        (3, "c"),
        ({"text": "x"}, "c"),
        ([3], "c[0]"),
        ([{"type": "text"}], "c[0]"),
        ([{"type": "nothing"}], "c[0]"),
        ([{"type": "image_url", "image_url": {}}], "c[0]"),
        ([{"type": "input_image"}], "c[0]"),
        ([{"type": "input_image", "file_id": "f"}], "c[0].file_id"),
        ([{"type": "input_image", "image_url": "x"}], "c[0].image_url"),
        ([{"type": "input_file", "file_id": "f"}], "c[0].file_id"),
        ([{"type": "input_file", "file_url": "x"}], "c[0].file_url"),
        ([{"type": "input_file"}], "c[0]"),
        ([{"type": "video_url", "video_url": {}}], "c[0]"),
        ([{"type": "video_url", "video_url": {"url": "x"}}], "c[0].video_url.url"),
        ([{"type": "input_audio", "input_audio": {"data": "AAAA"}}], "c[0].input_audio.format"),
        ([{"type": "input_audio", "input_audio": {"data": 3, "format": "wav"}}], "c[0]"),
        ([{"type": "tool_use", "id": "t"}], "c[0]"),
        ([{"type": "tool_use", "id": "t", "name": "f", "input": "x"}], "c[0].input"),
        ([{"type": "tool_result", "tool_use_id": 3}], "c[0].tool_use_id"),
        ([{"type": "tool_result", "tool_use_id": "t", "content": 3}], "c[0].content"),
        ([{"type": "tool_result", "content": [{"type": "tool_use", "name": "f"}]}],
         "c[0].content[0]"),
        ([{"type": "tool_result", "content": ["x", {"type": "tool_result"}]}], "c[0].content[1]"),
        ([{"type": "image", "source": {}}], "c[0].source"),
        ([{"type": "image", "source": {"type": "file", "file_id": "f"}}], "c[0].source.file_id"),
        ([{"type": "image", "source": {"type": "base64", "data": "AAAA"}}],
         "c[0].source.media_type"),
        ([{"type": "image", "source": base64_source("a,b")}], "c[0].source.media_type"),
        ([{"type": "image", "source": {"type": "url", "url": "x"}}], "c[0].source.url"),
        ([{"type": "document", "source": {"type": "content", "content": ["x", 3]}}],
         "c[0].source.content[1]"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_understood_is_named(given: Any, path: str) -> None:
    """A part is refused by its own path, however deep it stands."""
    with pytest.raises(InvalidRequest) as refusal:
        read(given)

    assert path == refusal.value.param
    assert refusal.value.message.endswith(".")


@pytest.mark.parametrize(
    ("given", "path"),
    [
        (["x"] * (MAX_PARTS + 1), "c"),
        ([{"type": "tool_result", "content": ["x"] * MAX_PARTS}], "c[0].content"),
        ([{"type": "tool_result", "content": ["x"] * (MAX_PARTS // 2)}] * 3, "c[1].content"),
        (
            [{"type": "document", "source": {"type": "content", "content": ["x"] * MAX_PARTS}}],
            "c[0].source.content",
        ),
        ([{"type": "search_result", "content": ["x"] * MAX_PARTS}], "c[0].content"),
    ],
    ids=["list", "result", "results", "document", "search"],
)
def test_there_may_be_so_many_parts(given: Any, path: str) -> None:
    """Those within others count, too."""
    with pytest.raises(InvalidRequest) as refusal:
        read(given)

    assert (path, "array_above_max_length") == (refusal.value.param, refusal.value.code)
