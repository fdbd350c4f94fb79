"""What is joined, what a reload replaces of it, and in which order it ends."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from poe_proxy import logs, startup
from poe_proxy.alerts import Alerts
from poe_proxy.app import create_app
from poe_proxy.pool.balances import Balance, PointsWatch
from poe_proxy.pool.rotator import TokenRotator
from poe_proxy.pool.store.journal import Journal
from poe_proxy.pools import InRedis
from poe_proxy.recipes import by_cookie
from poe_proxy.server import several
from poe_proxy.server.application import Application
from poe_proxy.server.services import Services
from poe_proxy.settings import EXAMPLE_KEY, BadSettings, Settings
from poe_proxy.startup import read_settings
from poe_proxy.token_maker import TokenMaker
from poe_proxy.upstreams.poe_web.account import PoeWeb
from poe_proxy.upstreams.poe_web.discovery import service
from poe_proxy.upstreams.poe_web.discovery.service import Discoverer

from .fakes import log_lines, until
from .shared.redis_server import RedisServer


def settings(**given: Any) -> Settings:
    # Keys have their list of models fetched: not from the real address.
    nowhere = "http://127.0.0.1:9"
    return Settings(**{"auth_keys": ("k",), "tokens": ("a",), "poe_api_url": nowhere, **given})


def services(of: Application) -> Services:
    found: Services = of.extensions["poe_proxy"]
    return found


def known(app: Application, key: str) -> str | None:
    """What the client is called that has the key; None if nobody has it."""
    client = services(app).registry.find(key.encode())
    return client.name if client else None


class House:
    """An app whose settings are what a test says next."""

    def __init__(self, **given: Any) -> None:
        self.next: Settings | Exception = settings(**given)
        self.app = create_app(self.next, read=self._read)

    def _read(self) -> Settings:
        if isinstance(self.next, Exception):
            raise self.next
        return self.next

    @property
    def services(self) -> Services:
        return services(self.app)

    def reload(self, problem: Exception | None = None, **given: Any) -> str:
        """Read these settings, or fail; return what the log says."""
        self.next = problem or settings(**given)
        with log_lines() as lines:
            self.services.reload()
        return lines.getvalue()


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    house.services.close()


# ---- what is read


@pytest.fixture
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is set where the tests run is not set here."""
    for name in [*os.environ]:
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("_bare_environment")
def test_files_are_read_before_anything_starts(tmp_path: Path) -> None:
    """What is in the files that settings name is wrong at the start, all in one message, by its
    file and place; and so is a credential in the wrong setting."""
    dotenv, models, site, listed = (tmp_path / name for name in (".env", "m", "s", "a"))
    models.write_text('[names]\n"mine" = "no bot"\n')
    site.write_text("tag = 1\n")
    listed.write_text("[[account]]\nkey = 'your-key'\n")
    dotenv.write_text(
        "AuthKey=k\nFORWARDED_ALLOW_IPS=nginx\nTOKENS=a,sk-poe-SECRET1\nPOE_API_KEYS=p-b=SECRET2\n"
        f"MODELS={models}\nPOE_SITE={site}\nTOKENS_CONFIG={listed}\nROLE_LABELS=me=SECRET3\n"
    )

    with pytest.raises(BadSettings) as refusal:
        read_settings(dotenv)

    begins = {
        "FORWARDED_ALLOW_IPS": '"nginx" must be IP addresses',
        "TOKENS": "item 2: It looks like a key of Poe's official API, which belongs into POE_API_",
        "POE_API_KEYS": "item 1: It looks like a cookie of poe.com, which belongs into TOKENS",
        "MODELS": f"{models}: names.mine: the bot must be a Poe handle",
        "POE_SITE": f"{site}: tag: must be a table",
        "TOKENS_CONFIG": f"{listed}: account 1, key: It looks like a placeholder",
        "ROLE_LABELS": "",
    }
    assert begins == {
        name: "".join(why)[: len(begins[name])] for name, why in refusal.value.problems.items()
    }
    assert "SECRET" not in str(refusal.value)


@pytest.mark.usefixtures("_bare_environment")
def test_a_key_of_poe_s_is_no_key_for_clients(tmp_path: Path) -> None:
    """Although each of both settings is right by itself."""
    dotenv = tmp_path / ".env"
    dotenv.write_text("AuthKey=sk-poe-x1\nPOE_API_KEYS=sk-poe-x1\n")

    with pytest.raises(BadSettings, match=r"AuthKey: item 1: It is the credential of key-1"):
        read_settings(dotenv)


def test_what_is_set_in_vain_is_logged() -> None:
    """When the settings are read, and when they are read again."""
    with log_lines() as lines:
        house = House(notes=("COOLDOWN is set in vain.",))
        house.reload(notes=("RATELIMIT is set in vain.",))
        house.services.close()

    assert "COOLDOWN is set in vain.\n" in lines.getvalue()
    assert "RATELIMIT is set in vain.\n" in lines.getvalue()


# ---- what a reload replaces


def test_everything_is_replaced_that_the_settings_say(house: House, tmp_path: Path) -> None:
    """Keys, sizes, names, the line and the accounts: from the next request on."""
    models = tmp_path / "models.toml"
    models.write_text('builtin = false\n[names]\n"mine" = "GPT-5.1"\n')
    tokens, admission = house.services.gateway.tokens, house.services.admission
    client = house.app.test_client()

    said = house.reload(
        auth_keys=("other",), tokens=("b", "c"), max_body_mb=0.5, models=models,
        queue_timeout=7.0, points_check=8.0, errors_as_text=True,
        max_bodies_mb=5.0, max_streams=9,
    )  # fmt: skip
    statuses = [
        client.get("/v1/models", headers={"x-api-key": key}).status_code for key in ("k", "other")
    ]

    assert [401, 200] == statuses
    assert "mine" == house.services.gateway.menu.entries()[0]["id"]
    assert 500_000 == house.services.max_body
    # What is under way counts on.
    assert admission is house.services.admission
    assert (5_000_000, 9) == (admission.bodies.most, admission.answers.most)
    assert tokens is house.services.gateway.tokens
    assert (7.0, 8.0) == (tokens.patience, tokens.points_check)
    assert ["cookie-2", "cookie-3"] == [token.label for token, _ in tokens.states()]
    assert "reloaded, serving 2 cookie token(s) and 0 API key(s); new: cookie-2, cookie-3" in said
    assert "; gone: cookie-1" in said


def test_what_is_new_changed_and_gone_is_logged(house: House) -> None:
    """By label; and nothing is, if nothing is."""
    house.reload(tokens=("a", "b"))

    assert "; new: cookie-3; changed: cookie-2; gone: cookie-1\n" in house.reload(
        tokens=("b", "c"), cool_down=1.0
    )
    assert "2 cookie token(s) and 0 API key(s)\n" in house.reload(tokens=("b", "c"), cool_down=1.0)


def test_a_reply_under_way_keeps_what_it_began_with(house: House) -> None:
    """The services that a request has in its hands are not changed under it; who may ask is
    looked up for each."""
    before = house.services
    house.reload(auth_keys=("other",), max_body_mb=1.0)

    assert 1_000_000 == house.services.max_body < before.max_body
    assert ("key-1", None) == (known(house.app, "other"), known(house.app, "k"))


@pytest.mark.parametrize(
    ("problem", "lines"),
    [
        (
            BadSettings({"TIMEOUT": ["Not a valid number."], "PORT": ["No."]}),
            [
                "wrong setting TIMEOUT: Not a valid number.",
                "wrong setting PORT: No.",
                "Not reloaded, going on as before.",
            ],
        ),
        (
            OSError("disk"),
            ["Not reloaded, going on as before.", "    | Traceback", "OSError: disk"],
        ),
    ],
)
def test_what_cannot_be_read_changes_nothing(
    house: House, problem: Exception, lines: list[str]
) -> None:
    """The log says what was wrong."""
    before = house.services
    said = house.reload(problem)

    assert [] == [line for line in lines if line not in said]
    assert before is house.services


def test_what_cannot_be_built_changes_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file may change between two looks at it; the pool is the last that is touched."""
    before = house.services
    tokens = before.gateway.tokens.states()
    with monkeypatch.context() as patch:
        patch.setattr(by_cookie, "PoeWeb", lambda *args, **given: [][0])
        house.reload(auth_keys=("other",), tokens=("b",))
    house.reload(auth_keys=("other",), models=Path("no-such-file"))

    assert before is house.services
    assert tokens == before.gateway.tokens.states()


def test_what_only_a_restart_can_change_is_named_each_time(house: House, tmp_path: Path) -> None:
    """And the rest is taken."""
    given: Any = {
        "port": 9000, "host": "::1", "forwarded_allow_ips": ("*",),
        "state_file": tmp_path / "state", "state_cookies": False,
    }  # fmt: skip
    said = [house.reload(**given, auth_keys=("other",)), house.reload(**given), house.reload()]

    line = (
        "Only a restart can change PORT, HOST, FORWARDED_ALLOW_IPS, STATE_FILE, "
        "STATE_COOKIES: still as before.\n"
    )
    assert [True, True, False] == [line in one for one in said]
    assert not (tmp_path / "state").exists()


def test_a_worker_that_is_started_later_goes_on_with_what_only_a_restart_can_change(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Else it would have another pool, or another file, than the workers beside it."""
    monkeypatch.setattr(startup, "begun_with", settings(redis_pool="one", cool_down=1.0))
    monkeypatch.setattr(logs, "set_up", lambda *how: None)
    with log_lines() as lines:
        app = create_app(
            read=lambda: settings(
                redis_pool="two", state_file=tmp_path / "new", auth_keys=("another",)
            )
        )
        services(app).close()

    assert "Only a restart can change STATE_FILE, REDIS_POOL: still as before." in lines.getvalue()
    assert known(app, "another") is not None
    assert [] == [*tmp_path.iterdir()]


def test_what_is_unwise_is_warned_about_each_time(house: House, tmp_path: Path) -> None:
    """The key of every example, and files with secrets that others may read, each named once."""
    path, key = tmp_path / "accounts.toml", tmp_path / "key"
    path.write_text("[[account]]\nkey_file='key'\n")
    key.write_text("k")
    (tmp_path / ".env").touch()
    files = (tmp_path / ".env", key)
    for file in (path, *files):
        file.chmod(0o644)
    said = [
        house.reload(auth_keys=(EXAMPLE_KEY,), tokens_config=path, files=files) for _ in range(2)
    ]
    for file in (path, *files):
        file.chmod(0o600)
    quiet = house.reload(tokens_config=path, files=files)

    for one in said:
        assert f"AuthKey holds {EXAMPLE_KEY}" in one
        for file in (path, *files):
            assert 1 == one.count(
                f"{file} holds secrets, and others on this machine can read it: chmod 600 {file} "
            )
    assert not any(said in quiet for said in (EXAMPLE_KEY, "chmod"))


def test_two_reloads_are_one_after_the_other(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one reads what was written before it, and has the last word."""
    first_reads, second_waits = threading.Event(), threading.Event()
    order: list[str] = []

    def read() -> Settings:
        name = threading.current_thread().name
        order.append(f"{name} reads")
        if name == "first":
            first_reads.set()
            second_waits.wait(60)
        order.append(f"{name} has read")
        return settings(auth_keys=(name,))

    other = create_app(settings(), read=read)
    threads = [
        threading.Thread(target=services(other).reload, name=name) for name in ("first", "second")
    ]
    threads[0].start()
    first_reads.wait(60)
    threads[1].start()
    second_waits.set()
    for thread in threads:
        thread.join(60)

    assert ["first reads", "first has read", "second reads", "second has read"] == order
    assert "key-1" == known(other, "second")
    services(other).close()


# ---- what Poe changes of its site


class Site:
    """Whoever looks for what is new, and by which accounts."""

    def __init__(self) -> None:
        self.made: list[Any] = []
        self.ways: Callable[[str], Iterator[Any]] = lambda _: iter(())
        self.is_automatic: Callable[[], bool] = lambda: False
        self.file: Callable[[], Path | None] = lambda: None
        self.started = self.closed = 0

    def __call__(self, known: Any, ways: Any, **given: Any) -> Site:
        self.made.append(known)
        self.ways, self.file, self.is_automatic = ways, given["file"], given["is_automatic"]
        return self

    def start(self) -> None:
        self.started += 1

    def close(self) -> None:
        self.closed += 1

    def told(self) -> dict[str, Any]:
        return {"discovery": {"said": "x", "written": None}}

    def labels(self, label: str = "") -> list[str]:
        return [one.label for one in self.ways(label)]


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    made = Site()
    monkeypatch.setattr(service, "Discoverer", made)
    return made


def test_somebody_looks_out_for_changes_once_there_is_a_cookie(site: Site, tmp_path: Path) -> None:
    """Also if that comes with a reload; one for the process, which ends with it."""
    house = House(tokens=(), api_keys=("x",), state_file=tmp_path / "state")
    assert ([], None) == (site.made, house.services.discover)
    house.reload(tokens=("a",), api_keys=("x",), state_file=tmp_path / "state")
    assert house.services.discover is not None
    house.reload(tokens=("b",), state_file=tmp_path / "state", discover=False)

    assert (1, 1, 0) == (len(site.made), site.started, site.closed)
    assert (False, tmp_path / "site.toml") == (site.is_automatic(), site.file())
    house.services.close()
    assert 1 == site.closed


def test_the_account_that_met_a_change_is_the_first_one_that_is_looked_by(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then those that are logged in. Keys have no page; who is set aside is left alone."""
    is_logged_in = property(lambda web: web.label == "cookie-4")
    monkeypatch.setattr(PoeWeb, "is_logged_in", is_logged_in)
    house = House(tokens=("a", "b", "c", "d"), api_keys=("x",))
    tokens = house.services.gateway.tokens
    by_label = {token.label: token for token, _ in tokens.states()}
    assert ["cookie-4", "cookie-1", "cookie-2", "cookie-3"] == site.labels()
    assert ["cookie-3", "cookie-4", "cookie-1", "cookie-2"] == site.labels("cookie-3")

    tokens.pause(by_label["cookie-1"], 60.0)
    assert ["cookie-4", "cookie-2", "cookie-3"] == site.labels("cookie-1")
    # Its login may be another worker's.
    monkeypatch.setattr(tokens, "may_ask", lambda token, _: token is not by_label["cookie-2"])
    assert ["cookie-4", "cookie-3"] == site.labels()
    house.services.close()


# ---- the end


def test_the_end_goes_from_the_outside_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """First what would ask Poe, then the line, then the accounts; what remembers is the last."""
    done: list[str] = []

    def noting(name: str, verb: Callable[..., object]) -> Callable[..., object]:
        def note(*args: object) -> object:
            done.append(name)
            return verb(*args)

        return note

    for kind, verb in [
        (Discoverer, "close"), (PointsWatch, "stop"), (Balance, "stop"), (TokenRotator, "close"),
        (TokenMaker, "close"), (PoeWeb, "close"), (Journal, "close"),
    ]:  # fmt: skip
        monkeypatch.setattr(kind, verb, noting(kind.__name__, getattr(kind, verb)))
    one = services(create_app(settings(state_file=tmp_path / "state")))
    one.close()
    one.close()

    assert [
        "Discoverer", "PointsWatch", "Balance", "TokenRotator", "TokenMaker", "PoeWeb", "Journal",
    ] == done  # fmt: skip


def test_what_cannot_be_ended_does_not_keep_the_rest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The state file above all is closed, and the failure is raised then."""
    done: list[str] = []
    monkeypatch.setattr(TokenRotator, "close", lambda one: [][0])
    monkeypatch.setattr(TokenMaker, "close", lambda one: done.append("accounts"))
    one = services(create_app(settings(state_file=tmp_path / "state")))
    with pytest.raises(IndexError):
        one.close()

    assert ["accounts"] == done
    Journal(tmp_path / "state", patience=0.0).close()


def test_nothing_is_read_once_all_is_closed(house: House) -> None:
    """A signal may come when the worker ends."""
    house.services.close()

    assert "" == house.reload(auth_keys=("other",))
    assert "key-1" == known(house.app, "k")


# ---- what is shown


def test_readiness_is_that_of_the_pool_and_its_file(tmp_path: Path) -> None:
    """Accounts by state, the line, and whether the file can be written."""
    with ExitStack() as ends:
        without = services(create_app(settings()))
        ends.callback(without.close)
        one = services(create_app(settings(state_file=tmp_path / "state", tokens=("a", "b"))))
        ends.callback(one.close)

        assert ("off", "ok") == (without.ready()["store"], one.ready()["store"])
        assert (2, 0) == (one.ready()["accounts"]["free"], one.ready()["waiting"])
        assert "waiting" not in one.ready()["accounts"]


# ---- keys for people


@pytest.mark.usefixtures("_bare_environment")
def test_what_is_wrong_with_clients_is_named_at_the_start(tmp_path: Path) -> None:
    """In the file, and beside the other settings."""
    dotenv, path = tmp_path / ".env", tmp_path / "clients.toml"
    path.write_text("[clients.alice]\nkey = 'sk-the-owners-key'\naccounts = ['cookie-7']\n")
    dotenv.write_text(f"CLIENTS={path}\nTOKENS=a,b\nADMIN_KEY=sk-the-owners-key\n")

    with pytest.raises(BadSettings) as refusal:
        read_settings(dotenv)

    assert ["CLIENTS", "ADMIN_KEY"] == list(refusal.value.problems)
    said = str(refusal.value)
    assert "clients.alice, accounts: No account is called cookie-7" in said
    assert "It is the key of alice in CLIENTS" in said
    assert "sk-the-owners-key" not in said


def test_a_reload_says_what_is_odd_about_clients_and_who_changed(tmp_path: Path) -> None:
    """A file that others can read; a model that is not there; names, and no keys."""
    path = tmp_path / "clients.toml"
    path.write_text(
        "[clients.alice]\nkey = 'sk-alice-123456'\n[clients.ben]\nkey = 'sk-ben-12345678'\n"
    )
    path.chmod(0o644)
    house = House(clients=path)
    path.write_text(
        "[clients.alice]\nkey = 'sk-alice-123456'\nmodels = ['no-such-*']\n"
        "[clients.zoe]\nkey = 'sk-zoe-12345678'\n"
    )

    said = house.reload(clients=path)
    house.services.close()

    assert f"{path} holds secrets, and others on this machine can read it" in said
    assert "CLIENTS: clients.alice names the model no-such-*" in said
    assert "clients that changed: new: zoe; changed: alice; gone: ben\n" in said
    assert "sk-" not in said


# ---- a pool in Redis


def told(house: House) -> Any:
    """What `/status.json` tells."""
    return house.services.overview.numbers()


@pytest.fixture
def fellows(redis_server: RedisServer, tmp_path: Path) -> Iterator[list[House]]:
    """Two that share a pool; neither serves yet."""
    given = {"redis_url": redis_server.url, "redis_pool": f"app-{os.urandom(4).hex()}"}
    houses = [House(**given), House(**given)]
    yield houses
    for one in houses:
        one.services.close()


def test_an_app_that_answers_one_question_lives_as_long_as_that_takes(
    redis_server: RedisServer, fellows: list[House]
) -> None:
    """Nobody lets it begin to serve: without a sign of life its accounts would be lent to others,
    and without a message it would wait for its turn by the clock."""
    begun_with = fellows[0].next
    assert isinstance(begun_with, Settings)
    name = begun_with.redis_pool

    def channels() -> int:
        return len(redis_server.client.pubsub_channels(f"poe:{{{name}}}:2:c:*"))

    until(lambda: 2 == channels())
    until(lambda: 2 == len(told(fellows[0])["processes"]))
    assert [0, 0] == [one["under_way"] for one in told(fellows[0])["processes"]]
    fellows[1].services.close()
    until(lambda: 1 == len(told(fellows[0])["processes"]))
    until(lambda: 1 == channels())


def test_all_that_share_a_pool_read_their_settings_when_one_is_told_to(
    fellows: list[House],
) -> None:
    """Each its own."""
    until(lambda: 2 == len(told(fellows[0])["processes"]))
    fellows[1].next = settings(tokens=("a", "b"))
    fellows[0].services.reload_others()

    until(lambda: 2 == len(fellows[1].services.gateway.tokens.states()))
    assert 1 == len(fellows[0].services.gateway.tokens.states())


def test_a_reload_says_that_there_are_more_workers_than_may_be(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their number is that of the start, and the last key may have gone since."""
    monkeypatch.setattr(several.inherited, "workers", 2)

    assert "2 workers, and there should be one now." in house.reload()


def test_of_those_that_share_a_pool_one_tells_of_trouble(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They agree in Redis; who is alone asks nobody."""
    given: list[Mapping[str, Any]] = []

    class Noted(Alerts):
        def __init__(self, tokens: Any, **about: Any) -> None:
            given.append(about)
            super().__init__(tokens, **about)

    monkeypatch.setattr("poe_proxy.app.Alerts", Noted)
    for url in ("redis://127.0.0.1:1", None):
        services(create_app(settings(redis_url=url))).close()
    shared, alone = given

    assert (None, True) == (alone["caller"], alone["speaks"]())
    assert shared["caller"] is not None
    assert isinstance(shared["speaks"].__self__, InRedis)


def test_without_redis_a_shared_pool_is_not_ready() -> None:
    """And says why, on the status page too."""
    house = House(redis_url="redis://:SECRET@127.0.0.1:1")
    until(lambda: "refused" in house.services.ready()["store"])
    answer = house.app.test_client().get("/ready")
    house.services.close()

    assert 503 == answer.status_code
    assert "Redis, where the pool is, is away: " in answer.json["reason"]
    assert "SECRET" not in answer.text
    assert {"kind": "redis", "up": False} == {
        name: told(house)["store"][name] for name in ("kind", "up")
    }


def test_metrics_tell_of_redis_and_of_all_that_share_the_pool(fellows: list[House]) -> None:
    """Who is alone has neither."""
    given = fellows[0].next
    assert isinstance(given, Settings)
    shared = services(create_app(replace(given, metrics=True, admin_key="sk-the-owners-key")))
    alone = services(create_app(settings(metrics=True, admin_key="sk-the-owners-key")))
    with ExitStack() as ends:
        for one in (shared, alone):
            ends.callback(one.close)
        until(lambda: 3 == len(told(fellows[0])["processes"]))
        until(lambda: b"poe_proxy_workers 3.0" in text_of(shared))
        assert b"poe_proxy_hosts 1.0" in text_of(shared)
        assert b'act="script"' in text_of(shared)
        assert b"poe_proxy_workers" not in text_of(alone)


def text_of(one: Services) -> bytes:
    """All metrics."""
    assert one.metrics is not None
    return one.metrics("")[0]
