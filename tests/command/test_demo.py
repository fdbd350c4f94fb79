"""The demo, before anything is started."""

from __future__ import annotations

from poe_proxy.command.demo import NOT_FOR_A_DEMO
from poe_proxy.environment import declared, path
from poe_proxy.settings import Settings

#: A secret that leads nowhere: with it the demo has a status page, too.
HARMLESS = {"ADMIN_KEY"}


def test_the_demo_takes_no_files_and_no_secrets_of_the_real_server() -> None:
    """It would write its use among the real one's, tell people of trouble, or not start."""
    files_and_secrets = {
        name
        for field, one in declared(Settings)
        if one.reads is path or not field.repr
        for name in one.names
    }

    assert files_and_secrets - HARMLESS <= set(NOT_FOR_A_DEMO)
