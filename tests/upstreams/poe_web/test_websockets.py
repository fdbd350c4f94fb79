"""Where the websocket is. No socket is opened."""

from __future__ import annotations

import pytest

from poe_proxy.errors import UpstreamProtocolError
from poe_proxy.upstreams.poe_web.pages import ChannelData
from poe_proxy.upstreams.poe_web.site import Site
from poe_proxy.upstreams.poe_web.websockets import Socket


def data(base_host: str = "poe.com") -> ChannelData:
    return ChannelData(
        name="poe-chan42-8888-abcd", hash="1234", box="chan42-8888", base_host=base_host, min_seq=5
    )


def socket(ws_url: str | None = None) -> Socket:
    return Socket(Site.load(), origin="https://poe.com", ws_url=ws_url, proxy=None)


def test_the_address_is_that_of_the_sheet() -> None:
    """§7.3: a random host, box, sequence, channel and hash."""
    first, last = socket().address(data(), 7).split(".tch.")

    assert first.startswith("wss://tch")
    assert 1 <= int(first.removeprefix("wss://tch")) <= 1_000_000
    assert "poe.com/up/chan42-8888/updates?min_seq=7&channel=poe-chan42-8888-abcd&hash=1234" == last


def test_poe_ws_url_takes_the_host_s_place() -> None:
    """For tests the host is given, and Poe's is not asked."""
    address = socket("ws://127.0.0.1:9000").address(data("whatever.test"), 5)

    assert address.startswith("ws://127.0.0.1:9000/up/chan42-8888/updates?min_seq=5&")


@pytest.mark.parametrize("host", ["poe.com", "eu.poe.com"])
def test_poe_s_own_hosts_are_trusted(host: str) -> None:
    """poe.com and what is beneath it."""
    assert f".tch.{host}/" in socket().address(data(host), 5)


@pytest.mark.parametrize(
    "host",
    ["evil.test", "poe.com.evil.test", "notpoe.com", "evil.test/poe.com", "@evil.test", "",
     "evil.test/.poe.com", "evil.test?.poe.com", "evil.test#.poe.com", "x@evil.test:80#.poe.com"],
)  # fmt: skip
def test_a_websocket_elsewhere_is_refused(host: str) -> None:
    """The page cannot lead us to a host that is not Poe's."""
    with pytest.raises(UpstreamProtocolError, match="not its own"):
        socket().address(data(host), 5)
