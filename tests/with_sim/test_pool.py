"""Keys and cookies in one pool, through the whole server; what happened is in Poe's journal."""

from __future__ import annotations

import base64
import re
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests

from .official import PIXEL, ApiSim
from .servers import Proxy, ask, until

KEYS = ("sk-poe-pool-key-one", "sk-poe-pool-key-two")
COOKIES = ("pool-cookie-one", "pool-cookie-two")
#: A bot that both faces have.
BOT = "GPT-4o"
NAMES = """
[names]
"by-key" = { bot = "GPT-4o", tokens = "keys" }
"by-cookie" = { bot = "GPT-4o", tokens = "cookies" }
"""


@pytest.fixture(scope="module")
def running() -> Iterator[ApiSim]:
    with ApiSim(COOKIES, KEYS, pace=0.005) as sim:
        yield sim


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MODELS file with names for one kind of token only."""
    file = tmp_path_factory.mktemp("names") / "models.toml"
    file.write_text(NAMES)
    return file


@pytest.fixture(scope="module")
def served(running: ApiSim, names: Path) -> Iterator[Proxy]:
    """Two replies at a time for each key, and one for each cookie."""
    with serve(
        running,
        API_CONCURRENCY="2",
        TOKEN_CONCURRENCY="1",
        POINTS_CHECK="0.3",
        QUEUE_TIMEOUT="60",
        MODELS=str(names),
    ) as proxy:
        yield proxy
    assert [] == [secret for secret in KEYS + COOKIES if secret in proxy.output()]


def serve(sim: ApiSim, **settings: str) -> Proxy:
    proxy = Proxy(sim, **settings)
    # A connection kept alive would keep the server from ending for five seconds.
    proxy.headers["Connection"] = "close"
    return proxy


@pytest.fixture
def sim(running: ApiSim) -> ApiSim:
    """The stand-in as at first."""
    running.control_api(reset=True)
    running.control(reset=True)
    forget(running)
    return running


@pytest.fixture
def proxy(sim: ApiSim, served: Proxy) -> Proxy:
    """The proxy, with both of its keys rested."""
    until(lambda: served.post(ask("!echo ready", "by-key")).ok and 2 == len(set(asked(sim))))
    forget(sim)
    return served


def forget(sim: ApiSim) -> None:
    requests.delete(f"{sim.url}/__journal", timeout=60)


def requests_for_replies(sim: ApiSim) -> list[tuple[float, str]]:
    """When who was asked for a reply: `key-1`, `cookie-2` …"""
    return sorted(
        (entry["t"], entry.get("key") or entry["account"])
        for entry in sim.journal()
        if entry.get("path") == "/v1/chat/completions"
        or entry.get("queryName") == "sendMessageMutation"
    )


def asked(sim: ApiSim) -> list[str]:
    """Who was asked for replies, in order."""
    return [who for _, who in requests_for_replies(sim)]


def moments(sim: ApiSim, name: str) -> list[float]:
    """When *name* was asked for replies."""
    return [t for t, who in requests_for_replies(sim) if who == name]


def most_at_once(sim: ApiSim, who: str) -> int:
    """The most replies that *who* gave at a time."""
    most = now = 0
    for entry in sim.journal():
        if who in (entry.get("key"), entry.get("account")):
            event = entry.get("event")
            now += (event == "reply-start") - (
                event in ("reply-end", "reply-aborted", "reply-cancelled")
            )
            most = max(most, now)
    return most


def looked_at(sim: ApiSim) -> set[str]:
    """Whose points Poe was asked for, and has told."""
    return {
        entry.get("key") or entry["account"]
        for entry in sim.journal(status=200)
        if entry.get("path") == "/usage/current_balance"
        or entry.get("queryName") == "settingsPageQuery"
    }


def ready(proxy: Proxy) -> Any:
    """What the proxy says of its accounts and of its line."""
    return requests.get(f"{proxy.url}/ready", timeout=60).json()


@contextmanager
def held_up(sim: ApiSim) -> Iterator[None]:
    """A stand-in that does nothing: each reply that was asked for keeps its place."""
    sim.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        sim.process.send_signal(signal.SIGCONT)


def text(answer: requests.Response) -> str:
    assert answer.ok, answer.text
    said: str = answer.json()["choices"][0]["message"]["content"]
    return said


# ---- keys first, cookies when no key is free


def test_keys_come_first_and_cookies_when_all_keys_are_busy(sim: ApiSim, proxy: Proxy) -> None:
    """As long as one key has room no cookie is used, and afterwards it is a key's turn again."""
    with ExitStack() as open_streams:

        def begin() -> requests.Response:
            body = ask("!delay=0.05 !long=90000", BOT, stream=True)
            stream = open_streams.enter_context(proxy.post(body, stream=True))
            assert stream.raw.read(1)
            return stream

        first, *_ = [begin() for _ in range(6)]
        assert ["cookie-1", "cookie-2"] == sorted(asked(sim)[4:])
        assert ["key-1", "key-1", "key-2", "key-2"] == sorted(asked(sim)[:4])
        first.close()
        until(lambda: sim.journal(face="api", event="reply-aborted"))
        # The one place that is free is that of a key.
        assert "x" == text(proxy.post(ask("!echo x", BOT)))
        assert asked(sim)[-1].startswith("key-")


def test_no_limit_of_concurrency_is_exceeded_under_load(sim: ApiSim, proxy: Proxy) -> None:
    """Forty clients at once: all are answered, each with its own text."""
    with ThreadPoolExecutor(40) as clients:
        with held_up(sim):
            answers = clients.map(
                lambda n: text(proxy.post(ask(f"!delay=0.03 !echo the {n} th of many", BOT))),
                range(40),
            )
            # All six places are taken.
            until(lambda: 34 == ready(proxy)["waiting"])
        said = list(answers)
    state = requests.get(f"{sim.url}/__control_api", timeout=60).json()

    assert [f"the {n} th of many" for n in range(40)] == said
    assert {"key-1": 2, "key-2": 2} == {
        who: state["most_active"][who] for who in ("key-1", "key-2")
    }
    assert [1, 1] == [most_at_once(sim, who) for who in ("cookie-1", "cookie-2")]
    assert 40 == len(asked(sim))
    assert {"key-1", "key-2", "cookie-1", "cookie-2"} == set(asked(sim))


# ---- cookies where no key can serve


def test_the_log_says_for_which_request_a_token_was_tried(sim: ApiSim, proxy: Proxy) -> None:
    """Streams at the same time, each on its way from keys without points to a cookie."""
    sim.control_api(points={"key-1": 0, "key-2": 0})
    with ThreadPoolExecutor(4) as clients:
        bodies = [ask(f"!echo {n}", BOT, stream=True) for n in range(4)]
        ids = {answer.headers["x-request-id"] for answer in clients.map(proxy.post, bodies)}

    def served() -> set[str]:
        return set(re.findall(r"(?m) POST /v1/chat/completions .* (\S+)$", proxy.output()))

    until(lambda: ids <= served())
    moved = set(re.findall(r"(\S+) key-\d: insufficient_quota; trying another", proxy.output()))

    assert moved & ids
    assert "-" not in moved | served()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_bot_that_the_api_does_not_have_is_asked_by_cookie(
    sim: ApiSim, proxy: Proxy, stream: bool
) -> None:
    """One key is asked; what is true for it is true for all of them."""
    sim.control_api(hidden_models=[BOT])
    answer = proxy.post(ask("!echo by web", BOT, stream=stream))

    assert "web" in answer.text
    assert '"error"' not in answer.text
    first, second = asked(sim)
    assert first.startswith("key-")
    assert second.startswith("cookie-")


def test_a_bot_that_nobody_has_is_a_404(sim: ApiSim, proxy: Proxy) -> None:
    """One key is asked, and one cookie."""
    answer = proxy.post(ask("hi", "No-Such-Bot"))

    assert ["key"] == [who.split("-")[0] for who in asked(sim)]
    assert 1 == len(sim.journal(queryName="HandleBotLandingPageQuery"))
    assert (404, "model_not_found") == (answer.status_code, answer.json()["error"]["code"])


def test_cookies_serve_when_no_key_has_points(sim: ApiSim, proxy: Proxy) -> None:
    """And keys again, once they have points."""
    sim.control_api(points={"key-1": 0, "key-2": 0})
    said = [text(proxy.post(ask(f"!echo {n}", BOT))) for n in range(3)]
    assert ["0", "1", "2"] == said
    assert ["key-1", "key-2"] == sorted(asked(sim)[:2])
    assert all(who.startswith("cookie-") for who in asked(sim)[2:])
    sim.control_api(points={"key-1": 10_000, "key-2": 10_000})
    until(lambda: text(proxy.post(ask("!echo x", BOT))) and asked(sim)[-1].startswith("key-"))


def test_a_bot_without_quota_stops_no_other(sim: ApiSim, proxy: Proxy) -> None:
    """Its maker's limit does not say when it ends. No key rests, and Poe's words are passed on."""
    refused = proxy.post(ask("!http=429 !retry-after=none", "by-key"))
    accounts = ready(proxy)["accounts"]
    served = proxy.post(ask("!echo x", "by-key"))

    assert (429, "rate_limit_exceeded") == (refused.status_code, refused.json()["error"]["code"])
    assert "exceeded your current quota" in refused.json()["error"]["message"]
    assert [0, 0] == [accounts["limited"], accounts["resting"]]
    assert "x" == text(served)
    assert 2 == len(asked(sim))


def test_no_points_on_either_way(sim: ApiSim, proxy: Proxy) -> None:
    """A 429 that tells the openai packages not to try again."""
    sim.control_api(points={"key-1": 0, "key-2": 0})
    sim.control(points={"cookie-1": 0, "cookie-2": 0})
    answer = proxy.post(ask("hi", BOT))
    # A look that found points again would not shorten the rest of an account that had none.
    until(lambda: looked_at(sim) == {"key-1", "key-2", "cookie-1", "cookie-2"})
    sim.control(points={"cookie-1": 100_000, "cookie-2": 100_000})

    assert (429, "insufficient_quota") == (answer.status_code, answer.json()["error"]["code"])
    assert "false" == answer.headers["x-should-retry"]
    assert {"key-1", "key-2", "cookie-1", "cookie-2"} == set(asked(sim))
    forget(sim)
    until(lambda: proxy.post(ask("!echo x", "by-cookie")).ok and 2 == len(set(asked(sim))))


@pytest.mark.parametrize(("name", "kind"), [("by-key", "key-"), ("by-cookie", "cookie-")])
def test_a_name_can_say_who_serves_it(sim: ApiSim, proxy: Proxy, name: str, kind: str) -> None:
    """`tokens` in the MODELS file."""
    assert "x" == text(proxy.post(ask("!echo x", name)))
    assert [kind] == [who.rstrip("12") for who in asked(sim)]


def test_cookies_serve_what_is_refused_to_every_key(sim: ApiSim) -> None:
    """However many keys there are, three of them are asked, and then a cookie."""
    more = [f"sk-poe-more-{n}" for n in range(5)]
    words = "!http=503 !only=key-1,key-2,key-3,key-4,key-5 !echo x"
    with ApiSim(COOKIES, more) as crowded, serve(crowded) as proxy:
        answer = proxy.post(ask(words, BOT))
        who = asked(crowded)

    assert "x" == text(answer)
    assert ["key", "key", "key", "cookie"] == [one.split("-")[0] for one in who]


# ---- requests in a time


def test_no_limit_in_time_is_exceeded(sim: ApiSim, names: Path) -> None:
    """API_RATE_LIMIT, RATE_LIMIT and COOL_DOWN hold, and when all are used up it is a 429."""
    limits = {"API_RATE_LIMIT": "3", "RATE_LIMIT": "3", "COOL_DOWN": "2", "QUEUE_TIMEOUT": "20"}
    with (
        serve(sim, MODELS=str(names), **limits) as proxy,
        ThreadPoolExecutor(12) as clients,
    ):
        for _ in COOKIES:
            assert proxy.post(ask("!echo x", "by-cookie")).ok
        answers = list(clients.map(lambda n: proxy.post(ask(f"!echo {n}", BOT)), range(12)))
        late = proxy.post(ask("!echo late", BOT))
        used = [moments(sim, who) for who in ("key-1", "key-2", "cookie-1", "cookie-2")]

    assert [200] * 10 + [429] * 2 == sorted(answer.status_code for answer in answers)
    assert [3, 3, 3, 3] == [len(times) for times in used]
    # Poe notes when a request has come, which takes its time on a busy machine.
    assert all(1 <= b - a for times in used[2:] for a, b in pairwise(times))
    assert (429, "rate_limit_exceeded") == (late.status_code, late.json()["error"]["code"])
    assert 1 <= int(late.headers["retry-after"]) <= 60


# ---- attachments for cookies


def pictured(url: str, model: str) -> dict[str, Any]:
    parts = [{"type": "text", "text": "What is this?"},
             {"type": "image_url", "image_url": {"url": url}}]  # fmt: skip
    return {"model": model, "messages": [{"role": "user", "content": parts}]}


def test_a_picture_goes_up_once_for_each_cookie(sim: ApiSim, proxy: Proxy) -> None:
    """A data URI is uploaded to the account that is asked, and remembered there."""
    said = [text(proxy.post(pictured(PIXEL, "by-cookie"))) for _ in range(4)]
    uploads = sim.journal(path="/api/finish_upload_POST", status=200)

    assert all("You attached: image-" in one for one in said)
    assert ["cookie-1", "cookie-2"] == sorted(entry["account"] for entry in uploads)
    assert {len(base64.b64decode(PIXEL.split(",")[1]))} == {entry["size"] for entry in uploads}


def test_nobody_reaches_into_our_network(sim: ApiSim, proxy: Proxy) -> None:
    """A URL that leads to a private address is the client's fault, and nothing is connected to.

    How such an address may be written is in tests/net/test_fetching.py.
    """
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0)
        url = f"https://localhost:{trap.getsockname()[1]}/latest/meta-data"
        answer = proxy.post(pictured(url, "by-cookie"))
        with pytest.raises(BlockingIOError):
            trap.accept()
    error = answer.json()["error"]

    assert (400, "messages[0].content[1]") == (answer.status_code, error["param"])
    assert "invalid_request_error" == error["type"]
    assert [] == asked(sim)


def test_a_correction_is_paced_like_any_other_message(sim: ApiSim) -> None:
    """A bot that has to be asked once more is asked after COOL_DOWN, as Poe sees it."""
    with serve(sim, COOL_DOWN="2", QUEUE_TIMEOUT="20", POE_API_KEYS="") as proxy:
        answer = proxy.post(ask("!echo no JSON", BOT, response_format={"type": "json_object"}))
        used = moments(sim, "cookie-1") + moments(sim, "cookie-2")

    assert 502 == answer.status_code
    assert "invalid_json_answer" == answer.json()["error"]["code"]
    assert 2 == len(used)
    assert 1 <= used[1] - used[0]
