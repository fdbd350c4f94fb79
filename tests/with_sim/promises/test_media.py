"""Pictures in the answers of chats, for clients that show no links (`MEDIA`), over both ways."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
import requests

from ..servers import Proxy, Sim
from . import asking_responses, messaging
from .asking import BOT, ONLY, Way

LINK = "/base/image/" + "0f" * 32


@pytest.fixture(scope="module", params=ONLY)
def embedding(request: pytest.FixtureRequest, poe: Sim) -> Iterator[Way]:
    """A way to bots whose pictures lie on the stand-in, and are embedded."""
    requests.post(f"{poe.url}/__control_api", json={"media_local": True}, timeout=60)
    with Proxy(poe, API_RATE_LIMIT="0", MEDIA="embed", **ONLY[request.param]) as proxy:
        yield Way(request.param, poe, proxy)
    requests.post(f"{poe.url}/__control_api", json={"media_local": False}, timeout=60)


def test_a_picture_stands_in_the_answer(embedding: Way, stream: bool) -> None:
    """In place of its link in a Markdown image; the link behind it stays, and the usage is that of
    the bot's words."""
    link = f"{embedding.sim.url}{LINK}?w=64&h=64"
    answer = embedding.ask(
        "Draw.",
        stream,
        says=[f"Here it is:\n\n![a fox.png]({link})\n\n{link}"],
        stream_options={"include_usage": True} if stream else None,
    )
    data = base64.b64encode(requests.get(link, timeout=60).content).decode()

    shown = f"![a fox.png](data:image/png;base64,{data})"
    assert f"Here it is:\n\n{shown}\n\n{link}" == answer.text
    assert (200, "stop") == (answer.status, answer.finish)
    assert answer.usage
    assert answer.usage["completion_tokens"] < 200


def test_a_picture_stands_in_the_answers_of_the_other_apis(embedding: Way, stream: bool) -> None:
    """By Responses and by Messages, too."""
    said = f"![a fox.png]({embedding.sim.url}{LINK})"
    begin = "![a fox.png](data:image/png;base64,"

    response = asking_responses.ask(embedding, "Draw.", stream, says=[said])
    message = messaging.ask(embedding, "Draw.", stream, says=[said])

    assert (begin, begin) == (response.text[: len(begin)], message.text[: len(begin)])


def test_what_is_no_picture_of_poe_s_stays_a_link(embedding: Way, stream: bool) -> None:
    """Whatever a bot says, nothing is fetched from elsewhere; nor is anything lost that is gone."""
    said = (
        "![a](http://127.0.0.1:1/base/image/x) ![b](https://example.com/image/b.png) "
        f"![c]({embedding.sim.url}/base/image/gone) {embedding.sim.url}/base/audio/x"
    )
    answer = embedding.ask("Draw.", stream, says=[said])

    assert (200, said) == (answer.status, answer.text)


def test_links_stay_links_by_default(way: Way, stream: bool) -> None:
    """As the bot wrote them."""
    said = "https://pfst.cf2.poecdn.net/base/image/ab"
    answer = way.ask("Draw.", stream, says=[said], bot=BOT)

    assert (200, said) == (answer.status, answer.text)
