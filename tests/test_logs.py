"""Each line of the log says the request that it belongs to."""

from __future__ import annotations

import io
import logging
import re
import threading
from collections.abc import Iterator
from contextvars import Context

import pytest

from poe_proxy import logs

from .fakes import log_lines

log = logging.getLogger("poe_proxy.somewhere")


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    with log_lines() as lines:
        yield lines


def test_a_line_has_its_time_its_level_and_its_request(written: io.StringIO) -> None:
    before = logs.request_id.set("req_1")
    log.info("key-1 is lent")
    logs.request_id.reset(before)

    assert re.fullmatch(r"[\d-]{10} [\d:,]{12} INFO    req_1 key-1 is lent\n", written.getvalue())


def test_a_line_outside_of_a_request_has_a_dash(written: io.StringIO) -> None:
    Context().run(log.warning, "key-1 rests")

    assert written.getvalue().endswith(" WARNING - key-1 rests\n")


def test_requests_at_the_same_time_are_told_apart(written: io.StringIO) -> None:
    both = threading.Barrier(2)

    def serve(name: str) -> None:
        logs.request_id.set(name)
        both.wait(10)
        log.info("of %s", name)

    threads = [threading.Thread(target=serve, args=(name,)) for name in ("req_a", "req_b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {"req_a of req_a", "req_b of req_b"} == {
        line.split("INFO    ")[1] for line in written.getvalue().splitlines()
    }
