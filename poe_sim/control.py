"""``/__journal`` and ``/__control``: for tests to look into the stand-in, and to steer it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import asdict, fields
from typing import Any

import orjson
from aiohttp import web

from .web import Switches, World
from .web.objects import Account
from .web.player import lose
from .web.switches import switch_error
from .web.world import Fault

_SWITCHES = {field.name for field in fields(Switches)}


class ControlError(Exception):
    """The body of a control request is invalid."""


def add_routes(app: web.Application, world: World) -> None:
    """Serve journal and control of *world* on *app*."""
    control = Control(world)

    async def read_journal(request: web.Request) -> web.Response:
        after = request.query.get("after", "0")
        if not after.isdigit():
            return _json({"error": "after must be a number"}, 400)
        return _json(world.journal.after(int(after)))

    async def clear_journal(_request: web.Request) -> web.Response:
        world.journal.clear()
        return _json({})

    async def read_state(_request: web.Request) -> web.Response:
        return _json(control.state())

    async def change_state(request: web.Request) -> web.Response:
        try:
            body = orjson.loads(await request.read())
            if not isinstance(body, dict):
                raise ControlError("the body must be a JSON object")
            await control.change(body)
        except (orjson.JSONDecodeError, ControlError) as error:
            return _json({"error": str(error)}, 400)
        return _json(control.state())

    app.router.add_get("/__journal", read_journal)
    app.router.add_delete("/__journal", clear_journal)
    app.router.add_get("/__control", read_state)
    app.router.add_post("/__control", change_state)


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


class Control:
    """Turns the switches, and does the actions that happen once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._actions: Mapping[str, Callable[[Any], Awaitable[None]]] = {
            "rotate_formkey": self._rotate_formkey,
            "rotate_build": self._rotate_build,
            "rotate_getter": self._rotate_getter,
            "rotate_revision": self._rotate_revision,
            "drop_sockets": self._drop_sockets,
            "silence_sockets": self._silence_sockets,
            "lose_channels": self._lose_channels,
            "forget_channels": self._forget_channels,
            "log_out": self._log_out,
            "log_in": self._log_in,
            "points": self._points,
            "retire_hash": self._retire_hash,
            "retire_subscription": self._retire_subscription,
            "drop_artefact": self._drop_artefact,
            "fail": self._fail,
            "lines": self._lines,
            "reset": self._reset,
        }

    @property
    def actions(self) -> set[str]:
        """The names of the actions."""
        return set(self._actions)

    def state(self) -> dict[str, Any]:
        """Return the state without its secrets: no cookie, no form key."""
        world = self._world
        return {
            **asdict(world.switches),
            "accounts": [
                {
                    "label": account.label,
                    "logged_in": account.is_logged_in,
                    "points": account.points,
                    "chats": len(account.chats),
                    "running": len(account.jobs),
                    "channels": len(account.channels),
                    "sockets": sum(len(each.sockets) for each in account.channels.values()),
                }
                for account in world.accounts
            ],
            "build_id": world.build.build_id,
            "revision": world.build.revision,
            "getter": world.build.getter,
            "signer": world.build.signer,
            "hashes": world.hashes,
            "subscriptions": world.subscriptions,
            "dropped": sorted(world.dropped),
            "faults": [asdict(fault) for fault in world.faults],
            "lines": world.lines.state(),
        }

    async def change(self, body: Mapping[str, Any]) -> None:
        """Turn the switches that *body* names, then do its actions, in their order.

        Raises `ControlError`; an unknown field or an invalid switch changes nothing.
        """
        for name, value in body.items():
            if name in _SWITCHES:
                if error := switch_error(name, _plain(name, value)):
                    raise ControlError(error)
            elif name not in self._actions:
                raise ControlError(f"unknown field {name}")
        for name, value in body.items():
            if name in _SWITCHES:
                setattr(self._world.switches, name, _plain(name, value))
        if "ring_size" in body:
            for channel in self._world.channels.values():
                channel.set_ring_size(self._world.switches.ring_size)
        for name, value in body.items():
            if name in self._actions:
                await self._actions[name](value)

    def _accounts(self, value: Any) -> list[Account]:
        """Return the accounts for a label, a list of labels, or ``true`` for all."""
        if value is True:
            return self._world.accounts
        labels = value if isinstance(value, list) else [value]
        found = []
        for label in labels:
            account = self._world.account_called(label) if isinstance(label, str) else None
            if account is None:
                raise ControlError(f"unknown account {label}")
            found.append(account)
        return found

    async def _rotate_formkey(self, value: Any) -> None:
        for account in self._accounts(value):
            self._world.rotate_formkey(account)

    async def _rotate_build(self, value: Any) -> None:
        if value:
            self._world.new_build()

    async def _rotate_getter(self, value: Any) -> None:
        if _truth("rotate_getter", value):
            self._world.rotate_getter()

    async def _rotate_revision(self, value: Any) -> None:
        if _truth("rotate_revision", value):
            self._world.rotate_revision()

    async def _drop_sockets(self, value: Any) -> None:
        for account in self._accounts(value):
            for channel in account.channels.values():
                for socket in tuple(channel.sockets):
                    await socket.close()

    async def _silence_sockets(self, value: Any) -> None:
        for account in self._accounts(value):
            for channel in account.channels.values():
                for socket in channel.sockets:
                    socket.is_silent = True

    async def _lose_channels(self, value: Any) -> None:
        if value not in ("missed", "refetch"):
            raise ControlError("lose_channels takes missed or refetch")
        for account in self._world.accounts:
            await lose(account, value)

    async def _forget_channels(self, value: Any) -> None:
        for account in self._accounts(value):
            for name in account.channels:
                self._world.channels.pop(name, None)
            account.channels.clear()

    async def _log_out(self, value: Any) -> None:
        for account in self._accounts(value):
            account.is_logged_in = False

    async def _log_in(self, value: Any) -> None:
        for account in self._accounts(value):
            account.is_logged_in = True

    async def _points(self, value: Any) -> None:
        if not isinstance(value, dict):
            raise ControlError("points takes an object of labels and numbers")
        for label, points in value.items():
            if not isinstance(points, int):
                raise ControlError("points must be whole numbers")
            self._accounts(label)[0].points = points

    async def _retire_hash(self, value: Any) -> None:
        for name in _names(value, self._world.hashes, "operation"):
            self._world.retire_hash(name)

    async def _retire_subscription(self, value: Any) -> None:
        for name in _names(value, self._world.subscriptions, "subscription"):
            self._world.retire_subscription(name)

    async def _drop_artefact(self, value: Any) -> None:
        world = self._world
        known = (*world.hashes, *world.subscriptions)
        world.dropped.update(_names(value, known, "operation or subscription"))

    async def _fail(self, value: Any) -> None:
        for given in value if isinstance(value, list) else [value]:
            match given:
                case {"with": dict(words)}:
                    rest = {name: each for name, each in given.items() if name != "with"}
                case _:
                    raise ControlError("fail takes objects with a field `with`")
            unknown = rest.keys() - {"path", "query_name", "account", "times"}
            if unknown:
                raise ControlError(f"unknown field {min(unknown)} in fail")
            if not isinstance(rest.get("times", 1), int):
                raise ControlError("times must be a number")
            texts = {name: str(each) for name, each in words.items()}
            self._world.faults.append(Fault(texts, **rest))

    async def _lines(self, value: Any) -> None:
        lines = self._world.lines
        try:
            lines.hand_out(lines.read(value))
        except ValueError as error:
            raise ControlError(str(error)) from None

    async def _reset(self, value: Any) -> None:
        if value:
            self._world.reset()


def _names(value: Any, known: Collection[str], what: str) -> list[str]:
    """Return the names for a name, a list of names, or ``true`` or ``all`` for all that is known.

    Raises `ControlError` if one of them is unknown.
    """
    if value is True or value == "all":
        return list(known)
    names = value if isinstance(value, list) else [value]
    for name in names:
        if not isinstance(name, str) or name not in known:
            raise ControlError(f"unknown {what} {name}")
    return names


def _truth(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ControlError(f"{name} takes true or false")
    return value


def _plain(name: str, value: Any) -> Any:
    """Return the switch's value; the challenge takes ``true`` and ``false`` as well."""
    if name == "challenge" and isinstance(value, bool):
        return "on" if value else "off"
    return value
