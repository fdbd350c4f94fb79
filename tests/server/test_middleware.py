"""Who is calling, behind proxies of ours and of others."""

from __future__ import annotations

from typing import Any

import pytest

from poe_proxy.server.middleware import real_callers

OURS = ("127.0.0.1", "::1", "10.0.0.0/8")


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "caller"),
    [
        ("127.0.0.1", "1.2.3.4", OURS, "1.2.3.4"),
        ("127.0.0.1", "6.6.6.6, 1.2.3.4", OURS, "1.2.3.4"),
        ("127.0.0.1", "6.6.6.6, 1.2.3.4, 10.1.1.1", OURS, "1.2.3.4"),
        ("::1", "2001:db8::7", OURS, "2001:db8::7"),
        ("9.9.9.9", "1.2.3.4", OURS, "9.9.9.9"),
        ("9.9.9.9", "1.2.3.4", ("*",), "1.2.3.4"),
        ("127.0.0.1", None, OURS, "127.0.0.1"),
        ("127.0.0.1", "unknown", OURS, "127.0.0.1"),
        # As a socket writes it that takes IPv6, too.
        ("::ffff:127.0.0.1", "1.2.3.4", OURS, "1.2.3.4"),
        ("::ffff:9.9.9.9", "1.2.3.4", OURS, "9.9.9.9"),
        ("127.0.0.1", "::ffff:1.2.3.4", OURS, "1.2.3.4"),
        ("", "1.2.3.4", OURS, "1.2.3.4"),
        # Of thousands, the last few.
        (
            "9.9.9.9",
            "6.6.6.6, " * 5000 + "1.2.3.4, " + "10.1.1.1, " * 30 + "10.1.1.1",
            OURS,
            "9.9.9.9",
        ),
        ("127.0.0.1", "6.6.6.6, 1.2.3.4, " + "10.1.1.1, " * 30 + "10.1.1.1", OURS, "1.2.3.4"),
        ("127.0.0.1", "6.6.6.6, 1.2.3.4, " + "10.1.1.1, " * 31 + "10.1.1.1", OURS, "10.1.1.1"),
        ("127.0.0.1", "6.6.6.6, " * 5000 + "1.2.3.4", ("*",), "6.6.6.6"),
    ],
)
def test_an_address_is_believed_when_a_proxy_of_ours_says_it(
    peer: str, forwarded: str | None, proxies: tuple[str, ...], caller: str
) -> None:
    """X-Forwarded-For counts from its end, as far as proxies of ours wrote it."""
    environ: dict[str, Any] = {"REMOTE_ADDR": peer}
    if forwarded is not None:
        environ["HTTP_X_FORWARDED_FOR"] = forwarded
    seen = real_callers(lambda environ, start: environ["REMOTE_ADDR"], proxies)

    assert caller == seen(environ, None)
