"""The line of the log for each request."""

from __future__ import annotations

import logging

from poe_proxy.record import Record

log = logging.getLogger(__name__)


def tell(record: Record) -> None:
    """Log the line of a request whose answer is closed."""
    log.info(
        # Cut here too, so that what comes behind a long path or name is still in the line.
        "%.50s %.20s %.100s %d %.0f ms%s%s",
        record.peer,
        record.method,
        record.path,
        record.status,
        1000 * record.total,
        f" model={record.model[:100]}" if record.model else "",
        f" code={record.code}" if record.code else "",
    )
