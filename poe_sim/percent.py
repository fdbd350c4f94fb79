"""Percent-encoding, read so fast that a stranger's megabytes of it hold up nobody else."""

from __future__ import annotations

import binascii
import re

_NO_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def decoded(text: str) -> bytes:
    """Return what *text* stands for; a `%` that begins no escape stands for itself.

    `urllib.parse` takes two seconds for nine megabytes of escapes. Those of quoted-printable are
    the same but for their first letter, and C reads them.
    """
    escaped = _NO_ESCAPE.sub(b"%25", text.encode())
    return binascii.a2b_qp(escaped.replace(b"=", b"=3D").replace(b"%", b"="))
