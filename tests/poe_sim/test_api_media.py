from __future__ import annotations

import zlib
from collections.abc import Iterator

import pytest
import requests

from .api_support import Api, fresh, serving


@pytest.fixture(scope="module")
def server() -> Iterator[Api]:
    with serving() as one:
        yield one


@pytest.fixture
def api(server: Api) -> Api:
    return fresh(server)


def test_media_links_can_lead_here(api: Api) -> None:
    """With the switch on, links lead to small real files here; otherwise they lead to Poe."""
    url = api.text("a fox", model="Imagen-4").split()[-1]
    path = url.removeprefix("https://pfst.cf2.poecdn.net")
    assert requests.get(api.url + path, timeout=60).status_code == 404
    api.control(media_local=True)
    url = api.text("a fox", model="Imagen-4").split()[-1]
    picture = requests.get(url, timeout=60)
    assert picture.headers["content-type"] == "image/png"
    assert picture.content.startswith(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\4\0\0\0\4\0")
    at = picture.content.index(b"IDAT")
    size = int.from_bytes(picture.content[at - 4 : at], "big")
    assert len(zlib.decompress(picture.content[at + 4 : at + 4 + size])) == 1024 * 129
    for model, kind in (("ElevenLabs-v3", "audio/mpeg"), ("Veo-3.1", "video/mp4")):
        answer = requests.get(api.text("a fox", model=model), timeout=60)
        assert answer.headers["content-type"] == kind
