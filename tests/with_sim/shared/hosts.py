"""Machines of a test: network namespaces, each with a line to the outside and one to Redis.

Whatever they were made of is gone with their processes: no namespace has a name, and a line ends
when one of its ends does.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final, Self

#: Addresses for tests of networks (RFC 2544), in pairs: a block of eight for each host.
_BLOCKS: Final = 2**17 // 8
#: Nobody has this address: what is sent there is lost without a word.
_NOBODY: Final = "02:00:00:00:00:01"

_numbers = count()


def run(*command: str) -> str:
    """Run a command that has to succeed; return what it prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


@dataclass(frozen=True, slots=True)
class Line:
    """A cable between a host and the rest of the world."""

    #: Its name on either side.
    name: str
    #: The address of the host, and that of the rest.
    inside: str
    outside: str


class Host:
    """A machine of its own; what is started with `command` runs on it."""

    def __init__(self) -> None:
        number = next(_numbers)
        #: It is there until its standard input ends: at the latest when this process does.
        self._holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo made && exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != "made\n":
            _, why = self._holder.communicate()
            raise AssertionError(f"Two hosts need network namespaces, for which one is root: {why}")
        try:
            self._build(number)
        except BaseException:
            self.close()
            raise

    def _build(self, number: int) -> None:
        # Those who run side by side have ids that lie close together.
        block = (os.getpid() * 8 + number) % _BLOCKS * 8
        name = f"t{os.getpid()}-{number}"
        run(*self.command("ip", "link", "set", "lo", "up"))
        #: Over this one come its clients, and Poe is behind it.
        self.front = self._lay(f"{name}f", block)
        self.back = self._lay(f"{name}r", block + 4)

    def _lay(self, name: str, place: int) -> Line:
        """Lay a line; the net of it has four addresses."""
        outside, inside = _address(place + 1), _address(place + 2)
        holder = str(self._holder.pid)
        run("ip", "link", "add", name, "type", "veth", "peer", "name", name, "netns", holder)
        run("ip", "address", "add", f"{outside}/30", "dev", name)
        run(*self.command("ip", "address", "add", f"{inside}/30", "dev", name))
        run("ip", "link", "set", name, "up")
        run(*self.command("ip", "link", "set", name, "up"))
        return Line(name, inside, outside)

    def command(self, *command: str) -> Sequence[str]:
        """The same command, run on this host; the process is the command's own."""
        return ["nsenter", f"--net=/proc/{self._holder.pid}/ns/net", *command]

    @contextlib.contextmanager
    def without_redis(self) -> Iterator[None]:
        """Cut the line to Redis meanwhile: whatever is sent over it is lost, either way."""
        line = self.back
        astray = ["lladdr", _NOBODY, "dev", line.name, "nud", "permanent"]
        run("ip", "neighbour", "replace", line.inside, *astray)
        run(*self.command("ip", "neighbour", "replace", line.outside, *astray))
        try:
            yield
        finally:
            run("ip", "neighbour", "delete", line.inside, "dev", line.name)
            run(*self.command("ip", "neighbour", "delete", line.outside, "dev", line.name))

    def processes_at(self, port: int, client_port: int = 0) -> set[int]:
        """The processes that serve connections at *port*: all, or that of one client."""
        those = f"sport = :{port}" + (f" and dport = :{client_port}" if client_port else "")
        found = run(*self.command("ss", "-Htnp", "state", "established", those))
        return {int(pid) for pid in re.findall(r"pid=(\d+)", found)}

    def process_of(self, port: int, client_port: int) -> int:
        """The process that serves a client's connection at *port*."""
        (pid,) = self.processes_at(port, client_port)
        return pid

    def close(self) -> None:
        """Take it down; what ran on it has ended."""
        self._holder.kill()
        self._holder.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()


def _address(place: int) -> str:
    return f"198.{18 + (place >> 16)}.{place >> 8 & 255}.{place & 255}"
