"""JSON schemas that would hold up the worker, on the real server."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import requests

from ..checker.jobs import DOUBLED, UNREADABLE, family, is_running
from .servers import Proxy, Sim, ask, until

BOT = "GPT-4o"


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    """A stand-in whose bot says 7, whatever it is asked."""
    with Sim(tokens=("cookie-a", "cookie-b")) as sim:
        sim.control(lines={BOT: ["7"] * 100})
        yield sim


@pytest.fixture(scope="module")
def proxy(sim: Sim) -> Iterator[Proxy]:
    """It has a process for the checks already: to start one takes more computing than a check."""
    with Proxy(sim, MAX_WORK="0.1") as proxy:
        until(lambda: "x-unchecked" not in proxy.post(wanting({"type": "integer"})).headers)
        yield proxy


def wanting(schema: Any) -> dict[str, Any]:
    """A request for a number in JSON."""
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    return ask("Go.", BOT, response_format=form)


def with_tools(*schemas: Any) -> dict[str, Any]:
    tools = [
        {"type": "function", "function": {"name": f"tool_{place}", "parameters": schema}}
        for place, schema in enumerate(schemas)
    ]
    return ask("Go.", BOT, tools=tools)


def test_a_schema_that_costs_too_much_is_refused(proxy: Proxy) -> None:
    """By the name of its field."""
    answer = proxy.post(with_tools({}, UNREADABLE))
    error = answer.json()["error"]

    assert (400, "request_too_costly", "tools[1].function.parameters", "false") == (
        answer.status_code,
        error["code"],
        error["param"],
        answer.headers["x-should-retry"],
    )


def test_schemas_that_cost_too_much_hold_up_nobody(proxy: Proxy) -> None:
    """All the while others are served. In such a crowd some get no time: they pass, and the answer
    says so."""
    answers: list[requests.Response] = []
    hostile = [{**UNREADABLE, "title": f"{place}"} for place in range(6)]
    threads = [
        threading.Thread(target=lambda one=one: answers.append(proxy.post(with_tools({}, one))))
        for one in hostile
    ]
    for thread in threads:
        thread.start()
    served = 0
    while any(thread.is_alive() for thread in threads):
        assert requests.get(f"{proxy.url}/health", timeout=60).ok
        served += 1

    assert len(hostile) == len(answers)
    assert served > 0
    for answer in answers:
        refused = answer.status_code == 400 and answer.json()["error"]["param"]
        assert "tools[1].function.parameters" in (refused or answer.headers["x-unchecked"])


def test_a_value_that_costs_too_much_is_passed_on(proxy: Proxy) -> None:
    """Unchecked, and the answer says so; one that can be checked says nothing of the kind."""
    costly = proxy.post(wanting(DOUBLED))
    plain = proxy.post(wanting({"type": "integer"}))

    assert [(200, "7"), (200, "7")] == [
        (one.status_code, one.json()["choices"][0]["message"]["content"]) for one in (costly, plain)
    ]
    assert "response_format.json_schema.schema" == costly.headers["x-unchecked"]
    assert "x-unchecked" not in plain.headers


def test_no_reference_is_fetched(proxy: Proxy) -> None:
    """A schema may not make the server look at its own network."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.setblocking(False)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/schema.json"
        answers = [proxy.post(wanting({name: url})) for name in ("$ref", "$schema", "$id")]

        with pytest.raises(BlockingIOError):
            listener.accept()

    assert [400, 200, 200] == [one.status_code for one in answers]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_the_processes_that_check_end_with_the_worker(sim: Sim, how: signal.Signals) -> None:
    """However it ends."""
    with Proxy(sim) as proxy:
        _, worker = family(proxy.process.pid)
        assert proxy.post(wanting({"type": "integer"})).ok
        _, _, *checking = family(proxy.process.pid)

        os.kill(worker, how)

        assert 2 == len(checking)
        until(lambda: not any(is_running(pid) for pid in checking))
