"""The settings of those who run it for others: keys for people, what is shown of it, what is kept
of its use, and who hears of trouble."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from environs import ValidationError, validate

from poe_proxy.checks import (
    NOT_NEGATIVE,
    is_file,
    is_key,
    is_no_folder,
    is_pool,
    is_redis_url,
    is_url,
)
from poe_proxy.environment import number, path, setting, switch, text, whole_number
from poe_proxy.serving import Serving

#: A time of day, with a distance from UTC behind it, or none.
_DAY_STARTS: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)(?:([+-])(0\d|1[0-4]):([0-5]\d)|Z)?")


def day_start(given: str) -> float:
    """Return a time of day such as `09:00+08:00`, or `09:00` in UTC, as seconds after midnight in
    UTC of the same date: fewer than none if it is on the day before there."""
    found = _DAY_STARTS.fullmatch(given.strip())
    if found is None:
        raise ValidationError("Must be a time of day such as 09:00+08:00, or 09:00 for UTC.")
    hours, minutes, sign, ahead_hours, ahead_minutes = found.groups()
    seconds = 3600 * int(hours) + 60 * int(minutes)
    if sign:
        ahead = 3600 * int(ahead_hours) + 60 * int(ahead_minutes)
        seconds += ahead if sign == "-" else -ahead
    return float(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operating(Serving):
    """What follows the settings of the server, in the order of the documents."""

    clients: Path | None = setting(
        "CLIENTS",
        path,
        check=is_file,
        default=None,
        heading="Keys for people, and what is shown and kept",
        meaning="A TOML file with named clients, each with a key of its own, and what it may use: "
        "models, requests, tokens and points; `docs/clients.example.toml` shows all that it can "
        "hold. It stands beside `AuthKey`, or alone.",
    )
    admin_key: str | None = setting(
        "ADMIN_KEY",
        text,
        check=is_key,
        default=None,
        secret=True,
        meaning="The key of whoever runs the server, for `/status`, `/admin/...`, `/metrics` and "
        "everybody's usage: at least 12 characters, and none of the clients' keys. Without it "
        "there are no such routes.",
    )
    root_page: bool = setting(
        "ROOT_PAGE",
        switch,
        default=True,
        meaning="Whether `GET /` is a page on which the server can be tried out.",
        values={"0": "there is none", "1": "there is one; its chat needs a client's key"},
    )
    metrics: bool = setting(
        "METRICS",
        switch,
        default=False,
        needs_restart=True,
        meaning="Whether `GET /metrics` has metrics for Prometheus; it takes `ADMIN_KEY`, as a "
        "bearer token.",
    )
    metrics_port: int = setting(
        "METRICS_PORT",
        whole_number,
        check=validate.Range(min=0, max=65535),
        default=0,
        needs_restart=True,
        meaning="A port on 127.0.0.1 on which the metrics need no key; it turns them on. 0: none.",
    )
    log_format: str = setting(
        "LOG_FORMAT",
        text,
        check=validate.OneOf(("text", "json")),
        default="text",
        meaning="How the log is written.",
        values={"text": "lines for people", "json": "an object a line, for programs"},
    )
    usage_file: Path | None = setting(
        "USAGE_FILE",
        path,
        check=is_no_folder,
        default=None,
        needs_restart=True,
        meaning="A file (SQLite) with a row for each request that was answered: who asked which "
        "bot, tokens, points and times, and no text. By default `usage.sqlite3` beside "
        "`STATE_FILE`; without that one, nothing is kept.",
    )
    usage_days: int = setting(
        "USAGE_DAYS",
        whole_number,
        check=NOT_NEGATIVE,
        default=30,
        needs_restart=True,
        meaning="Days for which such rows are kept; 0: none are written.",
    )
    day_starts: str = setting(
        "DAY_STARTS",
        text,
        check=day_start,
        default="00:00",
        meaning="When a day of the clients' budgets begins, such as `09:00+08:00`; without a "
        "distance behind it, in UTC.",
        example="09:00+08:00",
    )
    alert_url: str | None = setting(
        "ALERT_URL",
        text,
        check=is_url("http", "https"),
        default=None,
        secret=True,
        meaning="An address that gets a POST when an account is suspended, out of points or back, "
        "when no account of a kind can be used, and when Poe has changed its site, or that was "
        "mended.",
    )
    alert_format: str = setting(
        "ALERT_FORMAT",
        text,
        check=validate.OneOf(("json", "text", "slack")),
        default="json",
        meaning="What is sent there.",
        values={
            "json": "an object with `event`, `account`, `reason`, `until` and more",
            "text": "a sentence, as ntfy takes it",
            "slack": 'the same as `{"text": ...}`, as Slack, Mattermost and Discord\'s `/slack` '
            "take it",
        },
    )
    alert_every: float = setting(
        "ALERT_EVERY",
        number,
        check=NOT_NEGATIVE,
        default=3600.0,
        meaning="Seconds in which the same event of the same account is told of once.",
    )
    alert_points: int = setting(
        "ALERT_POINTS",
        whole_number,
        check=NOT_NEGATIVE,
        default=0,
        meaning="Points of an account below which that is told, too; 0: never.",
    )
    redis_url: str | None = setting(
        "REDIS_URL",
        text,
        check=is_redis_url,
        default=None,
        secret=True,
        needs_restart=True,
        heading="Several workers, and several hosts",
        meaning="A Redis in which workers and hosts share one pool of accounts: `redis://`, "
        "`rediss://` for TLS, or `unix://` for a socket. Neither cookies nor keys nor texts are "
        "ever written there. `docs/scale.md` says when that pays.",
        example="redis://poe:password@10.0.0.5:6379/0",
    )
    redis_pool: str = setting(
        "REDIS_POOL",
        text,
        check=is_pool,
        default="default",
        needs_restart=True,
        meaning="The name of that pool: servers with other accounts may share the Redis under "
        "another one.",
    )
    workers: int = setting(
        "WEB_CONCURRENCY",
        whole_number,
        check=validate.Range(min=1),
        default=1,
        needs_restart=True,
        meaning="Workers of this server, each a process: more than 1 with `REDIS_URL` and an API "
        "key, and no more than the machine has cores.",
    )

    @property
    def day_begins(self) -> float:
        """When a day of the clients' budgets begins: seconds after midnight in UTC of its date;
        fewer than none if that is on the day before."""
        return day_start(self.day_starts)

    @property
    def usage_at(self) -> Path | None:
        """The file of usage records; None if none are kept."""
        if not self.usage_days:
            return None
        if self.usage_file is None and self.state_file is not None:
            return self.state_file.with_name("usage.sqlite3")
        return self.usage_file

    @property
    def has_metrics(self) -> bool:
        """Whether metrics are kept at all."""
        return self.metrics or bool(self.metrics_port)
