from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from .api_support import Api, events, fresh, serving

UPLOAD = "/poe_api/file_upload_3RD_PARTY_POST"


@pytest.fixture(scope="module")
def server() -> Iterator[Api]:
    with serving() as one:
        yield one


@pytest.fixture
def api(server: Api) -> Api:
    return fresh(server)


def upload(api: Api, key: str = "k1", **form: Any) -> requests.Response:
    return requests.post(api.url + UPLOAD, headers={"Authorization": key}, timeout=10, **form)


def test_a_file_is_stored_and_served(api: Api) -> None:
    """Both keys of the answer are needed."""
    answer = upload(api, files={"file": ("né.txt", b"some text", "text/plain")})
    assert answer.status_code == 200
    assert answer.json()["mime_type"] == "text/plain"
    served = requests.get(answer.json()["attachment_url"], timeout=10)
    assert served.content == b"some text"
    assert served.headers["content-type"] == "text/plain"


def test_a_type_follows_from_the_name(api: Api) -> None:
    """When none is given."""
    answer = upload(api, files={"file": ("a.pdf", b"%PDF", "application/octet-stream")})
    assert answer.json()["mime_type"] == "application/pdf"


def test_a_file_can_be_named_by_url(api: Api) -> None:
    """It is not fetched: its link leads to where it is. Own files are found."""
    url = "https://example.com/cat.png"
    answer = upload(api, data={"download_url": url})
    assert answer.json()["mime_type"] == "image/png"
    served = requests.get(answer.json()["attachment_url"], timeout=10, allow_redirects=False)
    assert (served.status_code, served.headers["location"]) == (302, url)
    first = upload(api, files={"file": ("a.txt", b"abc")}).json()["attachment_url"]
    again = upload(api, data={"download_url": first, "download_filename": "b.txt"})
    assert requests.get(again.json()["attachment_url"], timeout=10).content == b"abc"


@pytest.mark.parametrize("key", ["nobody", "Bearer k1", ""])
def test_the_key_stands_alone(api: Api, key: str) -> None:
    """Without a scheme before it."""
    assert upload(api, key, data={"download_url": "https://example.com/a"}).status_code == 401


def test_an_upload_may_fail(api: Api) -> None:
    """Without a file, by the control, or for its size."""
    assert upload(api, data={"x": "y"}).status_code == 400
    api.control(upload_status=500)
    assert upload(api, data={"download_url": "https://example.com/a"}).status_code == 500
    api.control(upload_status=0, max_body_mb=0.01)
    assert upload(api, files={"file": ("a", b"x" * 20_000)}).status_code == 413


def test_a_link_does_not_live_for_ever(api: Api) -> None:
    """About ten minutes, or as the control says."""
    url = upload(api, files={"file": ("a.txt", b"abc")}).json()["attachment_url"]
    api.control(attachment_life=0)
    assert requests.get(url, timeout=10).status_code == 403
    assert requests.get(url[:-1] + "x", timeout=10).status_code == 404


def test_an_attachment_is_seen_by_the_bot(api: Api) -> None:
    """Name, type, size."""
    url = upload(api, files={"file": ("a.txt", b"abc", "text/plain")}).json()["attachment_url"]
    attachment = {"url": url, "content_type": "text/plain", "name": "a.txt"}
    answer = api.bot("What is this? !chunks=1", message={"attachments": [attachment]})
    [text] = [data for name, data in events(answer.content) if name == "text"]
    assert "a.txt" in text
    assert "3 bytes" in text


def test_media_links_can_lead_here(api: Api) -> None:
    """To small real files; usually they lead to Poe and nothing is here."""
    url = api.text("a fox", model="Imagen-4").split()[-1]
    path = url.removeprefix("https://pfst.cf2.poecdn.net")
    assert requests.get(api.url + path, timeout=10).status_code == 404
    api.control(media_local=True)
    url = api.text("a fox", model="Imagen-4").split()[-1]
    picture = requests.get(url, timeout=10)
    assert picture.headers["content-type"] == "image/png"
    assert picture.content.startswith(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\4\0\0\0\4\0")
    at = picture.content.index(b"IDAT")
    size = int.from_bytes(picture.content[at - 4 : at], "big")
    assert len(zlib.decompress(picture.content[at + 4 : at + 4 + size])) == 1024 * 129
    for model, kind in (("ElevenLabs-v3", "audio/mpeg"), ("Veo-3.1", "video/mp4")):
        answer = requests.get(api.text("a fox", model=model), timeout=10)
        assert answer.headers["content-type"] == kind
