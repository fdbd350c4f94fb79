"""What is imported when: nothing that the configuration does not use, and no surprise later."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from poe_proxy import startup

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "poe_proxy"

#: What only a cookie needs: the site's own protocol, and a tokenizer, as Poe counts nothing there.
BY_COOKIE = {
    *("poe_proxy.upstreams.poe_web.account", "poe_proxy.upstreams.poe_web.discovery.service"),
    *("websocket", "rs_bpe", "bpe_openai"),
}
#: What only uploads, and files that bots make, need.
BY_FILES = {"urllib3", "poe_proxy.net.fetching"}
BY_KEY = {"poe_proxy.recipes.by_key", "poe_proxy.upstreams.poe_api.client"}
#: What runs in processes of its own, what only a file of the state needs, and what only tests and
#: the demo do.
NEVER = {
    *("quickjs", "jsonschema_rs", "sqlite3", "requests", "charset_normalizer", "aiohttp"),
    *("prometheus_client", "poe_proxy.metrics"),
    *("redis", "poe_proxy.shared.link", "poe_proxy.pool.redis.rotator"),
    *("tomlkit", "poe_proxy.upstreams.poe_web.discovery.writing"),
}

KEYS = {"POE_API_KEYS": "k1,k2"}
COOKIES = {"TOKENS": "a,b"}


def modules(code: str, **settings: str) -> set[str]:
    """Return what is imported by a process with these *settings* that has run *code*."""
    environment = {
        "PATH": os.environ["PATH"],
        "AuthKey": "sk-test-imports",
        # Nobody is there: what asks Poe fails, and has been imported.
        "POE_WEB_URL": "http://127.0.0.1:9",
        "POE_WS_URL": "ws://127.0.0.1:9",
        "POE_API_URL": "http://127.0.0.1:9",
        **settings,
    }
    script = f"import os, sys\n{code}\nprint(*sys.modules, flush=True)\nos._exit(0)"
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(ended.stdout.splitlines()[-1].split())


SERVES = "from poe_proxy.app import create_app; create_app()"


@pytest.mark.parametrize(
    ("settings", "not_needed"),
    [
        pytest.param(KEYS, BY_COOKIE | BY_FILES | NEVER | {"python_socks"}, id="keys"),
        pytest.param({**COOKIES, "CATALOGUE": "0"}, BY_KEY | NEVER, id="cookies"),
        # Poe's list of models is fetched as by key.
        pytest.param(COOKIES, {"poe_proxy.recipes.by_key"} | NEVER, id="cookies, with the list"),
        pytest.param(KEYS | COOKIES, NEVER, id="both"),
    ],
)
def test_nothing_is_imported_that_the_configuration_does_not_use(
    settings: dict[str, str], not_needed: set[str]
) -> None:
    """A library that nobody uses would be some megabytes for as long as the server runs."""
    assert set() == modules(SERVES, **settings) & not_needed


def test_gunicorn_itself_imports_nothing_that_serves() -> None:
    """It forks the worker and waits: what it has imported is there twice."""
    found = modules("import runpy; runpy.run_path('gunicorn.conf.py')", **KEYS)

    assert "poe_proxy.startup" in found
    assert set() == found & {
        *("flask", "werkzeug", "jinja2", "requests", "urllib3", "websocket", "sqlite3", "rs_bpe"),
        *(
            "prometheus_client",
            "poe_proxy.app",
            "poe_proxy.gateway",
            "poe_proxy.server.application",
        ),
    }


# ---- what is imported by a function, and so later

#: By module. In each case a configuration, or most requests, can do without.
LATER = {
    # Only with `USAGE_FILE`, and with `METRICS`.
    "app": {
        *("poe_proxy.usage.keeping", "poe_proxy.metrics"),
        # Only with a cookie.
        "poe_proxy.upstreams.poe_web.discovery.service",
    },
    # Only with `STATE_FILE`, and with `REDIS_URL`.
    "pools": {
        *("poe_proxy.pool.store.journal", "poe_proxy.pool.store.renewals"),
        *("poe_proxy.clients.redis", "poe_proxy.pool.redis.rotator", "poe_proxy.shared_history"),
        *("poe_proxy.shared.courier", "poe_proxy.shared.link", "poe_proxy.shared.presence"),
        "poe_proxy.shared.teller",
    },
    # Each way to Poe; and the list of models goes the way of keys.
    "token_maker": {
        *("poe_proxy.recipes.by_cookie", "poe_proxy.recipes.by_key"),
        "poe_proxy.upstreams.poe_web.current",
        "poe_proxy.upstreams.poe_api",
    },
    # Files that bots make.
    "net.media": {"poe_proxy.net.fetching"},
    # Proxies: socks5, and those that are reached by TLS.
    "net.dialing": {"python_socks", "python_socks.sync", "urllib3.util.ssltransport"},
    # When Poe has changed its site.
    "upstreams.poe_web.discovery.service": {"poe_proxy.upstreams.poe_web.discovery"},
    # 33 MB.
    "shaping.tokenizer": {"bpe_openai", "rs_bpe"},
}


def imported_later() -> Iterator[tuple[str, str]]:
    """Yield each module of the server with what its functions import.

    The command is another process, which imports what it is asked for.
    """
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.parent.name == "command" or path == PACKAGE / "__main__.py":
            continue
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Import):
                    yield from ((module, alias.name) for alias in node.names)
                elif isinstance(node, ast.ImportFrom):
                    yield module, node.module or ""


def test_each_import_that_comes_later_is_known() -> None:
    """The first request that needs it waits for it, and all others do, too."""
    unknown = {(module, name) for module, name in imported_later()} - {
        (module, name) for module, names in LATER.items() for name in names
    }

    assert set() == unknown


def test_a_library_that_is_imported_later_is_looked_for_at_the_start() -> None:
    """A missing one is said then, not to the first request."""
    looked_for = {name for names in startup.LATER for name in names}
    later = {name.partition(".")[0] for _, name in imported_later()}

    assert later <= {*looked_for, "poe_proxy"}


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With how to install it. Of those that stand for each other, one is enough."""
    monkeypatch.setattr(startup, "LATER", (("no_such_one", "json"), ("neither", "nor")))

    with pytest.raises(ImportError, match="neither or nor is not installed"):
        startup.check_libraries()


def test_all_libraries_are_there() -> None:
    """As `requirements.txt` has them."""
    startup.check_libraries()
