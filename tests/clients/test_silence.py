"""A bot that is silent for long: the keep-alive ends no client's stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
import requests

from poe_proxy.server.delivery import KEEP_ALIVE

from ..with_sim.servers import Proxy, Sim, ask
from .conftest import CALLER, ECHO, TALKER, WAYS, run_client
from .test_clients import CLIENTS

#: Longer than a keep-alive takes by as much as the upstreams let pass between two `Idle`.
LONG = KEEP_ALIVE + 2
#: Before the first word, and in the middle.
WORDS = f"!title=middle !first={LONG} !silence={LONG}"
SCENE = "streamed"
#: By way to Poe and client, its report.
Silence = dict[str, dict[str, Future[Any]]]


def split(proxy: Proxy) -> list[str]:
    """The stream as the simplest of all readers takes it: split at empty lines."""
    body = ask(f"!echo {WORDS} {ECHO}", TALKER, stream=True)
    *blocks, end = proxy.post(body, timeout=240).content.decode().split("\n\n")
    assert "" == end
    return blocks


def events(proxy: Proxy) -> list[str]:
    """The types of the events of the Responses API, and the text at the end."""
    body = {"model": TALKER, "input": f"!echo {WORDS} {ECHO}", "stream": True}
    answer = requests.post(
        f"{proxy.url}/v1/responses", json=body, headers=proxy.headers, timeout=240
    )
    *blocks, last, end = answer.content.decode().split("\n\n")
    assert "" == end
    assert all(block.startswith("event: ") for block in blocks)
    (message,) = json.loads(last.partition("\ndata: ")[2])["response"]["output"]
    kinds = [block.partition("\n")[0].removeprefix("event: ") for block in blocks]
    return [*kinds, message["content"][0]["text"]]


@pytest.fixture(scope="session")
def silence(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Silence]:
    """What each client made of two long silences, by its way to Poe; all wait side by side."""
    with ExitStack() as running:
        # At Poe, an account has few replies at a time.
        cookies = [f"cookie-{client}" for client in (*CLIENTS, "splitter", "events")]
        poe = running.enter_context(Sim(cookies, ("key-a",), pace=0.001))
        settings = {"TOKEN_CONCURRENCY": "1", "TIMEOUT": "120"}
        proxies = {
            way: running.enter_context(Proxy(poe, **{**settings, **only}))
            for way, (only, _) in WAYS.items()
        }
        for _, control in WAYS.values():
            # For shell-gpt, whose long instructions would be echoed, too.
            answer = requests.post(poe.url + control, json={"lines": {CALLER: [ECHO]}}, timeout=60)
            assert answer.ok, answer.text
        pool = running.enter_context(ThreadPoolExecutor(4 + 2 * len(CLIENTS)))
        told: Silence = {}
        for way, proxy in proxies.items():
            folder = tmp_path_factory.mktemp(f"silent-{way}")
            told[way] = {
                client: pool.submit(
                    run_client, client, proxy, folder / client, words=WORDS, CLIENT_SCENES=SCENE
                )
                for client in CLIENTS
            }
            told[way]["splitter"] = pool.submit(split, proxy)
            told[way]["events"] = pool.submit(events, proxy)
        yield told


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("way", WAYS)
def test_a_client_reads_on_after_silence(silence: Silence, way: str, client: str) -> None:
    """A bot that is silent before its first word and among them is read to its end."""
    report = silence[way][client].result()

    assert ECHO == "".join(report[SCENE]), report


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_that_is_split_at_empty_lines_is_json(silence: Silence, way: str) -> None:
    """Each block is a chunk, the keep-alive one without text; the last is [DONE]."""
    *blocks, done = silence[way]["splitter"].result()

    assert "data: [DONE]" == done
    assert all(block.startswith("data: ") for block in blocks)
    chunks = [json.loads(block.removeprefix("data: ")) for block in blocks]
    first, *deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert {"role": "assistant", "content": ""} == first
    assert {"content": ""} in deltas
    assert ECHO == "".join(delta.get("content", "") for delta in deltas)


@pytest.mark.parametrize("way", WAYS)
def test_silence_in_a_response_is_filled_with_events(silence: Silence, way: str) -> None:
    """Codex gives up without any: the response is in progress, before its first item and in the
    middle of it."""
    *kinds, text = silence[way]["events"].result()
    first = kinds.index("response.output_item.added")
    alive = [place for place, kind in enumerate(kinds) if kind == "response.in_progress"]

    assert ECHO == text
    assert 1 < alive[-1] - first
    assert "response.output_text.delta" in kinds[first : alive[-1]]
    assert "response.output_text.delta" in kinds[alive[-1] :]
