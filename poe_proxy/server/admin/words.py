"""What the status page says, in English and in Chinese."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

#: The languages, the first one for everybody whose browser asks for none of them.
LANGUAGES: Final = ("en", "zh")

_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    # ---- the parts
    "title": ("poe-proxy status", "poe-proxy 状态"),
    "line": ("Line", "排队"),
    "accounts": ("Accounts", "账号"),
    "clients": ("Clients", "客户端"),
    "workers": ("Workers", "进程"),
    "models": ("Models, last 24 hours", "模型（最近 24 小时）"),
    "failures": ("Failures, last 50", "失败（最近 50 次）"),
    "settings": ("Settings", "设置"),
    "none_yet": ("None yet.", "暂无。"),
    "more": ("The other {n} are in status.json.", "其余 {n} 个见 status.json。"),
    # ---- the head
    "since": ("up for {for_}", "已运行 {for_}"),
    "store_memory": ("in memory only", "仅在内存中"),
    "store_file": ("state file written", "状态文件正常"),
    "store_away": ("state file: {why}", "状态文件：{why}"),
    "store_redis": ("Redis answers", "Redis 正常"),
    "store_redis_away": ("Redis: {why}", "Redis：{why}"),
    "reloaded": ("settings read anew {ago}", "{ago}重新读取设置"),
    "not_reloaded_at": ("reload refused {ago}", "{ago}重新读取被拒绝"),
    "worker": ("one worker, one host", "一个进程，一台主机"),
    "worker_of_pool": ("one worker of a shared pool", "共享池中的一个进程"),
    "workers_of_host": ("{n} workers, one host", "{n} 个进程，一台主机"),
    "workers_of_hosts": ("{n} workers, {hosts} hosts", "{n} 个进程，{hosts} 台主机"),
    "as_of": ("as of {at} UTC", "截至 {at} UTC"),
    "log_out": ("Log out", "退出"),
    "reload": ("Reload settings", "重新读取设置"),
    # ---- the line
    "waiting": ("in line now", "正在排队"),
    "places": ("of {n} places", "共 {n} 个位置"),
    "longest": ("longest wait now", "当前最长等待"),
    "waits": ("wait, last 15 min", "等待（最近 15 分钟）"),
    "median_p95": ("median {median}, 95 % {most}", "中位数 {median}，95% {most}"),
    "requests": ("requests, last hour", "请求（最近一小时）"),
    "refused_429": ("{n} refused with 429", "以 429 拒绝 {n}"),
    "curve": (
        "Requests of the last hour, minute by minute; at most {n} in one.",
        "最近一小时每分钟的请求数，最多 {n} 个。",
    ),
    # ---- heads of columns
    "account": ("Account", "账号"),
    "state": ("State", "状态"),
    "use": ("Use", "用量"),
    "points": ("Points", "点数"),
    "last": ("Last", "最近"),
    "buttons": ("Do", "操作"),
    "client": ("Client", "客户端"),
    "seen": ("Last seen", "最近出现"),
    "today": ("Requests today", "今日请求"),
    "tokens": ("Tokens", "令牌"),
    "points_today": ("Points", "点数"),
    "points_split": ("{exact} exact, {estimated} estimated", "精确 {exact}，估算 {estimated}"),
    "refused": ("Refused", "被拒绝"),
    "model": ("Model", "模型"),
    "bot": ("Bot", "机器人"),
    "count": ("Requests", "请求"),
    "first_text": ("First word", "首字"),
    "failed": ("Failed", "失败"),
    "time": ("Time, UTC", "时间 UTC"),
    "request": ("Request", "请求编号"),
    "code": ("Code", "代码"),
    "message": ("Message", "信息"),
    "name": ("Name", "名称"),
    "value": ("Value", "值"),
    "host": ("Host", "主机"),
    "pid": ("Process", "进程号"),
    "version": ("Version", "版本"),
    "up": ("Up for", "已运行"),
    "under_way": ("Requests now", "进行中的请求"),
    "homes": ("Cookies at home", "常驻 cookie"),
    "from": ("From", "来源"),
    # ---- accounts
    "cookie": ("cookie", "cookie"),
    "key": ("API key", "API 密钥"),
    "free": ("free", "空闲"),
    "in_use": ("in use", "使用中"),
    "resting": ("resting", "休息中"),
    "limited": ("held back by Poe", "被 Poe 限制"),
    "paused": ("set aside by you", "已由您停用"),
    "out_of_points": ("out of points", "点数用完"),
    "suspended": ("suspended", "已暂停"),
    "retired": ("given up", "已放弃"),
    "until": ("until {at} UTC, {in_}", "至 {at} UTC，{in_}"),
    "looked_at": ("looked at again at {at} UTC, {in_}", "{at} UTC 再次检查，{in_}"),
    "until_you": ("until you bring it back", "直到您恢复它"),
    "until_points": (
        "until it has points again; Poe is asked every {for_}",
        "直到有点数；每 {for_}询问一次 Poe",
    ),
    "until_renewed": ("until its credential is renewed", "直到更换凭据"),
    "running": ("{n} of {most} at a time", "同时 {n} / {most}"),
    "window": ("{n} of {most} in {for_}", "{for_}内 {n} / {most}"),
    "today_of": ("{n} today, {used} of {most} in 24 h", "今日 {n}，24 小时内 {used} / {most}"),
    "today_n": ("{n} today", "今日 {n}"),
    "points_unknown": ("not known", "未知"),
    "points_at": ("Poe said so {ago}", "{ago}由 Poe 告知"),
    "next_grant": ("next grant {at} UTC", "下次发放 {at} UTC"),
    "next_grant_of": ("next grant {at} UTC, +{n}", "下次发放 {at} UTC，+{n}"),
    "succeeded": ("answered {ago}", "{ago}成功"),
    "never": ("not asked yet", "尚未使用"),
    "failed_at": ("failed {ago}: {code}", "{ago}失败：{code}"),
    "first_after": ("first word after {for_}", "首字 {for_}"),
    "rest": ("Rest it", "停用"),
    "rest_600": ("10 min", "10 分钟"),
    "rest_3600": ("1 h", "1 小时"),
    "rest_": ("until I say", "直到我恢复"),
    "revive": ("Bring it back", "恢复"),
    "check": ("Ask Poe now", "立即询问 Poe"),
    # ---- Poe's site
    "site": ("Poe's site", "Poe 网站"),
    "site_built_in": (
        "its names and hashes as they came with poe-proxy",
        "其名称与哈希为 poe-proxy 自带",
    ),
    "site_file": (
        "{file} on top of what came with poe-proxy; entries of it in use: {n}",
        "{file} 覆盖于 poe-proxy 自带的之上，其中生效 {n} 项",
    ),
    "site_memory": (
        "new entries, in memory only: {n}; a restart forgets them",
        "新值 {n} 项，仅在内存中，重启后丢失",
    ),
    "site_age": ("newest evidence {at}, {days} days old", "最新依据 {at}，距今 {days} 天"),
    "site_age_0": ("newest evidence of today, {at}", "最新依据为今日（{at}）"),
    "site_age_1": ("newest evidence of yesterday, {at}", "最新依据为昨日（{at}）"),
    "site_looked": ("Looked for what is new {ago}: {what}", "{ago}查找过新值：{what}"),
    "site_looking": ("Looking for what is new.", "正在查找新值。"),
    "site_not_looked": (
        "Nobody has looked for what is new since the start.",
        "启动以来尚未查找新值。",
    ),
    "site_later": (
        "By itself it looks again at {at} UTC at the earliest.",
        "最早 {at} UTC 再自动查找。",
    ),
    "site_by_hand": (
        "It looks only when told to (DISCOVER=0).",
        "仅在您要求时查找（DISCOVER=0）。",
    ),
    "site_written": ("Written to {file}.", "已写入 {file}。"),
    "site_missing": (
        "Not in the page, nor in its scripts: {names}.",
        "页面及其脚本中没有：{names}。",
    ),
    "look_mended": ("it was found, and is in use.", "已找到并启用。"),
    "look_same": ("nothing differs.", "没有差异。"),
    "look_unusable": (
        "Poe refuses requests as its page has them now, too.",
        "按其页面现有的值请求，Poe 仍然拒绝。",
    ),
    "look_failed": (
        "the page or its scripts could not be read.",
        "无法读取页面或其脚本。",
    ),
    "entry": ("Differs", "差异"),
    "before": ("Before", "原值"),
    "after": ("Now", "新值"),
    "discover": ("Look for what is new", "查找新值"),
    # ---- what a button has done
    "did_rest": ("{label} rests, {until}.", "{label} 已停用，{until}。"),
    "did_revive": ("{label} is lent again.", "{label} 已恢复。"),
    "did_points": ("{label}: Poe accepts it; {points} points.", "{label}：Poe 接受，{points} 点。"),
    "did_fail": ("{label}: {code}. {reason}", "{label}：{code}。{reason}"),
    "did_wait": (
        "{label}: Poe has not answered yet; what it says will be shown here.",
        "{label}：Poe 尚未回答，稍后会显示在此。",
    ),
    "did_reload": ("The settings were read anew.", "已重新读取设置。"),
    "did_not_reload": ("Not reloaded, going on as before. {why}", "未重新读取，保持原样。{why}"),
    "did_look_wait": (
        "It is still looking; what comes of it will be shown here.",
        "仍在查找，结果稍后会显示在此。",
    ),
    # ---- the login
    "log_in": ("Log in", "登录"),
    "admin_key": ("ADMIN_KEY of this server", "本服务器的 ADMIN_KEY"),
    "wrong_key": ("That is not the key.", "密钥不对。"),
    "other_language": ("中文", "English"),
    # ---- how things are
    "well": ("All well.", "一切正常。"),
    "fact_none_usable": ("No account can be used.", "没有可用的账号。"),
    "fact_store_away": ("The state file cannot be written: {why}.", "无法写入状态文件：{why}。"),
    "fact_redis_away": ("Redis is away: {why}.", "Redis 不可用：{why}。"),
    "fact_upstream_changed": (
        "Poe has changed its site: what is asked by cookie fails.",
        "Poe 网站已变更：通过 cookie 的请求失败。",
    ),
    "fact_upstream_changed_looking": (
        "Poe has changed its site: what is asked by cookie fails. poe-proxy is looking for what is "
        "new.",
        "Poe 网站已变更：通过 cookie 的请求失败。正在查找新值。",
    ),
    "fact_upstream_changed_same": (
        "Poe has changed its site: what is asked by cookie fails. poe-proxy has looked for what is "
        "new at {at} UTC, and found nothing.",
        "Poe 网站已变更：通过 cookie 的请求失败。{at} UTC 查找过新值，没有发现。",
    ),
    "fact_upstream_changed_unusable": (
        "Poe has changed its site: what is asked by cookie fails. poe-proxy has looked for what is "
        "new at {at} UTC; as its page has it, Poe refuses it, too.",
        "Poe 网站已变更：通过 cookie 的请求失败。{at} UTC 查找过新值，但按其页面的值请求，Poe "
        "仍然拒绝。",
    ),
    "fact_upstream_changed_failed": (
        "Poe has changed its site: what is asked by cookie fails. Its page or scripts could not be "
        "read at {at} UTC.",
        "Poe 网站已变更：通过 cookie 的请求失败。{at} UTC 无法读取其页面或脚本。",
    ),
    "fact_upstream_changed_later": (
        "Poe has changed its site: what is asked by cookie fails. By itself poe-proxy looks for "
        "what is new at {at} UTC at the earliest.",
        "Poe 网站已变更：通过 cookie 的请求失败。最早 {at} UTC 再自动查找新值。",
    ),
    "fact_upstream_changed_off": (
        "Poe has changed its site: what is asked by cookie fails. The button at /status, or "
        "`poe-proxy discover`, looks for what is new.",
        "Poe 网站已变更：通过 cookie 的请求失败。/status 的按钮或 `poe-proxy discover` "
        "可查找新值。",
    ),
    "fact_suspended": (
        "{number} of {of} accounts {is_} suspended.",
        "{of} 个账号中 {number} 个已暂停。",
    ),
    "fact_retired": (
        "{number} of {of} accounts {is_} given up, for want of a new credential.",
        "{of} 个账号中 {number} 个已放弃，需要新凭据。",
    ),
    "fact_out_of_points": (
        "{number} of {of} accounts {is_} out of points.",
        "{of} 个账号中 {number} 个点数用完。",
    ),
    "fact_out_of_points_until": (
        "{number} of {of} accounts {is_} out of points; the next grant is at {at} UTC.",
        "{of} 个账号中 {number} 个点数用完，下次发放于 {at} UTC。",
    ),
    "fact_long_line": ("A request has waited for {for_}.", "有请求已等待 {for_}。"),
    "fact_many_refused": (
        "{percent} % of the requests of the last 10 minutes were refused with 429.",
        "最近 10 分钟有 {percent}% 的请求以 429 被拒绝。",
    ),
    "fact_not_reloaded": (
        "The last reload was refused: the settings have a mistake.",
        "上次重新读取被拒绝：设置有误。",
    ),
    # ---- times
    "ago": ("{for_} ago", "{for_}前"),
    "in": ("in {for_}", "{for_}后"),
    "now": ("just now", "刚刚"),
    "milliseconds": ("{n} ms", "{n} 毫秒"),
    "seconds": ("{n} s", "{n} 秒"),
    "minutes": ("{n} min", "{n} 分钟"),
    "hours": ("{n} h", "{n} 小时"),
    "days": ("{n} d", "{n} 天"),
    "nothing": ("–", "–"),
}


class Words:
    """What is said in one language."""

    def __init__(self, language: str) -> None:
        """*language* is one of `LANGUAGES`."""
        self.language = language
        self._place = LANGUAGES.index(language)

    def __call__(self, name: str, **values: Any) -> str:
        """Return the words of that *name*, with *values* in their places."""
        return _WORDS[name][self._place].format(**values)

    def has(self, name: str) -> bool:
        """Whether there are such words."""
        return name in _WORDS

    @property
    def other(self) -> str:
        """The other language."""
        return LANGUAGES[1 - self._place]

    def fact(self, fact: Mapping[str, Any], now: str) -> str:
        """Return the sentence that says *now* a fact of `overview.facts`."""
        values = {name: one for name, one in fact.items() if name not in ("level", "fact")}
        values["is_"] = "is" if values.get("number") == 1 else "are"
        if "seconds" in values:
            values["for_"] = self.lasting(values["seconds"])
        name = f"fact_{fact['fact']}"
        if doing := values.pop("doing", ""):
            name = f"{name}_{doing}"
        if at := values.get("next_grant_at"):
            name, values["at"] = f"{name}_until", at
        if values.get("at"):
            values["at"] = clock(values["at"], now)
        return self(name, **values)

    def sentence(self, facts: Iterable[Mapping[str, Any]], now: str) -> str:
        """Return the sentence that says how things are *now*: the worst of *facts*."""
        worst = next(iter(facts), None)
        return self("well") if worst is None else self.fact(worst, now)

    # ---- figures

    def number(self, number: int | None) -> str:
        """Return a number with a comma for each thousand; a dash if it is not known."""
        return self("nothing") if number is None else f"{number:,}"

    def lasting(self, seconds: float | None) -> str:
        """Return how long something takes, in one or two units; a dash if it is not known."""
        if seconds is None:
            return self("nothing")
        if 0 < seconds < 1:
            return self("milliseconds", n=max(1, round(1000 * seconds)))
        if seconds < 10:
            return self("seconds", n=f"{seconds:.1f}" if seconds % 1 else f"{seconds:.0f}")
        if seconds < 60:
            return self("seconds", n=int(seconds))
        for size, unit, smaller, name in (
            (3600, 60, "seconds", "minutes"),
            (86400, 3600, "minutes", "hours"),
        ):
            if seconds < size:
                rest = int(seconds % unit) // (unit // 60)
                whole = self(name, n=int(seconds // unit))
                return f"{whole} {self(smaller, n=rest)}" if rest and name == "hours" else whole
        return self("days", n=int(seconds // 86400))

    def between(self, earlier: str, later: str) -> str:
        """Return how long it was from one time to another."""
        return self.lasting(max(0, int(_seconds(earlier, later))))

    def ago(self, at: str | None, now: str) -> str:
        """Return how long ago *at* was; a dash if it is not known."""
        return self._apart(now, at, "ago")

    def ahead(self, at: str | None, now: str) -> str:
        """Return in how long *at* will be; a dash if it is not known."""
        return self._apart(at, now, "in")

    def _apart(self, later: str | None, earlier: str | None, name: str) -> str:
        if later is None or earlier is None:
            return self("nothing")
        seconds = _seconds(earlier, later)
        return self(name, for_=self.lasting(seconds)) if seconds >= 1 else self("now")


def _seconds(earlier: str, later: str) -> float:
    first, second = map(datetime.fromisoformat, (earlier, later))
    return (second - first).total_seconds()


def clock(stamp: str, now: str) -> str:
    """Return the time of day of *stamp*, with the date where it is another one than that of
    *now*."""
    time = stamp[11:16]
    return time if stamp[:10] == now[:10] else f"{stamp[:10]} {time}"
