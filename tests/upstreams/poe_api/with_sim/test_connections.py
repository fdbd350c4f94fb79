"""Connections to the stand-in, and the list that comes over them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
import requests

from poe_proxy.chat import ChatRequest
from poe_proxy.errors import BotFailedEarly
from poe_proxy.upstreams.catalogue import Catalogue
from poe_proxy.upstreams.poe_api import PoeApi
from tests.fakes import at_once
from tests.with_sim.official import ApiSim
from tests.with_sim.servers import until

from .asking import BOT, Key, Reply, ask, user

# ---- the list


def test_the_list(sim: ApiSim, catalogue: Catalogue) -> None:
    """The list has everything that Poe says of a bot, in OpenAI's form."""
    given = requests.get(f"{sim.url}/v1/models", timeout=60).json()["data"]
    entries = [model.entry for model in catalogue.models.values()]

    assert [one["id"] for one in given] == [entry["id"].lower() for entry in entries]
    for one, entry in zip(given, entries, strict=True):
        about = one["metadata"]
        assert entry["id"] in (about["display_name"], about["url"].rpartition("/")[2], one["id"])
        assert one["created"] // 1000 == entry["created"]
        untouched = one.keys() - {"id", "created"}
        assert {key: one[key] for key in untouched} == {key: entry[key] for key in untouched}


# ---- connections


def test_many_at_once_and_nothing_stays_behind(sim: ApiSim, api: PoeApi) -> None:
    """Sixty replies side by side, each its own, some given up; then the key is at rest."""
    replies: dict[int, Reply] = {}

    def run(number: int) -> None:
        if number % 3 == 2:
            chat = ChatRequest(model=BOT, messages=(user(f"!hang {number}"),))
            events = api.reply(chat, BOT, at_once)
            next(events)
            events.close()
        else:
            replies[number] = ask(api, f"!echo !delay=0.01 number {number} of many")

    threads = [threading.Thread(target=run, args=(number,)) for number in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert {n: f"number {n} of many" for n in range(60) if n % 3 != 2} == {
        number: one.text for number, one in replies.items()
    }
    until(lambda: 0 == sim.active())


def test_a_restarted_poe_is_found_again(sim: ApiSim, key: Key) -> None:
    """Connections that died meanwhile are not used."""
    with ApiSim((), ("k1",)) as first:
        api = key("k1", api_url=first.url)
        assert "stop" == ask(api, "hello").end
        port = first.port
    with ApiSim((), ("k1",), port=port):
        assert "stop" == ask(api, "hello").end


def test_one_connection_serves_one_reply_after_the_other(
    sim: ApiSim, api: PoeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streamed, whole and refused answers are all read to their end."""
    opened: list[Any] = []
    create: Callable[..., Any] = socket.create_connection

    def counted(address: tuple[str, int], *args: Any, **options: Any) -> Any:
        if address[1] == sim.port:
            opened.append(address)
        return create(address, *args, **options)

    monkeypatch.setattr(socket, "create_connection", counted)
    for _ in range(5):
        assert "stop" == ask(api, "!echo hello").end
        assert "stop" == ask(api, "a cat", "Veo-3.1").end
        assert BotFailedEarly is type(ask(api, "!http=500 x").failure)
        assert api.balance().points

    assert 1 == len(opened)
