"""What a failed exchange with api.poe.com means for the token and for another try. Free of I/O."""

from __future__ import annotations

from poe_proxy.errors import (
    UpstreamError,
    UpstreamInterrupted,
    UpstreamTimeout,
    UpstreamUncertain,
    UpstreamUnreachable,
)
from poe_proxy.net.transfer import Stage, Trouble


def failure(trouble: Trouble) -> UpstreamError:
    """Return what *trouble* means: how far the exchange had come decides."""
    if trouble.stage is Stage.NOT_SENT:
        why = trouble.happened and f"the connection {trouble.happened}"
        return UpstreamUnreachable(f"Poe's API cannot be reached ({why or trouble.name}).")
    if trouble.timed_out:
        return UpstreamTimeout("Poe's API did not answer in time.")
    if trouble.stage is Stage.HEAD:
        return UpstreamInterrupted(
            f"Poe's reply broke off: the connection {trouble.words} before its end."
        )
    return UpstreamUncertain(f"The connection to Poe's API {trouble.words} before it answered.")
