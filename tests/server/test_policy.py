"""What a page allows itself."""

from __future__ import annotations

import base64
import hashlib

from poe_proxy.server.policy import policy


def test_a_page_may_run_what_it_brings_and_nothing_else() -> None:
    """Its script and its style, by their hashes; its forms lead where it says."""
    script = base64.b64encode(hashlib.sha256("é()".encode()).digest()).decode()
    allowed = policy(script="é()", style="p {}").split("; ")

    assert "default-src 'none'" == allowed[0]
    assert f"script-src 'sha256-{script}'" in allowed
    assert "form-action 'none'" in allowed
    assert "form-action 'self'" in policy(script="", style="", forms="'self'").split("; ")
    assert "unsafe" not in " ".join(allowed)
