"""Forms: read as the JSON that says the same, within bounds."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from poe_proxy.budget import Budget
from poe_proxy.chat import Done, ImagePart, Text, TextPart
from poe_proxy.errors import InvalidRequest
from poe_proxy.server.forms import MAX_PARTS, as_json

from .site import Site, error

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
LINK = "https://pfst.cf2.poecdn.net/base/image/ab"


def part(name: str, value: bytes, *, filename: str = "", kind: str = "") -> bytes:
    about = f'Content-Disposition: form-data; name="{name}"'
    about += f'; filename="{filename}"' if filename else ""
    about += f"\r\nContent-Type: {kind}" if kind else ""
    return b"--b\r\n" + about.encode() + b"\r\n\r\n" + value + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--b--\r\n"


def read(*parts: bytes) -> Any:
    return orjson.loads(as_json(form(*parts), "b", Budget(60)))


def uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def test_a_field_is_a_string_and_a_file_a_data_uri() -> None:
    """Whatever is in them."""
    found = read(
        part("prompt", 'Grüße, "世界"\r\n--bb'.encode()),
        part("image", PNG, filename="a.png", kind="image/png"),
    )

    assert {"prompt": 'Grüße, "世界"\r\n--bb', "image": uri("image/png", PNG)} == found


def test_what_comes_more_than_once_is_a_list() -> None:
    """As is what is called one."""
    one, two = (part("image", data, filename="x", kind="image/gif") for data in (b"1", b"2"))

    assert [uri("image/gif", b"1"), uri("image/gif", b"2")] == read(one, two)["image"]
    assert {"image[]": ["x"]} == read(part("image[]", b"x"))


@pytest.mark.parametrize(
    ("data", "kind", "found"),
    [
        (PNG, "application/octet-stream", "image/png"),
        (PNG, "", "image/png"),
        (b"\xff\xd8\xff\xe0", "", "image/jpeg"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "", "image/webp"),
        (b"RIFF\x10\x00\x00\x00WAVEfmt ", "", "application/octet-stream"),
        (b"%PDF-", "application/pdf", "application/octet-stream"),
        (PNG, 'image/"odd', "image/png"),
        (b"x", "image/webp; a=b", "image/webp"),
    ],
    ids=str,
)
def test_a_picture_is_known_by_its_type_or_its_beginning(
    data: bytes, kind: str, found: str
) -> None:
    """Clients do not always say what it is."""
    assert uri(found, data) == read(part("image", data, filename="x", kind=kind))["image"]


@pytest.mark.parametrize("size", [0, 1, 32_768, 32_769, 300_000])
def test_a_file_of_any_size_is_whole(size: int) -> None:
    """Wherever its end falls."""
    data = (b"\r\n-" * size)[:size]

    assert uri("image/png", data) == read(part("i", data, filename="x", kind="image/png"))["i"]


@pytest.mark.parametrize(
    ("body", "boundary", "why"),
    [
        (b"", "b", "not the form"),
        (b"{}", "b", "not the form"),
        (part("a", b"x"), "b", "not the form"),
        (form(part("a", b"x")), "other", "not the form"),
        (form(part("a", b"x")), "", "no boundary"),
        (form(part("a", b"x")), "b" * 71, "no boundary"),
        (form(part("a", b"x")), "ü", "no boundary"),
        (form(b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n"), "b", "no name"),
        (form(b"--b\r\nX: y\r\n\r\nx\r\n"), "b", "not the form"),
        (form(b"--b\r\nX: \xff\r\n\r\nx\r\n"), "b", "not the form"),
        (form(part("a", b"x") * (MAX_PARTS + 1)), "b", "200 parts"),
        (b"--b\r\n" + b"x" * 200_000, "b", "nothing around"),
        (
            form(b"--b\r\nX: " + b"x" * 70_000 + b"\r\n" + part("a", b"x")[5:]),
            "b",
            "nothing around",
        ),
        (b"x" * 200_000 + form(part("a", b"x")), "b", "nothing around"),
        (form(part("a", b"x")) + b"x" * 200_000, "b", "nothing around"),
    ],
    ids=lambda one: str(one)[:40],
)
def test_what_is_no_form_is_refused(body: bytes, boundary: str, why: str) -> None:
    """A 400 about the body, whatever is wrong with it."""
    with pytest.raises(InvalidRequest, match=why) as refusal:
        as_json(body, boundary, Budget(60))

    assert "body" == refusal.value.param


# ---- on the route


def post(site: Site, body: bytes, kind: str = 'multipart/form-data; boundary="b"') -> Any:
    headers = {"Authorization": "Bearer sk-test", "Content-Type": kind}
    return site.post(body, "/v1/images/edits", headers=headers)


def test_the_pictures_of_a_form_go_along() -> None:
    """As those of JSON do."""
    site = Site(Text(LINK), Done())
    answer = post(
        site,
        form(
            part("model", b"bot"),
            part("prompt", b"Make it snow."),
            part("response_format", b"url"),
            part("n", b"1"),
            part("image[]", PNG, filename="a.png", kind="image/png"),
            part("image[]", b"GIF89a", filename="b.gif", kind="image/gif"),
        ),
    )
    ((chat, _),) = site.upstream.asked
    (message,) = chat.messages

    assert (200, [{"url": LINK}]) == (answer.status_code, answer.get_json()["data"])
    assert (
        TextPart("Make it snow."),
        ImagePart(uri("image/png", PNG)),
        ImagePart(uri("image/gif", b"GIF89a")),
    ) == message.content


def test_a_mistake_in_a_form_is_named() -> None:
    """In OpenAI's shape, by its field; nothing is asked."""
    site = Site()
    missing = post(site, form(part("model", b"bot"), part("prompt", b"x")))
    broken = post(site, b"--b\r\n")
    no_form = post(site, form(part("model", b"bot")), "application/json")

    assert (400, "image") == (missing.status_code, error(missing)["param"])
    assert (400, "body") == (broken.status_code, error(broken)["param"])
    assert (400, "body") == (no_form.status_code, error(no_form)["param"])
    assert [] == site.upstream.asked
