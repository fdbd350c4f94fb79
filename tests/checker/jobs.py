"""Jobs for the processes that check, and a look at these processes."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any, Final

from poe_proxy.checker.process import Process

#: Starts a process that is given its computing however long a busy machine takes for that: such
#: processes get less of the processor than all others.
patient: Final = partial(Process, patience=600.0)

#: To look how a value fits this takes for ever: each of these refers twice to the next one.
DOUBLED: dict[str, Any] = {
    "$ref": "#/$defs/a0",
    "$defs": {
        **{f"a{place}": {"allOf": [{"$ref": f"#/$defs/a{place + 1}"}] * 2} for place in range(60)},
        "a60": {},
    },
}
#: Even to read this takes for ever.
UNREADABLE: dict[str, Any] = {**DOUBLED, "unevaluatedProperties": False}


def read(*schemas: Any) -> bytes:
    """The job to read these schemas."""
    return json.dumps(["read", schemas]).encode()


def check(schema: Any, value: Any) -> bytes:
    """The job to check *value*."""
    return json.dumps(["check", schema, value]).encode()


def family(pid: int) -> list[int]:
    """This process, and all that it has started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split()
    return [pid, *(one for child in children for one in family(int(child)))]


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")
