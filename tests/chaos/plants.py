"""Places to break by hand, to see that a run finds it: `python -m tests.chaos --plant amnesia`.

A plant is an edit in a copy of the product; the product itself is never touched.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PARTS: Final = ("poe_proxy", "gunicorn.conf.py", "wsgi.py")


@dataclass(frozen=True, slots=True)
class Plant:
    """What stands in a file, and what is put in its place."""

    file: str
    old: str
    new: str


PLANTS: Final[Mapping[str, Plant]] = {
    # Uses are written, and not read when the server starts again.
    "amnesia": Plant(
        "poe_proxy/pool/store/journal.py",
        "arrived FROM uses WHERE",
        "arrived FROM uses WHERE 0 AND",
    ),
    # A bot that is to be stopped is not.
    "no-stops": Plant(
        "poe_proxy/upstreams/poe_web/tidying.py",
        "                return act()\n",
        "                return None\n",
    ),
    # A prompt that may have arrived is sent to another account.
    "twice": Plant(
        "poe_proxy/errors.py",
        '    code = "upstream_uncertain"\n',
        '    code = "upstream_uncertain"\n    another_token = True\n',
    ),
    # By cookie, a message goes out without a permit.
    "hasty": Plant(
        "poe_proxy/upstreams/poe_web/sending.py",
        "        for _ in self._permit():\n",
        "        for _ in ():\n",
    ),
    # The last in line is served first.
    "last-first": Plant(
        "poe_proxy/pool/line/queue.py",
        "serve(_want(lease, now) for lease in line)",
        "serve(_want(lease, now) for lease in line[::-1])",
    ),
    # A stream that fails at once has a status, which Codex takes for a reason to ask again.
    "repeats": Plant(
        "poe_proxy/apis/responses/rendering.py",
        "        return failures.must_end(failure)\n",
        "        return False\n",
    ),
    # Anthropic's clients wait for an end that does not come.
    "endless": Plant(
        "poe_proxy/apis/messages/rendering.py",
        "        return rest + delta + _STOP\n",
        "        return rest + delta\n",
    ),
    # The id of the device is another one after each restart.
    "stranger": Plant(
        "poe_proxy/upstreams/poe_web/credentials.py",
        "uuid.UUID(bytes=digest[:16], version=4)",
        "uuid.uuid4()",
    ),
}


def planted(name: str, code: Path, folder: Path) -> Path:
    """Return *folder*, with a copy of the product of *code* in which the plant is."""
    for part in _PARTS:
        if (code / part).is_dir():
            shutil.copytree(code / part, folder / part)
        else:
            shutil.copy(code / part, folder / part)
    plant = PLANTS[name]
    file = folder / plant.file
    text = file.read_text("utf-8")
    if text.count(plant.old) != 1:
        raise ValueError(f"{plant.file} has no single place for the plant {name}")
    file.write_text(text.replace(plant.old, plant.new), "utf-8")
    return folder
