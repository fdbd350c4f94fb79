"""Ten accounts of which nine are of no use: what clients see of that, and what Poe does."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import requests

from poe_proxy.upstreams.poe_web import site

from .official import ApiSim
from .servers import Proxy, ask, until

#: A bot that both faces have.
BOT = "GPT-4o"
SEND = "sendMessageMutation"
COOKIES = tuple(f"second-cookie-{number}" for number in range(1, 11))
KEYS = tuple(f"sk-poe-second-{number}" for number in range(1, 11))
#: The settings that leave a proxy one way to Poe.
ONLY = {"cookie": {"POE_API_KEYS": ""}, "key": {"TOKENS": ""}}


@pytest.fixture(scope="module")
def running() -> Iterator[ApiSim]:
    with ApiSim(COOKIES, KEYS, pace=0.001) as sim:
        yield sim


@pytest.fixture
def sim(running: ApiSim) -> ApiSim:
    """The stand-in as at first."""
    running.control_api(reset=True)
    running.control(reset=True)
    requests.delete(f"{running.url}/__journal", timeout=60)
    return running


def bad(kind: str) -> list[str]:
    """The accounts that are of no use: all but the last one."""
    return [f"{kind}-{number}" for number in range(1, 10)]


def sends(sim: ApiSim) -> Counter[str]:
    """How many requests for answers each account has sent."""
    return Counter(
        entry.get("key") or entry["account"]
        for entry in sim.journal()
        if entry.get("path") == "/v1/chat/completions" or entry.get("queryName") == SEND
    )


def serve(sim: ApiSim, kind: str, **settings: str) -> Proxy:
    """A proxy with the accounts of one kind."""
    proxy = Proxy(sim, **{**ONLY[kind], **settings})
    # A connection kept alive would keep the server from ending for five seconds.
    proxy.headers["Connection"] = "close"
    return proxy


def said(answer: requests.Response) -> str:
    assert answer.ok, answer.text
    text: str = answer.json()["choices"][0]["message"]["content"]
    return text


# ---- accounts that Poe does not serve


def dead_cookies(sim: ApiSim) -> None:
    sim.control(log_out=bad("cookie"))


def dead_keys(sim: ApiSim) -> None:
    sim.control_api(keys_rejected=bad("key"))


def limited_cookies(sim: ApiSim) -> None:
    fail(sim, query_name=SEND, **{"with": {"http": 429, "retry-after": 120}})


def limited_keys(sim: ApiSim) -> None:
    spoil_keys(sim, "!http=429 !retry-after=120")


def challenged_cookies(sim: ApiSim) -> None:
    fail(sim, path="/", **{"with": {"challenge": ""}})


def cookies_challenged_at_the_sending(sim: ApiSim) -> None:
    fail(sim, query_name=SEND, **{"with": {"challenge": ""}})


def broke_cookies(sim: ApiSim) -> None:
    sim.control(points=dict.fromkeys(bad("cookie"), 0))


def broke_keys(sim: ApiSim) -> None:
    sim.control_api(points=dict.fromkeys(bad("key"), 0))


def cookies_whose_page_never_ends(sim: ApiSim) -> None:
    fail(sim, path="/", **{"with": {"script-loops": ""}})


def cookies_whose_page_fails(sim: ApiSim) -> None:
    fail(sim, path="/", **{"with": {"http": 502}})


def fail(sim: ApiSim, **fault: Any) -> None:
    sim.control(fail=[{"account": label, "times": 1000, **fault} for label in bad("cookie")])


def spoil_keys(sim: ApiSim, words: str) -> None:
    sim.control_api(faults=dict.fromkeys(bad("key"), words))


@pytest.fixture(scope="module")
def hasty_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A description of the site by which nothing is waited for long: so nine accounts of no use
    are given up within the time of one request."""
    file = tmp_path_factory.mktemp("site") / "site.toml"
    text = Path(site.__file__).with_name("site.toml").read_text("utf-8")
    for limit, seconds in (("script", 0.3), ("retry", 0.05), ("shows", 0.2)):
        text, changed = re.subn(rf"^{limit} = [\d.]+", f"{limit} = {seconds}", text, flags=re.M)
        assert 1 == changed
    file.write_text(text, "utf-8")
    return file


@pytest.mark.parametrize(
    ("kind", "make_bad"),
    [
        ("cookie", dead_cookies),
        ("cookie", limited_cookies),
        ("cookie", challenged_cookies),
        ("cookie", cookies_challenged_at_the_sending),
        ("cookie", broke_cookies),
        ("cookie", cookies_whose_page_never_ends),
        ("cookie", cookies_whose_page_fails),
        ("key", dead_keys),
        ("key", limited_keys),
        ("key", broke_keys),
    ],
)
def test_one_fit_account_among_nine_serves_every_request(
    sim: ApiSim, hasty_site: Path, kind: str, make_bad: Callable[[ApiSim], None]
) -> None:
    """No client sees an error, and nothing is sent twice by an account of no use."""
    make_bad(sim)
    # On a busy machine a page of no use takes its time.
    with serve(sim, kind, POE_SITE=str(hasty_site), QUEUE_TIMEOUT="120") as proxy:
        answers = [said(proxy.post(ask(f"!echo {n}", BOT))) for n in range(12)]
    used = sends(sim)

    assert [str(n) for n in range(12)] == answers
    assert 12 == used.pop(f"{kind}-10")
    assert set(used) <= set(bad(kind))
    assert set(used.values()) <= {1}


# ---- accounts whose sends fail


@pytest.mark.parametrize(
    ("kind", "words", "code"),
    [
        ("key", "!http=503", "upstream_overloaded"),
        ("key", "!http=500", "bot_failed"),
        ("key", "!html-502", "upstream_overloaded"),
        ("cookie", "!status=bot_unavailable", "upstream_overloaded"),
        # What may have arrived is not sent again: each of the nine fails a request of its own.
        ("cookie", "!http=502", "upstream_uncertain"),
        ("key", "!reset", "upstream_uncertain"),
    ],
)
def test_among_nine_that_fail_only_the_very_first_requests_do(
    sim: ApiSim, hasty_site: Path, kind: str, words: str, code: str
) -> None:
    """What failed a moment ago is passed over."""
    which = ",".join(bad(kind))
    with serve(sim, kind, POE_SITE=str(hasty_site)) as proxy:
        answers = [proxy.post(ask(f"{words} !only={which} !echo {n}", BOT)) for n in range(25)]
    codes = [None if one.ok else one.json()["error"]["code"] for one in answers]
    failed = codes.index(None)

    # Four sends of one request may fail, two of which Poe calls safe to ask again.
    assert failed <= {"upstream_overloaded": 2, "bot_failed": 4, "upstream_uncertain": 9}[code]
    assert [code] * failed == codes[:failed]
    if code != "upstream_uncertain":
        # By now some may be tried again, and the request that does it gets its answer.
        assert {None} == set(codes[failed:])


def test_a_request_is_not_sent_again_and_again_to_limited_keys(sim: ApiSim) -> None:
    """Keys that are limited for a time are asked once each, and the client learns when to come
    again; so it was not when one request, which could wait for them, was sent 120 times."""
    # The first of them must rest for as long as the others take to be asked, on a busy machine too.
    sim.control_api(faults={"*": "!http=429 !retry-after=20"})
    with serve(sim, "key", QUEUE_TIMEOUT="60") as proxy:
        answer = proxy.post(ask("!echo x", BOT))
        sim.control_api(faults={})

    assert (429, "rate_limit_exceeded") == (answer.status_code, answer.json()["error"]["code"])
    assert 1 <= int(answer.headers["Retry-After"]) <= 20
    assert dict.fromkeys((f"key-{n}" for n in range(1, 11)), 1) == sends(sim)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_an_early_500_is_asked_once_more(sim: ApiSim, stream: bool) -> None:
    """Poe calls that safe; the client sees nothing of it."""
    with serve(sim, "key", POE_API_KEYS=KEYS[0]) as proxy:
        good = proxy.post(ask("!http=500 !times=1 !echo again", BOT, stream=stream))
        once = sends(sim)
        broken = proxy.post(ask("!http=500 !echo never", BOT, stream=stream))

    assert 200 == good.status_code
    assert "again" in good.text
    assert {"key-1": 2} == once
    assert (502, "bot_failed") == (broken.status_code, broken.json()["error"]["code"])
    assert {"key-1": 4} == sends(sim)


# ---- what comes too late for its client


@pytest.mark.parametrize(
    ("words", "standing", "code"),
    [
        ({"http": 429, "retry-after": 120}, "limited", "rate_limit_exceeded"),
        ({"challenge": ""}, "suspended", "upstream_blocked"),
    ],
)
def test_what_poe_answers_behind_a_client_that_hung_up_counts(
    sim: ApiSim, words: dict[str, Any], standing: str, code: str
) -> None:
    """The next request is not sent into the same refusal."""
    fault = {"query_name": SEND, "account": "cookie-1", "with": {"slow": 3, **words}}
    with serve(sim, "cookie", TOKENS=COOKIES[0], QUEUE_TIMEOUT="10") as proxy:
        assert "warm" == said(proxy.post(ask("!echo warm", BOT)))
        sim.control(fail=fault)
        with hung_up_on(proxy, ask("!echo never", BOT)):
            until(lambda: 2 == sends(sim)["cookie-1"])
        until(lambda: {standing: 1} == standings(proxy))
        answer = proxy.post(ask("!echo next", BOT))

    assert code == answer.json()["error"]["code"]
    assert {"cookie-1": 2} == sends(sim)


@contextmanager
def hung_up_on(proxy: Proxy, body: dict[str, Any]) -> Iterator[None]:
    """A client that asks, and hangs up at the end of the block."""
    client = HTTPConnection("127.0.0.1", proxy.port)
    headers = {**proxy.headers, "Content-Type": "application/json"}
    client.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    try:
        yield
    finally:
        client.close()


def standings(proxy: Proxy) -> dict[str, int]:
    """How many accounts are how, without the zeros."""
    accounts = requests.get(f"{proxy.url}/ready", timeout=60).json()["accounts"]
    return {name: count for name, count in accounts.items() if count}
