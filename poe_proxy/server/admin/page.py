"""The status page: the numbers as words, for the browser to show.

The page and its JavaScript get the same words, so that what a reload shows is what was there
before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from poe_proxy import logs
from poe_proxy.overview import RELOADED
from poe_proxy.server.admin import curve, fitting, site
from poe_proxy.server.admin.words import Words, clock

#: The most accounts on the page.
MOST_ACCOUNTS: Final = 100
#: The most characters of a cell.
MOST_CELL: Final = 800

#: How grave each state is: what the page colours.
_LEVELS: Final = {
    "free": "well",
    "in_use": "well",
    "resting": "calm",
    "limited": "calm",
    "paused": "calm",
    "out_of_points": "poor",
    "suspended": "bad",
    "retired": "bad",
}


def shown(told: Mapping[str, Any], words: Words) -> dict[str, Any]:
    """Return what the page shows of the numbers *told*: what `everything` has, as far as it fits,
    and how much more there is."""
    accounts = told["accounts"]
    if len(accounts) > MOST_ACCOUNTS:
        # Those that want somebody to look after them come first.
        grave = sorted(accounts, key=lambda one: _LEVELS[one["state"]] not in ("poor", "bad"))
        told = {**told, "accounts": grave[:MOST_ACCOUNTS]}
    page = fitting.fitted(everything(told, words), whole=("settings",))
    kept = {"accounts": page["accounts"], **page["tables"]}
    all_there = {**told, "accounts": accounts, "workers": told["processes"]}
    if told["site"] is not None:
        all_there["differs"] = told["site"]["discovery"]["differs"]
    for name, there in all_there.items():
        if name in kept:
            more = len(there) - len(kept[name])
            page["cells"][f"more {name}"] = words("more", n=words.number(more)) if more else ""
    return page


def everything(told: Mapping[str, Any], words: Words) -> dict[str, Any]:
    """Return the numbers *told* as texts, all of them:

    * `cells`, texts by their places; a cell of an account has the number of its row in front
    * `levels`, how grave some of them are
    * `tables`, rows of texts
    * `curve`, the paths of a picture
    * `accounts`, whose rows there are
    """
    accounts = told["accounts"]
    cells, levels = _head(told, words), {}
    if told["site"] is not None:
        cells |= site.cells(told["site"], told["now"], words)
    facts = told["facts"]
    levels["sentence"] = facts[0]["level"] if facts else "well"
    for place, one in enumerate(accounts):
        for name, text in _account(one, told["now"], words):
            cells[f"{place} {name}"] = text
        levels[f"{place} state"] = _LEVELS[one["state"]]
    return {
        "cells": {name: text[:MOST_CELL] for name, text in cells.items()},
        "levels": levels,
        "tables": {
            # Clients choose names: none of them shall turn a line around.
            name: [[logs.escape(text[:MOST_CELL]) for text in row] for row in rows]
            for name, rows in _tables(told, words).items()
        },
        "curve": curve.paths(told["line"]["minutes"]),
        "accounts": [one["label"] for one in accounts],
    }


def _head(told: Mapping[str, Any], words: Words) -> dict[str, str]:
    now, line, facts = told["now"], told["line"], told["facts"]
    most = max((one for one, _ in line["minutes"]), default=0)
    store, reload = told["store"], told["reload"]
    state = f"store_{store['kind']}"
    if not store["up"]:
        state = "store_redis_away" if store["kind"] == "redis" else "store_away"
    head = [
        words("since", for_=words.between(told["since"], now)),
        _workers(told, words),
        words(state, why=store["trouble"]),
    ]
    if reload is not None:
        name = "reloaded" if reload["outcome"] == RELOADED else "not_reloaded_at"
        head.append(words(name, ago=words.ago(reload["at"], now)))
    return {
        "sentence": words.sentence(facts, now),
        "others": " ".join(words.fact(one, now) for one in facts[1:]),
        "head": " · ".join(head),
        "as_of": words("as_of", at=now[11:19]),
        "waiting": words.number(line["waiting"]),
        "places": words("places", n=words.number(line["places"])),
        "longest": words.lasting(line["longest_seconds"]),
        "waits": words(
            "median_p95",
            median=words.lasting(line["median_seconds"]),
            most=words.lasting(line["p95_seconds"]),
        )
        if line["median_seconds"] is not None
        else words("nothing"),
        "requests": words.number(line["requests_of_hour"]),
        "refused": words("refused_429", n=words.number(line["refused_of_hour"])),
        "curve": words("curve", n=words.number(most)),
    }


def _workers(told: Mapping[str, Any], words: Words) -> str:
    workers, hosts = told["workers"], told["hosts"]
    if not told["processes"]:
        return words("worker")
    if workers == 1:
        return words("worker_of_pool")
    return words("workers_of_host" if hosts == 1 else "workers_of_hosts", n=workers, hosts=hosts)


# ---- accounts


def _account(one: Mapping[str, Any], now: str, words: Words) -> Iterator[tuple[str, str]]:
    yield "kind", words(one["kind"]) if words.has(one["kind"]) else one["kind"]
    yield "state", words(one["state"])
    yield "until", _until(one, now, words)
    yield "why", logs.escape(one["reason"])
    yield "use", "\n".join(_use(one, words))
    yield (
        "points",
        words.number(one["points"]) if one["points"] is not None else words("points_unknown"),
    )
    yield (
        "points_at",
        (words("points_at", ago=words.ago(one["points_at"], now)) if one["points_at"] else ""),
    )
    yield "grant", _grant(one, now, words)
    yield "last", "\n".join(_last(one, now, words))


def _grant(one: Mapping[str, Any], now: str, words: Words) -> str:
    at, number = one["next_grant_at"], one["next_grant_points"]
    if at is None:
        return ""
    name = "next_grant" if number is None else "next_grant_of"
    return words(name, at=clock(at, now), n=words.number(number))


def _until(one: Mapping[str, Any], now: str, words: Words) -> str:
    at, state = one["until"], one["state"]
    if at is not None:
        name = "looked_at" if state == "suspended" else "until"
        return words(name, at=clock(at, now), in_=words.ahead(at, now))
    return {
        "paused": words("until_you"),
        "out_of_points": words("until_points", for_=words.lasting(one["points_check_seconds"])),
        "retired": words("until_renewed"),
    }.get(state, "")


def _use(one: Mapping[str, Any], words: Words) -> Iterator[str]:
    yield words("running", n=one["in_use"], most=one["at_a_time"])
    day = None
    for window in one["windows"]:
        if window["is_day"]:
            day = window
            continue
        yield words(
            "window",
            n=window["used"],
            most=window["limit"],
            for_=words.lasting(window["seconds"]),
        )
    if day is None:
        yield words("today_n", n=words.number(one["today"]))
    else:
        yield words("today_of", n=one["today"], used=day["used"], most=day["limit"])


def _last(one: Mapping[str, Any], now: str, words: Words) -> Iterator[str]:
    if one["succeeded_at"]:
        yield words("succeeded", ago=words.ago(one["succeeded_at"], now))
    if one["failed_at"]:
        yield words("failed_at", ago=words.ago(one["failed_at"], now), code=one["failure"])
    if one["first_text_seconds"] is not None:
        yield words("first_after", for_=words.lasting(one["first_text_seconds"]))
    if not one["succeeded_at"] and not one["failed_at"]:
        yield words("never")


# ---- tables

#: By table: the words above its columns.
COLUMNS: Final[Mapping[str, Sequence[str]]] = {
    "pool": ("account", "state", "use", "points", "last", "buttons"),
    "workers": ("host", "pid", "version", "up", "under_way", "homes"),
    "clients": ("client", "seen", "today", "tokens", "points_today", "refused"),
    "models": ("model", "bot", "count", "first_text", "failed"),
    "failures": ("time", "request", "client", "model", "account", "code", "message"),
    "settings": ("name", "value", "from"),
    "differs": ("entry", "before", "after"),
}


def _tables(told: Mapping[str, Any], words: Words) -> dict[str, list[list[str]]]:
    now = told["now"]
    rows: Mapping[str, Callable[[Mapping[str, Any]], list[str]]] = {
        "clients": lambda one: _client(one, now, words),
        "models": lambda one: _model(one, words),
        "failures": lambda one: _failure(one, now),
        "settings": lambda one: [one[column] for column in COLUMNS["settings"]],
    }
    tables = {name: [row(one) for one in told[name]] for name, row in rows.items()}
    if told["processes"]:
        tables["workers"] = [_worker(one, now, words) for one in told["processes"]]
    if told["site"] is not None:
        tables["differs"] = site.rows(told["site"])
    return tables


def _worker(one: Mapping[str, Any], now: str, words: Words) -> list[str]:
    since = one["since"]
    return [
        one["host"],
        words("nothing") if one["pid"] is None else str(one["pid"]),
        one["version"],
        words("nothing") if since is None else words.between(since, now),
        words.number(one["under_way"]),
        words.number(one["homes"]),
    ]


def _client(one: Mapping[str, Any], now: str, words: Words) -> list[str]:
    def of(what: Mapping[str, Any]) -> str:
        limit = "" if what["limit"] is None else f" / {words.number(what['limit'])}"
        return words.number(what["today"]) + limit

    points = one["points"]
    split = words(
        "points_split",
        exact=words.number(points["exact"]),
        estimated=words.number(points["estimated"]),
    )
    refused = ", ".join(f"{code} {number}" for code, number in one["refused"].items())
    return [
        one["name"],
        words.ago(one["last_seen"], now),
        of(one["requests"]),
        of(one["tokens"]),
        f"{of(points)} ({split})" if points["today"] else of(points),
        refused or words("nothing"),
    ]


def _model(one: Mapping[str, Any], words: Words) -> list[str]:
    share = one["failures"] / max(1, one["requests"])
    return [
        one["name"],
        one["bot"],
        words.number(one["requests"]),
        words.lasting(one["first_text_seconds"]),
        f"{100 * share:.0f} %",
    ]


def _failure(one: Mapping[str, Any], now: str) -> list[str]:
    time = one["at"][11:19] if one["at"][:10] == now[:10] else one["at"][5:16].replace("T", " ")
    times = f" ×{one['times']}" if one["times"] > 1 else ""
    return [
        time + times,
        one["request"],
        one["client"],
        one["model"],
        one["account"],
        one["code"],
        one["message"],
    ]
