"""Tokens are made of accounts; an upstream is kept as long as it can be, and then closed."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from poe_proxy import accounts, token_maker
from poe_proxy.errors import UpstreamUnreachable
from poe_proxy.pool.limits import Rest, Within
from poe_proxy.pool.rotator import Token
from poe_proxy.pool.store import Forgetful, Renewals
from poe_proxy.recipes import by_cookie, by_key
from poe_proxy.settings import Settings
from poe_proxy.token_maker import TokenMaker, read_site
from poe_proxy.upstreams import poe_api
from poe_proxy.upstreams.catalogue import Catalogue
from poe_proxy.upstreams.poe_api import PoeApi
from poe_proxy.upstreams.poe_web import Credentials, Site
from poe_proxy.upstreams.poe_web.account import PoeWeb
from poe_proxy.upstreams.poe_web.discovery.findings import Findings

from .fakes import log_lines, until


class Pool:
    """What the rotator does with the tokens; which upstreams were closed, and which lists begun."""

    def __init__(self, patch: pytest.MonkeyPatch, renewals: Renewals) -> None:
        closed: list[object] = []
        listed: list[tuple[str, Catalogue]] = []

        class Web(PoeWeb):
            def __init__(self, credentials: Credentials, **given: Any) -> None:
                self.given = given
                super().__init__(credentials, **given)

            def close(self) -> None:
                closed.append(self)

        class Key(PoeApi):
            def close(self) -> None:
                closed.append(self)

        def fetch(source: str, *, proxy: str | None) -> bytes:
            self.fetched.append((source, proxy))
            if proxy in self.broken:
                raise UpstreamUnreachable("x")
            return b"list"

        class Offered(Catalogue):
            def start(self) -> None:
                listed.append(("start", self))

            def stop(self) -> None:
                listed.append(("stop", self))

        patch.setattr(by_cookie, "PoeWeb", Web)
        patch.setattr(by_key, "PoeApi", Key)
        patch.setattr(token_maker, "Catalogue", Offered)
        patch.setattr(poe_api, "fetch_models", fetch)
        #: Where lists of models were asked for, and the proxies that lead nowhere.
        self.fetched: list[tuple[str, str | None]] = []
        self.broken: set[str | None] = set()
        self.maker = TokenMaker(renewals)
        self.closed, self.listed = closed, listed
        self.tokens: Sequence[Token[Any]] = ()
        self._before: Sequence[Token[Any]] = ()

    def use(self, **given: Any) -> Sequence[Token[Any]]:
        """Read settings, and put their accounts into the pool."""
        settings = Settings(**{"auth_keys": ("k",), **given})
        self._before = self.tokens
        self.tokens = self.maker.tokens(accounts.read(settings, labels=self.maker.labels), settings)
        return self.tokens

    def end_replies(self) -> list[Token[Any]]:
        """Let go of the tokens that the pool had before the last change."""
        left = [token for token in self._before if token not in self.tokens]
        for token in left:
            self.maker.left(token)
        return left


@pytest.fixture
def renewals() -> Renewals:
    return Forgetful()


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch, renewals: Renewals) -> Pool:
    return Pool(monkeypatch, renewals)


# ---- what is made of an account


def test_a_token_has_what_its_account_says(pool: Pool, tmp_path: Path) -> None:
    """Its name is the account's; each limit is there once, if it is one."""
    path = tmp_path / "accounts.toml"
    path.write_text(
        "[[account]]\ncookie='a'\nlabel='anna'\nbots=['GPT-5.1']\nrank=3\nconcurrency=2\n"
        "rate_limit=4\nrate_window=5\nper_hour=6\nper_day=7\ncool_down=8\njitter=9\n"
        "[[account]]\nkey='k'\nrate_limit=0\n"
    )
    anna, key = pool.use(tokens_config=path)

    assert ("anna", "cookie", 3, 2, frozenset({"GPT-5.1"})) == (
        anna.label,
        anna.kind,
        anna.rank,
        anna.concurrency,
        anna.bots,
    )
    assert (Within(4, 5.0), Within(6, 3600.0), Within(7, 86400.0), Rest(8.0, 9.0)) == anna.limits
    assert ("key-1", "key", 0, 50, frozenset(), ()) == (
        key.label,
        key.kind,
        key.rank,
        key.concurrency,
        key.bots,
        key.limits,
    )
    assert (16, 16) == (len(anna.id), len(key.id))
    assert (PoeWeb, PoeApi) == (type(anna.upstream).__base__, type(key.upstream).__base__)


def test_a_cookie_is_at_home_in_one_worker(pool: Pool) -> None:
    """It has a session, and with what a challenge left behind it stays on its host."""
    tokens = pool.use(tokens=("p-b=a; cf_clearance=b", "c"), api_keys=("k",))

    assert [(True, True), (True, False), (False, False)] == [
        (one.has_home, one.is_pinned) for one in tokens
    ]


# ---- what is kept


def test_what_has_not_changed_is_the_same_token(pool: Pool) -> None:
    """Whatever else is new in the settings."""
    given: Any = {"tokens": ("a", "b"), "api_keys": ("k",)}
    before = pool.use(**given)
    after = pool.use(**given, max_body_mb=1.0, queue_timeout=5.0, auth_keys=("other",))

    assert before == after


@pytest.mark.parametrize(
    "change", [{"rate_limit": 5}, {"cool_down": 3.0}, {"token_concurrency": 3}]
)
def test_other_limits_leave_the_upstream_as_it_is(pool: Pool, change: Mapping[str, Any]) -> None:
    """Another token with the same name speaks through the same websocket."""
    (before,) = pool.use(tokens=("a",))
    (after,) = pool.use(tokens=("a",), **change)
    pool.end_replies()

    assert before is not after
    assert (before.name, before.upstream) == (after.name, after.upstream)
    assert [] == pool.closed


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"tokens": ("a",)}, {"tokens": ("p-b=a; p-lat=new",)}),
        ({"tokens": ("a",)}, {"tokens": ("a",), "proxy": "http://127.0.0.1:1"}),
        ({"tokens": ("a",)}, {"tokens": ("a",), "timeout": 5.0}),
        ({"tokens": ("a",)}, {"tokens": ("a",), "delete_chats": True}),
        ({"tokens": ("a",)}, {"tokens": ("a",), "simulate_roles": 2}),
        ({"tokens": ("a",)}, {"tokens": ("a",), "poe_web_url": "http://127.0.0.1:1"}),
        ({"tokens": ("a",)}, {"tokens": ("a",), "poe_ws_url": "ws://127.0.0.1:1"}),
        ({"api_keys": ("k",)}, {"api_keys": ("k",), "proxy": "http://127.0.0.1:1"}),
        ({"api_keys": ("k",)}, {"api_keys": ("k",), "api_concurrency": 3}),
        ({"api_keys": ("k",)}, {"api_keys": ("k",), "poe_api_url": "http://127.0.0.1:1"}),
    ],
)
def test_another_way_to_poe_is_another_upstream(
    pool: Pool, before: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    """The name stays; the old one is closed, but not before its last reply is over."""
    (old,) = pool.use(**before)
    (new,) = pool.use(**after)
    assert [] == pool.closed
    pool.end_replies()
    until(lambda: pool.closed)

    assert old.name == new.name
    assert [old.upstream] == pool.closed
    assert new.upstream is not old.upstream


def test_an_account_that_goes_is_closed_after_its_last_reply(pool: Pool) -> None:
    """Not when it leaves the pool."""
    gone, stays = pool.use(tokens=("a", "b"))
    assert [stays] == pool.use(tokens=("b",))
    assert [] == pool.closed
    pool.end_replies()
    until(lambda: pool.closed)

    assert [gone.upstream] == pool.closed


def test_an_account_that_is_back_before_its_last_reply_is_over_goes_on(pool: Pool) -> None:
    """With the upstream that it had: there is one websocket for an account."""
    first, _ = pool.use(tokens=("a", "b"))
    pool.use(tokens=("b",))
    again, _ = pool.use(tokens=("a", "b"))
    pool.maker.left(first)

    assert first is not again
    assert first.upstream is again.upstream
    assert [] == pool.closed


def test_an_upstream_is_closed_once_all_its_tokens_have_left(pool: Pool) -> None:
    """Replies may go on that began two changes ago."""
    (one,) = pool.use(tokens=("a",))
    (two,) = pool.use(tokens=("a",), cool_down=1.0)
    pool.use(tokens=("a",), timeout=5.0)
    pool.maker.left(two)
    assert [] == pool.closed
    pool.maker.left(one)
    until(lambda: pool.closed)

    assert [one.upstream] == pool.closed


def test_labels_stay_with_their_accounts(pool: Pool) -> None:
    """The log says the same name before and after, and nothing else gets that of one that ends."""
    pool.use(tokens=("a", "b"))
    during = pool.use(tokens=("b", "c"))
    pool.end_replies()
    until(lambda: pool.closed)
    after = pool.use(tokens=("b", "c", "d"))

    assert ["cookie-2", "cookie-3"] == [token.label for token in during]
    assert ["cookie-2", "cookie-3", "cookie-1"] == [token.label for token in after]


def test_nothing_changes_if_an_upstream_cannot_be_made(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even for the accounts before it."""
    before = pool.use(tokens=("a",))
    with monkeypatch.context() as patch:
        patch.setattr(by_key, "PoeApi", lambda *args, **given: [][0])
        with pytest.raises(IndexError):
            pool.use(tokens=("a", "b"), api_keys=("k",), cool_down=1.0)

    assert before == pool.use(tokens=("a",))
    assert (["start"], []) == ([verb for verb, _ in pool.listed], pool.closed)


# ---- what is learnt of Poe, and what it renews


def test_what_is_learnt_of_the_site_is_kept_until_its_file_changes(
    pool: Pool, tmp_path: Path
) -> None:
    """The form of a tag that Poe last accepted stays. No upstream is made anew for what changes."""
    text = resources.files("poe_proxy.upstreams.poe_web").joinpath("site.toml").read_text()
    site = tmp_path / "site.toml"
    site.write_text(text)
    (first,) = pool.use(tokens=("a",), poe_site=site)
    known = first.upstream.given["site"]
    known.accepted(known.now.tag, "swapped")
    (second,) = pool.use(tokens=("a",), poe_site=site)
    site.write_text(text.replace("\nhttp = ", "\nhttp = 1"))
    (third,) = pool.use(tokens=("a",), poe_site=site)

    assert first is second is third
    assert ("swapped", 130) == (known.tag_form, known.now.limits.http)


SEND = "sendMessageMutation"


def site_file(path: Path, hash: str) -> None:
    path.write_text(f'[operations]\n{SEND} = "{hash}"\n')


def known_hash(pool: Pool) -> str:
    assert pool.maker.site is not None
    return pool.maker.site.now.operations[SEND]


def test_the_site_file_is_taken_in_place(pool: Pool, tmp_path: Path) -> None:
    """Without a reload, for all accounts; no upstream is made anew."""
    site_file(tmp_path / "s", "a" * 64)
    pool.use(tokens=("a", "b"), poe_site=tmp_path / "s")
    known = pool.maker.site
    site_file(tmp_path / "s", "b" * 64)
    pool.maker.reread_site()

    assert "b" * 64 == known_hash(pool)
    assert known is pool.maker.site
    assert [known, known] == [one.upstream.given["site"] for one in pool.tokens]


@pytest.mark.parametrize("spoil", ["[tag", "tag = 1", None])
@pytest.mark.parametrize("is_named", [True, False])
def test_a_site_file_with_a_mistake_is_not_taken_in_place(
    pool: Pool, tmp_path: Path, spoil: str | None, is_named: bool
) -> None:
    """All stays as it is; but one that may be missing is not missed."""
    path = tmp_path / "site.toml"
    site_file(path, "a" * 64)
    pool.use(tokens=("a",), **{"poe_site": path} if is_named else {"state_file": tmp_path / "s"})
    if spoil is None:
        path.unlink()
    else:
        path.write_text(spoil)
    with log_lines() as lines:
        pool.maker.reread_site()

    if spoil is None and not is_named:
        assert (known_hash(pool), "") == (Site.load().operations[SEND], lines.getvalue())
    else:
        assert "a" * 64 == known_hash(pool)
        assert f"{path} is not used: " in lines.getvalue()


def test_a_site_file_beside_the_state_may_come_later(pool: Pool, tmp_path: Path) -> None:
    """Discovery writes it; POE_SITE stands above it."""
    pool.use(tokens=("a",), state_file=tmp_path / "state")
    site_file(tmp_path / "site.toml", "a" * 64)
    pool.maker.reread_site()
    assert "a" * 64 == known_hash(pool)

    site_file(tmp_path / "mine", "b" * 64)
    pool.use(tokens=("a",), state_file=tmp_path / "state", poe_site=tmp_path / "mine")
    assert "b" * 64 == known_hash(pool)


def test_what_was_found_stays_until_the_file_changes(pool: Pool, tmp_path: Path) -> None:
    """It may have been kept in memory only: reading the same again changes nothing."""
    site_file(tmp_path / "s", "a" * 64)
    pool.use(tokens=("a",), poe_site=tmp_path / "s")
    known = pool.maker.site
    assert known is not None
    found = Findings({f"operations.{SEND}": "f" * 64}).applied(known.now)
    known.replace(found)
    pool.use(tokens=("a", "b"), poe_site=tmp_path / "s", cool_down=1.0)
    pool.maker.reread_site()
    assert found is known.now

    site_file(tmp_path / "s", "b" * 64)
    pool.maker.reread_site()
    assert "b" * 64 == known_hash(pool)


def test_settings_that_are_not_used_name_no_site_file(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of those before is the one that is read again."""
    for name, hash in (("old", "a" * 64), ("new", "b" * 64)):
        site_file(tmp_path / name, hash)
    pool.use(tokens=("a",), poe_site=tmp_path / "old")
    with monkeypatch.context() as patch:
        patch.setattr(by_key, "PoeApi", lambda *args, **given: [][0])
        with pytest.raises(IndexError):
            pool.use(tokens=("a",), api_keys=("k",), poe_site=tmp_path / "new")
    site_file(tmp_path / "old", "c" * 64)
    pool.maker.reread_site()

    assert "c" * 64 == known_hash(pool)


def test_a_reload_that_comes_while_a_site_file_is_read_counts(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read is of settings that are used no more."""
    for name, hash in (("old", "a" * 64), ("new", "b" * 64)):
        site_file(tmp_path / name, hash)
    pool.use(tokens=("a",), poe_site=tmp_path / "old")
    site_file(tmp_path / "old", "c" * 64)
    load = Site.load

    def meanwhile(path: Path | None = None) -> Site:
        site = load(path)
        if path == tmp_path / "old":
            pool.use(tokens=("a",), poe_site=tmp_path / "new")
        return site

    monkeypatch.setattr(Site, "load", meanwhile)
    pool.maker.reread_site()

    assert "b" * 64 == known_hash(pool)


def test_without_a_cookie_there_is_no_site(pool: Pool) -> None:
    """Nobody needs it; and there is nothing to read again."""
    pool.use(tokens=(), api_keys=("k",))
    pool.maker.reread_site()

    assert pool.maker.site is None


def test_a_mistake_in_poe_site_is_the_users(tmp_path: Path) -> None:
    """One in what poe-proxy has written by itself must not keep the server from starting."""
    path = tmp_path / "site.toml"
    path.write_text("[tag")
    with pytest.raises(ValueError, match="not TOML"):
        read_site(Settings(auth_keys=("k",), poe_site=path))

    with log_lines() as lines:
        site = read_site(Settings(auth_keys=("k",), state_file=tmp_path / "state"))
    assert Site.load() == site
    assert f"{path} is not used: The file is not TOML" in lines.getvalue()


class Remembering(Renewals):
    """Keeps the renewals of accounts."""

    def __init__(self) -> None:
        self.known: dict[str, Mapping[str, str]] = {}

    def renewed(self, name: str) -> Mapping[str, str]:
        return self.known.get(name, {})

    def keep_renewed(self, name: str, cookies: Mapping[str, str]) -> None:
        self.known[name] = cookies


def test_renewed_cookies_outlive_the_upstream(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store has them for the next process; for this one they are kept in any case."""
    store = Remembering()
    for renewals in (store, Forgetful()):
        pool = Pool(monkeypatch, renewals)
        first, other = pool.use(tokens=("a", "b"))
        first.upstream.given["keep_renewed"]({"p-b": "renewed"})
        again, _ = pool.use(tokens=("a", "b"), timeout=5.0)

        assert ({}, {}) == (first.upstream.given["renewed"], other.upstream.given["renewed"])
        assert {"p-b": "renewed"} == again.upstream.given["renewed"]

    assert {first.name: {"p-b": "renewed"}} == store.known
    (after,) = Pool(monkeypatch, store).use(tokens=("a",))
    assert {"p-b": "renewed"} == after.upstream.given["renewed"]


# ---- the list of models, which all accounts share

POE = "https://api.poe.com"


@pytest.mark.parametrize("given", [{"tokens": ("a", "b")}, {"api_keys": ("k", "l")}])
def test_the_list_is_fetched_for_accounts_of_either_kind(pool: Pool, given: Any) -> None:
    """It is one list for all, and stays while they come and go."""
    pool.use(**given)
    pool.use(tokens=("c",), api_keys=("k",))
    ((verb, catalogue),) = pool.listed

    assert ("start", catalogue) == (verb, pool.maker.catalogue)
    assert b"list" == catalogue._fetch()
    assert [(POE, None)] == pool.fetched


def test_the_list_is_fetched_where_the_api_is(pool: Pool) -> None:
    """Another address has another list."""
    pool.use(tokens=("a",))
    pool.use(tokens=("a",), poe_api_url="http://127.0.0.1:1")
    first, second = dict.fromkeys(one for _, one in pool.listed)
    second._fetch()

    assert [("start", first), ("stop", first), ("start", second)] == pool.listed
    assert [("http://127.0.0.1:1", None)] == pool.fetched


def test_the_list_takes_the_way_that_the_accounts_take(pool: Pool, tmp_path: Path) -> None:
    """Keys first, each proxy once, and another one only if there is no way through."""
    path = tmp_path / "accounts.toml"
    path.write_text(
        "".join(
            f"[[account]]\n{kind}='{name}'\nproxy='http://127.0.0.1:{port}'\n"
            for kind, name, port in [
                ("cookie", "a", 1), ("cookie", "b", 2), ("cookie", "c", 2), ("key", "k", 3),
                ("cookie", "d", 4), ("cookie", "e", 5),
            ]
        )
    )  # fmt: skip
    pool.use(tokens_config=path)
    pool.broken = {f"http://127.0.0.1:{port}" for port in (1, 2, 3, 4, 5)}
    fetch = pool.maker.catalogue._fetch
    assert fetch is not None
    with pytest.raises(UpstreamUnreachable):
        fetch()
    pool.broken.remove("http://127.0.0.1:1")
    fetch()

    assert [*"312", *"31"] == [str(proxy)[-1] for _, proxy in pool.fetched]


@pytest.mark.parametrize(
    ("given", "sources"),
    [
        ({"tokens": ("a",), "catalogue": False}, 0),
        ({"tokens": ("a",), "api_keys": ("k",), "catalogue": False}, 1),
        ({"tokens": ("a",)}, 1),
    ],
)
def test_the_list_is_not_fetched_if_it_may_not_be(pool: Pool, given: Any, sources: int) -> None:
    """For a key it is in any case, since it says what bots take; otherwise there is another one."""
    pool.use(**given)

    assert sources == len(pool.listed)
    assert "claude-sonnet-4.5" in pool.maker.catalogue.models


def test_a_list_that_may_be_fetched_no_longer_is_not(pool: Pool) -> None:
    """A reload stops it, and begins it anew."""
    pool.use(tokens=("a",))
    pool.use(tokens=("a",), catalogue=False)
    pool.use(tokens=("a",))
    first, second = dict.fromkeys(one for _, one in pool.listed)

    assert [("start", first), ("stop", first), ("start", second)] == pool.listed


# ---- what the site shows accounts


def test_what_accounts_are_shown_has_the_names_of_their_tokens(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All looks begin before one is waited for; and none does if bots may not be looked up."""
    one, other = (
        token for token in pool.use(tokens=("a", "b"), api_keys=("k",)) if token.kind == "cookie"
    )
    asked: list[tuple[Any, bool]] = []
    shelves = {one.upstream: ("Shared", "Mine"), other.upstream: ("Shared",)}

    def shown(web: Any, wait: float = 0.0) -> tuple[str, ...]:
        asked.append((web, wait > 0))
        return shelves[web]

    monkeypatch.setattr(type(one.upstream), "shown", shown)
    found = pool.maker.shown()
    pool.use(tokens=("a", "b"), api_keys=("k",), catalogue=False)

    assert {"Shared": frozenset({one.name, other.name}), "Mine": frozenset({one.name})} == found
    assert [False, False, True, True] == [is_waited_for for _, is_waited_for in asked]
    assert {} == pool.maker.shown()
    assert 4 == len(asked)


# ---- the end


def test_all_are_closed_at_once_and_waited_for(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may take some seconds; and what was being closed before is waited for too."""
    tokens = pool.use(tokens=("a", "b", "c"), api_keys=("k",))
    pool.use(tokens=("b", "c"), api_keys=("k",))
    together = threading.Barrier(4, timeout=60)
    close = type(tokens[0].upstream).close

    def wait_and_close(one: Any) -> None:
        together.wait()
        close(one)

    for upstream in {type(token.upstream) for token in tokens}:
        monkeypatch.setattr(upstream, "close", wait_and_close)
    pool.end_replies()
    pool.maker.close()

    assert {token.upstream for token in tokens} == set(pool.closed)
    assert ["start", "stop"] == [verb for verb, _ in pool.listed]


def test_one_that_cannot_be_closed_does_not_keep_the_others(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log says which it was."""
    key, cookie = pool.use(tokens=("a",), api_keys=("k",))[::-1]
    monkeypatch.setattr(type(cookie.upstream), "close", lambda one: [][0])
    with log_lines() as lines:
        pool.maker.close()

    assert [key.upstream] == pool.closed
    assert "cookie-1 was not closed" in lines.getvalue()
