"""OpenAI's images, over both ways, read with OpenAI's own types."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from openai import BadRequestError
from openai.types import ImagesResponse

from .asking import BOT, PIXEL, Way, error_of

#: A bot that both ways lead to, and what it declares: an aspect, and how good a picture shall be.
PAINTER = "GPT-Image-1.5"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def painter(way: Way) -> Iterator[Way]:
    """A way to bots whose pictures lie on the stand-in. The list of models, with what the bots
    declare, has been fetched."""
    requests.get(f"{way.proxy.url}/v1/models", headers=way.proxy.headers, timeout=60)
    requests.post(f"{way.sim.url}/__control_api", json={"media_local": True}, timeout=60)
    yield way
    requests.post(f"{way.sim.url}/__control_api", json={"media_local": False}, timeout=60)
    way.control(lines={PAINTER: [], BOT: []})


def picture(way: Way, name: str = "0f" * 32) -> str:
    """The link to a picture on the stand-in."""
    return f"{way.sim.url}/base/image/{name}?w=64&h=64"


def ask(way: Way, path: str = "generations", **fields: Any) -> requests.Response:
    body = {"model": PAINTER, "prompt": "a fox", **fields}
    return requests.post(
        f"{way.proxy.url}/v1/images/{path}", json=body, headers=way.proxy.headers, timeout=60
    )


def test_a_picture_comes_by_its_link(painter: Way) -> None:
    """On Poe's host, the last one in what the bot says."""
    link = "https://pfst.cf2.poecdn.net/base/image/ab?w=1024&h=1024"
    painter.control(lines={PAINTER: [f"![see https://example.com/x]({link})\n\n{link}"]})
    body = ask(painter, response_format="url").json()
    answer = ImagesResponse.model_validate(body, strict=True)

    assert {"created", "data"} == body.keys()
    assert [{"url": link}] == body["data"]
    assert answer.created > 1_700_000_000


def test_a_picture_comes_in_base64(painter: Way) -> None:
    """Fetched from where it lies, byte for byte."""
    link = picture(painter)
    painter.control(lines={PAINTER: [f"![a fox]({link})"]})
    body = ask(painter, response_format="b64_json").json()
    ImagesResponse.model_validate(body, strict=True)

    (one,) = body["data"]
    data = base64.b64decode(one["b64_json"], validate=True)
    assert data.startswith(PNG)
    assert data == requests.get(link, timeout=60).content


def test_the_openai_package_generates(painter: Way) -> None:
    """By the model's name, which stands for base64 as at OpenAI."""
    painter.control(lines={PAINTER: [picture(painter), picture(painter)]})
    with painter.proxy.openai() as client:
        plain = client.images.generate(model=PAINTER, prompt="a fox")
        linked = client.images.generate(model=PAINTER, prompt="a fox", response_format="url")

    assert plain.data
    assert base64.b64decode(plain.data[0].b64_json or "").startswith(PNG)
    assert linked.data
    assert picture(painter) == linked.data[0].url


def test_the_bot_is_told_in_its_own_words(painter: Way) -> None:
    """Size and quality become the parameters that it declares; the rest is its own choice."""
    fields = {"size": "1536x1024", "quality": "hd", "style": "vivid", "response_format": "url"}
    if painter.by_cookie:
        painter.control(lines={PAINTER: [picture(painter)]})
        assert 200 == ask(painter, **fields).status_code
        entries = painter.sim.journal(queryName="sendMessageMutation", bot=PAINTER)
        told = json.loads(entries[-1]["parameters"])
    else:
        # The bot says what it was sent, which is no picture.
        failed = ask(painter, prompt="!say-params", **fields)
        told = json.loads(error_of(failed)["message"])

    assert ("3:2", "high") == (told["aspect"], told["quality"])
    assert not told.keys() & {"size", "style", "response_format", "n"}


def test_without_a_picture_the_bot_s_words_are_the_error(painter: Way) -> None:
    """A 400 that the packages do not repeat."""
    painter.control(lines={PAINTER: ["I cannot draw that."]})
    answer = ask(painter)
    error = error_of(answer)

    assert (400, "image_generation_user_error", "I cannot draw that.") == (
        answer.status_code,
        error["code"],
        error["message"],
    )


@pytest.mark.parametrize(
    "link",
    ["https://pfst.cf2.poecdn.net.example/base/image/x", "http://127.0.0.1:1/base/image/x"],
)
def test_nothing_is_fetched_from_elsewhere(painter: Way, link: str) -> None:
    """Whatever a bot says: such a link is no picture."""
    painter.control(lines={PAINTER: [link]})
    answer = ask(painter, response_format="b64_json")

    assert (400, "image_generation_user_error") == (answer.status_code, error_of(answer)["code"])


def test_a_picture_that_is_gone_is_not_paid_twice(painter: Way) -> None:
    """The failure says not to ask again, and where the picture is; the log does not."""
    gone = f"{painter.sim.url}/base/image/gone"
    painter.control(lines={PAINTER: [gone, gone]})
    answer = ask(painter, response_format="b64_json")

    assert (502, "media_unreachable", "false") == (
        answer.status_code,
        error_of(answer)["code"],
        answer.headers["x-should-retry"],
    )
    assert gone in error_of(answer)["message"]
    assert gone not in painter.proxy.output()


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"n": 3}, "n"), ({"stream": True}, "stream"), ({"size": "huge"}, "size")],
    ids=str,
)
def test_what_cannot_be_done_is_refused_by_name(
    painter: Way, fields: dict[str, Any], param: str
) -> None:
    """And nothing is asked for it."""
    answer = ask(painter, **fields)

    assert (400, param) == (answer.status_code, error_of(answer)["param"])
    with painter.proxy.openai() as client, pytest.raises(BadRequestError) as refusal:
        client.images.generate(prompt="a fox", model=PAINTER, n=2)
    assert "n" == refusal.value.param


def test_a_client_that_hangs_up_stops_the_bot(painter: Way) -> None:
    """While it draws."""
    painter.hang_up("/v1/images/generations", {"model": BOT, "prompt": "!first=60 a fox"})


# ---- pictures from others


def test_a_picture_is_made_from_others(painter: Way) -> None:
    """The openai package sends it as a form; the bot sees it, by either way."""
    pixel = base64.b64decode(PIXEL.partition(",")[2])
    painter.control(lines={PAINTER: [picture(painter)]})
    with painter.proxy.openai() as client:
        answer = client.images.edit(
            model=PAINTER, prompt="Make it snow.", image=[("a.png", pixel), ("b.png", pixel)],
            response_format="url",
        )  # fmt: skip
    told = painter.control()["lines"][PAINTER]["told"][-1]

    assert answer.data
    assert picture(painter) == answer.data[0].url
    assert "Make it snow." in json.dumps(told)
    if painter.by_cookie:
        assert painter.sim.journal(path="/api/finish_upload_POST")
    else:
        assert 2 == json.dumps(told).count('"image_url": {')


def test_a_picture_may_come_as_json(painter: Way) -> None:
    """A data URI; what is none is refused by its name."""
    painter.control(lines={PAINTER: [picture(painter)]})
    good = ask(painter, "edits", images=[{"image_url": PIXEL}], response_format="url")
    bad = ask(painter, "edits", image=[PIXEL, "cat.png"])

    assert [{"url": picture(painter)}] == good.json()["data"]
    assert (400, "image[1]") == (bad.status_code, error_of(bad)["param"])
