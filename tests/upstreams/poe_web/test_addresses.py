"""From where scripts are fetched."""

from __future__ import annotations

from typing import Final

import pytest

from poe_proxy.upstreams.poe_web.addresses import is_allowed

PAGE: Final = "https://poe.com/"
HERE: Final = "http://127.0.0.1:5000/"


@pytest.mark.parametrize(
    ("address", "page"),
    [
        ("https://poe.com/x.js", PAGE),
        ("https://psc2.cf2.poecdn.net/x.js", PAGE),
        ("https://psc2.cf2.poecdn.net:443/x.js", PAGE),
        ("https://PSC2.poecdn.net./x.js", PAGE),
        ("https://xn--e1afmkfd.xn--p1ai/x.js", PAGE),
        ("https://poe.test:8443/x.js", "https://poe.test:8443/"),
        ("https://poecdn.net/x.js", "https://poe.test:8443/"),
        ("http://poecdn.net:5000/x.js", HERE),
        ("https://poecdn.net/x.js", HERE),
        ("http://127.0.0.1:5000/x.js", HERE),
        ("http://localhost:5000/x.js", HERE),
        ("http://[::1]:5000/x.js", HERE),
        ("http://127.0.0.1:5000/x.js", "http://localhost:5000/"),
        ("http://10.0.0.7:5000/x.js", "http://10.0.0.7:5000/"),
    ],
)
def test_a_script_may_be_fetched_from_public_hosts_and_from_the_page_s(
    address: str, page: str
) -> None:
    """Poe's scripts come from another host than its page."""
    assert is_allowed(address, page)


@pytest.mark.parametrize(
    ("address", "page"),
    [
        ("http://poe.com/x.js", PAGE),
        ("http://poe.com:443/x.js", PAGE),
        ("ftp://poe.com/x.js", PAGE),
        ("file:///etc/passwd", PAGE),
        ("javascript:alert(1)", PAGE),
        ("data:text/javascript,1", PAGE),
        ("//poe.com/x.js", PAGE),
        ("x.js", PAGE),
        ("", PAGE),
        ("https:///x.js", PAGE),
        ("https://poe.com:8080/x.js", PAGE),
        ("https://poe.com:22/x.js", PAGE),
        ("https://poe.com:x/x.js", PAGE),
        ("https://user@poe.com/x.js", PAGE),
        ("https://user:pass@poe.com/x.js", PAGE),
        ("https://@poe.com/x.js", PAGE),
        ("https://poe.com\\@evil.test/x.js", PAGE),
        ("https://poe.com\\.evil.test/x.js", PAGE),
        ("https://poe.com\t/x.js", PAGE),
        ("https://poe.com/x y.js", PAGE),
        ("https://pöe.com/x.js", PAGE),
        ("https://127.0.0.1/x.js", PAGE),
        ("https://localhost/x.js", PAGE),
        ("https://localhost./x.js", PAGE),
        ("https://a.localhost/x.js", PAGE),
        ("https://printer.local/x.js", PAGE),
        ("https://metadata.google.internal/x.js", PAGE),
        ("https://router.home.arpa/x.js", PAGE),
        ("https://wiki.corp/x.js", PAGE),
        ("https://localhost.localdomain/x.js", PAGE),
        ("https://intranet/x.js", PAGE),
        ("https://169.254.169.254/x.js", PAGE),
        ("https://8.8.8.8/x.js", PAGE),
        ("https://127.1/x.js", PAGE),
        ("https://2130706433/x.js", PAGE),
        ("https://0x7f.0.0.0x1/x.js", PAGE),
        ("https://[::1]/x.js", PAGE),
        ("https://[::ffff:127.0.0.1]/x.js", PAGE),
        ("https://[/x.js", PAGE),
        ("http://127.0.0.1:5001/x.js", HERE),
        ("http://127.0.0.2:5000/x.js", HERE),
        ("http://10.0.0.7:5000/x.js", HERE),
        ("http://127.0.0.1:5000/x.js", "http://10.0.0.7:5000/"),
        ("https://poe.com/" + "x" * 2000, PAGE),
    ],
)
def test_a_script_is_fetched_from_nowhere_else(address: str, page: str) -> None:
    """Nothing within the net of whoever asks, nothing by another way, nothing that is told."""
    assert not is_allowed(address, page)
