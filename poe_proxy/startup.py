"""The settings of this process, checked whole.

gunicorn's own process reads them too: what is imported for it stands in memory twice, as most of it
is changed in both processes, if only by counting references. So nothing is imported here that
serves.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from poe_proxy import accounts
from poe_proxy.clients import file as clients
from poe_proxy.environment import dotenv
from poe_proxy.models import Models
from poe_proxy.settings import BadSettings, Settings
from poe_proxy.upstreams.poe_web import Site
from poe_proxy.upstreams.poe_web.prompts import check_labels

#: The settings with which gunicorn began; None where nobody forks.
begun_with: Settings | None = None

#: Libraries that are imported when something needs them, if anything does; of each line, one.
LATER: Final = (
    ("urllib3",),
    ("socks",),
    ("idna",),
    ("python_socks",),
    ("websocket",),
    ("quickjs",),
    ("jsonschema_rs",),
    ("sqlite3",),
    ("prometheus_client",),
    ("tomlkit",),
    ("redis",),
    ("rs_bpe", "bpe_openai"),
)


def check_libraries() -> None:
    """Raise ImportError if a library is missing that is only imported later: no request is to be
    the first to notice."""
    for names in LATER:
        if not any(map(find_spec, names)):
            raise ImportError(
                f"{' or '.join(names)} is not installed; `pip install -r requirements.txt` "
                "installs all that poe-proxy needs."
            )


def read_settings(path: Path | None = None) -> Settings:
    """Return the settings of this process; raises `BadSettings` naming every problem.

    *path* is read in place of `.env`.
    """
    return Settings.from_env(
        path or dotenv(),
        checks={
            "TOKENS": accounts.check_cookie,
            "TOKENS_CONFIG": accounts.check,
            "CLIENTS": clients.check,
            "ROLE_LABELS": check_labels,
            "MODELS": Models.load,
            "POE_SITE": Site.load,
        },
        together=_faults,
    )


def _faults(settings: Settings) -> dict[str, list[str]]:
    """Return what is wrong with settings of which each is right by itself."""
    found = dict(accounts.faults(settings))
    try:
        labels = accounts.labels(settings)
        secrets = accounts.secrets(settings)
    except BadSettings:
        return found | clients.faults(settings, labels=None, secrets={})
    for name, why in clients.faults(settings, labels=labels, secrets=secrets).items():
        found[name] = [*found.get(name, ()), *why]
    return found
