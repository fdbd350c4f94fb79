"""The settings of this process, checked whole.

gunicorn's own process reads them too: what is imported for it stands in memory twice, as most of it
is changed in both processes, if only by counting references. So nothing is imported here that
serves.
"""

from __future__ import annotations

from pathlib import Path

from poe_proxy import accounts
from poe_proxy.models import Models
from poe_proxy.settings import Settings
from poe_proxy.upstreams.poe_web import Site
from poe_proxy.upstreams.poe_web.prompts import check_labels


def read_settings(dotenv: Path = Path(".env")) -> Settings:
    """Return the settings of this process; raises `BadSettings` naming every problem."""
    return Settings.from_env(
        dotenv,
        checks={
            "TOKENS": accounts.check_cookie,
            "TOKENS_CONFIG": accounts.check,
            "ROLE_LABELS": check_labels,
            "MODELS": Models.load,
            "POE_SITE": Site.load,
        },
        together=accounts.faults,
    )
